"""Figures of B1: arrays in, Axes out; no science."""

import numpy as np
from matplotlib.axes import Axes

from memprior.figures.maps import WAVES
from memprior.figures.rows import interval_rows, named_rows, whisker
from memprior.figures.style import BLUE, GRAY, GREEN, PALE, PURPLE, VERMILION, array

POSTERIORS = {"lookup": VERMILION, "linearized": GREEN}
SAMPLE_COLORS = {"memorized": VERMILION, "fresh": BLUE}


def own_models(ax: Axes, models, *, title: str) -> Axes:
    """Some models (n, ...): images beside each other, or lines."""
    shown = array(models)
    if shown.ndim == 2:
        ax.plot(shown.T, color=PURPLE, lw=1, alpha=0.7)
        ax.invert_yaxis()
        ax.set(ylabel="depth (km)", xlabel="column", title=title)
        return ax
    gap = np.full((shown.shape[1], 1), np.nan)
    strip = np.concatenate([part for one in shown for part in (one, gap)][:-1], axis=1)
    reach = np.nanquantile(np.abs(strip - np.nanmean(strip)), 0.98)
    middle = np.nanmean(strip)
    ax.imshow(strip, cmap=WAVES, vmin=middle - reach, vmax=middle + reach, aspect="auto")
    ax.set(title=title, xticks=[], yticks=[])
    return ax


def covered(ax: Axes, shares: dict, level: float, *, title: str) -> Axes:
    """Rows by posterior: share of left-out truths covered (value, low, high); dotted: what is claimed."""
    ax.axvline(level, color=GRAY, lw=1, ls=":")
    interval_rows(ax, shares, POSTERIORS.get)
    ax.set(xlim=(0, 1.02), xlabel="covered", title=title)
    return ax


def fired(ax: Axes, shares: dict, level: float, *, title: str) -> Axes:
    """Rows by kind of samples: share of tests that fire (value, low, high); dotted: the level of the test."""
    ax.axvline(level, color=GRAY, lw=1, ls=":")
    for height, (name, interval) in enumerate(shares.items()):
        ax.axhline(height, color=PALE, lw=0.8, zorder=0)
        whisker(ax, interval, height, color=SAMPLE_COLORS.get(name, GREEN))
    named_rows(ax, shares)
    ax.set(xlim=(-0.02, 1.02), xlabel="share of tests that fire", title=title)
    return ax


def heaviest(ax: Axes, weights, *, title: str) -> Axes:
    """The largest weights (N,) of the lookup, descending."""
    values = array(weights)[:15]
    ax.bar(np.arange(1, len(values) + 1), values, color=VERMILION)
    ax.set(xlabel="model, by its weight", ylim=(0, 1), title=title)
    return ax
