"""The 5-point stencil for the Helmholtz equation: the usual operator, kept as the reference for the fast one.

(omega^2 m + Laplacian) u = delta(x - x_s) on cell centers, second order in the spacing h, in a perfectly matched layer
(PML). Stretching each coordinate by s = 1 + i sigma / omega and multiplying by s_x s_z,

    d/dx (s_z / s_x du/dx) + d/dz (s_x / s_z du/dz) + omega^2 m s_x s_z u = delta(x - x_s),

makes the matrix symmetric, A = A^T: one factorization serves the forward and the adjoint solves. m enters through the
diagonal only.
"""

import math
import warnings

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu

from memprior._check import (
    MAX_BYTES,
    USUAL_KMS,
    expect,
    expect_finite,
    expect_fits,
    expect_positive,
    expect_tensor,
    expect_velocities,
    expect_whole,
    positive_number,
)
from memprior._derivatives import differentiable
from memprior.fields import Grid
from memprior.waves.acquisition import Acquisition

# What the PML would reflect, were it not discretized, of a plane wave of 2 km/s at normal incidence. Tuned by comparing
# 30 PML cells of 10 m with 100 or more: in a square of 1 km at 3 to 10 Hz, 1e-3 changes the data by 4e-3 and 1e-7 to
# 1e-10 by 1e-5 or less, a stronger layer being too steep for its cells. At the published setting 1e-7, 1e-8 and 1e-9
# change them by 2e-4, 7e-5 and 2e-5, far below the 5e-2 of the stencil.
_REFLECTION, _SPEED_KM_S = 1e-8, 2.0
_LEAST_CELLS_PER_WAVELENGTH = 10
# Factors of n unknowns, in bytes over n log2(n): 55 at 6400 unknowns, 66 at 67 600, 73 at 250 000.
_FACTOR_BYTES = 73


class FivePointOperator:
    """Squared slowness (B, nx, nz), s^2/km^2, to data (B, 2 S R): real parts [source, receiver], then imaginary parts.

    Waves are outgoing as exp(-i omega t): u = -(i/4) H0^(1)(k r) where m is homogeneous. The PML lies outside the
    square; m continues in it by its edge value, and u = 0 beyond. First derivatives, in reverse and forward mode, are
    those of the discrete operator, exact for every cell. The factors of all models of a batch (with their wavefields
    some 0.09 GB each at the published 200 x 200 cells) are in memory during a call, then as long as the data's graph.

    grid: cells of the square. acquisition: sources and receivers, each at the center of a cell of ``grid``: a point
    source is 1/h^2 in one cell. frequency_hz: > 0. num_pml_cells: on each of the four sides, >= 1. max_bytes: work
    that needs more memory, by the estimate of 73 n log2(n) bytes for n unknowns, is refused before it is begun.
    Raises ``ValueError`` naming the argument otherwise; for a position off the centers, with the nearest one.
    """

    def __init__(
        self,
        grid: Grid,
        acquisition: Acquisition,
        frequency_hz: float,
        *,
        num_pml_cells: int = 30,
        max_bytes: float = MAX_BYTES,
    ):
        expect_whole("num_pml_cells", num_pml_cells, 1)
        acquisition.expect_inside(grid)
        self.grid, self.acquisition = grid, acquisition
        self.frequency_hz = positive_number("frequency_hz", frequency_hz)
        self.num_pml_cells, self.max_bytes, self._told = num_pml_cells, positive_number("max_bytes", max_bytes), False
        self._expect_fits("grid", 1, "a coarser or smaller grid")
        omega, spacing = 2 * math.pi * self.frequency_hz, grid.spacing_km

        centers, edges = zip(*(_stretch(cells, num_pml_cells, spacing, omega) for cells in grid.shape), strict=True)
        across, down = (_second_difference(s) / spacing**2 for s in edges)
        laplacian = sparse.kron(across, sparse.diags(centers[1])) + sparse.kron(sparse.diags(centers[0]), down)
        self._laplacian = laplacian.tocsc()
        columns = np.repeat(np.arange(laplacian.shape[1]), np.diff(self._laplacian.indptr))
        self._diagonal = np.flatnonzero(self._laplacian.indices == columns)
        self._mass = omega**2 * np.outer(*centers).ravel()  # times m: its share of the diagonal
        # m of every padded cell is that of the nearest cell of the square.
        self._pad = sparse.kron(*(_replicate(cells, num_pml_cells) for cells in grid.shape)).tocsr()

        self._sources = self._cells("sources_km", acquisition.sources_km)
        self._receivers = self._cells("receivers_km", acquisition.receivers_km)

    def __call__(self, squared_slowness: torch.Tensor) -> torch.Tensor:
        """Warns (``UserWarning``) at fewer than 10 cells per shortest wavelength; see :meth:`wavefields`."""
        self._check(squared_slowness)
        return differentiable(squared_slowness, _Solve(self))

    def wavefields(self, squared_slowness: torch.Tensor) -> torch.Tensor:
        """u in the square, complex (B, S, nx, nz). No gradient.

        Raises ``ValueError`` unless squared_slowness is float64, (B, nx, nz), finite and > 0, with velocities of .1 to
        20 km/s and 2 cells per shortest wavelength; warns outside .3 to 9 km/s, once. Warns at G < 10 cells per
        shortest wavelength: along an axis the phase is off by (2 pi)^3 / (24 G^2), more than 0.1 rad per wavelength.
        """
        self._check(squared_slowness)
        pml, (nx, nz) = self.num_pml_cells, self.grid.shape
        fields = np.stack([self._solve(model)[1].T for model in _numpy(squared_slowness)])
        fields = fields.reshape(len(fields), -1, nx + 2 * pml, nz + 2 * pml)
        inside = fields[:, :, pml : pml + nx, pml : pml + nz].copy()
        return torch.from_numpy(inside).to(squared_slowness.device)

    def _check(self, squared_slowness: torch.Tensor) -> None:
        name, shape = "squared_slowness", self.grid.shape
        words = f"(B, {shape[0]}, {shape[1]})"
        expect_tensor(name, squared_slowness, words)
        expect(squared_slowness.dtype == torch.float64, name, "dtype torch.float64", squared_slowness.dtype)
        expect(
            squared_slowness.device.type in ("cpu", "cuda"), name, "a tensor on cpu or cuda", squared_slowness.device
        )
        good = squared_slowness.ndim == 3 and squared_slowness.shape[1:] == shape and len(squared_slowness) > 0
        expect(good, name, f"shape {words}, B >= 1", tuple(squared_slowness.shape))
        expect_finite(name, squared_slowness)
        expect_positive(name, squared_slowness)
        fast, slow = (float(value) ** -0.5 for value in squared_slowness.detach().aminmax())
        if not expect_velocities(name, slow, fast, "s^2/km^2") and not self._told:
            self._told = True
            usual = f"from {USUAL_KMS[0]:g} to {USUAL_KMS[1]:g} km/s"
            warnings.warn(f"{name}: expected velocities of rocks, {usual}, got {slow:.3g} to {fast:.3g}", stacklevel=3)
        cells = slow / (self.frequency_hz * self.grid.spacing_km)
        allowed = "at least 2 cells of spacing_km, in km, per shortest wavelength"
        expect(cells >= 2, "grid", allowed, f"{cells:.3g} at {slow:.3g} km/s and {self.frequency_hz:g} Hz")
        self._expect_fits(name, len(squared_slowness), "take the batch in parts")
        if cells < _LEAST_CELLS_PER_WAVELENGTH:
            warnings.warn(
                f"{cells:.1f} cells per shortest wavelength, fewer than {_LEAST_CELLS_PER_WAVELENGTH}: phase off by up "
                f"to {(2 * math.pi) ** 3 / (24 * cells**2):.2g} rad per wavelength",
                stacklevel=3,
            )

    def _expect_fits(self, name: str, num_models: int, remedy: str) -> None:
        unknowns = math.prod(cells + 2 * self.num_pml_cells for cells in self.grid.shape)
        model = _FACTOR_BYTES * unknowns * math.log2(unknowns) + 16 * unknowns * len(self.acquisition.sources_km)
        what = f"{unknowns:.2g} unknowns, {num_models} model{'s' * (num_models > 1)}"
        expect_fits(name, num_models * model, self.max_bytes, what, f"{remedy}, or raise max_bytes")

    def _cells(self, name: str, positions_km: torch.Tensor) -> np.ndarray:
        """Indices of the padded cells at whose centers the positions lie, (n,)."""
        spacing, (nx, nz) = self.grid.spacing_km, self.grid.shape
        positions = positions_km.detach().double().cpu().numpy()
        cells = np.clip(np.floor(positions / spacing), 0, np.array([nx, nz]) - 1).astype(int)
        centers = (cells + 0.5) * spacing
        for index, ((x, z), (near_x, near_z)) in enumerate(zip(positions, centers, strict=True)):
            away = math.hypot(x - near_x, z - near_z)
            nearest = f"the center of a cell (the nearest, ({near_x:g}, {near_z:g}) km, is {away:.3g} km away)"
            expect(away <= 1e-6 * spacing, f"{name}[{index}]", nearest, f"({x:g}, {z:g}) km")
        cells = cells + self.num_pml_cells
        return cells[:, 0] * (nz + 2 * self.num_pml_cells) + cells[:, 1]

    def _solve(self, model: np.ndarray) -> tuple[SuperLU, np.ndarray]:
        """Factors of A and its solutions for all sources, (padded cells, S), of one model (nx, nz)."""
        matrix = self._laplacian.copy()
        matrix.data[self._diagonal] += self._mass * (self._pad @ model.ravel())
        # A = A^T has a symmetric pattern and, in its order, needs no pivoting: the least fill that scipy offers.
        factors = splu(matrix, "MMD_AT_PLUS_A", diag_pivot_thresh=1e-3, options={"SymmetricMode": True})
        return factors, factors.solve(self._spread(self._sources, np.eye(len(self._sources)) / self.grid.spacing_km**2))

    def _spread(self, cells: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Right-hand sides (padded cells, n) that hold ``values`` (len(cells), n) in ``cells`` and 0 elsewhere."""
        loads = np.zeros((len(self._mass), values.shape[1]), dtype=complex, order="F")
        np.add.at(loads, cells, values)
        return loads

    def _data(self, wavefields: list[np.ndarray]) -> torch.Tensor:
        data = np.stack([u[self._receivers].T.ravel() for u in wavefields])
        return torch.from_numpy(np.concatenate([data.real, data.imag], axis=1))


class _Solve:
    """The data of some models: factors and wavefields (padded cells, S) of each, which serve both derivatives."""

    def __init__(self, operator: FivePointOperator):
        self.operator = operator
        self.solved: list = []

    def forward(self, squared_slowness: torch.Tensor) -> torch.Tensor:
        self.solved = [self.operator._solve(model) for model in _numpy(squared_slowness)]
        return self.operator._data([u for _, u in self.solved]).to(squared_slowness.device)

    def backward(self, squared_slowness: torch.Tensor, cotangent: torch.Tensor) -> torch.Tensor:
        """-Re(omega^2 s_x s_z sum_s lambda_s u_s), A lambda_s = the conjugated cotangent at the receivers."""
        operator, gradients = self.operator, []
        halves = _numpy(cotangent).reshape(len(cotangent), 2, len(operator._sources), len(operator._receivers))
        for (factors, u), loads in zip(self.solved, halves[:, 0] - 1j * halves[:, 1], strict=True):
            adjoint = factors.solve(operator._spread(operator._receivers, loads.T))
            gradients.append(operator._pad.T @ -(operator._mass * (adjoint * u).sum(1)).real)
        return torch.from_numpy(np.stack(gradients)).to(cotangent.device).reshape(squared_slowness.shape)

    def tangent(self, squared_slowness: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        """A du = -dA u at the receivers, dA = diag(omega^2 s_x s_z dm)."""
        changes = []
        for (factors, u), change in zip(self.solved, _numpy(direction), strict=True):
            changes.append(factors.solve(-(self.operator._mass * (self.operator._pad @ change.ravel()))[:, None] * u))
        return self.operator._data(changes).to(direction.device)


def _numpy(x: torch.Tensor) -> np.ndarray:
    return x.detach().cpu().numpy()


def _stretch(cells: int, pml: int, spacing: float, omega: float) -> tuple[np.ndarray, np.ndarray]:
    """s at the centers and at the faces of the padded cells of an axis, (n,) and (n + 1,).

    sigma = (3 c / 2 L) log(1 / R) (depth / L)^2 in a layer of thickness L.
    """
    half_faces = np.arange(2 * (cells + 2 * pml) + 1) / 2 - pml
    depth = np.maximum(np.maximum(-half_faces, half_faces - cells), 0) / pml
    peak = 1.5 * _SPEED_KM_S / (pml * spacing) * math.log(1 / _REFLECTION)
    stretch = 1 + 1j * peak / omega * depth**2
    return stretch[1::2], stretch[::2]


def _second_difference(faces: np.ndarray) -> sparse.dia_array:
    """d (1/s du/dx) in units of the spacing, u = 0 one cell beyond either end; faces: s at the n + 1 faces."""
    flux = 1 / faces
    return sparse.diags_array([flux[1:-1], -flux[:-1] - flux[1:], flux[1:-1]], offsets=[-1, 0, 1])


def _replicate(cells: int, pml: int) -> sparse.csr_array:
    """The matrix (cells + 2 pml, cells) that continues values by those of the first and the last cell."""
    padded = cells + 2 * pml
    nearest = np.clip(np.arange(padded) - pml, 0, cells - 1)
    return sparse.csr_array((np.ones(padded), (np.arange(padded), nearest)), shape=(padded, cells))
