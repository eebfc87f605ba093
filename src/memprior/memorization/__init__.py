"""Is this sample a copy? Nearest training examples, the paper's ratio, and the nulls it must stand beside.

The ratio r = d_1 / mean(d_2..d_k) is small beside an isolated training example. It is also small, by chance, for
fresh draws from the truth: always set it beside the same ratio for held-out draws, or leave-one-out when there are
none.
"""

import math
from dataclasses import dataclass

import torch

from memprior._check import expect, expect_finite, expect_points, expect_train_set, expect_whole
from memprior.memorization._parts import distinct, in_words, rank_statistic, share_statistic


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
    return _copy_test(rank_statistic(near, fresh))


def _copy_test(z: float) -> CopyTest:
    return CopyTest(z, 0.5 * math.erfc(-z / math.sqrt(2)))


PAPER_RATIO = 0.7  # the paper calls a sample with r below it memorized
COPY_GAP = 1 / 3  # a sample with d_1 / d_2 below it is a copy (yoon2023diffusion)
LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Nearness:
    """How near n points lie to a training set. neighbors: k of each, with indices of rows of that set.

    distances: d_1, (n,). ratios: r, (n,). gaps: d_1 / d_2, (n,). share_below: share with r < 0.7. share_copied: share
    with d_1 / d_2 < 1/3.
    """

    neighbors: Neighbors
    distances: torch.Tensor
    ratios: torch.Tensor
    gaps: torch.Tensor
    share_below: float
    share_copied: float


def _nearness(near: Neighbors, kept: torch.Tensor) -> Nearness:
    """Of neighbours among the examples ``kept`` (K,), indices into the caller's training set."""
    first, second = near.distances[:, :2].T.contiguous()
    ratios, gaps = memorization_ratio(near), first / second
    shares = ((values < limit).double().mean().item() for values, limit in ((ratios, PAPER_RATIO), (gaps, COPY_GAP)))
    return Nearness(Neighbors(near.distances, kept[near.indices]), first, ratios, gaps, *shares)


@dataclass(frozen=True, eq=False)
class Report:
    """What :func:`report` found.

    samples, held_out (None where none were given), leave_one_out: :class:`Nearness` of each. k: neighbours taken of
    samples and held-out draws. num_repeated: training examples left out because they repeat an earlier one.
    threshold: the r that 5 % of the null lie below. distance_test, ratio_test, share_test: one-sided, of d_1, of r and
    of the share with d_1 / d_2 < 1/3 against the null. p_copying: the three by Bonferroni. finding: "copies",
    "attraction" or "none". verdict: the finding in one sentence.
    """

    samples: Nearness
    held_out: Nearness | None
    leave_one_out: Nearness
    k: int
    num_repeated: int
    threshold: float
    distance_test: CopyTest
    ratio_test: CopyTest
    share_test: CopyTest
    p_copying: float
    finding: str
    verdict: str

    @property
    def null(self) -> Nearness:
        """What the samples were tested against: held-out draws, else leave-one-out."""
        return self.leave_one_out if self.held_out is None else self.held_out

    @property
    def ratios(self) -> torch.Tensor:
        """r of the samples, (B,)."""
        return self.samples.ratios

    @property
    def held_out_ratios(self) -> torch.Tensor | None:
        """r of the held-out draws, (M,), or None."""
        return None if self.held_out is None else self.held_out.ratios

    @property
    def leave_one_out_ratios(self) -> torch.Tensor:
        """r of each distinct training example among the others, (K,)."""
        return self.leave_one_out.ratios


def report(samples: torch.Tensor, train_set: torch.Tensor, held_out: torch.Tensor | None = None) -> Report:
    """Are samples (B, d) copies of a training set (K, d)? Measured beside held-out draws (M, d), or None.

    k = min(50, K), as in the paper, of the distinct examples: beside its twin no example is nearer than all others.
    Distances are Euclidean: scale the coordinates first.

    Three one-sided tests against the null: Mann-Whitney of d_1 (:func:`three_sample_test`) and of r, and Fisher's exact
    test of the share with d_1 / d_2 < 1/3, which sees a few copies among many samples where chance makes hardly any (in
    three dimensions it makes 4 %). They are combined by Bonferroni at level 0.05. The finding is "none" where they are
    silent; "copies" where they fire and more than half of the samples are copies, beyond sampling error (one-sided, 95
    %); "attraction" where they fire and that is not so. The share of copies is (s - s_0) / (1 - s_0), s being the share
    with d_1 / d_2 < 1/3 and s_0 the null's, by chance.

    Given the training set, independent samples and independent held-out draws of one law are exchangeable, so a false
    alarm has probability 0.05 at most, up to the normal approximation. Samples of one Markov chain are not independent
    and alarm more often: thin them. Held-out draws must come from the law that the samples would have without memory.
    For samples of a posterior, draws of the prior are the wrong null: a posterior is narrower, and even an ideal one is
    then called copying.

    Without held-out draws the null is each training example beside the others, both with k = min(50, K - 1). It is
    weaker. Mutual nearest neighbours share their distance, so it is counted as half as many draws; a sample has one
    example more to be near to, which shifts z by something of order 1 / sqrt(K). On fresh Gaussian draws (d from 1 to
    100, K of 20 and 100, B from 20 to 500) it raised false alarms in 0.3 to 5 % of 400 repeats.

    Raises ``ValueError`` / ``TypeError`` for fewer than 5 samples, 3 distinct examples or 20 draws of the null (the
    tests need their normal law), for held-out draws of which 5 % are training examples, for numbers that are not
    finite, and for sizes, dtypes or devices that differ.
    """
    expect_train_set("train_set", train_set)
    given = {"samples": (samples, 5)} | ({} if held_out is None else {"held_out": (held_out, 20)})
    for name, (x, least) in given.items():
        expect_points(name, x, size=train_set.shape[1], like=train_set)
        expect(len(x) >= least, name, f"at least {least} points", len(x))
        expect_finite(name, x)
    kept = distinct(train_set)
    least, why = (20, " where there is no held_out") if held_out is None else (3, "")
    expect(len(kept) >= least, "train_set", f"at least {least} distinct examples{why}", len(kept))

    examples, others = train_set[kept], len(kept) - 1
    k = min(50, others if held_out is None else len(kept))
    left = _nearness(leave_one_out(examples, min(50, others)), kept)
    ours = _nearness(nearest_neighbors(samples, examples, k), kept)
    fresh = None if held_out is None else _nearness(nearest_neighbors(held_out, examples, k), kept)
    if fresh:
        known = int((fresh.distances == 0).sum())
        expect(known < 0.05 * len(held_out), "held_out", "draws that are not in train_set", f"{known} that are")
    null = fresh or left
    b, m = len(samples), len(null.ratios)
    # The large-sample variance of a mean rank goes as 1 / b + 1 / m, or 1 / b + 2 / m where m draws count half.
    shrink = 1.0 if fresh else math.sqrt((b + m) / (2 * b + m))
    ranked = [rank_statistic(getattr(ours, name), getattr(null, name)) for name in ("distances", "ratios")]
    counted = share_statistic(ours.gaps < COPY_GAP, null.gaps < COPY_GAP)
    tests = [_copy_test(shrink * z) for z in (*ranked, counted)]
    p = min(1.0, len(tests) * min(test.p_copying for test in tests))
    share, chance = ours.share_copied, null.share_copied
    error = math.sqrt(share * (1 - share) / b + chance * (1 - chance) / (4 * m))
    mostly = share - 1.645 * error > (1 + chance) / 2  # (share - chance) / (1 - chance) > 1/2, with its error
    finding = "none" if p >= LEVEL else "copies" if mostly else "attraction"
    threshold = float(torch.quantile(null.ratios, 0.05))
    verdict = in_words(finding, p, share, chance, fresh is None)
    repeated = len(train_set) - len(kept)
    return Report(ours, fresh, left, k, repeated, threshold, *tests, p, finding, verdict)
