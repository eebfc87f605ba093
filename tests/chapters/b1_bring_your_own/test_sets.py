"""B1's three sets: operators that keep the contract, SEG-Y that comes back, controls that fire or do not."""

import numpy as np
import pytest
import torch
from helpers import ROUNDING

from chapters.b1_bring_your_own import sets, study
from chapters.b1_bring_your_own.settings import Settings
from memprior.diagnose import expect_operator
from memprior.waves import read_segy
from memprior.waves.segy import read_traces

SMALL = Settings(24, 12, 39, 32, 10, 10, 99, (1.0, 4.0))


@pytest.mark.parametrize("name", sets.SETS)
def test_set_keeps_the_contract_of_an_operator(name):
    own = sets.own_set(name, 24, 10, 0)
    num_data = own.forward(own.models[:2]).shape[1]
    found = expect_operator(own.forward, own.models[:3], num_data, derivative=True, generator=torch.Generator())
    assert found.taylor_slope > 1.9
    assert len(own.models) == 24
    assert len(own.groups) == 34
    assert not torch.isin(own.models.flatten(1)[:, 3], own.fresh.flatten(1)[:, 3]).all()


def test_post_stack_is_the_convolution_of_vertical_differences():
    x = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    made = sets.PostStack(8)(x).reshape(2, 8, 3)
    t = np.pi * 0.2 * np.arange(-7, 8)
    wavelet = (1 - 2 * t**2) * np.exp(-(t**2))
    column = np.convolve(0.5 * np.diff(x[1, :, 2].numpy()), wavelet)[7:15]
    assert np.allclose(made[1, :, 2].numpy(), column, rtol=0, atol=ROUNDING)


def test_gravity_of_a_sheet_is_that_of_a_sum_of_line_masses():
    depths = np.array([1.0])
    z = np.linspace(0.01, 1.0, 20_001)
    middle, step = (z[1:] + z[:-1]) / 2, z[1] - z[0]
    away = np.linspace(0.3, 19.7, 16) - 10.0
    lines = -2 * 6.674e-11 * 400 * 20e3 * 1e5 * (middle / (away[:, None] ** 2 + middle**2)).sum(1) * step
    assert np.allclose(sets.gravity(depths), lines, rtol=1e-6)


def test_sections_come_back_through_both_layouts(tmp_path):
    traces = torch.randn(9, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    assert torch.equal(sets.through_segy(traces.T), traces.double())
    along = 25.0 * np.arange(9)
    sets.write_segy(tmp_path / "line.sgy", traces, 4000, cdp_m=along)
    sets.write_segy(tmp_path / "gather.sgy", traces, 4000, source_m=0.0, group_m=100 + along)
    line, gather = read_traces(tmp_path / "line.sgy"), read_traces(tmp_path / "gather.sgy")
    assert torch.allclose(line.distance_km, torch.from_numpy(along / 1000))
    assert torch.allclose(gather.distance_km, torch.from_numpy(0.1 + along / 1000))
    assert line.dt_s == gather.dt_s == 0.004
    assert bool(line.live.all())
    assert torch.equal(read_segy(tmp_path / "gather.sgy").traces, traces)


@pytest.mark.parametrize("name", sets.SETS)
def test_controls_fire_on_copies_and_on_another_unit(name):
    own = sets.own_set(name, 24, 10, 0)
    found = study.set_numbers(own, Settings(24, 24, 39, 32, 10, 10, 99, (1.0, 4.0)), 0, None)
    assert found["swaps"]["memorized"]["value"] > found["swaps"]["fresh"]["value"]
    assert found["alarms"]["fresh"]["value"] < 1
    assert sum(found["weights"][0]) == pytest.approx(1)


def test_numbers_of_a_set_are_the_same_when_kept(tmp_path):
    own = sets.own_set("basin", 24, 10, 0)
    first = study.set_numbers(own, SMALL, 0, tmp_path)
    assert study.set_numbers(own, SMALL, 0, tmp_path) == first
    assert study.set_numbers(own, SMALL, 0, None) == first
