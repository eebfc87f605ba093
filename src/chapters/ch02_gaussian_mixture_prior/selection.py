"""Chapter 2: which training examples a sampler with the memorized denoiser ends on.

No defaults: sizes come from notebooks/profiles.yml.
"""

import math
from dataclasses import dataclass

import torch

from memprior._random import integers, normal
from memprior.denoiser import EmpiricalDenoiser
from memprior.memorization import nearest_neighbors
from memprior.mixture import multinomial_floor, total_variation
from memprior.noise import perturb
from memprior.sampling import euler_step, sample

_CHUNK = 1000  # draws taken together: their states stay in a processor's cache


@dataclass(frozen=True, eq=False)
class Selection:
    """How often each example was chosen. chosen: (num,), index of the example of every draw.

    frequencies: (N,). distance: their total variation to uniform. floor, floor_std: mean and standard deviation of that
    distance for as many exact uniform draws.
    """

    chosen: torch.Tensor
    frequencies: torch.Tensor
    distance: float
    floor: float
    floor_std: float

    @classmethod
    def of(cls, chosen: torch.Tensor, num: int, *, generator: torch.Generator) -> "Selection":
        """Of the indices (B,) of the chosen among ``num`` examples; generator: of the uniform draws."""
        uniform = torch.full((num,), 1 / num, dtype=torch.float64, device=chosen.device)
        frequencies = chosen.bincount(minlength=num).double() / len(chosen)
        distance = float(total_variation(frequencies, uniform))
        return cls(chosen, frequencies, distance, *multinomial_floor(uniform, len(chosen), generator=generator))

    @property
    def excess(self) -> float:
        """Distance above the floor, in standard deviations of the floor."""
        return (self.distance - self.floor) / self.floor_std

    @property
    def half(self) -> float:
        """Half of a 95 % interval of the distance about its mean, over draws.

        One of B draws changes the distance by at most 1/B, so that McDiarmid's inequality gives sqrt(log 40 / (2 B)).
        """
        return math.sqrt(math.log(40) / (2 * len(self.chosen)))


def select(train_set: torch.Tensor, start: torch.Tensor, sigmas: torch.Tensor, *, generator) -> torch.Tensor:
    """Index (num,) of the example on which each path ends.

    Deterministic DDIM with the exact memorized denoiser from ``start`` (num, d) at sigmas[0] down to 0.
    """
    denoiser = EmpiricalDenoiser(train_set)
    ends = [sample(denoiser, x, sigmas, step=euler_step, generator=generator) for x in start.split(_CHUNK)]
    return nearest_neighbors(torch.cat(ends), train_set, 1).indices[:, 0]


def gaussian_start(num: int, like: torch.Tensor, sigma, *, generator: torch.Generator) -> torch.Tensor:
    """N(0, (1 + sigma^2) I), (num, d).

    The released start N(0, I) of the variance-preserving iterate, in coordinates x_0 + sigma eps; right for
    standardized data only where sigma is far above them.
    """
    eps = normal(num, like.shape[1], like=like, generator=generator)
    return math.sqrt(1 + float(sigma) ** 2) * eps


def true_start(num: int, train_set: torch.Tensor, sigma, *, generator: torch.Generator) -> torch.Tensor:
    """Draws of p_sigma itself: an example chosen uniformly, and noise. (num, d)."""
    chosen = integers(len(train_set), num, like=train_set, generator=generator)
    return perturb(train_set[chosen], float(sigma), generator=generator)
