"""Guided steps along a gradient of the misfit: a reverse step, and then a move towards the data.

With D = D(x, sigma) the denoised guess and r = y - F(D) its residual, a guided step is a reverse step, and then::

    x_next <- x_next - (length) * (gradient of |r|^2, of |r|, or its direction alone)

The gradient is taken through the denoiser (DPS; Chung et al. 2023, Alg. 1), or with its score frozen: dD/dx = I, and
it is the gradient with respect to D. None of them targets the posterior: compare with `posterior`, never imported here.
Lengths are those of the variance-preserving iterate sqrt(abar) x, in which the samplers were published: in our
x = x_0 + sigma eps, where 1 / abar = 1 + sigma^2, they are longer by sqrt(1 + sigma_next^2). Nothing is drawn but by
the reverse step, `base`: with one that draws nothing, a guided step takes ``generator=None``.

A sample whose data are not finite (a non-physical model; see `waves.FreezeInvalid`) stays where it is.
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

    misfit: ``|y - F(D)|^2 / (2 gamma^2)``, (B,), of the guess whose gradient was used: a plot of it costs no solve.
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
    """DPS as published (Chung et al. 2023, Alg. 1): the gradient goes through the denoiser.

    Args:
        likelihood: of the data; r = y - F(D) is its residual.
        scale: > 0, the length of the move, in the variance-preserving iterate as published.
        norm: "squared", ``x_next <- x_next - scale d|r|^2/dx``, or "norm", ``- scale d|r|/dx``, the paper's step
            ``zeta' / |r|``.
        base: the reverse step.

    Returns:
        A step whose states carry the misfit.

    Raises:
        ValueError: scale not > 0, or another norm.

    Example:
        >>> import torch
        >>> from memprior.denoiser import GaussianDenoiser
        >>> from memprior.guidance import dps_step
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.noise import karras_sigmas
        >>> from memprior.operators import MatrixOperator
        >>> from memprior.sampling import sample
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.ones(1), noise_std=0.1)
        >>> generator, sigmas = torch.Generator().manual_seed(0), karras_sigmas(20, 0.01, 10.0)
        >>> prior, x_init = GaussianDenoiser(torch.zeros(1), torch.eye(1)), 10 * torch.randn(8, 1, generator=generator)
        >>> step = dps_step(likelihood, scale=0.5, norm="squared")
        >>> sample(prior, x_init, sigmas, step=step, generator=generator).shape
        torch.Size([8, 1])
    """
    return _gradient_step(likelihood, scale, norm, base, through=True)


def frozen_step(likelihood: GaussianLikelihood, *, scale: float, norm: str, base: Step = ancestral_step) -> GuidedStep:
    """DPS without the denoiser's Jacobian, which is expensive where a network has many parameters.

    Arguments as those of :func:`dps_step`.

    Example:
        >>> import torch
        >>> from memprior.denoiser import EmpiricalDenoiser
        >>> from memprior.guidance import frozen_step
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.operators import MatrixOperator
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.ones(1), noise_std=1.0)
        >>> step, levels = frozen_step(likelihood, scale=0.25, norm="squared"), (torch.tensor(1.0), torch.tensor(0.0))
        >>> state = step(EmpiricalDenoiser(torch.zeros(1, 1)), torch.zeros(1, 1), *levels, generator=torch.Generator())
        >>> state.x, state.misfit  # from D = 0 by 2^(1/2) / 4 of 2, the gradient of -(1 - D)^2
        (tensor([[0.7071]]), tensor([0.5000]))
    """
    return _gradient_step(likelihood, scale, norm, base, through=False)


def released_step(
    likelihood: GaussianLikelihood, step_size: float, *, base: Step = euler_step, lagged: bool = True
) -> GuidedStep:
    """The sampler of the released code: frozen score, and a step of fixed length along the gradient's direction.

    ``x_next <- x_next - step_size sqrt(1 + sigma_next^2) g / |g|``. The noise level of the data cancels from ``g /
    |g|``.

    Args:
        likelihood: of the data.
        step_size: > 0, in the variance-preserving iterate; the paper's is 0.07.
        base: the reverse step.
        lagged: as released, g is that of a second guess, made from x_next but by the denoiser at the level before,
            after every reverse step, the last one too; otherwise g is that of the reverse step's own guess.

    Returns:
        A step whose states carry the misfit.

    Raises:
        ValueError: step_size not > 0.

    Example:
        >>> import torch
        >>> from memprior.denoiser import EmpiricalDenoiser
        >>> from memprior.guidance import released_step
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.operators import MatrixOperator
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.ones(1), noise_std=1.0)
        >>> step, levels = released_step(likelihood, 0.07), (torch.tensor(1.0), torch.tensor(0.0))
        >>> step(EmpiricalDenoiser(torch.zeros(1, 1)), torch.zeros(1, 1), *levels, generator=torch.Generator()).x
        tensor([[0.0700]])
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
    """D(x, sigma) (B, d), ``|r|^2`` (B,) and its gradient with respect to x (B, d), for the other modules here."""
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
