"""The one store: what long work leaves between runs, every entry under the identity of what it is.

The identity of a result is the code that can change it (without docstrings, comments and formatting), the pins of the
packages that this code imports, its arguments, and the kind of device, whose rounding it has. It stands in the entry
with a digest of the content, and both are read back and compared. What is only begun is of no device: it goes on where
it is taken up. ``make`` removes what nobody has used for long.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from companion import code, keys
from companion.locks import alone
from memprior.checkpoint import canonical, read_saved, save_atomically

LOCKS = ".locks"  # below the folder; one for each entry that was ever made
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Store:
    """The entries that one piece of code has made below ``folder``.

    Args:
        folder: of all entries, whoever made them.
        code: digest of the code that can change a result, see :func:`code_digest`.
        device: what results are computed on; tensors are given there.
        label: the device in words, which the entry keeps.
        devices: every device, in words, that made a result which was asked for here.
    """

    folder: Path
    code: str
    device: torch.device
    label: str = ""
    devices: list[str] = field(default_factory=list)

    def tensors(self, name: str, arguments: dict, compute: Callable[[Path], Tensors]) -> Tensors:
        """``compute(folder)``, or what it gave before, on this store's device.

        folder: where it may keep what it has begun, until it is done. arguments: all that makes this result another
        than its neighbors, as JSON. Raises ``ValueError`` naming the file of an entry that is damaged, or is not what
        its name says.
        """
        identity = {"name": name, "code": self.code, "arguments": canonical("arguments", arguments)}
        file, entry = self.file(name, arguments), self.entry(name, arguments)
        found = self._read_entry(file, identity)
        if found is None:
            begun = self.folder / f"{entry}.begun"
            waiting = f"{name}: somebody else is at work on it, waiting for them to end"
            with alone(self.folder / LOCKS / entry, waiting=waiting):  # not in the folder that is removed
                found = self._read_entry(file, identity)  # which may have been so since
                if found is None:
                    earlier, started = _attempts(begun, self.label)
                    came = compute(begun)
                    seconds = earlier["seconds"] + time.perf_counter() - started
                    made = {"device": self.device.type, "made_on": earlier["made_on"], "seconds": round(seconds, 3)}
                    save_atomically(file, came, identity | made)
                    found = read_saved(file)
                shutil.rmtree(begun, ignore_errors=True)
        os.utime(file)  # used: it is not yet to be removed
        tensors, metadata = found
        self.devices.extend(one for one in metadata["made_on"] if one not in self.devices)
        return {key: tensor.to(self.device) for key, tensor in tensors.items()}

    def value(self, name: str, arguments: dict, compute: Callable[[Path], Any]) -> Any:
        """As :meth:`tensors`, of a result that is JSON: numbers, texts, lists, dicts by text; always through JSON."""

        def as_bytes(folder: Path) -> Tensors:
            text = json.dumps(compute(folder))
            return {"json": torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)}

        return json.loads(self.tensors(name, arguments, as_bytes)["json"].cpu().numpy().tobytes())

    def made(self, name: str, arguments: dict) -> dict:
        """Of a result that is there: {"seconds": over all attempts at it, "made_on": their devices, in words}."""
        metadata = read_saved(self.file(name, arguments))[1]
        return {key: metadata[key] for key in ("seconds", "made_on")}

    def file(self, name: str, arguments: dict) -> Path:
        """Where the result of this kind of device lies."""
        return self.folder / f"{self.entry(name, arguments)}-{self.device.type}.safetensors"

    def entry(self, name: str, arguments: dict) -> str:
        """What a result is called below the folder, on every device."""
        identity = {"name": name, "code": self.code, "arguments": canonical("arguments", arguments)}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return f"{re.sub(r'[^A-Za-z0-9.]+', '_', name)}-{digest[:16]}"

    def _read_entry(self, file: Path, identity: dict) -> tuple[Tensors, dict] | None:
        """What ``file`` holds, where there is one."""
        if not file.is_file():
            return None
        try:
            tensors, metadata = read_saved(file)
        except ValueError as error:
            raise ValueError(f"{error}; remove the file") from None
        expected = identity | {"device": self.device.type}
        came = {key: metadata.get(key) for key in expected}
        if came != expected:
            raise ValueError(f"{file}: expected the result of {expected}, got that of {came}; remove the file")
        return tensors, metadata


def code_digest(root: Path, module: str) -> str:
    """Of ``module``, of all of ours that it rests on, and of the pins of the packages that these import.

    The making of the book, which runs and keeps what others compute, does not count.
    """
    files = {file for file in code.closure(root, f"import {module}") if "companion" not in file.relative_to(root).parts}
    pins = keys.pins((root / "constraints.txt").read_text(), [file.read_text() for file in files])
    sources = {str(file.relative_to(root)): code.syntax(file.read_text(), file.name) for file in files}
    return hashlib.sha256(repr((sorted(sources.items()), pins)).encode()).hexdigest()


def _attempts(begun: Path, label: str) -> tuple[dict, float]:
    """What earlier attempts took and ran on, this one's device added, and when this one began.

    An attempt that was killed counts until the last thing that it left.
    """
    file, earlier = begun / "attempts.safetensors", {"seconds": 0.0, "made_on": []}
    if file.is_file():
        earlier = read_saved(file)[1]
        left = max(other.stat().st_mtime for other in begun.iterdir())
        earlier["seconds"] += max(0.0, left - file.stat().st_mtime)
    if label not in earlier["made_on"]:
        earlier["made_on"].append(label)
    begun.mkdir(parents=True, exist_ok=True)
    save_atomically(file, {}, earlier)
    return earlier, time.perf_counter()
