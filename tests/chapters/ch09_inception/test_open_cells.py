"""Chapter 9's open cells, run alone: what they end with is what the library and the chapter's package say of it."""

from itertools import pairwise

import pytest
import torch
from open_cells import library_cells

from chapters.ch09_inception.runs import probabilities
from memprior.geology import SECTION_FACIES, facies_patches


@pytest.fixture(scope="module")
def cells() -> dict:
    return library_cells("09_inception", num_patches=10, num_steps=3, num_test=5)


def test_open_patches_are_nested_in_those_of_the_package(cells):
    assert torch.equal(cells["patches"].seismic, facies_patches(15, seed=0, size=(32, 32)).seismic[:10])
    assert cells["names"] == SECTION_FACIES


def test_open_ascent_has_the_rate_of_the_theorem(cells):
    tangents, rate = cells["tangents"], cells["rate"]
    clear = [after / before for before, after in pairwise(tangents) if after > 1e-7]
    assert max(clear) < rate + 1e-7
    assert clear[-1] == pytest.approx(rate, rel=0.05)


def test_open_first_layer_is_where_its_filters_have_most_power(cells):
    power = cells["power"]
    assert float(power[cells["measured"]]) > 0.99 * float(power.max())


def test_open_dream_keeps_its_budget_and_its_probability_is_that_of_the_package(cells):
    assert cells["misfit"] < cells["level"] + 1e-6
    goal = SECTION_FACIES.index("clinoform")
    judged = probabilities(cells["network"], cells["state"].sections)[:, goal].mean()
    assert cells["own"] == pytest.approx(float(judged))


def test_open_swap_test_is_of_the_two_halves(cells):
    assert cells["found"].num_groups == (10, 10)
    assert 0 <= cells["found"].share <= 1
