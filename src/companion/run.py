"""Run one notebook by papermill, whole or not at all.

A run goes to a folder beside its destination and moves there only when the notebook has ended, its claims have held
and its results are complete. Killed half-way, it leaves nothing that looks like a result; the destination keeps what it
had. What a notebook keeps for itself while it works lies in _build/scratch under the content key, until it has ended.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from companion import claims, keys, paths, profiles

RESULTS = "results.json"
PARAMETERS = {"profile", "seed", "overrides"}
PATIENCE_S = 3.0  # a run that was killed just now may hold its lock for a moment longer
RESULT_FIELDS = {"name", "profile", "seed", "overrides", "claims"}


class RunError(RuntimeError):
    """A notebook that did not run, or left no usable results; names the notebook and the reason."""


def chapters(root: Path) -> list[str]:
    """Names of the notebooks, in order. Raises ``FileNotFoundError`` when there are none."""
    names = sorted(file.stem for file in (root / "notebooks").glob("*.ipynb"))
    if not names:
        raise FileNotFoundError(f"{root / 'notebooks'}: expected notebooks, found none")
    return names


def run(name: str, profile: str, *, seed: int = 0, overrides: dict | None = None, out: Path | None = None) -> Path:
    """Execute notebooks/``name``.ipynb; returns the folder with NAME.ipynb, results.json and provenance.json.

    out: destination, by default _build/run/PROFILE/NAME; a complete run of the same content key that lies there is
    kept. Raises, before any work: ``SettingsError`` for a name, profile, seed or override that does not exist,
    :class:`RunError` for a notebook without a proper cell of parameters or an output folder that cannot be
    written. Raises :class:`RunError` when the notebook fails; the copy executed so far is then kept in
    .NAME.failed beside the destination.
    """
    root, overrides = paths.require_repository(), {} if overrides is None else overrides
    profiles.settings(root / "notebooks" / "profiles.yml", name, profile, seed, overrides)
    source = root / "notebooks" / f"{name}.ipynb"
    check_parameters(source)
    key = keys.content_key(root, name, profile)["key"]
    out = out or root / "_build" / "run" / profile / name
    if is_current(out, key, seed, overrides):
        print(f"{name} {profile}: unchanged since its last run", flush=True)
        return out
    with _alone(out, name):
        return _execute(root, source, profile, key, seed, overrides, out)


@contextmanager
def _alone(out: Path, name: str):
    """One run into a destination at a time: two would take each other's unfinished folder away."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = (out.parent / f".{out.name}.lock").open("w")
    except OSError as error:
        raise RunError(f"{name}: expected a folder that can be written at {out}, got {error}") from error
    with lock:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    told = f"{name}: expected to be the only run into {out}, got another one at work there"
                    raise RunError(told) from None
                time.sleep(0.1)
        yield


def _execute(root: Path, source: Path, profile: str, key: str, seed: int, overrides: dict, out: Path) -> Path:
    name = source.stem
    partial, failed = (out.parent / f".{out.name}.{state}" for state in ("partial", "failed"))
    try:
        for old in (partial, failed):
            shutil.rmtree(old, ignore_errors=True)
        partial.mkdir(parents=True)
        out.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"{name}: expected a folder that can be written at {out}, got {error}") from error
    began = time.perf_counter()
    # One thread at profile quick: results then do not depend on how many cores there are, and small arrays are faster.
    os.environ.setdefault("OMP_NUM_THREADS", "1" if profile == "quick" else str(os.cpu_count()))
    scratch = root / "_build" / "scratch" / f"{name}-{key[:16]}-{sweep_label(seed, overrides)}"
    told = {"COMPANION_RUN": partial.resolve(), "COMPANION_KEY": key, "COMPANION_SCRATCH": scratch.resolve()}
    os.environ.update({variable: str(value) for variable, value in told.items()})
    try:
        papermill.execute_notebook(
            source,
            partial / source.name,
            {"profile": profile, "seed": seed, "overrides": overrides},
            kernel_name="python3",
            cwd=source.parent,
            progress_bar=(sys.stderr.isatty() or profile == "full") and {"desc": name, "mininterval": 5},
            extra_arguments=["--log-level=ERROR"],  # else every kernel start warns about its own transport
        )
        results = read_results(partial)
    except PapermillExecutionError as error:
        partial.rename(failed)
        raise RunError(
            f"{name}: cell {error.cell_index} failed, {error.ename}: {error.evalue}\n"
            f"executed so far: {failed / source.name}"
        ) from None
    finally:
        for variable in told:
            del os.environ[variable]
    # Where results.json is, the run is whole: it goes first and comes last. Files of others in that folder stay.
    (out / RESULTS).unlink(missing_ok=True)
    for file in sorted(partial.iterdir(), key=lambda file: file.name == RESULTS):
        file.replace(out / file.name)
    partial.rmdir()
    shutil.rmtree(scratch, ignore_errors=True)
    listed = claims.load(root / "data" / "claims.yml")
    failures = claims.check_made(listed, name, profile, results["claims"])
    for line in json.loads((out / "provenance.json").read_text()).get("resumed", []):
        print(f"{name} {profile}: {line}", flush=True)
    made = f"{len(results['claims'])} claims made, {len(failures)} out of bounds"
    print(f"{name} {profile}: {made}, {time.perf_counter() - began:.0f} s", flush=True)
    return out


def sweep_label(seed: int, overrides: dict) -> str:
    """The folder of one point of a sweep: readable seed, digest of the overrides."""
    return f"seed-{seed}_{hashlib.sha256(json.dumps(overrides, sort_keys=True).encode()).hexdigest()[:8]}"


def check_parameters(source: Path) -> None:
    """One cell tagged ``parameters`` that sets profile, seed, overrides and nothing else; else :class:`RunError`.

    papermill injects a name it does not find without a word, so a misspelt one would run the defaults.
    """
    cells = nbformat.read(source, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise RunError(f"{source.name}: expected one cell tagged 'parameters', got {len(tagged)}")
    found = {parameter for parameter in papermill.inspect_notebook(source)}
    if found != PARAMETERS:
        raise RunError(
            f"{source.name}: expected the parameters {', '.join(sorted(PARAMETERS))}, got {', '.join(sorted(found))}"
        )


def is_current(folder: Path, key: str, seed: int, overrides: dict) -> bool:
    """Does the folder hold a whole run of this key, seed and overrides?"""
    try:
        results = read_results(folder)
        recorded = json.loads((folder / "provenance.json").read_text())["content_key"]
    except (RunError, OSError, ValueError, KeyError):
        return False
    return (
        recorded == key
        and results["seed"] == seed
        and results["overrides"] == overrides
        and (folder / f"{results['name']}.ipynb").is_file()
    )


def read_results(folder: Path) -> dict:
    """results.json of a run.

    Raises :class:`RunError` naming the file when it is missing, cut short or not of our making.
    """
    file = folder / RESULTS
    try:
        results = json.loads(file.read_text())
    except FileNotFoundError:
        raise RunError(f"{file}: expected the results of a run that called record.finish(), found no file") from None
    except ValueError as error:
        raise RunError(f"{file}: expected JSON, got {error}") from None
    if not isinstance(results, dict) or results.keys() != RESULT_FIELDS or not isinstance(results["claims"], dict):
        raise RunError(f"{file}: expected the fields {', '.join(sorted(RESULT_FIELDS))}, got {list(results)}")
    if not all(isinstance(value, int | float) for value in results["claims"].values()):
        raise RunError(f"{file}: expected a number for every claim")
    return results
