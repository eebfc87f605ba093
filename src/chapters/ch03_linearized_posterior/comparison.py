"""Chapter 3, first half: the paper's stylized problems, and the error of linearization against the exact posterior.

No defaults: sizes come from notebooks/profiles.yml.
"""

from dataclasses import dataclass

import numpy as np
import torch

from memprior._random import float64_on, normal
from memprior.likelihood import GaussianLikelihood
from memprior.mixture import GaussianMixture, IsotropicMixture, total_variation
from memprior.operators import MatrixOperator
from memprior.paper import PUBLISHED_NOISE, Problem, square_grid
from memprior.posterior import (
    ImportanceCorrection,
    QuadraturePosterior,
    collapsed_log_weights,
    importance_correction,
    linearized_posterior,
    quadrature_posterior,
)


def grid_for(problem: Problem, num: int) -> tuple[torch.Tensor, float]:
    """The quadrature grid of a problem: 6 each way in one dimension, 4.5 in two. The posterior vanishes at its edge."""
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
    """The linearized posterior at one sigma beside a quadrature with ``num_grid`` points per axis."""
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
    """The linearized posterior corrected by importance sampling, and total variation of its weights to the exact."""
    draws = comparison.linearized.sample(num_draws, generator=generator)
    correction = importance_correction(
        problem.prior(comparison.sigma), problem.likelihood, comparison.linearized, draws
    )
    return correction, float(total_variation(correction.weights, comparison.exact.weights))


def affine_gap(*, num_examples: int, model_size: int, data_size: int, generator: torch.Generator, device=None) -> float:
    """Error of the linearized posterior of a random affine problem, which should be rounding.

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
    ours = (mixture.weights, mixture.means, mixture.covariances)
    known = (weights / weights.sum(), x + residuals @ gain.T, sigma**2 * (np.eye(model_size) - gain @ a))
    return max(float(np.abs(mine.cpu().numpy() - theirs).max()) for mine, theirs in zip(ours, known, strict=True))


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
