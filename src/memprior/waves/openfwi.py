"""OpenFWI's files (Deng et al. 2022) and those of its Kaggle competition: .npy arrays, read where they lie.

A file is memory-mapped: a range of its samples is read without loading the others. Kaggle's test set keeps one record a
file, (5, 1000, 70); it and a single map, (1, 70, 70) or (70, 70), are read as one sample. An order of axes that the
shape does not tell, x before depth say, is not seen.
"""

from pathlib import Path

import numpy as np
import torch

from memprior._check import expect

_SLOWEST, _FASTEST = 100.0, 10_000.0  # m/s, any rock or soil: maps in km/s lie below, maps scaled to [-1, 1] too


def read_openfwi_data(path: str | Path, *, samples: slice | None = None) -> torch.Tensor:
    """Traces (n, 5, 1000, 70), float32, of the file's n samples or of ``samples``: [source, time, receiver].

    Raises ``FileNotFoundError``, or ``ValueError`` naming the file, what was expected and what came.
    """
    return torch.from_numpy(_read(Path(path), {"source": 5, "time": 1000, "receiver": 70}, samples))


def read_openfwi_models(path: str | Path, *, samples: slice | None = None) -> torch.Tensor:
    """Velocity (n, 70, 70) in km/s, float32, first axis x, second z, of the file's n samples or of ``samples``.

    The file holds (n, 1, 70, 70) in m/s with depth first, x second. Raises as :func:`read_openfwi_data`, and for
    velocities that are not rock's in m/s.
    """
    maps = _read(Path(path), {"channel": 1, "depth": 70, "x": 70}, samples)
    slow, fast = float(maps.min()), float(maps.max())
    plausible = slow >= _SLOWEST and fast <= _FASTEST
    expect(plausible, str(path), f"velocities in m/s, {_SLOWEST:g} to {_FASTEST:g}", f"{slow:g} to {fast:g}")
    return torch.from_numpy(maps[:, 0]).mT.contiguous() / 1000


def _read(path: Path, axes: dict[str, int], samples: slice | None) -> np.ndarray:
    """Samples of a complete .npy file of finite floats (n, *axes), as float32 in memory of their own."""
    name, shape = str(path), tuple(axes.values())
    if samples is not None and not isinstance(samples, slice):
        raise TypeError(f"samples: expected a slice or None, got {type(samples).__name__}")
    if not path.is_file():
        raise FileNotFoundError(f"{name}: expected a .npy file, got no file of that name")
    with path.open("rb") as file:
        start = file.read(6)
    expect(start == b"\x93NUMPY", name, "a .npy file", f"a file that begins with {start!r}")
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{name}: expected a complete .npy file of numbers, got {error}") from error
    expect(np.issubdtype(stored.dtype, np.floating), name, "a floating dtype", stored.dtype)
    more = path.stat().st_size - stored.offset - stored.nbytes
    expect(more == 0, name, "one array", f"{more} bytes after the first, of shape {stored.shape}")
    if stored.shape == shape or (1, *stored.shape) == shape:
        stored = stored.reshape(1, *shape)
    wanted = f"shape (n, {', '.join(map(str, shape))}), n >= 1: sample, {', '.join(axes)}"
    expect(stored.shape[1:] == shape and len(stored) > 0, name, wanted, stored.shape)
    with np.errstate(over="ignore"):
        chosen = np.array(stored[samples or slice(None)], dtype=np.float32, order="C")
    expect(len(chosen) > 0, "samples", f"a range of the {len(stored)} samples of {name}", samples)
    bad = chosen.size - int(np.isfinite(chosen).sum())
    expect(bad == 0, name, "finite numbers in float32", f"{bad} NaN or infinite of {chosen.size}")
    return chosen
