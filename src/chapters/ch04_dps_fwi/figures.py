"""Figures of chapter 4: arrays in, Axes out; no science.

Colors: green a trained network, blue the exactly memorized prior, vermilion the true prior, purple the ideal
posterior, black held-out fields and the truth. Artists carry labels; callers draw legends with ``legend_below``.
"""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from memprior.figures.maps import WAVES, model_map, speed_bar
from memprior.figures.ratios import BINS, ratio_axis
from memprior.figures.rows import interval_rows, named_rows, whisker
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
    SKY,
    VERMILION,
    array,
    legend_below,
    panels,
)
from memprior.paper import MEMORIZED_BELOW

COLORS = {"network": GREEN, "memory": BLUE, "true prior": VERMILION, "ideal posterior": PURPLE, "held out": INK}
SHORT = {"trained network": "network", "exact memory": "memory", "held-out fields": "held out"}
SPREADS = colormaps["magma"].resampled(16)  # in steps, as the maps of velocity are
CLEAR = 9  # points between names and rows: a dot at 0 stays clear of its name
SHARE, MISFIT = "share with $r < 0.7$", "misfit per datum"


def _color(name: str) -> str:
    return COLORS[SHORT.get(name, name)]


def _share_axis(ax: Axes, *, title: str) -> Axes:
    """From 0 to 100 %."""
    ax.set(xlim=(0, 1), xticks=[0, 0.5, 1], xlabel=f"{SHARE}, %", title=title)
    ax.xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    return ax


def count_panel(ax: Axes, counts: dict, *, published: float, title: str) -> Axes:
    """Shares of samples by name, (share, low, high), one row each; the open diamond is the published share."""
    interval_rows(ax, counts, _color, pad=CLEAR)
    row = [_color(name) for name in counts].index(GREEN)
    ax.plot(published, row, "D", mfc="none", mec=INK, mew=1.3, ms=10, zorder=4, clip_on=False, label="published")
    return _share_axis(ax, title=title)


def truth_panel(ax: Axes, counts: dict, title: str) -> Axes:
    """Shares by truth, one group of rows each, and by prior: truth -> prior -> (share, low, high)."""
    for row, shares in enumerate(counts.values()):
        for k, (name, share) in enumerate(shares.items()):
            height = row + 0.6 * ((k + 0.5) / len(shares) - 0.5)
            whisker(ax, share, height, color=_color(name), label=name if row == 0 else None)
        ax.axhline(row - 0.5, color=PALE, lw=0.8, zorder=0)
    return _share_axis(named_rows(ax, counts, pad=CLEAR), title=title)


def data_panel(ax: Axes, data, *, title: str) -> Axes:
    """Real part of complex data (S, R), sources down and receivers across, scaled to all but the largest 1 %."""
    real = array(data.real)
    reach = np.quantile(np.abs(real), 0.99)
    ax.imshow(real, aspect="auto", cmap=WAVES, vmin=-reach, vmax=reach, interpolation="nearest")
    ax.set(title=title, xlabel="receiver", ylabel="source")
    ax.locator_params(axis="y", nbins=4, integer=True)
    return ax


def weights_panel(ax: Axes, misfits, chosen: int, truth: float) -> Axes:
    """Misfit per datum of each training example (N,), in ascending order; ``chosen`` is an index into ``misfits``."""
    values = array(misfits)
    rank = int((values < values[chosen]).sum())
    ax.semilogy(np.sort(values), "o", color=BLUE, ms=3, mew=0)
    ax.plot(rank, values[chosen], "o", color=VERMILION, ms=7, zorder=4)
    # The curve rises from left to right: above its left half nothing is in the way of the words.
    anchor = {"xytext": (np.clip(rank / len(values), 0.1, 0.5), 0.93), "textcoords": "axes fraction"}
    style = {"color": VERMILION, "arrowprops": {"arrowstyle": "-", "color": VERMILION, "lw": 0.8}}
    ax.annotate(f"example {chosen}", (rank, values[chosen]), **anchor, **style)
    ax.axhline(truth, color=INK, lw=1.2, ls="--")
    ax.annotate("truth", (1, truth), (-3, 3), ("axes fraction", "data"), textcoords="offset points", ha="right")
    low, high = min(values.min(), truth), max(values.max(), truth)
    ax.set(xlabel="example, best first", ylabel=MISFIT, ylim=(low / 1.5, high * 2.5))
    return ax


def histories_panel(ax: Axes, histories: dict, *, xlabel: str, title: str) -> Axes:
    """Values from 0 to 1 against x on a log axis, a line for each number of examples N: N -> (x, values)."""
    for k, (num, (x, values)) in enumerate(histories.items()):
        ax.semilogx(x, values, "o-", ms=3.5, color=SERIES[k % len(SERIES)], clip_on=False, label=f"$N = {num}$")
    ax.set(xlabel=xlabel, title=title, ylim=(0, 1))
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
        r, style = array(values), {"color": _color(name), "label": name}
        if np.nanmax(r) < 0.05:
            # A set of copies is a spike so high that beside it all else would lie flat: a mark at its place instead,
            # left out of the layout, which then is one for all frames of a slider.
            ax.plot(np.nanmedian(r), 0, "D", ms=8, clip_on=False, zorder=5, in_layout=False, **style)
            continue
        heights, _ = np.histogram(r, BINS, density=True)
        first, last = np.flatnonzero(heights)[[0, -1]]  # no line along the axis where there is nothing
        style |= {"fill": True, "alpha": 0.3} if _color(name) == GREEN else {"lw": 1.6}
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


def misfit_bands(ax: Axes, misfits: dict, *, title: str) -> Axes:
    """Misfit per datum (T, B) of named sets of samples at every step: median and 5 to 95 %; dotted: the noise level."""
    for name, values in misfits.items():
        finite = array(values.where(values.isfinite(), np.nan))
        steps = np.flatnonzero(np.isfinite(finite).any(1))  # where no sample is finite there is nothing to draw
        low, middle, high = np.nanquantile(finite[steps], (0.05, 0.5, 0.95), axis=1)
        ax.fill_between(steps + 1, low, high, color=_color(name), alpha=0.2, lw=0)
        ax.semilogy(steps + 1, middle, color=_color(name), label=name)
    ax.axhline(0.5, color=GRAY, lw=1, ls=":")
    ax.set(xlabel="reverse step", ylabel=MISFIT, title=title, yscale="log")
    return ax


def error_against_std(ax: Axes, std, error, *, title: str, reach: float) -> Axes:
    """Cells of a map (nx, nz) by standard deviation and |error|, km/s; those beyond ``reach`` lie on the border."""
    x, y = (np.clip(array(values.abs()).ravel(), 0, reach) for values in (std, error))
    ax.hist2d(x, y, bins=40, range=[[0, reach], [0, reach]], cmap=DENSITY, norm="log", cmin=1)
    ax.plot([0, reach], [0, reach], color=VERMILION, lw=1.3, label="|error| = std")
    ax.plot([0, reach / 2], [0, reach], "--", color=ORANGE, lw=1.3, label="|error| = 2 std")
    ax.set(xlim=(0, reach), ylim=(0, reach), box_aspect=1)
    ax.set(xlabel="standard deviation (km/s)", ylabel="|error| (km/s)", title=title)
    ax.locator_params(nbins=2)
    return ax


def noise_draws(ax: Axes, counts, *, published: float, nonlinear: float, num: int, title: str) -> Axes:
    """Histogram over noise draws of the number of samples, of ``num``, below the threshold (D,), and the published."""
    values = array(counts)
    width = np.ceil(max(np.ptp(values), 1) / 20)  # whole, as the counts are
    ax.hist(values, np.arange(values.min(), values.max() + 2 * width, width) - 0.5, color=SKY, ec="white", lw=0.5)
    ax.axvline(published, color=PURPLE, label="the published draw")
    ax.axvline(nonlinear, color=ORANGE, ls="--", label="the same, nonlinear")
    ax.set(xlabel=f"samples with $r < 0.7$, of {num}", ylabel="noise draws", title=title)
    return ax


def step_frame(ratios: dict, misfits: dict, errors: dict, threshold: float, *, step: float, top: float = 12) -> Figure:
    """A frame of the slider over the step size: ratios, and median misfits with the errors of the means beside them.

    misfits, errors: by name, floats. top: where the densities' axis ends in every frame; misfits end at 0.3 and 100.
    """
    figure, axes = panels(1, 2, height=3.0, width_ratios=[1.5, 1])
    ratio_panel(axes[0], ratios, threshold, title=f"guidance step {step:g}").set(ylim=(0, top))
    for row, (name, value) in enumerate(misfits.items()):
        inside, marker = np.clip(value, 0.3, 100), ">" if value > 100 else "o"
        axes[1].plot(inside, row, marker, color=_color(name), ms=8, clip_on=False)
    rows = [f"{name}\nerror {errors[name]:.2f}" if name in errors else name for name in misfits]
    axes[1].set_yticks(range(len(rows)), rows)
    axes[1].axvline(0.5, color=GRAY, lw=1, ls=":")
    axes[1].set(xscale="log", xlim=(0.3, 100), ylim=(len(rows) - 0.5, -0.5), xlabel=f"median {MISFIT}")
    axes[1].xaxis.set_major_formatter("{x:g}")
    return legend_below(figure, axes[:1], len(ratios))


def reverse_frame(
    samples,
    denoised_ratio,
    train_set,
    truth,
    *,
    sigma: float,
    step: int,
    limits,
    threshold: float = MEMORIZED_BELOW,
    chosen=(0, 1),
) -> Figure:
    """A frame of the slider over the reverse step: samples (B, d) in a plane, and r (B,) of the denoiser's guesses."""
    figure, axes = panels(1, 2, height=3.4, width_ratios=[1, 1.1])
    scatter_panel(axes[0], samples, train_set, truth, chosen=chosen, limits=limits)
    axes[0].set_title(rf"step {step}, $\sigma = {sigma:.3g}$")
    heights, _ = np.histogram(array(denoised_ratio), BINS)
    # By its own highest bar: narrow early and broad late, the histogram then fills one axis in all frames.
    axes[1].stairs(heights / max(heights.max(), 1), BINS, fill=True, color=GREEN, alpha=0.4)
    ratio_axis(axes[1], threshold, title="the denoiser's guesses", top=1.05)
    return legend_below(figure, axes[:1], 3)


def cost_bars(ax: Axes, minutes: dict) -> Axes:
    """Minutes by name, from top to bottom, written at the ends of their bars."""
    bars = ax.barh(list(minutes), list(minutes.values()), 0.6, color=SKY)
    ax.bar_label(bars, [f"{value:.1f} min" for value in minutes.values()], padding=4)
    ax.set(xlabel="minutes", xlim=(0, 1.2 * max(minutes.values())), ylim=(len(minutes) - 0.5, -0.5))
    ax.tick_params(axis="y", length=0)
    return ax


def perturbation_panel(ax: Axes, sigmas, curves: dict, *, title: str) -> Axes:
    """Fraction of a perturbation that is left after denoising, (S,), by name, against the noise level."""
    for (name, values), line in zip(curves.items(), ("o-", "s-", "^--"), strict=True):
        ax.semilogx(array(sigmas), array(values), line, ms=3.5, color=_color(name), label=name)
    ax.set(xlabel=r"$\sigma$", title=title, ylim=(-0.05, 1.1))
    return ax
