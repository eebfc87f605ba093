"""Appendix A1's open cells, executed as a reader would copy them, give what its package computes."""

import pytest
import torch
from open_cells import library_cells

from chapters.a1_waves import accuracy
from memprior.paper import published_operator


@pytest.fixture(scope="module")
def namespace():
    return library_cells("a1_waves")


def test_open_cells_give_the_errors_of_the_package(namespace):
    operator = published_operator()
    flat = accuracy.greens_error(operator, operator.acquisition, 2.0, torch.device("cpu"))
    assert float(namespace["off"].norm() / namespace["green"].norm()) == pytest.approx(flat, rel=1e-6)
    rock = accuracy.published_model(operator.grid, 0, torch.device("cpu"))
    assert accuracy.relative(operator(rock), namespace["finer"](rock)) == pytest.approx(
        accuracy.relative(namespace["data"], namespace["better"]), rel=1e-6
    )


def test_open_cells_invert_to_the_noise_and_miss_the_model(namespace):
    assert 0.45 < 0.5 * float(namespace["fit"].square().mean()) < 0.52
    assert 0.1 < namespace["error"] < 0.4
