"""Mixtures are exact densities, their scores are the gradients, and they take bounded memory."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from helpers import (
    ROUNDING,
    LargestTensor,
    assert_batch_independent,
    assert_derivative,
    assert_mean,
    assert_moments,
    assert_same,
    line_grid,
    naive_log_joint,
    naive_posterior_mean,
    square_grid,
)

import memprior.mixture
from memprior.denoiser import EmpiricalDenoiser, score
from memprior.fields import Standardizer
from memprior.gaussian import Gaussian
from memprior.likelihood import GaussianLikelihood
from memprior.mixture import GaussianMixture, IsotropicMixture, TiedMixture, effective_components, total_variation
from memprior.operators import MatrixOperator
from memprior.posterior import linearized_posterior

LOG_WEIGHTS = torch.tensor([0.3, -1.0, 2.0, -math.inf, 0.0], dtype=torch.float64)


@pytest.fixture
def isotropic(generator):
    return IsotropicMixture(torch.randn(5, 3, generator=generator), 0.7, LOG_WEIGHTS)


@pytest.fixture
def full(generator):
    roots = torch.randn(5, 3, 3, generator=generator)
    return GaussianMixture(torch.randn(5, 3, generator=generator), roots @ roots.mT + 0.1 * torch.eye(3), LOG_WEIGHTS)


@pytest.fixture(params=["isotropic", "full"])
def mixture(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def x(generator):
    return 2 * torch.randn(6, 3, generator=generator)


def test_empirical_score_is_the_mixture_score_and_that_of_autograd(x, generator):
    train_set = torch.randn(7, 3, generator=generator)
    prior = IsotropicMixture(train_set, 0.6)
    x.requires_grad_()
    (autograd,) = torch.autograd.grad(prior.log_prob(x).sum(), x)
    assert_same(prior.score(x), autograd)
    assert_same(score(EmpiricalDenoiser(train_set), x, 0.6), autograd)


def test_mixture_score_is_the_gradient_of_the_log_density(mixture, x, generator):
    assert_derivative(mixture.log_prob, lambda x, v: (mixture.score(x) * v).sum(1), x, generator)


@pytest.mark.parametrize("method", ["log_prob", "score", "responsibilities"])
def test_mixture_batch_equals_its_members(mixture, x, method):
    assert_batch_independent(getattr(mixture, method), x)


def test_isotropic_mixture_is_the_broadcast_sum(isotropic, x):
    joint = naive_log_joint(x, isotropic.means, 0.7, isotropic.log_weights)
    mean = naive_posterior_mean(x, isotropic.means, 0.7, isotropic.log_weights)
    assert_same(isotropic.log_prob(x), joint.logsumexp(1))
    assert_same(isotropic.responsibilities(x), joint.softmax(1))
    assert_same(isotropic.score(x), (mean - x) / 0.7**2)


def test_gaussian_mixture_of_equal_variances_is_the_isotropic_mixture(isotropic, x):
    full = GaussianMixture(isotropic.means, 0.49 * torch.eye(3).repeat(5, 1, 1), LOG_WEIGHTS)
    for method in ("log_prob", "score", "responsibilities"):
        assert_same(getattr(full, method)(x), getattr(isotropic, method)(x))


def test_gaussian_mixture_is_scipys(full, x):
    joint = np.stack(
        [
            log_weight + scipy.stats.multivariate_normal(mean, covariance).logpdf(x.numpy())
            for log_weight, mean, covariance in zip(
                full.log_weights.numpy(), full.means.numpy(), full.covariances.numpy(), strict=True
            )
        ],
        axis=1,
    )
    # scipy inverts by eigenvalues: its rounding grows with the condition number.
    condition = float(torch.linalg.cond(full.covariances).max())
    log_prob = scipy.special.logsumexp(joint, axis=1)
    assert_same(full.log_prob(x), log_prob, rounding=ROUNDING * condition)


@pytest.mark.parametrize("log_weights", [None, torch.tensor([5.0, 4.0, -math.inf], dtype=torch.float64)])
def test_mixture_densities_integrate_to_one(log_weights):
    means = torch.tensor([[-1.0], [0.5], [2.0]])
    points, width = line_grid(-9.0, 10.0, 2000)
    weights = torch.zeros(3) if log_weights is None else log_weights
    for mixture in (
        IsotropicMixture(means, 0.4, log_weights),
        GaussianMixture(means, torch.tensor([0.1, 0.5, 0.3]).reshape(3, 1, 1), weights),
    ):
        # The grid sum of a smooth function that vanishes at both ends is exact to rounding.
        assert float(mixture.log_prob(points).exp().sum() * width) == pytest.approx(1, abs=ROUNDING)


def test_responsibilities_sum_to_one_without_a_removed_component(mixture, x):
    responsibilities = mixture.responsibilities(x)
    assert_same(mixture.weights.sum(), 1.0)
    assert_same(responsibilities.sum(1), torch.ones(6))
    assert mixture.weights[3] == 0
    assert bool((responsibilities[:, 3] == 0).all())


def test_mixture_ignores_a_component_of_weight_zero(isotropic, x):
    kept = [0, 1, 2, 4]
    without = IsotropicMixture(isotropic.means[kept], 0.7, LOG_WEIGHTS[kept])
    assert_same(isotropic.log_prob(x), without.log_prob(x))
    assert_same(isotropic.score(x), without.score(x))


def test_mixture_weights_need_no_normalization(isotropic, x):
    shifted = IsotropicMixture(isotropic.means, 0.7, LOG_WEIGHTS + 800)
    # log w_n + 800 keeps 800 eps of each weight.
    assert_same(shifted.log_prob(x), isotropic.log_prob(x), rounding=800 * ROUNDING)


def test_mixture_density_far_from_the_origin_keeps_its_digits():
    means = torch.tensor([[0.5, -0.25], [1.0, 0.125], [-0.75, 2.0], [0.25, 0.25]])
    x = torch.tensor([[0.5, 0.5], [-1.0, 0.75]])
    near, far = IsotropicMixture(means, 0.5), IsotropicMixture(means + 2**30, 0.5)
    assert_same(far.log_prob(x + 2**30), near.log_prob(x))
    assert_same(far.responsibilities(x + 2**30), near.responsibilities(x))


def test_mixture_score_far_from_every_example_stays_finite():
    prior = IsotropicMixture(torch.tensor([[0.0], [1.0]]), 1e-3)
    assert_same(prior.score(torch.tensor([[-1e3], [1e3]])), torch.tensor([[1e9], [1e6 - 1e9]]))


def test_mixture_draws_have_its_moments(mixture, generator):
    between = mixture.means - mixture.weights @ mixture.means
    within = mixture.covariances if isinstance(mixture, GaussianMixture) else 0.49 * torch.eye(3).expand(5, 3, 3)
    covariance = (mixture.weights[:, None, None] * (within + between[:, :, None] * between[:, None])).sum(0)
    draws = mixture.sample(20_000, generator=generator)
    assert_moments(draws, mixture.weights @ mixture.means, covariance)


def test_mixture_draws_are_determined_by_the_generator(mixture):
    first, again = (mixture.sample(9, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)


def test_isotropic_mixture_in_small_blocks_gives_the_same_values(monkeypatch, generator):
    means, x = torch.randn(50, 3, generator=generator), torch.randn(31, 3, generator=generator)
    prior, sigmas = IsotropicMixture(means, 0.5), torch.linspace(0.1, 3, 31)
    denoiser = EmpiricalDenoiser(means)
    whole = prior.log_prob(x), prior.score(x), prior.responsibilities(x), denoiser(x, sigmas)
    monkeypatch.setattr(memprior.mixture, "BLOCK", 4 * len(means))
    with LargestTensor() as largest:
        parts = prior.log_prob(x), prior.score(x), denoiser(x, sigmas)
    assert largest.numel <= 4 * len(means)
    for part, same in zip((*parts[:2], prior.responsibilities(x), parts[2]), whole, strict=True):
        assert_same(part, same)


def test_isotropic_mixture_never_makes_a_batch_by_examples_by_size_array(generator):
    means = torch.randn(20_000, 256, dtype=torch.float32, generator=generator)
    x = torch.randn(64, 256, dtype=torch.float32, generator=generator)
    with LargestTensor() as largest:
        prior = IsotropicMixture(means, 1.0)
        prior.score(x)
        prior.log_prob(x)
    assert 64 * 20_000 <= largest.numel <= max(memprior.mixture.BLOCK, means.numel()) < 64 * means.numel()


def test_largest_tensor_records_a_broadcast_array(generator):
    with LargestTensor() as largest:
        naive_posterior_mean(torch.zeros(4, 3), torch.randn(5, 3, generator=generator), 1.0, torch.zeros(5))
    assert largest.numel == 4 * 5 * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mixture_dtype_follows_the_input(dtype, generator):
    means = torch.zeros(2, 3, dtype=dtype)
    for mixture in (
        IsotropicMixture(means, 0.5),
        GaussianMixture(means, torch.eye(3, dtype=dtype).repeat(2, 1, 1), torch.zeros(2, dtype=dtype)),
    ):
        x = mixture.sample(4, generator=generator)
        made = x, mixture.weights, mixture.log_prob(x), mixture.score(x), mixture.responsibilities(x)
        assert {tensor.dtype for tensor in made} == {dtype}


def test_effective_components_counts_from_one_winner_to_all_equal():
    rows = torch.stack([torch.zeros(8), torch.tensor([0.0] + 7 * [-math.inf])])
    assert_same(effective_components(rows), [8.0, 1.0])
    assert_same(effective_components(rows + 5), [8.0, 1.0])
    weights = torch.tensor([0.5, 0.3, 0.2])
    assert float(effective_components(weights.log())) == pytest.approx(
        math.exp(scipy.stats.entropy(weights.numpy())), rel=ROUNDING
    )


def test_total_variation_runs_from_zero_to_one():
    p = torch.tensor([[0.2, 0.8, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    q = torch.tensor([[0.2, 0.8, 0.0], [0.0, 0.5, 0.5], [0.25, 0.5, 0.25]])
    assert_same(total_variation(p, q), [0.0, 1.0, 0.25])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("apart", "sigma"), [(1e4, 0.1), (1e8, 1.0)])
def test_mixture_density_of_distant_clusters_keeps_its_digits(dtype, apart, sigma, generator):
    """Products of coordinates would lose eps apart^2 / sigma^2 nats: a thousand here, and more."""
    near = torch.tensor([[0.0, 0.0], [0.25, 0.0], [0.0, 0.5]])
    means = torch.cat([near, apart + 8 * near]).to(dtype)
    x = means + torch.tensor([0.125, -0.0625]).to(dtype) * (1 + (means > 1) * 7)
    exact = naive_log_joint(x.double(), means.double(), sigma, torch.full((6,), -math.log(6)))
    mixture = IsotropicMixture(means, sigma)
    rounding = 1e2 * torch.finfo(dtype).eps
    torch.testing.assert_close(mixture.log_prob(x).double(), exact.logsumexp(1), rtol=rounding, atol=0.05)
    torch.testing.assert_close(mixture.responsibilities(x).double(), exact.softmax(1), rtol=0, atol=0.05)
    traced = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(mixture.log_prob(traced).sum(), traced)
    expected = (exact.softmax(1)[..., None] * (means - x[:, None]).double()).sum(1) / sigma**2
    torch.testing.assert_close(gradient.double(), expected, rtol=0, atol=1e-3 * float(expected.abs().max()))


def test_gaussian_mixture_from_factors_is_that_of_their_products(generator):
    means, factors = torch.randn(3, 4, generator=generator), torch.randn(3, 4, 4, generator=generator).tril()
    factors.diagonal(dim1=1, dim2=2).abs_().add_(0.5)
    log_weights, x = torch.tensor([0.0, -1.0, 0.5]), torch.randn(5, 4, generator=generator)
    found = GaussianMixture.from_factors(means, factors, log_weights)
    other = GaussianMixture(means, factors @ factors.mT, log_weights)
    assert_same(found.covariances, other.covariances)
    assert_same(found.log_prob(x), other.log_prob(x), rounding=1e-10)
    draws = [mixture.sample(6, generator=torch.Generator().manual_seed(1)) for mixture in (found, other)]
    assert_same(draws[0], draws[1], rounding=1e-10)


@pytest.mark.parametrize("factors", [torch.ones(2, 3, 3), -torch.eye(3).repeat(2, 1, 1), torch.eye(3)[None]])
def test_gaussian_mixture_refuses_invalid_factors(factors):
    with pytest.raises(ValueError, match=r"^factors: expected .*, got "):
        GaussianMixture.from_factors(torch.zeros(2, 3), factors.double(), torch.zeros(2))


# One covariance for all components


@pytest.fixture
def tied(generator):
    """Five components in two dimensions, of unequal weights."""
    root = torch.tensor([[1.0, 0.0], [0.4, 0.3]])
    means = 3 * torch.randn(5, 2, generator=generator)
    return TiedMixture(Gaussian(means, root @ root.T), torch.linspace(-1, 1, 5))


def full_of(tied):
    covariance = tied.components.covariance
    return GaussianMixture(tied.components.mean, covariance.expand(len(tied.weights), -1, -1), tied.log_weights)


def test_tied_mixture_is_the_gaussian_mixture_of_equal_covariances(tied, generator):
    x, full = 3 * torch.randn(7, 2, generator=generator), full_of(tied)
    assert_same(tied.log_prob(x), full.log_prob(x), rounding=1e-9)
    assert_mean(tied.sample(40_000, generator=generator), tied.mean)
    assert_moments(tied.sample(40_000, generator=generator), tied.mean, tied.covariance)


def test_tied_denoiser_is_tweedies(tied, generator):
    """D = x + sigma^2 score of the mixture with sigma^2 more variance, for one level and for a level each."""
    x, eye = 3 * torch.randn(7, 2, generator=generator), torch.eye(2)
    for sigma in (0.05, 1.0, 20.0):
        noisy = full_of(
            TiedMixture(Gaussian(tied.components.mean, tied.components.covariance + sigma**2 * eye), tied.log_weights)
        )
        assert_same(tied.denoiser(x, sigma), x + sigma**2 * noisy.score(x), rounding=1e-8)
    levels = torch.linspace(0.1, 2, 7)
    one_by_one = [tied.denoiser(x[k : k + 1], float(sigma)) for k, sigma in enumerate(levels)]
    assert_same(tied.denoiser(x, levels), torch.cat(one_by_one))


def test_tied_denoiser_of_a_singular_covariance_stays_finite(generator):
    flat = TiedMixture(Gaussian(torch.randn(4, 3, generator=generator), torch.diag(torch.tensor([1.0, 0.5, 0.0]))))
    x = torch.randn(6, 3, generator=generator)
    apart = torch.cdist(x[:, 2:], flat.components.mean[:, 2:])  # at little noise the singular axis decides
    nearest = flat.components.mean[apart.argmin(1), 2]
    assert_same(flat.denoiser(x, 1e-3)[:, 2], nearest, rounding=1e-9)


def test_tied_posterior_is_that_of_brute_force_quadrature(tied, generator):
    matrix, noise_std = torch.tensor([[1.0, -0.5]]), 0.7
    observed = torch.tensor([[0.3], [-2.0]])
    posterior = tied.condition(matrix, observed, noise_std)
    points, _ = square_grid(-14, 14, 801)
    log_prior = tied.log_prob(points)
    draws = posterior.sample(40_000, generator=generator)
    for k, y in enumerate(observed):
        log_joint = log_prior - 0.5 * ((y - points @ matrix.T) / noise_std).square().sum(1)
        weights = log_joint.softmax(0)
        mean = weights @ points
        away = points - mean
        assert_same(posterior.mean[k], mean, rounding=1e-8)
        assert_moments(draws[k], mean, (weights[:, None] * away).T @ away)


def test_tied_posterior_of_isotropic_components_is_the_linearized_one(generator):
    """Exact for affine data: weights, means and draws."""
    points, matrix = torch.randn(6, 3, generator=generator), torch.randn(3, 3, generator=generator)
    observed = torch.randn(2, 3, generator=generator)
    for width in (0.01, 0.3, 2.0):
        posterior = TiedMixture(Gaussian(points, width**2 * torch.eye(3))).condition(matrix, observed, 0.4)
        for k, y in enumerate(observed):
            known = linearized_posterior(
                IsotropicMixture(points, width), GaussianLikelihood(MatrixOperator(matrix), y, 0.4)
            )
            assert_same(posterior.weights[k], known.weights, rounding=1e-8)
            assert_same(posterior.mean[k], known.weights @ known.means, rounding=1e-8)


def test_tied_mixture_changes_coordinates_and_back(tied, generator):
    standardizer = Standardizer(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0]))
    moved = tied.standardized(standardizer)
    assert_same(moved.mean, standardizer.normalize(tied.mean))
    back = moved.restored(standardizer)
    assert_same(back.components.mean, tied.components.mean)
    assert_same(back.covariance, tied.covariance)


def test_tied_mixture_refuses_what_is_none():
    with pytest.raises(ValueError, match=r"^log_weights: expected .*"):
        TiedMixture(Gaussian(torch.zeros(2, 3), torch.eye(3)), torch.zeros(3))
    with pytest.raises(ValueError, match=r"^observed: expected .*"):
        TiedMixture(Gaussian(torch.zeros(2, 3), torch.eye(3))).condition(torch.eye(3), torch.zeros(2, 2), 1.0)
