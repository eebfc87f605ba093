"""Rows of named things from top to bottom, a dot and its interval in each."""

from collections.abc import Callable

from matplotlib.axes import Axes

from memprior.figures.style import PALE


def whisker(ax: Axes, interval: tuple, height: float, *, color: str, label: str | None = None) -> None:
    """(value, low, high): the dot over its line."""
    ax.hlines(height, *interval[1:], color=color, lw=1.8, clip_on=False)
    ax.plot(interval[0], height, "o", color=color, ms=6, clip_on=False, label=label)


def named_rows(ax: Axes, names, *, pad: float | None = None) -> Axes:
    """The axis of rows at 0, 1, ... from top to bottom; pad: points between the names and the frame."""
    ax.set_yticks(range(len(names)), list(names))
    ax.tick_params(axis="y", length=0, **({} if pad is None else {"pad": pad}))
    ax.spines["left"].set_visible(False)
    # Limits rather than invert_yaxis: of panels that share the axis, every second would turn it back.
    ax.set(ylim=(len(names) - 0.5, -0.5))
    return ax


def interval_rows(ax: Axes, rows: dict, color: Callable[[str], str], *, pad: float | None = None) -> Axes:
    """A row for each name: (value, low, high); ``color`` gives that of a name."""
    for height, (name, interval) in enumerate(rows.items()):
        ax.axhline(height, color=PALE, lw=0.8, zorder=0)
        whisker(ax, interval, height, color=color(name))
    return named_rows(ax, rows, pad=pad)
