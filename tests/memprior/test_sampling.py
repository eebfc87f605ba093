"""Samplers follow the probability flow known in closed form, at their stated order."""

import math
from itertools import pairwise

import pytest
import torch
from helpers import (
    assert_batch_independent,
    assert_mean,
    assert_moments,
    assert_same,
    assert_step_batch_independent,
    pentagon,
)

from memprior.denoiser import EmpiricalDenoiser, GaussianDenoiser, NetworkDenoiser
from memprior.mixture import IsotropicMixture
from memprior.networks import ResidualMLP
from memprior.noise import karras_sigmas
from memprior.sampling import ancestral_step, euler_step, heun_step, log_likelihood, sample, trajectory

STEPS = {"euler": euler_step, "heun": heun_step, "ancestral": ancestral_step}
every_step = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)

MEAN = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
# Singular on purpose: the third direction has no variance.
AXES = torch.linalg.qr(torch.tensor([[1.0, 2.0, 0.5], [0.0, 1.0, -1.0], [1.0, 0.0, 3.0]], dtype=torch.float64)).Q
VARIANCES = torch.tensor([4.0, 0.25, 0.0], dtype=torch.float64)


@pytest.fixture
def denoiser():
    covariance = AXES @ VARIANCES.diag() @ AXES.T
    return GaussianDenoiser(MEAN, 0.5 * (covariance + covariance.T))


def gaussian_flow(x, sigma, sigma_next):
    """The probability flow of N(MEAN, covariance): each principal coordinate shrinks with its standard deviation."""
    shrink = ((VARIANCES + sigma_next**2) / (VARIANCES + sigma**2)).sqrt()
    return MEAN + ((x - MEAN) @ AXES * shrink) @ AXES.T


@pytest.mark.parametrize(("step", "order"), [(euler_step, 1), (heun_step, 2)], ids=["euler", "heun"])
def test_sampler_steps_converge_to_the_flow_at_their_order(step, order, denoiser, generator):
    x = 10 * torch.randn(6, 3, generator=generator)
    exact = gaussian_flow(x, 10.0, 0.1)
    errors = []
    for num_steps in (256, 512):
        sigmas = karras_sigmas(num_steps + 1, 0.1, 10.0)[:-1]
        errors.append((sample(denoiser, x, sigmas, step=step, generator=generator) - exact).norm())
    # The next term of the error is one power of 1 / num_steps smaller.
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


def test_heun_step_reaches_the_end_of_the_flow_at_second_order(denoiser, generator):
    x = 10 * torch.randn(6, 3, generator=generator)
    final = sample(denoiser, x, karras_sigmas(200, 1e-4, 10.0), generator=generator)
    # Euler's last step, from sigma_min, lands on D: off the flow by sigma_min^2 / (2 variance) at most.
    assert_same(final, gaussian_flow(x, 10.0, 0.0), rounding=1e-3)


def test_ancestral_step_is_exact_where_the_clean_point_is_known(generator):
    denoiser = EmpiricalDenoiser(MEAN[None])
    x = MEAN + 5.0 * torch.randn(20_000, 3, generator=generator)
    for state in trajectory(denoiser, x, torch.tensor([5.0, 3.0, 0.5, 0.1]), step=ancestral_step, generator=generator):
        assert_moments(state.x, MEAN, state.sigma**2 * torch.eye(3))


def ancestral_moments(sigmas):
    """Mean and variance along AXES after ancestral steps from N(0, sigmas[0]^2 I): each step is affine."""
    mean, variance = -(MEAN @ AXES), sigmas[0].square().expand(3)
    for sigma, sigma_next in pairwise(sigmas):
        keep = (sigma_next / sigma) ** 2
        factor = keep + (1 - keep) * VARIANCES / (VARIANCES + sigma**2)
        mean, variance = factor * mean, factor**2 * variance + sigma_next**2 * (1 - keep)
    return mean + MEAN @ AXES, variance


def test_ancestral_sampling_of_a_gaussian_has_its_affine_steps_moments(denoiser, generator):
    sigmas = karras_sigmas(100, 1e-3, 50.0)
    mean, variance = ancestral_moments(sigmas)
    start = 50.0 * torch.randn(20_000, 3, generator=generator)
    draws = sample(denoiser, start, sigmas, step=ancestral_step, generator=generator) @ AXES
    assert_moments(draws[:, :2], mean[:2], variance[:2].diag())
    # eigh gives the third direction a variance of some eps * 4; at sigma_min = 1e-3 that keeps eps * 4e6 of 5e-3.
    assert float((draws[:, 2] - mean[2]).abs().max()) < 10 * torch.finfo(torch.float64).eps * 4e6 * 5e-3


def test_ancestral_moments_tend_to_the_gaussian_at_first_order():
    (mean, coarse), (_, fine) = (ancestral_moments(karras_sigmas(num, 1e-4, 50.0)) for num in (500, 1000))
    assert_same(((VARIANCES - coarse) / (VARIANCES - fine))[:2], [2.0, 2.0], rounding=0.02)
    # The start N(0, sigma_T^2 I) forgets the mean up to variance / sigma_T^2.
    assert_same(mean, MEAN @ AXES, rounding=4 / 50.0**2)


@every_step
@pytest.mark.parametrize("sigma_next", [0.7, 0.0])
@pytest.mark.parametrize("kind", ["gaussian", "empirical"])
def test_sampler_step_batch_equals_its_members(step, sigma_next, kind, denoiser, monkeypatch, generator):
    x = 2 * torch.randn(5, 3, generator=generator)
    if kind == "empirical":
        denoiser = EmpiricalDenoiser(torch.randn(4, 3, generator=generator))
    levels = torch.tensor(2.0), torch.tensor(sigma_next)
    assert_step_batch_independent(step, denoiser, x, *levels, monkeypatch, generator)


def test_assert_step_batch_independent_catches_a_coupled_batch(denoiser, monkeypatch, generator):
    def coupled(denoiser, x, sigma, sigma_next, *, generator):
        return euler_step(denoiser, x / x.norm(), sigma, sigma_next, generator=generator)

    with pytest.raises(AssertionError):
        assert_step_batch_independent(
            coupled, denoiser, torch.ones(2, 3), torch.tensor(2.0), torch.tensor(1.0), monkeypatch, generator
        )


@every_step
def test_sampler_last_step_returns_the_denoised_point(step, denoiser, generator):
    x = torch.randn(4, 3, generator=generator)
    state = step(denoiser, x, torch.tensor(1.3), torch.tensor(0.0), generator=generator)
    assert_same(state.x, denoiser(x, 1.3))
    assert_same(state.denoised, denoiser(x, 1.3))
    assert state.sigma == 0


def test_euler_step_is_deterministic_ddim(denoiser, generator):
    x = torch.randn(4, 3, generator=generator)
    sigma, sigma_next = torch.tensor(2.0), torch.tensor(0.5)
    eps = (x - denoiser(x, sigma)) / sigma
    assert_same(
        euler_step(denoiser, x, sigma, sigma_next, generator=generator).x, denoiser(x, sigma) + sigma_next * eps
    )


@every_step
def test_sample_is_the_end_of_the_trajectory(step, denoiser):
    x, sigmas = torch.ones(4, 3), karras_sigmas(9, 0.1, 5.0)
    states = list(trajectory(denoiser, x, sigmas, step=step, generator=torch.Generator().manual_seed(5)))
    assert [float(state.sigma) for state in states] == sigmas[1:].tolist()
    end = sample(denoiser, x, sigmas, step=step, generator=torch.Generator().manual_seed(5))
    assert torch.equal(end, states[-1].x)


def test_trajectory_is_lazy(generator):
    calls = []

    def counted(x, sigma):
        calls.append(float(sigma))
        return x

    states = trajectory(counted, torch.ones(1, 1), torch.tensor([3.0, 2.0, 1.0]), step=euler_step, generator=generator)
    assert calls == []
    next(states)
    assert calls == [3.0]


@pytest.mark.parametrize("sigmas", [[1.0, 2.0, 0.0], [1.0, 1.0], [1.0], [1.0, -0.1], [math.inf, 1.0], [1.0, math.nan]])
def test_trajectory_refuses_bad_levels_before_the_first_step(sigmas, denoiser, generator):
    with pytest.raises(ValueError, match=r"^sigmas: expected .*descending.*, got \["):
        trajectory(denoiser, torch.ones(1, 3), torch.tensor(sigmas), generator=generator)


@every_step
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sampler_dtype_follows_the_input(step, dtype, generator):
    denoiser = EmpiricalDenoiser(torch.ones(2, 3, dtype=dtype))
    x = torch.randn(4, 3, dtype=dtype, generator=generator)
    states = list(trajectory(denoiser, x, karras_sigmas(4, 0.1, 5.0), step=step, generator=generator))
    assert {tensor.dtype for state in states for tensor in (state.x, state.sigma, state.denoised)} == {dtype}


@every_step
def test_trajectory_carries_no_graph_from_step_to_step(step, generator):
    net = torch.nn.Linear(3, 3)
    for state in trajectory(
        lambda x, sigma: net(x), torch.ones(2, 3), karras_sigmas(4, 0.1, 5.0), step=step, generator=generator
    ):
        assert not state.x.requires_grad
        assert not state.denoised.requires_grad


def test_trajectory_levels_given_as_a_list_keep_their_digits(generator):
    x = torch.ones(1, 3)
    torch.set_default_dtype(torch.float32)
    levels = trajectory(lambda x, sigma: x, x, [1.0, 0.1, 0.0], step=euler_step, generator=generator)
    assert float(next(levels).sigma) == 0.1


FLOOR, TOP = 0.3, 200.0


def levels(num_steps, top=TOP):
    return karras_sigmas(num_steps + 1, FLOOR, top)[:-1]


def gaussian_log_prob(x):
    """log density (B,) of the Gaussian of these tests at the floor."""
    smoothed = AXES @ (VARIANCES + FLOOR**2).diag() @ AXES.T
    return torch.distributions.MultivariateNormal(MEAN, 0.5 * (smoothed + smoothed.T)).log_prob(x)


def flow_log_prob(denoiser, x, top):
    """What :func:`log_likelihood` tends to with many levels, for the Gaussian of these tests: its flow in closed form.

    Along a principal axis of variance v the density at the end of the flow is that at its start over
    ((v + top^2) / (v + floor^2))^(1/2), and the end is taken to be N(D(0, top), top^2 I).
    """
    end, center = gaussian_flow(x, FLOOR, top), denoiser(torch.zeros(1, 3), top)
    growth = 0.5 * ((VARIANCES + top**2) / (VARIANCES + FLOOR**2)).log().sum()
    return growth + torch.distributions.Normal(center, top).log_prob(end).sum(1)


def test_log_likelihood_converges_to_that_of_the_flow_at_second_order(denoiser, generator):
    x = MEAN + 2 * torch.randn(6, 3, generator=generator)
    exact = flow_log_prob(denoiser, x, TOP)
    values = [log_likelihood(denoiser, x, levels(num), generator=generator) for num in (128, 256, 512)]
    errors = [(value - exact).abs().max() for value in values]
    for coarse, fine in pairwise(errors):
        # The next term of the error is one power of 1 / num_steps smaller.
        assert math.log2(coarse / fine) == pytest.approx(2, abs=0.1)
    # With the leading term of 1 / num_steps^2 taken out, most of the error is gone.
    assert_same((4 * values[2] - values[1]) / 3, exact, rounding=0.1 * float(errors[2] / exact.abs().max()))


def test_log_likelihood_of_a_known_clean_point_takes_one_step(generator):
    x = MEAN + torch.randn(6, 3, generator=generator)
    value = log_likelihood(EmpiricalDenoiser(MEAN[None]), x, torch.tensor([50.0, FLOOR]), generator=generator)
    assert_same(value, IsotropicMixture(MEAN[None], FLOOR).log_prob(x))


def test_log_likelihood_converges_at_second_order_in_the_top_level(denoiser, generator):
    x = MEAN + 2 * torch.randn(200, 3, generator=generator)
    exact = gaussian_log_prob(x)
    errors = [(flow_log_prob(denoiser, x, top) - exact).abs().max() for top in (50.0, 100.0)]
    assert float(errors[0] / errors[1]) == pytest.approx(4, rel=0.01)


def test_log_likelihood_of_a_gaussian_denoiser_is_the_gaussians(denoiser, generator):
    x = MEAN + 2 * torch.randn(6, 3, generator=generator)
    coarse, fine = (log_likelihood(denoiser, x, levels(num), generator=generator) for num in (256, 512))
    # At second order the error of the fine one is a third of their difference.
    steps = float((coarse - fine).abs().max())
    ending = float((flow_log_prob(denoiser, x, TOP) - gaussian_log_prob(x)).abs().max())
    torch.testing.assert_close(fine, gaussian_log_prob(x), rtol=0, atol=steps / 2 + ending)
    assert max(steps, ending) < 1e-2


def test_log_likelihood_of_the_empirical_denoiser_is_the_noised_mixtures(generator):
    smoothed = IsotropicMixture(pentagon(), FLOOR)
    x = torch.cat([smoothed.sample(20, generator=generator), torch.tensor([[0.0, 0.0], [1.2, 0.9], [2.5, -1.5]])])
    coarse, fine = (
        log_likelihood(EmpiricalDenoiser(pentagon()), x, levels(num), generator=generator) for num in (256, 512)
    )
    steps = float((coarse - fine).abs().max())
    # At the top, z deviations out, log p - log N is the log of the mean of five exp(a): their mean is -2 / TOP^2, and
    # their range at most 4 z / TOP, which by Hoeffding's lemma adds at most its square over 8. z stays below 5.
    ending = 2 * 5**2 / TOP**2
    torch.testing.assert_close(fine, smoothed.log_prob(x), rtol=0, atol=steps / 2 + ending)
    assert max(steps, ending) < 1e-2


def test_log_likelihood_by_random_signs_is_unbiased(denoiser, generator):
    x = torch.tensor([[1.0, 0.0, -1.0]])
    exact = log_likelihood(denoiser, x, levels(40), generator=generator)
    spreads = []
    for num_probes in (1, 4):
        draws = log_likelihood(denoiser, x.expand(4000, 3), levels(40), num_probes=num_probes, generator=generator)
        assert_mean(draws, exact)
        spreads.append(float(draws.std()))
    # A deviation found from n draws is good to 1 / sqrt(2 n): a sum over many steps of signs is close to normal.
    assert spreads[0] / spreads[1] == pytest.approx(2, rel=4 * math.sqrt(2 / 8000))


def test_log_likelihood_uses_the_generator_for_random_signs_alone(denoiser):
    def value(seed, num_probes):
        generator = torch.Generator().manual_seed(seed)
        return log_likelihood(denoiser, torch.ones(2, 3), levels(4), num_probes=num_probes, generator=generator)

    assert torch.equal(value(1, None), value(2, None))
    assert torch.equal(value(1, 2), value(1, 2))
    assert not torch.equal(value(1, 2), value(2, 2))


def test_log_likelihood_batch_equals_its_members(generator):
    denoiser = EmpiricalDenoiser(pentagon())
    x = torch.randn(5, 2, generator=generator)
    assert_batch_independent(lambda x: log_likelihood(denoiser, x, levels(16), generator=generator), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_likelihood_has_the_dtype_of_x(dtype, generator):
    denoiser = EmpiricalDenoiser(pentagon().to(dtype))
    x = torch.ones(2, 2, dtype=dtype)
    for num_probes in (None, 3):
        assert log_likelihood(denoiser, x, levels(4), num_probes=num_probes, generator=generator).dtype == dtype


def test_log_likelihood_of_a_network_carries_no_graph(generator):
    denoiser = NetworkDenoiser(ResidualMLP(3, 8, 1, generator=generator), 1.0)
    x = torch.ones(2, 3)
    value = log_likelihood(denoiser, x, levels(4), generator=generator)
    assert not value.requires_grad
    with torch.no_grad():
        assert torch.equal(log_likelihood(denoiser, x, levels(4), generator=generator), value)


def test_log_likelihood_refuses_a_last_level_of_zero(denoiser, generator):
    with pytest.raises(ValueError, match=r"^sigmas: expected a last level > 0, .*, got 0\.0$"):
        log_likelihood(denoiser, torch.ones(1, 3), karras_sigmas(4, 0.1, 5.0), generator=generator)


def test_trajectory_reports_the_step_of_a_nan_sample(generator):
    def broken(x, sigma):
        return x / (sigma - 1)

    message = (
        r"^denoiser: expected finite numbers, got NaN or infinite for 2 of 2 in step 2 of 3, from sigma = 1 to 0\.5"
    )
    with pytest.raises(FloatingPointError, match=message):
        sample(broken, torch.randn(2, 3), [2.0, 1.0, 0.5, 0.0], step=euler_step, generator=generator)


def test_trajectory_reports_the_step_of_a_diverging_sample(generator):
    start = torch.tensor([[1.0, -1.0], [0.0, 0.0]])
    states = trajectory(lambda x, sigma: 2e4 * x, start, [2.0, 1.0, 0.5, 0.0], step=euler_step, generator=generator)
    assert float(next(states).x.abs().max()) > 1e4
    message = r"^x: expected samples within 2e\+06.* got 1 of 2 outside \(largest 1e\+08\) after step 2 of 3"
    with pytest.raises(FloatingPointError, match=message):
        next(states)


def test_log_likelihood_refuses_a_denoiser_outside_the_graph(generator):
    blind = torch.no_grad()(lambda x, sigma: x / (1 + sigma**2))
    with pytest.raises(ValueError, match=r"^denoiser: expected D\(x, sigma\) that depends on x by torch operations"):
        log_likelihood(blind, torch.ones(2, 3), [4.0, 1.0], generator=generator)


def test_log_likelihood_reports_the_step_of_a_nan_denoiser():
    def broken(x, sigma):
        return x / (1 + sigma**2) + torch.where(sigma > 1, torch.nan, 0.0)

    with pytest.raises(
        FloatingPointError, match=r"^denoiser: .* got NaN or infinite for 2 of 2 between sigma = 1 and 4"
    ):
        log_likelihood(broken, torch.ones(2, 3), [4.0, 1.0, 0.5], generator=torch.Generator())


@pytest.mark.parametrize("step", [euler_step, heun_step])
def test_deterministic_steps_need_no_generator(step, denoiser, generator):
    x, sigmas = 10 * torch.randn(4, 3, generator=generator), karras_sigmas(6, 0.1, 10.0)
    before = generator.get_state()
    ends = [sample(denoiser, x, sigmas, step=step, generator=g) for g in (None, generator)]
    assert torch.equal(*ends)
    assert torch.equal(generator.get_state(), before)


def test_stochastic_steps_refuse_a_missing_generator_by_name(denoiser):
    states = trajectory(denoiser, torch.ones(2, 3), karras_sigmas(6, 0.1, 10.0), step=ancestral_step, generator=None)
    with pytest.raises(TypeError, match=r"^generator: expected a torch.Generator, got NoneType$"):
        next(states)


def test_log_likelihood_needs_a_generator_for_its_probes_alone(denoiser):
    x, sigmas = torch.ones(2, 3), karras_sigmas(6, 0.1, 10.0)[:-1]
    assert log_likelihood(denoiser, x, sigmas, generator=None).isfinite().all()
    with pytest.raises(TypeError, match=r"^generator: expected a torch.Generator, got NoneType$"):
        log_likelihood(denoiser, x, sigmas, num_probes=2, generator=None)
