"""Chapter 3: what its settings may be. What each of them is stands beside its values, in notebooks/profiles.yml."""

from dataclasses import dataclass
from typing import Annotated

from companion.bounds import Bounds, Counts, Length, Natural, require

Points = Annotated[int, Bounds(2)]  # of a grid or a curve


@dataclass(frozen=True)
class Settings:
    """Of 03_linearized_posterior."""

    num_grid_line: Points
    num_grid_plane: Points
    num_draws: Natural
    num_samples: Natural
    num_steps: Points
    num_sigmas: Points
    num_observations: Points
    num_data: Annotated[int, Bounds(3)]
    num_truths: Annotated[int, Bounds(2)]
    control_sizes: Annotated[Counts, Length(2)]  # a slope is fitted to them
    num_repeats: Natural
    num_held_out: Natural

    def __post_init__(self):
        require(self.num_data % 2 == 1, "num_data", "an odd number, so that y = 0 is among them", self.num_data)
