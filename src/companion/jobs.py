"""Long work in parts: each kept on its own, run side by side in one process, or as a job of its own by a workflow.

A chapter with long work has a module ``study`` with a class ``Study`` that is a :class:`LongWork`.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, Protocol, Self

import torch

from companion import paths, record
from companion.store import Store


class Part(Protocol):
    """A frozen dataclass of what makes this part another than its neighbors, of which ``name`` is made."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, eq=False)
class LongWork:
    """What a chapter's long work consists of: parts, and what they come to. Making one computes nothing.

    A chapter's ``Study`` names its ``parts``, those that are needed by others first, and what a part ``needs``, its
    ``arguments`` (all that makes its result another than its neighbors') and its ``work``.

    settings: the chapter's. seed: that of the notebook. store: keeps the results. tell: called with a message as each
    part ends.
    """

    settings: Any
    seed: int
    store: Store
    tell: Callable[[str], None]
    _results: dict = field(default_factory=dict, init=False)
    computed_by: ClassVar[str | None] = None  # the module whose code makes the results; the study's own

    @classmethod
    def of(cls, run: record.Run, tell: Callable[[str], None]) -> Self:
        """That of one run."""
        return cls(run.settings, run.seed, run.store(cls.computed_by or cls.__module__), tell)

    @property
    def device(self) -> torch.device:
        """The device on which everything is computed."""
        return self.store.device

    @property
    def workers(self) -> int:
        """How many parts run in parallel, one on a GPU, which has one queue and one memory."""
        return self.settings.workers if self.device.type == "cpu" else 1

    def generator(self, purpose: str) -> torch.Generator:
        """Randomness for one purpose, that of :meth:`companion.record.Run.generator`."""
        return record.seeded(self.seed, purpose)

    @property
    def parts(self) -> Sequence[Part]:
        """Every one, those that are needed by others first."""
        raise NotImplementedError

    def needs(self, part: Part) -> Sequence[Part]:
        """The parts that this one starts from."""
        return ()

    def arguments(self, part: Part) -> dict:
        """All that makes its result another than its neighbors': its fields, and what it takes of the study."""
        return asdict(part)  # type: ignore[call-overload]  # a part is a dataclass

    def work(self, part: Part, earlier: Callable[[Part], Any]) -> Any:
        """What ``part`` comes to, kept in the store. earlier: part that it needs -> what that has come to."""
        raise NotImplementedError

    def run(self) -> None:
        """Do every part, each as soon as what it needs is done. Results that the store already has are read."""
        results = side_by_side(list(self.parts), self.work, self.workers, self.tell)
        self._results.update(zip(self.parts, results, strict=True))

    def result(self, part) -> Any:
        """What a part has come to. Raises ``ValueError`` before :meth:`run`."""
        if part not in self._results:
            raise ValueError("study: expected run() before its results are asked for, got none of them yet")
        return self._results[part]

    def seconds(self, part: Part) -> float:
        """Wall time of a part in seconds, over all attempts."""
        return self.store.made(part.name, self.arguments(part))["seconds"]


def part_name(readable: str, part) -> str:
    """A name of its own for every part, a dataclass, however little two of them differ."""
    digest = hashlib.sha256(json.dumps(asdict(part), default=lambda number: number.item()).encode()).hexdigest()[:8]
    return f"{readable.replace(' ', '_')}-{digest}"


def one_thread_each(workers: int) -> ThreadPoolExecutor:
    """A pool whose threads compute with one thread: many at a time then give the bits of one at a time."""
    return ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))


def side_by_side(parts: list, work: Callable, workers: int, tell: Callable[[str], None]) -> list:
    """``work(part, earlier)`` of each part, ``workers`` at a time with one thread each; results in the parts' order.

    earlier(other): what a part before this one has come to, once it is done. tell: hears which one is done, and how
    many are. An error in one of them ends the rest as soon as they can.
    """
    if not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers: expected an integer >= 1, got {workers!r}")
    if repeated := [part.name for k, part in enumerate(parts) if part in parts[:k]]:
        raise ValueError(f"parts: expected each once, got {', '.join(repeated)} again")
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
        return [future.result() for future in begun.values()]


def study_of(run: record.Run, tell: Callable[[str], None] = print) -> LongWork | None:
    """The long work of a run, or None where its chapter has none that is done in parts."""
    package = paths.package(run.name)
    if not find_spec(package) or not find_spec(f"{package}.study"):
        return None
    return import_module(f"{package}.study").Study.of(run, tell)


def run_part(run: record.Run, name: str, entry: str | None = None) -> None:
    """One part of a run's long work, in this process.

    entry: what the store calls it, as it was planned. ``ValueError`` for a name that is none, with those there are, and
    for a part that is no longer the planned one.
    """
    torch.set_num_threads(1)  # the bits of parts that run side by side
    study = study_of(run)
    parts = {part.name: part for part in study.parts} if study else {}
    if name not in parts:
        raise ValueError(f"part: expected one of {', '.join(parts) or 'none, this chapter has no parts'}, got {name!r}")
    now = study.store.entry(name, study.arguments(parts[name]))
    if entry not in (None, now):
        raise ValueError(f"part {name}: expected the code that was planned with, {entry}, got {now}: start again")

    def work(part):
        return study.work(part, work)

    work(parts[name])
    there = sum(study.store.file(part.name, study.arguments(part)).is_file() for part in parts.values())
    seconds = study.seconds(parts[name])
    print(f"{run.name} {run.profile}: {name}: done in {seconds:.0f} s, {there} of {len(parts)} parts", flush=True)
