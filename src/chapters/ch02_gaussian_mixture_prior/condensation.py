"""Chapter 2: the noise level below which a noised example is identified among all others, measured.

No defaults: sizes come from notebooks/profiles.yml.
"""

import math
from dataclasses import dataclass

import torch
from scipy.optimize import brentq

from memprior._random import integers, normal
from memprior.condensation import condensation_level
from memprior.intervals import Mean
from memprior.mixture import IsotropicMixture


@dataclass(frozen=True)
class CondensationLevel:
    """A measured level beside its prediction. half: half of its 95 % interval."""

    num: int
    measured: float
    half: float
    predicted: float

    @property
    def ratio(self) -> float:
        return self.predicted / self.measured

    @property
    def ratio_half(self) -> float:
        return self.ratio * self.half / self.measured


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

    Common random numbers make the mean a smooth function of the level; the interval is over the draws, at this training
    set: that of the mean over its slope.
    """
    share = OwnShare(train_set, num_draws, generator=generator)
    predicted = condensation_level(variances, len(train_set))
    near = math.log(predicted)
    root = brentq(lambda log_s: float(share(math.exp(log_s)).mean()) - 0.5, near - 3, near + 3, xtol=1e-4)
    slope = float(share(math.exp(root + 0.01)).mean() - share(math.exp(root - 0.01)).mean()) / 0.02
    half = Mean.over(share(math.exp(root)).cpu()).half
    return CondensationLevel(len(train_set), math.exp(root), math.exp(root) * half / abs(slope), predicted)


def white_level(
    dim: int, num: int, *, num_sets: int, num_draws: int, generator: torch.Generator, like: torch.Tensor
) -> CondensationLevel:
    """The same for ``num`` draws of N(0, I_dim): the mean over ``num_sets`` training sets, interval over them."""
    ones = like.new_ones(dim)
    sets = [normal(num, dim, like=ones, generator=generator) for _ in range(num_sets)]
    results = [measured_level(x, ones, num_draws=num_draws, generator=generator) for x in sets]
    mean = Mean.over([c.measured for c in results])
    return CondensationLevel(num, mean.value, mean.half, results[0].predicted)
