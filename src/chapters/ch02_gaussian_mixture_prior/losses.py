"""Chapter 2: the theorem's identity in numbers, losses of the two closed forms, paths of a probability flow.

No defaults: sizes come from notebooks/profiles.yml. Coefficients of the published fields are standardized by their own
training set, as in the paper.
"""

import math
from dataclasses import dataclass

import torch

from memprior._random import integers
from memprior.closed_forms import Priors
from memprior.denoiser import Denoiser
from memprior.mixture import IsotropicMixture
from memprior.noise import perturb
from memprior.sampling import trajectory
from memprior.training import denoising_loss


def score_gap(train_set: torch.Tensor, sigma: float, *, num_points: int, generator: torch.Generator) -> float:
    """Largest difference between the softmax formula for the score and autograd's gradient of log p_sigma."""
    mixture = IsotropicMixture(train_set, sigma)
    x = mixture.sample(num_points, generator=generator).requires_grad_()
    (gradient,) = torch.autograd.grad(mixture.log_prob(x).sum(), x)
    return float((gradient - mixture.score(x.detach())).abs().max())


@dataclass(frozen=True)
class Excess:
    """Loss of a denoiser over that of the empirical one, and their squared distance: equal by the theorem.

    identity: largest relative difference, with the mean over examples given x taken exactly. loss, distance: per
    coordinate, by plain draws; standard_error: of their difference.
    """

    identity: float
    loss: float
    distance: float
    standard_error: float


def excess_loss(
    priors: Priors, denoiser: Denoiser, sigma: float, *, num_draws: int, generator: torch.Generator
) -> Excess:
    """The excess training loss of ``denoiser`` at one level, by both sides of the theorem's identity."""
    chosen = integers(len(priors.train_set), num_draws, like=priors.train_set, generator=generator)
    clean = priors.train_set[chosen]
    x = perturb(clean, sigma, generator=generator)
    best, other = priors.empirical(x, sigma), denoiser(x, sigma)
    distance = (other - best).square().mean(1)
    drawn = (other - clean).square().mean(1) - (best - clean).square().mean(1)
    shares = IsotropicMixture(priors.train_set, sigma).responsibilities(x)
    losses = [
        (shares * torch.cdist(d, priors.train_set, compute_mode="donot_use_mm_for_euclid_dist").square()).sum(1)
        for d in (other, best)
    ]
    apart = losses[0] - losses[1] - priors.train_set.shape[1] * distance
    error = (drawn - distance).std() / math.sqrt(num_draws)
    return Excess(float((apart.abs() / losses[0]).max()), float(drawn.mean()), float(distance.mean()), float(error))


def loss_curve(
    denoiser: Denoiser, points: torch.Tensor, sigmas: torch.Tensor, *, num_repeats: int, generator: torch.Generator
) -> torch.Tensor:
    """E |D(x + sigma eps) - x|^2 / d over clean points (P, d) at each level, (S,)."""
    points = points.repeat(num_repeats, 1)
    return torch.stack([denoising_loss(denoiser, points, s, generator=generator).mean() for s in sigmas.tolist()])


def flow_paths(denoiser: Denoiser, start: torch.Tensor, sigmas: torch.Tensor, *, generator) -> torch.Tensor:
    """Probability-flow path of ``start`` (B, d) at every one of ``sigmas`` (T + 1,): (T + 1, B, d)."""
    states = trajectory(denoiser, start, sigmas, generator=generator)
    return torch.stack([start, *(state.x for state in states)])
