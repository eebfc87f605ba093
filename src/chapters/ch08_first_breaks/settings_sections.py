"""Chapter 8's settings of what is learned without labels: autoencoders of gathers, and generators of sections."""

from dataclasses import dataclass
from typing import Annotated, Literal

from companion.bounds import Ascending, Bounds, Counts, Natural, Positive, require

Groupable = Annotated[tuple[Annotated[int, Bounds(5)], ...], Ascending()]  # the swap test needs five


@dataclass(frozen=True)
class Adversaries:
    """A generator against a discriminator. checkpoints: steps, the last one ends it. plain: N at which a discriminator
    without spectral norm is trained too.
    """

    sizes: Groupable
    plain: Natural
    latent: Natural
    checkpoints: Counts
    batch_size: Natural
    generator_rate: Positive
    discriminator_rate: Positive


@dataclass(frozen=True)
class Autoencoders:
    """Of gathers, and the iteration that is measured on them. codes: numbers of the bottleneck."""

    sizes: Annotated[tuple[Annotated[int, Bounds(2)], ...], Ascending()]
    codes: Counts
    num_steps: Natural
    batch_size: Natural
    rate: Positive
    num_starts: Natural
    num_iterations: Natural


@dataclass(frozen=True)
class SectionsSettings:
    """What is learned without labels. base: whether trained networks are the full run's recorded ones."""

    num_seeds: Annotated[int, Bounds(2)]  # intervals are over them
    base: Literal["recorded", "trained"]
    width: Annotated[int, Bounds(8)]
    adversaries: Adversaries
    autoencoders: Autoencoders
    num_samples: Annotated[int, Bounds(2)]  # of each generator
    num_repeats: Annotated[int, Bounds(2)]  # of the swap test on fresh draws
    num_labelings: Annotated[int, Bounds(199)]
    num_walks: Annotated[int, Bounds(2)]
    num_walk_steps: Annotated[int, Bounds(20)]

    def __post_init__(self):
        require(self.width % 4 == 0, "width", "a multiple of 4", self.width)
        among = self.adversaries.plain in self.adversaries.sizes
        require(among, "adversaries.plain", f"one of the sizes, {list(self.adversaries.sizes)}", self.adversaries.plain)
