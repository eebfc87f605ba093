"""Long work that outlives the run it was done for: a changed figure or sentence must not cost an hour of sampling.

A run's own scratch goes with any change of its notebook. Work that is archived goes only with a change of the module
that does it, or of anything that module imports.
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from types import ModuleType

from companion import code, keys, paths, record
from companion.results import RunError, json_digest, read_sealed

MADE_FOR = "made_for.json"


def folder(run: record.Run, module: ModuleType) -> Path:
    """Where work of ``module`` for this notebook and device is kept from run to run: _build/archive/NAME-DIGEST.

    A device's rounding is its own, so what it has finished is too; what it has only begun: :func:`unfinished`.

    The digest is that of the module's source, of all that it imports of ours and of their pins. Run by hand nothing is
    kept for long: a temporary folder. Raises :class:`RunError` for a folder that was made for other work.
    """
    return _folder(run, module, run.device.type)


def unfinished(run: record.Run, module: ModuleType) -> Path:
    """Where work that is begun lies until it is done, whatever device began it: as :func:`folder`, of no device."""
    return _folder(run, module, "any")


def _folder(run: record.Run, module: ModuleType, device: str) -> Path:
    if not record.unattended():
        return Path(tempfile.mkdtemp(prefix=f"{run.name}-"))
    root = paths.require_repository()
    files = code.closure(root, f"import {module.__name__}")
    pins = keys.pins((root / "constraints.txt").read_text(), [file.read_text() for file in files])
    sources = {str(file.relative_to(root)): code.syntax(file.read_text(), file.name) for file in files}
    told = hashlib.sha256(repr((sorted(sources.items()), pins, device)).encode()).hexdigest()
    kept = root / "_build" / "archive" / f"{run.name}-{told[:12]}"
    kept.mkdir(parents=True, exist_ok=True)
    _expect_own(kept, {"name": run.name, "work": told})
    return kept


def _expect_own(kept: Path, told: dict) -> None:
    """What ``kept`` was made for stands in it: a folder that was renamed, or copied, is not taken for another one."""
    file, partial = kept / MADE_FOR, kept / "made_for.partial"
    if {found.name for found in kept.iterdir()} <= {partial.name}:
        partial.write_text(json.dumps(told | {"digest": json_digest(told)}))
        os.replace(partial, file)
    elif not told.items() <= read_sealed(file).items():
        raise RunError(f"{kept}: expected work of this chapter's code, got that of other code; remove the folder")
