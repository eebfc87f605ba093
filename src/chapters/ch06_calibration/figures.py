"""Figures of chapter 6: arrays in, Axes out; no science.

Colors: vermilion the true prior, blue the memorized prior, purple smoothed examples, sky a Gaussian fitted to the
examples, orange kernels of its shape, green networks, gray what is claimed. Artists carry labels;
legends are the caller's.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memprior.figures.rows import interval_rows, named_rows
from memprior.figures.style import BLUE, GRAY, GREEN, INK, ORANGE, PALE, PURPLE, SKY, VERMILION, array, panels

COLORS = {
    "exact prior": VERMILION,
    "memorized": BLUE,
    "smoothed": PURPLE,
    "shaped kernels": ORANGE,
    "exact prior, mirrored": VERMILION,
    "Ledoit-Wolf": SKY,
    "Ledoit-Wolf, mirrored": INK,
    "prior alone": GRAY,
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
PIT_BINS = np.linspace(0, 1, 21)


def color(name: str) -> str:
    """The color of a prior by its name, or by what stands before a comma; networks and their remedies are green."""
    return COLORS.get(name, COLORS.get(name.split(",")[0], GREEN))


def dot_rows(ax: Axes, rows: dict, *, truth: float | None, xlabel: str, limits: tuple[float, float]) -> Axes:
    """A dot and its interval, (value, low, high), for each name from top to bottom; dashed: what is right."""
    if truth is not None:
        ax.axvline(truth, color=GRAY, lw=1, ls="--", zorder=0)
    interval_rows(ax, rows, color).set(xlabel=xlabel, xlim=limits)
    return ax


def check_rows(ax: Axes, rows: dict, *, truth: float) -> Axes:
    """Three coverages of each prior, one above the other: by simulated, by left-out and by held-out truths."""
    ax.axvline(truth, color=GRAY, lw=1, ls="--", zorder=0)
    kinds = (("simulated truths", GRAY, "o"), ("leave-one-out truths", VERMILION, "D"), ("held-out truths", INK, "s"))
    for height, three in enumerate(rows.values()):
        for offset, found, (label, ink, marker) in zip((-0.22, 0, 0.22), three, kinds, strict=True):
            reach = [[max(0, found.value - found.low)], [max(0, found.high - found.value)]]
            shown = label if height == 0 else None
            ax.errorbar(found.value, height + offset, xerr=reach, fmt=marker, color=ink, ms=5, lw=1.6, label=shown)
    named_rows(ax, rows)
    ax.set(xlim=(0, 1))
    return ax


def by_size(ax: Axes, sizes, curves: dict, *, truth: float | None, ylabel: str) -> Axes:
    """(value, low, high) of each prior at each N: a line of markers with intervals; dashed: what is right."""
    if truth is not None:
        ax.axhline(truth, color=GRAY, lw=1, ls="--", zorder=0)
    for (name, found), marker in zip(curves.items(), MARKERS, strict=False):
        value, low, high = np.array(found).T
        reach = np.maximum(0, [value - low, high - value])
        # A ring around what lies on top of it: the exact prior and the mirrored examples nearly coincide.
        look = {"ms": 11, "mfc": "none", "mew": 1.6} if name == "exact prior" else {"ms": 5}
        ax.errorbar(sizes, value, reach, fmt=marker + "-", color=color(name), lw=1.5, label=name, **look)
    ax.set(xscale="log", xlabel="training models $N$", ylabel=ylabel)
    ax.set_xticks(sizes, [f"{n}" for n in sizes])
    ax.minorticks_off()
    return ax


def rank_histogram(ax: Axes, pit, name: str, *, top: float = 4) -> Axes:
    """Where truths fall among their posterior draws, over all components; flat at 1 when calibrated."""
    heights, _ = np.histogram(array(pit), PIT_BINS, density=True)
    ax.stairs(heights, PIT_BINS, fill=True, color=color(name), alpha=0.45)
    ax.axhline(1, color=GRAY, lw=1, ls="--")
    if heights.max() > top:
        ax.annotate(
            f"up to {heights.max():.0f}", (0.5, 0.93), xycoords="axes fraction", ha="center", va="top", fontsize=8.5
        )
    ax.set(title=name, xlim=(0, 1), ylim=(0, top), xticks=[0, 0.5, 1], xlabel="rank of the truth")
    return ax


def tarp_curves(ax: Axes, credibilities: dict) -> Axes:
    """Share of truths within the region of each credibility, by prior; the diagonal when calibrated."""
    ax.plot([0, 1], [0, 1], color=GRAY, lw=1, ls="--")
    for (name, u), line in zip(credibilities.items(), ("-", "--", "-.", ":"), strict=False):
        ordered = np.sort(array(u))
        share = np.arange(1, len(ordered) + 1) / len(ordered)
        ax.step([0, *ordered, 1], [0, *share, 1], line, color=color(name), lw=1.6, where="post", label=name)
    ax.set(xlabel="credibility", ylabel="share of truths", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return ax


def width_frame(widths, coverage, error, exact_error: float, best: float, pit, *, at: int) -> Figure:
    """A frame of the slider over the bandwidth: coverage and error against it, and the ranks at this one."""
    figure, axes = panels(1, 3, height=2.7)
    marks = dict.fromkeys(("coverage of 90 % intervals", "error"))
    for ax, values, truth, name in zip(axes, (coverage, error), (0.9, exact_error), marks, strict=False):
        ax.semilogx(widths, values, "o-", ms=3, color=PURPLE)
        ax.plot(widths[at], values[at], "o", ms=9, mfc="none", mec=INK, mew=1.5)
        ax.axhline(truth, color=VERMILION, lw=1.2, ls="--")
        ax.axvline(best, color=GRAY, lw=1, ls=":")
        ax.set(xlabel="bandwidth $h$", title=name, ylim=(0, 1))
    rank_histogram(axes[2], pit, "smoothed")
    axes[2].set_title(f"ranks at $h = {widths[at]:.2g}$")
    return figure


def alarm_grid(ax: Axes, found: dict, tests: list[str]) -> Axes:
    """Which test fires for which prior: name -> p-values, a row each; filled where p < 0.05."""
    for row, values in enumerate(found.values()):
        for column, p in enumerate(values):
            fires = p < 0.05
            ax.plot(
                column, row, "s", ms=32, mfc=ORANGE if fires else "white", mec=ORANGE if fires else PALE, clip_on=False
            )
            ax.annotate(
                "<.001" if p < 1e-3 else f"{p:.3f}", (column, row), ha="center", va="center", fontsize=8, color=INK
            )
    ax.set_xticks(range(len(tests)), tests)
    ax.set_yticks(range(len(found)), list(found))
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.set(xlim=(-0.6, len(tests) - 0.4), ylim=(len(found) - 0.4, -0.6))
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    return ax
