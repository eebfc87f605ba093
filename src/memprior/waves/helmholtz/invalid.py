"""A guard for samplers, whose iterates may be non-physical models."""

import math

import torch

from memprior._check import expect, expect_tensor
from memprior.operators import ForwardOperator, jacobian


class FreezeInvalid:
    """An operator for samplers: data NaN and gradient zero for non-physical models.

    Those are models with a cell that is not finite and positive, and models that ``forward`` would refuse for their
    velocity (none if it was built with ``any_velocity``). Other members of the batch are unaffected. A sampler that
    steps along the gradient leaves an invalid sample where it is and goes on. ``num_frozen`` counts such models.
    """

    def __init__(self, forward: ForwardOperator):
        self.forward, self.num_frozen = forward, 0
        allowed: tuple[float, float] = getattr(forward, "allowed", None) or (0.0, math.inf)
        self._least, self._most = allowed

    def __call__(self, squared_slowness: torch.Tensor) -> torch.Tensor:
        good, valid = self._replaced(squared_slowness)
        self.num_frozen += int((~good).sum())
        return torch.where(good[:, None], self.forward(valid), torch.nan)

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        """The operator's Jacobian; zero for a non-physical model."""
        good, valid = self._replaced(x)
        return jacobian(self.forward, valid) * good[:, None, None]

    def _replaced(self, m: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Which models are physical (B,), and the models with the others replaced by a valid one."""
        expect_tensor("squared_slowness", m, "(B, nx, nz)")
        expect(m.ndim == 3, "squared_slowness", "shape (B, nx, nz)", tuple(m.shape))
        good = ((m > 0) & torch.isfinite(m) & (m >= self._least) & (m <= self._most)).flatten(1).all(1)
        return good, torch.where(good[:, None, None], m, 0.25)
