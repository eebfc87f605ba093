"""The benchmark of the memorized score measures two versions of one formula, and says so where one cannot run."""

import json
import math
from pathlib import Path

import pytest
import torch
from helpers import quick_benchmark

from benchmarks import memorized_score as benchmark
from memprior.mixture import IsotropicMixture

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "data" / "recorded" / "benchmarks" / "memorized_score.json"


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Results and table of a run with two tiny cases; the second one's array (1.6 MB) is over the limit given."""
    return quick_benchmark("memorized_score", tmp_path_factory.mktemp("benchmark"), "--free-gb", "0.001")


def test_versions_give_the_same_scores_to_float32_rounding(quick):
    for case in quick[0]["cases"]:
        assert case["max_relative_difference"] <= case["float32_bound"] < 0.01


def test_float32_bound_holds_against_float64_and_detects_a_wrong_sigma():
    generator = torch.Generator().manual_seed(1)
    sigma = math.sqrt(20) / 4
    means = torch.randn(100, 20, dtype=torch.float32, generator=generator)
    x = means[:8] + sigma * torch.randn(8, 20, dtype=torch.float32, generator=generator)
    exact = IsotropicMixture(means.double(), sigma).score(x.double())

    def worst(score):
        return float(((score - exact).norm(dim=1) / exact.norm(dim=1)).max())

    bound = benchmark.float32_bound(means, sigma, x, exact)
    assert 0 < worst(IsotropicMixture(means, sigma).score(x)) <= bound
    assert 0 < worst(benchmark.textbook_score(means, sigma, x)) <= bound
    assert worst(benchmark.textbook_score(means, 1.01 * sigma, x)) > bound


def test_results_carry_times_memory_and_provenance(quick):
    results, _ = quick
    first, second = results["cases"]
    assert (first["batch"], first["components"], first["size"]) == (8, 100, 20)
    for version in (first["memorized"], second["memorized"], first["textbook"]):
        assert 0 < version["min_s"] <= version["median_s"] <= version["max_s"]
        assert version["repeats"] >= 3
        assert version["peak_gb"] >= 0
    assert first["time_ratio"] == first["textbook"]["median_s"] / first["memorized"]["median_s"]
    assert {"device", "dtype", "threads", "cpu_count", "python", "torch", "memory_limit_gb", "wall_s"} <= set(
        results["provenance"]
    )


def test_case_too_big_for_memory_says_what_it_needs_without_a_time(quick):
    results, table = quick
    textbook = results["cases"][1]["textbook"]
    assert textbook == {"needs_gb": 16 * 500 * 50 * 4 / 1e9, "not_run": "needs 0.0016 GB"}
    assert "time_ratio" not in results["cases"][1]
    assert "| needs 0.0016 GB |" in table


def test_recorded_run_has_every_case():
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert [benchmark.Case(row["batch"], row["components"], row["size"]) for row in recorded["cases"]] == benchmark.FULL
    header, rule, *rows = benchmark.table(recorded).splitlines()
    assert len(rows) == len(benchmark.FULL)
    assert {line.count("|") for line in (header, rule, *rows)} == {11}
