"""Guided steps that take p(y | x_sigma) for a Gaussian: a reverse step with a guided denoiser.

With D = D(x, sigma), F linearized there (Jacobian J), r = y - F(D) its residual and V for the covariance of x_0 given
x_sigma,

    p(y | x_sigma) ~ N(y; F(D), S),   S = gamma^2 I + J V J^T
    D_y = D + sigma^2 (dD/dx)^T J^T S^-1 r

is the denoiser of the posterior by Tweedie's formula, V and J held still in the gradient. The samplers differ in V.
`base` then takes a reverse step with D_y for a denoiser; nothing else is drawn, and ``generator`` may be None where it
draws nothing. All are matrix-free but
`covariance_step`: products with J^T and dD/dx^T by reverse mode, with J by forward mode, S^-1 by conjugate gradients.

In the state, ``denoised`` is D_y and ``misfit`` that of D. A sample whose data are not finite stays where it is.
"""

import torch
from torch.autograd import forward_ad

from memprior._check import (
    expect,
    expect_finite,
    expect_like,
    expect_points,
    expect_tensor,
    expect_whole,
    positive_number,
)
from memprior.denoiser import GaussianDenoiser, denoised_traced
from memprior.guidance.gradients import GuidedState, GuidedStep, through_denoiser
from memprior.likelihood import GaussianLikelihood
from memprior.sampling import Step, ancestral_step


def point_step(likelihood: GaussianLikelihood, *, base: Step = ancestral_step) -> GuidedStep:
    """V = 0: x_0 is taken to be D. DPS's approximation (Chung et al. 2023) with the likelihood's own weight.

    Nothing is tuned; where gamma is small against the spread of F(x_0) the move is too long, and may be unstable.
    One solve and one gradient of F, one gradient of D.

    Args:
        likelihood: of the data.
        base: the reverse step.

    Returns:
        A step whose states carry the misfit.

    Example:
        >>> import torch
        >>> from memprior.denoiser import GaussianDenoiser
        >>> from memprior.guidance import point_step
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.operators import MatrixOperator
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.ones(1), noise_std=1.0)
        >>> step, levels = point_step(likelihood), (torch.tensor(1.0), torch.tensor(0.0))
        >>> prior = GaussianDenoiser(torch.zeros(1), torch.eye(1))
        >>> step(prior, torch.zeros(1, 1), *levels, generator=torch.Generator()).x
        tensor([[0.5000]])
    """

    def guided(denoiser, x, sigma):
        denoised, squares, gradient = through_denoiser(likelihood, denoiser, x, sigma)
        return denoised, squares, -(sigma**2) * gradient / (2 * likelihood.noise_std**2)

    return _guided_step(likelihood, base, guided)


def pigdm_step(
    likelihood: GaussianLikelihood, *, num_iterations: int, spread: float = 1.0, base: Step = ancestral_step
) -> GuidedStep:
    """V = r^2 I, r^2 = spread^2 sigma^2 / (spread^2 + sigma^2) (PiGDM; Song et al. 2023), with measured noise.

    Exact for affine F under the prior N(., spread^2 I).

    Args:
        likelihood: of the data.
        num_iterations: of conjugate gradients, each a product with J and one with J^T; m of them are exact but for
            rounding.
        spread: of the prior, in its coordinates, > 0.
        base: the reverse step.

    Returns:
        A step whose states carry the misfit.

    Raises:
        ValueError: num_iterations < 1, or spread not > 0.

    Example:
        >>> import torch
        >>> from memprior.denoiser import GaussianDenoiser
        >>> from memprior.guidance import pigdm_step
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.operators import MatrixOperator
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.ones(1), noise_std=1.0)
        >>> step, levels = pigdm_step(likelihood, num_iterations=1), (torch.tensor(1.0), torch.tensor(0.0))
        >>> prior = GaussianDenoiser(torch.zeros(1), torch.eye(1))
        >>> step(prior, torch.zeros(1, 1), *levels, generator=torch.Generator()).x  # E[x_0 | x = 0, y = 1]
        tensor([[0.3333]])
    """
    expect_whole("num_iterations", num_iterations, 1)
    spread = positive_number("spread", spread)

    def guided(denoiser, x, sigma):
        local = _Linearized(likelihood, denoiser, x, sigma)
        variance = spread**2 * sigma**2 / (spread**2 + sigma**2)
        solved = local.solve(lambda v: variance * v, num_iterations)
        return local.denoised, local.squares, sigma**2 * local.pull_denoiser(local.pull(solved))

    return _guided_step(likelihood, base, guided)


def mmps_step(likelihood: GaussianLikelihood, *, num_iterations: int, base: Step = ancestral_step) -> GuidedStep:
    """V = sigma^2 dD/dx, the covariance of x_0 given x_sigma by Tweedie's formula (MMPS; Rozet et al. 2024).

    Exact for affine F under a Gaussian prior. The derivative of a network is not quite symmetric, and S then neither:
    the iterations of a sample end where S has no positive curvature.

    Args:
        likelihood: of the data.
        num_iterations: of conjugate gradients, each a product with J, with J^T and with dD/dx; m of them are exact but
            for rounding.
        base: the reverse step.

    Returns:
        A step whose states carry the misfit.

    Raises:
        ValueError: num_iterations < 1.

    Example:
        >>> import torch
        >>> from memprior.denoiser import GaussianDenoiser
        >>> from memprior.guidance import mmps_step
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.operators import MatrixOperator
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.ones(1), noise_std=1.0)
        >>> step, levels = mmps_step(likelihood, num_iterations=1), (torch.tensor(1.0), torch.tensor(0.0))
        >>> prior = GaussianDenoiser(torch.zeros(1), torch.eye(1))
        >>> step(prior, torch.zeros(1, 1), *levels, generator=torch.Generator()).x  # E[x_0 | x = 0, y = 1]
        tensor([[0.3333]])
    """
    expect_whole("num_iterations", num_iterations, 1)

    def guided(denoiser, x, sigma):
        local = _Linearized(likelihood, denoiser, x, sigma)
        solved = local.solve(lambda v: sigma**2 * local.pull_denoiser(v), num_iterations)
        return local.denoised, local.squares, sigma**2 * local.pull_denoiser(local.pull(solved))

    return _guided_step(likelihood, base, guided)


def covariance_step(
    likelihood: GaussianLikelihood, covariance: torch.Tensor, jacobian: torch.Tensor, *, base: Step = ancestral_step
) -> GuidedStep:
    r"""V = sigma^2 C (C + sigma^2 I)^-1 for one covariance C of the prior and one Jacobian J.

    D_y = D + V J^T S^-1 r: no derivative of the denoiser nor of F (after Boys et al. 2023 and Rozet et al. 2024). Exact
    for affine F under the prior N(., C), which may be singular. One solve of F.

    With P = (C^-1 + J^T J / gamma^2)^-1, the posterior's covariance,

    .. math:: V J^T S^{-1} = (P^{-1} + I / \sigma^2)^{-1} J^T / \gamma^2

    so P is factorized once, here, and a step is products with m-by-d and d-by-d matrices.

    Args:
        likelihood: of the data.
        covariance: C, (d, d), symmetric positive semidefinite.
        jacobian: J, (m, d), finite.
        base: the reverse step.

    Returns:
        A step whose states carry the misfit.

    Raises:
        ValueError: unless C is symmetric positive semidefinite, and J finite, of its size and of the data's.
        TypeError: a matrix that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.denoiser import GaussianDenoiser
        >>> from memprior.guidance import covariance_step
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.operators import MatrixOperator
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.ones(1), noise_std=1.0)
        >>> step = covariance_step(likelihood, torch.eye(1), torch.eye(1))
        >>> levels = torch.tensor(1.0), torch.tensor(0.0)
        >>> prior = GaussianDenoiser(torch.zeros(1), torch.eye(1))
        >>> step(prior, torch.zeros(1, 1), *levels, generator=torch.Generator()).x  # E[x_0 | x = 0, y = 1]
        tensor([[0.3333]])
    """
    expect_tensor("covariance", covariance, "(d, d)")
    GaussianDenoiser(covariance.new_zeros(len(covariance)), covariance)  # asks the same of a covariance
    expect_points("jacobian", jacobian, size=len(covariance), like=covariance)
    data = likelihood.observed
    expect_like("jacobian", jacobian, data)
    expect(len(jacobian) == len(data), "jacobian", f"{len(data)} rows, as observed has", tuple(jacobian.shape))
    expect_finite("jacobian", jacobian)
    axes, variances = _posterior_axes(covariance.double(), jacobian.double() / likelihood.noise_std)
    pull = (jacobian.double() @ axes / likelihood.noise_std**2).to(data)
    axes, variances = axes.to(data), variances.to(data)

    @torch.no_grad()
    def guided(denoiser, x, sigma):
        denoised = denoiser(x, sigma)
        residual = likelihood.residual(denoised)
        shrink = variances * sigma**2 / (variances + sigma**2)
        return denoised, residual.square().sum(1), (residual @ pull * shrink) @ axes.T

    return _guided_step(likelihood, base, guided)


def _posterior_axes(covariance, whitened) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvectors (d, d), in columns, and eigenvalues (d,) of (C^-1 + Z^T Z)^-1, Z = ``whitened`` (m, d).

    By singular values of factors: neither C is inverted nor Z squared, so small eigenvalues keep their digits.
    """
    if len(whitened) > whitened.shape[1]:
        whitened = torch.linalg.qr(whitened, mode="r").R
    variances, axes = torch.linalg.eigh(covariance)
    root = axes * variances.clamp(min=0).sqrt()
    _, known, turn = torch.linalg.svd(whitened @ root)  # turn is (d, d) also where m < d
    damp = root.new_ones(len(root))
    damp[: len(known)] = 1 / torch.sqrt(1 + known**2)
    axes, deviations, _ = torch.linalg.svd(root @ turn.T * damp)
    return axes, deviations**2


def _guided_step(likelihood, base, guided) -> GuidedStep:
    """``guided``(denoiser, x, sigma) -> D (B, d), |r|^2 (B,) and D_y - D (B, d)."""

    def step(denoiser, x, sigma, sigma_next, *, generator):
        met = []

        def posterior_denoiser(x, sigma):
            denoised, squares, move = guided(denoiser, x, sigma)
            good = torch.isfinite(squares) & torch.isfinite(move).all(1)
            met.append((squares, good))
            return torch.where(good[:, None], denoised + move, denoised)

        reverse = base(posterior_denoiser, x, sigma, sigma_next, generator=generator)
        good = torch.stack([good for _, good in met]).all(0)  # a second-order base asks twice
        x = torch.where(good[:, None], reverse.x, x)
        return GuidedState(x, reverse.sigma, reverse.denoised, met[0][0] / (2 * likelihood.noise_std**2))

    return step


class _Linearized:
    """D and F(D) at x (B, d), and products with their derivatives: each member of the batch on its own."""

    def __init__(self, likelihood, denoiser, x, sigma):
        self._likelihood = likelihood
        with torch.enable_grad():
            self._x = x.detach().requires_grad_()
            self._denoised = denoised_traced(denoiser, self._x, sigma)
            self._guess = self._denoised.detach().requires_grad_()
            self._residual = likelihood.residual(self._guess)
        self.denoised, self.residual = self._denoised.detach(), self._residual.detach()
        self.squares = self.residual.square().sum(1)

    def pull(self, data):
        """J^T data, (B, m) -> (B, d)."""
        return -torch.autograd.grad(self._residual, self._guess, data, retain_graph=True)[0]

    def pull_denoiser(self, v):
        """(dD/dx)^T v, (B, d) -> (B, d)."""
        return torch.autograd.grad(self._denoised, self._x, v, retain_graph=True)[0]

    def push(self, v):
        """J v, (B, d) -> (B, m)."""
        with torch.enable_grad(), forward_ad.dual_level():  # without grad a wave operator does not keep its solve
            data = self._likelihood.predicted(forward_ad.make_dual(self.denoised, v))
            tangent = forward_ad.unpack_dual(data).tangent
        return torch.zeros_like(data) if tangent is None else tangent.detach()

    def solve(self, spread, num_iterations: int):
        """(gamma^2 I + J V J^T)^-1 r by conjugate gradients, V v = ``spread(v)``: (B, m)."""
        noise = self._likelihood.noise_std**2
        return _conjugate_gradients(
            lambda w: noise * w + self.push(spread(self.pull(w))), self.residual, num_iterations
        )


def _conjugate_gradients(apply, target, num_iterations: int):
    """apply^-1 target, (B, m), from zero: each row takes its own steps, and one that is done stays."""
    solution, left, direction = torch.zeros_like(target), target, target
    size = target.square().sum(1, keepdim=True)
    least = torch.finfo(target.dtype).eps ** 2 * size
    going = size > least  # not where NaN
    for _ in range(num_iterations):
        if not going.any():
            break
        applied = apply(direction)
        curvature = (direction * applied).sum(1, keepdim=True)
        going = going & (curvature > 0)
        length = torch.where(going, size / curvature, 0)
        solution, left = solution + length * direction, left - length * applied
        size, before = left.square().sum(1, keepdim=True), size
        direction = torch.where(going, left + size / before * direction, direction)
        going = going & (size > least)
    return solution
