"""Velocity families: bounds, thickness, contrast and order hold in every model, and faults slip by their throw."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from memprior.geology import VELOCITY_FAMILIES, Fault, LayeredModel, LayerShape, StyleModel, families, velocity_model
from memprior.geology import velocity_models as models_of

LAYERED = [family for family in VELOCITY_FAMILIES if not family.startswith("style")]
FAULTED = [family for family in LAYERED if "fault" in family]
STYLES = ["style_a", "style_b"]
MANY = 300
SINGLE = 4500 * 2**-24  # rounding of a velocity in float32, m/s
ROUNDING = 1e-12  # of depths in float64: a dozen operations on numbers of order 1
every_layered = pytest.mark.parametrize("family", LAYERED)
every_faulted = pytest.mark.parametrize("family", FAULTED)


def drawn(family, num=MANY, seed=3):
    return [velocity_model(family, index, seed=seed) for index in range(num)]


def walls(model):
    return (False, True) if model.fault else (False,)


def thinnest(model, points=4001):
    """Least vertical thickness of a layer in either wall, of depth, at many x of the square."""
    x = np.linspace(0, 1, points)
    edges = [
        np.pad(model.interfaces(x, hanging=wall), ((1, 1), (0, 0)), constant_values=(0, 1)) for wall in walls(model)
    ]
    for edge in edges:
        edge[0], edge[-1] = 0, 1
    return min(np.diff(edge, axis=0).min() for edge in edges)


@pytest.mark.parametrize("family", VELOCITY_FAMILIES)
def test_families_stay_between_their_bounds(family):
    models = models_of(family, 60, seed=1)
    assert (models.shape, models.dtype) == ((60, 70, 70), torch.float32)
    assert 1500 <= float(models.min()) < float(models.max()) <= 4500
    # No bound is a place where values pile up: the share of cells within 1 m/s of one is small.
    assert float(((models < 1501) | (models > 4499)).double().mean()) < 0.01


@every_layered
def test_families_have_layers_of_at_least_seven_percent_everywhere(family):
    """The bound is tight for some model, so the test would see a smaller one."""
    thickness = [thinnest(model) for model in drawn(family)]
    assert min(thickness) >= 0.07 - ROUNDING
    assert min(thickness) < 0.08


def test_thickness_of_a_thin_corner_is_measured():
    """What the test above measures is below the bound where a curve thins the first layer in a corner only."""
    shape = LayerShape(tilt=0.1)
    model = LayeredModel((1500.0, 2000.0), (0.119,), shape)
    assert thinnest(model) == pytest.approx(0.069, abs=ROUNDING)


def test_thickness_leaves_room_for_the_worst_shape_and_fault():
    """Six layers below the steepest, largest and most tilted curve, with the largest throw and heave."""
    rng = np.random.default_rng(0)
    for tilt in (-0.15, 0.15):
        for side in (-1, 1):
            for phase in np.linspace(0, 2 * math.pi, 40):
                shape, fault = LayerShape(0.1, 0.6, phase, tilt), Fault(0.5, 45.0, 0.18, side)
                depths = families._layer_depths(6, shape, fault, rng)
                assert thinnest(LayeredModel((1.0,) * 6, depths, shape, fault), 501) >= 0.07 - ROUNDING


@every_layered
def test_families_have_thick_layers_on_cells_away_from_the_fault(family):
    """Runs of one layer in a column, but those that the fault cuts: at least 7 % of 70 cells less one, 3.9: 4 cells."""
    for model in drawn(family, 100):
        layer = model.layers((70, 70))
        z = (np.arange(70)[:, None] + 0.5) / 70
        hangs = model.fault.hangs(z.T, z) if model.fault else np.zeros((70, 70), bool)
        for column, wall in zip(layer.T, hangs.T, strict=True):
            starts = np.flatnonzero(np.diff(column, prepend=-1) | np.diff(wall, prepend=wall[0]))
            ends = np.append(starts[1:], 70)
            cut = np.flatnonzero(np.diff(wall)) + 1
            lengths = [end - start for start, end in zip(starts, ends, strict=True) if not {start, end} & set(cut)]
            assert min(lengths, default=70) >= 4


@every_layered
def test_families_have_three_to_six_layers_of_contrast_and_order(family):
    models = drawn(family)
    steps = [np.diff(model.velocities) for model in models]
    assert {len(model.velocities) for model in models} == {3, 4, 5, 6}
    least = min(np.abs(step).min() for step in steps)
    assert 150 - ROUNDING * 4500 <= least < 160
    for step in steps:
        assert (step > 0).all() == family.endswith("_a")
    assert min(min(model.velocities) for model in models) >= 1500
    assert max(max(model.velocities) for model in models) <= 4500


@pytest.mark.parametrize("family", [family for family in LAYERED if family.endswith("_a")])
def test_families_sorted_by_depth_are_sorted_in_every_column(family):
    """Also where a column crosses the fault: the hanging wall, above, has younger and slower rock."""
    models = models_of(family, 100, seed=5, size=(140, 70))
    assert float(models.diff(dim=1).min()) >= 0


def test_fault_that_is_reverse_would_not_be_sorted():
    """What slid down cut out none of the order; the same model with the walls exchanged repeats layers."""
    model = LayeredModel((1500.0, 2000.0, 2500.0), (0.3, 0.5), fault=Fault(0.5, 50.0, 0.15, 1))
    layer, x = model.layers((200, 200)), (np.arange(200) + 0.5) / 200
    up = np.where(model.fault.hangs(x, x[:, None]), LayeredModel(model.velocities, (0.15, 0.35)).layers((200, 200)), 0)
    reverse = np.where(up > 0, up, layer)
    assert np.diff(layer, axis=0).min() == 0
    assert np.diff(reverse, axis=0).min() < 0


@every_faulted
def test_families_with_faults_keep_to_their_ranges(family):
    """Each range is filled: 300 even draws leave .03 of it free at an end with a chance of 1e-4."""
    faults = [model.fault for model in drawn(family)]
    for values, low, high in (
        ([fault.throw for fault in faults], 0.06, 0.18),
        ([fault.dip_deg for fault in faults], 45, 75),
        ([fault.position for fault in faults], 0.3, 0.7),
    ):
        slack = 0.03 * (high - low)
        assert low <= min(values) <= low + slack
        assert high - slack <= max(values) <= high
    assert binomtest(sum(fault.side == 1 for fault in faults), MANY).pvalue > 1e-4
    for model in drawn(family):
        assert math.tan(math.radians(model.fault.dip_deg)) >= model.shape.steepest - ROUNDING


@every_faulted
def test_fault_throw_and_heave_are_measured_on_the_cells(family):
    """The hanging wall is the footwall's geology moved by (heave, throw), to half a cell of 1/2000 of depth."""
    cells, found = 2000, 0
    for model in drawn(family, 40):
        fault = model.fault
        before = LayeredModel(model.velocities, model.depths, model.shape)
        z = (np.arange(cells) + 0.5) / cells
        for column in (20, 50):  # of 70
            x = (column + 0.5) / 70
            layer = model.layers((cells, 70))[:, column]
            hangs = fault.hangs(x, z)
            for j, own in enumerate(before.interfaces(np.array([x - fault.heave]))[:, 0]):
                near = np.abs(z - own - fault.throw) < 0.02
                if hangs[near].all():
                    top = z[near & (layer > j)].min() - 0.5 / cells
                    assert top - own == pytest.approx(fault.throw, abs=1 / cells)
                    found += 1
    assert found > 40


def test_fault_of_a_flat_model_is_a_step_by_hand():
    """Dip 45 degrees to the right, x = z + .002, throw .1: an interface at .5 drops to .6 right of x = .602."""
    model = LayeredModel((1500.0, 3000.0), (0.5,), fault=Fault(0.502, 45.0, 0.1, 1))
    slow = (model.velocity((100, 100)) == 1500).sum(0)
    assert slow[:50].tolist() == [50] * 50
    assert slow[61:].tolist() == [60] * 39
    assert (slow[50:61].diff() >= 0).all()
    assert model.fault.heave == pytest.approx(0.1)
    mirror = LayeredModel((1500.0, 3000.0), (0.5,), fault=Fault(0.498, 45.0, 0.1, -1))
    assert torch.equal(mirror.velocity((100, 100)), model.velocity((100, 100)).flip(1))


@pytest.mark.parametrize("family", ["curve_vel_a", "curve_fault_b"])
def test_families_with_curves_keep_to_their_ranges(family):
    shapes = [model.shape for model in drawn(family)]
    for name, low, high in (("amplitude", 0.02, 0.1), ("wavelength", 0.6, 2), ("tilt", -0.15, 0.15)):
        values = [getattr(shape, name) for shape in shapes]
        slack = 0.03 * (high - low)
        assert low <= min(values) <= low + slack
        assert high - slack <= max(values) <= high
    assert binomtest(sum(shape.tilt > 0 for shape in shapes), MANY).pvalue > 1e-4


def test_shape_extremes_are_those_of_a_fine_search():
    """A search on a spacing h is short of an extreme by at most h^2 / 8 times the curvature."""
    x = np.linspace(-0.2, 1.2, 28001)
    for model in drawn("curve_vel_b", 100):
        shape = model.shape
        for left, right in ((0.0, 1.0), (-0.2, 0.9), (0.13, 1.2)):
            values = shape(x[(x >= left - ROUNDING) & (x <= right + ROUNDING)])
            low, high = shape.extremes(left, right)
            short = (5e-5) ** 2 / 8 * shape.amplitude * (2 * math.pi / shape.wavelength) ** 2 + ROUNDING
            assert low <= values.min() + ROUNDING
            assert values.max() - ROUNDING <= high
            assert values.min() - low <= short
            assert high - values.max() <= short
    assert LayerShape(tilt=0.1).extremes(0, 1) == (-0.05, 0.05)
    assert LayerShape().extremes(0, 1) == (0, 0)


@pytest.mark.parametrize("family", VELOCITY_FAMILIES)
def test_families_have_nested_sets_and_one_stream_a_model(family):
    whole = models_of(family, 6, seed=9, size=(20, 20))
    assert torch.equal(models_of(family, 3, seed=9, size=(20, 20)), whole[:3])
    assert torch.equal(models_of(family, 2, seed=9, first=4, size=(20, 20)), whole[4:])
    assert torch.equal(velocity_model(family, 5, seed=9).velocity((20, 20)), whole[5])


def test_families_never_repeat_a_model():
    """Over families, seeds, whose sums or digits coincide too, and numbers: every model is another one."""
    models = [
        models_of(family, 12, seed=seed, first=first, size=(20, 20)).flatten(1)
        for family in VELOCITY_FAMILIES
        for seed in (0, 1, 10, 11, 2**32 - 1)
        for first in (0, 100)
    ]
    pooled = torch.cat(models)
    assert len(pooled.unique(dim=0)) == len(pooled) == 10 * 5 * 2 * 12


def test_families_draw_models_that_are_independent_of_their_neighbors():
    """Mean velocities of neighbors in a set, and of one number under two seeds, do not correlate (4 sigma)."""
    for family in ("curve_vel_b", "style_b"):
        means = models_of(family, 400, seed=0, size=(8, 8)).double().mean((1, 2))
        other = models_of(family, 400, seed=1, size=(8, 8)).double().mean((1, 2))
        for one, two in ((means[:-1], means[1:]), (means, other)):
            assert abs(float(torch.corrcoef(torch.stack([one, two]))[0, 1])) < 4 / math.sqrt(len(one))


def test_families_give_the_same_numbers_as_when_they_were_made():
    """A stream that changes would change every set that is drawn: first and last cells, in m/s, to .1 (rounded)."""
    corners = [models_of(family, 1, seed=0)[0, [0, -1], [0, -1]].tolist() for family in VELOCITY_FAMILIES]
    np.testing.assert_allclose(corners, CORNERS, atol=0.051)


@pytest.mark.parametrize("family", VELOCITY_FAMILIES)
def test_families_are_the_same_geology_on_any_cells(family):
    """The center of a cell is the center of the middle one of three: the values there are the same to rounding."""
    coarse, fine = (models_of(family, 10, seed=2, size=size) for size in ((35, 35), (105, 105)))
    assert float((fine[:, 1::3, 1::3] - coarse).abs().max()) <= 2 * SINGLE
    tall = models_of(family, 10, seed=2, size=(105, 35))
    assert float((tall[:, 1::3] - coarse).abs().max()) <= 2 * SINGLE


@pytest.mark.parametrize("family", VELOCITY_FAMILIES)
def test_families_on_35_cells_lie_between_their_four_cells_of_70(family):
    """But at the tips of faulted layers, thinner than a cell: in fewer than 1 % of the cells."""
    coarse, fine = (models_of(family, 20, seed=2, size=size) for size in ((35, 35), (70, 70)))
    four = fine.reshape(20, 35, 2, 35, 2).permute(0, 1, 3, 2, 4).flatten(3)
    # A smooth field may turn between the centers, h = 1/140 away along each axis, by h^2 / 2 of its second derivatives:
    # 3000 m/s times .4, the slope of Phi, times sigma, .65, times four standard deviations, sqrt(3) / .05^2, of g_zz.
    turn = 60.0 if family in STYLES else 0.0
    outside = (coarse > four.amax(3) + turn) | (coarse < four.amin(3) - turn)
    share = float(outside.double().mean())
    assert share == 0 if family.startswith("flat_vel") else share < 0.01


@pytest.mark.parametrize("family", VELOCITY_FAMILIES)
def test_families_prefer_neither_left_nor_right(family):
    """The mean model differs from its mirror image by noise: 4.5 standard errors at none of 16 places of 64."""
    models = models_of(family, 400, seed=4, size=(8, 8)).double()
    odd = (models - models.flip(2))[:, :, :4]
    error = odd.std(0) / math.sqrt(len(models))
    assert bool((odd.mean(0).abs() <= 4.5 * error).all())


@pytest.mark.parametrize("family", STYLES)
def test_style_trends_are_sorted_and_the_noise_is_stationary(family):
    models = drawn(family)
    z = np.linspace(0, 1, 50)
    assert all((np.diff(model.depth_trend(z)) > 0).all() for model in models)
    fields = np.stack([model.field(np.array([0.05, 0.5, 0.95]), np.array([0.05, 0.5, 0.95])) for model in models])
    # g is exactly normal: a mean within 4.5 standard errors, and a variance, of error sqrt(2 / n).
    assert np.abs(fields.mean(0)).max() < 4.5 / math.sqrt(MANY)
    assert np.abs(fields.var(0) - 1).max() < 4.5 * math.sqrt(2 / MANY)


@pytest.mark.parametrize("lengths", [(0.1, 0.1), (0.4, 0.1)])
def test_style_noise_has_its_correlation_lengths(lengths, generator):
    """Isotropic when both are equal: correlation exp(-1/2) at a distance of one length along either axis."""
    rng, num = np.random.default_rng(0), 1500
    shape = StyleModel.modes(lengths)
    x, z = np.array([0.3, 0.3 + lengths[0]]), np.array([0.4, 0.4 + lengths[1]])
    fields = []
    for _ in range(num):
        noise = rng.standard_normal((2, *shape))
        fields.append(StyleModel((1.0, 2.0), (0.0, 0.0), 1.0, lengths, noise[0] + 1j * noise[1]).field(x, z))
    corner, across, down = (np.array(fields)[:, i, j] for i, j in ((0, 0), (0, 1), (1, 0)))
    expected = math.exp(-0.5)
    for other in (across, down):
        # Standard error of a product of two normals of correlation r: sqrt((1 + r^2) / n); images of the period add
        # exp(-(2 - l)^2 / (2 l^2)), nothing.
        assert abs((corner * other).mean() - expected) < 4 * math.sqrt((1 + expected**2) / num)


def test_style_b_is_rougher_than_style_a():
    """Mean size of the change from cell to cell, down a column; and A's columns rise more from top to bottom."""
    a, b = (models_of(family, 100, seed=6, size=(35, 35)).double() for family in STYLES)
    rough = [models.diff(dim=1).abs().mean((1, 2)) for models in (a, b)]
    assert float(rough[1].median()) > 1.5 * float(rough[0].median())
    rise = [(models[:, -5:].mean((1, 2)) - models[:, :5].mean((1, 2))) for models in (a, b)]
    assert float(rise[0].mean()) > 1.5 * float(rise[1].mean()) > 0


BAD = {
    "an unknown family": ({"family": "salt"}, r"family: expected one of flat_vel_a, .*style_b, got 'salt'"),
    "a family that is no text": ({"family": 3}, r"family: expected one of .*, got 3"),
    "no models": ({"num": 0}, r"num: expected an integer >= 1, got 0"),
    "a fraction of a model": ({"num": 2.5}, r"num: expected an integer >= 1, got 2.5"),
    "a flag for a number": ({"num": True}, r"num: expected an integer >= 1, got True"),
    "a negative seed": ({"seed": -1}, r"seed: expected an integer >= 0, got -1"),
    "a seed of two words": ({"seed": 2**32}, r"seed: expected an integer below 2\^32, got 4294967296"),
    "a negative number": ({"first": -2}, r"first: expected an integer >= 0, got -2"),
    "numbers of two words": ({"first": 2**32 - 1, "num": 2}, r"first, num: expected numbers of models below 2\^32"),
    "one size": ({"size": 70}, r"size: expected \(H, W\): cells down and across, got 70"),
    "three sizes": ({"size": (70, 70, 1)}, r"size: expected \(H, W\): cells down and across, got \(70, 70, 1\)"),
    "no cells": ({"size": (0, 70)}, r"size: expected an integer >= 1, got 0"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_families_name_bad_input(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        models_of(**{"family": "flat_vel_a", "num": 1, "seed": 0, **changes})


BROKEN = {
    "one layer": (lambda: LayeredModel((1500.0,), ()), "velocities: expected at least two layers, got 1"),
    "no velocity": (lambda: LayeredModel((1500.0, 0.0), (0.5,)), "velocities: expected m/s, > 0"),
    "too many interfaces": (lambda: LayeredModel((1.0, 2.0), (0.5, 0.6)), "depths: expected 1 interfaces, got 2"),
    "crossed": (lambda: LayeredModel((1.0, 2.0, 3.0), (0.6, 0.5)), "depths: expected ascending depths"),
    "no hanging wall": (
        lambda: LayeredModel((1.0, 2.0), (0.5,)).interfaces(np.zeros(1), hanging=True),
        "hanging: expected False for a model without a fault, got True",
    ),
    "no wavelength": (lambda: LayerShape(wavelength=0.0), "wavelength: expected a number > 0"),
    "a dip": (lambda: Fault(0.5, 100.0, 0.1, 1), "dip_deg: expected 0 < dip_deg <= 90, got 100"),
    "no throw": (lambda: Fault(0.5, 50.0, 0.0, 1), "throw: expected a number > 0, got 0"),
    "a side": (lambda: Fault(0.5, 50.0, 0.1, 0), "side: expected 1 or -1, got 0"),
    "bounds": (lambda: StyleModel((2.0, 1.0), (0, 1), 1, (0.1, 0.1), np.zeros((41, 41))), "bounds: expected ascending"),
    "roughness": (lambda: StyleModel((1.0, 2.0), (0, 1), -1, (0.1, 0.1), np.zeros((41, 41))), "roughness: expected a"),
    "lengths": (lambda: StyleModel((1.0, 2.0), (0, 1), 1, (0.1, 0.9), np.zeros((41, 41))), "lengths: expected two"),
    "noise": (
        lambda: StyleModel((1.0, 2.0), (0, 1), 1, (0.1, 0.1), np.zeros((3, 3))),
        r"noise: expected shape \(41, 41",
    ),
}


@pytest.mark.parametrize(("make", "message"), BROKEN.values(), ids=BROKEN)
def test_models_name_bad_fields(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


# Velocity at the top left and the bottom right cell of model 0 of each family, seed 0.
CORNERS = [
    [1537.2, 4303.7],
    [4395.6, 3137.1],
    [1759.5, 3602.9],
    [2217.9, 4165.0],
    [2082.9, 3916.8],
    [3264.6, 2535.4],
    [2043.9, 3808.3],
    [3992.2, 1778.8],
    [1556.3, 3685.2],
    [2365.6, 4270.1],
]
