"""The matrix -K between the groups of unknowns that the direct solver eliminates: constant, once for a mesh."""

import itertools
from dataclasses import dataclass, fields

import numpy as np
import torch

from memprior.waves.helmholtz.mesh import Axis


@dataclass(frozen=True, eq=False)
class Blocks:
    """Complex tensors; E_z rows and E_x columns of elements of order q + 1, n unknowns on a line.

    An element's edges come in the order left, right, above, below; a line's unknowns are its edges, then its corners.
    """

    interior_a: torch.Tensor  # (E_z, E_x, q^2, q^2), an element's interior
    interior_c: torch.Tensor  # (E_z, E_x, q^2, 4 q), its interior with its edges
    vertical_a: torch.Tensor  # (E_z, (E_x - 1) q, (E_x - 1) q), vertical edges of a row
    vertical_c: torch.Tensor  # (E_z, (E_x - 1) q, 2 n), with the lines above and below
    line_d: torch.Tensor  # (E_z - 1, n, n), a line
    line_u: torch.Tensor  # (E_z - 2, n, n), with the next one below

    def to(self, device: torch.device, dtype: torch.dtype) -> "Blocks":
        return Blocks(*(getattr(self, part.name).to(device, dtype) for part in fields(self)))


def blocks(across: Axis, down: Axis) -> Blocks:
    """-K = -(W_z K_x + K_z W_x) by group, complex128."""
    p, inner, rows, columns = across.order, np.arange(1, across.order), range(down.num_all), range(across.num_all)

    def nodes(z, x):
        return np.stack(np.meshgrid(z, x, indexing="ij")).reshape(2, -1)

    def join(parts):
        return np.concatenate(list(parts), 1)

    def coupling(first, second):
        (z, x), (zz, xx) = first[:, :, None], second[:, None]
        along_x = np.where(z == zz, down.weights[z] * across.stiffness[x, xx], 0)
        return -(along_x + np.where(x == xx, across.weights[x] * down.stiffness[z, zz], 0))

    interiors = [[nodes(a * p + inner, b * p + inner) for b in columns] for a in rows]
    upright = [[nodes(a * p + inner, b * p) for b in (*columns, len(columns))] for a in rows]
    level = [[nodes(a * p, b * p + inner) for b in columns] for a in (*rows, len(rows))]
    corners = [nodes(a * p, p * np.arange(1, len(columns))) for a in (*rows, len(rows))]
    lines = [join([*edges, ends]) for edges, ends in zip(level, corners, strict=True)]
    verticals = [join(edges[1:-1]) for edges in upright]

    def around(a, b):
        return join([upright[a][b], upright[a][b + 1], level[a][b], level[a + 1][b]])

    parts = (
        [[coupling(interiors[a][b], interiors[a][b]) for b in columns] for a in rows],
        [[coupling(interiors[a][b], around(a, b)) for b in columns] for a in rows],
        [coupling(own, own) for own in verticals],
        [coupling(verticals[a], join(lines[a : a + 2])) for a in rows],
        [coupling(own, own) for own in lines[1:-1]],
        [coupling(*pair) for pair in itertools.pairwise(lines[1:-1])],
    )
    return Blocks(*(torch.from_numpy(np.array(part)) for part in parts))
