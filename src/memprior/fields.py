"""Grids, the paper's training fields, its cosine basis, and the two ways to say how fast a rock is.

The model parameter is squared slowness, 1/v^2 in s^2/km^2, on a square of 2 km x 2 km. A model is either a field
(nx, nz) or its coefficients z (d = 100) in a cosine basis; the memorization metric of the paper lives in z.
"""

from dataclasses import dataclass

import torch

from memprior._check import expect, expect_finite, expect_points, expect_positive, expect_tensor, expect_whole


@dataclass(frozen=True)
class Grid:
    """Cells of a rectangle: cell i of an axis has its center at (i + 1/2) * spacing_km.

    Args:
        shape: (nx, nz); first axis across, second down.
        spacing_km: side of a cell, km.

    Raises:
        ValueError: a shape that is no tuple of two integers >= 1, or a spacing not > 0.

    Example:
        >>> from memprior.fields import Grid
        >>> Grid((4, 2), spacing_km=0.5).centers_km(0)
        tensor([0.2500, 0.7500, 1.2500, 1.7500], dtype=torch.float64)
    """

    shape: tuple[int, int]
    spacing_km: float

    def __post_init__(self):
        expect(isinstance(self.shape, tuple) and len(self.shape) == 2, "shape", "a tuple (nx, nz)", self.shape)
        for cells in self.shape:
            expect_whole("shape", cells, 1)
        expect_positive("spacing_km", self.spacing_km)

    def centers_km(self, axis: int) -> torch.Tensor:
        """Cell centers along an axis, (n,), km, float64."""
        return (torch.arange(self.shape[axis], dtype=torch.float64) + 0.5) * self.spacing_km


class CosineBasis:
    r"""Squared slowness from coefficients of cosines, on the cells of a grid, as in the paper's FWI.

    .. math::
        m &= 1/4 + 0.02 \sum_i z_i \lambda_i \phi_i \\
        \phi_i &= 2 \cos(\pi (i_1 + 1/2) x) \cos(\pi (i_2 + 1/2) z) \\
        \lambda_i &= \bigl(\pi^2 ((i_1 + 1/2)^2 + (i_2 + 1/2)^2)\bigr)^{-\mathrm{decay}}

    at the cell centers of the unit square, i = (i1, i2) in {1..num_modes}^2, i1 slow. d = num_modes^2 coefficients. Any
    grid can be decoded to.

    Args:
        grid: the cells.
        num_modes: along each axis.
        background: m of z = 0, s^2/km^2.
        scale: of the sum, s^2/km^2, > 0.
        decay: of lambda.

    Raises:
        ValueError: unless num_modes is below the cells along each axis: the modes would not be independent.

    Example:
        >>> import torch
        >>> from memprior.fields import CosineBasis, Grid
        >>> basis = CosineBasis(Grid((64, 64), 2 / 64))
        >>> field = basis.decode(torch.zeros(1, 100))
        >>> field.shape, float(field.mean())  # 2 km/s
        (torch.Size([1, 64, 64]), 0.25)
        >>> z = torch.randn(1, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        >>> torch.allclose(basis.encode(basis.decode(z)), z)
        True
    """

    def __init__(
        self, grid: Grid, num_modes: int = 10, *, background: float = 0.25, scale: float = 0.02, decay: float = 0.55
    ):
        expect_whole("num_modes", num_modes, 1)
        expect(
            num_modes < min(grid.shape),
            "num_modes",
            f"fewer than {min(grid.shape)}, the cells along an axis",
            num_modes,
        )
        expect_positive("scale", scale)
        self.grid, self.background = grid, background
        self.size = num_modes**2
        half = torch.arange(1, num_modes + 1, dtype=torch.float64) + 0.5
        across, down = (torch.cos(torch.pi * half[:, None] * (torch.arange(n) + 0.5) / n) for n in grid.shape)
        decay_factors = (torch.pi**2 * (half[:, None] ** 2 + half**2)) ** -decay
        modes = 2 * across[:, None, :, None] * down[None, :, None, :] * decay_factors[:, :, None, None]
        self._synthesis = scale * modes.reshape(self.size, -1)  # (d, nx * nz)
        # The sampled cosines are orthogonal (a DCT-IV), so least squares is a projection.
        self._analysis = self._synthesis / self._synthesis.square().sum(1, keepdim=True)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Coefficients (B, d) to squared slowness (B, nx, nz), s^2/km^2. Linear plus a constant; differentiable."""
        expect_points("z", z, size=self.size)
        return self.background + (z @ self._synthesis.to(z)).reshape(-1, *self.grid.shape)

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """:meth:`decode`: a basis is what a forward operator on fields is composed with."""
        return self.decode(z)

    def jacobian(self, z: torch.Tensor) -> torch.Tensor:
        """d decode / dz, the same everywhere, (B, nx * nz, d)."""
        return self._synthesis.to(z).T.expand(len(z), -1, -1)

    def encode(self, fields: torch.Tensor) -> torch.Tensor:
        """Squared slowness (B, nx, nz) to its least-squares coefficients (B, d)."""
        expect_tensor("fields", fields, f"(B, {self.grid.shape[0]}, {self.grid.shape[1]})")
        expect(
            fields.ndim == 3 and fields.shape[1:] == self.grid.shape,
            "fields",
            f"shape (B, {self.grid.shape[0]}, {self.grid.shape[1]})",
            tuple(fields.shape),
        )
        return (fields - self.background).flatten(1) @ self._analysis.to(fields).T


@dataclass(frozen=True, eq=False)
class Standardizer:
    """Standardized coordinates, (x - mean) / scale; the paper's diffusion runs in them.

    Args:
        mean: (d,).
        scale: (d,).

    Example:
        >>> import torch
        >>> from memprior.fields import Standardizer
        >>> x = torch.tensor([[1.0], [3.0]])
        >>> standardizer = Standardizer.fit(x)
        >>> standardizer.normalize(x).flatten()
        tensor([-0.7071,  0.7071])
        >>> torch.allclose(standardizer.restore(standardizer.normalize(x)), x)
        True
    """

    mean: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def fit(cls, x: torch.Tensor) -> "Standardizer":
        """From examples (N, d), N >= 2: mean, and standard deviation (divisor N - 1) plus 1e-5 as released."""
        expect_points("x", x)
        expect(len(x) >= 2, "x", "at least two examples to standardize by", len(x))
        expect_finite("x", x)
        return cls(x.mean(0), x.std(0) + 1e-5)

    def to(self, device: torch.device) -> "Standardizer":
        """On another device: fitted on the CPU and moved, coordinates are the same on all of them."""
        return Standardizer(self.mean.to(device), self.scale.to(device))

    def normalize(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.scale

    def restore(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale + self.mean


def velocity(squared_slowness: torch.Tensor) -> torch.Tensor:
    """Velocity of squared slowness, v = m^(-1/2).

    Args:
        squared_slowness: m, (B, nx, nz), s^2/km^2.

    Returns:
        (B, nx, nz), km/s.

    Raises:
        ValueError: unless every cell is > 0.
        TypeError: a model that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.fields import velocity
        >>> velocity(torch.tensor([[[0.25]]]))
        tensor([[[2.]]])
    """
    expect_tensor("squared_slowness", squared_slowness, "(B, nx, nz)")
    expect_positive("squared_slowness", squared_slowness)
    return squared_slowness.rsqrt()


def squared_slowness(velocity: torch.Tensor) -> torch.Tensor:
    """m = v^(-2): km/s to s^2/km^2. ``ValueError`` unless every cell is > 0."""
    expect_tensor("velocity", velocity, "(B, nx, nz)")
    expect_positive("velocity", velocity)
    return velocity.square().reciprocal()
