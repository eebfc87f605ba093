"""A reader's own section: SEG-Y, .npy or a picture, as what the dreams of chapter 9 start from."""

from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from memprior._check import expect
from memprior.dreaming import expect_sections
from memprior.waves.segy import read_traces

SEGY_SUFFIXES = ".sgy", ".segy"
PICTURE_SUFFIXES = ".png", ".jpg", ".jpeg", ".tif", ".tiff"


def own_section(path: str | Path, *, time_first: bool = True, check_axes: bool = True) -> torch.Tensor:
    """The section in a file, (1, H, W), float32, time first, of zero mean and unit mean square.

    SEG-Y (.sgy, .segy) is read by :func:`memprior.waves.segy.read_traces`, its dead traces left out; .npy holds
    (time, traces), or (traces, time) where not ``time_first``; a picture is taken as gray, time downward. Of these two,
    whose axes have no names, what varies less along time than from trace to trace is taken to lie on its side, unless
    ``check_axes`` is False: noise of a real line may be such, too.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another format, a pickle in a .npy file, another number of axes, NaN or infinite numbers, zero
            traces, and sections that lie on their side.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path: expected a file, got {path}")
    name, suffix = f"section {path.name}", path.suffix.lower()
    if suffix in SEGY_SUFFIXES:
        found = read_traces(path)
        section = found.traces[found.live].T
    elif suffix == ".npy":
        section = _array(path, name) if time_first else _array(path, name).T
    else:
        kinds = f"SEG-Y, .npy or one of {', '.join(PICTURE_SUFFIXES)}"
        expect(suffix in PICTURE_SUFFIXES, name, kinds, repr(suffix))
        section = _gray(path)
    expect_sections(name, section[None])
    section = section - section.mean()
    root = section.square().mean().sqrt()
    expect(bool(root > 0), name, "amplitudes that vary", "one value all over")
    section = section / root
    if check_axes and suffix not in SEGY_SUFFIXES:
        down, across = (float(section.diff(dim=axis).square().mean()) for axis in (0, 1))
        what = "more change along time, the first axis, than from trace to trace"
        expect(down > across, name, what, f"mean squares {down:.3g} and {across:.3g}: it may lie on its side")
    return section[None]


def installed_line() -> Path | None:
    """SEG-Y of the vibroseis line that comes with the package segyrecover; None where the reader has not installed it.

    Found by the package's metadata; nothing of it is imported. The data's own license is not stated: it is read where
    it lies and copied nowhere.
    """
    try:
        files = metadata.files("segyrecover") or []
    except metadata.PackageNotFoundError:
        return None
    lines = [Path(str(file.locate())) for file in files if file.suffix in SEGY_SUFFIXES]
    return next((line for line in lines if line.is_file()), None)


def _array(path: Path, name: str) -> torch.Tensor:
    try:
        array = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{name}: expected an array of numbers, got {error}") from None
    numbers = isinstance(array, np.ndarray) and array.dtype.kind in "fiu" and array.ndim == 2
    expect(numbers, name, "numbers (time, traces)", lambda: f"{array.dtype} {array.shape}")
    return torch.from_numpy(array.astype(np.float32))


def _gray(path: Path) -> torch.Tensor:
    from PIL import Image

    with Image.open(path) as picture:
        return torch.from_numpy(np.asarray(picture.convert("L"), dtype=np.float32).copy())
