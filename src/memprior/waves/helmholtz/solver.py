"""One frequency: models on a uniform grid to complex data, and the three derivatives of that map.

    d_sr = r^T A(m)^-1 s           s, r: nodal polynomials at the source and the receiver
    gradient of Re sum conj(c) d:  -Re(w sum_s u_s lambda_s),   A u_s = s,   A lambda_s = sum_r conj(c_sr) r
    tangent:                       -r^T A^-1 (w dm u_s)
    Jacobian by reciprocity:       -w u_s g_r,                  A g_r = r        (w = omega^2 times the weights)

each at the nodes, then carried to the grid's cells by the transpose of what carried the model to the nodes: padding,
interpolation and averaging are part of the derivative.
"""

from dataclasses import dataclass

import numpy as np
import torch

from memprior.fields import Grid
from memprior.waves.acquisition import Acquisition
from memprior.waves.helmholtz.condensation import Condensation, Factors, Nodal
from memprior.waves.helmholtz.mesh import Axis


@dataclass(frozen=True, eq=False)
class State:
    """A forward solve: data (B, S, R); for the derivatives the factors, and u of all sources as ``solve`` gave it.

    free: (B, N_z, N_x), nodes of which the model was not limited; None where none is.
    """

    free: torch.Tensor | None
    data: torch.Tensor
    factors: Factors
    solved: Nodal


class FrequencySolver:
    """A(m) of one frequency with its sources and receivers, in one precision on one device.

    Models: squared slowness (B, nx, nz), any real dtype; data: complex (B, S, R). allowed: least and most squared
    slowness at a node, where the cubic through cells of sharp contrast overshoots them it is limited.
    """

    def __init__(
        self,
        grid: Grid,
        acquisition: Acquisition,
        frequency_hz: float,
        axes: tuple[Axis, Axis],
        *,
        dtype: torch.dtype,
        device: torch.device,
        allowed: tuple[float, float] | None = None,
    ):
        self.across, self.down = axes
        self.allowed = allowed
        self.matrix = Condensation(*axes, frequency_hz, dtype=dtype, device=device)
        self.real = self.matrix.mass.real.dtype
        x, z = (
            torch.from_numpy(axis.from_cells(cells, grid.spacing_km)).to(device, self.real)
            for axis, cells in zip(axes, grid.shape, strict=True)
        )
        self.x_from_cells, self.z_from_cells = x, z
        points = [positions.cpu().numpy() for positions in (acquisition.sources_km, acquisition.receivers_km)]
        self.sources, self.receivers = (self._loads(positions) for positions in points)
        self.receiver_rows = self.receivers.rows
        self.hear = self._stacked(self.receivers)[0].real.T.contiguous()  # (R, unknowns in the receivers' rows)

    def _loads(self, positions: np.ndarray) -> Nodal:
        """Point loads, one column each, on the rows of elements where they lie."""
        z, x = self.down.basis(positions[:, 1]), self.across.basis(positions[:, 0])
        rows = self.down.element_of(positions[:, 1]) + self.down.num_layers
        nodal = torch.from_numpy(np.einsum("iz,ix->zxi", z, x)[None]).to(self.matrix.device, self.matrix.dtype)
        return self.matrix.split(nodal, range(int(rows.min()), int(rows.max()) + 1))

    def _stacked(self, field: Nodal) -> torch.Tensor:
        """The unknowns of a field's rows and of the lines around them, (B, unknowns, k)."""
        around = slice(max(field.rows.start - 1, 0), field.rows.stop)
        near = field.lines[:, around].flatten(1, 2)
        return torch.cat([field.interior.flatten(1, 3), field.vertical.flatten(1, 2), near], 1)

    def _unstacked(self, stacked: torch.Tensor) -> Nodal:
        """The load on the receivers' rows that :meth:`_stacked` would give ``stacked``."""
        like, (batch, _, k) = self.receivers, stacked.shape
        around = slice(max(like.rows.start - 1, 0), like.rows.stop)
        parts = [like.interior, like.vertical, like.lines[:, around]]
        sizes = [part[0, ..., 0].numel() for part in parts]
        interior, vertical, near = (
            piece.reshape(batch, *part.shape[1:-1], k)
            for piece, part in zip(stacked.split(sizes, 1), parts, strict=True)
        )
        lines = near.new_zeros(batch, *like.lines.shape[1:-1], k)
        lines[:, around] = near
        return Nodal(like.rows, interior, vertical, lines)

    def forward(self, model: torch.Tensor) -> State:
        nodes, free = self.z_from_cells @ model.to(self.real).mT @ self.x_from_cells.T, None
        if self.allowed is not None:
            limited = nodes.clamp(*self.allowed)
            nodes, free = limited, limited == nodes
        factors = self.matrix.factor(nodes)
        solved = self.matrix.solve(factors, self.sources)
        return State(free, self._recorded(factors, solved), factors, solved)

    def _mass(self, state: State) -> torch.Tensor:
        """dA / dm at the nodes, (N_z, N_x), or (B, N_z, N_x) where nodes are limited."""
        return self.matrix.mass if state.free is None else self.matrix.mass * state.free

    def _recorded(self, factors: Factors, solved: Nodal) -> torch.Tensor:
        field = self._stacked(self.matrix.field(factors, solved, self.receiver_rows))
        recorded = self.hear @ torch.view_as_real(field).flatten(2)  # real receivers: one real product
        return torch.view_as_complex(recorded.unflatten(2, (-1, 2))).mT

    def gradient(self, state: State, cotangent: torch.Tensor) -> torch.Tensor:
        """d Re sum(conj(c) d) / dm, (B, nx, nz), for c (B, S, R)."""
        matrix, columns = self.matrix, cotangent.mT.conj().to(self.matrix.dtype).resolve_conj().contiguous()
        loads = torch.view_as_complex((self.hear.T @ torch.view_as_real(columns).flatten(2)).unflatten(2, (-1, 2)))
        adjoint = matrix.field(state.factors, matrix.solve(state.factors, self._unstacked(loads)))
        field = matrix.field(state.factors, state.solved)
        parts = ("interior", "vertical", "lines")
        products = [(getattr(field, part) * getattr(adjoint, part)).sum(-1, keepdim=True) for part in parts]
        return self._to_cells(-(matrix.join(Nodal(field.rows, *products))[..., 0] * self._mass(state)).real)

    def _to_cells(self, nodal: torch.Tensor) -> torch.Tensor:
        return (self.z_from_cells.T @ nodal @ self.x_from_cells).mT

    def tangent(self, state: State, direction: torch.Tensor) -> torch.Tensor:
        """The data's derivative along a change of the model (B, nx, nz): (B, S, R)."""
        change = self.z_from_cells @ direction.to(self.real).mT @ self.x_from_cells.T
        load = -(change * self._mass(state))[..., None] * self._everywhere(state.factors, state.solved)
        return self._recorded(state.factors, self.matrix.solve(state.factors, self.matrix.split(load)))

    def jacobian(self, state: State) -> torch.Tensor:
        """dd/dm, complex (B, S, R, nx, nz)."""
        factors = state.factors
        field = self._everywhere(factors, state.solved)
        green = self._everywhere(factors, self.matrix.solve(factors, self.receivers)) * -self._mass(state)[..., None]
        x, z = self.x_from_cells.to(self.matrix.dtype), self.z_from_cells.to(self.matrix.dtype)
        rows = [  # source by source: all at once would hold every node of every pair
            z.T @ (one[..., None, :, :] * green.movedim(-1, 1)) @ x for one in field.movedim(-1, 0)
        ]
        return torch.stack([row.mT for row in rows], 1)

    def _everywhere(self, factors: Factors, solved: Nodal) -> torch.Tensor:
        return self.matrix.join(self.matrix.field(factors, solved))

    def wavefields(self, state: State, x_km: torch.Tensor, z_km: torch.Tensor) -> torch.Tensor:
        """u of every source at the points x_km (X,) times z_km (Z,): (B, S, X, Z)."""
        x, z = (
            torch.from_numpy(axis.basis(points.numpy())).to(self.matrix.device, self.matrix.dtype)
            for axis, points in ((self.across, x_km), (self.down, z_km))
        )
        return x @ self._everywhere(state.factors, state.solved).movedim(-1, 1).mT @ z.T
