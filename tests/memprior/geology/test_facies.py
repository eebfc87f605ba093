"""Sections: layers follow geologic time, each facies has its own geometry, and sets are nested."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from memprior.geology import SECTION_FACIES, sections

every_facies = pytest.mark.parametrize("facies", SECTION_FACIES)
ORDERED = [facies for facies in SECTION_FACIES if facies != "chaotic"]
DRAWN = {facies: sections(facies, 12, seed=4) for facies in SECTION_FACIES}


@every_facies
def test_sections_have_unit_power_and_a_unit(facies):
    drawn = DRAWN[facies]
    assert (drawn.seismic.shape, drawn.seismic.dtype, drawn.dt_s) == ((12, 128, 128), torch.float32, 0.004)
    power = drawn.seismic.double().square().mean((1, 2))
    torch.testing.assert_close(power, torch.ones(12, dtype=torch.float64), rtol=1e-5, atol=0)
    share = drawn.unit.double().mean((1, 2))
    assert 0.03 < float(share.min()) <= float(share.max()) < 0.6
    for unit in drawn.unit:
        assert ndimage.label(unit.numpy())[1] == 1


def test_sections_always_reflect():
    """The first draw of layers of number 22 is one layer all the way down."""
    drawn = sections("parallel", 1, seed=0, first=22, size=(32, 32)).seismic
    assert float(drawn.square().mean()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("facies", ORDERED)
@pytest.mark.parametrize("water", [False, True])
def test_geologic_time_ascends_downward(facies, water):
    """Below the water, in every column: no layer lies on a younger one. To the rounding of float32 of some hundreds."""
    steps = sections(facies, 12, seed=4, water=water).geologic_time.diff(dim=1)
    assert float(steps.nan_to_num(1.0).min()) > -1e-4
    assert bool(steps.isnan().any()) == water


def test_geologic_time_of_a_chaotic_unit_does_not_ascend():
    """In it, not around it: more than one of five steps down goes to a younger layer."""
    drawn = DRAWN["chaotic"]
    steps = drawn.geologic_time.diff(dim=1)
    both = drawn.unit[:, 1:] & drawn.unit[:, :-1]
    assert float((steps[both] < 0).double().mean()) > 0.2
    assert float(steps[~(drawn.unit[:, 1:] | drawn.unit[:, :-1])].min()) > 0


def slopes(drawn, index):
    """Samples down per trace along lines of equal time, -T_x / T_t, in the middle of the unit: (n,)."""
    time, unit = drawn.geologic_time[index].double().numpy(), drawn.unit[index].numpy()
    down, across = np.gradient(time)
    inner = ndimage.binary_erosion(unit, iterations=3)
    return (-across / np.where(down == 0, np.nan, down))[inner]


def test_clinoforms_dip_to_one_side_and_steeper_than_the_layers_around():
    for index in range(12):
        dips = slopes(DRAWN["clinoform"], index)
        dips = dips[np.isfinite(dips)]
        toward = np.sign(np.median(dips))
        assert np.mean(np.sign(dips) == toward) > 0.95
        assert abs(np.median(dips)) > 2 * np.median(np.abs(slopes(DRAWN["parallel"], index)))


def test_clinoforms_are_sigmoids_between_top_and_base():
    """Steepest in the middle of the unit, flatter at its top and its base."""
    drawn = DRAWN["clinoform"]
    for index in range(12):
        time, unit = drawn.geologic_time[index].double().numpy(), drawn.unit[index].numpy()
        down, across = np.gradient(time)
        steep = np.abs(across / np.maximum(down, 1e-9))
        rows = np.cumsum(unit, 0) / unit.sum(0)
        middle, ends = (
            unit & (np.abs(rows - 0.5) < 0.1),
            unit & ((rows < 0.15) | (rows > 0.85)) & (rows > 0.05) & (rows < 0.95),
        )
        assert np.median(steep[middle]) > 1.2 * np.median(steep[ends])


def test_channels_have_flat_fill_that_onlaps_and_cut_what_is_below():
    drawn = DRAWN["channel"]
    for index in range(12):
        assert np.abs(slopes(drawn, index)).max() < 1e-3
        unit = drawn.unit[index]
        widths = unit.sum(1)[unit.any(1)]
        assert int(widths[-1]) < int(widths.max()) / 2  # lower fill is narrower: it ends on the flanks
        base = unit.double().cumsum(0).argmax(0)[unit.any(0)] + 1
        below = drawn.geologic_time[index][base.clamp(max=127), torch.nonzero(unit.any(0))[:, 0]]
        assert float(below.max() - below.min()) > 5  # many layers crop out at the base


def test_parallel_and_transparent_units_have_the_layers_of_the_section():
    for facies in ("parallel", "transparent"):
        time = DRAWN[facies].geologic_time.double()
        shape = time - torch.arange(128)[:, None]
        assert float((shape - shape[:, :1]).abs().max()) < 1e-4


def test_transparent_units_are_quiet():
    drawn = DRAWN["transparent"]
    for seismic, unit in zip(drawn.seismic.double(), drawn.unit, strict=True):
        inner = torch.from_numpy(ndimage.binary_erosion(unit.numpy(), iterations=12))
        assert float(seismic[inner].square().mean()) < 0.02


def test_reflections_lie_along_geologic_time():
    """Along lines of equal time in parallel sections amplitude stays, while it changes by its size between lines."""
    for seismic, time in zip(
        DRAWN["parallel"].seismic.double().numpy(), DRAWN["parallel"].geologic_time.numpy(), strict=True
    ):
        levels = np.arange(20, 110, 1.0)
        along = np.stack([np.interp(levels, time[:, x], seismic[:, x]) for x in range(128)], 1)
        assert (along.std(1) ** 2).mean() < 0.05 * along.var()


def test_spectra_peak_between_22_and_40_hz():
    """A Ricker wavelet's band: less than 2 % of the power above 100 Hz, most of it from 10 to 60 Hz."""
    for facies in SECTION_FACIES:
        power = torch.fft.rfft(DRAWN[facies].seismic.double(), dim=1).abs().square().mean((0, 2))
        frequency = torch.fft.rfftfreq(128, 0.004)
        assert float(power[frequency > 100].sum() / power.sum()) < 0.02
        assert float(power[(frequency > 10) & (frequency < 60)].sum() / power.sum()) > 0.7


def test_water_is_silent_above_the_first_arrival_of_the_seabed():
    drawn = sections("parallel", 12, seed=4, water=True)
    for seismic, time in zip(drawn.seismic, drawn.geologic_time, strict=True):
        seabed = time.isnan().sum(0)
        assert int(seabed.min()) >= 5
        rows = torch.arange(128)[:, None]
        early = rows < seabed - 17  # 1.5 periods of 22 Hz
        assert float(seismic[early].abs().max() if early.any() else 0.0) < 1e-5


@every_facies
def test_sections_have_nested_sets_and_one_stream_a_section(facies):
    whole = sections(facies, 5, seed=9, size=(64, 48))
    some, last = sections(facies, 2, seed=9, size=(64, 48)), sections(facies, 2, seed=9, first=3, size=(64, 48))
    assert torch.equal(some.seismic, whole.seismic[:2])
    assert torch.equal(last.seismic, whole.seismic[3:])
    assert torch.equal(last.unit, whole.unit[3:])


def test_sections_never_repeat():
    drawn = [sections(facies, 6, seed=seed, size=(64, 64)).seismic for facies in SECTION_FACIES for seed in (0, 1)]
    pooled = torch.cat(drawn).flatten(1)
    assert len(pooled.unique(dim=0)) == len(pooled) == 60


def test_sections_give_the_same_numbers_as_when_they_were_made():
    """A stream that changes would change every set that is drawn."""
    found = [float(sections(facies, 1, seed=0).seismic[0, 64, 64]) for facies in SECTION_FACIES]
    np.testing.assert_allclose(found, CORNERS, atol=6e-4)


BAD = {
    "a facies": ({"facies": "delta"}, "facies: expected one of parallel, .*, got 'delta'"),
    "no section": ({"num": 0}, "num: expected an integer >= 1, got 0"),
    "a seed": ({"seed": 2**32}, r"seed: expected an integer below 2\^32"),
    "a number": ({"first": -1}, "first: expected an integer >= 0"),
    "numbers": ({"first": 2**32 - 1, "num": 2}, "first, num: expected numbers of sections below"),
    "a size": ({"size": 64}, r"size: expected \(H, W\)"),
    "a small size": ({"size": (64, 16)}, "size: expected an integer >= 32, got 16"),
}


@pytest.mark.parametrize(("changed", "message"), BAD.values(), ids=BAD)
def test_sections_refuse_by_name(changed, message):
    asked = {"facies": "parallel", "num": 1, "seed": 0} | changed
    facies, num = asked.pop("facies"), asked.pop("num")
    with pytest.raises(ValueError, match=message):
        sections(facies, num, **asked)


CORNERS = [2.657, -0.086, -0.167, -1.199, 0.021]
