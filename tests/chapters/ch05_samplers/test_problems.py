"""Chapter 5's experiment: judged exactly, counted exactly, and its bounds and biases against closed forms."""

import math
from functools import partial

import pytest
import torch
from helpers import ROUNDING, assert_same

from chapters.ch05_samplers import comparison as samplers_study
from chapters.ch05_samplers import fwi as samplers_fwi
from chapters.ch05_samplers import problems as samplers
from chapters.ch05_samplers.costs import Counted
from chapters.ch05_samplers.problems import BlockDenoiser, ProblemBatch, evaluate, floors
from memprior.denoiser import EmpiricalDenoiser
from memprior.guidance import dps_step, mmps_step, point_step
from memprior.intervals import Mean
from memprior.likelihood import GaussianLikelihood
from memprior.mixture import total_variation
from memprior.noise import geometric_sigmas
from memprior.operators import CoupledQuadraticOperator, MatrixOperator
from memprior.paper import line_problem
from memprior.posterior import MemorizedPosteriorDenoiser, collapsed_log_weights
from memprior.sampling import ancestral_step, sample

LEVELS = geometric_sigmas(20.0, 0.05, 60)


@pytest.fixture
def stack(generator):
    return ProblemBatch(samplers.linear_problems(3, generator=generator))


# Problems


def test_line_problems_differ_in_their_noise_alone(generator):
    problems = samplers.line_problems(4000, generator=generator)
    data = torch.stack([problem.observed for problem in problems])[:, 0] / line_problem(generator.device).noise_std
    assert abs(float(data.mean())) < 4 / math.sqrt(4000)
    assert abs(float(data.square().mean()) - 1) < 4 * math.sqrt(2 / 4000)
    assert all(problem.train_set is problems[0].train_set for problem in problems)


def test_geometric_sigmas_have_one_ratio_and_must_fall():
    sigmas = geometric_sigmas(20.0, 0.05, 40)
    assert_same(sigmas[1:] / sigmas[:-1], torch.full((40,), (0.05 / 20.0) ** (1 / 40)))
    with pytest.raises(ValueError, match=r"top: expected a level above the bottom 2.0, got 1.0"):
        geometric_sigmas(1.0, 2.0, 5)


# A batch of several problems is its problems


@pytest.mark.parametrize("sigma", [0.1, 1.0, 20.0])
def test_block_denoiser_is_the_empirical_denoiser_of_each_problem(sigma, stack, generator):
    x = torch.randn(12, samplers.DIM, generator=generator)
    alone = [EmpiricalDenoiser(p.train_set)(part, sigma) for p, part in zip(stack.problems, x.chunk(3), strict=True)]
    assert_same(stack.prior()(x, torch.tensor(sigma)), torch.cat(alone))
    known = [
        MemorizedPosteriorDenoiser(p.train_set, p.likelihood)(part, sigma)
        for p, part in zip(stack.problems, x.chunk(3), strict=True)
    ]
    assert_same(stack.posterior()(x, torch.tensor(sigma)), torch.cat(known))


@pytest.mark.parametrize("make", [samplers.linear_problems, samplers.pentagon_problems, samplers.line_problems])
def test_problem_batch_has_the_likelihood_of_each_problem(make, generator):
    many = ProblemBatch(make(3, generator=generator))
    x = torch.randn(6, many.train_sets.shape[2], generator=generator)
    found = many.likelihood(many.forward).log_prob(x)
    assert_same(
        found, torch.cat([p.likelihood.log_prob(part) for p, part in zip(many.problems, x.chunk(3), strict=True)])
    )


def test_problem_batch_steps_as_each_problem_does(stack, generator):
    x, (sigma, sigma_next) = torch.randn(6, samplers.DIM, generator=generator), torch.tensor([2.0, 1.5])
    levels = {"sigma": sigma, "sigma_next": sigma_next, "generator": None}
    for make in (point_step, partial(mmps_step, num_iterations=4), partial(dps_step, scale=0.3, norm="norm")):
        whole = make(stack.likelihood(stack.forward), base=samplers_study.drift)(stack.prior(), x, **levels)
        alone = [
            make(p.likelihood, base=samplers_study.drift)(EmpiricalDenoiser(p.train_set), part, **levels).x
            for p, part in zip(stack.problems, x.chunk(3), strict=True)
        ]
        assert_same(whole.x, torch.cat(alone), rounding=100 * ROUNDING)


# What is measured


def test_exact_sampler_is_at_the_floor_and_an_unconditional_one_is_not(stack, generator):
    """Within four standard deviations of what exact draws have."""
    floor = floors(stack, 500, 200, generator=generator).mean(1)
    found = Mean.over(evaluate(samplers.exact, stack, 500, LEVELS, generator=generator)["distances"]).value
    assert abs(found - float(floor.mean())) < 4 * float(floor.std())
    blind = Mean.over(evaluate(samplers.unconditional, stack, 500, LEVELS, generator=generator)["distances"]).value
    uniform = total_variation(torch.full_like(stack.log_weights, 1 / samplers.NUM_EXAMPLES), stack.log_weights.exp())
    assert abs(blind - float(uniform.mean())) < 0.02


def test_judge_by_hand():
    """Three samples: on example 0, near example 1, and an invalid one."""
    problem = line_problem(torch.device("cpu"))
    one = ProblemBatch([problem])
    ends = torch.tensor([[-1.5], [-0.45], [100.0]])
    found = evaluate(lambda *_, **__: ends, one, 3, LEVELS, generator=None)
    weights = one.log_weights[0].exp()
    expected = 0.5 * (abs(1 / 3 - weights[0]) + abs(1 / 3 - weights[1]) + weights[2:].sum() + 1 / 3)
    assert found["distances"] == pytest.approx([float(expected)])
    assert found["invalid"] == pytest.approx([1 / 3])
    assert found["misfit"] == pytest.approx([float((problem.forward(ends[:1]) / 0.3).square() / 2)])
    assert (found["forward"], found["gradient"]) == (0, 0)


def test_judge_counts_samples_that_are_not_finite_as_invalid(stack):
    found = evaluate(lambda *_, **__: torch.full((6, samplers.DIM), math.nan), stack, 2, LEVELS, generator=None)
    assert found["invalid"] == [1.0, 1.0, 1.0]
    assert found["distances"] == pytest.approx([1.0, 1.0, 1.0])


def test_floors_are_the_mean_distance_of_a_binomial():
    """Two equal weights: E|k/n - 1/2| = C(n, n/2) / 2^(n+1) for even n."""
    even = line_problem(torch.device("cpu"))
    pair = ProblemBatch([samplers.replace(even, train_set=torch.tensor([[-0.4], [0.4]]))])
    found = floors(pair, 10, 20_000, generator=torch.Generator().manual_seed(0))
    assert abs(float(found.mean()) - math.comb(10, 5) / 2**11) < 4 * float(found.std()) / math.sqrt(20_000)


def test_mean_has_students_interval():
    found = Mean.over([1.0, 2.0, 3.0])
    assert (found.value, found.half) == pytest.approx((2.0, 4.302652729911275 / math.sqrt(3)))
    assert found.dot == pytest.approx((2.0, 2.0 - found.half, 2.0 + found.half))
    assert Mean.over([5.0]).dot == (5.0, 5.0, 5.0)
    assert str(found) == "2.000 ± 2.484"


# Cost


def test_judge_counts_solves_per_model(stack):
    """One evaluation and one gradient a level for DPS; K evaluations for weighting; K of both a level if twisted."""
    options = {"batch": stack, "num": 4, "sigmas": LEVELS, "generator": torch.Generator().manual_seed(0)}
    found = evaluate(samplers.guided(point_step), **options)
    assert (found["forward"], found["gradient"]) == (60, 60)
    found = evaluate(samplers.particles(8, twisted=False), **options)
    assert (found["forward"], found["gradient"]) == (8, 0)
    found = evaluate(samplers.particles(8, twisted=True), **options)
    assert (found["forward"], found["gradient"]) == (8 * 61, 8 * 60)


def test_counted_counts_derivatives_in_both_modes_and_changes_none(generator):
    x, v = torch.randn(5, 2, generator=generator), torch.randn(5, 2, generator=generator)
    plain, counted = CoupledQuadraticOperator(), Counted(CoupledQuadraticOperator())
    value, pushed = torch.func.jvp(counted, (x,), (v,))
    assert (counted.forward, counted.gradient) == (5, 5)
    for found, expected in zip((value, pushed), torch.func.jvp(plain, (x,), (v,)), strict=True):
        assert_same(found, expected)
    observed = torch.tensor([0.3, 0.1])
    score = GaussianLikelihood(counted, observed, 0.3).score(x)
    assert (counted.forward, counted.gradient) == (10, 10)
    assert_same(score, GaussianLikelihood(plain, observed, 0.3).score(x))
    rows = Counted(MatrixOperator(torch.ones(3, 2))).jacobian(x)
    assert rows.shape == (5, 3, 2)


# Likelihood weighting


def test_weighting_by_enumeration(stack):
    """Two draws of N: the distribution is a sum over all pairs."""
    weights = stack.log_weights[0].exp()
    pairs = weights[:, None] / (weights[:, None] + weights[None])
    law = (pairs.sum(1) + (1 - pairs).sum(0)) / len(weights) ** 2
    found = samplers_study.weighting_distribution(stack, 2, 40_000, generator=torch.Generator().manual_seed(1))[0]
    assert float((found - law).abs().max()) < 4 * 0.5 / math.sqrt(40_000)
    assert float(found.sum()) == pytest.approx(1, rel=1e-12)


def test_weighting_keeps_its_bound_and_falls_as_one_over_k(stack):
    rho = samplers_study.concentration(stack)
    assert bool((rho >= 1).all())
    assert bool((rho <= samplers.NUM_EXAMPLES).all())
    far = {
        k: samplers_study.weighting_distance(stack, k, 200_000 // k, generator=torch.Generator().manual_seed(2))
        for k in (50, 100, 200)
    }
    for k, distance in far.items():
        assert bool((distance < 2 * rho / k).all())
    assert float(far[200].mean() / far[100].mean()) < 0.6


def test_weighting_misses_a_lone_winner_by_the_chance_not_to_draw_it():
    train_set = torch.arange(5, dtype=torch.float64)[:, None]
    lone = ProblemBatch([samplers.replace(line_problem(torch.device("cpu")), train_set=train_set, noise_std=0.01)])
    for k in (1, 4, 10):
        found = samplers_study.weighting_distance(lone, k, 20_000, generator=torch.Generator().manual_seed(k))
        chance = samplers_fwi.missed(5, k)
        assert abs(float(found) - chance) < 4 * math.sqrt(chance * (1 - chance) / 20_000)


def test_particles_draw_the_distribution_of_weighting(stack):
    """Plain particle runs over all levels choose as often as the distribution of weighting says."""
    options = {"generator": torch.Generator().manual_seed(3)}
    x = samplers.particles(4, twisted=False)(stack, stack.likelihood(stack.forward), 800, LEVELS, **options)
    law = samplers_study.weighting_distribution(stack, 4, 50_000, **options)
    near = torch.cdist(x.view(3, 800, -1), stack.train_sets).argmin(2)
    for chosen, chances in zip(near, law, strict=True):
        off = chosen.bincount(minlength=len(chances)) / 800 - chances
        assert bool((off.abs() < 4.5 * (chances * (1 - chances) / 800).sqrt() + 1e-3).all())


# Pushes


def test_guidance_of_the_exact_posterior_has_gain_and_cosine_one(stack, generator):
    """A step that is the posterior's own is right at every level."""
    posterior = stack.posterior()

    def known(likelihood, *, base):
        return lambda denoiser, x, sigma, sigma_next, *, generator: base(
            posterior, x, sigma, sigma_next, generator=generator
        )

    found, left = samplers_study.guidance_terms(
        stack, {"known": known}, 8, geometric_sigmas(20.0, 0.5, 12), generator=generator
    )
    assert_same(found["known"].gain, torch.ones(12))
    assert_same(found["known"].cosine, torch.ones(12))
    assert float(left[0]) == 1
    assert float(left[-1]) < 0.2


# The bench


def test_best_of_takes_the_scale_of_least_mean_distance():
    names = list(samplers_study.families())
    found = {samplers_study.at(name, s): {"distances": [abs(s - 0.1), 0.0]} for name in names for s in (0.01, 0.1, 1.0)}
    best = samplers_study.best_of(found)
    assert list(best) == names
    assert all(one["distances"] == [0.0, 0.0] for one in best.values())


# The inversion


def test_linear_problem_batch_is_the_tangent_in_standardized_coordinates(generator):
    from memprior.paper import TrainingSet, published_truth, standardized

    training, truth = TrainingSet.published(6, torch.device("cpu")), published_truth()
    matrix = torch.randn(7, 100, generator=generator)
    linear = GaussianLikelihood(MatrixOperator(matrix), torch.randn(7, generator=generator), 0.5)
    many = samplers_fwi.linear_batch(linear, truth, training, 3, generator=generator)
    u = torch.randn(9, 100, generator=generator)
    found = many.likelihood(many.forward).log_prob(u)[:3]
    assert_same(found, standardized(linear, training.standardizer).log_prob(u[:3]), rounding=10 * ROUNDING)
    expected = collapsed_log_weights(training.standardized, standardized(linear, training.standardizer))
    assert_same(many.log_weights[0], expected, rounding=10 * ROUNDING)
    away = [matrix @ truth - linear.observed - (many.problems[1].observed - many.problems[0].observed)]
    assert float(away[0].norm()) < 0.5 * (math.sqrt(7) + 4)


def test_covariance_in_standardized_coordinates_is_the_true_priors():
    from memprior.denoiser import GaussianDenoiser
    from memprior.paper import TrainingSet, published_law

    training = TrainingSet.published(20, torch.device("cpu"))
    x = torch.randn(3, 100, generator=torch.Generator().manual_seed(0))
    mean = published_law().standardized(training.standardizer).mean
    found = GaussianDenoiser(mean, samplers_fwi.true_covariance(training))
    assert_same(found(x, 1.3), training.true_prior(x, 1.3), rounding=10 * ROUNDING)


def test_block_denoiser_samples_the_posterior_of_each_problem(stack, generator):
    x = sample(
        stack.posterior(),
        stack.start(stack.posterior(), 4, torch.tensor(20.0), generator=generator),
        LEVELS,
        step=ancestral_step,
        generator=generator,
    )
    assert isinstance(stack.posterior(), BlockDenoiser)
    near = torch.cdist(x.view(3, 4, -1), stack.train_sets).min(2).values
    assert float(near.max()) < 0.05 * (math.sqrt(samplers.DIM) + 5)


def test_best_of_blind_samplers_is_that_of_simulated_ones(generator):
    """One sampler has chance on average; of 18 the best has the mean and quantile of their simulated maxima."""
    assert samplers_fwi.best_of_blind(50, 100, 1)[0] == pytest.approx(1 / 50)
    hits = (torch.rand(4000, 18, 100, generator=generator) < 1 / 50).sum(2).max(1).values / 100
    mean, high = samplers_fwi.best_of_blind(50, 100, 18)
    assert abs(mean - float(hits.mean())) < 4 * float(hits.std()) / math.sqrt(len(hits))
    assert high == pytest.approx(float(hits.quantile(0.95)))
