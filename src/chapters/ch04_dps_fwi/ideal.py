"""Chapter 4: diffusion posterior sampling for full waveform inversion, in the paper's setting.

Frozen dataclasses and short functions, no defaults: sizes come from notebooks/profiles.yml.
"""

from dataclasses import dataclass

import torch

from memprior._random import normal
from memprior.gaussian import Gaussian
from memprior.paper import Inversion, published_law


@dataclass(frozen=True, eq=False)
class IdealPosterior:
    """The posterior under the true prior N(mean, covariance) with F linearized at the truth: N(mean_y, L L^T).

    In z = mean + A u with u ~ N(0, I), A A^T the covariance, possibly singular: the posterior of u has precision
    I + (J A)^T (J A) / gamma^2. factor: A times the inverse square root of that precision, (100, 100).
    """

    prior: Gaussian
    tangent: torch.Tensor  # J A, (m, 100)
    root: torch.Tensor  # A, (100, 100)
    factor: torch.Tensor
    at_mean: torch.Tensor  # the linearized data of the prior's mean, (m,)
    noise_std: float

    def mean(self, observed: torch.Tensor) -> torch.Tensor:
        """(100,) for data (m,)."""
        pull = self.tangent.T @ (observed - self.at_mean) / self.noise_std**2
        precision = self.tangent.T @ self.tangent / self.noise_std**2
        u = torch.linalg.solve(precision + torch.eye(len(pull), dtype=pull.dtype, device=pull.device), pull)
        return self.prior.mean.to(pull) + self.root @ u

    def sample(self, observed: torch.Tensor, num: int, *, generator: torch.Generator) -> torch.Tensor:
        """Raw samples (num, 100) of the posterior of data (m,)."""
        eps = normal(num, len(self.root), like=observed, generator=generator)
        return self.mean(observed) + eps @ self.factor.T


def ideal_posterior(inversion: Inversion) -> IdealPosterior:
    """The true prior's posterior, F linearized at the truth."""
    likelihood, truth, law = inversion.likelihood, inversion.truth, published_law()
    variances, axes = torch.linalg.eigh(law.covariance)
    root = (axes * variances.clamp(min=0).sqrt()).to(truth)
    with torch.no_grad():
        at_mean = likelihood.forward(truth[None])[0] + inversion.slope @ (law.mean.to(truth) - truth)
    tangent = inversion.slope @ root
    spectrum, vectors = torch.linalg.eigh(tangent.T @ tangent / likelihood.noise_std**2)
    factor = root @ (vectors * (1 + spectrum.clamp(min=0)).rsqrt())
    return IdealPosterior(law, tangent, root, factor, at_mean, likelihood.noise_std)
