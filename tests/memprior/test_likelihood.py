"""The likelihood is a normalized density with its exact score, and observed data have the noise that it assumes."""

import math

import pytest
import torch
from helpers import (
    MATRIX,
    TRACE_CHECK,
    UNTRACED,
    BySimulator,
    assert_batch_independent,
    assert_derivative,
    assert_mean,
    assert_same,
    every_detached,
    every_operator,
    line_grid,
    square_grid,
)

from memprior.likelihood import GaussianLikelihood, observe
from memprior.operators import CoupledQuadraticOperator, CubicOperator, MatrixOperator


def with_data(operator, size, generator, noise_std=0.7):
    return observe(operator, torch.randn(size, generator=generator), noise_std, generator=generator)


@every_operator
def test_likelihood_score_is_the_gradient_of_the_log_density(operator, size, generator):
    likelihood, x = with_data(operator, size, generator), torch.randn(4, size, generator=generator)
    assert_derivative(likelihood.log_prob, lambda x, v: (likelihood.score(x) * v).sum(1), x, generator)
    x.requires_grad_()
    (autograd,) = torch.autograd.grad(likelihood.log_prob(x).sum(), x)
    assert_same(likelihood.score(x), autograd)


@every_operator
def test_likelihood_value_and_score_take_one_solve(operator, size, generator):
    solves = []

    def counted(x):
        solves.append(len(x))
        return operator(x)

    observed = with_data(operator, size, generator).observed
    likelihood, x = GaussianLikelihood(counted, observed, 0.7), torch.randn(4, size, generator=generator)
    with torch.no_grad():
        value, gradient = likelihood.value_and_score(x)
    assert solves == [*TRACE_CHECK, 4]
    likelihood.value_and_score(x)
    assert solves == [*TRACE_CHECK, 4, 4]
    assert_same(value, likelihood.log_prob(x))
    assert_same(gradient, likelihood.score(x))
    assert not value.requires_grad
    assert not gradient.requires_grad


@every_operator
def test_likelihood_batch_equals_its_members(operator, size, generator):
    likelihood, x = with_data(operator, size, generator), torch.randn(4, size, generator=generator)
    for method in (likelihood.residual, likelihood.log_prob, likelihood.score):
        assert_batch_independent(method, x)


def test_likelihood_density_integrates_to_one_over_one_datum():
    points, width = line_grid(-8.0, 8.0, 400)
    densities = [GaussianLikelihood(CubicOperator(), y, 0.6).log_prob(torch.tensor([[0.8]])).exp() for y in points]
    # The grid sum of a smooth function that vanishes at both ends is exact to rounding.
    assert_same(torch.cat(densities).sum() * width, 1.0)


def test_likelihood_density_integrates_to_one_over_two_data():
    points, area = square_grid(-6.0, 6.5, 40)
    x = torch.tensor([[0.4, -0.2]])
    densities = [GaussianLikelihood(CoupledQuadraticOperator(), y, 0.7).log_prob(x).exp() for y in points]
    # A Gaussian's grid sum errs by exp(-2 (pi gamma / h)^2), here e^-99.
    assert_same(torch.cat(densities).sum() * area, 1.0)


def test_likelihood_density_is_torchs_normal(generator):
    likelihood, x = with_data(MatrixOperator(MATRIX), 3, generator), torch.randn(4, 3, generator=generator)
    normal = torch.distributions.Normal(x @ MATRIX.T, 0.7)
    assert_same(likelihood.log_prob(x), normal.log_prob(likelihood.observed).sum(1))


@pytest.mark.parametrize("noise_std", [1e-3, 2.0])
def test_observe_adds_noise_of_the_assumed_variance(noise_std, generator):
    forward, truth = MatrixOperator(torch.ones(20_000, 1)), torch.tensor([3.0])
    likelihood = observe(forward, truth, noise_std, generator=generator)
    standardized = likelihood.residual(truth[None])[0] / likelihood.noise_std
    assert_mean(standardized, 0.0)
    assert abs(float(standardized.square().mean()) - 1) <= 4 * math.sqrt(2 / 20_000)


def test_observe_may_use_another_operator_than_the_inversion(generator):
    fine, coarse = MatrixOperator(torch.full((3, 2), 2.0)), MatrixOperator(torch.ones(3, 2))
    likelihood = observe(coarse, torch.tensor([1.0, 2.0]), 1e-12, generator=generator, data_forward=fine)
    assert likelihood.forward is coarse
    assert_same(likelihood.observed, torch.full((3,), 6.0), rounding=1e-11)


def test_observe_takes_its_noise_from_the_generator():
    first, again = (
        observe(CubicOperator(), torch.ones(1), 0.3, generator=torch.Generator().manual_seed(4)) for _ in range(2)
    )
    assert torch.equal(first.observed, again.observed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_likelihood_dtype_follows_the_input(dtype, generator):
    x = torch.ones(2, 1, dtype=dtype)
    likelihood = observe(CubicOperator(), x[0], 0.3, generator=generator)
    made = likelihood.observed, likelihood.log_prob(x), likelihood.score(x), likelihood.residual(x)
    assert {tensor.dtype for tensor in made} == {dtype}


def test_observe_returns_no_graph_of_a_learned_operator(generator):
    assert not observe(torch.nn.Linear(2, 3), torch.ones(2), 0.3, generator=generator).observed.requires_grad


@every_detached
def test_likelihood_score_refuses_an_operator_outside_the_graph(forward, generator):
    x, likelihood = torch.randn(2, 3, generator=generator), GaussianLikelihood(forward, torch.zeros(5), 0.4)
    for gradient in (likelihood.score, likelihood.value_and_score):
        with pytest.raises(ValueError, match=UNTRACED):
            gradient(x)
    assert likelihood.log_prob(x).shape == (2,)


def test_likelihood_score_uses_a_simulators_own_jacobian(generator):
    x, observed = torch.randn(4, 3, generator=generator), torch.randn(5, generator=generator)
    by_matrix, by_simulator = (
        GaussianLikelihood(one, observed, 0.4) for one in (MatrixOperator(MATRIX), BySimulator())
    )
    assert_same(by_simulator.score(x), by_matrix.score(x))


@pytest.mark.parametrize(
    "forward", [lambda x: torch.ones(len(x), 2), lambda x: torch.nn.Parameter(torch.ones(2)) + 0 * x]
)
def test_likelihood_score_of_constant_data_is_zero(forward, generator):
    likelihood = GaussianLikelihood(forward, torch.zeros(2), 0.5)
    value, gradient = likelihood.value_and_score(torch.randn(3, 2, generator=generator))
    assert torch.equal(gradient, torch.zeros(3, 2))
    assert_same(value, torch.full((3,), float(torch.distributions.Normal(0, 0.5).log_prob(torch.ones(1)) * 2)))


@pytest.mark.parametrize(
    ("dtype", "noise", "warned"),
    [
        (torch.float32, 1e-6, True),
        (torch.float32, 1e-4, False),
        (torch.float64, 1e-12, False),
        (torch.float64, 1e-16, True),
    ],
)
def test_likelihood_refuses_noise_below_the_dtypes_bound(dtype, noise, warned):
    observed = torch.tensor([3.0, -1.0], dtype=dtype)
    bound = 10 * 3 * torch.finfo(dtype).eps
    if warned:
        with pytest.warns(UserWarning, match=rf"^noise_std: expected at least {bound:.3g}, .*, got {noise:.3g}"):
            GaussianLikelihood(lambda x: x, observed, noise)
    else:
        GaussianLikelihood(lambda x: x, observed, noise)
