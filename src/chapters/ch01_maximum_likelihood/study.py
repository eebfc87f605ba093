"""Chapter 1's experiment as one object: six families fitted to the same points, and how long a denoiser memorizes."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from chapters.ch01_maximum_likelihood import problems
from chapters.ch01_maximum_likelihood.families import GradientPlan
from chapters.ch01_maximum_likelihood.memorization_time import NUM_POINTS, Probes, watched
from companion.jobs import LongWork, part_name
from memprior.mixture import IsotropicMixture
from memprior.training import TrainingPlan

if TYPE_CHECKING:  # what settings may be changes no result
    from chapters.ch01_maximum_likelihood.settings import Settings

HALF_WAY = 0.5  # of the distance from memory to truth: when a denoiser is said to have memorized
TIMED = {"width": 128, "depth": 2}  # the network whose time is taken
PLANE, VELOCITIES = "plane", "published"


@dataclass(frozen=True)
class Fits:
    """Families fitted to one training set of a kind, :data:`PLANE` or :data:`VELOCITIES`; ``seed`` k draws it."""

    kind: str
    num: int
    seed: int
    families: tuple[str, ...]
    floor: float
    num_scored: int
    num_fresh: int
    checkpoints: int
    components: int
    flow_steps: int
    autoencoder_steps: int
    diffusion_steps: int

    @property
    def name(self) -> str:
        return part_name(f"fits {self.kind} {self.num} {self.seed}", self)

    @property
    def budget(self) -> problems.Budget:
        """How large and how long."""
        wide = 2 if self.kind == VELOCITIES else 1
        return problems.Budget(
            components=self.components,
            shape="diag" if self.kind == VELOCITIES else "full",
            flow=GradientPlan(self.flow_steps, 128, 2e-3, 64 * wide),
            autoencoder=GradientPlan(self.autoencoder_steps, 128, 2e-3, 128 * wide),
            diffusion=denoising(self.diffusion_steps, self.floor),
            width=128 * wide,
            depth=2,
        )


@dataclass(frozen=True)
class Timing:
    """A denoiser in the plane, trained until it is half-way to memory; judged by another training set's memory too."""

    num: int
    seed: int
    floor: float
    num_steps: int

    @property
    def name(self) -> str:
        return part_name(f"time {self.num} {self.seed}", self)


@dataclass(frozen=True)
class Errors:
    """The errors of a denoiser on ``num`` examples in the plane along ``num_steps`` of training, whatever they are."""

    num: int
    seed: int
    floor: float
    num_steps: int

    @property
    def name(self) -> str:
        return part_name(f"errors {self.num} {self.seed}", self)


Long = Fits | Timing | Errors


def denoising(num_steps: int, floor: float, final_rate: float = 2e-4) -> TrainingPlan:
    """How this chapter's denoisers are trained: 128 examples a step, noise from the floor to 40."""
    return TrainingPlan(num_steps, 128, 2e-3, final_rate, 0.99, floor, sigma_max=40.0)


def timed_steps(last: int) -> list[int]:
    """When a denoiser is looked at: from step 20 in steps of a quarter, up to ``last``."""
    return sorted({step for k in range(60) if (step := round(20 * 1.25**k)) <= last})


class Study(LongWork):
    """Chapter 1 at the sizes of ``settings`` (01_maximum_likelihood of notebooks/profiles.yml)."""

    settings: "Settings"

    @property
    def seeds(self) -> range:
        """Of training sets, first weights and batches."""
        return range(self.settings.num_seeds)

    @property
    def truth(self) -> IsotropicMixture:
        """The true distribution in the plane."""
        return problems.crescents(self.device)

    def problem(self, kind: str, num: int, seed: int) -> problems.FitProblem:
        """A training set, and what its fits are judged by."""
        size, generator = self.settings, self.generator(f"{kind} {num} {seed}")
        made = problems.plane_problem if kind == PLANE else problems.published_problem
        floor = size.plane_floor if kind == PLANE else size.published_floor
        points = {"num_scored": size.num_scored, "num_fresh": size.num_fresh}
        return made(num, floor, **points, generator=generator, device=self.device)

    def fits(self, kind: str, num: int, seed: int) -> Fits:
        """All families."""
        size, points = self.settings, (self.settings.num_scored, self.settings.num_fresh)
        if kind == PLANE:
            of = size.plane_floor, *points, size.checkpoints, max(size.plane_sizes)
            steps = size.flow_steps, size.autoencoder_steps, size.diffusion_steps
        else:
            of = size.published_floor, *points, size.published_checkpoints, max(size.published_sizes)
            steps = size.published_flow_steps, size.published_autoencoder_steps, size.published_diffusion_steps
        return Fits(kind, num, seed, problems.FAMILIES, *of, *steps)

    def longer(self, seed: int) -> Fits:
        """The diffusion model on the smallest published set, trained for longer."""
        short = asdict(self.fits(VELOCITIES, self.settings.published_sizes[0], seed))
        return Fits(**short | {"families": ("diffusion",), "diffusion_steps": self.settings.published_long_steps})

    def timing(self, num: int, seed: int) -> Timing:
        return Timing(num, seed, self.settings.plane_floor, self.settings.time_steps)

    def errors(self, num: int, seed: int) -> Errors:
        return Errors(num, seed, self.settings.plane_floor, self.settings.many_steps)

    @property
    def few_and_many(self) -> tuple[int, int]:
        """Training sets of the control."""
        return self.settings.time_sizes[0], self.settings.many_examples

    @property
    def has_longer(self) -> bool:
        """Is a diffusion model trained for longer than the others?"""
        return self.settings.published_long_steps > self.settings.published_diffusion_steps

    @property
    def parts(self) -> list[Long]:
        """All long parts in the order in which they are made: seed by seed, larger sets of fields last."""
        size, (least, *larger) = self.settings, self.settings.published_sizes
        found: list[Long] = []
        for seed in self.seeds:
            found += [self.fits(PLANE, num, seed) for num in size.plane_sizes]
            found += [self.fits(VELOCITIES, least, seed)] + [self.longer(seed)] * self.has_longer
            found += [self.timing(num, seed) for num in size.time_sizes]
            found += [self.errors(num, seed) for num in self.few_and_many if seed < size.many_seeds]
        return found + [self.fits(VELOCITIES, num, seed) for num in reversed(larger) for seed in self.seeds]

    def arguments(self, part: Long) -> dict:
        """Its fields, and the seed of all randomness."""
        return asdict(part) | {"notebook_seed": self.seed}

    def work(self, part: Long, earlier) -> Any:
        """Results of one part, as JSON."""

        def compute(folder) -> Any:
            if isinstance(part, Fits):
                return self._fitted(part)
            return self._timed(part, folder) if isinstance(part, Timing) else self._erring(part, folder)

        return self.store.value(part.name, self.arguments(part), compute)

    def _fitted(self, part: Fits) -> dict[str, list[dict]]:
        problem, found = self.problem(part.kind, part.num, part.seed), {}
        for family in part.families:
            generator = self.generator(f"{part.kind}-{family}-{part.num}-{part.seed}")
            fit = {"checkpoints": part.checkpoints, "num_samples": part.num_fresh, "generator": generator}
            found[family] = problems.trace(family, problem, part.budget, **fit)
        return found

    def _probes(self, train_set, clean, purpose: str) -> Probes:
        repeated = clean.repeat(-(-NUM_POINTS // len(clean)), 1)[:NUM_POINTS]
        floor, generator = self.settings.plane_floor, self.generator(f"probes {purpose}")
        return Probes.around(repeated, train_set, self.truth, floor, generator=generator)

    def _timed(self, part: Timing, folder) -> dict:
        train_set = self.problem(PLANE, part.num, part.seed).train_set
        other = self.truth.sample(part.num, generator=self.generator(f"other {part.num} {part.seed}"))
        sets = {"own": train_set, "other": other}
        probes = {name: self._probes(x, x, f"{name} {part.num} {part.seed}") for name, x in sets.items()}
        units = {name: one.unit for name, one in probes.items()}

        def half_way(point: dict) -> bool:
            return point["own"][0] < HALF_WAY * units["own"]

        plan = denoising(part.num_steps, part.floor, final_rate=2e-3)
        generator = self.generator(f"time-{part.num}-{part.seed}")
        work = TIMED | {"generator": generator, "stop": half_way, "folder": folder}
        points = watched(train_set, probes, plan, timed_steps(part.num_steps), **work)
        curves = {name: [(point["step"], point[name][0] / units[name]) for point in points] for name in sets}
        return {"curves": curves}

    def _erring(self, part: Errors, folder) -> dict:
        draws = self.generator(f"errors {part.num} {part.seed}")
        train_set, held_out = (self.truth.sample(num, generator=draws) for num in (part.num, NUM_POINTS))
        at = {"examples": train_set, "held out": held_out}
        probes = {name: self._probes(train_set, x, f"{name} {part.num} {part.seed}") for name, x in at.items()}
        plan = denoising(part.num_steps, part.floor, final_rate=2e-3)
        steps = problems.log_steps(part.num_steps, 9)
        points = watched(train_set, probes, plan, steps, **TIMED, generator=draws, folder=folder)
        return {"points": points, "units": {name: one.unit for name, one in probes.items()}}
