"""Samplers stray: what to do with an iterate that is no medium."""

import torch

from memprior.operators import ForwardOperator


class FreezeStrays:
    """An operator for samplers: a model with a cell that is not finite and > 0 has data NaN and gradient zero.

    The other members of the batch are as without it. ``num_frozen`` counts the models met that way. A sampler that
    steps along the gradient so leaves a stray sample where it is, and the run goes on.
    """

    def __init__(self, forward: ForwardOperator):
        self.forward, self.num_frozen = forward, 0

    def __call__(self, squared_slowness: torch.Tensor) -> torch.Tensor:
        good = ((squared_slowness > 0) & torch.isfinite(squared_slowness)).flatten(1).all(1)
        self.num_frozen += int((~good).sum())
        data = self.forward(torch.where(good[:, None, None], squared_slowness, 0.25))
        return torch.where(good[:, None], data, torch.nan)
