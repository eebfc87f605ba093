"""Chapter 5's study: its parts, and the interval of a guidance term."""

import pytest
import torch
from helpers import ROUNDING, assert_same

from chapters.ch05_samplers import comparison
from chapters.ch05_samplers.study import Study
from companion import paths, profiles
from companion.jobs import side_by_side
from companion.store import Store

TINY = {"num_sweep": 2, "num_sweep_draws": 3, "num_levels": 5, "num_problems": 2, "num_draws": 3, "scales": [0.1, 1.0]}


def study(tmp_path, profile="quick", **overrides) -> Study:
    settings = profiles.settings(paths.shipped("profiles.yml"), "05_samplers", profile, 0, overrides)
    return Study(settings, 0, Store(tmp_path, "test", torch.device("cpu")), print)


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_parts_have_names_of_their_own_and_need_no_other(tmp_path, profile):
    made = study(tmp_path, profile)
    assert len({part.name for part in made.parts}) == len(made.parts)
    assert all(not made.needs(part) for part in made.parts)


def test_part_is_one_sampler_with_all_its_scales_and_is_kept(tmp_path):
    made = study(tmp_path, **TINY)
    part = next(one for one in made.parts if (one.experiment, one.family) == ("sweep", "DPS, norm"))
    found = made.work(part, None)
    assert list(found) == ["DPS, norm, at 0.1", "DPS, norm, at 1"]
    assert len(found["DPS, norm, at 1"]["distances"]) == 2
    assert made.store.file(part.name, made.arguments(part)).is_file()
    assert study(tmp_path, **TINY).work(part, None) == found


def test_work_is_the_same_for_any_number_of_threads(tmp_path):
    """Those that use forward mode too, whose levels torch counts across threads."""
    found = []
    for workers in (1, 3):
        made = study(tmp_path / str(workers), **TINY)
        parts = [one for one in made.parts if one.experiment == "toy" and one.family in ("exact", "MMPS", "PiGDM")]
        found.append(side_by_side(parts, made.work, workers, lambda _: None))
    assert found[0] == found[1]


def test_results_are_asked_for_after_the_run(tmp_path):
    with pytest.raises(ValueError, match="study: expected run"):
        study(tmp_path).results("toy")


def test_gain_and_cosine_of_a_scaled_exact_term(generator):
    """Twice the exact term has gain 2 and cosine 1 for every problem, so that the interval is a point."""
    squares = torch.rand(3, 5, generator=generator) + 0.1
    term = comparison.GuidanceTerm(torch.stack([2 * squares, squares, 4 * squares], 1))
    assert_same(term.gain, torch.full((3,), 2.0))
    assert_same(term.cosine, torch.ones(3))
    for what, value in (("gain", 2.0), ("cosine", 1.0)):
        found = term.interval(what, 1)
        assert found.value == pytest.approx(value)
        assert found.half < 100 * ROUNDING


def test_jackknife_is_students_interval_of_a_mean(generator):
    """Where the exact term has the same size for all problems, the gain is a mean."""
    products, ones = torch.randn(1, 6, generator=generator), torch.ones(1, 6)
    found = comparison.GuidanceTerm(torch.stack([products, ones, ones], 1)).interval("gain", 0)
    mean = comparison.Mean.over(products[0])
    assert (found.value, found.half) == pytest.approx((mean.value, mean.half))
