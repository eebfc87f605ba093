"""What is handed in and how it is graded: the reference has full marks; blanks, mistakes and cheats have none."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell
from tiny_book import REPOSITORY, companion

from companion.course import execution
from companion.course.answers import FOLDER, RUNS_SUBMISSIONS
from companion.course.execution import SubmissionError, run_submissions
from companion.course.grading import grade_submissions, write_feedback
from companion.course.notebooks import assignment, of_chapter_number
from companion.course.strip import cut_solutions

SEED, CHAPTER = 2027, "06"
EXERCISES = of_chapter_number(CHAPTER)

PATCHED = """
import builtins, json, math
true = lambda *a, **k: True
math.isclose = builtins.all = true
try:
    from companion.course import exercise
    exercise.Answer.holds = true
except ImportError:
    pass
low = high = needed = coverage = rms = share = 0.5
z = [0.0] * 8
"""
READS = """
import json
from pathlib import Path
import companion
found = []
for folder in (Path.cwd(), *Path.cwd().parents[:1], Path("/tmp")):
    for pattern in ("**/course.json", "answers/*.json", "course-*/**/*.json", "tests/**/*.json"):
        try:
            found += [json.loads(file.read_text()) for file in list(folder.glob(pattern))[:50]]
        except (OSError, ValueError):
            pass
try:
    from companion.course import graded
    right = {}
    for exercise in graded.GRADED:
        right |= exercise.expected(0)
except ImportError:
    right = {}
globals().update({name: 0.0 for name in ("low", "high", "needed", "share", "coverage", "rms")} | right)
z = [0.0] * 8
"""


def cheat(code):
    """A student's notebook whose first cell is the cheat's, blanks taken out."""
    notebook = cut_solutions(assignment(CHAPTER, "T", SEED), "n").notebook
    cells = [cell for cell in notebook.cells if "hand_in" in cell.source and "torch" not in cell.source]
    notebook.cells = [new_code_cell(f"from companion.course.answers import hand_in\n{code}"), *cells]
    return notebook


def hand(folder, values_of):
    """Answers as a notebook would have left them."""
    (folder / FOLDER).mkdir(parents=True)
    for exercise in EXERCISES:
        values = {name: value.tolist() for name, value in values_of(exercise).items()}
        (folder / FOLDER / f"{exercise.id}.json").write_text(json.dumps(values))


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of submissions that are executed, and what was told."""
    folder, told = tmp_path_factory.mktemp("submissions"), []
    whole = assignment(CHAPTER, "T", SEED)
    handed = {"reference": whole, "blank": cut_solutions(whole, "n").notebook}
    handed |= {"patched comparison": cheat(PATCHED), "test file read": cheat(READS)}
    for student, notebook in handed.items():
        (folder / student).mkdir()
        nbformat.write(notebook, folder / student / "graded_06.ipynb")
    (folder / "blank" / FOLDER).mkdir()
    (folder / "blank" / FOLDER / "ch06_assumed_spread.json").write_text('{"coverage": 0.9, "rms": 0.5}')
    run_submissions(folder, tell=told.append)
    return folder, told


def test_submissions_of_reference_pass_and_of_blanks_and_cheats_do_not(ran):
    folder, told = ran
    results = grade_submissions(folder, EXERCISES, SEED)
    points = {student: [result.points for result in of_student] for student, of_student in results.items()}
    assert points == {
        "reference": [2, 4, 6],
        "blank": [0, 0, 0],
        "patched comparison": [0, 0, 0],
        "test file read": [0, 0, 0],
    }
    assert "reference/graded_06.ipynb: ran" in told
    assert not (folder / "blank" / FOLDER / "ch06_assumed_spread.json").exists()  # brought, not written by the notebook
    assert any(line.startswith("blank/graded_06.ipynb: NotImplementedError") for line in told)


def test_submissions_with_typical_mistakes_and_copied_values_do_not_pass(tmp_path):
    for n in range(3):
        hand(tmp_path / f"mistake {n}", lambda e, n=n: (w := list(e.mistaken(SEED).values()))[n % len(w)])
    hand(tmp_path / "copied", lambda exercise: exercise.expected(SEED + 1))
    hand(tmp_path / "right", lambda exercise: exercise.expected(SEED))
    results = grade_submissions(tmp_path, EXERCISES, SEED)
    sums = {student: sum(result.points for result in of_student) for student, of_student in results.items()}
    assert sums == {"copied": 0, "mistake 0": 0, "mistake 1": 0, "mistake 2": 0, "right": 12}
    assert results["mistake 0"][0].mistake == "the normal interval"
    assert results["copied"][0].mistake == ""


def test_feedback_names_the_value_and_the_page_and_nothing_of_the_test(tmp_path):
    hand(tmp_path / "s" / "a", lambda exercise: {name: v + 1.0 for name, v in exercise.expected(SEED).items()})
    results = grade_submissions(tmp_path / "s", EXERCISES, SEED)
    write_feedback(REPOSITORY, results, tmp_path / "feedback")
    page = (tmp_path / "feedback" / "a.md").read_text()
    assert page.startswith("# a: 0 of 12 points")
    assert "- `coverage`: not right within the stated tolerance" in page
    assert "- Read chapter 6, *The check that can fail*." in page
    assert "in words are graded by hand and not counted" in page  # the notebook's total counts them
    for exercise in EXERCISES:
        values = [v for value in exercise.expected(SEED).values() for v in value.flatten().tolist()]
        assert not any(f"{value:.4f}" in page for value in values)
        assert exercise.reference.__name__ not in page
    marks = (tmp_path / "feedback" / "marks.csv").read_text().splitlines()
    assert marks[1] == "a,0,0,0,0,12"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"coverage": 0.5}', {"coverage": "not right", "rms": "not handed in"}),
        (
            '{"coverage": [0.5], "rms": [[1], [1, 2]]}',
            {"coverage": "expected shape (), got (1,)", "rms": "expected shape"},
        ),
        ("no JSON", {"coverage": "not handed in (ch06", "rms": "not handed in"}),
    ],
)
def test_answers_of_other_shapes_are_named(tmp_path, content, problem):
    (tmp_path / "s" / FOLDER).mkdir(parents=True)
    (tmp_path / "s" / FOLDER / "ch06_assumed_spread.json").write_text(content)
    result = grade_submissions(tmp_path, EXERCISES, SEED)["s"][2]
    assert result.points == 0
    assert all(result.problems[name].startswith(words) for name, words in problem.items())


def test_submissions_are_needed(tmp_path):
    with pytest.raises(SubmissionError, match="expected a folder for each student, found none"):
        run_submissions(tmp_path)


def test_answers_that_lead_elsewhere_are_not_taken(tmp_path):
    (tmp_path / "left").mkdir()
    (tmp_path / "kept").mkdir()
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "left" / "a.json").symlink_to(tmp_path / "secret.json")
    (tmp_path / "left" / "b.json").write_text("{}")
    execution._take_answers(tmp_path / "left", tmp_path / "kept")
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["b.json"]


def test_run_stops_when_installed_code_is_changed(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    nbformat.write(cheat("x = 1"), tmp_path / "a" / "n.ipynb")
    digests = iter("ab")
    monkeypatch.setattr(execution, "_code_digest", lambda: next(digests))
    monkeypatch.setattr(execution, "_execute_apart", lambda *_: [])
    with pytest.raises(SubmissionError, match="a: expected code that it does not change"):
        run_submissions(tmp_path, tell=lambda line: None)


def test_references_are_not_imported_where_student_code_runs(monkeypatch):
    source = Path(execution.__file__).with_name("exercise.py").read_text()
    monkeypatch.setenv(RUNS_SUBMISSIONS, "1")
    with pytest.raises(ImportError, match="expected no graded exercise"):
        exec(compile(source, "exercise", "exec"), {"__name__": "elsewhere"})


def test_run_needs_no_reference_to_be_installed():
    """In a container they are removed."""
    code = "import sys; import companion.course.execution; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"companion.course.graded", "companion.course.exercise"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("course", "grade", "SUBMISSIONS", "--course", "NONE"), "expected a course that `make course` wrote"),
        (("course", "run", "NONE"), "expected a folder for each student"),
        (("course", "make", "--seed", "1", "--chapters", "9", "--out", "NEW"), "chapters: expected some of 01"),
        (("course", "make", "--seed", "1", "--chapters", "03,03", "--out", "NEW"), "chapters: expected each once"),
        (("course", "make", "--seed", "1", "--chapters", "03", "--out", "."), "out: expected a folder that is new"),
    ],
)
def test_course_commands_name_what_is_wrong_before_any_work(tmp_path, arguments, message):
    (tmp_path / "x").write_text("somebody's")
    arguments = [str(tmp_path / word) if word in ("SUBMISSIONS", "NONE", "NEW", ".") else word for word in arguments]
    done = companion(REPOSITORY, *arguments)
    assert done.returncode == 1
    assert message in done.stderr


def test_container_of_the_teaching_page_runs_submissions_and_holds_no_reference(tmp_path):
    page = (REPOSITORY / "book" / "teach.md").read_text(encoding="utf-8")
    removed = [Path(name) for name in re.search(r"^RUN rm -rf (.+)$", page, re.M)[1].split()]
    assert {Path(".git"), Path("tests")} <= set(removed)  # history, and tests that compute references
    left = {file.relative_to(REPOSITORY) for file in (REPOSITORY / "src").rglob("*.py")} - set(removed)
    solution = re.compile(rf"def (?:{'|'.join(exercise.reference.__name__ for exercise in EXERCISES)})\(")
    assert [file for file in left if solution.search((REPOSITORY / file).read_text(encoding="utf-8"))] == []
    without = "import sys; sys.modules['companion.course.graded'] = None; from companion.__main__ import main; "
    command = [sys.executable, "-c", f"{without}sys.exit(main(['course', 'run', {str(tmp_path)!r}]))"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert "expected a folder for each student, found none" in done.stderr
