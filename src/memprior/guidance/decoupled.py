"""DAPS: draw x_0 near the end of the probability-flow ODE, given the data, and add noise again (Zhang et al. 2025).

From x at sigma: x_hat by the ODE, then Langevin steps on x_0 for the distribution

    p(x_0 | x_hat, y) prop. N(x_0; x_hat, r^2 I) p(y | x_0),   r^2 = spread^2 sigma^2 / (spread^2 + sigma^2)

and x_next = x_0 + sigma_next eps. A step so forgets x but for x_hat, and may go far. The Langevin steps are Metropolis-
adjusted (MALA), which the published ones are not: the step size then costs time, and does not bias the distribution.
The Gaussian about x_hat is the approximation.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch

from memprior._check import expect_whole, positive_number
from memprior._random import normal, uniform
from memprior.guidance.gradients import GuidedState, GuidedStep
from memprior.likelihood import GaussianLikelihood
from memprior.sampling import euler_step

LOWEST, RHO = 1 / 100, 7.0  # of the ODE's levels: the last above zero, as a share of sigma; Karras et al. 2022, Eq. 5


@dataclass(frozen=True, eq=False)
class DecoupledState(GuidedState):
    """denoised: the draw of x_0, (B, d). misfit: ``|y - F(x_0)|^2 / (2 gamma^2)`` of it, (B,).

    acceptance: (B,), the share of the Langevin proposals that were accepted: near 0 the draw is still at x_hat.
    """

    acceptance: torch.Tensor


def daps_step(
    likelihood: GaussianLikelihood,
    *,
    num_ode: int,
    num_langevin: int,
    step_size: float,
    curvature: float,
    spread: float = 1.0,
) -> GuidedStep:
    """DAPS with Euler steps for the ODE and Metropolis-adjusted Langevin steps for x_0, from x_hat.

    num_langevin + 1 values and scores of the likelihood, num_ode calls of the denoiser. A proposal whose data are not
    finite is refused; a sample whose x_hat has such data stays where it is.

    Args:
        likelihood: of the data.
        num_ode: denoiser calls, down levels from sigma to sigma / 100 and then to D; 1 is x_hat = D.
        num_langevin: number of proposals x_0 + h g + (2 h)^(1/2) eps, g the gradient of the log density,
            h = step_size / (1 / r^2 + curvature / gamma^2).
        step_size: Langevin steps are stable for step_size < 2, and mostly accepted well below.
        curvature: the largest eigenvalue of J^T J, J = dF/dx.
        spread: of the prior, in its coordinates.

    Returns:
        A step whose states carry the misfit and the acceptance.

    Raises:
        ValueError: counts below 1 and numbers not > 0.

    Example:
        >>> import torch
        >>> from memprior.denoiser import GaussianDenoiser
        >>> from memprior.guidance import daps_step
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.operators import MatrixOperator
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.ones(1), noise_std=0.1)
        >>> step = daps_step(likelihood, num_ode=1, num_langevin=20, step_size=0.5, curvature=1.0)
        >>> prior, levels = GaussianDenoiser(torch.zeros(1), torch.eye(1)), (torch.tensor(1.0), torch.tensor(0.0))
        >>> x = step(prior, torch.zeros(500, 1), *levels, generator=torch.Generator().manual_seed(0)).x
        >>> abs(float(x.mean()) - 0.98) < 0.02  # 100 / 102, the mean of p(x_0 | x_hat = 0, y = 1)
        True
    """
    expect_whole("num_ode", num_ode, 1)
    expect_whole("num_langevin", num_langevin, 1)
    step_size, curvature = positive_number("step_size", step_size), positive_number("curvature", curvature)
    spread = positive_number("spread", spread)
    gamma = likelihood.noise_std
    normalizer = 0.5 * len(likelihood.observed) * math.log(2 * math.pi * gamma**2)

    @torch.no_grad()
    def step(denoiser, x, sigma, sigma_next, *, generator):
        center = _end_of_ode(denoiser, x, sigma, num_ode, generator)
        variance = spread**2 * sigma**2 / (spread**2 + sigma**2)

        def target(guess):
            value, score = likelihood.value_and_score(guess)
            away = guess - center
            return value, value - away.square().sum(1) / (2 * variance), score - away / variance

        length = step_size / (1 / variance + curvature / gamma**2)
        good, guess, value, acceptance = _langevin(target, center, length, num_langevin, generator)
        eps = normal(*x.shape, like=x, generator=generator)
        moved = torch.where(good[:, None], guess + sigma_next * eps, x)
        return DecoupledState(moved, sigma_next, guess, -(value + normalizer), acceptance)

    return step


def _end_of_ode(denoiser, x, sigma, num_ode: int, generator):
    """Euler steps on the probability-flow ODE from x at sigma to 0, (B, d)."""
    ramp = torch.linspace(1, LOWEST ** (1 / RHO), num_ode, dtype=x.dtype, device=x.device) ** RHO
    levels = sigma * torch.cat([ramp, ramp.new_zeros(1)])
    for high, low in pairwise(levels):
        x = euler_step(denoiser, x, high, low, generator=generator).x
    return x


def _langevin(target, start, length, num: int, generator):
    """MALA from ``start`` (B, d): where it was finite (B,), the end, its likelihood and the share accepted (B,).

    target: x -> log p(y | x) (B,), log density (B,) and its gradient (B, d).
    """
    x, (value, density, gradient) = start, target(start)
    good = torch.isfinite(density) & torch.isfinite(gradient).all(1)
    accepted = x.new_zeros(len(x))
    for _ in range(num):
        eps = normal(*x.shape, like=x, generator=generator)
        level = uniform(len(x), like=x, generator=generator).log()
        trial = x + length * gradient + (2 * length).sqrt() * eps
        trial_value, trial_density, trial_gradient = target(trial)
        # log q(x | trial) - log q(trial | x): the way back against the way there.
        back = (x - trial - length * trial_gradient).square().sum(1) / (4 * length)
        taken = level < trial_density - density - back + eps.square().sum(1) / 2  # not where NaN
        x, gradient = (torch.where(taken[:, None], *pair) for pair in ((trial, x), (trial_gradient, gradient)))
        value, density = (torch.where(taken, *pair) for pair in ((trial_value, value), (trial_density, density)))
        accepted = accepted + taken
    return good, x, value, accepted / num
