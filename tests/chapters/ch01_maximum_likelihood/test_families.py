"""Six families of densities: normalized, reproducible, and never better than the memorized prior of the examples."""

import math

import pytest
import torch
from helpers import assert_mean, square_grid

from chapters.ch01_maximum_likelihood import families
from chapters.ch01_maximum_likelihood.families import GradientPlan
from chapters.ch01_maximum_likelihood.problems import FAMILIES, Budget, crescents, fits, plane_problem
from memprior.denoiser import EmpiricalDenoiser
from memprior.mixture import IsotropicMixture
from memprior.training import TrainingPlan

FLOOR = 0.1
SMALL = Budget(
    components=12,
    shape="full",
    flow=GradientPlan(60, 64, 5e-3, 32),
    autoencoder=GradientPlan(100, 64, 5e-3, 32),
    diffusion=TrainingPlan(150, 64, 3e-3, 3e-4, 0.9, FLOOR, 40.0),
    width=32,
    depth=1,
)


@pytest.fixture(scope="module")
def problem():
    generator = torch.Generator().manual_seed(0)
    return plane_problem(12, FLOOR, num_scored=400, num_fresh=500, generator=generator)


@pytest.fixture(scope="module")
def fitted(problem):
    """Each family after its small budget."""
    generator = torch.Generator().manual_seed(1)
    return {name: list(fits(name, problem, SMALL, checkpoints=2, generator=generator))[-1][1] for name in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_family_is_never_likelier_than_the_memorized_prior(family, problem, fitted, generator):
    # Gibbs' inequality; the difference is a mean over points, so four of its standard errors are allowed.
    at = problem.noised_train
    difference = fitted[family].log_prob(at, generator=generator) - problem.memorized.log_prob(at)
    assert float(difference.mean()) <= 4 * float(difference.std()) / math.sqrt(len(at))


@pytest.mark.parametrize("family", FAMILIES)
def test_density_integrates_to_one_or_less(family, fitted, generator):
    points, cell = square_grid(-5.0, 5.0, 70)
    total = float(fitted[family].log_prob(points, generator=generator).exp().sum() * cell)
    if fitted[family].kind == "bound":
        assert 0.5 < total < 1.02
    else:
        # A grid of .14 on kernels of width .1 and an ODE of 60 steps: some percent.
        assert total == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("family", FAMILIES)
def test_density_samples_are_those_of_its_log_prob(family, problem, fitted):
    # E log q of q's own samples, against the same over a grid: a sampler of another law would have another value.
    if fitted[family].kind == "bound":
        pytest.skip("a bound is not the density that is sampled")
    generator = torch.Generator().manual_seed(5)
    drawn = fitted[family].log_prob(fitted[family].sample(1500, generator=generator), generator=generator)
    points, _ = square_grid(-5.0, 5.0, 100)
    log_q = fitted[family].log_prob(points, generator=generator)
    expected = float((log_q.exp() * log_q).sum() / log_q.exp().sum())
    # Four standard errors, and the grid's and the ODE's share.
    assert float(drawn.mean()) == pytest.approx(expected, abs=4 * float(drawn.std()) / math.sqrt(1500) + 0.05)


@pytest.mark.parametrize("family", FAMILIES)
def test_family_fits_and_samples_the_same_for_one_generator(family, problem):
    def points():
        generator = torch.Generator().manual_seed(3)
        density = list(fits(family, problem, SMALL, checkpoints=2, generator=generator))[-1][1]
        return density.sample(5, generator=generator)

    before = torch.get_rng_state()
    assert torch.equal(points(), points())
    assert torch.equal(torch.get_rng_state(), before)


def test_best_bandwidth_of_the_training_likelihood_is_the_floor(problem):
    for floor in (1e-4, 1e-2, 0.1):
        assert families.best_bandwidth(problem.train_set, floor, leave_one_out=False) == floor


def test_best_bandwidth_leaving_one_out_is_that_of_brute_force(generator):
    points = torch.randn(40, 2, generator=generator)
    found = families.best_bandwidth(points, 1e-3, leave_one_out=True)

    def loss(h):
        others = [IsotropicMixture(torch.cat([points[:i], points[i + 1 :]]), h) for i in range(40)]
        return -sum(float(law.log_prob(points[i : i + 1])) for i, law in enumerate(others))

    assert loss(found) <= min(loss(h) for h in torch.linspace(0.05, 1.2, 200).tolist()) + 1e-6


def test_mixture_with_a_component_per_example_is_the_memorized_prior(problem, fitted, generator):
    at = problem.noised_train
    gap = problem.memorized.log_prob(at) - fitted["mixture"].log_prob(at, generator=generator)
    assert abs(float(gap.mean())) < 0.02


def test_gaussian_has_the_moments_of_the_examples_above_the_floor(generator):
    flat = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, -2.0, 0.0]])
    drawn = families.fit_gaussian(flat, FLOOR).sample(4000, generator=generator)
    assert_mean(drawn, torch.zeros(3))
    assert_mean(drawn**2, torch.tensor([0.5, 2.0, FLOOR**2]))


def test_diffusion_density_of_the_exact_denoiser_is_the_memorized_prior(problem, generator):
    plan = TrainingPlan(1, 1, 1e-3, 1e-3, 0.9, FLOOR, 80.0)
    density = families.diffusion_density(EmpiricalDenoiser(problem.train_set), plan, problem.train_set)
    gap = density.log_prob(problem.noised_train, generator=generator) - problem.memorized.log_prob(problem.noised_train)
    # Heun's rule over 60 levels; the gap falls as their number squared (test_sampling).
    assert float(gap.abs().mean()) < 0.1


def test_fit_flow_refuses_steps_that_do_not_exist(problem, generator):
    with pytest.raises(ValueError, match="steps: expected ascending steps from 1 to 60"):
        next(families.fit_flow(problem.train_set, FLOOR, SMALL.flow, [10, 61], generator=generator))


def test_crescents_are_a_mixture_of_64_equal_components():
    law = crescents(torch.device("cpu"))
    assert law.means.shape == (64, 2)
    torch.testing.assert_close(law.means.mean(0), torch.zeros(2), atol=1e-12, rtol=0)


@pytest.mark.parametrize("num", [24, 26, 200])
def test_best_bandwidth_is_the_same_in_single_precision(num, generator):
    """Far from zero, where products of coordinates lost all digits from 26 points on and the bandwidth fell."""
    points = (torch.randn(num, 3, generator=generator) + 2500).float()
    found, exact = (families.best_bandwidth(x, 0.01, leave_one_out=True) for x in (points, points.double() - 2500))
    assert found == pytest.approx(exact, rel=1e-4)


def flow_score(points, floor):
    """Mean log density of the examples under a small flow."""
    plan = GradientPlan(40, 32, 1e-3, 16)
    ((_, density),) = families.fit_flow(points, floor, plan, [40], generator=torch.Generator().manual_seed(8))
    drawn = density.sample(500, generator=torch.Generator().manual_seed(2))
    return float(density.log_prob(points, generator=torch.Generator()).mean()), drawn


def test_flow_does_not_depend_on_the_unit(generator):
    points = 3 * torch.rand(40, 2, generator=generator) - 1.5
    points = (points - points.mean(0)) / points.std(0, correction=0).max()  # what a flow makes of any unit
    kms, unit = flow_score(points, 0.02), 1500.0
    ms = flow_score(3000 + unit * points, 0.02 * unit)
    assert ms[0] + 2 * math.log(unit) == pytest.approx(kms[0], abs=1e-3)
    torch.testing.assert_close((ms[1] - 3000) / unit, kms[1], rtol=0, atol=1e-3)


def test_flow_warns_of_examples_beyond_its_splines(generator):
    points = torch.randn(40, 2, generator=generator)
    points[0] = 1e3
    with pytest.warns(UserWarning, match=r"^train_set: expected examples within 5 deviations .*, got 6\.2"):
        flow_score(points, 0.1)
