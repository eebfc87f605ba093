"""Chapter 4's setting is the paper's: data, noise, coordinates, sampler."""

import numpy as np
import pytest
import torch
from helpers import assert_same, training_set

from memprior.experiments import dps_fwi
from memprior.fields import published_truth
from memprior.noise import ddpm_sigmas

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def inversion():
    return dps_fwi.published_inversion(torch.complex64, CPU)


def test_the_noise_is_the_authors_draw(inversion):
    """gamma_c = .055 max |d|; n = gamma_c (a + i b) / sqrt(2), a then b from default_rng(1123), shape (15, 196)."""
    clean = inversion.likelihood.forward(published_truth()[None])[0]
    complex_clean = torch.complex(*clean.unflatten(0, (2, 15, 196)))
    gamma = 0.055 * float(complex_clean.abs().max())
    rng = np.random.default_rng(1123)
    a, b = rng.standard_normal((15, 196)), rng.standard_normal((15, 196))
    noise = torch.complex(*(inversion.likelihood.observed - clean).unflatten(0, (2, 15, 196)))
    assert_same(noise, gamma * (a + 1j * b) / np.sqrt(2), rounding=1e-6)
    assert inversion.likelihood.noise_std == pytest.approx(gamma / np.sqrt(2))


def test_one_memory_takes_all_of_the_published_posterior(inversion):
    training = dps_fwi.TrainingSet.published(50, CPU)
    log_weights = dps_fwi.exact_weights(inversion, training)
    assert int(log_weights.argmax()) == 4
    assert float(log_weights.topk(2).values.diff().abs()) > 1000
    example, truth = (
        float(inversion.likelihood.residual(z[None]).square().sum()) for z in (training.examples[4], inversion.truth)
    )
    assert example / truth == pytest.approx(10, rel=0.02)


def test_the_coordinates_are_standardized_by_the_training_set(inversion):
    training = dps_fwi.TrainingSet.published(50, CPU)
    inside = training.standardizer.normalize(training.examples)
    assert_same(inside.mean(0) + 1, torch.ones(100))
    likelihood = inversion.standardized(training.standardizer)
    assert_same(likelihood.log_prob(inside[:2]), inversion.likelihood.log_prob(training.examples[:2]), rounding=1e-9)
    assert float(training.ratio(training_set()[:3]).max()) == 0


def test_linearized_is_the_tangent(inversion, generator):
    """The operator of the paper's survey has J by reciprocity; F minus its tangent falls as h^2."""
    exact = dps_fwi.published_inversion(torch.complex128, CPU)
    tangent = dps_fwi.linearized(exact.likelihood.forward, exact.truth)
    v = torch.randn(1, 100, generator=generator)
    apart = [
        float((exact.likelihood.forward(exact.truth + h * v) - tangent(exact.truth + h * v)).norm())
        for h in (2e-2, 1e-2)
    ]
    assert np.log2(apart[0] / apart[1]) == pytest.approx(2, abs=0.1)


def test_the_released_sampler_with_the_exact_memory_lands_on_a_memory(inversion, generator):
    training = dps_fwi.TrainingSet.published(50, CPU)
    states = dps_fwi.released_run(inversion, training, training.memorized_prior, num_samples=2, generator=generator)
    *_, last = states
    assert float(training.ratio(training.standardizer.restore(last.x)).max()) < 0.03
    assert float(last.sigma) == 0
    assert inversion.strays.num_frozen == 0


def test_it_starts_from_a_standard_normal_in_its_own_iterate(inversion):
    training = dps_fwi.TrainingSet.published(50, CPU)
    seen = []

    def watching(x, sigma):
        seen.append(x)
        return torch.zeros_like(x)

    draws = [torch.Generator().manual_seed(5) for _ in range(2)]
    next(dps_fwi.released_run(inversion, training, watching, num_samples=3, generator=draws[0]))
    sigma = ddpm_sigmas(200)[0]
    assert_same(seen[0] / (1 + sigma**2).sqrt(), torch.randn(3, 100, generator=draws[1]))


def test_the_ideal_posterior_is_where_its_gradient_vanishes_and_as_wide_as_its_curvature(generator):
    """Gaussian prior, affine F: A (J A)^T (y - F(mean)) / gamma^2 = mean - prior mean; the covariance is known."""
    exact = dps_fwi.published_inversion(torch.complex128, CPU)
    ideal, observed = dps_fwi.ideal_posterior(exact), exact.likelihood.observed
    away = ideal.mean(observed) - ideal.prior.mean
    residual = observed - dps_fwi.linearized(exact.likelihood.forward, exact.truth)(ideal.mean(observed)[None])[0]
    pull = ideal.root @ (ideal.tangent.T @ residual) / exact.likelihood.noise_std**2
    assert_same(pull, away, rounding=1e-6)
    precision = torch.eye(100) + ideal.tangent.T @ ideal.tangent / exact.likelihood.noise_std**2
    covariance = ideal.root @ torch.linalg.inv(precision) @ ideal.root.T
    assert_same(ideal.factor @ ideal.factor.T, covariance, rounding=1e-8)
    draws = ideal.sample(observed, 4000, generator=generator)
    variances = covariance.diagonal()
    error = (draws.mean(0) - ideal.mean(observed)).abs() / (variances / 4000).sqrt()
    assert float(error.max()) < 4.5
    assert float((draws.var(0) / variances - 1).abs().max()) < 4.5 * (2 / 4000) ** 0.5
