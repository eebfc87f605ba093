"""One simulation as a differentiable function under every transform of first order.

deepwave's compiled code knows .backward() and, for the full equation, jvp; torch.func.vjp it does not, nor the jvp of
its Born modelling. Here the way back is deepwave's own record of the run, and the way forward is Born modelling.
"""

from collections.abc import Callable

import torch


def simulate(x: torch.Tensor, run: Callable, slope: Callable) -> torch.Tensor:
    """run(x), differentiable; slope(x, tangent) is its derivative along a tangent.

    A derivative of the derivative raises ``NotImplementedError``.
    """
    return _Simulate.apply(x, _Call(run, slope, recording=x.requires_grad and torch.is_grad_enabled()))


class _Call:
    """One run and, where a gradient may be asked for, its record; no tensor, so torch hands it on as it is."""

    def __init__(self, run: Callable, slope: Callable, *, recording: bool):
        self.run, self.slope, self.recording = run, slope, recording

    def forward(self, x):
        with torch.set_grad_enabled(self.recording):
            self.x = x.detach().requires_grad_(self.recording)
            self.data = self.run(self.x)
        return self.data.detach()

    def backward(self, cotangent):
        return torch.autograd.grad(self.data, self.x, cotangent, retain_graph=True)[0]


class _Simulate(torch.autograd.Function):
    @staticmethod
    def forward(x, call):
        return call.forward(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.call = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx, cotangent):
        return _Adjoint.apply(*ctx.saved_tensors, cotangent, ctx.call), None

    @staticmethod
    def jvp(ctx, tangent, _):
        return ctx.call.slope(*ctx.saved_tensors, tangent)


class _Adjoint(torch.autograd.Function):
    """The way back, as a function of x too: a second derivative is then refused, and not silently incomplete."""

    @staticmethod
    def forward(x, cotangent, call):
        return call.backward(cotangent)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, *_):
        raise NotImplementedError("wave operators: second derivatives are not supported")

    jvp = backward
