"""Chapter 1: what maximum likelihood finds, measured on known distributions.

Two problems: a curved distribution in the plane, and the standardized coefficients of the published fields, whose
distribution is a known Gaussian. No defaults: sizes come from notebooks/profiles.yml.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch

from chapters.ch01_maximum_likelihood import families
from chapters.ch01_maximum_likelihood.families import Density, GradientPlan
from memprior._random import float64_on, uniform
from memprior.calibration import energy_distance
from memprior.fields import Standardizer
from memprior.mixture import IsotropicMixture
from memprior.noise import perturb
from memprior.paper import published_coefficients, published_law
from memprior.training import TrainingPlan

FAMILIES = ("Gaussian", "kernel", "mixture", "flow", "autoencoder", "diffusion")


def crescents(device: torch.device) -> IsotropicMixture:
    """The truth in the plane: two interlocked half circles of radius 1.5, 32 Gaussians of width 0.15 along each."""
    angle = torch.linspace(0, math.pi, 32, dtype=torch.float64, device=device)
    upper = torch.stack([angle.cos(), angle.sin()], 1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    center = upper.new_tensor([0.5, 0.25])
    return IsotropicMixture(1.5 * (torch.cat([upper, lower]) - center), 0.15)


@dataclass(frozen=True, eq=False)
class FitProblem:
    """A training set, and the reference values for evaluating a fit to it.

    train_set: (N, d). floor: the bandwidth h. fresh: (M, d), draws of the truth. noised_train, noised_held_out:
    (P, d), points x + h eps at which log-likelihoods are averaged. ceiling: that average, at noised examples, for the
    distribution p_h of noised examples; no other distribution exceeds it. truth: the same, at held-out points, for
    the noised true distribution.
    """

    train_set: torch.Tensor
    floor: float
    fresh: torch.Tensor
    noised_train: torch.Tensor
    noised_held_out: torch.Tensor
    ceiling: float
    truth: float

    @property
    def memorized(self) -> IsotropicMixture:
        """The distribution of noised examples, p_h."""
        return IsotropicMixture(self.train_set, self.floor)

    @cached_property
    def unit(self) -> torch.Tensor:
        """The energy distance of the empirical distribution from the truth."""
        return energy_distance(self.fresh, self.train_set, reference_is_law=True)


def plane_problem(
    num: int, floor: float, *, num_scored: int, num_fresh: int, generator: torch.Generator, device=None
) -> FitProblem:
    """``num`` examples drawn from :func:`crescents`."""
    truth = crescents(float64_on(device, generator).device)
    noised = IsotropicMixture(truth.means, math.hypot(truth.sigma, floor))
    train_set, fresh = (truth.sample(many, generator=generator) for many in (num, num_fresh))
    held_out = noised.sample(num_scored, generator=generator)
    return _problem(train_set, floor, fresh, held_out, noised.log_prob(held_out), generator)


def published_problem(
    num: int, floor: float, *, num_scored: int, num_fresh: int, generator: torch.Generator, device=None
) -> FitProblem:
    """The paper's first ``num`` training fields, standardized by their own moments, and their true distribution."""
    raw = published_coefficients(num).to(float64_on(device, generator))
    standardizer = Standardizer.fit(raw)
    truth = published_law().to(raw).standardized(standardizer)
    noised = torch.distributions.MultivariateNormal(truth.mean, truth.covariance + floor**2 * torch.eye(100).to(raw))
    held_out = perturb(truth.sample(num_scored, generator=generator), floor, generator=generator)
    fresh = truth.sample(num_fresh, generator=generator)
    return _problem(standardizer.normalize(raw), floor, fresh, held_out, noised.log_prob(held_out), generator)


def _problem(train_set, floor, fresh, held_out, log_truth, generator) -> FitProblem:
    memorized = IsotropicMixture(train_set, floor)
    noised_train = memorized.sample(len(held_out), generator=generator)
    ceiling = float(memorized.log_prob(noised_train).mean())
    return FitProblem(train_set, floor, fresh, noised_train, held_out, ceiling, float(log_truth.mean()))


@dataclass(frozen=True)
class Budget:
    """Size and training of each family. components: of the mixture; shape: of their covariances, "full" or "diag"."""

    components: int
    shape: str
    flow: GradientPlan
    autoencoder: GradientPlan
    diffusion: TrainingPlan
    width: int
    depth: int


def fits(
    family: str, problem: FitProblem, budget: Budget, *, checkpoints: int, generator: torch.Generator
) -> Iterator[tuple[int, Density]]:
    """(step, density) of one of :data:`FAMILIES` fitted to a problem; step 0 for families without iterations.

    checkpoints: their number, at steps evenly spaced in their logarithm, for families trained by gradient descent.
    """
    train_set, floor = problem.train_set, problem.floor
    if family == "Gaussian":
        yield 0, families.fit_gaussian(train_set, floor)
    elif family == "kernel":
        yield 0, families.fit_kernel(train_set, floor)
    elif family == "mixture":
        kind = {"num_components": min(budget.components, len(train_set)), "shape": budget.shape}
        yield 0, families.fit_mixture(train_set, floor, **kind, generator=generator)
    elif family in ("flow", "autoencoder"):
        fit = families.fit_flow if family == "flow" else families.fit_autoencoder
        plan = budget.flow if family == "flow" else budget.autoencoder
        yield from fit(train_set, floor, plan, log_steps(plan.num_steps, checkpoints), generator=generator)
    else:
        steps = log_steps(budget.diffusion.num_steps, checkpoints)
        kind = {"width": budget.width, "depth": budget.depth, "generator": generator}
        for step, density, _ in families.fit_diffusion(train_set, budget.diffusion, steps, **kind):
            yield step, density


def log_steps(last: int, num: int) -> list[int]:
    """At most ``num`` different steps up to ``last``, evenly spaced in their logarithm over two decades."""
    return sorted({round(last * 100 ** (k / (num - 1) - 1)) or 1 for k in range(num)}) if num > 1 else [last]


def evaluate(
    density: Density, problem: FitProblem, *, num_samples: int, generator: torch.Generator
) -> dict[str, float]:
    """Likelihoods of a fit, and its distances to the training examples and to the truth.

    train, held_out: mean log-likelihood. to_memory, to_truth: square roots of energy distances of its samples to
    the empirical distribution and to the truth. Both are divided by the distance between these two, so that they add
    up to at least 1. spread: root mean square distance of its samples from their mean, over that of the truth. nearest:
    mean distance of its samples from the nearest example, over that of draws of the truth.
    """
    scored = {
        what: float(density.log_prob(x, generator=generator).mean())
        for what, x in (("train", problem.noised_train), ("held_out", problem.noised_held_out))
    }
    samples = density.sample(num_samples, generator=generator)
    memory = energy_distance(samples, problem.train_set, reference_is_law=True) / problem.unit
    truth = energy_distance(samples, problem.fresh) / problem.unit
    spread, nearest = (
        float(of(samples) / of(problem.fresh)) for of in (_spread, lambda x: _nearest(x, problem.train_set))
    )
    distances = {"to_memory": math.sqrt(max(memory, 0)), "to_truth": math.sqrt(max(truth, 0))}
    return scored | distances | {"spread": spread, "nearest": nearest}


def _spread(x: torch.Tensor) -> torch.Tensor:
    return (x - x.mean(0)).square().sum(1).mean().sqrt()


def _nearest(x: torch.Tensor, train_set: torch.Tensor) -> torch.Tensor:
    return torch.cdist(x, train_set).amin(1).mean()


@dataclass(frozen=True, eq=False)
class FloorSweep:
    """Mean log-likelihood against the bandwidth floor, at the examples themselves and at held-out points, (F,) each.

    best: the bandwidth that the leave-one-out likelihood chooses.
    """

    floors: torch.Tensor
    train: torch.Tensor
    held_out: torch.Tensor
    best: float


def floor_sweep(train_set: torch.Tensor, held_out: torch.Tensor, floors: torch.Tensor) -> FloorSweep:
    """The kernel density at every bandwidth. Its training likelihood diverges as the floor falls, with slope -d."""
    train, held = (
        torch.stack([IsotropicMixture(train_set, float(h)).log_prob(x).mean() for h in floors])
        for x in (train_set, held_out)
    )
    best = families.best_bandwidth(train_set, float(floors.min()), leave_one_out=True)
    return FloorSweep(floors, train, held, best)


def component_sweep(problem: FitProblem, counts, *, generator: torch.Generator) -> dict[int, dict[str, float]]:
    """Training and held-out log-likelihood of mixtures by EM against their number of components."""
    results = {}
    for count in counts:
        kind = {"num_components": count, "shape": "full", "generator": generator}
        density = families.fit_mixture(problem.train_set, problem.floor, **kind)
        points = {"train": problem.noised_train, "held_out": problem.noised_held_out}
        results[count] = {what: float(density.log_prob(x, generator=generator).mean()) for what, x in points.items()}
    return results


def spiked(truth: IsotropicMixture, train_set: torch.Tensor, share: float, width: float) -> Density:
    """The truth with ``share`` of its mass in spikes of ``width`` on the examples.

    Its likelihood diverges as the width falls, while its distribution stays within ``share`` of the truth: a high
    likelihood alone does not show memorization.
    """
    spikes = IsotropicMixture(train_set, width)

    def log_prob(x, *, generator):
        return torch.logaddexp(math.log1p(-share) + truth.log_prob(x), math.log(share) + spikes.log_prob(x))

    def draw(num, *, generator):
        from_spikes = uniform(num, like=train_set, generator=generator) < share
        both = (part.sample(num, generator=generator) for part in (spikes, truth))
        return torch.where(from_spikes[:, None], *both)

    return Density(log_prob, draw, "exact")


def trace(
    family: str, problem: FitProblem, budget: Budget, *, checkpoints: int, num_samples: int, generator: torch.Generator
) -> list[dict]:
    """:func:`evaluate` at every checkpoint of :func:`fits`, with its step, and 400 samples for figures in the plane."""
    history = []
    for step, density in fits(family, problem, budget, checkpoints=checkpoints, generator=generator):
        point = {"step": step} | evaluate(density, problem, num_samples=num_samples, generator=generator)
        if problem.train_set.shape[1] == 2:
            point["points"] = density.sample(400, generator=generator).tolist()
        history.append(point)
    return history
