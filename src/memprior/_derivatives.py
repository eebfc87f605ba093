"""Functions that torch does not differentiate by itself: solvers that know their derivatives, and what left its graph.

Imports nothing of ours.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch.autograd import forward_ad


class Solve(Protocol):
    """One evaluation of a function f and what its derivatives need of it. Plain tensors in, plain tensors out."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """f(x)."""

    def backward(self, x: torch.Tensor, cotangent: torch.Tensor) -> torch.Tensor:
        """J^T applied to a cotangent, of x's shape."""

    def tangent(self, x: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        """J applied to a direction, of the data's shape."""


def differentiable(x: torch.Tensor, solve: Solve) -> torch.Tensor:
    """f(x), with .backward(), torch.func.vjp and torch.func.jvp by the solver's own derivatives.

    A derivative of a derivative raises ``NotImplementedError``.
    """
    return _Value.apply(x, solve)


def derivatives_wanted(x: torch.Tensor) -> bool:
    """May a derivative of a function of x be asked for, so that its solve is worth keeping?"""
    return torch.is_grad_enabled() and (x.requires_grad or forward_ad.unpack_dual(x).tangent is not None)


def followed(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, refusal: str) -> torch.Tensor:
    """f(x) for ``function`` f, x (B, ...), with a derivative also where its result left torch's graph.

    That is f's own ``jacobian``, where it brings one, and zero where f does not move with x. Anything else raises
    ``ValueError(refusal)``, but only when a derivative is taken: values alone are to be had from any function.
    """
    value = function(x)
    if not derivatives_wanted(x) or not isinstance(value, torch.Tensor):
        return value
    if value.requires_grad or forward_ad.unpack_dual(value).tangent is not None:
        return value
    return differentiable(x, _Left(function, value, refusal))


def direction(x: torch.Tensor, turn: float = 0.0) -> torch.Tensor:
    """A generic change of x (B, ...), at most as large as x entry by entry, and as its members where that is zero.

    No random numbers: those of the caller stay as they are. An x that is positive stays so when a share is added.
    """
    size = x.abs()
    typical = size.flatten(1).square().mean(1).sqrt()
    typical = torch.where(typical > 0, typical, 1.0).reshape(-1, *[1] * (x.ndim - 1))
    waves = torch.arange(1, x[0].numel() + 1, dtype=torch.float64).square().add(turn).cos().to(x)
    return torch.where(size > 0, size, typical) * waves.reshape(x.shape[1:])


class _Left:
    """A value that torch cannot follow back to x, and the function that it is of."""

    def __init__(self, function, value, refusal):
        self.function, self.value, self.refusal = function, value.detach(), refusal

    def forward(self, x):
        return self.value

    def backward(self, x, cotangent):
        rows = self._jacobian(x)
        return (cotangent.flatten(1)[:, None] @ rows).reshape(x.shape) if rows is not None else torch.zeros_like(x)

    def tangent(self, x, direction):
        rows, shape = self._jacobian(x), self.value.shape
        return (rows @ direction.flatten(1)[..., None]).reshape(shape) if rows is not None else x.new_zeros(shape)

    @torch.no_grad()
    def _jacobian(self, x):
        """(B, m, d), or None for one of zeros."""
        if hasattr(self.function, "jacobian"):
            return self.function.jacobian(x)
        moved = self.function(x + 1e-3 * direction(x))
        if not torch.allclose(moved, self.value, rtol=0, atol=0, equal_nan=True):
            raise ValueError(self.refusal)
        return None


class _Value(torch.autograd.Function):
    @staticmethod
    def forward(x, solve):
        return solve.forward(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.solve = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx, cotangent):
        return _Adjoint.apply(*ctx.saved_tensors, cotangent, ctx.solve), None

    @staticmethod
    def jvp(ctx, direction, _):
        return _Tangent.apply(*ctx.saved_tensors, direction, ctx.solve)


class _Adjoint(torch.autograd.Function):
    """A function of x too: a second derivative is then refused, and not silently incomplete."""

    @staticmethod
    def forward(x, cotangent, solve):
        return solve.backward(x, cotangent)

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Nothing to keep."""

    @staticmethod
    def backward(ctx, *_):
        raise NotImplementedError("wave operators: second derivatives are not supported")

    jvp = backward


class _Tangent(_Adjoint):
    @staticmethod
    def forward(x, direction, solve):
        return solve.tangent(x, direction)
