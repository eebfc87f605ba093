"""What a setting may be, said once beside its type: what a chapter's ``Settings`` declares and `profiles` reads.

Imports nothing: a chapter's sizes are checked before anything heavy is loaded.
"""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Bounds:
    """Of a number: from ``least`` to ``most``; ``least`` itself is out where ``above``."""

    least: float
    most: float = float("inf")
    above: bool = False


@dataclass(frozen=True)
class Length:
    """Of a list: ``least`` entries or more, so many where ``exact``. Where nothing is said it is 1 or more."""

    least: int = 1
    exact: bool = False


@dataclass(frozen=True)
class Ascending:
    """A list in which every entry is larger than the one before."""


Natural = Annotated[int, Bounds(1)]
NaturalOrZero = Annotated[int, Bounds(0)]
Positive = Annotated[float, Bounds(0, above=True)]
NotNegative = Annotated[float, Bounds(0)]
Counts = Annotated[tuple[Natural, ...], Ascending()]
Sizes = Annotated[tuple[Annotated[int, Bounds(2)], ...], Ascending()]  # of training sets: one example has no spread


@dataclass(frozen=True)
class Network:
    """Of a denoiser, and how many examples a step of its training takes."""

    width: Natural
    depth: Natural
    batch_size: Natural


def require(holds: bool, name: str, what: str, value) -> None:
    """``ValueError`` naming the setting unless ``holds``: for relations between settings, in ``__post_init__``."""
    if not holds:
        raise ValueError(f"expected {name} to be {what}, got {value!r}")


def require_among(name: str, values: tuple, among: str, allowed: tuple) -> None:
    """``values``, the setting ``name``, are all in ``allowed``, which is called ``among``."""
    listed = ", ".join(map(str, allowed))
    require(set(values) <= set(allowed), name, f"among {among} ({listed})", list(values))
