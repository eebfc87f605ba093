"""Solvers that know their first derivatives, as functions that torch differentiates once. Imports nothing of ours."""

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
