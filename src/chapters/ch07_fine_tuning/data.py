"""Chapter 7's data: records of velocity models, simulated once, family by family and stream by stream."""

from dataclasses import dataclass
from functools import cache

import torch

from companion.jobs import part_name
from companion.store import Store
from memprior.geology import velocity_models
from memprior.waves import AcousticOperator, coarse_openfwi_acquisition, simulate_records

SOURCE = ("flat_vel_a", "curve_vel_a", "flat_fault_a")  # families of the base network
TARGET = "curve_fault_b"  # the one it is adapted to: faulted, and with inversions
SMOOTH = "style_a"  # neither: smooth
STREAMS = ("train", "validation", "test", "unseen")  # of a family; models of different streams are independent
EVERY = 4  # samples of 2 ms that are kept as one of 8: the wavelet ends far below the new Nyquist frequency
KM = 1000.0  # m


@dataclass(frozen=True)
class Records:
    """``num`` models of one family and stream from number ``first`` on, and their records."""

    family: str
    stream: str
    num: int
    seed: int
    first: int = 0

    @property
    def name(self) -> str:
        return part_name(f"records {self.family} {self.stream} {self.seed} {self.first}", self)


@dataclass(frozen=True, eq=False)
class Pairs:
    """records: (N, sources, time, receivers). models: velocity in km/s, (N, H, W)."""

    records: torch.Tensor
    models: torch.Tensor

    def __len__(self) -> int:
        return len(self.models)

    def part(self, first: int, num: int) -> "Pairs":
        """``num`` of them."""
        return Pairs(self.records[first : first + num], self.models[first : first + num])

    @classmethod
    def joined(cls, parts: list["Pairs"]) -> "Pairs":
        """All of them, one after the other."""
        return cls(torch.cat([one.records for one in parts]), torch.cat([one.models for one in parts]))


@cache
def simulator() -> AcousticOperator:
    """The survey of 35 x 35 cells: 20 m, 7.5 Hz, 3 sources."""
    return AcousticOperator(*coarse_openfwi_acquisition())


def simulated(part: Records, store: Store, arguments: dict) -> Pairs:
    """The pairs of ``part``. arguments: of the store's entry."""

    def compute(_) -> dict[str, torch.Tensor]:
        operator = simulator()
        seed = len(STREAMS) * part.seed + STREAMS.index(part.stream)
        size = operator.grid.shape[::-1]
        models = velocity_models(part.family, part.num, seed=seed, first=part.first, size=size).to(store.device)
        return {"records": simulate_records(models, operator, every=EVERY), "models": models / KM}

    return Pairs(**store.tensors(part.name, arguments, compute))
