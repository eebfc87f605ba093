"""Chapter 2's experiment as one object: its networks, its condensation levels and the examples that samplers choose."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from chapters.ch02_gaussian_mixture_prior import condensation, network_gap, selection
from companion.jobs import LongWork, part_name
from companion.store import Tensors
from memprior import paper
from memprior._random import float64_on, normal
from memprior.closed_forms import ClosedFormReference, Priors, closed_form_reference
from memprior.condensation import condensation_level
from memprior.fields import Standardizer
from memprior.gaussian import Gaussian
from memprior.noise import ddpm_sigmas, karras_sigmas
from memprior.paper import pentagon_problem, square_grid

if TYPE_CHECKING:  # what settings may be changes no result
    from chapters.ch02_gaussian_mixture_prior.settings import Settings

PLANE_STEPS = (50, 100, 200, 300, 400, 600, 1000, 2000, 4000, 8000)  # of the slider
SPREAD, ARROWS_AT = 2**0.5, 0.5  # standard deviation of the five points' coordinates; noise level of the arrows
NUM_LEVELS = 13  # over which squared distances are summed
LOWEST_LEVEL, HIGHEST_LEVEL = 0.05, 20.0
SAMPLER_STEPS = 40
START_RATIOS = (0.3, 0.5, 0.8, 1.2, 2.0, 4.0, 10.0, 25.0)  # of a start level to the condensation level
RELEASED, LONGER = "200 steps, as released", "1000 steps"
REPAIRED, TRUE_START = "200 steps from 80", "200 steps, true start"
SCHEDULES = (RELEASED, LONGER, REPAIRED, TRUE_START)


@dataclass(frozen=True)
class PlaneRun:
    """The network in the plane, on the five points."""

    steps: tuple[int, ...]
    plan_steps: int

    @property
    def name(self) -> str:
        return part_name(f"plane {self.steps[-1]}", self)


@dataclass(frozen=True)
class FieldRun:
    """The k-th network on the first ``num`` published fields."""

    num: int
    k: int
    steps: tuple[int, ...]
    plan_steps: int
    num_inputs: int
    num_samples: int

    @property
    def name(self) -> str:
        return part_name(f"fields {self.num} {self.k}", self)


@dataclass(frozen=True)
class Level:
    """A measured condensation level: of ``num`` published fields, or of white Gaussians in ``dim`` dimensions."""

    num: int
    num_draws: int
    dim: int = 0
    num_sets: int = 1

    @property
    def name(self) -> str:
        return part_name(f"level {self.dim or 'published'} {self.num}", self)


@dataclass(frozen=True)
class Chosen:
    """The examples that samples end on: fifty fields and a schedule, or N fields and a Gaussian start at a ratio."""

    num: int
    num_draws: int
    precision: str
    schedule: str = ""
    ratio: float = 0.0

    @property
    def name(self) -> str:
        return part_name(f"chosen {self.num} {self.schedule.replace(',', '') or self.ratio}", self)


Long = PlaneRun | FieldRun | Level | Chosen


class Study(LongWork):
    """The chapter's long work at the sizes of ``settings`` (02_gaussian_mixture_prior of notebooks/profiles.yml)."""

    settings: "Settings"

    # ---- problems --------------------------------------------------------------------------------------------------

    @cached_property
    def raw(self) -> torch.Tensor:
        """Coefficients of the published training fields, (1000, 100)."""
        return paper.published_coefficients(1000).to(self.device)

    @cached_property
    def strangers(self) -> torch.Tensor:
        """Coefficients of held-out fields, (num_held_out, 100)."""
        held_out = paper.published_coefficients(self.settings.num_held_out, seed=paper.HELD_OUT_SEED)
        return held_out.to(self.device)

    @cached_property
    def published(self) -> dict[int, tuple[Priors, Standardizer]]:
        """N -> both closed forms on the first N fields, in coordinates standardized by these."""
        return {num: paper.published_priors(self.raw[:num], self.strangers) for num in (50, 200, 1000)}

    def priors(self, num: int) -> Priors:
        return self.published[num][0]

    def restore(self, x: torch.Tensor, num: int) -> torch.Tensor:
        """Raw coefficients."""
        return self.published[num][1].restore(x)

    def spectrum(self, num: int) -> torch.Tensor:
        """Eigenvalues of the true covariance in these coordinates, (100,)."""
        return torch.linalg.eigvalsh(self.priors(num).distribution.covariance).clamp(min=0)

    def predicted(self, num: int) -> float:
        """The condensation level."""
        return condensation_level(self.spectrum(num), num)

    @cached_property
    def five(self) -> torch.Tensor:
        """The pentagon, (5, 2)."""
        return pentagon_problem(self.device)[0].train_set

    @property
    def like(self) -> torch.Tensor:
        """Double precision on the study's device."""
        return float64_on(self.device, None)

    # ---- networks and their references -----------------------------------------------------------------------------

    def levels(self, highest: float) -> torch.Tensor:
        low, high = math.log10(LOWEST_LEVEL), math.log10(highest)
        return torch.logspace(low, high, NUM_LEVELS, dtype=torch.float64, device=self.device)

    @property
    def grid(self) -> torch.Tensor:
        """Where the arrows of the slider start, (64, 2)."""
        return square_grid(-2.8, 2.8, 8, 2, self.device)[0]

    def plane_reference(self) -> ClosedFormReference:
        eye = torch.eye(2, dtype=torch.float64, device=self.device)
        known = Priors(self.five, self.five, Gaussian(eye.new_zeros(2), SPREAD**2 * eye))
        drawn = {"num_inputs": 1000, "generator": self.generator("levels five")}
        return closed_form_reference(known, self.five, self.levels(2.0), **drawn)

    def references(self, num: int) -> dict[str, ClosedFormReference]:
        """At noised training examples, at held-out fields and, for held-out fields in the place of the training set,
        at those: what a network would be near that had them for its examples.
        """
        known = self.priors(num)
        others = Priors(known.held_out[:num], known.train_set, known.distribution)
        of = {
            "train": (known, known.train_set),
            "held_out": (known, known.held_out),
            "exchanged": (others, others.train_set),
        }
        size = self.settings.num_inputs
        return {
            name: closed_form_reference(
                *which, self.levels(HIGHEST_LEVEL), num_inputs=size, generator=self.generator(f"ruler {name}")
            )
            for name, which in of.items()
        }

    def field_run(self, num: int, k: int) -> FieldRun:
        size = self.settings
        steps = tuple(network_gap.snapshots_until(size.train_steps))
        return FieldRun(num, k, steps, size.plan_steps, size.num_inputs, size.num_samples)

    def field_runs(self, num: int) -> list[FieldRun]:
        return [self.field_run(num, k) for k in range(self.seeds[num])]

    @property
    def seeds(self) -> dict[int, int]:
        """N -> networks."""
        return dict(zip(self.settings.sizes, self.settings.num_seeds, strict=True))

    @property
    def plane_run(self) -> PlaneRun:
        size = self.settings
        return PlaneRun(tuple(step for step in PLANE_STEPS if step <= size.plane_steps), size.plane_plan_steps)

    def start(self, num: int) -> torch.Tensor:
        """Where samples of networks and of both closed forms start, (num, 100)."""
        noise = normal(num, 100, like=self.like, generator=self.generator("start"))
        return (1 + HIGHEST_LEVEL**2) ** 0.5 * noise

    # ---- levels and schedules --------------------------------------------------------------------------------------

    def published_level(self, num: int) -> Level:
        return Level(num, self.settings.num_draws)

    def white_level(self, dim: int, num: int) -> Level:
        return Level(num, self.settings.num_draws, dim, self.settings.white_sets)

    def chosen_by(self, schedule: str) -> Chosen:
        size = self.settings
        draws = size.selection_draws_long if schedule == LONGER else size.selection_draws
        return Chosen(50, draws, size.selection_precision, schedule=schedule)

    def chosen_from(self, num: int, ratio: float) -> Chosen:
        return Chosen(num, self.settings.start_draws, self.settings.selection_precision, ratio=ratio)

    def schedule(self, name: str) -> torch.Tensor:
        """Its noise levels, descending to 0."""
        if name == REPAIRED:
            return karras_sigmas(200, 1e-3, 80.0).to(self.device)
        return ddpm_sigmas(1000 if name == LONGER else 200).to(self.device)

    # ---- long computations -----------------------------------------------------------------------------------------

    @cached_property
    def parts(self) -> list[Long]:
        """Networks first: they take longest."""
        size = self.settings
        found: list[Long] = [run for num in size.sizes for run in self.field_runs(num)]
        found += [self.plane_run]
        found += [self.chosen_by(name) for name in SCHEDULES]
        found += [self.chosen_from(num, ratio) for num in size.start_sizes for ratio in START_RATIOS]
        found += [self.published_level(num) for num in self.published]
        found += [self.white_level(dim, num) for dim in size.white_dims for num in size.white_sizes]
        return found

    def arguments(self, part: Long) -> dict:
        """Its fields, the seed and how many held-out fields there are."""
        return super().arguments(part) | {"seed": self.seed, "held_out": self.settings.num_held_out}

    def work(self, part: Long, earlier: Callable) -> Tensors:
        """What is stored of one part."""

        def compute(folder) -> Tensors:
            if isinstance(part, PlaneRun):
                return self._plane(part, folder)
            if isinstance(part, FieldRun):
                return self._fields(part, folder)
            if isinstance(part, Level):
                return {name: torch.tensor([x], dtype=torch.float64) for name, x in self._level(part).items()}
            return {"chosen": self._chosen(part)}

        return self.store.tensors(part.name, self.arguments(part), compute)

    def _plane(self, part: PlaneRun, folder) -> Tensors:
        measure = network_gap.plane_measure(self.plane_reference(), self.grid, ARROWS_AT)
        measured = network_gap.follow(
            self.five,
            network_gap.plane_plan(part.plan_steps),
            list(part.steps),
            measure,
            spread=SPREAD,
            width=96,
            depth=2,
            weights=self.generator("weights five"),
            generator=self.generator("training five"),
            folder=folder,
        )
        return {name: torch.stack([at[name] for at in measured]) for name in measured[0]}

    def _fields(self, part: FieldRun, folder) -> Tensors:
        plan, train_set = network_gap.published_plan(part.plan_steps), self.priors(part.num).train_set
        start = self.start(part.num_samples)
        drawn = {"num_levels": SAMPLER_STEPS, "generator": self.generator("nothing")}
        measure = network_gap.published_measure(self.references(part.num), part.steps[-1], start, plan, **drawn)
        measured = network_gap.follow(
            train_set,
            plan,
            list(part.steps),
            measure,
            spread=1.0,
            width=256,
            depth=2,
            weights=self.generator(f"weights {part.num} {part.k}"),
            generator=self.generator(f"training {part.num} {part.k}"),
            folder=folder,
        )
        samples = measured[-1].pop("samples")
        return {name: torch.stack([at[name] for at in measured]) for name in measured[0]} | {"samples": samples}

    def _level(self, part: Level) -> dict[str, float]:
        drawn = {"num_draws": part.num_draws}
        if part.dim:
            generator = self.generator(f"{part.dim} {part.num}")
            drawn |= {"num_sets": part.num_sets, "like": self.like}
            found = condensation.white_level(part.dim, part.num, **drawn, generator=generator)
        else:
            drawn["generator"] = self.generator(f"level {part.num}")
            train_set = self.priors(part.num).train_set
            found = condensation.measured_level(train_set, self.spectrum(part.num), **drawn)
        return {"measured": found.measured, "half": found.half, "predicted": found.predicted}

    def _chosen(self, part: Chosen) -> torch.Tensor:
        examples = self.priors(part.num).train_set.to(getattr(torch, part.precision))
        if part.schedule:
            levels = self.schedule(part.schedule)
            begin = selection.true_start if part.schedule == TRUE_START else selection.gaussian_start
            generator = self.generator(f"selection {part.schedule}")
        else:
            levels = karras_sigmas(40, 1e-2, part.ratio * self.predicted(part.num)).to(self.device)
            begin, generator = selection.gaussian_start, self.generator(f"start {part.num} {part.ratio}")
        first = begin(part.num_draws, examples, levels[0], generator=generator)
        return selection.select(examples, first, levels, generator=generator)
