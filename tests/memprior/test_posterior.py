"""Every posterior in closed form agrees with an independent computation."""

import math

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch
from helpers import (
    MATRIX,
    ROUNDING,
    UNTRACED,
    LargestTensor,
    assert_batch_independent,
    assert_derivative,
    assert_same,
    every_detached,
    line_grid,
    naive_log_joint,
    naive_posterior_mean,
    pentagon,
    square_grid,
)

from memprior.denoiser import score
from memprior.likelihood import GaussianLikelihood
from memprior.memorization import nearest_neighbors
from memprior.mixture import IsotropicMixture, total_variation
from memprior.noise import karras_sigmas
from memprior.operators import CoupledQuadraticOperator, CubicOperator, MatrixOperator
from memprior.posterior import (
    MemorizedPosteriorDenoiser,
    collapsed_log_weights,
    importance_correction,
    linearized_posterior,
    log_posterior,
    quadrature_posterior,
)
from memprior.sampling import ancestral_step, heun_step, sample

CUBIC_SET = torch.tensor([[-1.5], [-0.4], [0.4], [1.2], [2.5]], dtype=torch.float64)


def cubic_problem(noise_std=0.3, observed=0.0):
    """The paper's 1-D problem."""
    return CUBIC_SET, GaussianLikelihood(CubicOperator(), torch.tensor([observed]), noise_std)


def pentagon_problem(noise_std=0.3):
    """The paper's 2-D problem."""
    forward = CoupledQuadraticOperator()
    observed = forward(0.7 * pentagon()[:1])[0]
    return pentagon(), GaussianLikelihood(forward, observed, noise_std)


def conditioned(means, prior_covariance, matrix, observed, noise_std):
    """Joint Gaussian conditioning in data space (Kalman gain), with numpy: means, covariance, log evidences."""
    predicted = matrix @ prior_covariance @ matrix.T + noise_std**2 * np.eye(len(matrix))
    gain = np.linalg.solve(predicted, matrix @ prior_covariance).T
    moved = means + (observed - means @ matrix.T) @ gain.T
    evidences = [scipy.stats.multivariate_normal(matrix @ mean, predicted).logpdf(observed) for mean in means]
    return moved, prior_covariance - gain @ matrix @ prior_covariance, np.array(evidences)


@pytest.fixture
def linear(generator):
    means = torch.randn(4, 3, generator=generator)
    prior = IsotropicMixture(means, 0.8, torch.tensor([0.0, 1.0, -0.5, 0.3]))
    return prior, GaussianLikelihood(MatrixOperator(MATRIX), torch.randn(5, generator=generator), 0.5)


def test_linearized_posterior_of_a_matrix_is_the_exact_mixture(linear):
    prior, likelihood = linear
    means, covariance, evidences = conditioned(
        prior.means.numpy(), 0.64 * np.eye(3), MATRIX.numpy(), likelihood.observed.numpy(), 0.5
    )
    posterior = linearized_posterior(prior, likelihood)
    assert_same(posterior.means, means, rounding=1e-10)
    assert_same(posterior.covariances, np.stack(4 * [covariance]), rounding=1e-10)
    assert_same(posterior.weights, scipy.special.softmax(prior.log_weights.numpy() + evidences), rounding=1e-10)


def test_linearized_posterior_density_of_a_matrix_is_bayes_rule(linear, generator):
    prior, likelihood = linear
    x = torch.randn(6, 3, generator=generator)
    posterior = linearized_posterior(prior, likelihood)
    # log p(x) + log p(y | x) - log p(x | y) = log p(y), the same at every x.
    log_evidence = log_posterior(prior, likelihood, x) - posterior.log_prob(x)
    assert_same(log_evidence, log_evidence[:1].expand(6), rounding=1e-10)
    assert_same(posterior.score(x), prior.score(x) + likelihood.score(x), rounding=1e-10)


@pytest.mark.parametrize("size", [1, 3], ids=["fewer data than unknowns", "as many"])
def test_linearized_posterior_of_one_component_is_a_kalman_update(size, generator):
    mean, matrix = torch.randn(1, 3, generator=generator), MATRIX[:size]
    likelihood = GaussianLikelihood(MatrixOperator(matrix), torch.randn(size, generator=generator), 0.2)
    posterior = linearized_posterior(IsotropicMixture(mean, 1.5), likelihood)
    moved, covariance, _ = conditioned(mean.numpy(), 2.25 * np.eye(3), matrix.numpy(), likelihood.observed.numpy(), 0.2)
    assert_same(posterior.means, moved, rounding=1e-10)
    assert_same(posterior.covariances[0], covariance, rounding=1e-10)
    assert_same(posterior.weights, [1.0])


def test_linearized_posterior_without_determinant_drops_only_that():
    train_set, likelihood = cubic_problem()
    prior = IsotropicMixture(train_set, 0.5)
    with_it, without = (
        linearized_posterior(prior, likelihood, determinant=determinant).log_weights for determinant in (True, False)
    )
    predicted = 0.25 * (1 + 0.9 * train_set[:, 0] ** 2) ** 2 + 0.09
    assert_same(with_it, (without - 0.5 * predicted.log()).log_softmax(0))


@pytest.mark.parametrize(("determinant", "known"), [(False, 0.224), (True, 0.084)])
def test_linearized_weights_with_determinant_are_nearer_to_quadrature(determinant, known):
    train_set, likelihood = cubic_problem()
    prior = IsotropicMixture(train_set, 0.5)
    exact = quadrature_posterior(prior, likelihood, *line_grid(-6.0, 6.0, 2000)).log_weights.exp()
    weights = linearized_posterior(prior, likelihood, determinant=determinant).weights
    assert float(total_variation(weights, exact)) == pytest.approx(known, abs=0.003)


@pytest.mark.parametrize("sigma", [0.5, 0.3, 0.05])
@pytest.mark.parametrize(
    ("problem", "grid", "cells"),
    [(cubic_problem, line_grid, 600), (pentagon_problem, square_grid, 250)],
    ids=["1-D", "2-D"],
)
def test_quadrature_posterior_has_converged(problem, grid, cells, sigma):
    train_set, likelihood = problem()
    prior = IsotropicMixture(train_set, sigma)
    coarse, fine = (quadrature_posterior(prior, likelihood, *grid(-6.0, 6.0, n)) for n in (cells, 2 * cells))
    assert_same(coarse.log_weights.exp(), fine.log_weights.exp(), rounding=1e-8)
    assert_same(coarse.log_evidence, fine.log_evidence, rounding=1e-8)


def test_quadrature_posterior_is_exact_for_a_matrix():
    prior = IsotropicMixture(CUBIC_SET, 0.5, torch.tensor([0.0, 1.0, 0.2, -1.0, 0.0]))
    likelihood = GaussianLikelihood(MatrixOperator(torch.tensor([[1.3]])), torch.tensor([0.4]), 0.3)
    _, _, evidences = conditioned(
        CUBIC_SET.numpy(), 0.25 * np.eye(1), np.array([[1.3]]), likelihood.observed.numpy(), 0.3
    )
    joint = prior.log_weights + torch.from_numpy(evidences)
    points, width = line_grid(-8.0, 8.0, 2000)
    quadrature = quadrature_posterior(prior, likelihood, points, width)
    assert_same(quadrature.log_weights.exp(), joint.softmax(0))
    assert_same(quadrature.log_evidence, joint.logsumexp(0))
    assert_same(quadrature.log_density.exp().sum() * width, 1.0)
    assert_same(quadrature.log_density.exp(), linearized_posterior(prior, likelihood).log_prob(points).exp())


@pytest.mark.parametrize(("problem", "noise_std"), [(cubic_problem, 0.3), (pentagon_problem, 1.2)], ids=["1-D", "2-D"])
def test_importance_correction_finds_the_quadrature_weights(problem, noise_std, generator):
    train_set, likelihood = problem(noise_std)
    prior = IsotropicMixture(train_set, 0.3)
    grid = line_grid(-6.0, 6.0, 1200) if train_set.shape[1] == 1 else square_grid(-6.0, 6.0, 400)
    exact = quadrature_posterior(prior, likelihood, *grid)
    proposal = linearized_posterior(prior, likelihood)
    draws = proposal.sample(20_000, generator=generator)
    corrected = importance_correction(prior, likelihood, proposal, draws)
    # The delta method's standard errors of a self-normalized and of a plain mean.
    log_ratio = log_posterior(prior, likelihood, draws) - proposal.log_prob(draws)
    importance = log_ratio.softmax(0)[:, None]
    weights = exact.log_weights.exp()
    errors = (importance**2 * (prior.responsibilities(draws) - weights) ** 2).sum(0).sqrt()
    assert bool(((corrected.log_weights.exp() - weights).abs() <= 4 * errors).all())
    ratio = (log_ratio - exact.log_evidence).exp()
    assert abs(float((corrected.log_evidence - exact.log_evidence).exp()) - 1) <= 4 * float(ratio.std()) / math.sqrt(
        len(draws)
    )
    assert corrected.efficiency == pytest.approx(float(ratio.sum() ** 2 / ratio.square().sum()) / len(draws), rel=1e-9)


def test_importance_correction_of_the_exact_posterior_is_uniform(linear, generator):
    prior, likelihood = linear
    proposal = linearized_posterior(prior, likelihood)
    corrected = importance_correction(prior, likelihood, proposal, proposal.sample(50, generator=generator))
    assert corrected.efficiency == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("problem", [cubic_problem, pentagon_problem], ids=["1-D", "2-D"])
def test_linearized_weights_tend_to_the_collapsed_weights_as_sigma_squared(problem):
    train_set, likelihood = problem()
    collapsed = collapsed_log_weights(train_set, likelihood)
    gaps = [
        (linearized_posterior(IsotropicMixture(train_set, sigma), likelihood).log_weights - collapsed).abs().max()
        for sigma in (2e-3, 1e-3)
    ]
    assert float(gaps[0] / gaps[1]) == pytest.approx(4, rel=1e-2)


def test_collapsed_log_weights_are_the_likelihoods():
    train_set, likelihood = cubic_problem()
    squares = (train_set[:, 0] + 0.3 * train_set[:, 0] ** 3) ** 2
    assert_same(collapsed_log_weights(train_set, likelihood).exp(), (-squares / 0.18).softmax(0))


def test_collapsed_log_weights_take_one_solve_per_example():
    solves = []

    def counted(x):
        solves.append(len(x))
        return x + 0.3 * x**3

    collapsed_log_weights(CUBIC_SET, GaussianLikelihood(counted, torch.zeros(1), 0.3))
    assert sum(solves) == 5


@pytest.mark.parametrize("sigma", [1e-3, 0.3, 5.0, 80.0])
@pytest.mark.parametrize("problem", [cubic_problem, pentagon_problem], ids=["1-D", "2-D"])
def test_memorized_posterior_denoiser_is_the_brute_force_sum(problem, sigma, generator):
    train_set, likelihood = problem(noise_std=1.0)
    x = train_set[:4] + sigma * torch.randn(4, train_set.shape[1], generator=generator)
    log_weights = likelihood.log_prob(train_set)
    denoiser = MemorizedPosteriorDenoiser(train_set, likelihood)
    # |x - x_n|^2 / 2 sigma^2 keeps eps |x_n|^2 / sigma^2 of the exponent: 1e-9 at sigma = 1e-3, where one example
    # wins by e^(-1e5) and the sum no longer feels it.
    assert_same(denoiser(x, sigma), naive_posterior_mean(x, train_set, sigma, log_weights), rounding=1e-12)


def test_memorized_posterior_denoiser_has_the_noised_posteriors_score(generator):
    train_set, likelihood = pentagon_problem(noise_std=1.0)
    denoiser, x = MemorizedPosteriorDenoiser(train_set, likelihood), torch.randn(4, 2, generator=generator)
    log_weights = likelihood.log_prob(train_set)

    def log_noised(x):
        return naive_log_joint(x, train_set, 0.9, log_weights).logsumexp(1)

    assert_derivative(log_noised, lambda x, v: (score(denoiser, x, 0.9) * v).sum(1), x, generator)
    assert_batch_independent(lambda x: denoiser(x, 0.9), x)


def monte_carlo_ceiling(weights, num):
    """Total variation that ``num`` exact draws stay below: mean + 4 standard deviations, by simulation."""
    counts = np.random.default_rng(0).multinomial(num, weights.numpy() / weights.numpy().sum(), size=4000)
    distances = 0.5 * np.abs(counts / num - weights.numpy()).sum(1)
    return distances.mean() + 4 * distances.std()


@pytest.mark.parametrize("step", [heun_step, ancestral_step], ids=["heun", "ancestral"])
@pytest.mark.parametrize(("problem", "noise_std"), [(cubic_problem, 0.8), (pentagon_problem, 1.2)], ids=["1-D", "2-D"])
def test_memorized_posterior_sampling_reproduces_the_collapsed_weights(problem, noise_std, step, generator):
    train_set, likelihood = problem(noise_std=noise_std)
    weights = collapsed_log_weights(train_set, likelihood).exp()
    denoiser = MemorizedPosteriorDenoiser(train_set, likelihood)
    start = 80.0 * torch.randn(4096, train_set.shape[1], generator=generator)
    draws = sample(denoiser, start, karras_sigmas(100, 1e-3, 80.0), step=step, generator=generator)
    near = nearest_neighbors(draws, train_set, 1)
    assert float(near.distances.max()) < 1e-3
    frequencies = torch.bincount(near.indices[:, 0], minlength=len(train_set)) / len(draws)
    assert float(total_variation(frequencies, weights)) < monte_carlo_ceiling(weights, len(draws))


def test_collapsed_log_weights_of_the_sampled_problems_are_spread():
    for train_set, likelihood in (cubic_problem(noise_std=0.8), pentagon_problem(noise_std=1.2)):
        weights = collapsed_log_weights(train_set, likelihood).exp()
        assert int((weights > 0.05).sum()) >= 3
        assert float(total_variation(weights, torch.full((5,), 0.2))) > 0.2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_posterior_dtype_follows_the_input(dtype, generator):
    prior = IsotropicMixture(CUBIC_SET.to(dtype), 0.5)
    likelihood = GaussianLikelihood(CubicOperator(), torch.zeros(1, dtype=dtype), 0.3)
    points, width = line_grid(-5.0, 5.0, 50)
    posterior = linearized_posterior(prior, likelihood)
    quadrature = quadrature_posterior(prior, likelihood, points.to(dtype), width)
    corrected = importance_correction(prior, likelihood, posterior, posterior.sample(9, generator=generator))
    made = posterior.means, posterior.covariances, posterior.weights, corrected.log_weights, corrected.log_evidence
    made += quadrature.log_density, quadrature.log_weights, quadrature.log_evidence
    made += (MemorizedPosteriorDenoiser(prior.means, likelihood)(prior.means, 0.5),)
    assert {tensor.dtype for tensor in made} == {dtype}


def test_posterior_results_carry_no_graph():
    train_set, likelihood = cubic_problem()
    posterior = linearized_posterior(IsotropicMixture(train_set, 0.5), likelihood)
    assert not posterior.means.requires_grad
    assert not posterior.log_weights.requires_grad
    assert not collapsed_log_weights(train_set, likelihood).requires_grad
    assert abs(float(posterior.weights.sum()) - 1) < ROUNDING


def test_evidence_does_not_depend_on_the_default_dtype():
    prior = IsotropicMixture(CUBIC_SET, 0.5)
    likelihood = GaussianLikelihood(CubicOperator(), torch.zeros(1), 0.3)
    points, width = line_grid(-5.0, 5.0, 70)
    in_double = quadrature_posterior(prior, likelihood, points, width).log_evidence
    torch.set_default_dtype(torch.float32)
    assert torch.equal(quadrature_posterior(prior, likelihood, points, width).log_evidence, in_double)


def test_linearized_posterior_makes_no_data_by_data_matrix(generator):
    matrix = torch.randn(300, 3, generator=generator)
    likelihood = GaussianLikelihood(MatrixOperator(matrix), torch.randn(300, generator=generator), 0.5)
    with LargestTensor() as largest:
        linearized_posterior(IsotropicMixture(torch.randn(4, 3, generator=generator), 0.8), likelihood)
    assert largest.numel <= 4 * (300 + 3) * (3 + 1)


def test_posterior_results_carry_no_graph_of_a_learned_operator():
    net = torch.nn.Linear(1, 1)
    likelihood = GaussianLikelihood(net, torch.zeros(1), 0.3)
    assert not MemorizedPosteriorDenoiser(CUBIC_SET, likelihood).log_weights.requires_grad


@every_detached
def test_linearized_posterior_refuses_an_operator_outside_the_graph(forward, generator):
    prior = IsotropicMixture(torch.randn(4, 3, generator=generator), 0.5)
    likelihood = GaussianLikelihood(forward, torch.zeros(5), 0.3)
    with pytest.raises(ValueError, match=UNTRACED):
        linearized_posterior(prior, likelihood)
    x = prior.means.clone().requires_grad_()
    with pytest.raises(ValueError, match=UNTRACED):
        torch.autograd.grad(log_posterior(prior, likelihood, x).sum(), x)
    assert collapsed_log_weights(prior.means, likelihood).shape == (4,)


def exact_component(matrix, x, observed, sigma, noise):
    """Covariance, mean and log evidence (up to a common constant) of one component, to 60 digits."""
    with mpmath.workdps(60):
        a, at, y = (mpmath.matrix(part.tolist()) for part in (matrix, x, observed))
        precision = mpmath.eye(len(x)) / mpmath.mpf(sigma) ** 2 + a.T * a / mpmath.mpf(noise) ** 2
        covariance = precision**-1
        residual = y - a * at
        shift = covariance * (a.T * residual) / mpmath.mpf(noise) ** 2
        left = residual - a * shift
        squares = sum(v**2 for v in left) / mpmath.mpf(noise) ** 2 + sum(v**2 for v in shift) / mpmath.mpf(sigma) ** 2
        evidence = -squares / 2 - mpmath.log(mpmath.det(precision)) / 2
        normalizer = mpmath.log(mpmath.det(precision)) / 2 - len(x) * mpmath.log(2 * mpmath.pi) / 2
        numbers = [torch.tensor([[float(v) for v in row] for row in m.tolist()]) for m in (covariance, at + shift)]
        return numbers[0], numbers[1][:, 0], evidence, float(normalizer)


@pytest.mark.parametrize("shape", [(4, 6), (9, 5)])
@pytest.mark.parametrize(("dtype", "noise"), [(torch.float64, 1e-4), (torch.float64, 1e-8), (torch.float32, 1e-4)])
def test_linearized_posterior_at_low_noise_keeps_its_digits(shape, dtype, noise, generator):
    """Against 60 digits: a covariance to eps of its largest entry, the density at a mean to eps sigma |J| / noise."""
    matrix, means = torch.randn(shape, generator=generator).to(dtype), torch.randn(3, shape[1], generator=generator)
    means = means.to(dtype)
    observed = matrix @ (means[0] + 0.1)
    found = linearized_posterior(
        IsotropicMixture(means, 0.3), GaussianLikelihood(MatrixOperator(matrix), observed, noise)
    )
    exact = [exact_component(matrix.double(), x.double(), observed.double(), 0.3, noise) for x in means]
    eps = torch.finfo(dtype).eps
    for k, (covariance, mean, _, normalizer) in enumerate(exact):
        assert float((found.covariances[k] - covariance).abs().max()) < 100 * eps * 0.09
        assert float((found.means[k] - mean).abs().max()) < 100 * eps
        alone = type(found).from_factors(found.means[k : k + 1], found._factors[k : k + 1], torch.zeros(1, dtype=dtype))
        assert float(alone.log_prob(found.means[k : k + 1])) == pytest.approx(
            normalizer, abs=100 * eps * 0.3 * 6 / noise
        )
    log_weights = [float(one[2] - max(one[2] for one in exact)) for one in exact]
    came = found.log_weights.double() - found.log_weights.double().max()
    # A squared residual of some (1 / noise)^2 nats; what differs between components is at least 1 here.
    assert came.tolist() == pytest.approx(log_weights, rel=1e3 * eps, abs=1e3 * eps / noise * 1e-3)


def test_linearized_posterior_refuses_noise_below_the_dtypes_bound(generator):
    matrix = 1e3 * torch.eye(3, dtype=torch.float32)
    prior = IsotropicMixture(torch.zeros(2, 3, dtype=torch.float32), 2.0)
    bound = 10 * torch.finfo(torch.float32).eps * 2 * 1e3
    with pytest.warns(UserWarning, match=rf"^noise_std: expected at least {bound:.3g} .* got 0\.002"):
        linearized_posterior(prior, GaussianLikelihood(MatrixOperator(matrix), torch.ones(3).float(), 2e-3))


def test_linearized_posterior_covariances_are_exactly_symmetric(linear):
    covariances = linearized_posterior(*linear).covariances
    assert torch.equal(covariances, covariances.mT)


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 100])
def test_linearized_posterior_in_chunks_of_examples_is_the_same(chunk_size):
    prior = IsotropicMixture(pentagon(), 0.3, torch.arange(5.0))
    likelihood = GaussianLikelihood(CoupledQuadraticOperator(), torch.ones(2), 0.4)
    whole, parts = (linearized_posterior(prior, likelihood, **o) for o in ({}, {"chunk_size": chunk_size}))
    for name in ("means", "covariances", "log_weights"):
        assert_same(getattr(parts, name), getattr(whole, name))
    with pytest.raises(ValueError, match=r"^chunk_size: expected an integer >= 1, got 0"):
        linearized_posterior(prior, likelihood, chunk_size=0)
