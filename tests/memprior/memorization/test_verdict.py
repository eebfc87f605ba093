"""The memorization report keeps its level on fresh draws, detects copies, and states which of its findings holds."""

import math

import pytest
import scipy.stats
import torch
from helpers import assert_same

from memprior._random import generator_for
from memprior.memorization import leave_one_out, memorization_ratio, nearest_neighbors, report, swap_test
from memprior.memorization._parts import multiset_hash


def draws(generator, *sizes, d):
    return [torch.randn(size, d, generator=generator) for size in sizes]


def copies(train_set, num, generator, noise=1e-4):
    chosen = torch.randint(len(train_set), (num,), generator=generator)
    return train_set[chosen] + noise * torch.randn(num, train_set.shape[1], generator=generator)


FALSE = {"copies", "repeats", "reordered", "rescaled", "one example", "attraction", "nearer", "held-out", "farther"}
HONEST = {
    "fresh": lambda draw: draw(40),
    "shrunk": lambda draw: 0.9 * draw(40),
    "posterior": lambda draw: draw(1) + 0.3 * draw(40),
    "rounded": lambda draw: draw(40),
    "chain": lambda draw: chain(draw(40)),
}


def chain(steps):
    """States of a Markov chain, each distributed as the draws."""
    states = [steps[0]]
    for step in steps[1:]:
        states.append(math.sqrt(1 - 0.3**2) * states[-1] + 0.3 * step)
    return torch.stack(states)


@pytest.mark.parametrize("d", [3, 20])
@pytest.mark.parametrize("kind", HONEST)
def test_report_finds_nothing_false_more_often_than_its_level(kind, d):
    """On 100 problems: copying at level 0.05, and held-out models or farther samples at 0.01."""
    false = {"copying": 0, "else": 0}
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        train_set, held_out = draws(generator, 50, 40, d=d)
        samples = HONEST[kind](lambda num, generator=generator: torch.randn(num, d, generator=generator))
        if kind == "rounded":
            samples, train_set, held_out = grid(samples, train_set, held_out, step=0.1)
        finding = report(samples, train_set, held_out, num_labelings=199).finding
        false["else" if finding in ("held-out", "farther") else "copying"] += finding in FALSE
    assert false["copying"] <= scipy.stats.binom.isf(1e-3, 100, 0.05)
    assert false["else"] <= scipy.stats.binom.isf(1e-3, 100, 0.01)


@pytest.mark.parametrize("kind", ["fresh", "shrunk", "rounded"])
def test_report_without_held_out_draws_finds_no_copies_on_honest_samples(kind):
    found = set()
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        (train_set,) = draws(generator, 50, d=10)
        samples = HONEST[kind](lambda num, generator=generator: torch.randn(num, 10, generator=generator))
        if kind == "rounded":
            samples, train_set = grid(samples, train_set, step=0.1)
        found.add(report(samples, train_set).finding)
    assert found == {"none"}


@pytest.mark.parametrize("d", [2, 10])
def test_report_detects_copies_in_every_repeat(d, generator):
    for _ in range(20):
        train_set, held_out = draws(generator, 60, 40, d=d)
        found = report(copies(train_set, 50, generator), train_set, held_out, num_labelings=999)
        assert (found.finding, found.p_copying) == ("copies", 0.001)
        assert found.swap.share > 0.9


def test_report_finds_attraction_where_half_are_copies(generator):
    for _ in range(20):
        fresh, train_set, held_out = draws(generator, 50, 60, 40, d=10)
        half = torch.cat([copies(train_set, 50, generator), fresh])
        assert report(half, train_set, held_out, num_labelings=199).finding == "attraction"
        assert report(half, train_set).finding == "attraction"


def test_report_finds_copies_where_significantly_more_than_half_are(generator):
    fresh, train_set, held_out = draws(generator, 100, 60, 100, d=30)
    copied = copies(train_set, 100, generator)

    def finding(num):
        return report(torch.cat([copied[:num], fresh[num:]]), train_set, held_out, num_labelings=199).finding

    # No draw is a copy by chance; s - 1.645 sqrt(s (1 - s) / 100) passes 1/2 between s = 0.58 and 0.59.
    assert report(fresh, train_set, held_out).samples.share_copied == 0
    assert (finding(58), finding(59)) == ("attraction", "copies")


def test_report_subtracts_chance_before_it_counts_copies(generator):
    fresh, train_set, held_out = draws(generator, 1000, 40, 1000, d=1)
    half = torch.cat([copies(train_set, 1000, generator, noise=0.0), fresh])
    found = report(half, train_set, held_out, num_labelings=199)
    assert found.samples.share_copied > 0.6  # on a line a draw is often three times nearer to one than to the next
    assert found.finding == "repeats"


def test_report_finds_samples_that_are_nearer_without_being_copies(generator):
    (train_set, held_out, noise) = draws(generator, 100, 100, 100, d=20)
    found = report(train_set + noise, train_set, held_out)
    assert (found.finding, found.samples.share_copied, found.p_copying) == ("nearer", 0, 1e-4)
    assert "than labels alone explain" in found.verdict


def test_report_is_the_swap_test_and_repeats_itself(generator):
    samples, train_set, held_out = draws(generator, 31, 40, 53, d=2)
    found, again = (report(samples, train_set, held_out) for _ in range(2))
    theirs = swap_test(samples, train_set, held_out, generator=generator_for("memorization.report"))
    assert found.p_copying == found.swap.p == again.swap.p == theirs.p
    assert torch.equal(found.swap.null_shares, theirs.null_shares)
    assert f"Swap test: p = {theirs.p:.2g}; {theirs.share:.0%} of the samples are nearer" in found.verdict
    low, high = theirs.share_interval
    assert f"(95% over samples: {low:.0%} to {high:.0%}; by labels alone: " in found.verdict


def test_report_exchanges_groups_and_keeps_them_with_their_models(generator):
    group = torch.arange(24).repeat_interleave(3)
    (centers, noise, samples) = draws(generator, 24, 72, 30, d=4)
    models = centers[group] + 0.1 * noise
    train_set, held_out, groups = models[:45], models[45:], (group[:45], group[45:])
    once = report(samples, train_set, held_out, groups=groups, num_labelings=99)
    twice = report(
        samples,
        train_set.repeat(2, 1),
        held_out,
        groups=(groups[0].repeat(2), groups[1].tolist()),
        num_labelings=99,
    )
    assert once.swap.num_groups == twice.swap.num_groups == (15, 9)
    assert once.swap.p == twice.swap.p
    assert torch.equal(once.swap.null_log_ratios, twice.swap.null_log_ratios)


def test_report_counts_repeated_examples_once_in_the_test():
    """Each example eight times: exchanged one by one these would alarm far too often."""
    alarms = 0
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        samples, train_set, held_out = draws(generator, 30, 15, 15, d=3)
        found = report(samples, train_set.repeat(8, 1), held_out.repeat(8, 1), num_labelings=99)
        assert found.swap.num_groups == (15, 15)
        alarms += found.p_copying <= 0.05
    assert alarms <= scipy.stats.binom.isf(1e-3, 60, 0.05)


def test_report_finds_samples_at_held_out_models(generator):
    train_set, held_out, fresh = draws(generator, 60, 60, 60, d=10)
    found = report(held_out + 0.01 * fresh, train_set, held_out)
    assert (found.finding, found.swap.p_held_out) == ("held-out", 1e-4)
    assert "the files are swapped, or the held-out models were trained on" in found.verdict
    fresh[:2] = held_out[:2]
    found = report(fresh, train_set, held_out)
    assert found.finding == "held-out"
    assert found.verdict.startswith("2 of 60 samples repeat a held-out model")


def test_report_names_a_file_of_all_data_as_samples(generator):
    train_set, held_out = draws(generator, 60, 50, d=10)
    found = report(torch.cat([train_set, held_out]), train_set, held_out)
    assert found.finding == "repeats"
    assert "60 of 110 samples repeat a training example, but for rounding (a held-out one: 50)" in found.verdict
    assert "data were given as samples" in found.verdict


def test_report_names_copies_of_one_example_whatever_p_is(generator):
    train_set, held_out, noise = draws(generator, 100, 100, 100, d=20)
    found = report(train_set[3].expand(100, -1), train_set, held_out)
    assert found.finding == "repeats"
    assert found.verdict.startswith("Exact repeats: 100 of 100 samples repeat a training example")
    assert "100 of 100 samples are nearest to training example 3, counted from 0" in found.verdict
    found = report(train_set[3] + 0.01 * noise, train_set, held_out)
    assert found.finding == "one example"
    assert "It is copied, or the samples lie around a point beside it" in found.verdict


def test_report_names_repeats_in_data_of_few_values_that_chance_does_not_make(generator):
    """Pictures of 100 bits: none of them coincide by chance."""
    bits = [(x > 0).double() for x in draws(generator, 60, 60, 60, d=100)]
    samples, train_set, _ = bits
    assert report(*bits).finding == "none"
    samples[:6] = train_set[:6]
    assert report(*bits).finding == "repeats"


@pytest.mark.parametrize(("num", "k"), [(5, 5), (30, 30), (51, 50), (80, 50)])
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
    findings = [report(*fresh_with_ties(generator)[case], num_labelings=199).finding for _ in range(20)]
    if "beside held-out" in case:
        assert findings.count("none") >= 15  # six false alarms or more in 20 have probability 0.0003 at level 0.05
    else:
        assert set(findings) <= {"none", "unclear"}


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
        assert found.p_copying is None or num == 5 or found.p_copying >= 0.05
        assert found.finding == "repeats"
        assert found.verdict.startswith(f"Exact repeats: {num} of 100 samples repeat")
        assert torch.equal(found.samples.repeats, torch.arange(100) < num)


def test_repeats_of_both_sides_are_no_evidence_in_data_of_few_values(generator):
    found = report(*fresh_with_ties(generator)["whole numbers, beside held-out draws"])
    assert min(int((near.distances == 0).sum()) for near in (found.samples, found.held_out)) > 50
    assert found.finding == "none"
    assert "samples repeat a training example, but for rounding (a held-out one: " in found.verdict


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


def test_one_sample_in_other_units_or_axes_may_be_chance(generator):
    """Of three numbers, directions agree to a millionth now and then."""
    samples, train_set, held_out = draws(generator, 60, 60, 60, d=3)
    for change in (lambda x: 2 * x + 1, lambda x: x.flip(1)):
        for num, expected in ((1, "none"), (2, "rescaled" if change(torch.ones(1, 1)) > 1 else "reordered")):
            given = torch.cat([change(train_set[:num]), samples[num:]])
            assert report(given, train_set, held_out, num_labelings=199).finding == expected


@pytest.mark.parametrize("given", [1, 2])
def test_samples_farther_than_models_from_their_nearest_are_reported(given, generator):
    samples, *models = draws(generator, 100, 80, 100, d=20)
    found = report(3 * samples, *models[:given])
    assert found.finding == "farther"
    assert "check units and axes" in found.verdict
    assert report(samples, *models[:given]).finding == "none"


def test_noisy_copies_in_other_units_are_far_and_near_to_one_example(generator):
    train_set, held_out = (3000 + 500 * x for x in draws(generator, 80, 100, d=20))
    found = report((train_set[:60] + 5 * draws(generator, 60, d=20)[0]) / 1000, train_set, held_out)
    assert found.finding == "farther"
    shortest = int(train_set.square().sum(1).argmin())
    assert f"60 of 60 samples are nearest to training example {shortest}, counted from 0" in found.verdict
    assert "check units and axes" in found.verdict


def test_draws_around_one_point_are_not_found_copies(generator):
    findings = []
    for _ in range(20):
        train_set, held_out, middle, away = draws(generator, 100, 100, 1, 100, d=5)
        found = report(middle + 0.01 * away, train_set, held_out, num_labelings=199)
        findings.append(found.finding)
        assert "samples are nearest to training example" in found.verdict
    assert findings.count("none") >= 15


def test_narrow_samples_without_held_out_draws_are_not_told_from_copies(generator):
    samples, train_set = draws(generator, 100, 100, d=10)
    found = report(0.3 * samples, train_set)
    assert found.finding == "nearer"
    assert "or only narrower; without held-out models nothing tells which" in found.verdict
    assert "No exact test is possible without held-out models" in found.verdict
    assert found.p_copying is None


def test_near_duplicate_examples_need_held_out_draws(generator):
    once, held_out, noise, fresh, away = draws(generator, 60, 100, 60, 100, 100, d=20)
    twins = torch.cat([once, once + 0.01 * noise])
    copied = once[torch.arange(100) % 60] + 0.01 * away
    for samples in (copied, fresh):
        found = report(samples, twins)
        assert found.finding == "unclear"
        assert "twins" in found.verdict
    groups = torch.arange(60).repeat(2), torch.arange(60, 160)  # twins are not exchangeable one by one
    found = report(copied, twins, held_out, groups=groups)
    assert (found.finding, found.p_copying) == ("nearer", 1e-4)
    assert report(fresh, twins, held_out, groups=groups).finding == "none"
    # Exact twins count once, and hide nothing.
    assert report(copied, torch.cat([once, once])).finding == "copies"


def test_samples_given_as_held_out_draws_leave_the_finding_unclear(generator):
    samples, train_set = draws(generator, 50, 60, d=5)
    found = report(samples, train_set, samples.flip(0))
    assert found.finding == "unclear"
    assert "all samples are among the held-out draws" in found.verdict


def test_verdict_mentions_a_few_copies_without_significance(generator):
    samples, train_set = draws(generator, 100, 80, d=30)
    samples[:5] = copies(train_set, 5, generator, noise=0.01)
    found = report(samples, train_set)
    assert (found.finding, found.samples.share_copied) == ("none", 0.05)
    assert found.verdict.startswith("No copying is shown")
    assert "5% of the samples are more than three times nearer" in found.verdict


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
    "few examples": (POINTS, POINTS[:4], POINTS, "train_set: expected at least 5 distinct examples to .*, got 4"),
    "twins": (POINTS, POINTS[[0, 1, 2, 1, 3]], POINTS, "train_set: expected at least 5 distinct examples to .*, got 4"),
    "few held out": (POINTS, POINTS, POINTS[:4] + 1, "held_out: expected at least 5 models to exchange .*, got 4"),
    "few left out": (POINTS, POINTS[:4], None, "train_set: expected at least 5 distinct examples to .*, got 4"),
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


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ((range(3),), "groups: expected those of train_set and those of held_out, got 1 of them"),
        ((range(3), range(40, 80)), "groups: expected a label for each of the 40 models"),
        (([0] * 40, range(40, 80)), "train_set: expected at least 5 groups: fewer have too few labelings, got 1"),
        ((range(40), range(39, 79)), r"groups: expected each on one side, got \[39\] on both"),
    ],
)
def test_report_refuses_groups_that_do_not_fit(groups, message):
    with pytest.raises(ValueError, match=message):
        report(POINTS, POINTS, POINTS + 1, groups=groups)


def test_report_refuses_groups_without_held_out_draws():
    with pytest.raises(ValueError, match="groups: expected held_out beside them, got none"):
        report(POINTS, POINTS, groups=(range(40), range(40)))
