"""The training set is the published one, and the cosine basis is its least-squares projection."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import (
    ROUNDING,
    assert_derivative,
    assert_mean,
    assert_moments,
    assert_same,
    held_out_set,
    training_set,
)

from memprior.fields import CosineBasis, Grid, Standardizer, squared_slowness, velocity
from memprior.gaussian import Gaussian
from memprior.paper import published_coefficients, published_fields, published_grid, published_law, published_truth


@pytest.fixture
def basis():
    return CosineBasis(published_grid())


def test_published_coefficients_are_the_papers_training_set():
    z = training_set()
    np.testing.assert_allclose(z[0, :3], [-3.666592, 1.522298, 1.531200], rtol=0, atol=1e-5)
    np.testing.assert_allclose(z[999, :3], [3.426815, 8.165514, -0.478579], rtol=0, atol=1e-5)


def test_published_coefficients_have_the_reference_digits():
    z, fields = training_set(), published_fields(1)
    first = [-3.666591561609394, 1.5222980232584313, 1.5312003466638182]
    first += [1.774013537613329, 4.714249501879602, 0.13001836024855606]
    last = [3.426815569028088, 8.165514304411627, -0.47857930261032156]
    last += [4.72979442924486, -1.100539480527603, 4.340787181959646]
    corner = [0.20976127082403118, 0.20931212481866582, 0.2082177201233087, 0.20823003060304207]
    assert_same(z[0, :6], first)
    assert_same(z[999, :6], last)
    assert_same(fields[0, 0, :4], corner)
    assert_same(fields[0].mean(), 0.2777777777777778)
    assert_same(z.norm(dim=1).mean(), 20.092679345857444)


def test_published_truth_is_the_mean_of_examples_8_9_and_24():
    truth = published_truth()
    # The reference truth was read from a published array: 4e-7 is its own agreement with the recipe.
    reference = [-1.344230801198335, -2.953813354141588, 2.807488575146416]
    reference += [-0.46635349029491957, 0.7494421209157028, -1.4579485406019483]
    np.testing.assert_allclose(truth[:6], reference, rtol=0, atol=4e-7)
    assert float(truth.norm()) == pytest.approx(10.773599833733861, abs=4e-7)
    assert_same(truth, training_set()[[8, 9, 24]].mean(0))


def test_published_coefficients_are_nested_for_one_seed_alone():
    assert torch.equal(published_fields(3), published_fields(5)[:3])
    assert_same(published_coefficients(3), training_set()[:3])
    assert bool((published_fields(1, seed=12345) != published_fields(1)).all())


def test_published_fields_are_point_symmetric():
    fields = published_fields(4, seed=7)
    assert_same(fields.flip(1, 2).roll((1, 1), (1, 2)), fields)


def test_published_fields_have_half_the_nominal_variance():
    slow, fast = 1 / 1.5**2, 1 / 3.0**2
    deviations = (published_fields(1000) - (slow + fast) / 2) / ((slow - fast) / 6)
    assert float(deviations.mean((1, 2)).abs().max()) < ROUNDING
    power = deviations.square().mean((1, 2))
    # Re ifft2 adds w_k and w_-k: the power averages sum a^2 / 2, but for a(32)^2 = 1e-9 at the edge of the band.
    assert_mean(power, 0.5)


def test_decode_is_the_cosine_series_at_cell_centers():
    grid = Grid((6, 9), 0.25)
    field = CosineBasis(grid, 3, background=0.3, scale=0.05, decay=0.4).decode(torch.arange(1.0, 10.0)[None])[0]
    x, z = (2 + 0.5) / 6, (7 + 0.5) / 9
    value = 0.3
    for number, (i1, i2) in enumerate((i1, i2) for i1 in (1, 2, 3) for i2 in (1, 2, 3)):
        phi = 2 * math.cos(math.pi * (i1 + 0.5) * x) * math.cos(math.pi * (i2 + 0.5) * z)
        value += 0.05 * (number + 1) * (math.pi**2 * ((i1 + 0.5) ** 2 + (i2 + 0.5) ** 2)) ** -0.4 * phi
    assert float(field[2, 7]) == pytest.approx(value, rel=ROUNDING)


@pytest.mark.parametrize("grid", [Grid((64, 64), 2 / 64), Grid((11, 40), 0.05)], ids=["published", "oblong"])
def test_encode_undoes_decode(grid, generator):
    basis, z = CosineBasis(grid), torch.randn(3, 100, generator=generator)
    assert_same(basis.encode(basis.decode(z)), z)


def test_encode_is_least_squares(basis, generator):
    fields = torch.rand(2, 64, 64, generator=generator)
    synthesis = (basis.decode(torch.eye(100)) - 0.25).reshape(100, -1).T
    solution = torch.linalg.lstsq(synthesis, (fields - 0.25).flatten(1).T).solution.T
    condition = float(torch.linalg.cond(synthesis))
    assert_same(basis.encode(fields), solution, rounding=ROUNDING * condition)


def test_cosine_basis_holds_a_third_of_the_published_variance(basis):
    fields = published_fields(1000)
    away = fields - (1 / 2.25 + 1 / 9) / 2
    kept = basis.decode(basis.encode(away + 0.25)) - 0.25
    assert float(kept.square().sum() / away.square().sum()) == pytest.approx(0.32, abs=0.01)


def test_decode_is_differentiable(basis, generator):
    def tangent(z, v):
        return torch.func.jvp(basis.decode, (z,), (v,))[1]

    assert_derivative(basis.decode, tangent, torch.randn(2, 100, generator=generator), generator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cosine_basis_dtype_follows_the_input(basis, dtype):
    fields = basis.decode(torch.ones(1, 100, dtype=dtype))
    assert (fields.dtype, basis.encode(fields).dtype) == (dtype, dtype)


def test_grid_cells_are_centered():
    grid = Grid((4, 2), 0.5)
    assert grid.centers_km(0).tolist() == [0.25, 0.75, 1.25, 1.75]
    assert grid.centers_km(1).tolist() == [0.25, 0.75]
    assert (published_grid().shape, published_grid().spacing_km * 64) == ((64, 64), 2.0)


def test_standardizer_gives_mean_zero_and_deviation_one():
    z = training_set()[:50]
    standard = Standardizer.fit(z)
    normal = standard.normalize(z)
    assert float(normal.mean(0).abs().max()) < ROUNDING
    assert_same(standard.scale, z.std(0, correction=1) + 1e-5)
    assert_same(standard.restore(normal), z)


@pytest.fixture
def law():
    return published_law()


def test_published_law_has_the_moments_of_held_out_draws(law, generator):
    z = held_out_set()
    assert_mean(z, law.mean)
    # Of the variance along random directions: ten thousand covariances would pass four errors by chance.
    directions = torch.randn(100, 20, generator=generator)
    along = (z - law.mean) @ directions
    assert_mean(along.square(), (directions * (law.covariance @ directions)).sum(0))


def test_published_law_is_derived_from_the_noise_pixel_by_pixel(law, monkeypatch):
    # z = mean + A w with w white: the recipe's answers to unit pixels are the columns of A; the covariance is A A^T.
    covariance = torch.zeros(100, 100)
    for pixels in np.eye(64 * 64).reshape(8, 512, 64, 64):
        unit = SimpleNamespace(standard_normal=lambda shape, pixels=pixels: pixels)
        monkeypatch.setattr(np.random, "RandomState", lambda seed, unit=unit: unit)
        columns = published_coefficients(512) - law.mean
        covariance += columns.T @ columns
    assert_same(covariance, law.covariance)


def test_published_law_has_the_support_of_the_training_set(law):
    variances, axes = torch.linalg.eigh(law.covariance)
    support = variances > 1e-8 * variances.max()
    assert int(support.sum()) == 88
    for z in (training_set(), held_out_set()):
        along = (z - law.mean) @ axes
        # Of 88 squares of normals the mean is 88, give or take sqrt(2 * 88) a draw.
        distances = (along[:, support].square() / variances[support]).sum(1)
        assert float(distances.mean()) == pytest.approx(88, abs=4 * math.sqrt(2 * 88 / len(z)))
        # No draw goes further in the other twelve than normals do: beyond seven deviations is one in 4e11.
        assert bool((along[:, ~support].abs() <= 7 * variances[~support].sqrt()).all())


def test_gaussian_draws_of_a_singular_covariance_stay_on_its_support(generator):
    root, mean = torch.tensor([[1.0, 2.0], [0.0, 1.0], [-1.0, 0.5]]), torch.tensor([3.0, 0.0, -1.0])
    draws = Gaussian(mean, root @ root.T).sample(20_000, generator=generator)
    assert_moments(draws, mean, root @ root.T)
    across = torch.linalg.cross(root[:, 0], root[:, 1])
    # The variance that rounding leaves across the support, as a deviation, and its largest of 20000 normals.
    assert float(((draws - mean) @ across).abs().max()) < 5 * math.sqrt(ROUNDING) * float(across.norm())


def test_published_law_draws_are_determined_by_the_generator(law):
    draws = [law.sample(2, generator=torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    assert draws[0].shape == (2, 100)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_gaussian_standardized_is_that_of_standardized_draws():
    z = training_set()
    standard = Standardizer.fit(z[:200])
    law, normal = Gaussian(z.mean(0), torch.cov(z.T)).standardized(standard), standard.normalize(z)
    assert_same(law.mean, normal.mean(0))
    assert_same(law.covariance, torch.cov(normal.T))


def test_velocity_and_squared_slowness_undo_each_other():
    speeds = torch.tensor([[1.5, 3.0], [0.3, 8.0]])
    assert_same(velocity(squared_slowness(speeds)), speeds)
    assert_same(squared_slowness(speeds), 1 / speeds**2)
