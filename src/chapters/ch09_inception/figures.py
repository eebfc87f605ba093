"""Figures of chapter 9: arrays in, Axes out; no science.

Seismic is gray, black negative, clipped at two root mean squares of the section that all are compared with. Colors:
blue trained networks, gray random weights, vermilion what is predicted exactly.
"""

from itertools import cycle

from matplotlib.axes import Axes

from memprior.figures.style import BLUE, GRAY, GREEN, ORANGE, PURPLE, VERMILION, array
from memprior.intervals import Mean

DREAM_INKS = BLUE, GREEN, PURPLE, ORANGE


def section_image(ax: Axes, section, *, most: float, title: str = "", label: str = "") -> Axes:
    """One section (time, traces), clipped at +-``most``; ``label``: beside it."""
    ax.imshow(array(section), cmap="gray", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    ax.set(title=title, xticks=[], yticks=[])
    ax.set_ylabel(label)
    return ax


def filmstrip(axes: list[Axes], rows: dict[str, list], titles: list[str], *, most: float) -> None:
    """Label -> sections, one row each; the titles stand above the first row."""
    places = iter(axes)
    for number, (label, row) in enumerate(rows.items()):
        for column, section in enumerate(row):
            title = "" if number else titles[column]
            section_image(next(places), section, most=most, title=title, label="" if column else label)


def evidence_against_noise(ax: Axes, levels, curves: dict[str, list[Mean]], *, ylabel: str) -> Axes:
    """Probability of a facies against the noise level of the data, equally spaced."""
    inks = cycle(DREAM_INKS)
    for label, values in curves.items():
        ink = GRAY if "random" in label else next(inks)
        style = {"color": ink, "marker": "o", "ms": 4.5, "lw": 1.4, "capsize": 2, "label": label}
        ax.errorbar(range(len(levels)), [v.value for v in values], yerr=[v.half for v in values], **style)
    ax.set(xticks=range(len(levels)), xticklabels=[f"{level:g}" for level in levels], ylim=(-0.05, 1.05))
    ax.set(xlabel="noise over data, root mean square", ylabel=ylabel)
    return ax


def spectrum_map(ax: Axes, power, *, measured, predicted, title: str) -> Axes:
    """Power of a filter bank over wavenumbers, bins, zero in the middle; the predicted and the measured peak."""
    height, width = power.shape
    sides = (-width / 2 - 0.5, width / 2 - 0.5, height / 2 - 0.5, -height / 2 - 0.5)
    ax.imshow(array(power), cmap="Greys", extent=sides, aspect="auto")
    ax.plot(predicted[1], predicted[0], "+", color=VERMILION, ms=11, mew=2, label="predicted")
    ax.plot(measured[1], measured[0], "o", mfc="none", color=BLUE, ms=9, label="dream")
    ax.set(title=title, xlabel="across, bins", ylabel="down, bins")
    return ax
