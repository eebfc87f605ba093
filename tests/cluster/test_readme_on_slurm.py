"""The README's cluster command on a real SLURM: the same results as here, whatever was killed on the way."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm import Slurm, wait

from companion.run import sweep_label

ROOT = Path(__file__).parents[2]
CHAPTER = "03_linearized_posterior"
BEGAN = time.monotonic()
LIGHT = {"num_samples": 2000, "num_grid_plane": 81, "control_sizes": [10, 100], "num_repeats": 8}  # for the sweep
RUN_S = 900  # more than any run takes, on a machine that does other things too


def say(what: str) -> None:
    print(f"[{time.monotonic() - BEGAN:4.0f} s] {what}", flush=True)


def readme_command(containing: str) -> list[str]:
    """The words of the one command of the README that holds ``containing``, with this environment's Snakemake."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith(".venv/bin/snakemake ") and containing in line)
    _, *words = shlex.split(line)
    return [str(Path(sys.executable).parent / "snakemake"), *words]


def on_cluster() -> list[str]:
    """The README's command for a cluster, for one light chapter."""
    words = readme_command("--profile workflow/profiles/slurm")
    assert words[-2:] == ["--config", "profile=full"]
    return [*words[:-1], "profile=quick", f"chapters={CHAPTER}"]


def sweep_on_cluster(seeds: list[int], overrides: list[dict]) -> list[str]:
    """The README's sweep, with the cluster's profile in place of this machine's cores."""
    words = readme_command(" sweep --config ")
    cores = words.index("--cores")
    assert words[cores + 2 : cores + 4] == ["--rerun-triggers", "mtime"]
    given = dict(word.split("=", 1) for word in words[words.index("--config") + 1 :])
    given |= {"chapters": CHAPTER, "seeds": ",".join(map(str, seeds)), "overrides": json.dumps(overrides)}
    cluster = ["--profile", "workflow/profiles/slurm"]
    config = [f"{name}={value}" for name, value in given.items()]
    return [*words[:cores], *cluster, *words[cores + 4 : words.index("--config") + 1], *config]


class Book:
    """A copy of this checkout, as a user has it, on a cluster."""

    def __init__(self, root: Path, slurm: Slurm):
        self.root, self.slurm = root, slurm
        self.surroundings = os.environ | {
            "PYTHONPATH": str(root / "src")
        }  # where this environment would lead back here
        self.output = root / "_build" / "snakemake.txt"
        self.output.parent.mkdir()

    def start(self, *command: str) -> subprocess.Popen:
        self.began = time.time()
        with self.output.open("w") as output:
            return subprocess.Popen(
                command, cwd=self.root, env=self.surroundings, stdout=output, stderr=output, start_new_session=True
            )

    def run(self, *command: str) -> int:
        """Its exit status."""
        process = self.start(*command)
        try:
            return process.wait(RUN_S)
        finally:
            kill(process)

    def said(self) -> str:
        return self.output.read_text()

    def locally(self, seed: int, overrides: dict, out: Path) -> bytes:
        """results.json of a run without Snakemake and SLURM."""
        options = ["--profile", "quick", "--seed", str(seed), "--overrides", json.dumps(overrides), "--out", str(out)]
        assert self.run(sys.executable, "-m", "companion", "run", CHAPTER, *options) == 0, self.said()
        return (out / "results.json").read_bytes()

    def at_work(self, folder: Path) -> str:
        """The job of the run that goes to ``folder``, once its notebook is being executed."""
        executed = folder.parent / f".{folder.name}.partial" / f"{CHAPTER}.ipynb"  # what was killed leaves one, too
        wait(lambda: executed.is_file() and executed.stat().st_mtime > self.began, RUN_S, "a job to execute a notebook")
        (job,) = (job for job, what in self.slurm.running().items() if what.endswith(folder.name))
        return job


def kill(process: subprocess.Popen) -> None:
    """As a machine that fails does: no word to anybody."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def slurm():
    with Slurm() as started:
        say(f"SLURM is up: {started.ask('sinfo', '--noheader').strip()}")
        yield started
    say("SLURM is down")


@pytest.fixture
def book(tmp_path, slurm):
    root = tmp_path / "book"
    listing = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listing, cwd=ROOT, text=True).split("\0"):
        if name and (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    return Book(root, slurm)


def test_readme_command_goes_on_after_a_killed_snakemake_and_a_cancelled_job(book, tmp_path):
    command, out = on_cluster(), book.root / "_build" / "run" / "quick" / CHAPTER
    say(shlex.join(["snakemake", *command[1:]]))
    snakemake = book.start(*command)
    job = book.at_work(out)
    kill(snakemake)
    run = re.search(r"SLURM run ID: (\S+)", book.said())[1]
    say(f"killed Snakemake while job {job} was at work; its job and its lock remain")
    assert job in book.slurm.running()
    assert list((book.root / ".snakemake" / "locks").iterdir())
    assert book.run(*command) != 0
    assert "--unlock" in book.said()
    # What the README says to do.
    book.slurm.ask("scancel", "--name", run)
    wait(lambda: book.slurm.ended().get(job) == "CANCELLED", 60, "the job that was left to end")
    assert book.run(*command, "--unlock") == 0, book.said()
    say("scancel --name, --unlock; the same command again")

    snakemake = book.start(*command)
    job = book.at_work(out)
    book.slurm.ask("scancel", job)
    say(f"cancelled job {job} while it was at work")
    assert snakemake.wait(RUN_S) != 0
    assert book.slurm.ended()[job] == "CANCELLED"
    assert not (out / "results.json").exists()
    say("Snakemake saw it and ended with an error; the same command again")

    assert book.run(*command) == 0, book.said()
    say("done")
    assert (out / "results.json").read_bytes() == book.locally(0, {}, tmp_path / "local")
    say("results.json is that of a run without a cluster, byte by byte")
    before = len(book.slurm.ended())
    assert book.run(*command) == 0, book.said()
    assert len(book.slurm.ended()) == before
    say("once more: no job, nothing has changed")


def test_readme_sweep_runs_on_a_cluster_and_goes_on_after_a_cancelled_job(book, tmp_path):
    given = readme_command(" sweep --config ")
    (readmes,) = (json.loads(word.split("=", 1)[1]) for word in given if word.startswith("overrides="))
    overrides = [readmes | LIGHT, {"num_draws": 10_000} | LIGHT]
    points = {sweep_label(seed, one): (seed, one) for one in overrides for seed in (0, 1)}
    folders = {label: book.root / "_build" / "sweep" / "quick" / CHAPTER / label for label in points}
    command = sweep_on_cluster([0, 1], overrides)
    say(shlex.join(["snakemake", *command[1:]]))
    snakemake = book.start(*command)
    begun = wait(book.slurm.running, RUN_S, "a job of the sweep")
    cancelled = next(label for label in points if any(what.endswith(label) for what in begun.values()))
    job = book.at_work(folders[cancelled])
    book.slurm.ask("scancel", job)
    say(f"cancelled job {job} ({cancelled}) while it was at work")
    assert snakemake.wait(4 * RUN_S) != 0
    states = sorted(book.slurm.ended().values())
    assert states == ["CANCELLED", *3 * ["COMPLETED"]], book.said()
    say("the other three ended; the same command again")
    assert book.run(*command) == 0, book.said()
    states = sorted(book.slurm.ended().values())
    assert states == ["CANCELLED", *4 * ["COMPLETED"]], book.said()
    say("one more job, and all four are there")
    for label, (seed, one) in points.items():
        results = (folders[label] / "results.json").read_bytes()
        assert json.loads(results)["overrides"] == one  # with the types that they were given with
        assert results == book.locally(seed, one, tmp_path / label), label
    say("each results.json is that of a run without a cluster, byte by byte")
