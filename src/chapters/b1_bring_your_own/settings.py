"""B1: what its settings may be. What each of them is stands beside its values, in notebooks/profiles.yml."""

from dataclasses import dataclass
from typing import Annotated

from companion.bounds import Ascending, Bounds, Length, Positive


@dataclass(frozen=True)
class Settings:
    """Of b1_bring_your_own."""

    num_models: Annotated[int, Bounds(20)]
    num_truths: Annotated[int, Bounds(10)]
    num_draws: Annotated[int, Bounds(19)]
    num_proposals: Annotated[int, Bounds(16)]
    num_fresh: Annotated[int, Bounds(10)]
    num_swaps: Annotated[int, Bounds(10)]
    num_labelings: Annotated[int, Bounds(99)]
    noise_factors: Annotated[tuple[Positive, ...], Ascending(), Length(2)]
