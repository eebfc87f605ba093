"""Chapter 3's experiment: the paper's settings, and measurements that could come out wrong."""

import math

import pytest
import torch

from chapters.ch03_linearized_posterior import comparison as experiment
from chapters.ch03_linearized_posterior import lookup
from memprior import paper
from memprior.denoiser import EmpiricalDenoiser
from memprior.mixture import multinomial_floor
from memprior.posterior import MemorizedPosteriorDenoiser, collapsed_log_weights

CPU = torch.device("cpu")


def test_line_problem_is_the_papers():
    line = paper.line_problem(CPU)
    assert line.train_set.flatten().tolist() == [-1.5, -0.4, 0.4, 1.2, 2.5]
    assert (line.observed.tolist(), line.noise_std) == ([0.0], 0.3)


def test_pentagon_problem_is_the_papers():
    pentagon, truth = paper.pentagon_problem(CPU)
    torch.testing.assert_close(pentagon.train_set.norm(dim=1), torch.full((5,), 2.0))
    torch.testing.assert_close(pentagon.train_set[0], torch.tensor([2.0, 0.0]))
    side = 2 * 2 * math.sin(math.pi / 5)
    torch.testing.assert_close((pentagon.train_set - pentagon.train_set.roll(1, 0)).norm(dim=1), torch.full((5,), side))
    torch.testing.assert_close(truth, torch.tensor([1.4, 0.0]))
    torch.testing.assert_close(pentagon.observed, torch.tensor([1.4, 0.2 * 1.4**2]))


def test_limit_gap_falls_as_the_square_of_the_noise():
    gaps = [abs(lookup.limit_gap(10_000, noise, CPU)) for noise in (0.3, 0.1, 0.03)]
    # F is straight up to x^2 ~ gamma^2: the gap falls as its square.
    assert gaps[1] / gaps[2] == pytest.approx((0.1 / 0.03) ** 2, rel=0.1)


def test_sampler_without_the_data_misses_the_lookup(generator):
    line = paper.line_problem(CPU)
    noisy = paper.Problem(line.forward, line.train_set, line.observed, 1.0)
    weights = collapsed_log_weights(noisy.train_set, noisy.likelihood).exp()
    denoisers = MemorizedPosteriorDenoiser(noisy.train_set, noisy.likelihood), EmpiricalDenoiser(noisy.train_set)
    exact, blind = (
        lookup.run_lookup(noisy, denoiser, weights, num_samples=4000, num_steps=60, generator=generator)
        for denoiser in denoisers
    )
    assert exact.distance < exact.floor + 4 * exact.floor_std
    assert blind.distance > blind.floor + 40 * blind.floor_std
    assert max(exact.spread, blind.spread) < 1e-6


def test_multinomial_floor_of_two_counts_is_their_mean_absolute_deviation(generator):
    num, weights = 400, torch.tensor([0.5, 0.5])
    mean, std = multinomial_floor(weights, num, generator=generator)
    expected = math.sqrt(1 / (2 * math.pi * num))  # E|count/num - 1/2| of a fair coin, to leading order
    assert mean == pytest.approx(expected, abs=4 * std / math.sqrt(200))


def test_lookup_of_many_examples_nears_the_posterior(generator):
    many = lookup.many_examples(
        paper.line_problem(CPU), [100, 10_000], num_repeats=20, num_grid=2001, generator=generator
    )
    ratio = float(many.distances[:, 0].mean() / many.distances[:, 1].mean())
    # A hundred times the examples: a tenth of the error, each mean known to about 6 % from twenty repeats.
    assert ratio == pytest.approx(10, rel=0.35)
    assert abs(many.slope.value + 0.5) < 2 * many.slope.half < 0.2


def test_affine_gap_is_zero(generator):
    gap = experiment.affine_gap(num_examples=6, model_size=5, data_size=2, generator=generator)
    assert gap < 1e-10
