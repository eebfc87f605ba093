"""Gaussian prior and linear F: distributions of affine steps against closed forms, draws and the exact posterior."""

import math
from itertools import pairwise

import pytest
import torch
from helpers import ROUNDING, assert_moments, assert_same

from chapters.ch05_samplers import gaussian
from chapters.ch05_samplers.comparison import drift
from memprior.guidance import point_step
from memprior.noise import geometric_sigmas
from memprior.sampling import ancestral_step, sample


def down(top: float, bottom: float, num: int) -> torch.Tensor:
    return torch.cat([geometric_sigmas(top, bottom, num), torch.zeros(1)])


@pytest.fixture(params=[True, False], ids=["white", "not white"])
def case(request, generator):
    return gaussian.toy_case(0.5, white=request.param, generator=generator)


def test_posterior_is_the_joint_gaussian_conditioned(case):
    a, c = case.matrix, case.prior_covariance
    gain = c @ a.T @ torch.linalg.inv(a @ c @ a.T + 0.25 * torch.eye(4))
    assert_same(case.mean, gain @ case.likelihood.observed, rounding=10 * ROUNDING)
    assert_same(case.covariance, c - gain @ a @ c, rounding=10 * ROUNDING)


def test_nats_are_the_divergence_of_torch(case):
    zero = torch.zeros(10)
    laws = [
        torch.distributions.MultivariateNormal(m, c)
        for m, c in ((case.mean, case.covariance), (zero, case.prior_covariance))
    ]
    assert case.nats == pytest.approx(float(torch.distributions.kl_divergence(*laws)), rel=1e-9)


def test_moment_matching_is_the_exact_denoiser(case):
    """MMPS and the single covariance sample exactly as the posterior's own denoiser does."""
    levels = down(20.0, 0.01, 12)
    exact = gaussian.exact_moments(case, levels)
    for name in ("MMPS", "covariance"):
        step = gaussian.affine_steps(case, 0.01)[name](base=drift)
        found = gaussian.sampler_moments(step, case.prior, case, levels)
        assert_same(found.mean, exact.mean, rounding=1e-8)
        assert_same(found.covariance, exact.covariance, rounding=1e-8)


def test_pigdm_is_exact_for_a_white_prior_alone(generator):
    levels = down(20.0, 0.01, 12)
    for white in (True, False):
        case = gaussian.toy_case(0.5, white=white, generator=generator)
        step = gaussian.affine_steps(case, 0.01)["PiGDM"](base=drift)
        off = gaussian.sampler_moments(step, case.prior, case, levels).against(case)["mean"]
        assert off < 1e-8 if white else off > 0.01


def test_exact_sampler_error_halves_as_levels_double(case):
    off = [1 - gaussian.exact_moments(case, down(20.0, 0.005, n)).against(case)["narrow"] for n in (100, 200, 400)]
    for coarse, fine in pairwise(off):
        assert fine / coarse == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.0])
def test_dps_distribution_is_the_limit_of_its_steps(gamma):
    """The error halves as the levels double, so twice the finer value less the coarser one has none of first order."""
    case = gaussian.line_case(1.3, gamma, torch.device("cpu"))
    step = point_step(case.likelihood, base=drift)
    laws = [gaussian.sampler_moments(step, case.prior, case, down(300.0, 1e-4, n)) for n in (500, 1000)]
    mean, variance = gaussian.point_moments(1.3, gamma)
    assert float(2 * laws[1].mean - laws[0].mean) == pytest.approx(mean, rel=1e-3)
    assert float(2 * laws[1].covariance - laws[0].covariance) == pytest.approx(variance, rel=2e-3)
    assert mean == pytest.approx(1.3 * (1 - math.exp(-1 / gamma**2)))
    assert variance == pytest.approx(gamma**2 / 2 * (1 - math.exp(-2 / gamma**2)))


def test_propagated_moments_are_those_of_draws(generator):
    case, levels = gaussian.toy_case(0.5, white=False, generator=generator), geometric_sigmas(20.0, 0.3, 15)
    law = gaussian.sampler_moments(point_step(case.likelihood, base=drift), case.prior, case, levels)
    root = torch.linalg.cholesky(case.covariance + 400 * torch.eye(10))
    start = case.mean + torch.randn(20_000, 10, generator=generator) @ root.T
    drawn = sample(
        case.prior, start, levels, step=point_step(case.likelihood, base=ancestral_step), generator=generator
    )
    assert_moments(drawn, law.mean, law.covariance)


def test_moments_against_themselves_and_scaled(case):
    exact = gaussian.Moments(case.mean, case.covariance)
    assert exact.against(case) == pytest.approx({"mean": 0.0, "narrow": 1.0, "wide": 1.0}, abs=1e-9)
    root = torch.linalg.cholesky(case.covariance)
    moved = gaussian.Moments(case.mean + root @ torch.full((10,), 0.5), 4 * case.covariance)
    assert moved.against(case) == pytest.approx({"mean": 0.5, "narrow": 2.0, "wide": 2.0}, rel=1e-9)


def test_weighting_reaches_exact_draws_where_nats_are_few_and_not_where_they_are_many(generator):
    """About 2 and 12 nats: 256 prior draws are enough for the first, and far too few for the second."""
    for noise_std, enough in ((0.5, True), (0.05, False)):
        cases = [gaussian.toy_case(noise_std, white=True, generator=generator) for _ in range(4)]
        found = gaussian.weighted(cases, [1, 256], 400, generator=generator)
        assert bool((found.wide[0] > found.floor + 0.5).all())
        assert bool(((found.wide[1] - found.floor).abs() < 0.2).all()) == enough
        assert found.nats.tolist() == pytest.approx([case.nats for case in cases])


def test_control_tells_moment_matching_from_dps(generator):
    """The first is where exact draws are; the distance is unbiased, so that both may be below zero."""
    cases = [gaussian.toy_case(0.5, white=False, generator=generator) for _ in range(3)]
    found = {k: sum(v) / 3 for k, v in gaussian.control(cases, 40, 200, generator=generator).items()}
    assert abs(found["MMPS"]) < 0.03
    assert abs(found["exact draws"]) < 0.03
    assert found["DPS, own weight"] > 0.05
