"""Chapter 1: what its settings may be. What each of them is stands beside its values, in notebooks/profiles.yml."""

from dataclasses import dataclass
from typing import Annotated

from companion.bounds import Bounds, Counts, Length, Natural, Positive, Sizes, require


@dataclass(frozen=True)
class Settings:
    """Of 01_maximum_likelihood."""

    num_seeds: Natural
    plane_sizes: Sizes
    plane_floor: Positive
    published_floor: Positive
    num_scored: Natural
    num_fresh: Natural
    checkpoints: Natural
    flow_steps: Natural
    autoencoder_steps: Natural
    diffusion_steps: Natural
    sweep_examples: Annotated[int, Bounds(2)]
    components: Counts
    time_sizes: Annotated[Sizes, Length(2)]
    time_steps: Annotated[int, Bounds(20)]  # the first look
    published_sizes: Sizes
    published_checkpoints: Natural
    published_flow_steps: Natural
    published_autoencoder_steps: Natural
    published_diffusion_steps: Natural

    def __post_init__(self):
        few, num = self.sweep_examples, len(self.time_sizes) * self.num_seeds
        require(self.components[-1] <= few, "components", f"at most sweep_examples, {few}", list(self.components))
        require(
            self.num_scored <= self.num_fresh, "num_scored", f"at most num_fresh, {self.num_fresh}", self.num_scored
        )
        # The exponent and its standard error are fitted to the times.
        require(num > 2, "time_sizes", "so many that with num_seeds there are 3 times", list(self.time_sizes))
