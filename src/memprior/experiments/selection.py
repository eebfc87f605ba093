"""Chapter 2: which examples a memorized sampler ends on, and whether its samples would be called copies.

Frozen dataclasses and short functions, no defaults: sizes come from notebooks/profiles.yml.
"""

import math
from dataclasses import dataclass

import torch

from memprior._random import integers, normal
from memprior.denoiser import EmpiricalDenoiser
from memprior.experiments.lookup import multinomial_floor
from memprior.fields import CosineBasis, published_grid
from memprior.memorization import (
    CopyTest,
    Neighbors,
    memorization_ratio,
    nearest_neighbors,
    three_sample_test,
)
from memprior.mixture import total_variation
from memprior.noise import perturb
from memprior.sampling import euler_step, sample

CHUNK = 1000  # draws taken together: their states stay in a processor's cache


@dataclass(frozen=True, eq=False)
class Selection:
    """How often each example was landed on. chosen: (num,), index of the example of every draw.

    frequencies: (N,). distance: their total variation to uniform. floor, floor_std: mean and standard deviation of that
    distance for as many exact uniform draws.
    """

    chosen: torch.Tensor
    frequencies: torch.Tensor
    distance: float
    floor: float
    floor_std: float

    @property
    def excess(self) -> float:
        """Distance above the floor, in its standard deviations."""
        return (self.distance - self.floor) / self.floor_std


def select(train_set: torch.Tensor, start: torch.Tensor, sigmas: torch.Tensor, *, generator) -> Selection:
    """Deterministic DDIM with the exact memorized denoiser from ``start`` (num, d) at sigmas[0] down to 0."""
    denoiser = EmpiricalDenoiser(train_set)
    ends = [sample(denoiser, x, sigmas, step=euler_step, generator=generator) for x in start.split(CHUNK)]
    chosen = nearest_neighbors(torch.cat(ends), train_set, 1).indices[:, 0]
    uniform = torch.full((len(train_set),), 1 / len(train_set), dtype=torch.float64, device=train_set.device)
    frequencies = chosen.bincount(minlength=len(train_set)).double() / len(chosen)
    distance = float(total_variation(frequencies, uniform))
    return Selection(chosen, frequencies, distance, *multinomial_floor(uniform, len(chosen), generator=generator))


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


def rank_correlation(x: torch.Tensor, y: torch.Tensor) -> float:
    """Spearman's: the correlation of ranks; values that tie keep an order of their own."""
    ranks = torch.stack([v.argsort().argsort().double() for v in (x, y)])
    return float(torch.corrcoef(ranks)[0, 1])


class FieldSpace:
    """Coefficients z (B, d) to coordinates in which distances are those between decoded fields, without the cells.

    Decoding is linear plus a constant, so |field - field'|^2 = (z - z')^T G (z - z') with G its Gram matrix.
    """

    def __init__(self, device: torch.device):
        basis = CosineBasis(published_grid())
        eye = torch.eye(basis.size, dtype=torch.float64)
        columns = (basis.decode(eye) - basis.decode(0 * eye)).flatten(1)
        variances, axes = torch.linalg.eigh(columns @ columns.T)
        self._map = (axes * variances.clamp(min=0).sqrt()).to(device)

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return z @ self._map


@dataclass(frozen=True)
class CopyCounts:
    """For one set of samples in one space: share with r < 0.7, median r, share with d1/d2 < 1/3, and the test."""

    memorized: float
    median: float
    near: float
    test: CopyTest | None


def copy_counts(
    samples: torch.Tensor | Neighbors, train_set: torch.Tensor, held_out: torch.Tensor | None, threshold: float
) -> CopyCounts:
    """The paper's ratio with k = min(50, N), or of given neighbours; the test beside ``held_out``, where there are."""
    given = isinstance(samples, Neighbors)
    neighbors = samples if given else nearest_neighbors(samples, train_set, min(50, len(train_set)))
    ratios = memorization_ratio(neighbors)
    pairs = neighbors.distances[:, 0] / neighbors.distances[:, 1]
    test = None if given or held_out is None else three_sample_test(samples, train_set, held_out)
    return CopyCounts(
        float((ratios < threshold).double().mean()),
        float(ratios.median()),
        float((pairs < 1 / 3).double().mean()),
        test,
    )
