"""The paper's priors in its standardized coordinates."""

import torch

from memprior.closed_forms import Priors
from memprior.fields import Standardizer
from memprior.paper.fields import published_law


def published_priors(raw: torch.Tensor, held_out: torch.Tensor) -> tuple[Priors, Standardizer]:
    """Published coefficients (N, 100) in their own standardized coordinates, with the way back from them.

    held_out: coefficients of other draws, ``HELD_OUT_SEED`` in the paper's setting, standardized with them.
    """
    standardizer = Standardizer.fit(raw)
    true = published_law().to(raw).standardized(standardizer)
    return Priors(standardizer.normalize(raw), standardizer.normalize(held_out), true), standardizer
