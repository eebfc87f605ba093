"""Intervals: Jeffreys' and Student's are those of scipy's distributions."""

import math

import pytest
import torch
from scipy import stats

from memprior.intervals import Mean, Share, jeffreys, log_interval, student


@pytest.mark.parametrize("num", [4, 37.3, 256, 811.7, 10_000])
def test_jeffreys_interval_is_the_beta_posteriors(num):
    for value in (0.001, 0.2, 0.5, 0.93, 0.999):
        hits, misses = num * value, num * (1 - value)
        posterior = stats.beta.ppf([0.025, 0.975], hits + 0.5, misses + 0.5).tolist()
        assert jeffreys(value, num) == pytest.approx(posterior, rel=1e-11, abs=0)
        assert Share(value, num).interval == jeffreys(value, num)
    assert jeffreys(0.0, num)[0] == 0
    assert jeffreys(1.0, num) == (pytest.approx(1 - jeffreys(0.0, num)[1], rel=1e-11), 1)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95])
def test_student_interval_is_scipys(confidence, generator):
    values = torch.rand(7, generator=generator)
    theirs = stats.ttest_1samp(values.numpy(), 0).confidence_interval(confidence)
    assert 2 * student(values, confidence) == pytest.approx(theirs.high - theirs.low, rel=1e-11)
    mean, low, high = log_interval(values.exp().tolist(), confidence)
    assert [math.log(low), math.log(high)] == pytest.approx([theirs.low, theirs.high], rel=1e-11)
    assert math.log(mean) == pytest.approx(float(values.mean()), rel=1e-11)
    if confidence == 0.95:
        assert [Mean.over(values).low, Mean.over(values).high] == pytest.approx([theirs.low, theirs.high], rel=1e-11)
