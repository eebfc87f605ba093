"""Chapter 3: what its settings may be. What each of them is stands beside its values, in notebooks/profiles.yml."""

from dataclasses import dataclass
from typing import Annotated

from companion.bounds import Bounds, Counts, Length, Natural

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
    control_sizes: Annotated[Counts, Length(2)]  # a slope is fitted to them
    num_repeats: Natural
    num_held_out: Natural
