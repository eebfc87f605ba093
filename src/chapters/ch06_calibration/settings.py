"""Chapter 6: what its settings may be. What each of them is stands beside its values, in notebooks/profiles.yml."""

from dataclasses import dataclass
from typing import Annotated, Literal

from companion.bounds import (
    Bounds,
    Counts,
    Length,
    Natural,
    NaturalOrZero,
    Network,
    NotNegative,
    Positive,
    Sizes,
    require,
    require_among,
)

Draws = Annotated[int, Bounds(19)]  # of a posterior: fewer have no interval of 90 %
Levels = Annotated[int, Bounds(2)]


REMEDIES = ("trained", "early-stopped", "weight decay", "dropout", "augmented", "Tikhonov", "ensemble")


@dataclass(frozen=True)
class Waves:
    """With the nonlinear (Helmholtz) operator."""

    num_truths: Natural
    num_draws: NaturalOrZero
    num_levels: Levels


@dataclass(frozen=True)
class Settings:
    """Of 06_calibration."""

    num_truths: Natural
    num_exact_draws: Draws
    sizes: Sizes
    num_widths: Annotated[int, Bounds(2)]
    network_sizes: Sizes
    remedies_at: Counts
    remedies: tuple[Literal[*REMEDIES], ...]
    faulted_remedies: tuple[Literal[*REMEDIES[:4], *REMEDIES[5:]], ...]  # faulted layers have no mirror images
    num_members: Natural
    network: Network
    checkpoints: Counts
    weight_decay: NotNegative
    dropout: Annotated[float, Bounds(0, 0.99, above=True)]
    num_sampled_truths: Natural
    num_draws: Draws
    num_levels: Levels
    widths: Annotated[tuple[Positive, ...], Length(0)]
    num_prior_draws: Annotated[int, Bounds(5)]  # what the report on copying needs, and beside them
    num_held_out: Annotated[int, Bounds(20)]
    waves: Waves
    wave_sizes: Counts
    workers: Natural

    def __post_init__(self):
        require(len(set(self.widths)) == len(self.widths), "widths", "different from each other", list(self.widths))
        require(self.sizes[0] >= 50, "sizes", "a list from 50 on, for cross-validation", list(self.sizes))
        require({50, 1000} <= {*self.sizes}, "sizes", "a list with 50 and 1000", list(self.sizes))
        for name in ("remedies", "faulted_remedies"):
            given = getattr(self, name)
            good = {"trained", "early-stopped"} <= set(given) and len(set(given)) == len(given)
            require(good, name, "different ones, with trained and early-stopped", list(given))
        require_among("remedies_at", self.remedies_at, "network_sizes", self.network_sizes)
        require_among("remedies_at", self.remedies_at[:1], "sizes", self.sizes)
        largest = self.wave_sizes[-1]
        require(largest in self.sizes, "wave_sizes", f"a list whose last is among sizes {list(self.sizes)}", largest)
        require(
            self.num_sampled_truths <= self.num_truths,
            "num_sampled_truths",
            f"at most num_truths, {self.num_truths}",
            self.num_sampled_truths,
        )
