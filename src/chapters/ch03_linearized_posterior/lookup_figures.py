"""Figures of chapter 3, second half: arrays in, Axes out; no science. Colors as in the first half."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chapters.ch03_linearized_posterior.figures import line_densities
from memprior.figures.style import (
    BLUE,
    GRAY,
    GREEN,
    INK,
    PALE,
    PURPLE,
    SERIES,
    SKY,
    VERMILION,
    array,
    legend_below,
    panels,
)


def lookup_stems(ax: Axes, train_set, weights) -> Axes:
    """Lookup weights (K,) over the examples (K, 1) of a 1-D problem."""
    x, w = array(train_set[:, 0]), array(weights)
    ax.vlines(x, 0, w, color=GREEN, lw=2)
    ax.plot(x, w, "o", color=GREEN, ms=4)
    ax.set(xlabel="training example $x_n$", ylabel="lookup weight $w_n$", xlim=(-3.2, 3.2), ylim=(0, None))
    return ax


def landing_bars(ax: Axes, runs: dict) -> Axes:
    """Exact lookup weights, and the share of samples that landed on each example, for named runs."""
    first = next(iter(runs.values()))
    index = np.arange(len(first.weights))
    ax.bar(index, array(first.weights), 0.8, color=PALE, ec=GRAY, lw=0.6, label="exact lookup weights")
    for (name, run), marker, color in zip(runs.items(), "os", (GREEN, INK), strict=False):
        ax.plot(index, array(run.frequencies), marker, color=color, ms=6, label=name)
    ax.set(xlabel="training example $n$", ylabel="share of samples", xticks=index, ylim=(0, 0.6))
    return ax


def effective_curves(ax: Axes, scales) -> Axes:
    """Effective components at y = 0 against sigma, exact (lines) and by Eq. 7 (dots); diamonds mark sigma_crit."""
    for one, color in zip(scales, SERIES, strict=True):
        sigmas, zero = array(one.sigmas), int(one.data.abs().argmin())
        exact = array(one.exact[:, zero])
        ax.loglog(sigmas, exact, color=color, label=f"$N = {one.num}$")
        ax.loglog(sigmas[::4], array(one.linearized[::4, zero]), ".", color=color, ms=4)
        height = np.interp(np.log(one.sigma_crit), np.log(sigmas), exact)
        ax.plot(one.sigma_crit, height, "D", color=color, mec=INK, ms=6.5)
    ax.set(xlabel=r"$\sigma$", ylabel="effective components $e^{H}$", xlim=(sigmas[0], sigmas[-1]), ylim=(0.8, 500))
    return ax


def excess_curves(ax: Axes, scales) -> Axes:
    """Share by which exp(H) exceeds its limit at sigma_crit, against the data y; dotted: 10 %."""
    for one, color in zip(scales, SERIES, strict=True):
        ax.plot(array(one.data), 100 * array(one.excess), color=color, lw=1.2, label=f"$N = {one.num}$")
    ax.axhline(10, color=GRAY, lw=0.9, ls=":")
    ax.set(xlabel="data $y$", ylabel=r"$e^H$ above its limit at $\sigma_{\mathrm{crit}}$, %")
    return ax


def ratio_rows(ax: Axes, rows: dict) -> Axes:
    """Settling scale over prediction, name -> {label: (median, low, high)}; 1 is right."""
    labels, at = [], 0
    for (name, cases), color, marker in zip(rows.items(), (VERMILION, PURPLE, BLUE), "Dso", strict=False):
        for k, (label, (median, low, high)) in enumerate(cases.items()):
            ax.plot([low, high], [at, at], color=color, lw=1.4, alpha=0.7)
            ax.plot(median, at, marker, color=color, ms=5, label=name if k == 0 else None)
            labels.append(label)
            at += 1
        at += 1
        labels.append("")
    ax.axvline(1, color=GRAY, lw=0.9, ls=":")
    ax.set(xscale="log", xlabel="settling scale over its prediction", ylim=(at - 1, -1))
    ax.set_yticks(range(len(labels)), labels, fontsize=8)
    ax.tick_params(axis="y", length=0)
    return ax


def convergence_curve(ax: Axes, many) -> Axes:
    """Distance of the lookup to the true posterior against effective components, with the slope of Monte Carlo."""
    effective, distances = array(many.effective), array(many.distances)
    x, y = effective.mean(0), distances.mean(0)
    ax.loglog(x, y[-1] * np.sqrt(x[-1] / x), color=GRAY, ls="--", label="slope $-1/2$")
    ax.loglog(effective, distances, ".", color=SKY, ms=4)
    ax.loglog(x, y, "o-", color=BLUE, label="mean over repeats")
    for size, at, height in zip(many.sizes, x, y, strict=True):
        ax.annotate(
            f"$N={size:,}$".replace(",", "\\,"), (at, height), xytext=(7, 6), textcoords="offset points", fontsize=8.5
        )
    ax.set(xlabel="effective components $e^{H}$", ylabel="largest difference of the\ndistribution functions")
    ax.margins(x=0.15, y=0.15)
    return ax


def effective_against_noise(ax: Axes, factors, curves: dict) -> Axes:
    """Effective components of the lookup against the noise, in units of the paper's; N -> ``Mean`` for each factor."""
    for (size, means), color in zip(curves.items(), SERIES, strict=False):
        value, low, high = np.array([mean.dot for mean in means]).T
        ax.fill_between(array(factors), np.maximum(low, 1), high, color=color, alpha=0.25, lw=0)
        ax.loglog(array(factors), value, "o-", ms=3.5, color=color, label=f"$N = {size}$")
    ax.axvline(1, color=GRAY, lw=0.9, ls=":")
    ax.set(xlabel="noise over the paper's", ylabel="effective examples $e^{H}$")
    return ax


def ratio_histograms(ax: Axes, ratios: dict, threshold: float) -> Axes:
    """The ratio r of held-out fields to each training set, and the threshold below which the paper says memorized."""
    for (size, values), color in zip(ratios.items(), SERIES, strict=False):
        ax.hist(
            array(values),
            bins=np.linspace(0.2, 1, 41),
            histtype="step",
            lw=1.8,
            color=color,
            label=f"$N = {size}$",
        )
    ax.axvline(threshold, color=INK, lw=1, ls="--")
    ax.set(xlabel="ratio $r$ of held-out fields", ylabel="count", xlim=(0.2, 1))
    return ax


def densities_and_lookup(comparison, train_set, lookup) -> Figure:
    """A frame of the slider over N: densities beside the lookup's weights (K,)."""
    figure, axes = panels(1, 2, height=2.7, width_ratios=[1.6, 1])
    line_densities(axes[0], comparison, train_set)
    lookup_stems(axes[1], train_set, lookup)
    return legend_below(figure, axes[:1], 4)
