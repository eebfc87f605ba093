"""Chapter 6 with a nonlinear F: its linearization points, weighted draws, and non-physical models."""

from dataclasses import replace

import pytest
import torch
from helpers import assert_mean, assert_moments, assert_same

from chapters.ch06_calibration import nonlinear as waves
from chapters.ch06_calibration.posteriors import LinearSurvey, exact_draws
from memprior.gaussian import Gaussian
from memprior.likelihood import GaussianLikelihood
from memprior.operators import MatrixOperator

NOISE = 0.3

LAW = Gaussian(*(torch.tensor(x, dtype=torch.float64) for x in ([0.5, -1.0], [[1.0, 0.4], [0.4, 0.5]])))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def curved(z):
    """Three data of two numbers, nonlinear over the width of the prior."""
    a, b = z.T
    return torch.stack([a + 0.3 * a**2, b.exp(), a * b], 1)


def problem(forward, truth):
    """A survey of one truth, whose response and data are not used, and the likelihood of its data."""
    y = forward(truth[None])[0] + NOISE * torch.randn(len(forward(truth[None])[0]), generator=seeded(1))
    survey = LinearSurvey(LAW, torch.empty(0), truth[None], torch.empty(0), NOISE)
    return survey, GaussianLikelihood(forward, y, NOISE)


def log_posterior(likelihood, z):
    away = z - LAW.mean
    return likelihood.log_prob(z) - 0.5 * (away @ torch.linalg.inv(LAW.covariance) * away).sum(1)


def grid(num=601):
    """Models (num^2, 2) on a fine grid about the prior mean."""
    a, b = (torch.linspace(float(m) - 5, float(m) + 5, num) for m in LAW.mean)
    return torch.cartesian_prod(a, b)


def test_most_probable_model_of_an_affine_operator_is_the_posterior_mean():
    matrix = torch.randn(4, 2, generator=seeded(2))
    _, likelihood = problem(MatrixOperator(matrix), torch.tensor([1.0, 0.3]))
    gain = LAW.covariance @ matrix.T @ torch.linalg.inv(matrix @ LAW.covariance @ matrix.T + NOISE**2 * torch.eye(4))
    mean = LAW.mean + gain @ (likelihood.observed - matrix @ LAW.mean)
    assert_same(waves.most_probable(likelihood, LAW, 20), mean, rounding=1e-6)


def test_most_probable_model_of_a_nonlinear_operator_has_no_better():
    _, likelihood = problem(curved, torch.tensor([1.0, -0.2]))
    found = waves.most_probable(likelihood, LAW, 50)
    everywhere = grid()
    best = everywhere[log_posterior(likelihood, everywhere).argmax()]
    assert float((found - best).abs().max()) < 10 / 600  # a step of the grid
    assert log_posterior(likelihood, found[None]) >= log_posterior(likelihood, best[None]) - 1e-9


def test_most_probable_shortens_a_step_to_a_non_physical_model():
    """A step overshoots to a non-physical model; the result is that without such a limit."""
    truth, met = torch.tensor([1.0, 0.8]), []
    _, likelihood = problem(curved, truth)
    right = waves.most_probable(likelihood, LAW, 50)

    def forward(z):
        gone = z[:, 1:] > right[1] + 0.1
        met.append(bool(gone.any()))
        return torch.where(gone.expand(-1, 3), torch.nan, curved(z))

    bounded = GaussianLikelihood(forward, likelihood.observed, NOISE)
    assert_same(waves.most_probable(bounded, LAW, 50), right, rounding=1e-4)
    assert any(met)


def test_located_posterior_of_an_affine_operator_is_the_exact_one():
    matrix = torch.randn(4, 2, generator=seeded(2))
    survey, likelihood = problem(MatrixOperator(matrix), torch.tensor([1.0, 0.3]))
    local = waves.linearized_at(survey, 0, likelihood)
    draws = exact_draws(local.survey, LAW, 40_000, generator=seeded())[0]
    precision = torch.linalg.inv(LAW.covariance) + matrix.T @ matrix / NOISE**2
    covariance = torch.linalg.inv(precision)
    mean = LAW.mean + covariance @ matrix.T @ (likelihood.observed - matrix @ LAW.mean) / NOISE**2
    assert_moments(draws, mean, covariance)
    assert_same(torch.tensor(local.misfit), likelihood.residual(mean[None]).square().mean() / NOISE**2, rounding=1e-6)
    assert_same(waves.nonlinear_weights(local, likelihood, draws[:5]), torch.full((5,), 0.2), rounding=1e-8)


@pytest.mark.parametrize("prior", [LAW, Gaussian(LAW.mean + 0.3, 0.5 * LAW.covariance)], ids=["its own", "another"])
def test_weighted_draws_have_the_posterior_mean_of_quadrature(prior):
    """Under the prior of the linearization point, and under another one: the prior cancels from the weights."""
    survey, likelihood = problem(curved, torch.tensor([1.0, -0.2]))
    local = waves.linearized_at(survey, 0, likelihood)
    z = exact_draws(local.survey, prior, 40_000, generator=seeded())[0]
    weights = waves.nonlinear_weights(local, likelihood, z)
    everywhere = grid()
    away = everywhere - prior.mean
    right = likelihood.log_prob(everywhere) - 0.5 * (away @ torch.linalg.inv(prior.covariance) * away).sum(1)
    mean = right.softmax(0) @ everywhere
    found = weights @ z
    error = (weights.square() @ (z - found).square()).sqrt()
    assert bool(((found - mean).abs() < 4 * error).all())
    assert bool(((z.mean(0) - mean).abs() > 4 * z.std(0) / 200).any())  # without weights they have another mean


def test_weights_of_non_physical_models_are_zero():
    survey, likelihood = problem(curved, torch.tensor([1.0, -0.2]))
    local = waves.linearized_at(survey, 0, likelihood)
    z = exact_draws(local.survey, LAW, 6, generator=seeded())[0]
    gone = GaussianLikelihood(
        lambda x: torch.where((x == z[2]).all(1)[:, None], torch.nan, curved(x)), likelihood.observed, NOISE
    )
    weights, whole = waves.nonlinear_weights(local, gone, z), waves.nonlinear_weights(local, likelihood, z)
    left = whole * (torch.arange(6) != 2)
    assert_same(weights, left / left.sum())


def test_resampled_draws_are_taken_by_weight():
    draws = torch.arange(6.0).view(2, 3, 1)
    drawn = waves.Drawn(draws, torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]))
    assert_same(drawn.effective, torch.tensor([2.0, 1.0]))
    taken = drawn.resampled(10_000, generator=seeded())
    assert set(taken[0].flatten().tolist()) == {0.0, 1.0}
    assert_mean(taken[0].flatten(), 0.5)
    assert bool((taken[1] == 5).all())
    assert_same(waves.Drawn.equally_weighted(draws).effective, torch.full((2,), 3.0))


@pytest.mark.parametrize("num", [19, 24, 106])
def test_attainable_coverage_of_few_draws_is_reached(num):
    """Truths and draws have one distribution, draws are resampled: only their number matters."""
    truths, draws = torch.randn(4000, generator=seeded()), torch.randn(4000, num, 1, generator=seeded(1))
    drawn = waves.Drawn.equally_weighted(draws)
    ordered = draws[:, :, 0].sort(1).values
    inside = [
        float((taken <= truth).double().mean() > 0.05 and (taken >= truth).double().mean() > 0.05)
        for taken, truth in zip(ordered, truths, strict=True)
    ]
    assert_mean(torch.tensor(inside), drawn.attainable(0.9))


def test_nonlinear_draws_are_taken_per_linearization_point():
    survey, likelihood = problem(curved, torch.tensor([1.0, -0.2]))
    local = waves.linearized_at(survey, 0, likelihood)
    other = replace(local, survey=replace(local.survey, data=local.survey.data + 1))
    noise = seeded()
    found = waves.Drawn.reweighted(
        [local, other], lambda one: exact_draws(one, LAW, 7, generator=noise), [likelihood, likelihood]
    )
    assert found.draws.shape == (2, 7, 2)
    first = exact_draws(local.survey, LAW, 7, generator=seeded())[0]
    assert_same(found.draws[0], first)
    assert_same(found.weights[0], waves.nonlinear_weights(local, likelihood, first))
    assert not torch.equal(found.weights[1], waves.nonlinear_weights(local, likelihood, found.draws[1]))


def test_linearization_points_of_other_truths_or_seeds_have_other_names():
    assert len({waves.LinearizationPoint(*of).name for of in ((0, 0), (1, 0), (0, 1))}) == 3
