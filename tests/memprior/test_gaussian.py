"""The Gaussian distribution, and its conditioning against independent formulas."""

import math

import pytest
import torch
from helpers import assert_moments, assert_same

from memprior.denoiser import score
from memprior.fields import Standardizer
from memprior.gaussian import Gaussian

MEAN = torch.tensor([0.2, -0.3, 1.0], dtype=torch.float64)
ROOT = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.2, 0.4]], dtype=torch.float64)
LAW = Gaussian(MEAN, ROOT @ ROOT.T)
FLAT = Gaussian(MEAN, ROOT[:, :2] @ ROOT[:, :2].T)  # singular: nothing along one direction
MATRIX = torch.tensor([[1.0, -0.5, 0.2], [0.3, 2.0, 0.0], [0.0, 0.7, -1.1], [0.4, 0.4, 0.4]], dtype=torch.float64)
OBSERVED = torch.tensor([0.5, -1.0, 0.3, 2.0], dtype=torch.float64)
GAMMA = 0.3


def kalman(law, matrix, observed, gamma):
    """Mean and covariance of x given y by the gain C M^T (M C M^T + gamma^2 I)^-1, in the data's space."""
    data = matrix @ law.covariance @ matrix.T + gamma**2 * torch.eye(len(matrix))
    gain = law.covariance @ matrix.T @ torch.linalg.inv(data)
    return law.mean + gain @ (observed - matrix @ law.mean), law.covariance - gain @ matrix @ law.covariance


@pytest.mark.parametrize("law", [LAW, FLAT], ids=["regular", "singular"])
def test_gaussian_conditioned_is_the_kalman_update(law):
    found, (mean, covariance) = law.condition(MATRIX, OBSERVED, GAMMA), kalman(law, MATRIX, OBSERVED, GAMMA)
    assert_same(found.mean, mean)
    assert_same(found.covariance, covariance)
    assert_same(found.root @ found.root.T, covariance)


def test_gaussian_conditioned_one_by_one_is_conditioned_on_all_data():
    both = LAW.condition(MATRIX[:2], OBSERVED[:2], GAMMA).condition(MATRIX[2:], OBSERVED[2:], GAMMA)
    once = LAW.condition(MATRIX, OBSERVED, GAMMA)
    assert_same(both.mean, once.mean)
    assert_same(both.covariance, once.covariance)


def test_gaussian_conditioned_on_a_batch_of_data_has_one_mean_each():
    data = torch.stack([OBSERVED, -OBSERVED, OBSERVED + 1])
    found = LAW.condition(MATRIX, data, GAMMA)
    assert_same(found.mean, torch.stack([LAW.condition(MATRIX, y, GAMMA).mean for y in data]))
    assert found.sample(5, generator=torch.Generator().manual_seed(0)).shape == (3, 5, 3)


def test_gaussian_refuses_noise_below_the_precision_of_its_dtype():
    """B^T B is 1 / gamma^2: at 1e-8 its rounding in float64 is the prior's own precision."""
    with pytest.raises(ValueError, match=r"^noise_std: expected at least .* for torch.float64"):
        LAW.condition(MATRIX, OBSERVED, 1e-8)
    found, (mean, covariance) = LAW.condition(MATRIX, OBSERVED, 1e-4), kalman(LAW, MATRIX, OBSERVED, 1e-4)
    deviation = LAW.covariance.diagonal().sqrt()
    assert bool(((found.mean - mean).abs() < 1e-6 * deviation).all())
    assert bool(((found.covariance - covariance).abs() < 1e-6 * deviation[:, None] * deviation).all())


@pytest.mark.parametrize(
    "law", [LAW, FLAT, LAW.condition(MATRIX, OBSERVED, GAMMA)], ids=["regular", "flat", "posterior"]
)
def test_gaussian_draws_have_its_moments(law, generator):
    assert_moments(law.sample(40_000, generator=generator), law.mean, law.covariance)


def test_gaussian_density_is_that_of_torch(generator):
    x = torch.randn(7, 3, generator=generator)
    other = torch.distributions.MultivariateNormal(LAW.mean, LAW.covariance)
    assert_same(LAW.log_prob(x), other.log_prob(x))
    with pytest.raises(ValueError, match=r"^covariance: expected no singular matrix"):
        FLAT.log_prob(x)


def test_gaussian_denoiser_is_conditioning_on_the_noised_point(generator):
    """E[x_0 | x_sigma = x] is the posterior mean for M = I, gamma = sigma; its score is that of N(m, C + sigma^2 I)."""
    x, sigma = torch.randn(4, 3, generator=generator), 0.7
    assert_same(LAW.denoiser(x, sigma), LAW.condition(torch.eye(3), x, sigma).mean)
    wider = Gaussian(LAW.mean, LAW.covariance + sigma**2 * torch.eye(3))
    x.requires_grad_()
    (slope,) = torch.autograd.grad(wider.log_prob(x).sum(), x)
    assert_same(score(LAW.denoiser, x.detach(), sigma), slope)


def test_gaussian_standardized_is_the_distribution_of_standardized_draws(generator):
    standardizer = Standardizer(torch.tensor([1.0, 0.0, -2.0]), torch.tensor([2.0, 0.5, 3.0]))
    inside = LAW.standardized(standardizer)
    x = torch.randn(5, 3, generator=generator)
    assert_same(inside.log_prob(standardizer.normalize(x)), LAW.log_prob(x) + math.log(3.0))
    back = inside.restored(standardizer)
    assert_same(back.mean, LAW.mean)
    assert_same(back.covariance, LAW.covariance)


def test_gaussian_moves_to_the_dtype_and_device_of_a_tensor():
    single = LAW.condition(MATRIX, OBSERVED, GAMMA).to(torch.zeros(1, dtype=torch.float32))
    assert {single.mean.dtype, single.covariance.dtype, single.root.dtype} == {torch.float32}


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("mean", lambda: Gaussian([0.0], torch.eye(1))),
        ("mean", lambda: Gaussian(torch.zeros(1, 2, 3), torch.eye(3))),
        ("covariance", lambda: Gaussian(torch.zeros(2), torch.eye(3))),
        ("covariance", lambda: Gaussian(torch.zeros(2), torch.zeros(2, 3))),
        ("covariance", lambda: Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.5], [0.0, 1.0]]))),
        ("covariance", lambda: Gaussian(torch.zeros(2), torch.tensor([[1.0, 2.0], [2.0, 1.0]]))),
        ("covariance", lambda: Gaussian(torch.zeros(2), torch.full((2, 2), math.nan))),
        ("num", lambda: LAW.sample(0, generator=torch.Generator())),
        ("matrix", lambda: LAW.condition(MATRIX[:, :2], OBSERVED, GAMMA)),
        ("observed", lambda: LAW.condition(MATRIX, OBSERVED[:3], GAMMA)),
        ("observed", lambda: LAW.condition(MATRIX, OBSERVED * math.nan, GAMMA)),
        ("noise_std", lambda: LAW.condition(MATRIX, OBSERVED, 0.0)),
        ("x", lambda: LAW.log_prob(torch.zeros(3, 2))),
    ],
)
def test_gaussian_refuses_bad_input_by_name(name, make):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: expected"):
        make()
