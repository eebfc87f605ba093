"""Figures of appendix A1: arrays in, Axes out; no science.

Models: velocity, one map of colors throughout. Wavefields: blue and red about zero. x goes across, z down.
"""

import numpy as np
from matplotlib.axes import Axes

from memprior.figures.maps import WAVES
from memprior.figures.style import BLUE, GRAY, INK, ORANGE, PURPLE, VERMILION, array

ORDERS = {4: PURPLE, 6: BLUE, 8: ORANGE}


def wavefield_map(ax: Axes, field, *, side_km: float, title: str, survey=None) -> Axes:
    """Real part of a wavefield (nx, nz), scaled so that the source's peak does not hide the rest."""
    real = array(field.real)
    reach = np.quantile(np.abs(real), 0.98)
    ax.imshow(real.T, extent=(0, side_km, side_km, 0), cmap=WAVES, vmin=-reach, vmax=reach, interpolation="bilinear")
    if survey is not None:
        ax.plot(*array(survey.receivers_km.T), ".", color=INK, ms=1.2)
        ax.plot(*array(survey.sources_km.T), "*", color=INK, ms=4)
    ax.set(title=title, xlabel="x (km)", xticks=[0, 1, 2], yticks=[0, 1, 2], xlim=(0, side_km), ylim=(side_km, 0))
    return ax


def accuracy_curves(ax: Axes, spectral: dict, stencil: list, chosen: tuple, released: tuple) -> Axes:
    """Error against unknowns per wavelength; ``chosen`` and ``released``: the settings that are used, (x, error)."""
    for order, points in spectral.items():
        ax.loglog(*np.array(points).T, "o-", ms=3.5, color=ORDERS[order], label=f"order {order}")
    ax.loglog(*np.array(stencil).T, "s--", ms=3.5, color=GRAY, label="5-point stencil")
    for (x, y), text, offset in (
        (chosen, "the chapters", (-66, -12)),
        (released, "the paper's code", (-80, -14)),
    ):
        ax.plot(x, y, "o", ms=9, mfc="none", mec=VERMILION, mew=1.6)
        ax.annotate(text, (x, y), offset, textcoords="offset points", fontsize=8.5, color=VERMILION)
    ax.set(xlabel="unknowns per wavelength", ylabel="relative error", ylim=(1e-6, 2), xticks=[3, 5, 10, 20, 50])
    ax.set_xticklabels(["3", "5", "10", "20", "50"])
    ax.minorticks_off()
    ax.legend(loc="lower right", fontsize=8)
    return ax


def layer_curves(ax: Axes, speeds, errors: dict, *, title: str) -> Axes:
    """Error against the velocity of a homogeneous medium with one and with two absorbing elements on each side."""
    for (layers, values), color, style in zip(errors.items(), (BLUE, VERMILION), ("o-", "s--"), strict=True):
        named = "one element a side" if layers == 1 else "two"
        ax.semilogy(speeds, values, style, color=color, ms=4, label=named)
    ax.set(xlabel="velocity (km/s)", ylabel="relative error", title=title, ylim=(1e-7, 2e-2))
    return ax


def taylor_curves(ax: Axes, tests: dict) -> Axes:
    """Remainders of Taylor tests, by name, with slopes 1 and 2 for the eye."""
    for (name, test), color, style in zip(
        tests.items(), (BLUE, ORANGE, PURPLE, VERMILION), ("o-", "s-", "o--", "s--"), strict=False
    ):
        ax.loglog(test.steps, test.remainders, style, ms=4, color=color, label=f"{name}: {test.slope:.2f}")
    ax.set(xlabel="step $h$", ylabel="remainder", xticks=test.steps.tolist())
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("")
    ax.legend(title="slope", fontsize=8.5)
    return ax


def gather(ax: Axes, traces, dt_s: float, *, title: str, clip: float = 0.99) -> Axes:
    """Traces (nt, R) as a gray picture, time downwards."""
    shown = array(traces)
    reach = np.quantile(np.abs(shown), clip)
    ax.imshow(
        shown, extent=(0, shown.shape[1], len(shown) * dt_s, 0), aspect="auto", cmap="gray", vmin=-reach, vmax=reach
    )
    ax.set(title=title, xlabel="receiver", ylabel="time (s)")
    return ax


def two_solvers(ax: Axes, in_time, in_frequency, *, title: str) -> Axes:
    """Real part of one frequency's data (R,) from both solvers."""
    ax.plot(array(in_frequency.real), color=BLUE, lw=2.4, label="frequency domain")
    ax.plot(array(in_time.real), "--", color=VERMILION, lw=1.4, label="time domain, transformed")
    ax.set(title=title, xlabel="receiver", ylabel="real part of $u$")
    return ax


def digits_scatter(ax: Axes, results: dict, limit: float) -> Axes:
    """Error in complex64 against growth; ``results``: name -> (growth, error). ``limit``: where models are repaired."""
    for (name, (growth, error)), color, marker in zip(results.items(), (BLUE, ORANGE), "os", strict=True):
        ax.loglog(growth, error, marker, color=color, ms=3, alpha=0.6, mew=0, label=name)
    g = np.geomspace(1, 3e3, 20)
    ax.loglog(g, 1e-6 * g**2, color=GRAY, lw=1, label="$10^{-6}\\,G^2$")
    ax.axvline(limit, color=VERMILION, lw=1.2, ls=":")
    ax.annotate("solved again", (limit, 3e-7), (4, 0), textcoords="offset points", color=VERMILION, fontsize=8.5)
    ax.set(xlabel="growth $G$ of the elimination", ylabel="relative error in complex64", ylim=(1e-7, 10))
    return ax


def misfit_curves(ax: Axes, inversions: dict) -> Axes:
    """Misfit per datum against the iteration, by name; dotted: the noise."""
    for (name, results), color, style in zip(
        inversions.items(), (BLUE, ORANGE, VERMILION), ("-", "--", "-."), strict=False
    ):
        ax.semilogy(results.misfits, style, color=color, label=name)
    ax.axhline(0.5, color=GRAY, lw=0.9, ls=":")
    ax.set(xlabel="iteration", ylabel="misfit per datum")
    return ax


def error_curves(ax: Axes, inversions: dict, errors: dict) -> Axes:
    """Error of the model at the kept iterations, name -> ``Mean`` over truths; dotted: that of the start."""
    for (name, results), color, style in zip(
        inversions.items(), (BLUE, ORANGE, VERMILION), ("o-", "s--", "^-."), strict=False
    ):
        value, low, high = np.array([mean.dot for mean in errors[name]]).T
        ax.errorbar(
            results.iterations,
            value,
            (value - low, high - value),
            fmt=style,
            ms=4,
            color=color,
            elinewidth=1,
            label=name,
        )
    ax.axhline(1, color=GRAY, lw=0.9, ls=":")
    ax.set(xlabel="iteration", ylabel="error of the model", ylim=(0, None))
    return ax
