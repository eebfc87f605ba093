"""Chapter 1: how far a denoiser in training is from its two possible ends, and when it is half-way to the first.

Both ends are closed forms: the memorized denoiser, of the empirical distribution, and the true one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

from memprior.denoiser import Denoiser, EmpiricalDenoiser, MixtureDenoiser, NetworkDenoiser
from memprior.mixture import IsotropicMixture
from memprior.networks import ResidualMLP
from memprior.noise import perturb
from memprior.training import TrainingPlan, snapshots

NUM_LEVELS, NUM_POINTS = 9, 512  # of the noise at which denoisers are compared


@dataclass(frozen=True, eq=False)
class Probes:
    """Noised points, (x (P, d), sigma) for each level, and what the two closed forms make of each, (P, d)."""

    noised: list[tuple[torch.Tensor, float]]
    memorized: list[torch.Tensor]
    true: list[torch.Tensor]

    @classmethod
    def around(
        cls, clean: torch.Tensor, train_set: torch.Tensor, truth: IsotropicMixture, floor: float, *, generator
    ) -> "Probes":
        """At ``clean`` (P, d) noised at levels from ``floor`` to the spread of the training set (N, d)."""
        spread = float(train_set.square().mean().sqrt())
        levels = torch.logspace(math.log10(floor), math.log10(spread), NUM_LEVELS, dtype=torch.float64).tolist()
        noised = [(perturb(clean, sigma, generator=generator), sigma) for sigma in levels]
        of = EmpiricalDenoiser(train_set), MixtureDenoiser(truth)
        memorized, true = ([one(x, sigma) for x, sigma in noised] for one in of)
        return cls(noised, memorized, true)

    @property
    def unit(self) -> float:
        """The root mean square of D_memorized - D_true, over points and levels."""
        return _rms([a - b for a, b in zip(self.memorized, self.true, strict=True)])

    def errors(self, denoiser: Denoiser) -> tuple[float, float]:
        """The root mean square distance of a denoiser from the memorized and from the true one."""
        with torch.no_grad():
            found = [denoiser(x, sigma) for x, sigma in self.noised]
        memorized, true = (
            _rms([a - b for a, b in zip(found, end, strict=True)]) for end in (self.memorized, self.true)
        )
        return memorized, true


def _rms(differences: list[torch.Tensor]) -> float:
    return math.sqrt(sum(float(d.square().sum(1).mean()) for d in differences) / len(differences))


def watched(
    train_set: torch.Tensor,
    probes: dict[str, Probes],
    plan: TrainingPlan,
    steps: list[int],
    *,
    width: int,
    depth: int,
    generator: torch.Generator,
    stop: Callable[[dict], bool] | None = None,
    folder: Path | None = None,
) -> list[dict]:
    """Training, with the errors of the averaged denoiser at each of ``steps``, until ``stop(point)`` or they end.

    A point: its "step", and for each of ``probes`` [distance from the memorized denoiser, from the true one].
    """
    network = ResidualMLP(train_set.shape[1], width, depth, generator=generator, device=train_set.device)
    denoiser = NetworkDenoiser(network, float(train_set.square().mean().sqrt()))
    points = []
    for step, average in snapshots(denoiser, train_set, plan, steps, generator=generator, folder=folder):
        points.append({"step": step} | {name: list(one.errors(average)) for name, one in probes.items()})
        if stop and stop(points[-1]):
            break
    return points


def first_below(curve: list[tuple[int, float]], level: float) -> float:
    """The step at which a curve first falls below ``level``; infinity if it never does.

    Interpolated between checkpoints as a power law.
    """
    for (before, high), (after, low) in pairwise(curve):
        if high >= level > low:
            return before * (after / before) ** (math.log(high / level) / math.log(high / low))
    return math.inf if not curve or curve[0][1] >= level else float(curve[0][0])


def power(sizes, times) -> float:
    """The exponent of time against size, by least squares on their logarithms."""
    x, y = (torch.as_tensor(values, dtype=torch.float64).log() for values in (sizes, times))
    away = x - x.mean()
    return float((y * away).sum() / away.square().sum())
