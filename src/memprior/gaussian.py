"""The Gaussian distribution, and the one place where a Gaussian is conditioned on linear data."""

from dataclasses import dataclass

import torch

from memprior._check import expect_whole
from memprior._random import normal
from memprior.fields import Standardizer


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(mean, covariance). mean: (d,). covariance: (d, d), positive semidefinite; it may be singular."""

    mean: torch.Tensor
    covariance: torch.Tensor

    def sample(self, num: int, *, generator: torch.Generator) -> torch.Tensor:
        """``num`` draws, (num, d), through the eigenvectors: a singular covariance has no Cholesky factor."""
        expect_whole("num", num, 1)
        variances, axes = torch.linalg.eigh(self.covariance)
        noise = normal(num, len(self.mean), like=self.mean, generator=generator)
        return self.mean + (noise * variances.clamp(min=0).sqrt()) @ axes.T

    def normalized(self, standardizer: "Standardizer") -> "Gaussian":
        """The law of (x - m) / s for this law of x."""
        scale = standardizer.scale
        return Gaussian(standardizer.normalize(self.mean), self.covariance / (scale[:, None] * scale))
