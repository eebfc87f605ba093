"""Figures of chapter 4: arrays in, Axes out; no science.

Colors: green a trained network, blue the exactly memorized prior, vermilion the true prior, purple the ideal
posterior, black the truth. Artists carry labels; callers draw legends with ``legend_below``.
"""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memprior.figures.maps import WAVES, model_map, speed_bar
from memprior.figures.ratios import BINS, ratio_axis
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

COLORS = {
    "trained network": GREEN,
    "exactly memorized prior": BLUE,
    "true prior": VERMILION,
    "ideal posterior": PURPLE,
    "mean of nearest models": SKY,
    "mean of random models": GRAY,
}
SPREADS = colormaps["magma"].resampled(16)  # in steps, as the maps of velocity are
SHARE, MISFIT = "swap share", "misfit per datum"


def share_panel(ax: Axes, rows: dict, *, legend: bool = True) -> Axes:
    """Swap shares against N: name -> N -> a row with ``share.dot``, ``by_seed`` and ``null``.

    Dots with intervals over truths, small rings for single seeds, and behind each dot the central 99 % of its null.
    """
    sizes = list(next(iter(rows.values())))
    for k, (name, by_size) in enumerate(rows.items()):
        for at, row in enumerate(by_size.values()):
            x = at + 0.16 * (k - (len(rows) - 1) / 2)
            value, low, high = row.share.dot
            ax.bar(x, row.null[1] - row.null[0], 0.12, row.null[0], color=PALE, zorder=0)
            ax.vlines(x, low, high, color=COLORS[name], lw=1.8, clip_on=False)
            label = name if at == 0 and legend else None
            ax.plot(x, value, "o", color=COLORS[name], ms=6, clip_on=False, label=label)
            if len(row.by_seed) > 1:
                ax.plot([x] * len(row.by_seed), row.by_seed, "o", mfc="none", mec=INK, mew=0.7, ms=4, clip_on=False)
    ax.axhline(0.5, color=GRAY, lw=1, ls=":")
    ax.set(xticks=range(len(sizes)), xticklabels=[f"$N = {n}$" for n in sizes], ylim=(0, 1), ylabel=SHARE)
    ax.set_xlabel("training models")
    return ax


def history_panel(ax: Axes, histories: dict, levels: dict, *, xlabel: str) -> Axes:
    """Swap share as networks train: N -> (x, means with ``dot``); levels: N -> that of the true prior, dashed."""
    for k, (n, (x, means)) in enumerate(histories.items()):
        color = SERIES[k % len(SERIES)]
        values, low, high = np.array([mean.dot for mean in means]).T
        ax.fill_between(x, low, high, color=color, alpha=0.2, lw=0)
        ax.semilogx(x, values, "o-", ms=3.5, color=color, label=f"$N = {n}$")
        ax.axhline(levels[n], color=color, lw=1, ls="--")
    ax.set(xlabel=xlabel, ylabel=SHARE, ylim=(0, 1))
    return ax


def correlation_panel(ax: Axes, groups: dict, *, title: str) -> Axes:
    """Correlation against distance: name -> list of (distance, mean with ``dot``), one for each group of truths."""
    for name, points in groups.items():
        x = [distance for distance, _ in points]
        values, low, high = np.array([mean.dot for _, mean in points]).T
        line = "--" if name.startswith("mean of") else "-"
        ax.errorbar(
            x, values, [values - low, high - values], fmt="o" + line, color=COLORS[name], ms=4, lw=1.4, label=name
        )
    ax.set(xlabel="distance to the nearest model", ylabel="correlation with the truth", title=title, ylim=(-0.6, 1.05))
    return ax


def along_panel(ax: Axes, curves: dict, *, ylabel: str, title: str, yscale: str) -> Axes:
    """Values (T, K) at every reverse step: median over truths, and the central 80 %, by name."""
    for name, values in curves.items():
        low, middle, high = np.quantile(array(values), (0.1, 0.5, 0.9), axis=1)
        steps = np.arange(1, len(middle) + 1)
        ax.fill_between(steps, low, high, color=COLORS[name], alpha=0.15, lw=0)
        ax.plot(steps, middle, color=COLORS[name], label=name)
    ax.axhline(1, color=GRAY, lw=1, ls=":")
    ax.set(xlabel="reverse step", ylabel=ylabel, title=title, yscale=yscale)
    return ax


def data_panel(ax: Axes, data, *, title: str) -> Axes:
    """Real part of complex data (S, R), sources down and receivers across, scaled to all but the largest 1 %."""
    real = array(data.real)
    reach = np.quantile(np.abs(real), 0.99)
    ax.imshow(real, aspect="auto", cmap=WAVES, vmin=-reach, vmax=reach, interpolation="nearest")
    ax.set(title=title, xlabel="receiver", ylabel="source")
    ax.locator_params(axis="y", nbins=4, integer=True)
    return ax


def posterior_row(axes: list[Axes], maps: dict, *, side_km: float, limits: dict, first: bool = False) -> list[Axes]:
    """Maps (nx, nz) of one set of samples in three of four axes; the last is left to :func:`scatter_panel`.

    maps: "mean" in squared slowness, "std" and "error" in km/s. limits: (low, high) of "mean" and of "std", km/s.
    """
    titles = ("posterior mean", "standard deviation", "|error| of the mean") if first else ("", "", "")
    model_map(axes[0], maps["mean"], side_km=side_km, title=titles[0], limits=limits["mean"])
    for ax, name, title in zip(axes[1:3], ("std", "error"), titles[1:], strict=True):
        values = array(maps[name].abs())
        ax.imshow(values.T, extent=(0, side_km, side_km, 0), cmap=SPREADS, clim=limits["std"])
        ax.set(title=title, xticks=[0, 1, 2], yticks=[])
    return axes


def posterior_bars(figure: Figure, axes: list[Axes]) -> None:
    """Color bars below rows of four axes that :func:`posterior_row` has drawn: the means', the other maps'."""
    means, others, below = axes[::4], [*axes[1::4], *axes[2::4]], {"location": "bottom", "pad": 0.02}
    figure.colorbar(means[0].images[0], ax=means, label="velocity (km/s)", aspect=12, **below)
    figure.colorbar(others[0].images[0], ax=others, label="km/s", aspect=25, extend="max", **below)


def scatter_panel(ax: Axes, samples, train_set, truth, *, chosen=(0, 1), title="", color=GREEN, limits=None) -> Axes:
    """Two coefficients of samples (B, d), examples (N, d) and the truth (d,); distant examples are not shown."""
    drawn, examples, star = (array(points)[..., list(chosen)] for points in (samples, train_set, truth))
    ax.plot(*examples.T, "o", ms=3.5, mfc="none", mec=GRAY, mew=0.8, label="training examples")
    ax.plot(*drawn.T, "o", ms=4, color=color, alpha=0.4, mew=0, label="samples")
    ax.plot(*star, "*", ms=12, mfc="black", mec="white", mew=0.8, label="truth")
    if limits is None:
        shown = np.vstack([drawn, star])
        margin = 0.12 * np.ptp(shown, 0) + 1e-6
        limits = np.stack([shown.min(0) - margin, shown.max(0) + margin], 1)
    x, y = (f"coefficient {k + 1}" for k in chosen)
    ax.set(xlim=limits[0], ylim=limits[1], title=title, xlabel=x, ylabel=y, box_aspect=1)
    ax.locator_params(nbins=4, steps=[1, 2, 5, 10])
    return ax


def ratio_panel(ax: Axes, ratios: dict, threshold: float, *, title: str) -> Axes:
    """Densities of the ratio r for named sets of samples, with the threshold."""
    for name, values in ratios.items():
        r, style = array(values), {"color": COLORS[name], "label": name}
        if np.nanmax(r) < 0.05:
            # A set of copies is a spike so high that beside it all else would lie flat: a mark at its place instead,
            # left out of the layout, which then is one for all frames of a slider.
            ax.plot(np.nanmedian(r), 0, "D", ms=8, clip_on=False, zorder=5, in_layout=False, **style)
            continue
        heights, _ = np.histogram(r, BINS, density=True)
        first, last = np.flatnonzero(heights)[[0, -1]]  # no line along the axis where there is nothing
        style |= {"fill": True, "alpha": 0.3} if COLORS[name] == GREEN else {"lw": 1.6}
        ax.stairs(heights[first : last + 1], BINS[first : last + 2], **style)
    return ratio_axis(ax, threshold, title=title)


def copies_frame(samples, nearest, ratios, indices, *, side_km: float, title: str, limits=(1.7, 2.5)) -> Figure:
    """Samples (K, nx, nz) over the training models nearest to them, with r and the examples' numbers (K,)."""
    figure, axes = panels(2, len(samples), height=4.0, sharex=True, sharey=True)
    options, models = {"side_km": side_km, "limits": limits}, [*samples, *nearest]
    titles = [f"$r = {float(r):.2f}$" for r in ratios] + [f"example {int(index)}" for index in indices]
    for ax, model, text in zip(axes, models, titles, strict=True):
        model_map(ax, model, title=text, **options)
    for ax, text in ((axes[0], "sample"), (axes[len(samples)], "nearest example")):
        ax.set(ylabel=text)
    speed_bar(figure, axes)
    figure.suptitle(title, fontsize=10.5)
    return figure


def step_frame(ratios: dict, misfits: dict, errors: dict, threshold: float, *, step: float, top: float = 12) -> Figure:
    """A frame of the slider over the step size: ratios, and median misfits with the errors of the means beside them.

    misfits, errors: by name, floats. top: where the densities' axis ends in every frame; misfits end at 0.3 and 100.
    """
    figure, axes = panels(1, 2, height=3.0, width_ratios=[1.5, 1])
    ratio_panel(axes[0], ratios, threshold, title=f"guidance step {step:g}").set(ylim=(0, top))
    for row, (name, value) in enumerate(misfits.items()):
        inside, marker = np.clip(value, 0.3, 100), ">" if value > 100 else "o"
        axes[1].plot(inside, row, marker, color=COLORS[name], ms=8, clip_on=False)
    rows = [f"{name}\nerror {errors[name]:.2f}" if name in errors else name for name in misfits]
    axes[1].set_yticks(range(len(rows)), rows)
    axes[1].axvline(0.5, color=GRAY, lw=1, ls=":")
    axes[1].set(xscale="log", xlim=(0.3, 100), ylim=(len(rows) - 0.5, -0.5), xlabel=f"median {MISFIT}")
    axes[1].xaxis.set_major_formatter("{x:g}")
    return legend_below(figure, axes[:1], len(ratios))
