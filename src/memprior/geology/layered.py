"""Layered velocity models on the unit square: parallel interfaces, flat or curved, and at most one normal fault.

x runs across, z down, both from 0 to 1.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from memprior._check import expect
from memprior.geology._cells import centers, expect_size


@dataclass(frozen=True)
class LayerShape:
    r"""The shape that all interfaces of a model share, downwards positive.

    .. math:: s(x) = a \sin(2 \pi x / L + \phi) + b (x - 1/2)

    Args:
        amplitude: a, of depth.
        wavelength: L, of the width; > 0.
        phase: phi, radians.
        tilt: b, of depth over the width.

    Raises:
        ValueError: a wavelength that is not > 0.

    Example:
        >>> from memprior.geology import LayerShape
        >>> LayerShape(amplitude=0.1, wavelength=1.0, phase=0.0, tilt=0.0).extremes(0.0, 1.0)
        (-0.1, 0.1)
    """

    amplitude: float = 0.0
    wavelength: float = 1.0
    phase: float = 0.0
    tilt: float = 0.0

    def __post_init__(self):
        expect(self.wavelength > 0, "wavelength", "a number > 0", self.wavelength)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """s at x, of the same shape."""
        return self.amplitude * np.sin(self._wavenumber * x + self.phase) + self.tilt * (x - 0.5)

    @property
    def _wavenumber(self) -> float:
        return 2 * math.pi / self.wavelength

    @property
    def steepest(self) -> float:
        """Bound on the size of the slope ds/dx."""
        return abs(self.amplitude) * self._wavenumber + abs(self.tilt)

    def extremes(self, left: float, right: float) -> tuple[float, float]:
        """Least and greatest s on [left, right], exact: at its ends and where the slope is zero."""
        places, rise = [left, right], self.amplitude * self._wavenumber
        if 0 < abs(rise) >= abs(self.tilt):
            for angle in (math.acos(-self.tilt / rise), -math.acos(-self.tilt / rise)):
                turns = [(self._wavenumber * x + self.phase - angle) / (2 * math.pi) for x in (left, right)]
                whole = np.arange(math.ceil(turns[0]), math.floor(turns[1]) + 1)
                places.extend((2 * math.pi * whole + angle - self.phase) / self._wavenumber)
        values = self(np.array(places))
        return float(values.min()), float(values.max())


@dataclass(frozen=True)
class Fault:
    """A straight normal fault: what lies above its plane, the hanging wall, has slid down along it.

    Args:
        position: x of the plane at half depth.
        dip_deg: angle of the plane to the horizontal, degrees, above 0 and at most 90.
        throw: vertical part of the slip, of depth; > 0.
        side: where the hanging wall is, 1 right or -1 left; the plane dips to that side.

    Raises:
        ValueError: a field outside these bounds; names it.

    Example:
        >>> from memprior.geology import Fault
        >>> Fault(position=0.5, dip_deg=45.0, throw=0.1, side=1).hangs(0.8, 0.5)
        True
    """

    position: float
    dip_deg: float
    throw: float
    side: int

    def __post_init__(self):
        expect(0 < self.dip_deg <= 90, "dip_deg", "0 < dip_deg <= 90", self.dip_deg)
        expect(self.throw > 0, "throw", "a number > 0", self.throw)
        expect(self.side in (1, -1), "side", "1 or -1", self.side)

    @property
    def heave(self) -> float:
        """Horizontal part of the slip, of the width, positive to the right."""
        return self.side * self.throw / math.tan(math.radians(self.dip_deg))

    def hangs(self, x, z):
        """Whether points lie in the hanging wall; x, z broadcast."""
        return self.side * (x - self.position) > (z - 0.5) / math.tan(math.radians(self.dip_deg))


@dataclass(frozen=True, eq=False)
class LayeredModel:
    """Layers of one velocity each between parallel interfaces.

    Before the fault interface j lies at ``depths[j] + shape(x)``. The hanging wall of the fault is that model moved by
    heave and throw, sampled anew.

    Args:
        velocities: m/s, from the top down, (K,), K >= 2.
        depths: of the interfaces, of depth, ascending, (K - 1,).
        shape: of every interface.
        fault: or None.

    Raises:
        ValueError: numbers of layers and interfaces that do not fit, interfaces that do not ascend, and velocities that
            are not > 0.

    Example:
        >>> from memprior.geology import LayeredModel
        >>> LayeredModel((1500.0, 3000.0), (0.5,)).velocity((4, 2))
        tensor([[1500., 1500.],
                [1500., 1500.],
                [3000., 3000.],
                [3000., 3000.]])
    """

    velocities: tuple[float, ...]
    depths: tuple[float, ...]
    shape: LayerShape = LayerShape()
    fault: Fault | None = None

    def __post_init__(self):
        count = len(self.velocities)
        expect(count >= 2, "velocities", "at least two layers", count)
        expect(min(self.velocities) > 0, "velocities", "m/s, > 0", self.velocities)
        expect(len(self.depths) == count - 1, "depths", f"{count - 1} interfaces", len(self.depths))
        expect(bool((np.diff(self.depths) > 0).all()), "depths", "ascending depths", self.depths)

    def interfaces(self, x: np.ndarray, *, hanging: bool = False) -> np.ndarray:
        """Depth of every interface at x (n,): (K - 1, n), in the footwall or in the hanging wall.

        Where the other wall lies at that point the interface is not there. ``ValueError`` for the hanging wall of a
        model without a fault.
        """
        expect(self.fault is not None or not hanging, "hanging", "False for a model without a fault", hanging)
        heave, throw = (self.fault.heave, self.fault.throw) if self.fault and hanging else (0.0, 0.0)
        return np.array(self.depths)[:, None] + self.shape(np.asarray(x) - heave) + throw

    def layers(self, size: tuple[int, int]) -> np.ndarray:
        """Number of the layer at each cell's center, 0 at the top, (H, W)."""
        expect_size(size)
        z, x = centers(size[0])[:, None], centers(size[1])

        def counted(hanging: bool) -> np.ndarray:
            return (z >= self.interfaces(x, hanging=hanging)[:, None]).sum(0)

        layer = counted(False)
        return layer if self.fault is None else np.where(self.fault.hangs(x, z), counted(True), layer)

    def velocity(self, size: tuple[int, int]) -> torch.Tensor:
        """m/s at the cells' centers, (H, W), float32. ``ValueError`` unless ``size`` is two integers >= 1."""
        return torch.from_numpy(np.array(self.velocities, dtype=np.float32)[self.layers(size)])
