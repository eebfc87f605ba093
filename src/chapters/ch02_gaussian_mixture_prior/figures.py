"""Figures of chapter 2, the priors and the networks: arrays in, Axes out; no science.

Colors: blue the memorized (empirical) form, vermilion the true distribution, green a trained network, black the
training examples. Training sets by size: BY_SIZE.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memprior.figures.maps import density_map
from memprior.figures.ratios import BINS, ratio_axis
from memprior.figures.style import BLUE, GRAY, GREEN, INK, ORANGE, PALE, PURPLE, SERIES, VERMILION, array, panels

BY_SIZE = {50: GREEN, 200: ORANGE, 1000: PURPLE}


def paths_panel(ax: Axes, points, log_density, train_set, paths, chosen, *, title: str) -> Axes:
    """A density of the plane (P, 2), and probability-flow paths (T, B, 2), colored by the example they end on."""
    density_map(ax, points, log_density, train_set, title=title)
    lines = array(paths)
    for k, example in enumerate(chosen.tolist()):
        ax.plot(*lines[:, k].T, color=SERIES[example], lw=0.8, alpha=0.8)
        ax.plot(*lines[-1, k], "o", color=SERIES[example], mec="white", mew=0.4, ms=4)
    return ax


def loss_curves(ax: Axes, sigmas, curves: dict, *, title: str) -> Axes:
    """Denoising loss of both closed forms against sigma, over sigma^2 / (1 + sigma^2), the linear denoiser's loss."""
    for (name, values), color, line in zip(curves.items(), (BLUE, VERMILION), ("-", "--"), strict=True):
        ax.semilogx(array(sigmas), np.maximum(array(values), 1e-6), line, color=color, label=name)
    ax.set(xlabel=r"$\sigma$", yscale="log", ylim=(1e-3, 3), title=title)
    return ax


def arrows_frame(grid, empirical, network, train_set, sigmas, errors, *, step: int, sigma: float) -> Figure:
    """A frame of the slider over training steps: a grid of points as both denoisers map it, and the relative error."""
    figure, axes = panels(1, 2, height=3.1, width_ratios=[1.05, 1])
    start = array(grid)
    for made, color, width, label in ((empirical, PALE, 0.016, "closed form"), (network, GREEN, 0.006, "network")):
        move = array(made) - start
        settings = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": width, "headwidth": 3.5}
        axes[0].quiver(*start.T, *move.T, color=color, label=label, **settings)
    axes[0].plot(*array(train_set.T), "o", ms=8, mfc="none", mec=INK, mew=1.3)
    limits = {"xlim": (-3.1, 3.1), "ylim": (-3.1, 3.1), "xticks": [-2, 0, 2], "yticks": [-2, 0, 2]}
    axes[0].set(aspect="equal", title=rf"where $x$ is sent, $\sigma = {sigma:g}$", **limits)
    axes[1].semilogx(array(sigmas), array(errors), "o-", color=GREEN, ms=4)
    axes[1].axhline(0.05, color=GRAY, lw=1, ls=":")
    axes[1].set(xlabel=r"$\sigma$", ylabel="relative error", ylim=(0, 0.4), title=f"after {step:,} steps")
    handles = [Line2D([], [], color=color, lw=width) for color, width in ((PALE, 5), (GREEN, 2))]
    figure.legend(handles, ["memorized closed form", "network"], loc="outside lower center", ncols=2)
    return figure


def quotient_curves(ax: Axes, histories: dict, crossing) -> Axes:
    """a / b against the step, a line for each network; below one it is nearer to the memorized form.

    histories: N -> (steps, quotients by network). crossing: (mean, low, high) of the first N, shaded.
    """
    if np.isfinite(crossing[1]):
        ax.axvspan(crossing[1], crossing[2], color=PALE, lw=0)
    ax.axhline(1, color=GRAY, lw=1, ls=":")
    for (num, (steps, runs)), line in zip(histories.items(), ("-", "-.", "--"), strict=False):
        for k, values in enumerate(runs):
            label = f"$N = {num}$" if k == 0 else None
            ax.loglog(steps, array(values), line, color=BY_SIZE[num], lw=1.4, alpha=0.8, label=label)
    ax.set(xlabel="optimizer step", ylabel="$a/b$: below 1, nearer\nto the memorized form")
    ax.set_yticks([0.25, 0.5, 1, 2, 4], ["1/4", "1/2", "1", "2", "4"])
    ax.minorticks_off()
    return ax


def swap_columns(ax: Axes, rows: dict) -> Axes:
    """The swap share by N: a dot for each network and the interval over them, fresh draws, and what labels alone do.

    rows: N -> (shares of networks, (low, high), (value, low, high) of fresh draws, (low, high) of labels alone).
    """
    for at, (shares, interval, fresh, alone) in enumerate(rows.values()):
        first = at == 0
        label = "labels alone, 95 %" if first else None
        ax.bar(at, alone[1] - alone[0], 0.75, alone[0], color=PALE, label=label, zorder=0)
        ax.vlines(at - 0.15, *interval, color=GREEN, lw=2, label="networks, 95 % over seeds" if first else None)
        spread = at - 0.15 + 0.1 * np.linspace(-1, 1, len(shares))
        ax.plot(spread, shares, "o", color=GREEN, mec="white", mew=0.5, ms=5)
        ax.vlines(at + 0.2, *fresh[1:], color=VERMILION, lw=2, label="true distribution" if first else None)
        ax.plot(at + 0.2, fresh[0], "D", color=VERMILION, mec="white", mew=0.5, ms=5)
    ax.axhline(0.5, color=GRAY, lw=1, ls=":")
    ax.set_xticks(range(len(rows)), [f"$N = {num}$" for num in rows])
    ax.set(ylabel="swap share: nearer to\na training model", ylim=(-0.02, 1.04), xlim=(-0.6, len(rows) - 0.4))
    return ax


def gap_plane(ax: Axes, histories: dict, labeled: tuple[int, ...]) -> Axes:
    """The paths of networks in the plane of a (distance to the memorized form) and b (distance to the true one).

    histories: N -> list of (steps, a, b). labeled: steps marked on the first path.
    """
    ax.fill_between([0, 1], [1, 0], color=PALE, lw=0)
    ax.plot([0, 1.3], [0, 1.3], color=GRAY, lw=1, ls=":")
    for num, runs in histories.items():
        for k, (_, a, b) in enumerate(runs):
            ax.plot(a, b, "-", color=BY_SIZE[num], lw=1.4, alpha=0.7, label=f"$N = {num}$" if k == 0 else None)
            ax.plot(a[-1], b[-1], "o", color=BY_SIZE[num], ms=5)
    num, runs = next(iter(histories.items()))
    for step, x, y in zip(*runs[0], strict=True):
        if step in labeled:
            ax.plot(x, y, "o", mfc="white", mec=BY_SIZE[num], ms=4)
            ax.annotate(f"{step:,}", (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8.5, color=INK)
    ax.plot(0, 1, "D", color=BLUE, ms=7, clip_on=False)
    ax.plot(1, 0, "D", color=VERMILION, ms=7, clip_on=False)
    ax.annotate("memorized", (0, 1), xytext=(4, 17), textcoords="offset points", color=BLUE)
    ax.annotate("true", (1, 0), xytext=(-8, 7), textcoords="offset points", color=VERMILION, ha="right")
    ax.set(xlabel="$a$, to the memorized form", ylabel="$b$, to the true form")
    ax.set(xlim=(0, 1.3), ylim=(0, 1.3), aspect="equal")
    return ax


def gap_levels(ax: Axes, sigmas, a, b, *, title: str) -> Axes:
    """a and b of one network against sigma."""
    sigmas, a, b = array(sigmas), array(a), array(b)
    ax.semilogx(sigmas, a, "o-", ms=3, color=BLUE, label="$a$, to the memorized form")
    ax.semilogx(sigmas, b, "s--", ms=3, color=VERMILION, label="$b$, to the true form")
    ax.set(xlabel=r"$\sigma$", title=title, ylim=(0, 1.6))
    return ax


def ratio_panel(ax: Axes, ratios: dict, threshold: float, *, title: str) -> Axes:
    """Densities of the ratio r for named sets of samples, with the threshold below which the paper says memorized."""
    colors = {"held out": INK, "true denoiser": VERMILION, "networks": GREEN}
    for name, values in ratios.items():
        filled = {"histtype": "stepfilled", "alpha": 0.3} if name == "networks" else {"histtype": "step", "lw": 1.6}
        ax.hist(array(values), bins=BINS, density=True, color=colors[name], label=name, **filled)
    ax.plot(0, 0, "D", color=BLUE, ms=8, clip_on=False, zorder=5, label="memorized denoiser, all")
    return ratio_axis(ax, threshold, title=title)
