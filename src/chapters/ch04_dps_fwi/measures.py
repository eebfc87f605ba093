"""Chapter 4: what is measured on samples, beside what the same number is where nothing can be memorized."""

from dataclasses import dataclass

import torch

from memprior.calibration import pit
from memprior.denoiser import Denoiser
from memprior.fields import CosineBasis
from memprior.guidance import GuidedSamples, released_step, sample_guided
from memprior.intervals import Mean
from memprior.likelihood import GaussianLikelihood
from memprior.memorization import swap_test
from memprior.memorization.swap import labels_p
from memprior.paper import (
    MEMORIZED_BELOW,
    SIGMAS,
    TrainingSet,
    published_grid,
    published_law,
    standardized,
    start,
)

LEVEL = 0.8  # of the intervals whose coverage is counted


# ---- samples -------------------------------------------------------------------------------------------------------


def sample_linearized(
    linear: GaussianLikelihood,
    training: TrainingSet,
    denoiser: Denoiser,
    num_samples: int,
    *,
    step_size: float,
    generator: torch.Generator,
) -> GuidedSamples:
    """The released sampler with F linearized, raw samples (B, 100): takes seconds, as nothing is solved for.

    linear: of :func:`memprior.paper.tangent`, or of many problems side by side.
    """
    step = released_step(standardized(linear, training.standardizer), step_size)
    first = start(num_samples, training.examples, generator=generator)
    found = sample_guided(denoiser, first, SIGMAS, step=step, generator=generator)
    return GuidedSamples(training.standardizer.restore(found.x), found.misfits)


# ---- over many truths ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SwapRow:
    """The swap test over truths, draws of the noise and seeds of the network, all with one exchange of the labels.

    share: of samples nearer to a training model; its interval is over truths, their means over seeds and draws.
    by_seed: the share of each seed. null: the central 99 % of the share over labelings. log_ratio: mean over samples,
    its interval over truths. p: of the log-ratio. null_shares, null_log_ratios: of every labeling, (L,).
    """

    share: Mean
    by_seed: tuple[float, ...]
    null: tuple[float, float]
    log_ratio: Mean
    p: float
    null_shares: torch.Tensor
    null_log_ratios: torch.Tensor


def swap_row(
    samples: torch.Tensor,
    train_set: torch.Tensor,
    held_out: torch.Tensor,
    *,
    num_labelings: int,
    generator: torch.Generator,
) -> SwapRow:
    """samples: raw, (R, K, D, S, 100) of R seeds, K truths, D draws of the noise. train_set, held_out: (N, 100) each.

    Training and held-out models are shared by all truths: an interval over truths alone is too narrow for the
    difference to one half. Exchanging the labels once for all samples gives the width that this has.
    """
    test = swap_test(samples.flatten(0, 3), train_set, held_out, num_labelings=num_labelings, generator=generator)
    shares, log_ratios = (of.reshape(*samples.shape[:2], -1).mean(2) for of in (test.shares, test.log_ratios))
    low, high = test.null_shares.quantile(test.null_shares.new_tensor([0.005, 0.995])).tolist()
    return SwapRow(
        share=Mean.over(shares.mean(0)),
        by_seed=tuple(shares.mean(1).tolist()),
        null=(low, high),
        log_ratio=Mean.over(log_ratios.mean(0)),
        p=test.p,
        null_shares=test.null_shares,
        null_log_ratios=test.null_log_ratios,
    )


@dataclass(frozen=True)
class Excess:
    """What one set of samples has more than another, whose labels were exchanged alike.

    share: swap share less the other's. null: the central 95 % of that over labelings. log_ratio: the same difference.
    p: of the log-ratios' difference, one-sided.
    """

    share: float
    null: tuple[float, float]
    log_ratio: float
    p: float


def excess(row: SwapRow, other: SwapRow) -> Excess:
    """Of two rows from the same models and labelings: what labels do to both alike cancels, the rest is the null."""
    shares, log_ratios = row.null_shares - other.null_shares, row.null_log_ratios - other.null_log_ratios
    low, high = shares.quantile(shares.new_tensor([0.025, 0.975])).tolist()
    log_ratio = row.log_ratio.value - other.log_ratio.value
    return Excess(row.share.value - other.share.value, (low, high), log_ratio, labels_p(log_ratios, log_ratio))


def memorized_over_truths(samples: torch.Tensor, training: TrainingSet) -> Mean:
    """Share of samples (R, K, D, S, 100) with r < 0.7, and its interval over truths."""
    ratios = training.ratio(samples.flatten(0, 3)).reshape(samples.shape[:4])
    return Mean.over((ratios < MEMORIZED_BELOW).double().mean((0, 2, 3)))


@dataclass(frozen=True)
class Spread:
    """coverage: of central intervals of :data:`LEVEL`. error: of the posterior mean, over the prior's deviation.

    Both over the leading principal axes of the true prior; intervals are over truths.
    """

    coverage: Mean
    error: Mean


def spread(samples: torch.Tensor, truths: torch.Tensor, *, num_axes: int = 10, generator: torch.Generator) -> Spread:
    """samples: raw, (R, K, D, S, 100). truths: (K, 100)."""
    law = published_law().to(truths)
    variances, axes = torch.linalg.eigh(law.covariance)
    scale, axes = variances[-num_axes:].sqrt(), axes[:, -num_axes:]
    z = (samples - law.mean) @ axes / scale  # (R, K, D, S, num_axes)
    at = ((truths - law.mean) @ axes / scale)[None, :, None].expand(*z.shape[:3], -1)
    inside = (2 * (pit(z.flatten(0, 2), at.flatten(0, 2), generator=generator) - 0.5).abs() < LEVEL).double()
    error = (z.mean(3) - at).square().mean(3).sqrt()
    return Spread(Mean.over(inside.reshape(*z.shape[:3], -1).mean((0, 2, 3))), Mean.over(error.mean((0, 2))))


def correlation(samples: torch.Tensor, truths: torch.Tensor) -> torch.Tensor:
    """Correlation of the posterior mean with the truth over the cells of the field, (K,), mean over seeds and draws.

    samples: raw, (R, K, D, S, 100). truths: (K, 100). That of the decoded squared slowness.
    """
    decode = CosineBasis(published_grid()).decode
    mean, truth = (decode(z.flatten(0, -2)).flatten(1) for z in (samples.mean(3), truths))
    mean, truth = (field - field.mean(1, keepdim=True) for field in (mean, truth))
    mean = mean.reshape(*samples.shape[:3], -1)
    return torch.cosine_similarity(mean, truth[None, :, None], dim=3).mean((0, 2))
