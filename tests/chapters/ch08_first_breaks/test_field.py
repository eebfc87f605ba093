"""Chapter 8's real shots: the networks' grid keeps onsets where they are, and scores are those of made-up sites."""

import math
from dataclasses import replace

import pytest
import torch

from chapters.ch08_first_breaks import field, picking_page, recorded
from chapters.ch08_first_breaks.field import FieldShot
from memprior.geology import berlage
from memprior.picking import Aic


def lasting(time_s, frequency_hz):
    return torch.sin(2 * math.pi * frequency_hz * time_s.clamp(min=0))


def shot(picks, *, site="one", source=0.0, every=1, wavelet=berlage):
    """Waves of 60 Hz that begin at the picks in ms, at an interval of 1 ms over ``every``."""
    picks = torch.tensor(picks, dtype=torch.float64)
    dt_s = field.GRID_S / every
    time_s = dt_s * torch.arange(200 * every, dtype=torch.float64) - picks.nan_to_num(50.0)[:, None] / 1000
    traces = wavelet(time_s, 60.0).float()
    receivers = 5.0 * torch.arange(len(picks), dtype=torch.float64)
    return FieldShot(site, "a", traces, dt_s, field.on_grid(traces, dt_s), picks, source, receivers)


@pytest.mark.parametrize("every", [1, 4, 8])
def test_grid_of_the_networks_moves_no_onset(every):
    """A pulse sampled on the grid, and one sampled finer and brought to it, are one but for what the filter blurs."""
    fine, plain = shot([20.0, 33.4, 71.7], every=every), shot([20.0, 33.4, 71.7])
    assert fine.gridded.shape == (3, field.GRID_SAMPLES)
    away = torch.fft.rfft(fine.gridded.double()) * torch.fft.rfft(plain.gridded.double()).conj()
    f = torch.fft.rfftfreq(field.GRID_SAMPLES, field.GRID_S)
    low = (f > 20) & (f < 150)  # where both have power
    delay_ms = -1000 * away.angle()[:, low] / (2 * math.pi * f[low])
    assert float(delay_ms.abs().max()) < 0.1
    sharp = shot([20.0, 33.4, 71.7], every=every, wavelet=lasting)
    noise = 1e-3 * torch.randn(sharp.gridded.shape, generator=torch.Generator().manual_seed(0))
    picks = field.gridded_picks(Aic(), replace(sharp, gridded=sharp.gridded + noise.float()))
    assert float((picks - sharp.picks_ms).abs().max()) <= 2


def test_planted_shift_of_the_picks_is_seen():
    one = shot([20.0, 33.0, math.nan, 71.0])
    for late in (0.0, 1.0, 2.5):
        errors = field.field_errors([one], [one.picks_ms.nan_to_num(0.0) + late])
        assert errors.tolist() == pytest.approx([late] * 3)
        assert field.within_share(errors) == (late <= field.WITHIN_MS)


def test_trace_without_a_pick_is_no_hit():
    one = shot([20.0, 33.0])
    errors = field.field_errors([one], [torch.tensor([20.0, math.nan])])
    assert errors.tolist() == [0.0, math.inf]
    assert field.within_share(errors) == 0.5


def test_untuned_pickers_have_seconds_for_windows():
    for every in (4, 8):
        one = shot([20.0, 33.0], every=every, wavelet=lasting)
        noise = 1e-3 * torch.randn(one.traces.shape, generator=torch.Generator().manual_seed(0))
        noisy = replace(one, traces=one.traces + noise.float())
        for method in ("AIC", "STA/LTA"):
            assert float((field.untuned_picks(method, noisy) - one.picks_ms).abs().max()) < 3


def test_reciprocal_differences_are_those_of_exchanged_places():
    # 2 ms a metre from the source at 7.5 m, 2.5 from that at 12.5 m: 10 and 12.5 ms where they meet.
    x = 5.0 * torch.arange(5)
    one = shot((2 * (x - 7.5).abs()).tolist(), source=7.5)
    two = shot((2.5 * (x - 12.5).abs()).tolist(), source=12.5)
    assert field.reciprocal_differences([one, two]).tolist() == [pytest.approx(2.5)]
    outside = shot([1.0] * 5, source=-3.0)
    assert len(field.reciprocal_differences([one, outside])) == 0
    assert len(field.reciprocal_differences([one, replace(two, site="two")])) == 0


def test_grid_refuses_other_intervals_and_short_records():
    with pytest.raises(ValueError, match=r"dt_s: expected 0\.001 s over a whole number, got 0\.0003"):
        field.on_grid(torch.zeros(1, 1000), 0.0003)
    with pytest.raises(ValueError, match="traces: expected 128 ms of record, got 100 ms"):
        field.on_grid(torch.zeros(1, 100), 0.001)


def test_folder_without_picks_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected picks, \*\.sgt, got none"):
        field.read_field(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected a folder of shots and picks"):
        field.read_field(tmp_path / "none")


def test_field_errors_are_kept_and_read():
    errors = {"site_one": {"AIC": [0.125, math.inf, -2.0]}, "site_two": {"AIC": [1.0]}}
    again, reciprocal = recorded.unpacked(recorded.packed(errors, [0.5, 1.25, 3.0]))
    assert (again, reciprocal) == (errors, [0.5, 1.25, 3.0])
    table = picking_page.field_table(again, reciprocal)
    assert table.rows == [["AIC", "0.667", "2.0", "1.000", "1.0"]]
    found = {"floor_ms": 1.25, "reciprocal_pairs": 3.0, "site_1_aic": 2 / 3, "site_2_aic": 1.0}
    assert picking_page.field_claims(again, reciprocal) == found
    assert len(picking_page.field_figure(again, reciprocal).axes) == 2


@pytest.fixture(scope="module")
def real():
    folder = field.field_folder()
    if folder is None:
        pytest.skip("no real shots: python -m companion data first-breaks")
    return field.read_field(folder)


def test_real_shots_have_their_picks_and_untuned_aic_its_share(real):
    assert len(real) == 14
    assert sum(int(one.picks_ms.isfinite().sum()) for one in real) == 327
    shares = []
    for of in field.sites(real).values():
        shares.append(field.within_share(field.field_errors(of, [field.untuned_picks("AIC", one) for one in of])))
    assert shares == pytest.approx([0.54, 0.39], abs=0.02)
    assert float(field.reciprocal_differences(real).median()) == pytest.approx(1.2, abs=0.05)


def test_real_picks_on_the_grid_are_late_by_what_they_are_moved(real):
    for of in field.sites(real).values():
        errors = [field.field_errors(of, [one.picks_ms + late for one in of]) for late in (0.0, 1.0)]
        assert [float(of_site.mean()) for of_site in errors] == pytest.approx([0, 1])
