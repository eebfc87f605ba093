"""Memorization metrics keep their level on fresh draws, detect copies, and have the published values."""

import math

import pytest
import scipy.stats
import torch
from helpers import assert_batch_independent, assert_same, held_out_set, training_set

from memprior.memorization import Neighbors, leave_one_out, memorization_ratio, nearest_neighbors, three_sample_test
from memprior.memorization._distances import _candidates
from memprior.paper import published_coefficients, published_truth


def assert_same_rate(one, other):
    """As many of both have r < 0.7, within four standard errors of the difference."""
    one, other = ((memorization_ratio(neighbors) < 0.7).double() for neighbors in (one, other))
    assert abs(float(one.mean() - other.mean())) < 4 * float((one.var() / len(one) + other.var() / len(other)).sqrt())


@pytest.mark.parametrize(("num", "ratio"), [(50, 0.516), (200, 0.674), (1000, 0.795)])
def test_memorization_ratio_of_the_published_truth_is_known(num, ratio):
    near = nearest_neighbors(published_truth()[None], training_set()[:num], min(50, num))
    assert float(memorization_ratio(near)) == pytest.approx(ratio, abs=5e-4)


@pytest.mark.parametrize(("num", "share"), [(50, 0.973), (200, 0.316), (1000, 0.086)])
def test_memorization_ratio_of_held_out_fields_is_below_0_7_at_known_rates(num, share):
    near = nearest_neighbors(held_out_set(), training_set()[:num], min(50, num))
    called_memorized = (memorization_ratio(near) < 0.7).double().mean()
    assert float(called_memorized) == pytest.approx(share, abs=5e-4)
    assert float((near.distances[:, 0] < near.distances[:, 1] / 3).double().mean()) < 0.01


def test_nearest_neighbors_are_the_sorted_distances(generator):
    samples, train_set = torch.randn(6, 3, generator=generator), torch.randn(9, 3, generator=generator)
    near = nearest_neighbors(samples, train_set, 4)
    distances = (samples[:, None] - train_set).norm(dim=2)
    assert_same(near.distances, distances.sort(dim=1).values[:, :4])
    assert torch.equal(near.indices, distances.argsort(dim=1)[:, :4])
    assert_batch_independent(lambda x: nearest_neighbors(x, train_set, 4).distances, samples)


def test_nearest_neighbors_take_many_examples_in_blocks_of_rows():
    train_set = torch.arange(2.0**18, dtype=torch.float32)[:, None]
    samples = torch.arange(70, dtype=torch.float32)[:, None] + 0.25
    near = nearest_neighbors(samples, train_set, 2)
    assert torch.equal(near.indices, torch.stack([torch.arange(70), torch.arange(1, 71)], dim=1))
    assert torch.equal(near.distances, torch.tensor([[0.25, 0.75]], dtype=torch.float32).expand(70, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("center", [0.0, 2500.0])
@pytest.mark.parametrize("size", [2, 100])
def test_nearest_neighbors_from_candidates_by_products_are_exact(size, center, dtype, generator):
    train_set = (torch.randn(400, size, generator=generator) + center).to(dtype)
    train_set[300:] = train_set[:100] * (1 + 1e-5)  # near twins, which products in float32 cannot order
    samples = torch.cat([train_set[:50], train_set[:50] * (1 - 1e-6), torch.zeros(1, size, dtype=dtype)])
    assert _candidates(samples[:100], train_set, 5) is not None
    near = nearest_neighbors(samples, train_set, 5)
    every = torch.cdist(samples, train_set, compute_mode="donot_use_mm_for_euclid_dist")
    assert torch.equal(near.distances, every.sort(1).values[:, :5])
    assert torch.equal(near.distances, every.gather(1, near.indices))


def test_nearest_neighbors_measure_half_precision_in_single(generator):
    samples, train_set = torch.randn(20, 3, generator=generator), torch.randn(30, 3, generator=generator)
    for dtype in (torch.float16, torch.bfloat16):
        half = samples.to(dtype), train_set.to(dtype)
        near, single = nearest_neighbors(*half, 5), nearest_neighbors(*(x.float() for x in half), 5)
        assert near.distances.dtype == torch.float32
        assert torch.equal(near.distances, single.distances)
        assert torch.equal(near.indices, single.indices)
        assert torch.equal(leave_one_out(half[1], 5).distances, leave_one_out(half[1].float(), 5).distances)


@pytest.mark.parametrize(("scale", "dtype"), [(1e200, torch.float64), (1e-200, torch.float64), (1e20, torch.float32)])
def test_nearest_neighbors_refuse_numbers_whose_squares_are_lost(scale, dtype, generator):
    one, other = (scale * torch.randn(30, 3, generator=generator) for _ in range(2))
    one, other = one.to(dtype), other.to(dtype)
    for refused in (
        lambda: nearest_neighbors(one, other, 2),
        lambda: leave_one_out(other, 2),
        lambda: three_sample_test(one, other, one),
    ):
        with pytest.raises(ValueError, match=r"train_set: expected numbers up to some .*: scale them, got "):
            refused()
    if scale > 1:
        with pytest.raises(ValueError, match=r"samples: expected numbers up to some .*: scale them, got "):
            nearest_neighbors(one, torch.randn(30, 3, generator=generator).to(dtype), 2)


def test_nearest_neighbors_put_a_copy_at_distance_zero():
    near = nearest_neighbors(training_set()[:40] + 0.0, training_set(), 50)
    assert torch.equal(near.indices[:, 0], torch.arange(40))
    assert bool((near.distances[:, 0] == 0).all())
    assert bool((memorization_ratio(near) == 0).all())


def test_memorization_ratio_of_equally_far_neighbors_is_one():
    corners = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert memorization_ratio(nearest_neighbors(torch.zeros(1, 2), corners, 4)).item() == 1


def test_memorization_ratio_is_the_first_over_the_mean_of_the_others():
    table = Neighbors(torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 0.0]]), torch.zeros(2, 3, dtype=torch.int64))
    ratio = memorization_ratio(table)
    assert ratio[0] == 0.25
    assert ratio[1].isnan()


@pytest.mark.parametrize("num", [50, 200, 1000])
def test_memorization_ratio_is_alike_for_fresh_and_held_out_draws(num):
    fresh, held_out = (
        nearest_neighbors(x, training_set()[:num], 50) for x in (published_coefficients(1000, seed=7), held_out_set())
    )
    assert_same_rate(fresh, held_out)


def test_three_sample_test_detects_copies_and_passes_fresh_draws(generator):
    fresh = three_sample_test(published_coefficients(500, seed=7), training_set(), held_out_set())
    assert abs(fresh.z) < 4
    noise = 0.01 * torch.randn(500, 100, generator=generator)
    copies = three_sample_test(training_set()[:500] + noise, training_set(), held_out_set())
    assert copies.z < -10
    assert copies.p_copying < 1e-20


def test_three_sample_test_is_scipys_mann_whitney(generator):
    train_set = torch.randn(40, 2, generator=generator)
    samples, held_out = torch.randn(31, 2, generator=generator), 1.3 * torch.randn(53, 2, generator=generator)
    distances = [nearest_neighbors(x, train_set, 1).distances[:, 0].numpy() for x in (samples, held_out)]
    theirs = scipy.stats.mannwhitneyu(*distances, alternative="less", method="asymptotic", use_continuity=False)
    ours = three_sample_test(samples, train_set, held_out)
    assert ours.p_copying == pytest.approx(theirs.pvalue, rel=1e-12)
    assert ours.z == pytest.approx(scipy.stats.norm.ppf(theirs.pvalue), rel=1e-12)


def test_three_sample_test_counts_ties_as_half(generator):
    samples = torch.randint(0, 4, (30, 1), generator=generator).double()
    held_out = torch.randint(0, 5, (20, 1), generator=generator).double()
    farther = (samples > held_out.T).double() + 0.5 * (samples == held_out.T).double()
    test = three_sample_test(samples, torch.zeros(1, 1), held_out)
    assert test.z * math.sqrt(30 * 20 * 51 / 12) + 30 * 20 / 2 == pytest.approx(float(farther.sum()), rel=1e-12)
    same = three_sample_test(samples, torch.zeros(1, 1), samples)
    assert (same.z, same.p_copying) == (0, 0.5)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_leave_one_out_returns_the_neighbors_among_the_others(k, generator):
    train_set = torch.randn(6, 2, generator=generator)[[0, 1, 2, 1, 3, 1, 4, 5, 0]]
    near = leave_one_out(train_set, k)
    for i, one in enumerate(train_set):
        others = torch.cat([train_set[:i], train_set[i + 1 :]])
        assert_same(near.distances[i], nearest_neighbors(one[None], others, k).distances[0])
        assert i not in near.indices[i]
        assert len(set(near.indices[i].tolist())) == k
        assert_same((train_set[near.indices[i]] - one).norm(dim=1), near.distances[i])


def test_leave_one_out_example_is_a_held_out_draw():
    assert_same_rate(leave_one_out(training_set(), 50), nearest_neighbors(held_out_set(), training_set(), 50))
