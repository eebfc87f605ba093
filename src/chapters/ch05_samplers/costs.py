"""Chapter 5: the cost of a sample, in solves of F."""

import torch

from memprior.operators import ForwardOperator, jacobian


class Counted:
    """A forward operator that counts solves per model.

    ``forward``: evaluations of F. ``gradient``: products with its Jacobian, transposed (reverse mode) or not (forward
    mode): each costs one more solve of the same size.
    """

    def __init__(self, operator: ForwardOperator):
        self.operator, self.forward, self.gradient = operator, 0, 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.forward += len(x)
        return _Counted.apply(self.operator(x), self)

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        rows = jacobian(self.operator, x)
        self.gradient += len(x) * min(rows.shape[1:])
        return rows


class _Counted(torch.autograd.Function):
    """The identity, which counts derivatives."""

    @staticmethod
    def forward(data, counter):
        return data.view_as(data)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.counter = inputs[1]

    @staticmethod
    def backward(ctx, cotangent):
        ctx.counter.gradient += len(cotangent)
        return cotangent, None

    @staticmethod
    def jvp(ctx, direction, _):
        ctx.counter.gradient += len(direction)
        return direction.view_as(direction)
