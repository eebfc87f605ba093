"""Ten families of velocity models, drawn one numpy stream a model: sets are nested and never overlap."""

import math

import numpy as np
import torch

from memprior._check import expect, expect_whole
from memprior.geology._cells import expect_size
from memprior.geology.layered import Fault, LayeredModel, LayerShape
from memprior.geology.style import StyleModel

VELOCITY_FAMILIES = (
    "flat_vel_a",
    "flat_vel_b",
    "curve_vel_a",
    "curve_vel_b",
    "flat_fault_a",
    "flat_fault_b",
    "curve_fault_a",
    "curve_fault_b",
    "style_a",
    "style_b",
)  # the place of a name is its number in the streams: new families come last

_BOUNDS = 1500.0, 4500.0  # m/s
_CONTRAST = 150.0  # least, between any two layers, m/s
_THINNEST = 7 / 100  # least thickness of a layer, of depth
_STREAMS = 2**32  # numpy makes two words of what is larger, and (seed, number, index) would no longer be one stream


def velocity_models(
    family: str, num: int, *, seed: int, first: int = 0, size: tuple[int, int] = (70, 70)
) -> torch.Tensor:
    """Velocity models ``first`` to ``first + num - 1`` of a family.

    Families ``flat_vel``, ``curve_vel``, ``flat_fault`` and ``curve_fault`` are layered, ``style`` is smooth. In those
    that end in a, velocity rises from layer to layer, or the trend is strong and the noise long; in those that end in b
    the order has inversions, or the trend is weak and the noise short and strong.

    Args:
        family: one of ``VELOCITY_FAMILIES``.
        num: >= 1.
        seed: from 0 to 2^32 - 1. Sets of one seed are nested; models of different seeds are independent.
        first: number of the first model.
        size: (H, W), cells down and across. Models are the same geology at every size.

    Returns:
        (num, H, W) velocity in m/s, float32, depth first.

    Raises:
        ValueError: an argument outside these bounds; names it.

    Example:
        >>> from memprior.geology import velocity_models
        >>> models = velocity_models("curve_fault_a", 3, seed=0)
        >>> models.shape, bool((models[2] == velocity_models("curve_fault_a", 1, seed=0, first=2)).all())
        (torch.Size([3, 70, 70]), True)
    """
    expect_whole("num", num, 1)
    _expect_stream(family, seed, "first", first)
    expect(first + num <= _STREAMS, "first, num", "numbers of models below 2^32", (first, num))
    expect_size(size)
    return torch.stack([velocity_model(family, first + i, seed=seed).velocity(size) for i in range(num)])


def velocity_model(family: str, index: int, *, seed: int) -> LayeredModel | StyleModel:
    """What one model of a family is made of, its layers and its fault, or its trend and its noise.

    Args:
        family: one of ``VELOCITY_FAMILIES``.
        index: of the model in the sets that :func:`~memprior.geology.families.velocity_models` draws.
        seed: as there.

    Returns:
        A model to evaluate on any cells.

    Raises:
        ValueError: an unknown family, or an index or seed that is not an integer from 0 to 2^32 - 1.

    Example:
        >>> from memprior.geology import velocity_model
        >>> model = velocity_model("flat_fault_b", 0, seed=0)
        >>> len(model.velocities) == len(model.depths) + 1, model.fault.throw < 0.18
        (True, True)
    """
    _expect_stream(family, seed, "index", index)
    rng = np.random.default_rng([seed, VELOCITY_FAMILIES.index(family), index])
    kind, order = family.rsplit("_", 1)
    return _style(order, rng) if kind == "style" else _layered(kind, order, rng)


def _expect_stream(family, seed, name: str, index) -> None:
    expect(family in VELOCITY_FAMILIES, "family", f"one of {', '.join(VELOCITY_FAMILIES)}", repr(family))
    for what, value in (("seed", seed), (name, index)):
        expect_whole(what, value, 0)
        expect(value < _STREAMS, what, "an integer below 2^32", value)


def _layered(kind: str, order: str, rng: np.random.Generator) -> LayeredModel:
    velocities = _layer_velocities(int(rng.integers(3, 7)), order, rng)
    shape = _curved(rng) if kind.startswith("curve") else LayerShape()
    fault = _fault(shape, rng) if kind.endswith("fault") else None
    return LayeredModel(velocities, _layer_depths(len(velocities), shape, fault, rng), shape, fault)


def _layer_velocities(count: int, order: str, rng: np.random.Generator) -> tuple[float, ...]:
    """(count,) m/s, each at least ``_CONTRAST`` from every other; order a: ascending, b: any other order."""
    low, high = _BOUNDS
    steps = _CONTRAST * np.arange(count)
    ascending = np.sort(rng.uniform(low, high - steps[-1], count)) + steps
    if order == "a":
        return tuple(ascending.tolist())
    while True:
        numbers = rng.permutation(count)
        if (np.diff(numbers) < 0).any():
            return tuple(ascending[numbers].tolist())


def _curved(rng: np.random.Generator) -> LayerShape:
    return LayerShape(
        amplitude=rng.uniform(0.02, 0.10),
        wavelength=rng.uniform(0.6, 2.0),
        phase=rng.uniform(0, 2 * math.pi),
        tilt=rng.uniform(-0.15, 0.15),
    )


def _fault(shape: LayerShape, rng: np.random.Generator) -> Fault:
    """A fault that is nowhere less steep than the layers: it cuts them, and older rock stays below younger."""
    least = max(45.0, math.degrees(math.atan(shape.steepest)))
    return Fault(
        position=rng.uniform(0.3, 0.7),
        dip_deg=rng.uniform(least, 75.0),
        throw=rng.uniform(0.06, 0.18),
        side=1 if rng.uniform() < 0.5 else -1,
    )


def _layer_depths(count: int, shape: LayerShape, fault: Fault | None, rng: np.random.Generator) -> tuple[float, ...]:
    """(count - 1,) depths of interfaces that leave every layer ``_THINNEST`` or more, in both walls, at every x.

    Between parallel interfaces thickness is the same everywhere. Only the first and the last layer are thinned, by the
    range of the interfaces over both walls: that range is set aside before depth is divided among the layers.
    """
    high, low = shape.extremes(0, 1)
    if fault is not None:
        moved = shape.extremes(-fault.heave, 1 - fault.heave)
        high, low = min(high, moved[0] + fault.throw), max(low, moved[1] + fault.throw)
    # At most .557 of depth is set aside: 2 (.10) + .15 (1 + .18) + .18; six layers of .07 always fit.
    spare = 1 - (low - high) - count * _THINNEST
    thickness = _THINNEST + spare * rng.dirichlet(np.full(count, 2.0))
    return tuple((np.cumsum(thickness[:-1]) - high).tolist())


def _style(order: str, rng: np.random.Generator) -> StyleModel:
    """a: a strong trend and long, weak noise; b: a weak trend and short, strong noise; both stretched across."""
    a = order == "a"
    down = rng.uniform(0.08, 0.16) if a else rng.uniform(0.05, 0.08)
    lengths = down * rng.uniform(2.0, 3.0), down
    trend = (rng.uniform(-1.8, -1.0), rng.uniform(0.6, 1.6)) if a else (rng.uniform(-1.0, -0.4), rng.uniform(0.2, 0.9))
    roughness = rng.uniform(0.3, 0.5) if a else rng.uniform(0.4, 0.65)
    noise = rng.standard_normal((2, *StyleModel.modes(lengths)))
    return StyleModel(_BOUNDS, trend, roughness, lengths, noise[0] + 1j * noise[1])
