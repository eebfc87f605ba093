"""First arrivals through a near surface: a layer whose velocity grows with depth, above an undulating refractor.

x runs along the line, z down, both in m from the surface; times in s.
"""

from dataclasses import dataclass

import numpy as np

from memprior._check import expect, expect_positive
from memprior.geology.layered import LayerShape

CELL_M = 5.0  # between nodes of the eikonal solver, where sources and receivers lie
_FLAT = LayerShape()


@dataclass(frozen=True, eq=False)
class NearSurface:
    r"""A layer of velocity v_0 + g z above a refractor of velocity v_r, whose depth is ``depth_m`` + ``shape(x)``.

    Args:
        velocity: v_0, m/s, > 0.
        gradient: g, 1/s, >= 0.
        refractor: v_r, m/s, faster than the layer is at any depth of the refractor.
        depth_m: > 0.
        shape: in m; flat by default.
        length_m: of the line, > 0; the refractor stays below the surface there.

    Raises:
        ValueError: a field outside these bounds; names it.

    Example:
        >>> from memprior.geology import NearSurface
        >>> direct = NearSurface(1500.0, 0.0, 3000.0, 100.0).first_arrivals(0.0, np.array([150.0, 300.0]))
        >>> np.round(direct, 9).tolist()
        [0.1, 0.2]
    """

    velocity: float
    gradient: float
    refractor: float
    depth_m: float
    shape: LayerShape = _FLAT
    length_m: float = 1260.0

    def __post_init__(self):
        expect_positive("velocity", self.velocity)
        expect(self.gradient >= 0, "gradient", "1/s, >= 0", self.gradient)
        expect_positive("length_m", self.length_m)
        high, low = self.depths_m
        expect(high > 0, "depth_m, shape", "a refractor below the surface", f"{high:g} m")
        fastest = self.velocity + self.gradient * low
        expect(self.refractor > fastest, "refractor", f"m/s, above the layer's {fastest:g}", self.refractor)

    @property
    def depths_m(self) -> tuple[float, float]:
        """Least and greatest depth of the refractor on the line."""
        high, low = self.shape.extremes(0.0, self.length_m)
        return self.depth_m + high, self.depth_m + low

    def velocities(self, cell_m: float = CELL_M) -> np.ndarray:
        """m/s at nodes (z, x), ``cell_m`` apart, from the surface to 20 m or more below the deepest refractor.

        At a node that the refractor is nearer to than half a cell the two velocities are mixed by its depth: its
        shape is not rounded to nodes.
        """
        expect_positive("cell_m", cell_m)
        x = np.arange(round(self.length_m / cell_m) + 1) * cell_m
        z = np.arange(np.ceil((self.depths_m[1] + 20) / cell_m) + 1)[:, None] * cell_m
        below = np.clip((z - self.depth_m - self.shape(x)) / cell_m + 0.5, 0, 1)
        return (1 - below) * (self.velocity + self.gradient * z) + below * self.refractor

    def first_arrivals(self, source_m: float, receivers_m: np.ndarray, cell_m: float = CELL_M) -> np.ndarray:
        """Times (n,) from a source at the surface to receivers there (n,), all on nodes.

        The factored eikonal equation ``|grad T| = 1 / v``, ``T = |x - x_s| tau``, by fast marching of second order
        (Treister and Haber 2016; eikonalfm): to rounding where v is constant. Head waves are as exact as the refractor
        is on the nodes, to a quarter of a cell: ``cell_m`` / (2 v_0).

        Raises ``ValueError`` for places that are no nodes, ``ModuleNotFoundError`` without eikonalfm.
        """
        places = np.append(source_m, receivers_m) / cell_m
        nodes = np.round(places).astype(int)
        velocities = self.velocities(cell_m)
        fits = np.abs(places - nodes).max() < 1e-6 and nodes.min() >= 0 and nodes.max() < velocities.shape[1]
        expect(fits, "source_m, receivers_m", f"multiples of {cell_m:g} m, 0 to {self.length_m:g} m", places * cell_m)
        source, receivers = (0, int(nodes[0])), nodes[1:]
        factor = _eikonalfm().factored_fast_marching(velocities, source, (cell_m, cell_m), 2)
        return factor[0, receivers] * np.abs(receivers - source[1]) * cell_m


def _eikonalfm():
    """The package: compiled code that only this module needs, loaded with the first arrival."""
    try:
        import eikonalfm
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"geology.near_surface: expected eikonalfm, got {error}; pip install 'priors-that-remember[geology]'"
        ) from error
    return eikonalfm
