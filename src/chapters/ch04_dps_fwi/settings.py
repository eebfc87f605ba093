"""Chapter 4: what its settings may be. What each of them is stands beside its values, in notebooks/profiles.yml."""

from dataclasses import dataclass
from typing import Annotated, Literal

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
class Settings:
    """Of 04_dps_fwi."""

    sizes: Counts
    workers: Natural
    num_seeds: Natural
    network: Network
    checkpoints: Counts
    num_samples: Annotated[int, Bounds(4)]  # so many are shown
    waves_for_exact: Annotated[Counts, Length(0)]
    further_truths: Annotated[tuple[Literal["disc", "held out"], ...], Length(0)]
    num_further: NaturalOrZero
    finer: bool
    num_held_out: Natural
    num_ideal: Annotated[int, Bounds(2)]  # halves are compared
    num_corrected: Natural
    num_noise_draws: Natural
    num_noise_waves: NaturalOrZero
    num_stencil: Annotated[int, Bounds(2, PUBLISHED[0])]  # of 50 examples; the likeliest is compared with the next
    num_tangent: Natural
    num_checkpoint_samples: Natural
    step_sizes: Annotated[tuple[Positive, ...], Ascending()]

    def __post_init__(self):
        require(
            len(set(self.further_truths)) == len(self.further_truths),
            "further_truths",
            "different from each other",
            list(self.further_truths),
        )
        require(self.sizes == PUBLISHED, "sizes", f"{list(PUBLISHED)}, the authors' panel", list(self.sizes))
        require_among("waves_for_exact", self.waves_for_exact, "sizes", self.sizes)
        require(self.num_further > 0 or not self.further_truths, "num_further", "1 or more, for further_truths", 0)
        require(
            self.num_noise_waves <= self.num_noise_draws,
            "num_noise_waves",
            f"at most num_noise_draws, {self.num_noise_draws}",
            self.num_noise_waves,
        )
        # A claim is about the first, the slider begins at the second.
        require({0.01, 0.07} <= {*self.step_sizes}, "step_sizes", "a list with 0.01 and 0.07", list(self.step_sizes))
