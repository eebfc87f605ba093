"""Scores of picks: by hand, in samples and milliseconds, with intervals that count groups and not traces."""

import math

import pytest
import torch

from memprior.intervals import Mean
from memprior.picking import grouped_mean, pick_scores

PICKS = torch.tensor([[10.0, 12.0, math.nan], [30.0, 29.0, 50.0]], dtype=torch.float64)
ONSETS = torch.tensor([[11.0, 12.0, 5.0], [33.0, 30.0, 41.0]], dtype=torch.float64)


def test_scores_by_hand():
    """Errors -1, 0, none, -3, -1, 9."""
    scores = pick_scores(PICKS, ONSETS, dt_s=0.002)
    assert (scores.num, scores.groups) == (6, 6)
    assert scores.coverage.value == pytest.approx(5 / 6)
    assert [scores.hits[k].value for k in (1, 3, 5, 7, 9)] == pytest.approx([3 / 6, 4 / 6, 4 / 6, 4 / 6, 5 / 6])
    assert [scores.hits_ms[ms].value for ms in (2, 4, 10, 20)] == pytest.approx([3 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert scores.mae.value == pytest.approx(14 / 5)
    assert scores.rmse.value == pytest.approx(math.sqrt(92 / 5))
    assert scores.bias.value == pytest.approx(4 / 5)


def test_scores_leave_dead_traces_out():
    live = torch.tensor([[True, True, False], [True, True, False]])
    scores = pick_scores(PICKS, ONSETS, dt_s=0.002, live=live)
    assert (scores.num, scores.coverage.value, scores.hits[3.0].value) == (4, 1.0, 1.0)
    scores = pick_scores(PICKS, torch.where(live, ONSETS, math.nan), dt_s=0.002, live=live)
    assert scores.bias.value == pytest.approx(-5 / 4)


def test_scores_of_nothing_picked_are_nan_and_no_hit():
    scores = pick_scores(torch.full((4,), math.nan), torch.zeros(4), dt_s=1.0)
    assert (scores.coverage.value, scores.hits[9.0].value) == (0.0, 0.0)
    assert math.isnan(scores.mae.value)
    assert math.isnan(scores.rmse.value)


def test_scores_take_groups_of_gathers():
    by_gather = pick_scores(PICKS, ONSETS, dt_s=1.0, groups=torch.tensor([4, 9]))
    by_trace = pick_scores(PICKS, ONSETS, dt_s=1.0, groups=torch.tensor([[4] * 3, [9] * 3]))
    assert by_gather == by_trace
    assert by_gather.groups == 2


def test_grouped_mean_of_single_values_is_the_mean_of_independent_ones(generator):
    values = torch.randn(30, generator=generator)
    found, expected = grouped_mean(values, torch.randperm(30, generator=generator)), Mean.over(values)
    assert (found.value, found.half) == pytest.approx((expected.value, expected.half))


def test_grouped_mean_of_copies_is_as_wide_as_that_of_one_each(generator):
    """Ten copies of each value tell nothing new; without groups the interval would be three times narrower."""
    values = torch.randn(30, generator=generator)
    copies, groups = values.repeat_interleave(10), torch.arange(30).repeat_interleave(10)
    one = Mean.over(values)
    assert grouped_mean(copies, groups).half == pytest.approx(one.half)
    assert Mean.over(copies).half < one.half / 3


def test_grouped_mean_covers_in_nineteen_of_twenty_sets(generator):
    """Groups of 1 to 9 values that share a part: of 2000 sets, within three standard errors of .95 but for the .01 that
    the linearization of a ratio costs at 40 groups."""
    covered = 0
    for _ in range(2000):
        sizes = torch.randint(1, 10, (40,), generator=generator)
        groups = torch.arange(40).repeat_interleave(sizes)
        shared = torch.randn(40, generator=generator)[groups]
        mean = grouped_mean(shared + torch.randn(len(groups), generator=generator), groups)
        covered += mean.low <= 0 <= mean.high
    assert abs(covered / 2000 - 0.95) < 0.01 + 3 * math.sqrt(0.95 * 0.05 / 2000)


def test_grouped_mean_of_one_group_has_no_interval():
    assert grouped_mean(torch.tensor([1.0, 2.0]), torch.tensor([3, 3])) == Mean(1.5, 0.0)


def test_scores_refuse_by_name():
    with pytest.raises(ValueError, match="onsets: expected shape \\(2, 3\\), got \\(3,\\)"):
        pick_scores(PICKS, ONSETS[0], dt_s=1.0)
    with pytest.raises(ValueError, match="onsets: expected finite numbers of all live traces"):
        pick_scores(PICKS, PICKS, dt_s=1.0)
    with pytest.raises(ValueError, match="live: expected at least one live trace"):
        pick_scores(PICKS, ONSETS, dt_s=1.0, live=torch.zeros(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="dt_s: expected one number, finite and > 0"):
        pick_scores(PICKS, ONSETS, dt_s=0.0)
    with pytest.raises(ValueError, match="groups: expected shape \\(2,\\), got \\(3,\\)"):
        grouped_mean(torch.ones(2), torch.ones(3))
    with pytest.raises(TypeError, match=r"picks: expected a torch.Tensor"):
        pick_scores([1.0], ONSETS, dt_s=1.0)
