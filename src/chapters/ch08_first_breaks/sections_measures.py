"""Chapter 8: do generators of sections copy? Measured in two spaces beside an exact copier and fresh draws.

Each space is fixed before training: the labels of training and held-out sections choose neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy import stats

from memprior.intervals import Mean, Share
from memprior.linear_autoencoder import LinearAutoencoder
from memprior.memorization import latent_walk, nearest_neighbors, swap_test

SPACES = {"sections": "sections", "spectra": "amplitude spectra"}


def in_space(sections: torch.Tensor, space: str) -> torch.Tensor:
    """(num, d). "sections": as they are. "spectra": |2-D Fourier transform|, the same for a section that is moved."""
    found = sections if space == "sections" else torch.fft.rfft2(sections, norm="ortho").abs()
    return found.flatten(1)


@dataclass(frozen=True)
class Copying:
    """A swap test with as many held-out as training sections. share: of samples nearer to a training one, 1/2 in the
    mean by labels alone; null: the central 95 % of it then. gap: median of d_1 / d_2 among training sections; held_out:
    the same among held-out ones.
    """

    share: float
    null: tuple[float, float]
    p: float
    gap: float
    held_out: float


def copying(
    samples: torch.Tensor,
    training: torch.Tensor,
    held_out: torch.Tensor,
    space: str,
    num_labelings: int,
    *,
    generator: torch.Generator,
) -> Copying:
    """samples: (B, 64, 64). training, held_out: (N, 64, 64) each."""
    flat = [in_space(x, space) for x in (samples, training, held_out)]
    test = swap_test(*flat, num_labelings=num_labelings, generator=generator)
    near = [nearest_neighbors(flat[0], models, 2).distances for models in flat[1:]]
    gaps = [float((distances[:, 0] / distances[:, 1]).median()) for distances in near]
    return Copying(test.share, test.null_interval, test.p, *gaps)


def step_down(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which hypotheses are rejected by the procedure of Holm (1979): of all together, not of each.

    It is chapter 7's ``holm``: one of the library's takes the place of both when these chapters are recorded again.
    """
    ascending = sorted(p_values)
    passed = [p <= level / (len(ascending) - place) for place, p in enumerate(ascending)]
    num = passed.index(False) if False in passed else len(passed)
    return [num > 0 and p <= ascending[num - 1] for p in p_values]


def over_seeds(p_values: Sequence[float]) -> float:
    """One p of independent ones, Fisher's: their seeds have training and held-out sections of their own."""
    return float(stats.combine_pvalues(list(p_values), "fisher").pvalue)


def rejections(p_values: Sequence[float], level: float = 0.05) -> Share:
    """Of repeats on fresh draws: the level that the test really has."""
    return Share.of_flags(torch.tensor([p <= level for p in p_values]))


def gaussian_generator(best: LinearAutoencoder):
    """Latent points (B, k) -> samples (B, d) of the Gaussian with the examples' mean and first k components: the
    linear generator, which stores no example. At the maximum of the likelihood but for the variance that is cut off.
    """
    return lambda latent: (best.mean + (latent.to(best.mean) * best.scales) @ best.components).to(latent)


def lookup_generator(generator_network, examples: torch.Tensor):
    """What returns the example (N, d) nearest to an output of another generator: an exact memorizer."""
    return lambda latent: examples[nearest_neighbors(generator_network(latent), examples, 1).indices[:, 0]]


@dataclass(frozen=True)
class Walking:
    """Of walks: share of the length in the largest tenth of the steps, and how often the nearest section changes."""

    jump_share: Mean
    switches: Mean


def walking(generator_network, ends: torch.Tensor, examples: torch.Tensor, num_steps: int) -> Walking:
    """Over walks from each of the latent points ``ends`` (2, walks, latent) to its partner. examples: (N, ...)."""
    walks = [latent_walk(generator_network, a, b, examples, num_steps=num_steps) for a, b in zip(*ends, strict=True)]
    moved = [walk.jump_share for walk in walks if bool(walk.steps.any())]  # an exact memorizer may never move
    switches = Mean.over([walk.num_switches for walk in walks])
    return Walking(Mean.over(moved) if moved else Mean(float("nan"), 0.0), switches)
