"""Chapter 1's experiment: known distributions, judged as the chapter judges its fits."""

import math
from dataclasses import replace

import pytest
import torch

from chapters.ch01_maximum_likelihood import memorization_time as timing
from chapters.ch01_maximum_likelihood import problems as experiment
from chapters.ch01_maximum_likelihood.families import exact
from memprior.denoiser import EmpiricalDenoiser, MixtureDenoiser
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


def probes_of(train_set, truth, seed):
    generator = torch.Generator().manual_seed(seed)
    return timing.Probes.around(train_set.repeat(40, 1), train_set, truth, 0.05, generator=generator)


def test_probes_find_the_two_closed_forms_at_their_ends(generator):
    truth = experiment.crescents(CPU)
    train_set = truth.sample(4, generator=generator)
    probes = probes_of(train_set, truth, 1)
    assert probes.errors(EmpiricalDenoiser(train_set)) == (0.0, probes.unit)
    assert probes.errors(MixtureDenoiser(truth)) == (probes.unit, 0.0)
    assert probes.unit > 0.1


def test_denoiser_on_few_examples_nears_its_own_memory_and_stops_there(tmp_path, generator):
    truth = experiment.crescents(CPU)
    train_set, other = truth.sample(3, generator=generator), truth.sample(3, generator=generator)
    plan = TrainingPlan(700, 64, 3e-3, 3e-3, 0.9, 0.05, 20.0)
    probes = {"own": probes_of(train_set, truth, 4), "other": probes_of(other, truth, 5)}
    unit, far = (probes[name].unit for name in ("own", "other"))
    work = {"width": 64, "depth": 1, "folder": tmp_path, "stop": lambda point: point["own"][0] < 0.5 * unit}

    def run():
        seeded = torch.Generator().manual_seed(4)
        return timing.watched(train_set, probes, plan, [20, 100, 600, 700], **work, generator=seeded)

    points = run()
    assert points[0]["own"][0] > 0.6 * unit
    assert points[-1]["own"][0] < 0.5 * unit
    assert points[-1]["step"] < 700
    assert all(point["own"][0] >= 0.5 * unit for point in points[:-1])
    assert all(point["other"][0] > 0.7 * far for point in points)  # another set's memory is not neared
    assert run() == points  # from the snapshots that lie in the folder


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


def test_power_is_that_of_a_power_law():
    sizes = [5, 10, 20, 40]
    assert timing.power(sizes, [3 * size**1.3 for size in sizes]) == pytest.approx(1.3)
    assert math.isnan(timing.power(sizes, [math.inf] * 4))


def test_evaluate_finds_samples_of_a_shrunk_truth_nearer_to_the_examples(problem, generator):
    law = experiment.crescents(CPU)
    shrunk = exact(IsotropicMixture(0.7 * law.means, 0.7 * law.sigma))
    truth = exact(law)
    seen, true = (experiment.evaluate(one, problem, num_samples=3000, generator=generator) for one in (shrunk, truth))
    assert seen["spread"] == pytest.approx(0.7, abs=0.03)  # of 3000 draws: 4 / sqrt(2 * 3000) = .05 of it
    assert true["spread"] == pytest.approx(1, abs=0.05)
    assert true["nearest"] == pytest.approx(1, abs=0.1)
