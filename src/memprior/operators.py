"""Forward operators F: the contract, the paper's two toy operators, and how to chain and linearize any of them.

A forward operator takes x (B, ...) to predicted data (B, m), each member of the batch on its own, differentiably
in reverse and forward mode. Complex data are stacked: real parts, then imaginary parts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from memprior._check import expect, expect_finite, expect_points


class ForwardOperator(Protocol):
    """x (B, ...) -> (B, m).

    May bring ``jacobian(x) -> (B, m, x[0].numel())`` when it knows a faster way than m reverse passes.
    """

    def __call__(self, x: torch.Tensor) -> torch.Tensor: ...


class CubicOperator:
    """F(x) = x + 0.3 x^3, (B, 1) -> (B, 1): the paper's 1-D problem (Fig. 1 a-c)."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        expect_points("x", x, size=1)
        return x + 0.3 * x**3


class CoupledQuadraticOperator:
    """F(x) = (x_1 + 0.3 x_1 x_2, x_2 + 0.2 x_1^2), (B, 2) -> (B, 2): the paper's 2-D problem (Fig. 1 d-f)."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        expect_points("x", x, size=2)
        x1, x2 = x.unbind(1)
        return torch.stack([x1 + 0.3 * x1 * x2, x2 + 0.2 * x1**2], dim=1)


@dataclass(frozen=True, eq=False)
class MatrixOperator:
    """F(x) = A x for ``matrix`` A (m, d), finite: (B, d) -> (B, m)."""

    matrix: torch.Tensor

    def __post_init__(self):
        expect_points("matrix", self.matrix)
        expect_finite("matrix", self.matrix)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        expect_points("x", x, size=self.matrix.shape[1], like=self.matrix)
        return x @ self.matrix.T

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        expect_points("x", x, size=self.matrix.shape[1], like=self.matrix)
        return self.matrix.expand(len(x), *self.matrix.shape)


@dataclass(frozen=True)
class _Composed:
    outer: ForwardOperator
    inner: Callable[[torch.Tensor], torch.Tensor]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.outer(self.inner(x))

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        x, between = _traced(self.inner, x)
        rows = jacobian(self.outer, between.detach())
        return _pull_back(between, x, [row.reshape(between.shape) for row in rows.unbind(1)])


def compose(outer: ForwardOperator, inner: Callable[[torch.Tensor], torch.Tensor]) -> ForwardOperator:
    """outer after inner, as one forward operator.

    Its Jacobian chains ``outer``'s own, where it brings one, with reverse passes through ``inner``.
    """
    return _Composed(outer, inner)


def jacobian(forward: ForwardOperator, x: torch.Tensor) -> torch.Tensor:
    """J_b = dF/dx at each x_b: x (B, ...) -> (B, m, d), d = x[0].numel().

    The operator's own ``jacobian`` where it brings one; otherwise m reverse passes, each over the whole batch at once.
    """
    if hasattr(forward, "jacobian"):
        return forward.jacobian(x)
    x, data = _traced(forward, x)
    expect(data.ndim == 2 and len(data) == len(x), "forward", f"data of shape ({len(x)}, m)", tuple(data.shape))
    return _pull_back(
        data, x, [one.expand_as(data) for one in torch.eye(data.shape[1], dtype=data.dtype, device=data.device)]
    )


def _traced(function, x):
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return x, function(x)


def _pull_back(output, x, cotangents) -> torch.Tensor:
    """Rows c^T d(output)/dx for each cotangent c (B, ...) : (B, len(cotangents), d).

    Zero where output does not depend on x.
    """
    if not output.requires_grad:
        return x.new_zeros(len(x), len(cotangents), x[0].numel())
    rows = [
        torch.autograd.grad(output, x, cotangent, retain_graph=True, materialize_grads=True)[0]
        for cotangent in cotangents
    ]
    return torch.stack(rows, dim=1).flatten(2)
