"""Student code, run apart: a fresh kernel and an empty folder for each notebook; only files of numbers are kept.

Nothing here imports a reference, and no value of one is on disk, or known to a process, while student code runs. That
is no sandbox: it runs as the user who runs it, who can read the seed and the code of the references. Do it in a
container without them (book/teach).
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from companion import environment, paths
from companion.course.answers import ANSWER_BYTES, FOLDER, RUNS_SUBMISSIONS
from companion.sources import SourceError, read_notebook

LIMIT_S = 300  # of a cell
MOST_FILES = 100


class SubmissionError(RuntimeError):
    """Submissions that cannot be run or graded; names the folder and the reason."""


def submissions_in(folder: Path) -> list[Path]:
    """One folder a student. Raises :class:`SubmissionError` where there is none."""
    found = sorted(path for path in folder.glob("[!.]*") if path.is_dir() and not path.is_symlink())
    if not found:
        raise SubmissionError(f"{folder}: expected a folder for each student, found none")
    return found


def run_submissions(folder: Path, *, limit_s: float = LIMIT_S, tell: Callable[[str], None] = print) -> None:
    """Execute every notebook of every student in a fresh kernel and an empty folder; keep the answers that it wrote.

    What the student's folder held as answers is removed first. A cell that fails does not stop the ones below. Raises
    :class:`SubmissionError` when the installed code changed meanwhile: then nothing here can be trusted any more.
    """
    before = _code_digest()
    for student in submissions_in(folder):
        shutil.rmtree(student / FOLDER, ignore_errors=True)
        (student / FOLDER).mkdir()
        found = sorted(student.rglob("*.ipynb"))  # nbgrader has a folder an assignment, editors hidden ones
        for file in (file for file in found if not any(part[0] == "." for part in file.relative_to(student).parts)):
            try:
                failed = _execute_apart(file, student / FOLDER, limit_s)
            except (RuntimeError, OSError, SourceError) as error:  # nbclient's time-outs and dead kernels among them
                failed = [f"{type(error).__name__}: {str(error)[:100]}"]
            tell(f"{student.name}/{file.name}: " + ("; ".join(failed) or "ran"))
            if _code_digest() != before:
                raise SubmissionError(f"{student.name}: expected code that it does not change, got other files in src")


def _execute_apart(file: Path, answers: Path, limit_s: float) -> list[str]:
    """Run one notebook where there is nothing else; returns the errors of its cells."""
    if file.is_symlink():
        raise SubmissionError(f"{file.name}: expected a notebook, got a link")
    notebook = read_notebook(file)
    told = {"OMP_NUM_THREADS": "1", RUNS_SUBMISSIONS: "1"}
    with tempfile.TemporaryDirectory(prefix="course-") as work, environment.of_run(paths.require_repository(), told):
        options = {"timeout": limit_s, "kernel_name": "python3", "allow_errors": True}
        options |= {"extra_arguments": ["--log-level=CRITICAL"], "resources": {"metadata": {"path": work}}}
        client = NotebookClient(notebook, **options)
        try:
            client.execute()
        finally:
            _take_answers(Path(work) / FOLDER, answers)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    nbformat.write(notebook, answers / f"{file.stem}.executed.ipynb")
    return list(dict.fromkeys(output.ename for output in outputs if output.output_type == "error"))


def _take_answers(left: Path, answers: Path) -> None:
    """Copy files of numbers, and nothing that leads elsewhere."""
    if left.is_dir() and not left.is_symlink():
        for file in sorted(left.glob("*.json"))[:MOST_FILES]:
            if file.is_file() and not file.is_symlink() and file.stat().st_size <= ANSWER_BYTES:
                shutil.copyfile(file, answers / file.name)


def _code_digest() -> str:
    """Of the library and of this package, as installed."""
    folder = Path(__file__).resolve().parents[2]
    files = sorted(file for package in ("companion", "memprior") for file in (folder / package).rglob("*.py"))
    told = [[file.as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()] for file in files]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
