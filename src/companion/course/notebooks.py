"""The notebook of graded exercises of a chapter: statements, parameters of the cohort, blanks, what hands in."""

import ast
import inspect
import re
import textwrap
import time
from pathlib import Path

import torch
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from companion.course import graded
from companion.course.exercise import LEVEL_NAMES, Exercise
from companion.course.strip import BEGIN, END
from companion.sources import SourceError, read_notebook
from companion.tables import Table

IMPORTED = ("itertools", "math", "memprior", "scipy", "torch")  # of graded's imports those that a solution may need
HEAD = """# Graded exercises: {title}

Work in the cells that say so; leave the cells with parameters and with `hand_in` as they are. Run the whole notebook
before you hand it in: it writes your answers to the folder `answers`. Answers are compared as numbers, within the
tolerance stated at each exercise, by a program that does not see your notebook. {total} points, about {minutes}
minutes. The parameters are those of your course alone.
"""
WRITTEN = """## In words

Choose one of your answers above. In at most five sentences: what does it say about the prior, what would it be for a
prior that had not memorized, and how do you know that your number is right? {points} points, graded by hand.
"""
WRITTEN_POINTS = 4


def of_chapter_number(chapter: str) -> list[Exercise]:
    """The graded exercises of a chapter, ``03`` say, in order; none where it has none."""
    return [exercise for exercise in graded.GRADED if exercise.chapter == chapter]


def assignment(chapter: str, title: str, seed: int, *, notes: bool = False) -> NotebookNode:
    """The notebook with its solutions, from which students' is cut. notes: with those for instructors.

    Each cell carries the metadata by which nbgrader locks, grades and restores it.
    """
    exercises = of_chapter_number(chapter)
    minutes = sum(exercise.minutes for exercise in exercises)
    points = sum(exercise.points for exercise in exercises) + WRITTEN_POINTS
    cells = [_locked_text("head", HEAD.format(title=title, total=points, minutes=minutes))]
    cells.append(_locked("imports", "\n".join([*_imports(exercises), "from companion.course.answers import hand_in"])))
    for exercise in exercises:
        cells.append(_locked_text(f"{exercise.id}-text", _text(exercise)))
        cells.append(_locked(f"{exercise.id}-parameters", _assignments(exercise.parameters(seed))))
        cells.append(_code(exercise.id, f"{BEGIN}\n{solution(exercise)}\n{END}", solution=True))
        graded_here = {"grade": True, "locked": True, "points": exercise.points}
        cells.append(_code(f"{exercise.id}-hand-in", _hand_in(exercise), **graded_here))
        if notes:
            cells.append(new_markdown_cell(_notes(exercise, seed), id=f"{exercise.id}-notes".replace("_", "-")))
    cells.append(_locked_text("written-text", WRITTEN.format(points=WRITTEN_POINTS)))
    written = _metadata(f"ch{chapter}-written", "markdown", grade=True, solution=True, points=WRITTEN_POINTS)
    cells.append(new_markdown_cell("*Your words here.*", id="written", metadata=written))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def solution(exercise: Exercise) -> str:
    """The lines of the reference between its docstring and its last, which returns."""
    source = textwrap.dedent(inspect.getsource(exercise.reference))
    function = ast.parse(source).body[0]
    *body, last = function.body[1:]
    if not (isinstance(last, ast.Return) and _names_itself(last.value)):
        raise SourceError(f"{exercise.id}: expected a reference that ends in return {{'name': name, ...}}")
    lines = source.splitlines()[body[0].lineno - 1 : body[-1].end_lineno]
    return textwrap.dedent("\n".join(lines))


def heading(root: Path, chapter: str, label: str) -> str:
    """The heading at a label of a chapter, for feedback; the chapter's own where there is none."""
    text = "\n\n".join(cell.source for cell in read_notebook(notebook_file(root, chapter)).cells)
    found = re.search(rf"^\({re.escape(label)}\)=\s*^#+ +(.+)$", text, re.M) or re.search(r"^# (.+)$", text, re.M)
    return found[1].strip()


def notebook_file(root: Path, chapter: str) -> Path:
    """notebooks/NN_*.ipynb. Raises :class:`~companion.sources.SourceError` naming the chapters that there are."""
    files = sorted((root / "notebooks").glob(f"{chapter}_*.ipynb"))
    if len(files) != 1 or not chapter:
        listed = sorted(file.stem.partition("_")[0] for file in (root / "notebooks").glob("*_*.ipynb"))
        raise SourceError(f"chapters: expected some of {', '.join(listed)}, got {chapter!r}")
    return files[0]


def exercise_table(root: Path) -> str:
    """Every graded exercise of the book's chapters, with the seconds that its reference takes here."""
    rows = []
    for exercise in graded.GRADED:
        if any((root / "notebooks").glob(f"{exercise.chapter}_*.ipynb")):
            began, level = time.perf_counter(), f"{exercise.level}, {LEVEL_NAMES[exercise.level]}"
            exercise.expected(0)
            taken = f"{time.perf_counter() - began:.2f} s"
            section = heading(root, exercise.chapter, exercise.page)
            times = [f"{exercise.minutes} min", taken]
            mistakes = "; ".join(exercise.mistakes)
            rows.append([exercise.chapter, exercise.title, level, *times, str(exercise.points), section, mistakes])
    head = ["chapter", "exercise", "level", "minutes", "computing", "points", "section", "typical mistakes"]
    return Table(head, rows).markdown()


def _text(exercise: Exercise) -> str:
    level = LEVEL_NAMES[exercise.level]
    asked = [f"`{name}`, {_shape(answer.shape)}" for name, answer in exercise.answers.items()]
    tolerances = dict.fromkeys(_tolerance(answer) for answer in exercise.answers.values())
    within = (
        next(iter(tolerances))
        if len(tolerances) == 1
        else "; ".join(f"`{name}` {_tolerance(answer)}" for name, answer in exercise.answers.items())
    )
    told = f"*Level {exercise.level} ({level}), about {exercise.minutes} minutes, {exercise.points} points.*"
    asked_for = f"Answers: {'; '.join(asked)}. Tolerance: {within}."
    return f"## {exercise.title}\n\n{told}\n\n{exercise.statement}\n\n{asked_for}\n"


def _shape(shape: tuple[int, ...]) -> str:
    return f"shape {shape}" if shape else "a number"


def _tolerance(answer) -> str:
    parts = [f"{answer.absolute:g}"] * (answer.absolute > 0) + [f"{answer.relative:.1%} of the value"] * (
        answer.relative > 0
    )
    return " + ".join(parts)


def _notes(exercise: Exercise, seed: int) -> str:
    """Reference values and what typical mistakes give."""
    right = exercise.expected(seed)
    rows = [f"| right | {_values(right, exercise.answers)} |"]
    rows += [f"| {name} | {_values(wrong, exercise.answers)} |" for name, wrong in exercise.mistaken(seed).items()]
    reasons = "; ".join(f"`{name}`: {answer.why}" for name, answer in exercise.answers.items())
    table = "\n".join(["| handed in | answers |", "| --- | --- |", *rows])
    return f"**For instructors.** Tolerances: {reasons}.\n\n{table}\n"


def _values(values: dict[str, torch.Tensor], answers: dict) -> str:
    def told(value) -> str:
        return "(" + ", ".join(map(told, value)) + ")" if isinstance(value, list) else f"{value:.4f}"

    return "; ".join(f"`{name}` {told(values[name].tolist())}" for name in answers)


def _hand_in(exercise: Exercise) -> str:
    given = ", ".join(f"{name}={name}" for name in exercise.answers)
    return f'hand_in("{exercise.id}", {given})'


def _assignments(parameters: dict) -> str:
    return "\n".join(f"{name} = {_literal(value)}" for name, value in parameters.items())


def _literal(value) -> str:
    if isinstance(value, torch.Tensor):

        def told(part) -> str:
            return f"[{', '.join(map(told, part))}]" if isinstance(part, list) else repr(round(part, 3))

        return f"torch.tensor({told(value.tolist())}, dtype=torch.float64)"
    return repr(round(value, 3) if isinstance(value, float) else value)


def _imports(exercises: list[Exercise]) -> list[str]:
    """The imports of :mod:`~companion.course.graded` that the solutions use, each on its line."""
    solutions = [ast.parse(solution(exercise)) for exercise in exercises]
    used = {node.id for tree in solutions for node in ast.walk(tree) if isinstance(node, ast.Name)} | {"torch"}
    lines = []
    for node in ast.parse(inspect.getsource(graded)).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [name for name in node.names if name.name in used]
            module = node.module if isinstance(node, ast.ImportFrom) else "".join(name.name for name in node.names)
            if node.names and module.partition(".")[0] in IMPORTED:
                lines.append(ast.unparse(node))
    return lines


def _names_itself(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Dict) and all(
        isinstance(key, ast.Constant) and isinstance(value, ast.Name) and key.value == value.id
        for key, value in zip(node.keys, node.values, strict=True)
    )


def _locked(name: str, source: str) -> NotebookNode:
    return _code(name, source, locked=True)


def _locked_text(name: str, source: str) -> NotebookNode:
    metadata = _metadata(name, "markdown", locked=True)
    return new_markdown_cell(source, id=name.replace("_", "-"), metadata=metadata)


def _code(name: str, source: str, **kind) -> NotebookNode:
    return new_code_cell(source, id=name.replace("_", "-"), metadata=_metadata(name, "code", **kind))


def _metadata(name: str, cell_type: str, *, grade=False, solution=False, locked=False, points=None) -> dict:
    kind = {"grade": grade, "solution": solution, "locked": locked, "task": False}
    told = {"schema_version": 3, "grade_id": name, "cell_type": cell_type} | ({"points": points} if points else {})
    return {"nbgrader": kind | told}
