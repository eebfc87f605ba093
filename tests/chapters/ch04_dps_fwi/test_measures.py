"""Chapter 4's metrics give the known values for copies, for draws of the true prior and for both closed forms."""

import math
from itertools import pairwise

import pytest
import torch
from helpers import ROUNDING, assert_same, held_out_set, training_set
from scipy import stats

from chapters.ch04_dps_fwi import measures
from memprior import paper
from memprior.fields import CosineBasis
from memprior.guidance import released_step
from memprior.intervals import Share
from memprior.paper import SIGMAS, STEP_SIZE, TrainingSet, memorized_share, published_grid, published_law
from memprior.sampling import trajectory

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def training():
    return TrainingSet.published(50, CPU)


# Shares


def test_memorized_share_counts_ratios_below_the_papers_threshold():
    share = memorized_share(torch.tensor([0.1, 0.6999, 0.7, 2.0]))
    assert (share.value, share.num) == (0.5, 4)
    assert share.dot == (0.5, *share.interval)


@pytest.mark.parametrize(("k", "n"), [(1, 4), (26, 256), (128, 256), (255, 256)])
def test_share_interval_is_jeffreys(k, n):
    """The two ends leave 2.5 % each of the posterior of k in n under Beta(1/2, 1/2)."""
    low, high = Share(k / n, n).interval
    posterior = stats.beta(k + 0.5, n - k + 0.5)
    assert posterior.cdf(low) == pytest.approx(0.025, rel=1e-9)
    assert posterior.sf(high) == pytest.approx(0.025, rel=1e-9)
    assert low < k / n < high


def test_share_interval_of_none_or_all_ends_at_zero_or_one():
    low, high = memorized_share(torch.full((256,), 0.9)).interval
    assert (low, high) == (0, pytest.approx(stats.beta.ppf(0.975, 0.5, 256.5), rel=1e-9))
    assert memorized_share(torch.full((256,), 0.1)).interval == (pytest.approx(1 - high, rel=1e-9), 1)


@pytest.mark.parametrize("p", [0.03, 0.3, 0.5, 0.97])
def test_share_interval_covers_nineteen_times_in_twenty(p):
    """Summed over every count of 256: no draws are needed."""
    intervals = [Share(k / 256, 256).interval for k in range(257)]
    covered = sum(stats.binom.pmf(k, 256, p) for k, (low, high) in enumerate(intervals) if low <= p <= high)
    assert covered == pytest.approx(0.95, abs=0.02)


def test_memorized_share_with_equal_weights_is_that_without(generator):
    ratios = torch.rand(300, generator=generator)
    plain, weighted = memorized_share(ratios), memorized_share(ratios, torch.full((300,), 1 / 300))
    assert (weighted.value, weighted.num) == pytest.approx((plain.value, plain.num), rel=ROUNDING)
    assert weighted.interval == pytest.approx(plain.interval, rel=1e-9)


def test_memorized_share_of_weighted_samples_has_their_effective_number():
    share = memorized_share(torch.tensor([0.1, 0.2, 0.9]), torch.tensor([0.5, 0.25, 0.25]))
    assert (share.value, share.num) == (0.75, pytest.approx(8 / 3))


def test_share_reads_as_a_count():
    share = Share(26 / 256, 256)
    low, high = (256 * end for end in share.interval)
    assert (low, high) == (pytest.approx(17.5, abs=0.5), pytest.approx(36.8, abs=0.5))
    assert share.of(256) == f"26 ({low:.0f} to {high:.0f})"
    assert Share(0.5, 1000).of(10) == "5 (5 to 5)"


# The released sampler on the tangent


@pytest.fixture(scope="module")
def linear():
    return paper.tangent(paper.published_inversion(torch.complex64, CPU))


def test_tangent_walk_with_the_memorized_prior_ends_on_examples(linear, training):
    """.011 to .014: the last step along the data's gradient, .07 long in standardized coordinates."""
    draws = [torch.Generator().manual_seed(0) for _ in range(2)]
    walk = measures.sample_linearized(
        linear, training, training.memorized_prior, 16, step_size=STEP_SIZE, generator=draws[0], watched=(0, 100, 199)
    )
    assert walk.x.shape == (16, 100)
    assert walk.misfits.shape == (200, 16)
    assert walk.guesses.shape == (3, 16, 100)
    assert float(training.ratio(walk.x).max()) < 0.02
    assert float(training.ratio(walk.guesses[-1]).max()) < 1e-6
    assert_same(
        (training.standardizer.normalize(walk.x) - training.standardizer.normalize(walk.guesses[-1])).norm(dim=1),
        torch.full((16,), 0.07),
    )
    # The same by hand.
    first = paper.start(16, training.examples, generator=draws[1])
    step = released_step(paper.standardized(linear, training.standardizer), STEP_SIZE)
    states = list(trajectory(training.memorized_prior, first, SIGMAS, step=step, generator=draws[1]))
    assert torch.equal(walk.x, training.standardizer.restore(states[-1].x))
    assert torch.equal(walk.misfits, torch.stack([state.misfit for state in states]))
    for guess, k in zip(walk.guesses, (0, 100, 199), strict=True):
        assert torch.equal(guess, training.standardizer.restore(states[k].denoised))


def test_tangent_walk_without_a_trace_has_no_guesses(linear, training, generator, monkeypatch):
    monkeypatch.setattr(measures, "SIGMAS", SIGMAS[::50])
    walk = measures.sample_linearized(linear, training, training.true_prior, 3, step_size=1e-3, generator=generator)
    assert walk.guesses.shape == (0, 3, 100)
    assert walk.misfits.shape == (4, 3)


# Without data


def test_memorized_prior_without_data_copies(training, generator):
    samples = measures.sample_prior(training, training.memorized_prior, 200, generator=generator)
    assert float(training.ratio(samples).max()) < 1e-6


def test_true_prior_without_data_is_the_flow_of_a_gaussian(training):
    """Along an eigenvector of variance v an Euler step from s to t multiplies by (v + s t) / (v + s^2)."""
    draws = [torch.Generator().manual_seed(7) for _ in range(2)]
    samples = measures.sample_prior(training, training.true_prior, 1000, generator=draws[0])
    law = published_law().standardized(training.standardizer)
    variances, axes = torch.linalg.eigh(law.covariance)
    start = math.sqrt(1 + float(SIGMAS[0]) ** 2) * torch.randn(1000, 100, generator=draws[1])
    shrink = torch.ones(100)
    for high, low in pairwise(SIGMAS):
        shrink *= (variances.clamp(min=0) + high * low) / (variances.clamp(min=0) + high**2)
    by_hand = law.mean + (start - law.mean) @ axes * shrink @ axes.T
    assert_same(training.standardizer.normalize(samples), by_hand, rounding=1e-9)
    # Held-out draws have .973. The released start is narrower than the law at its level, which costs .025 here, and
    # a count of a thousand four deviations of .007.
    assert memorized_share(training.ratio(samples)).value == pytest.approx(0.973, abs=0.053)


# The networks


def test_gaps_are_the_distances_to_the_memorized_and_the_true_prior(training, generator):
    """In units of the distance between the two: (0, 1) and (1, 0), and halfway a half of each."""
    memory, true = training.memorized_prior, training.true_prior

    def halfway(x, sigma):
        return 0.5 * (memory(x, sigma) + true(x, sigma))

    found = measures.gaps(training, {3: memory, 5: true, 8: halfway}, 100, generator=generator)
    assert [at["step"] for at in found] == [3, 5, 8]
    for at, (a, b) in zip(found, ((0, 1), (1, 0), (0.5, 0.5)), strict=True):
        for where in ("train", "held out"):
            assert at[where] == pytest.approx([a, b], abs=1e-6), (at, where)


LEVELS = torch.tensor([0.01, 0.1, 0.3, 1.0, 2.5], dtype=torch.float64)


def push(training, denoiser, length=1.0, seed=0, num=400):
    generator = torch.Generator().manual_seed(seed)
    return measures.residual_after_perturbation(training, denoiser, LEVELS, length, num, generator=generator)


def test_memorized_prior_removes_a_perturbation_until_examples_blur(training):
    left = push(training, training.memorized_prior)
    assert float(left[:3].abs().max()) < 1e-12
    assert float(left[-1]) > 0.2


def test_perturbation_is_left_whole_by_a_denoiser_that_removes_nothing(training):
    assert_same(push(training, lambda x, sigma: x), torch.ones(5))
    assert_same(push(training, lambda x, sigma: 0.25 * x, length=0.01), 0.25 * torch.ones(5), rounding=1e-9)


@pytest.mark.parametrize("length", [0.1, 3.0])
def test_perturbation_left_by_the_true_prior_has_its_closed_form(training, length):
    """<S p, p> / |p|^2 with S = C (C + sigma^2)^-1: perturbations from one example toward another, no repeats."""
    x, covariance = training.standardized, published_law().standardized(training.standardizer).covariance
    pairs = torch.multinomial(torch.ones(400, 50), 2, generator=torch.Generator().manual_seed(3))
    ways = x[pairs[:, 1]] - x[pairs[:, 0]]
    ways = ways / ways.norm(dim=1, keepdim=True)
    expected = [
        ((ways @ torch.linalg.solve(covariance + sigma**2 * torch.eye(100), covariance)) * ways).sum(1).mean()
        for sigma in LEVELS
    ]
    assert_same(push(training, training.true_prior, length, seed=3), torch.stack(expected), rounding=1e-9)


# Nulls


def test_held_out_draws_and_other_examples_are_in_no_training_set():
    """No nearer to any than draws of the true prior are to each other."""
    held_out, others = measures.held_out_draws(100), measures.other_examples(100, CPU)
    assert_same(held_out, held_out_set()[:100])
    sets = [held_out, others.examples, training_set()]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert float(torch.cdist(sets[one], sets[other]).min()) > 8
    assert_same(others.standardizer.mean, others.examples.mean(0))


def test_copy_is_a_copy_in_every_space(training, generator):
    samples = training.examples[torch.randint(50, (64,), generator=generator)]
    found = measures.copy_counts_by_space(samples, training, measures.held_out_draws(100))
    assert list(found) == ["coefficients", "standardized", "fields", "coefficients, k = 10"]
    for counts in found.values():
        assert (counts.memorized, counts.median, counts.near) == (1, 0, 1)
    for space in list(found)[:3]:
        # Every copy is nearer than every held-out draw: the least that the rank sum of 64 and 100 can be.
        assert found[space].test.z == pytest.approx(-3200 / math.sqrt(6400 * 165 / 12))
    assert found["coefficients, k = 10"].test is None


def test_held_out_draws_have_the_shares_of_their_distances(training):
    """.973 of a thousand, the claim of chapter 2; in every space those of distances taken there one by one."""
    z = measures.held_out_draws(1000)
    found = measures.copy_counts_by_space(z, training, z[:100])
    assert found["coefficients"].memorized == pytest.approx(0.973, abs=1e-9)
    decode = CosineBasis(published_grid()).decode
    spaces = {
        "coefficients": (lambda z: z, 50),
        "standardized": (lambda z: z / training.examples.std(0), 50),
        "fields": (lambda z: decode(z).flatten(1), 50),
        "coefficients, k = 10": (lambda z: z, 10),
    }
    for name, (space, k) in spaces.items():
        near = torch.cdist(space(z), space(training.examples)).sort(1).values
        ratios = near[:, 0] / near[:, 1:k].mean(1)
        # The released scale is the deviation plus 1e-5: that may move a ratio across the threshold, one of a thousand.
        assert found[name].memorized == pytest.approx(float((ratios < 0.7).double().mean()), abs=1.5e-3), name
        assert found[name].median == pytest.approx(float(ratios.median()), rel=1e-4), name
    for name in list(spaces)[:3]:
        assert abs(found[name].test.z) < 4
