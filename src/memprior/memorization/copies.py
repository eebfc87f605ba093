"""The paper's memorization ratio summarized for one set of samples."""

from dataclasses import dataclass

import torch

from memprior.memorization import Neighbors, memorization_ratio, nearest_neighbors


@dataclass(frozen=True)
class CopyCounts:
    """For one set of samples in one space: share with r < 0.7, median r, and share with d1/d2 < 1/3."""

    memorized: float
    median: float
    near: float


def copy_counts(samples: torch.Tensor | Neighbors, train_set: torch.Tensor | None, threshold: float) -> CopyCounts:
    """The paper's ratio with k = min(50, N), or of given neighbors, beside which ``train_set`` is not needed.

    Example:
        >>> import torch
        >>> from memprior.memorization.copies import copy_counts
        >>> train_set = torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
        >>> copy_counts(train_set, train_set, threshold=0.7).memorized
        1.0
    """
    known = isinstance(samples, Neighbors)
    neighbors = samples if known else nearest_neighbors(samples, train_set, min(50, len(train_set)))
    ratios = memorization_ratio(neighbors)
    pairs = neighbors.distances[:, 0] / neighbors.distances[:, 1]
    return CopyCounts(
        float((ratios < threshold).double().mean()), float(ratios.median()), float((pairs < 1 / 3).double().mean())
    )
