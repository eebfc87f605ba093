"""The mesh for a frequency: how many elements, and how long the absorbing ones."""

import cmath
import itertools
import math
from numbers import Integral

from memprior._check import expect
from memprior.fields import Grid
from memprior.helmholtz.mesh import Axis

# Slowest velocity that the mesh of an operator is chosen for, and the one around which it keeps clear of resonances.
SLOWEST_KMS, TYPICAL_KMS = 1.5, 2.0
NODES_PER_WAVELENGTH = 6.0  # at SLOWEST_KMS, when the mesh is chosen here; see the appendix on waves for the error
# Length of the absorbing element in wavelengths at TYPICAL_KMS, by order: the least largest error over homogeneous
# media of 1.5 to 3.5 km/s, sources 25 m from a face.
LAYER_WAVELENGTHS = {6: 0.55 + 1.57j, 7: 0.79 + 1.57j, 8: 0.97 + 1.74j}
MIN_ELEMENTS = 4  # at low frequencies it is the model, not the wave, that needs nodes


def choose_axes(
    grid: Grid,
    frequency_hz: float,
    order: int,
    elements: tuple[int, int] | None,
    layer_km: tuple[complex, complex] | None,
    num_layers: int,
) -> tuple[Axis, Axis]:
    """The two directions, (across, down), of a mesh over ``grid``; what is None is chosen here."""
    _expect_pair("elements", elements, "two integers >= 1, across and down", _whole)
    decaying = "two complex lengths in km, across and down, of positive real and imaginary part"
    _expect_pair("layer_km", layer_km, decaying, lambda length: _finite(length) and length.real > 0 < length.imag)
    lengths = [cells * grid.spacing_km for cells in grid.shape]
    if elements is None:
        elements = _clear_of_resonances(lengths, frequency_hz, order)
    if layer_km is None:
        known = list(LAYER_WAVELENGTHS)
        expect(order in known, "layer_km", f"lengths (across, down) for an order not in {known}", None)
        layer_km = (LAYER_WAVELENGTHS[order] * TYPICAL_KMS / frequency_hz,) * 2
    return tuple(
        Axis(length, count, order, complex(layer), num_layers)
        for length, count, layer in zip(lengths, elements, layer_km, strict=True)
    )


def _expect_pair(name: str, pair, expected: str, good) -> None:
    """``pair`` is None, or two values that are ``good``."""
    fits = pair is None or (isinstance(pair, tuple) and len(pair) == 2 and all(good(value) for value in pair))
    expect(fits, name, expected, repr(pair))


def _whole(count) -> bool:
    return isinstance(count, Integral) and not isinstance(count, bool) and count >= 1


def _finite(length) -> bool:
    return isinstance(length, complex) and cmath.isfinite(length)


def _clear_of_resonances(lengths_km, frequency_hz: float, order: int) -> tuple[int, int]:
    """Elements (across, down): enough, and of the next few choices the one with resonances farthest from 2 km/s.

    A block of sides a, b that is held at u = 0 resonates at c = 2 f / sqrt((i / a)^2 + (j / b)^2), a row of elements
    between two lines at c = 2 f b / j; there its elimination loses digits.
    """
    wavelength = SLOWEST_KMS / frequency_hz
    least = [max(MIN_ELEMENTS, math.ceil(NODES_PER_WAVELENGTH * size / wavelength / order)) for size in lengths_km]

    def distance(counts):
        a, b = (size / count for size, count in zip(lengths_km, counts, strict=True))
        nearby = itertools.product(range(8), range(1, 8))
        speeds = [2 * frequency_hz / math.hypot(i / a, j / b) for i, j in nearby]
        return min(abs(math.log(speed / TYPICAL_KMS)) for speed in speeds)

    choices = itertools.product(*(range(count, count + 3) for count in least))
    return max(choices, key=distance)
