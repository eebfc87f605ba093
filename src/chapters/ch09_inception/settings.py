"""Chapter 9: what its settings may be. What each of them is stands beside its values, in notebooks/profiles.yml."""

from dataclasses import dataclass
from typing import Annotated, Literal

from companion.bounds import Ascending, Bounds, Counts, Length, Natural, NotNegative, Positive, require


@dataclass(frozen=True)
class Schedule:
    """How a network is trained."""

    num_steps: Natural
    batch_size: Natural
    rate: Positive


@dataclass(frozen=True)
class Ascent:
    """How a dream ascends: :class:`memprior.dreaming.DreamPlan`."""

    num_steps: Natural
    step: Positive
    jitter: Annotated[int, Bounds(0, 31)]
    smoothing: NotNegative


@dataclass(frozen=True)
class Settings:
    """Of 09_inception."""

    workers: Natural
    num_seeds: Annotated[int, Bounds(2)]  # intervals are over them
    networks: Literal["recorded", "trained"]
    width: Annotated[int, Bounds(4)]
    sizes: Annotated[tuple[Annotated[int, Bounds(10)], ...], Ascending()]  # two of each facies
    training: Schedule
    num_referee: Annotated[int, Bounds(10)]
    referee_steps: Natural
    num_test: Annotated[int, Bounds(10)]
    num_sections: Annotated[int, Bounds(2)]
    ascent: Ascent
    linear_steps: Natural
    linear_seeds: Natural
    memory_sizes: Counts
    num_labelings: Annotated[int, Bounds(199)]
    noise_levels: Annotated[tuple[NotNegative, ...], Ascending(), Length(2)]

    def __post_init__(self):
        require(self.width % 4 == 0, "width", "a multiple of 4", self.width)
        known = set(self.memory_sizes) <= set(self.sizes)
        require(known, "memory_sizes", f"among sizes, {list(self.sizes)}", list(self.memory_sizes))
        for name in ("sizes", "memory_sizes"):
            whole = all(n % 5 == 0 for n in getattr(self, name))
            require(whole, name, "multiples of the five facies", list(getattr(self, name)))
        few = self.linear_seeds <= self.num_seeds
        require(few, "linear_seeds", f"at most num_seeds, {self.num_seeds}", self.linear_seeds)
        require(self.num_test % 5 == 0, "num_test", "a multiple of the five facies", self.num_test)
