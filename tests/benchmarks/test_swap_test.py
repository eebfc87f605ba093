"""What the swap test sees: its problems and a handful of repeats here, the recorded run for the rest."""

import json
from pathlib import Path

import pytest
import torch
from helpers import assert_moments, quick_benchmark
from scipy import stats

from benchmarks import swap_test as benchmark

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "data" / "recorded" / "benchmarks" / "swap_test.json"
CELLS = {(kind, d) for kind in benchmark.HONEST for d in benchmark.FULL.sizes} | {
    (kind, benchmark.FULL.sizes[0]) for kind in benchmark.COPYING
}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Results and tables of a run with a handful of repeats."""
    return quick_benchmark("swap_test", tmp_path_factory.mktemp("benchmark"))


@pytest.fixture(scope="module")
def recorded():
    return json.loads(RECORDED.read_text(encoding="utf-8"))


def rejected(results):
    """Share of repeats by kind and d, of each test."""
    repeats = results["plan"]["repeats"]
    return {
        (row["kind"], row["d"]): {test: n / repeats for test, n in row["rejected"].items()} for row in results["rows"]
    }


@pytest.mark.parametrize(("kind", "scale"), [("fresh", 1.0), ("shrunk", 0.9)])
def test_problems_of_honest_samples_have_their_distribution(kind, scale, generator):
    samples, train_set, held_out, groups = benchmark.problem(kind, 4000, 3, generator)
    assert groups is None
    for x, width in ((samples, scale), (train_set, 1.0), (held_out, 1.0)):
        assert_moments(x, 0.0, width**2 * torch.eye(3))


def test_problems_of_clumps_are_posteriors_whose_truths_are_of_the_distribution(generator):
    clumps = torch.stack([benchmark.problem("clump", 50, 3, generator)[0] for _ in range(1000)])
    assert_moments(clumps[:, 0], 0.0, torch.eye(3))
    assert_moments((clumps[:, 0] - clumps[:, 1]) / 2**0.5, 0.0, benchmark.CLUMP**2 * torch.eye(3))


@pytest.mark.parametrize(("kind", "copied", "width"), [("5 % copies", 5, 0.01), ("10 % near", 10, 0.3)])
def test_problems_of_copies_copy_as_many_models(kind, copied, width, generator):
    samples, train_set, _, _ = benchmark.problem(kind, 100, 200, generator)
    apart = torch.cdist(samples, train_set).min(1).values
    assert torch.allclose(apart[:copied], torch.tensor(width * 200**0.5), rtol=0.2)
    assert float(apart[copied:].min()) > 10


def test_problems_of_patches_are_five_to_a_survey_and_a_survey_is_on_one_side(generator):
    _, train_set, held_out, groups = benchmark.problem("patches", 100, 20, generator)
    assert [len(of.unique()) for of in groups] == [20, 20]
    assert not set(groups[0].tolist()) & set(groups[1].tolist())
    for x, of in zip((train_set, held_out), groups, strict=True):
        same = (of[:, None] == of) & ~torch.eye(100, dtype=torch.bool)
        assert float(torch.cdist(x, x)[same].max()) < 1 < float(torch.cdist(x, x)[of[:, None] != of].min())


def test_results_have_every_kind_and_their_provenance(quick):
    results, tables = quick
    plan = benchmark.QUICK
    expected = [(kind, d) for d in plan.sizes for kind in benchmark.HONEST]
    expected += [(kind, plan.sizes[0]) for kind in benchmark.COPYING]
    assert [(row["kind"], row["d"]) for row in results["rows"]] == expected
    assert {n for row in results["rows"] for n in row["rejected"].values()} <= {0, 1, 2, 3}
    assert results["provenance"].keys() == {"threads", "cpu_count", "system", "python", "torch", "wall_s"}
    assert tables.count("d = 3 |") == len(expected)


def test_recorded_run_is_the_full_one(recorded):
    assert recorded["plan"] == json.loads(json.dumps(benchmark.asdict(benchmark.FULL)))
    assert recorded["kinds"] == benchmark.HONEST | benchmark.COPYING
    assert rejected(recorded).keys() == CELLS


def test_recorded_run_keeps_its_level_on_samples_that_cannot_copy(recorded):
    most = 34  # of 400: a test of level 0.05 rejects more in one run of a thousand
    assert stats.binom.sf(most, 400, 0.05) < 2e-3
    for row in recorded["rows"]:
        if row["kind"] in benchmark.HONEST:
            assert max(row["rejected"][test] for test in ("share", "log-ratio")) <= most, row
        if row["kind"] == "fresh":
            assert row["uniform_p"] > 1e-3


def test_recorded_run_has_the_stated_power(recorded):
    found = {kind: rejected(recorded)[kind, 20] for kind in benchmark.COPYING}
    # The design's figures, of 200 repeats: within what two binomial counts differ by, 0.999.
    stated = {
        "2 % copies": (0.06, 0.18),
        "5 % copies": (0.08, 0.97),
        "10 % copies": (0.17, 1.0),
        "20 % copies": (0.50, 1.0),
        "10 % near": (0.14, 0.99),
        "kernel density": (0.99, 1.0),
    }
    for kind, shares in stated.items():
        for test, share in zip(("share", "log-ratio"), shares, strict=True):
            error = 3.3 * (max(share * (1 - share), 0.01) * (1 / 200 + 1 / 400)) ** 0.5
            assert found[kind][test] == pytest.approx(share, abs=error), (kind, test)


def test_recorded_run_shows_what_the_three_sample_test_takes_for_copies(recorded):
    found = rejected(recorded)
    assert found["shrunk", 20]["three-sample z"] > 0.7
    # How often depends on where the posterior lies: .45 as its mean varies here, .34 where that varies as models do.
    assert found["clump", 20]["three-sample z"] > 5 * benchmark.LEVEL
    assert found["fresh", 20]["three-sample z"] < 0.1
