"""Figures of chapter 7: arrays in, Axes out; no science.

Colors: gray from scratch, blue all weights, orange head, sky norms, purple to the start, green adapters, the darker the
higher their rank; vermilion the exact answer of a linear map. Artists carry labels; legends are the caller's.
"""

from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from memprior.figures.maps import velocity_map
from memprior.figures.style import BLUE, GRAY, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, array
from memprior.intervals import Mean

COLORS = {"scratch": GRAY, "all": BLUE, "head": ORANGE, "norms": SKY, "to the start": PURPLE, "early stopping": INK}
GREENS = LinearSegmentedColormap.from_list("adapters", ["#A6DBC9", GREEN, "#004D38"])
MARKERS = {"scratch": "x", "all": "o", "head": "^", "norms": "v", "to the start": "P", "early stopping": "*"}
INKS = BLUE, GREEN, PURPLE, ORANGE, VERMILION
LIMITS = 1.5, 4.5  # km/s


def color_of(label: str, ranks) -> str | tuple:
    """Of a method by its label; adapters of the ranks from light to dark."""
    if label in COLORS:
        return COLORS[label]
    place = list(ranks).index(int(label.rsplit(" ", 1)[1]))
    return GREENS(place / max(1, len(ranks) - 1))


def gallery(axes: list[Axes], models: dict) -> None:
    """Family -> one model in m/s, each on its axes."""
    for ax, (family, model) in zip(axes, models.items(), strict=True):
        shown = _model(ax, model / 1000, family.replace("_", " "))
    ax.figure.colorbar(shown, ax=axes, label="km/s", shrink=0.8, pad=0.01)


def by_number(ax: Axes, sizes, curves: dict[str, list[Mean]], ranks, *, ylabel: str) -> Axes:
    """Of each method a value and its interval at every N, a little apart."""
    for k, (label, values) in enumerate(curves.items()):
        at = [n * 1.04 ** (k - len(curves) / 2) for n in sizes]
        style = {
            "color": color_of(label, ranks),
            "marker": MARKERS.get(label, "D"),
            "ms": 4.5,
            "lw": 1.2,
            "label": label,
        }
        ax.errorbar(at, [v.value for v in values], yerr=[v.half for v in values], **style)
    ax.set(
        xscale="log",
        xticks=list(sizes),
        xticklabels=[f"{n}" for n in sizes],
        xlabel="training models $N$",
        ylabel=ylabel,
    )
    ax.minorticks_off()
    return ax


def storage_panel(ax: Axes, ranks, found: dict[int, dict[int, list[float]]], exact: dict) -> Axes:
    """Shuffled pairs retrieved against rank: N -> rank (0: all weights) -> seeds; exact: N -> a linear map's."""
    for (n, by_rank), ink in zip(found.items(), cycle(INKS)):
        everything = ranks[-1] * 2
        _seeds(ax, [*ranks, everything], [by_rank[r] for r in (*ranks, 0)], color=ink, label=f"network, $N = {n}$")
        ax.plot(ranks, exact[n], color=ink, lw=1.2, ls="--", label=f"linear map, exact, $N = {n}$")
        ax.axhline(1 / n, color=ink, lw=0.6, ls=":")
    ticks = [*ranks, ranks[-1] * 2]
    ax.set(xscale="log", xlabel="rank of the update", ylabel="pairs retrieved", ylim=(-0.03, 1.05))
    ax.set(xticks=ticks, xticklabels=[*map(str, ranks), "all"])
    ax.minorticks_off()
    return ax


def plane(ax: Axes, paths: dict[str, tuple], ranks, *, title: str) -> Axes:
    """Error on the source against error on the target, m/s, of each method along its checkpoints, to the last."""
    for label, (target, source) in paths.items():
        ink = color_of(label, ranks)
        ax.plot(array(target), array(source), color=ink, lw=1.1, alpha=0.8)
        ax.plot(float(target[-1]), float(source[-1]), MARKERS.get(label, "D"), color=ink, ms=5, label=label)
    ax.set(xlabel="target error, m/s", ylabel="source error, m/s", title=title)
    return ax


def three_models(axes: list[Axes], models, titles: list[str]) -> None:
    """Models in km/s side by side."""
    for ax, model, title in zip(axes, models, titles, strict=True):
        _model(ax, model, title)


def record(ax: Axes, traces, *, seconds: float, spacing_m: float) -> Axes:
    """Traces (time, receivers) in gray, clipped at their root mean square: late reflections are weak."""
    values = array(traces)
    most = float((values**2).mean() ** 0.5)
    sides = (0, spacing_m * values.shape[1], seconds * len(values), 0)
    ax.imshow(values, cmap="gray", vmin=-most, vmax=most, extent=sides, aspect="auto", interpolation="nearest")
    ax.set(xlabel="receiver, m", ylabel="time, s")
    return ax


def storage_at(ax: Axes, ranks, exact: list[list[float]], networks: dict[int, list[float]], n: int) -> Axes:
    """For one N retrieval against rank: of each rank the draws of a linear map; rank -> seeds of a network."""
    _seeds(ax, ranks, exact, color=VERMILION, label="linear map, exact, 20 draws", ls="--")
    if networks:
        _seeds(ax, list(networks), list(networks.values()), color=BLUE, label="network, seeds")
    ax.axhline(1 / n, color=INK, lw=0.6, ls=":")
    ax.set(xscale="log", xlabel="rank of the update", ylabel="pairs retrieved", ylim=(-0.03, 1.05))
    ax.set(xticks=list(ranks), xticklabels=list(map(str, ranks)), title=f"{n} pairs")
    ax.minorticks_off()
    ax.legend(loc="lower right")
    return ax


def filter_panel(ax: Axes, cuts, curves: dict[str, list], *, ylabel: str) -> Axes:
    """A value, seeds at each of the ranks that the update of all weights is cut to; 0 first."""
    places = range(len(cuts))
    for (label, seeds), ink in zip(curves.items(), cycle(INKS)):
        _seeds(ax, places, seeds, color=ink, label=label, ls="-")
    ax.set(xlabel="update cut to rank", ylabel=ylabel, xticks=list(places), xticklabels=list(map(str, cuts)))
    return ax


def _model(ax: Axes, model, title: str):
    """One model (depth, x) in km/s that fills its axes; the image."""
    shown = velocity_map(ax, model.T, 1, LIMITS, title=title)
    ax.set(xticks=[], yticks=[], xlabel="", xlim=(0, 1), ylim=(1, 0))
    return shown


def _seeds(ax: Axes, at, values, *, color, label: str, ls: str = "none") -> None:
    """Means of seeds, and from the least to the largest."""
    means = [sum(of) / len(of) for of in values]
    below = [mean - min(of) for mean, of in zip(means, values, strict=True)]
    above = [max(of) - mean for mean, of in zip(means, values, strict=True)]
    ax.errorbar(list(at), means, yerr=[below, above], marker="o", ms=5, lw=1.2, ls=ls, color=color, label=label)
