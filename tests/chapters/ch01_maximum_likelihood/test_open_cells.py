"""Chapter 1's open cells, run alone: what they end with is what the proofs and the chapter's package say of it."""

import math

import pytest
import torch
from open_cells import library_cells

from chapters.ch01_maximum_likelihood import families, problems


@pytest.fixture(scope="module")
def cells() -> dict:
    return library_cells("01_maximum_likelihood", num_steps=30)


def test_open_truth_is_that_of_the_package(cells):
    law = problems.crescents(torch.device("cpu"))
    torch.testing.assert_close(cells["truth"].means, law.means, rtol=0, atol=1e-12)
    assert cells["truth"].sigma == law.sigma


def test_open_maximum_keeps_the_bound_of_the_theorem(cells):
    assert cells["moved"] <= cells["most"] < 0.1
    assert cells["gain"] > -0.01


def test_open_closed_forms_are_those_of_the_package(cells):
    density = families.fit_gaussian(cells["train_set"], cells["h"])
    at = cells["noised"]
    # The package keeps variances at the floor or above, the page adds the floor: less than 1 % of a unit variance.
    expected = float(density.log_prob(at, generator=torch.Generator()).mean())
    assert cells["likely"]["Gaussian"] == pytest.approx(expected, abs=0.02)
    assert cells["likely"]["mixture"] == pytest.approx(cells["ceiling"], abs=0.1)


def test_open_families_are_less_likely_than_the_memory(cells):
    error = 4 * float(cells["memorized"].log_prob(cells["noised"]).std()) / math.sqrt(500)
    assert max(cells["likely"].values()) <= cells["ceiling"] + error


def test_open_denoiser_nears_its_own_memory_alone(cells):
    assert cells["ratios"]["own"][-1] < cells["ratios"]["own"][0]
    assert cells["ratios"]["another"][-1] > 1


def test_open_fields_span_one_dimension_less_than_they_are(cells):
    assert cells["rank"] == len(cells["fields"]) - 1
