"""Chapter 3, first half: the paper's stylized problems, and how far linearization is from the exact posterior.

Frozen dataclasses and short functions, no defaults: sizes come from notebooks/profiles.yml.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from memprior._check import expect_whole
from memprior._random import float64_on, normal
from memprior.likelihood import GaussianLikelihood
from memprior.mixture import GaussianMixture, IsotropicMixture, total_variation
from memprior.operators import CoupledQuadraticOperator, CubicOperator, ForwardOperator, MatrixOperator
from memprior.posterior import (
    ImportanceCorrection,
    QuadraturePosterior,
    collapsed_log_weights,
    importance_correction,
    linearized_posterior,
    quadrature_posterior,
)

PUBLISHED_SIGMAS = (0.5, 0.3, 0.05)
PUBLISHED_NOISE = 0.3


@dataclass(frozen=True, eq=False)
class Problem:
    """One inverse problem with a memorized prior.

    train_set: (K, d). observed: (m,). noise_std: of each real component.
    """

    forward: ForwardOperator
    train_set: torch.Tensor
    observed: torch.Tensor
    noise_std: float

    @property
    def likelihood(self) -> GaussianLikelihood:
        return GaussianLikelihood(self.forward, self.observed, self.noise_std)

    def prior(self, sigma: float) -> IsotropicMixture:
        return IsotropicMixture(self.train_set, sigma)


def line_problem(device: torch.device) -> Problem:
    """The paper's 1-D problem (Fig. 1 a-c): F(x) = x + 0.3 x^3, five examples, y = 0."""
    examples = torch.tensor([-1.5, -0.4, 0.4, 1.2, 2.5], dtype=torch.float64, device=device)
    return Problem(CubicOperator(), examples[:, None], examples.new_zeros(1), PUBLISHED_NOISE)


def pentagon_problem(device: torch.device) -> tuple[Problem, torch.Tensor]:
    """The paper's 2-D problem (Fig.

    1 d-f) and its truth (2,): a regular pentagon of radius 2, truth 0.7 x_0, noise-free data.
    """
    angles = 2 * math.pi / 5 * torch.arange(5, dtype=torch.float64, device=device)
    examples = 2 * torch.stack([angles.cos(), angles.sin()], dim=1)
    truth = 0.7 * examples[0]
    forward = CoupledQuadraticOperator()
    return Problem(forward, examples, forward(truth[None])[0], PUBLISHED_NOISE), truth


def square_grid(low: float, high: float, num: int, dim: int, device: torch.device) -> tuple[torch.Tensor, float]:
    """num^dim points of a uniform grid on [low, high]^dim, (P, dim), and the volume each stands for."""
    expect_whole("num", num, 2)
    axis = torch.linspace(low, high, num, dtype=torch.float64, device=device)
    points = torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)
    return points, ((high - low) / (num - 1)) ** dim


def grid_for(problem: Problem, num: int) -> tuple[torch.Tensor, float]:
    """The quadrature grid of a problem: 6 each way in one dimension, 4.5 in two. The posterior vanishes at its rim."""
    dim = problem.train_set.shape[1]
    reach = {1: 6.0, 2: 4.5}[dim]
    return square_grid(-reach, reach, num, dim, problem.train_set.device)


@dataclass(frozen=True, eq=False)
class Comparison:
    """The posterior of p_sigma by quadrature, linearized, and linearized without the log-determinant (as released).

    distance, distance_released: total variation of their weights to the exact ones. density_distance: of the
    linearized density to the exact one.
    """

    sigma: float
    exact: QuadraturePosterior
    linearized: GaussianMixture
    released: GaussianMixture
    distance: float
    distance_released: float
    density_distance: float


def compare(problem: Problem, sigma: float, *, num_grid: int) -> Comparison:
    """The linearized posterior at one sigma beside a quadrature with ``num_grid`` points a side."""
    prior, likelihood = problem.prior(sigma), problem.likelihood
    points, cell = grid_for(problem, num_grid)
    exact = quadrature_posterior(prior, likelihood, points, cell)
    linearized = linearized_posterior(prior, likelihood)
    released = linearized_posterior(prior, likelihood, determinant=False)
    distances = (total_variation(mixture.weights, exact.weights) for mixture in (linearized, released))
    apart = density_distance(exact.log_density, linearized.log_prob(points), cell)
    return Comparison(sigma, exact, linearized, released, *map(float, distances), float(apart))


def correct(
    problem: Problem, comparison: Comparison, *, num_draws: int, generator: torch.Generator
) -> tuple[ImportanceCorrection, float]:
    """The linearized posterior repaired by its own draws, and how far its weights then are from the exact ones."""
    draws = comparison.linearized.sample(num_draws, generator=generator)
    correction = importance_correction(
        problem.prior(comparison.sigma), problem.likelihood, comparison.linearized, draws
    )
    return correction, float(total_variation(correction.weights, comparison.exact.weights))


def affine_gap(*, num_examples: int, model_size: int, data_size: int, generator: torch.Generator, device=None) -> float:
    """How far the linearized posterior of a random affine problem is from the exact one.

    The largest difference over weights, means and covariances to the joint Gaussian of (x, y), conditioned in data
    space by numpy.
    """
    draw = {"like": float64_on(device, generator), "generator": generator}
    examples, matrix = normal(num_examples, model_size, **draw), normal(data_size, model_size, **draw)
    problem = Problem(MatrixOperator(matrix), examples, normal(data_size, **draw), PUBLISHED_NOISE)
    sigma = 0.5
    mixture = linearized_posterior(problem.prior(sigma), problem.likelihood)
    x, a, y = (tensor.cpu().numpy() for tensor in (examples, matrix, problem.observed))
    marginal = sigma**2 * a @ a.T + PUBLISHED_NOISE**2 * np.eye(data_size)
    gain = sigma**2 * np.linalg.solve(marginal, a).T
    residuals = y - x @ a.T
    log_weights = -0.5 * (residuals * np.linalg.solve(marginal, residuals.T).T).sum(1)
    weights = np.exp(log_weights - log_weights.max())
    found = (mixture.weights, mixture.means, mixture.covariances)
    known = (weights / weights.sum(), x + residuals @ gain.T, sigma**2 * (np.eye(model_size) - gain @ a))
    return max(float(np.abs(mine.cpu().numpy() - theirs).max()) for mine, theirs in zip(found, known, strict=True))


def density_distance(log_p: torch.Tensor, log_q: torch.Tensor, cell: float) -> torch.Tensor:
    """Total variation of two densities given on the same grid, (..., P) -> (...)."""
    return total_variation(cell * log_p.exp(), cell * log_q.exp())


def two_sigmas(problem: Problem, sigma: float, *, num_grid: int) -> tuple[QuadraturePosterior, torch.Tensor]:
    """(i) The posterior of the smoothed prior, and (ii) the log density of the noised lookup, on the same grid."""
    points, cell = grid_for(problem, num_grid)
    smoothed = quadrature_posterior(problem.prior(sigma), problem.likelihood, points, cell)
    weights = collapsed_log_weights(problem.train_set, problem.likelihood)
    return smoothed, IsotropicMixture(problem.train_set, sigma, weights).log_prob(points)


def breakdown(problem: Problem, sigmas, observations, *, num_grid: int) -> torch.Tensor:
    """Total variation between exact and linearized densities, (len(observations), len(sigmas)), for a 1-D problem."""
    points, cell = grid_for(problem, num_grid)
    rows = []
    for observed in map(float, observations):
        likelihood = GaussianLikelihood(problem.forward, problem.observed.new_tensor([observed]), problem.noise_std)
        for sigma in map(float, sigmas):
            exact = quadrature_posterior(problem.prior(sigma), likelihood, points, cell)
            approximate = linearized_posterior(problem.prior(sigma), likelihood).log_prob(points)
            rows.append(density_distance(exact.log_density, approximate, cell))
    return torch.stack(rows).reshape(len(observations), len(sigmas))
