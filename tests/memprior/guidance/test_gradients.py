"""Guided steps are the published algorithms, independent for each member, and invalid samples stay."""

import math
from dataclasses import FrozenInstanceError
from functools import partial

import pytest
import torch
from helpers import (
    MATRIX,
    ROUNDING,
    TRACE_CHECK,
    UNTRACED,
    BySimulator,
    assert_same,
    assert_step_batch_independent,
    every_detached,
    pentagon,
)

from memprior.denoiser import EmpiricalDenoiser, GaussianDenoiser
from memprior.guidance import (
    GuidedState,
    covariance_step,
    daps_step,
    dps_step,
    frozen_step,
    mmps_step,
    pigdm_step,
    point_step,
    released_step,
    smc,
)
from memprior.likelihood import GaussianLikelihood
from memprior.noise import ddpm_sigmas
from memprior.operators import CoupledQuadraticOperator, MatrixOperator
from memprior.sampling import SamplerState, ancestral_step, euler_step, sample, trajectory

LIKELIHOOD = GaussianLikelihood(CoupledQuadraticOperator(), torch.tensor([0.9, 0.4], dtype=torch.float64), 0.3)
LINEAR = GaussianLikelihood(MatrixOperator(MATRIX), torch.tensor([1.0, 0.0, -0.5, 0.3, 0.2], dtype=torch.float64), 0.2)

# Each step as a function of a likelihood and a base, and that base.
STEPS = {
    "dps, squared": (partial(dps_step, scale=0.02, norm="squared"), ancestral_step),
    "dps, norm": (partial(dps_step, scale=0.1, norm="norm"), euler_step),
    "frozen, squared": (partial(frozen_step, scale=0.02, norm="squared"), euler_step),
    "frozen, norm": (partial(frozen_step, scale=0.1, norm="norm"), ancestral_step),
    "released": (partial(released_step, step_size=0.07), euler_step),
    "released, not lagged": (partial(released_step, step_size=0.07, lagged=False), ancestral_step),
}
every_step = pytest.mark.parametrize(("make", "base"), STEPS.values(), ids=STEPS)
LEVELS = tuple(torch.tensor([0.9, 0.6], dtype=torch.float64))


@pytest.fixture
def denoiser():
    return EmpiricalDenoiser(pentagon())


@pytest.fixture
def x(generator):
    return torch.randn(6, 2, generator=generator)


@every_step
@pytest.mark.parametrize("last", [False, True])
def test_gradient_step_batch_equals_its_members(make, base, last, denoiser, x, monkeypatch, generator):
    sigma, sigma_next = LEVELS[0], torch.tensor(0.0) if last else LEVELS[1]
    assert_step_batch_independent(make(LIKELIHOOD, base=base), denoiser, x, sigma, sigma_next, monkeypatch, generator)


@pytest.mark.parametrize("norm", ["squared", "norm"])
def test_dps_step_is_the_variance_preserving_algorithm(norm, denoiser, x, generator):
    """Chung et al. 2023 with abar = 1 / (1 + sigma^2), written for xbar = sqrt(abar) x, Euler as the reverse step."""
    (sigma, sigma_next), zeta = LEVELS, 0.05
    abar, abar_next = 1 / (1 + sigma**2), 1 / (1 + sigma_next**2)
    xbar = (abar.sqrt() * x).requires_grad_()
    guess = denoiser(xbar / abar.sqrt(), sigma)
    residual = LIKELIHOOD.observed - LIKELIHOOD.forward(guess)
    penalty = residual.square().sum(1) if norm == "squared" else residual.norm(dim=1)
    (gradient,) = torch.autograd.grad(penalty.sum(), xbar)
    eps = (xbar - abar.sqrt() * guess) / (1 - abar).sqrt()
    moved = abar_next.sqrt() * guess + (1 - abar_next).sqrt() * eps - zeta * gradient
    step = dps_step(LIKELIHOOD, scale=zeta, norm=norm, base=euler_step)
    assert_same(step(denoiser, x, sigma, sigma_next, generator=generator).x, moved / abar_next.sqrt())


@pytest.mark.parametrize("lagged", [True, False])
def test_released_step_is_the_variance_preserving_loop_of_the_released_code(lagged, generator):
    """All steps, on a linear F, by a loop over abar with a network that predicts eps."""
    train, step_size, num = torch.randn(7, 3, generator=generator), 0.07, 20
    sigmas = ddpm_sigmas(num)
    abar = 1 / (1 + sigmas**2)  # abar[-1] = 1

    def predicted(xbar, t):
        weights = (-(xbar[:, None] - abar[t].sqrt() * train).square().sum(2) / (2 * (1 - abar[t]))).softmax(1)
        return (xbar - abar[t].sqrt() * (weights @ train)) / (1 - abar[t]).sqrt()

    def cleaned(xbar, t):
        return (xbar - (1 - abar[t]).sqrt() * predicted(xbar, t)) / abar[t].sqrt()

    start = torch.randn(5, 3, generator=generator)
    xbar = start.clone()
    for t in range(num):
        guess = cleaned(xbar, t)
        xbar = abar[t + 1].sqrt() * guess + (1 - abar[t + 1]).sqrt() * predicted(xbar, t)
        if lagged:
            guess = cleaned(xbar, t)  # the level before, on the iterate of this one
        gradient = (guess @ MATRIX.T - LINEAR.observed) @ MATRIX
        xbar = xbar - step_size * gradient / gradient.norm(dim=1, keepdim=True)
    step = released_step(LINEAR, step_size, lagged=lagged)
    x = start / abar[0].sqrt()  # sampling starts from N(0, I) in the variance-preserving iterate
    found = sample(EmpiricalDenoiser(train), x, sigmas, step=step, generator=generator)
    assert_same(found, xbar, rounding=num * ROUNDING)


def test_frozen_step_is_dps_where_the_denoiser_only_shifts(x, generator):
    def shifting(x, sigma):
        return x - 0.3 * sigma

    pair = [make(LIKELIHOOD, scale=0.1, norm="norm", base=euler_step) for make in (dps_step, frozen_step)]
    through, frozen = (step(shifting, x, *LEVELS, generator=generator) for step in pair)
    assert_same(through.x, frozen.x)


def test_dps_step_has_no_gradient_through_a_prior_of_one_example(x, generator):
    """Where one example has all the weight D is constant: DPS is the unguided sampler, the frozen score is not."""
    one_example = EmpiricalDenoiser(torch.tensor([[0.5, -0.2]]))
    unguided = euler_step(one_example, x, *LEVELS, generator=generator).x
    options = {"scale": 0.1, "norm": "squared", "base": euler_step}
    assert_same(dps_step(LIKELIHOOD, **options)(one_example, x, *LEVELS, generator=generator).x, unguided)
    moved = frozen_step(LIKELIHOOD, **options)(one_example, x, *LEVELS, generator=generator).x
    assert float((moved - unguided).norm(dim=1).min()) > 0.05


@pytest.mark.parametrize("lagged", [True, False])
def test_released_step_has_a_fixed_length_whatever_the_noise_level(lagged, denoiser, x, generator):
    noisier = GaussianLikelihood(LIKELIHOOD.forward, LIKELIHOOD.observed, 7.0)
    found = [released_step(one, 0.07, lagged=lagged) for one in (LIKELIHOOD, noisier)]
    first, second = (step(denoiser, x, *LEVELS, generator=generator) for step in found)
    assert_same(first.x, second.x)
    away = first.x - euler_step(denoiser, x, *LEVELS, generator=generator).x
    assert_same(away.norm(dim=1), torch.full((6,), 0.07 * math.sqrt(1 + 0.6**2)))


def test_guided_state_misfit_is_the_denoised_points_without_another_solve(denoiser, x, generator):
    solves = []

    def counted(guess):
        solves.append(len(guess))
        return LIKELIHOOD.forward(guess)

    likelihood = GaussianLikelihood(counted, LIKELIHOOD.observed, LIKELIHOOD.noise_std)
    states = list(
        trajectory(
            denoiser, x, [0.9, 0.6, 0.3], step=released_step(likelihood, 0.07, lagged=False), generator=generator
        )
    )
    assert solves == [*TRACE_CHECK, 6, 6]
    assert all(isinstance(state, GuidedState) for state in states)
    residual = LIKELIHOOD.residual(denoiser(x, torch.tensor(0.9)))
    assert_same(states[0].misfit, residual.square().sum(1) / (2 * 0.3**2))


@every_step
def test_gradient_steps_do_not_move_an_exact_fit(make, base):
    """At an exact fit the gradient is zero, and neither |r| nor a gradient of length zero has a direction."""
    fits = torch.tensor([[0.3, -0.4]])
    likelihood = GaussianLikelihood(CoupledQuadraticOperator(), CoupledQuadraticOperator()(fits)[0], 0.3)
    one_example, x = EmpiricalDenoiser(fits), torch.ones(1, 2)
    draws = [torch.Generator().manual_seed(3) for _ in range(2)]
    found = make(likelihood, base=base)(one_example, x, *LEVELS, generator=draws[0])
    assert_same(found.x, base(one_example, x, *LEVELS, generator=draws[1]).x)


@pytest.mark.parametrize("make", [dps_step, frozen_step])
def test_gradient_steps_freeze_an_invalid_sample_and_continue_the_others(make, generator):
    def forward(x):
        return torch.where(x[:, :1] > 0, x, torch.nan)

    likelihood = GaussianLikelihood(forward, torch.zeros(2), 0.3)
    guess = GaussianDenoiser(torch.zeros(2), torch.eye(2))
    x = torch.tensor([[1.0, 2.0], [-1.0, 2.0], [3.0, -1.0]])
    for step in (make(likelihood, scale=0.1, norm="squared", base=euler_step), released_step(likelihood, 0.07)):
        found = step(guess, x, *LEVELS, generator=generator)
        assert torch.equal(found.x[1], x[1])
        assert torch.isnan(found.misfit).tolist() == [False, True, False]
        assert_same(found.x[[0, 2]], step(guess, x[[0, 2]], *LEVELS, generator=generator).x)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, "0.1"])
def test_gradient_steps_refuse_a_length_that_is_not_positive(scale):
    for make in (dps_step, frozen_step):
        with pytest.raises(ValueError, match=r"^scale: expected one number, finite and > 0, got"):
            make(LIKELIHOOD, scale=scale, norm="norm")
    with pytest.raises(ValueError, match=r"^step_size: expected one number, finite and > 0, got"):
        released_step(LIKELIHOOD, scale)


def test_dps_step_refuses_another_norm():
    with pytest.raises(ValueError, match=r"^norm: expected 'squared' or 'norm', got 'l1'$"):
        dps_step(LIKELIHOOD, scale=0.1, norm="l1")


PRIOR = GaussianDenoiser(torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64))
DAPS = {"num_ode": 2, "num_langevin": 3, "step_size": 0.1, "curvature": 4.0}
# Every step that differentiates the misfit.
GRADIENTS = {
    **{name: make for name, (make, _) in STEPS.items()},
    "point": point_step,
    "pigdm": partial(pigdm_step, num_iterations=5),
    "mmps": partial(mmps_step, num_iterations=5),
    "daps": partial(daps_step, **DAPS),
}
every_gradient = pytest.mark.parametrize("make", GRADIENTS.values(), ids=GRADIENTS)


@every_detached
@every_gradient
def test_guided_steps_refuse_an_operator_outside_the_graph(make, forward, generator):
    step, x = make(GaussianLikelihood(forward, torch.zeros(5), 0.3)), torch.randn(6, 3, generator=generator)
    with pytest.raises(ValueError, match=UNTRACED):
        step(PRIOR, x, *LEVELS, generator=generator)


@every_detached
def test_smc_twisted_refuses_an_operator_outside_the_graph(forward, generator):
    likelihood, start = GaussianLikelihood(forward, torch.zeros(5), 2.0), torch.randn(2, 6, 3, generator=generator)
    with pytest.raises(ValueError, match=UNTRACED):
        smc(PRIOR, likelihood, start, LEVELS, twisted=True, generator=generator)
    free = smc(PRIOR, likelihood, start, LEVELS, twisted=False, generator=generator)
    assert torch.isfinite(free.log_evidence).all()


@every_gradient
def test_guided_steps_use_a_simulators_own_jacobian(make, generator):
    x, observed = torch.randn(6, 3, generator=generator), torch.randn(5, generator=generator)
    found = [
        make(GaussianLikelihood(forward, observed, 0.3))(
            PRIOR, x, *LEVELS, generator=torch.Generator().manual_seed(1)
        ).x
        for forward in (MatrixOperator(MATRIX), BySimulator())
    ]
    assert_same(found[1], found[0])


GRADIENTS_OF_THE_DENOISER = ["dps, squared", "point", "pigdm", "mmps"]


@pytest.mark.parametrize("name", GRADIENTS_OF_THE_DENOISER)
def test_guided_steps_refuse_a_denoiser_outside_the_graph_if_differentiated(name, generator):
    step, blind = GRADIENTS[name](LINEAR), torch.no_grad()(PRIOR.__call__)
    with pytest.raises(
        ValueError, match=r"^denoiser: expected D\(x, sigma\) that depends on x by torch operations, got"
    ):
        step(blind, torch.randn(6, 3, generator=generator), *LEVELS, generator=generator)


def test_guided_sampling_stops_at_the_step_where_it_diverges(generator):
    step, sigmas = dps_step(LINEAR, scale=1.0, norm="squared"), torch.linspace(2, 0, 41)
    with pytest.raises(FloatingPointError, match=r"^x: expected samples within .* got \d of 6 .* after step \d+ of 40"):
        sample(PRIOR, 2 * torch.randn(6, 3, generator=generator), sigmas, step=step, generator=generator)


def test_guided_sampling_stops_at_the_step_of_a_nan_denoiser(generator):
    def broken(x, sigma):
        return torch.where(sigma < 1, torch.nan, PRIOR(x, sigma))

    step = dps_step(LINEAR, scale=0.01, norm="squared")
    with pytest.raises(
        FloatingPointError, match=r"^denoiser: expected finite numbers, got NaN or infinite for 6 of 6 in step 3 of 4"
    ):
        sample(
            broken, torch.randn(6, 3, generator=generator), [2.0, 1.5, 0.9, 0.5, 0.0], step=step, generator=generator
        )


IDENTITY = torch.eye(2, dtype=torch.float64)
# Every guided step of the library whose draws are those of its base.
GUIDED = {name: make for name, (make, _) in STEPS.items()} | {
    "point": point_step,
    "pigdm": partial(pigdm_step, num_iterations=3),
    "mmps": partial(mmps_step, num_iterations=3),
    "covariance": partial(covariance_step, covariance=IDENTITY, jacobian=IDENTITY),
}
every_guided = pytest.mark.parametrize("make", GUIDED.values(), ids=GUIDED)
DAPS = {"num_ode": 2, "num_langevin": 2, "step_size": 0.1, "curvature": 2.0}


@every_guided
def test_guided_steps_draw_nothing_where_their_base_does_not(make, denoiser, x, generator):
    states = [make(LIKELIHOOD, base=euler_step)(denoiser, x, *LEVELS, generator=g) for g in (None, generator)]
    assert torch.equal(states[0].x, states[1].x)
    with pytest.raises(TypeError, match=r"^generator: expected a torch.Generator, got NoneType$"):
        make(LIKELIHOOD, base=ancestral_step)(denoiser, x, *LEVELS, generator=None)


def test_daps_step_refuses_a_missing_generator_by_name(denoiser, x):
    with pytest.raises(TypeError, match=r"^generator: expected a torch.Generator, got NoneType$"):
        daps_step(LIKELIHOOD, **DAPS)(denoiser, x, *LEVELS, generator=None)


@pytest.mark.parametrize("make", [*GUIDED.values(), partial(daps_step, **DAPS)], ids=[*GUIDED, "daps"])
def test_guided_state_is_frozen_and_has_one_misfit_per_member(make, denoiser, x, generator):
    (state,) = trajectory(denoiser, x, LEVELS, step=make(LIKELIHOOD), generator=generator)
    assert isinstance(state, GuidedState)
    assert (state.x.shape, state.denoised.shape, state.misfit.shape) == ((6, 2), (6, 2), (6,))
    assert state.sigma == LEVELS[1]
    with pytest.raises(FrozenInstanceError):
        state.misfit = 0


def test_sampler_state_has_no_misfit(denoiser, x, generator):
    (state,) = trajectory(denoiser, x, LEVELS, step=ancestral_step, generator=generator)
    assert type(state) is SamplerState
