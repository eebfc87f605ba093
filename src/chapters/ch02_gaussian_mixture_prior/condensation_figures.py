"""Figures of chapter 2, condensation and selection: arrays in, Axes out; no science. Colors as in `figures`."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chapters.ch02_gaussian_mixture_prior.figures import BY_SIZE
from memprior.figures.maps import velocity_map
from memprior.figures.style import BLUE, GRAY, GREEN, INK, ORANGE, PALE, PURPLE, SKY, VERMILION, array, panels


def responsibility_curves(ax: Axes, sigmas, curves: dict, predicted: dict) -> Axes:
    """Mean responsibility of a noised example for itself, by N, with the predicted level of each as a vertical tick."""
    for num, values in curves.items():
        color = BY_SIZE[num]
        ax.semilogx(array(sigmas), array(values), color=color, label=f"$N = {num}$")
        ax.plot([predicted[num]] * 2, [0.42, 0.58], color=color, lw=2.5, solid_capstyle="butt")
    ax.axhline(0.5, color=GRAY, lw=1, ls=":")
    ax.set(xlabel=r"$\sigma$", ylabel="mean responsibility for itself", ylim=(0, 1.03))
    return ax


def level_scatter(ax: Axes, published, white: dict) -> Axes:
    """Measured level against predicted, with 15 % either side of the diagonal shaded. white: d -> list."""
    span = np.array([0.03, 12])
    ax.fill_between(span, 0.85 * span, span / 0.85, color=PALE, lw=0)
    ax.loglog(span, span, color=GRAY, lw=1, ls=":")
    for (dim, results), color in zip(white.items(), (GRAY, SKY, BLUE, GREEN, PURPLE, ORANGE), strict=False):
        x, y, errors = ([getattr(c, key) for c in results] for key in ("predicted", "measured", "half"))
        ax.errorbar(x, y, errors, fmt="o", ms=4.5, color=color, label=f"white, $d = {dim}$")
    x, y = ([getattr(c, key) for c in published] for key in ("predicted", "measured"))
    ax.plot(x, y, "D", color=VERMILION, mec=INK, ms=6.5, label="published")
    ax.set(xlabel="predicted level", ylabel="measured level", xlim=span, ylim=span, aspect="equal")
    return ax


def sigma_frame(velocities: dict, shares, *, sigma: float, limits) -> Figure:
    """A frame of the slider over sigma: one field, noised and denoised in two ways, over its responsibilities (N,)."""
    figure, grid = panels(2, 4, height=3.4, height_ratios=[2.4, 1])
    for ax, (title, field) in zip(grid[:4], velocities.items(), strict=True):
        image = velocity_map(ax, field, 2.0, limits, title=title)
        ax.set(xticks=[], yticks=[], xlabel="")
    figure.colorbar(image, ax=grid[:4], label="km/s", shrink=0.8, pad=0.01)
    for ax in grid[4:]:
        ax.remove()
    ax = figure.add_subplot(grid[4].get_gridspec()[1, :])
    ax.bar(np.arange(len(shares)), array(shares), 0.9, color=BLUE)
    ax.set(xlabel="training example $n$", ylabel=r"$p(n \mid x)$", ylim=(0, 1), xlim=(-1, len(shares)))
    ax.set_title(rf"$\sigma = {sigma:g}$", loc="right")
    return figure


def sorted_frequencies(ax: Axes, selections: dict) -> Axes:
    """Frequency of each example among the samples, times N, in descending order: 1 is uniform."""
    styles = ((VERMILION, "-"), (GREEN, "-"), (BLUE, "--"), (ORANGE, ":"))
    for (name, selection), (color, line) in zip(selections.items(), styles, strict=True):
        values = array(selection.frequencies.sort(descending=True).values)
        ax.step(np.arange(1, len(values) + 1), values * len(values), line, where="mid", color=color, label=name)
    ax.axhline(1, color=GRAY, lw=1, ls=":")
    ax.set(xlabel="examples, most often chosen first", ylabel="times the fair share", ylim=(0, None))
    return ax


def favored(ax: Axes, norms, selection) -> Axes:
    """How often an example is chosen against its distance from the center."""
    ax.plot(array(norms), len(norms) * array(selection.frequencies), "o", color=VERMILION, ms=4.5)
    ax.axhline(1, color=GRAY, lw=1, ls=":")
    ax.set(xlabel="distance from the center", ylabel="times the fair share", ylim=(0, None))
    return ax


def start_curves(ax: Axes, results: dict) -> Axes:
    """Total variation above its floor against the level a sampler starts from, over the predicted sigma_c of each N."""
    for (num, (ratios, excess)), marker in zip(results.items(), "os^", strict=False):
        ax.plot(array(ratios), array(excess), f"{marker}-", ms=4.5, color=BY_SIZE[num], label=f"$N = {num}$")
    ax.axhline(0, color=GRAY, lw=1, ls=":")
    ax.axvline(1, color=INK, lw=1, ls=":")
    ax.set(xscale="log", xlabel=r"start level over $\sigma_c$", ylabel="total variation\nabove its floor")
    return ax
