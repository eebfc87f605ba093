"""Is this sample a copy? Nearest training examples, the paper's ratio, and the nulls it must stand beside.

The ratio r = d_1 / mean(d_2..d_k) is small beside an isolated training example. It is also small, by chance, for
fresh draws from the truth: always set it beside the same ratio for held-out draws, or leave-one-out when there are
none.
"""

import math
from dataclasses import dataclass

import torch

from memprior._check import expect, expect_finite, expect_points, expect_train_set, expect_whole
from memprior.memorization._distances import HALF, expect_squares, nearest, rescaled
from memprior.memorization._parts import distinct, few_values, grouped, multiset_hash, rank_statistic, share_statistic
from memprior.memorization._verdict import Count, Evidence, finding_of, in_words


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
    its large-sample deviation; without their division into cells, which few examples cannot fill. Samples that are only
    narrower than the held-out draws are nearer too, to any set of models.

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
    return _copy_test(rank_statistic(near, fresh))


def _copy_test(z: float) -> CopyTest:
    return CopyTest(z, 0.5 * math.erfc(-z / math.sqrt(2)))


PAPER_RATIO = 0.7  # the paper calls a sample with r below it memorized
COPY_GAP = 1 / 3  # a sample with d_1 / d_2 below it is a copy (yoon2023diffusion)
COPY_LEVEL = 0.05
CHECK_LEVEL = 0.01  # of what is looked at beside the tests of copying: farther samples, repeats, order, units, crowd
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
    r that 5 % of the null lie below. distance_test, ratio_test, share_test: one-sided, of d_1, of r and of the share
    with d_1 / d_2 < 1/3 against the null. p_copying: the three by Bonferroni. p_farther: that samples are as far from
    the training set as they are, or farther, if they are as far as the null. finding: one of those that :func:`report`
    lists. verdict: the finding in words, with what cannot be told apart.
    """

    samples: Nearness
    held_out: Nearness | None
    leave_one_out: Nearness | None
    k: int
    num_repeated: int
    threshold: float
    distance_test: CopyTest
    ratio_test: CopyTest
    share_test: CopyTest
    p_copying: float
    p_farther: float
    finding: str
    verdict: str

    @property
    def null(self) -> Nearness:
        """What the samples were tested against, held-out draws, else leave-one-out."""
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


def report(samples: torch.Tensor, train_set: torch.Tensor, held_out: torch.Tensor | None = None) -> Report:
    """Are samples (B, d) copies of a training set (K, d)? Measured beside held-out draws (M, d), or None.

    k = min(50, K), as in the paper, of the distinct examples: beside its twin no example is nearer than all others.
    Distances are Euclidean: scale the coordinates first. Half precision is taken to float32.

    Three one-sided tests against the null: Mann-Whitney of d_1 (:func:`three_sample_test`) and of r, and Fisher's exact
    test of the share with d_1 / d_2 < 1/3, which sees a few copies among many samples where chance makes hardly any (in
    three dimensions it makes 4 %). They are combined by Bonferroni at level 0.05. The finding is the first that holds:

    - "unclear": no held-out draws, data of few values, and the tests fire or samples repeat examples.
    - "copies": the tests fire and more than half of the samples are copies, beyond sampling error (one-sided, 95 %).
      The share of copies is (s - s_0) / (1 - s_0), s being the share with d_1 / d_2 < 1/3 and s_0 the null's.
    - "repeats": samples repeat examples but for rounding; too few points of the null do (here and below, by Fisher's
      test at level 0.01), or none does and the data do not take few values.
    - "reordered": more samples than points of the null hold the numbers of an example in another order: transposed,
      mirrored, channels swapped.
    - "rescaled": more, in the same way, are an example times a factor plus a constant.
    - "one example": most samples are nearest to the same example, and too few of the null are: that example is copied,
      or the samples are narrow, or axes, units or an offset differ.
    - "attraction": the tests fire, the third among them: some samples stick to single examples.
    - "nearer": the tests fire, and the samples are not farther (below). Samples that are only narrower than the null
      are nearer too; nothing here tells the two apart.
    - "unclear": no held-out draws, and most examples have near twins or form tight groups, in which copies do not stand
      out; or all samples are held-out draws themselves.
    - "farther": the samples are farther from the training set than the null at level 0.01: axes, units or normalization
      differ, which hides copies, or the samples follow another distribution.
    - "none".

    Given the training set, independent samples and independent held-out draws of one distribution are exchangeable, so
    the tests of copying raise a false alarm with probability 0.05 at most, up to the normal approximation. Samples of
    one Markov chain are not independent and alarm more often: thin them. Held-out draws must come from the distribution
    that the samples would have without memory. For samples of a posterior, draws of the prior are the wrong null: a
    posterior is narrower, and even an ideal one is then nearer.

    Without held-out draws the null is each training example beside the others, both with k = min(50, K - 1). It is
    weaker. Mutual nearest neighbors share their distance, so it is counted as half as many draws; a sample has one
    example more to be near to, which shifts z by something of order 1 / sqrt(K). On fresh Gaussian draws (d from 1 to
    100, K of 20 and 100, B from 20 to 500) it raised false alarms in 0.3 to 5 % of 400 repeats. An example that is
    5 % of the training set, as a blank one, counts as often as it occurs, at distance 0 from itself.

    Raises ``ValueError`` / ``TypeError`` for fewer than 5 samples, 3 distinct examples or 20 draws of the null (the
    tests need their normal distribution), for held-out draws of which 5 % are training examples (unless the data take
    few values), for numbers that are not finite or whose squares overflow or underflow, and for sizes, dtypes or
    devices that differ. Time and memory: those of :func:`nearest_neighbors` for samples and null.

    Example:
        >>> import torch
        >>> from memprior.memorization import report
        >>> draws = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
        >>> train_set, held_out = draws.split(100)
        >>> report(train_set[:50], train_set, held_out).finding
        'copies'
    """
    expect_train_set("train_set", train_set)
    expect_squares("train_set", train_set, lost=True)
    given = {"samples": (samples, 5)} | ({} if held_out is None else {"held_out": (held_out, 20)})
    for name, (x, least) in given.items():
        expect_points(name, x, size=train_set.shape[1], like=train_set)
        expect(len(x) >= least, name, f"at least {least} points", len(x))
        expect_finite(name, x)
        expect_squares(name, x)
    if train_set.dtype in HALF:
        return report(samples.float(), train_set.float(), None if held_out is None else held_out.float())
    numbers = multiset_hash(train_set)
    unique, times = distinct(train_set, numbers)
    least, why = (20, " where there is no held_out") if held_out is None else (3, "")
    expect(len(unique) >= least, "train_set", f"at least {least} distinct examples{why}", len(unique))

    examples, left_out = train_set if len(unique) == len(train_set) else train_set[unique], held_out is None
    k = min(50, len(unique) - left_out)
    atom = (times >= 3) & (times >= ATOM * len(train_set))
    numbers = numbers[unique]
    if held_out is None:
        beside, others = _beside_the_others(examples, k, times * atom)
        distances = others.distances[:, 0]
        _, same, shared = numbers.unique(return_inverse=True, return_counts=True)
        reordered_null = shared[same] > 1
    else:
        beside = Neighbors(*nearest(held_out, examples, k))
        distances = beside.distances[:, 0]
        reordered_null = torch.isin(multiset_hash(held_out), numbers)
    few, tight = few_values(distances, examples), left_out and grouped(others.distances, COPY_GAP)
    rounding = REPEAT * beside.distances[:, 1].median()
    null = _nearness(beside, unique, rounding)
    ours = _nearness(Neighbors(*nearest(samples, examples, k)), unique, rounding)
    if held_out is not None and not few:
        known = int((null.repeats & ~atom[beside.indices[:, 0]]).sum())
        expect(known < 0.05 * len(held_out), "held_out", "draws that are not in train_set", f"{known} that are")
    b, m = len(samples), len(null.ratios)
    # The large-sample variance of a mean rank goes as 1 / b + 1 / m, or 1 / b + 2 / m where m draws count half.
    shrink = math.sqrt((b + m) / (2 * b + m)) if left_out else 1.0

    def more_often(these: torch.Tensor, of_null: torch.Tensor) -> CopyTest:
        return _copy_test(shrink * share_statistic(these, of_null))

    def count(these: torch.Tensor, of_null: torch.Tensor, level: float) -> Count:
        more = more_often(these, of_null).p_copying < level
        return Count(int(these.sum()), b, int(of_null.sum()), len(of_null), more)

    ranked = [rank_statistic(getattr(ours, name), getattr(null, name)) for name in ("distances", "ratios")]
    tests = [*(_copy_test(shrink * z) for z in ranked), more_often(ours.gaps < COPY_GAP, null.gaps < COPY_GAP)]
    fires = [len(tests) * test.p_copying < COPY_LEVEL for test in tests]
    p = min(1.0, len(tests) * min(test.p_copying for test in tests))
    p_farther = _copy_test(-tests[0].z).p_copying
    share, chance = ours.share_copied, null.share_copied
    error = math.sqrt(share * (1 - share) / b + chance * (1 - chance) / (4 * m))
    chosen, times = ours.neighbors.indices[:, 0].unique(return_counts=True)
    example, own, repeats = int(chosen[times.argmax()]), multiset_hash(samples), int(ours.repeats.sum())
    ours_there, null_there = (near.neighbors.indices[:, 0] == example for near in (ours, null))
    points = samples if held_out is None else torch.cat([samples, held_out])  # together they read the examples once
    ours_rescaled, null_rescaled = rescaled(points, examples).split([b, len(points) - b])
    if left_out:
        null_rescaled = rescaled(examples, examples, itself=True)
    evidence = Evidence(
        p=p,
        fired=p < COPY_LEVEL,
        nearer=fires[0],
        singled=fires[2],
        farther=p_farther < CHECK_LEVEL,
        share=share,
        chance=chance,
        mostly=share - 1.645 * error > (1 + chance) / 2,  # (share - chance) / (1 - chance) > 1/2, with its error
        medians=(float(ours.distances.median()), float(null.distances.median())),
        example=example,
        repeats=count(ours.repeats, null.repeats, CHECK_LEVEL),
        reordered=count(torch.isin(own, numbers) & ~ours.repeats, reordered_null, CHECK_LEVEL),
        rescaled=count(ours_rescaled & ~ours.repeats, null_rescaled, CHECK_LEVEL),
        # Any of the examples might have been the one.
        crowd=count(ours_there, null_there, CHECK_LEVEL / len(unique)),
        same_draws=held_out is not None and bool(torch.isin(own, multiset_hash(held_out)).all()),
        again=b - repeats - len(distinct(samples[~ours.repeats], own[~ours.repeats])[0]),
        left_out=left_out,
        few_values=few,
        tight=tight,
    )
    finding = finding_of(evidence)
    threshold = float(torch.quantile(null.ratios, 0.05))
    fresh, apart = (None, null) if left_out else (null, None)
    repeated, words = len(train_set) - len(unique), in_words(finding, evidence)
    nearer, closer, copied = tests
    return Report(ours, fresh, apart, k, repeated, threshold, nearer, closer, copied, p, p_farther, finding, words)
