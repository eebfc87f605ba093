"""nbgrader packs the release, keeps the gradebook and locks cells; it grades nothing.

Its tests run where student code runs, and its feedback prints them: marks come from
:mod:`companion.course.grading`.
Without nbgrader (extra ``course``) everything else works.
"""

import os
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from companion.course.execution import SubmissionError
from companion.course.grading import Result

NBGRADER_CONFIG = """c = get_config()
c.CourseDirectory.course_id = "priors_that_remember"
c.ClearSolutions.begin_solution_delimeter = "BEGIN SOLUTION"
c.ClearSolutions.end_solution_delimeter = "END SOLUTION"
c.ClearSolutions.code_stub = {"python": "# your code here\\nraise NotImplementedError"}
"""
DATABASE = "gradebook.db"


def has_nbgrader() -> bool:
    return find_spec("nbgrader") is not None


def write_source(folder: Path, assignments: dict[str, NotebookNode]) -> None:
    """nbgrader's course folder: its configuration, and source/graded_NN/graded_NN.ipynb with solutions."""
    for name, notebook in assignments.items():
        file = folder / "source" / name / f"{name}.ipynb"
        file.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, file)
    (folder / "nbgrader_config.py").write_text(NBGRADER_CONFIG)


def pack_release(folder: Path, names: list[str]) -> Path:
    """``nbgrader generate_assignment``: release/ and the gradebook's rows. Raises :class:`SubmissionError`."""
    bin_folder = Path(sys.executable).parent
    surroundings = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', '')}"}
    for name in names:
        command = [sys.executable, "-m", "nbgrader", "generate_assignment", name, "--create", "--force"]
        done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SubmissionError(f"{folder}: nbgrader generate_assignment {name} failed:\n{done.stderr[-2000:]}")
    return folder / "release"


def enter_marks(folder: Path, results: dict[str, list[Result]]) -> int:
    """Write marks into nbgrader's gradebook as grades by hand, which its own never replace; returns how many."""
    from nbgrader.api import Gradebook

    entered = 0
    with warnings.catch_warnings(), Gradebook(f"sqlite:///{(folder / DATABASE).resolve()}") as book:
        warnings.simplefilter("ignore")  # nbgrader's own, of SQLAlchemy
        for student, of_student in results.items():
            book.update_or_create_student(student)
            for result in of_student:
                name = f"graded_{result.exercise.chapter}"
                book.update_or_create_submission(name, student)
                grade = book.find_grade(f"{result.exercise.id}-hand-in", name, name, student)
                grade.manual_score, grade.needs_manual_grade = result.points, False
                entered += 1
        book.db.commit()
    return entered
