"""Forward operators F: the contract, the paper's two toy operators, and how to chain and linearize any of them.

A forward operator takes x (B, ...) to predicted data (B, m), each member of the batch on its own, differentiably
in reverse and forward mode. Complex data are stacked: real parts, then imaginary parts.

Where a derivative is taken of an operator whose data leave torch's graph (numpy, ``torch.no_grad``), its own
``jacobian`` is used; one that brings none and moves with x is refused: its derivative would be zero without a word.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch.autograd import forward_ad

from memprior._check import expect, expect_finite, expect_like, expect_points, expect_tensor
from memprior._derivatives import direction, followed
from memprior._random import normal

TRACED = "data that depend on x by torch operations, or a .jacobian of its own"


class ForwardOperator(Protocol):
    """x (B, ...) -> (B, m); the argument's name is each operator's own.

    May bring ``jacobian(x) -> (B, m, x[0].numel())`` when it knows a faster way than m reverse passes, and has to where
    its data do not depend on x by torch operations alone.
    """

    def __call__(self, x: torch.Tensor, /) -> torch.Tensor: ...


@runtime_checkable
class LinearOperator(ForwardOperator, Protocol):
    """F(x) = A x, (B, d) -> (B, m), that brings A (m, d) as ``matrix``: ``isinstance`` asks for both."""

    @property
    def matrix(self) -> torch.Tensor: ...


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
        if hasattr(self.inner, "jacobian"):
            with torch.no_grad():
                between = predicted(self.inner, x)
            return jacobian(self.outer, between) @ jacobian(self.inner, x)
        x, between = _traced(self.inner, x)
        rows = jacobian(self.outer, between.detach())
        return _pull_back(between, x, [row.reshape(between.shape) for row in rows.unbind(1)])


def compose(outer: ForwardOperator, inner: Callable[[torch.Tensor], torch.Tensor]) -> ForwardOperator:
    """outer after inner, as one forward operator.

    Its Jacobian chains ``outer``'s own, where it brings one, with ``inner``'s own, or with reverse passes through it.

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
        significant = (change.abs() > 100 * rounding) & (change.abs() > 0.03 * change.abs().max())
        # Each component weighted by its change: the slope along the direction counts those that have a derivative.
        weights = torch.where(significant, step / change, 0)
        (slope,) = torch.autograd.grad(data, at, weights, retain_graph=True, materialize_grads=True)
        moving, missing = int(significant.sum()), float(significant.sum() - (slope * along).sum())
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


@dataclass(frozen=True)
class OperatorCheck:
    r"""What :func:`check_operator` measured, the worst of the batch and of the directions.

    Attributes:
        taylor_slope: the order in h of F(x + h v) - F(x) - h J v, 2 where J is the derivative; inf where nothing is
            left but rounding, F being linear there.
        adjoint_gap: of :math:`\langle J v, w \rangle` and :math:`\langle v, J^T w \rangle`, relative.
        batch_gap: between a batch and its members one by one, relative to the largest datum.
        jacobian_gap: between the operator's own ``jacobian`` times v and J v, relative; None where it brings none.
    """

    taylor_slope: float
    adjoint_gap: float
    batch_gap: float
    jacobian_gap: float | None


def check_operator(forward: ForwardOperator, x: torch.Tensor, *, generator: torch.Generator) -> OperatorCheck:
    r"""Whether an operator of one's own keeps the contract, at x: the first thing to call with it.

    With J v by forward mode and J^T w by reverse mode, along random v as large as x and random w,

    .. math:: |F(x + h v) - F(x) - h J v| = O(h^2), \qquad \langle J v, w \rangle = \langle v, J^T w \rangle,

    and F of a batch is F of its members. Three directions, some 15 solves of the batch, and the operator's own
    ``jacobian``, where it brings one, once. float64 sees a derivative that is wrong by a thousandth.

    Args:
        forward: the operator, (B, ...) -> (B, m).
        x: models (B, ...), B >= 2, at which F is smooth; the steps go by their size.
        generator: of the random directions.

    Returns:
        The measured numbers, all of which passed.

    Raises:
        TypeError: the data are no tensor.
        ValueError: the data have another shape, dtype or device or are not finite; have no derivative in either mode
            or a wrong one; a member depends on the rest of its batch; the operator's own ``jacobian`` is wrong. With
            the operator's name and the numbers.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> x = torch.tensor([[-1.5], [2.0]], dtype=torch.float64)
        >>> round(check_operator(CubicOperator(), x, generator=generator).taylor_slope, 3)
        2.0
        >>> check_operator(lambda x: x - x.mean(0), x, generator=generator)
        Traceback (most recent call last):
        ValueError: forward: expected members that do not depend on their batch, got <lambda> with a batch gap of 1
    """
    expect_tensor("x", x, "(B, ...)")
    expect(x.ndim > 1 and len(x) > 1, "x", "a batch of at least two models", tuple(x.shape))
    expect_finite("x", x)
    x, name, eps = x.detach(), _named(forward), torch.finfo(x.dtype).eps
    with torch.no_grad():
        data = predicted(forward, x)
        expect(data.ndim == 2 and len(data) == len(x), "forward", f"data of shape ({len(x)}, m)", tuple(data.shape))
        expect_like("forward", data, x)
        expect_finite("forward", data)
        alone = torch.cat([forward(one[None]) for one in x])
    batch_gap = _relative((alone - data).abs().max(), data.abs().max())
    independent = "members that do not depend on their batch"
    expect(batch_gap <= _MANY * eps, "forward", independent, f"{name} with a batch gap of {batch_gap:.3g}")
    expect_traced(forward, x)

    tangents = [_tangent(forward, x, generator) for _ in range(_DIRECTIONS)]
    slope = min((_taylor_slope(forward, x, data, v, pushed) for v, pushed in tangents), key=_nan_first)
    adjoint_gap = max(_adjoint_gap(forward, x, v, pushed, generator) for v, pushed in tangents)
    numbers = f"{name} with a Taylor slope of {slope:.3g} and an adjoint gap of {adjoint_gap:.3g}"
    own = hasattr(forward, "jacobian")
    right = "F(x + h v) - F(x) - h J v that falls as h^2" + (", J its .jacobian or by forward mode" if own else "")
    expect(slope > 1.9, "forward", right, numbers)
    expect(adjoint_gap <= _MANY * eps, "forward", "a reverse mode that is the adjoint of its forward mode", numbers)
    if not own:
        return OperatorCheck(slope, adjoint_gap, batch_gap, None)
    rows = jacobian(forward, x[:1])
    shape = (1, data.shape[1], x[0].numel())
    expect(rows.shape == shape, "forward", f"a .jacobian of shape {shape}", f"{tuple(rows.shape)} from {name}")
    gaps = [(rows[0] @ v[0].flatten() - pushed[0]).norm() for v, pushed in tangents]
    jacobian_gap = max(_relative(gap, pushed[0].norm()) for gap, (_, pushed) in zip(gaps, tangents, strict=True))
    expect(
        jacobian_gap <= _MANY * eps, "forward", "a .jacobian that is the derivative", f"{name}, {jacobian_gap:.3g} off"
    )
    return OperatorCheck(slope, adjoint_gap, batch_gap, jacobian_gap)


_DIRECTIONS = 3
_MANY = 2**12  # roundings that two orders of the same sums may lie apart


def _relative(gap: torch.Tensor, size: torch.Tensor) -> float:
    """gap / size, 0 where both are zero and infinite where it is no number."""
    return 0.0 if bool(gap == 0) else float(torch.nan_to_num(gap / size, nan=math.inf))


def _tangent(forward, x, generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A random direction v of x's shape, each member's as large as the member (or 1), and J v (B, m)."""
    size = x.flatten(1).square().mean(1).sqrt()
    size = torch.where(size > 0, size, 1.0).reshape(-1, *[1] * (x.ndim - 1))
    v = size * normal(*x.shape, like=x, generator=generator)
    try:
        with forward_ad.dual_level():
            dual = forward_ad.unpack_dual(predicted(forward, forward_ad.make_dual(x, v)))
    except (NotImplementedError, RuntimeError) as error:
        raise ValueError(f"forward: expected a derivative in forward mode, got {_named(forward)}: {error}") from error
    pushed = torch.zeros_like(dual.primal) if dual.tangent is None else dual.tangent
    return v, pushed.detach()


def _taylor_slope(forward, x, data, v, pushed) -> float:
    """The smallest order, over the batch, of |F(x + h v) - F(x) - h J v| from h to h / 2."""
    step = torch.finfo(x.dtype).eps ** 0.25  # h^2 halfway, in digits, between F and its rounding
    with torch.no_grad():
        left = [(forward(x + h * v) - data - h * pushed).norm(dim=1) for h in (step, step / 2)]
    rounding = 2**8 * torch.finfo(x.dtype).eps * data.norm(dim=1)
    return float(torch.where(left[1] <= rounding, math.inf, torch.log2(left[0] / left[1])).min())


def _adjoint_gap(forward, x, v, pushed, generator) -> float:
    """|<J v, w> - <v, J^T w>| over |J v| |w|."""
    w = normal(*pushed.shape, like=pushed, generator=generator)
    if bool(pushed.any()):
        w = w / w.norm() + pushed / pushed.norm()  # or <J v, w> is next to nothing where data are many
    x, data = _traced(forward, x)
    (pulled,) = (
        torch.autograd.grad(data, x, w, materialize_grads=True) if data.requires_grad else (torch.zeros_like(x),)
    )
    size = torch.maximum(pushed.norm() * w.norm(), v.norm() * pulled.norm())
    return _relative(((pushed * w).sum() - (v * pulled).sum()).abs(), size)


def _nan_first(number: float) -> float:
    return -math.inf if math.isnan(number) else number
