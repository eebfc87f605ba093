"""An exact test of memorization: exchange the labels of training and held-out models."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from memprior._check import expect, expect_finite, expect_points, expect_train_set, expect_whole
from memprior._random import uniform
from memprior.memorization._distances import DIFFERENCES, TABLE, expect_squares, nearest
from memprior.memorization._parts import multiset_hash

FLOOR = 0.1  # of the typical distance between neighboring models: two distances below it count as equal
LEAST_GROUPS = 5  # on each side: with fewer there are hardly any labelings
LABELINGS = 9999


@dataclass(frozen=True, eq=False)
class SwapTest:
    """What :func:`swap_test` found.

    Attributes:
        share: of samples whose nearest model is a training one, ties counted half.
        log_ratio: mean over samples of log(d_H / d_T).
        p: of the log-ratio, one-sided: of ``log_ratio`` as large as it is, or larger, by labels alone.
        p_share: the same of the share; conservative, for a share takes few values.
        null_shares: of every labeling, (L,). Their mean is near N / (N + M), their width is what labels alone can do.
        null_log_ratios: of every labeling, (L,).
        shares: of each sample, (B,): 1, 0, or 1/2 for a tie.
        log_ratios: of each sample, (B,).
        floor: the distance below which all count as this one.
        num_groups: of training and of held-out models, each exchanged as a whole.
    """

    share: float
    log_ratio: float
    p: float
    p_share: float
    null_shares: torch.Tensor
    null_log_ratios: torch.Tensor
    shares: torch.Tensor
    log_ratios: torch.Tensor
    floor: float
    num_groups: tuple[int, int]


def swap_test(
    samples: torch.Tensor,
    train_set: torch.Tensor,
    held_out: torch.Tensor,
    *,
    groups: tuple[Sequence[int] | torch.Tensor, Sequence[int] | torch.Tensor] | None = None,
    num_labelings: int = LABELINGS,
    generator: torch.Generator,
) -> SwapTest:
    r"""Are samples nearer to the training models than which of the models were trained on can explain by chance?

    Let the N training and the M held-out models be drawn independently from one distribution, and the samples be made
    without using which of them are which: by a prior that knows the distribution alone, or by a posterior under it for
    a truth that is in neither set. Then, given samples and models, every choice of N of the N + M models as the
    training set is equally likely, so that any statistic has a known distribution: exchange the labels. That holds for
    samples of any distribution, narrow, shifted, dependent or clumped, in any metric, at any N and M.

    .. math:: p = \frac{1 + \#\{l : t_l \ge t\}}{1 + L}, \qquad t = \frac{1}{B} \sum_i \log \frac{d_H(x_i)}{d_T(x_i)}

    d_T, d_H: Euclidean distance to the nearest training and held-out model, floored at :data:`FLOOR` of the median
    distance between neighboring models, whatever their labels. The share of samples nearer to a training model is the
    effect, the log-ratio decides: it is far more powerful where a few samples are copies.

    What it cannot see: copies of one model. The p of the share is then never below N / (N + M), and for copies of k
    models never below about (N / (N + M))^k, however many samples there are; that of the log-ratio lies anywhere
    below. A truth that is itself made of training models is not exchangeable with the
    held-out ones, and models that occur in both sets, nearly, weaken it: put them into one group.

    Args:
        samples: (B, d); of many truths or seeds together, labels are exchanged once for all of them.
        train_set: (N, d).
        held_out: (M, d).
        groups: a label for each training and for each held-out model; models of one label, as patches of one survey,
            are exchanged together.
        num_labelings: L, random ones.
        generator: draws the labelings.

    Returns:
        Statistics, their null and p.

    Raises:
        ValueError: fewer than 5 models or groups a side, a group on both sides, numbers that are not finite, sizes,
            dtypes or devices that differ, models that all coincide.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.memorization import swap_test
        >>> generator = torch.Generator().manual_seed(0)
        >>> train_set, held_out, fresh = torch.randn(300, 5, generator=generator).split(100)
        >>> swap_test(train_set[:30], train_set, held_out, generator=generator).p
        0.0001
        >>> swap_test(fresh / 2, train_set, held_out, generator=generator).p > 0.05  # narrow, but no copies
        True
    """
    expect_train_set("train_set", train_set)
    for name, x in (("samples", samples), ("held_out", held_out)):
        expect_points(name, x, size=train_set.shape[1], like=train_set)
        expect(len(x) > 0, name, "at least one point", tuple(x.shape))
        expect_finite(name, x)
        expect_squares(name, x)
    expect_squares("train_set", train_set, lost=True)
    expect_whole("num_labelings", num_labelings, 1)
    pooled = torch.cat([train_set, held_out])
    group, num_train = _grouped(groups, len(train_set), len(held_out), pooled.device)
    num = int(group.max()) + 1
    for name, count in (("train_set", num_train), ("held_out", num - num_train)):
        what = "models" if groups is None else "groups"
        expect(count >= LEAST_GROUPS, name, f"at least {LEAST_GROUPS} {what} to exchange", count)
    floor = FLOOR * _spacing(pooled)
    rivals = _Rivals(samples, pooled, group, floor, max(num_train, num - num_train) / num, num_labelings)
    own = torch.arange(num, device=pooled.device) < num_train
    shares, log_ratios = rivals.statistics(own[None])
    null = [torch.empty(num_labelings, dtype=torch.float64, device=pooled.device) for _ in range(2)]
    rows = max(1, TABLE // (len(samples) * rivals.depth))
    for start in range(0, num_labelings, rows):
        stop = min(start + rows, num_labelings)
        keys = uniform(stop - start, num, like=null[0], generator=generator)
        labels = torch.zeros(stop - start, num, dtype=torch.bool, device=pooled.device)
        labels.scatter_(1, keys.topk(num_train).indices, True)
        for kept, values in zip(null, rivals.statistics(labels), strict=True):
            kept[start:stop] = values.mean(1)
    means = [float(values.mean()) for values in (shares, log_ratios)]
    # As large but for the rounding of a mean.
    p_share, p = (
        (1 + int((kept >= mean - 1e-12 * (1 + abs(mean))).sum())) / (1 + num_labelings)
        for kept, mean in zip(null, means, strict=True)
    )
    return SwapTest(*means, p, p_share, *null, shares[0], log_ratios[0], floor, (num_train, num - num_train))


def _grouped(groups, num_train: int, num_held_out: int, device) -> tuple[torch.Tensor, int]:
    """The group of each pooled model, those of the training set first, and how many of them are its."""
    if groups is None:
        return torch.arange(num_train + num_held_out, device=device), num_train
    expect(len(groups) == 2, "groups", "those of train_set and those of held_out", f"{len(groups)} of them")
    labels = [torch.as_tensor(of, device=device) for of in groups]
    for of, name, size in zip(labels, ("train_set", "held_out"), (num_train, num_held_out), strict=True):
        expect(of.shape == (size,), "groups", f"a label for each of the {size} models of {name}", tuple(of.shape))
    both = set(labels[0].tolist()) & set(labels[1].tolist())
    expect(not both, "groups", "each on one side", f"{sorted(both)[:3]} on both")
    first, second = (of.unique(return_inverse=True)[1] for of in labels)
    return torch.cat([first, second + first.max() + 1]), int(first.max()) + 1


def _spacing(pooled: torch.Tensor) -> float:
    """The median distance of a model to the nearest other one that is not equal to it: of 500 models at most.

    Which of them is a matter of their numbers, never of their order, in which the labels are.
    """
    some = multiset_hash(pooled).argsort()[:500]
    distances, _ = nearest(pooled[some], pooled, min(10, len(pooled)))
    apart = torch.where(distances > 0, distances, torch.inf).min(1).values
    apart = apart[apart.isfinite()]
    expect(len(apart) > 0, "train_set, held_out", "models that differ", "models that all coincide")
    return float(apart.median())


class _Rivals:
    """For each sample the nearest model of each group, nearest first: enough to see the nearest of either label."""

    def __init__(self, samples, pooled, group, floor: float, largest: float, num_labelings: int):
        self.samples, self.pooled, self.group, self.floor = samples, pooled, group, floor
        # The first ``depth`` groups have one label in fewer than a twentieth of a labeling: then all of them are asked.
        self.num = int(group.max()) + 1
        self.depth = min(self.num, 2 + math.ceil(math.log(20 * num_labelings) / -math.log(largest)))
        if self.num == len(pooled):
            distances, self.order = nearest(samples, pooled, self.depth)
            self.order = group[self.order]
        else:
            distances, self.order = (torch.cat(of) for of in zip(*map(self._all, samples.split(64)), strict=True))
            distances, self.order = distances[:, : self.depth], self.order[:, : self.depth]
        self.distances = distances
        self._whole: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def _all(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Distance to the nearest model of every group, ascending, and the groups, (b, G) each."""
        table = torch.cdist(x, self.pooled, compute_mode=DIFFERENCES)
        least = table.new_full((len(x), self.num), torch.inf)
        least.scatter_reduce_(1, self.group.expand(len(x), -1), table, "amin")
        distances, order = least.sort(1)
        return distances, order

    def statistics(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Share and log-ratio of every sample under every labeling, (L, B) each. labels: (L, G), True for training."""
        mine = labels[:, self.order]  # (L, B, depth)
        first = mine[:, :, 0]
        other = mine != first[:, :, None]
        where = other.to(torch.uint8).argmax(2)
        rival = self.distances.expand(len(labels), -1, -1).gather(2, where[:, :, None])[:, :, 0].clone()
        for row, sample in (~other.any(2)).nonzero().tolist():
            if sample not in self._whole:
                self._whole[sample] = tuple(of[0] for of in self._all(self.samples[sample, None]))
            distances, order = self._whole[sample]
            rival[row, sample] = distances[labels[row, order] != first[row, sample]][0]
        sign = 2 * first.double() - 1
        near, far = self.distances[:, 0].double(), rival.double()
        shares = torch.where(far > near, first.double(), 0.5)
        return shares, sign * (far.clamp_min(self.floor).log() - near.clamp_min(self.floor).log())
