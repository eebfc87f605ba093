"""The ideal picker: its posterior is that of brute force, calibrated, unbiased, and no picker of one trace beats it."""

import math

import pytest
import torch
from helpers import assert_batch_independent, assert_same
from torch.distributions import MultivariateNormal

from memprior.geology import berlage
from memprior.picking import AIC_GRID, STA_LTA_GRID, IdealPicker, OnsetPosterior, tune

DT_S = 0.004
MANY = 2000


def noise_of(num, level, neighbor=0.6):
    """Covariance (num, num) of an autoregressive series: colored noise."""
    lag = (torch.arange(num) - torch.arange(num)[:, None]).abs()
    return level**2 * neighbor ** lag.double()


def picker_of(level, *, amplitude=1.0, spread=0.5, num=64, window=(4, 60), fine=16):
    return IdealPicker(
        lambda t: berlage(t, 30.0),
        noise_of(num, level),
        dt_s=DT_S,
        amplitude=amplitude,
        spread=spread,
        window=window,
        fine=fine,
    )


CASES = {
    "loud": picker_of(0.5),
    "quiet": picker_of(0.15),
    "of amplitudes about zero": picker_of(0.3, amplitude=0.0, spread=1.0),
}
every_case = pytest.mark.parametrize("picker", CASES.values(), ids=CASES)


@pytest.mark.parametrize(("amplitude", "spread"), [(1.5, 0.4), (0.0, 1.0), (2.0, 1e-3)])
def test_posterior_is_that_of_full_gaussian_densities(amplitude, spread, generator):
    """At every cell the mean over polarities of N(x; s m w, C + v^2 w w^T), in full, normalized over the cells."""
    picker = picker_of(0.4, amplitude=amplitude, spread=spread, num=24, window=(2, 20), fine=3)
    traces, _ = picker.draw(5, generator=generator)
    middles = (picker.edges[1:] + picker.edges[:-1]) / 2
    densities = []
    for onset in middles:
        w = berlage((torch.arange(24) - onset) * DT_S, 30.0)
        covariance = noise_of(24, 0.4) + spread**2 * torch.outer(w, w)
        both = [MultivariateNormal(s * amplitude * w, covariance).log_prob(traces) for s in (1, -1)]
        densities.append(torch.logaddexp(*both))
    expected = torch.stack(densities, 1).softmax(1)
    torch.testing.assert_close(picker.posterior(traces).probabilities, expected, rtol=1e-8, atol=1e-12)


def test_posterior_is_that_of_quadrature_over_the_amplitude(generator):
    """Trapezoids over 8 standard deviations of both polarities: exact to rounding for a Gaussian."""
    picker = picker_of(0.5, num=16, window=(2, 14), fine=2)
    traces, _ = picker.draw(1, generator=generator)
    amplitudes = torch.linspace(-8, 8, 4001)
    prior = (-0.5 * ((amplitudes.abs() - 1.0) / 0.5) ** 2).exp() + (-0.5 * ((amplitudes.abs() + 1.0) / 0.5) ** 2).exp()
    noise = MultivariateNormal(torch.zeros(16), noise_of(16, 0.5))
    middles = (picker.edges[1:] + picker.edges[:-1]) / 2
    arrivals = berlage((torch.arange(16) - middles[:, None]) * DT_S, 30.0)
    likelihood = noise.log_prob(traces[0] - amplitudes[:, None, None] * arrivals).exp()  # (amplitudes, cells)
    expected = (prior[:, None] * likelihood).sum(0)
    torch.testing.assert_close(picker.posterior(traces).probabilities[0], expected / expected.sum(), rtol=1e-8, atol=0)


@every_case
def test_intervals_are_calibrated_and_means_unbiased(picker, generator):
    """Over 2000 traces of its prior: coverage .90 +- .02, three standard errors; ranks even; the error bar is true."""
    traces, onsets = picker.draw(MANY, generator=generator)
    posterior = picker.posterior(traces)
    low, high = posterior.interval(0.9)
    assert abs(float(((low <= onsets) & (onsets <= high)).double().mean()) - 0.9) < 0.02
    low, high = posterior.interval(0.5)
    assert abs(float(((low <= onsets) & (onsets <= high)).double().mean()) - 0.5) < 3 * math.sqrt(0.25 / MANY)
    error = posterior.mean - onsets
    assert abs(float(error.mean())) < 3 * float(error.std()) / math.sqrt(MANY)
    # Its own error bars: mean square error over mean variance is one, within three standard errors.
    excess = error.square() - posterior.std.square()
    assert abs(float(excess.mean())) < 3 * float(excess.std()) / math.sqrt(MANY)
    for k in (1.0, 3.0):
        middle, expected = posterior.best_window(k)
        excess = ((middle - onsets).abs() <= k).double() - expected
        assert abs(float(excess.mean())) < 3 * float(excess.std()) / math.sqrt(MANY)


def matched_filter(picker, traces):
    """Onset of the greatest normalized correlation with the arrival, a picker without a prior."""
    u = traces @ picker._filters
    middles = (picker.edges[1:] + picker.edges[:-1]) / 2
    return middles[(u.square() / picker._power.clamp(min=1e-3 * picker._power.max())).argmax(1)]


@every_case
def test_no_picker_of_one_trace_is_better_in_the_score_it_is_optimal_for(picker, generator):
    """Tuned AIC and STA/LTA, a matched filter, the most probable onset, and its own other picks: 3 paired errors."""
    train, labels = picker.draw(MANY, generator=generator)
    traces, onsets = picker.draw(MANY, generator=generator)
    posterior = picker.posterior(traces)
    middles = (picker.edges[1:] + picker.edges[:-1]) / 2
    rivals = [
        matched_filter(picker, traces),
        middles[posterior.probabilities.argmax(1)],
        posterior.mean,
        posterior.median,
        *(posterior.best_window(k)[0] for k in (1.0, 5.0)),
        *(tune(grid, train, labels).picker(traces).nan_to_num(32.0) for grid in (AIC_GRID[::3], STA_LTA_GRID[::5])),
    ]
    losses = [(posterior.mean, torch.square), (posterior.median, torch.abs)]
    for k in (1.0, 3.0, 5.0, 7.0, 9.0):
        losses.append((posterior.best_window(k)[0], lambda error, k=k: (error.abs() > k).double()))
    for ideal, loss in losses:
        for rival in rivals:
            gain = loss(ideal - onsets) - loss(rival - onsets)
            assert float(gain.mean()) <= 3 * float(gain.std()) / math.sqrt(MANY)


def test_ideal_picker_is_far_better_than_a_tuned_one(generator):
    """So the test above can fail: at one sample the tuned AIC is behind by more than ten paired errors."""
    picker = CASES["loud"]
    train, labels = picker.draw(MANY, generator=generator)
    traces, onsets = picker.draw(MANY, generator=generator)
    aic = tune(AIC_GRID[::3], train, labels).picker(traces)
    ideal = picker.posterior(traces).best_window(1.0)[0]
    gain = ((ideal - onsets).abs() <= 1).double() - ((aic - onsets).abs() <= 1).double()
    assert float(gain.mean()) > 10 * float(gain.std()) / math.sqrt(MANY)


def test_posterior_of_silence_is_that_of_an_arrival_that_was_missed():
    """Without an amplitude's mean a zero trace has weights Lambda^-1/2, that is, the window's ends are likelier."""
    picker = picker_of(0.3, amplitude=0.0, spread=1.0)
    expected = (1 + picker._power).rsqrt()
    assert_same(picker.posterior(torch.zeros(1, 64)).probabilities[0], expected / expected.sum())


def test_posterior_knows_no_polarity_and_no_batch(generator):
    picker = CASES["loud"]
    traces, _ = picker.draw(7, generator=generator)
    assert_same(picker.posterior(-traces).probabilities, picker.posterior(traces).probabilities)
    assert_batch_independent(lambda x: picker.posterior(x).probabilities, traces)


def test_posterior_on_finer_cells_is_the_same_posterior(generator):
    """Quantiles move by less than a cell, the mean by the square of one times the density's curvature."""
    coarse, finer = picker_of(0.3, fine=8), picker_of(0.3, fine=32)
    traces, _ = coarse.draw(50, generator=generator)
    one, two = coarse.posterior(traces), finer.posterior(traces)
    assert float((one.quantile(0.05) - two.quantile(0.05)).abs().max()) < 1 / 8
    assert float((one.mean - two.mean).abs().max()) < 0.01


def test_posterior_of_strong_arrivals_is_their_onset(generator):
    picker = picker_of(1e-4)
    traces, onsets = picker.draw(100, generator=generator)
    seen = onsets < 58
    posterior = picker.posterior(traces)
    assert float((posterior.median - onsets)[seen].abs().max()) <= 1 / 16


def test_picks_of_a_posterior_by_hand():
    """Cells of half a sample from 10 on, with probabilities .1, .4, .2, .3."""
    posterior = OnsetPosterior(10 + torch.arange(5) / 2, torch.tensor([[0.1, 0.4, 0.2, 0.3]]))
    assert float(posterior.mean) == pytest.approx(0.1 * 10.25 + 0.4 * 10.75 + 0.2 * 11.25 + 0.3 * 11.75)
    assert float(posterior.median) == pytest.approx(11.0)
    assert float(posterior.quantile(0.3)) == pytest.approx(10.75)
    assert [float(end) for end in posterior.interval(1.0)] == [10.0, 12.0]
    middle, share = posterior.best_window(0.5)
    assert (float(middle), float(share)) == pytest.approx((11.0, 0.6))
    middle, share = posterior.best_window(0.75)
    assert (float(middle), float(share)) == pytest.approx((11.25, 0.9))


def test_draws_repeat_and_are_of_their_covariance(generator):
    picker = picker_of(0.5, spread=1e-6, amplitude=0.0)
    traces, onsets = picker.draw(20000, generator=generator)
    again, _ = picker.draw(20000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(traces, again)
    assert 4 <= float(onsets.min()) < float(onsets.max()) < 60
    spread = 5 * 0.25 * math.sqrt(2 / 20000)  # five standard errors of an entry
    assert float((traces.T @ traces / 20000 - noise_of(64, 0.5)).abs().max()) < spread


BAD = {
    "a covariance of no matrix": ({"covariance": torch.ones(3)}, "covariance: expected shape \\(n, n\\)"),
    "an indefinite covariance": ({"covariance": torch.ones(64, 64)}, "covariance: expected positive definite"),
    "an asymmetric covariance": ({"covariance": torch.ones(64, 64).triu()}, "covariance: expected symmetric"),
    "an interval": ({"dt_s": 0.0}, "dt_s: expected one number, finite and > 0"),
    "an amplitude": ({"amplitude": -1.0}, "amplitude: expected a finite number >= 0, got -1"),
    "a spread": ({"spread": 0.0}, "spread: expected one number, finite and > 0"),
    "a window": ({"window": (3, 65)}, "window: expected 0 <= first < last <= 64"),
    "a window of broken cells": ({"window": (3, 10.05)}, "window: expected"),
    "cells": ({"fine": 0}, "fine: expected an integer >= 1"),
    "a wavelet of two sides": ({"wavelet": lambda t: (-((t / 0.01) ** 2)).exp()}, "wavelet: expected zero before"),
    "a silent wavelet": ({"wavelet": torch.zeros_like}, "wavelet: expected an arrival"),
}


@pytest.mark.parametrize(("changed", "message"), BAD.values(), ids=BAD)
def test_picker_refuses_by_name(changed, message):
    settings = {"wavelet": lambda t: berlage(t, 30.0), "covariance": noise_of(64, 0.5), "dt_s": DT_S} | changed
    wavelet, covariance = settings.pop("wavelet"), settings.pop("covariance")
    with pytest.raises(ValueError, match=message):
        IdealPicker(wavelet, covariance, **settings)


@pytest.mark.parametrize(
    ("traces", "message"),
    [
        (torch.zeros(2, 63), "traces: expected shape \\(B, 64\\)"),
        (torch.full((2, 64), math.nan, dtype=torch.float64), "traces: expected finite"),
        (torch.zeros(2, 64, dtype=torch.float32), "traces: expected dtype"),
    ],
)
def test_picker_refuses_other_traces(traces, message):
    with pytest.raises(ValueError, match=message):
        CASES["loud"].posterior(traces)


def test_posterior_refuses_levels_and_windows(generator):
    posterior = CASES["loud"].posterior(torch.zeros(1, 64))
    with pytest.raises(ValueError, match=r"level: expected a number from 0 to 1, got 1.5"):
        posterior.quantile(1.5)
    for k in (0.02, 29.0, 0.0):
        with pytest.raises(ValueError, match=r"k: expected a multiple of 0.03125 samples, up to 28"):
            posterior.best_window(k)
