"""What the page of B1 shows: figures and tables of the three sets' numbers."""

import torch
from matplotlib.figure import Figure

from chapters.b1_bring_your_own import figures as draw
from chapters.b1_bring_your_own.sets import SETS, OwnSet
from companion.frames import Frames
from companion.tables import Table
from memprior.figures.style import panels
from memprior.memorization import COPY_LEVEL
from memprior.mixture import effective_components

LEVEL = 0.9  # of the balls


def _ends(one: dict) -> tuple[float, float, float]:
    return one["value"], one["low"], one["high"]


def _words(one: dict) -> str:
    return f"{one['value']:.2f} ({one['low']:.2f} to {one['high']:.2f})"


def answer(numbers: dict) -> Figure:
    """Coverage of left-out truths, upper row, and the swap test's two controls, lower row, of each set."""
    figure, axes = panels(2, 3, height=3.9)
    for name, upper, lower in zip(SETS, axes[:3], axes[3:], strict=True):
        one = numbers[name]
        shares = {key: _ends(value) for key, value in one["coverage"].items()}
        draw.covered(upper, shares, LEVEL, title=f"{name}: {one['verdict']}")
        draw.fired(lower, {key: _ends(value) for key, value in one["swaps"].items()}, COPY_LEVEL, title="")
    for ax in (*axes[1:3], *axes[4:]):
        ax.set_yticklabels([])
    return figure


def gallery_of_sets(sets: dict[str, OwnSet]) -> Figure:
    """Five models of each set."""
    figure, axes = panels(1, 3, height=2.3)
    for ax, (name, own) in zip(axes, sets.items(), strict=True):
        models = own.models[:: max(1, len(own.models) // 5)][:5]
        draw.own_models(ax, models.mT if name == "section" else models, title=name)
    return figure


def verdict_table(numbers: dict) -> Table:
    """A row for each set: what the command says."""
    rows = [
        [
            name,
            one["verdict"],
            f"{one['misfit']:.2f} ({one['noise_alone'][0]:.2f} to {one['noise_alone'][1]:.2f})",
            one["fit"],
            f"{one['effective']:.2f}",
            *(f"{_words(one['coverage'][key])} {one['words'][key]}" for key in ("lookup", "linearized")),
            f"{one['efficiency']:.3f}, {one['linearization']}",
        ]
        for name, one in numbers.items()
    ]
    header = ["set", "verdict", "best misfit (noise alone)", "data", "effective models", "lookup covers"]
    return Table([*header, "linearized covers", "effective share of draws"], rows)


def control_table(numbers: dict) -> Table:
    """How often the checks fire, where they must and where they must not."""
    rows = [
        [
            name,
            *(_words(one["swaps"][key]) for key in ("memorized", "fresh")),
            *(_words(one["alarms"][key]) for key in ("units", "fresh", "foreign")),
        ]
        for name, one in numbers.items()
    ]
    header = ["set", "swap test: memorized", "swap test: fresh", "data alarm: times 1000", "data alarm: fresh"]
    return Table([*header, "data alarm: another generator"], rows)


def noise_slider(numbers: dict, factors) -> Frames:
    """Weights of the lookup for each noise level."""
    places = {factor: number for number, factor in enumerate(factors)}

    def effective(name: str, factor: float) -> float:
        weights = torch.tensor(numbers[name]["weights"][places[factor]], dtype=torch.float64)
        return float(effective_components(weights.log()))

    def frame(factor: float) -> Figure:
        figure, axes = panels(1, 3, height=2.4)
        for ax, name in zip(axes, SETS, strict=True):
            weights = numbers[name]["weights"][places[factor]]
            draw.heaviest(ax, weights, title=f"{name}: {effective(name, factor):.1f} effective")
        axes[0].set_ylabel("weight")
        return figure

    def alt(factor: float) -> str:
        found = ", ".join(f"{name} {effective(name, factor):.1f}" for name in SETS)
        return f"Three bar charts of the largest weights at {factor:g} times the noise; effective models: {found}."

    return Frames(frame, factors, name="noise, times that of the data", alt=alt, start=0)


def claims(numbers: dict, profile: str) -> dict[str, float]:
    """What the page states, by id."""
    made = {}
    for name, one in numbers.items():
        for key, value in one["coverage"].items():
            made |= {f"{name}_{key}_{end}": value[end] for end in ("value", "low", "high")}
        made[f"{name}_efficiency"] = one["efficiency"]
        made |= {f"{name}_{kind}": one["swaps"][kind]["value"] for kind in ("memorized", "fresh")}
        made |= {f"{name}_alarm_{kind}": one["alarms"][kind]["value"] for kind in ("units", "fresh", "foreign")}
    return {f"b1.{profile}_{id}": float(value) for id, value in made.items()}
