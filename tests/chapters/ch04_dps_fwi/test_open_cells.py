"""The open cells of chapter 4 alone give the row that its package computes at their size."""

import pytest
import torch
from open_cells import library_cells

from chapters.ch04_dps_fwi import measures
from chapters.ch04_dps_fwi.unseen import held_out_draws
from memprior import paper
from memprior.guidance import pigdm_step
from memprior.likelihood import GaussianLikelihood
from memprior.memorization import swap_test
from memprior.paper import STEP_SIZE, TrainingSet
from memprior.sampling import trajectory


@pytest.fixture(scope="module")
def namespace():
    return library_cells("04_dps_fwi", num_steps=5)


def test_open_cells_give_the_row_of_the_exactly_memorized_prior(namespace):
    truth = paper.published_coefficients(1, seed=paper.TRUTH_SEED)[0]
    linear = paper.tangent(paper.published_inversion(torch.complex64, truth=truth))
    training = TrainingSet.published(50, truth.device)
    options = {"step_size": STEP_SIZE, "generator": torch.Generator().manual_seed(0)}
    found = measures.sample_linearized(linear, training, training.memorized_prior, 8, **options)
    assert torch.equal(namespace["samples"], found.x)
    test = swap_test(found.x, training.examples, held_out_draws(50), generator=torch.Generator().manual_seed(1))
    expected = {"share": test.share, "log_ratio": test.log_ratio, "p": test.p, "r<0.7": 1.0}
    assert namespace["row"] == expected
    assert test.share == 1


def test_open_cells_choose_the_example_of_the_exact_lookup(namespace):
    assert (int(namespace["chosen"]), float(namespace["largest"].exp())) == (4, pytest.approx(1))


def test_open_cells_noise_level_drops_out_of_this_step_and_not_of_one_that_weighs_the_data(namespace):
    """The control beside it: moment matching, told the same two noise levels, gives other samples."""
    assert namespace["change"] < 1e-9
    ends = []
    for factor in (1, 10):
        linear = GaussianLikelihood(namespace["F"], namespace["y"], factor * namespace["gamma"])
        step = pigdm_step(paper.standardized(linear, namespace["pooled"]), num_iterations=20)
        first = paper.start(4, namespace["y"], generator=torch.Generator().manual_seed(0))
        options = {"step": step, "generator": torch.Generator().manual_seed(0)}
        ends.append([*trajectory(namespace["true_prior"], first, paper.SIGMAS[::10], **options)][-1].x)
    assert float((ends[0] - ends[1]).abs().max() / ends[0].abs().max()) > 1e-2
