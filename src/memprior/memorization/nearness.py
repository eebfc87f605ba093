"""Is this sample a copy? Nearest training examples, the paper's ratio, and the nulls it must stand beside.

The ratio r = d_1 / mean(d_2..d_k) is small beside an isolated training example. It is also small, by chance, for
fresh draws from the truth: always set it beside the same ratio for held-out draws, or leave-one-out when there are
none.
"""

import math
from dataclasses import dataclass

import torch

from memprior._check import expect, expect_finite, expect_points, expect_train_set, expect_whole
from memprior._random import generator_for
from memprior.memorization._distances import HALF, expect_squares, nearest, rescaled
from memprior.memorization._parts import distinct, few_values, grouped, multiset_hash, rank_statistic
from memprior.memorization._verdict import Count, Evidence, finding_of, in_words
from memprior.memorization.swap import LABELINGS, LEAST_GROUPS, Groups, SwapTest, group_numbers, spacings_of, swap_test


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The k nearest training examples of each sample, nearest first. distances: (B, k), Euclidean. indices: (B, k)."""

    distances: torch.Tensor
    indices: torch.Tensor


def nearest_neighbors(samples: torch.Tensor, train_set: torch.Tensor, k: int) -> Neighbors:
    """The k nearest of ``train_set`` to each of ``samples``.

    Distances are taken by differences, so that a copy is at distance 0 exactly; in half precision, in float32. Time
    goes as B K d, memory beyond the arguments and the result is some 0.5 GB at most.

    Args:
        samples: (B, d).
        train_set: (K, d).
        k: 1 to K.

    Returns:
        Euclidean distances and indices, (B, k) each, nearest first.

    Raises:
        ValueError: k not in 1..K, numbers that are not finite or whose squares overflow or underflow, an empty training
            set, or sizes, dtypes, devices that differ.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.memorization import nearest_neighbors
        >>> near = nearest_neighbors(torch.tensor([[0.0]]), torch.tensor([[3.0], [-1.0]]), k=2)
        >>> near.distances, near.indices
        (tensor([[1., 3.]]), tensor([[1, 0]]))
    """
    expect_train_set("train_set", train_set)
    expect_points("samples", samples, size=train_set.shape[1], like=train_set)
    expect_finite("samples", samples)
    expect_whole("k", k, 1)
    expect(k <= len(train_set), "k", f"at most {len(train_set)}, the training examples there are", k)
    expect_squares("train_set", train_set, lost=True)
    expect_squares("samples", samples)
    return Neighbors(*nearest(samples, train_set, k))


def memorization_ratio(neighbors: Neighbors) -> torch.Tensor:
    r"""The paper's ratio, 0 for a copy and 1 when all k >= 2 neighbors are equally far.

    .. math:: r = d_1 / \mathrm{mean}(d_2, \dots, d_k)

    The paper takes k = min(50, N) and calls r < 0.7 memorized. NaN where d_1..d_k all vanish (a sample on a training
    example that occurs k times): 0/0 has no answer.

    Args:
        neighbors: of the samples, k >= 2 of each.

    Returns:
        r, (B,).

    Raises:
        ValueError: k < 2.

    Example:
        >>> import torch
        >>> from memprior.memorization import memorization_ratio, nearest_neighbors
        >>> train_set, samples = torch.tensor([[0.0], [4.0]]), torch.tensor([[0.0], [1.0], [2.0]])
        >>> memorization_ratio(nearest_neighbors(samples, train_set, k=2))
        tensor([0.0000, 0.3333, 1.0000])
    """
    k = neighbors.distances.shape[1]
    expect(k >= 2, "neighbors", "k >= 2 neighbors", k)
    return neighbors.distances[:, 0] / neighbors.distances[:, 1:].mean(1)


def leave_one_out(train_set: torch.Tensor, k: int) -> Neighbors:
    """Each training example's k nearest among the others: a null for when no held-out draws are to be had.

    Args:
        train_set: (K, d).
        k: 1 to K - 1.

    Returns:
        Distances and indices, (K, k) each.

    Raises:
        ValueError: k not in 1..K - 1, and what :func:`nearest_neighbors` raises.

    Example:
        >>> import torch
        >>> from memprior.memorization import leave_one_out
        >>> leave_one_out(torch.tensor([[0.0], [1.0], [5.0]]), k=1).distances.flatten()
        tensor([1., 1., 4.])
    """
    expect_train_set("train_set", train_set)
    expect_whole("k", k, 1)
    expect(k < len(train_set), "k", f"at most {len(train_set) - 1}, the other examples there are", k)
    expect_squares("train_set", train_set, lost=True)
    return _without_itself(*nearest(train_set, train_set, k + 1))


def _without_itself(distances: torch.Tensor, indices: torch.Tensor) -> Neighbors:
    """The neighbors (K, k) of each example among the others, of those (K, k + 1) among all."""
    # Drop the example itself wherever a duplicate put it; where duplicates pushed it off the list, drop the last.
    itself = indices == torch.arange(len(indices), device=indices.device)[:, None]
    itself[:, -1] |= ~itself.any(1)
    return Neighbors(*(table[~itself].reshape(len(table), -1) for table in (distances, indices)))


def _beside_the_others(examples: torch.Tensor, k: int, recurring: torch.Tensor) -> tuple[Neighbors, Neighbors]:
    """The null without held-out draws, and each of the distinct ``examples`` (K, d) beside the others.

    In the null an example that occurs ``recurring`` > 0 times, (K,), is that often beside all examples, itself first.
    """
    every = nearest(examples, examples, k + 1)
    others, single = _without_itself(*every), recurring == 0
    again = torch.arange(len(examples), device=examples.device).repeat_interleave(recurring)
    tables = zip((others.distances, others.indices), every, strict=True)
    return Neighbors(*(torch.cat([one[single], table[again, :k]]) for one, table in tables)), others


@dataclass(frozen=True)
class CopyTest:
    """z: standard normal when samples are as far from the training set as held-out draws are; << 0 when they copy.

    p_copying: P(Z <= z).
    """

    z: float
    p_copying: float


def three_sample_test(samples: torch.Tensor, train_set: torch.Tensor, held_out: torch.Tensor) -> CopyTest:
    """Do samples lie nearer to the training set than held-out draws of the truth do?

    After Meehan et al. 2020: the Mann-Whitney statistic of nearest-training distances, its ties shared, standardized by
    its large-sample deviation; without their division into cells, which few examples cannot fill.

    Not a test of copying by itself: samples that are only narrower than the held-out draws, or lie around one truth,
    are nearer too, to any set of models. :func:`swap_test <memprior.memorization.swap.swap_test>` holds there.

    Args:
        samples: (B, d).
        train_set: (K, d).
        held_out: (M, d), draws of the truth that are not in the training set.

    Returns:
        z and the one-sided p-value of copying.

    Raises:
        ValueError: an empty argument, numbers that are not finite, or sizes, dtypes, devices that differ.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.memorization import three_sample_test
        >>> draws = torch.randn(300, 5, generator=torch.Generator().manual_seed(1))
        >>> train_set, held_out, fresh = draws.split(100)
        >>> three_sample_test(train_set, train_set, held_out).p_copying < 1e-9  # copies
        True
        >>> three_sample_test(fresh, train_set, held_out).p_copying > 0.05
        True
    """
    expect_train_set("train_set", train_set)
    for name, x in (("samples", samples), ("held_out", held_out)):
        expect_points(name, x, size=train_set.shape[1], like=train_set)
        expect(len(x) > 0, name, "at least one point", tuple(x.shape))
        expect_finite(name, x)
    near, fresh = (nearest_neighbors(x, train_set, 1).distances[:, 0] for x in (samples, held_out))
    z = rank_statistic(near, fresh)
    return CopyTest(z, 0.5 * math.erfc(-z / math.sqrt(2)))


PAPER_RATIO = 0.7  # the paper calls a sample with r below it memorized
COPY_GAP = 1 / 3  # a sample with d_1 / d_2 below it is a copy (yoon2023diffusion)
COPY_LEVEL = 0.05  # of the swap test
CHECK_LEVEL = 0.01  # of its other side, and of repeats by chance
REPEAT = 1e-5  # of the null's median d_2: what rounding leaves of a copy that was stored in single precision
ATOM = 0.05  # an example with this share of the training set, and at least 3 times in it, recurs by itself


@dataclass(frozen=True, eq=False)
class Nearness:
    """How near n points lie to a training set. neighbors: k of each, with indices of rows of that set.

    distances: d_1, (n,). ratios: r, (n,). gaps: d_1 / d_2, (n,). share_below: share with r < 0.7. share_copied: share
    with d_1 / d_2 < 1/3. repeats: which repeat an example but for rounding, (n,).
    """

    neighbors: Neighbors
    distances: torch.Tensor
    ratios: torch.Tensor
    gaps: torch.Tensor
    share_below: float
    share_copied: float
    repeats: torch.Tensor


def _nearness(near: Neighbors, unique: torch.Tensor, rounding: torch.Tensor) -> Nearness:
    """Of neighbors among the examples ``unique`` (K,), indices into the caller's training set."""
    first, second = near.distances[:, :2].T.contiguous()
    expect(bool((second > 0).all()), "train_set", "examples whose distances are not lost in underflow", "some that are")
    ratios, gaps = memorization_ratio(near), first / second
    below, copied = (
        float((values < limit).double().mean()) for values, limit in ((ratios, PAPER_RATIO), (gaps, COPY_GAP))
    )
    neighbors = Neighbors(near.distances, unique[near.indices])
    return Nearness(neighbors, first, ratios, gaps, below, copied, first <= rounding)


@dataclass(frozen=True, eq=False)
class Report:
    """What :func:`~memprior.memorization.nearness.report` found.

    samples, held_out (None where none were given), leave_one_out (None where they were): :class:`Nearness` of each. k:
    neighbors taken of each. num_repeated: training examples that repeat an earlier one and count once. threshold: the
    r that 5 % of the null lie below. swap: the test, None without held-out models. finding: one of those that
    :func:`report` lists. verdict: the finding in words, with what cannot be told apart.
    """

    samples: Nearness
    held_out: Nearness | None
    leave_one_out: Nearness | None
    k: int
    num_repeated: int
    threshold: float
    swap: SwapTest | None
    finding: str
    verdict: str

    @property
    def p_copying(self) -> float | None:
        """p of the swap test's log-ratio, None without held-out models."""
        return None if self.swap is None else self.swap.p

    @property
    def null(self) -> Nearness:
        """What the samples are set beside, held-out draws or else leave-one-out."""
        return next(near for near in (self.held_out, self.leave_one_out) if near is not None)

    @property
    def ratios(self) -> torch.Tensor:
        """r of the samples, (B,)."""
        return self.samples.ratios

    @property
    def held_out_ratios(self) -> torch.Tensor | None:
        """r of the held-out draws, (M,), or None."""
        return None if self.held_out is None else self.held_out.ratios

    @property
    def leave_one_out_ratios(self) -> torch.Tensor | None:
        """r of each distinct training example among the others, or None where there are held-out draws."""
        return None if self.leave_one_out is None else self.leave_one_out.ratios


def report(
    samples: torch.Tensor,
    train_set: torch.Tensor,
    held_out: torch.Tensor | None = None,
    *,
    groups: Groups | None = None,
    num_labelings: int = LABELINGS,
) -> Report:
    """Are samples (B, d) copies of a training set (K, d)? Tested against held-out models (M, d), where there are any.

    With held-out models the swap test decides (:func:`swap_test <memprior.memorization.swap.swap_test>`, ``groups`` and
    ``num_labelings`` as there): p of the log-ratio at level 0.05; the share of samples nearer to a training model is
    the effect. It is exact whatever the distribution of the samples, if they were made without using which models are
    held out. It draws its labelings from a generator of its own: a report repeats itself. Without held-out models no
    exact test is possible: nearest distances stand beside those of each training example to the others.

    What copies are is told by d_1 / d_2, nearest over second nearest training example, beside the same of the null, the
    held-out models or the examples beside the others, and by exact repeats. k = min(50, K), as in the paper, of the
    distinct examples. Distances are Euclidean: scale the coordinates first, by all models together and not by the
    training set alone, to which samples would be nearer. Half precision is taken to float32.

    The finding is the first that holds; those marked (p) only where the test rejects, or there is none:

    - "unclear": all samples are held-out models; or no held-out models, data of few values, and samples that repeat
      examples or stick to them.
    - "copies" (p): more than half of the samples are copies, beyond sampling error (one-sided, 95 %), and not of one
      example. The share of copies is (s - s_0) / (1 - s_0), s being the share with d_1 / d_2 < 1/3, s_0 the null's.
    - "repeats": samples repeat examples but for rounding, and not held-out models, whatever p is. Not examples that
      recur by themselves, and not in data of few values, unless all models differ and chance would put as many repeats
      on pairs of a sample and a training example with probability 0.01 at most.
    - "reordered": two samples or more hold the numbers of an example in another order (transposed, mirrored, channels
      swapped), and none those of a held-out model. Not in data of few values; "rescaled" neither.
    - "rescaled": two or more are an example times a factor plus a constant, in the same way.
    - "one example": most samples stick to the same example. It is copied, or they lie around a point beside it: copies
      of one model are beyond the test.
    - "attraction" (p): more samples stick to single examples than of the null, beyond error.
    - "nearer": the test rejects, though no samples stick to single examples; without held-out models: most samples are
      nearer to the examples than 19 in 20 of these are to each other, which narrow samples are too.
    - "unclear": no held-out models, and most examples have near twins or form tight groups, in which copies hide.
    - "held-out": the other side of the test at level 0.01, or samples that repeat held-out models: files are swapped,
      or the held-out models were trained on.
    - "farther": most samples are farther from all models than any of these is from its nearest: axes, units or
      normalization differ, which hides copies, or the samples follow another distribution.
    - "none".

    An example that is 5 % of the training set, as a blank one, recurs by itself. Other examples that repeat an earlier
    one count once, in the test too, unless repeats occur across both sets or the data take few values: then they are
    chance, and exchangeable.

    Raises ``ValueError`` / ``TypeError`` for fewer than 5 samples, 5 distinct examples or 5 held-out models or groups a
    side, for held-out draws of which 5 % are training examples (unless the data take few values), for numbers that are
    not finite or whose squares overflow or underflow, and for sizes, dtypes or devices that differ. Time and memory:
    those of :func:`nearest_neighbors` for samples and null, and of the test.

    Example:
        >>> import torch
        >>> from memprior.memorization import report
        >>> draws = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
        >>> train_set, held_out = draws.split(100)
        >>> report(train_set[:50], train_set, held_out).finding
        'copies'
    """
    expect_whole("num_labelings", num_labelings, 1)
    expect_train_set("train_set", train_set)
    expect_squares("train_set", train_set, lost=True)
    points = {"samples": (samples, "points")}
    if held_out is not None:
        points["held_out"] = held_out, "models to exchange with train_set: fewer have too few labelings"
    for name, (x, what) in points.items():
        expect_points(name, x, size=train_set.shape[1], like=train_set)
        expect(len(x) >= LEAST_GROUPS, name, f"at least {LEAST_GROUPS} {what}", len(x))
        expect_finite(name, x)
        expect_squares(name, x)
    expect(groups is None or held_out is not None, "groups", "held_out beside them", "none")
    if held_out is not None and groups is not None:
        group_numbers(groups, len(train_set), len(held_out), train_set.device)
    if train_set.dtype in HALF:
        held_out = None if held_out is None else held_out.float()
        return report(samples.float(), train_set.float(), held_out, groups=groups, num_labelings=num_labelings)
    numbers = multiset_hash(train_set)
    unique, times = distinct(train_set, numbers)
    why = (
        "to compare with each other" if held_out is None else "to exchange with held_out: fewer have too few labelings"
    )
    expect(len(unique) >= LEAST_GROUPS, "train_set", f"at least {LEAST_GROUPS} distinct examples {why}", len(unique))

    examples, left_out = train_set if len(unique) == len(train_set) else train_set[unique], held_out is None
    k = min(50, len(unique) - left_out)
    atom = (times >= 3) & (times >= ATOM * len(train_set))
    numbers, own = numbers[unique], multiset_hash(samples)
    near = Neighbors(*nearest(samples, examples, k))
    if held_out is None:
        beside, others = _beside_the_others(examples, k, times * atom)
    else:
        beside = Neighbors(*nearest(held_out, examples, k))
    rounding = REPEAT * beside.distances[:, 1].median()
    null, ours = _nearness(beside, unique, rounding), _nearness(near, unique, rounding)
    b, m, least = len(samples), len(null.ratios), ours.distances
    swap: SwapTest | None = None
    if held_out is None:
        spacings, repeated = others.distances[:, 0], null.repeats
        few, tight, same_draws = few_values(spacings, examples), grouped(others.distances, COPY_GAP), False
        _, same, shared = numbers.unique(return_inverse=True, return_counts=True)
        reordered, units, by_chance = shared[same] > 1, rescaled(examples, examples, itself=True), few
        again = torch.zeros_like(ours.repeats)
    else:
        theirs = multiset_hash(held_out)
        apart, tight = distinct(held_out, theirs)[0], False
        spacings = spacings_of(torch.cat([examples, held_out]))
        few = few_values(spacings, torch.cat([examples[:1000], held_out[apart[:1000]]]))
        known, of = null.repeats, beside.indices[:, 0]
        leaked = int((known & ~atom[of]).sum())
        expect(few or leaked < 0.05 * m, "held_out", "draws that are not in train_set", f"{leaked} that are")
        generator = generator_for("memorization.report")
        recur = few or bool((known & (times > 1)[of]).any())  # by chance, so that all are exchangeable
        if recur or (len(examples), len(apart)) == (len(train_set), m):
            both = train_set, held_out
        else:
            if groups is not None:
                labels = (torch.as_tensor(of, device=train_set.device) for of in groups)
                one, other = (of[those] for of, those in zip(labels, (unique, apart), strict=True))
                groups = one, other
            both = examples, held_out[apart]
        swap = swap_test(samples, *both, groups=groups, num_labelings=num_labelings, generator=generator)
        to_held_out = nearest(samples, held_out, 1)[0][:, 0]
        again, least = to_held_out <= rounding, torch.minimum(least, to_held_out)
        repeated, same_draws = again & ~ours.repeats, not few and bool(again.all())
        reordered, units = torch.isin(own, theirs) & ~again, rescaled(samples, held_out) & ~again
        # Of pairs that coincide by chance this share is of a sample and a training example.
        pairs = b * len(train_set) / (b * (len(train_set) + m) + (len(train_set) + m) ** 2 / 2)
        more = len(train_set) - len(unique) + m - len(apart) + int(known.sum()) + int(again.sum())
        by_chance = few and (more > 0 or pairs ** int(ours.repeats.sum()) > CHECK_LEVEL)

    def count(these: torch.Tensor, of_null: torch.Tensor) -> Count:
        return Count(int(these.sum()), b, int(of_null.sum()), len(of_null))

    share, chance = ours.share_copied, null.share_copied
    of_ours, of_chance = share * (1 - share) / b, chance * (1 - chance) / m
    # Mutual neighbors share their distance: without held-out models they count half, and no test stands before it.
    beyond = 3 * math.sqrt(of_ours + 2 * of_chance) if left_out else 1.645 * math.sqrt(of_ours + of_chance)
    chosen, times = ours.neighbors.indices[:, 0].unique(return_counts=True)
    example = int(chosen[times.argmax()])
    ours_there, null_there = (near.neighbors.indices[:, 0] == example for near in (ours, null))
    evidence = Evidence(
        swap=swap,
        fired=swap is not None and swap.p < COPY_LEVEL,
        close=float(ours.distances.median()) < float(null.distances.quantile(0.05)),
        share=share,
        chance=chance,
        singled=share - beyond > chance,
        # (share - chance) / (1 - chance) > 1/2, with its error.
        mostly=share - 1.645 * math.sqrt(of_ours + of_chance / 4) > (1 + chance) / 2,
        medians=(float(ours.distances.median()), float(null.distances.median())),
        example=example,
        repeats=count(ours.repeats & ~again & ~atom[near.indices[:, 0]], repeated),
        reordered=count(torch.isin(own, numbers) & ~ours.repeats, reordered),
        rescaled=count(rescaled(samples, examples) & ~ours.repeats, units),
        crowd=count(ours_there, null_there),
        by_chance=by_chance,
        elsewhere=swap is not None and swap.p_held_out < CHECK_LEVEL,
        far=float((least > spacings.max()).double().mean()) > 0.5,
        same_draws=same_draws,
        few_values=few,
        tight=tight,
    )
    finding = finding_of(evidence)
    threshold = float(torch.quantile(null.ratios, 0.05))
    fresh, apart_null = (None, null) if left_out else (null, None)
    repeated_examples, words = len(train_set) - len(unique), in_words(finding, evidence)
    return Report(ours, fresh, apart_null, k, repeated_examples, threshold, swap, finding, words)
