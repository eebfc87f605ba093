"""The condensation level: closed forms, what the theorem of book/condensation.md says, and that it can be told."""

import math

import pytest
import torch

from memprior.condensation import condensation_level, information
from memprior.mixture import IsotropicMixture

F64 = torch.float64
SPECTRA = (torch.ones(3, dtype=F64), torch.tensor([9.0, 1.0, 0.01], dtype=F64), torch.ones(40, dtype=F64))


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def densities(variances, sigma, num=200_000):
    """Draws of the information density, by the two Gaussian densities themselves."""
    deviations = variances.sqrt()
    clean, noise = deviations * normal(num, len(variances), seed=1), normal(num, len(variances), seed=2)
    x = clean + sigma * noise
    wide = (variances + sigma**2).sqrt()
    log_own = -0.5 * noise.square() - math.log(sigma)
    return (log_own + 0.5 * (x / wide).square() + wide.log()).sum(1)


def mean_responsibility(variances, num, sigma, num_sets=400):
    """rho, and its standard error over training sets."""
    means = []
    for seed in range(num_sets):
        examples = variances.sqrt() * normal(num, len(variances), seed=seed)
        x = examples + sigma * normal(num, len(variances), seed=10_000 + seed)
        means.append(float(IsotropicMixture(examples, sigma).responsibilities(x).diagonal().mean()))
    means = torch.tensor(means)
    return float(means.mean()), float(means.std()) / math.sqrt(num_sets)


@pytest.mark.parametrize(("dim", "num"), [(2, 5), (10, 50), (100, 1000)])
def test_condensation_level_of_white_data_has_a_closed_form(dim, num):
    level = condensation_level(torch.ones(dim, dtype=F64), num)
    assert level == pytest.approx((num ** (2 / dim) - 1) ** -0.5, rel=1e-8)


def test_condensation_level_ignores_directions_without_variance():
    ones = torch.ones(4, dtype=F64)
    padded = torch.cat([ones, torch.zeros(3, dtype=F64), torch.tensor([-1e-17], dtype=F64)])
    assert condensation_level(padded, 9) == condensation_level(ones, 9)


def test_condensation_level_refuses_no_variance_and_a_single_example():
    with pytest.raises(ValueError, match="variances: expected at least one above zero"):
        condensation_level(torch.zeros(3), 5)
    with pytest.raises(ValueError, match="num: expected an integer >= 2"):
        condensation_level(torch.ones(3), 1)
    with pytest.raises(ValueError, match="sigma: expected a noise level > 0"):
        information(torch.ones(3), 0.0)


@pytest.mark.parametrize("variances", SPECTRA)
def test_information_falls_by_its_variance_per_unit_of_log_sigma(variances):
    sigma, h = 0.7, 1e-5
    ahead, behind = (information(variances, sigma * math.exp(by))[0] for by in (h, -h))
    mean, variance = information(variances, sigma)
    assert (ahead - behind) / (2 * h) == pytest.approx(-variance, rel=1e-8)
    assert variance <= min(len(variances), 2 * mean)


@pytest.mark.parametrize("variances", SPECTRA)
def test_information_is_the_mean_and_variance_of_a_symmetric_density(variances):
    """By 200 000 draws, five standard errors each; an odd moment of a symmetric variable is zero."""
    mean, variance = information(variances, 0.7)
    draws = densities(variances, 0.7)
    assert float(draws.mean()) == pytest.approx(mean, abs=5 * math.sqrt(variance / len(draws)))
    fourth = float((draws - mean).pow(4).mean())
    assert float(draws.var()) == pytest.approx(variance, abs=5 * math.sqrt(fourth / len(draws)))
    odd = torch.tanh(draws - mean)
    assert abs(float(odd.mean())) < 5 * float(odd.std()) / math.sqrt(len(draws))


@pytest.mark.parametrize("variances", SPECTRA)
@pytest.mark.parametrize("num", [3, 30])
def test_responsibility_at_the_condensation_level_is_above_one_half(variances, num):
    """Part 1, by four standard errors; at 1.6 times the level it is below, so that the test can fail."""
    level = condensation_level(variances, num)
    rho, error = mean_responsibility(variances, num, level)
    assert rho - 4 * error > 0.5
    beyond, error = mean_responsibility(variances, num, 2 * level)
    assert beyond < rho


@pytest.mark.parametrize("variances", [torch.ones(40, dtype=F64), torch.full((200,), 2.0, dtype=F64)])
def test_responsibility_keeps_the_bounds_of_the_theorem(variances):
    """Part 2 on both sides of the level, where its bounds say something."""
    num, told = 50, 0
    level = condensation_level(variances, num)
    for factor in (0.2, 0.35, 0.5, 2.0, 5.0, 20.0):
        mean, variance = information(variances, factor * level)
        s = mean - math.log(num)
        slack = 4 * variance / s**2 + math.exp(-abs(s) / 2)
        rho, error = mean_responsibility(variances, num, factor * level, num_sets=20)
        if s > 0:
            assert rho + 4 * error >= 1 - slack
        else:
            assert rho - 4 * error <= slack
        told += slack < 1
    assert told >= 2
