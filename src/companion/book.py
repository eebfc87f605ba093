"""From executed notebooks to a checked site: stage, build with warnings as errors, look at every page.

The stage is a folder with the executed notebooks, the prose pages and the generated ones; Jupyter Book sees
nothing else.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from companion import claims, pages, pictures, site
from companion.run import RunError, chapters, read_results

QUICK = "quick"
BROWSER_NEEDS = "with chromium, nodejs and npm installed, `make browser` readies them"
BROWSER_ABSENT = 3  # exit status of browse.mjs where there is no browser to look with


class BuildError(RuntimeError):
    """The book cannot be built or does not hold; one problem a line."""


def build(root: Path) -> Path:
    """Build and check the book from the quick runs in _build/run; returns its first page.

    Raises :class:`BuildError` naming every culprit: a chapter not run, results that cannot be read, claims that do
    not hold, source notebooks with outputs, a warning of Sphinx, a problem on a page.
    """
    _stop_at(check_runs(root) + check_sources(root))
    print("building the pages with Sphinx", flush=True)
    stage(root, root / "_build" / "stage")
    html = sphinx(root)
    print("checking the pages, in Chromium too where there is one", flush=True)
    _stop_at([str(problem) for problem in site.check_pages(html, root / "_toc.yml")])
    print(browse(root, html))
    return html / "index.html"


def check_sources(root: Path) -> list[str]:
    """Problems of the chapters' notebooks. Results that JupyterLab saved in one are told only: no page shows them."""
    listed = {f"notebooks/{name}.ipynb" for name in chapters(root)}
    problems = [problem for problem in site.check_sources(root / "notebooks") if problem.page in listed]
    saved = [problem for problem in problems if site.SAVED.search(problem.what)]
    for page in sorted({problem.page for problem in saved}):
        print(f"{page}: saved with results; before you commit it: .venv/bin/nbstripout --keep-id {page}", flush=True)
    return [str(problem) for problem in problems if problem not in saved]


def check_runs(root: Path) -> list[str]:
    """Problems of the quick runs, and of the recorded full ones, against the claims as they are listed now."""
    listed, problems = claims.load(root / "data" / "claims.yml"), []
    for unknown in sorted({claim.chapter for claim in listed.values()} - set(chapters(root))):
        problems.append(f"claims.yml: expected chapters that exist, got {unknown!r}")
    for name in chapters(root):
        try:
            values = read_results(pages.run_folder(root, name))["claims"]
            problems += claims.check_made(listed, name, QUICK, values)
            if full := pages.full_run(root, name):
                problems += [
                    f"recorded full run: {failure}"
                    for failure in claims.check_made(listed, name, "full", full[0]["claims"])
                ]
        except (RunError, OSError, ValueError) as error:
            problems.append(f"{name}: {error}")
    return problems


def stage(root: Path, folder: Path) -> None:
    """Fill the stage afresh. Copies of the executed notebooks carry no line of this machine's folders."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root / "book", folder / "book")
    (folder / "notebooks").mkdir()
    for name in chapters(root):
        run = pages.run_folder(root, name)
        notebook = nbformat.read(run / f"{name}.ipynb", as_version=4)
        for of_editors in ("papermill", "widgets"):  # a saved slider would ask the network for its script
            notebook.metadata.pop(of_editors, None)
        for cell in notebook.cells:
            cell.metadata.pop("papermill", None)
            if "injected-parameters" in cell.metadata.get("tags", []):
                cell.metadata.tags.append("hide-cell")
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
        for picture in run.glob("*.png"):
            target = folder / "book" / "_run" / name / picture.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(picture, target)
        for picture in pictures.shown(root / "data" / "recorded" / name):
            target = folder / "book" / "_run" / name / "recorded" / picture.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(picture, target)
    pages.write_all(root, folder)


def sphinx(root: Path) -> Path:
    """Run Jupyter Book on the stage, warnings as errors; its log goes to _build/sphinx.log.

    Raises :class:`BuildError` with the warnings.
    """
    html, log = root / "_build" / "html", root / "_build" / "sphinx.log"
    shutil.rmtree(html, ignore_errors=True)  # a page that is no longer written must not stay
    command = [
        Path(sys.executable).with_name("jupyter-book"),
        "build",
        root / "_build" / "stage",
        "--config",
        root / "_config.yml",
    ]
    command += ["--toc", root / "_toc.yml", "--path-output", root, "-W", "-n", "--keep-going", "--all"]
    with log.open("w") as output:
        done = subprocess.run(
            command, cwd=root, stdout=output, stderr=subprocess.STDOUT, env=os.environ | {"NO_COLOR": "1"}, check=False
        )
    if done.returncode:
        said = log.read_text().splitlines()
        culprits = [line for line in said if "WARNING" in line or "ERROR" in line or "rror:" in line] or said[-20:]
        raise BuildError("\n".join([*culprits, f"whole log: {log}"]))
    return html


def browse(root: Path, html: Path) -> str:
    """Open every page in a headless Chromium with the network blocked; returns one line on what was or was not done."""
    folder = root / "workflow" / "browser"
    if not shutil.which("npm"):
        return f"browser checks skipped: no npm; {BROWSER_NEEDS}"
    if not (folder / "node_modules").is_dir():
        subprocess.run(
            ["npm", "ci", "--silent"], cwd=folder, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    done = subprocess.run(["node", folder / "browse.mjs", html], capture_output=True, text=True, check=False)
    if done.returncode == BROWSER_ABSENT:
        return done.stdout.strip().splitlines()[-1]
    if done.returncode:
        raise BuildError(done.stdout + done.stderr)
    return done.stdout.strip().splitlines()[-1]


def check_recorded(root: Path) -> None:
    """What a release needs of the recorded full runs: one for each chapter, with this code.

    Raises :class:`BuildError`.
    """
    problems = []
    for name in chapters(root):
        full = pages.full_run(root, name)
        if full is None:
            problems.append(f"{name}: expected a recorded full run in data/recorded/{name}, found none")
        elif pages.is_stale(root, name, full[1]):
            problems.append(
                f"{name}: recorded with older code; run `make full`, then `python -m companion keep {name}`"
            )
    _stop_at(problems)


def keep(root: Path, name: str) -> Path:
    """Copy results, provenance and pictures of a finished full run to data/recorded; returns that folder."""
    source, target = root / "_build" / "run" / "full" / name, root / "data" / "recorded" / name
    read_results(source)
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("*.png"):
        old.unlink()
    for file in (source / "results.json", source / "provenance.json", *pictures.shown(source)):
        shutil.copy2(file, target / file.name)
    return target


def _stop_at(problems: list[str]) -> None:
    if problems:
        raise BuildError("\n".join(problems))
