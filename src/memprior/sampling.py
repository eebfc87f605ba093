"""Samplers: each step is a function, and all share one loop.

A step takes x at noise level sigma to x at sigma_next < sigma. In coordinates x_sigma = x_0 + sigma * eps the
probability-flow ODE is dx/dsigma = (x - D(x, sigma)) / sigma, and sigma_next = 0 always lands on D.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import torch

from memprior._check import descending_levels, expect, expect_finite, expect_points, expect_whole
from memprior._random import integers, normal
from memprior.denoiser import Denoiser, denoised_traced

EXPLODED = 1e6  # times the start: no sample of a stable run is so far out, in any unit


@dataclass(frozen=True, eq=False)
class SamplerState:
    """x: (B, d) at noise level ``sigma`` (scalar tensor).

    denoised: (B, d), the D(x, sigma) that the step from the level above used.
    """

    x: torch.Tensor
    sigma: torch.Tensor
    denoised: torch.Tensor


class Step(Protocol):
    """One reverse step; members of a batch do not see each other. sigma > sigma_next >= 0, scalar tensors.

    generator: may be None for a step that draws nothing; one that draws raises ``TypeError`` then, at its first draw.
    """

    def __call__(
        self,
        denoiser: Denoiser,
        x: torch.Tensor,
        sigma: torch.Tensor,
        sigma_next: torch.Tensor,
        *,
        generator: torch.Generator | None,
    ) -> SamplerState: ...


def euler_step(denoiser, x, sigma, sigma_next, *, generator: torch.Generator | None) -> SamplerState:
    r"""Euler on the probability-flow ODE, which is deterministic DDIM. Draws nothing.

    .. math:: x \leftarrow D + (\sigma' / \sigma) (x - D)

    Args:
        denoiser: D.
        x: (B, d), at noise level sigma.
        sigma: scalar tensor.
        sigma_next: scalar tensor, sigma > sigma_next >= 0.
        generator: not used; may be None.

    Returns:
        The state at sigma_next.

    Example:
        >>> import torch
        >>> from memprior.denoiser import EmpiricalDenoiser
        >>> from memprior.sampling import euler_step
        >>> denoiser, x = EmpiricalDenoiser(torch.zeros(1, 1)), torch.tensor([[2.0]])
        >>> euler_step(denoiser, x, torch.tensor(1.0), torch.tensor(0.5), generator=torch.Generator()).x
        tensor([[1.]])
    """
    denoised = denoiser(x, sigma)
    return SamplerState(denoised + (sigma_next / sigma) * (x - denoised), sigma_next, denoised)


def heun_step(denoiser, x, sigma, sigma_next, *, generator: torch.Generator | None) -> SamplerState:
    """Euler, corrected with the slope at its end: second order (Karras et al. 2022, Alg. 1).

    Euler alone where sigma_next = 0. Draws nothing; arguments as those of :func:`euler_step`.

    Example:
        >>> import torch
        >>> from memprior.denoiser import GaussianDenoiser
        >>> from memprior.sampling import heun_step
        >>> denoiser, x = GaussianDenoiser(torch.zeros(1), torch.eye(1)), torch.tensor([[2.0]])
        >>> heun_step(denoiser, x, torch.tensor(1.0), torch.tensor(0.5), generator=torch.Generator()).x  # 2 (5/8)^(1/2)
        tensor([[1.6000]])
    """
    trial = euler_step(denoiser, x, sigma, sigma_next, generator=generator)
    if sigma_next == 0:
        return trial
    slopes = (x - trial.denoised) / sigma, (trial.x - denoiser(trial.x, sigma_next)) / sigma_next
    return SamplerState(x + 0.5 * (sigma_next - sigma) * (slopes[0] + slopes[1]), sigma_next, trial.denoised)


def ancestral_step(denoiser, x, sigma, sigma_next, *, generator) -> SamplerState:
    r"""Draw from p(x_next | x, x_0 = D): exact where x_0 is known, and the DDPM sampler otherwise.

    .. math:: x \leftarrow D + \frac{\sigma'^2}{\sigma^2} (x - D) + \sigma' \sqrt{1 - \sigma'^2 / \sigma^2} \, \epsilon

    Args:
        denoiser: D.
        x: (B, d), at noise level sigma.
        sigma: scalar tensor.
        sigma_next: scalar tensor, sigma > sigma_next >= 0.
        generator: draws eps ~ N(0, I).

    Returns:
        The state at sigma_next.

    Example:
        >>> import torch
        >>> from memprior.denoiser import EmpiricalDenoiser
        >>> from memprior.sampling import ancestral_step
        >>> denoiser, x = EmpiricalDenoiser(torch.ones(1, 1)), torch.tensor([[2.0]])
        >>> ancestral_step(denoiser, x, torch.tensor(1.0), torch.tensor(0.0), generator=torch.Generator()).x
        tensor([[1.]])
    """
    denoised = denoiser(x, sigma)
    keep = (sigma_next / sigma) ** 2
    eps = normal(*x.shape, like=x, generator=generator)
    return SamplerState(denoised + keep * (x - denoised) + sigma_next * (1 - keep).sqrt() * eps, sigma_next, denoised)


def trajectory(
    denoiser: Denoiser,
    x_init: torch.Tensor,
    sigmas: torch.Tensor,
    *,
    step: Step = heun_step,
    generator: torch.Generator | None,
) -> Iterator[SamplerState]:
    """The states of a reverse diffusion along ``sigmas``, from x_init at sigmas[0].

    A generator, so that tracing, plotting and stopping belong to the caller. Start x_init as sigmas[0] * N(0, I), with
    sigmas[0] well above the spread of the prior.

    Args:
        denoiser: D, the prior; the posterior's for draws of a posterior.
        x_init: (B, d), finite.
        sigmas: (T + 1,), strictly descending and >= 0.
        step: one reverse step; a guided one brings the data.
        generator: draws what the step draws; None where that is nothing, as for the step by default.

    Yields:
        T states.

    Raises:
        ValueError: before the first step, levels that do not descend or x_init not finite.
        FloatingPointError: at the step in which D is not finite, or after which a sample is not finite or a million
            times farther out than the start.

    Example:
        >>> import torch
        >>> from memprior.denoiser import EmpiricalDenoiser
        >>> from memprior.noise import karras_sigmas
        >>> from memprior.sampling import trajectory
        >>> generator, sigmas = torch.Generator().manual_seed(0), karras_sigmas(10, 0.01, 10.0)
        >>> prior = EmpiricalDenoiser(torch.tensor([[-1.0], [1.0]]))
        >>> x_init = sigmas[0].float() * torch.randn(4, 1, generator=generator)
        >>> len([state.x for state in trajectory(prior, x_init, sigmas, generator=generator)])
        10
    """
    expect_points("x_init", x_init)
    expect_finite("x_init", x_init)
    return _states(denoiser, x_init, descending_levels("sigmas", sigmas, x_init), step, generator)


def _states(denoiser, x, sigmas, step, generator):
    limit = farthest(x, sigmas)
    for index, (sigma, sigma_next) in enumerate(pairwise(sigmas), 1):
        state = step(denoiser, x, sigma, sigma_next, generator=generator)
        x = state.x.detach()  # no graph from step to step: it would hold every activation of a network prior
        denoised = state.denoised.detach()
        lost = outside(x, limit)
        void = ~torch.isfinite(denoised).all(-1)  # where a guided step stays, step after step
        if (lost | void).any():
            where = f"step {index} of {len(sigmas) - 1}, from sigma = {float(sigma):.3g} to {float(sigma_next):.3g}"
            if void.any():
                came = f"NaN or infinite for {int(void.sum())} of {len(x)} in {where}"
                raise FloatingPointError(f"denoiser: expected finite numbers, got {came}")
            came = f"{int(lost.sum())} of {len(x)} outside (largest {float(x.abs().max()):.3g}) after {where}"
            raise FloatingPointError(
                f"x: expected samples within {limit:.3g}, {EXPLODED:.0e} times the start, got {came}: guide less, or "
                "take more levels"
            )
        yield replace(state, x=x, denoised=denoised)


def farthest(x_init: torch.Tensor, sigmas: torch.Tensor) -> float:
    """How far from zero a coordinate may come in a run from ``x_init`` at ``sigmas[0]``."""
    return EXPLODED * max(float(x_init.abs().max()) if x_init.numel() else 0.0, float(sigmas[0]))


def outside(x: torch.Tensor, limit: float) -> torch.Tensor:
    """Which of x (..., d) have a coordinate that is NaN or beyond ``limit``, (...)."""
    return ~(x.abs() <= limit).all(-1)


def sample(
    denoiser: Denoiser,
    x_init: torch.Tensor,
    sigmas: torch.Tensor,
    *,
    step: Step = heun_step,
    generator: torch.Generator | None,
) -> torch.Tensor:
    """The end of :func:`trajectory`, whose arguments it takes.

    Returns:
        (B, d), at the last level.

    Example:
        >>> import torch
        >>> from memprior.denoiser import EmpiricalDenoiser
        >>> from memprior.noise import karras_sigmas
        >>> from memprior.sampling import sample
        >>> generator, sigmas = torch.Generator().manual_seed(0), karras_sigmas(20, 0.01, 10.0)
        >>> prior = EmpiricalDenoiser(torch.tensor([[-1.0], [1.0]]))
        >>> x_init = sigmas[0].float() * torch.randn(100, 1, generator=generator)
        >>> sample(prior, x_init, sigmas, generator=generator).abs().unique()  # a memorized prior draws its examples
        tensor([1.])
    """
    x = x_init
    for state in trajectory(denoiser, x_init, sigmas, step=step, generator=generator):
        x = state.x
    return x


@torch.no_grad()
def log_likelihood(
    denoiser: Denoiser,
    x: torch.Tensor,
    sigmas: torch.Tensor,
    *,
    num_probes: int | None = None,
    generator: torch.Generator | None,
) -> torch.Tensor:
    r"""Log density at x of the distribution that a denoiser's probability-flow ODE makes at the last level.

    Along dx/dsigma = (x - D) / sigma the log density changes by

    .. math:: \mathrm{d} \log p / \mathrm{d} \sigma = -(d - \nabla \cdot D) / \sigma

    (Song et al. 2021, Sec. 4.3). Heun's rule from sigmas[-1] > 0 up to sigmas[0], where x is taken to be
    N(D's mean, sigma^2 I): the levels must begin well above the spread of the prior. For the exact denoiser of a
    distribution p this is log p_sigma at the last level: a likelihood with that floor.

    Args:
        denoiser: D.
        x: (B, d), finite.
        sigmas: (T + 1,), descending to a last level > 0.
        num_probes: None for the exact div D, which is d reverse passes per step; else its unbiased estimate from so
            many random signs (Hutchinson).
        generator: draws the signs; None where there are none.

    Returns:
        (B,), in nats.

    Raises:
        ValueError: levels that do not descend, or end in 0; x not finite.
        FloatingPointError: where x is no longer finite on the way.

    Example:
        >>> import torch
        >>> from memprior.denoiser import GaussianDenoiser
        >>> from memprior.noise import geometric_sigmas
        >>> from memprior.sampling import log_likelihood
        >>> denoiser, x = GaussianDenoiser(torch.zeros(1), torch.eye(1)), torch.zeros(1, 1)
        >>> sigmas = geometric_sigmas(100.0, 0.01, 500)
        >>> log_density = log_likelihood(denoiser, x, sigmas, generator=torch.Generator())
        >>> round(float(log_density), 2)  # -log(2 pi) / 2
        -0.92
    """
    expect_points("x", x)
    expect_finite("x", x)
    levels = descending_levels("sigmas", sigmas, x).flip(0)
    above_zero = "a last level > 0, the floor at which the density is asked for"
    expect(bool(levels[0] > 0), "sigmas", above_zero, lambda: float(levels[0]))
    if num_probes is not None:
        expect_whole("num_probes", num_probes, 1)
    # Where D stands still x moves linearly in sigma, and the log density linearly in log sigma: both are exact there.
    change = x.new_zeros(len(x))
    for low, high in pairwise(levels):
        away, growth = _flow(denoiser, x, low, num_probes, generator)
        trial = x + (high - low) / low * away
        away_then, growth_then = _flow(denoiser, trial, high, num_probes, generator)
        x = x + 0.5 * (high - low) * (away / low + away_then / high)
        change = change + 0.5 * torch.log(high / low) * (growth + growth_then)
        if lost := int((~torch.isfinite(x).all(1)).sum()):
            where = f"of {len(x)} between sigma = {float(low):.3g} and {float(high):.3g}"
            raise FloatingPointError(f"denoiser: expected finite numbers, got NaN or infinite for {lost} {where}")
    center = denoiser(x.new_zeros(1, x.shape[1]), levels[-1])
    return (
        change
        - 0.5 * ((x - center) / levels[-1]).square().sum(1)
        - x.shape[1] * torch.log(levels[-1] * math.sqrt(2 * math.pi))
    )


def _flow(denoiser, x, sigma, num_probes, generator) -> tuple[torch.Tensor, torch.Tensor]:
    """x - D (B, d) and its divergence d - div D (B,) at x, sigma."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        denoised = denoised_traced(denoiser, x, sigma)
    if num_probes is None:
        probes = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)[:, None].expand(-1, len(x), -1)
    else:
        shape = (num_probes, *x.shape)
        probes = integers(2, *shape, like=x, generator=generator).to(x.dtype) * 2 - 1
    pulled = [torch.autograd.grad(denoised, x, v, retain_graph=True)[0] for v in probes]
    trace = sum((v * p).sum(1) for v, p in zip(probes, pulled, strict=True)) / (1 if num_probes is None else num_probes)
    return (x - denoised).detach(), x.shape[1] - trace
