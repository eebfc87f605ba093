"""Denoisers are the conditional means of their priors."""

import math

import pytest
import torch
from helpers import assert_batch_independent, assert_derivative, assert_same, line_grid, naive_posterior_mean

from memprior.denoiser import EmpiricalDenoiser, GaussianDenoiser, MixtureDenoiser, NetworkDenoiser, score
from memprior.mixture import IsotropicMixture
from memprior.networks import ResidualMLP

SIGMAS = torch.tensor([0.05, 0.4, 1.0, 30.0], dtype=torch.float64)


@pytest.fixture
def train_set(generator):
    return torch.randn(7, 3, generator=generator)


@pytest.fixture
def x(generator):
    return torch.randn(4, 3, generator=generator)


@pytest.fixture
def covariance(generator):
    root = torch.randn(3, 3, generator=generator)
    return root @ root.T


def network_denoiser(spread=1.5, dtype=torch.float64):
    """A network whose last layer, initially zero, has random weights."""
    generator = torch.Generator().manual_seed(2)
    network = ResidualMLP(3, 16, 2, generator=generator, dtype=dtype)
    torch.nn.init.normal_(network.leave[1].weight, generator=generator)
    return NetworkDenoiser(network.requires_grad_(False), spread)


@pytest.fixture(params=["empirical", "gaussian", "mixture", "network"])
def denoiser(request, train_set, covariance):
    return {
        "empirical": EmpiricalDenoiser(train_set),
        "gaussian": GaussianDenoiser(train_set[0], covariance),
        "mixture": MixtureDenoiser(IsotropicMixture(train_set, 0.3)),
        "network": network_denoiser(),
    }[request.param]


def test_denoiser_batch_equals_its_members(denoiser, x):
    assert_batch_independent(lambda x: denoiser(x, 0.6), x)


def test_denoiser_takes_one_noise_level_per_row(denoiser, x):
    one_by_one = [denoiser(row[None], float(sigma)) for row, sigma in zip(x, SIGMAS, strict=True)]
    assert_same(denoiser(x, SIGMAS), torch.cat(one_by_one))
    scores = [score(denoiser, row[None], sigma) for row, sigma in zip(x, SIGMAS, strict=True)]
    assert_same(score(denoiser, x, SIGMAS), torch.cat(scores))


def test_denoisers_are_differentiable_in_forward_mode(denoiser, x, generator):
    def tangent(x, v):
        return torch.func.jvp(lambda x: denoiser(x, 0.8), (x,), (v,))[1]

    assert_derivative(lambda x: denoiser(x, 0.8), tangent, x, generator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_denoiser_dtype_follows_the_input(dtype, train_set, covariance):
    for denoiser in (
        EmpiricalDenoiser(train_set.to(dtype)),
        GaussianDenoiser(train_set[0].to(dtype), torch.eye(3, dtype=dtype)),
        MixtureDenoiser(IsotropicMixture(train_set.to(dtype), 0.3)),
        network_denoiser(dtype=torch.float32),
        network_denoiser(dtype=torch.float64),
    ):
        x = torch.ones(4, 3, dtype=dtype)
        assert denoiser(x, SIGMAS).dtype == score(denoiser, x, 0.5).dtype == dtype


@pytest.mark.parametrize("sigma", [0.05, 0.6, 30.0])
def test_empirical_denoiser_is_the_broadcast_sum(train_set, x, sigma):
    log_weights = torch.tensor([0.0, 1.0, -math.inf, 2.0, -3.0, 0.5, 0.5])
    assert_same(EmpiricalDenoiser(train_set)(x, sigma), naive_posterior_mean(x, train_set, sigma, torch.zeros(7)))
    assert_same(
        EmpiricalDenoiser(train_set, log_weights)(x, sigma), naive_posterior_mean(x, train_set, sigma, log_weights)
    )


def test_score_is_tweedies_formula_of_the_denoiser(train_set, x):
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(IsotropicMixture(train_set, 0.6).log_prob(x).sum(), x)
    assert_same(EmpiricalDenoiser(train_set)(x, 0.6), x + 0.36 * gradient)


def test_empirical_denoiser_goes_from_the_mean_to_the_nearest_example(train_set):
    denoiser = EmpiricalDenoiser(train_set)
    x = train_set + 1e-3
    assert_same(denoiser(x, 1e-3), train_set)
    # The softmax is uniform up to |x - x_n|^2 / sigma^2.
    assert_same(denoiser(x, 1e8), train_set.mean(0).expand(7, 3))


def test_empirical_denoiser_of_one_example_returns_that_example(x):
    assert_same(EmpiricalDenoiser(x[:1])(x, SIGMAS), x[:1].expand(4, 3))


def test_empirical_denoiser_minimizes_the_denoising_loss(train_set, generator):
    clean = train_set[torch.randint(7, (200_000,), generator=generator)]
    noisy = clean + 0.5 * torch.randn(clean.shape, generator=generator)
    error = clean - EmpiricalDenoiser(train_set)(noisy, 0.5)
    # The error of a conditional mean is uncorrelated with every function of what it was given.
    for function in (torch.ones_like(noisy), noisy, noisy**2, torch.sin(3 * noisy)):
        product = (error * function).sum(1)
        assert abs(float(product.mean())) <= 4 * float(product.std()) / math.sqrt(len(noisy))


@pytest.mark.parametrize("sigma", [0.05, 0.6, 30.0])
def test_gaussian_denoiser_is_the_wiener_filter(train_set, covariance, x, sigma):
    mean = train_set[0]
    gain = torch.linalg.solve(covariance + sigma**2 * torch.eye(3), covariance).T
    assert_same(GaussianDenoiser(mean, covariance)(x, sigma), mean + (x - mean) @ gain.T)


def test_gaussian_denoiser_has_the_score_of_the_smoothed_gaussian(train_set, covariance, x):
    smoothed = torch.distributions.MultivariateNormal(train_set[0], covariance + 0.36 * torch.eye(3))
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(smoothed.log_prob(x).sum(), x)
    assert_same(score(GaussianDenoiser(train_set[0], covariance), x, 0.6), gradient)


def test_gaussian_denoiser_of_a_singular_covariance_stays_on_its_support(x):
    axis, mean = torch.tensor([2.0, -1.0, 2.0]) / 3, torch.tensor([1.0, 0.0, -1.0])
    denoised = GaussianDenoiser(mean, 4 * axis[:, None] * axis)(x, 0.5)
    along = ((x - mean) @ axis)[:, None]
    assert_same(denoised, mean + (4 / 4.25) * along * axis)


def test_gaussian_denoiser_without_spread_returns_its_mean(x):
    assert_same(GaussianDenoiser(x[0], torch.zeros(3, 3))(x, SIGMAS), x[:1].expand(4, 3))


def test_gaussian_denoiser_accepts_a_covariance_singular_to_rounding(generator):
    few = torch.randn(4, 30, generator=generator, dtype=torch.float32)
    denoised = GaussianDenoiser(few.mean(0), torch.cov(few.T))(few, 0.1)
    assert bool(torch.isfinite(denoised).all())


@pytest.mark.parametrize("sigma", [0.2, 0.8, 3.0])
def test_mixture_denoiser_is_the_mean_over_clean_points(sigma, generator):
    mixture = IsotropicMixture(torch.tensor([[-1.0], [0.4], [2.0]]), 0.3, torch.tensor([0.0, 1.0, -1.0]))
    # Midpoints of a smooth density that is gone at both ends: beyond every power of the width.
    clean, _ = line_grid(-12.0, 12.0, 4000)
    x = torch.tensor([[-2.0], [0.0], [0.7], [4.0]])
    log_prior = mixture.log_prob(clean)
    assert_same(MixtureDenoiser(mixture)(x, sigma), naive_posterior_mean(x, clean, sigma, log_prior))


def test_mixture_denoiser_has_the_score_of_the_noised_mixture(train_set, x):
    log_weights = torch.tensor([0.0, 1.0, -math.inf, 2.0, -3.0, 0.5, 0.5])
    x.requires_grad_()
    for sigma in SIGMAS.tolist():
        noised = IsotropicMixture(train_set, math.hypot(0.3, sigma), log_weights)
        (gradient,) = torch.autograd.grad(noised.log_prob(x).sum(), x)
        denoiser = MixtureDenoiser(IsotropicMixture(train_set, 0.3, log_weights))
        # D - x is a difference of numbers of size |x|, divided by sigma^2.
        assert_same(sigma**2 * score(denoiser, x, sigma) + x, x + sigma**2 * gradient)


def test_mixture_denoiser_of_one_component_is_the_gaussian_denoiser(x):
    mixture = MixtureDenoiser(IsotropicMixture(x[:1], 0.7))
    assert_same(mixture(x, SIGMAS), GaussianDenoiser(x[0], 0.49 * torch.eye(3))(x, SIGMAS))


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_mixture_denoiser_of_vanishing_width_is_the_empirical_denoiser(sigma, train_set, x):
    gaps = [
        (MixtureDenoiser(IsotropicMixture(train_set, width))(x, sigma) - EmpiricalDenoiser(train_set)(x, sigma)).norm()
        for width in (2e-3, 1e-3)
    ]
    # The width enters as its square, and the next term as the fourth power: 1 + O(width^2 / sigma^2).
    assert float(gaps[0] / gaps[1]) == pytest.approx(4, rel=1e-3)
    assert float(gaps[1]) < 1e-3


def test_mixture_denoiser_far_wider_than_the_noise_returns_x(train_set, x):
    assert_same(MixtureDenoiser(IsotropicMixture(train_set, 1e8))(x, 0.1), x)


def test_network_denoiser_untrained_is_optimal_for_white_data(x):
    network = ResidualMLP(3, 16, 2, generator=torch.Generator(), dtype=torch.float64).requires_grad_(False)
    exact = GaussianDenoiser(torch.zeros(3), 1.5**2 * torch.eye(3))
    assert_same(NetworkDenoiser(network, 1.5)(x, SIGMAS), exact(x, SIGMAS))


@pytest.mark.parametrize("scale", [1e-3, 40.0])
def test_network_denoiser_is_scale_equivariant(scale, x):
    one, other = network_denoiser(1.5), network_denoiser(scale * 1.5)
    assert_same(other(scale * x, scale * SIGMAS), scale * one(x, SIGMAS))


def test_network_denoiser_feeds_unit_variance_and_predicts_the_noise(generator):
    class Told(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unused, self.calls = torch.nn.Parameter(torch.zeros(1)), []

        def forward(self, x, condition):
            self.calls.append((x, condition))
            return torch.ones_like(x)

    network, clean = Told(), 1.5 * torch.randn(20_000, 3, generator=generator)
    for sigma in SIGMAS.tolist():
        noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
        denoised = NetworkDenoiser(network, 1.5)(noisy, sigma)
        x, condition = network.calls[-1]
        # A variance of n normals is known to sqrt(2 / n).
        assert float(x.var()) == pytest.approx(1, abs=4 * math.sqrt(2 / x.numel()))
        assert_same(condition, torch.full((20_000,), math.log(sigma / 1.5)))
        # The network's target, (x_0 - D_0) over the factor of its output, has variance one too.
        rest = GaussianDenoiser(torch.zeros(3), 1.5**2 * torch.eye(3))(noisy, sigma)
        target = (clean - rest) / (denoised - rest)
        assert float(target.var()) == pytest.approx(1, abs=4 * math.sqrt(2 / x.numel()))


def test_network_denoiser_computes_in_its_own_dtype(x):
    single = network_denoiser(dtype=torch.float32)
    passed = []
    single.network.register_forward_hook(lambda _, inputs, answer: passed.extend((*inputs, answer)))
    denoised = single(x, SIGMAS)
    assert {tensor.dtype for tensor in passed} == {torch.float32}
    assert torch.equal(denoised, single(x.float(), SIGMAS).double())
