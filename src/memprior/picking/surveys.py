"""Picked field gathers of others, from a reader's own copies: geo-stack's shots and the HardPicks surveys."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from memprior._check import MAX_BYTES, expect, expect_fits, expect_positive

GEO_STACK_DT_S = 0.00025  # as the repository's example/config.py says it: the files do not
_UNPICKED_S = -999.03125  # which geo-stack's reader takes for no pick
_GROUP = "TRACE_DATA/DEFAULT"
_FIELDS = ("REC_PEG", "SAMP_NUM", "SAMP_RATE", "SHOTID", "SHOT_PEG")


@dataclass(frozen=True, eq=False)
class LabeledGathers:
    """traces: (num, H, nt), float32. onsets: (num, H), float64, picks in samples after sample 0, NaN where unpicked.

    live: (num, H), bool, False for traces that are zero, among them those that fill up a gather of fewer than H.
    shots: (num,), int64: gathers of one shot belong on one side of a split. dt_s: the sampling interval.
    """

    traces: torch.Tensor
    onsets: torch.Tensor
    live: torch.Tensor
    shots: torch.Tensor
    dt_s: float


@dataclass(frozen=True)
class HardPicksSurvey:
    """file: its name in the release, unpacked. picks: the field that holds them. receiver_digits: of the receiver's
    number, the last ones of REC_PEG; those before are its line's.
    """

    file: str
    picks: str
    receiver_digits: int


# The repository's loading notebook. Sudbury was first Sudbury3D_all_shots_2s.hdf, and was replaced.
HARDPICKS = {
    "Brunswick": HardPicksSurvey("Brunswick_orig_1500ms_V2.hdf5", "SPARE1", 3),
    "Halfmile": HardPicksSurvey("Halfmile3D_add_geom_sorted.hdf5", "SPARE1", 4),
    "Lalor": HardPicksSurvey("Lalor_raw_z_1500ms_norp_geom_v3.hdf5", "SPARE2", 3),
    "Sudbury": HardPicksSurvey("preprocessed_Sudbury3D.hdf", "SPARE1", 3),
}
# Test survey: (training surveys, validation survey). The folds of the repository's README, for the authors' workshop
# paper of 2021, and its H to K; its A to E hold a fifth survey, Kevitsa, which its README does not release.
HARDPICKS_FOLDS = {
    "Sudbury": (("Halfmile", "Lalor"), "Brunswick"),
    "Brunswick": (("Sudbury", "Halfmile"), "Lalor"),
    "Halfmile": (("Lalor", "Brunswick"), "Sudbury"),
    "Lalor": (("Brunswick", "Sudbury"), "Halfmile"),
}


def read_geo_stack(folder: str | Path, *, dt_s: float = GEO_STACK_DT_S) -> LabeledGathers:
    """Shots of github.com/geo-stack/first_break_picking (MIT): example/data/raw/dataset1/train, or test without picks.

    A shot is NUMBER.npy, (nt, H); shots come in the order of their numbers. Its picks, NUMBER.txt where there is one,
    are a header line and H lines of columns separated by commas, the first in seconds. Of the release's 20 picked shots
    18 are neighbors in pairs, such as 108 and 109: a split keeps a pair together.

    Layout: from the repository's own reader and from its files of picks; the arrays themselves were not at hand when
    this was written. That sample 0 is at time 0 is what that reader assumes.

    Raises ``FileNotFoundError``, or ``ValueError`` naming the file: no shots, picks without a shot, a name that is no
    number, no array of two axes of finite numbers, shots of unlike shape, not H picks, picks outside the record.
    """
    folder = Path(folder)
    expect_positive("dt_s", dt_s)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: expected a folder of shots, got no folder of that name")
    shots = {_number(file): file for file in folder.glob("*.npy")}
    picks = {_number(file): file for file in folder.glob("*.txt")}
    expect(shots, str(folder), "shots, NUMBER.npy", "none")
    alone = sorted(picks.keys() - shots.keys())
    expect(not alone, str(folder), "a shot of every file of picks", f"none of {alone}")
    numbers = sorted(shots)
    records = [_geo_stack_shot(shots[number]) for number in numbers]
    shapes = {record.shape for record in records}
    expect(len(shapes) == 1, str(folder), "shots of one shape", sorted(shapes))
    ((num_traces, nt),) = shapes
    onsets = np.full((len(numbers), num_traces), np.nan)
    for row, number in zip(onsets, numbers, strict=True):
        if number in picks:
            row[:] = _geo_stack_picks(picks[number], num_traces) / dt_s
            _expect_inside(str(picks[number]), row, nt)
    traces = np.stack(records)
    return _gathers(traces, onsets, numbers, dt_s)


def read_hardpicks(
    path: str | Path,
    survey: str,
    *,
    gathers: Sequence[int] | None = None,
    bad_gathers: Iterable[tuple[int, int]] = (),
    max_bytes: float = MAX_BYTES,
) -> LabeledGathers:
    """Gathers of a HardPicks survey (St-Charles et al. 2023), from its HDF5 file: the traces of a shot on a line.

    Group TRACE_DATA/DEFAULT holds a row a trace: data_array (rows, nt), and (rows, 1) each of SHOT_PEG, or SHOTID where
    all SHOT_PEG are one; REC_PEG, the receiver's line and number; SAMP_RATE in microseconds; SAMP_NUM; and the picks,
    in ms, no pick at 0 or below. They become samples, not rounded down as the authors' loader rounds them. Layout: from
    that loader and the files that its tests write; the surveys, 45 GB, were not at hand when this was written.

    Args:
        path: of the file, unpacked.
        survey: a name of ``HARDPICKS``, for the field of picks and the digits of lines.
        gathers: numbers from 0, shots in order and in each the lines in order, as in the authors' list of bad gathers;
            None: all.
        bad_gathers: (shot, receiver) each, of gathers to leave out, as from :func:`read_bad_gathers`.
        max_bytes: memory that the traces may take.

    Gathers shorter than the longest, H traces, are filled up with zeros. Raises ``FileNotFoundError``,
    ``ModuleNotFoundError`` without h5py, or ``ValueError`` naming the file: another or a truncated file, a field that
    is missing or of another length, no or several sampling intervals, picks after the end, a number that is no
    gather's, no gather left, more than ``max_bytes``.
    """
    path = Path(path)
    name = str(path)
    expect(survey in HARDPICKS, "survey", f"one of {', '.join(HARDPICKS)}", repr(survey))
    told = HARDPICKS[survey]
    if not path.is_file():
        raise FileNotFoundError(f"{name}: expected an HDF5 file, got no file of that name")
    try:
        file = _h5py().File(path, "r")
    except OSError as error:
        raise ValueError(f"{name}: expected an HDF5 file, got {error}") from error
    with file:
        expect(_GROUP in file, name, f"a group {_GROUP}", list(file))
        data = file[_GROUP]
        missing = [field for field in (*_FIELDS, told.picks, "data_array") if field not in data]
        expect(not missing, name, f"fields of {_GROUP}", f"no {', '.join(missing)}")
        samples = data["data_array"]
        expect(samples.ndim == 2 and samples.size > 0, name, "data_array (rows, nt)", samples.shape)
        rows, nt = samples.shape
        columns = {field: np.asarray(data[field]).reshape(-1) for field in (*_FIELDS, told.picks)}
        unlike = {field: len(column) for field, column in columns.items() if len(column) != rows}
        expect(not unlike, name, f"{rows} rows in every field", unlike)
        for field in ("SAMP_RATE", "SAMP_NUM"):
            expect(len(np.unique(columns[field])) == 1, name, f"one {field} of all traces", np.unique(columns[field]))
        rate, stated = float(columns["SAMP_RATE"][0]), int(columns["SAMP_NUM"][0])
        expect(stated == nt, name, f"SAMP_NUM {nt}, as data_array has", stated)
        expect(rate >= 1000, name, "SAMP_RATE in microseconds, 1000 or more", f"{rate:g}")

        picks_ms = columns[told.picks].astype(np.float64)
        picks = np.where(picks_ms > 0, picks_ms, np.nan) / (rate / 1000)
        _expect_inside(name, picks, nt)
        pegs = "SHOTID" if len(np.unique(columns["SHOT_PEG"])) == 1 else "SHOT_PEG"
        lines = columns["REC_PEG"].astype(np.int64) // 10**told.receiver_digits
        keys, members = np.unique(np.stack([columns[pegs].astype(np.int64), lines], 1), axis=0, return_inverse=True)
        members = members.reshape(-1)
        bad = {(int(shot), int(receiver) // 10**told.receiver_digits) for shot, receiver in bad_gathers}
        numbers = range(len(keys)) if gathers is None else gathers
        others = [number for number in numbers if not 0 <= number < len(keys)]
        expect(not others, "gathers", f"numbers from 0 to {len(keys) - 1}", others[:8])
        kept = [number for number in numbers if tuple(keys[number].tolist()) not in bad]
        expect(kept, "gathers", "at least one that is not bad", "none")

        order = np.argsort(members, kind="stable")  # rows by gather, in a gather as stored
        ends = np.searchsorted(members[order], np.arange(len(keys) + 1))
        places = [order[ends[number] : ends[number + 1]] for number in kept]
        longest = max(map(len, places))
        num_bytes = 4 * len(kept) * longest * nt
        expect_fits(name, num_bytes, max_bytes, f"{len(kept)} gathers", "name fewer gathers")
        traces = np.zeros((len(kept), longest, nt), np.float32)
        onsets = np.full((len(kept), longest), np.nan)
        for k, place in enumerate(places):
            run = place[-1] - place[0] + 1 == len(place)  # by far the faster way to read
            traces[k, : len(place)] = samples[place[0] : place[-1] + 1] if run else samples[place]
            onsets[k, : len(place)] = picks[place]
    bad_samples = traces.size - int(np.isfinite(traces).sum())
    expect(bad_samples == 0, name, "finite samples", f"{bad_samples} NaN or infinite")
    return _gathers(traces, onsets, keys[kept, 0], rate / 1e6)


def read_bad_gathers(path: str | Path) -> dict[str, tuple[tuple[int, int], ...]]:
    """(Shot, receiver) of the gathers whose picks HardPicks' authors found bad, by survey.

    From data/fbp/bad_gathers/bad-gather-ids_combined.yaml of github.com/mila-iqia/hardpicks: surveys, in each numbers
    of gathers, in each ReceiverId and ShotId. The numbers are of the files of then; shot and receiver line are not.

    Raises ``FileNotFoundError``, or ``ValueError`` naming the file and a line that is of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a list of bad gathers, got no file of that name")
    found: dict[str, list[dict[str, int]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"(\w+): *(\{\})?", line):
            gathers = found.setdefault(match[1], [])
        elif found and re.fullmatch(r"  \d+:", line):
            gathers.append({})
        elif found and gathers and (match := re.fullmatch(r"    (ReceiverId|ShotId): (\d+)", line)):
            gathers[-1][match[1]] = int(match[2])
        else:
            expect(not line.strip(), str(path), "surveys, gathers, ReceiverId and ShotId", repr(line))
    for survey, some in found.items():
        whole = all(len(one) == 2 for one in some)
        expect(whole, str(path), "ReceiverId and ShotId of every gather", f"fewer in {survey}")
    return {survey: tuple((one["ShotId"], one["ReceiverId"]) for one in some) for survey, some in found.items()}


def _gathers(traces: np.ndarray, onsets: np.ndarray, shots: Iterable[int], dt_s: float) -> LabeledGathers:
    live = torch.from_numpy((traces != 0).any(-1))
    numbers = torch.tensor([int(shot) for shot in shots])
    return LabeledGathers(torch.from_numpy(traces), torch.from_numpy(onsets), live, numbers, float(dt_s))


def _expect_inside(name: str, onsets: np.ndarray, nt: int) -> None:
    """NaN is no pick."""
    outside = onsets[(onsets < 0) | (onsets > nt - 1)]
    expect(not len(outside), name, f"picks within {nt} samples", lambda: f"one at sample {outside[0]:g}")


def _number(file: Path) -> int:
    expect(file.stem.isdecimal(), str(file), "a name that is the shot's number", file.stem)
    return int(file.stem)


def _geo_stack_shot(file: Path) -> np.ndarray:
    """(H, nt), float32."""
    name = str(file)
    try:
        stored = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{name}: expected an array of numbers, got {error}") from error
    good = isinstance(stored, np.ndarray) and stored.dtype.kind in "fiu" and stored.ndim == 2 and stored.size > 0
    expect(good, name, "an array (nt, H) of numbers", lambda: getattr(stored, "shape", type(stored).__name__))
    with np.errstate(over="ignore"):  # told in the next line
        record = np.ascontiguousarray(stored.T, dtype=np.float32)
    bad = record.size - int(np.isfinite(record).sum())
    expect(bad == 0, name, "finite samples in float32", f"{bad} NaN or infinite of {record.size}")
    return record


def _geo_stack_picks(file: Path, num_traces: int) -> np.ndarray:
    """(H,), float64, seconds, NaN for no pick."""
    name = str(file)
    lines = [line for line in file.read_text(encoding="latin-1").splitlines()[1:] if line.strip()]
    expect(len(lines) == num_traces, name, f"a header line and {num_traces} picks", len(lines))
    try:
        times_s = np.array([float(line.split(",")[0]) for line in lines])
    except ValueError as error:
        raise ValueError(f"{name}: expected picks in seconds, got {error}") from error
    return np.where(times_s == _UNPICKED_S, np.nan, times_s)


def _h5py():
    """The package: compiled code that only one reader needs, loaded with the first file."""
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"picking.surveys: expected h5py, got {error}; pip install 'priors-that-remember[picking]'"
        ) from error
    return h5py
