"""How every figure of the book looks: sizes, and colors that color-blind readers can tell apart.

Figures have a white ground of their own, so that they read the same on a dark page.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#AA4499", "#E69F00", "#56B4E9"
INK, GRAY, PALE = "#222222", "#777777", "#D9D9D9"
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE)
DENSITY = LinearSegmentedColormap.from_list("density", ["#FFFFFF", "#BBD7EA", "#5A9BC8", "#0B4F8A", "#062A4F"])
WIDTH = 7.2  # inches: the article's width, so that 9 pt in a figure is 9 pt on the page


def use() -> None:
    """Set matplotlib's defaults for the book; called once by each notebook."""
    plt.rcParams.update(
        {
            "figure.dpi": 100,
            "savefig.dpi": 200,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "font.size": 9.5,
            "axes.titlesize": 10,
            "axes.labelsize": 9.5,
            "legend.fontsize": 9,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": GRAY,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "lines.linewidth": 1.8,
            "svg.hashsalt": "priors-that-remember",
        }
    )


def array(values) -> np.ndarray:
    """A tensor of any device, with a graph or without, or a sequence of numbers, for numpy and matplotlib."""
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def panels(rows: int = 1, columns: int = 1, *, height: float = 2.8, **kwargs) -> tuple[Figure, list[Axes]]:
    """A figure of the article's width and its axes as a flat list; ``height`` in inches, of the whole figure."""
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), layout="constrained", squeeze=False, **kwargs)
    return figure, list(axes.flat)


def legend_below(figure: Figure, axes: list[Axes], columns: int) -> Figure:
    """The legends of some axes, as one under the whole figure."""
    entries = [ax.get_legend_handles_labels() for ax in axes]
    handles = [handle for some, _ in entries for handle in some]
    labels = [label for _, some in entries for label in some]
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    return figure
