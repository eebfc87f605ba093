"""What a student's notebook calls to hand in: numbers and arrays, as JSON. Nothing that could be executed is read back.

Imports nothing of the course: no reference, no tolerance and no seed is where student code runs.
"""

import json
import math
from pathlib import Path

FOLDER = "answers"
RUNS_SUBMISSIONS = "COMPANION_SUBMISSION"  # set where student code runs: references are not imported there
ANSWER_BYTES = 1_000_000


class AnswerError(ValueError):
    """An answer that is no finite number or array of numbers; names it."""


def hand_in(exercise: str, **values) -> Path:
    """Write answers/EXERCISE.json beside the notebook; returns that file.

    values: numbers, or tensors, arrays and lists of them, by the names that the exercise asks for. Raises
    :class:`AnswerError` naming the value that is none.
    """
    answers = {name: _plain(name, value) for name, value in values.items()}
    file = Path(FOLDER) / f"{exercise}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(answers, indent=1) + "\n")
    return file


def read_answers(file: Path) -> dict[str, float | list]:
    """What :func:`hand_in` wrote. Raises :class:`AnswerError` for a file that is no such thing, whoever made it."""
    if file.is_symlink() or not file.is_file():
        raise AnswerError(f"{file.name}: expected a file, got none")
    if file.stat().st_size > ANSWER_BYTES:
        raise AnswerError(f"{file.name}: expected at most {ANSWER_BYTES} bytes, got {file.stat().st_size}")
    try:
        content = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"{file.name}: expected JSON, got {type(error).__name__}") from None
    if not isinstance(content, dict):
        raise AnswerError(f"{file.name}: expected values by name, got {type(content).__name__}")
    return {name: _plain(name, value) for name, value in content.items()}


def _plain(name: str, value) -> float | list:
    """As float or nested lists of them."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(name, part) for part in value]
    try:
        if isinstance(value, bool | str):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise AnswerError(f"{name}: expected a number or an array of numbers, got {type(value).__name__}") from None
    if not math.isfinite(number):
        raise AnswerError(f"{name}: expected finite numbers, got {number}")
    return number
