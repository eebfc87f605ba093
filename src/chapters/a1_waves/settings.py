"""Appendix A1: what its settings may be. What each of them is stands beside its values, in notebooks/profiles.yml."""

from dataclasses import dataclass
from typing import Annotated

from companion.bounds import Ascending, Bounds, Counts, Length, Natural, NaturalOrZero, Positive, require

Cells = Annotated[int, Bounds(2)]  # a side
Frequencies = Annotated[tuple[Positive, ...], Ascending()]
Iterations = Annotated[tuple[NaturalOrZero, ...], Ascending()]


@dataclass(frozen=True)
class NumDigits:
    """Models in single precision."""

    published: Natural
    twice_as_strong: Natural


@dataclass(frozen=True)
class Time:
    """Of the time-domain solver: cells a side, time steps and their length."""

    cells: Annotated[int, Bounds(5)]  # a fifth of them is the margin
    num_samples: Natural
    dt_s: Positive


@dataclass(frozen=True)
class Settings:
    """Of a1_waves."""

    orders: Counts
    elements: Counts
    stencil_cells: Annotated[tuple[Cells, ...], Ascending()]
    layer_speeds: Annotated[tuple[Positive, ...], Ascending()]
    shown_hz: Annotated[Frequencies, Length(3)]  # the slider begins at the third
    control_cells: Cells
    num_digits: NumDigits
    time: Time
    compared_hz: Frequencies
    num_truths: Annotated[int, Bounds(2)]
    iterations: Annotated[Iterations, Length(2)]  # for a slider
    coarse_cells: Annotated[tuple[Cells, ...], Ascending()]
    coarse_iterations: Iterations

    def __post_init__(self):
        # Drawn, compared or claimed by these values.
        for name, needed in (
            ("orders", 8),
            ("elements", 6),
            ("stencil_cells", 200),
            ("compared_hz", 6.0),
            ("coarse_cells", 100),
        ):
            listed = getattr(self, name)
            require(needed in listed, name, f"a list with {needed:g}", list(listed))
