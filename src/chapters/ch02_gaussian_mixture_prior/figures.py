"""Figures of chapter 2, the priors and the networks: arrays in, Axes out; no science.

Colors: blue the memorized (empirical) form, vermilion the true distribution, green a trained network, black the
training examples.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memprior.figures.maps import density_map
from memprior.figures.ratios import BINS, ratio_axis
from memprior.figures.style import BLUE, GRAY, GREEN, INK, ORANGE, PALE, PURPLE, SERIES, SKY, VERMILION, array, panels


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


def level_curves(ax: Axes, sigmas, curves: dict, *, ylabel: str) -> Axes:
    """Curves against sigma, from pale to dark in the order given: snapshots of one training run."""
    shades = np.linspace(0.25, 1, len(curves))
    for (name, values), shade in zip(curves.items(), shades, strict=True):
        ax.plot(array(sigmas), array(values), "o-", ms=3, color=GREEN, alpha=shade, lw=1.5, label=name)
    ax.set(xscale="log", xlabel=r"$\sigma$", ylabel=ylabel)
    return ax


def control_curves(ax: Axes, ratios, results: dict) -> Axes:
    """Distance to the memorized form, in units of that to the true one, against sigma over each set's own level."""
    for (name, values), color, style in zip(results.items(), (GREEN, PURPLE), ("o-", "s--"), strict=True):
        ax.semilogx(array(ratios), array(values), style, color=color, ms=4, label=name)
    ax.axhline(1, color=GRAY, lw=1, ls=":")
    ax.set(xlabel=r"$\sigma / \sigma_c$ of the set", ylabel="$a$: 0 is the memorized form", ylim=(0, 1.25))
    ax.set_xticks([0.5, 1, 2], ["1/2", "1", "2"])
    ax.minorticks_off()
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


def gap_plane(ax: Axes, histories: dict, labeled: tuple[int, ...]) -> Axes:
    """The paths of networks in the plane of a (distance to the memorized form) and b (distance to the true one).

    courses: name -> list of (steps, a, b). labeled: steps marked on the first path.
    """
    ax.fill_between([0, 1], [1, 0], color=PALE, lw=0)
    ax.plot([0, 1.3], [0, 1.3], color=GRAY, lw=1, ls=":")
    for (name, runs), color in zip(histories.items(), (GREEN, PURPLE, ORANGE), strict=False):
        for k, (_, a, b) in enumerate(runs):
            ax.plot(a, b, "-", color=color, lw=1.4, alpha=0.7, label=name if k == 0 else None)
            ax.plot(a[-1], b[-1], "o", color=color, ms=5)
    first = next(iter(histories.values()))[0]
    for step, x, y in zip(*first, strict=True):
        if step in labeled:
            ax.plot(x, y, "o", mfc="white", mec=GREEN, ms=4)
            ax.annotate(f"{step:,}", (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8.5, color=INK)
    ax.plot(0, 1, "D", color=BLUE, ms=7, clip_on=False)
    ax.plot(1, 0, "D", color=VERMILION, ms=7, clip_on=False)
    ax.annotate("memorized form", (0, 1), xytext=(8, 6), textcoords="offset points", color=BLUE)
    ax.annotate("true distribution", (1, 0), xytext=(-8, 7), textcoords="offset points", color=VERMILION, ha="right")
    ax.set(xlabel="$a$: distance to the memorized form", ylabel="$b$: distance to the true form")
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
    colors = {"held out": INK, "true law": VERMILION, "network": GREEN}
    for name, values in ratios.items():
        filled = {"histtype": "stepfilled", "alpha": 0.3} if name == "network" else {"histtype": "step", "lw": 1.6}
        ax.hist(array(values), bins=BINS, density=True, color=colors[name], label=name, **filled)
    ax.plot(0, 0, "D", color=BLUE, ms=8, clip_on=False, zorder=5, label="memorized, all of them")
    return ratio_axis(ax, threshold, title=title)


def nats_area(ax: Axes, sigmas, empirical, true, level: float) -> Axes:
    """Nats per unit of log sigma under each distribution, and the level at which the true one has spent log N."""
    sigmas, empirical, true = array(sigmas), array(empirical), array(true)
    beyond = np.append(level, sigmas[sigmas > level])
    ax.fill_between(sigmas, 0, empirical, color=SKY, alpha=0.45, lw=0)
    hatched = {"facecolor": "none", "edgecolor": VERMILION, "hatch": "///", "lw": 0}
    ax.fill_between(beyond, 0, np.interp(beyond, sigmas, true), **hatched)
    ax.semilogx(sigmas, empirical, color=BLUE, label="memorized distribution")
    ax.semilogx(sigmas, true, "--", color=VERMILION, label="true distribution")
    ax.axvline(level, color=INK, lw=1, ls=":")
    anchor = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    ax.annotate(r"$\sigma_c$", (level, 0.93), xytext=(5, 0), **anchor)
    ax.set(xlabel=r"$\sigma$", ylabel=r"nats per unit of $\log\sigma$")
    return ax
