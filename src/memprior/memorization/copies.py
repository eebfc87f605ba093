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


def paper_neighbors(samples: torch.Tensor, train_set: torch.Tensor) -> Neighbors:
    """Those of the paper's ratio, k = min(50, N) of each sample (B, d) among the models (N, d).

    Example:
        >>> import torch
        >>> from memprior.memorization.copies import paper_neighbors
        >>> paper_neighbors(torch.zeros(2, 1), torch.arange(3.0)[:, None]).distances[0]
        tensor([0., 1., 2.])
    """
    return nearest_neighbors(samples, train_set, min(50, len(train_set)))


def copy_counts(neighbors: Neighbors, threshold: float) -> CopyCounts:
    """Of the samples whose neighbors these are.

    Example:
        >>> import torch
        >>> from memprior.memorization.copies import copy_counts, paper_neighbors
        >>> train_set = torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
        >>> copy_counts(paper_neighbors(train_set, train_set), threshold=0.7).memorized
        1.0
    """
    ratios = memorization_ratio(neighbors)
    pairs = neighbors.distances[:, 0] / neighbors.distances[:, 1]
    return CopyCounts(
        float((ratios < threshold).double().mean()), float(ratios.median()), float((pairs < 1 / 3).double().mean())
    )
