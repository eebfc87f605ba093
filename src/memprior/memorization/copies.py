"""The paper's memorization ratio summarized for one set of samples."""

from dataclasses import dataclass

import torch

from memprior.memorization import CopyTest, Neighbors, memorization_ratio, nearest_neighbors, three_sample_test


@dataclass(frozen=True)
class CopyCounts:
    """For one set of samples in one space: share with r < 0.7, median r, share with d1/d2 < 1/3, and the test."""

    memorized: float
    median: float
    near: float
    test: CopyTest | None


def copy_counts(
    samples: torch.Tensor | Neighbors, train_set: torch.Tensor, held_out: torch.Tensor | None, threshold: float
) -> CopyCounts:
    """The paper's ratio with k = min(50, N), or of given neighbors; the test beside ``held_out``, where there are.

    Example:
        >>> import torch
        >>> from memprior.memorization.copies import copy_counts
        >>> draws = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
        >>> train_set, held_out = draws.split(100)
        >>> copy_counts(train_set, train_set, held_out, threshold=0.7).memorized
        1.0
    """
    test = None
    if isinstance(samples, Neighbors):
        neighbors = samples
    else:
        neighbors = nearest_neighbors(samples, train_set, min(50, len(train_set)))
        test = None if held_out is None else three_sample_test(samples, train_set, held_out)
    ratios = memorization_ratio(neighbors)
    pairs = neighbors.distances[:, 0] / neighbors.distances[:, 1]
    return CopyCounts(
        float((ratios < threshold).double().mean()),
        float(ratios.median()),
        float((pairs < 1 / 3).double().mean()),
        test,
    )
