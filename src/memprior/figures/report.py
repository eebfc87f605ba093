"""The picture of a memorization report: arrays in, Figure out; no science.

Colors: green the samples, black held-out draws or, without them, purple training examples left out one by one.
"""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memprior.figures.ratios import BINS
from memprior.figures.style import GRAY, GREEN, INK, PURPLE, legend_below, panels
from memprior.memorization import COPY_GAP, PAPER_RATIO

STYLES = {"samples": (GREEN, "-"), "held-out draws": (INK, "-"), "examples, left out": (PURPLE, "--")}


def ratio_histogram(ax: Axes, ratios: dict, threshold: float) -> Axes:
    """Histograms of r (n,) by name, each over its own highest bar, so that a spike of copies hides nothing."""
    for name, values in ratios.items():
        color, line = STYLES[name]
        heights, _ = np.histogram(np.clip(values.cpu().numpy(), 0, 1), BINS)  # 1 + rounding is 1
        first, last = np.flatnonzero(heights)[[0, -1]]  # no line along the axis where there is nothing
        shown = heights[first : last + 1] / heights.max(), BINS[first : last + 2]
        if name == "samples":
            ax.stairs(*shown, fill=True, color=color, alpha=0.35)
        ax.stairs(*shown, color=color, lw=1.6, ls=line, label=name)
    ax.axvline(threshold, color=GRAY, lw=1, ls=":")
    ax.set(xlabel="ratio $r$", title=f"left of {threshold:g}: the paper's mark")
    ax.set(xlim=(0, 1), ylim=(0, 1.08), xticks=[0, 0.5, 1], yticks=[])
    ax.spines["left"].set_visible(False)
    return ax


def share_curves(
    ax: Axes, values: dict, *, xlabel: str, title: str, right: float, threshold: float | None = None
) -> Axes:
    """Share of the points of each set whose value (n,) is at most x, from 0 to ``right``; dotted: ``threshold``."""
    for name, these in values.items():
        color, line = STYLES[name]
        x = np.sort(these.cpu().numpy())
        shares = np.arange(len(x) + 1) / len(x)
        ax.step([0, *x, max(right, x[-1])], [*shares, 1], where="post", color=color, ls=line, lw=1.6, label=name)
    if threshold is not None:
        ax.axvline(threshold, color=GRAY, lw=1, ls=":")
    # A set of exact copies is a line along the left edge and the top, which the frame must not cut.
    ax.set(xlabel=xlabel, ylabel="share of points", title=title, xlim=(-0.02 * right, right), ylim=(-0.02, 1.03))
    ax.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    return ax


def report_figure(
    ratios: dict, distances: dict, gaps: dict, *, threshold: float = PAPER_RATIO, gap: float = COPY_GAP, title: str = ""
) -> Figure:
    """r, d_1 and d_1 / d_2 of named sets of points, dicts of (n,) tensors whose keys are among ``STYLES``.

    threshold: the r below which the paper says memorized. gap: the d_1 / d_2 below which a sample is a copy.
    """
    title = textwrap.fill(title, 86, break_on_hyphens=False)
    figure, axes = panels(1, 3, height=3.1 + 0.16 * max(0, title.count("\n") - 1))  # two lines, and what more takes
    ratio_histogram(axes[0], ratios, threshold)
    right = 1.05 * max(float(np.quantile(values.cpu().numpy(), 0.99)) for values in distances.values())
    share_curves(axes[1], distances, xlabel="$d_1$, to the nearest example", title="how near", right=right or 1.0)
    words = f"left of {'1/3' if gap == 1 / 3 else format(gap, 'g')}: copies"
    share_curves(axes[2], gaps, xlabel="$d_1 / d_2$", title=words, right=1.0, threshold=gap)
    axes[2].set(ylabel="", yticklabels=[], xticks=[0, 0.5, 1])  # the rows of the panel before it
    if title:
        figure.suptitle(title, fontsize=9)
    return legend_below(figure, axes[:1], 3)
