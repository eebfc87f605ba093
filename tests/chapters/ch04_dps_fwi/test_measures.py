"""Chapter 4's metrics give the known values for copies, for draws of the true prior and for both closed forms."""

import math

import pytest
import torch
from helpers import ROUNDING, assert_same
from scipy import stats

from chapters.ch04_dps_fwi import measures
from memprior import paper
from memprior.fields import CosineBasis
from memprior.guidance import released_step
from memprior.intervals import Mean, Share
from memprior.paper import SIGMAS, STEP_SIZE, TrainingSet, memorized_share, published_grid, published_law
from memprior.sampling import trajectory

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def training():
    return TrainingSet.published(50, CPU)


# Shares


def test_memorized_share_counts_ratios_below_the_papers_threshold():
    share = memorized_share(torch.tensor([0.1, 0.6999, 0.7, 2.0]))
    assert (share.value, share.num) == (0.5, 4)
    assert share.dot == (0.5, *share.interval)


@pytest.mark.parametrize(("k", "n"), [(1, 4), (26, 256), (128, 256), (255, 256)])
def test_share_interval_is_jeffreys(k, n):
    """The two ends leave 2.5 % each of the posterior of k in n under Beta(1/2, 1/2)."""
    low, high = Share(k / n, n).interval
    posterior = stats.beta(k + 0.5, n - k + 0.5)
    assert posterior.cdf(low) == pytest.approx(0.025, rel=1e-9)
    assert posterior.sf(high) == pytest.approx(0.025, rel=1e-9)
    assert low < k / n < high


def test_share_interval_of_none_or_all_ends_at_zero_or_one():
    low, high = memorized_share(torch.full((256,), 0.9)).interval
    assert (low, high) == (0, pytest.approx(stats.beta.ppf(0.975, 0.5, 256.5), rel=1e-9))
    assert memorized_share(torch.full((256,), 0.1)).interval == (pytest.approx(1 - high, rel=1e-9), 1)


@pytest.mark.parametrize("p", [0.03, 0.3, 0.5, 0.97])
def test_share_interval_covers_nineteen_times_in_twenty(p):
    """Summed over every count of 256: no draws are needed."""
    intervals = [Share(k / 256, 256).interval for k in range(257)]
    covered = sum(stats.binom.pmf(k, 256, p) for k, (low, high) in enumerate(intervals) if low <= p <= high)
    assert covered == pytest.approx(0.95, abs=0.02)


def test_memorized_share_with_equal_weights_is_that_without(generator):
    ratios = torch.rand(300, generator=generator)
    plain, weighted = memorized_share(ratios), memorized_share(ratios, torch.full((300,), 1 / 300))
    assert (weighted.value, weighted.num) == pytest.approx((plain.value, plain.num), rel=ROUNDING)
    assert weighted.interval == pytest.approx(plain.interval, rel=1e-9)


def test_memorized_share_of_weighted_samples_has_their_effective_number():
    share = memorized_share(torch.tensor([0.1, 0.2, 0.9]), torch.tensor([0.5, 0.25, 0.25]))
    assert (share.value, share.num) == (0.75, pytest.approx(8 / 3))


def test_share_reads_as_a_count():
    share = Share(26 / 256, 256)
    low, high = (256 * end for end in share.interval)
    assert (low, high) == (pytest.approx(17.5, abs=0.5), pytest.approx(36.8, abs=0.5))
    assert share.of(256) == f"26 ({low:.0f} to {high:.0f})"
    assert Share(0.5, 1000).of(10) == "5 (5 to 5)"


# The released sampler on the tangent


@pytest.fixture(scope="module")
def linear():
    return paper.tangent(paper.published_inversion(torch.complex64, CPU))


def test_linearized_run_with_the_memorized_prior_ends_on_examples(linear, training):
    """.011 to .014: the last step along the data's gradient, .07 long in standardized coordinates."""
    draws = [torch.Generator().manual_seed(0) for _ in range(2)]
    options = {"step_size": STEP_SIZE, "generator": draws[0]}
    found = measures.sample_linearized(linear, training, training.memorized_prior, 16, **options)
    assert found.x.shape == (16, 100)
    assert found.misfits.shape == (200, 16)
    assert float(training.ratio(found.x).max()) < 0.02
    # The same by hand.
    first = paper.start(16, training.examples, generator=draws[1])
    step = released_step(paper.standardized(linear, training.standardizer), STEP_SIZE)
    states = list(trajectory(training.memorized_prior, first, SIGMAS, step=step, generator=draws[1]))
    assert torch.equal(found.x, training.standardizer.restore(states[-1].x))
    assert torch.equal(found.misfits, torch.stack([state.misfit for state in states]))


# Over many truths


def clumps(num_truths, num, generator):
    """Posterior-like: the samples of a truth lie close together, around a draw of the prior. (1, K, 1, S, 5)."""
    centers = torch.randn(num_truths, 1, 5, generator=generator)
    return (centers + 0.1 * torch.randn(num_truths, num, 5, generator=generator))[None, :, None]


def test_swap_row_exchanges_the_labels_once_for_all_truths(generator):
    """With one training set for all truths the null stays wide however many samples each truth has."""
    train_set, held_out = torch.randn(20, 5, generator=generator).split(10)
    options = {"num_labelings": 2000, "generator": generator}
    row = measures.swap_row(clumps(400, 4, generator), train_set, held_out, **options)
    independent = 0.5 / 400**0.5  # of a share of 400 truths whose labels were drawn anew each time
    assert float(row.null_shares.std()) > 2 * independent
    assert row.null[0] < row.share.value < row.null[1]
    assert row.share.half < 0.07 < 0.5 * (row.null[1] - row.null[0])
    assert 0.005 < row.p < 0.995


def test_swap_row_of_copies_is_one_and_of_seeds_is_kept_by_seed(generator):
    train_set, held_out = torch.randn(40, 5, generator=generator).split(20)
    copies = train_set[torch.randint(20, (6, 2, 3), generator=generator)][None]
    others = held_out[torch.randint(20, (6, 2, 3), generator=generator)][None]
    options = {"num_labelings": 999, "generator": generator}
    row = measures.swap_row(torch.cat([copies, others]), train_set, held_out, **options)
    assert row.by_seed == (1, 0)
    assert (row.share.value, row.share.half) == (0.5, 0)
    assert measures.swap_row(copies, train_set, held_out, **options).p == 0.001


def test_excess_cancels_what_labels_do_to_both_and_is_tested_by_the_same_labels(generator):
    """Of the same samples it is nothing, whatever the labels; a tenth of copies in one of them is seen."""
    train_set, held_out = torch.randn(60, 5, generator=generator).split(30)
    x = clumps(100, 4, generator)
    copied = x.clone()
    copied[:, ::10] = train_set[:10, None, None, :]
    rows = [
        measures.swap_row(z, train_set, held_out, num_labelings=999, generator=torch.Generator().manual_seed(4))
        for z in (x, copied)
    ]
    nothing, some = measures.excess(rows[0], rows[0]), measures.excess(rows[1], rows[0])
    assert (nothing.share, nothing.null, nothing.log_ratio, nothing.p) == (0, (0, 0), 0, 1)
    assert some.p == 0.001
    assert some.log_ratio == pytest.approx(rows[1].log_ratio.value - rows[0].log_ratio.value)
    wide = rows[0].null[1] - rows[0].null[0]
    assert some.null[1] - some.null[0] < wide


def test_memorized_over_truths_has_its_interval_over_truths(training):
    """One truth with copies alone and one with none: the interval is that of two values, 0 and 1."""
    copies = training.examples[:4]
    far = training.examples.mean(0) + 1e4 * torch.eye(100)[:4]  # the same distance from all: r near 1
    found = measures.memorized_over_truths(torch.stack([copies, far])[None, :, None], training)
    assert found == Mean.over([1.0, 0.0])


def test_spread_of_draws_of_the_prior_covers_and_has_the_priors_error(generator):
    """80 % of truths are within intervals of draws of the distribution that made them; error (1 + 1 / S)^.5."""
    law = published_law()
    truths = law.sample(400, generator=generator)
    samples = law.sample(400 * 16, generator=generator).reshape(1, 400, 1, 16, 100)
    found = measures.spread(samples, truths, generator=generator)
    assert abs(found.coverage.value - 0.8) < 3 * found.coverage.half
    assert found.coverage.half < 0.02
    by_hand = (1 + 1 / 16) ** 0.5 * math.sqrt(2) * math.exp(math.lgamma(5.5) - math.lgamma(5)) / math.sqrt(10)
    assert found.error.value == pytest.approx(by_hand, abs=3 * found.error.half)
    assert found.error.half < 0.03


def test_correlation_is_that_of_the_decoded_fields(generator):
    law = published_law()
    truths, samples = law.sample(3, generator=generator), law.sample(12, generator=generator)
    found = measures.correlation(samples.reshape(1, 3, 2, 2, 100), truths)
    decode = CosineBasis(published_grid()).decode
    for k in range(3):
        means = samples.reshape(3, 2, 2, 100)[k].mean(1)
        each = [
            torch.corrcoef(torch.stack([decode(z[None]).flatten(), decode(truths[k, None]).flatten()]))[0, 1]
            for z in means
        ]
        assert float(found[k]) == pytest.approx(float(torch.stack(each).mean()), abs=1e-9)
    assert_same(measures.correlation(truths[None, :, None, None], truths), torch.ones(3))
