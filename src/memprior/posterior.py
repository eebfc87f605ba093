"""What is KNOWN about the posterior: exactly, by linearization, by quadrature, and as sigma -> 0.

Symbols: x_n training examples, sigma the prior's smoothing, gamma = ``noise_std``, J_n Jacobian of F at x_n,
C_n = sigma^2 J_n J_n^T + gamma^2 I the covariance of the data predicted from component n.

Two different posteriors share the letter sigma. (i) The prior is p_sigma, the empirical distribution smoothed at sigma:
its posterior has moved means, and evidences that weigh whole neighborhoods (``linearized_posterior``,
``quadrature_posterior``). (ii) The posterior of the EMPIRICAL distribution is a lookup. Noised to level sigma, its
means stay on the examples and its weights are the likelihoods there (``collapsed_log_weights``,
``MemorizedPosteriorDenoiser``). A memorized diffusion sampler that is exact follows (ii).
"""

import math
import warnings
from dataclasses import dataclass

import torch

from memprior._check import (
    expect,
    expect_finite,
    expect_points,
    expect_tensor,
    expect_train_set,
    expect_whole,
    positive_number,
)
from memprior.denoiser import EmpiricalDenoiser
from memprior.likelihood import ROUNDINGS, GaussianLikelihood
from memprior.mixture import BLOCK, GaussianMixture, IsotropicMixture
from memprior.operators import jacobian


def log_posterior(prior, likelihood: GaussianLikelihood, x: torch.Tensor) -> torch.Tensor:
    """The posterior density, but for its evidence: log p(x) + log p(y | x).

    Args:
        prior: brings ``log_prob``.
        likelihood: of the data y.
        x: (B, d).

    Returns:
        (B,), in nats.

    Example:
        >>> import torch
        >>> from memprior.mixture import IsotropicMixture
        >>> from memprior.paper import line_problem
        >>> from memprior.posterior import log_posterior
        >>> problem = line_problem(torch.device("cpu"))
        >>> x = torch.zeros(3, 1, dtype=torch.float64)
        >>> log_posterior(problem.prior(0.3), problem.likelihood, x).shape
        torch.Size([3])
    """
    return prior.log_prob(x) + likelihood.log_prob(x)


def collapsed_log_weights(train_set: torch.Tensor, likelihood: GaussianLikelihood) -> torch.Tensor:
    r"""Lookup weights of the examples, proportional to p(y | x_n), as normalized logarithms.

    .. math:: p(x \mid y) = \sum_n w_n \delta(x - x_n), \qquad w_n \propto p(y \mid x_n)

    is the posterior of the empirical distribution, exactly, for any F and any noise (paper, Eq. 9). K forward solves.

    Args:
        train_set: x_n, (K, ...), finite.
        likelihood: of the data y.

    Returns:
        (K,), log w_n.

    Raises:
        ValueError: an empty or non-finite training set, or no example of finite log-likelihood.
        TypeError: a training set that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.operators import MatrixOperator
        >>> from memprior.posterior import collapsed_log_weights
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.zeros(1), noise_std=1.0)
        >>> collapsed_log_weights(torch.tensor([[-1.0], [1.0], [9.0]]), likelihood).exp()
        tensor([5.0000e-01, 5.0000e-01, 2.1242e-18])
    """
    expect_tensor("train_set", train_set, "(K, ...)")
    expect(len(train_set) > 0, "train_set", "at least one example", tuple(train_set.shape))
    expect_finite("train_set", train_set)
    with torch.no_grad():
        log_likelihoods = likelihood.log_prob(train_set)
    largest = float(log_likelihoods.max())
    expect(math.isfinite(largest), "train_set", "an example of finite log-likelihood", f"{largest} as the largest")
    return log_likelihoods.log_softmax(0)


class MemorizedPosteriorDenoiser(EmpiricalDenoiser):
    """E[x_0 | x_sigma, y] when the prior is the empirical distribution of ``train_set``.

    Exact at every sigma, for any F, without a gradient of F. The posterior is the lookup sum_n w_n delta(x - x_n), so
    this is its empirical denoiser. It implements the denoiser interface: every sampler of this book can be run against
    the exact answer by changing one word. The finite-sample lens is Burns and Fridovich-Keil (2026)'s.

    Args:
        train_set: (K, d).
        likelihood: of the data y; K forward solves when this is made, none later.

    Raises:
        ValueError: what :func:`collapsed_log_weights` raises.

    Example:
        >>> import torch
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.operators import MatrixOperator
        >>> from memprior.posterior import MemorizedPosteriorDenoiser
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.ones(1), noise_std=0.1)
        >>> denoiser = MemorizedPosteriorDenoiser(torch.tensor([[-1.0], [1.0]]), likelihood)
        >>> denoiser(torch.tensor([[-0.9]]), 1.0)  # near the other example, but the data say 1
        tensor([[1.]])
    """

    def __init__(self, train_set: torch.Tensor, likelihood: GaussianLikelihood):
        expect_train_set("train_set", train_set)
        super().__init__(train_set, collapsed_log_weights(train_set, likelihood))


def linearized_posterior(
    prior: IsotropicMixture,
    likelihood: GaussianLikelihood,
    *,
    determinant: bool = True,
    chunk_size: int | None = None,
) -> GaussianMixture:
    r"""The posterior of p_sigma with F replaced, around each example, by its tangent there (paper, Eq. 7).

    .. math::
        \Sigma_n &= (I / \sigma^2 + J_n^T J_n / \gamma^2)^{-1} \\
        \mu_n &= x_n + \Sigma_n J_n^T (y - F(x_n)) / \gamma^2 \\
        w_n &\propto \text{(prior weight)} \; N(y; F(x_n), C_n)

    Exact for affine F. K solves and K Jacobians. No matrix is squared and none is (m, m): with Z_n = sigma J_n / gamma
    and delta_n = (mu_n - x_n) / sigma, one QR factorization of ((Z_n, (y - F_n) / gamma), (I, 0)), in float64, gives
    Sigma_n = sigma^2 (I + Z_n^T Z_n)^-1 by its factor, delta_n, and (y - F_n)^T C_n^-1 (y - F_n) as the square that
    least squares leave; det C_n = gamma^2m det(I + Z_n^T Z_n). Good to about ``eps |Z_n|``, where a squared Z_n would
    lose ``eps |Z_n|^2``. Warns where the dtype of the data cannot carry the narrowest deviations, ``gamma / |J_n|``.

    Args:
        prior: p_sigma, K components in d dimensions.
        likelihood: of the data y, with its forward operator F.
        determinant: False drops -1/2 log det C_n from the weights, as the released code does; nothing else in this book
            does.
        chunk_size: number of Jacobians (m, d) that are held at a time; all K by default.

    Returns:
        The mixture of the N(mu_n, Sigma_n).

    Raises:
        ValueError: a chunk_size below 1.

    Example:
        >>> import torch
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.mixture import IsotropicMixture
        >>> from memprior.operators import MatrixOperator
        >>> from memprior.posterior import linearized_posterior
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.tensor([2.0]), noise_std=1.0)
        >>> posterior = linearized_posterior(IsotropicMixture(torch.zeros(1, 1), sigma=1.0), likelihood)
        >>> posterior.means, posterior.covariances
        (tensor([[1.]]), tensor([[[0.5000]]]))
    """
    if chunk_size is not None:
        expect_whole("chunk_size", chunk_size, 1)
    chunks = prior.means.split(chunk_size or len(prior.means))
    parts = [_tangents(x, prior.sigma, likelihood, determinant) for x in chunks]
    means, factors, evidences = (torch.cat(part) for part in zip(*parts, strict=True))
    return GaussianMixture.from_factors(means, factors, prior.log_weights + evidences)


def _tangents(x, sigma, likelihood, determinant):
    """mu_n (K, d), factors of Sigma_n (K, d, d), log evidences (K,) but for what all share, of some x (K, d)."""
    gamma = likelihood.noise_std
    residual = likelihood.residual(x).detach()
    jacobians = jacobian(likelihood.forward, x).detach()
    steepest = float(jacobians.norm(dim=1).max())
    least = ROUNDINGS * torch.finfo(jacobians.dtype).eps * sigma * steepest
    if gamma < least:
        warnings.warn(
            f"noise_std: expected at least {least:.3g} for a prior of deviation {sigma:.3g} and a Jacobian of columns "
            f"up to {steepest:.3g} in {jacobians.dtype}, got {gamma:.3g}: the narrowest deviations are rounding",
            stacklevel=3,
        )
    size = max(1, BLOCK // (jacobians[0].numel() + x.shape[1] ** 2))
    blocks = zip(jacobians.split(size), residual.split(size), strict=True)
    parts = [_conditioned(*block, sigma, gamma) for block in blocks]
    factors, shifts, evidences = map(torch.cat, zip(*parts, strict=True))
    if determinant:  # 1/2 log det C_n, but for what all components share
        evidences = evidences + factors.diagonal(dim1=1, dim2=2).log().sum(1)
    return x + shifts.to(x), factors.to(x), evidences.to(x)


def _conditioned(jacobians, residual, sigma: float, gamma: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cholesky factors (K, d, d) of the covariances, shifts (K, d) of the means, -1/2 r^T C^-1 r (K,), in float64."""
    # The axes are turned round: what solves upper triangles then is a lower triangle, as a factor has to be.
    size = jacobians.shape[2]
    eye = torch.eye(size + 1, dtype=torch.float64, device=jacobians.device)
    known = torch.cat([sigma * jacobians.double().flip(2), residual.double()[..., None]], 2) / gamma
    prior = eye[:size].expand(len(known), -1, -1)
    triangle = torch.linalg.qr(torch.cat([known, prior], 1), mode="r").R
    root, shifts, left = (
        triangle[:, :size, :size].flip(1, 2),
        triangle[:, :size, size:].flip(1),
        triangle[:, size, size],
    )
    factors = sigma * torch.linalg.solve_triangular(root, eye[:size, :size], upper=False)
    return factors * factors.diagonal(dim1=1, dim2=2).sign()[:, None], (factors @ shifts)[..., 0], -0.5 * left.square()


@dataclass(frozen=True, eq=False)
class QuadraturePosterior:
    """The posterior summed on a grid: the brute-force reference in one or two dimensions.

    points: (P, d). log_density: (P,), normalized on the grid. log_weights: (K,), normalized: the evidence each
    prior component brings. log_evidence: scalar, log p(y).
    """

    points: torch.Tensor
    log_density: torch.Tensor
    log_weights: torch.Tensor
    log_evidence: torch.Tensor

    @property
    def weights(self) -> torch.Tensor:
        """(K,), summing to one."""
        return self.log_weights.exp()


def quadrature_posterior(
    prior: IsotropicMixture, likelihood: GaussianLikelihood, points: torch.Tensor, cell: float
) -> QuadraturePosterior:
    """Sum p_sigma(x) p(y | x) over the points of a grid.

    On a uniform grid that covers the posterior the error falls faster than any power of the spacing, once that is below
    sigma and ``gamma / |F'|``.

    Args:
        prior: p_sigma, in d dimensions: one or two.
        likelihood: of the data y.
        points: (P, d).
        cell: the volume that each point stands for, > 0.

    Returns:
        The normalized posterior at the points, with the evidence.

    Raises:
        ValueError: points of another size, or cell not > 0.

    Example:
        >>> import torch
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.mixture import IsotropicMixture
        >>> from memprior.operators import MatrixOperator
        >>> from memprior.posterior import quadrature_posterior
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.zeros(1), noise_std=1.0)
        >>> points = torch.linspace(-8, 8, 161)[:, None]
        >>> prior = IsotropicMixture(torch.zeros(1, 1), sigma=1.0)
        >>> round(float(quadrature_posterior(prior, likelihood, points, cell=0.1).log_evidence.exp()), 4)  # N(0; 0, 2)
        0.2821
    """
    expect_points("points", points, size=prior.means.shape[1], like=prior.means)
    cell = positive_number("cell", cell)
    log_joint = log_posterior(prior, likelihood, points)
    log_evidence = log_joint.logsumexp(0) + math.log(cell)
    shares = prior.responsibilities(points) * log_joint.softmax(0)[:, None]
    return QuadraturePosterior(points, log_joint - log_evidence, shares.sum(0).log(), log_evidence)


@dataclass(frozen=True, eq=False)
class ImportanceCorrection:
    """What reweighted draws say of the posterior.

    log_weights: (K,), normalized: each prior component's corrected share. log_evidence: scalar, log p(y).
    efficiency: in (0, 1], the effective share of the draws, 1 where the proposal is the posterior.
    """

    log_weights: torch.Tensor
    log_evidence: torch.Tensor
    efficiency: float

    @property
    def weights(self) -> torch.Tensor:
        """(K,), summing to one."""
        return self.log_weights.exp()


def importance_correction(
    prior: IsotropicMixture, likelihood: GaussianLikelihood, proposal: GaussianMixture, draws: torch.Tensor
) -> ImportanceCorrection:
    """Repair a linearized posterior by reweighting its own draws with p_sigma(x) p(y | x) / proposal(x).

    Consistent as S grows wherever the proposal covers the posterior; ``efficiency`` says how hard that was.

    Args:
        prior: p_sigma.
        likelihood: of the data y.
        proposal: the linearized posterior.
        draws: (S, d), of the proposal.

    Returns:
        Corrected component weights, evidence and efficiency.

    Example:
        >>> import torch
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.mixture import IsotropicMixture
        >>> from memprior.operators import MatrixOperator
        >>> from memprior.posterior import importance_correction, linearized_posterior
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.tensor([2.0]), noise_std=1.0)
        >>> prior = IsotropicMixture(torch.zeros(1, 1), sigma=1.0)
        >>> proposal = linearized_posterior(prior, likelihood)  # exact for a matrix
        >>> draws = proposal.sample(100, generator=torch.Generator().manual_seed(0))
        >>> round(importance_correction(prior, likelihood, proposal, draws).efficiency, 3)
        1.0
    """
    log_ratio = log_posterior(prior, likelihood, draws) - proposal.log_prob(draws)
    importance = log_ratio.softmax(0)
    shares = importance @ prior.responsibilities(draws)
    log_evidence = log_ratio.logsumexp(0) - math.log(len(draws))
    return ImportanceCorrection(shares.log(), log_evidence, float(1 / (len(draws) * importance.square().sum())))
