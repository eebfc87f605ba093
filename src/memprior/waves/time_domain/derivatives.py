"""One simulation with its derivatives: back by deepwave's own record of the run, forward by Born modeling.

deepwave's compiled code knows .backward() and, for the full equation, jvp; torch.func.vjp it does not, nor the jvp of
its Born modeling.
"""

from collections.abc import Callable

import torch

from memprior._derivatives import differentiable


def simulate(x: torch.Tensor, run: Callable, slope: Callable) -> torch.Tensor:
    """run(x), differentiable once; slope(x, direction) is its derivative along a direction."""
    return differentiable(x, _Simulation(run, slope, recording=x.requires_grad and torch.is_grad_enabled()))


class _Simulation:
    """One run and, where a gradient may be asked for, its record."""

    def __init__(self, run: Callable, slope: Callable, *, recording: bool):
        self.run, self.tangent, self.recording = run, slope, recording

    def forward(self, x):
        with torch.set_grad_enabled(self.recording):
            self.x = x.detach().requires_grad_(self.recording)
            self.data = self.run(self.x)
        return self.data.detach()

    def backward(self, x, cotangent):
        return torch.autograd.grad(self.data, self.x, cotangent, retain_graph=True)[0]
