"""The picture of a diagnosis: arrays in, Figure out; no science."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memprior.figures.rows import interval_rows
from memprior.figures.style import BLUE, GRAY, GREEN, PALE, PURPLE, VERMILION, array, panels


def misfit_panel(ax: Axes, misfits, noise_alone: tuple[float, float], *, title: str) -> Axes:
    """Misfits per datum (N,) of the models from the best to the worst, beside the range that noise alone gives."""
    values = np.sort(array(misfits))
    ax.axhspan(*noise_alone, color=PALE, lw=0, label="noise alone, 95 %")
    ax.loglog(np.arange(1, len(values) + 1), np.maximum(values, 1e-12), ".", ms=4, color=BLUE, label="models")
    ax.set(xlabel="model, by its rank", ylabel="misfit per datum", title=title)
    ax.legend(loc="best", fontsize=8)
    return ax


def coverage_rows(ax: Axes, rows: dict, level: float, *, title: str) -> Axes:
    """Coverage of left-out truths (value, low, high) by the posterior's name, and the level that was claimed."""
    colors = {"lookup": VERMILION, "linearized": GREEN}
    ax.axvline(level, color=GRAY, lw=1, ls=":")
    interval_rows(ax, rows, lambda name: colors.get(name, BLUE))
    ax.set(xlim=(0, 1.02), xlabel=f"left-out truths covered ({level:.0%} claimed)", title=title)
    return ax


def importance_bar(ax: Axes, efficiency: float | None, needed: float, *, title: str) -> Axes:
    """Effective share of the reweighted draws, with the share ``needed`` to use them; None where there is none."""
    if efficiency is None:
        ax.text(0.5, 0.5, "not computed", ha="center", va="center", color=GRAY)
        ax.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[], title=title)
        return ax
    ax.semilogx([efficiency], [0], "o", color=GREEN, ms=8, clip_on=False)
    ax.axvline(needed, color=GRAY, lw=1, ls=":", label="needed to reweight")
    left = 0.5 * min(efficiency, needed)
    ax.set(xlim=(left, 1.0), ylim=(-0.8, 0.8), yticks=[], xlabel="effective share of draws", title=title)
    ax.spines["left"].set_visible(False)
    ax.legend(loc="upper right", fontsize=8)
    return ax


def swap_panel(ax: Axes, null, value: float | None, *, title: str) -> Axes:
    """The swap test's log-ratio beside those of random labels (L,); None where nothing was tested."""
    if value is None:
        ax.text(0.5, 0.5, "no test", ha="center", va="center", color=GRAY)
        ax.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[], title=title)
        return ax
    ax.hist(array(null), bins=40, color=PALE, label="labels alone")
    ax.axvline(value, color=PURPLE, lw=1.8, label="your samples")
    ax.set(xlabel=r"mean of $\log\,(d_H / d_T)$", yticks=[], title=title)
    ax.legend(loc="best", fontsize=8)
    return ax


def diagnosis_figure(
    misfits,
    noise_alone: tuple[float, float],
    coverage: dict,
    level: float,
    efficiency: float | None,
    needed: float,
    null,
    log_ratio: float | None,
    *,
    words: dict[str, str],
    title: str,
) -> Figure:
    """All four panels. words: a title for each of "fit", "coverage", "linearization", "copying"."""
    figure, axes = panels(2, 2, height=5.4)
    misfit_panel(axes[0], misfits, noise_alone, title=f"data: {words['fit']}")
    coverage_rows(axes[1], coverage, level, title=words["coverage"])
    importance_bar(axes[2], efficiency, needed, title=f"linearization: {words['linearization']}")
    swap_panel(axes[3], null, log_ratio, title=f"samples: {words['copying']}")
    figure.suptitle(textwrap.fill(title, 86, break_on_hyphens=False), fontsize=10)
    return figure
