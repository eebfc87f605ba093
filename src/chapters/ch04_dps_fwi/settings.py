"""Chapter 4: what its settings may be. What each of them is stands beside its values, in notebooks/profiles.yml."""

from dataclasses import dataclass
from typing import Annotated

from companion.bounds import (
    Ascending,
    Bounds,
    Counts,
    Length,
    Natural,
    NaturalOrZero,
    Network,
    Positive,
    require,
    require_among,
)

PUBLISHED = (50, 200, 1000)  # N of the authors' panel, which every figure and table has side by side


@dataclass(frozen=True)
class Unseen:
    """Of truths that are in no training set and in no held-out set."""

    num_truths: Annotated[int, Bounds(3)]  # the talk's figure has them in three groups by distance
    num_together: Natural
    num_draws: Natural
    num_samples: Annotated[int, Bounds(2)]
    num_nonlinear: NaturalOrZero
    num_nonlinear_samples: Natural


@dataclass(frozen=True)
class Settings:
    """Of 04_dps_fwi."""

    sizes: Counts
    workers: Natural
    num_seeds: Natural
    network: Network
    checkpoints: Counts
    unseen: Unseen
    num_labelings: Annotated[int, Bounds(199)]  # the central 99 % of a null is read from them
    num_fresh_sets: Annotated[int, Bounds(19)]  # a p of five per cent can be had
    num_samples: Annotated[int, Bounds(4)]  # so many are shown
    waves_for_exact: Annotated[Counts, Length(0)]
    finer: bool
    num_held_out: Annotated[int, Bounds(PUBLISHED[-1])]  # as many as there are examples
    num_ideal: Annotated[int, Bounds(2)]
    num_corrected: Natural
    num_noise_draws: Annotated[int, Bounds(2)]
    num_stencil: Annotated[int, Bounds(2, PUBLISHED[0])]  # of 50 examples; the likeliest is compared with the next
    num_tangent: Natural
    step_sizes: Annotated[tuple[Positive, ...], Ascending()]

    def __post_init__(self):
        require(self.sizes == PUBLISHED, "sizes", f"{list(PUBLISHED)}, the authors' panel", list(self.sizes))
        require_among("waves_for_exact", self.waves_for_exact, "sizes", self.sizes)
        few, all_of_them = self.unseen.num_nonlinear, self.unseen.num_truths
        require(few <= all_of_them, "unseen.num_nonlinear", f"at most unseen.num_truths, {all_of_them}", few)
        require(few != 1, "unseen.num_nonlinear", "0, or 2 or more: intervals are over truths", few)
        # A claim is about the first, the slider begins at the second.
        require({0.01, 0.07} <= {*self.step_sizes}, "step_sizes", "a list with 0.01 and 0.07", list(self.step_sizes))
