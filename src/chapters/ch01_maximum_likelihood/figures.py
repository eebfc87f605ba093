"""Figures of chapter 1: arrays in, Axes out; no science.

Colors: one for each family throughout; black the training examples, gray exact references.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memprior.figures.style import (
    BLUE,
    DENSITY,
    GRAY,
    GREEN,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    SERIES,
    VERMILION,
    array,
    legend_below,
    panels,
)

COLORS = {
    "Gaussian": GRAY,
    "kernel": INK,
    "mixture": PURPLE,
    "flow": ORANGE,
    "autoencoder": GREEN,
    "diffusion": BLUE,
}
MARKERS = dict(zip(COLORS, "sXDv^o", strict=True))


def sample_panel(ax: Axes, points, train_set, *, title: str, color: str) -> Axes:
    """Samples in the plane with the training examples (N, 2) over them."""
    ax.plot(*np.asarray(points).T, ".", ms=3, color=color, alpha=0.45, mew=0, rasterized=True)
    ax.plot(*array(train_set.T), "o", ms=6, mfc="none", mec=INK, mew=1.1)
    ax.set(xlim=(-3, 3), ylim=(-2.3, 2.3), xticks=[], yticks=[], aspect="equal", title=title)
    return ax


def families_and_truth(train_set, truth, points: dict, example: str) -> Figure:
    """Samples of six families fitted to the same examples, with draws of the truth and the examples alone."""
    figure, axes = panels(2, 4, height=3.7)
    sample_panel(axes[0], array(truth), train_set, title="truth", color=VERMILION)
    empty = np.zeros((0, 2))
    sample_panel(axes[4], empty, train_set, title=example, color=INK)
    for ax, (family, drawn) in zip([*axes[1:4], *axes[5:]], points.items(), strict=True):
        sample_panel(ax, drawn, train_set, title=family, color=COLORS[family])
    return figure


def gaps_against_size(axes: list[Axes], sizes, gaps: dict) -> None:
    """For each family, nats from memory and from the truth against N; ``gaps``: family -> name -> [(value, half)]."""
    for ax, (family, of) in zip(axes, gaps.items(), strict=True):
        for (name, values), color, style in zip(of.items(), (INK, VERMILION), ("o-", "s--"), strict=True):
            mean, half = np.array(values).T
            low = np.minimum(half, 0.95 * np.maximum(mean, 0.01))  # the axis is logarithmic
            shown = np.maximum(mean, 0.01)
            ax.errorbar(sizes, shown, (low, half), fmt=style, color=color, ms=5, capsize=3, label=name)
        ax.set(xscale="log", yscale="log", ylim=(0.007, 300), title=family, xticks=sizes)
        ax.set_xticklabels([str(size) for size in sizes])
        ax.minorticks_off()


def memorization_plane(ax: Axes, ends: dict, paths: dict, reach: float) -> Axes:
    """Distance to the empirical distribution against distance to the truth, up to ``reach``.

    ends: family -> (mean, mean) with their intervals. paths: family -> (x, y) over checkpoints, from where training
    first is looked at to its end.
    """
    ax.fill_between([0, 1], [1, 0], color=PALE, lw=0, zorder=0)
    ax.annotate("no distribution", (0.3, 0.3), color=GRAY, ha="center", va="center", rotation=-45, fontsize=8.5)
    for family, (x, y) in ends.items():
        color = COLORS[family]
        if family in paths:
            ax.plot(*paths[family], "-", color=color, lw=1.2, alpha=0.7)
            ax.plot(*(values[:1] for values in paths[family]), MARKERS[family], mfc="white", mec=color, ms=5)
        ax.errorbar(x.value, y.value, y.half, x.half, fmt="none", ecolor=color, lw=1.1, capsize=2)
        ax.plot(x.value, y.value, MARKERS[family], color=color, ms=7, mec="white", mew=0.7, label=family)
    ax.set(xlabel="distance to the empirical distribution", ylabel="distance to the truth", aspect="equal")
    ax.set(xlim=(-0.05 * reach, reach), ylim=(0, reach))
    return ax


def along_training(ax: Axes, lines: dict, *, title: str, level: float | None = None) -> Axes:
    """A result against the training step with its interval; ``lines``: name -> (steps, means).

    A name is that of a family, with more after a comma. level: a dotted line.
    """
    for name, (steps, means) in lines.items():
        family, _, longer = name.partition(",")
        values, halves = ([getattr(mean, key) for mean in means] for key in ("value", "half"))
        style = "--" if longer else "-"
        ax.errorbar(
            steps, values, halves, fmt=MARKERS[family], ls=style, color=COLORS[family], ms=5, capsize=2, label=name
        )
    if level is not None:
        ax.axhline(level, color=GRAY, lw=0.9, ls=":")
    ax.set(xscale="log", xlabel="training step", title=title)
    return ax


def floor_curves(ax: Axes, sweep) -> Axes:
    """Training and held-out log-likelihood of the kernel density against its bandwidth floor."""
    floors = array(sweep.floors)
    ax.plot(floors, array(sweep.train), color=INK, label="at the training examples")
    ax.plot(floors, array(sweep.held_out), "--", color=VERMILION, label="at held-out points")
    ax.axvline(sweep.best, color=GRAY, lw=1, ls=":")
    ax.annotate(
        "leave-one-out's choice", (sweep.best, -11.4), (4, 0), textcoords="offset points", ha="left", fontsize=8.5
    )
    ax.set(xscale="log", xlabel="bandwidth $h$", ylabel="log-likelihood per example", ylim=(-12, 15), xlim=(1e-4, 3))
    return ax


def component_curves(ax: Axes, results: dict, ceiling: float, truth: float) -> Axes:
    """Training and held-out log-likelihood of mixtures by EM against their number of components."""
    counts = list(results)
    ax.plot(counts, [point["train"] for point in results.values()], "o-", color=INK, ms=4, label="noised examples")
    ax.plot(
        counts, [point["held_out"] for point in results.values()], "s--", color=VERMILION, ms=4, label="held-out points"
    )
    for level, color in ((ceiling, INK), (truth, VERMILION)):
        ax.axhline(level, color=color, lw=0.9, ls=":")
    ax.set(xscale="log", xlabel="components of the mixture", ylabel="log-likelihood per example", xticks=counts)
    ax.set_xticklabels([str(count) for count in counts])
    ax.minorticks_off()
    return ax


def kernel_density(points, density, train_set, *, title: str) -> Figure:
    """A density (side^2,) on a square grid, with the examples it was made from."""
    figure, (ax,) = panels(height=3.2)
    side = round(len(points) ** 0.5)
    grid = array(points.reshape(side, side, 2))
    shown = array(density.reshape(side, side))
    ax.contourf(grid[..., 0], grid[..., 1], shown / shown.max(), levels=np.linspace(0, 1, 21), cmap=DENSITY)
    ax.plot(*array(train_set.T), "o", ms=5, mfc="none", mec=INK, mew=0.9)
    ax.set(xlim=(-3, 3), ylim=(-2.3, 2.3), xticks=[], yticks=[], aspect="equal", title=title)
    return figure


def training_frame(checkpoints: list[dict], index: int, train_set) -> Figure:
    """A frame of the slider over the training step: samples, and their distances to the examples and the truth."""
    figure, axes = panels(1, 2, height=3.0, width_ratios=[1.35, 1])
    point = checkpoints[index]
    sample_panel(axes[0], point["points"], train_set, title=f"samples after {point['step']} steps", color=BLUE)
    steps = [point["step"] for point in checkpoints]
    for key, color, style, name in (
        ("to_memory", INK, "o-", "to the empirical distribution"),
        ("to_truth", VERMILION, "s--", "to the truth"),
    ):
        values = [point[key] for point in checkpoints]
        axes[1].plot(steps, values, style, color=color, ms=3.5, label=name)
        axes[1].plot(steps[index], values[index], "o", color=color, ms=9, mec="white")
    axes[1].set(xscale="log", xlabel="training step", ylabel="distance (root of energy distance)", ylim=(0, None))
    return legend_below(figure, axes[1:], 2)


def memorization_curves(ax: Axes, curves: dict, others: dict, level: float) -> Axes:
    """Distance to the memorized denoiser against training step, for each number of examples (all seeds).

    others: the same training runs, their distance to another training set's memory, dotted.
    """
    for (size, seeds), color in zip(curves.items(), _shades(len(curves)), strict=True):
        for seed, curve in enumerate(seeds):
            ax.plot(*np.array(curve).T, color=color, lw=1.3, label=f"$N = {size}$" if seed == 0 else None)
            ax.plot(*np.array(others[size][seed]).T, ":", color=color, lw=1.0)
    ax.axhline(level, color=GRAY, lw=0.9, ls="--")
    ax.set(xscale="log", yscale="log", xlabel="training step", ylabel="distance to memory")
    ax.set_yticks([0.5, 1, 2, 5], ["0.5", "1", "2", "5"])
    ax.minorticks_off()
    return ax


def times_against_size(ax: Axes, sizes, times, exponent: float) -> Axes:
    """Steps to memorize against the number of examples, a dot for each seed, with the fitted power and slope one."""
    x, times = np.asarray(sizes, float), np.asarray(times, float)
    for row in times:
        ax.loglog(x, row, "o", color=BLUE, ms=5, mec="white", mew=0.5)
    middle = np.exp(np.log(times).mean())
    anchor = np.exp(np.log(x).mean())
    ax.loglog(x, middle * (x / anchor) ** exponent, color=BLUE, lw=1.3, label=f"fitted power {exponent:.2f}")
    ax.loglog(x, middle * (x / anchor), ":", color=GRAY, lw=1.3, label="proportional")
    ax.set(xlabel="training examples $N$", ylabel="steps to memorize")
    for axis, ticks in ((ax.xaxis, x), (ax.yaxis, (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000))):
        axis.set_ticks([tick for tick in ticks if axis is ax.xaxis or times.min() / 1.5 < tick < 1.5 * times.max()])
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    return ax


def _shades(count: int) -> list[str]:
    return list((*SERIES, GRAY)[:count])
