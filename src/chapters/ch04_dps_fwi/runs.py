"""Chapter 4's long work in parts that are kept apart: networks that train, samplers that walk.

A part that is killed goes on where it was, and depends on nothing but itself and what it names: parts run side by side,
one thread each, and give the same bits in whatever order they come.
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
class Lesson:
    """One network to train: how large, how long, and at which steps it is looked at, the last of them included."""

    num_examples: int
    seed: int
    width: int
    depth: int
    batch_size: int
    looks: tuple[int, ...]

    @property
    def plan(self) -> TrainingPlan:
        """Levels are those the sampler walks, .01 to 2.56, and a little above; standardized data have spread 1."""
        return TrainingPlan(self.looks[-1], self.batch_size, 2e-3, 1e-4, 0.999, 0.01, 4.0)

    @property
    def name(self) -> str:
        return part_name(f"train_{self.num_examples}_{self.seed}", self)


@dataclass(frozen=True)
class Walk:
    """One run of the released sampler with the waves, from one prior to the data of one truth.

    prior: "network" (that of ``lesson``), "truth" or "memory". truth: one of ``dps_fwi.TRUTHS``. finer: data of a finer
    grid. Walks of one seed start from the same noise. Raises ``ValueError`` for another prior or truth.
    """

    prior: str
    num_examples: int
    seed: int
    num_samples: int
    truth: str = "published"
    finer: bool = False
    lesson: Lesson | None = None

    def __post_init__(self):
        expect(self.prior in PRIORS, "prior", f"one of {PRIORS}", self.prior)
        expect(self.truth in TRUTHS, "truth", f"one of {tuple(TRUTHS)}", self.truth)
        taught = self.lesson is not None and self.lesson.num_examples == self.num_examples
        expect(
            taught if self.prior == "network" else self.lesson is None,
            "lesson",
            f"that of a network of {self.num_examples} examples, for a network alone",
            self.lesson,
        )

    @property
    def name(self) -> str:
        return part_name(f"walk_{self.prior}_{self.num_examples}_{self.truth}_{self.seed}", self)


def trained(lesson: Lesson, store: Store) -> dict[int, NetworkDenoiser]:
    """step -> the averaged network there, at each of the lesson's looks."""
    inside = TrainingSet.published(lesson.num_examples, store.device).standardized

    def network() -> ResidualMLP:
        weights = generator_for(f"weights {lesson.seed}")
        return ResidualMLP(inside.shape[1], lesson.width, lesson.depth, generator=weights, device=store.device)

    def compute(folder: Path) -> dict[str, torch.Tensor]:
        batches = generator_for(f"batches {lesson.num_examples} {lesson.seed}")
        told = {"generator": batches, "folder": folder}
        passed = snapshots(NetworkDenoiser(network(), 1.0), inside, lesson.plan, lesson.looks, **told)
        return snapshot_weights(passed)

    return snapshot_denoisers(store.tensors(lesson.name, asdict(lesson), compute), network, 1.0)


def walked(walk: Walk, denoiser: Denoiser, store: Store) -> GuidedSamples:
    """The samples in raw coefficients, and the misfits on the way, waves in complex64.

    denoiser: the prior that ``walk`` names, in standardized coordinates.
    """
    training = TrainingSet.published(walk.num_examples, store.device)

    def compute(folder: Path) -> dict[str, torch.Tensor]:
        inversion = published_inversion(torch.complex64, store.device, truth=walk.truth, finer=walk.finer)
        generator = generator_for(f"start {walk.seed}")
        found = sample_guided(
            denoiser,
            start(walk.num_samples, inversion.truth, generator=generator),
            SIGMAS,
            step=released_step(standardized(inversion.likelihood, training.standardizer), STEP_SIZE),
            generator=generator,
            checkpoint=folder / "run.safetensors",
            identity=asdict(walk),
        )
        return {"x": found.x, "misfits": found.misfits}

    found = GuidedSamples(**store.tensors(walk.name, asdict(walk), compute))
    return GuidedSamples(training.standardizer.restore(found.x), found.misfits)
