"""A guided sampling run from its first level to its last, which a kill does not undo."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from memprior._check import descending_levels, expect_points, expect_whole
from memprior.checkpoint import canonical, digest, file_to_keep, read_saved, restore_generator, save_atomically
from memprior.denoiser import Denoiser
from memprior.guidance.gradients import GuidedState, GuidedStep
from memprior.sampling import trajectory

_LOG = logging.getLogger(__name__)  # tells where a run that was killed goes on; silent unless asked


@dataclass(frozen=True, eq=False)
class GuidedSamples:
    """The end of a guided trajectory.

    Attributes:
        x: (B, d).
        misfits: (T, B), of the guess at each of its steps.
    """

    x: torch.Tensor
    misfits: torch.Tensor


def sample_guided(
    denoiser: Denoiser,
    x_init: torch.Tensor,
    sigmas: torch.Tensor,
    *,
    step: GuidedStep,
    generator: torch.Generator,
    checkpoint: str | Path | None = None,
    identity: dict | None = None,
    save_every: int = 5,
) -> GuidedSamples:
    """:func:`~memprior.sampling.trajectory` of a guided step to its end.

    Killed and started again with the same arguments it ends in the same bits: the checkpoint carries x, the misfits
    and the state of the generator.

    Args:
        denoiser: D, the prior.
        x_init: (B, d), finite, at noise level sigmas[0].
        sigmas: (T + 1,), strictly descending and >= 0.
        step: a guided step, which brings the data.
        generator: draws what the step draws.
        checkpoint: a file, in a folder that exists, written every ``save_every`` steps and at the end. Where it exists
            the run goes on from it.
        identity: what else makes this run this one, of dicts, lists, texts and finite numbers: the prior, the data, the
            step and its settings, none of which can be read from here.
        save_every: steps between two checkpoints.

    Returns:
        Samples and their misfits.

    Raises:
        ValueError: arguments that do not fit, and a checkpoint that is none, or of another start, schedule, generator
            or identity.
        TypeError: a step that no data guide.
        FloatingPointError: as :func:`~memprior.sampling.trajectory`.

    Example:
        >>> import torch
        >>> from memprior.denoiser import EmpiricalDenoiser
        >>> from memprior.guidance import dps_step, sample_guided
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.operators import MatrixOperator
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.ones(1), 0.5)
        >>> step, generator = dps_step(likelihood, scale=0.1, norm="squared"), torch.Generator().manual_seed(0)
        >>> prior, x_init = EmpiricalDenoiser(torch.tensor([[-1.0], [1.0]])), 9.0 * torch.ones(2, 1)
        >>> sample_guided(prior, x_init, torch.tensor([9.0, 3.0, 0.0]), step=step, generator=generator).misfits.shape
        torch.Size([2, 2])
    """
    expect_whole("save_every", save_every, 1)
    expect_points("x_init", x_init)
    sigmas = descending_levels("sigmas", sigmas, x_init)
    begins = {"x": x_init, "sigmas": sigmas, "generator": generator.get_state()}
    identity = canonical("identity", identity or {}) | {"start": digest(begins, {})[:16]}
    x, misfits, last = x_init, [], len(sigmas) - 1
    if checkpoint is not None:
        checkpoint = file_to_keep("checkpoint", checkpoint)
        if checkpoint.exists():
            before, (tensors, _) = generator.get_state(), read_saved(checkpoint)
            restore_generator(generator, tensors["generator"], f"checkpoint {checkpoint}")
            try:
                read_saved(checkpoint, identity)
            except ValueError:  # of another run: the caller's generator stays where it was
                generator.set_state(before)
                raise
            x, misfits = tensors["x"].to(x_init), list(tensors["misfits"].to(x_init))
            if len(misfits) < last:
                _LOG.info("%s: sampling goes on from step %d of %d", checkpoint.parent.stem, len(misfits), last)
    if len(misfits) < last:
        for state in trajectory(denoiser, x, sigmas[len(misfits) :], step=step, generator=generator):
            if not isinstance(state, GuidedState):
                raise TypeError(f"step: expected one whose states carry a misfit, got a {type(state).__name__}")
            x = state.x
            misfits.append(state.misfit)
            if checkpoint is not None and (len(misfits) % save_every == 0 or len(misfits) == last):
                tensors = {"x": x, "misfits": torch.stack(misfits), "generator": generator.get_state()}
                save_atomically(checkpoint, tensors, identity)
    return GuidedSamples(x, torch.stack(misfits))
