"""The benchmark of a sampler's step measures the same step with several priors and wave solvers."""

import json
from pathlib import Path

import pytest
import torch
from helpers import assert_same, quick_benchmark

from benchmarks import dps_step as benchmark
from memprior.paper import published_inversion

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "data" / "recorded" / "benchmarks" / "dps_step.json"


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Results and tables of a run with a tiny survey and tiny networks."""
    return quick_benchmark("dps_step", tmp_path_factory.mktemp("benchmark"))


def steps_of(benchmark, results):
    return [benchmark.Step(row["prior"], row["waves"], row["batch"]) for row in [*results["steps"], *results["priors"]]]


def test_dps_step_is_the_same_with_every_solver(quick):
    agreement = quick[0]["agreement"]
    assert agreement["five_point_against_textbook"] < 1e-10
    assert agreement["spectral_against_five_point"] < 0.1  # the stencil's dispersion: see the gradient's own benchmark


def test_steps_have_times_ratios_and_the_cost_of_the_panel(quick):
    results = quick[0]
    assert steps_of(benchmark, results) == benchmark.QUICK.steps
    assert results["frozen"] == 0
    for row in [*results["steps"], *results["priors"]]:
        assert 0 < row["min_s"] <= row["median_s"] <= row["max_s"]
        assert row["repeats"] >= 3
        assert row["per_sample_s"] == row["median_s"] / row["batch"]
        assert row["panel_core_hours"] == pytest.approx(3 * 256 * 200 * row["per_sample_s"] / 3600)
    slow = {row["waves"]: row["per_sample_s"] for row in results["steps"]}
    for row in results["steps"]:
        for waves in benchmark.STENCILS:
            assert row[f"times_faster_than_{waves}"] == slow[waves] / row["per_sample_s"]


def test_network_share_is_of_its_own_step(quick):
    results, batch = quick[0], benchmark.QUICK.batch
    [alone] = [row for row in results["priors"] if row["prior"] == "network"]
    [step] = [
        row for row in results["steps"] if (row["prior"], row["waves"], row["batch"]) == ("network", "spectral", batch)
    ]
    assert alone["share_of_step"] == pytest.approx(alone["per_sample_s"] / step["per_sample_s"])


def test_results_have_their_provenance(quick):
    assert quick[0]["provenance"].keys() == {"threads", "cpu_count", "system", "python", "torch", "wall_s"}


def test_inversion_is_that_of_the_chapter():
    ours = benchmark.inversion(benchmark.FULL.spectral)
    chapter = published_inversion(torch.complex64, torch.device("cpu"))
    assert_same(ours.likelihood.observed, chapter.likelihood.observed)
    assert ours.likelihood.noise_std == chapter.likelihood.noise_std
    assert ours.operator.dtype == chapter.operator.dtype == torch.complex64


def test_large_network_is_as_large_as_the_released_one():
    width, depth = benchmark.FULL.networks["released size"]
    assert width == 2048
    assert 2 * depth == 12  # matrices between its layers: the released blocks have one, ours two


def test_recorded_run_has_every_step():
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert steps_of(benchmark, recorded) == benchmark.FULL.steps
    for part in benchmark.table(recorded).split("\n\n"):
        assert len({line.count("|") for line in part.splitlines()}) == 1
