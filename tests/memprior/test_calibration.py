"""The energy distance is its definition, unbiased, and takes bounded memory."""

import math
from itertools import permutations

import pytest
import torch
from helpers import LargestTensor, assert_mean, assert_same

from memprior.calibration import energy_distance

NORMAL_GAP = 2 / math.sqrt(math.pi)  # E|X - X'| of two standard normals


def assert_mean_distance(distance, expected):
    """The mean of ``distance()``, drawn a thousand times."""
    assert_mean(torch.stack([distance() for _ in range(1000)]), expected)


def test_energy_distance_is_its_formula_pair_by_pair(generator):
    x, y = torch.randn(6, 3, generator=generator), torch.randn(4, 3, generator=generator) + 0.5

    def mean(pairs):
        distances = [float((a - b).square().sum().sqrt()) for a, b in pairs]
        return sum(distances) / len(distances)

    across = mean([(a, b) for a in x for b in y])
    own_x, own_y = mean(list(permutations(x, 2))), mean(list(permutations(y, 2)))
    assert_same(energy_distance(x, y), 2 * across - own_x - own_y)
    # An atom of a discrete distribution is paired with itself as well: two independent draws may be equal.
    own_law = mean([(a, b) for a in y for b in y])
    assert_same(energy_distance(x, y, reference_is_law=True), 2 * across - own_x - own_law)


def test_energy_distance_of_two_points_is_twice_their_distance():
    here, there = torch.zeros(2, 2), torch.tensor([[3.0, 4.0]])
    assert float(energy_distance(here, there.expand(5, 2))) == pytest.approx(10, rel=1e-12)
    assert float(energy_distance(here, there, reference_is_law=True)) == pytest.approx(10, rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_energy_distance_of_shifted_normals_is_the_folded_normals(shift, generator):
    def distance():
        return energy_distance(torch.randn(30, 1, generator=generator), torch.randn(20, 1, generator=generator) + shift)

    # X - Y is N(shift, 2), whose mean absolute value is that of the folded normal; equal distributions are at zero.
    across = NORMAL_GAP * math.exp(-(shift**2) / 4) + shift * math.erf(shift / 2)
    assert_mean_distance(distance, 2 * across - 2 * NORMAL_GAP)


def test_energy_distance_of_draws_to_their_discrete_distribution_is_zero(generator):
    atoms = torch.randn(7, 2, generator=generator)

    def distance():
        draws = atoms[torch.randint(7, (30,), generator=generator)]
        return energy_distance(draws, atoms, reference_is_law=True)

    assert_mean_distance(distance, 0.0)


@pytest.mark.parametrize("num", [5, 20])
def test_energy_distance_to_an_empirical_distribution_falls_as_1_over_n(num, generator):
    def distance():
        truth, atoms = torch.randn(30, 1, generator=generator), torch.randn(num, 1, generator=generator)
        return energy_distance(truth, atoms, reference_is_law=True)

    # 2 E|X - Y| - E|X - X'| is one gap, and of the N^2 pairs of atoms N have none: gap - gap (N - 1) / N.
    assert_mean_distance(distance, NORMAL_GAP / num)


def test_energy_distance_has_a_root_that_obeys_the_triangle_inequality(generator):
    distributions = [
        torch.randn(1000, 2, generator=generator),
        torch.randn(1000, 2, generator=generator) + 1.0,
        6 * torch.rand(1000, 2, generator=generator),
    ]
    for a, b, c in permutations(distributions):
        sides = [float(energy_distance(*pair)) for pair in ((a, b), (b, c), (a, c))]
        assert min(sides) > 0
        assert math.sqrt(sides[2]) < math.sqrt(sides[0]) + math.sqrt(sides[1])
    # The distance itself is no metric: a step of one and another of one are less than a step of two.
    points = [torch.full((2, 1), place) for place in (0.0, 1.0, 2.0)]
    ends = [float(energy_distance(points[i], points[j])) for i, j in ((0, 1), (1, 2), (0, 2))]
    assert ends == pytest.approx([2, 2, 4])


def test_energy_distance_is_symmetric(generator):
    x, y = torch.randn(40, 3, generator=generator), torch.randn(30, 3, generator=generator) + 0.5
    assert_same(energy_distance(x, y), energy_distance(y, x))


@pytest.mark.parametrize("shift", [10.0, 1e6])
def test_energy_distance_is_translation_invariant(shift, generator):
    x, y = torch.randn(40, 3, generator=generator), torch.randn(30, 3, generator=generator) + 0.5
    moved = energy_distance(x + shift, y + shift)
    # Each of three coordinates is rounded to eps * shift, twice for a distance; and distances enter four times.
    rounding = 8 * math.sqrt(3) * torch.finfo(torch.float64).eps * (1 + shift)
    assert float(moved) == pytest.approx(float(energy_distance(x, y)), abs=rounding)


def test_energy_distance_of_many_draws_takes_bounded_memory(generator):
    x, y = torch.randn(5000, 1, generator=generator), torch.randn(4000, 1, generator=generator) + 1.0

    def gaps(*sets):
        """The sum of |x_i - x_j| over pairs i < j: in one dimension each sorted x counts by its rank."""
        ordered = torch.cat(sets)[:, 0].sort().values
        return ((2 * torch.arange(len(ordered)) - len(ordered) + 1) * ordered).sum()

    across = (gaps(x, y) - gaps(x) - gaps(y)) / (5000 * 4000)
    own_x, own_y = gaps(x) / (5000 * 4999 / 2), gaps(y) / (4000 * 3999 / 2)
    with LargestTensor() as largest:
        distance = energy_distance(x, y)
    # Ranks weigh positions by up to 9000 before they cancel.
    assert_same(distance, 2 * across - own_x - own_y, rounding=9000 * torch.finfo(torch.float64).eps * 4)
    assert largest.numel <= 2**24


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_energy_distance_dtype_follows_the_input(dtype):
    x = torch.arange(6, dtype=dtype).reshape(3, 2)
    assert energy_distance(x, x + 1).dtype == energy_distance(x, x[:1], reference_is_law=True).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_energy_distance_far_from_the_origin_keeps_its_digits(dtype, generator):
    x, y = torch.randn(60, 3, generator=generator), torch.randn(50, 3, generator=generator) + 0.5
    moved = [(part + 2500).to(dtype) for part in (x, y)]
    exact = energy_distance(*(part.double() - 2500 for part in moved))
    assert float(energy_distance(*moved)) == pytest.approx(float(exact), rel=1e-4)
