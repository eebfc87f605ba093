"""Smooth velocity models on the unit square: a trend with depth, disturbed by anisotropic Gaussian noise."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr

from memprior._check import expect
from memprior.geology._cells import centers, expect_size

_PERIOD = 3.0  # of the noise, in widths: opposite edges of the square do not see each other
_HIGHEST = 0.65  # wave, per correlation length; the power above is that of a normal beyond 4.08 deviations, 4.5e-5


@dataclass(frozen=True, eq=False)
class StyleModel:
    r"""A velocity between two bounds, from a trend and a Gaussian field g of unit variance.

    .. math:: v(x, z) = v_0 + (v_1 - v_0) \, \Phi\bigl(t_0 + (t_1 - t_0) z + \sigma g(x, z)\bigr)

    Phi, the normal distribution function, keeps every value inside the bounds without cutting any off. g is a sum of
    waves, known between cells as at their centers; its correlation over a distance (dx, dz) is
    exp(-dx^2 / (2 l_x^2) - dz^2 / (2 l_z^2)).

    Args:
        bounds: v_0, v_1, m/s, ascending.
        trend: t_0, t_1, at the top and at the bottom.
        roughness: sigma, >= 0.
        lengths: l_x, l_z, of width and of depth, between 0 and 1/2.
        noise: complex amplitudes, (2 m_z + 1, 2 m_x + 1), of real and imaginary parts N(0, 1), where (m_z, m_x) is
            ``StyleModel.modes(lengths)``.

    Raises:
        ValueError: a field outside these bounds; names it.

    Example:
        >>> import numpy as np
        >>> from memprior.geology import StyleModel
        >>> noise = np.zeros(StyleModel.modes((0.4, 0.4)))
        >>> StyleModel((1000.0, 3000.0), (0.0, 0.0), 0.5, (0.4, 0.4), noise).velocity((1, 2))
        tensor([[2000., 2000.]])
    """

    bounds: tuple[float, float]
    trend: tuple[float, float]
    roughness: float
    lengths: tuple[float, float]
    noise: np.ndarray

    def __post_init__(self):
        expect(0 < self.bounds[0] < self.bounds[1], "bounds", "ascending m/s, > 0", self.bounds)
        expect(self.roughness >= 0, "roughness", "a number >= 0", self.roughness)
        fine = all(0 < length <= 0.5 for length in self.lengths)
        expect(fine, "lengths", "two numbers above 0, at most 1/2", self.lengths)
        expect(
            self.noise.shape == self.modes(self.lengths), "noise", f"shape {self.modes(self.lengths)}", self.noise.shape
        )

    @staticmethod
    def modes(lengths: tuple[float, float]) -> tuple[int, int]:
        """Shape of the noise for correlation lengths l_x, l_z: all waves but 1e-4 of the power."""
        across, down = (2 * math.ceil(_HIGHEST * _PERIOD / length) + 1 for length in lengths)
        return down, across

    def field(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """g at every pair of x (W,) and z (H,), (H, W)."""
        (down, waves_z), (across, waves_x) = (
            self._axis(modes, length, place)
            for modes, length, place in zip(self.noise.shape, self.lengths[::-1], (z, x), strict=True)
        )
        amplitude = down[:, None] * across
        # The real part of (a + i b) exp(i phase) has the variance 1 where a and b have it.
        return (waves_z @ (self.noise * amplitude) @ waves_x.T).real / np.sqrt((amplitude**2).sum())

    @staticmethod
    def _axis(modes: int, length: float, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Spectral amplitudes (modes,) of one axis, and its waves at the places (n, modes)."""
        frequency = (np.arange(modes) - modes // 2) / _PERIOD
        # The spectrum of exp(-d^2 / (2 l^2)) goes as exp(-2 (pi f l)^2); its root is the amplitude.
        return np.exp(-((np.pi * frequency * length) ** 2)), np.exp(2j * np.pi * np.outer(place, frequency))

    def depth_trend(self, z: np.ndarray) -> np.ndarray:
        """v where g is zero, m/s, of the shape of z."""
        return self._velocity(z, 0.0)

    def _velocity(self, z: np.ndarray, field) -> np.ndarray:
        low, high = self.bounds
        first, last = self.trend
        return low + (high - low) * ndtr(first + (last - first) * z + self.roughness * field)

    def velocity(self, size: tuple[int, int]) -> torch.Tensor:
        """m/s at the cells' centers, (H, W), float32. ``ValueError`` unless ``size`` is two integers >= 1."""
        expect_size(size)
        z, x = centers(size[0]), centers(size[1])
        return torch.from_numpy(self._velocity(z[:, None], self.field(x, z)).astype(np.float32))
