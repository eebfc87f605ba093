"""Patches of known facies, cut from sections where the unit of that facies is, at a known depth."""

from dataclasses import dataclass

import torch

from memprior._check import expect, expect_whole
from memprior._random import integers
from memprior.geology.facies import SECTION_DT_S, SECTION_FACIES, sections

_COVER = 0.6  # of a patch that is in the unit; where no place has it, the best one


@dataclass(frozen=True, eq=False)
class FaciesPatches:
    """seismic: (num, H, W), float32, time first, in units of the root mean square of its section. labels: (num,),
    places in ``facies``. depth: (num,), of the center below the section's top, samples. cover: (num,), share of the
    patch that is in the unit. facies: names, one for each label. dt_s: the sampling interval.
    """

    seismic: torch.Tensor
    labels: torch.Tensor
    depth: torch.Tensor
    cover: torch.Tensor
    facies: tuple[str, ...]
    dt_s: float = SECTION_DT_S

    def __len__(self) -> int:
        return len(self.labels)


def facies_patches(
    num: int,
    *,
    seed: int,
    first: int = 0,
    size: tuple[int, int] = (64, 64),
    facies: tuple[str, ...] = SECTION_FACIES,
) -> FaciesPatches:
    """Patches ``first`` to ``first + num - 1``, the facies in turn, each from a section of its own of 128 x 128.

    Its place is drawn among those where at least 60 % of it lie in the unit of its facies.

    Args:
        num: >= 1.
        seed: of the sections, as in :func:`~memprior.geology.facies.sections`. Sets of one seed are nested.
        first: number of the first patch.
        size: (H, W), samples of 4 ms and traces, each from 16 to 128.
        facies: of ``SECTION_FACIES``, each once.

    Raises:
        ValueError: an argument outside these bounds; names it.

    Example:
        >>> from memprior.geology import facies_patches
        >>> patches = facies_patches(6, seed=0)
        >>> patches.seismic.shape, [patches.facies[k] for k in patches.labels[:2]]
        (torch.Size([6, 64, 64]), ['parallel', 'clinoform'])
    """
    expect_whole("num", num, 1)
    expect_whole("first", first, 0)
    expect(isinstance(size, tuple | list) and len(size) == 2, "size", "(H, W): samples and traces", repr(size))
    for cells in size:
        expect_whole("size", cells, 16)
        expect(cells <= 128, "size", "at most 128 samples and traces, a whole section", tuple(size))
    known = len(facies) > 0 and len(set(facies)) == len(facies) and set(facies) <= set(SECTION_FACIES)
    expect(known, "facies", f"some of {', '.join(SECTION_FACIES)}, each once", facies)
    made = [_patch(facies, number, seed, (int(size[0]), int(size[1]))) for number in range(first, first + num)]
    seismic, labels, depth, cover = zip(*made, strict=True)
    return FaciesPatches(
        torch.stack(seismic), torch.tensor(labels), torch.tensor(depth), torch.tensor(cover), tuple(facies)
    )


def _patch(facies: tuple[str, ...], number: int, seed: int, size: tuple[int, int]):
    """Seismic, label, depth and cover of one patch."""
    label, index = number % len(facies), number // len(facies)
    drawn = sections(facies[label], 1, seed=seed, first=index)
    cover = _cover(drawn.unit[0], size)
    # The place is a matter of the facies, never of its number in the tuple.
    stream = 2 * (seed * len(SECTION_FACIES) + SECTION_FACIES.index(facies[label])) + 1
    generator = torch.Generator().manual_seed(stream * 2**24 + index)
    places = (cover >= min(_COVER, float(cover.max()))).nonzero()
    t, x = places[int(integers(len(places), like=cover, generator=generator))].tolist()
    height, width = size
    seismic = drawn.seismic[0, t : t + height, x : x + width].clone()
    return seismic, label, t + (height - 1) / 2, float(cover[t, x])


def _cover(unit: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Share of a unit (H, W) in every window of ``size``, by differences of cumulative sums."""
    height, width = size
    sums = torch.zeros(unit.shape[0] + 1, unit.shape[1] + 1)
    sums[1:, 1:] = unit.float().cumsum(0).cumsum(1)  # whole numbers, exact
    rows = sums[height:] - sums[:-height]
    return (rows[:, width:] - rows[:, :-width]) / (height * width)
