"""The memorization report keeps its level on fresh draws, detects copies, and states which of its findings holds."""

import math

import pytest
import scipy.stats
import torch
from helpers import assert_same

from memprior.memorization import leave_one_out, memorization_ratio, nearest_neighbors, report, three_sample_test
from memprior.memorization._parts import multiset_hash

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
def test_report_tests_keep_their_level_on_fresh_draws(d, generator):
    reports = [report(*draws(generator, 50, 60, 40, d=d)) for _ in range(REPEATS)]
    for test in (lambda found: found.distance_test, lambda found: found.ratio_test):
        assert FEWEST <= alarms(reports, test) <= MOST
    assert alarms(reports, lambda found: found.share_test) <= MOST  # exact for counts, so below its level
    assert 1 <= alarms(reports, lambda found: found) <= MOST
    no_copying = {"none", "farther"}  # the second at level 0.01
    assert [found.finding in no_copying for found in reports] == [found.p_copying >= 0.05 for found in reports]
    assert sum(found.finding == "farther" for found in reports) <= scipy.stats.binom.ppf(0.9995, REPEATS, 0.01)
    assert {found.finding for found in reports} <= {*no_copying, "nearer", "attraction"}


@pytest.mark.parametrize("d", [2, 10])
def test_report_tests_detect_copies_in_every_repeat(d, generator):
    for _ in range(REPEATS):
        train_set, held_out = draws(generator, 60, 40, d=d)
        found = report(copies(train_set, 50, generator), train_set, held_out)
        assert found.finding == "copies"
        assert max(test.p_copying for test in (found.distance_test, found.ratio_test, found.share_test)) < 1e-6


def test_report_finds_attraction_where_half_are_copies(generator):
    for _ in range(REPEATS):
        fresh, train_set, held_out = draws(generator, 50, 60, 40, d=10)
        half = torch.cat([copies(train_set, 50, generator), fresh])
        assert report(half, train_set, held_out).finding == "attraction"
        assert report(half, train_set).finding == "attraction"


def test_report_finds_copies_where_significantly_more_than_half_are(generator):
    fresh, train_set, held_out = draws(generator, 100, 60, 100, d=30)
    copied = copies(train_set, 100, generator)

    def finding(num):
        return report(torch.cat([copied[:num], fresh[num:]]), train_set, held_out).finding

    # No draw is a copy by chance; s - 1.645 sqrt(s (1 - s) / 100) passes 1/2 between s = 0.58 and 0.59.
    assert report(fresh, train_set, held_out).samples.share_copied == 0
    assert (finding(58), finding(59)) == ("attraction", "copies")


def test_report_subtracts_chance_before_it_counts_copies(generator):
    fresh, train_set, held_out = draws(generator, 1000, 40, 1000, d=1)
    half = torch.cat([copies(train_set, 1000, generator, noise=0.0), fresh])
    found = report(half, train_set, held_out)
    assert found.samples.share_copied > 0.6  # on a line a draw is often three times nearer to one than to the next
    assert found.finding == "repeats"


def test_share_test_alone_detects_a_few_copies_among_many_samples(generator):
    fresh, train_set, held_out = draws(generator, 980, 50, 1000, d=30)
    found = report(torch.cat([fresh, copies(train_set, 20, generator)]), train_set, held_out)
    assert min(found.distance_test.p_copying, found.ratio_test.p_copying) > 0.05
    assert found.share_test.p_copying < 1e-5
    assert found.finding == "attraction"


def test_report_without_held_out_draws_keeps_its_level(generator):
    # On a line mutual nearest neighbors are commonest, and with many samples the null's own error is all there is.
    reports = [report(*draws(generator, 200, 20, d=1)) for _ in range(REPEATS)]
    assert 1 <= alarms(reports, lambda found: found) <= MOST
    assert alarms(reports, lambda found: found.distance_test) <= MOST
    shrink = math.sqrt((200 + 20) / (2 * 200 + 20))
    assert sum(found.distance_test.z / shrink < -1.645 for found in reports) > MOST  # had each counted as a draw


def test_report_without_held_out_draws_finds_copies_in_every_repeat(generator):
    for _ in range(REPEATS):
        (train_set,) = draws(generator, 40, d=5)
        found = report(copies(train_set, 30, generator), train_set)
        assert found.finding == "copies"
        assert "weaker than held-out draws" in found.verdict


def test_report_tests_are_scipys(generator):
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
def test_report_holds_the_papers_ratios_and_both_nulls(num, k, generator):
    samples, train_set, held_out = draws(generator, 20, num, 25, d=3)
    found = report(samples, train_set, held_out)
    assert found.k == k
    for ours, x in ((found.ratios, samples), (found.held_out_ratios, held_out)):
        assert_same(ours, memorization_ratio(nearest_neighbors(x, train_set, k)))
    assert found.null is found.held_out
    assert (found.leave_one_out, found.leave_one_out_ratios) == (None, None)
    near = nearest_neighbors(samples, train_set, k)
    assert torch.equal(found.samples.neighbors.indices, near.indices)
    assert found.samples.share_below == (found.ratios < 0.7).double().mean()
    assert found.held_out.share_copied == (found.held_out.gaps < 1 / 3).double().mean()
    assert float((found.held_out_ratios < found.threshold).double().mean()) == pytest.approx(0.05, abs=1 / 25)


def test_report_without_held_out_draws_uses_one_number_of_neighbors(generator):
    samples, train_set = draws(generator, 20, 30, d=3)
    found = report(samples, train_set)
    assert (found.k, found.held_out, found.held_out_ratios) == (29, None, None)
    assert found.null is found.leave_one_out
    assert_same(found.ratios, memorization_ratio(nearest_neighbors(samples, train_set, 29)))
    assert_same(found.leave_one_out_ratios, memorization_ratio(leave_one_out(train_set, 29)))


def test_repeated_examples_count_once_and_keep_the_callers_indices(generator):
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


def test_report_on_correlated_samples_exceeds_its_level(generator):
    found = 0
    for _ in range(REPEATS):
        train_set, held_out = draws(generator, 40, 40, d=2)
        chain = [torch.randn(2, generator=generator)]
        for step in 0.3 * torch.randn(49, 2, generator=generator):
            chain.append(math.sqrt(1 - 0.3**2) * chain[-1] + step)  # each is distributed as the draws
        found += report(torch.stack(chain), train_set, held_out).p_copying < 0.05
    assert found > MOST


def test_samples_that_are_only_narrower_are_not_found_copies(generator):
    own, repeats = 0, 60
    for _ in range(repeats):
        samples, train_set, held_out = draws(generator, 100, 100, 100, d=10)
        found = report(0.5 * samples, train_set, held_out)
        assert found.finding == "nearer"
        assert "only narrower than held-out draws; these tests cannot tell which" in found.verdict
        # Beside draws of their own distribution they are not even nearer, nor would those of an ideal posterior be.
        own += report(0.5 * samples, train_set, 0.5 * held_out).p_copying < 0.05
    assert own <= scipy.stats.binom.ppf(0.9995, repeats, 0.05)


def grid(*points, step=1.0):
    return [step * (x / step).round() for x in points]


def zeroed(x, generator):
    """The points, two in five of them set to 0."""
    return x * (torch.rand(len(x), 1, generator=generator) > 0.4)


def fresh_with_ties(generator):
    """Samples, training set, held-out draws of one distribution, in data with ties."""
    whole, line = grid(*draws(generator, 100, 100, 100, d=3)), grid(*draws(generator, 100, 300, d=1), step=0.1)
    sparse = [zeroed(x, generator) for x in draws(generator, 100, 100, 100, d=30)]
    bits = [(x > 0).double() for x in draws(generator, 100, 200, d=6)]
    return {
        "whole numbers": (*whole[:2], None),
        "whole numbers, each example once": (whole[0], whole[1].unique(dim=0), None),
        "whole numbers, beside held-out draws": whole,
        "rounded": (*line, None),
        "rounded, each example once": (line[0], line[1].unique(dim=0), None),
        "sparse": (*sparse[:2], None),
        "sparse, beside held-out draws": sparse,
        "bits": (*bits, None),
    }


@pytest.mark.parametrize("case", fresh_with_ties(torch.Generator().manual_seed(0)))
def test_fresh_samples_of_data_with_ties_are_not_found_copies(case, generator):
    findings = [report(*fresh_with_ties(generator)[case]).finding for _ in range(20)]
    assert set(findings) <= {"none", "unclear", "farther"}
    if "beside held-out" in case:
        assert findings.count("none") >= 17  # three false alarms or more in 20 have probability 0.08 at level 0.05


def test_rounded_numbers_in_many_dimensions_are_no_ties(generator):
    samples, train_set = grid(*draws(generator, 60, 100, d=200), step=0.1)
    assert report(samples, train_set).finding == "none"
    assert report(train_set[:60], train_set).finding == "copies"


@pytest.mark.parametrize("kind", ["exact", "single precision"])
@pytest.mark.parametrize("num", [1, 5])
def test_exact_repeats_are_named_whatever_the_tests_say(num, kind, generator):
    samples, train_set, held_out = draws(generator, 100, 80, 120, d=20)
    samples[:num] = train_set[:num] if kind == "exact" else train_set[:num].float().double()
    for given in ((samples, train_set, held_out), (samples, train_set)):
        found = report(*given)
        assert found.p_copying >= 0.05
        assert found.finding == "repeats"
        assert found.verdict.startswith(f"Exact repeats: {num} of 100 samples repeat")
        assert torch.equal(found.samples.repeats, torch.arange(100) < num)


def test_repeats_are_named_beside_those_of_the_null(generator):
    found = report(*fresh_with_ties(generator)["whole numbers, beside held-out draws"])
    counts = [int((near.distances == 0).sum()) for near in (found.samples, found.held_out)]
    assert min(counts) > 50
    assert (
        f"{counts[0]} of 100 samples repeat a training example, but for rounding (held-out draws: {counts[1]} of 100)"
        in (found.verdict)
    )


def maps(generator, num, rows=6, columns=6):
    """Smooth maps (num, rows, columns), no two of them alike when transposed or scaled."""
    return torch.randn(num, rows, columns, generator=generator).cumsum(1).cumsum(2)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda x: x.mT, "reordered"),
        (lambda x: x.flip(2), "reordered"),
        (lambda x: x / 1000, "rescaled"),
        (lambda x: 1000 * x, "rescaled"),
        (lambda x: (x / 1000).float().double(), "rescaled"),
        (lambda x: x + 30, "rescaled"),
        (lambda x: 0.5 * x, "rescaled"),
        (lambda x: -x, "rescaled"),
    ],
    ids=["transposed", "mirrored", "kilo", "milli", "kilo, float32", "offset", "halved", "reversed"],
)
@pytest.mark.parametrize("given", [2, 3])
def test_copies_in_other_axes_or_units_are_found(given, change, finding, generator):
    train_set, held_out, fresh = (maps(generator, num) for num in (80, 60, 60))
    for x, expected in ((train_set[:60], finding), (fresh, None)):
        found = report(*(points.flatten(1) for points in (change(x), train_set, held_out)[:given]))
        assert (found.finding == expected) if expected else (found.finding not in ("reordered", "rescaled", "copies"))
        if expected:
            assert "60 of 60 samples" in found.verdict
            assert f"check the {'axes' if finding == 'reordered' else 'units'}" in found.verdict


def test_samples_much_farther_than_the_null_are_reported(generator):
    samples, train_set, held_out = draws(generator, 100, 80, 100, d=20)
    found = report(3 * samples, train_set, held_out)
    assert found.finding == "farther"
    assert found.p_farther < 1e-10
    assert "check axes and units" in found.verdict
    assert report(samples, train_set, held_out).p_farther > 0.01
    distances = [report(x, train_set, held_out).samples.distances.numpy() for x in (3 * samples, held_out)]
    theirs = scipy.stats.mannwhitneyu(*distances, alternative="greater", method="asymptotic", use_continuity=False)
    assert found.p_farther == pytest.approx(theirs.pvalue, rel=1e-10)


def test_noisy_copies_in_other_units_are_found_by_their_one_nearest_example(generator):
    train_set, held_out = (3000 + 500 * x for x in draws(generator, 80, 100, d=20))
    found = report((train_set[:60] + 5 * draws(generator, 60, d=20)[0]) / 1000, train_set, held_out)
    assert found.finding == "one example"
    shortest = int(train_set.square().sum(1).argmin())
    assert f"60 of 60 samples are nearest to training example {shortest}, counted from 0" in found.verdict
    assert "check axes and units" in found.verdict


def test_draws_around_one_point_are_not_found_copies(generator):
    for _ in range(20):
        train_set, held_out, middle, away = draws(generator, 100, 100, 1, 100, d=5)
        assert report(middle + 0.01 * away, train_set, held_out).finding == "one example"
    # An example that is repeated exactly is a copy, however often it is the same.
    assert report(train_set[:1].expand(100, 5), train_set, held_out).finding == "copies"


def test_near_duplicate_examples_need_held_out_draws(generator):
    once, held_out, noise, fresh, away = draws(generator, 60, 100, 60, 100, 100, d=20)
    twins = torch.cat([once, once + 0.01 * noise])
    copied = once[torch.arange(100) % 60] + 0.01 * away
    for samples in (copied, fresh):
        found = report(samples, twins)
        assert found.finding == "unclear"
        assert "twins" in found.verdict
    assert report(copied, twins, held_out).finding == "nearer"
    assert report(fresh, twins, held_out).finding == "none"
    # Exact twins count once, and hide nothing.
    assert report(copied, torch.cat([once, once])).finding == "copies"


def test_samples_given_as_held_out_draws_leave_the_finding_unclear(generator):
    samples, train_set = draws(generator, 50, 60, d=5)
    found = report(samples, train_set, samples.flip(0))
    assert found.finding == "unclear"
    assert "all samples are among the held-out draws" in found.verdict


def test_verdict_mentions_a_few_copies_without_significance(generator):
    samples, train_set, held_out = draws(generator, 100, 80, 120, d=30)
    samples[:5] = copies(train_set, 5, generator, noise=0.01)
    found = report(samples, train_set, held_out)
    assert (found.finding, found.samples.share_copied) == ("none", 0.05)
    assert found.verdict.startswith("No copying is shown")
    assert "5% of the samples are more than three times nearer" in found.verdict


def test_samples_that_repeat_each_other_are_reported(generator):
    samples, train_set, held_out = draws(generator, 40, 60, 80, d=10)
    found = report(0.5 * samples[torch.arange(80) % 40], train_set, held_out)
    assert "Of the samples 40 repeat an earlier one" in found.verdict


def test_report_with_held_out_draws_skips_leave_one_out(generator, monkeypatch):
    monkeypatch.setattr("memprior.memorization.nearness._without_itself", lambda *_: pytest.fail("left out"))
    samples, train_set, held_out = draws(generator, 30, 40, 30, d=5)
    assert report(samples, train_set, held_out).leave_one_out is None


def test_multiset_hash_ignores_order(generator):
    (points,) = draws(generator, 500, d=9)
    points[0, :2] = torch.tensor([0.0, 1.0])
    shuffled = points[:, torch.randperm(9, generator=generator)]
    shuffled[0, shuffled[0] == 0] = -0.0
    for dtype in (torch.float32, torch.float64):
        numbers = multiset_hash(points.to(dtype))
        assert torch.equal(numbers, multiset_hash(shuffled.to(dtype)))
        assert len(numbers.unique()) == 500
    swapped = torch.tensor([[1.0, 4.0], [2.0, 3.0], [1.0, 1.0], [4.0, 4.0], [-1.0, -4.0]])
    assert len(multiset_hash(swapped).unique()) == 5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_report_measures_half_precision_in_single(dtype, generator):
    half = [x.to(dtype) for x in draws(generator, 30, 40, 30, d=8)]
    found, single = report(*half), report(*(x.float() for x in half))
    assert (found.finding, found.p_copying) == (single.finding, single.p_copying)
    assert found.ratios.dtype == torch.float32
    assert report(half[1][:30], half[1]).finding == "copies"


def test_report_keeps_single_precision(generator):
    found = report(*(x.float() for x in draws(generator, 20, 30, 25, d=3)))
    assert found.ratios.dtype == torch.float32
    assert found.finding == "none"


@pytest.mark.parametrize(
    ("finding", "opening"),
    [
        ("none", "No sign of copying"),
        ("attraction", "Some samples stick to single training examples"),
        ("copies", "Copies: "),
    ],
)
def test_verdict_states_the_finding(finding, opening, generator):
    fresh, train_set, held_out = draws(generator, 50, 60, 40, d=10)
    copied = copies(train_set, 50, generator)
    samples = {"none": fresh, "copies": copied, "attraction": torch.cat([copied[:25], fresh[25:]])}[finding]
    found = report(samples, train_set, held_out)
    assert found.finding == finding
    assert found.verdict.startswith(opening)
    assert found.verdict.endswith(".")
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
def test_report_refuses_bad_input_by_name(samples, train_set, held_out, message):
    with pytest.raises(ValueError, match=message):
        report(samples, train_set, held_out)


@pytest.mark.parametrize("name", ["samples", "train_set", "held_out"])
def test_report_refuses_arrays_that_are_no_tensors_by_name(name):
    given = {"samples": POINTS, "train_set": POINTS, "held_out": POINTS + 1} | {name: POINTS.numpy()}
    with pytest.raises(TypeError, match=rf"{name}: expected a torch\.Tensor of shape .*, got ndarray"):
        report(**given)
