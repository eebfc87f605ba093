"""Chapter 1: what maximum likelihood finds, measured on laws that are known.

Frozen dataclasses and short functions, no defaults: sizes come from notebooks/profiles.yml. Two problems: a curved
law in the plane, and the published fields' coefficients in standardized coordinates, whose law is Gaussian and
known.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

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
    centre = upper.new_tensor([0.5, 0.25])
    return IsotropicMixture(1.5 * (torch.cat([upper, lower]) - centre), 0.15)


@dataclass(frozen=True, eq=False)
class FitProblem:
    """A training set, and what a fit to it is judged by.

    train_set: (N, d). floor: the bandwidth h. fresh: (M, d), draws of the truth. noised_train, noised_held_out:
    (P, d), points x + h eps at which log-likelihoods are averaged. ceiling: that average for the law p_h of noised
    examples, which no law exceeds at noised examples. truth: the same for the true law, noised too, which no law
    exceeds at held-out points.
    """

    train_set: torch.Tensor
    floor: float
    fresh: torch.Tensor
    noised_train: torch.Tensor
    noised_held_out: torch.Tensor
    ceiling: float
    truth: float

    @property
    def memory(self) -> IsotropicMixture:
        """The law of noised examples, p_h."""
        return IsotropicMixture(self.train_set, self.floor)


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
    """The paper's first ``num`` training fields, standardized by themselves; their true law in those coordinates."""
    raw = published_coefficients(num).to(float64_on(device, generator))
    standardizer = Standardizer.fit(raw)
    law = published_law().to(raw).standardized(standardizer)
    noised = torch.distributions.MultivariateNormal(law.mean, law.covariance + floor**2 * torch.eye(100).to(raw))
    held_out = perturb(law.sample(num_scored, generator=generator), floor, generator=generator)
    fresh = law.sample(num_fresh, generator=generator)
    return _problem(standardizer.normalize(raw), floor, fresh, held_out, noised.log_prob(held_out), generator)


def _problem(train_set, floor, fresh, held_out, log_truth, generator) -> FitProblem:
    memory = IsotropicMixture(train_set, floor)
    noised_train = memory.sample(len(held_out), generator=generator)
    ceiling = float(memory.log_prob(noised_train).mean())
    return FitProblem(train_set, floor, fresh, noised_train, held_out, ceiling, float(log_truth.mean()))


@dataclass(frozen=True)
class Budget:
    """What each family may spend. components: of the mixture; shape: of their covariances, "full" or "diag"."""

    components: int
    shape: str
    flow: GradientPlan
    autoencoder: GradientPlan
    diffusion: TrainingPlan
    width: int
    depth: int


def fits(
    family: str, problem: FitProblem, budget: Budget, *, looks: int, generator: torch.Generator
) -> Iterator[tuple[int, Density]]:
    """(step, density) of one of :data:`FAMILIES` fitted to a problem; step 0 for those that are fitted at once.

    looks: how often a family that is trained is looked at, at steps evenly spaced in their logarithm.
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
        yield from fit(train_set, floor, plan, log_steps(plan.num_steps, looks), generator=generator)
    else:
        steps = log_steps(budget.diffusion.num_steps, looks)
        kind = {"width": budget.width, "depth": budget.depth, "generator": generator}
        for step, density, _ in families.fit_diffusion(train_set, budget.diffusion, steps, **kind):
            yield step, density


def log_steps(last: int, looks: int) -> list[int]:
    """``looks`` different steps up to ``last``, evenly spaced in their logarithm over two decades."""
    return sorted({round(last * 100 ** (k / (looks - 1) - 1)) or 1 for k in range(looks)}) if looks > 1 else [last]


def judge(density: Density, problem: FitProblem, *, num_samples: int, generator: torch.Generator) -> dict[str, float]:
    """How a fit stands to its examples and to the truth.

    train, held_out: mean log-likelihood. to_memory, to_truth: square roots of energy distances of its samples, to
    the empirical law and to the truth, both divided by that between empirical law and truth, so that the two add
    up to at least 1.
    """
    scored = {
        what: float(density.log_prob(x, generator=generator).mean())
        for what, x in (("train", problem.noised_train), ("held_out", problem.noised_held_out))
    }
    samples = density.sample(num_samples, generator=generator)
    unit = energy_distance(problem.fresh, problem.train_set, reference_is_law=True)
    memory = energy_distance(samples, problem.train_set, reference_is_law=True) / unit
    truth = energy_distance(samples, problem.fresh) / unit
    return scored | {"to_memory": math.sqrt(max(memory, 0)), "to_truth": math.sqrt(max(truth, 0))}


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
    """The kernel density at every bandwidth: its training likelihood diverges as the floor falls, with slope -d."""
    train, held = (
        torch.stack([IsotropicMixture(train_set, float(h)).log_prob(x).mean() for h in floors])
        for x in (train_set, held_out)
    )
    best = families.best_bandwidth(train_set, float(floors.min()), leave_one_out=True)
    return FloorSweep(floors, train, held, best)


def component_sweep(problem: FitProblem, counts, *, generator: torch.Generator) -> dict[int, dict[str, float]]:
    """Training and held-out log-likelihood of mixtures by EM against their number of components."""
    found = {}
    for count in counts:
        kind = {"num_components": count, "shape": "full", "generator": generator}
        density = families.fit_mixture(problem.train_set, problem.floor, **kind)
        points = {"train": problem.noised_train, "held_out": problem.noised_held_out}
        found[count] = {what: float(density.log_prob(x, generator=generator).mean()) for what, x in points.items()}
    return found


def spiked(truth: IsotropicMixture, train_set: torch.Tensor, share: float, width: float) -> Density:
    """The truth with ``share`` of its mass in spikes of ``width`` on the examples.

    Its likelihood diverges as the width falls, while its law stays within ``share`` of the truth: a high
    likelihood alone is not memory.
    """
    spikes = IsotropicMixture(train_set, width)

    def log_prob(x, *, generator):
        return torch.logaddexp(math.log1p(-share) + truth.log_prob(x), math.log(share) + spikes.log_prob(x))

    def draw(num, *, generator):
        from_spikes = uniform(num, like=train_set, generator=generator) < share
        both = (law.sample(num, generator=generator) for law in (spikes, truth))
        return torch.where(from_spikes[:, None], *both)

    return Density(log_prob, draw, "exact")


def trace(
    family: str, problem: FitProblem, budget: Budget, *, looks: int, num_samples: int, generator: torch.Generator
) -> list[dict]:
    """:func:`judge` at every look of :func:`fits`, with its step, and in the plane 400 samples to look at."""
    found = []
    for step, density in fits(family, problem, budget, looks=looks, generator=generator):
        seen = {"step": step} | judge(density, problem, num_samples=num_samples, generator=generator)
        if problem.train_set.shape[1] == 2:
            seen["points"] = density.sample(400, generator=generator).tolist()
        found.append(seen)
    return found


def last(traces: list[list[dict]], key: str) -> tuple[float, float]:
    """What the last look of every seed saw: mean and standard error."""
    return mean_and_error([seen[-1][key] for seen in traces])


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Mean over seeds and its standard error, 0 where there is one seed."""
    values = torch.tensor(values, dtype=torch.float64)
    return float(values.mean()), float(values.std() / len(values) ** 0.5) if len(values) > 1 else 0.0
