"""Distance of a network to both closed forms as training goes on."""

import numpy as np
from matplotlib.axes import Axes

from memprior.figures.style import BLUE, PALE, VERMILION


def gap_histories(ax: Axes, histories, *, crossing=None, title: str) -> Axes:
    """a (blue) and b (vermilion) against the step, a line for each run, with the interval of the crossing shaded."""
    if crossing is not None and np.isfinite(crossing[1]):
        ax.axvspan(crossing[1], crossing[2], color=PALE, lw=0)
    for k, (steps, a, b) in enumerate(histories):
        ax.semilogx(
            steps, a, "-", color=BLUE, alpha=0.8, lw=1.4, label="$a$, to the memorized form" if k == 0 else None
        )
        ax.semilogx(
            steps, b, "--", color=VERMILION, alpha=0.8, lw=1.4, label="$b$, to the true form" if k == 0 else None
        )
    ax.set(xlabel="optimizer step", title=title, ylim=(0, 1.25))
    return ax
