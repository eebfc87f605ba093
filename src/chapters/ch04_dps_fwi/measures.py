"""Chapter 4: metrics of the samples and networks, with their exact values and nulls."""

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

OTHER_SEED = 777  # of training sets on which no network was trained


# ---- the released sampler with F linearized ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LinearizedRun:
    """x: raw samples, (B, 100). misfits: (T, B). guesses: raw denoised samples at the watched steps, (W, B, 100)."""

    x: torch.Tensor
    misfits: torch.Tensor
    guesses: torch.Tensor


def sample_linearized(
    linear: GaussianLikelihood,
    training: TrainingSet,
    denoiser: Denoiser,
    num_samples: int,
    *,
    step_size: float,
    generator: torch.Generator,
    watched: Sequence[int] = (),
) -> LinearizedRun:
    """The released sampler with F linearized at the truth: takes seconds, as nothing is solved for.

    linear: of :func:`memprior.paper.tangent`. watched: steps whose denoised samples are returned.
    """
    step = released_step(standardized(linear, training.standardizer), step_size)
    first = start(num_samples, training.examples, generator=generator)
    misfits, guesses = [], []
    for k, state in enumerate(trajectory(denoiser, first, SIGMAS, step=step, generator=generator)):
        misfits.append(state.misfit)
        if k in watched:
            guesses.append(training.standardizer.restore(state.denoised))
    empty = first.new_zeros(0, *first.shape)
    samples = training.standardizer.restore(state.x)
    return LinearizedRun(samples, torch.stack(misfits), torch.stack(guesses) if guesses else empty)


def sample_prior(
    training: TrainingSet, denoiser: Denoiser, num_samples: int, *, generator: torch.Generator
) -> torch.Tensor:
    """Raw samples (B, 100) of the unconditional sampler, with the noise levels and the start of the guided one.

    The start is narrower than the distribution of x_sigma there (chapter 2), so these are not exact prior samples.
    """
    first = start(num_samples, training.examples, generator=generator)
    with torch.no_grad():
        return training.standardizer.restore(sample(denoiser, first, SIGMAS, step=euler_step, generator=generator))


# ---- the networks --------------------------------------------------------------------------------------------------


def gaps(training: TrainingSet, networks: dict[int, Denoiser], num_inputs: int, *, generator) -> list[dict]:
    """Distances a and b of a network to the memorized and to the true denoiser, at each checkpoint.

    Measured at noised training examples ("train") and at noised held-out draws ("held out"), over nine of the
    sampler's noise levels. networks: step -> network.
    """
    priors, _ = published_priors(training.examples, held_out_draws(num_inputs).to(training.examples))
    levels = torch.logspace(-1.5, 0.4, 9, dtype=torch.float64)
    references = {
        name: closed_form_reference(priors, points, levels, num_inputs=num_inputs, generator=generator)
        for name, points in (("train", priors.train_set), ("held out", priors.held_out))
    }
    history = []
    for step, network in networks.items():
        pairs = {name: relative_distances(of.squares(network).sum(0)) for name, of in references.items()}
        history.append({"step": step} | {name: [float(a), float(b)] for name, (a, b) in pairs.items()})
    return history


def residual_after_perturbation(
    training: TrainingSet, denoiser: Denoiser, levels: torch.Tensor, length: float, num: int, *, generator
) -> torch.Tensor:
    """Fraction of a perturbation of a training example that is left after denoising, at each of ``levels``: (S,).

    <D(x_n + p + sigma eps) - D(x_n + sigma eps), p> / |p|^2, averaged over ``num`` perturbations p of one ``length``
    in standardized coordinates, each towards another example. 0: removed entirely; 1: not corrected at all.
    """
    x = training.standardized
    pair = choices(x.new_ones(num, len(x)), 2, generator=generator, replacement=False)
    perturbation = x[pair[:, 1]] - x[pair[:, 0]]
    perturbation = length * perturbation / perturbation.norm(dim=1, keepdim=True)
    residuals = []
    for level in levels.tolist():
        noised = perturb(x[pair[:, 0]], level, generator=generator)
        with torch.no_grad():
            change = denoiser(noised + perturbation, level) - denoiser(noised, level)
        residuals.append((change * perturbation).sum(1).mean() / length**2)
    return torch.stack(residuals)


# ---- nulls ---------------------------------------------------------------------------------------------------------


def held_out_draws(num: int) -> torch.Tensor:
    """Raw coefficients (num, 100) of fields that are in no training set."""
    return published_coefficients(num, seed=HELD_OUT_SEED)


def other_examples(num: int, device: torch.device) -> TrainingSet:
    """A training set on which no network was trained: ``num`` draws of the same distribution with another seed."""
    examples = published_coefficients(num, seed=OTHER_SEED).to(device)
    return TrainingSet(examples, Standardizer.fit(examples))


def copy_counts_by_space(samples: torch.Tensor, training: TrainingSet, held_out: torch.Tensor) -> dict[str, CopyCounts]:
    """Copy counts of raw samples (B, 100) in three spaces, and in coefficients with k = 10 for every N.

    held_out: raw draws (M, 100), the reference of the three-sample test.
    """
    spaces = {
        "coefficients": lambda z: z,
        "standardized": training.standardizer.normalize,
        "fields": FieldSpace(samples.device),
    }
    counts = {}
    for name, space in spaces.items():
        points = space(samples), space(training.examples), space(held_out)
        counts[name] = copy_counts(*points, MEMORIZED_BELOW)
    ten = nearest_neighbors(samples, training.examples, 10)
    return counts | {"coefficients, k = 10": copy_counts(ten, training.examples, None, MEMORIZED_BELOW)}
