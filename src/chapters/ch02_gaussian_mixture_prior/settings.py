"""Chapter 2: what its settings may be. What each of them is stands beside its values, in notebooks/profiles.yml."""

from dataclasses import dataclass
from typing import Annotated, Literal

from companion.bounds import Bounds, Counts, Natural, Sizes, require, require_among

PUBLISHED = (50, 200, 1000)  # N of the priors that are made


@dataclass(frozen=True)
class Settings:
    """Of 02_gaussian_mixture_prior."""

    workers: Natural
    num_grid_plane: Annotated[int, Bounds(2)]
    num_draws: Natural
    num_held_out: Natural
    num_sigmas: Annotated[int, Bounds(2)]
    plane_steps: Annotated[int, Bounds(100)]  # the second look, for a slider of two
    plane_plan_steps: Natural
    sizes: Counts
    num_seeds: tuple[Annotated[int, Bounds(2)], ...]  # intervals are over them
    train_steps: Annotated[int, Bounds(100)]  # the first look
    plan_steps: Natural
    num_inputs: Natural
    num_samples: Natural
    num_labelings: Annotated[int, Bounds(199)]
    white_dims: Counts
    white_sizes: Sizes
    white_sets: Annotated[int, Bounds(2)]  # intervals are over them
    selection_draws: Natural
    selection_draws_long: Natural
    selection_precision: Literal["float32", "float64"]
    start_sizes: Counts
    start_draws: Natural

    def __post_init__(self):
        require_among("sizes", self.sizes, "the published training sets", PUBLISHED)
        require_among("start_sizes", self.start_sizes, "the published training sets", PUBLISHED)
        # The claims are about these.
        require({50, 1000} <= {*self.sizes}, "sizes", "a list with 50 and 1000", list(self.sizes))
        enough = self.num_held_out >= max(PUBLISHED)  # the swap test has as many held-out fields as training ones
        require(enough, "num_held_out", f"at least {max(PUBLISHED)}", self.num_held_out)
        require(
            {2, 10, 30, 100} <= {*self.white_dims}, "white_dims", "a list with 2, 10, 30 and 100", list(self.white_dims)
        )
        each = f"one number for each of sizes, {len(self.sizes)}"
        require(len(self.num_seeds) == len(self.sizes), "num_seeds", each, list(self.num_seeds))
        plan, plane_plan = self.plan_steps, self.plane_plan_steps
        require(self.train_steps <= plan, "train_steps", f"at most plan_steps, {plan}", self.train_steps)
        require(
            self.plane_steps <= plane_plan, "plane_steps", f"at most plane_plan_steps, {plane_plan}", self.plane_steps
        )
