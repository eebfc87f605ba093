"""Chapter 8: what its settings may be. What each of them is stands beside its values, in notebooks/profiles.yml."""

from dataclasses import dataclass
from typing import Annotated, Literal

from companion.bounds import Ascending, Bounds, Counts, Length, Natural, NaturalOrZero, Positive, require

Start = Literal[
    "scratch",
    "autoencoder",
    "masked",
    "discriminator",
    "discriminator, untrained",
    "random, frozen",
    "autoencoder, frozen",
]


@dataclass(frozen=True)
class Unlabeled:
    """How encoders learn from records without labels. num: gathers of each family; 0 where they are recorded."""

    num: NaturalOrZero
    batch_size: Natural
    num_steps: Natural
    rate: Positive
    code: Natural
    hidden: Positive
    latent: Natural
    adversarial_steps: Natural
    adversarial_rate: Positive


@dataclass(frozen=True)
class MatchedProblem:
    """Single traces of which the ideal picker knows everything but the onset."""

    num_training: Natural
    num_traces: Annotated[int, Bounds(8)]
    num_steps: Natural
    batch_size: Natural
    rate: Positive
    noise: Positive


@dataclass(frozen=True)
class Picking:
    """Of the pickers of 08_first_breaks."""

    num_seeds: Annotated[int, Bounds(2)]  # intervals are over them
    base: Literal["recorded", "trained"]
    width: Annotated[int, Bounds(8)]
    num_validation: Annotated[int, Bounds(4)]
    num_test: Annotated[int, Bounds(8)]  # of each family; two surveys at least
    unlabeled: Unlabeled
    sizes: Counts
    starts: Annotated[tuple[Start, ...], Length(1)]
    num_steps: Annotated[tuple[Natural, ...], Length(1)]
    batch_size: Natural
    rates: Annotated[tuple[Positive, ...], Ascending()]
    trial_size: Natural
    matched: MatchedProblem

    def __post_init__(self):
        trained = self.base == "trained"
        num = self.unlabeled.num
        require((num > 0) == trained, "unlabeled.num", "> 0 where base is trained, else 0", num)
        once = len(set(self.starts)) == len(self.starts)
        require(once, "starts", "each once", list(self.starts))
        require("scratch" in self.starts, "starts", "a list with 'scratch', which others are held against", self.starts)
        one = len(self.num_steps) == len(self.sizes)
        require(one, "num_steps", f"one for each of the {len(self.sizes)} sizes", list(self.num_steps))
        require(self.trial_size in self.sizes, "trial_size", f"one of sizes, {list(self.sizes)}", self.trial_size)
        require(self.width % 4 == 0, "width", "a multiple of 4", self.width)
        for name in ("num_validation", "num_test"):
            value = getattr(self, name)
            require(value % 4 == 0, name, "a multiple of 4, the gathers of a survey", value)
        require(self.unlabeled.hidden < 1, "unlabeled.hidden", "a share below 1", self.unlabeled.hidden)


# ---- what is learned without labels --------------------------------------------------------------------------------

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


@dataclass(frozen=True)
class Settings:
    """Of 08_first_breaks: those of its two halves. workers: parts of either that run at a time."""

    workers: Natural
    picking: Picking
    sections: SectionsSettings
