"""Chapter 6's priors in closed form, and the checks by simulated and by left-out truths."""

import math

import pytest
import torch
from helpers import assert_same

from chapters.ch06_calibration import fits, measures
from chapters.ch06_calibration.posteriors import LinearSurvey
from memprior.gaussian import Gaussian
from memprior.mixture import IsotropicMixture


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian_models(num, size=4):
    root = torch.randn(size, size, generator=seeded(7))
    return torch.randn(num, size, generator=seeded(1)) @ root.T + 1


def test_leave_one_out_width_is_the_likeliest():
    x = gaussian_models(9)
    best = fits.leave_one_out_width(x)

    def likelihood(width):
        others = [torch.cat([x[:k], x[k + 1 :]]) for k in range(len(x))]
        return sum(float(IsotropicMixture(o, width).log_prob(x[k : k + 1])) for k, o in enumerate(others))

    assert likelihood(best) > max(likelihood(0.99 * best), likelihood(1.01 * best))


def test_shaped_kernels_go_from_the_memorized_prior_to_the_gaussian():
    """With the mean and nearly the covariance of the Gaussian on the way: exactly but for its shrinkage."""
    x = gaussian_models(60)
    gaussian = fits.ledoit_wolf(x)
    whole, none = fits.shaped_kernels(x, 1.0), fits.shaped_kernels(x, 1e-3)
    assert_same(whole.components.mean, gaussian.mean.expand(60, -1))
    assert_same(whole.covariance, gaussian.covariance)
    assert_same(none.components.mean, x, rounding=1e-5)
    for h in (0.3, 0.8):
        found = fits.shaped_kernels(x, h)
        assert_same(found.mean, gaussian.mean)
        away = x - x.mean(0)
        assert_same(found.covariance, h * h * gaussian.covariance + (1 - h * h) * away.T @ away / 60)


def test_shaped_width_is_wide_for_a_gaussian_and_narrow_for_clusters():
    gaussian = gaussian_models(200)
    centers = 8 * torch.randn(5, 4, generator=seeded(3))
    clusters = centers[torch.arange(200) % 5] + 0.3 * torch.randn(200, 4, generator=seeded(4))
    assert fits.shaped_width((gaussian - gaussian.mean(0)) / gaussian.std(0)) > 0.4
    assert fits.shaped_width((clusters - clusters.mean(0)) / clusters.std(0)) < 0.3
    with pytest.raises(ValueError, match=r"^x: expected at least 50 examples, got 49"):
        fits.shaped_width(gaussian[:49])


def test_fit_with_its_width_is_the_fit_of_all_examples():
    x = gaussian_models(60)
    for name, fit in fits.FITS.items():
        assert_same(fits.with_its_width(name, x)(x).covariance, fit(x).covariance)
    width = fits.with_its_width("smoothed", x).keywords["width"]
    assert math.isclose(width, fits.leave_one_out_width((x - x.mean(0)) / (x.std(0) + 1e-5)))


def survey_of(size=4):
    prior = Gaussian(torch.ones(size), torch.eye(size))
    nothing = torch.empty(0, size)
    return LinearSurvey(prior, torch.randn(size, size, generator=seeded(5)), nothing, nothing, 0.3)


def test_simulated_truths_pass_every_prior_and_left_out_ones_see_a_memorized_one():
    x, survey = gaussian_models(60), survey_of()
    for name in ("memorized", "Ledoit-Wolf"):
        fit = fits.FITS[name]
        simulated = measures.simulated(fit(x), survey, 400, 40, generator=seeded())
        assert simulated.low < 0.9 < simulated.high, name
        checked = measures.left_out(x, fit, survey, 40, generator=seeded(1))
        left_out = checked.coverage
        assert checked.errors.shape == (60,)
        assert (left_out.high < 0.5) == (name == "memorized"), name
    assert left_out.high > 0.85


def test_left_out_example_is_not_in_its_prior():
    x, survey, seen = gaussian_models(12), survey_of(), []

    def fit(others):
        seen.append(others)
        return fits.ledoit_wolf(others)

    measures.left_out(x, fit, survey, 19, generator=seeded())
    assert len(seen) == 12
    for n, others in enumerate(seen):
        assert torch.equal(torch.cat([others[:n], x[n : n + 1], others[n:]]), x)
