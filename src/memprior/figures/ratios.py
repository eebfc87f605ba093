"""The axis of the ratio r, from 0 to 1, with the mark below which the paper says memorized."""

import numpy as np
from matplotlib.axes import Axes

from memprior.figures.style import GRAY

BINS = np.linspace(0, 1, 41)  # of r; the paper's 0.7 is an edge, so that no bar lies on both sides of it


def ratio_axis(ax: Axes, threshold: float, *, title: str, top: float | None = None) -> Axes:
    """For densities, which need no ticks of their own; ``top``: where their axis ends."""
    ax.axvline(threshold, color=GRAY, lw=1, ls="--")
    ax.set(xlabel="ratio $r$", title=title, xlim=(0, 1), ylim=(0, top), yticks=[])
    ax.spines["left"].set_visible(False)
    return ax
