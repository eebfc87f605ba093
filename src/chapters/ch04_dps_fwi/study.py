"""Chapter 4's experiment as one object: its training runs, its sampling runs, and their results.

Only :meth:`Study.run` trains networks and draws samples. It does so in parts (`runs`), which the store keeps.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from chapters.ch04_dps_fwi import runs
from chapters.ch04_dps_fwi.measures import LinearizedRun, sample_linearized
from chapters.ch04_dps_fwi.runs import PRIORS, SamplingRun, TrainingRun, build_prior, sampled, trained
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

    seed: that of the notebook; training and sampling runs take 100 seed, 100 seed + 1, ... store: keeps their results.
    generator: purpose -> random generator, for short computations. tell: called with a message as each part ends.
    """

    settings: "Settings"
    seed: int
    store: Store
    generator: Callable[[str], torch.Generator]
    tell: Callable[[str], None]
    _results: dict = field(default_factory=dict, init=False)

    @classmethod
    def of(cls, run: Run, tell: Callable[[str], None]) -> "Study":
        """The study of one run of the notebook."""
        return cls(run.settings, run.seed, run.store(runs.__name__), run.generator, tell)

    @property
    def device(self) -> torch.device:
        """The device on which everything is computed."""
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
    def training_runs(self) -> list[TrainingRun]:
        """One for every N and seed."""
        size, network = self.settings, self.settings.network
        kind = network.width, network.depth, network.batch_size, size.checkpoints
        seeds = [100 * self.seed + k for k in range(size.num_seeds)]
        return [TrainingRun(n, k, *kind) for k in seeds for n in size.sizes]

    @property
    def networks(self) -> dict[TrainingRun, dict[int, Denoiser]]:
        """Training run -> step -> network at that step."""
        return {part: self._result(part) for part in self.training_runs}

    def training_history(self, n: int) -> dict[int, Denoiser]:
        """Step -> network at that step, of the first training run on N examples."""
        return self.networks[self.training_runs[self.settings.sizes.index(n)]]

    def prior(self, name: str, n: int) -> Denoiser:
        """Denoiser in the coordinates of N examples; name: "network" (the first, fully trained), "truth", "memory"."""
        return build_prior(name, self.training[n], self.training_history(n) if name == "network" else {})

    # ---- sampling runs with the nonlinear operator -----------------------------------------------------------------

    @property
    def workers(self) -> int:
        """How many parts run in parallel: one on a GPU."""
        return workers_on(self.device, self.settings.workers)

    @cached_property
    def sampling_runs(self) -> list[SamplingRun]:
        """Every run with the nonlinear operator: each network, then exact priors, further truths and finer data."""
        size, sizes, seed = self.settings, self.settings.sizes, 100 * self.seed
        num, few, first = size.num_samples, size.num_further, dict(zip(sizes, self.training_runs, strict=False))
        runs = [SamplingRun("network", run.num_examples, run.seed, num, training_run=run) for run in self.training_runs]
        runs += [SamplingRun(prior, n, seed, num) for prior in ("truth", "memory") for n in size.waves_for_exact]
        for truth in size.further_truths:
            runs += [SamplingRun("network", n, seed, few, truth=truth, training_run=first[n]) for n in sizes]
            runs += [SamplingRun("truth", 200, seed, few, truth=truth)]
        if size.finer:
            runs += [SamplingRun("network", 200, seed, num, finer=True, training_run=first[200])]
        return runs

    @property
    def samples(self) -> dict[SamplingRun, GuidedSamples]:
        """The samples of every sampling run."""
        return {part: self._result(part) for part in self.sampling_runs}

    # ---- long computations -----------------------------------------------------------------------------------------

    @property
    def parts(self) -> list[TrainingRun | SamplingRun]:
        """Every training run and every sampling run with the nonlinear operator."""
        return [*self.training_runs, *self.sampling_runs]

    def needs(self, part: TrainingRun | SamplingRun) -> list[TrainingRun]:
        """A sampling run with a network needs that network's training run."""
        return [part.training_run] if isinstance(part, SamplingRun) and part.training_run else []

    def arguments(self, part: TrainingRun | SamplingRun) -> dict:
        """Its fields say all."""
        return asdict(part)

    def work(self, part: TrainingRun | SamplingRun, earlier: Callable) -> dict[int, Denoiser] | GuidedSamples:
        """The networks of a training run, or the samples of a sampling run. earlier: training run -> its networks."""
        if isinstance(part, TrainingRun):
            return trained(part, self.store)
        networks = earlier(part.training_run) if part.training_run else {}
        prior = build_prior(part.prior, self.training[part.num_examples], networks)
        return sampled(part, prior, self.store)

    def run(self) -> None:
        """Train every network and draw all samples: first with the nonlinear operator, each network's as soon as it is
        trained, then with F linearized. Results that the store already has are read.
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

    def seconds(self, part: TrainingRun | SamplingRun) -> float:
        """Wall time of a part in seconds, over all attempts."""
        return self.store.made(part.name, self.arguments(part))["seconds"]

    def nonlinear_runs(
        self, prior: str, n: int, *, truth: str = "published", finer: bool = False
    ) -> list[GuidedSamples]:
        """Samples of one kind of run with the nonlinear operator, one entry per seed; [] if there is none."""
        kind = (prior, n, truth, finer)
        return [
            samples
            for run, samples in self.samples.items()
            if (run.prior, run.num_examples, run.truth, run.finer) == kind
        ]

    # ---- sampling runs with F linearized -----------------------------------------------------------------------------

    def tangent(
        self,
        prior: str,
        n: int,
        denoiser: Denoiser | None = None,
        *,
        num: int,
        step_size: float = STEP_SIZE,
        watched: Sequence[int] = (),
    ) -> LinearizedRun:
        """The released sampler with F linearized at the truth. denoiser: replaces the prior's own."""
        return sample_linearized(
            self.linear,
            self.training[n],
            denoiser or self.prior(prior, n),
            num,
            step_size=step_size,
            generator=self.generator(f"tangent {n}"),
            watched=watched,
        )

    @property
    def tangents(self) -> dict[tuple[str, int], LinearizedRun]:
        """(prior, N) -> ``settings.num_tangent`` samples with F linearized."""
        kinds = [(prior, n) for prior in PRIORS for n in self.settings.sizes]
        return {kind: self._result(kind) for kind in kinds}

    def each(self, items: Iterable, work: Callable) -> list:
        """``work(item)`` of each item, in parallel with one thread each: for short work that is not stored."""
        with one_thread_each(self.workers) as pool:
            return list(pool.map(work, items))

    def ratios(self, prior: str, n: int) -> torch.Tensor:
        """r of the samples with the nonlinear operator where every prior has them at this N, else with F linearized."""
        runs = self.nonlinear_runs(prior, n) if n in self.settings.waves_for_exact else [self.tangents[prior, n]]
        return self.training[n].ratio(torch.cat([run.x for run in runs]))
