"""Chapter 5: what its settings may be. What each of them is stands beside its values, in notebooks/profiles.yml."""

from dataclasses import dataclass
from typing import Annotated, Literal

from companion.bounds import (
    Ascending,
    Bounds,
    Count,
    Counts,
    Length,
    NotNegative,
    Positive,
    Sizes,
    expect,
    expect_among,
)

Levels = Annotated[int, Bounds(2)]
Scales = Annotated[tuple[Positive, ...], Ascending()]
TUNED = ("DPS, squared", "DPS, norm", "frozen, squared", "frozen, norm", "released", "released, ancestral")
UNTUNED = ("DPS, own weight", "PiGDM", "MMPS")


@dataclass(frozen=True)
class Settings:
    """Of 05_samplers."""

    workers: Count
    num_problems: Count
    num_draws: Count
    num_levels: Levels
    num_few_levels: Levels
    num_few_draws: Count
    num_langevin: Count
    particles: Annotated[Counts, Length(2)]  # the second of them is claimed
    num_swarms: Count
    counts: Counts
    num_laws: Count
    num_small: Count
    num_small_draws: Count
    num_small_levels: Levels
    scales: Scales
    num_sweep: Count
    num_sweep_draws: Count
    num_pushes: Count
    control_counts: Counts
    num_control: Count
    dense_levels: Levels
    gaussian_levels: Annotated[Counts, Length(2)]  # what halves from one to the next is claimed
    drawn_levels: Levels
    num_drawn: Count
    fwi_sizes: Annotated[Sizes, Length(2, exact=True)]  # two panels
    fwi_noises: Count
    fwi_draws: Count
    fwi_levels: Levels
    fwi_scales: Scales
    fwi_particles: Counts
    wave_sizes: Counts
    wave_levels: Levels
    wave_draws: Count
    wave_samplers: dict[Literal[*TUNED, *UNTUNED], NotNegative]

    def __post_init__(self):
        expect(64 in self.counts, "counts", "a list with 64, which is claimed", list(self.counts))
        expect_among("wave_sizes", self.wave_sizes, "fwi_sizes", self.fwi_sizes)
        expect(
            self.num_sweep <= self.num_problems,
            "num_sweep",
            f"at most num_problems, {self.num_problems}",
            self.num_sweep,
        )
        for name, scale in self.wave_samplers.items():
            scaled = "above 0, its scale" if name in TUNED else "0: it has no scale"
            expect((scale > 0) == (name in TUNED), f"wave_samplers[{name!r}]", scaled, scale)
