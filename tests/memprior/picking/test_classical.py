"""STA/LTA and AIC: their formulas by hand, batches, invariances, and a tuning that finds the best of its grid."""

import math

import numpy as np
import pytest
import torch
from helpers import assert_batch_independent

from memprior.picking import AIC_GRID, STA_LTA_GRID, Aic, StaLta, pick_scores, tune

EVERY = [
    StaLta(),
    StaLta(5, 10, 3.0, 1e-4, -0.5),
    StaLta(1, 200, 5.0, 0.1),
    Aic(),
    Aic(0.3, 2, 1e-3, 0.25),
    Aic(1.0, 8, 1e-2),
]
every_picker = pytest.mark.parametrize("picker", EVERY, ids=str)


def sta_lta(picker, trace):
    """The formula, sample by sample."""
    e, c = trace**2, picker.water * np.mean(trace**2)
    ratios = [
        (np.mean(e[k : k + picker.short]) + c) / (np.mean(e[max(k - picker.long, 0) : k]) + c) for k in range(1, len(e))
    ]
    if picker.threshold is None:
        return 1 + int(np.argmax(ratios)) + picker.shift
    above = [k for k, ratio in enumerate(ratios, start=1) if ratio >= picker.threshold]
    return above[0] + picker.shift if above else math.nan


def aic(picker, trace):
    m = len(trace)
    if picker.reach is not None:
        large = np.abs(trace)
        m = min(m, max(4, int(np.argmax(large >= picker.reach * large.max())) + 1 + picker.behind))
    x = trace[:m]
    c = picker.water * np.var(x)
    values = [k * np.log(np.var(x[:k]) + c) + (m - k - 1) * np.log(np.var(x[k:]) + c) for k in range(1, m - 1)]
    return 1 + int(np.argmin(values)) + picker.shift


def arrivals(num, generator, size=60):
    """Noise, and from a known sample on more of it: (traces, onsets)."""
    onsets = torch.randint(10, 50, (num,), generator=generator)
    louder = torch.where(torch.arange(size) >= onsets[:, None], 6.0, 1.0)
    return louder * torch.randn(num, size, generator=generator), onsets.double()


@every_picker
def test_pickers_are_their_formulas(picker, generator):
    traces, _ = arrivals(40, generator)
    by_hand = sta_lta if isinstance(picker, StaLta) else aic
    expected = torch.tensor([by_hand(picker, trace.numpy()) for trace in traces])
    assert torch.equal(picker(traces).nan_to_num(-1), expected.nan_to_num(-1))


@every_picker
def test_pickers_know_no_batch_no_gain_and_no_polarity(picker, generator):
    traces, _ = arrivals(12, generator)
    assert_batch_independent(lambda x: picker(x).nan_to_num(-1), traces)
    for other in (-traces, 1024 * traces):
        assert torch.equal(picker(other).nan_to_num(-1), picker(traces).nan_to_num(-1))
    gathers = picker(traces.reshape(3, 4, 60))
    assert torch.equal(gathers.nan_to_num(-1), picker(traces).nan_to_num(-1).reshape(3, 4))
    single = picker(traces.float())
    assert single.dtype == torch.float32


@every_picker
def test_pickers_leave_dead_traces_alone(picker):
    assert picker(torch.zeros(2, 30)).isnan().all()


def test_aic_finds_where_loud_noise_begins(generator):
    """Six times the deviation: within two samples on nine of ten traces."""
    traces, onsets = arrivals(400, generator)
    scores = pick_scores(Aic()(traces), onsets, dt_s=1.0, samples=(2.0,))
    assert scores.hits[2.0].low > 0.9
    assert abs(scores.bias.value) < 1


def test_tune_takes_the_best_of_its_grid_and_of_its_shifts(generator):
    traces, onsets = arrivals(300, generator)
    best = tune(EVERY, traces, onsets - 1.5)
    assert best.tried == len(EVERY) * 33
    assert -2.5 <= best.picker.shift <= -0.5
    rates = [float(((picker(traces) - 1.5 - onsets + 1.5).abs() <= 1).double().mean()) for picker in EVERY]
    assert best.hit_rate >= max(rates) > 0.5
    assert best.hit_rate == float(((best.picker(traces) - onsets + 1.5).abs() <= 1).double().mean())


def test_tune_looks_at_live_traces_only(generator):
    traces, onsets = arrivals(60, generator)
    live = torch.arange(60) < 40
    wrong = torch.where(live, onsets, 0.0)
    assert tune(EVERY, traces, wrong, live) == tune(EVERY, traces[:40], onsets[:40])


def test_grids_hold_the_settings_that_they_state():
    assert len(set(STA_LTA_GRID)) == len(STA_LTA_GRID) == 4 * 4 * 6 * 4
    assert len(set(AIC_GRID)) == len(AIC_GRID) == 7 * 6 * 5 + 6
    assert Aic() in AIC_GRID


BAD = {
    "a window": (lambda: StaLta(short=0), "short: expected an integer >= 1, got 0"),
    "a long window": (lambda: StaLta(long=1.5), "long: expected an integer >= 1, got 1.5"),
    "a threshold": (lambda: StaLta(threshold=1.0), "threshold: expected a number > 1 or None, got 1.0"),
    "no water": (lambda: StaLta(water=0), "water: expected a number > 0, got 0"),
    "a shift": (lambda: Aic(shift=math.inf), "shift: expected a finite number, got inf"),
    "a reach": (lambda: Aic(reach=1.2), "reach: expected a number above 0, at most 1, or None, got 1.2"),
    "a margin": (lambda: Aic(behind=0), "behind: expected an integer >= 1"),
    "a short trace": (lambda: Aic()(torch.zeros(2, 3)), "traces: expected shape \\(..., nt\\), nt >= 4"),
    "NaN": (lambda: StaLta()(torch.full((2, 5), math.nan)), "traces: expected finite"),
    "no picker": (lambda: tune([], torch.ones(1, 4), torch.ones(1)), "pickers: expected at least one"),
    "onsets": (lambda: tune(EVERY, torch.ones(2, 4), torch.ones(3)), "onsets: expected shape \\(2,\\), got \\(3,\\)"),
    "no live trace": (
        lambda: tune(EVERY, torch.ones(2, 4), torch.ones(2), torch.zeros(2, dtype=torch.bool)),
        "live: expected at least one live trace",
    ),
    "a tolerance": (lambda: tune(EVERY, torch.ones(2, 4), torch.ones(2), within=0), "within: expected a number > 0"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_pickers_refuse_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
