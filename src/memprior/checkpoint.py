"""The atomic write and the verified read of one state: work that is killed loses nothing.

A file holds tensors and, as one JSON text, what makes them this state: it is read back and compared, with a digest of
the content.
"""

import hashlib
import json
import math
import os
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from memprior._check import expect


def restore_generator(generator: torch.Generator, state: torch.Tensor, name: str) -> None:
    """Put a generator where another one was; ``ValueError`` where that was of another kind of device."""
    sizes = len(generator.get_state()), len(state)
    kind = f"the {sizes[0]} bytes of a generator on {generator.device.type} (the CPU's go on beside any device)"
    expect(sizes[0] == sizes[1], name, kind, f"{sizes[1]} bytes of another kind's")
    generator.set_state(state)


def canonical(name: str, value):
    """``value`` as JSON gives it back: of dicts with texts as keys, lists, texts, booleans, None and finite numbers.

    Tuples are lists there, and scalars of numpy and torch numbers. ``ValueError`` naming ``name`` for anything else,
    before it is written: NaN is not equal to itself, and the key 1 comes back as "1".
    """
    if isinstance(value, dict):
        wrong = [key for key in value if not isinstance(key, str)]
        expect(not wrong, name, "texts as keys", wrong[:1])
        return {key: canonical(name, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(name, inner) for inner in value]
    if isinstance(value, np.generic | torch.Tensor) and value.ndim == 0:
        value = value.item()
    good = value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))
    expect(good, name, "dicts, lists, texts, booleans and finite numbers", repr(value))
    return value


def file_to_keep(name: str, file: str | Path) -> Path:
    """``file`` as a path; ``ValueError`` naming ``name`` unless it can be written: work is not begun to be lost."""
    file = Path(file)
    expect(file.parent.is_dir() and not file.is_dir(), name, "a file in a folder that exists", str(file))
    return file


def save_atomically(file: Path, tensors: dict[str, torch.Tensor], metadata: dict) -> None:
    """Write tensors and a JSON-able dict; ``file`` holds the old or the new whole, whenever the process dies."""
    partial = file.with_name(f".{file.name}.partial")
    metadata = canonical("told", metadata)
    # One text: safetensors writes several in an order of its own, and equal states would be unequal files.
    text = json.dumps(metadata | {"digest": digest(tensors, metadata)}, allow_nan=False)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, {"told": text})
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    os.replace(partial, file)


def read_saved(file: Path, expected: dict | None = None) -> tuple[dict[str, torch.Tensor], dict]:
    """What :func:`save_atomically` wrote, on the CPU.

    ``ValueError`` naming the file for anything else, for one that has changed by a single bit since, and for one beside
    which something other than ``expected`` is told.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = json.loads(opened.metadata()["told"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        same = metadata.pop("digest") == digest(tensors, metadata)
    except (SafetensorError, KeyError, TypeError, AttributeError, OSError, ValueError) as error:
        raise ValueError(f"checkpoint {file}: expected a file written by save_atomically, got {error!r}") from None
    expect(same, f"checkpoint {file}", "it as it was written", "a damaged or edited file")
    good = expected is None or metadata == canonical("expected", expected)
    expect(good, f"checkpoint {file}", f"{expected}", metadata)
    return tensors, metadata


def digest(tensors: dict[str, torch.Tensor], metadata: dict) -> str:
    """Of names, types, shapes, numbers and of what is told beside them."""
    sha256 = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha256.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()
