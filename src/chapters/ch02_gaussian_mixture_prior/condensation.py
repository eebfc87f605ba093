"""Chapter 2: the noise level below which a noised example is identified among all others, predicted and measured.

No defaults: sizes come from notebooks/profiles.yml.
"""

import math
from dataclasses import dataclass

import torch
from scipy.optimize import brentq

from memprior._check import expect, expect_whole
from memprior._random import float64_on, integers, normal
from memprior.mixture import IsotropicMixture

_LOWEST, _HIGHEST = math.log(1e-6), math.log(1e6)  # log levels that bracket the root


def predicted_level(variances: torch.Tensor, num: int) -> float:
    """The s at which 1/2 sum_i log(1 + lambda_i / s^2) = log N, for the eigenvalues lambda_i (d,) of the covariance.

    The left side is the mutual information of x_0 and x_s for a Gaussian: below s, a noised example carries more than
    the log N nats that identify it. After Biroli et al. 2024, where it is the condensation of a random-energy
    model. Raises ``ValueError`` for num < 2 or variances none of which is above zero.
    """
    expect_whole("num", num, 2)
    variances = variances.clamp(min=0)
    expect(bool((variances > 0).any()), "variances", "at least one above zero", lambda: variances[:8].tolist())

    def excess(log_s: float) -> float:
        return 0.5 * float(torch.log1p(variances * math.exp(-2 * log_s)).sum()) - math.log(num)

    return math.exp(brentq(excess, _LOWEST, _HIGHEST, xtol=1e-10))


@dataclass(frozen=True)
class CondensationLevel:
    """A measured level beside its prediction. error: its standard error."""

    num: int
    measured: float
    error: float
    predicted: float

    @property
    def ratio(self) -> float:
        return self.predicted / self.measured

    @property
    def ratio_error(self) -> float:
        return self.ratio * self.error / self.measured


class OwnShare:
    """The responsibility of an example for its own noised version, at any level, on common random numbers."""

    def __init__(self, train_set: torch.Tensor, num_draws: int, *, generator: torch.Generator):
        kind = {"like": train_set, "generator": generator}
        self.train_set = train_set
        self.chosen = integers(len(train_set), num_draws, **kind)
        self.eps = normal(num_draws, train_set.shape[1], **kind)

    def __call__(self, sigma: float) -> torch.Tensor:
        """r_n(x_n + sigma eps) for every draw, (num_draws,)."""
        x = self.train_set[self.chosen] + sigma * self.eps
        shares = IsotropicMixture(self.train_set, sigma).responsibilities(x)
        return shares.gather(1, self.chosen[:, None])[:, 0]


def measured_level(
    train_set: torch.Tensor, variances: torch.Tensor, *, num_draws: int, generator: torch.Generator
) -> CondensationLevel:
    """The level at which a noised example's mean responsibility for itself is 1/2, by ``num_draws`` draws.

    Common random numbers make the mean a smooth function of the level; the error is that of the mean over its slope.
    """
    share = OwnShare(train_set, num_draws, generator=generator)
    predicted = predicted_level(variances, len(train_set))
    near = math.log(predicted)
    root = brentq(lambda log_s: float(share(math.exp(log_s)).mean()) - 0.5, near - 3, near + 3, xtol=1e-4)
    slope = float(share(math.exp(root + 0.01)).mean() - share(math.exp(root - 0.01)).mean()) / 0.02
    spread = float(share(math.exp(root)).std()) / math.sqrt(num_draws)
    return CondensationLevel(len(train_set), math.exp(root), math.exp(root) * spread / abs(slope), predicted)


def white_levels(
    dim: int, num: int, *, num_sets: int, num_draws: int, generator: torch.Generator, device=None
) -> CondensationLevel:
    """The same for ``num`` draws of N(0, I_dim): the mean over ``num_sets`` training sets, error from their spread."""
    ones = float64_on(device, generator).new_ones(dim)
    sets = [normal(num, dim, like=ones, generator=generator) for _ in range(num_sets)]
    results = [measured_level(x, ones, num_draws=num_draws, generator=generator) for x in sets]
    levels = torch.tensor([c.measured for c in results], dtype=torch.float64)
    error = float(levels.std()) / math.sqrt(num_sets)
    return CondensationLevel(num, float(levels.mean()), error, results[0].predicted)
