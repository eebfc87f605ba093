"""Long work as jobs of its own: two at a time, killed and resumed to the same result, done once."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tiny_book import NAME, REPOSITORY, environment, write_book, write_notebook

STUDY = '''
"""Two parts, and one that starts from the first; each counts its steps, and leaves a line for each of them."""

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from companion.jobs import LongWork

LOG = Path(__file__).with_name("log")


@dataclass(frozen=True)
class Count:
    name: str
    start: str = ""


class Study(LongWork):
    parts = (Count("one"), Count("two"), Count("three", "one"))

    def needs(self, part):
        return [one for one in self.parts if one.name == part.start]

    def work(self, part, earlier):
        def compute(folder):
            start = earlier(self.needs(part)[0]) if part.start else 0
            for step in range(4):
                done = folder / str(step)
                if not done.exists():
                    with LOG.open("a") as log:
                        log.write(f"{part.name} {step} {os.getpid()}\\n")
                    if (LOG.parent / "slow").exists():
                        time.sleep(0.5)
                    done.touch()
            return start + 4

        return self.store.value(part.name, asdict(part), compute)
'''
WORK = """
from chapters.tiny.study import Study
study = Study.of(run, print)
found = []
for part in study.parts:
    found.append(study.work(part, lambda other: found[study.parts.index(other)]))
record.claim("tiny.answer", sum(found) / 8)
record.claim("tiny.drawn", 0)
"""


@pytest.fixture
def book(tmp_path):
    """The tiny book with a chapter that has long work: a src of links, and one package that is its own."""
    root = tmp_path / "book"
    write_book(root, work=WORK)
    package = root / "src" / "chapters" / NAME
    for file, text in (
        (package.parent / "__init__.py", ""),
        (package / "__init__.py", ""),
        (package / "study.py", STUDY),
    ):
        file.write_text(text)
    (root / "workflow").symlink_to(REPOSITORY / "workflow")
    return root


def start(root, *arguments):
    command = [sys.executable, "-m", "companion", *arguments]
    kind = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": root}
    return subprocess.Popen(command, env=environment(root, root / "src"), start_new_session=True, **kind)


def finish(root, *arguments):
    process = start(root, *arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def log_of(root):
    file = root / "src" / "chapters" / NAME / "log"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def test_parts_resume_after_a_kill_side_by_side(book):
    slow = book / "src" / "chapters" / NAME / "slow"
    slow.touch()
    process = start(book, "chapters", "--profile", "full", "--cores", "2")
    deadline = time.monotonic() + 120
    while len(log_of(book)) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = log_of(book)
    assert {name for name, *_ in before} == {"one", "two"}  # side by side, and the third waits
    assert len({pid for *_, pid in before}) == 2
    slow.unlink()
    status, out, err = finish(book, "chapters", "--profile", "full", "--cores", "2")
    assert status == 0, err
    steps = [(name, step) for name, step, _ in log_of(book)]
    killed_in = {steps[k] for k in range(len(before))}  # a step that was begun is taken again, one that ended is not
    assert set(steps) == {(name, str(step)) for name in ("one", "two", "three") for step in range(4)}
    assert len(steps) <= 12 + 2, killed_in
    results = json.loads((book / "_build" / "run" / "full" / NAME / "results.json").read_text())
    assert results["claims"]["tiny.answer"] == 2.0  # (4 + 4 + 8) / 8
    assert "tiny full: three: done in" in out
    assert "3 of 3 parts" in out
    # Up to date: nothing runs, nor when the store has been emptied.
    for file in (book / "_build" / "store").glob("*.safetensors"):
        file.unlink()
    status, out, err = finish(book, "chapters", "--profile", "full", "--cores", "2")
    assert (status, out) == (0, ""), err
    assert [(name, step) for name, step, _ in log_of(book)] == steps
    # What is not up to date is done in jobs again, though their marks were left.
    write_notebook(book / "notebooks" / f"{NAME}.ipynb", work=WORK + "assert found")
    status, out, err = finish(book, "chapters", "--profile", "full", "--cores", "2")
    assert status == 0, err
    assert out.count("done in") == 3


def test_parts_of_a_quick_run_run_in_its_own_process(book):
    status, _, err = finish(book, "run", NAME)
    assert status == 0, err
    assert len({pid for *_, pid in log_of(book)}) == 1
    assert not (book / "_build" / "keys" / "parts").exists()


def test_part_runs_by_its_name_with_what_it_needs(book):
    status, out, err = finish(book, "part", NAME, "three")
    assert status == 0, err
    assert [name for name, *_ in log_of(book)] == ["one"] * 4 + ["three"] * 4  # and what it needs
    assert out == "tiny quick: three: done in 0 s, 2 of 3 parts\n"
    status, _, err = finish(book, "part", NAME, "four")
    assert status == 1
    assert err == "part: expected one of one, two, three, got 'four'\n"
    status, _, err = finish(book, "part", NAME, "one", "--entry", "one-of-other-code")
    assert status == 1
    assert "part one: expected the code that was planned with, one-of-other-code, got one-" in err
