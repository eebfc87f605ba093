"""Sequential Monte Carlo: particles that are weighted and resampled, exact in the limit of many.

Symbols: K particles x of a run, psi_sigma(x) the twisting function, an estimate of p(y | x_sigma) that is p(y | x_0) at
the end. A reverse step proposes x' from q(x' | x), guided by psi, and the weight is multiplied by::

    p(x' | x) psi'(x') / (q(x' | x) psi(x))

so that psi and q change how many particles are needed, and not what is drawn. The draws have the distribution of the
ancestral sampler's chain, conditioned on y: the posterior, when that chain draws the prior.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from memprior._check import descending_levels, expect, expect_finite, expect_tensor, positive_number
from memprior._random import choices, normal, uniform
from memprior.denoiser import Denoiser
from memprior.guidance.gradients import through_denoiser
from memprior.likelihood import GaussianLikelihood
from memprior.sampling import EXPLODED, farthest, outside


@dataclass(frozen=True, eq=False)
class Particles:
    """R runs of K weighted particles, x (R, K, d), at the last level.

    log_weights: (R, K), normalized in each run. effective: (T, R), the effective number of particles 1 / sum w^2 after
    each step, before resampling, and 0 for a run that then had lost every particle. ancestors: (R, K), the particle of
    the start that each comes from. log_evidence: (R,), the logarithm of an unbiased estimate of p(y), or -inf for a run
    that lost every particle, whose weights are equal.
    """

    x: torch.Tensor
    log_weights: torch.Tensor
    effective: torch.Tensor
    ancestors: torch.Tensor
    log_evidence: torch.Tensor

    @property
    def distinct(self) -> torch.Tensor:
        """(R,), how many particles of the start have descendants."""
        return 1 + (self.ancestors.sort(1).values.diff(dim=1) > 0).sum(1)

    def draw(self, *, generator: torch.Generator) -> torch.Tensor:
        """One particle of each run by weight, (R, d): independent draws, as runs are."""
        chosen = choices(self.log_weights.exp(), 1, generator=generator, replacement=False)
        return _rows(self.x, chosen)[:, 0]


def smc(
    denoiser: Denoiser,
    likelihood: GaussianLikelihood,
    x_init: torch.Tensor,
    sigmas: torch.Tensor,
    *,
    twisted: bool,
    generator: torch.Generator,
    spread: float | None = None,
) -> Particles:
    """R independent runs of K particles each, from x_init at sigmas[0] down ``sigmas``.

    Runs never see each other; the particles of a run do: a particle method needs the whole run, and is no step of
    `sampling`'s loop. The last level may be 0, where x_0 is the last D, or above: then the target is the chain's
    distribution there with p(y | x_0 = D(x, sigma)) as its likelihood. One value and gradient of the likelihood through
    the denoiser for each particle and step, and one value at the end (untwisted: only this one). A particle whose data
    are not finite has weight zero.

    Args:
        denoiser: D, the prior.
        likelihood: of the data y.
        x_init: (R, K, d), finite.
        sigmas: (T + 1,), descending.
        twisted: False: draws of the prior by ancestral steps, weighted by the likelihood at the end. True: the twisted
            diffusion sampler (Wu et al. 2023, Alg. 1): psi_sigma(x) = p(y | x_0 = D(x, sigma)), proposals by ancestral
            steps with the denoiser D + sigma^2 grad log psi, systematic resampling of a run whose effective number is
            below K / 2.
        generator: draws everything.
        spread: None, psi as published; or a number s > 0, in the data's unit: the variance of psi is then
            gamma^2 + s^2 sigma^2 / (1 + sigma^2), for a prior of unit spread, so that s is the spread of F(x_0) about
            F(D) at the first level. Data of small gamma starve the published psi; the target is the same.

    Returns:
        The weighted particles, with the evidence.

    Raises:
        ValueError: x_init not finite (R, K, d), levels that do not descend, or spread not > 0.
        TypeError: an x_init that is no tensor.
        FloatingPointError: at the step after which most of the weight of a run is on particles that are not finite, or
            a million times farther out than the start.

    Example:
        >>> import torch
        >>> from memprior.denoiser import EmpiricalDenoiser
        >>> from memprior.guidance import smc
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.noise import karras_sigmas
        >>> from memprior.operators import MatrixOperator
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.ones(1), noise_std=0.1)
        >>> generator, sigmas = torch.Generator().manual_seed(0), karras_sigmas(20, 0.01, 10.0)
        >>> prior = EmpiricalDenoiser(torch.tensor([[-1.0], [1.0]]))
        >>> x_init = 10 * torch.randn(2, 50, 1, generator=generator)
        >>> particles = smc(prior, likelihood, x_init, sigmas, twisted=True, generator=generator)
        >>> particles.draw(generator=generator)
        tensor([[1.],
                [1.]])
    """
    expect_tensor("x_init", x_init, "(R, K, d)")
    expect(x_init.ndim == 3 and x_init.numel() > 0, "x_init", "shape (R, K, d), none zero", tuple(x_init.shape))
    expect_finite("x_init", x_init)
    sigmas = descending_levels("sigmas", sigmas, x_init)
    allowed = 0.0 if spread is None else positive_number("spread", spread) ** 2
    options: dict[str, Any] = {"like": x_init, "generator": generator}

    def look(x, sigma):
        """D, log psi but for what particles share, and sigma^2 times its gradient."""
        flat = x.flatten(0, 1)
        if not twisted:
            return denoiser(flat, sigma).view_as(x), x.new_zeros(x.shape[:2]), torch.zeros_like(x)
        variance = likelihood.noise_std**2 + allowed * sigma**2 / (1 + sigma**2)
        denoised, squares, gradient = through_denoiser(likelihood, denoiser, flat, sigma)
        pull = -(sigma**2) * gradient / (2 * variance)
        psi = _or_lost(-squares / (2 * variance) + 0 * pull.sum(1))
        return denoised.view_as(x), psi.view(x.shape[:2]), torch.nan_to_num(pull, 0, 0, 0).view_as(x)

    with torch.no_grad():
        x, equal, limit = x_init, -math.log(x_init.shape[1]), farthest(x_init, sigmas)
        each = torch.arange(x.shape[1], device=x.device).expand(x.shape[:2])
        ancestors, history = each, []
        denoised, psi, pull = look(x, sigmas[0])
        log_weights, log_evidence = _normalized(psi + equal)
        for sigma, sigma_next in pairwise(sigmas):
            # Every run has a draw, resampled or not, and is resampled on its own: runs never hear of each other.
            resample = (_effective(log_weights) < x.shape[1] / 2)[:, None]
            chosen = torch.where(resample, _systematic(log_weights, uniform(len(x), 1, **options)), each)
            log_weights = torch.where(resample, equal, log_weights)
            ancestors, psi = ancestors.gather(1, chosen), psi.gather(1, chosen)
            x, denoised, pull = (_rows(one, chosen) for one in (x, denoised, pull))
            x, ratio = _proposed(x, denoised, pull, sigma, sigma_next, options)
            before = psi
            if sigma_next == sigmas[-1]:
                guess = x.flatten(0, 1) if sigma_next == 0 else denoiser(x.flatten(0, 1), sigma_next)
                psi = _or_lost(likelihood.log_prob(guess)).view_as(before)
            else:
                denoised, psi, pull = look(x, sigma_next)
            change = torch.where(torch.isneginf(before), before, ratio + psi - before)
            log_weights, gain = _normalized(log_weights + change)
            log_evidence = log_evidence + gain
            history.append(torch.where(torch.isneginf(log_evidence), 0, _effective(log_weights)))
            _expect_near(x, log_weights, limit, sigma_next)
    return Particles(x, log_weights, torch.stack(history), ancestors, log_evidence)


def _proposed(x, denoised, pull, sigma, sigma_next, options):
    """x' (R, K, d) by an ancestral step with D + pull, and log p(x' | x) - log q(x' | x), (R, K)."""
    keep = (sigma_next / sigma) ** 2
    mean = denoised + keep * (x - denoised)
    if sigma_next == 0:  # x_next is D, whatever is proposed
        return mean, x.new_zeros(x.shape[:2])
    width = sigma_next * (1 - keep).sqrt()
    eps, shift = normal(*x.shape, **options), (1 - keep) / width * pull
    return mean + width * (shift + eps), -(shift * (eps + shift / 2)).sum(2)


def _expect_near(x, log_weights, limit, sigma):
    """Weights of particles that explode are rounding, and say that all is well where all went the same way."""
    exploded = (outside(x, limit) * log_weights.exp()).sum(1) > 0.5
    if exploded.any():
        raise FloatingPointError(
            f"x: expected particles within {limit:.3g}, {EXPLODED:.0e} times the start, got most of the weight outside "
            f"in {int(exploded.sum())} of {len(x)} runs (largest {float(x.abs().max()):.3g}) at sigma = "
            f"{float(sigma):.3g}: give psi a wider spread, or take more levels"
        )


def _or_lost(log_weights):
    """Weight zero where there is none."""
    return torch.where(torch.isfinite(log_weights), log_weights, -math.inf)


def _normalized(log_weights):
    """Weights (R, K) that sum to one in each run, and the logarithm of their sum (R,); equal where all are zero."""
    total = log_weights.logsumexp(1)
    equal = torch.full_like(log_weights, -math.log(log_weights.shape[1]))
    return torch.where(torch.isfinite(total)[:, None], log_weights.log_softmax(1), equal), total


def _effective(log_weights):
    return torch.exp(-(2 * log_weights).logsumexp(1))


def _systematic(log_weights, start):
    """Indices (R, K): particle k is taken floor(K w_k) times or once more (systematic resampling), start in [0, 1)."""
    num = log_weights.shape[1]
    heights = log_weights.exp().cumsum(1)
    points = (start + torch.arange(num, dtype=start.dtype, device=start.device)) / num * heights[:, -1:]
    return torch.searchsorted(heights, points, right=True).clamp(max=num - 1)


def _rows(x, chosen):
    """x[r, chosen[r]], (R, K, d)."""
    return x.gather(1, chosen[:, :, None].expand(-1, -1, x.shape[2]))
