"""Chapter 3, second half: samplers that follow the lookup, and its limit for many examples.

No defaults: sizes come from notebooks/profiles.yml.
"""

import math
from dataclasses import dataclass, replace

import torch

from memprior._check import expect_whole
from memprior._random import normal
from memprior.denoiser import Denoiser
from memprior.intervals import Mean, student
from memprior.likelihood import GaussianLikelihood
from memprior.memorization import memorization_ratio, nearest_neighbors
from memprior.mixture import effective_components, multinomial_floor, total_variation
from memprior.noise import karras_sigmas, perturb
from memprior.paper import Problem, line_problem, published_coefficients, square_grid
from memprior.posterior import collapsed_log_weights
from memprior.sampling import sample

PUBLISHED_SIZES = (3, 5, 10, 20, 100)


def line_with(num: int, device: torch.device) -> Problem:
    """The 1-D problem with ``num`` examples evenly taken from 100 points on [-3, 3], as the paper takes them."""
    expect_whole("num", num, 2)
    chosen = torch.linspace(0, 99, num, dtype=torch.float64, device=device).long()
    points = torch.linspace(-3, 3, 100, dtype=torch.float64, device=device)[chosen]
    return replace(line_problem(device), train_set=points[:, None])


@dataclass(frozen=True, eq=False)
class LookupRun:
    """Frequencies with which samples end on each example. frequencies, weights: (K,), sampled and exact.

    distance: their total variation. floor, floor_std: mean and standard deviation of that distance for as many
    exact draws. spread: largest distance of a sample to its example.
    """

    frequencies: torch.Tensor
    weights: torch.Tensor
    distance: float
    floor: float
    floor_std: float
    spread: float


def run_lookup(
    problem: Problem,
    denoiser: Denoiser,
    weights: torch.Tensor,
    *,
    num_samples: int,
    num_steps: int,
    generator: torch.Generator,
) -> LookupRun:
    """Sample with ``denoiser`` from noise 80 down to 0.001; compare frequencies with exact ``weights``."""
    sigmas = karras_sigmas(num_steps, 1e-3, 80.0)
    # Start around the denoiser's own mean. Around the examples' mean frequencies would be off by about its distance
    # to the posterior's mean over 80: more than the Monte-Carlo floor of 100 000 samples.
    center = denoiser(problem.train_set.mean(0, keepdim=True), sigmas[0])
    start = perturb(center.expand(num_samples, -1), sigmas[0], generator=generator)
    near = nearest_neighbors(sample(denoiser, start, sigmas, generator=generator), problem.train_set, 1)
    frequencies = near.indices.flatten().bincount(minlength=len(weights)) / num_samples
    floor = multinomial_floor(weights, num_samples, generator=generator)
    distance = float(total_variation(frequencies.to(weights), weights))
    return LookupRun(frequencies, weights, distance, *floor, float(near.distances.max()))


@dataclass(frozen=True, eq=False)
class ManyExamples:
    """The lookup with increasing numbers of examples drawn from N(0, 1).

    sizes: numbers of examples. effective, distances: (repeats, len(sizes)). A distance is the largest difference of
    the lookup's and the true posterior's distribution functions.
    """

    sizes: tuple[int, ...]
    distances: torch.Tensor
    effective: torch.Tensor

    @property
    def slope(self) -> Mean:
        """Of log mean distance against log mean effective components, by least squares: -1/2 is Monte Carlo's.

        Its interval is over repeats, by the jackknife.
        """
        num = len(self.distances)
        if num == 1:
            return Mean(_slope(self.effective, self.distances), 0.0)
        rest = [[k for k in range(num) if k != left] for left in range(num)]
        without = torch.tensor([_slope(self.effective[k], self.distances[k]) for k in rest], dtype=torch.float64)
        return Mean(_slope(self.effective, self.distances), (num - 1) * student(without))


def _slope(effective: torch.Tensor, distances: torch.Tensor) -> float:
    x, y = effective.mean(0).log(), distances.mean(0).log()
    return float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())


def many_examples(
    problem: Problem, sizes, *, num_repeats: int, num_grid: int, generator: torch.Generator
) -> ManyExamples:
    """Negative control: where the truth is N(0, 1) and there are enough examples, the lookup IS the posterior."""
    axis, cell = square_grid(-6.0, 6.0, num_grid, 1, problem.train_set.device)
    log_density = problem.likelihood.log_prob(axis) - 0.5 * axis[:, 0] ** 2
    true_cdf = log_density.softmax(0).cumsum(0)
    distances, effective = [], []
    for size in [size for _ in range(num_repeats) for size in sizes]:
        drawn = normal(size, 1, like=axis, generator=generator).sort(dim=0).values
        log_weights = collapsed_log_weights(drawn, problem.likelihood)
        cdf = torch.cat([log_weights.new_zeros(1), log_weights.exp().cumsum(0)])
        # A grid point stands for its cell, so its distribution function is that at the cell's upper edge.
        lookup_cdf = cdf[torch.searchsorted(drawn[:, 0], axis[:, 0] + 0.5 * cell)]
        distances.append((lookup_cdf - true_cdf).abs().max())
        effective.append(effective_components(log_weights))
    shape = num_repeats, len(sizes)
    return ManyExamples(tuple(sizes), torch.stack(distances).reshape(shape), torch.stack(effective).reshape(shape))


def ratios_of(models: torch.Tensor, sizes) -> dict[int, torch.Tensor]:
    """The paper's ratio r of models z (B, 100) to each of its training sets: N -> (B,), with k = min(50, N)."""
    train_set = published_coefficients(max(sizes)).to(models)
    return {size: memorization_ratio(nearest_neighbors(models, train_set[:size], min(50, size))) for size in sizes}


def limit_gap(num: int, noise_std: float, device: torch.device) -> float:
    """By which share exp(H) of the lookup on ``num`` even examples on [-3, 3] differs from its asymptotic value."""
    problem = line_problem(device)
    examples = torch.linspace(-3, 3, num, dtype=torch.float64, device=device)[:, None]
    effective = effective_components(
        collapsed_log_weights(examples, GaussianLikelihood(problem.forward, problem.observed, noise_std))
    )
    return float(effective) * 6 / (num - 1) / (math.sqrt(2 * math.pi * math.e) * noise_std) - 1
