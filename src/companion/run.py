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

import papermill
from papermill.exceptions import PapermillExecutionError

from companion import claims, environment, keys, paths, profiles
from companion.sources import read_notebook, read_yaml, toc_files

RESULTS = "results.json"
PARAMETERS = {"profile", "seed", "overrides"}
GLUED = "papermill.record"  # in the kind of an output that the page pastes elsewhere
PATIENCE_S = 3.0  # a run that was killed just now may hold its lock for a moment longer
RESULT_FIELDS = {"name", "profile", "seed", "overrides", "claims"}


class RunError(RuntimeError):
    """A notebook that did not run, or left no usable results; names the notebook and the reason."""


def chapters(root: Path) -> list[str]:
    """Names of the notebooks of the book, in order: where there is a table of contents, those that it lists.

    Raises ``FileNotFoundError`` when there are none.
    """
    names = sorted({file.stem for file in (root / "notebooks").glob("*.ipynb")} - set(unlisted(root)))
    if not names:
        raise FileNotFoundError(f"{root / 'notebooks'}: expected notebooks, found none")
    return names


def unlisted(root: Path) -> list[str]:
    """Notebooks that the table of contents does not list: somebody's own, ``Untitled`` say. They are passed over."""
    toc = root / "_toc.yml"
    if not toc.is_file():
        return []
    listed = {file.removeprefix("notebooks/").removesuffix(".ipynb") for file in toc_files(read_yaml(toc))}
    return sorted({file.stem for file in (root / "notebooks").glob("*.ipynb")} - listed)


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
    out = out or _place(root, profile, name)
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
    print(f"{name} {profile}: started", flush=True)
    # One thread at profile quick: results then do not depend on how many cores there are, and small arrays are faster.
    threads = "1" if profile == "quick" else os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))
    scratch = root / "_build" / "scratch" / f"{name}-{key[:16]}-{sweep_label(seed, overrides)}"
    told = {"COMPANION_RUN": partial.resolve(), "COMPANION_KEY": key, "COMPANION_SCRATCH": scratch.resolve()}
    told |= {"OMP_NUM_THREADS": threads}
    try:
        with environment.of_run(root, {variable: str(value) for variable, value in told.items()}):
            papermill.execute_notebook(
                source,
                partial / source.name,
                {"profile": profile, "seed": seed, "overrides": overrides},
                kernel_name="python3",
                cwd=source.parent,
                progress_bar=(sys.stderr.isatty() or profile == "full") and {"desc": name, "mininterval": 5},
                # Else every kernel start warns about its own transport, and every Ctrl-C of having been caught.
                extra_arguments=["--log-level=CRITICAL"],
            )
        check_figures(partial / source.name)
        results = read_results(partial)
    except PapermillExecutionError as error:
        partial.rename(failed)
        raise RunError(
            f"{name}: cell {error.cell_index} failed, {error.ename}: {error.evalue}\n"
            f"executed so far: {failed / source.name}"
        ) from None
    # Where results.json is, the run is whole: it goes first and comes last. Files of others in that folder stay.
    (out / RESULTS).unlink(missing_ok=True)
    for file in sorted(partial.iterdir(), key=lambda file: file.name == RESULTS):
        file.replace(out / file.name)
    partial.rmdir()
    shutil.rmtree(scratch, ignore_errors=True)
    listed = claims.load(root / "data" / "claims.yml")
    failures = claims.check_made(listed, name, profile, results["claims"])
    made = f"{len(results['claims'])} claims made, {len(failures)} out of bounds"
    took = f"{time.perf_counter() - began:.0f} s"
    print(
        f"{name} {profile}: {made}, {took}{progress(root, profile) if out == _place(root, profile, name) else ''}",
        flush=True,
    )
    return out


def sweep_label(seed: int, overrides: dict) -> str:
    """The folder of one point of a sweep: readable seed, digest of the overrides."""
    return f"seed-{seed}_{hashlib.sha256(json.dumps(overrides, sort_keys=True).encode()).hexdigest()[:8]}"


def progress(root: Path, profile: str) -> str:
    """How many of the chapters that a workflow asks for are done, in words; nothing where none does."""
    files = [root / "_build" / "keys" / profile / f"{name}.json" for name in chapters(root)]
    if not all(file.is_file() for file in files):
        return ""
    folders = [_place(root, profile, file.stem) for file in files]
    done = sum(is_current(folder, _key(file), 0, {}) for folder, file in zip(folders, files, strict=True))
    return f"; {done} of {len(files)} chapters done"


def _key(file: Path) -> str:
    return json.loads(file.read_text())["key"]


def _place(root: Path, profile: str, name: str) -> Path:
    return root / "_build" / "run" / profile / name


def check_figures(executed: Path) -> None:
    """Every cell that promises the page a figure shows one; :class:`RunError` names the first that does not."""
    for number, cell in enumerate(read_notebook(executed).cells, 1):
        if figure := cell.metadata.get("mystnb", {}).get("figure"):
            kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {}) if GLUED not in kind}
            if not any(kind.startswith("image/") for kind in kinds):
                raise RunError(
                    f"{executed.stem}: cell {number}: expected it to show the figure {figure.get('name', '')!r}, "
                    f"got {', '.join(sorted(kinds)) or 'no output'}"
                )


def check_parameters(source: Path) -> None:
    """One cell tagged ``parameters`` that sets profile, seed, overrides and nothing else; else :class:`RunError`.

    papermill injects a name it does not find without a word, so a misspelt one would run the defaults.
    """
    cells = read_notebook(source).cells
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
