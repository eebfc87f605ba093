"""Chapter 4: what the samples are measured by, and the exact answers and nulls beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from memprior._random import choices
from memprior.closed_forms import closed_form_reference, relative_distances
from memprior.denoiser import Denoiser
from memprior.fields import Standardizer
from memprior.guidance import released_step
from memprior.likelihood import GaussianLikelihood
from memprior.memorization import nearest_neighbors
from memprior.memorization.copies import CopyCounts, copy_counts
from memprior.noise import perturb
from memprior.paper import (
    HELD_OUT_SEED,
    MEMORIZED_BELOW,
    SIGMAS,
    FieldSpace,
    TrainingSet,
    published_coefficients,
    published_priors,
    standardized,
    start,
)
from memprior.sampling import euler_step, sample, trajectory

OTHER_SEED = 777  # of training sets that nothing was trained on


# ---- the released sampler, cheaply ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class TangentWalk:
    """x: raw samples, (B, 100). misfits: (T, B). guesses: (W, B, 100), raw, what was denoised at the watched steps."""

    x: torch.Tensor
    misfits: torch.Tensor
    guesses: torch.Tensor


def tangent_walk(
    linear: GaussianLikelihood,
    training: TrainingSet,
    denoiser: Denoiser,
    num_samples: int,
    *,
    step_size: float,
    generator: torch.Generator,
    watched: Sequence[int] = (),
) -> TangentWalk:
    """The released sampler with F linearized at the truth (``linear``: :func:`dps_fwi.tangent`): seconds, no waves."""
    step = released_step(standardized(linear, training.standardizer), step_size)
    first = start(num_samples, training.examples, generator=generator)
    misfits, guesses = [], []
    for k, state in enumerate(trajectory(denoiser, first, SIGMAS, step=step, generator=generator)):
        misfits.append(state.misfit)
        if k in watched:
            guesses.append(training.standardizer.restore(state.denoised))
    empty = first.new_zeros(0, *first.shape)
    samples = training.standardizer.restore(state.x)
    return TangentWalk(samples, torch.stack(misfits), torch.stack(guesses) if guesses else empty)


def without_data(
    training: TrainingSet, denoiser: Denoiser, num_samples: int, *, generator: torch.Generator
) -> torch.Tensor:
    """Raw samples (B, 100) that a walk makes without data: the same levels and start.

    The start is narrower than the law of x_sigma there (chapter 2), so these are not draws of the prior itself.
    """
    first = start(num_samples, training.examples, generator=generator)
    with torch.no_grad():
        return training.standardizer.restore(sample(denoiser, first, SIGMAS, step=euler_step, generator=generator))


# ---- the networks --------------------------------------------------------------------------------------------------


def gaps(training: TrainingSet, networks: dict[int, Denoiser], num_inputs: int, *, generator) -> list[dict]:
    """At each step a network was looked at: a and b, its distances to the memorized and to the true form.

    At noised training examples and at noised held-out draws ("train", "held out"), over nine levels of the sampler's.
    """
    priors, _ = published_priors(training.examples, held_out_draws(num_inputs).to(training.examples))
    levels = torch.logspace(-1.5, 0.4, 9, dtype=torch.float64)
    rulers = {
        name: closed_form_reference(priors, points, levels, num_inputs=num_inputs, generator=generator)
        for name, points in (("train", priors.train_set), ("held out", priors.held_out))
    }
    found = []
    for step, network in networks.items():
        pairs = {name: relative_distances(ruler.squares(network).sum(0)) for name, ruler in rulers.items()}
        found.append({"step": step} | {name: [float(a), float(b)] for name, (a, b) in pairs.items()})
    return found


def left_of_a_push(
    training: TrainingSet, denoiser: Denoiser, levels: torch.Tensor, length: float, num: int, *, generator
) -> torch.Tensor:
    """What share of a push away from a training example a denoiser leaves, at each of ``levels``: (S,).

    <D(x_n + p + sigma eps) - D(x_n + sigma eps), p> / |p|^2, a mean over ``num`` pushes p of one ``length`` in
    standardized coordinates, towards other examples. 0: back where it was; 1: not corrected at all.
    """
    x = training.standardized
    pair = choices(x.new_ones(num, len(x)), 2, generator=generator, replacement=False)
    push = x[pair[:, 1]] - x[pair[:, 0]]
    push = length * push / push.norm(dim=1, keepdim=True)
    left = []
    for level in levels.tolist():
        noised = perturb(x[pair[:, 0]], level, generator=generator)
        with torch.no_grad():
            moved = denoiser(noised + push, level) - denoiser(noised, level)
        left.append((moved * push).sum(1).mean() / length**2)
    return torch.stack(left)


# ---- nulls ---------------------------------------------------------------------------------------------------------


def held_out_draws(num: int) -> torch.Tensor:
    """Raw coefficients (num, 100) of fields that no training set holds."""
    return published_coefficients(num, seed=HELD_OUT_SEED)


def other_examples(num: int, device: torch.device) -> TrainingSet:
    """A training set that nothing was trained on: as many draws of the same law, from a seed of their own."""
    examples = published_coefficients(num, seed=OTHER_SEED).to(device)
    return TrainingSet(examples, Standardizer.fit(examples))


def in_spaces(samples: torch.Tensor, training: TrainingSet, held_out: torch.Tensor) -> dict[str, CopyCounts]:
    """What the measures say of raw samples (B, 100) in three spaces, and with k = 10 for every N.

    held_out: raw draws (M, 100), beside which the three-sample test sets the samples.
    """
    spaces = {
        "coefficients": lambda z: z,
        "standardized": training.standardizer.normalize,
        "fields": FieldSpace(samples.device),
    }
    found = {}
    for name, space in spaces.items():
        points = space(samples), space(training.examples), space(held_out)
        found[name] = copy_counts(*points, MEMORIZED_BELOW)
    ten = nearest_neighbors(samples, training.examples, 10)
    return found | {"coefficients, k = 10": copy_counts(ten, training.examples, None, MEMORIZED_BELOW)}
