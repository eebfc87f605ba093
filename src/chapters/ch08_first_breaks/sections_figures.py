"""Chapter 8's pictures of what is learned without labels."""

from collections.abc import Sequence

import torch
from matplotlib.axes import Axes

from memprior.figures import style
from memprior.geology.facies import SECTION_DT_S
from memprior.intervals import Mean

KINDS = {  # color, marker of what copying is measured on
    "spectral": (style.BLUE, "o", "GAN, spectral norm"),
    "plain": (style.VERMILION, "s", "GAN, no spectral norm"),
    "exact copier": (style.INK, "^", "exact copier"),
    "fresh draws": (style.GREEN, "v", "fresh draws"),
}


def copying_panel(
    ax: Axes, curves: dict[str, dict[int, Mean]], null: dict[int, tuple[float, float]], *, title: str
) -> None:
    """Share of samples nearer to a training section against N, 95 % over seeds; gray: what labels alone can do."""
    sizes = list(null)
    low, high = zip(*null.values(), strict=True)
    ax.fill_between(sizes, low, high, color=style.PALE, label="labels alone, 95 %")
    for kind, of in curves.items():
        color, marker, label = KINDS[kind]
        values, halves = [one.value for one in of.values()], [one.half for one in of.values()]
        ax.errorbar(list(of), values, halves, color=color, marker=marker, capsize=3, label=label)
    ax.set(xscale="log", xlabel="training sections N", title=title, ylim=(-0.02, 1.05))
    ax.set_xticks(sizes, [str(n) for n in sizes])
    ax.minorticks_off()


def section(ax: Axes, seismic: torch.Tensor, *, title: str = "") -> None:
    """Time downward, amplitudes of a section of unit mean square between -2.5 and 2.5."""
    extent = (0, seismic.shape[1], 1000 * SECTION_DT_S * seismic.shape[0], 0)
    ax.imshow(style.array(seismic), cmap="gray", vmin=-2.5, vmax=2.5, aspect="auto", extent=extent)
    ax.set_title(title)
    ax.set_xticks([])


def pairs(axes: Sequence[Axes], above: torch.Tensor, below: torch.Tensor) -> None:
    """Two rows of sections: samples above what is nearest to them."""
    num = len(above)
    for k, (top, bottom) in enumerate(zip(above, below, strict=True)):
        section(axes[k], top)
        section(axes[num + k], bottom)
        if k:
            axes[k].set_yticks([])
            axes[num + k].set_yticks([])
    axes[0].set_ylabel("sample, ms")
    axes[num].set_ylabel("nearest, ms")


def attractor_panel(ax: Axes, curves: dict[str, dict[int, list[float]]], *, title: str) -> None:
    """Share of starts that land on a gather, against N: a mark for each seed, a line through their means."""
    looks = zip((style.BLUE, style.GRAY, style.ORANGE), ("o", "v", "s"), strict=True)
    for (label, of), (color, marker) in zip(curves.items(), looks, strict=False):
        ax.plot(list(of), [sum(shares) / len(shares) for shares in of.values()], color=color)
        marks = [(n, share) for n, shares in of.items() for share in shares]
        ax.plot(*zip(*marks, strict=True), marker, color=color, ms=5, alpha=0.7, label=label)
    ax.set(xscale="log", xlabel="training gathers N", title=title, ylim=(-0.02, 1.05))
    sizes = list(next(iter(curves.values())))
    ax.set_xticks(sizes, [str(n) for n in sizes])
    ax.minorticks_off()


def walk_panel(ax: Axes, steps: dict[str, torch.Tensor]) -> None:
    """Length of each step of a walk over the mean of all, by generator."""
    for (label, of), color in zip(steps.items(), style.SERIES, strict=False):
        along = torch.linspace(0, 1, len(of))
        ax.plot(along, style.array(of / of.mean()), color=color, label=label, drawstyle="steps-mid")
    ax.set_yscale("symlog", linthresh=1)  # a memorizer's steps are 0 or many times the mean
    ax.set(xlabel="along the great circle", ylabel="step over the mean step", ylim=(0, None))


def training_panel(ax: Axes, checkpoints: Sequence[int], curves: dict[str, torch.Tensor], *, ylabel: str) -> None:
    """Kind -> (seeds, 1 + C) along the training, a line for each seed."""
    steps = [0, *checkpoints]
    for kind, of in curves.items():
        color, marker, label = KINDS[kind]
        for k, line in enumerate(of):
            ax.plot(steps, style.array(line), color=color, marker=marker, markersize=4, label=None if k else label)
    ax.set(xlabel="step", ylabel=ylabel, yscale="log")


def spectrum_panel(ax: Axes, curves: dict[str, torch.Tensor], *, title: str) -> None:
    """Kind -> (seeds, n) singular values of one layer."""
    for kind, of in curves.items():
        color, _, label = KINDS[kind]
        for k, line in enumerate(of):
            ax.plot(range(1, line.numel() + 1), style.array(line), color=color, label=None if k else label)
    ax.set(xlabel="number", ylabel="singular value", title=title, yscale="log")
