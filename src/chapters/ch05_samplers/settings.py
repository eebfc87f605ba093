"""Chapter 5: what its settings may be. What each of them is stands beside its values, in notebooks/profiles.yml."""

from dataclasses import dataclass
from typing import Annotated, Literal

from companion.bounds import (
    Ascending,
    Bounds,
    Counts,
    Length,
    Natural,
    NotNegative,
    Positive,
    Sizes,
    require,
    require_among,
)

Levels = Annotated[int, Bounds(2)]
Scales = Annotated[tuple[Positive, ...], Ascending()]
TUNED = ("DPS, squared", "DPS, norm", "frozen, squared", "frozen, norm", "released", "released, ancestral")
UNTUNED = ("DPS, own weight", "PiGDM", "MMPS")


@dataclass(frozen=True)
class Settings:
    """Of 05_samplers."""

    workers: Natural
    num_problems: Natural
    num_draws: Natural
    num_levels: Levels
    num_few_levels: Levels
    num_few_draws: Natural
    num_langevin: Natural
    particles: Annotated[Counts, Length(2)]  # the second of them is claimed
    num_swarms: Natural
    counts: Counts
    num_weighting_sets: Natural
    num_small: Natural
    num_small_draws: Natural
    num_small_levels: Levels
    scales: Scales
    num_sweep: Natural
    num_sweep_draws: Natural
    num_guidance_states: Natural
    control_counts: Counts
    num_control: Natural
    num_control_problems: Annotated[int, Bounds(2)]
    dense_levels: Levels
    gaussian_levels: Annotated[Counts, Length(2)]  # what halves from one to the next is claimed
    drawn_levels: Levels
    fwi_sizes: Annotated[Sizes, Length(2, exact=True)]  # two panels
    fwi_noises: Natural
    fwi_draws: Natural
    fwi_levels: Levels
    fwi_scales: Scales
    fwi_particles: Counts
    wave_sizes: Counts
    wave_levels: Levels
    wave_draws: Natural
    wave_samplers: dict[Literal[*TUNED, *UNTUNED], NotNegative]

    def __post_init__(self):
        require(64 in self.counts, "counts", "a list with 64, which is claimed", list(self.counts))
        require_among("wave_sizes", self.wave_sizes, "fwi_sizes", self.fwi_sizes)
        require(
            self.num_sweep <= self.num_problems,
            "num_sweep",
            f"at most num_problems, {self.num_problems}",
            self.num_sweep,
        )
        for name, scale in self.wave_samplers.items():
            scaled = "above 0, its scale" if name in TUNED else "0: it has no scale"
            require((scale > 0) == (name in TUNED), f"wave_samplers[{name!r}]", scaled, scale)
