"""Chapter 1's study: its parts, and what is read off their results."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from chapters.ch01_maximum_likelihood import measures, page, problems
from chapters.ch01_maximum_likelihood.memorization_time import power
from chapters.ch01_maximum_likelihood.study import PLANE, VELOCITIES, Errors, Fits, Study, Timing
from companion.profiles import PROFILES, settings
from companion.store import Store
from memprior.intervals import Mean

SIZES = Path(__file__).parents[3] / "notebooks" / "profiles.yml"
NAME = "01_maximum_likelihood"


def study_of(tmp_path, profile, **overrides) -> Study:
    store = Store(tmp_path, "this code", torch.device("cpu"))
    return Study(settings(SIZES, NAME, profile, 0, overrides), 0, store, print)


@pytest.mark.parametrize("profile", PROFILES)
def test_study_names_every_part_once(tmp_path, profile):
    study = study_of(tmp_path, profile)
    names = [part.name for part in study.parts]
    assert len(names) == len(set(names))
    assert study.has_longer == (profile == "full")
    longer = [part for part in study.parts if isinstance(part, Fits) and part.families == ("diffusion",)]
    assert len(longer) == study.settings.num_seeds * study.has_longer


def test_study_seeds_its_problems_by_the_notebooks_seed(tmp_path):
    study = study_of(tmp_path, "quick", num_fresh=300)
    one, again = (study.problem(PLANE, 10, 0).train_set for _ in range(2))
    assert torch.equal(one, again)
    assert not torch.equal(one, study.problem(PLANE, 10, 1).train_set)
    other = Study(study.settings, 1, study.store, print)
    assert not torch.equal(one, other.problem(PLANE, 10, 0).train_set)
    part = study.timing(5, 0)
    assert study.arguments(part) != other.arguments(part)


def made_up(study: Study) -> Study:
    """With results of two seeds that nobody computed: times 2 N^1.5, and endings that differ by seed."""
    for part in study.parts:
        if isinstance(part, Timing):
            steps = 2 * part.num**1.5
            own = [(steps / 2, 1.0), (2 * steps, 0.25)]  # a power law through one half at ``steps``
            study._results[part] = {"curves": {"own": own, "other": [(1, 1.5 + part.seed), (2, 3.0)]}}
        elif isinstance(part, Errors):
            last = {"examples": [1.0, 0.2], "held out": [1.0, 0.1 + 0.02 * part.seed]}
            before = {"examples": [1.0, 0.4], "held out": [1.0, 0.2]}
            study._results[part] = {"points": [before, last], "units": {"examples": 0.3}}
        else:
            size = 1 if part.kind == PLANE else 100
            point = {"step": 1, "to_memory": 1.0 + part.seed, "to_truth": 0.5, "spread": 0.9, "nearest": 1.0}
            top = measures.tops(study, part.kind, part.num)[part.seed]
            point |= {at: top[at] - size * (1 + part.seed) for at in ("train", "held_out")}
            study._results[part] = {family: [point] for family in part.families}
    return study


@pytest.fixture
def two(tmp_path):
    sizes = {"num_seeds": 2, "many_seeds": 2, "num_fresh": 60, "num_scored": 50, "plane_sizes": [10]}
    return made_up(study_of(tmp_path, "quick", **sizes))


def test_times_of_a_power_law_have_its_exponent(two):
    assert measures.memorization_times(two)[0] == pytest.approx([2 * n**1.5 for n in (5, 10, 20)])
    exponent = measures.exponent(two)
    assert (exponent.value, exponent.half) == (pytest.approx(1.5), pytest.approx(0, abs=1e-9))
    assert measures.half_way_of_many(two) == pytest.approx(2 * 640**1.5, rel=1e-6)
    assert measures.nearest_to_other(two) == 1.5


def test_factor_of_the_extrapolation_is_the_interval_of_the_exponent(two):
    for part in [part for part in two.parts if isinstance(part, Timing)]:
        steps = 2 * part.num ** (1.5 + 0.2 * part.seed)
        two._results[part]["curves"]["own"] = [(steps / 2, 1.0), (2 * steps, 0.25)]
    half = 12.706 * 0.1  # Student's t of one degree of freedom; the two exponents are 1.5 and 1.7
    assert measures.half_way_factor(two) == pytest.approx((640 / 10) ** half, rel=1e-2)


def test_rise_is_from_the_least_on_the_way_to_the_end(two):
    for part in [part for part in two.parts if isinstance(part, Errors)]:
        path = 0.3, 0.1, 0.25 + 0.1 * part.seed
        two._results[part]["points"] = [{"held out": [1.0, error]} for error in path]
    found = measures.rise(two, 640)
    assert (found.value, found.half) == (pytest.approx(0.2), pytest.approx(12.706 * 0.05, rel=1e-3))


def test_mean_of_rounding_is_printed_as_zero(two):
    assert page.mean_text(Mean(2.6e-15, 3e-15)) == "0"
    assert page.mean_text(Mean(2.6e-3, 3e-15)).startswith("0.0026")


def test_absolute_times_are_those_in_one_unit(two):
    sizes, expected = two.settings.time_sizes, []
    for seed in two.seeds:
        units = [measures.unit(two, num, seed) for num in sizes]
        # the made-up distances are unit * steps / (2 t), from t = steps / 2 on
        times = [2 * num**1.5 * max(unit / max(units), 0.5) for num, unit in zip(sizes, units, strict=True)]
        expected.append(power(sizes, times))
    assert measures.absolute_exponent(two).value == pytest.approx(sum(expected) / len(expected))


def test_unit_is_the_one_that_the_study_divides_by(two):
    train_set = two.problem(PLANE, 5, 0).train_set
    assert measures.unit(two, 5, 0) == two._probes(train_set, train_set, "own 5 0").unit
    assert measures.unit_of(two, 5).value == pytest.approx((measures.unit(two, 5, 0) + measures.unit(two, 5, 1)) / 2)


def test_nats_are_means_over_seeds_and_per_coordinate_for_fields(two):
    half = 12.706 * 0.5  # Student's t of one degree of freedom; the two values are 1 and 2
    for kind, num in ((PLANE, 10), (VELOCITIES, 50)):
        mean = measures.nats(two, kind, num, "flow", "train")
        assert (mean.value, mean.half) == (pytest.approx(1.5), pytest.approx(half, rel=1e-3))
        assert measures.ending(two, kind, num, "flow", "to_memory").value == 1.5
    steps, (mean,) = measures.along(two, VELOCITIES, 50, "flow", "held_out")
    assert steps == [1]
    assert mean.value == pytest.approx(1.5)


def test_errors_of_the_control_are_those_at_its_end(two):
    found = measures.erring(two, 640, "held out")
    assert (found.to_memory.value, found.to_truth.value) == (1.0, pytest.approx(0.11))
    assert measures.least_error(two, 640).value == pytest.approx(0.11)
    assert measures.ends_apart(two, 640).value == 0.3


def test_tables_have_a_row_for_each_family_and_size(two):
    assert [row[:2] for row in page.plane_table(two).rows] == [[family, "10"] for family in problems.FAMILIES]
    assert "±" in page.plane_table(two).rows[0][2]
    assert len(page.away_table(two).rows) == 2 * len(page.TRAINED)
    assert [row[0] for row in page.control_table(two).rows] == ["5", "640"]


def test_mean_text_has_an_interval_where_there_is_one(two):
    mean = measures.ending(two, PLANE, 10, "flow", "to_memory")
    assert page.mean_text(mean) == "1.5 ± 6.4"
    assert page.mean_text(replace(mean, half=0.0)) == "1.5"
    assert math.isclose(mean.half, 6.35, rel_tol=1e-2)
