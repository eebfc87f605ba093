"""Long work in parts that are kept apart, run side by side and resumed."""

import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch


def part_name(readable: str, part) -> str:
    """A file or folder of its own for every part, a dataclass, however little two of them differ."""
    digest = hashlib.sha256(json.dumps(asdict(part), default=lambda number: number.item()).encode()).hexdigest()[:8]
    return f"{readable.replace(' ', '_')}-{digest}"


def generator_for(purpose: str) -> torch.Generator:
    """Randomness, the CPU's on every device, that depends on nothing but its purpose."""
    digest = hashlib.sha256(purpose.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


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


def _read_cost(file: Path) -> dict[str, float]:
    """What :class:`Cost` wrote for this part; ``ValueError`` naming the file for anything else."""
    try:
        cost = json.loads(file.read_bytes())
        digest = cost.pop("digest")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"cost {file}: expected a file written by Cost, got {error!r}") from None
    if digest != _digest(file, cost):
        raise ValueError(f"cost {file}: expected it as it was written, got a damaged file or another part's")
    return cost


def _digest(file: Path, cost: dict) -> str:
    """Of the part that ``file`` belongs to and of what it has cost."""
    return hashlib.sha256(json.dumps([file.parent.name, cost]).encode()).hexdigest()[:16]
