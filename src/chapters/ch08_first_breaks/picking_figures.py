"""Figures of chapter 8's pickers: arrays in, Axes out; no science.

Colors: gray scratch, blue autoencoder, green masked traces, purple discriminator, orange random and frozen, vermilion
tuned AIC, ink labels. Artists carry labels; legends are the caller's.
"""

from matplotlib.axes import Axes

from memprior.figures.style import BLUE, GRAY, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, array
from memprior.intervals import Mean

PICKER_COLORS = {
    "scratch": GRAY,
    "autoencoder": BLUE,
    "masked": GREEN,
    "discriminator": PURPLE,
    "discriminator, untrained": PURPLE,
    "random, frozen": ORANGE,
    "autoencoder, frozen": SKY,
    "AIC": VERMILION,
    "STA/LTA": INK,
    "AIC, untuned": VERMILION,
    "STA/LTA, untuned": INK,
}
DASHED = "discriminator, untrained", "AIC, untuned", "STA/LTA, untuned"


def hits_by_number(ax: Axes, sizes, curves: dict[str, list[Mean]], bands: dict[str, list[Mean]], *, title: str) -> Axes:
    """Hit rate against N of each start, a little apart; bands: of classical pickers, N by N."""
    for label, band in bands.items():
        color = PICKER_COLORS[label]
        ax.fill_between(sizes, [one.low for one in band], [one.high for one in band], color=color, alpha=0.12, lw=0)
        ax.plot(sizes, [one.value for one in band], color=color, lw=1.2, label=f"{label}, tuned on the same")
    for k, (label, found) in enumerate(curves.items()):
        at = [n * 1.05 ** (k - len(curves) / 2) for n in sizes]
        look = {"color": PICKER_COLORS[label], "ls": "--" if label in DASHED else "-", "marker": "o"}
        half = [one.half for one in found]
        ax.errorbar(at, [one.value for one in found], yerr=half, ms=4, lw=1.2, elinewidth=0.7, label=label, **look)
    ax.set(xscale="log", xticks=list(sizes), xticklabels=[f"{n}" for n in sizes], ylim=(-0.03, 1.03), title=title)
    ax.set(xlabel="labeled gathers $N$", ylabel="hits within one sample")
    ax.minorticks_off()
    return ax


def gather(ax: Axes, traces, onsets, picks: dict[str, object], *, dt_s: float, title: str) -> Axes:
    """Traces (H, W), each over its largest size, in gray; labels as a line, picks as marks."""
    values = array(traces)
    milliseconds = 1000 * dt_s
    sides = (-0.5, len(values) - 0.5, milliseconds * (values.shape[1] - 0.5), -0.5 * milliseconds)
    ax.imshow(values.T, cmap="gray", vmin=-1, vmax=1, extent=sides, aspect="auto", interpolation="nearest")
    ax.plot(milliseconds * array(onsets), color=INK, lw=1, label="onset")
    for mark, (label, found) in zip("x+1", picks.items(), strict=False):
        ax.plot(milliseconds * array(found), mark, color=PICKER_COLORS[label], ms=5, mew=1.1, label=label)
    ax.set(xlabel="trace", ylabel="time, ms", title=title, ylim=sides[2:])
    return ax


def error_shares(ax: Axes, errors: dict[str, list[float]], *, floor_ms: float, title: str) -> Axes:
    """Share of traces whose pick is at most so many ms from that by people; dotted: reciprocal picks of people."""
    limits = [0.1 * 10 ** (k / 20) for k in range(61)]  # .1 to 100 ms
    for label, found in errors.items():
        share = [sum(abs(error) <= limit for error in found) / len(found) for limit in limits]
        ax.plot(limits, share, color=PICKER_COLORS[label], lw=1.3, ls="--" if label in DASHED else "-", label=label)
    ax.axvline(floor_ms, color=INK, lw=0.8, ls=":")
    ax.set(xscale="log", xlabel="distance to the pick by people, ms", ylabel="share of traces", title=title)
    ax.set(ylim=(-0.03, 1.03), xlim=(limits[0], limits[-1]))
    return ax
