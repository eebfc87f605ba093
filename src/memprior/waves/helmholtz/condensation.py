"""The direct solver: A u = f for many models at once, by static condensation and a sweep over lines.

    A = omega^2 M(m) - K,   K = K_x (x) W_z + W_x (x) K_z,   M = diag(m_i w_i)      (complex weights in the layers)

The model enters the diagonal only, so A = A^T: the factors of one model serve every source, the adjoint and the
tangent. Unknowns are eliminated in three groups, each batched over models (B) and over all blocks of its kind:

    1. interiors of the elements      i = P f_i - X e,     X = P C,  P = A_ii^-1     (e: the element's four edges)
    2. vertical edges of each row     v = P f_v - X l,     of elements between two lines l (above, below)
    3. horizontal lines, where  U_{j-1}^T u_{j-1} + D_j u_j + U_j u_{j+1} = h_j  is left, from the bottom up:
           P_j = (D_j + U_j G_j)^-1,  G_j = -P_{j+1} U_j^T;  h_j += G_j^T h_{j+1};  u_{j+1} = P_{j+1} h_{j+1} + G_j u_j

Every P comes from a pivoted factorisation, and what is not pivoted is bounded by the largest entry G of the maps X and
G_j: block elimination is backward stable while its multipliers stay small (Demmel, Higham and Schreiber 1995), with
errors of the order of the rounding unit times G^2. G is large near a resonance of a block held at u = 0 on its edges.

Shapes: rows of elements E_z, columns E_x, q = order - 1 nodes inside an edge, n = order E_x - 1 nodes on a line.
"""

from dataclasses import dataclass

import numpy as np
import torch

from memprior.waves.helmholtz.blocks import blocks
from memprior.waves.helmholtz.mesh import Axis


@dataclass(frozen=True, eq=False)
class Nodal:
    """A field, or a load, at the nodes of B models (or 1, for all), by group; k columns, one per right-hand side.

    rows: the rows of elements that ``interior`` and ``vertical`` cover; a load vanishes in the others.
    interior: (B, rows, E_x, q^2, k). vertical: (B, rows, (E_x - 1) q, k). lines: (B, E_z - 1, n, k).
    """

    rows: range
    interior: torch.Tensor
    vertical: torch.Tensor
    lines: torch.Tensor


@dataclass(frozen=True, eq=False)
class Factors:
    """What one factorisation of B models leaves; letters as in the module."""

    mass: Nodal  # the diagonal, k = 1
    interior_x: torch.Tensor  # (B, E_z, E_x, q^2, 4 q)
    vertical_p: torch.Tensor  # (B, E_z, (E_x - 1) q, (E_x - 1) q)
    vertical_x: torch.Tensor  # (B, E_z, (E_x - 1) q, 2 n)
    line_p: list[torch.Tensor]  # E_z - 1 of (B, n, n)
    line_g: list[torch.Tensor]  # E_z - 2 of (B, n, n)

    def growth(self) -> torch.Tensor:
        """G, (B,): the largest real or imaginary part in any map; rounding errors grow by its square."""
        maps = [torch.view_as_real(part).flatten(1) for part in (self.interior_x, self.vertical_x, *self.line_g)]
        return torch.stack([torch.maximum(part.amax(1), -part.amin(1)) for part in maps]).amax(0)


class Condensation:
    """The matrix A of one mesh at one frequency, ready to be factored for any models on its nodes.

    across, down: the two directions, of equal order. dtype: complex64 or complex128.
    """

    def __init__(self, across: Axis, down: Axis, frequency_hz: float, *, dtype: torch.dtype, device: torch.device):
        self.across, self.down, self.dtype, self.device = across, down, dtype, device
        self.order, self.q = across.order, across.order - 1
        self.columns, self.rows = across.num_all, down.num_all
        self.line_size = self.columns * self.order - 1
        self.inside = (slice(down.num_layers, -down.num_layers), slice(across.num_layers, -across.num_layers))
        layers = np.ones((self.rows, self.columns), bool)
        layers[self.inside] = False
        self.ring = np.nonzero(layers)
        mass = (2 * np.pi * frequency_hz) ** 2 * down.weights[:, None] * across.weights
        self.mass = torch.from_numpy(mass).to(device, dtype)
        self.blocks = blocks(across, down).to(device, dtype)

    # ---- nodes and groups ------------------------------------------------------------------------------------------

    def split(self, nodal: torch.Tensor, rows: range | None = None) -> Nodal:
        """(B, N_z, N_x, k) by group, on these rows (all). Outer ends of the layers, where u = 0, are left out."""
        p, rows = self.order, range(self.rows) if rows is None else rows
        tiles = nodal[:, :-1, :-1].unflatten(2, (self.columns, p)).unflatten(1, (self.rows, p))
        own = tiles[:, rows.start : rows.stop]
        return Nodal(
            rows,
            own[:, :, 1:, :, 1:].transpose(2, 3).flatten(3, 4),
            own[:, :, 1:, 1:, 0].transpose(2, 3).flatten(2, 3),
            torch.cat([tiles[:, 1:, 0, :, 1:].flatten(2, 3), tiles[:, 1:, 0, 1:, 0]], 2),
        )

    def join(self, field: Nodal) -> torch.Tensor:
        """The inverse of :meth:`split`, zero in other rows: (B, N_z, N_x, k)."""
        p, q, edges = self.order, self.q, self.columns * self.q
        shape = (len(field.lines), self.rows, p, self.columns, p, field.lines.shape[-1])
        tiles = field.lines.new_zeros(shape)
        own = tiles[:, field.rows.start : field.rows.stop]
        own[:, :, 1:, :, 1:] = field.interior.unflatten(3, (q, q)).transpose(2, 3)
        own[:, :, 1:, 1:, 0] = field.vertical.unflatten(2, (-1, q)).transpose(2, 3)
        tiles[:, 1:, 0, :, 1:] = field.lines[:, :, :edges].unflatten(2, (self.columns, q))
        tiles[:, 1:, 0, 1:, 0] = field.lines[:, :, edges:]
        return torch.nn.functional.pad(tiles.flatten(3, 4).flatten(1, 2), (0, 0, 0, 1, 0, 1))

    # ---- factorisation ---------------------------------------------------------------------------------------------

    def factor(self, model: torch.Tensor) -> Factors:
        """model: squared slowness at the nodes, (B, N_z, N_x), real."""
        batch, q, n, edges = len(model), self.q, self.line_size, self.columns * self.q
        mass = self.split((model * self.mass)[..., None])
        interior_x = self.mass.new_empty(batch, *self.blocks.interior_c.shape)
        schur = self.mass.new_empty(batch, self.rows, self.columns, 4, q, 4, q)
        for elements, kind in ((self.inside, torch.real), (self.ring, torch.Tensor.contiguous)):  # inside: real
            every = (slice(None), *elements)
            a = kind(self.blocks.interior_a[elements]) + torch.diag_embed(kind(mass.interior[every][..., 0]))
            c = kind(self.blocks.interior_c[elements]).contiguous()
            x = torch.linalg.solve_ex(a, c).result
            interior_x[every] = x.to(self.dtype)
            schur[every] = (c.mT @ x).to(self.dtype).unflatten(-1, (4, q)).unflatten(-3, (4, q))
        left, right, above, below = range(4)

        def part(first, second, columns=slice(None)):  # the column of elements comes last, as in Tensor.diagonal
            return schur[:, :, columns, first, :, second].permute(0, 1, 3, 4, 2)

        def by_edge(matrix, offset):  # blocks between edges of one column, or of neighbouring ones
            return matrix.unflatten(3, (-1, q)).unflatten(2, (-1, q)).diagonal(offset, 2, 4)

        but_last, but_first, middle = slice(0, -1), slice(1, None), slice(1, -1)
        a = self.blocks.vertical_a + torch.diag_embed(mass.vertical[..., 0])
        by_edge(a, 0).sub_(part(right, right, but_last) + part(left, left, but_first))
        by_edge(a, 1).sub_(part(left, right, middle))
        by_edge(a, -1).sub_(part(right, left, middle))
        c = self.blocks.vertical_c.repeat(batch, 1, 1, 1)
        for side, edge in ((above, c[..., :edges]), (below, c[..., n : n + edges])):
            by_edge(edge, 0).sub_(part(right, side, but_last))
            by_edge(edge, 1).sub_(part(left, side, but_first))
        vertical_p = _inverse(a)
        vertical_x = vertical_p @ c

        c_above, c_below, x_above, x_below = c[..., :n], c[..., n:], vertical_x[..., :n], vertical_x[..., n:]
        d = self.blocks.line_d - c_below[:, :-1].mT @ x_below[:, :-1] - c_above[:, 1:].mT @ x_above[:, 1:]
        d.diagonal(0, -2, -1).add_(mass.lines[..., 0])
        u = self.blocks.line_u - c_above[:, 1:-1].mT @ x_below[:, 1:-1]
        by_edge(d[..., :edges, :edges], 0).sub_(part(below, below)[:, :-1] + part(above, above)[:, 1:])
        by_edge(u[..., :edges, :edges], 0).sub_(part(above, below)[:, 1:-1])

        line_p, line_g = [_inverse(d[:, -1])], list[torch.Tensor]()
        for j in reversed(range(self.rows - 2)):
            line_g.insert(0, -(line_p[0] @ u[:, j].mT))
            line_p.insert(0, _inverse(d[:, j] + u[:, j] @ line_g[0]))
        return Factors(mass, interior_x, vertical_p, vertical_x, line_p, line_g)

    # ---- solves ----------------------------------------------------------------------------------------------------

    def solve(self, factors: Factors, loads: Nodal) -> Nodal:
        """A u = f: u on the lines, and in the loaded rows what of u is not due to the lines; :meth:`field` goes on."""
        q, n, edges, rows = self.q, self.line_size, self.columns * self.q, slice(loads.rows.start, loads.rows.stop)
        batch, k = len(factors.vertical_p), loads.lines.shape[-1]
        a = self.blocks.interior_a[rows] + torch.diag_embed(factors.mass.interior[:, rows, ..., 0])
        interior = _inverse(a) @ loads.interior
        left, right, above, below = (self.blocks.interior_c[rows].mT @ interior).unflatten(3, (4, q)).unbind(3)
        vertical = loads.vertical.expand(batch, -1, -1, -1).clone()
        vertical.unflatten(2, (-1, q)).sub_(right[:, :, :-1] + left[:, :, 1:])
        on_lines = factors.vertical_x[:, rows].mT @ vertical
        vertical = factors.vertical_p[:, rows] @ vertical
        on_lines[:, :, :edges] += above.flatten(2, 3)
        on_lines[:, :, n : n + edges] += below.flatten(2, 3)
        lines = interior.new_zeros(batch, self.rows + 1, n, k)  # with the outer ends of the layers
        lines[:, 1:-1] = loads.lines
        lines[:, rows] -= on_lines[:, :, :n]
        lines[:, rows.start + 1 : rows.stop + 1] -= on_lines[:, :, n:]
        return Nodal(loads.rows, interior, vertical, self._sweep(factors, lines[:, 1:-1], loads.rows))

    def _sweep(self, factors: Factors, loads: torch.Tensor, rows: range) -> torch.Tensor:
        """u on the lines from their loads (B, E_z - 1, n, k), which vanish below the lowest of ``rows``."""
        last = min(rows.stop, self.rows - 1) - 1
        h = list(loads.unbind(1))
        for j in reversed(range(last)):
            h[j] = h[j] + factors.line_g[j].mT @ h[j + 1]
        u = [factors.line_p[0] @ h[0]]
        for j in range(1, self.rows - 1):
            u.append(factors.line_g[j - 1] @ u[-1])
            if j <= last:
                u[-1] += factors.line_p[j] @ h[j]
        return torch.stack(u, 1)

    def field(self, factors: Factors, solved: Nodal, rows: range | None = None) -> Nodal:
        """u on these rows (all), from what :meth:`solve` gave."""
        q, edges, rows = self.q, self.columns * self.q, range(self.rows) if rows is None else rows
        own = slice(rows.start, rows.stop)
        both = range(max(rows.start, solved.rows.start), min(rows.stop, solved.rows.stop))
        ours = slice(both.start - rows.start, both.stop - rows.start)
        theirs = slice(both.start - solved.rows.start, both.stop - solved.rows.start)
        lines = torch.nn.functional.pad(solved.lines, (0, 0, 0, 0, 1, 1))  # u = 0 at the outer ends of the layers
        above, below = lines[:, own], lines[:, rows.start + 1 : rows.stop + 1]
        vertical = factors.vertical_x[:, own] @ torch.cat([above, below], 2).neg_()
        if both:
            vertical[:, ours] += solved.vertical[:, theirs]
        around = vertical.new_zeros(*vertical.shape[:2], self.columns, 4, q, vertical.shape[-1])
        around[:, :, 1:, 0] = around[:, :, :-1, 1] = vertical.unflatten(2, (-1, q))
        around[:, :, :, 2] = above[:, :, :edges].unflatten(2, (-1, q))
        around[:, :, :, 3] = below[:, :, :edges].unflatten(2, (-1, q))
        interior = factors.interior_x[:, own] @ around.flatten(3, 4).neg_()
        if both:
            interior[:, ours] += solved.interior[:, theirs]
        return Nodal(rows, interior, vertical, solved.lines)


def _inverse(a: torch.Tensor) -> torch.Tensor:
    """With pivoting. A singular block gives no error here: the growth of its factors tells."""
    return torch.linalg.inv_ex(a).inverse
