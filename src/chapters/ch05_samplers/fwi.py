"""Chapter 5's samplers on chapter 4's inversion with an exactly memorized prior, F linearized or nonlinear.

Models are standardized by the training set. One example has nearly all of the posterior weight, so total variation is
one minus the share of samples that chose it.
"""

import torch
from scipy import stats

from chapters.ch05_samplers.problems import ProblemBatch
from memprior.likelihood import GaussianLikelihood, noisy
from memprior.operators import MatrixOperator
from memprior.paper import Inversion, Problem, TrainingSet, published_law, standardized


def linear_batch(
    linear: GaussianLikelihood, truth: torch.Tensor, training: TrainingSet, num: int, *, generator: torch.Generator
) -> ProblemBatch:
    """F linearized at the truth (``linear``: :func:`memprior.paper.tangent`): the authors' noise, ``num`` - 1 others.

    In standardized u, R z = (R S) u + R m with S, m the deviations and mean of the training set: again a matrix.
    """
    zero, scales = training.standardizer.restore(torch.stack([truth.new_zeros(len(truth)), truth.new_ones(len(truth))]))
    with torch.no_grad():
        shift, clean = linear.forward(torch.stack([zero, truth]))
    matrix = MatrixOperator(linear.forward.matrix * (scales - zero))
    draws = [linear.observed] + [noisy(clean, linear.noise_std, generator) for _ in range(num - 1)]
    return ProblemBatch([Problem(matrix, training.standardized, data - shift, linear.noise_std) for data in draws])


def nonlinear_batch(inversion: Inversion, training: TrainingSet) -> ProblemBatch:
    """The published data with the nonlinear F: one problem."""
    likelihood = standardized(inversion.likelihood, training.standardizer)
    return ProblemBatch([Problem(likelihood.forward, training.standardized, likelihood.observed, likelihood.noise_std)])


def true_covariance(training: TrainingSet) -> torch.Tensor:
    """Covariance of the true prior in standardized coordinates, (d, d)."""
    covariance = published_law().covariance.to(training.examples)
    scales = training.standardizer.restore(torch.ones_like(training.examples[:1])) - training.standardizer.restore(
        torch.zeros_like(training.examples[:1])
    )
    scaled = covariance / (scales * scales.T)
    return (scaled + scaled.T) / 2


def missed(num_examples: int, num_particles: int) -> float:
    """Total variation of likelihood weighting where one of N examples has all weight: the probability to miss it."""
    return (1 - 1 / num_examples) ** num_particles


def best_of_blind(num_examples: int, num_samples: int, num_samplers: int) -> tuple[float, float]:
    """The share of hits that the best of several samplers has if all choose blindly: its mean and 95 % quantile, exact.

    Each hits one of N examples in a binomial number of its samples, independently of the others.
    """
    below = stats.binom.cdf(range(num_samples + 1), num_samples, 1 / num_examples) ** num_samplers
    return float((1 - below).sum()) / num_samples, int((below < 0.95).sum()) / num_samples
