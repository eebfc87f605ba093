"""Chapter 2's open cells, run alone: what they end with is what the library and the chapter's package say of it."""

import pytest
import torch
from open_cells import library_cells

from chapters.ch02_gaussian_mixture_prior import network_gap
from memprior import paper
from memprior.closed_forms import closed_form_reference
from memprior.condensation import condensation_level


@pytest.fixture(scope="module")
def cells() -> dict:
    return library_cells("02_gaussian_mixture_prior", num_repeats=4, steps=[2, 4], num_draws=50)


def test_open_score_is_the_gradient(cells):
    assert float(cells["gap"].abs().max()) < 1e-12


def test_open_excess_loss_is_the_distance(cells):
    """Within twice its 95 % interval."""
    assert abs(float(cells["surplus"].mean())) < 2 * cells["half"]


def test_open_samples_of_the_plane_end_on_examples(cells):
    ends = cells["states"][-1].x
    assert float(torch.cdist(ends, cells["five"]).amin(1).max()) < 0.02


def test_open_references_are_those_of_the_package(cells):
    """The same closed forms: at noised training examples the memorized one is exactly there."""
    reference = cells["at"]["own"]
    assert float(reference.squares(cells["priors"].empirical)[:, 0].max()) == 0
    known, _ = paper.published_priors(cells["coefficients"], cells["strangers"])
    again = closed_form_reference(
        known, known.train_set, cells["some"], num_inputs=4, generator=torch.Generator().manual_seed(0)
    )
    levels = again.sigmas.repeat_interleave(4)
    made = known.empirical(again.inputs.flatten(0, 1), levels).unflatten(0, (-1, 4))
    torch.testing.assert_close(again.empirical, made)


def test_open_plan_is_that_of_the_package(cells):
    assert cells["plan"] == network_gap.published_plan(20_000)


def test_open_level_is_that_of_the_library(cells):
    spectrum = torch.linalg.eigvalsh(cells["priors"].distribution.covariance)
    assert cells["sigma_c"] == condensation_level(spectrum, 50)


def test_open_control_points_to_the_other_side(cells):
    """Samples that memorized the held-out set: each is nearest to a held-out model."""
    copied, narrow = cells["told"].values()
    assert copied.share == 0
    assert copied.p_held_out < 0.001 < copied.p
    assert narrow.share > 0
