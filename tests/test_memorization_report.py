"""The memorization report is silent on fresh draws, fires on copies, and says which of the three it saw."""

import math

import pytest
import scipy.stats
import torch
from helpers import assert_same

from memprior.memorization import leave_one_out, memorization_ratio, nearest_neighbors, report, three_sample_test

REPEATS = 200
# As many alarms as a test of level 0.05 raises in 200 repeats, with probability 0.999.
FEWEST, MOST = (int(scipy.stats.binom.ppf(q, REPEATS, 0.05)) for q in (0.0005, 0.9995))


def draws(generator, *sizes, d):
    return [torch.randn(size, d, generator=generator) for size in sizes]


def copies(train_set, num, generator, noise=1e-4):
    chosen = torch.randint(len(train_set), (num,), generator=generator)
    return train_set[chosen] + noise * torch.randn(num, train_set.shape[1], generator=generator)


def alarms(reports, test):
    return sum(test(found).p_copying < 0.05 for found in reports)


@pytest.mark.parametrize("d", [2, 10])
def test_every_test_is_silent_on_fresh_draws_and_yet_can_fire(d, generator):
    reports = [report(*draws(generator, 50, 60, 40, d=d)) for _ in range(REPEATS)]
    for test in (lambda found: found.distance_test, lambda found: found.ratio_test):
        assert FEWEST <= alarms(reports, test) <= MOST
    assert alarms(reports, lambda found: found.share_test) <= MOST  # exact for counts, so below its level
    assert 1 <= alarms(reports, lambda found: found) <= MOST
    assert [found.finding == "none" for found in reports] == [found.p_copying >= 0.05 for found in reports]
    assert not any(found.finding == "copies" for found in reports)


@pytest.mark.parametrize("d", [2, 10])
def test_every_test_fires_on_copies_in_every_repeat(d, generator):
    for _ in range(REPEATS):
        train_set, held_out = draws(generator, 60, 40, d=d)
        found = report(copies(train_set, 50, generator), train_set, held_out)
        assert found.finding == "copies"
        assert max(test.p_copying for test in (found.distance_test, found.ratio_test, found.share_test)) < 1e-6


def test_half_copies_are_the_case_between_in_every_repeat(generator):
    for _ in range(REPEATS):
        fresh, train_set, held_out = draws(generator, 50, 60, 40, d=10)
        half = torch.cat([copies(train_set, 50, generator), fresh])
        assert report(half, train_set, held_out).finding == "attraction"
        assert report(half, train_set).finding == "attraction"


def test_copies_are_called_where_more_than_half_are_beyond_their_sampling_error(generator):
    fresh, train_set, held_out = draws(generator, 100, 60, 100, d=30)
    copied = copies(train_set, 100, generator)

    def finding(num):
        return report(torch.cat([copied[:num], fresh[num:]]), train_set, held_out).finding

    # No draw is a copy by chance; s - 1.645 sqrt(s (1 - s) / 100) passes 1/2 between s = 0.58 and 0.59.
    assert report(fresh, train_set, held_out).samples.share_copied == 0
    assert (finding(58), finding(59)) == ("attraction", "copies")


def test_chance_is_taken_off_before_copies_are_counted(generator):
    fresh, train_set, held_out = draws(generator, 1000, 40, 1000, d=1)
    half = torch.cat([copies(train_set, 1000, generator, noise=0.0), fresh])
    found = report(half, train_set, held_out)
    assert found.samples.share_copied > 0.6  # on a line a draw is often three times nearer to one than to the next
    assert found.finding == "attraction"


def test_a_few_copies_among_many_samples_are_seen_by_their_share_alone(generator):
    fresh, train_set, held_out = draws(generator, 980, 50, 1000, d=30)
    found = report(torch.cat([fresh, copies(train_set, 20, generator)]), train_set, held_out)
    assert min(found.distance_test.p_copying, found.ratio_test.p_copying) > 0.05
    assert found.share_test.p_copying < 1e-5
    assert found.finding == "attraction"


def test_without_held_out_draws_alarms_stay_below_the_level_because_the_null_counts_half(generator):
    # On a line mutual nearest neighbours are commonest, and with many samples the null's own error is all there is.
    reports = [report(*draws(generator, 200, 20, d=1)) for _ in range(REPEATS)]
    assert 1 <= alarms(reports, lambda found: found) <= MOST
    assert alarms(reports, lambda found: found.distance_test) <= MOST
    shrink = math.sqrt((200 + 20) / (2 * 200 + 20))
    assert sum(found.distance_test.z / shrink < -1.645 for found in reports) > MOST  # had each counted as a draw


def test_without_held_out_draws_copies_are_called_in_every_repeat(generator):
    for _ in range(REPEATS):
        (train_set,) = draws(generator, 40, d=5)
        found = report(copies(train_set, 30, generator), train_set)
        assert found.finding == "copies"
        assert "weaker than held-out draws" in found.verdict


def test_the_tests_are_scipys(generator):
    samples, train_set, held_out = draws(generator, 31, 40, 53, d=2)
    samples[:9] = copies(train_set, 9, generator)
    found = report(samples, train_set, held_out)
    ratios = [memorization_ratio(nearest_neighbors(x, train_set, 40)).numpy() for x in (samples, held_out)]
    theirs = scipy.stats.mannwhitneyu(*ratios, alternative="less", method="asymptotic", use_continuity=False)
    assert found.ratio_test.p_copying == pytest.approx(theirs.pvalue, rel=1e-11)
    assert found.distance_test.z == pytest.approx(three_sample_test(samples, train_set, held_out).z, rel=1e-14)
    near = [nearest_neighbors(x, train_set, 2).distances for x in (samples, held_out)]
    counts = [int((3 * x[:, 0] < x[:, 1]).sum()) for x in near]
    table = [[counts[0], 31 - counts[0]], [counts[1], 53 - counts[1]]]
    fisher = scipy.stats.fisher_exact(table, alternative="greater").pvalue
    assert found.share_test.p_copying == pytest.approx(fisher, rel=1e-10)
    assert found.p_copying == 3 * min(t.p_copying for t in (found.distance_test, found.ratio_test, found.share_test))


@pytest.mark.parametrize(("num", "k"), [(3, 3), (30, 30), (51, 50), (80, 50)])
def test_the_report_holds_the_ratios_of_the_paper_and_both_nulls(num, k, generator):
    samples, train_set, held_out = draws(generator, 20, num, 25, d=3)
    found = report(samples, train_set, held_out)
    assert found.k == k
    for ours, x in ((found.ratios, samples), (found.held_out_ratios, held_out)):
        assert_same(ours, memorization_ratio(nearest_neighbors(x, train_set, k)))
    assert_same(found.leave_one_out_ratios, memorization_ratio(leave_one_out(train_set, min(50, num - 1))))
    assert found.null is found.held_out
    near = nearest_neighbors(samples, train_set, k)
    assert torch.equal(found.samples.neighbors.indices, near.indices)
    assert found.samples.share_below == (found.ratios < 0.7).double().mean()
    assert found.held_out.share_copied == (found.held_out.gaps < 1 / 3).double().mean()
    assert float((found.held_out_ratios < found.threshold).double().mean()) == pytest.approx(0.05, abs=1 / 25)


def test_without_held_out_draws_samples_and_null_take_the_same_number_of_neighbours(generator):
    samples, train_set = draws(generator, 20, 30, d=3)
    found = report(samples, train_set)
    assert (found.k, found.held_out, found.held_out_ratios) == (29, None, None)
    assert found.null is found.leave_one_out
    assert_same(found.ratios, memorization_ratio(nearest_neighbors(samples, train_set, 29)))


def test_repeated_examples_count_once_and_keep_the_callers_numbers(generator):
    train_set, held_out = draws(generator, 30, 40, d=3)
    samples = train_set[:25]
    repeated = torch.cat([train_set[4:6], train_set, train_set])
    once, found = report(samples, train_set, held_out), report(samples, repeated, held_out)
    assert found.num_repeated == 32
    assert (found.k, found.finding, found.p_copying) == (30, "copies", once.p_copying)
    assert_same(found.ratios, once.ratios)
    # Of examples that are equal the first keeps its number: 4 and 5 are now 0 and 1, the others two further on.
    expected = torch.tensor([2, 3, 4, 5, 0, 1, *range(8, 27)])
    assert torch.equal(found.samples.neighbors.indices[:, 0], expected)
    assert bool((found.samples.distances == 0).all())


def test_correlated_samples_alarm_too_often(generator):
    found = 0
    for _ in range(REPEATS):
        train_set, held_out = draws(generator, 40, 40, d=2)
        chain = [torch.randn(2, generator=generator)]
        for step in 0.3 * torch.randn(49, 2, generator=generator):
            chain.append(math.sqrt(1 - 0.3**2) * chain[-1] + step)  # each has the law of the draws
        found += report(torch.stack(chain), train_set, held_out).p_copying < 0.05
    assert found > MOST


def test_beside_draws_of_the_prior_an_ideal_posterior_is_called_copying(generator):
    samples, train_set, held_out = draws(generator, 200, 100, 200, d=5)
    narrow = 0.2 * samples
    assert report(narrow, train_set, held_out).finding != "none"
    # Beside draws of its own law it is not.
    assert report(narrow, train_set, 0.2 * held_out).finding == "none"


def test_single_precision_is_kept(generator):
    found = report(*(x.float() for x in draws(generator, 20, 30, 25, d=3)))
    assert found.ratios.dtype == torch.float32
    assert found.finding == "none"


@pytest.mark.parametrize(
    ("finding", "opening"),
    [
        ("none", "No sign of copying"),
        ("attraction", "Nearer to the training set than held-out"),
        ("copies", "Copies: "),
    ],
)
def test_the_verdict_is_one_sentence_that_says_the_finding(finding, opening, generator):
    fresh, train_set, held_out = draws(generator, 50, 60, 40, d=10)
    copied = copies(train_set, 50, generator)
    samples = {"none": fresh, "copies": copied, "attraction": torch.cat([copied[:25], fresh[25:]])}[finding]
    found = report(samples, train_set, held_out)
    assert found.finding == finding
    assert found.verdict.startswith(opening)
    assert found.verdict.endswith(".")
    assert ". " not in found.verdict
    if finding != "none":
        assert f"{found.samples.share_copied:.0%} of the samples" in found.verdict


POINTS = torch.arange(120, dtype=torch.float64).reshape(40, 3).sin()
HOLE = POINTS.clone()
HOLE[3, 1] = math.nan
BAD = {
    "few samples": (POINTS[:4], POINTS, None, "samples: expected at least 5 points, got 4"),
    "few examples": (POINTS, POINTS[:2], POINTS, "train_set: expected at least 3 distinct examples, got 2"),
    "twins": (POINTS, POINTS[[0, 1, 0, 1]], POINTS, "train_set: expected at least 3 distinct examples, got 2"),
    "few held out": (POINTS, POINTS, POINTS[:19] + 1, "held_out: expected at least 20 points, got 19"),
    "few left out": (POINTS, POINTS[:19], None, "at least 20 distinct examples where there is no held_out, got 19"),
    "trained on": (POINTS, POINTS, POINTS, "held_out: expected draws that are not in train_set, got 40 that are"),
    "other size": (POINTS[:, :2], POINTS, None, r"samples: expected shape \(B, 3\), got \(40, 2\)"),
    "other size held out": (POINTS, POINTS, POINTS[:, :2], r"held_out: expected shape \(B, 3\), got \(40, 2\)"),
    "hole in samples": (HOLE, POINTS, None, "samples: expected finite numbers, got 1 NaN"),
    "hole in train_set": (POINTS, HOLE, None, "train_set: expected finite numbers, got 1 NaN"),
    "hole in held_out": (POINTS, POINTS, HOLE, "held_out: expected finite numbers, got 1 NaN"),
    "other dtype": (POINTS.float(), POINTS, None, "samples: expected dtype torch.float64, got torch.float32"),
}


@pytest.mark.parametrize(("samples", "train_set", "held_out", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_name(samples, train_set, held_out, message):
    with pytest.raises(ValueError, match=message):
        report(samples, train_set, held_out)


@pytest.mark.parametrize("name", ["samples", "train_set", "held_out"])
def test_arrays_that_are_not_tensors_are_refused_by_name(name):
    given = {"samples": POINTS, "train_set": POINTS, "held_out": POINTS + 1} | {name: POINTS.numpy()}
    with pytest.raises(TypeError, match=rf"{name}: expected a torch\.Tensor of shape .*, got ndarray"):
        report(**given)
