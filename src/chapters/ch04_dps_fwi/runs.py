"""Chapter 4's long computations: training runs of networks, linearizations and sampling runs, each stored separately.

A run that is killed resumes from its checkpoint. Its result depends only on its own fields: runs may be executed in
parallel, one thread each, and in any order, and give the same bits.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch

from chapters.ch04_dps_fwi.unseen import LinearProblems, held_out_draws, unseen_inversion
from companion.jobs import part_name
from companion.store import Store
from memprior._check import expect
from memprior._random import generator_for
from memprior.denoiser import Denoiser, NetworkDenoiser
from memprior.fields import Standardizer
from memprior.guidance import GuidedSamples, released_step, sample_guided
from memprior.memorization import nearest_neighbors
from memprior.networks import ResidualMLP
from memprior.paper import (
    SIGMAS,
    STEP_SIZE,
    TRUTHS,
    TrainingSet,
    published_coefficients,
    published_inversion,
    standardized,
    start,
)
from memprior.sampling import trajectory
from memprior.training import TrainingPlan, snapshot_denoisers, snapshot_weights, snapshots

PRIORS = ("network", "truth", "memory")


@dataclass(frozen=True)
class TrainingRun:
    """The training of one network: its size, and the steps whose averaged weights are saved; the last one ends it."""

    num_examples: int
    seed: int
    width: int
    depth: int
    batch_size: int
    checkpoints: tuple[int, ...]

    @property
    def plan(self) -> TrainingPlan:
        """Noise levels cover the sampler's, .01 to 2.56, and a little above; standardized data have unit variance."""
        return TrainingPlan(self.checkpoints[-1], self.batch_size, 2e-3, 1e-4, 0.999, 0.01, 4.0)

    @property
    def name(self) -> str:
        return part_name(f"train_{self.num_examples}_{self.seed}", self)


@dataclass(frozen=True)
class Linearization:
    """F linearized at ``num`` truths of their own stream, from number ``first`` on, each with data of several draws."""

    first: int
    num: int
    num_draws: int

    @property
    def name(self) -> str:
        return part_name(f"linearize_{self.first}", self)


@dataclass(frozen=True)
class SamplingRun:
    """One run of the released sampler with the nonlinear (Helmholtz) operator, for one prior and one truth's data.

    prior: "network" (that of ``training_run``), "truth" (the true prior) or "memory" (the exactly memorized prior).
    truth: one of ``paper.TRUTHS``, or the number of an unseen truth. finer: data computed on a finer grid. pooled: the
    sampler's coordinates are those of the training and as many held-out models together. Runs of one seed start from
    the same noise. Raises ``ValueError`` for values that do not go together.
    """

    prior: str
    num_examples: int
    seed: int
    num_samples: int
    truth: str | int = "published"
    finer: bool = False
    pooled: bool = False
    training_run: TrainingRun | None = None

    def __post_init__(self):
        known = isinstance(self.truth, int) or self.truth in TRUTHS
        expect(known, "truth", f"one of {tuple(TRUTHS)}, or a number", self.truth)
        expect(not self.finer or isinstance(self.truth, str), "finer", "False for a numbered truth", self.finer)
        _expect_prior(self)

    @property
    def name(self) -> str:
        return part_name(f"sample_{self.prior}_{self.num_examples}_{self.truth}_{self.seed}", self)


@dataclass(frozen=True)
class UnseenRun:
    """The released sampler for many unseen truths at once, F linearized at each: ``num_samples`` for each noise draw.

    prior, pooled, training_run: those of a :class:`SamplingRun`. step: the checkpoint of the network, one of its
    training run's. parts: the linearizations.
    """

    prior: str
    num_examples: int
    seed: int
    num_samples: int
    parts: tuple[Linearization, ...]
    pooled: bool = False
    step: int | None = None
    training_run: TrainingRun | None = None

    def __post_init__(self):
        _expect_prior(self)
        steps = self.training_run.checkpoints if self.training_run else (None,)
        expect(self.step in steps, "step", f"one of {steps}", self.step)

    @property
    def name(self) -> str:
        return part_name(f"unseen_{self.prior}_{self.num_examples}_{self.seed}", self)


def _expect_prior(run) -> None:
    expect(run.prior in PRIORS, "prior", f"one of {PRIORS}", run.prior)
    matches = run.training_run is not None and run.training_run.num_examples == run.num_examples
    expect(
        matches if run.prior == "network" else run.training_run is None,
        "training_run",
        f"that of a network of {run.num_examples} examples, for a network alone",
        run.training_run,
    )
    expect(not (run.pooled and run.prior == "network"), "pooled", "False for a network, trained in its own", run.pooled)


def coordinates(num_examples: int, device: torch.device, *, pooled: bool = False) -> TrainingSet:
    """N published examples in the paper's coordinates, standardized by them, or by them and N held-out models."""
    training = TrainingSet.published(num_examples, device)
    if not pooled:
        return training
    both = torch.cat([published_coefficients(num_examples), held_out_draws(num_examples)])
    return TrainingSet(training.examples, Standardizer.fit(both).to(device))


def trained(run: TrainingRun, store: Store) -> dict[int, NetworkDenoiser]:
    """step -> the network with averaged weights, at each checkpoint of the training run."""
    examples = TrainingSet.published(run.num_examples, store.device).standardized

    def network() -> ResidualMLP:
        weights = generator_for(f"weights {run.seed}")
        return ResidualMLP(examples.shape[1], run.width, run.depth, generator=weights, device=store.device)

    def compute(folder: Path) -> dict[str, torch.Tensor]:
        batches = generator_for(f"batches {run.num_examples} {run.seed}")
        denoiser, steps = NetworkDenoiser(network(), 1.0), run.checkpoints
        return snapshot_weights(snapshots(denoiser, examples, run.plan, steps, generator=batches, folder=folder))

    return snapshot_denoisers(store.tensors(run.name, asdict(run), compute), network, 1.0)


def build_prior(name: str, training: TrainingSet, networks: dict[int, Denoiser]) -> Denoiser:
    """One of :data:`PRIORS` in the coordinates of a training set. networks: step -> network; the last is it."""
    if name == "network":
        return networks[max(networks)]
    return training.true_prior if name == "truth" else training.memorized_prior


def linearized(part: Linearization, store: Store) -> LinearProblems:
    """F linearized at the truths of ``part``."""

    def compute(_: Path) -> dict[str, torch.Tensor]:
        problems = LinearProblems.linearized(part.first, part.num, part.num_draws, store.device)
        return {one.name: getattr(problems, one.name) for one in fields(problems)}

    return LinearProblems(**store.tensors(part.name, asdict(part), compute))


def sampled(run: SamplingRun, denoiser: Denoiser, store: Store) -> GuidedSamples:
    """Samples in raw coefficients and their misfits at every step. The Helmholtz operator is in complex64.

    denoiser: the prior that ``run`` names, in its coordinates.
    """
    training = coordinates(run.num_examples, store.device, pooled=run.pooled)

    def compute(folder: Path) -> dict[str, torch.Tensor]:
        if isinstance(run.truth, int):
            inversion = unseen_inversion(run.truth, store.device)
        else:
            inversion = published_inversion(torch.complex64, store.device, truth=run.truth, finer=run.finer)
        generator = generator_for(f"start {run.seed}")
        result = sample_guided(
            denoiser,
            start(run.num_samples, inversion.truth, generator=generator),
            SIGMAS,
            step=released_step(standardized(inversion.likelihood, training.standardizer), STEP_SIZE),
            generator=generator,
            checkpoint=folder / "run.safetensors",
            identity=asdict(run) | {"step_size": STEP_SIZE},
        )
        return {"x": result.x, "misfits": result.misfits}

    samples = GuidedSamples(**store.tensors(run.name, asdict(run), compute))
    return GuidedSamples(training.standardizer.restore(samples.x), samples.misfits)


@dataclass(frozen=True, eq=False)
class UnseenSamples:
    """Of K truths and D draws of the noise of each.

    x: raw samples, (K, D, S, 100). losses: the misfit over its expectation at the truth, m / 2, at every step, (T, K).
    to_training, to_held_out: distance of the denoised samples to the nearest of the N training models, and of as many
    held-out ones, (T, K), raw. All but x are means over draws and samples.
    """

    x: torch.Tensor
    losses: torch.Tensor
    to_training: torch.Tensor
    to_held_out: torch.Tensor


def sampled_unseen(run: UnseenRun, denoiser: Denoiser, problems: LinearProblems, store: Store) -> UnseenSamples:
    """The samples of ``run``. denoiser: the prior that it names, in its coordinates."""
    training = coordinates(run.num_examples, store.device, pooled=run.pooled)
    held_out = held_out_draws(run.num_examples).to(store.device)
    num_truths, num_draws = problems.observed.shape[:2]

    def by_truth(values: torch.Tensor) -> torch.Tensor:
        """Means of what every sample has, (K,)."""
        return values.unflatten(0, (num_truths, -1)).mean(1)

    def compute(_: Path) -> dict[str, torch.Tensor]:
        generator = generator_for(f"start {run.seed}")
        step = released_step(standardized(problems.likelihood(run.num_samples), training.standardizer), STEP_SIZE)
        first = start(num_truths * num_draws * run.num_samples, problems.truths, generator=generator)
        losses, to_training, to_held_out = [], [], []
        for state in trajectory(denoiser, first, SIGMAS, step=step, generator=generator):
            rests = problems.rests.mean(1)
            losses.append((by_truth(state.misfit) + rests) / (problems.num_data / 2))
            denoised = training.standardizer.restore(state.denoised)
            for models, distances in ((training.examples, to_training), (held_out, to_held_out)):
                distances.append(by_truth(nearest_neighbors(denoised, models, 1).distances[:, 0]))
        samples = training.standardizer.restore(state.x).unflatten(0, (num_truths, num_draws, run.num_samples))
        along = {"losses": losses, "to_training": to_training, "to_held_out": to_held_out}
        return {"x": samples} | {name: torch.stack(values) for name, values in along.items()}

    return UnseenSamples(**store.tensors(run.name, asdict(run), compute))
