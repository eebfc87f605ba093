"""Samplers: one step = one function, and the loop, once.

A step takes x at noise level sigma to x at sigma_next < sigma. In coordinates x_sigma = x_0 + sigma * eps the
probability-flow ODE is dx/dsigma = (x - D(x, sigma)) / sigma, and sigma_next = 0 always lands on D.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import torch

from memprior._check import expect, expect_finite, expect_points
from memprior.denoiser import Denoiser


@dataclass(frozen=True, eq=False)
class SamplerState:
    """x: (B, d) at noise level ``sigma`` (scalar tensor).

    denoised: (B, d), the D(x, sigma) that the step from the level above used.
    """

    x: torch.Tensor
    sigma: torch.Tensor
    denoised: torch.Tensor


class Step(Protocol):
    """One reverse step; members of a batch do not see each other. sigma > sigma_next >= 0, scalar tensors."""

    def __call__(
        self,
        denoiser: Denoiser,
        x: torch.Tensor,
        sigma: torch.Tensor,
        sigma_next: torch.Tensor,
        *,
        generator: torch.Generator,
    ) -> SamplerState: ...


def euler_step(denoiser, x, sigma, sigma_next, *, generator) -> SamplerState:
    """x <- D + (sigma_next / sigma) (x - D): Euler on the probability-flow ODE, which is deterministic DDIM.

    Draws nothing.
    """
    denoised = denoiser(x, sigma)
    return SamplerState(denoised + (sigma_next / sigma) * (x - denoised), sigma_next, denoised)


def heun_step(denoiser, x, sigma, sigma_next, *, generator) -> SamplerState:
    """Euler, corrected with the slope at its end: second order (Karras et al.

    2022, Alg. 1). Euler alone where sigma_next = 0.
    """
    trial = euler_step(denoiser, x, sigma, sigma_next, generator=generator)
    if sigma_next == 0:
        return trial
    slopes = (x - trial.denoised) / sigma, (trial.x - denoiser(trial.x, sigma_next)) / sigma_next
    return SamplerState(x + 0.5 * (sigma_next - sigma) * (slopes[0] + slopes[1]), sigma_next, trial.denoised)


def ancestral_step(denoiser, x, sigma, sigma_next, *, generator) -> SamplerState:
    """Draw from p(x_next | x, x_0 = D): exact where x_0 is known, and the DDPM sampler otherwise.

    x_next = D + (sigma_next^2 / sigma^2) (x - D) + sigma_next sqrt(1 - sigma_next^2 / sigma^2) eps.
    """
    denoised = denoiser(x, sigma)
    keep = (sigma_next / sigma) ** 2
    eps = torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)
    return SamplerState(denoised + keep * (x - denoised) + sigma_next * (1 - keep).sqrt() * eps, sigma_next, denoised)


def trajectory(
    denoiser: Denoiser,
    x_init: torch.Tensor,
    sigmas: torch.Tensor,
    *,
    step: Step = heun_step,
    generator: torch.Generator,
) -> Iterator[SamplerState]:
    """The states along ``sigmas`` (T + 1,), strictly descending and >= 0, from x_init (B, d) at sigmas[0]: T of them.

    A generator, so that tracing, plotting and stopping belong to the caller. Start x_init as sigmas[0] * N(0, I),
    with sigmas[0] well above the spread of the prior. Raises ``ValueError`` before the first step for levels that
    do not descend or x_init not finite.
    """
    expect_points("x_init", x_init)
    expect_finite("x_init", x_init)
    sigmas = torch.as_tensor(sigmas, dtype=x_init.dtype, device=x_init.device)
    good = (
        sigmas.ndim == 1
        and len(sigmas) >= 2
        and bool((sigmas.diff() < 0).all())
        and bool(sigmas[-1] >= 0)
        and bool(torch.isfinite(sigmas[0]))
    )
    expect(good, "sigmas", "at least two strictly descending finite levels >= 0", sigmas.reshape(-1)[:8].tolist())
    return _states(denoiser, x_init, sigmas, step, generator)


def _states(denoiser, x, sigmas, step, generator):
    for sigma, sigma_next in pairwise(sigmas):
        state = step(denoiser, x, sigma, sigma_next, generator=generator)
        x = state.x.detach()  # no graph from step to step: it would hold every activation of a network prior
        yield replace(state, x=x, denoised=state.denoised.detach())


def sample(
    denoiser: Denoiser,
    x_init: torch.Tensor,
    sigmas: torch.Tensor,
    *,
    step: Step = heun_step,
    generator: torch.Generator,
) -> torch.Tensor:
    """The end of :func:`trajectory`, (B, d)."""
    x = x_init
    for state in trajectory(denoiser, x_init, sigmas, step=step, generator=generator):
        x = state.x
    return x
