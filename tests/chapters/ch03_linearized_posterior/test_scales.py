"""Chapter 3's scales: sums over all data at once are the library's, and what is exact where F is affine."""

import math
from dataclasses import replace

import pytest
import torch

from chapters.ch03_linearized_posterior import lookup, scales
from memprior.likelihood import GaussianLikelihood
from memprior.mixture import IsotropicMixture, effective_components, total_variation
from memprior.operators import MatrixOperator, jacobian
from memprior.paper import line_problem, square_grid
from memprior.posterior import collapsed_log_weights, linearized_posterior, quadrature_posterior

CPU = torch.device("cpu")
DATA = torch.linspace(-4, 4, 9, dtype=torch.float64)
SIGMAS = torch.logspace(-2, 0.7, 28, dtype=torch.float64)


@pytest.fixture(scope="module")
def twenty():
    return scales.line_scales(lookup.line_with(20, CPU), DATA, SIGMAS, num_grid=4001)


@pytest.mark.parametrize(("num", "scale"), [(3, 0.375), (5, 0.298), (10, 0.216), (20, 0.154), (100, 0.070)])
def test_sigma_crit_is_the_papers(num, scale):
    found = scales.line_scales(lookup.line_with(num, CPU), DATA[:1], SIGMAS[:2], num_grid=2001)
    assert found.sigma_crit == pytest.approx(scale, abs=6e-4)  # three printed digits


def test_line_scales_are_the_librarys_at_one_datum(twenty):
    problem = replace(lookup.line_with(20, CPU), observed=DATA[6:7])
    at = 15
    prior, likelihood = problem.prior(float(SIGMAS[at])), problem.likelihood
    quadrature = quadrature_posterior(prior, likelihood, *square_grid(-9.0, 9.0, 4001, 1, CPU))
    assert float(twenty.exact[at, 6]) == pytest.approx(float(effective_components(quadrature.log_weights)), rel=1e-9)
    closed = linearized_posterior(prior, likelihood).log_weights
    assert float(twenty.linearized[at, 6]) == pytest.approx(float(effective_components(closed)), rel=1e-9)
    limit = effective_components(collapsed_log_weights(problem.train_set, likelihood))
    assert float(twenty.limits[6]) == pytest.approx(float(limit), rel=1e-9)


def test_effective_components_settle_at_the_lookups(twenty):
    # The smoothing adds (sigma F')^2 to gamma^2: at y = 0 and sigma = .01 a relative 1e-3 in the width of the weights.
    assert float(twenty.exact[0, 4]) == pytest.approx(float(twenty.limits[4]), rel=2e-3)
    assert float(twenty.exact[-1].min()) > 0.95 * 20


def test_settling_scale_is_where_the_weights_have_moved_by_a_tenth(twenty):
    problem = replace(lookup.line_with(20, CPU), observed=DATA[4:5])
    points, cell = square_grid(-9.0, 9.0, 4001, 1, CPU)
    there = quadrature_posterior(problem.prior(float(twenty.settling[4])), problem.likelihood, points, cell)
    moved = total_variation(there.weights, collapsed_log_weights(problem.train_set, problem.likelihood).exp())
    assert float(moved) == pytest.approx(scales.SETTLED_WITHIN, rel=0.03)  # interpolated between sigmas a quarter apart


def test_line_scales_of_an_affine_operator_are_those_of_eq_7():
    affine = replace(lookup.line_with(10, CPU), forward=MatrixOperator(torch.full((1, 1), 2.0)))
    found = scales.line_scales(affine, DATA, SIGMAS, num_grid=4001)
    torch.testing.assert_close(found.exact, found.linearized, rtol=1e-8, atol=0)
    torch.testing.assert_close(found.ratios(scales.EQ_7), torch.ones(9), rtol=1e-6, atol=0)


def test_components_move_by_less_than_the_bound_behind_eq_8():
    problem = replace(line_problem(CPU), observed=torch.tensor([3.0], dtype=torch.float64))
    for sigma in (0.03, 0.3, 3.0):
        moved = (linearized_posterior(problem.prior(sigma), problem.likelihood).means - problem.train_set).abs()
        slopes = jacobian(problem.forward, problem.train_set)[:, 0].abs()
        bound = sigma**2 * slopes * problem.likelihood.residual(problem.train_set).abs() / problem.noise_std**2
        assert bool((moved <= bound * (1 + 1e-12)).all())
        if sigma == 0.03:  # C_n is gamma^2 to (sigma F' / gamma)^2, at most .44 here
            assert bool((moved >= bound / 1.5).all())


def test_first_above_is_exact_for_a_line_in_log_sigma():
    curves = torch.stack([SIGMAS.log(), -SIGMAS.log(), torch.zeros_like(SIGMAS)], dim=1)
    found = scales.first_above(SIGMAS, curves, -1.0)
    assert float(found[0]) == pytest.approx(math.exp(-1))
    assert float(found[1]) == pytest.approx(float(SIGMAS[0]))  # above it from the first on
    assert float(scales.first_above(SIGMAS, curves, 0.5)[2]) == math.inf


def test_inversion_scales_are_those_of_the_linearized_posterior(generator):
    matrix = torch.randn(6, 6, generator=generator)
    examples, truths = torch.randn(12, 6, generator=generator), torch.randn(3, 6, generator=generator)
    likelihood = GaussianLikelihood(MatrixOperator(matrix), torch.zeros(6), 0.3)
    noise = torch.Generator().manual_seed(5)
    found = scales.inversion_scales(likelihood, examples, truths, SIGMAS, generator=noise)
    drawn = 0.3 * torch.randn(3, 6, generator=torch.Generator().manual_seed(5))
    for k in range(3):
        one = GaussianLikelihood(MatrixOperator(matrix), matrix @ truths[k] + drawn[k], 0.3)
        lead = collapsed_log_weights(examples, one)
        there = linearized_posterior(IsotropicMixture(examples, found.sigma_crit), one)
        assert float(found.effective[k]) == pytest.approx(float(effective_components(there.log_weights)), rel=1e-8)
        assert bool(found.exchanged[k]) == (int(there.weights.argmax()) != int(lead.argmax()))
        residual = one.residual(examples[lead.argmax()][None]).norm() / 0.3
        assert float(found.residuals[k]) == pytest.approx(float(residual), rel=1e-8)


def test_effective_by_noise_goes_from_one_to_all(generator):
    likelihood = GaussianLikelihood(MatrixOperator(torch.eye(3)), torch.zeros(3), 1.0)
    examples, truths = torch.randn(7, 3, generator=generator), torch.randn(4, 3, generator=generator)
    factors = torch.tensor([1e-3, 1e4])
    found = scales.effective_by_noise(likelihood, examples, truths, factors, generator=generator)
    torch.testing.assert_close(found[0], torch.ones(4), rtol=1e-3, atol=0)
    torch.testing.assert_close(found[1], torch.full((4,), 7.0), rtol=1e-3, atol=0)
