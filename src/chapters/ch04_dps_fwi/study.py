"""Chapter 4's experiment as one object: what is trained, what walks, and where it is found again.

Nothing is computed before it is asked for; what takes long is done in parts (`dps_parts`) and kept.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from chapters.ch04_dps_fwi.kept_runs import Samples
from chapters.ch04_dps_fwi.measures import TangentWalk, tangent_walk
from chapters.ch04_dps_fwi.runs import PRIORS, Lesson, Walk, trained, walked
from chapters.ch04_dps_fwi.settings import Settings
from companion.jobs import one_thread_each, side_by_side, workers_on
from memprior.denoiser import Denoiser
from memprior.likelihood import GaussianLikelihood
from memprior.paper import STEP_SIZE, Inversion, TrainingSet, published_inversion, tangent


@dataclass(frozen=True, eq=False)
class Study:
    """The paper's FWI experiment at the sizes of ``settings`` (04_dps_fwi of notebooks/profiles.yml).

    seed: that of the notebook; networks and walks take 100 seed, 100 seed + 1, ... folder: keeps the parts, those that
    are done only where ``unfinished`` is given for the others (`companion.jobs.kept_part`).
    generator: purpose -> randomness, for all that is short. tell: hears of every part that is done.
    """

    settings: Settings
    seed: int
    device: torch.device
    folder: Path
    generator: Callable[[str], torch.Generator]
    tell: Callable[[str], None]
    unfinished: Path | None = None

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
        return {lesson: self._done[lesson] for lesson in self.lessons}

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

    @cached_property
    def found(self) -> dict[Walk, Samples]:
        """What every walk has come to."""
        return {walk: self._done[walk] for walk in self.walks}

    @cached_property
    def _done(self) -> dict[Lesson | Walk, dict[int, Denoiser] | Samples]:
        """What every long part has come to: a network walks as soon as it is trained."""
        self.training  # noqa: B018 - read once, before several threads ask for it

        def work(part: Lesson | Walk, earlier: Callable):
            if isinstance(part, Lesson):
                return trained(part, self.folder, self.device, self.unfinished)
            taught = part.lesson
            prior = earlier(taught)[taught.looks[-1]] if taught else self.prior(part.prior, part.num_examples)
            return walked(part, prior, self.folder, self.device, self.unfinished)

        parts = [*self.lessons, *self.walks]
        return dict(zip(parts, side_by_side(parts, work, self.workers, self.tell), strict=True))

    def with_waves(self, prior: str, n: int, *, truth: str = "published", finer: bool = False) -> list[Samples]:
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

    @cached_property
    def tangents(self) -> dict[tuple[str, int], TangentWalk]:
        """(prior, N) -> as many such walks as the settings say."""
        kinds = [(prior, n) for prior in PRIORS for n in self.settings.sizes]
        num = self.settings.num_tangent
        self._done, self.linear  # noqa: B018 - made once, before several threads ask for them
        return dict(zip(kinds, self.each(kinds, lambda kind: self.tangent(*kind, num=num)), strict=True))

    def each(self, items: Iterable, work: Callable) -> list:
        """``work(item)`` of each, as many at a time as parts, one thread each: for what is short and is not kept."""
        with one_thread_each(self.workers) as pool:
            return list(pool.map(work, items))

    def ratios(self, prior: str, n: int) -> torch.Tensor:
        """r of the walks with the waves where all priors have walked with them at this N, else of the linearized."""
        walks = self.with_waves(prior, n) if n in self.settings.waves_for_exact else [self.tangents[prior, n]]
        return self.training[n].ratio(torch.cat([walk.x for walk in walks]))
