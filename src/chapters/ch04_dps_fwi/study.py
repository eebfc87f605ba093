"""Chapter 4's experiment as one object: what is trained, what is sampled, and what that has come to.

Networks are trained and samples drawn by :meth:`Study.run` alone, in parts (`runs`) that the store keeps.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from chapters.ch04_dps_fwi import runs
from chapters.ch04_dps_fwi.measures import TangentWalk, tangent_walk
from chapters.ch04_dps_fwi.runs import PRIORS, Lesson, Walk, trained, walked
from companion.jobs import one_thread_each, side_by_side, workers_on
from companion.record import Run
from companion.store import Store
from memprior._check import expect
from memprior.denoiser import Denoiser
from memprior.guidance import GuidedSamples
from memprior.likelihood import GaussianLikelihood
from memprior.paper import STEP_SIZE, Inversion, TrainingSet, published_inversion, tangent

if TYPE_CHECKING:  # what settings may be changes no result
    from chapters.ch04_dps_fwi.settings import Settings


@dataclass(frozen=True, eq=False)
class Study:
    """The paper's FWI experiment at the sizes of ``settings`` (04_dps_fwi of notebooks/profiles.yml).

    seed: that of the notebook; networks and walks take 100 seed, 100 seed + 1, ... store: keeps the parts.
    generator: purpose -> randomness, for all that is short. tell: hears of every part that is done.
    """

    settings: "Settings"
    seed: int
    store: Store
    generator: Callable[[str], torch.Generator]
    tell: Callable[[str], None]
    _results: dict = field(default_factory=dict, init=False)

    @classmethod
    def of(cls, run: Run, tell: Callable[[str], None]) -> "Study":
        """That of one run of the notebook."""
        return cls(run.settings, run.seed, run.store(runs.__name__), run.generator, tell)

    @property
    def device(self) -> torch.device:
        """Of everything that is computed."""
        return self.store.device

    @cached_property
    def training(self) -> dict[int, TrainingSet]:
        """N -> the published examples."""
        return {n: TrainingSet.published(n, self.device) for n in self.settings.sizes}

    @cached_property
    def inversion(self) -> Inversion:
        """Of the published truth."""
        return published_inversion(torch.complex64, self.device)

    @cached_property
    def linear(self) -> GaussianLikelihood:
        """The same data with F linearized at the truth."""
        return tangent(self.inversion)

    # ---- networks --------------------------------------------------------------------------------------------------

    @cached_property
    def lessons(self) -> list[Lesson]:
        """Every N from every seed."""
        size, network = self.settings, self.settings.network
        kind = network.width, network.depth, network.batch_size, size.looks
        seeds = [100 * self.seed + k for k in range(size.num_seeds)]
        return [Lesson(n, k, *kind) for k in seeds for n in size.sizes]

    @property
    def networks(self) -> dict[Lesson, dict[int, Denoiser]]:
        """Lesson -> step -> network there."""
        return {lesson: self._result(lesson) for lesson in self.lessons}

    def course(self, n: int) -> dict[int, Denoiser]:
        """Step -> network there, of the first network on N examples."""
        return self.networks[self.lessons[self.settings.sizes.index(n)]]

    def prior(self, name: str, n: int) -> Denoiser:
        """Denoiser in the coordinates of N examples; name: "network" (the first, fully trained), "truth", "memory"."""
        known = self.training[n]
        return {
            "network": lambda: self.course(n)[self.settings.looks[-1]],
            "truth": lambda: known.true_prior,
            "memory": lambda: known.memorized_prior,
        }[name]()

    # ---- walks with the waves --------------------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """Parts at a time: a GPU takes one."""
        return workers_on(self.device, self.settings.workers)

    @cached_property
    def walks(self) -> list[Walk]:
        """Every walk with the waves: of each network, then of exact priors, of further truths and finer data."""
        size, sizes, seed = self.settings, self.settings.sizes, 100 * self.seed
        num, few, first = size.num_samples, size.num_further, dict(zip(sizes, self.lessons, strict=False))
        walks = [Walk("network", taught.num_examples, taught.seed, num, lesson=taught) for taught in self.lessons]
        walks += [Walk(prior, n, seed, num) for prior in ("truth", "memory") for n in size.waves_for_exact]
        for truth in size.further_truths:
            walks += [Walk("network", n, seed, few, truth=truth, lesson=first[n]) for n in sizes]
            walks += [Walk("truth", 200, seed, few, truth=truth)]
        if size.finer:
            walks += [Walk("network", 200, seed, num, finer=True, lesson=first[200])]
        return walks

    @property
    def found(self) -> dict[Walk, GuidedSamples]:
        """What every walk has come to."""
        return {walk: self._result(walk) for walk in self.walks}

    # ---- what takes long -------------------------------------------------------------------------------------------

    @property
    def parts(self) -> list[Lesson | Walk]:
        """Every network and every walk with the waves."""
        return [*self.lessons, *self.walks]

    def needs(self, part: Lesson | Walk) -> list[Lesson]:
        """A walk of a network starts from its training."""
        return [part.lesson] if isinstance(part, Walk) and part.lesson else []

    def work(self, part: Lesson | Walk, earlier: Callable) -> dict[int, Denoiser] | GuidedSamples:
        """A training's networks, or a walk's samples. earlier: training -> its networks."""
        if isinstance(part, Lesson):
            return trained(part, self.store)
        taught = part.lesson
        prior = earlier(taught)[taught.looks[-1]] if taught else self.prior(part.prior, part.num_examples)
        return walked(part, prior, self.store)

    def run(self) -> None:
        """Train every network, draw every walk: with the waves, a network's as soon as it is trained, and then with F
        linearized. What the store has is read.
        """
        self.training, self.linear  # noqa: B018 - made once, before several threads ask for them
        results = side_by_side(self.parts, self.work, self.workers, self.tell)
        self._results.update(zip(self.parts, results, strict=True))
        kinds, num = [(prior, n) for prior in PRIORS for n in self.settings.sizes], self.settings.num_tangent
        tangents = self.each(kinds, lambda kind: self.tangent(*kind, num=num))
        self._results.update(zip(kinds, tangents, strict=True))

    def _result(self, what):
        expect(what in self._results, "study", "run() before its results are asked for", "none of them yet")
        return self._results[what]

    def seconds(self, part: Lesson | Walk) -> float:
        """What a part took, over all attempts at it."""
        return self.store.made(part.name, asdict(part))["seconds"]

    def with_waves(self, prior: str, n: int, *, truth: str = "published", finer: bool = False) -> list[GuidedSamples]:
        """The walks of one kind, from every seed; none where the settings have none."""
        kind = (prior, n, truth, finer)
        return [
            samples
            for walk, samples in self.found.items()
            if (walk.prior, walk.num_examples, walk.truth, walk.finer) == kind
        ]

    # ---- walks without -----------------------------------------------------------------------------------------------

    def tangent(
        self,
        prior: str,
        n: int,
        denoiser: Denoiser | None = None,
        *,
        num: int,
        step_size: float = STEP_SIZE,
        watched: Sequence[int] = (),
    ) -> TangentWalk:
        """The released sampler with F linearized at the truth; ``denoiser``: in place of the prior's own."""
        return tangent_walk(
            self.linear,
            self.training[n],
            denoiser or self.prior(prior, n),
            num,
            step_size=step_size,
            generator=self.generator(f"tangent {n}"),
            watched=watched,
        )

    @property
    def tangents(self) -> dict[tuple[str, int], TangentWalk]:
        """(prior, N) -> as many such walks as the settings say."""
        kinds = [(prior, n) for prior in PRIORS for n in self.settings.sizes]
        return {kind: self._result(kind) for kind in kinds}

    def each(self, items: Iterable, work: Callable) -> list:
        """``work(item)`` of each, as many at a time as parts, one thread each: for what is short and is not kept."""
        with one_thread_each(self.workers) as pool:
            return list(pool.map(work, items))

    def ratios(self, prior: str, n: int) -> torch.Tensor:
        """r of the walks with the waves where all priors have walked with them at this N, else of the linearized."""
        walks = self.with_waves(prior, n) if n in self.settings.waves_for_exact else [self.tangents[prior, n]]
        return self.training[n].ratio(torch.cat([walk.x for walk in walks]))
