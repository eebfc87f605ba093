"""Guided sampling that a kill does not undo: started again with the same arguments it ends in the same bits."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from memprior._check import expect, expect_whole
from memprior.checkpoint import canonical, file_to_keep, read_saved, restore_generator, save_atomically
from memprior.denoiser import Denoiser
from memprior.sampling import Step, trajectory

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Samples:
    """x: (B, d), the end of a guided trajectory. misfits: (T, B), of the guess at each of its steps."""

    x: torch.Tensor
    misfits: torch.Tensor


def kept_run(
    denoiser: Denoiser,
    x_init: torch.Tensor,
    sigmas: torch.Tensor,
    *,
    step: Step,
    generator: torch.Generator,
    file: str | Path,
    identity: dict,
    save_every: int,
) -> Samples:
    """:func:`trajectory` of a guided step to its end, kept in ``file`` every ``save_every`` steps and when it is done.

    identity: what makes this run this one, of dicts, lists, texts and finite numbers. Where ``file`` exists the run
    goes on from it, the generator too; its folder has to exist. ``ValueError`` says so when it belongs to another run
    or is no such file.
    """
    expect_whole("save_every", save_every, 1)
    identity, file = canonical("identity", identity), file_to_keep("file", file)
    x, misfits = x_init, []
    if file.exists():
        tensors = _read(file, identity)
        x, misfits = tensors["x"].to(x_init), list(tensors["misfits"].to(x_init))
        restore_generator(generator, tensors["generator"], f"run {file}")
    last = len(sigmas) - 1
    expect(len(misfits) <= last, f"run {file}", f"at most {last} steps, as sigmas has", len(misfits))
    if misfits and len(misfits) < last:
        _LOG.info("%s: sampling goes on from step %d of %d", file.parent.name, len(misfits), last)
    if len(misfits) < last:
        for state in trajectory(denoiser, x, sigmas[len(misfits) :], step=step, generator=generator):
            x = state.x
            misfits.append(state.misfit)
            if len(misfits) % save_every == 0 or len(misfits) == last:
                tensors = {"x": x, "misfits": torch.stack(misfits), "generator": generator.get_state()}
                save_atomically(file, tensors, identity)
    return Samples(x, torch.stack(misfits))


def _read(file: Path, identity: dict) -> dict[str, torch.Tensor]:
    tensors, told = read_saved(file)
    expect(told == identity, f"run {file}", f"that of {identity}", told)
    return tensors
