"""Figures of chapter 3, first half: arrays in, Axes out; no science.

Tensors come as they are and leave as numpy at the moment of drawing. Colors: gray what is exact, blue the
linearization, vermilion the linearization without its determinant, green corrected or sampled, black the training
examples, orange the truth.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from memprior.figures.maps import density_map
from memprior.figures.style import BLUE, DENSITY, GRAY, GREEN, INK, PALE, VERMILION, array, legend_below, panels


def plane_posterior(ax: Axes, comparison, train_set, truth) -> Axes:
    """Exact posterior density in 2-D with the linearized components over it."""
    exact = comparison.exact
    density_map(ax, exact.points, exact.log_density, train_set, truth=truth, title=rf"$\sigma = {comparison.sigma}$")
    return component_ellipses(ax, comparison.linearized)


def component_ellipses(ax: Axes, mixture) -> Axes:
    """Two standard deviations around each component (2-D) of a linearized posterior, stronger for larger weights."""
    for mean, covariance, weight in zip(
        array(mixture.means), array(mixture.covariances), mixture.weights.tolist(), strict=True
    ):
        variances, axes = np.linalg.eigh(covariance)
        angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
        size = 4 * np.sqrt(variances[::-1])
        strength = 0.25 + 0.75 * weight
        ax.add_patch(Ellipse(mean, *size, angle=angle, fill=False, ec=VERMILION, lw=1.5, alpha=strength))
    return ax


def line_densities(ax: Axes, comparison, train_set) -> Axes:
    """Posterior densities in 1-D: exact, filled; linearized with and without determinant, lines; training examples."""
    x = array(comparison.exact.points[:, 0])
    points = comparison.exact.points
    ax.fill_between(
        x, array(comparison.exact.log_density.exp()), color=PALE, ec=GRAY, lw=1.0, label="exact (quadrature)"
    )
    ax.plot(x, array(comparison.linearized.log_prob(points).exp()), color=BLUE, label="linearized")
    released = array(comparison.released.log_prob(points).exp())
    ax.plot(x, released, color=VERMILION, ls=(0, (4, 2)), label="without determinant")
    mark_examples(ax, train_set)
    ax.set(xlabel="$x$", xlim=_reach(train_set), title=rf"$\sigma = {comparison.sigma}$", yticks=[])
    ax.spines["left"].set_visible(False)
    return ax


def _reach(train_set) -> tuple[float, float]:
    """All examples of a 1-D problem, and some room."""
    return float(train_set.min()) - 0.6, float(train_set.max()) + 0.6


def mark_examples(ax: Axes, train_set) -> None:
    """Training examples of a 1-D problem as black ticks below the axis line."""
    x = array(train_set[:, 0])
    bottom = ax.get_ylim()[1] * -0.045
    ax.plot(x, np.full(len(x), bottom), "^", color=INK, ms=5, clip_on=False, label="training examples")


def weight_bars(ax: Axes, exact, linearized, released=None) -> Axes:
    """Weights (K,) of the components: exact, linearized, and without determinant."""
    index = np.arange(len(exact))
    shown = [(exact, PALE, "exact"), (linearized, BLUE, "linearized"), (released, VERMILION, "without determinant")]
    shown = [entry for entry in shown if entry[0] is not None]
    width = 0.8 / len(shown)
    for k, (weights, color, label) in enumerate(shown):
        edge = GRAY if color == PALE else color
        ax.bar(
            index + (k - (len(shown) - 1) / 2) * width,
            array(weights),
            width,
            color=color,
            ec=edge,
            lw=0.6,
            label=label,
        )
    ax.set(xlabel="training example $n$", ylabel="weight $w_n$", ylim=(0, 1))
    if len(index) <= 12:
        ax.set_xticks(index)
    return ax


def distance_curves(ax: Axes, sigmas, distances: dict) -> Axes:
    """Total variation to the exact weights against sigma, one named curve each; both axes logarithmic."""
    styles = {
        "linearized": (BLUE, "-"),
        "without determinant": (VERMILION, "--"),
        "importance-corrected": (GREEN, "-."),
    }
    for name, values in distances.items():
        color, line = styles[name]
        ax.loglog(sigmas, values, line, color=color, marker="o", ms=3, label=name)
    ax.set(xlabel=r"$\sigma$", ylabel="total variation of the weights", ylim=(1e-6, 1))
    return ax


def breakdown_map(ax: Axes, sigmas, observations, distances) -> Axes:
    """Total variation of the densities as a map over sigma (columns) and data y (rows)."""
    mesh = ax.pcolormesh(
        array(sigmas), array(observations), array(distances), cmap=DENSITY, vmin=0, vmax=1, shading="nearest"
    )
    lines = ax.contour(
        array(sigmas), array(observations), array(distances), levels=[0.05, 0.2, 0.5], colors=[INK], linewidths=0.8
    )
    ax.clabel(lines, fontsize=8)
    ax.set(xscale="log", xlabel=r"$\sigma$", ylabel="data $y$")
    ax.figure.colorbar(mesh, ax=ax, label="total variation")
    return ax


def two_posteriors(ax: Axes, smoothed, noised_lookup, train_set) -> Axes:
    """The posterior of the smoothed prior (filled) and the noised posterior of the lookup (line), 1-D."""
    x = array(smoothed.points[:, 0])
    ax.fill_between(
        x,
        array(smoothed.log_density.exp()),
        color=PALE,
        ec=GRAY,
        lw=1.0,
        label="(i) posterior of the smoothed prior",
    )
    ax.plot(x, array(noised_lookup.exp()), color=GREEN, label="(ii) lookup, noised")
    mark_examples(ax, train_set)
    ax.set(xlabel="$x$", xlim=_reach(train_set), yticks=[])
    ax.spines["left"].set_visible(False)
    return ax


def densities_and_weights(comparison, train_set) -> Figure:
    """A frame of chapter 3's sliders: densities beside weights, exact and approximate."""
    figure, axes = panels(1, 2, height=2.7, width_ratios=[1.6, 1])
    line_densities(axes[0], comparison, train_set)
    weight_bars(axes[1], comparison.exact.weights, comparison.linearized.weights, comparison.released.weights)
    return legend_below(figure, axes[:1], 4)


def describe(comparison, train_set) -> str:
    """What that frame shows, in words."""
    weights = comparison.exact.weights
    return (
        f"most weight, {weights.max():.2f}, on x = {float(train_set[weights.argmax(), 0]):g}; linearized "
        f"weights are off by {comparison.distance:.3f}, without determinant by {comparison.distance_released:.3f}"
    )
