"""What others bring, read and looked at before any work: a folder of models, data, samples.

One error each, naming file and model, what was expected and what came: :class:`memprior.report.BadInput`, which the
command prints in one line.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from memprior._check import expect
from memprior.likelihood import ROUNDINGS
from memprior.report import BadInput, load_points
from memprior.waves import read_openfwi_models
from memprior.waves.segy import read_traces

FORMATS = "npy", "openfwi", "segy"
ENDINGS = {".npy": "npy", ".sgy": "segy", ".segy": "segy"}
UNIT_FACTOR = 300.0  # a factor between sizes of positive models that one unit does not have and a thousand has


@dataclass(frozen=True, eq=False)
class Models:
    """points: (N, ...), float64, finite. places: where each stands, "FILE[number]"."""

    points: torch.Tensor
    places: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one model."""
        return tuple(self.points.shape[1:])


def read_models(
    path: str | Path,
    *,
    shape: Sequence[int] | None = None,
    form: str | None = None,
    window: Sequence[int] | None = None,
    name: str = "models",
) -> Models:
    """All models of a folder, or of one file, in the order of the files' names.

    Args:
        path: .npy files of (n, ...), or of one model where ``shape`` is given; SEG-Y files.
        shape: of one model, as the operator takes it; None: that of the files, which must agree.
        form: one of ``FORMATS``, of all files; None: by their endings. "openfwi" reads (n, 1, 70, 70) in m/s as
            (n, 70, 70) in km/s, x first.
        window: (traces, samples), cuts SEG-Y sections side by side and below each other, without overlap; None: one
            model a file, (traces, samples), as stored.
        name: of the argument, for messages.

    Returns:
        The models.

    Raises:
        memprior.report.BadInput: nothing to read; a file that is not readable or not of numbers; NaN; shapes that
            differ, or that are the operator's with their axes swapped; dead traces; a window larger than its section.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from memprior.diagnose import read_models
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/a.npy", np.ones((3, 4, 5)))
        ...     np.save(f"{folder}/b.npy", np.ones((4, 5)))
        ...     models = read_models(folder, shape=(4, 5))
        >>> models.points.shape, models.places[-1]
        (torch.Size([4, 4, 5]), 'b.npy[0]')
    """
    files = _files(name, Path(path))
    shape = None if shape is None else tuple(int(size) for size in shape)
    parts: list[torch.Tensor] = []
    places: list[str] = []
    for file in files:
        form_here = form or ENDINGS.get(file.suffix.lower())
        try:
            if form_here in (None, "npy"):
                part = _npy(file, shape, window, form, _option(name))
            else:
                part = _openfwi(file) if form_here == "openfwi" else _segy(file, window)
        except (BadInput, ValueError, OSError) as error:
            raise BadInput(f"{name}: {error}") from error
        _expect_shape(name, file, tuple(part.shape[1:]), shape or tuple((parts or [part])[0].shape[1:]), shape is None)
        parts.append(part)
        places += [f"{file.name}[{number}]" for number in range(len(part))]
    return Models(torch.cat(parts), tuple(places))


def _option(name: str) -> str:
    """Of the command, that says the form of these files."""
    return "--format" if name == "models" else f"--{name.replace('_', '-')}-format"


def _files(name: str, path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise BadInput(f"{name}: expected a folder of models, or a file, got no {path}")
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS and not file.name.startswith("."))
    if not files:
        raise BadInput(f"{name}: expected {', '.join(ENDINGS)} files in {path}, got none")
    return files


def _npy(file: Path, shape, window, form, option) -> torch.Tensor:
    try:
        points = load_points(file.name, str(file))
    except BadInput as error:
        if "is shape (n, 1)" not in str(error):
            raise BadInput(str(error).replace("NaN or infinite, in", "NaN or infinite, expected none, in")) from None
        points = _line(file.name, file)
    if shape is not None and tuple(points.shape) == shape:
        points = points[None]
    if points.ndim == 1:
        raise BadInput(
            f"{file.name}: expected shape (n, ...), got {tuple(points.shape)}: of one model, --shape {len(points)}; of "
            f"models of one number each, (n, 1)"
        )
    if window is not None and tuple(points.shape[1:]) != tuple(window):
        raise BadInput(
            f"{file.name}: expected a SEG-Y section to cut windows from, or windows of {tuple(window)}, got an .npy "
            f"file of {tuple(points.shape)}"
        )
    if form is None and tuple(points.shape[1:]) == (1, 70, 70) and (shape is None or shape == (70, 70)):
        raise BadInput(
            f"{file.name}: expected {option} openfwi (km/s, x first) or {option} npy (as stored) beside a file of "
            f"OpenFWI's shape (n, 1, 70, 70), got neither"
        )
    return points


def _openfwi(file: Path) -> torch.Tensor:
    return read_openfwi_models(file).double()


def _segy(file: Path, window) -> torch.Tensor:
    section = _live(file)
    return windows(section, window or section.shape, name=file.name)


def _live(file: Path) -> torch.Tensor:
    section = read_traces(file)
    if not bool(section.live.all()):
        dead = int((~section.live).sum())
        raise BadInput(
            f"{file.name}: expected live seismic traces, got {dead} dead or auxiliary of {len(section.live)}"
        )
    return section.traces.double()


def _line(name: str, file: Path) -> torch.Tensor:
    """A one-dimensional array (n,) of numbers that are finite."""
    line = torch.from_numpy(np.load(file, allow_pickle=False).astype(np.float64))
    bad = len(line) - int(torch.isfinite(line).sum())
    if bad:
        raise BadInput(f"{name}: expected finite numbers, got {bad} NaN or infinite of {len(line)} in {file.name}")
    return line


def windows(section: torch.Tensor, size: Sequence[int], *, name: str = "section") -> torch.Tensor:
    """A section (H, W) cut into windows of ``size``, side by side, without overlap; what is left at the ends is left.

    Returns:
        (n, height, width), along W first.

    Raises:
        ValueError: a window that is larger than the section.

    Example:
        >>> import torch
        >>> from memprior.diagnose import windows
        >>> windows(torch.arange(12.0).reshape(2, 6), (2, 3))
        tensor([[[ 0.,  1.,  2.],
                 [ 6.,  7.,  8.]],
        <BLANKLINE>
                [[ 3.,  4.,  5.],
                 [ 9., 10., 11.]]])
    """
    height, width = (int(one) for one in size)
    good = 0 < height <= section.shape[0] and 0 < width <= section.shape[1]
    expect(good, name, f"a section of at least {height} x {width} (traces, samples)", tuple(section.shape))
    cut = section.unfold(0, height, height).unfold(1, width, width)
    return cut.reshape(-1, height, width).contiguous()


def _expect_shape(name: str, file: Path, came: tuple[int, ...], wanted: tuple[int, ...], from_files: bool) -> None:
    if came == wanted:
        return
    whose = "as the other files hold" if from_files else "as the operator takes"
    swapped = sorted(came) == sorted(wanted)
    hint = ": its axes are swapped, transpose the models" if swapped else ""
    raise BadInput(f"{name}: expected models of shape {wanted}, {whose}, got {came} in {file.name}{hint}")


def expect_models(models: Models, bounds: Sequence[float] | None) -> None:
    """Refuse models that are too few, all equal, out of ``bounds`` (low, high), or in more than one unit.

    The last without bounds: positive models of which one is 300 times larger or smaller than most. Raises
    :class:`~memprior.report.BadInput`.
    """
    points, places = models.points.flatten(1), models.places
    if len(points) < 5:
        raise BadInput(f"models: expected at least 5, got {len(points)}")
    if bool((points == points[:1]).all()):
        raise BadInput(f"models: expected models that differ, got {len(points)} equal ones")
    if bounds is not None:
        low, high = _ends_of_bounds(bounds)
        outside = ((points < low) | (points > high)).any(1).nonzero()[:, 0].tolist()
        if not outside:
            return
        first = points[outside[0]]
        came = f"{float(first.min()):.4g} to {float(first.max()):.4g} in {places[outside[0]]}"
        raise BadInput(
            f"models: expected numbers from {low:g} to {high:g}, the operator's bounds, got {came} "
            f"({len(outside)} of {len(points)} models are outside){_unit_hint(first, low, high)}"
        )
    if bool((points > 0).all()):
        size = points.log().mean(1)
        away = size - size.median()
        worst = int(away.abs().argmax())
        if abs(float(away[worst])) > math.log(UNIT_FACTOR):
            raise BadInput(
                f"models: expected one unit, got {places[worst]} {math.exp(abs(float(away[worst]))):.3g} times "
                f"{'larger' if away[worst] > 0 else 'smaller'} than most: m/s and km/s, or metres and km, mixed?"
            )


def _ends_of_bounds(bounds: Sequence[float]) -> tuple[float, float]:
    """(low, high) of numbers that are one below the other; else :class:`~memprior.report.BadInput`."""
    try:
        low, high = (float(end) for end in bounds)
        good = math.isfinite(low) and math.isfinite(high) and low < high
    except (TypeError, ValueError):
        good = False
    if not good:
        raise BadInput(f"bounds: expected two finite numbers, the lower one first, got {bounds}")
    return low, high


def expect_scales(points: torch.Tensor, observed: torch.Tensor, noise_std: float, *, data: str = "observed") -> None:
    """Refuse numbers whose squares float64 does not hold: of models (N, d), of the data (m,), of the noise.

    And a noise level that is lost in the rounding of the data, where a misfit is a matter of rounding. ``data`` is
    the name of these in messages. Raises ``ValueError``.
    """
    least, most = _square_ends(points)
    for name, size, low in (
        ("models", float(points.abs().max()), least),
        (data, float(observed.abs().max()), 0.0),
        ("noise_std", noise_std, least),
    ):
        from_to = f"from some {low:.0e} to {most:.0e}" if low else f"up to some {most:.0e}"
        where = "numbers" if name != "noise_std" else "a number"
        good = size < most and (size > low or (size == 0 and name != "noise_std"))
        expect(good, name, f"{where} {from_to}, whose squares float64 holds (another unit?)", f"{size:.3g}")
    expect_noise(observed, noise_std, data)


def expect_noise(data: torch.Tensor, noise_std: float, name: str) -> None:
    """Refuse a noise level below a few roundings of these data: ``ValueError``."""
    rounding = ROUNDINGS * torch.finfo(data.dtype).eps * float(data.abs().max())
    wanted = f"at least {rounding:.3g}, {ROUNDINGS} roundings of {name} in {data.dtype}"
    expect(noise_std >= rounding, "noise_std", wanted, f"{noise_std:.3g}")


def _square_ends(points: torch.Tensor) -> tuple[float, float]:
    """Between which sizes squared distances neither underflow nor overflow."""
    of = torch.finfo(torch.float64)
    return math.sqrt(of.tiny) / of.eps, math.sqrt(of.max / (64 * max(64, points.shape[1])))


def _unit_hint(first: torch.Tensor, low: float, high: float) -> str:
    for factor, words in ((1e-3, "m/s for km/s, or metres for km"), (1e3, "km/s for m/s, or km for metres")):
        if bool(((factor * first >= low) & (factor * first <= high)).all()):
            return f": {words}? times {factor:g} it is inside"
    return ""


def read_observed(path: str | Path) -> torch.Tensor:
    """The data y, (m,), float64, of an .npy file of any shape, flattened, or of a SEG-Y file, trace by trace.

    Raises :class:`~memprior.report.BadInput` for what cannot be read, complex numbers, NaN, dead traces.
    """
    file = Path(path)
    if file.suffix.lower() in (".sgy", ".segy"):
        try:
            return _live(file).flatten()
        except (BadInput, ValueError, OSError) as error:
            raise BadInput(f"data: {error}") from error
    try:
        return load_points("data", str(file)).flatten()
    except BadInput as error:
        if "is shape (n, 1)" not in str(error):
            raise
    return _line("data", file)
