"""Long work that outlives the run it was done for: a changed figure or sentence must not cost an hour of sampling.

A run's own scratch goes with any change of its notebook. Work that is archived goes only with a change of the module
that does it, or of anything that module imports.
"""

import hashlib
import tempfile
from pathlib import Path
from types import ModuleType

from companion import keys, paths, record


def folder(run: record.Run, module: ModuleType) -> Path:
    """Where work of ``module`` for this notebook and device is kept from run to run: _build/archive/NAME-DIGEST.

    A device's rounding is its own, so what it has finished is too; what it has only begun: :func:`unfinished`.

    The digest is that of the module's source, of all that it imports of ours and of their pins. Run by hand nothing is
    kept for long: a temporary folder.
    """
    return _folder(run, module, run.device.type)


def unfinished(run: record.Run, module: ModuleType) -> Path:
    """Where work that is begun lies until it is done, whatever device began it: as :func:`folder`, of no device."""
    return _folder(run, module, "any")


def _folder(run: record.Run, module: ModuleType, device: str) -> Path:
    if not record.unattended():
        return Path(tempfile.mkdtemp(prefix=f"{run.name}-"))
    root = paths.require_repository()
    files = keys.modules(root, f"import {module.__name__}")
    sources = {str(file.relative_to(root)): file.read_text() for file in files}
    pins = keys.pins((root / "constraints.txt").read_text(), list(sources.values()))
    told = repr((sorted(sources.items()), pins, device))
    kept = root / "_build" / "archive" / f"{run.name}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    kept.mkdir(parents=True, exist_ok=True)
    return kept
