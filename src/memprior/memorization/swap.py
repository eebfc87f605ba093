"""An exact test of memorization: exchange the labels of training and held-out models."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from memprior._check import expect, expect_finite, expect_points, expect_train_set, expect_whole
from memprior._random import uniform
from memprior.intervals import jeffreys
from memprior.memorization._distances import DIFFERENCES, HALF, TABLE, expect_squares, nearest
from memprior.memorization._parts import distinct, multiset_hash

_LOG = logging.getLogger(__name__)  # how far long work is; silent unless asked
FLOOR = 0.1  # of the typical distance between neighboring models: two distances below it count as equal
LEAST_GROUPS = 5  # on each side: with fewer there are hardly any labelings
LABELINGS = 9999
Groups = tuple[Sequence[int] | torch.Tensor, Sequence[int] | torch.Tensor]


@dataclass(frozen=True, eq=False)
class SwapTest:
    """What :func:`~memprior.memorization.swap.swap_test` found.

    Attributes:
        share: of samples whose nearest model is a training one, ties counted half.
        log_ratio: mean over samples of log(d_H / d_T).
        p: of the log-ratio, one-sided: of ``log_ratio`` as large as it is, or larger, by labels alone.
        p_share: the same of the share; conservative, for a share takes few values.
        p_held_out: of the log-ratio on the other side: of ``log_ratio`` as small as it is, or smaller.
        null_shares: of every labeling, (L,). Their mean is near N / (N + M), their width is what labels alone can do.
        null_log_ratios: of every labeling, (L,).
        shares: of each sample, (B,): 1, 0, or 1/2 for a tie.
        log_ratios: of each sample, (B,).
        floor: the distance below which all count as this one, in the log-ratio.
        spacings: of at most 500 models, each to the nearest one that differs from it, whatever their labels.
        num_groups: of training and of held-out models, each exchanged as a whole.
    """

    share: float
    log_ratio: float
    p: float
    p_share: float
    p_held_out: float
    null_shares: torch.Tensor
    null_log_ratios: torch.Tensor
    shares: torch.Tensor
    log_ratios: torch.Tensor
    floor: float
    spacings: torch.Tensor
    num_groups: tuple[int, int]

    @property
    def share_interval(self) -> tuple[float, float]:
        """95 % of the share over independent samples, at these models (Jeffreys)."""
        return jeffreys(self.share, len(self.shares))

    @property
    def null_interval(self) -> tuple[float, float]:
        """The central 95 % of the share over labelings, what labels alone can do."""
        low, high = self.null_shares.quantile(self.null_shares.new_tensor([0.025, 0.975])).tolist()
        return low, high


@torch.no_grad()
def swap_test(
    samples: torch.Tensor,
    train_set: torch.Tensor,
    held_out: torch.Tensor,
    *,
    groups: Groups | None = None,
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

    d_T, d_H: Euclidean distance to the nearest training and held-out model, floored at ``FLOOR``, 0.1, of the median
    distance between neighboring models, whatever their labels. The share of samples nearer to a training model is the
    effect, the log-ratio decides: it is far more powerful where a few samples are copies.

    What it cannot see: copies of one model. The p of the share is then never below N / (N + M), and for copies of k
    models never below about (N / (N + M))^k, however many samples there are; that of the log-ratio lies anywhere
    below. A truth that is itself made of training models is not exchangeable with the held-out ones, and near twins in
    both sets weaken the test. The labels must not choose the metric: coordinates standardized by the training set alone
    are nearer to it, so scale by all models together. Models that stand in a set several times, by augmentation and not
    by chance, are not exchangeable one by one: give them once, or as one group.

    Time goes as B (N + M) d for the distances and B L times the number of neighbors that are kept of a sample, 20 to
    some hundreds where N and M differ much. Memory beyond the arguments: the models once more, and some
    1 GB; B (N + M) numbers more with groups, or where one set is very small.

    Args:
        samples: (B, d); of many truths or seeds together, labels are exchanged once for all of them.
        train_set: (N, d).
        held_out: (M, d).
        groups: a label for each training and for each held-out model; models of one label, as patches of one survey,
            are exchanged together.
        num_labelings: L, random ones.
        generator: draws the labelings, the same ones for all samples beside models of these numbers.

    Returns:
        Statistics, their null and p.

    Raises:
        ValueError: fewer than 5 models or groups a side, a group on both sides, numbers that are not finite, sizes,
            dtypes or devices that differ, models that all coincide. Half precision is taken to float32.
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
    if train_set.dtype in HALF:
        samples, train_set, held_out = samples.float(), train_set.float(), held_out.float()
    group, num_train = group_numbers(groups, len(train_set), len(held_out), train_set.device)
    pooled = torch.cat([train_set, held_out])
    num = int(group.max()) + 1
    spacings = spacings_of(pooled)
    floor = FLOOR * float(spacings.median())
    rivals = _Rivals(samples, pooled, group, floor, num_train, num_labelings)
    own = torch.arange(num, device=pooled.device) < num_train
    shares, log_ratios = rivals.statistics(own[None])
    null = [torch.empty(num_labelings, dtype=torch.float64, device=pooled.device) for _ in range(2)]
    rows = max(1, TABLE // max(num, len(samples) * rivals.width))
    for start in range(0, num_labelings, rows):
        stop = min(start + rows, num_labelings)
        keys = uniform(stop - start, num, like=null[0], generator=generator)
        labels = torch.zeros(stop - start, num, dtype=torch.bool, device=pooled.device)
        labels.scatter_(1, keys.topk(num_train).indices, True)
        for kept, values in zip(null, rivals.statistics(labels), strict=True):
            kept[start:stop] = values.mean(1)
        _LOG.info("%d of %d labelings", stop, num_labelings)
    means = [float(values.mean()) for values in (shares, log_ratios)]

    return SwapTest(
        share=means[0],
        log_ratio=means[1],
        p=labels_p(null[1], means[1]),
        p_share=labels_p(null[0], means[0]),
        p_held_out=labels_p(-null[1], -means[1]),
        null_shares=null[0],
        null_log_ratios=null[1],
        shares=shares[0],
        log_ratios=log_ratios[0],
        floor=floor,
        spacings=spacings,
        num_groups=(num_train, num - num_train),
    )


def labels_p(null: torch.Tensor, value: float) -> float:
    """p of a statistic beside those of random labelings (L,), as large as ``value`` but for the rounding of a mean."""
    return (1 + int((null >= value - 1e-12 * (1 + abs(value))).sum())) / (1 + len(null))


def group_numbers(groups: Groups | None, num_models: int, num_held_out: int, device) -> tuple[torch.Tensor, int]:
    """The group of each pooled model, those of the training set first, and how many of them are its.

    Raises ``ValueError`` for what does not fit, and fewer than 5 a side.
    """
    if groups is None:
        group, num_train = torch.arange(num_models + num_held_out, device=device), num_models
    else:
        expect(len(groups) == 2, "groups", "those of train_set and those of held_out", f"{len(groups)} of them")
        labels = [torch.as_tensor(of, device=device) for of in groups]
        for of, name, size in zip(labels, ("train_set", "held_out"), (num_models, num_held_out), strict=True):
            expect(of.shape == (size,), "groups", f"a label for each of the {size} models of {name}", tuple(of.shape))
        both = set(labels[0].tolist()) & set(labels[1].tolist())
        expect(not both, "groups", "each on one side", f"{sorted(both)[:3]} on both")
        first, second = (of.unique(return_inverse=True)[1] for of in labels)
        group, num_train = torch.cat([first, second + first.max() + 1]), int(first.max()) + 1
    for name, count in (("train_set", num_train), ("held_out", int(group.max()) + 1 - num_train)):
        what = "models" if groups is None else "groups"
        expect(count >= LEAST_GROUPS, name, f"at least {LEAST_GROUPS} {what}: fewer have too few labelings", count)
    return group, num_train


def spacings_of(pooled: torch.Tensor) -> torch.Tensor:
    """Distance of a model to the nearest one that differs from it, of 500 distinct models at most, (n,).

    Which of them is a matter of their numbers, never of their order, in which the labels are.
    """
    numbers = multiset_hash(pooled)
    unique, _ = distinct(pooled, numbers)
    some = unique[numbers[unique].argsort()[:500]]
    models = pooled if len(unique) == len(pooled) else pooled[unique]
    distances, _ = nearest(pooled[some], models, min(3, len(models)))
    apart = torch.where(distances > 0, distances, torch.inf).min(1).values
    apart = apart[apart.isfinite()]
    expect(len(apart) > 0, "train_set, held_out", "models that differ", "models that all coincide")
    return apart


class _Rivals:
    """Of each sample its distances to the groups that can be the nearest of either label."""

    def __init__(self, samples, pooled, group, floor: float, num_train: int, num_labelings: int):
        self.samples, self.pooled, self.group, self.floor = samples, pooled, group, floor
        self.num = num = int(group.max()) + 1
        self.rare, self.rare_is_train = min(num_train, num - num_train), 2 * num_train <= num
        # The nearest ``depth`` have one label in fewer than a twentieth of a labeling: then all groups are asked.
        depth = 2 + math.ceil(math.log(20 * num_labelings) / -math.log1p(-self.rare / num))
        # Where few groups have a label it is cheaper to ask all of these, beside one more than them of the nearest.
        self.asks_rare = self.rare < depth
        depth = min(depth, self.rare + 1)
        if self.asks_rare or num < len(pooled):
            table = torch.cat([self._table(part) for part in samples.split(64)])
            self.distances, self.order = table.topk(depth, largest=False)
            self.table = table if self.asks_rare else table[:0]  # the others' only where it is needed
        else:
            self.distances, self.order = nearest(samples, pooled, depth)
        self.width = 2 * depth
        self._whole: dict[int, torch.Tensor] = {}

    def _table(self, x: torch.Tensor) -> torch.Tensor:
        """Distance to the nearest model of every group, (b, G)."""
        table = torch.cdist(x, self.pooled, compute_mode=DIFFERENCES)
        least = table.new_full((len(x), self.num), torch.inf)
        return least.scatter_reduce_(1, self.group.expand(len(x), -1), table, "amin")

    def statistics(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Share and log-ratio of every sample under every labeling, (L, B) each. labels: (L, G), True for training."""
        near, far = (of.double() for of in (self._of_rare if self.asks_rare else self._of_nearest)(labels))
        shares = (near < far).double() + 0.5 * (near == far)
        return shares, far.clamp_min(self.floor).log() - near.clamp_min(self.floor).log()

    def _of_rare(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """d_T and d_H, (L, B) each."""
        rare = labels if self.rare_is_train else ~labels
        those = rare.nonzero()[:, 1].reshape(len(labels), self.rare)
        one = torch.stack([row[those].amin(1) for row in self.table], dim=1)
        other = self._first(~rare[:, self.order])
        return (one, other) if self.rare_is_train else (other, one)

    def _of_nearest(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """d_T and d_H, (L, B) each."""
        mine = labels[:, self.order]
        first = mine[:, :, 0]
        other = mine != first[:, :, None]
        near, rival = self.distances[:, 0].expand_as(first), self._first(other)
        for row, sample in (~other.any(2)).nonzero().tolist():
            if sample not in self._whole:
                self._whole[sample] = self._table(self.samples[sample, None])[0]
            rival[row, sample] = self._whole[sample][labels[row] != first[row, sample]].min()
        return torch.where(first, near, rival), torch.where(first, rival, near)

    def _first(self, flags: torch.Tensor) -> torch.Tensor:
        """Distance of the nearest group that is True, (L, B). flags: (L, B, depth), in the order of ``distances``."""
        where = flags.to(torch.uint8).argmax(2, keepdim=True)
        return self.distances.expand(len(flags), -1, -1).gather(2, where)[:, :, 0]
