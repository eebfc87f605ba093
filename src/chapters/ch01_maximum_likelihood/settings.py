"""Chapter 1: what its settings may be. What each of them is stands beside its values, in notebooks/profiles.yml."""

from dataclasses import dataclass
from typing import Annotated

from companion.bounds import Bounds, Counts, Length, Natural, NaturalOrZero, Positive, Sizes, require


@dataclass(frozen=True)
class Settings:
    """Of 01_maximum_likelihood."""

    workers: Natural
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
    many_examples: Annotated[int, Bounds(2)]
    many_steps: Annotated[int, Bounds(20)]
    many_seeds: Natural
    published_sizes: Sizes
    published_checkpoints: Natural
    published_flow_steps: Natural
    published_autoencoder_steps: Natural
    published_diffusion_steps: Natural
    published_long_steps: NaturalOrZero

    def __post_init__(self):
        few = self.sweep_examples
        require(self.components[-1] <= few, "components", f"at most sweep_examples, {few}", list(self.components))
        require(
            self.num_scored <= self.num_fresh, "num_scored", f"at most num_fresh, {self.num_fresh}", self.num_scored
        )
        require(
            self.many_seeds <= self.num_seeds, "many_seeds", f"at most num_seeds, {self.num_seeds}", self.many_seeds
        )
