"""The mesh for a frequency: how many elements, and how long the absorbing ones."""

import cmath
import itertools
import math
from numbers import Integral

import numpy as np

from memprior._check import expect
from memprior.fields import Grid
from memprior.waves.acquisition import Acquisition
from memprior.waves.helmholtz.mesh import Axis

# Slowest and fastest velocity that a mesh is chosen for, and the one around which it keeps clear of resonances.
MESH_SLOWEST_KMS, MESH_FASTEST_KMS, TYPICAL_KMS = 1.5, 3.5, 2.0
NODES_PER_WAVELENGTH = 6.0  # at MESH_SLOWEST_KMS, when the mesh is chosen here; see the appendix on waves for the error
# Length of the absorbing element in wavelengths at TYPICAL_KMS, by order: the least largest error over homogeneous
# media of 1.5 to 3.5 km/s, sources 25 m from a face.
LAYER_WAVELENGTHS = {6: 0.55 + 1.57j, 7: 0.79 + 1.57j, 8: 0.97 + 1.74j}
MIN_ELEMENTS = 6  # at low frequencies it is the model, not the wave, that needs nodes
MAX_LAYERS = 8
LAYER_ERROR = 0.01  # of any datum, that the absorbing layers may make in a homogeneous medium
# A layer's element sees a wave of its own length; the cylinder wave around a source on the face is resolved where its
# distance from the receiver, or the depth of both, is above these shares of a wavelength at TYPICAL_KMS (to 1 %).
NEAREST, SHALLOWEST = 0.85, 0.05


def choose_axes(
    grid: Grid,
    acquisition: Acquisition,
    frequency_hz: float,
    order: int,
    elements: tuple[int, int] | None,
    layer_km: tuple[complex, complex] | None,
    num_layers: int | None,
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
        layer = LAYER_WAVELENGTHS[order] * TYPICAL_KMS / frequency_hz
        if num_layers is None:
            nearest_km = max(length / count for length, count in zip(lengths, elements, strict=True))
            num_layers, parts = _layers(acquisition, lengths, frequency_hz, layer, nearest_km)
            layer, num_layers = layer / parts, num_layers * parts
        layer_km = layer, layer
    across, down = (
        Axis(length, count, order, complex(layer), num_layers or 1)
        for length, count, layer in zip(lengths, elements, layer_km, strict=True)
    )
    return across, down


def _layers(
    acquisition: Acquisition, lengths_km, frequency_hz: float, layer_km: complex, nearest_km: float
) -> tuple[int, int]:
    """How many layers of this length, and into how many elements to part each, for data more than nearest_km away.

    What n layers let back of a wave along a face comes from the image of its source beyond their end, -u(rho) with
    rho^2 = x^2 + (z + z' + 2 n layer)^2, x the offset and z, z' the depths below the face (exact for a half-space).
    """
    sources, receivers = (
        positions.cpu().double().numpy() for positions in (acquisition.sources_km, acquisition.receivers_km)
    )
    direct = np.linalg.norm(sources[:, None] - receivers, axis=-1)
    far = direct > nearest_km
    wavenumber = 2 * math.pi * frequency_hz / MESH_FASTEST_KMS
    wavelengths = np.full(direct.shape, np.inf)  # how well the layer's element resolves each pair, least over faces
    faces = []
    for axis, length in enumerate(lengths_km):
        offset = sources[:, None, 1 - axis] - receivers[:, 1 - axis]
        for face in (0, length):
            depth = abs(sources[:, None, axis] - face) + abs(receivers[:, axis] - face)
            faces.append((offset, depth))
            resolved = np.maximum(direct / NEAREST, depth / 2 / SHALLOWEST) * frequency_hz / TYPICAL_KMS
            wavelengths = np.minimum(wavelengths, resolved)

    def error(count):
        images = [np.sqrt(offset**2 + (depth + 2 * count * layer_km) ** 2) for offset, depth in faces]
        return max((np.exp(-wavenumber * r.imag) * np.sqrt(direct / abs(r)))[far].max(initial=0) for r in images)

    count = next((count for count in range(1, MAX_LAYERS) if error(count) <= LAYER_ERROR), MAX_LAYERS)
    parts = next((parts for parts in (1, 2) if parts * wavelengths[far].min(initial=np.inf) >= 1), 4)
    return count, parts


def _expect_pair(name: str, pair, expected: str, good) -> None:
    """``pair`` is None, or two values that are ``good``."""
    fits = pair is None or (isinstance(pair, tuple) and len(pair) == 2 and all(good(value) for value in pair))
    expect(fits, name, expected, repr(pair))


def _whole(count) -> bool:
    return isinstance(count, Integral) and not isinstance(count, bool) and int(count) >= 1


def _finite(length) -> bool:
    return isinstance(length, complex) and cmath.isfinite(length)


def _clear_of_resonances(lengths_km, frequency_hz: float, order: int) -> tuple[int, int]:
    """Elements (across, down): enough, and of the next few choices the one with resonances farthest from 2 km/s.

    A block of sides a, b that is held at u = 0 resonates at c = 2 f / sqrt((i / a)^2 + (j / b)^2), a row of elements
    between two lines at c = 2 f b / j; there its elimination loses digits.
    """
    wavelength = MESH_SLOWEST_KMS / frequency_hz
    least = [max(MIN_ELEMENTS, math.ceil(NODES_PER_WAVELENGTH * size / wavelength / order)) for size in lengths_km]

    def distance(counts):
        a, b = (size / count for size, count in zip(lengths_km, counts, strict=True))
        nearby = itertools.product(range(8), range(1, 8))
        speeds = [2 * frequency_hz / math.hypot(i / a, j / b) for i, j in nearby]
        return min(abs(math.log(speed / TYPICAL_KMS)) for speed in speeds)

    choices = itertools.product(*(range(count, count + 3) for count in least))
    across, down = max(choices, key=distance)
    return across, down
