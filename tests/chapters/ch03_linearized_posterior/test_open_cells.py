"""Chapter 3's open cells, executed as a reader would copy them, give what the chapter's package computes."""

import pytest
import torch
from open_cells import library_cells

from chapters.ch03_linearized_posterior import comparison, lookup
from memprior.mixture import total_variation
from memprior.paper import line_problem


@pytest.fixture(scope="module")
def namespace():
    return library_cells("03_linearized_posterior")


def test_open_cells_give_the_weights_of_the_package(namespace):
    found = comparison.compare(line_problem(torch.device("cpu")), 0.5, num_grid=4001)
    assert float(total_variation(namespace["mixture"].weights, namespace["exact"].weights)) == found.distance
    assert float(total_variation(namespace["released"].weights, namespace["exact"].weights)) == found.distance_released
    assert float(namespace["left"]) < found.distance / 10


def test_open_cells_sample_the_lookup(namespace):
    shares, w = namespace["shares"], namespace["w"]
    standard = (w * (1 - w) / namespace["num_samples"]).sqrt()
    assert bool(((shares - w).abs() < 5 * standard + 1e-3).all())


def test_open_cells_meet_another_example_at_sigma_crit(namespace):
    assert namespace["N"] == 1000
    assert int(namespace["smoothed"].weights.argmax()) != int(namespace["log_w"].argmax())
    assert namespace["at"] == pytest.approx(0.3798, abs=2e-4)
    assert lookup.ratios_of(namespace["examples"][:1], (50,))[50].shape == (1,)
