"""Chapter 4's long work in parts that are kept apart: networks that train, samplers that walk.

A part that is killed goes on where it was, and depends on nothing but itself: parts run side by side, one thread each,
and give the same bits in whatever order they come.
"""

import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from memprior._check import expect, expect_whole
from memprior.denoiser import Denoiser, NetworkDenoiser
from memprior.experiments.dps_fwi import (
    SIGMAS,
    STEP_SIZE,
    TRUTHS,
    TrainingSet,
    published_inversion,
    standardized,
    start,
)
from memprior.experiments.kept_runs import Samples, kept_run
from memprior.guidance import released_step
from memprior.networks import ResidualMLP
from memprior.training import TrainingPlan, canonical, snapshots

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


def part_name(readable: str, part) -> str:
    """A file or folder of its own for every part, a dataclass, however little two of them differ."""
    digest = hashlib.sha256(json.dumps(canonical("part", asdict(part))).encode()).hexdigest()[:8]
    return f"{readable.replace(' ', '_')}-{digest}"


def generator_for(purpose: str) -> torch.Generator:
    """Randomness, the CPU's on every device, that depends on nothing but its purpose."""
    digest = hashlib.sha256(purpose.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def workers_on(device: torch.device, asked: int) -> int:
    """Parts at a time: a GPU has one queue, in which two would only wait for each other, and one memory."""
    return asked if device.type == "cpu" else 1


@contextmanager
def kept_part(name: str, folder: Path, unfinished: Path | None):
    """The folder that a part works in: ``folder`` / name once it is done, until then below ``unfinished``, if given.

    A finished part is one device's, whose rounding it has: ``folder`` may be that device's alone. What is begun is
    everybody's: it goes on where it is taken up.
    """
    done = folder / name
    home = done if unfinished is None or done.is_dir() else unfinished / name
    home.mkdir(parents=True, exist_ok=True)
    yield home
    if home != done:
        folder.mkdir(parents=True, exist_ok=True)
        os.replace(home, done)


def trained(
    lesson: Lesson, folder: Path, device: torch.device, unfinished: Path | None = None
) -> dict[int, NetworkDenoiser]:
    """step -> the averaged network there, at each of the lesson's looks; kept by :func:`kept_part`."""
    inside = TrainingSet.published(lesson.num_examples, device).standardized
    weights = generator_for(f"weights {lesson.seed}")
    network = ResidualMLP(inside.shape[1], lesson.width, lesson.depth, generator=weights, device=device)
    denoiser, found = NetworkDenoiser(network, 1.0), {}
    batches = generator_for(f"batches {lesson.num_examples} {lesson.seed}")
    with kept_part(lesson.name, folder, unfinished) as home:
        cost = Cost(home / "cost.json")
        for step, average in snapshots(denoiser, inside, lesson.plan, lesson.looks, generator=batches, folder=home):
            average.network.requires_grad_(False)  # a sampler would carry every step's graph along
            found[step] = average
            cost.write()
    return found


def walked(
    walk: Walk, denoiser: Denoiser, folder: Path, device: torch.device, unfinished: Path | None = None
) -> Samples:
    """The samples in raw coefficients, and the misfits on the way, waves in complex64; kept by :func:`kept_part`.

    denoiser: the prior that ``walk`` names, in standardized coordinates.
    """
    training = TrainingSet.published(walk.num_examples, device)
    inversion = published_inversion(torch.complex64, device, truth=walk.truth, finer=walk.finer)
    released = released_step(standardized(inversion.likelihood, training.standardizer), STEP_SIZE)

    randomness = generator_for(f"start {walk.seed}")
    first = start(walk.num_samples, inversion.truth, generator=randomness)
    with kept_part(walk.name, folder, unfinished) as home:
        cost = Cost(home / "cost.json")

        def step(*args, **kwargs):
            cost.write()
            return released(*args, **kwargs)

        found = kept_run(
            denoiser,
            first,
            SIGMAS,
            step=step,
            generator=randomness,
            file=home / "run.safetensors",
            identity=asdict(walk),
            save_every=5,
        )
        cost.write()
    return Samples(training.standardizer.restore(found.x), found.misfits)


class Cost:
    """Seconds that a part has taken over all of its attempts, and the most memory its process has held, in ``file``."""

    def __init__(self, file: Path):
        self.file, self._began = file, time.perf_counter()
        self._before = _read_cost(file) if file.is_file() else {"seconds": 0.0, "peak_mb": 0.0}

    def write(self) -> None:
        """What it has cost until now; nothing where a part is only found again."""
        unit = 1024**2 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
        seconds = self._before["seconds"] + time.perf_counter() - self._began
        if seconds - self._before["seconds"] < 1 and self.file.is_file():
            return
        partial = self.file.with_suffix(".partial")
        cost = {"seconds": seconds, "peak_mb": max(peak, self._before["peak_mb"])}
        partial.write_text(json.dumps(cost | {"digest": _digest(self.file, cost)}))
        os.replace(partial, self.file)


def costs(folder: Path) -> dict[str, dict[str, float]]:
    """Name -> {"seconds", "peak_mb"} of every part below ``folder``."""
    return {file.parent.name: _read_cost(file) for file in sorted(folder.glob("*/cost.json"))}


def _read_cost(file: Path) -> dict[str, float]:
    """What :class:`Cost` wrote for this part; ``ValueError`` naming the file for anything else."""
    try:
        cost = json.loads(file.read_bytes())
        digest = cost.pop("digest")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"cost {file}: expected a file written by Cost, got {error!r}") from None
    expect(digest == _digest(file, cost), f"cost {file}", "it as it was written", "a damaged file or another part's")
    return cost


def _digest(file: Path, cost: dict) -> str:
    """Of the part that ``file`` belongs to and of what it has cost."""
    return hashlib.sha256(json.dumps([file.parent.name, cost]).encode()).hexdigest()[:16]


def one_thread_each(workers: int) -> ThreadPoolExecutor:
    """A pool whose threads compute with one thread: many at a time then give the bits of one at a time."""
    return ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))


def side_by_side(parts: list, work: Callable, workers: int, tell: Callable[[str], None]) -> list:
    """``work(part, earlier)`` of each part, ``workers`` at a time with one thread each; results in the parts' order.

    earlier(other): what a part before this one has come to, once it is done. tell: hears which one is done, and how
    many are. An error in one of them ends the rest as soon as they can.
    """
    expect_whole("workers", workers, 1)
    with one_thread_each(workers) as pool:
        begun = {}  # in order: whoever waits for an earlier part waits for one that has a thread already
        for part in parts:
            begun[part] = pool.submit(work, part, lambda other: begun[other].result())
        names = {future: part.name for part, future in begun.items()}
        try:
            for done, future in enumerate(as_completed(names), 1):
                future.result()
                tell(f"{names[future]}: done, {done} of {len(parts)}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in names]
