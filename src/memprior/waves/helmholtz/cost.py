"""What a solve takes, from its mesh alone: told before any of it is done."""

from dataclasses import dataclass

import torch

from memprior.waves.helmholtz.mesh import Axis


@dataclass(frozen=True)
class SolveCost:
    """Of one frequency.

    unknowns: nodes where u is solved for. flops: real multiplications and additions of one model's data and gradient.
    factor_bytes: one model's factors. kept_bytes: these and u of its sources on the lines, which wait for the gradient.
    work_bytes: what else a model takes while it is solved. matrix_bytes: what all models share. making_bytes: the most
    while that is made.
    """

    unknowns: int
    flops: float
    factor_bytes: int
    kept_bytes: int
    work_bytes: int
    matrix_bytes: int
    making_bytes: int


def cost(axes: tuple[Axis, Axis], num_sources: int, num_receivers: int, dtype: torch.dtype) -> SolveCost:
    """Letters and groups as in `condensation`."""
    across, down = axes
    q, n, v = across.order - 1, across.order * across.num_all - 1, (across.num_all - 1) * (across.order - 1)
    rows, elements, inside = down.num_all, down.num_all * across.num_all, down.num_elements * across.num_elements
    nodes = down.num_nodes * across.num_nodes
    interior_c, vertical = elements * q**2 * 4 * q, rows * (v**2 + v * 2 * n)
    lines = (rows - 1 + max(rows - 2, 0)) * n**2
    factors, matrix = interior_c + vertical + lines + nodes, elements * q**4 + interior_c + vertical + lines
    size = dtype.itemsize
    return SolveCost(
        unknowns=(down.num_nodes - 2) * (across.num_nodes - 2),
        flops=_flops(q, n, v, rows, elements, inside, num_sources),
        factor_bytes=factors * size,
        kept_bytes=(factors + (rows - 1) * n * num_sources) * size,
        work_bytes=(elements * 16 * q**2 + factors + 4 * num_sources * nodes) * size,  # Schur complements, two fields
        matrix_bytes=(matrix + 2 * (num_sources + num_receivers) * nodes) * size,
        making_bytes=2 * matrix * torch.complex128.itemsize,  # in double, part by part and then joined
    )


def _flops(q: int, n: int, v: int, rows: int, elements: int, inside: int, num_sources: int) -> float:
    """Of one factorization and of the fields of two solves with ``num_sources`` columns each."""
    columns = 2 * num_sources
    interior = q**6 / 3 + q**4 * 4 * q + q**2 * (4 * q) ** 2
    vertical = v**3 + v**2 * 2 * n + v * 3 * n**2
    lines = 3 * n**3 + 4 * n**2 * num_sources
    back = elements * q**2 * 4 * q * columns + rows * v * 2 * n * columns
    factored = (inside / 4 + elements - inside) * interior  # real arithmetic inside the square
    return 8 * (factored + rows * vertical + (rows - 1) * lines + back)  # a complex product and sum: 8
