"""Run one notebook by papermill, whole or not at all.

A run goes to a folder beside its destination and moves there only when the notebook has ended, its claims have held
and its results are complete. Killed half-way, it leaves nothing that looks like a result; the destination keeps what it
had (Snakemake, which ``make`` runs, removes it before it starts a run anew). What long work leaves while it is done
lies in the store, see :mod:`companion.store`.
"""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from companion import claims, environment, keys, paths, profiles
from companion.locks import alone
from companion.results import PROVENANCE, RESULTS, RunError, read_results, read_run, read_sealed, seal
from companion.sources import read_notebook, read_yaml, toc_files

PARAMETERS = {"profile", "seed", "overrides"}
GLUED = "papermill.record"  # in the kind of an output that the page pastes elsewhere
PATIENCE_S = 3.0  # a run that was killed just now may hold its lock for a moment longer
SOURCES = ("benchmarks", "book", "data", "notebooks", "src", "tests", "workflow")  # and what begins with a dot
BUILT = ("data", "html", "keys", "run", "stage", "store", "sweep")  # below _build, by the tools alone


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

    out: destination, by default :func:`place`; a complete run of the same content key and settings that lies there is
    kept. Raises, before any work: ``SettingsError`` for a name, profile, seed or override that does not exist,
    :class:`RunError` for a notebook without a proper cell of parameters, and for a destination that cannot be written
    or is not the run's own. Raises :class:`RunError` when the notebook fails or its kernel dies; the copy executed so
    far is then kept in .NAME.failed beside the destination.
    """
    root, overrides = paths.require_repository(), {} if overrides is None else overrides
    profiles.settings(root / "notebooks" / "profiles.yml", name, profile, seed, overrides)
    seed, source = int(seed), root / "notebooks" / f"{name}.ipynb"
    check_parameters(source)
    own = place(root, name, profile, seed, overrides)
    out = own if out is None else out
    check_destination(root, out, name, [own, swept(root, name, profile, seed, overrides)])
    content = keys.content_key(root, name, profile)
    key = content["key"]
    if is_current(out, key, name, profile, seed, overrides):
        print(f"{name} {profile}: unchanged since its last run", flush=True)
        return out
    with ExitStack() as held:
        try:  # two runs into one destination would take each other's unfinished folder away
            held.enter_context(alone(out.parent / f".{out.name}.lock", patience_s=PATIENCE_S))
        except TimeoutError:
            raise RunError(f"{name}: expected to be the only run into {out}, got another one at work there") from None
        except OSError as error:
            raise RunError(f"{name}: expected a folder that can be written at {out}, got {error}") from error
        return _execute(root, source, profile, content, seed, overrides, out)


def place(root: Path, name: str, profile: str, seed: int, overrides: dict) -> Path:
    """Where a run lies unless told otherwise: where the book looks for it, or apart for other seeds and settings."""
    if seed == profiles.DEFAULT_SEED and not overrides:
        return root / "_build" / "run" / profile / name
    return swept(root, name, profile, seed, overrides)


def swept(root: Path, name: str, profile: str, seed: int, overrides: dict) -> Path:
    """Where a run of a sweep lies."""
    return root / "_build" / "sweep" / profile / name / sweep_label(seed, overrides)


def check_destination(root: Path, out: Path, name: str, own: list[Path]) -> None:
    """:class:`RunError` unless ``out`` is one of ``own``, or new, empty, or of this chapter and in nobody's way."""
    out, root = out.resolve(), root.resolve()
    if out in [folder.resolve() for folder in own]:
        return
    where = out.relative_to(root).parts if out.is_relative_to(root) else None
    if root.is_relative_to(out) or (where and (where[0] in SOURCES or where[0].startswith("."))):
        raise RunError(f"out: expected a folder apart from the book's sources, got {out}")
    if where and where[0] == "_build" and (where[1:2] == () or where[1] in BUILT):
        raise RunError(
            f"out: expected a folder apart from what the book is built from, got {out}; this run's is {own[0]}"
        )
    if out.is_dir() and any(out.iterdir()) and not _holds_run(out, name):
        raise RunError(f"out: expected a folder that is new, empty or of an earlier run of {name}, got {out}")
    if out.exists() and not out.is_dir():
        raise RunError(f"out: expected a folder, got the file {out}")


def _holds_run(folder: Path, name: str) -> bool:
    try:
        return read_sealed(folder / PROVENANCE)["name"] == name
    except RunError:
        return False


def _execute(root: Path, source: Path, profile: str, content: dict, seed: int, overrides: dict, out: Path) -> Path:
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
    variables = {"COMPANION_RUN": partial.resolve(), "COMPANION_KEY": content["key"], "COMPANION_WORK": content["work"]}
    variables |= {"COMPANION_STORE": (root / "_build" / "store").resolve(), "OMP_NUM_THREADS": threads}
    try:
        with environment.of_run(root, {variable: str(value) for variable, value in variables.items()}):
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
        read_results(partial)  # first: a notebook that never ended its record has nothing to seal
        tell_gpu(partial / PROVENANCE)
        seal(partial, [file for file in partial.iterdir() if file.is_file() and file.name != PROVENANCE])
        results, _ = read_run(partial, name=name, profile=profile, seed=seed, overrides=overrides)
    except RunError:
        raise
    except (PapermillExecutionError, RuntimeError) as error:  # nbclient and jupyter_client raise the latter
        partial.rename(failed)
        if isinstance(error, PapermillExecutionError):
            what = f"cell {error.cell_index} failed, {error.ename}: {error.evalue}"
        elif isinstance(error, DeadKernelError):
            what = _how_it_died(failed / source.name)
        else:
            what = f"the kernel did not start, {error}"
        raise RunError(f"{name}: {what}\nexecuted so far: {failed / source.name}") from None
    # Where results.json is, the run is whole: it goes first and comes last; provenance, by which a destination is known
    # as a run's own, comes first. Files of others in that folder stay.
    (out / RESULTS).unlink(missing_ok=True)
    for file in sorted(partial.iterdir(), key=lambda file: (file.name == RESULTS, file.name != PROVENANCE)):
        file.replace(out / file.name)
    partial.rmdir()
    listed = claims.of_chapter(root / "data" / "claims", name)
    failures = claims.check_made(listed, name, profile, results["claims"])
    for line in json.loads((out / "provenance.json").read_text()).get("resumed", []):
        print(f"{name} {profile}: {line}", flush=True)
    made = f"{len(results['claims'])} claims made, {len(failures)} out of bounds"
    done = progress(root, profile) if out == place(root, name, profile, profiles.DEFAULT_SEED, {}) else ""
    print(f"{name} {profile}: {made}, {time.perf_counter() - began:.0f} s{done}", flush=True)
    return out


def tell_gpu(file: Path) -> None:
    """Add to a provenance of a run on a GPU what torch does not say: its driver, and how much memory it has.

    The driver's own tool is asked; where it does not answer, the provenance stays as it is.
    """
    provenance, fields = json.loads(file.read_text()), ("name", "driver_version", "memory.total")
    if provenance["device"].startswith("CPU"):
        return
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        lines = [line.split(", ") for line in answer.splitlines()]
        gpus = [{"name": name, "driver": driver, "memory_mb": int(memory)} for name, driver, memory in lines]
    except (OSError, subprocess.SubprocessError, ValueError):
        return
    file.write_text(json.dumps(provenance | {"gpus": gpus}, indent=1) + "\n")


def _how_it_died(executed: Path) -> str:
    """Which cell was at work, and how much memory its process had held by then."""
    cells = read_notebook(executed).cells
    begun = [k for k, cell in enumerate(cells) if cell.metadata.get("papermill", {}).get("start_time")]
    unit = 1024 if sys.platform == "linux" else 1024**2
    held_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    return (
        f"the kernel died in cell {max(begun, default=0)}, crashed or killed, most often for want of memory: "
        f"it had held up to {held_mb:.0f} MB of {_memory_mb():.0f} MB"
    )


def _memory_mb() -> float:
    """Of this machine, or of the container this runs in."""
    memory, limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else ""
    return min([memory, *([int(text)] if text.isdigit() else [])]) / 1024**2


def sweep_label(seed: int, overrides: dict) -> str:
    """The folder of one point of a sweep: readable seed, digest of the overrides."""
    return f"seed-{seed}_{hashlib.sha256(json.dumps(overrides, sort_keys=True).encode()).hexdigest()[:8]}"


def progress(root: Path, profile: str) -> str:
    """How many of the chapters that a workflow asks for are done, in words; nothing where none does."""
    files = [root / "_build" / "keys" / profile / f"{name}.json" for name in chapters(root)]
    if not all(file.is_file() for file in files):
        return ""
    published = {file: place(root, file.stem, profile, profiles.DEFAULT_SEED, {}) for file in files}
    done = sum(is_current(folder, _key(file), file.stem, profile) for file, folder in published.items())
    return f"; {done} of {len(files)} chapters done"


def _key(file: Path) -> str:
    return json.loads(file.read_text())["key"]


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
    given = {parameter for parameter in papermill.inspect_notebook(source)}
    if given != PARAMETERS:
        raise RunError(
            f"{source.name}: expected the parameters {', '.join(sorted(PARAMETERS))}, got {', '.join(sorted(given))}"
        )


def is_current(
    folder: Path, key: str, name: str, profile: str, seed: int = profiles.DEFAULT_SEED, overrides: dict | None = None
) -> bool:
    """Does the folder hold a whole run of this key and these settings?"""
    try:
        _, provenance = read_run(folder, name=name, profile=profile, seed=seed, overrides=overrides)
    except RunError:
        return False
    return provenance["content_key"] == key and f"{name}.ipynb" in provenance["files"]
