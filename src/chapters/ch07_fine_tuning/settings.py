"""Chapter 7: what its settings may be. What each of them is stands beside its values, in notebooks/profiles.yml."""

from dataclasses import dataclass
from typing import Annotated, Literal

from companion.bounds import Ascending, Bounds, Counts, Length, Natural, NaturalOrZero, Positive, require

Method = Literal["scratch", "all", "head", "norms", "to the start", "LoRA"]
Rates = Annotated[tuple[Positive, ...], Ascending()]


@dataclass(frozen=True)
class Schedule:
    """How a network is trained. checkpoints: optimizer steps, the last one ends it."""

    checkpoints: Counts
    batch_size: Natural
    rates: Rates


@dataclass(frozen=True)
class Memorizing:
    """Of pairs that were shuffled: there is nothing to learn, only to store."""

    sizes: Annotated[tuple[Annotated[int, Bounds(3)], ...], Ascending()]
    num_steps: Annotated[int, Bounds(2)]
    rates: Rates


@dataclass(frozen=True)
class Settings:
    """Of 07_fine_tuning."""

    workers: Natural
    num_seeds: Annotated[int, Bounds(2)]  # intervals are over them
    base: Literal["recorded", "trained"]
    width: Annotated[int, Bounds(8)]
    num_source: NaturalOrZero
    num_validation: Annotated[int, Bounds(2)]
    num_test: Annotated[int, Bounds(6)]  # two of each source family
    pretraining: Schedule
    sizes: Annotated[tuple[Annotated[int, Bounds(5)], ...], Ascending()]  # the swap test needs five
    methods: Annotated[tuple[Method, ...], Length(1)]
    ranks: Counts
    penalty: Positive
    fine_tuning: Schedule
    memorizing: Memorizing
    num_labelings: Annotated[int, Bounds(199)]
    num_misfits: Annotated[int, Bounds(2)]

    def __post_init__(self):
        trained = self.base == "trained"
        require((self.num_source > 0) == trained, "num_source", "> 0 where base is trained, else 0", self.num_source)
        once = len(set(self.methods)) == len(self.methods)
        require(once, "methods", "each once", list(self.methods))
        require("all" in self.methods, "methods", "a list with 'all', which the others are held against", self.methods)
        fits = self.num_misfits <= self.num_test
        require(fits, "num_misfits", f"at most num_test, {self.num_test}", self.num_misfits)
        require(self.width % 4 == 0, "width", "a multiple of 4", self.width)
        require(self.ranks[-1] <= self.width, "ranks", f"at most width, {self.width}", list(self.ranks))
        one = len(self.pretraining.rates) == 1
        require(one, "pretraining.rates", "one rate", list(self.pretraining.rates))
