"""Guided sampling that a kill does not undo: started again with the same arguments it ends in the same bits."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from memprior._check import expect, expect_whole
from memprior.denoiser import Denoiser
from memprior.sampling import Step, trajectory
from memprior.training import restore_generator, save_atomically

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
    file: Path,
    identity: dict,
    save_every: int,
) -> Samples:
    """:func:`trajectory` of a guided step to its end, kept in ``file`` every ``save_every`` steps and when it is done.

    identity: what makes this run this one (JSON-able). Where ``file`` exists the run goes on from it, the generator
    too; ``ValueError`` says so when it belongs to another run or is no such file.
    """
    expect_whole("save_every", save_every, 1)
    x, misfits = x_init, []
    if file.exists():
        tensors = _read(file, identity)
        x, misfits = tensors["x"].to(x_init), list(tensors["misfits"].to(x_init))
        restore_generator(generator, tensors["generator"], f"run {file}")
    last = len(sigmas) - 1
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
    try:
        with safe_open(file, framework="pt") as opened:
            told = json.loads(opened.metadata()["told"])
            tensors = {name: opened.get_tensor(name) for name in ("x", "misfits", "generator")}
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"run {file}: expected a file written by kept_run, got {error!r}") from None
    expect(told == identity, f"run {file}", f"that of {identity}", told)
    return tensors
