"""Locks that die with the process that holds them, so that a kill leaves nothing to clear."""

import fcntl
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(file: Path, *, patience_s: float = math.inf, waiting: str = "") -> Iterator[None]:
    """One holder of ``file`` at a time, among processes and threads.

    Whoever has to wait says ``waiting`` on stderr, and raises ``TimeoutError`` after ``patience_s``.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{file}: expected to be free, got another holder") from None
                if waiting:
                    print(waiting, file=sys.stderr, flush=True)
                    waiting = ""
                time.sleep(0.1)
        yield
