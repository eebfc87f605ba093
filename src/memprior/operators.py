"""Forward operators F: the contract, the paper's two toy operators, and how to chain and linearize any of them.

A forward operator takes x (B, ...) to predicted data (B, m), each member of the batch on its own, differentiably
in reverse and forward mode. Complex data are stacked: real parts, then imaginary parts.

Where a derivative is taken of an operator whose data leave torch's graph (numpy, ``torch.no_grad``), its own
``jacobian`` is used; one that brings none and moves with x is refused: its derivative would be zero without a word.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from memprior._check import expect, expect_finite, expect_points
from memprior._derivatives import direction, followed

TRACED = "data that depend on x by torch operations, or a .jacobian of its own"


class ForwardOperator(Protocol):
    """x (B, ...) -> (B, m).

    May bring ``jacobian(x) -> (B, m, x[0].numel())`` when it knows a faster way than m reverse passes, and has to where
    its data do not depend on x by torch operations alone.
    """

    def __call__(self, x: torch.Tensor) -> torch.Tensor: ...


class CubicOperator:
    """F(x) = x + 0.3 x^3, (B, 1) -> (B, 1): the paper's 1-D problem (Fig. 1 a-c).

    Example:
        >>> import torch
        >>> from memprior.operators import CubicOperator
        >>> CubicOperator()(torch.tensor([[1.0], [2.0]]))
        tensor([[1.3000],
                [4.4000]])
    """

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        expect_points("x", x, size=1)
        return x + 0.3 * x**3


class CoupledQuadraticOperator:
    """F(x) = (x_1 + 0.3 x_1 x_2, x_2 + 0.2 x_1^2), (B, 2) -> (B, 2): the paper's 2-D problem (Fig. 1 d-f).

    Example:
        >>> import torch
        >>> from memprior.operators import CoupledQuadraticOperator
        >>> CoupledQuadraticOperator()(torch.tensor([[1.0, 1.0]]))
        tensor([[1.3000, 1.2000]])
    """

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        expect_points("x", x, size=2)
        x1, x2 = x.unbind(1)
        return torch.stack([x1 + 0.3 * x1 * x2, x2 + 0.2 * x1**2], dim=1)


@dataclass(frozen=True, eq=False)
class MatrixOperator:
    """F(x) = A x for ``matrix`` A (m, d), finite: (B, d) -> (B, m).

    Example:
        >>> import torch
        >>> from memprior.operators import MatrixOperator
        >>> MatrixOperator(torch.tensor([[1.0, 1.0]]))(torch.tensor([[1.0, 2.0]]))
        tensor([[3.]])
    """

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
        return predicted(self.outer, predicted(self.inner, x))

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        expect_traced(self.inner, x)
        x, between = _traced(self.inner, x)
        rows = jacobian(self.outer, between.detach())
        return _pull_back(between, x, [row.reshape(between.shape) for row in rows.unbind(1)])


def compose(outer: ForwardOperator, inner: Callable[[torch.Tensor], torch.Tensor]) -> ForwardOperator:
    """outer after inner, as one forward operator.

    Its Jacobian chains ``outer``'s own, where it brings one, with reverse passes through ``inner``.

    Args:
        outer: F, on what ``inner`` makes.
        inner: a differentiable function of x (B, ...), member by member: a decoder, say.

    Returns:
        x -> outer(inner(x)), with a ``jacobian``.

    Example:
        >>> import torch
        >>> from memprior.operators import MatrixOperator, compose
        >>> forward = compose(MatrixOperator(torch.tensor([[1.0, 1.0]])), lambda x: x.square())
        >>> forward(torch.tensor([[1.0, 2.0]])), forward.jacobian(torch.tensor([[1.0, 2.0]]))
        (tensor([[5.]]), tensor([[[2., 4.]]]))
    """
    return _Composed(outer, inner)


def predicted(forward: ForwardOperator, x: torch.Tensor) -> torch.Tensor:
    """F(x), (B, m), which autograd differentiates whatever F is made of.

    By the operator's own ``jacobian`` where its data leave torch's graph. Where it brings none, and the data move with
    x, taking a derivative raises ``ValueError`` naming the operator; data alone are to be had. ``TypeError`` for data
    that are no tensor.
    """
    data = followed(forward, x, f"forward: expected {TRACED}, got {_named(forward)}, whose data left torch's graph")
    if not isinstance(data, torch.Tensor):
        raise TypeError(f"forward: expected a torch.Tensor (B, m), got {type(data).__name__} from {_named(forward)}")
    return data


def expect_traced(forward: ForwardOperator, x: torch.Tensor) -> None:
    """``ValueError`` naming the operator when a part of its data moves with x and has no derivative by torch.

    Differences along one direction from a point near the first of x (B, ...), against a reverse pass there: three
    solves of one model. A fifth of one component is seen, or a fiftieth of many. An operator that brings a ``jacobian``
    is taken at its word, and each part of a composition is looked at on its own.
    """
    if isinstance(forward, _Composed):
        expect_traced(forward.inner, x)
        with torch.no_grad():
            between = forward.inner(x[:1])
        expect_traced(forward.outer, between)
    elif not hasattr(forward, "jacobian"):
        try:
            moving, missing = _without_derivative(forward, x[:1].detach())
        except Exception:  # what an operator says of a point that nobody asked for is not the caller's fault
            return
        came = f"{_named(forward)}, {missing:.3g} of whose {moving} components that move with x have no derivative"
        expect(missing == 0, "forward", TRACED, came)


def _without_derivative(forward, x) -> tuple[int, float]:
    """How many components of F move near x (1, ...), and how many of these torch does not differentiate."""
    at = (x + 1e-2 * direction(x, turn=1.0)).requires_grad_()  # off the kinks and stationary points where x may be
    along = direction(x)
    with torch.enable_grad():
        data = predicted(forward, at)
    for step in (1e-3, 1e-5):  # what curvature or rounding does changes with the step
        with torch.no_grad():
            change = (forward(at + step * along) - forward(at - step * along)) / 2
        rounding = torch.finfo(data.dtype).eps * data.detach().abs()
        seen = (change.abs() > 100 * rounding) & (change.abs() > 0.03 * change.abs().max())
        # Each component weighted by its change: the slope along the direction counts those that have a derivative.
        weights = torch.where(seen, step / change, 0)
        (slope,) = torch.autograd.grad(data, at, weights, retain_graph=True, materialize_grads=True)
        moving, missing = int(seen.sum()), float(seen.sum() - (slope * along).sum())
        if not abs(missing) > 0.2 + 0.02 * moving:  # or it is no number, and says nothing
            return moving, 0.0
    return moving, missing


def _named(forward) -> str:
    return getattr(forward, "__qualname__", type(forward).__qualname__)


def jacobian(forward: ForwardOperator, x: torch.Tensor) -> torch.Tensor:
    """J_b = dF/dx at each x_b.

    The operator's own ``jacobian`` where it brings one; otherwise m reverse passes, each over the whole batch at once.

    Args:
        forward: F, (B, ...) -> (B, m).
        x: (B, ...).

    Returns:
        (B, m, d), d = x[0].numel().

    Raises:
        ValueError: where reverse passes would not be its derivative (see :func:`expect_traced`).

    Example:
        >>> import torch
        >>> from memprior.operators import CubicOperator, jacobian
        >>> jacobian(CubicOperator(), torch.tensor([[0.0], [1.0]])).flatten()
        tensor([1.0000, 1.9000])
    """
    if hasattr(forward, "jacobian"):
        return forward.jacobian(x)
    expect_traced(forward, x)
    x, data = _traced(forward, x)
    expect(data.ndim == 2 and len(data) == len(x), "forward", f"data of shape ({len(x)}, m)", tuple(data.shape))
    return _pull_back(
        data, x, [one.expand_as(data) for one in torch.eye(data.shape[1], dtype=data.dtype, device=data.device)]
    )


def _traced(function, x):
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return x, predicted(function, x)


def _pull_back(output, x, cotangents) -> torch.Tensor:
    """Rows c^T d(output)/dx for each cotangent c (B, ...) : (B, len(cotangents), d)."""
    rows = [
        torch.autograd.grad(output, x, cotangent, retain_graph=True, materialize_grads=True)[0]
        for cotangent in cotangents
    ]
    return torch.stack(rows, dim=1).flatten(2)
