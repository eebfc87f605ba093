"""Chapter 3, second half: effective components of the lookup, samplers that follow it, and its limit for many examples.

No defaults: sizes come from notebooks/profiles.yml.
"""

import math
from dataclasses import dataclass, replace

import torch
from scipy.optimize import brentq

from memprior._check import expect_whole
from memprior._random import normal
from memprior.denoiser import Denoiser
from memprior.fields import CosineBasis
from memprior.likelihood import GaussianLikelihood, observe
from memprior.memorization import memorization_ratio, nearest_neighbors
from memprior.mixture import effective_components, multinomial_floor, total_variation
from memprior.noise import karras_sigmas, perturb
from memprior.operators import ForwardOperator, compose, jacobian
from memprior.paper import Problem, line_problem, published_coefficients, published_grid, square_grid
from memprior.posterior import collapsed_log_weights, linearized_posterior, quadrature_posterior
from memprior.sampling import sample

PUBLISHED_SIZES = (3, 5, 10, 20, 100)


def line_with(num: int, device: torch.device) -> Problem:
    """The 1-D problem with ``num`` examples evenly taken from 100 points on [-3, 3], as the paper takes them."""
    expect_whole("num", num, 2)
    chosen = torch.linspace(0, 99, num, dtype=torch.float64, device=device).long()
    points = torch.linspace(-3, 3, 100, dtype=torch.float64, device=device)[chosen]
    return replace(line_problem(device), train_set=points[:, None])


@dataclass(frozen=True, eq=False)
class Dominance:
    """Effective components against sigma for one training set of the 1-D problem.

    sigmas, linearized, exact: (S,), exp(H) of the linearized and of the quadrature weights. limit: exp(H) of the
    lookup. asymptote: sqrt(2 pi e) gamma / (|F'(x*)| delta), its value for a dense set. sigma_crit: the paper's
    scale, sqrt(delta gamma / mean |F'|). excess: by which share exp(H) exceeds its limit at sigma_crit. onset: the
    first sigma at which it does so by 10 %.
    """

    num: int
    sigmas: torch.Tensor
    linearized: torch.Tensor
    exact: torch.Tensor
    limit: float
    asymptote: float
    sigma_crit: float
    excess: float
    onset: float


def dominance(num: int, sigmas: torch.Tensor, *, num_grid: int, device: torch.device) -> Dominance:
    """exp(H) against sigma for ``num`` examples on [-3, 3], beside the paper's scale of dominance (Eq. 8)."""
    problem = line_with(num, device)
    likelihood = problem.likelihood
    points, cell = square_grid(-9.0, 9.0, num_grid, 1, device)

    def exact_at(sigma: float) -> float:
        return float(
            effective_components(quadrature_posterior(problem.prior(sigma), likelihood, points, cell).log_weights)
        )

    exact = [exact_at(sigma) for sigma in sigmas.tolist()]
    linearized = [
        effective_components(linearized_posterior(problem.prior(s), likelihood).log_weights) for s in sigmas.tolist()
    ]
    limit = float(effective_components(collapsed_log_weights(problem.train_set, likelihood)))
    delta = 6 / (num - 1)
    sigma_crit = math.sqrt(delta * problem.noise_std / float(jacobian(problem.forward, problem.train_set).abs().mean()))
    past = next(k for k, value in enumerate(exact) if value > 1.1 * limit)
    onset = brentq(lambda sigma: exact_at(sigma) / limit - 1.1, float(sigmas[past - 1]), float(sigmas[past]), xtol=1e-6)
    return Dominance(
        num,
        sigmas,
        torch.stack(linearized),
        torch.tensor(exact, dtype=torch.float64),
        limit,
        math.sqrt(2 * math.pi * math.e) * problem.noise_std / delta,  # F'(x*) = F'(0) = 1
        sigma_crit,
        exact_at(sigma_crit) / limit - 1,
        onset,
    )


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
    def slope(self) -> float:
        """Of log mean distance against log mean effective components, by least squares: -1/2 is Monte Carlo's."""
        x, y = self.effective.mean(0).log(), self.distances.mean(0).log()
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


def straight_rays(basis: CosineBasis) -> ForwardOperator:
    """Travel times, s, of straight rays along every row and column of cells: z (B, d) -> (B, nx + nz).

    A simple survey in place of the wave operator of chapter 4: nonlinear in squared slowness, t = sum sqrt(m) h.
    """

    def times(field: torch.Tensor) -> torch.Tensor:
        slowness = field.sqrt() * basis.grid.spacing_km
        return torch.cat([slowness.sum(1), slowness.sum(2)], dim=1)

    return compose(times, basis)


@dataclass(frozen=True, eq=False)
class PublishedLookup:
    """The exact lookup on the paper's training sets.

    noises: (G,), s. effective: (N sets, G). chosen: index of the winner at each N, at the smallest noise.
    """

    sizes: tuple[int, ...]
    noises: torch.Tensor
    effective: torch.Tensor
    chosen: tuple[int, ...]


def published_lookup(
    truth: torch.Tensor, sizes, noises: torch.Tensor, *, generator: torch.Generator
) -> PublishedLookup:
    """Lookup weights for a truth z (100,) observed by straight rays, one noise draw scaled to each of ``noises``."""
    forward = straight_rays(CosineBasis(published_grid()))
    train_set = published_coefficients(max(sizes)).to(truth)
    unit_noise = observe(forward, truth, 1.0, generator=generator).observed - forward(truth[None])[0]
    residuals = forward(truth[None])[0] - forward(train_set)
    log_weights = torch.stack([-0.5 * (residuals / noise + unit_noise).square().sum(1) for noise in noises])
    effective = torch.stack([effective_components(log_weights[:, :size]) for size in sizes])
    chosen = tuple(int(log_weights[noises.argmin(), :size].argmax()) for size in sizes)
    return PublishedLookup(tuple(sizes), noises, effective, chosen)


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
