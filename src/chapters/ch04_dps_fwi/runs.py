"""Chapter 4's long computations: training runs of networks and sampling runs, each stored separately.

A run that is killed resumes from its checkpoint. Its result depends only on its own fields: runs may be executed in
parallel, one thread each, and in any order, and give the same bits.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from companion.jobs import part_name
from companion.store import Store
from memprior._check import expect
from memprior._random import generator_for
from memprior.denoiser import Denoiser, NetworkDenoiser
from memprior.guidance import GuidedSamples, released_step, sample_guided
from memprior.networks import ResidualMLP
from memprior.paper import SIGMAS, STEP_SIZE, TRUTHS, TrainingSet, published_inversion, standardized, start
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
class SamplingRun:
    """One run of the released sampler with the nonlinear (Helmholtz) operator, for one prior and one truth's data.

    prior: "network" (that of ``training_run``), "truth" (the true prior) or "memory" (the exactly memorized prior).
    truth: one of ``paper.TRUTHS``. finer: data computed on a finer grid. Runs of one seed start from the same noise.
    Raises ``ValueError`` for another prior or truth.
    """

    prior: str
    num_examples: int
    seed: int
    num_samples: int
    truth: str = "published"
    finer: bool = False
    training_run: TrainingRun | None = None

    def __post_init__(self):
        expect(self.prior in PRIORS, "prior", f"one of {PRIORS}", self.prior)
        expect(self.truth in TRUTHS, "truth", f"one of {tuple(TRUTHS)}", self.truth)
        matches = self.training_run is not None and self.training_run.num_examples == self.num_examples
        expect(
            matches if self.prior == "network" else self.training_run is None,
            "training_run",
            f"that of a network of {self.num_examples} examples, for a network alone",
            self.training_run,
        )

    @property
    def name(self) -> str:
        return part_name(f"sample_{self.prior}_{self.num_examples}_{self.truth}_{self.seed}", self)


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


def sampled(run: SamplingRun, denoiser: Denoiser, store: Store) -> GuidedSamples:
    """Samples in raw coefficients and their misfits at every step. The Helmholtz operator is in complex64.

    denoiser: the prior that ``run`` names, in standardized coordinates.
    """
    training = TrainingSet.published(run.num_examples, store.device)

    def compute(folder: Path) -> dict[str, torch.Tensor]:
        inversion = published_inversion(torch.complex64, store.device, truth=run.truth, finer=run.finer)
        generator = generator_for(f"start {run.seed}")
        result = sample_guided(
            denoiser,
            start(run.num_samples, inversion.truth, generator=generator),
            SIGMAS,
            step=released_step(standardized(inversion.likelihood, training.standardizer), STEP_SIZE),
            generator=generator,
            checkpoint=folder / "run.safetensors",
            identity=asdict(run),
        )
        return {"x": result.x, "misfits": result.misfits}

    samples = GuidedSamples(**store.tensors(run.name, asdict(run), compute))
    return GuidedSamples(training.standardizer.restore(samples.x), samples.misfits)
