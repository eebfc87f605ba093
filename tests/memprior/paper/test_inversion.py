"""The published inversion is the paper's: data, noise, coordinates, sampler; its tangent is the linearization."""

import numpy as np
import pytest
import torch
from helpers import ROUNDING, assert_same, held_out_set, training_set
from scipy import stats

from chapters.ch04_dps_fwi import ideal as dps_fwi
from memprior import paper
from memprior.fields import CosineBasis, velocity
from memprior.guidance import released_step
from memprior.likelihood import GaussianLikelihood
from memprior.memorization import leave_one_out, nearest_neighbors
from memprior.noise import ddpm_sigmas
from memprior.paper import TRUTHS, published_grid, published_law, published_truth
from memprior.posterior import collapsed_log_weights
from memprior.sampling import trajectory

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def inversion():
    return paper.published_inversion(torch.complex64, CPU)


@pytest.fixture(scope="module")
def exact():
    return paper.published_inversion(torch.complex128, CPU)


@pytest.fixture(scope="module")
def training():
    return paper.TrainingSet.published(50, CPU)


@pytest.fixture(scope="module")
def by_hand(exact):
    """F(t) + J (z - t) with all of the data, and J: (5880, 100)."""
    forward, truth = exact.likelihood.forward, exact.truth
    value, slope = forward(truth[None]).detach(), forward.jacobian(truth[None])[0]
    return lambda z: value + (z - truth) @ slope.T, slope


# Data and noise


def assert_the_authors_noise(likelihood, clean):
    """gamma_c = .055 max |d|; n = gamma_c (a + i b) / sqrt(2), a then b from default_rng(1123), shape (15, 196)."""
    complex_clean = torch.complex(*clean.unflatten(0, (2, 15, 196)))
    gamma = 0.055 * float(complex_clean.abs().max())
    rng = np.random.default_rng(1123)
    a, b = rng.standard_normal((15, 196)), rng.standard_normal((15, 196))
    noise = torch.complex(*(likelihood.observed - clean).unflatten(0, (2, 15, 196)))
    assert_same(noise, gamma * (a + 1j * b) / np.sqrt(2), rounding=1e-6)
    assert likelihood.noise_std == pytest.approx(gamma / np.sqrt(2))


@pytest.mark.parametrize("truth", TRUTHS)
def test_published_inversion_has_the_authors_noise(truth):
    inversion = paper.published_inversion(torch.complex64, CPU, truth=truth)
    assert torch.equal(inversion.truth, TRUTHS[truth]())
    with torch.no_grad():
        clean = inversion.likelihood.forward(TRUTHS[truth]()[None])[0]
    assert_the_authors_noise(inversion.likelihood, clean)


def test_published_inversion_takes_any_operator_truth_and_noise(inversion):
    """With one operator, so that only the given truth or noise differs; noise_std stays the paper's."""
    operator = paper.published_operator(dtype=torch.complex64, any_velocity=True)
    same = paper.published_inversion(operator=operator)
    assert same.operator is operator
    assert torch.equal(same.likelihood.observed, inversion.likelihood.observed)
    assert same.likelihood.noise_std == inversion.likelihood.noise_std
    with torch.no_grad():
        clean = inversion.likelihood.forward(inversion.truth[None])[0]
    noise = torch.arange(len(clean), dtype=torch.float64)
    other = paper.published_inversion(operator=operator, noise=noise)
    assert torch.equal(other.likelihood.observed, clean + noise.to(clean))
    assert other.likelihood.noise_std == inversion.likelihood.noise_std
    disc, named = (paper.published_inversion(operator=operator, truth=t) for t in (TRUTHS["disc"](), "disc"))
    assert torch.equal(disc.likelihood.observed, named.likelihood.observed)
    assert not torch.equal(disc.likelihood.observed, same.likelihood.observed)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("truth: expected one of", {"truth": "another"}),
        (r"truth: expected shape \(100,\), got \(3,\)", {"truth": torch.zeros(3)}),
        (r"noise: expected shape \(5880,\), got \(3,\)", {"noise": torch.zeros(3)}),
        ("dtype: expected None beside an operator", {"dtype": torch.complex64, "operator": paper.published_operator()}),
    ],
)
def test_published_inversion_refuses_what_does_not_fit(message, options):
    with pytest.raises(ValueError, match=message):
        paper.published_inversion(**options)


def test_finer_forward_changes_the_data_and_not_the_inversion(inversion):
    finer = paper.published_inversion(torch.complex64, CPU, finer=True)
    z = published_truth()[None]
    with torch.no_grad():
        here, there, there_inverted = (
            f(z)[0] for f in (inversion.likelihood.forward, paper.finer_forward(), finer.likelihood.forward)
        )
    # The error of the chapters' mesh, which is deterministic; complex64 moves it by a part in five hundred.
    assert float((here - there).norm() / there.norm()) == pytest.approx(8.36e-4, rel=0.01)
    assert_the_authors_noise(finer.likelihood, there)
    assert_same(there_inverted, here)
    # Where the noise is a hundred times as large, it is not what the inversion is wrong by.
    noise = finer.likelihood.observed - there
    assert float((here - there).norm() / noise.norm()) == pytest.approx(0.0098, rel=0.01)


# Truths


def off_support(z, law):
    """Of |z - mean|^2, the share along directions of less than 1e-8 of the prior's largest variance."""
    variances, axes = torch.linalg.eigh(law.covariance)
    squares = ((z - law.mean) @ axes).square()
    return squares[..., variances <= 1e-8 * variances.max()].sum(-1) / squares.sum(-1)


def distance(z, law):
    """Squared Mahalanobis distance along the other 88 directions."""
    variances, axes = torch.linalg.eigh(law.covariance)
    support = variances > 1e-8 * variances.max()
    assert int(support.sum()) == 88
    return float((((z - law.mean) @ axes).square() / variances)[support].sum())


def test_published_truth_is_nearer_the_mean_than_a_draw_is():
    truth, law = TRUTHS["published"](), published_law()
    assert_same(truth, training_set()[[8, 9, 24]].mean(0))
    # A mean of three draws has a third of the variance.
    low, high = stats.chi2.ppf([0.0005, 0.9995], 88) / 3
    assert low < distance(truth, law) < high < 88
    assert float(off_support(truth, law)) < 1e-7


def test_unseen_truth_is_a_draw_of_the_prior_and_in_no_other_set():
    truth, law = TRUTHS["unseen"](), published_law()
    assert_same(truth, paper.published_coefficients(1, seed=paper.TRUTH_SEED)[0])
    assert float(torch.cdist(truth[None], held_out_set()).min()) > 9
    nearest = float(nearest_neighbors(truth[None], training_set(), 1).distances)
    assert nearest > float(leave_one_out(training_set(), 1).distances.min()) > 9
    low, high = stats.chi2.ppf([0.0005, 0.9995], 88)
    assert low < distance(truth, law) < high
    assert float(off_support(truth, law)) < 1e-7


def test_disc_truth_lies_outside_the_priors_support():
    truth, law = TRUTHS["disc"](), published_law()
    assert float(off_support(truth, law)) == pytest.approx(0.246, abs=0.001)  # deterministic, to its digits
    assert float(off_support(training_set(), law).max()) < 1e-7


def test_disc_truth_is_fast_and_at_its_stated_position():
    v = velocity(CosineBasis(published_grid()).decode(TRUTHS["disc"]()[None]))[0]
    at = (torch.arange(64) + 0.5) * 2 / 64
    away = torch.hypot(at[:, None] - 1.2, at[None, :] - 0.9)
    # A hundred cosines leave half of its contrast of .25 km/s, and rings around it.
    assert float(v[away < 0.25].mean()) == pytest.approx(2.12, abs=0.01)
    assert float(v[away > 0.5].mean()) == pytest.approx(1.993, abs=0.002)
    fast = (v > 2.05).double()
    center = [float((fast.sum(axis) * at).sum() / fast.sum()) for axis in (1, 0)]
    assert center == pytest.approx([1.2, 0.9], abs=2 / 64)  # a cell


# The exactly memorized posterior


def test_memorized_posterior_of_the_published_inversion_is_one_example(inversion, training):
    log_weights = collapsed_log_weights(training.examples, inversion.likelihood)
    assert int(log_weights.argmax()) == 4
    assert float(log_weights.topk(2).values.diff().abs()) > 1000
    example, truth = (
        float(inversion.likelihood.residual(z[None]).square().sum()) for z in (training.examples[4], inversion.truth)
    )
    assert example / truth == pytest.approx(10, rel=0.02)


def test_standardized_uses_the_training_sets_coordinates(inversion, training):
    inside = training.standardizer.normalize(training.examples)
    assert_same(inside.mean(0) + 1, torch.ones(100))
    assert torch.equal(training.standardized, inside)
    likelihood = paper.standardized(inversion.likelihood, training.standardizer)
    assert_same(likelihood.log_prob(inside[:2]), inversion.likelihood.log_prob(training.examples[:2]), rounding=1e-9)
    assert float(training.ratio(training_set()[:3]).max()) < 1e-14  # standardizing rounds, by machine


# The tangent


def test_linearization_by_hand_is_the_tangent(exact, by_hand, generator):
    """The operator of the paper's survey has J by reciprocity; F minus its tangent falls as h^2."""
    v = torch.randn(1, 100, generator=generator)
    points = [exact.truth + h * v for h in (2e-2, 1e-2)]
    apart = [float((exact.likelihood.forward(z) - by_hand[0](z)).norm()) for z in points]
    assert np.log2(apart[0] / apart[1]) == pytest.approx(2, abs=0.1)


def test_tangent_reduces_the_linearized_data_to_100_numbers_without_loss(exact, by_hand, training, generator):
    """The score of the full linearized likelihood, near the truth and far away, and its values up to a constant."""
    likelihood = exact.likelihood
    whole = GaussianLikelihood(by_hand[0], likelihood.observed, likelihood.noise_std)
    tangent = paper.tangent(exact)
    assert tangent.observed.shape == (100,)
    near = exact.truth + 1e-2 * torch.randn(5, 100, generator=generator)
    for z in (near, training.examples[:20]):
        assert_same(tangent.score(z), whole.score(z))
    models = torch.cat([near, training.examples[:20]])
    values = tangent.log_prob(models)
    constants = values - whole.log_prob(models)
    assert float((constants - constants[0]).abs().max()) < ROUNDING * float(values.abs().max())
    # What no z can change: the residual across J's columns, and the two normalizers.
    residual = likelihood.residual(exact.truth[None])[0].detach()
    across = residual - by_hand[1] @ torch.linalg.lstsq(by_hand[1], residual).solution
    variance = likelihood.noise_std**2
    constant = 0.5 * across.square().sum() / variance + (5880 - 100) / 2 * np.log(2 * np.pi * variance)
    assert_same(constants[0], constant, rounding=1e-9)
    # At the truth it is the score of the nonlinear operator.
    assert_same(tangent.score(exact.truth[None]), likelihood.score(exact.truth[None]), rounding=1e-9)


# The sampler


def test_released_sampler_on_the_memorized_prior_ends_on_an_example(inversion, training, generator):
    step = released_step(paper.standardized(inversion.likelihood, training.standardizer), paper.STEP_SIZE)
    first = paper.start(2, inversion.truth, generator=generator)
    *_, last = trajectory(training.memorized_prior, first, paper.SIGMAS, step=step, generator=generator)
    # .011 to .014: the last step along the data's gradient, .07 long.
    assert float(training.ratio(training.standardizer.restore(last.x)).max()) < 0.02
    assert float(last.sigma) == 0
    assert inversion.guard.num_frozen == 0


def test_released_sampler_has_the_released_levels_and_step_size():
    assert torch.equal(paper.SIGMAS, ddpm_sigmas(200))
    assert paper.STEP_SIZE == 0.07


def test_start_is_standard_normal_in_the_variance_preserving_iterate():
    draws = [torch.Generator().manual_seed(5) for _ in range(2)]
    first = paper.start(3, torch.zeros(100), generator=draws[0])
    sigma = ddpm_sigmas(200)[0]
    assert_same(first / (1 + sigma**2).sqrt(), torch.randn(3, 100, generator=draws[1]))


# The ideal posterior


def test_ideal_posterior_has_the_mean_and_covariance_of_its_equations(exact, by_hand, generator):
    """Gaussian prior C, affine F: C J^T (y - F(mean)) / gamma^2 = mean - prior mean; the Kalman covariance."""
    ideal, observed, law = dps_fwi.ideal_posterior(exact), exact.likelihood.observed, published_law()
    residual = observed - by_hand[0](ideal.mean[None])[0]
    gamma, slope = exact.likelihood.noise_std, exact.slope
    assert_same(law.covariance @ (slope.T @ residual) / gamma**2, ideal.mean - law.mean, rounding=1e-6)
    information = slope.T @ slope / gamma**2  # (I + C H)^-1 C: no inverse of C, which is singular
    covariance = torch.linalg.solve(torch.eye(100) + law.covariance @ information, law.covariance)
    assert_same(ideal.covariance, covariance, rounding=1e-8)
    draws = ideal.sample(4000, generator=generator)
    variances = covariance.diagonal()
    error = (draws.mean(0) - ideal.mean).abs() / (variances / 4000).sqrt()
    assert float(error.max()) < 4.5
    assert float((draws.var(0) / variances - 1).abs().max()) < 4.5 * (2 / 4000) ** 0.5
