"""What the open cells of chapter 6 end with is what its package gives, for the same models, noise and draws."""

from functools import cache

import torch
from helpers import assert_same
from open_cells import library_cells

from chapters.ch06_calibration import fits, measures
from chapters.ch06_calibration.families import examples_of, prior_of, structures, truths_of
from chapters.ch06_calibration.posteriors import LinearSurvey, exact_draws

TRUTHS, DRAWS = 24, 32


@cache
def cells():
    return library_cells("06_calibration", num_truths=TRUTHS, num_draws=DRAWS, num_steps=2)


def survey_like_the_page(generator):
    """The survey of the page's first cells; generator: as it stands when they observe."""
    found, prior, z = cells(), prior_of("Gaussian"), truths_of("Gaussian", TRUTHS)
    noise = found["gamma"] * torch.randn(z.shape, dtype=z.dtype, generator=generator)
    return LinearSurvey(prior, found["R"], z, (z - prior.mean) @ found["R"].T + noise, found["gamma"])


def test_open_rows_are_those_of_the_package():
    """Exact, memorized and Ledoit-Wolf, in the order of the page, from one generator."""
    found, generator = cells(), torch.Generator().manual_seed(0)
    survey = survey_like_the_page(generator)
    assert_same(found["y"], survey.data + survey.prior.mean @ survey.response.T)
    examples = examples_of("Gaussian", 50)
    priors = [survey.prior, fits.memorized(examples), fits.ledoit_wolf(examples)]
    rows = [found["exact_row"], found["memorized_row"], found["gaussian_row"]]
    for prior, (coverage, error) in zip(priors, rows, strict=True):
        draws = exact_draws(survey, prior, DRAWS, generator=generator)
        ranks = measures.pit(draws, survey.truths, generator=generator)
        known = measures.marginal_coverage(ranks, measures.LEVEL)
        assert abs(coverage.value - known.value) < 2 / (TRUTHS * 100)  # a tie may round to another side
        assert abs(error.value - float(measures.normalized_error(draws, survey.truths, survey.overall).mean())) < 1e-9
    assert found["memorized_row"][0].value < 0.1 < 0.7 < found["gaussian_row"][0].value


def test_open_structures_are_those_of_the_package():
    assert_same(cells()["structures"], structures())
    assert_same(cells()["faulted"].covariance, prior_of("faulted").covariance)


def test_open_check_sees_a_memorized_prior_only_by_left_out_truths():
    found = cells()
    examples, fit = found["examples"], found["memorized"]
    fitted = fit(examples)
    simulated = found["covered"](fitted, fitted.sample(100, generator=found["generator"]))
    assert abs(float(simulated.mean()) - 0.9) < 4 * float(simulated.std()) / 10
    assert float(found["left_out"](fit, examples).mean()) < 0.05


def test_open_sampler_ends_on_finite_draws():
    assert cells()["draws"].shape == (24, 100)
    assert bool(cells()["draws"].isfinite().all())
