"""Shot gathers: a label is the onset, arrival times are those of closed forms, and surveys are never torn apart."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from memprior.geology import (
    SHOT_FAMILIES,
    LayerShape,
    NearSurface,
    berlage,
    shot_gather,
    shot_gathers,
    shot_survey,
    unlabeled_gathers,
)

pytest.importorskip("eikonalfm", reason="eikonalfm is not installed: where it has no wheel it needs a C++ compiler")

DT_S = 0.004
every_family = pytest.mark.parametrize("family", SHOT_FAMILIES)


@pytest.fixture(scope="module")
def drawn():
    return {family: [shot_gather(family, index, seed=3) for index in range(24)] for family in SHOT_FAMILIES}


@every_family
def test_labels_are_the_onsets_to_a_tenth_of_a_sample(drawn, family):
    """The noise-free trace at a tenth of the interval: the first sample that is not zero follows the label at once.

    At the recorded interval the same: the label lies between the last zero and the first other sample.
    """
    for gather in drawn[family]:
        for finer in (1, 10):
            dt = DT_S / finer
            signal = gather.signal(np.arange(128 * finer) * dt)
            onset = (signal != 0).argmax(1)  # the first sample after the onset
            late = onset - gather.onsets_s / dt
            assert (late > -1e-6).all()
            assert (late <= 1 + 1e-6).all()


@every_family
def test_labels_are_the_onsets_by_the_slope_of_the_root(drawn, family):
    """A pulse begins as c t^2 (1 - O(a t)): the line through its root at two early times is zero at the onset.

    At steps of h = .25 ms, a sixteenth of a sample, the root bends by a h = pi f h, some .03, of a step. No formula of
    the generator is used, only that power; traces on which another arrival begins less than 3 h later are left out.
    """
    h = DT_S / 16
    for gather in drawn[family][:8]:
        time = np.arange(128 * 16) * h
        root = np.sqrt(np.abs(gather.signal(time)))
        first = (root > 0).argmax(1)
        rows = np.arange(64)
        one, two = root[rows, first + 1], root[rows, first + 2]
        onset = time[first + 1] - h * one / (two - one)
        behind = gather.times_s - gather.onsets_s
        alone = ((behind < 1e-12) | (behind > 3 * h)).all(0)
        assert alone.sum() > 20
        assert np.abs(onset - gather.onsets_s)[alone].max() < 0.1 * DT_S


@every_family
def test_traces_are_the_signal_and_the_noise_and_dead_ones_are_zero(drawn, family):
    gathers = shot_gathers(family, 24, seed=3)
    assert (gathers.traces.shape, gathers.traces.dtype, gathers.dt_s) == ((24, 64, 128), torch.float32, DT_S)
    for traces, onsets, live, one in zip(gathers.traces, gathers.onsets, gathers.live, drawn[family], strict=True):
        np.testing.assert_allclose(traces.numpy(), one.traces(), rtol=1e-6)
        np.testing.assert_array_equal(onsets.numpy(), one.onsets_s / DT_S)
        assert (traces == 0).all(1).tolist() == (~live).tolist()
    first = gathers.traces.new_tensor([np.median(np.abs(one.amplitudes[0])) for one in drawn[family]])
    torch.testing.assert_close(first, torch.ones_like(first))


@every_family
def test_traces_that_are_dead_or_noisy_have_their_shares(family):
    """2 % and 4 % of 60 gathers' traces: within four standard errors. A noisy one is 4 to 12 times as loud."""
    gathers = [shot_gather(family, index, seed=5) for index in range(60)]
    dead = np.mean([~gather.live for gather in gathers])
    loud = [gather.noise.std(1) for gather in gathers]
    noisy = np.mean([level > 2.2 * np.median(level) for level in loud])
    assert abs(dead - 0.02) < 4 * math.sqrt(0.02 * 0.98 / 3840)
    assert abs(noisy - 0.04) < 4 * math.sqrt(0.04 * 0.96 / 3840)


@every_family
def test_first_breaks_are_recorded_and_what_follows_them_is_later(drawn, family):
    for gather in drawn[family]:
        assert gather.onsets_s.min() > DT_S
        assert gather.onsets_s.max() < 0.46
        assert (gather.times_s >= gather.onsets_s).all()
        assert (gather.times_s[0] == gather.onsets_s).all()
        assert len(gather.frequencies_hz) == len(gather.times_s) == len(gather.amplitudes)


def test_frequencies_of_the_shifted_surveys_are_lower(drawn):
    peaks = {family: [gather.frequencies_hz[0] for gather in drawn[family]] for family in SHOT_FAMILIES}
    assert 25 <= min(peaks["base"]) < max(peaks["base"]) <= 40
    assert 12 <= min(peaks["shifted"]) < max(peaks["shifted"]) <= 20


def test_noise_of_the_shifted_surveys_is_correlated_along_the_spread_and_no_other():
    """Neighbors: exp(-1 / 8) = .88 at a length of two traces, and 0, within four standard errors of 40 gathers.

    Samples of one trace are correlated: at most every third counts as another draw.
    """
    for family, expected in (("base", 0.0), ("shifted", math.exp(-1 / 8))):
        noise = np.stack([shot_gather(family, index, seed=7).noise for index in range(40)])
        noise /= noise.std(2, keepdims=True)
        found = (noise[:, 1:] * noise[:, :-1]).mean()
        assert abs(found - expected) < 4 / math.sqrt(40 * 63 * 128 / 9)


@every_family
def test_surveys_share_near_surface_and_polarity_and_split_between_sets(family):
    """Gathers 4 to 7 are of survey 1: onsets less the eikonal times differ from shot to shot by one number."""
    one = shot_survey(family, 1, seed=3)
    receivers = np.arange(64) * 20.0
    for index in range(4, 8):
        gather = shot_gather(family, index, seed=3)
        rest = gather.onsets_s - one.near_surface.first_arrivals(gather.source_m, receivers) - one.statics_s
        assert np.ptp(rest) < 1e-12
        assert (np.sign(gather.amplitudes[0]) == one.polarity).all()
    train, test = shot_gathers(family, 8, seed=3), shot_gathers(family, 8, seed=3, first=8)
    assert train.surveys.tolist() == [0] * 4 + [1] * 4
    assert not set(train.surveys.tolist()) & set(test.surveys.tolist())


@every_family
def test_surveys_keep_to_their_bounds(family):
    surveys = [shot_survey(family, number, seed=1) for number in range(60)]
    lines = [one.near_surface for one in surveys]
    depths = np.array([line.depths_m for line in lines])
    assert depths.min() >= 40 - 1e-9
    assert depths.max() <= 200 + 1e-9
    for line in lines:
        assert 1200 <= line.velocity <= line.velocity + 200 * line.gradient <= 2000 + 1e-9
        assert 3000 <= line.refractor <= 5500
    assert stats.binomtest(sum(one.polarity > 0 for one in surveys), 60).pvalue > 1e-4


@every_family
def test_gathers_have_nested_sets_and_one_stream_a_gather(family):
    whole = shot_gathers(family, 6, seed=9)
    for part, rows in (
        (shot_gathers(family, 3, seed=9), slice(3)),
        (shot_gathers(family, 2, seed=9, first=4), slice(4, 6)),
    ):
        for field in ("traces", "onsets", "live", "offsets_m", "surveys"):
            assert torch.equal(getattr(part, field), getattr(whole, field)[rows])
    again = shot_gathers(family, 6, seed=9)
    assert torch.equal(again.traces, whole.traces)


def test_gathers_never_repeat():
    """Over families, seeds, numbers, and the unlabeled, every trace that is not dead is another one."""
    traces = [shot_gathers(family, 4, seed=seed).traces for family in SHOT_FAMILIES for seed in (0, 1, 2**32 - 1)]
    traces += [unlabeled_gathers(family, 4, seed=0) for family in SHOT_FAMILIES]
    pooled = torch.cat(traces).flatten(1)
    assert len(pooled.unique(dim=0)) == len(pooled) == 32


def test_unlabeled_gathers_are_nested_and_of_other_surveys():
    pool = unlabeled_gathers("base", 5, seed=0)
    assert torch.equal(unlabeled_gathers("base", 2, seed=0, first=3), pool[3:])
    lines = [shot_survey("base", number, seed=0).near_surface.depth_m for number in (0, 1, 2**29, 2**29 + 1)]
    assert len(set(lines)) == 4


def test_gathers_give_the_same_numbers_as_when_they_were_made():
    """A stream that changes would change every set that is drawn: first and last onset, in samples, and one sample."""
    found = []
    for family in SHOT_FAMILIES:
        gathers = shot_gathers(family, 1, seed=0)
        found.append([*gathers.onsets[0, [0, -1]].tolist(), float(gathers.traces[0, 32, 64])])
    np.testing.assert_allclose(found, CORNERS, atol=6e-4)


def test_direct_wave_is_exact():
    """Where the layer has one velocity and the refractor is too deep to be first: x / v_0, to rounding."""
    receivers = np.arange(0.0, 301.0, 5)
    for velocity in (1200.0, 1999.0):
        line = NearSurface(velocity, 0.0, 3000.0, 200.0)
        np.testing.assert_allclose(line.first_arrivals(0.0, receivers), receivers / velocity, atol=1e-12)


def test_diving_wave_is_that_of_a_linear_velocity():
    """T = 2 / g asinh(g x / (2 v_0)), Slotnick 1959: the scheme is of second order, and falls below .1 ms at 5 m."""
    receivers, gradient, velocity = np.arange(20.0, 301.0, 20), 3.0, 1300.0
    line = NearSurface(velocity, gradient, 3000.0, 200.0)
    expected = 2 / gradient * np.arcsinh(gradient * receivers / (2 * velocity))
    errors = [np.abs(line.first_arrivals(0.0, receivers, cell) - expected).max() for cell in (5.0, 2.5)]
    assert errors[0] < 1e-4
    assert errors[1] < errors[0] / 3


@pytest.mark.parametrize(("velocity", "refractor"), [(1200.0, 5500.0), (1500.0, 4000.0), (1900.0, 3000.0)])
@pytest.mark.parametrize("depth", [60.0, 61.0, 62.5, 64.0])
def test_head_wave_is_that_of_a_flat_refractor(velocity, refractor, depth):
    """x / v_r + 2 h cos(i) / v_0, sin(i) = v_0 / v_r: as exact as a depth that is known to a quarter of a cell."""
    receivers = np.arange(0.0, 1261.0, 20)
    line = NearSurface(velocity, 0.0, refractor, depth)
    head = receivers / refractor + 2 * depth * math.sqrt(1 / velocity**2 - 1 / refractor**2)
    expected = np.minimum(receivers / velocity, head)
    for cell in (5.0, 2.5):
        assert np.abs(line.first_arrivals(0.0, receivers, cell) - expected).max() < cell / (2 * velocity)


def test_head_wave_of_a_dipping_refractor_is_reciprocal_and_slower_down_the_dip():
    """Apparent velocities v_0 / sin(i +- dip), to 3 %, and the same time both ways, as exact as any."""
    dip = math.atan(0.06)
    shape = LayerShape(tilt=0.06)  # about x = .5 m
    line = NearSurface(1500.0, 0.0, 4000.0, 60.0, shape)
    receivers = np.arange(0.0, 1261.0, 20)
    down, up = line.first_arrivals(0.0, receivers), line.first_arrivals(1260.0, receivers)
    assert down[-1] == pytest.approx(up[0], abs=5 / (2 * 1500))
    angle = math.asin(1500 / 4000)
    for times, sign in ((down[40:], 1), (up[20::-1], -1)):
        slope = np.diff(times).mean() / 20
        assert slope == pytest.approx(math.sin(angle + sign * dip) / 1500, rel=0.03)


def test_berlage_pulse_is_causal_and_its_envelope_is_one():
    time = torch.linspace(-0.1, 0.5, 60001)
    pulse = berlage(time, 20.0)
    assert (pulse[time <= 0] == 0).all()
    envelope = math.pi * 20 * time * torch.exp(1 - math.pi * 20 * time)
    assert float(envelope.max()) == pytest.approx(1, abs=1e-6)
    assert bool((pulse.abs() <= envelope.clamp(min=0) + 1e-15).all())
    early = berlage(torch.tensor([1e-5, 2e-5]), 20.0)
    assert float(early[1] / early[0]) == pytest.approx(4, rel=2 * math.pi * 20 * 1e-5)


BAD = {
    "a family": (lambda: shot_gathers("bass", 1, seed=0), "family: expected one of base, shifted, got 'bass'"),
    "no gather": (lambda: shot_gathers("base", 0, seed=0), "num: expected an integer >= 1, got 0"),
    "a seed": (lambda: shot_gathers("base", 1, seed=-1), "seed: expected an integer >= 0, got -1"),
    "an index": (lambda: shot_gather("base", 2**32, seed=0), "gather: expected an integer below 2\\^32"),
    "a number of the unlabeled": (lambda: shot_gathers("base", 2, seed=0, first=2**31 - 1), "first, num: expected"),
    "a slow refractor": (lambda: NearSurface(1500.0, 0.0, 1400.0, 50.0), "refractor: expected m/s, above .*1500"),
    "a shallow refractor": (
        lambda: NearSurface(1500.0, 0.0, 3000.0, 5.0, LayerShape(10.0, 500.0)),
        "depth_m, shape: expected a refractor below the surface",
    ),
    "a place between nodes": (
        lambda: NearSurface(1500.0, 0.0, 3000.0, 50.0).first_arrivals(1.0, np.zeros(1)),
        "source_m, receivers_m: expected multiples of 5 m",
    ),
    "a place off the line": (
        lambda: NearSurface(1500.0, 0.0, 3000.0, 50.0).first_arrivals(0.0, np.array([1265.0])),
        "source_m, receivers_m: expected",
    ),
    "a frequency": (lambda: berlage(torch.zeros(1), 0.0), "frequency_hz: expected one number, finite and > 0"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_gathers_refuse_what_they_cannot_draw(call, message):
    with pytest.raises(ValueError, match=message):
        call()


CORNERS = [[88.398, 20.383, -0.750], [97.005, 104.057, 1.493]]
