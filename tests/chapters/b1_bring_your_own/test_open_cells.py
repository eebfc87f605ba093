"""B1's open cells, run alone: what they end with is what the library says of it."""

import pytest
import torch
from open_cells import library_cells

from memprior.diagnose import VERDICTS
from memprior.posterior import collapsed_log_weights


@pytest.fixture(scope="module")
def cells() -> dict:
    return library_cells("b1_bring_your_own")


def test_open_operator_is_checked_and_its_wrong_ones_are_refused(cells):
    assert cells["checked"].taylor_slope > 1.9
    assert cells["checked"].jacobian_gap < 1e-12
    assert set(cells["wrong"]) == {"a percent off", "no Jacobian", "not deterministic"}


def test_open_lookup_is_that_of_the_posterior_module(cells):
    exact = collapsed_log_weights(cells["models"], cells["likelihood"])
    assert torch.allclose(cells["weights"].log(), exact)
    assert torch.allclose(cells["found"].log_weights, exact)


def test_open_decision_is_one_of_the_verdicts_and_another_unit_is_refused(cells):
    assert cells["decision"].verdict in VERDICTS
    assert cells["wrong_unit"].decision.verdict == "refuse the data"
    assert cells["wrong_unit"].p_alike == pytest.approx(2 / 41)  # 40 truths, two statistics


def test_open_coverage_is_that_of_the_diagnosis_in_kind(cells):
    # Other draws of the same posteriors: both collapse on a model that is not the truth.
    assert cells["result"].coverage["lookup"].value < 0.5
    assert float((torch.cat(cells["credibility"])[:, 0] < 0.9).double().mean()) < 0.5


def test_open_swap_test_fires_on_copies_and_hardly_on_fresh_draws(cells):
    assert cells["tests"]["copies"].p < 1e-3
    assert cells["tests"]["fresh"].p > 1e-3
