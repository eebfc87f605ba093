"""What a graded exercise is: parameters from a seed, a statement, answers with tolerances, a reference, mistakes."""

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from companion.course.answers import RUNS_SUBMISSIONS
from companion.record import seeded
from memprior._random import uniform

if RUNS_SUBMISSIONS in os.environ:
    raise ImportError("companion.course.exercise: expected no graded exercise to be asked for where submissions run")

Values = dict[str, torch.Tensor | float]
LEVEL_NAMES = {1: "compute", 2: "combine", 3: "derive"}


@dataclass(frozen=True)
class Answer:
    """What is handed in under one name, an array of ``shape``; () is a number.

    An entry a is right where ``|a - r| <= absolute + relative |r|`` with r the reference's; ``why`` is the reason for
    the tolerance.
    """

    shape: tuple[int, ...] = ()
    absolute: float = 0.0
    relative: float = 0.0
    why: str = ""

    def holds(self, value: torch.Tensor, reference: torch.Tensor) -> bool:
        """Both of ``shape``; NaN is never right."""
        return bool(((value - reference).abs() <= self.absolute + self.relative * reference.abs()).all())


def three_digits(*shape: int) -> Answer:
    """Three significant digits of every entry."""
    return Answer(shape, relative=5e-3, why="rounding to three significant digits moves a number by 0.5 % at most")


def three_decimals(*shape: int) -> Answer:
    """Two and a half decimals of every entry: for shares, log-densities and vectors that may have entries near 0."""
    return Answer(shape, absolute=2e-3, why="twice what rounding to three decimals and reading them off may move")


def counted(*shape: int) -> Answer:
    """A share of a few cases: exact but for rounding."""
    return Answer(shape, absolute=1e-4, why="a count over a count, to four decimals")


@dataclass(frozen=True)
class ParameterDraw:
    """Parameters of one exercise, from its generator, with the three decimals that the notebook prints."""

    generator: torch.Generator

    def number(self, low: float, high: float) -> float:
        return float(self.points(1, 1, low, high))

    def points(self, num: int, size: int, low: float, high: float) -> torch.Tensor:
        """(num, size), float64."""
        drawn = uniform(num, size, like=torch.zeros(0, dtype=torch.float64), generator=self.generator)
        return (low + (high - low) * drawn).round(decimals=3)

    def line(self, num: int, low: float, high: float) -> torch.Tensor:
        """(num, 1), ascending, one in each of ``num`` equal parts and no two nearer than 0.4 of one."""
        part = (high - low) / num
        starts = low + part * torch.arange(num, dtype=torch.float64)[:, None]
        return (starts + self.points(num, 1, 0.0, 0.6) * part).round(decimals=3)


@dataclass(frozen=True)
class Exercise:
    """reference: a function of the parameters whose docstring is the statement and whose body is the solution.

    It ends in ``return {"name": name, ...}``, so that its lines, without the last, set the names that are handed in.
    draw: the parameters. page: a label of the book where the theory stands. minutes: estimated, for a student.
    mistakes: typical wrong answers by what was done wrong, each a function of the right answers and the parameters.
    """

    chapter: str
    level: int
    minutes: int
    page: str
    reference: Callable[..., Values]
    draw: Callable[[ParameterDraw], Values]
    answers: dict[str, Answer]
    mistakes: dict[str, Callable[..., Values]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """``ch03_lookup_on_a_line``: of folders, files and grades."""
        return f"ch{self.chapter}_{self.reference.__name__}"

    @property
    def points(self) -> int:
        return 2 * self.level

    @property
    def title(self) -> str:
        return self._docstring.partition("\n")[0].rstrip(".")

    @property
    def statement(self) -> str:
        return self._docstring.partition("\n")[2].strip()

    @property
    def _docstring(self) -> str:
        return inspect.getdoc(self.reference)

    def parameters(self, seed: int) -> Values:
        """Those of the cohort ``seed``, the same on every machine."""
        return self.draw(ParameterDraw(seeded(seed, f"course {self.id}")))

    def expected(self, seed: int) -> dict[str, torch.Tensor]:
        """The reference's answers in float64."""
        return as_tensors(self.reference(**self.parameters(seed)))

    def mistaken(self, seed: int) -> dict[str, dict[str, torch.Tensor]]:
        """What each typical mistake would hand in."""
        given, right = self.parameters(seed), self.expected(seed)
        return {name: right | as_tensors(wrong(right, **given)) for name, wrong in self.mistakes.items()}


def as_tensors(values: Values) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(value, dtype=torch.float64).detach() for name, value in values.items()}
