"""The editions: solutions of every chapter are cut whole, and with them what they record; a leak stops the command."""

import ast
import json
from contextlib import nullcontext

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from tiny_book import NAME, REPOSITORY, companion, write_book, write_run

from companion import book, pages, workflow
from companion.course import gradebook, kit
from companion.course.grading import Result
from companion.course.kit import Course, readable, strip_root
from companion.course.leaks import Secrets, find_leaks
from companion.course.strip import cut_solutions
from companion.run import chapters
from companion.sources import MAGIC, read_notebook

SOLUTION = "````{solution-start} ex\n:label: sol\n````\nThe answer of the tiny chapter is a drawn number."
RECORDS = 'import torch\n# BEGIN SOLUTION\nrecord.claim("tiny.drawn", 1.0)\n# END SOLUTION'
EACH = pytest.mark.parametrize("name", chapters(REPOSITORY))


@EACH
def test_students_edition_of_each_chapter_has_no_solution_in_its_source(name, tmp_path):
    source = read_notebook(REPOSITORY / "notebooks" / f"{name}.ipynb")
    stripped = cut_solutions(source, name)
    assert len(stripped.solutions) >= 4
    secrets = Secrets()
    secrets.add_solutions(stripped.solutions)
    secrets = secrets.without(readable(stripped.notebook))
    assert len(secrets.texts) > 20
    nbformat.write(stripped.notebook, tmp_path / "a.ipynb")
    assert find_leaks(tmp_path, secrets) == []
    nbformat.write(source, tmp_path / "a.ipynb")
    assert len(find_leaks(tmp_path, secrets)) >= len(secrets.texts)


@EACH
def test_students_edition_of_each_chapter_needs_no_name_of_a_solution(name):
    stripped = cut_solutions(read_notebook(REPOSITORY / "notebooks" / f"{name}.ipynb"), name)
    kept, cut = (
        ast.parse("\n".join(MAGIC.sub("pass", cell.source) for cell in cells if cell.cell_type == "code"))
        for cells in (stripped.notebook.cells, stripped.solutions)
    )
    only_in_solutions = set(bound(cut)) - set(bound(kept))
    used = {node.id for node in ast.walk(kept) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    assert only_in_solutions & used == set()


def bound(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


@pytest.fixture
def course(tmp_path):
    """The tiny book as a chapter 42 whose solution records a claim, with a recorded run."""
    root = write_book(tmp_path / "book")
    file = root / "notebooks" / f"{NAME}.ipynb"
    notebook = nbformat.read(file, as_version=4)
    end = new_markdown_cell("````{solution-end}\n````")
    notebook.cells[-1:-1] = [new_markdown_cell(SOLUTION), new_code_cell(RECORDS), end]
    notebook.cells[3].source = 'record.claim("tiny.answer", 2.0)'
    nbformat.write(notebook, file)
    (root / "data" / "README.md").write_text("data")
    write_run(root, "full")
    book.keep(root, NAME)
    return Course(root, tmp_path / "work", 1, ())


def test_students_edition_has_no_claim_that_a_solution_records(course, monkeypatch):
    glob = type(course.root).glob
    monkeypatch.setattr(type(course.root), "glob", lambda self, p: glob(self, p.replace("*_*", "*")))
    bare = strip_root(course)
    assert "tiny.drawn" not in (bare / "data" / "claims" / f"{NAME}.yml").read_text()
    assert "tiny.drawn" not in (bare / "notebooks" / f"{NAME}.ipynb").read_text()
    results, provenance = pages.full_run(bare, NAME)
    assert results["claims"] == {"tiny.answer": 2.0}
    assert not pages.is_stale(bare, NAME, provenance)
    assert "tiny.answer" in (bare / "data" / "claims" / f"{NAME}.yml").read_text()


def test_leak_is_no_number_of_a_recorded_table_that_students_read(course, monkeypatch):
    glob = type(course.root).glob
    monkeypatch.setattr(type(course.root), "glob", lambda self, p: glob(self, p.replace("*_*", "*")))
    bare = strip_root(course)
    table = pages.recorded_folder(bare, NAME) / "table-shown.json"
    table.write_text('{"rows": [["exact", "0.177 (0.172, 0.182)"]]}')
    left = Secrets(numbers={"0.182", "0.183"}).without(kit.quoted_tables(bare, NAME))
    assert left.numbers == {"0.183"}


def leaking(file):
    def write_student(course, bare, out):
        (out / file).parent.mkdir(parents=True)
        (out / file).write_text("<p>The answer of the tiny chapter is a drawn number.</p>")

    return write_student


@pytest.mark.parametrize("leak", [True, False])
def test_leak_fails_the_command_and_nothing_is_written(tmp_path, monkeypatch, leak):
    secrets = Secrets()
    secrets.add_text("The answer of the tiny chapter is a drawn number." if leak else "Something else, not here at all")
    for part in ("run", "strip_root", "write_instructor", "write_test"):
        monkeypatch.setattr(kit, part, lambda *_: tmp_path)
    monkeypatch.setattr(kit, "secrets_of", lambda *_: secrets)
    monkeypatch.setattr(kit, "write_student", leaking("site/page.html"))
    monkeypatch.setattr(gradebook, "has_nbgrader", lambda: False)
    monkeypatch.setattr(workflow, "only_build", lambda root: nullcontext())
    real = Course.__init__
    monkeypatch.setattr(Course, "__init__", lambda self, root, work, *rest: real(self, root, tmp_path / "work", *rest))
    done = companion(REPOSITORY, "course", "make", "--seed", "1", "--chapters", "03", "--out", str(tmp_path / "out"))
    assert done.returncode == int(leak)
    assert ("site/page.html: the text 'The answer of the tiny" in done.stderr) == leak
    assert (tmp_path / "out").exists() != leak


def test_nbgrader_packs_the_release_without_solutions_and_keeps_the_marks(tmp_path):
    pytest.importorskip("nbgrader")
    course = Course(REPOSITORY, tmp_path, 1, ("06",))
    gradebook.write_source(tmp_path, course.assignments())
    release = gradebook.pack_release(tmp_path, ["graded_06"])
    text = (release / "graded_06" / "graded_06.ipynb").read_text()
    assert "SOLUTION" not in text
    assert text.count("raise NotImplementedError") == 3
    cells = json.loads(text)["cells"]
    assert sum(cell["metadata"].get("nbgrader", {}).get("locked", False) for cell in cells) > 5
    results = {"a": [Result(course.exercises[0], {}), Result(course.exercises[1], {"z": "not right"})]}
    assert gradebook.enter_marks(tmp_path, results) == gradebook.enter_marks(tmp_path, results) == 2
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{tmp_path / gradebook.DATABASE}") as kept:
        assert kept.find_submission("graded_06", "a").score == 2
