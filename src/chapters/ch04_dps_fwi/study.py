"""Chapter 4's experiment as one object: its training runs, its sampling runs, and their results.

Only :meth:`Study.run` trains networks and draws samples. It does so in parts (`runs`), which the store keeps.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from chapters.ch04_dps_fwi import runs
from chapters.ch04_dps_fwi.measures import sample_linearized
from chapters.ch04_dps_fwi.runs import (
    PRIORS,
    Linearization,
    SamplingRun,
    TrainingRun,
    UnseenRun,
    UnseenSamples,
    build_prior,
    coordinates,
    linearized,
    sampled,
    sampled_unseen,
    trained,
)
from chapters.ch04_dps_fwi.unseen import LinearProblems, held_out_draws
from companion.jobs import LongWork, one_thread_each
from memprior.denoiser import Denoiser
from memprior.guidance import GuidedSamples
from memprior.likelihood import GaussianLikelihood
from memprior.paper import STEP_SIZE, Inversion, TrainingSet, published_inversion, tangent

Long = TrainingRun | Linearization | UnseenRun | SamplingRun

if TYPE_CHECKING:  # what settings may be changes no result
    from chapters.ch04_dps_fwi.settings import Settings


class Study(LongWork):
    """The paper's FWI experiment at the sizes of ``settings`` (04_dps_fwi of notebooks/profiles.yml).

    Training and sampling runs take seeds 100 seed, 100 seed + 1, ...
    """

    settings: "Settings"
    computed_by = runs.__name__

    @cached_property
    def training(self) -> dict[int, TrainingSet]:
        """N -> the published examples."""
        return {n: TrainingSet.published(n, self.device) for n in self.settings.sizes}

    @cached_property
    def held_out(self) -> torch.Tensor:
        """Fields that are in no training set, (num_held_out, 100), raw; the swap test takes the first N."""
        return held_out_draws(self.settings.num_held_out).to(self.device)

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
    def training_runs(self) -> list[TrainingRun]:
        """One for every N and seed."""
        size, network = self.settings, self.settings.network
        kind = network.width, network.depth, network.batch_size, size.checkpoints
        seeds = [100 * self.seed + k for k in range(size.num_seeds)]
        return [TrainingRun(n, k, *kind) for k in seeds for n in size.sizes]

    @cached_property
    def first(self) -> dict[int, TrainingRun]:
        """N -> the training run of the first seed."""
        return dict(zip(self.settings.sizes, self.training_runs, strict=False))

    def training_history(self, n: int) -> dict[int, Denoiser]:
        """Step -> network at that step, of the first training run on N examples."""
        return self.result(self.first[n])

    def prior(self, name: str, n: int) -> Denoiser:
        """Denoiser in the coordinates of N examples; name: "network" (the first, fully trained), "truth", "memory"."""
        return build_prior(name, self.training[n], self.training_history(n) if name == "network" else {})

    # ---- unseen truths, F linearized at each -----------------------------------------------------------------------

    @cached_property
    def linearizations(self) -> tuple[Linearization, ...]:
        """Of all unseen truths, some in each part."""
        size = self.settings.unseen
        starts = range(0, size.num_truths, size.num_together)
        nums = [min(size.num_together, size.num_truths - first) for first in starts]
        return tuple(Linearization(first, num, size.num_draws) for first, num in zip(starts, nums, strict=True))

    @cached_property
    def problems(self) -> LinearProblems:
        """The inversions of all unseen truths."""
        return LinearProblems.joined([self.result(part) for part in self.linearizations])

    @cached_property
    def unseen_runs(self) -> list[UnseenRun]:
        """Each network, the exact priors, the true prior in pooled coordinates; then first networks as they train."""
        parts, num, seed = self.linearizations, self.settings.unseen.num_samples, 100 * self.seed
        last = self.settings.checkpoints[-1]
        runs = [
            UnseenRun("network", one.num_examples, one.seed, num, parts, step=last, training_run=one)
            for one in self.training_runs
        ]
        for n in self.settings.sizes:
            runs += [UnseenRun("memory", n, seed, num, parts)]
            runs += [UnseenRun("truth", n, seed, num, parts, pooled=pooled) for pooled in (True, False)]
        for step in self.settings.checkpoints[:-1]:
            runs += [
                UnseenRun("network", n, one.seed, num, parts, step=step, training_run=one)
                for n, one in self.first.items()
            ]
        return runs

    def unseen(self, prior: str, n: int, *, pooled: bool = False, step: int | None = None) -> list[UnseenSamples]:
        """Samples for all unseen truths, one entry for each seed. step: of the network, the last unless it is given."""
        step = (step or self.settings.checkpoints[-1]) if prior == "network" else None
        kind = prior, n, pooled, step
        return [
            self.result(run) for run in self.unseen_runs if (run.prior, run.num_examples, run.pooled, run.step) == kind
        ]

    # ---- sampling runs with the nonlinear operator -----------------------------------------------------------------

    @cached_property
    def sampling_runs(self) -> list[SamplingRun]:
        """Every run with the nonlinear operator: the published truth, data from a finer grid, some unseen truths."""
        size, sizes, seed, few = self.settings, self.settings.sizes, 100 * self.seed, self.settings.unseen
        runs = [
            SamplingRun("network", one.num_examples, one.seed, size.num_samples, training_run=one)
            for one in self.training_runs
        ]
        for prior, pooled in (("truth", True), ("memory", False)):
            runs += [SamplingRun(prior, n, seed, size.num_samples, pooled=pooled) for n in size.waves_for_exact]
        if size.finer:
            runs += [SamplingRun("network", 200, seed, size.num_samples, finer=True, training_run=self.first[200])]
        for truth in range(few.num_nonlinear):
            kind = {"num_samples": few.num_nonlinear_samples, "truth": truth, "seed": seed}
            runs += [SamplingRun("network", num_examples=n, training_run=self.first[n], **kind) for n in sizes]
            runs += [SamplingRun("truth", num_examples=n, pooled=True, **kind) for n in sizes]
            runs += [SamplingRun("memory", num_examples=n, **kind) for n in sizes]
        return runs

    @property
    def samples(self) -> dict[SamplingRun, GuidedSamples]:
        """The samples of every sampling run."""
        return {part: self.result(part) for part in self.sampling_runs}

    # ---- long computations -----------------------------------------------------------------------------------------

    @cached_property
    def parts(self) -> list[Long]:
        """Training runs, linearizations, and sampling runs with F linearized and with the nonlinear operator."""
        return [*self.training_runs, *self.linearizations, *self.unseen_runs, *self.sampling_runs]

    def needs(self, part: Long) -> list[Long]:
        """A sampling run needs its network's training run, and the linearizations of its truths."""
        training = [part.training_run] if getattr(part, "training_run", None) else []
        return [*training, *part.parts] if isinstance(part, UnseenRun) else training

    def work(self, part: Long, earlier: Callable):
        """Networks of a training run, problems of a linearization, or samples. earlier: needed part -> its result."""
        if isinstance(part, TrainingRun):
            return trained(part, self.store)
        if isinstance(part, Linearization):
            return linearized(part, self.store)
        networks = earlier(part.training_run) if part.training_run else {}
        if isinstance(part, UnseenRun) and part.step is not None:
            networks = {part.step: networks[part.step]}
        prior = build_prior(part.prior, coordinates(part.num_examples, self.device, pooled=part.pooled), networks)
        if isinstance(part, SamplingRun):
            return sampled(part, prior, self.store)
        problems = LinearProblems.joined([earlier(one) for one in part.parts])
        return sampled_unseen(part, prior, problems, self.store)

    def run(self) -> None:
        """Every part, then the sampler with F linearized at the published truth."""
        self.training, self.linear  # noqa: B018 - made once, before several threads ask for them
        super().run()
        kinds, num = [(prior, n) for prior in PRIORS for n in self.settings.sizes], self.settings.num_tangent
        tangents = self.each(kinds, lambda kind: self.tangent(*kind, num=num))
        self._results.update(zip(kinds, tangents, strict=True))

    def nonlinear_runs(
        self, prior: str, n: int, *, truth: str | int = "published", finer: bool = False
    ) -> list[GuidedSamples]:
        """Samples of one kind of run with the nonlinear operator, one entry per seed; [] if there is none."""
        kind = (prior, n, truth, finer)
        return [
            samples
            for run, samples in self.samples.items()
            if (run.prior, run.num_examples, run.truth, run.finer) == kind
        ]

    # ---- the published truth with F linearized ---------------------------------------------------------------------

    def tangent(self, prior: str, n: int, *, num: int, step_size: float = STEP_SIZE) -> GuidedSamples:
        """The released sampler with F linearized at the published truth."""
        return sample_linearized(
            self.linear,
            self.training[n],
            self.prior(prior, n),
            num,
            step_size=step_size,
            generator=self.generator(f"tangent {n}"),
        )

    @property
    def tangents(self) -> dict[tuple[str, int], GuidedSamples]:
        """(prior, N) -> ``settings.num_tangent`` samples with F linearized."""
        kinds = [(prior, n) for prior in PRIORS for n in self.settings.sizes]
        return {kind: self.result(kind) for kind in kinds}

    def each(self, items: Iterable, work: Callable) -> list:
        """``work(item)`` of each item, in parallel with one thread each: for short work that is not stored."""
        with one_thread_each(self.workers) as pool:
            return list(pool.map(work, items))

    def ratios(self, prior: str, n: int) -> torch.Tensor:
        """r of the samples with the nonlinear operator where every prior has them at this N, else with F linearized."""
        runs = self.nonlinear_runs(prior, n) if n in self.settings.waves_for_exact else [self.tangents[prior, n]]
        return self.training[n].ratio(torch.cat([run.x for run in runs]))
