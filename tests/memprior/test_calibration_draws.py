"""Ranks, coverage and credibility are uniform for draws of the exact posterior, for any number of draws and ties."""

import math

import numpy as np
import pytest
import torch
from helpers import assert_mean, assert_same
from scipy import stats

from memprior.calibration import (
    Coverage,
    coverage_test,
    energy_distance,
    energy_test,
    joint_coverage,
    joint_credibility,
    marginal_coverage,
    normalized_error,
    pit,
    rank_test,
    residuals,
    sbc_ranks,
    tarp,
    uniform_test,
)

NOISE = 0.5


def exact_gaussian(num, draws, size, generator):
    """Truths N(0, I), data truth + noise, draws of the exact posterior N(m, v I): (samples, truths, data)."""
    truths = torch.randn(num, size, generator=generator)
    data = truths + NOISE * torch.randn(num, size, generator=generator)
    spread = math.sqrt(NOISE**2 / (1 + NOISE**2))
    mean = data / (1 + NOISE**2)
    return mean[:, None] + spread * torch.randn(num, draws, size, generator=generator), truths, data


def exact_discrete(num, draws, generator, sharpness=1.0):
    """Truths from five atoms, and draws of the atoms by their posterior weights: (samples, truths, data)."""
    atoms = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [-1.0, 1.0], [0.5, -1.0]])
    truths = atoms[torch.randint(5, (num,), generator=generator)]
    data = truths + NOISE * torch.randn(num, 2, generator=generator)
    log_weights = -torch.cdist(data, atoms).square() / (2 * NOISE**2)
    chosen = torch.multinomial((sharpness * log_weights).softmax(1), draws, replacement=True, generator=generator)
    return atoms[chosen], truths, data


def assert_uniform(u, bins):
    """Each of ``bins`` equal parts of [0, 1] holds its share of u (T, ...), within four standard errors."""
    part = (u * bins).long()
    assert_mean(torch.stack([(part == k).double() for k in range(bins)], dim=-1), 1 / bins)
    # And uniform within its part: (rank + U) is no lattice.
    assert_mean(u * bins - part, 0.5)


def positions(samples, truths, data, generator):
    """Every rank statistic, by its name."""
    return {
        "pit": pit(samples, truths, generator=generator),
        "joint": joint_credibility(samples, truths, generator=generator),
        "tarp, data": tarp(samples, truths, data, generator=generator),
        "tarp, prior": tarp(samples, truths, torch.randn(truths.shape, generator=generator), generator=generator),
    }


@pytest.mark.parametrize("draws", [2, 5])
@pytest.mark.parametrize("law", ["normal", "atoms"])
def test_rank_statistics_of_exact_draws_are_uniform(law, draws, generator):
    samples, truths, data = (
        exact_gaussian(20000, draws, 3, generator) if law == "normal" else exact_discrete(20000, draws, generator)
    )
    for u in positions(samples, truths, data, generator).values():
        assert_uniform(u, draws + 1)


def test_rank_statistics_detect_overconfident_weights(generator):
    samples, truths, data = exact_discrete(2000, 19, generator, sharpness=3.0)
    found = positions(samples, truths, data, generator)
    assert rank_test(found["pit"]) < 1e-9
    assert max(uniform_test(found[name]) for name in ("joint", "tarp, data", "tarp, prior")) < 1e-9


def test_sbc_ranks_count_the_draws_below_the_truth(generator):
    samples, truths, _ = exact_gaussian(50, 7, 3, generator)
    ranks = sbc_ranks(samples, truths, generator=generator)
    assert ranks.dtype == torch.int64
    assert torch.equal(ranks, (samples < truths[:, None]).sum(1))
    assert torch.equal((8 * pit(samples, truths, generator=generator)).long(), ranks)


@pytest.mark.parametrize("size", [1, 3, 4, 7, 16, 100])
def test_rank_statistics_break_ties_at_random(size, generator):
    truths, references = torch.randn(2, 2000, size, generator=generator)
    samples = truths[:, None].expand(-1, 4, -1)
    ranks = sbc_ranks(samples, truths, generator=generator)[:, 0]
    assert_mean(torch.stack([(ranks == k).double() for k in range(5)], dim=1), 1 / 5)
    assert_uniform(joint_credibility(samples, truths, generator=generator), 5)
    assert_uniform(tarp(samples, truths, references, generator=generator), 5)


def test_joint_credibility_is_the_share_of_draws_nearer_to_the_center(generator):
    samples, truths, data = exact_gaussian(40, 6, 2, generator)
    everyone = torch.cat([samples, truths[:, None]], dim=1)
    for u, center in (
        (joint_credibility(samples, truths, generator=generator), everyone.mean(1)),
        (tarp(samples, truths, data, generator=generator), data),
    ):
        far = (truths - center).norm(dim=1)
        nearer = ((samples - center[:, None]).norm(dim=2) < far[:, None]).sum(1)
        assert torch.equal((7 * u).long(), nearer)


def test_joint_credibility_measures_each_component_in_its_scale(generator):
    samples, truths, _ = exact_gaussian(40, 6, 3, generator)
    unit = torch.tensor([1.0, 4.0, 0.25])
    same = [torch.Generator().manual_seed(1) for _ in range(2)]
    assert_same(
        joint_credibility(samples * unit, truths * unit, scale=unit, generator=same[0]),
        joint_credibility(samples, truths, generator=same[1]),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pit_values_stay_inside_the_unit_interval_in_every_dtype(dtype, generator):
    samples = torch.zeros(4000, 3, 1, dtype=dtype)
    for truth in (-1.0, 1.0):
        u = pit(samples, torch.full((4000, 1), truth, dtype=dtype), generator=generator)
        assert u.dtype == dtype
        assert 0 < float(u.min()) < float(u.max()) < 1
    half = torch.full((2, 5), 0.5, dtype=dtype)
    assert marginal_coverage(half, 0.5).value == 1


# ---- coverage ------------------------------------------------------------------------------------------------------


def jeffreys(hits, num):
    return stats.beta.ppf([0.025, 0.975], hits + 0.5, num - hits + 0.5).tolist()


def test_marginal_coverage_counts_fully_dependent_components_once(generator):
    u = torch.rand(200, 1, generator=generator)
    hits = int(((u > 0.05) & (u < 0.95)).sum())
    one, copied = marginal_coverage(u, 0.9), marginal_coverage(u.expand(-1, 10), 0.9)
    assert one.value == copied.value == pytest.approx(hits / 200)
    assert one.level == 0.9
    for found in (one, copied):
        assert [found.low, found.high] == pytest.approx(jeffreys(hits, 200), rel=1e-2)
    apart = marginal_coverage(torch.rand(200, 10, generator=generator), 0.9)
    # The spread of 200 truths' own shares is known to a tenth, twice its standard error.
    expected = 2 * 1.96 * math.sqrt(apart.value * (1 - apart.value) / 2000)
    assert apart.high - apart.low == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("shared", [0.0, 0.5, 0.99])
def test_marginal_coverage_interval_has_its_nominal_coverage(shared, generator):
    held = []
    for _ in range(500):
        z = math.sqrt(shared) * torch.randn(100, 1, generator=generator)
        z = z + math.sqrt(1 - shared) * torch.randn(100, 10, generator=generator)
        found = marginal_coverage(torch.special.ndtr(z), 0.8)
        held.append(float(found.low <= 0.8 <= found.high))
    assert_mean(torch.tensor(held), 0.95)


def test_marginal_coverage_of_one_or_zero_keeps_an_interval():
    found = marginal_coverage(torch.full((20, 3), 0.5), 0.9)
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(jeffreys(20, 20)[0])
    assert found == Coverage(1.0, found.low, 1.0, 0.9)
    nothing = marginal_coverage(torch.zeros(20, 3), 0.9)
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, pytest.approx(1 - found.low))


def test_joint_coverage_is_the_share_of_credibilities_below_the_level(generator):
    samples, truths, _ = exact_gaussian(300, 9, 4, generator)
    same = [torch.Generator().manual_seed(1) for _ in range(2)]
    found = joint_coverage(samples, truths, 0.7, generator=same[0])
    hits = int((joint_credibility(samples, truths, generator=same[1]) < 0.7).sum())
    assert found.value == pytest.approx(hits / 300)
    assert [found.low, found.high] == pytest.approx(jeffreys(hits, 300))


# ---- p-values ------------------------------------------------------------------------------------------------------


def test_uniform_test_is_its_two_legendre_sums(generator):
    u = torch.rand(30, generator=generator) ** 1.3
    sums = [
        math.sqrt(2 * k + 1) * np.polynomial.Legendre.basis(k, domain=[0, 1])(u.numpy()).sum() / math.sqrt(30)
        for k in (1, 2)
    ]
    assert uniform_test(u) == pytest.approx(stats.chi2.sf(sums[0] ** 2 + sums[1] ** 2, 2), rel=1e-10)


@pytest.mark.parametrize("num", [20, 500])
def test_uniform_test_has_its_nominal_false_alarm_rate(num, generator):
    alarms = [float(uniform_test(torch.rand(num, generator=generator)) <= 0.05) for _ in range(2000)]
    assert_mean(torch.tensor(alarms), 0.05)


def test_rank_test_is_bonferroni_over_the_components(generator):
    u = torch.rand(100, 4, generator=generator)
    u[:, 2] = u[:, 2] ** 1.5
    each = [uniform_test(column) for column in u.T]
    assert rank_test(u) == pytest.approx(4 * min(each))
    assert min(each) == each[2] < 0.01
    assert rank_test((torch.arange(100) + 0.5)[:, None].expand(-1, 4) / 100) == 1


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("hits", [0, 13, 20, 37, 40])
def test_coverage_test_is_the_binomial_test(hits, level):
    """Against its definition: the probability of all counts that are no likelier than the observed one."""
    u = torch.cat([torch.full((hits,), level / 2), torch.full((40 - hits,), (1 + level) / 2)])
    likely = [math.comb(40, k) * level**k * (1 - level) ** (40 - k) for k in range(41)]
    assert coverage_test(u, level) == pytest.approx(sum(p for p in likely if p <= likely[hits] * (1 + 1e-9)), rel=1e-9)


@pytest.mark.parametrize("paired", [False, True])
def test_energy_test_ranks_the_distance_among_all_splits(paired, generator):
    x, y = torch.randn(4, 2, generator=generator), torch.randn(4, 2, generator=generator) + 0.7
    points = torch.cat([x, y])
    codes = (torch.arange(2**8)[:, None] >> torch.arange(8)) % 2 == 1
    allowed = (codes[:, :4] ^ codes[:, 4:]).all(1) if paired else codes.sum(1) == 4
    each = torch.stack([energy_distance(points[is_x], points[~is_x]) for is_x in codes[allowed]])
    share = float((each >= energy_distance(x, y) - 1e-12).double().mean())
    num = 20000
    found = energy_test(x, y, num_permutations=num, generator=generator, paired=paired)
    assert 0.05 < share < 0.95
    assert abs(found - share) <= 4 * math.sqrt(share * (1 - share) / num) + 1 / num


def test_energy_test_of_unequal_sizes_uses_the_unbiased_distance(generator):
    x, y = torch.randn(2, 1, generator=generator), torch.randn(5, 1, generator=generator) + 1.0
    points, found = torch.cat([x, y]), energy_distance(x, y)
    each = []
    for first in range(7):
        for second in range(first):
            is_x = torch.zeros(7, dtype=torch.bool)
            is_x[[first, second]] = True
            each.append(float(energy_distance(points[is_x], points[~is_x]) >= found - 1e-12))
    share, num = sum(each) / 21, 20000
    p = energy_test(x, y, num_permutations=num, generator=generator)
    assert abs(p - share) <= 4 * math.sqrt(share * (1 - share) / num) + 1 / num


def test_energy_test_by_swaps_keeps_its_level_for_dependent_pairs(generator):
    alarms = {True: [], False: []}
    for _ in range(1500):
        shared = torch.randn(8, 2, generator=generator)
        x, y = (shared + 0.5 * torch.randn(8, 2, generator=generator) for _ in range(2))
        for paired, found in alarms.items():
            found.append(energy_test(x, y, num_permutations=19, generator=generator, paired=paired) <= 0.1)
    # Of 20 distances the first is among the two largest one time in ten; 2^7 splits tie now and then: rarer.
    rate, error = sum(alarms[True]) / 1500, math.sqrt(0.1 * 0.9 / 1500)
    assert 0.1 * (1 - 20 / 2**7) - 4 * error < rate < 0.1 + 4 * error
    assert sum(alarms[False]) / 1500 < 0.1 - 4 * error


def test_energy_test_of_equal_points_has_p_value_one(generator):
    x = torch.ones(5, 2)
    assert energy_test(x, x, num_permutations=50, generator=generator) == 1


# ---- residuals and errors ------------------------------------------------------------------------------------------


def test_residuals_of_truth_and_draw_have_the_same_distribution(generator):
    samples, truths, _ = exact_gaussian(4000, 6, 2, generator)
    of_truth, of_draw = residuals(samples, truths)
    assert_same(truths - of_truth, samples[:, 1:].mean(1))
    assert_same(samples[:, 0] - of_draw, samples[:, 1:].mean(1))
    variance = NOISE**2 / (1 + NOISE**2) * (1 + 1 / 5)
    for found in (of_truth, of_draw):
        assert_mean(found, 0.0)
        assert_mean(found.square(), variance)


def test_normalized_error_is_that_of_the_mean_in_the_given_scale():
    samples = torch.tensor([[[1.0, 10.0], [3.0, 30.0]]])
    found = normalized_error(samples, torch.tensor([[5.0, 60.0]]), torch.tensor([1.0, 10.0]))
    assert float(found) == pytest.approx(math.sqrt((3**2 + 4**2) / 2), rel=1e-12)


def test_normalized_error_of_the_prior_mean_is_one(generator):
    truths = torch.randn(2000, 3, generator=generator) * torch.tensor([1.0, 5.0, 0.1])
    found = normalized_error(torch.zeros(2000, 2, 3), truths, torch.tensor([1.0, 5.0, 0.1]))
    assert_mean(found.square(), 1.0)


# ---- bad input -----------------------------------------------------------------------------------------------------

# The default dtype is set later, for each test.
X = torch.zeros(4, 2, dtype=torch.float64)
S, U, NAN = X[:, None].expand(-1, 3, -1), X + 0.5, math.nan


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda g: sbc_ranks([1.0], X, generator=g), TypeError, "samples: expected a torch.Tensor"),
        (lambda g: sbc_ranks(X, X, generator=g), ValueError, r"samples: expected shape \(T, S, d\)"),
        (lambda g: sbc_ranks(S[:0], X[:0], generator=g), ValueError, r"samples: expected shape \(T, S, d\), none 0"),
        (
            lambda g: pit(S[:, :1], X, generator=g),
            ValueError,
            "samples: expected at least 2 draws of each truth, got 1",
        ),
        (lambda g: pit(S, X[:3], generator=g), ValueError, "truths: expected one for each of 4 sets of draws, got 3"),
        (lambda g: pit(S, X[:, :1], generator=g), ValueError, r"truths: expected shape \(B, 2\), got \(4, 1\)"),
        (lambda g: pit(S, X.float(), generator=g), ValueError, "truths: expected dtype torch.float64"),
        (lambda g: pit(S + NAN, X, generator=g), ValueError, "samples: expected finite numbers"),
        (lambda g: pit(S, X + NAN, generator=g), ValueError, "truths: expected finite numbers"),
        (lambda g: joint_credibility(S, X[:3], generator=g), ValueError, "truths: expected one for each"),
        (
            lambda g: joint_credibility(S, X, scale=torch.ones(3), generator=g),
            ValueError,
            r"scale: expected shape \(2,\), got \(3,\)",
        ),
        (
            lambda g: joint_credibility(S, X, scale=torch.zeros(2), generator=g),
            ValueError,
            "scale: expected finite and",
        ),
        (lambda g: joint_coverage(S, X, 1.0, generator=g), ValueError, r"level: expected a number in \(0, 1\), got 1"),
        (lambda g: joint_coverage(S, X, 0.0, generator=g), ValueError, "level: expected one number"),
        (lambda g: marginal_coverage(U, 90), ValueError, r"level: expected a number in \(0, 1\), got 90"),
        (lambda g: marginal_coverage(U[:1], 0.9), ValueError, r"pit_values: expected \(T >= 2, d\)"),
        (lambda g: marginal_coverage(2 + U, 0.9), ValueError, r"pit_values: expected numbers in \[0, 1\], got 2.5 to"),
        (lambda g: tarp(S, X, X[:3], generator=g), ValueError, "references: expected one for each of 4 truths, got 3"),
        (lambda g: tarp(S, X, X + NAN, generator=g), ValueError, "references: expected finite numbers"),
        (lambda g: uniform_test(U), ValueError, r"u: expected shape \(T,\), T >= 2"),
        (lambda g: uniform_test(U[:, 0] - 1), ValueError, r"u: expected numbers in \[0, 1\]"),
        (lambda g: uniform_test(U[:, 0] + NAN), ValueError, r"u: expected numbers in \[0, 1\], got nan"),
        (lambda g: rank_test(U[:, :0]), ValueError, "pit_values: expected at least one component"),
        (lambda g: rank_test(U[:, 0]), ValueError, r"pit_values: expected shape \(B, d\)"),
        (lambda g: coverage_test(U[:, 0], 2.0), ValueError, "level: expected a number"),
        (lambda g: coverage_test(U, 0.5), ValueError, r"credibility: expected shape \(T,\)"),
        (lambda g: residuals(S, X[:3]), ValueError, "truths: expected one for each"),
        (
            lambda g: energy_test(X, X, num_permutations=0, generator=g),
            ValueError,
            "num_permutations: expected an integer",
        ),
        (lambda g: energy_test(X[:1], X, num_permutations=9, generator=g), ValueError, "x: expected at least 2 points"),
        (lambda g: energy_test(X, X + NAN, num_permutations=9, generator=g), ValueError, "y: expected finite numbers"),
        (
            lambda g: energy_test(X, X[:3], num_permutations=9, generator=g, paired=True),
            ValueError,
            "y: expected 4 points, one for each x, when paired, got 3",
        ),
        (lambda g: normalized_error(S, X, torch.ones(3)), ValueError, "scale: expected shape"),
    ],
)
def test_calibration_refuses_bad_input_by_name(call, error, message, generator):
    with pytest.raises(error, match=message):
        call(generator)
