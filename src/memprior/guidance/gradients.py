"""Guided steps along a gradient of the misfit: a reverse step, and then a move towards the data.

With D = D(x, sigma) the denoised guess and r = y - F(D) its residual, a guided step is a reverse step, and then

    x_next <- x_next - (length) * (gradient of |r|^2, of |r|, or its direction alone)

The gradient is taken through the denoiser (DPS; Chung et al. 2023, Alg. 1), or with its score frozen: dD/dx = I, and
it is the gradient with respect to D. None of them targets the posterior: compare with `posterior`, never imported here.
Lengths are those of the variance-preserving iterate sqrt(abar) x, in which the samplers were published: in our
x = x_0 + sigma eps, where 1 / abar = 1 + sigma^2, they are longer by sqrt(1 + sigma_next^2). Nothing is drawn but by
the reverse step, `base`: with one that draws nothing, a guided step takes ``generator=None``.

A sample whose data are not finite (a stray iterate; see `helmholtz.FreezeStrays`) stays where it is.
"""

from dataclasses import dataclass
from typing import Protocol

import torch

from memprior._check import expect, positive_number
from memprior.denoiser import Denoiser, denoised_traced
from memprior.likelihood import GaussianLikelihood
from memprior.sampling import SamplerState, Step, ancestral_step, euler_step

NORMS = ("squared", "norm")


@dataclass(frozen=True, eq=False)
class GuidedState(SamplerState):
    """What every guided step yields: x, sigma and denoised, as :class:`memprior.sampling.SamplerState`, and a misfit.

    misfit: |y - F(D)|^2 / (2 gamma^2), (B,), of the guess whose gradient was used: a plot of it costs no solve.
    """

    misfit: torch.Tensor


class GuidedStep(Step, Protocol):
    """A :class:`memprior.sampling.Step` that the data guide."""

    def __call__(
        self,
        denoiser: Denoiser,
        x: torch.Tensor,
        sigma: torch.Tensor,
        sigma_next: torch.Tensor,
        *,
        generator: torch.Generator | None,
    ) -> GuidedState: ...


def dps_step(likelihood: GaussianLikelihood, *, scale: float, norm: str, base: Step = ancestral_step) -> GuidedStep:
    """DPS as published (Chung et al. 2023): the gradient goes through the denoiser.

    norm: "squared", x_next <- x_next - scale d|r|^2/dx, or "norm", - scale d|r|/dx, the paper's step zeta' / |r|.
    base: the reverse step. Raises ``ValueError`` for scale not > 0 or another norm.
    """
    return _gradient_step(likelihood, scale, norm, base, through=True)


def frozen_step(likelihood: GaussianLikelihood, *, scale: float, norm: str, base: Step = ancestral_step) -> GuidedStep:
    """:func:`dps_step` without the denoiser's Jacobian, which a network with many parameters makes dear."""
    return _gradient_step(likelihood, scale, norm, base, through=False)


def released_step(
    likelihood: GaussianLikelihood, step_size: float, *, base: Step = euler_step, lagged: bool = True
) -> GuidedStep:
    """The sampler of the released code: frozen score, and a step of fixed length along the gradient's direction.

    x_next <- x_next - step_size sqrt(1 + sigma_next^2) g / |g|. lagged: as released, g is that of a second guess, made
    from x_next but by the denoiser at the level before, after every reverse step, the last one too; otherwise g is
    that of the reverse step's own guess. The noise level of the data cancels from g / |g|.
    """
    step_size = positive_number("step_size", step_size)

    def step(denoiser, x, sigma, sigma_next, *, generator):
        denoised = denoiser(x, sigma)
        reverse = base(_known(denoised), x, sigma, sigma_next, generator=generator)
        # The variance-preserving iterate of one level, read as that of the level before.
        at = reverse.x * ((1 + sigma**2) / (1 + sigma_next**2)).sqrt()
        squares, gradient = _frozen(likelihood, denoiser(at, sigma) if lagged else denoised)
        size = gradient.norm(dim=1, keepdim=True)
        length = step_size * (1 + sigma_next**2).sqrt()
        return _moved(likelihood, x, reverse, squares, length * _quotient(gradient, size))

    return step


def _gradient_step(likelihood, scale, norm, base, *, through: bool) -> GuidedStep:
    scale = positive_number("scale", scale)
    expect(norm in NORMS, "norm", " or ".join(map(repr, NORMS)), repr(norm))

    def step(denoiser, x, sigma, sigma_next, *, generator):
        if through:
            denoised, squares, gradient = through_denoiser(likelihood, denoiser, x, sigma)
        else:
            denoised = denoiser(x, sigma)
            squares, gradient = _frozen(likelihood, denoised)
        reverse = base(_known(denoised), x, sigma, sigma_next, generator=generator)
        if norm == "norm":
            gradient = _quotient(gradient, 2 * squares.sqrt()[:, None])
        # Both the iterate that moves and the one that is differentiated are variance-preserving as published.
        length = scale * ((1 + sigma**2) * (1 + sigma_next**2)).sqrt()
        return _moved(likelihood, x, reverse, squares, length * gradient)

    return step


def through_denoiser(likelihood: GaussianLikelihood, denoiser: Denoiser, x: torch.Tensor, sigma):
    """D(x, sigma) (B, d), |r|^2 (B,) and its gradient with respect to x (B, d), for the other modules here."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        denoised = denoised_traced(denoiser, x, sigma)
        squares = likelihood.residual(denoised).square().sum(1)
        (gradient,) = torch.autograd.grad(squares.sum(), x)
    return denoised.detach(), squares.detach(), gradient


def _frozen(likelihood, denoised):
    """|r|^2 (B,) and its gradient with respect to D (B, d)."""
    _, squares, gradient = through_denoiser(likelihood, lambda guess, _: guess, denoised, None)
    return squares, gradient


def _quotient(a, b):
    """a / b, and zero where b is zero: an exact fit has no direction."""
    return torch.where(b == 0, 0, a / b)


def _known(denoised) -> Denoiser:
    """A denoiser that answers with what is already known, so that a reverse step costs no second call."""
    return lambda x, sigma: denoised


def _moved(likelihood, x, reverse: SamplerState, squares, move) -> GuidedState:
    fine = torch.isfinite(squares) & torch.isfinite(move).all(1)
    moved = torch.where(fine[:, None], reverse.x - move, x)
    return GuidedState(moved, reverse.sigma, reverse.denoised, squares / (2 * likelihood.noise_std**2))
