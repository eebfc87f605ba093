"""Chapter 1: the number of training steps until a denoiser has memorized, against the number of examples."""

import math
from itertools import pairwise

import torch

from memprior.denoiser import Denoiser, EmpiricalDenoiser, MixtureDenoiser, NetworkDenoiser
from memprior.mixture import IsotropicMixture
from memprior.networks import ResidualMLP
from memprior.noise import perturb
from memprior.training import TrainingPlan, snapshots


def memorization_curve(
    train_set: torch.Tensor,
    truth: IsotropicMixture,
    plan: TrainingPlan,
    steps: list[int],
    *,
    width: int,
    depth: int,
    level: float,
    generator: torch.Generator,
    folder=None,
) -> list[tuple[int, float]]:
    """(step, distance to the memorized denoiser) in training, until the distance is below ``level`` or the steps end.

    The distance: rms |D - D_empirical| over rms |D_empirical - D_true|, at noised examples, squares summed over levels
    from plan.sigma_min to the standard deviation of the examples. 0: memorized; the true denoiser would have 1.
    """
    memorized, true = EmpiricalDenoiser(train_set), MixtureDenoiser(truth)
    spread = float(train_set.square().mean().sqrt())
    network = ResidualMLP(train_set.shape[1], width, depth, generator=generator, device=train_set.device)
    denoiser = NetworkDenoiser(network, spread)
    levels = torch.logspace(math.log10(plan.sigma_min), math.log10(spread), 9, dtype=train_set.dtype)
    clean = train_set.repeat(-(-512 // len(train_set)), 1)[:512]
    probes = [(perturb(clean, sigma, generator=generator), sigma) for sigma in levels.tolist()]
    unit = _gap(memorized, true, probes)
    curve = []
    for step, average in snapshots(denoiser, train_set, plan, steps, generator=generator, folder=folder):
        curve.append((step, _gap(average, memorized, probes) / unit))
        if curve[-1][1] < level:
            break
    return curve


def _gap(one: Denoiser, other: Denoiser, probes) -> float:
    with torch.no_grad():
        return math.sqrt(sum(float((one(x, sigma) - other(x, sigma)).square().sum(1).mean()) for x, sigma in probes))


def first_below(curve: list[tuple[int, float]], level: float) -> float:
    """The step at which a curve first falls below ``level``; infinity if it never does.

    Interpolated between checkpoints as a power law.
    """
    for (before, high), (after, low) in pairwise(curve):
        if high >= level > low:
            return before * (after / before) ** (math.log(high / level) / math.log(high / low))
    return math.inf if not curve or curve[0][1] >= level else float(curve[0][0])


def power_law(sizes, times) -> tuple[float, float]:
    """Exponent of time against size by least squares on logarithms, and its standard error. times: (seeds, sizes)."""
    x = torch.tensor(sizes, dtype=torch.float64).log()
    y = torch.as_tensor(times, dtype=torch.float64).log()
    away = x - x.mean()
    slope = (y.mean(0) * away).sum() / away.square().sum()
    left = y - y.mean() - slope * away
    return float(slope), float((left.square().sum() / (left.numel() - 2) / (len(y) * away.square().sum())).sqrt())
