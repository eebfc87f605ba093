"""DAPS: Langevin draws have the known distribution, the ODE converges to the flow, samples are independent."""

import math

import pytest
import torch
from affine import COVARIANCE, LIKELIHOOD, MEAN, NOISE_STD, PRIOR, conditioned
from helpers import MATRIX, TRACE_CHECK, assert_mean, assert_moments, assert_same, pentagon

from memprior.denoiser import EmpiricalDenoiser, GaussianDenoiser
from memprior.guidance import DecoupledState, daps_step
from memprior.likelihood import GaussianLikelihood
from memprior.noise import karras_sigmas
from memprior.operators import CoupledQuadraticOperator, CubicOperator
from memprior.sampling import sample

CURVATURE = float(torch.linalg.eigvalsh(MATRIX.T @ MATRIX)[-1])
LEVELS = tuple(torch.tensor([0.9, 0.6], dtype=torch.float64))
CURVED = GaussianLikelihood(CoupledQuadraticOperator(), torch.tensor([0.9, 0.4], dtype=torch.float64), 0.3)
OPTIONS = {"num_ode": 3, "num_langevin": 4, "step_size": 0.5, "curvature": 2.0}


def width(sigma, spread=1.0):
    """r, the width of the Gaussian around D."""
    return spread * sigma / math.sqrt(spread**2 + sigma**2)


@pytest.mark.parametrize(("step_size", "num"), [(0.3, 60), (1.0, 40)])
def test_langevin_draws_have_the_moments_of_the_exact_gaussian(step_size, num, generator):
    """Also for steps so long that many are rejected: unadjusted, the variance would be 15 % and 2/3 off."""
    x = torch.tensor([1.0, -0.5, 0.2]).expand(5000, 3)
    step = daps_step(LIKELIHOOD, num_ode=1, num_langevin=num, step_size=step_size, curvature=CURVATURE)
    state = step(PRIOR, x, *LEVELS, generator=generator)
    mean, covariance, _ = conditioned(PRIOR(x[:1], LEVELS[0])[0], width(0.9) ** 2 * torch.eye(3))
    assert_moments(state.denoised, mean, covariance)
    assert_moments(state.x, mean, covariance + LEVELS[1] ** 2 * torch.eye(3))
    assert isinstance(state, DecoupledState)
    assert 0.3 < float(state.acceptance.mean()) < 0.98
    assert_same(state.misfit, LIKELIHOOD.residual(state.denoised).square().sum(1) / (2 * NOISE_STD**2))


def test_langevin_accepts_short_steps(generator):
    """With the right gradient a share h^(3/2) of proposals is rejected, otherwise h^(1/2)."""
    x = torch.tensor([1.0, -0.5, 0.2]).expand(500, 3)
    step = daps_step(LIKELIHOOD, num_ode=1, num_langevin=20, step_size=0.01, curvature=CURVATURE)
    assert 1 - float(step(PRIOR, x, *LEVELS, generator=generator).acceptance.mean()) < 1e-3


def test_langevin_draws_have_the_moments_of_a_nonlinear_likelihood(generator):
    """1-D, F = x + 0.3 x^3: mean and second moment by quadrature."""
    likelihood = GaussianLikelihood(CubicOperator(), torch.tensor([0.7]), 0.3)
    prior = GaussianDenoiser(torch.zeros(1), torch.eye(1))
    x = torch.full((5000, 1), 1.5)
    step = daps_step(likelihood, num_ode=1, num_langevin=40, step_size=0.6, curvature=(1 + 0.9 * 0.8**2) ** 2)
    draws = step(prior, x, *LEVELS, generator=generator).denoised
    grid = torch.linspace(-4, 4, 4001)[:, None]
    center = float(prior(x[:1], LEVELS[0]))
    shares = (likelihood.log_prob(grid) - (grid[:, 0] - center) ** 2 / (2 * width(0.9) ** 2)).softmax(0)
    for power in (1, 2, 3):
        assert_mean(draws[:, 0] ** power, (shares * grid[:, 0] ** power).sum())


@pytest.mark.parametrize("spread", [1.0, 0.7])
def test_daps_step_preserves_the_posterior_for_an_isotropic_prior(spread, generator):
    """There N(D, r^2 I) is p(x_0 | x): a step takes the noised posterior at sigma to that at the next level."""
    covariance = spread**2 * torch.eye(3)
    prior, (mean, posterior, _) = GaussianDenoiser(MEAN, covariance), conditioned(MEAN, covariance)
    start = torch.distributions.MultivariateNormal(mean, posterior + LEVELS[0] ** 2 * torch.eye(3))
    torch.manual_seed(3)
    x = start.sample((5000,))
    step = daps_step(LIKELIHOOD, num_ode=1, num_langevin=40, step_size=0.4, curvature=CURVATURE, spread=spread)
    found = step(prior, x, *LEVELS, generator=generator).x
    assert_moments(found, mean, posterior + LEVELS[1] ** 2 * torch.eye(3))


def test_daps_ode_converges_to_the_exact_flow(generator):
    """With uninformative data and a short step the draw stays at x_hat: the flow of a Gaussian prior.

    Along the ODE x - mean shrinks by the spread of the prior over that of x, in each principal direction.
    """
    uninformative = GaussianLikelihood(LIKELIHOOD.forward, LIKELIHOOD.observed, 1e6)
    x = MEAN + torch.randn(5, 3, generator=generator)
    variances, axes = torch.linalg.eigh(COVARIANCE)
    exact = MEAN + ((x - MEAN) @ axes * (variances / (variances + LEVELS[0] ** 2)).sqrt()) @ axes.T
    errors = []
    for num in (20, 40, 80):
        options = {"num_ode": num, "num_langevin": 1, "step_size": 1e-14, "curvature": 1.0}
        found = daps_step(uninformative, **options)(PRIOR, x, *LEVELS, generator=generator).denoised
        errors.append(float((found - exact).norm()))
    assert 1.8 < errors[0] / errors[1] < 2.2
    assert 1.9 < errors[1] / errors[2] < 2.1


def test_daps_samples_fit_the_data_at_level_zero(generator):
    """The last step adds no noise: what it returns is a draw of x_0."""
    step = daps_step(LIKELIHOOD, num_ode=2, num_langevin=10, step_size=0.4, curvature=CURVATURE)
    start = 10 * torch.randn(2000, 3, generator=generator)
    draws = sample(PRIOR, start, karras_sigmas(15, 0.05, 10.0), step=step, generator=generator)
    prior, misfits = MEAN + torch.randn(2000, 3, generator=generator) @ torch.linalg.cholesky(COVARIANCE).T, []
    for one in (draws, prior):
        misfits.append(float(LIKELIHOOD.residual(one).square().sum(1).mean()))
    mean, covariance, _ = conditioned(MEAN, COVARIANCE)
    expected = float(LIKELIHOOD.residual(mean[None]).square().sum() + torch.trace(MATRIX @ covariance @ MATRIX.T))
    assert misfits[0] < 1.2 * expected < 0.4 * misfits[1]


def test_daps_step_batch_equals_its_members(monkeypatch, generator):
    prior, x = EmpiricalDenoiser(pentagon()), torch.randn(6, 2, generator=generator)
    noises = {
        "randn": [torch.randn(6, 2, generator=generator) for _ in range(5)],
        "rand": [torch.rand(6, generator=generator) for _ in range(4)],
    }

    def stepped(rows):
        left = {name: iter(draws) for name, draws in noises.items()}
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randn", lambda *_, **__: next(left["randn"])[rows])
            patch.setattr(torch, "rand", lambda *_, **__: next(left["rand"])[rows])
            return daps_step(CURVED, **OPTIONS)(prior, x[rows], *LEVELS, generator=generator)

    whole, members = stepped(slice(None)), [stepped(slice(i, i + 1)) for i in range(6)]
    for field in ("x", "denoised", "misfit", "acceptance"):
        assert_same(getattr(whole, field), torch.cat([getattr(member, field) for member in members]))
    assert float(whole.acceptance.min()) < float(whole.acceptance.max())


def test_daps_step_freezes_invalid_samples_and_refuses_invalid_proposals():
    """Models are valid where x_1 > 0: a sample whose x_hat is not stays, and no draw leaves that set."""

    def forward(x):
        return torch.where(x[:, :1] > 0, x, torch.nan)

    likelihood = GaussianLikelihood(forward, torch.zeros(2), 1.0)
    prior = GaussianDenoiser(torch.zeros(2), torch.eye(2))
    x = torch.tensor([[0.05, 2.0], [-1.0, 2.0]]).repeat(50, 1)
    step = daps_step(likelihood, num_ode=1, num_langevin=10, step_size=0.8, curvature=1.0)
    found = step(prior, x, LEVELS[0], torch.tensor(0.0), generator=torch.Generator().manual_seed(1))
    assert torch.isnan(found.misfit).tolist() == [False, True] * 50
    assert torch.equal(found.x[1::2], x[1::2])
    assert float(found.x[::2, 0].min()) > 0
    assert float(found.acceptance[::2].mean()) < 0.9
    assert float(found.acceptance[1::2].max()) == 0


def test_daps_step_costs_the_stated_number_of_evaluations(generator):
    solves, levels, prior = [], [], EmpiricalDenoiser(pentagon())

    def counted(guess):
        solves.append(len(guess))
        return CURVED.forward(guess)

    def watched(x, sigma):
        levels.append(float(sigma))
        return prior(x, sigma)

    likelihood = GaussianLikelihood(counted, CURVED.observed, CURVED.noise_std)
    daps_step(likelihood, **OPTIONS)(watched, torch.ones(6, 2), *LEVELS, generator=generator)
    assert solves == [*TRACE_CHECK, *[6] * 5]
    assert levels == pytest.approx([0.9, 0.9 * ((1 + 0.01 ** (1 / 7)) / 2) ** 7, 0.009])


def test_daps_step_stays_in_single_precision(generator):
    likelihood = GaussianLikelihood(CURVED.forward, CURVED.observed.float(), 0.3)
    x, levels = torch.randn(6, 2, generator=generator).float(), [level.float() for level in LEVELS]
    prior = EmpiricalDenoiser(pentagon().float())
    state = daps_step(likelihood, **OPTIONS)(prior, x, *levels, generator=generator)
    assert {state.x.dtype, state.denoised.dtype, state.misfit.dtype, state.acceptance.dtype} == {torch.float32}
    assert torch.isfinite(state.x).all()


BAD = [
    ("num_ode", 0, "an integer >= 1"),
    ("num_langevin", 2.5, "an integer >= 1"),
    ("step_size", 0.0, "one number, finite and > 0"),
    ("curvature", math.inf, "one number, finite and > 0"),
    ("spread", -1.0, "one number, finite and > 0"),
]


@pytest.mark.parametrize(("name", "value", "expected"), BAD)
def test_daps_step_refuses_bad_input_by_name(name, value, expected):
    with pytest.raises(ValueError, match=rf"^{name}: expected {expected}, got {value}"):
        daps_step(CURVED, **{**OPTIONS, name: value})
