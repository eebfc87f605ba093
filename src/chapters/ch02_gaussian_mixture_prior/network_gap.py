"""Chapter 2: distances of trained networks to both closed forms during training.

No defaults: sizes come from notebooks/profiles.yml.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from companion.store import Tensors
from memprior._check import expect
from memprior.closed_forms import ClosedFormReference, relative_distances
from memprior.denoiser import Denoiser, NetworkDenoiser
from memprior.networks import ResidualMLP
from memprior.noise import karras_sigmas
from memprior.sampling import sample
from memprior.training import TrainingPlan, snapshots

# Optimizer steps of the checkpoints: denser about the crossing.
SNAPSHOTS = (100, 200, 400, 600, 800, 1000, 1200, 1600, 2000, 3000, 4000, 6000, 8000, 12_000, 16_000, 20_000)


def snapshots_until(num_steps: int) -> list[int]:
    """Those of :data:`SNAPSHOTS` that lie within ``num_steps``."""
    return [step for step in SNAPSHOTS if step <= num_steps]


def published_plan(num_steps: int) -> TrainingPlan:
    """Training of networks on the published fields; standardized data have unit variance."""
    return TrainingPlan(num_steps, 128, 1e-3, 1e-4, 0.999, 0.05, 20.0)


def plane_plan(num_steps: int) -> TrainingPlan:
    """The same for points of the plane. With smaller batches or larger steps a network fits a line for long."""
    return TrainingPlan(num_steps, 1024, 1e-3, 1e-5, 0.99, 0.01, 4.0)


def follow(
    train_set: torch.Tensor,
    plan: TrainingPlan,
    steps: list[int],
    measure: Callable[[int, NetworkDenoiser], Tensors],
    *,
    spread: float,
    width: int,
    depth: int,
    weights: torch.Generator,
    generator: torch.Generator,
    folder: Path | None,
) -> list[Tensors]:
    """Train a residual network; results of ``measure(step, averaged denoiser)`` at each of ``steps``.

    weights: generator of the initial weights. generator: of batches and noise.
    """
    network = ResidualMLP(train_set.shape[1], width, depth, generator=weights, device=train_set.device)
    denoiser = NetworkDenoiser(network, spread)
    return [measure(*at) for at in snapshots(denoiser, train_set, plan, steps, generator=generator, folder=folder)]


def draw(denoiser: Denoiser, start: torch.Tensor, plan: TrainingPlan, num_steps: int, *, generator) -> torch.Tensor:
    """Samples (B, d) of the probability-flow ODE from ``start`` over the trained noise levels, then to 0."""
    levels = karras_sigmas(num_steps, plan.sigma_min, plan.sigma_max)
    with torch.no_grad():
        return sample(denoiser, start, levels, generator=generator)


@dataclass(frozen=True, eq=False)
class TrainingHistory:
    """History of one training run.

    steps: of the checkpoints. squares: name of a reference -> (steps, S, 4). samples: (B, d), at the end.
    """

    steps: tuple[int, ...]
    squares: Tensors
    samples: torch.Tensor

    @classmethod
    def of(cls, steps: tuple[int, ...], measured: Tensors) -> "TrainingHistory":
        """From what a run has come to, on the CPU."""
        found = {name: values.cpu() for name, values in measured.items()}
        samples = found.pop("samples")
        return cls(steps, found, samples)

    def shares(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """a and b of a reference over all of its levels together, each (steps,)."""
        return relative_distances(self.squares[name].sum(1))

    def quotient(self, name: str, until: float = math.inf) -> float:
        """a / b at the last checkpoint until a step."""
        at = max(k for k, step in enumerate(self.steps) if step <= until)
        a, b = self.shares(name)
        return float(a[at] / b[at])

    @property
    def crossing(self) -> float:
        """The step from which the network is nearer to the empirical form, at noised training examples."""
        return crossing_step(self.steps, *self.shares("train"))


def plane_measure(reference: ClosedFormReference, grid: torch.Tensor, sigma: float) -> Callable[..., Tensors]:
    """Function of (step, network in the plane) -> its squares, and its denoised grid of points."""

    def measure(step: int, denoiser: NetworkDenoiser) -> Tensors:
        with torch.no_grad():
            return {"squares": reference.squares(denoiser), "sent": denoiser(grid, sigma)}

    return measure


def published_measure(
    references: dict[str, ClosedFormReference],
    last: int,
    start: torch.Tensor,
    plan: TrainingPlan,
    *,
    num_levels: int,
    generator,
) -> Callable[[int, NetworkDenoiser], Tensors]:
    """Function of (step, network) -> its squares on each reference and, at step ``last``, its samples."""

    def measure(step: int, denoiser: NetworkDenoiser) -> Tensors:
        measured = {name: reference.squares(denoiser) for name, reference in references.items()}
        if step == last:
            measured["samples"] = draw(denoiser, start, plan, num_levels, generator=generator)
        return measured

    return measure


def crossing_step(steps, a, b) -> float:
    """The first step from which a < b, by a straight line of a - b in log step between snapshots; NaN if there is none.

    NaN too if the first snapshot is already past it.
    """
    gaps = [float(x) - float(y) for x, y in zip(a, b, strict=True)]
    expect(len(gaps) == len(steps), "steps", f"{len(gaps)} of them, as a has", len(steps))
    for k in range(1, len(gaps)):
        if gaps[k - 1] >= 0 > gaps[k]:
            low, high = math.log(steps[k - 1]), math.log(steps[k])
            return math.exp(low + (high - low) * gaps[k - 1] / (gaps[k - 1] - gaps[k]))
    return math.nan
