"""Chapter 9's data: patches of known facies, cut once, stream by stream."""

from dataclasses import dataclass

import torch

from companion.jobs import part_name
from companion.store import Store
from memprior.geology import SECTION_FACIES, FaciesPatches, facies_patches

SIZE = 64, 64  # samples of 4 ms, traces
STREAMS = ("A", "B", "referee", "test", "start")  # patches of different streams are of independent sections
START = "parallel"  # the facies that dreams start from
GOAL = "clinoform"  # the one that they are directed to


@dataclass(frozen=True)
class Cut:
    """``num`` patches of a stream from number ``first`` on, of these facies in turn."""

    stream: str
    num: int
    seed: int
    first: int = 0
    facies: tuple[str, ...] = SECTION_FACIES

    @property
    def name(self) -> str:
        return part_name(f"patches {self.stream} {self.seed} {self.first}", self)


def cut_patches(part: Cut, store: Store, arguments: dict) -> FaciesPatches:
    """The patches of ``part``. arguments: of the store's entry."""

    def compute(_) -> dict[str, torch.Tensor]:
        seed = len(STREAMS) * part.seed + STREAMS.index(part.stream)
        made = facies_patches(part.num, seed=seed, first=part.first, size=SIZE, facies=part.facies)
        tensors = {"seismic": made.seismic, "labels": made.labels, "depth": made.depth, "cover": made.cover}
        return {name: of.to(store.device) for name, of in tensors.items()}

    return FaciesPatches(**store.tensors(part.name, arguments, compute), facies=tuple(part.facies))
