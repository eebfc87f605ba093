"""Weights that a full run leaves in data/recorded, and that other runs of its chapter start from.

A chapter whose subject is what comes after a long training starts from a recorded network at profile quick. What these
files hold is part of that run's key (:mod:`companion.keys`). Every command reads keys, so PyTorch, which takes half of
its start, is loaded by those that open a file alone.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from companion import paths
from companion.results import RunError

if TYPE_CHECKING:
    import torch

MOST_BYTES = 4 * 2**20  # of one file


def write_weights(folder: Path, name: str, weights: "dict[str, torch.Tensor]", made: dict) -> None:
    """Write NAME.safetensors, in which ``made``, as JSON, says how they were made.

    Raises ``ValueError`` for more than 4 MB.
    """
    from memprior.checkpoint import save_atomically

    num = sum(tensor.nbytes for tensor in weights.values())
    if num > MOST_BYTES:
        raise ValueError(f"weights {name}: expected at most {MOST_BYTES} bytes, got {num}")
    save_atomically(folder / f"{name}.safetensors", weights, made)


def written_weights(folder: Path) -> list[Path]:
    """The files of weights in a run's folder, by name."""
    return sorted(folder.glob("*.safetensors"))


def recorded_weights(chapter: str, name: str, device: "torch.device") -> "tuple[dict[str, torch.Tensor], dict]":
    """(Tensors on ``device``, how they were made) of a chapter's recorded full run.

    Raises :class:`~companion.results.RunError` naming the file where there is none, or a damaged one.
    """
    from memprior.checkpoint import read_saved

    file = paths.shipped("recorded") / chapter / f"{name}.safetensors"
    if not file.is_file():
        raise RunError(f"{file}: expected weights of a recorded full run, found none")
    try:
        weights, made = read_saved(file)
    except ValueError as error:
        raise RunError(str(error)) from None
    return {key: tensor.to(device) for key, tensor in weights.items()}, made
