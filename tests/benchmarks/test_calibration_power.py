"""Each test of calibration detects what it should: a few repeats here, the recorded run for the rest."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import assert_moments, quick_benchmark
from scipy import stats

from benchmarks import calibration_power as benchmark

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "data" / "recorded" / "benchmarks" / "calibration_power.json"
# One of each kind, which must see a posterior that is 20 % too narrow.
CHOSEN = (
    "rank_test",
    "coverage_test, joint",
    "coverage_test, one component",
    "tarp, references: data",
    "energy, residuals, paired",
)
# Its permutations ignore that a truth and its draw are dependent: it rejects too rarely.
CAUTIOUS = "energy, bare"
REPEATS = 30


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Results and tables of a run with a handful of truths."""
    return quick_benchmark("calibration_power", tmp_path_factory.mktemp("benchmark"))


@pytest.fixture(scope="module")
def recorded():
    return json.loads(RECORDED.read_text(encoding="utf-8"))


def rejected(results, truths, posterior):
    [row] = [row for row in results["rows"] if (row["truths"], row["posterior"]) == (truths, posterior)]
    return row["rejected"]


def counts(benchmark, posterior, generator):
    """How many of REPEATS repeats each test rejects: 500 truths in 10 dimensions as recorded, but fewer draws."""
    plan = replace(benchmark.FULL, draws=29, permutations=39)
    found = [benchmark.rejections(posterior, 500, plan, generator) for _ in range(REPEATS)]
    return {name: sum(repeat[name] for repeat in found) for name in found[0]}


def test_exact_posterior_draws_are_what_regression_says(generator):
    # (truth - b data) is uncorrelated with the data for b = 1 / (1 + 0.25), and so are the draws'.
    plan = benchmark.Plan(truths=(), repeats=1, draws=2, size=3, permutations=1)
    samples, truths, data = benchmark.world("exact", 20000, plan, generator)
    for x in (truths, samples[:, 0]):
        residual = torch.cat([x - data / 1.25, data], dim=1)
        assert_moments(residual, 0.0, torch.diag(torch.tensor([0.2] * 3 + [1.25] * 3)))


def test_calibration_tests_each_detect_a_posterior_20_percent_too_narrow(generator):
    found = counts(benchmark, "narrow", generator)
    # A test of power 0.9 would miss none of 30 in one run of 24 only.
    assert 0.9**REPEATS < 0.05
    assert {name: found[name] for name in CHOSEN} == dict.fromkeys(CHOSEN, REPEATS)


def test_exact_posterior_is_rejected_no_more_often_than_by_chance(generator):
    found = counts(benchmark, "exact", generator)
    most = stats.binom.isf(1e-4, REPEATS, 0.05)
    assert max(found.values()) <= most, found


def test_prior_as_a_posterior_is_detected_only_with_the_data(generator):
    sees = {"tarp, references: data", "energy, with data, paired"}
    found, chance = counts(benchmark, "prior", generator), stats.binom.isf(1e-4, REPEATS, 0.05)
    assert {name for name, count in found.items() if count == REPEATS} == sees
    assert max(count for name, count in found.items() if name not in sees) <= chance


def test_binomial_band_has_the_quantiles_of_the_binomial():
    assert benchmark.binomial_band(200) == [stats.binom.ppf(tail, 200, 0.05) / 200 for tail in (0.0005, 0.9995)]


def test_results_have_every_posterior_and_their_provenance(quick):
    results, tables = quick
    expected = [(num, posterior) for num in benchmark.QUICK.truths for posterior in benchmark.POSTERIORS]
    assert [(row["truths"], row["posterior"]) for row in results["rows"]] == expected
    for row in results["rows"]:
        assert {*CHOSEN, CAUTIOUS} < row["rejected"].keys()
        assert {share * benchmark.QUICK.repeats for share in row["rejected"].values()} <= {0, 1, 2, 3}
    assert results["provenance"].keys() == {"threads", "cpu_count", "system", "python", "torch", "wall_s"}
    for name in results["rows"][0]["rejected"]:
        assert tables.count(f"| {name} |") == len(benchmark.QUICK.truths)


def test_recorded_run_is_the_full_one(recorded):
    plan = json.loads(json.dumps(benchmark.asdict(benchmark.FULL)))
    assert recorded["plan"] == plan
    assert recorded["posteriors"] == benchmark.POSTERIORS
    for part in benchmark.table(recorded).split("\n\n")[:-1]:
        assert {line.count("|") for line in part.splitlines()} == {len(benchmark.POSTERIORS) + 2}


def test_recorded_run_has_power_above_nine_tenths(recorded):
    found = rejected(recorded, 500, "narrow")
    assert min(found[name] for name in CHOSEN) >= 0.9
    # Truths and draws alone: the prior's spread hides the posterior's.
    assert found[CAUTIOUS] < found["energy, bare, paired"] < 0.9


def test_recorded_run_has_false_alarms_as_frequent_as_the_level(recorded):
    low, high = benchmark.binomial_band(benchmark.FULL.repeats)
    for num in benchmark.FULL.truths:
        for name, share in rejected(recorded, num, "exact").items():
            assert (0 if name == CAUTIOUS else low) <= share <= high, (num, name, share)
