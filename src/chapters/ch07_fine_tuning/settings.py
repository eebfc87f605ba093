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

    sizes: Counts
    num_seeds: Natural
    num_steps: Natural
    rate: Positive


@dataclass(frozen=True)
class Settings:
    """Of 07_fine_tuning."""

    workers: Natural
    num_seeds: Natural
    base: Literal["recorded", "trained"]
    width: Annotated[int, Bounds(8)]
    num_source: NaturalOrZero
    num_validation: Annotated[int, Bounds(2)]
    num_test: Annotated[int, Bounds(2)]
    pretraining: Schedule
    sizes: Counts
    methods: Annotated[tuple[Method, ...], Length(1)]
    ranks: Counts
    penalty: Positive
    fine_tuning: Schedule
    memorizing: Memorizing
    num_bootstrap: Annotated[int, Bounds(99)]
    num_labelings: Annotated[int, Bounds(199)]

    def __post_init__(self):
        trained = self.base == "trained"
        require((self.num_source > 0) == trained, "num_source", "> 0 where base is trained, else 0", self.num_source)
        once = len(set(self.methods)) == len(self.methods)
        require(once, "methods", "each once", list(self.methods))
        require("all" in self.methods, "methods", "a list with 'all', which the others are held against", self.methods)
        one = len(self.pretraining.rates) == 1
        require(one, "pretraining.rates", "one rate", list(self.pretraining.rates))
