"""Grading: the numbers that were handed in are compared with references that this process computes.

No student code is run here, nor has been in this process: see :mod:`companion.course.execution`.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import torch

from companion.course.answers import FOLDER, AnswerError, read_answers
from companion.course.execution import submissions_in
from companion.course.exercise import Exercise
from companion.course.notebooks import heading


@dataclass(frozen=True)
class Result:
    """One exercise of one student. problems: by answer, for the student. mistake: a typical one, for instructors."""

    exercise: Exercise
    problems: dict[str, str]
    mistake: str = ""

    @property
    def points(self) -> int:
        """All or none: a part of the answers may be guessed."""
        return 0 if self.problems else self.exercise.points


def grade_submissions(folder: Path, exercises: list[Exercise], seed: int) -> dict[str, list[Result]]:
    """Results of each student, from the numbers in their folders. Runs none of their code."""
    expected = {exercise.id: exercise.expected(seed) for exercise in exercises}
    mistaken = {exercise.id: exercise.mistaken(seed) for exercise in exercises}
    return {
        student.name: [
            _graded(exercise, student / FOLDER, expected[exercise.id], mistaken[exercise.id]) for exercise in exercises
        ]
        for student in submissions_in(folder)
    }


def write_feedback(root: Path, results: dict[str, list[Result]], out: Path) -> None:
    """A page for each student, STUDENT.md; marks.csv and mistakes.csv for the instructor."""
    out.mkdir(parents=True, exist_ok=True)
    for student, of_student in results.items():
        (out / f"{student}.md").write_text(feedback(root, student, of_student))
    first = next(iter(results.values()))
    with (out / "marks.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["student", *(result.exercise.id for result in first), "points", "of"])
        for student, of_student in results.items():
            points = [result.points for result in of_student]
            table.writerow([student, *points, sum(points), sum(result.exercise.points for result in of_student)])
    with (out / "mistakes.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["student", "exercise", "looks like"])
        table.writerows(
            [student, result.exercise.id, result.mistake]
            for student, of_student in results.items()
            for result in of_student
            if result.mistake
        )


def feedback(root: Path, student: str, results: list[Result]) -> str:
    """Which value is not right, and the page to read: no reference, no test, no tolerance but the stated one."""
    total = sum(result.exercise.points for result in results)
    lines = [f"# {student}: {sum(result.points for result in results)} of {total} points", ""]
    for result in results:
        exercise = result.exercise
        lines.append(f"## {exercise.title}: {result.points} of {exercise.points}\n")
        lines += [f"- `{name}`: {problem}" for name, problem in result.problems.items()]
        page = f"chapter {int(exercise.chapter)}, *{heading(root, exercise.chapter, exercise.page)}*"
        lines.append(f"- Read {page}.\n" if result.problems else "Right.\n")
    lines.append("The questions in words are graded by hand and not counted here.\n")
    return "\n".join(lines)


def _graded(exercise: Exercise, folder: Path, expected: dict, mistaken: dict) -> Result:
    try:
        given = read_answers(folder / f"{exercise.id}.json")
    except AnswerError as error:
        return Result(exercise, dict.fromkeys(exercise.answers, f"not handed in ({error})"))
    problems, values = {}, {}
    for name, answer in exercise.answers.items():
        if name not in given:
            problems[name] = "not handed in"
            continue
        try:
            values[name] = torch.tensor(given[name], dtype=torch.float64)
        except (ValueError, TypeError):
            problems[name] = f"expected shape {answer.shape}, got rows of different lengths"
            continue
        if tuple(values[name].shape) != answer.shape:
            problems[name] = f"expected shape {answer.shape}, got {tuple(values[name].shape)}"
        elif not answer.holds(values[name], expected[name]):
            problems[name] = "not right within the stated tolerance"
    likely = [mistake for mistake, wrong in mistaken.items() if problems and _same(exercise, values, wrong)]
    return Result(exercise, problems, likely[0] if likely else "")


def _same(exercise: Exercise, values: dict, wrong: dict) -> bool:
    return all(
        name in values and tuple(values[name].shape) == answer.shape and answer.holds(values[name], wrong[name])
        for name, answer in exercise.answers.items()
    )
