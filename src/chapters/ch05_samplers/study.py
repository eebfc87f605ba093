"""Chapter 5's experiment as one object: every sampler on every kind of problem, in parts that the store keeps.

A part is one family of samplers on one kind of problem, with all its scales or numbers of particles. What is quick, or
exact, is no part: it is computed where it is asked for.
"""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from chapters.ch05_samplers import comparison, fwi, gaussian, problems
from chapters.ch05_samplers.problems import Draw, ProblemBatch, evaluate, exact, floors, guided, particles
from companion.jobs import LongWork, part_name
from memprior._check import expect
from memprior.noise import geometric_sigmas
from memprior.paper import STEP_SIZE, Inversion, TrainingSet, published_inversion, tangent

if TYPE_CHECKING:  # what settings may be changes no result
    from chapters.ch05_samplers.settings import Settings

TOY = (20.0, 0.05)  # first and last noise level
INVERSION = (200.0, 0.1)
SMALL = {"cubic, d = 1": problems.line_problems, "pentagon, d = 2": problems.pentagon_problems}
PARTICLES = ("weighting", "twisted", "twisted, widened")
_FORWARD = threading.Lock()  # torch counts forward-mode levels across threads: one at a time


@dataclass(frozen=True)
class SamplerPart:
    """One family of samplers on one kind of problem.

    experiment: "toy", "sweep", a key of ``SMALL``, "fwi N" or "waves N". variants: scales, or numbers of particles.
    num: draws for each problem. levels: top, bottom and number of noise levels. num_inner: steps of conjugate gradients
    or of Langevin at a level. size: of the batch, number of problems or of draws of the noise.
    """

    experiment: str
    family: str
    variants: tuple[float, ...]
    num: int
    levels: tuple[float, float, int]
    num_inner: int
    size: int

    @property
    def name(self) -> str:
        return part_name(f"{self.experiment} {self.family}", self)

    @property
    def sigmas(self) -> torch.Tensor:
        """(T + 1,)."""
        return geometric_sigmas(*self.levels)


class Study(LongWork):
    """Samplers at the sizes of ``settings`` (05_samplers of notebooks/profiles.yml)."""

    settings: "Settings"

    # ---- problems --------------------------------------------------------------------------------------------------

    @cached_property
    def toy(self) -> ProblemBatch:
        """The linear toy."""
        options = {"generator": self.generator("toy"), "device": self.device}
        return ProblemBatch(problems.linear_problems(self.settings.num_problems, **options))

    @cached_property
    def small(self) -> dict[str, ProblemBatch]:
        """The paper's stylized problems."""
        options = {"device": self.device}
        num = self.settings.num_small
        return {k: ProblemBatch(make(num, generator=self.generator(k), **options)) for k, make in SMALL.items()}

    @cached_property
    def inversion(self) -> Inversion:
        """The published inversion."""
        return published_inversion(torch.complex64, self.device)

    @cached_property
    def training(self) -> dict[int, TrainingSet]:
        """N -> the published training set."""
        return {n: TrainingSet.published(n, self.device) for n in self.settings.fwi_sizes}

    @cached_property
    def linear(self) -> dict[int, ProblemBatch]:
        """N -> the linearized inversion, one problem for each draw of the noise."""
        linear, truth = tangent(self.inversion), self.inversion.truth
        options = {"num": self.settings.fwi_noises, "generator": self.generator("noise")}
        return {n: fwi.linear_batch(linear, truth, known, **options) for n, known in self.training.items()}

    @cached_property
    def nonlinear(self) -> dict[int, ProblemBatch]:
        """N -> the published data with the nonlinear operator."""
        return {n: fwi.nonlinear_batch(self.inversion, self.training[n]) for n in self.settings.wave_sizes}

    def batch(self, experiment: str) -> ProblemBatch:
        """The problems of an experiment."""
        kind, _, num = experiment.partition(" ")
        if experiment in SMALL:
            return self.small[experiment]
        if kind in ("fwi", "waves"):
            return (self.linear if kind == "fwi" else self.nonlinear)[int(num)]
        return self.toy if kind == "toy" else ProblemBatch(self.toy.problems[: self.settings.num_sweep])

    # ---- parts -----------------------------------------------------------------------------------------------------

    @cached_property
    def parts(self) -> tuple[SamplerPart, ...]:
        """Every family of samplers on every kind of problem."""
        size = self.settings
        rows = [
            *self._compared("toy", size.num_draws, (*TOY, size.num_levels), problems.NUM_DATA, size.num_problems),
            *self._particles("toy", size.num_swarms, size.particles, PARTICLES, size.num_problems),
            *self._swept("sweep", size.scales, size.num_sweep_draws, (*TOY, size.num_levels), size.num_sweep),
        ]
        few = size.num_few_draws, (*TOY, size.num_few_levels)
        rows.append(SamplerPart("toy", "DAPS", (), *few, size.num_langevin, size.num_problems))
        for name, num_data in zip(SMALL, (1, 2), strict=True):
            levels = *TOY, size.num_small_levels
            options = name, size.num_small_draws, levels
            rows += self._compared(*options, num_data, size.num_small)
            rows.append(SamplerPart(name, "DAPS", (), *options[1:], size.num_langevin, size.num_small))
            for family in PARTICLES[:2]:
                rows.append(SamplerPart(name, family, (16,), *options[1:], 0, size.num_small))
        for n in size.fwi_sizes:
            rows += self._of_inversion(f"fwi {n}")
        for n in size.wave_sizes:
            levels = *INVERSION, size.wave_levels
            for family, scale in {"exact": 0, **size.wave_samplers}.items():
                rows.append(SamplerPart(f"waves {n}", family, (scale,) if scale else (), size.wave_draws, levels, 2, 1))
        return tuple(rows)

    def _compared(self, experiment, num, levels, num_data, size) -> list[SamplerPart]:
        scales = {name: STEP_SIZE for name in ("released", "released, ancestral")} | comparison.SCALES
        rows = [SamplerPart(experiment, "exact", (), num, levels, 0, size)]
        rows += [SamplerPart(experiment, name, (scale,), num, levels, 0, size) for name, scale in scales.items()]
        return rows + [SamplerPart(experiment, name, (), num, levels, num_data, size) for name in comparison.untuned(1)]

    def _particles(self, experiment, num, counts, families, size) -> list[SamplerPart]:
        levels = *TOY, self.settings.num_few_levels
        return [SamplerPart(experiment, family, tuple(counts), num, levels, 0, size) for family in families]

    def _swept(self, experiment, scales, num, levels, size) -> list[SamplerPart]:
        return [SamplerPart(experiment, name, tuple(scales), num, levels, 0, size) for name in comparison.families()]

    def _of_inversion(self, experiment) -> list[SamplerPart]:
        size = self.settings
        options = size.fwi_draws, (*INVERSION, size.fwi_levels)
        rows = self._swept(experiment, size.fwi_scales, *options, size.fwi_noises)
        inner = {"exact": 0, **dict.fromkeys(comparison.untuned(1), 5), "covariance": 0, "DAPS": size.num_langevin}
        rows += [SamplerPart(experiment, name, (), *options, num, size.fwi_noises) for name, num in inner.items()]
        return [*rows, SamplerPart(experiment, "twisted", tuple(size.fwi_particles), *options, 0, size.fwi_noises)]

    def arguments(self, part: SamplerPart) -> dict:
        """Its fields, the seed, and the sizes that draws of the noise go through before its own."""
        return asdict(part) | {"seed": self.seed, "fwi_sizes": list(self.settings.fwi_sizes)}

    def samplers(self, part: SamplerPart) -> dict[str, Draw]:
        """Name -> sampler, for every variant of a part."""
        family, batch = part.family, self.batch(part.experiment)
        if family == "exact":
            return {family: exact}
        if family in PARTICLES:
            spread = 1.0 if family == "twisted, widened" else None
            options = {"twisted": family != "weighting", "spread": spread}
            return {f"{family}, K = {k}": particles(k, **options) for k in part.variants}
        if family == "DAPS":
            return {family: comparison.decoupled(batch, part.num_inner)}
        if family == "covariance":
            known = self.training[int(part.experiment.split()[1])]
            return {family: guided(comparison.with_covariance(batch, fwi.true_covariance(known)))}
        if not part.variants:
            return {family: guided(comparison.untuned(part.num_inner)[family])}
        swept = part.experiment.startswith(("sweep", "fwi"))
        make = comparison.families()[family]
        return {comparison.at(family, s) if swept else family: guided(make(s)) for s in part.variants}

    def work(self, part: SamplerPart, earlier: Callable) -> dict[str, dict]:
        """Name -> :func:`problems.evaluate` of each variant, with randomness of its own."""
        batch, label = self.batch(part.experiment), part.experiment

        def compute(_):
            with _FORWARD if part.family in comparison.FORWARD_MODE else nullcontext():
                return {
                    name: evaluate(draw, batch, part.num, part.sigmas, generator=self.generator(f"{label} {name}"))
                    for name, draw in self.samplers(part).items()
                }

        return self.store.value(part.name, self.arguments(part), compute)

    def run(self) -> None:
        """Run every part. Results that the store already has are read."""
        for experiment in dict.fromkeys(part.experiment for part in self.parts):
            self.batch(experiment).log_weights  # noqa: B018 - made once, before threads start
        super().run()

    def results(self, experiment: str) -> dict[str, dict]:
        """Name of a sampler -> its result. Raises ``ValueError`` before :meth:`run`."""
        expect(len(self._results) > 0, "study", "run() before its results are asked for", "none of them yet")
        merged = {}
        for part, result in self._results.items():
            merged |= result if part.experiment == experiment else {}
        return merged

    # ---- what is computed where it is asked for --------------------------------------------------------------------

    def floor(self, experiment: str, num: int, purpose: str) -> torch.Tensor:
        """Mean total variation that ``num`` exact draws of each problem have, 400 times, (400,)."""
        return floors(self.batch(experiment), num, 400, generator=self.generator(purpose)).mean(1)

    @cached_property
    def toy_floors(self) -> dict[str, torch.Tensor]:
        """Of the samplers' draws, and of the runs of particles, (400,) each."""
        size = self.settings
        counts = {"draws": size.num_draws, "swarms": size.num_swarms}
        return {name: self.floor("toy", num, f"floor {name}") for name, num in counts.items()}

    @cached_property
    def small_floors(self) -> dict[str, torch.Tensor]:
        """Name of the problem -> (400,)."""
        return {name: self.floor(name, self.settings.num_small_draws, name) for name in SMALL}

    @cached_property
    def weighting(self) -> dict[str, torch.Tensor]:
        """Experiment -> total variation of likelihood weighting for each K and problem, (S, P)."""
        found, noise = {}, {"generator": self.generator("law")}
        for name in ("toy", *(f"fwi {n}" for n in self.settings.fwi_sizes)):
            options = {"repeats": self.settings.num_weighting_sets, **noise}
            counts = self.settings.counts
            found[name] = torch.stack([comparison.weighting_distance(self.batch(name), k, **options) for k in counts])
        return found

    @cached_property
    def guidance(self) -> tuple[dict[str, comparison.GuidanceTerm], torch.Tensor, torch.Tensor]:
        """Guidance terms of samplers on the toy, the posterior's variance at each level, and the levels (T,)."""
        sigmas = geometric_sigmas(*TOY, 40)
        makes = comparison.untuned(problems.NUM_DATA)
        makes["DPS, squared"] = comparison.families()["DPS, squared"](comparison.SCALES["DPS, squared"])
        options = self.settings.num_guidance_states, sigmas
        terms, left = comparison.guidance_terms(self.toy, makes, *options, generator=self.generator("push"))
        return terms, left, sigmas[:-1]

    @cached_property
    def gaussian_cases(self) -> dict[str, gaussian.GaussianCase]:
        """The toy with a Gaussian prior: white, and not."""
        options = {"device": self.device}
        white = {"C = I": True, "C not I": False}
        return {
            k: gaussian.toy_case(0.5, white=w, generator=self.generator("gaussian"), **options)
            for k, w in white.items()
        }

    @cached_property
    def gaussian_moments(self) -> dict[tuple[str, int], dict[str, dict]]:
        """(Case, number of levels) -> sampler -> its moments against the posterior's; exact, without draws."""
        cases, counts = self.gaussian_cases, self.settings.gaussian_levels
        return {(k, n): gaussian.compared(case, n) for k, case in cases.items() for n in counts}

    @cached_property
    def gaussian_weighting(self) -> dict[float, gaussian.Weighted]:
        """Noise -> likelihood weighting under a Gaussian prior, over problems."""
        size, found = self.settings, {}
        for noise_std in gaussian.NOISES:
            generator = self.generator(f"gaussian problems {noise_std}")
            cases = self._gaussian_problems(noise_std, True, generator)
            found[noise_std] = gaussian.weighted(cases, size.control_counts, size.num_control, generator=generator)
        return found

    @cached_property
    def gaussian_control(self) -> dict[str, list[float]]:
        """Sampler -> energy distance of its draws to the posterior for each of several Gaussian problems."""
        size, generator = self.settings, self.generator("gaussian control")
        cases = self._gaussian_problems(0.5, False, generator)
        return gaussian.control(cases, size.drawn_levels, size.num_control, generator=generator)

    def _gaussian_problems(self, noise_std: float, white: bool, generator) -> list[gaussian.GaussianCase]:
        options = {"white": white, "generator": generator, "device": self.device}
        return [gaussian.toy_case(noise_std, **options) for _ in range(self.settings.num_control_problems)]

    @cached_property
    def control(self) -> dict[str, dict]:
        """The exact sampler of the negated data, and that of the right data beside another training set."""
        batch, size = self.toy, self.settings
        wrong = ProblemBatch([replace(problem, observed=-problem.observed) for problem in batch.problems])
        options = {"generator": self.generator("other"), "device": self.device}
        fresh = problems.linear_problems(2 * len(batch.problems), **options)[len(batch.problems) :]
        pairs = zip(batch.problems, fresh, strict=True)
        other = ProblemBatch([replace(problem, train_set=one.train_set) for problem, one in pairs])
        sizes = {"num": size.num_draws, "sigmas": geometric_sigmas(*TOY, size.num_few_levels)}
        drawn_of = {"wrong": (wrong, batch), "foreign": (batch, other)}
        found = {}
        for name, (of, beside) in drawn_of.items():
            found[name] = evaluate(_exact_of(of), beside, **sizes, generator=self.generator(name))
        return found


def _exact_of(batch: ProblemBatch) -> Draw:
    """The exact sampler of ``batch``, whichever problems it is compared with."""
    return lambda _, *args, **options: exact(batch, *args, **options)
