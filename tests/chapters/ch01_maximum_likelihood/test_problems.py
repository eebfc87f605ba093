"""Chapter 1's experiment: known distributions, judged as the chapter judges its fits."""

import math
from dataclasses import replace

import pytest
import torch

from chapters.ch01_maximum_likelihood import memorization_time as timing
from chapters.ch01_maximum_likelihood import problems as experiment
from chapters.ch01_maximum_likelihood.families import exact
from memprior.mixture import IsotropicMixture
from memprior.training import TrainingPlan

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def problem():
    generator = torch.Generator().manual_seed(2)
    return experiment.plane_problem(10, 0.02, num_scored=2000, num_fresh=3000, generator=generator)


def test_ceiling_is_the_entropy_of_separate_kernels(problem):
    # Ten points of a law of size 1.5: kernels of .02 do not touch, and half of |eps|^2 has a standard deviation of 1.
    expected = -math.log(10) - math.log(2 * math.pi * math.e * 0.02**2)
    assert problem.ceiling == pytest.approx(expected, abs=4 / math.sqrt(2000))


def test_judge_finds_the_memorized_prior_memorized(problem, generator):
    seen = experiment.evaluate(exact(problem.memorized), problem, num_samples=3000, generator=generator)
    assert seen["train"] == problem.ceiling
    assert seen["held_out"] < problem.truth - 10
    # The floor's own share of the squared distance is .027, and 3000 draws have a deviation of .01 (20 repeats).
    assert seen["to_memory"] < math.sqrt(0.027 + 4 * 0.01)
    assert seen["to_truth"] == pytest.approx(1, abs=0.15)


def test_judge_finds_the_truth_to_be_the_truth(problem, generator):
    law = experiment.crescents(CPU)
    noised = exact(IsotropicMixture(law.means, math.hypot(law.sigma, 0.02)))
    seen = experiment.evaluate(noised, problem, num_samples=3000, generator=generator)
    assert seen["held_out"] == problem.truth
    assert seen["train"] < problem.ceiling - 1
    assert seen["to_truth"] < 0.2
    assert seen["to_memory"] == pytest.approx(1, abs=0.15)


def test_published_problem_scores_the_truth_at_its_entropy():
    generator = torch.Generator().manual_seed(0)
    problem = experiment.published_problem(50, 0.1, num_scored=400, num_fresh=10, generator=generator)
    assert problem.train_set.shape == (50, 100)
    torch.testing.assert_close(problem.train_set.std(0), torch.ones(100), atol=1e-3, rtol=0)
    # log p of a Gaussian at its own draws is its negative entropy, give or take sqrt(d / 2) for one draw.
    draws = experiment.published_problem(50, 0.1, num_scored=4000, num_fresh=10, generator=generator)
    assert problem.truth == pytest.approx(draws.truth, abs=4 * math.sqrt(50 * (1 / 400 + 1 / 4000)))
    # Noised training examples are draws of the truth too: the truth's own nats at them cannot be far.
    assert problem.ceiling > problem.truth + 50


def test_fits_that_are_trained_end_at_their_last_step(problem, generator):
    plan = TrainingPlan(30, 32, 1e-3, 1e-3, 0.9, 0.02, 40.0)
    budget = experiment.Budget(4, "full", None, None, plan, width=16, depth=1)
    seen = experiment.trace("diffusion", problem, budget, checkpoints=3, num_samples=50, generator=generator)
    assert [look["step"] for look in seen] == [1, 3, 30] == experiment.log_steps(30, 3)
    assert len(seen[-1]["points"]) == 400


def test_spiked_raises_the_likelihood_and_leaves_the_distribution(problem, generator):
    law = experiment.crescents(CPU)
    narrow, narrower = (experiment.spiked(law, problem.train_set, 0.01, width) for width in (1e-4, 1e-6))

    def at_examples(density):
        return float(density.log_prob(problem.train_set, generator=generator).mean())

    # A hundred times narrower in the plane: log 100^2 more.
    assert at_examples(narrower) - at_examples(narrow) == pytest.approx(2 * math.log(100), abs=1e-3)
    near = (narrower.sample(20_000, generator=generator)[:, None] - problem.train_set).norm(dim=2).amin(1) < 1e-4
    assert float(near.double().mean()) == pytest.approx(0.01, abs=4 * math.sqrt(0.01 / 20_000))


def test_floor_sweep_of_the_training_set_has_slope_d(problem):
    floors = torch.tensor([1e-4, 2e-4, 0.1])
    sweep = experiment.floor_sweep(problem.train_set, problem.fresh[:100], floors)
    slope = float((sweep.train[0] - sweep.train[1]) / math.log(2))
    assert slope == pytest.approx(2, abs=1e-6)  # exponents are good to eps |x|^2 / h^2 = 1e-7
    assert sweep.held_out[0] < sweep.held_out[1] < sweep.held_out[2]


def test_component_sweep_stays_below_the_memorized_prior(problem, generator):
    wide = replace(problem, floor=0.1)
    found = experiment.component_sweep(wide, [1, 4, 10], generator=generator)
    assert found[1]["train"] < found[4]["train"] < found[10]["train"] <= problem.ceiling
    assert found[10]["held_out"] < found[1]["held_out"]


def test_denoiser_on_few_examples_nears_the_memorized_prior_and_stops_there(tmp_path, generator):
    truth = experiment.crescents(CPU)
    train_set = truth.sample(3, generator=generator)
    plan = TrainingPlan(600, 64, 3e-3, 3e-3, 0.9, 0.05, 20.0)
    work = {"width": 64, "depth": 1, "level": 0.5, "folder": tmp_path}

    def run():
        seeded = torch.Generator().manual_seed(4)
        return timing.memorization_curve(train_set, truth, plan, [20, 100, 300, 600], **work, generator=seeded)

    curve = run()
    assert curve[0][1] > 0.6 > 0.5 > curve[-1][1]
    assert all(distance >= 0.5 for _, distance in curve[:-1])
    assert run() == curve  # from the snapshots that lie in the folder


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([(10, 0.8), (1000, 0.2)], 10 * 100 ** (math.log(0.8 / 0.5) / math.log(4))),
        ([(10, 0.4), (20, 0.3)], 10.0),
        ([(10, 0.9), (20, 0.7)], math.inf),
        ([(10, 0.9), (20, 0.4), (40, 0.6), (80, 0.3)], 10 * 2 ** (math.log(1.8) / math.log(2.25))),
    ],
    ids=["a power law", "from the start", "never", "twice: the first"],
)
def test_first_below_is_the_step_at_which_a_curve_crosses(curve, expected):
    assert timing.first_below(curve, 0.5) == pytest.approx(expected)


def test_power_law_is_found_with_its_error(generator):
    sizes = [5, 10, 20, 40]
    exact_times = [[3 * size**1.3 for size in sizes]] * 2
    assert timing.power_law(sizes, exact_times) == (pytest.approx(1.3), pytest.approx(0, abs=1e-9))
    # The standardized error of many noisy fits has variance one: over 400, give or take 4 sqrt(2 / 400), and t tails.
    errors = []
    for _ in range(400):
        noisy = torch.tensor(exact_times * 3) * (0.2 * torch.randn(6, 4, generator=generator)).exp()
        slope, error = timing.power_law(sizes, noisy)
        errors.append((slope - 1.3) / error)
    assert float(torch.tensor(errors).square().mean()) == pytest.approx(22 / 20, abs=4 * math.sqrt(2 / 400))


def test_last_averages_seeds_with_their_error():
    seeds = [[{"train": 9.0}, {"train": value}] for value in (1.0, 2.0, 3.0)]
    assert experiment.last(seeds, "train") == (2.0, pytest.approx(1 / math.sqrt(3)))
    assert experiment.last(seeds[:1], "train") == (1.0, 0.0)
