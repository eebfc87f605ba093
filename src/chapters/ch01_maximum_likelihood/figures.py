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


def gaps_against_size(axes: list[Axes], sizes, gaps: dict, *, dimension: int = 1) -> None:
    """For each family, nats from the memorized and from the true distribution against N, with error bars.

    Divided by ``dimension``, to give nats per coordinate.
    """
    for ax, (family, of) in zip(axes, gaps.items(), strict=True):
        for (name, values), color, style in zip(of.items(), (INK, VERMILION), ("o-", "s--"), strict=True):
            mean, error = np.array(values).T / dimension
            ax.errorbar(sizes, np.maximum(mean, 0.01), error, fmt=style, color=color, ms=5, capsize=3, label=name)
        ax.set(xscale="log", yscale="log", ylim=(0.007, 300), title=family, xticks=sizes)
        ax.set_xticklabels([str(size) for size in sizes])
        ax.minorticks_off()


def memorization_plane(ax: Axes, traces: dict, reach: float) -> Axes:
    """Distance to the empirical distribution against distance to the truth, up to ``reach``; paths over checkpoints."""
    ax.fill_between([0, 1], [1, 0], color=PALE, lw=0, zorder=0)
    ax.annotate("no distribution", (0.3, 0.3), color=GRAY, ha="center", va="center", rotation=-45, fontsize=8.5)
    for family, seeds in traces.items():
        for seed, checkpoints in enumerate(seeds):
            x, y = ([point[key] for point in checkpoints] for key in ("to_memory", "to_truth"))
            ax.plot(x, y, "-", color=COLORS[family], lw=1.1, alpha=0.6)
            named = {"label": family} if seed == 0 else {}
            ax.plot(x[-1], y[-1], MARKERS[family], color=COLORS[family], ms=7, mec="white", mew=0.7, **named)
    ax.set(xlabel="distance to the empirical distribution", ylabel="distance to the truth", aspect="equal")
    ax.set(xlim=(0, reach), ylim=(0, reach))
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
    ax.set(xscale="log", xlabel="bandwidth $h$", ylabel="mean log-likelihood", ylim=(-12, 15), xlim=(1e-4, 3))
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
    ax.set(xscale="log", xlabel="components of the mixture", xticks=counts)
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
    axes[1].set(xscale="log", xlabel="training step", ylabel="energy distance (root)", ylim=(0, None))
    return legend_below(figure, axes[1:], 2)


def memorization_curves(ax: Axes, curves: dict, level: float) -> Axes:
    """Distance to the memorized denoiser against training step, for each number of examples (all seeds)."""
    for (size, seeds), color in zip(curves.items(), _shades(len(curves)), strict=True):
        for seed, curve in enumerate(seeds):
            ax.plot(*np.array(curve).T, color=color, lw=1.3, label=f"$N = {size}$" if seed == 0 else None)
    ax.axhline(level, color=GRAY, lw=0.9, ls=":")
    ax.set(xscale="log", xlabel="training step", ylabel="distance to memorized", ylim=(0.3, None))
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


def gaps_in_training(ax: Axes, traces: dict, ceiling: float, truth: float, dimension: int) -> Axes:
    """Nats per coordinate from memorized (lines) and from truth (dashed) against the step; first seed of each."""
    for family, seeds in traces.items():
        checkpoints, color = seeds[0], COLORS[family]
        for key, top, style in (("train", ceiling, "-"), ("held_out", truth, "--")):
            gap = [max(top - point[key], 1e-3) / dimension for point in checkpoints]
            if len(checkpoints) > 1:
                ax.loglog(
                    [point["step"] for point in checkpoints],
                    gap,
                    style,
                    color=color,
                    label=family if style == "-" else None,
                )
    ax.set(xlabel="training step", ylabel="nats per coordinate", ylim=(0.03, 100))
    return ax


def _shades(count: int) -> list[str]:
    return list((*SERIES, GRAY)[:count])
