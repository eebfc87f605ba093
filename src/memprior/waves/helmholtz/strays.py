"""Samplers stray: what to do with an iterate that is no medium."""

import math

import torch

from memprior._check import expect, expect_tensor
from memprior.operators import ForwardOperator, jacobian


class FreezeStrays:
    """An operator for samplers: a model with a cell that is not finite and > 0 has data NaN and gradient zero.

    So has one that the operator would refuse, for a velocity that no rock has; built with ``any_velocity`` it refuses
    none. The other members of the batch are as without it. ``num_frozen`` counts the models met that way. A sampler
    that steps along the gradient so leaves a stray sample where it is, and the run goes on.
    """

    def __init__(self, forward: ForwardOperator):
        self.forward, self.num_frozen = forward, 0
        allowed: tuple[float, float] = getattr(forward, "allowed", None) or (0.0, math.inf)
        self._least, self._most = allowed

    def __call__(self, squared_slowness: torch.Tensor) -> torch.Tensor:
        good, tamed = self._tamed(squared_slowness)
        self.num_frozen += int((~good).sum())
        return torch.where(good[:, None], self.forward(tamed), torch.nan)

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        """That of the operator; zero where the model is a stray."""
        good, tamed = self._tamed(x)
        return jacobian(self.forward, tamed) * good[:, None, None]

    def _tamed(self, m: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Which members are media (B,), and the models with some medium in place of the others."""
        expect_tensor("squared_slowness", m, "(B, nx, nz)")
        expect(m.ndim == 3, "squared_slowness", "shape (B, nx, nz)", tuple(m.shape))
        good = ((m > 0) & torch.isfinite(m) & (m >= self._least) & (m <= self._most)).flatten(1).all(1)
        return good, torch.where(good[:, None, None], m, 0.25)
