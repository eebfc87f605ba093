"""Moment-matching steps are exact for Gaussian priors, have the derived bias otherwise, sample by sample."""

import math
from functools import partial

import pytest
import torch
from affine import COVARIANCE, LIKELIHOOD, MEAN, NOISE_STD, PRIOR, chain_moments, conditioned, noiseless_ancestral
from helpers import MATRIX, assert_moments, assert_same, assert_step_batch_independent, pentagon

from memprior.denoiser import EmpiricalDenoiser, GaussianDenoiser, NetworkDenoiser
from memprior.guidance import GuidedState, covariance_step, mmps_step, pigdm_step, point_step
from memprior.likelihood import GaussianLikelihood
from memprior.networks import ResidualMLP
from memprior.noise import karras_sigmas
from memprior.operators import CoupledQuadraticOperator, MatrixOperator, compose, jacobian
from memprior.posterior import MemorizedPosteriorDenoiser
from memprior.sampling import ancestral_step, euler_step, heun_step, sample

POSTERIOR = conditioned(MEAN, COVARIANCE)[:2]
CURVED = GaussianLikelihood(CoupledQuadraticOperator(), torch.tensor([0.9, 0.4], dtype=torch.float64), 0.3)
SLOPE = torch.tensor([[1.0, 0.2], [0.3, 1.1]], dtype=torch.float64)
LEVELS = tuple(torch.tensor([0.9, 0.6], dtype=torch.float64))
ENOUGH = 12  # conjugate gradients of five data: more than exact arithmetic needs, and none of them spoils it

# Each step for the likelihood CURVED, and the V that it stands for, from sigma and dD/dx (B, 2, 2).
STEPS = {
    "point": (partial(point_step, CURVED), lambda sigma, slope: 0 * slope),
    "pigdm": (
        partial(pigdm_step, CURVED, num_iterations=ENOUGH, spread=1.5),
        lambda sigma, slope: torch.eye(2).expand_as(slope) / (1 / 1.5**2 + 1 / sigma**2),
    ),
    "mmps": (partial(mmps_step, CURVED, num_iterations=ENOUGH), lambda sigma, slope: sigma**2 * slope),
    "covariance": (
        partial(covariance_step, CURVED, torch.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=torch.float64), SLOPE),
        None,
    ),
}
every_step = pytest.mark.parametrize("make", [make for make, _ in STEPS.values()], ids=STEPS)
exact_steps = pytest.mark.parametrize(
    "make",
    [
        partial(mmps_step, LIKELIHOOD, num_iterations=ENOUGH),
        partial(covariance_step, LIKELIHOOD, COVARIANCE, MATRIX),
    ],
    ids=["mmps", "covariance"],
)


def made_for(likelihood, make, cast=lambda value: value, **options):
    """The step of ``make``, a partial, for another likelihood."""
    return make.func(likelihood, *map(cast, make.args[1:]), **make.keywords, **options)


@pytest.fixture
def x(generator):
    return torch.randn(6, 2, generator=generator)


@exact_steps
@pytest.mark.parametrize("sigma", [30.0, 3.0, 0.5, 0.05])
def test_moment_steps_have_the_exact_posterior_denoiser_of_a_gaussian(make, sigma, generator):
    x = MEAN + (1 + sigma) * torch.randn(7, 3, generator=generator)
    state = make()(PRIOR, x, torch.tensor(sigma), torch.tensor(sigma / 2), generator=generator)
    assert_same(state.denoised, GaussianDenoiser(*POSTERIOR)(x, sigma))
    residual = LIKELIHOOD.residual(PRIOR(x, sigma))
    assert_same(state.misfit, residual.square().sum(1) / (2 * NOISE_STD**2))


@pytest.mark.parametrize("sigma", [30.0, 3.0, 0.5, 0.05])
@pytest.mark.parametrize("spread", [1.0, 0.4])
def test_pigdm_step_is_exact_for_an_isotropic_prior(sigma, spread, generator):
    covariance = spread**2 * torch.eye(3)
    x = MEAN + (1 + sigma) * torch.randn(7, 3, generator=generator)
    step = pigdm_step(LIKELIHOOD, num_iterations=ENOUGH, spread=spread)
    state = step(GaussianDenoiser(MEAN, covariance), x, torch.tensor(sigma), torch.tensor(0.0), generator=generator)
    assert_same(state.denoised, GaussianDenoiser(*conditioned(MEAN, covariance)[:2])(x, sigma))


def test_covariance_step_is_exact_for_a_singular_covariance_and_few_data(generator):
    root = torch.tensor([[1.0, 0.0], [0.5, -0.2], [0.3, 0.9]])
    covariance, likelihood = root @ root.T, GaussianLikelihood(MatrixOperator(MATRIX[:1]), torch.ones(1), 0.05)
    x = torch.randn(7, 3, generator=generator)
    step = covariance_step(likelihood, covariance, MATRIX[:1])
    state = step(GaussianDenoiser(MEAN, covariance), x, *LEVELS, generator=generator)
    exact = GaussianDenoiser(*conditioned(MEAN, covariance, likelihood)[:2])
    assert_same(state.denoised, exact(x, LEVELS[0]))


def test_covariance_step_reduces_many_data_without_loss(generator):
    """Many data of low noise: in some directions the posterior is a millionth as wide as the prior."""
    matrix = torch.randn(400, 6, generator=generator) * torch.logspace(0, -3, 6)
    likelihood = GaussianLikelihood(MatrixOperator(matrix), torch.randn(400, generator=generator), 1e-5)
    covariance, x = torch.diag(torch.logspace(-2, 1, 6)), torch.randn(5, 6, generator=generator)
    prior = GaussianDenoiser(torch.zeros(6), covariance)
    found = covariance_step(likelihood, covariance, matrix)(prior, x, *LEVELS, generator=generator)
    precision = torch.diag(1 / covariance.diagonal()) + matrix.T @ matrix / 1e-10 + torch.eye(6) / LEVELS[0] ** 2
    right = x / LEVELS[0] ** 2 + matrix.T @ likelihood.observed / 1e-10
    expected = torch.linalg.solve(precision, right.T).T
    # J^T r / gamma^2, with r of cancelled digits, times the posterior's variances: one rounding of F(D) in units of F.
    torch.testing.assert_close(found.denoised, expected, rtol=0, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize(("make", "spread_of"), list(STEPS.values())[:3], ids=list(STEPS)[:3])
def test_moment_steps_are_their_formula_with_dense_matrices(make, spread_of, x, generator):
    """Nonlinear F, memorized prior: every product with a derivative against the matrix itself."""
    denoiser, sigma = EmpiricalDenoiser(pentagon()), LEVELS[0]
    state = make()(denoiser, x, *LEVELS, generator=generator)
    denoised, slope = denoiser(x, sigma), jacobian(lambda x: denoiser(x, sigma), x)
    data_slope = jacobian(CURVED.forward, denoised)
    total = CURVED.noise_std**2 * torch.eye(2) + data_slope @ spread_of(sigma, slope) @ data_slope.mT
    solved = torch.linalg.solve(total, CURVED.residual(denoised)[..., None])
    assert_same(state.denoised, denoised + sigma**2 * (slope.mT @ data_slope.mT @ solved)[..., 0])
    assert isinstance(state, GuidedState)


@exact_steps
def test_moment_step_samples_tend_to_the_posterior_at_first_order(make, generator):
    """The exact denoiser in a first-order sampler: its error halves, and Richardson extrapolation is exact."""
    step, errors, moments = make(base=noiseless_ancestral), [], []
    for num in (30, 60, 120):
        sigmas = karras_sigmas(num, 0.01, 50.0)
        last = chain_moments(step, PRIOR, MEAN, 50.0**2 * torch.eye(3), sigmas)
        moments.append(torch.cat([last[0][None], last[1]]))
        errors.append(float((moments[-1] - torch.cat([POSTERIOR[0][None], POSTERIOR[1]])).norm()))
    assert errors[0] / errors[1] > 1.7
    assert 1.85 < errors[1] / errors[2] < 2.15
    richardson = 2 * moments[2] - moments[1] - torch.cat([POSTERIOR[0][None], POSTERIOR[1]])
    assert float(richardson.norm()) < 0.15 * errors[2]


def test_point_step_bias_is_that_of_its_affine_steps(generator):
    """Its samples have the moments derived from the steps, whose limit is not the posterior."""
    step, moments = point_step(LIKELIHOOD, base=noiseless_ancestral), []
    for num in (150, 300):
        sigmas = karras_sigmas(num, 0.01, 20.0)
        moments.append(chain_moments(step, PRIOR, MEAN, 20.0**2 * torch.eye(3), sigmas)[1])
    limit = 2 * moments[1] - moments[0]
    assert float((limit - moments[1]).norm()) < 0.1 * float((limit - POSTERIOR[1]).norm())
    assert float(limit.trace()) < 0.8 * float(POSTERIOR[1].trace())

    sigmas = karras_sigmas(60, 0.05, 20.0)
    mean, covariance = chain_moments(step, PRIOR, MEAN, 20.0**2 * torch.eye(3), sigmas)
    start = MEAN + 20.0 * torch.randn(4000, 3, generator=generator)
    draws = sample(PRIOR, start, sigmas, step=point_step(LIKELIHOOD), generator=generator)
    assert_moments(draws, mean, covariance)


@every_step
@pytest.mark.parametrize("last", [False, True])
def test_moment_step_batch_equals_its_members(make, last, x, monkeypatch, generator):
    sigma, sigma_next = LEVELS[0], torch.tensor(0.0) if last else LEVELS[1]
    denoiser = EmpiricalDenoiser(pentagon())
    assert_step_batch_independent(make(), denoiser, x, sigma, sigma_next, monkeypatch, generator)


@every_step
@pytest.mark.parametrize("base", [ancestral_step, euler_step])
def test_moment_steps_draw_only_through_their_base(make, base, x, generator):
    ours, theirs = (torch.Generator().manual_seed(7) for _ in range(2))
    state = make(base=base)(EmpiricalDenoiser(pentagon()), x, *LEVELS, generator=ours)
    reverse = base(lambda x, sigma: state.denoised, x, *LEVELS, generator=theirs)
    assert torch.equal(ours.get_state(), theirs.get_state())
    assert_same(state.x, reverse.x)


@exact_steps
def test_moment_steps_on_heun_evaluate_the_guided_denoiser_twice(make, generator):
    x = torch.randn(7, 3, generator=generator)
    found = make(base=heun_step)(PRIOR, x, *LEVELS, generator=generator)
    assert_same(found.x, heun_step(GaussianDenoiser(*POSTERIOR), x, *LEVELS, generator=generator).x)


@every_step
def test_moment_steps_freeze_an_invalid_sample_and_continue_the_others(make):
    restricted = GaussianLikelihood(
        compose(lambda x: torch.where(x[:, :1] > 0, x, torch.nan), CURVED.forward), CURVED.observed, CURVED.noise_std
    )
    step = made_for(restricted, make, base=euler_step)
    x = torch.tensor([[1.0, 2.0], [-1.0, 0.3], [3.0, -1.0]])
    prior = GaussianDenoiser(torch.zeros(2), torch.eye(2))
    found = step(prior, x, *LEVELS, generator=None)
    assert torch.isnan(found.misfit).tolist() == [False, True, False]
    assert torch.equal(found.x[1], x[1])
    assert_same(found.denoised[1], prior(x, LEVELS[0])[1])
    assert_same(found.x[[0, 2]], step(prior, x[[0, 2]], *LEVELS, generator=None).x)


def test_conjugate_gradients_converge_for_each_member_by_itself(generator):
    """One member fits already, one converges in one iteration, one needs them all; more iterations change nothing."""
    axes = torch.linalg.qr(torch.randn(4, 4, generator=generator)).Q
    matrix = axes * torch.tensor([3.0, 1.0, 0.3, 0.01])
    likelihood = GaussianLikelihood(MatrixOperator(matrix), axes[:, 0].contiguous(), 0.3)
    prior, guess = GaussianDenoiser(torch.zeros(4), torch.eye(4)), torch.randn(3, 4, generator=generator)
    guess[0], guess[1] = torch.tensor([1 / 3, 0, 0, 0]), 0
    x = guess * (1 + LEVELS[0] ** 2)
    exact = covariance_step(likelihood, torch.eye(4), matrix)(prior, x, *LEVELS, generator=generator)
    for num in (4, 5, 40):
        found = mmps_step(likelihood, num_iterations=num)(prior, x, *LEVELS, generator=generator)
        assert_same(found.denoised, exact.denoised)
    assert_same(found.denoised[0], guess[0])
    once = mmps_step(likelihood, num_iterations=1)(prior, x, *LEVELS, generator=generator)
    assert_same(once.denoised[:2], exact.denoised[:2])
    assert float((once.denoised[2] - exact.denoised[2]).norm()) > 0.01


@pytest.mark.parametrize("make", [pigdm_step, mmps_step])
def test_conjugate_gradients_cost_one_forward_product_per_iteration(make, x, generator):
    calls = []

    def counted(guess):
        calls.append(len(guess))
        return CURVED.forward(guess)

    likelihood = GaussianLikelihood(counted, CURVED.observed, CURVED.noise_std)
    likelihood.score(x)
    for num, most in ((1, 2), (2, 3), (50, 5)):
        calls.clear()
        make(likelihood, num_iterations=num)(EmpiricalDenoiser(pentagon()), x, *LEVELS, generator=generator)
        assert len(calls) <= most
        assert num > 2 or len(calls) == most


def test_mmps_step_keeps_the_denoised_point_for_a_negative_covariance(generator):
    """dD/dx = -3 I would be a negative variance: S has no positive curvature, and D is kept."""

    def turned(x, sigma):
        return -3 * x

    x = torch.randn(5, 3, generator=generator)
    likelihood = GaussianLikelihood(MatrixOperator(MATRIX), LIKELIHOOD.observed, 0.01)
    state = mmps_step(likelihood, num_iterations=5)(turned, x, *LEVELS, generator=generator)
    assert_same(state.denoised, turned(x, None))


@every_step
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_moment_steps_of_a_network_keep_its_dtype(make, dtype, generator):
    """An untrained network's derivative is not symmetric. A sample goes down all levels and stays finite and in dtype.

    One step in single precision is that in double, to single rounding of numbers of order one.
    """
    network = ResidualMLP(2, 16, 2, generator=generator)
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    prior = NetworkDenoiser(network.double(), 1.0)
    slope = jacobian(lambda x: prior(x, 0.9), torch.zeros(1, 2))[0]
    assert float((slope - slope.T).abs().max()) > 0.01

    def cast(value):
        return value.to(dtype) if isinstance(value, torch.Tensor) else value

    likelihood = GaussianLikelihood(CURVED.forward, CURVED.observed.to(dtype), 1.0)
    step = made_for(likelihood, make, cast, base=euler_step)
    x = torch.randn(6, 2, generator=generator)
    single = step(prior, x.to(dtype), *(level.to(dtype) for level in LEVELS), generator=generator)
    assert single.x.dtype == single.denoised.dtype == single.misfit.dtype == dtype
    plain = made_for(GaussianLikelihood(CURVED.forward, CURVED.observed, 1.0), make)
    double = plain(prior, x, *LEVELS, generator=generator)
    assert_same(single.denoised.double(), double.denoised, rounding=1e3 * torch.finfo(dtype).eps)
    sigmas = karras_sigmas(10, 0.05, 5.0).to(dtype)
    assert torch.isfinite(sample(prior, 5 * x.to(dtype), sigmas, step=step, generator=generator)).all()


def test_mmps_step_is_near_the_memorized_posterior_at_high_noise(generator):
    """Far above the spacing of the examples the prior is nearly Gaussian, for which MMPS is exact."""
    train = torch.randn(400, 2, generator=generator)
    likelihood = GaussianLikelihood(MatrixOperator(SLOPE), torch.tensor([0.4, -0.2]), 0.8)
    x = 4 * torch.randn(20, 2, generator=generator)
    step = mmps_step(likelihood, num_iterations=4)
    found = step(EmpiricalDenoiser(train), x, torch.tensor(4.0), torch.tensor(2.0), generator=generator)
    exact = MemorizedPosteriorDenoiser(train, likelihood)(x, 4.0)
    prior = EmpiricalDenoiser(train)(x, 4.0)
    assert float((found.denoised - exact).norm()) < 0.15 * float((prior - exact).norm())


COUNTS = "num_iterations: expected an integer >= 1, got"
BAD = {
    "no iterations": (COUNTS, lambda: pigdm_step(CURVED, num_iterations=0)),
    "half an iteration": (COUNTS, lambda: mmps_step(CURVED, num_iterations=0.5)),
    "true iterations": (COUNTS, lambda: mmps_step(CURVED, num_iterations=True)),
    "no spread": ("spread: expected one number", lambda: pigdm_step(CURVED, num_iterations=1, spread=0.0)),
    "spread NaN": ("spread: expected one number", lambda: pigdm_step(CURVED, num_iterations=1, spread=math.nan)),
    "covariance of one vector": ("covariance: expected", lambda: covariance_step(CURVED, torch.ones(2), SLOPE)),
    "covariance not square": ("covariance: expected", lambda: covariance_step(CURVED, torch.ones(2, 3), SLOPE)),
    "covariance lopsided": ("covariance: expected symmetric", lambda: covariance_step(CURVED, SLOPE, SLOPE)),
    "covariance negative": ("covariance: expected a positive", lambda: covariance_step(CURVED, -torch.eye(2), SLOPE)),
    "covariance NaN": (
        "covariance: expected finite",
        lambda: covariance_step(CURVED, torch.full((2, 2), math.nan), SLOPE),
    ),
    "jacobian of other unknowns": ("jacobian: expected", lambda: covariance_step(CURVED, torch.eye(3), SLOPE)),
    "jacobian of other data": (
        r"jacobian: expected 2 rows, as observed has, got \(5, 3\)",
        lambda: covariance_step(CURVED, torch.eye(3), MATRIX),
    ),
    "jacobian NaN": ("jacobian: expected", lambda: covariance_step(CURVED, torch.eye(2), SLOPE * math.nan)),
    "jacobian of another dtype": ("jacobian: expected", lambda: covariance_step(CURVED, torch.eye(2), SLOPE.float())),
}


@pytest.mark.parametrize(("message", "call"), BAD.values(), ids=BAD)
def test_moment_steps_refuse_bad_input_by_name(message, call):
    with pytest.raises(ValueError, match=rf"^{message}"):
        call()


def test_covariance_step_refuses_a_covariance_that_is_no_tensor():
    with pytest.raises(TypeError, match=r"^covariance: expected a torch.Tensor"):
        covariance_step(CURVED, [[1.0]], SLOPE)
