"""Chapter 6's two distributions: the faulted one is a finite sum, whose posterior brute force finds too."""

import pytest
import torch
from helpers import assert_moments, assert_same

from chapters.ch06_calibration import families
from chapters.ch06_calibration.families import examples_of, prior_of, structures, training_set, truths_of
from memprior.fields import CosineBasis
from memprior.paper import TrainingSet, published_coefficients, published_grid, published_law


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_structures_are_two_layers_and_a_fault():
    """Each is the least-squares fit of a field that is drawn cell by cell here."""
    found = structures()
    assert found.shape == (15 * 15 * 13, 100)
    field = torch.full((64, 64), families.CENTER + families.HALF_CONTRAST)
    for column in range(64):  # depth 20, fault at 44, throw -12
        field[column, 20 - 12 * (column >= 44) :] = families.CENTER - families.HALF_CONTRAST
    expected = CosineBasis(published_grid()).encode(field[None])[0]
    assert float((found - expected).abs().amax(1).min()) < 1e-12


def test_faulted_prior_is_not_gaussian_and_has_the_moments_of_its_draws():
    prior, z = prior_of("faulted"), examples_of("faulted", 1000)
    axes = torch.linalg.eigh(prior.covariance).eigenvectors[:, -10:]  # with the most variance
    assert_moments((z - prior.mean) @ axes, torch.zeros(10), axes.T @ prior.covariance @ axes)
    along = (z - prior.mean) @ axes[:, -1]
    kurtosis = float((along / along.std()).pow(4).mean())
    assert kurtosis < 3 - 4 * (24 / 1000) ** 0.5  # bimodal: below a Gaussian's three by four standard errors


def test_faulted_posterior_is_that_of_a_sum_over_all_structures():
    """All 2925 structures in 100 coordinates, two data sets: the sum is written out."""
    prior, response = prior_of("faulted"), torch.randn(100, 100, generator=seeded())
    z = truths_of("faulted", 2)
    noise_std = 200.0  # so that many structures share the weight
    y = z @ response.T + noise_std * torch.randn(2, 100, generator=seeded(1))
    posterior = prior.condition(response, y, noise_std)
    c = prior.components.covariance
    spread = response @ c @ response.T + noise_std**2 * torch.eye(100)
    away = y[:, None] - prior.components.mean @ response.T
    log_weights = -0.5 * (away * torch.linalg.solve(spread, away.flatten(0, 1).T).T.unflatten(0, away.shape[:2])).sum(2)
    weights = log_weights.softmax(1)
    assert float(1 / weights.square().sum(1).max()) > 1.5
    assert_same(posterior.weights, weights, rounding=1e-6)
    gain = c @ response.T @ torch.linalg.inv(spread)
    mean = weights @ prior.components.mean + torch.einsum("tk,tkm,dm->td", weights, away, gain)
    assert_same(posterior.mean, mean, rounding=1e-6)


def test_sets_are_nested_and_truths_are_of_another_stream():
    for family in families.FAMILIES:
        assert_same(examples_of(family, 60)[:50], examples_of(family, 50))
        apart = torch.cdist(truths_of(family, 200), examples_of(family, 1000))
        assert float(apart.min()) > 0.1
    assert_same(truths_of("Gaussian", 3), published_coefficients(3, seed=12345))
    assert prior_of("Gaussian").mean.equal(published_law().mean)


def test_other_training_sets_share_no_model():
    for family in families.FAMILIES:
        known = torch.cat([examples_of(family, 50), truths_of(family, 400)])
        sets = [families.other_examples(family, 50, index) for index in range(3)]
        for k, one in enumerate(sets):
            assert float(torch.cdist(one, torch.cat([known, *sets[k + 1 :]])).min()) > 0.1


def test_training_set_is_standardized_by_its_examples():
    found = training_set("faulted", 50, torch.device("cpu"))
    assert float(found.standardized.mean(0).abs().max()) < 1e-9
    assert torch.equal(
        training_set("Gaussian", 5, torch.device("cpu")).examples,
        TrainingSet.published(5, torch.device("cpu")).examples,
    )


def test_family_that_is_none_and_too_many_examples_are_refused():
    with pytest.raises(ValueError, match=r"^family: expected one of \('Gaussian', 'faulted'\), got salt"):
        prior_of("salt")
    with pytest.raises(ValueError, match=r"^num: expected at most 1000, got 1001"):
        examples_of("faulted", 1001)
