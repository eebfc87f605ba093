"""Figures of chapter 5: arrays in, Axes out; no science.

A sampler has one color and one marker in all figures: black what is exact, blue DPS, vermilion frozen gradients, green
Gaussian moments, orange DAPS, purple particles. Legends are the caller's, by ``legend_below``.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memprior.figures.rows import named_rows
from memprior.figures.style import (
    BLUE,
    GRAY,
    GREEN,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    SERIES,
    SKY,
    VERMILION,
    array,
    legend_below,
    panels,
)

_MARKERS = {
    "exact": (INK, "*"),
    "DPS, squared": (BLUE, "o"),
    "DPS, norm": (BLUE, "s"),
    "DPS, own weight": (BLUE, "^"),
    "frozen, squared": (VERMILION, "o"),
    "frozen, norm": (VERMILION, "s"),
    "released": (VERMILION, "D"),
    "released, ancestral": (VERMILION, "v"),
    "PiGDM": (GREEN, "o"),
    "MMPS": (GREEN, "s"),
    "covariance": (GREEN, "^"),
    "DAPS": (ORANGE, "D"),
    "weighting": (SKY, "o"),
    "twisted": (PURPLE, "o"),
    "twisted, widened": (PURPLE, "s"),
}
DISTANCE = "total variation to the exact weights"


def marker_style(name: str) -> dict:
    """Color and marker of a sampler; "NAME, K = 16" has that of NAME."""
    color, marker = _MARKERS[name.split(", K")[0]]
    return {"color": color, "marker": marker, "ms": 11 if marker == "*" else 6}


def _within(value: float, half: float) -> np.ndarray:
    """An interval's arms, (2, 1), cut off at 0 and 1, where no share can be."""
    return np.array([[min(half, value)], [min(half, max(1 - value, 0))]])


def cost_panel(ax: Axes, samplers: dict, curves: dict, *, floor: float, title: str) -> Axes:
    """Distance against solves per sample, one marker each. samplers: name -> (solves, distance, half of its interval).

    curves: name -> (solves, distances, halves) of what grows with its number of particles. Shaded: up to the floor.
    """
    for name, (solves, distances, halves) in curves.items():
        bars = np.hstack([_within(value, half) for value, half in zip(distances, halves, strict=True)])
        look = marker_style(name) | {"ms": 4.5}
        ax.errorbar(solves, array(distances), bars, ls="-", lw=1.3, elinewidth=0.8, capsize=2, **look, label=name)
    costs = [solves for solves, *_ in samplers.values()]
    for name, (solves, distance, half) in samplers.items():
        same = [other for other, cost in zip(samplers, costs, strict=True) if cost == solves]
        aside = solves * 10 ** (0.07 * (same.index(name) - (len(same) - 1) / 2))  # side by side where they are equal
        bars = _within(distance, half)
        ax.errorbar(aside, distance, bars, ls="", capsize=2.5, lw=1.2, **marker_style(name), label=name, zorder=4)
    if floor:
        ax.axhspan(0, floor, color=PALE, lw=0, zorder=0)
    ax.set(xscale="log", ylim=(-0.03, 1.05), xlabel="solves of F for one sample", ylabel=DISTANCE, title=title)
    return ax


def distance_rows(ax: Axes, results: dict, *, floor: tuple[float, float], title: str) -> Axes:
    """A row for each sampler, from top to bottom: name -> (distance, half of its interval). floor: a range, shaded."""
    for row, (name, (value, half)) in enumerate(results.items()):
        ax.errorbar(value, row, xerr=_within(value, half), ls="", lw=1.6, **marker_style(name), zorder=4)
        ax.axhline(row, color=PALE, lw=0.7, zorder=0)
    ax.axvspan(*floor, color=GRAY, alpha=0.35, lw=0, zorder=1)
    named_rows(ax, results, pad=6).set(xlim=(-0.04, 1.02), xticks=[0, 0.5, 1], title=title)
    return ax


def sweep_panel(ax: Axes, lines: dict, *, ylabel: str, title: str, top: float) -> Axes:
    """Against the scale, one line a family: name -> (scales, values, halves of intervals); beyond ``top`` cut off."""
    for name, (scales, values, halves) in lines.items():
        style = marker_style(name) | {"ms": 5}
        bars = np.hstack([_within(value, half) for value, half in zip(values, halves, strict=True)])
        ax.errorbar(scales, values, bars, lw=1.3, elinewidth=0.8, capsize=2, **style, label=name)
    ax.set(xscale="log", ylim=(0, top), xlabel="scale, or length of a step", ylabel=ylabel, title=title)
    return ax


def guidance_panel(ax: Axes, sigmas, curves: dict, left, *, ylabel: str, right: float | None = None) -> Axes:
    """Curves by sampler against the noise level, down to where ``left`` (T,) vanishes.

    left: the posterior variance at each level, over that at the first.
    """
    x, open_still = array(sigmas), array(left) > 1e-3
    ax.fill_between(x[open_still], 0, array(left)[open_still], color=PALE, lw=0, label="still open, share")
    for name, values in curves.items():
        style = marker_style(name) | {"ms": 4}
        ax.plot(x[open_still], array(values)[open_still], lw=1.3, markevery=2, **style, label=name)
    if right is not None:
        ax.axhline(right, color=INK, lw=1, ls="--")
    ax.set(xscale="log", xlabel=r"$\sigma$", ylabel=ylabel, ylim=(0, None))
    ax.invert_xaxis()
    return ax


def weighting_panel(ax: Axes, counts, mean, bound, dots: dict, *, title: str) -> Axes:
    """Distance of the distribution of likelihood weighting's choice against K (S,), and its bound.

    dots: name -> (K, values, halves).
    """
    ax.plot(counts, bound, ls="--", color=GRAY, lw=1.2, label=r"bound $2\rho/K$")
    ax.plot(counts, array(mean), "-", **marker_style("weighting") | {"ms": 0}, label="weighting, its distribution")
    for name, (at, values, halves) in dots.items():
        ax.errorbar(at, values, halves, ls="", capsize=2.5, **marker_style(name), label=name)
    ax.set(
        xscale="log", yscale="log", ylim=(1e-3, 2), xlabel="prior draws $K$, or particles", ylabel=DISTANCE, title=title
    )
    return ax


def control_panel(ax: Axes, counts, curves: dict, floor: float, *, title: str) -> Axes:
    """Largest ratio of deviations against K by name: values and halves of intervals; dashed, that of exact draws."""
    for (name, (values, halves)), color, marker in zip(curves.items(), SERIES, "os^D", strict=False):
        style = {"color": color, "marker": marker, "ms": 4.5, "lw": 1.3}
        ax.errorbar(counts, values, halves, elinewidth=0.8, capsize=2, **style, label=name)
    ax.axhline(floor, color=GRAY, lw=1.2, ls="--", label="exact draws")
    label = "samples' deviation over\nthe posterior's, at most"
    ax.set(xscale="log", yscale="log", xlabel="prior draws $K$", ylabel=label, title=title)
    ax.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    return ax


def step_frame(samples, train_set, weights, *, title: str, reach: float = 3.2) -> Figure:
    """A frame of the slider over a step: where samples (B,) of the 1-D problem end, over the exact weights (N,)."""
    figure, (ax,) = panels(height=2.6)
    x, heights = array(train_set), array(weights)
    inside = np.clip(array(samples), -reach, reach)
    ax.hist(inside, np.linspace(-reach, reach, 81), weights=np.full(len(inside), 1 / len(inside)), color=VERMILION)
    ax.plot(x, heights, "o", ms=10, mfc="none", mec=INK, mew=1.5, label="exact weight of each example")
    ax.vlines(x, 0, heights, color=INK, lw=1)
    ax.set(xlim=(-reach, reach), ylim=(0, 1.05), xlabel="$x$", ylabel="share of samples", title=title)
    return legend_below(figure, [ax], 2)


def weighting_frame(weights, distribution, *, title: str) -> Figure:
    """A frame of the slider over K: probabilities of weighting's draw over the examples (N,), and exact weights."""
    figure, (ax,) = panels(height=2.6)
    index = np.arange(len(weights))
    ax.bar(index, array(weights), 0.85, color=PALE, ec=GRAY, lw=0.6, label="exact weights")
    ax.plot(index, array(distribution), "o", color=BLUE, ms=6, label="likelihood weighting")
    ax.set(xlabel="example, likeliest first", ylabel="chance", ylim=(0, 1), title=title)
    ax.set_xticks(index[::2] if len(index) > 10 else index)
    return legend_below(figure, [ax], 2)


def bias_panel(ax: Axes, noises, curves: dict, *, ylabel: str) -> Axes:
    """Curves against gamma: name -> values; dots: name -> (gammas, values) in ``curves[name]`` given as a pair."""
    for (name, values), color in zip(curves.items(), (INK, BLUE, VERMILION), strict=False):
        if isinstance(values, tuple):
            ax.plot(*values, "o", color=BLUE, ms=5, label=name)
        else:
            ax.plot(noises, values, color=color, label=name)
    ax.set(xscale="log", xlabel=r"noise $\gamma$", ylabel=ylabel)
    return ax
