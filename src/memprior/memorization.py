"""Is this sample a copy? Nearest training examples, the paper's ratio, and the nulls it must stand beside.

The ratio r = d_1 / mean(d_2..d_k) is small beside an isolated training example. It is also small, by chance, for
fresh draws from the truth: always set it beside the same ratio for held-out draws, or leave-one-out when there are
none.
"""

import math
from dataclasses import dataclass

import torch

from memprior._check import expect, expect_finite, expect_points, expect_train_set, expect_whole


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The k nearest training examples of each sample, nearest first. distances: (B, k), Euclidean. indices: (B, k)."""

    distances: torch.Tensor
    indices: torch.Tensor


def nearest_neighbors(samples: torch.Tensor, train_set: torch.Tensor, k: int) -> Neighbors:
    """The k nearest of ``train_set`` (K, d) to each of ``samples`` (B, d).

    Distances are taken by differences, so that a copy is at distance 0 exactly. Raises ``ValueError`` for k not in
    1..K, numbers that are not finite, an empty training set, or sizes, dtypes, devices that differ.
    """
    expect_train_set("train_set", train_set)
    expect_points("samples", samples, size=train_set.shape[1], like=train_set)
    expect_finite("samples", samples)
    expect_whole("k", k, 1)
    expect(k <= len(train_set), "k", f"at most {len(train_set)}, the training examples there are", k)
    rows = max(1, 2**24 // len(train_set))
    found = [
        torch.cdist(part, train_set, compute_mode="donot_use_mm_for_euclid_dist").topk(k, largest=False)
        for part in samples.split(rows)
    ]
    return Neighbors(torch.cat([near.values for near in found]), torch.cat([near.indices for near in found]))


def memorization_ratio(neighbors: Neighbors) -> torch.Tensor:
    """r = d_1 / mean(d_2..d_k), (B,): 0 for a copy, 1 when all k >= 2 are equally far.

    The paper takes k = min(50, N) and calls r < 0.7 memorized. NaN where d_1..d_k all vanish (a sample on a training
    example that occurs k times): 0/0 has no answer.
    """
    k = neighbors.distances.shape[1]
    expect(k >= 2, "neighbors", "k >= 2 neighbours", k)
    return neighbors.distances[:, 0] / neighbors.distances[:, 1:].mean(1)


def leave_one_out(train_set: torch.Tensor, k: int) -> Neighbors:
    """Each training example's k nearest among the OTHERS: a null for when no held-out draws are to be had. (K, k)."""
    expect_train_set("train_set", train_set)
    expect_whole("k", k, 1)
    expect(k < len(train_set), "k", f"at most {len(train_set) - 1}, the other examples there are", k)
    near = nearest_neighbors(train_set, train_set, k + 1)
    # Drop the example itself wherever a duplicate put it; where duplicates pushed it off the list, drop the last.
    itself = near.indices == torch.arange(len(train_set), device=train_set.device)[:, None]
    itself[:, -1] |= ~itself.any(1)
    return Neighbors(*(table[~itself].reshape(-1, k) for table in (near.distances, near.indices)))


@dataclass(frozen=True)
class CopyTest:
    """z: standard normal when samples are as far from the training set as held-out draws are; << 0 when they copy.

    p_copying: P(Z <= z).
    """

    z: float
    p_copying: float


def three_sample_test(samples: torch.Tensor, train_set: torch.Tensor, held_out: torch.Tensor) -> CopyTest:
    """Do samples (B, d) lie nearer to the training set (K, d) than held-out draws (M, d) of the truth do?

    After Meehan et al. 2020: the Mann-Whitney statistic of nearest-training distances, its ties shared, standardized by
    its large-sample deviation; without their division into cells, which few examples cannot fill.
    """
    expect_train_set("train_set", train_set)
    for name, x in (("samples", samples), ("held_out", held_out)):
        expect_points(name, x, size=train_set.shape[1], like=train_set)
        expect(len(x) > 0, name, "at least one point", tuple(x.shape))
        expect_finite(name, x)
    near, fresh = (nearest_neighbors(x, train_set, 1).distances[:, 0] for x in (samples, held_out))
    b, m = len(near), len(fresh)
    ranks = torch.searchsorted(torch.sort(fresh).values, near) + torch.searchsorted(
        torch.sort(fresh).values, near, right=True
    )
    z = (float(ranks.sum()) / 2 - b * m / 2) / math.sqrt(b * m * (b + m + 1) / 12)
    return CopyTest(z, 0.5 * math.erfc(-z / math.sqrt(2)))
