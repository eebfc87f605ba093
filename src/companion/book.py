"""From executed notebooks to a checked site: stage, build with warnings as errors, look at every page.

The stage is a folder with the executed notebooks, the prose pages and the generated ones; Jupyter Book sees
nothing else.
"""

import copy
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml

from companion import claims, pages, pictures, site, tables, weights
from companion.results import PROVENANCE, RESULTS, RunError, read_run, seal
from companion.run import chapters
from companion.sources import read_notebook, read_yaml

NAMED = re.compile(r"WARNING|ERROR|CRITICAL|SEVERE|[Ee]rror:|Exception")  # lines of Sphinx's log that name a culprit
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # what colors a terminal, and moves its cursor
PAGES_ALONE = {"sphinx.ext.viewcode"}  # extensions that write pages of a site
BROWSER_NEEDS = "with chromium, nodejs and npm installed, `make browser` readies them"
BROWSER_ABSENT = 3  # exit status of browse.mjs where there is no browser to look with


class BuildError(RuntimeError):
    """The book cannot be built or does not hold; one problem a line."""


def build(root: Path) -> Path:
    """Build and check the book from the quick runs in _build/run; returns its first page.

    Raises :class:`BuildError` naming every culprit: a chapter not run, results that cannot be read, claims that do
    not hold, source notebooks with outputs, a warning of Sphinx, a problem on a page.
    """
    stop_at(check_runs(root) + check_sources(root))
    print("building the pages with Sphinx", flush=True)
    stage(root, root / "_build" / "stage")
    html = sphinx(root)
    print("checking the pages, in Chromium too where there is one", flush=True)
    stop_at([str(problem) for problem in site.check_pages(html, root / "_toc.yml")])
    print(browse(root, html))
    return html / "index.html"


def check_sources(root: Path) -> list[str]:
    """Problems of the chapters' notebooks. Results that JupyterLab saved in one are told only: no page shows them."""
    listed = {f"notebooks/{name}.ipynb" for name in chapters(root)}
    problems = [problem for problem in site.check_notebooks(root / "notebooks") if problem.page in listed]
    saved = [problem for problem in problems if site.SAVED.search(problem.what)]
    for page in sorted({problem.page for problem in saved}):
        print(f"{page}: saved with results; before you commit it: .venv/bin/nbstripout --keep-id {page}", flush=True)
    return [str(problem) for problem in problems if problem not in saved]


def check_runs(root: Path) -> list[str]:
    """Problems of the quick runs, and of the recorded full ones, against the claims as they are listed now."""
    listed, problems, names = claims.load(root / "data" / "claims"), [], chapters(root)
    for unknown in sorted({claim.chapter for claim in listed.values()} - set(names)):
        problems.append(f"data/claims: expected chapters that exist, got {unknown!r}")
    kept = (folder.name for folder in (root / "data" / "recorded").glob("*/"))
    for unknown in sorted(set(kept) - {*names, "benchmarks"}):
        cut = " (`keep` was cut short: run it again)" if unknown.startswith(".") else ""
        problems.append(f"data/recorded: expected the chapters' recorded runs, got {unknown!r}{cut}")
    for name in names:
        try:
            results, provenance = pages.quick_run(root, name)
            if pages.is_stale(root, name, provenance):
                folder = pages.run_folder(root, name)
                raise RunError(f"{folder}: expected a run of this code, sizes, claims and pins, got one of others")
            problems += claims.check_made(listed, name, "quick", results["claims"])
        except RunError as error:
            again = f"`make book` runs it again once {pages.run_folder(root, name)} is removed"
            problems.append(f"{name}: {error}; {again}")
        except (OSError, ValueError) as error:
            problems.append(f"{name}: {error}")
        try:
            problems += _recorded_failures(root, name, listed)
        except (RunError, OSError, ValueError) as error:
            problems.append(f"{name}, recorded full run: {error}")
    return problems


def _recorded_failures(root: Path, name: str, listed: dict[str, claims.Claim]) -> list[str]:
    """A claim that is new, or gone, since an older recording fails no book: the page says how old the recording is."""
    if (full := pages.full_run(root, name)) is None:
        return []
    values = full[0]["claims"]
    if pages.is_stale(root, name, full[1]):
        due = {claim.id for claim in listed.values() if claim.chapter == name and "full" in claim.profiles}
        listed = {id: claim for id, claim in listed.items() if id in values}
        values = {id: value for id, value in values.items() if id in due}
    return [f"recorded full run: {failure}" for failure in claims.check_made(listed, name, "full", values)]


def stage(root: Path, folder: Path) -> None:
    """Fill the stage afresh. Copies of the executed notebooks carry no line of this machine's folders."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root / "book", folder / "book")
    (folder / "notebooks").mkdir()
    numbers = pages.recorded_numbers(root)
    for name in chapters(root):
        stage_chapter(root, folder, name, numbers)
    pages.write_all(root, folder, numbers)


def stage_chapter(root: Path, folder: Path, name: str, numbers: dict) -> None:
    """Put a chapter's executed notebook, with the recorded ``numbers``, and its pictures onto the stage."""
    run, (_, provenance) = pages.run_folder(root, name), pages.quick_run(root, name)
    notebook = read_notebook(run / f"{name}.ipynb")
    for of_editors in ("papermill", "widgets"):  # a saved slider would ask the network for its script
        notebook.metadata.pop(of_editors, None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        if cell.cell_type == "markdown":
            cell.source = pages.with_recorded(cell.source, numbers)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata.tags.append("remove-cell")  # the provenance strip says it
    nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    for picture in (run / file for file in provenance["files"] if file.endswith(".png")):
        target = folder / "book" / "_run" / name / picture.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(picture, target)
    for picture in pictures.shown(pages.recorded_folder(root, name)):
        target = folder / "book" / "_run" / name / "recorded" / picture.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(picture, target)


def sphinx(root: Path) -> Path:
    """Run Jupyter Book on the stage, warnings as errors; its log goes to _build/sphinx.log.

    Raises :class:`BuildError` with the warnings.
    """
    return jupyter_book(root, root / "_config.yml", "html")


def jupyter_book(root: Path, config: Path, builder: str) -> Path:
    """Run Jupyter Book on the stage with a builder of Sphinx; returns the folder of what it wrote, made afresh.

    Raises :class:`BuildError` with the warnings; the whole log is _build/sphinx.log, for html, or that of the builder.
    """
    written, log = root / "_build" / builder, root / "_build" / f"sphinx{f'-{builder}' * (builder != 'html')}.log"
    shutil.rmtree(written, ignore_errors=True)  # a page that is no longer written must not stay
    command = [Path(sys.executable).with_name("jupyter-book"), "build", root / "_build" / "stage"]
    command += ["--config", config, "--toc", root / "_toc.yml", "--path-output", root]
    command += ["--builder", "html"] if builder == "html" else ["--builder", "custom", "--custom-builder", builder]
    command += ["-W", "-n", "--keep-going", "--all"]
    with log.open("w") as output:
        done = subprocess.run(
            command, cwd=root, stdout=output, stderr=subprocess.STDOUT, env=os.environ | {"NO_COLOR": "1"}, check=False
        )
    if done.returncode:
        said = ANSI.sub("", log.read_text("utf-8", "replace")).splitlines()
        culprits = list(dict.fromkeys(filter(NAMED.search, said))) or said[-20:]
        raise BuildError("\n".join([*culprits, f"Sphinx ended with status {done.returncode}; whole log: {log}"]))
    return written


def written_settings(root: Path, name: str, *, extensions: list[str], config: dict, **parts: dict) -> Path:
    """The book's settings for another form of it, as _build/NAME.yml: more extensions, values, parts."""
    told = copy.deepcopy(read_yaml(root / "_config.yml"))
    kept = [name for name in told["sphinx"]["extra_extensions"] if name not in PAGES_ALONE]
    told["sphinx"]["extra_extensions"] = kept + extensions
    told["sphinx"]["config"] |= config
    file = root / "_build" / f"{name}.yml"
    file.write_text(yaml.safe_dump(told | parts, allow_unicode=True))
    return file


def browse(root: Path, html: Path) -> str:
    """Open every page in a headless Chromium with the network blocked; returns one line on what was or was not done."""
    folder = root / "workflow" / "browser"
    if not shutil.which("node"):
        return f"browser checks skipped: no node; {BROWSER_NEEDS}"
    if not (folder / "node_modules").is_dir():  # no build asks the network for anything
        return f"browser checks skipped: no node modules; {BROWSER_NEEDS}"
    done = subprocess.run(["node", folder / "browse.mjs", html], capture_output=True, text=True, check=False)
    if done.returncode == BROWSER_ABSENT:
        return done.stdout.strip().splitlines()[-1]
    if done.returncode:
        raise BuildError(done.stdout + done.stderr)
    return done.stdout.strip().splitlines()[-1]


def check_recorded(root: Path) -> None:
    """What a release needs of the recorded full runs: one for each chapter, with this code, within its claims' bounds.

    Raises :class:`BuildError`.
    """
    listed, problems = claims.load(root / "data" / "claims"), []
    for name in chapters(root):
        full = pages.full_run(root, name)
        if full is None:
            problems.append(f"{name}: expected a recorded full run in data/recorded/{name}, found none")
        elif pages.is_stale(root, name, full[1]):
            problems.append(
                f"{name}: recorded with older code; run `make full`, then `python -m companion keep {name}`"
            )
        else:
            problems += _recorded_failures(root, name, listed)
    stop_at(problems)


def keep(root: Path, name: str) -> Path:
    """Copy what a finished full run has left to data/recorded: results, provenance, pictures, tables, weights.

    Returns that folder. What was recorded before is replaced whole. Raises :class:`RunError` unless the run is whole,
    at the published seed and settings, and within the bounds of today.
    """
    if name not in chapters(root):
        raise RunError(f"name: expected one of {', '.join(chapters(root))}, got {name!r}")
    source, target = root / "_build" / "run" / "full" / name, pages.recorded_folder(root, name)
    results, provenance = read_run(source, name=name, profile="full")
    if failures := claims.check_made(claims.load(root / "data" / "claims"), name, "full", results["claims"]):
        raise RunError("\n".join(failures))
    partial, old = (target.parent / f".{name}.{state}" for state in ("partial", "old"))
    for left in (partial, old):
        shutil.rmtree(left, ignore_errors=True)
    partial.mkdir(parents=True)
    shown = [*pictures.shown(source), *tables.written_tables(source).values(), *weights.written_weights(source)]
    kept = [RESULTS, *(file.name for file in shown if file.name in provenance["files"])]
    for file in (PROVENANCE, *kept):
        shutil.copy2(source / file, partial / file)
    seal(partial, [partial / file for file in kept])
    if target.exists():
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    return target


def stop_at(problems: list[str]) -> None:
    """Raise :class:`BuildError` where there are any."""
    if problems:
        raise BuildError("\n".join(problems))
