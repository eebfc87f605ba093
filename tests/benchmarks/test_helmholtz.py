"""The benchmark of the Helmholtz gradient measures three versions of one gradient."""

import numpy as np
import pytest
import torch
from helpers import quick_benchmark

from benchmarks import helmholtz_gradient as benchmark
from memprior.paper import published_acquisition


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Results and tables of a run with a tiny survey."""
    return quick_benchmark("helmholtz_gradient", tmp_path_factory.mktemp("benchmark"))


def test_stencils_give_the_same_gradient(quick):
    assert quick[0]["agreement"]["five_point_against_textbook"] < 1e-10


def test_spectral_gradient_differs_by_the_dispersion_of_the_stencil(quick):
    # 27 cells per wavelength: with three times as many the stencil's own gradient changes by 5.1 %, most of the
    # error of the coarse one, which falls as the square of the spacing.
    assert quick[0]["agreement"]["spectral_against_five_point"] < 0.1


def test_versions_each_have_times_memory_error_and_ratios(quick):
    rows = quick[0]["gradients"]
    assert [(row["version"], row["batch"], row["dtype"]) for row in rows] == [
        ("textbook", 1, "complex128"),
        ("five_point", 1, "complex128"),
        ("spectral", 2, "complex64"),
        ("spectral", 1, "complex128"),
    ]
    for row in rows:
        assert 0 < row["min_s"] <= row["median_s"] <= row["max_s"]
        assert row["repeats"] >= 3
        assert row["per_model_s"] == row["median_s"] / row["batch"]
        assert row["peak_per_model_gb"] == row["peak_gb"] / row["batch"] >= 0
        assert row["times_faster_than_textbook"] == rows[0]["per_model_s"] / row["per_model_s"]
        assert row["times_faster_than_five_point"] == rows[1]["per_model_s"] / row["per_model_s"]
        assert 0 < row["greens_error"] < 0.02
    assert rows[0]["greens_error"] == pytest.approx(rows[1]["greens_error"], rel=1e-9)


def test_scaling_has_rows_for_every_varied_quantity(quick):
    results, tables = quick
    assert results["scaling"].keys() == {*benchmark.QUICK.scaling, "threads"}
    for name, values in [*benchmark.QUICK.scaling.items(), ("threads", benchmark.QUICK.threads)]:
        assert [row[name] for row in results["scaling"][name]] == list(values)
        assert f"| {name} |" in tables


def test_results_have_their_provenance(quick):
    results, tables = quick
    assert results["provenance"].keys() == {"threads", "cpu_count", "system", "python", "torch", "wall_s"}
    assert results["matrix_product"]["flops_per_s"] > 1e8
    if torch.cuda.is_available():
        assert results["gpu"]["rows"]
    else:
        assert results["gpu"] == {"not_run": "no GPU"}
        assert tables.endswith("GPU: no GPU\n")


def test_acquisition_at_full_size_is_the_published_one():
    acquisition, published = benchmark.acquisition(benchmark.FULL.textbook), published_acquisition()
    torch.testing.assert_close(acquisition.sources_km, published.sources_km)
    torch.testing.assert_close(acquisition.receivers_km, published.receivers_km)


def test_textbook_gradient_is_the_derivative_of_its_misfit(generator):
    sources, receivers = np.array([[1, 0], [6, 1]]), np.array([[0, 7], [4, 6], [7, 7]])
    operator = benchmark.TextbookOperator(8, 0.05, 3.0, sources, receivers, pml=4)
    model, truth, direction = (0.05 * torch.randn(3, 8, 8, generator=generator)).numpy()
    observed = operator.data(0.25 + truth)

    def misfit(step):
        return 0.5 * (abs(operator.data(0.25 + model + step * direction) - observed) ** 2).sum()

    slope = (operator.gradient(0.25 + model, observed) * direction).sum()
    assert (misfit(1e-4) - misfit(-1e-4)) / 2e-4 == pytest.approx(slope, rel=1e-6)
