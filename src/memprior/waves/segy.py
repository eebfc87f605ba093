"""Traces from SEG-Y files, revisions 0 to 2.1: a 2-D shot record with its geometry by :func:`read_segy`, any line,
section or gather by :func:`read_traces`. Both raise where they would have to guess.

Which fields of the headers (by the standard's byte numbers) matter, and how:

- Byte order: by the constant 16909060 (3297), else the one in which the sample format is one. Pairs of swapped bytes
  are refused.
- Sample format (3225): 1 (IBM), 2, 3, 5, 6, 8 to 12 and 16 become float32, exact or rounded. Refused are 4, 7, 15 and
  others, samples that are not finite in float32, and traces that vanish in it.
- Fields of revision 2 (3261-3300, 3507-3532) count only where the revision (3501) is 2: vendors use these bytes.
- Extended text headers (3505) are skipped; if -1, up to the one that says ((SEG: EndText)). The first trace's offset
  (3521) overrides them. Trailers (3529) are left out; if -1, as long as the last 3200 bytes begin with ((. A number of
  traces (3513) ends the data.
- Additional trace headers (3507; 157 in the first one) are skipped. In one named SEG00001, what is not 0 overrides the
  field that it extends, and takes no scalar.
- Samples per trace: by the trace headers (115), where these say 0 by the binary header (3221, 3269). If all trace
  headers say one number that the file's size contradicts and the binary header's fits, that one. The fixed-length flag
  (3503) is not needed. Traces of unlike length are refused.
- Interval: the one value > 0 in the binary header (3217, 3273) and all trace headers (117), zeros apart; before
  revision 2 below 32768. It is in microseconds: a section in depth says otherwise only by code 25 (29), refused.
- Delay (109), times the scalar for times (215): the time of the first sample; :func:`read_segy` refuses other than 0.
  Lag times, static shifts, mutes (95-107, 111-113) and the time of day (157-168) change nothing.
- Trace identification (29): 0, 1 and 11 to 17 are seismic; others, or several, :func:`read_segy` refuses.
- Coordinates (73-88, 181-188) and elevations (41-52) take their scalar (71, 69): 0 is 1, positive multiplies, negative
  divides. Scalars other than 1, 10, 100, 1000, 10 000 and positions more than 1000 km apart are no survey's:
  :func:`read_segy` refuses them, :func:`read_traces` warns and gives no distance, as for units that are none.
- Coordinate units (89): 0 or 1 is length, in metres or feet (3255: 1 or none, 2), 2 seconds of arc, 3 degrees, 4 DMS;
  :func:`read_segy` takes metres.
- Amplitudes are as stored, without gain, weighting or transduction constant (119-124, 169, 205) and whatever the
  polarity (3257). Integer samples whose weighting differs from trace to trace are refused.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from memprior._check import expect

_IBM = 1
_SAMPLES = {_IBM: "u4", 2: "i4", 3: "i2", 5: "f4", 6: "f8", 8: "i1", 9: "i8", 10: "u4", 11: "u2", 12: "u8", 16: "u1"}
_FLOATS = (_IBM, 5, 6)
_SEISMIC = (0, 1, *range(11, 18))
_DEPTH = 25
_SCALARS = (0, 1, 10, 100, 1000, 10_000)
_FARTHEST_KM = 1000.0  # between two positions of one survey; random bytes lie a million km apart
_HIGHEST_KM = 12.0  # above or below the datum: no mountain and no ocean goes farther
_ORIGIN_KM = 100.0  # within it a source at (0, 0) may be one; projected coordinates lie farther from theirs
_LATEST = 100  # lengths of a trace from the first to the last beginning; a wrong time scalar would fill the memory
_DEGREE_KM = 111.195  # of latitude, on a sphere of 6371 km
_FOOT_M = 0.3048

# Each field: its first byte as the standard counts, and its type.
_BINARY = {
    "interval": (3217, "u2"), "samples": (3221, "u2"), "format": (3225, "u2"), "sorting": (3229, "i2"),
    "system": (3255, "i2"), "long_samples": (3269, "u4"), "long_interval": (3273, "f8"), "revision": (3501, "u1"),
    "texts": (3505, "i2"), "blocks": (3507, "i4"), "num_traces": (3513, "u8"), "first_trace": (3521, "u8"),
    "trailers": (3529, "i4"),
}  # fmt: skip
_REVISION_2 = ("long_samples", "long_interval", "blocks", "num_traces", "first_trace", "trailers")
_TRACE = {
    "kind": (29, "i2"), "offset": (37, "i4"), "group_elevation": (41, "i4"), "source_elevation": (45, "i4"),
    "source_depth": (49, "i4"), "elevation_scalar": (69, "i2"), "coordinate_scalar": (71, "i2"),
    "source_x": (73, "i4"), "source_y": (77, "i4"), "group_x": (81, "i4"), "group_y": (85, "i4"), "units": (89, "i2"),
    "delay": (109, "i2"), "samples": (115, "u2"), "interval": (117, "u2"), "weighting": (169, "i2"),
    "cdp_x": (181, "i4"), "cdp_y": (185, "i4"), "time_scalar": (215, "i2"),
}  # fmt: skip
_EXTENSION = {
    "group_elevation": (33, "f8"), "group_depth": (41, "f8"), "source_elevation": (49, "f8"),
    "source_depth": (57, "f8"), "source_x": (97, "f8"), "source_y": (105, "f8"), "group_x": (113, "f8"),
    "group_y": (121, "f8"), "offset": (129, "f8"), "samples": (137, "u4"), "interval": (145, "f8"),
    "blocks": (157, "u2"), "cdp_x": (161, "f8"), "cdp_y": (169, "f8"), "name": (233, "S8"),
}  # fmt: skip
_EXTENSION_NAMES = [b"SEG00001", "SEG00001".encode("cp037")]


@dataclass(frozen=True, eq=False)
class SegyGather:
    """traces: (num_traces, nt), float32. dt_s: the sampling interval. The first sample is at time 0.

    sources_km, receivers_km: (num_traces, 2), float64, x and depth z of each trace, in km; z is below the elevation
    datum, positive downward.
    """

    traces: torch.Tensor
    dt_s: float
    sources_km: torch.Tensor
    receivers_km: torch.Tensor


@dataclass(frozen=True, eq=False)
class SegyTraces:
    """traces: (num, samples), float32, in the file's order. Sample n is at t0_s + n dt_s, in all traces.

    distance_km: (num,), float64, what the traces are drawn against. Of shot and receiver records, the horizontal
    distance from source to receiver: negative where the receiver lies against the direction in which the line goes on.
    Of sections, the length of the line from its first trace on. NaN where the headers tell no position.
    kinds: (num,), int64, the standard's trace identification codes. live: (num,), bool, True for seismic traces (0,
    unknown; 1; 11 pressure; 12 to 17 components), False for dead (2), dummy (3) and auxiliary ones.
    """

    traces: torch.Tensor
    dt_s: float
    t0_s: float
    distance_km: torch.Tensor
    kinds: torch.Tensor

    @property
    def live(self) -> torch.Tensor:
        return torch.isin(self.kinds, torch.tensor(_SEISMIC))


def read_segy(path: str | Path) -> SegyGather:
    """A 2-D shot record, or several, along x in metres: all traces of a SEG-Y file, in the file's order.

    x is the source or group X. z of a source is its depth less the surface elevation there, z of a receiver minus its
    group elevation.

    Raises ``FileNotFoundError``, or ``ValueError`` naming the file, what was expected and what came: a file that is not
    complete or not consistent (see the module); one that :func:`read_traces` may take but that is no such record: a
    delay, dead or auxiliary traces or several components, feet or degrees, no positions, sources and groups of more
    than one Y.
    """
    file = _open(path)
    kinds, delays_ms, units = (np.unique(file.records["head"][field]).tolist() for field in ("kind", "delay", "units"))
    seismic = len(kinds) == 1 and kinds[0] in _SEISMIC
    _expect_record(file, seismic, "seismic traces of one kind, code 0, 1 or 11 to 17", f"codes {kinds}")
    _expect_record(file, delays_ms == [0], "a delay recording time of 0 ms in every trace", delays_ms)
    system = file.binary["system"]
    _expect_record(file, system in (0, 1), "metres, measurement system 1 or none", f"{system} (2 is feet)")
    _expect_record(file, set(units) <= {0, 1}, "coordinates as lengths, units 1 or none", f"units {units}")

    source, group = _xy(file, "source"), _xy(file, "group")
    known = (source.any() or group.any()) and _told(source, group / 1000) and _told(group, source / 1000)
    _expect_record(file, known, "source and group coordinates", "0 in every trace")
    _expect_near(file, source / 1000, group / 1000)
    y = np.unique(np.concatenate([source, group])[:, 1])
    came = f"{len(y)}, from {y[0]:g} to {y[-1]:g} m"
    _expect_record(file, len(y) == 1, "one Y of all sources and groups, a line along x", came)
    source_z = _scaled(file, "source_depth", "elevation_scalar") - _scaled(file, "source_elevation", "elevation_scalar")
    group_z = _field(file.records, "group_depth") - _scaled(file, "group_elevation", "elevation_scalar")
    farthest = float(np.abs([source_z, group_z]).max()) / 1000
    expect(farthest <= _HIGHEST_KM, file.name, f"depths within {_HIGHEST_KM:g} km of the datum", f"{farthest:.4g} km")
    sources_km, receivers_km = (
        torch.from_numpy(np.stack([x, z], axis=1) / 1000) for x, z in ((source[:, 0], source_z), (group[:, 0], group_z))
    )
    return SegyGather(_decode(file), file.dt_s, sources_km, receivers_km)


def read_traces(path: str | Path) -> SegyTraces:
    """All traces of a SEG-Y file that holds a line, a section or gathers, in metres, feet or degrees.

    Traces that begin at different times, by whole samples, get zeros where they were not recorded; one that holds
    nothing but zeros begins with the first. The distance is that of source and receiver where their coordinates
    differ, else the file's own offsets where these vary, else the way along the CDPs, or sources, or groups; that way
    too where the traces are said to be stacked (sorting code 4). Coordinates that are (0, 0) in all traces are not
    given, but for a source within 100 km of all groups. Degrees become km on a sphere, flattened about the median
    latitude.

    Raises ``FileNotFoundError``, or ``ValueError`` naming the file, what was expected and what came, for a file that is
    not complete or not consistent: see the module.

    Example (two traces of a stacked line, 25 m apart):
        >>> import struct, tempfile
        >>> binary, heads = bytearray(400), [bytearray(240) for _ in range(2)]
        >>> for byte, value in ((17, 2000), (21, 3), (25, 5)):  # microseconds, samples, IEEE floats
        ...     struct.pack_into(">h", binary, byte - 1, value)
        >>> for number, head in enumerate(heads):  # samples, microseconds, the CDP's place in metres
        ...     for byte, kind, value in ((115, "h", 3), (117, "h", 2000), (181, "i", 25 * number)):
        ...         struct.pack_into(f">{kind}", head, byte - 1, value)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "line.sgy"
        ...     _ = file.write_bytes(bytes(3200) + binary + b"".join(h + struct.pack(">3f", 1, 2, 3) for h in heads))
        ...     line = read_traces(file)
        >>> line.traces.shape, line.dt_s, line.distance_km
        (torch.Size([2, 3]), 0.002, tensor([0.0000, 0.0250], dtype=torch.float64))
    """
    file = _open(path)
    kinds = file.records["head"]["kind"].astype(np.int64)
    try:
        distance_km = _distance_km(file, np.isin(kinds, _SEISMIC))
    except ValueError as error:
        warnings.warn(f"{error}; distance_km is NaN", stacklevel=2)
        distance_km = np.full(len(kinds), np.nan)
    traces, begin_s = _decode(file), _scaled(file, "delay", "time_scalar") / 1000
    silent = ~traces.any(dim=1).numpy()
    t0_s = float(begin_s.min() if silent.all() else begin_s[~silent].min())
    late = np.where(silent, 0, begin_s - t0_s) / file.dt_s
    shifts = np.round(late).astype(int)
    came = f"{begin_s.min():g} to {begin_s.max():g} s with samples every {file.dt_s:g} s"
    expect(np.abs(late - shifts).max() < 1e-3, file.name, "delays that differ by whole samples", came)
    most = _LATEST * traces.shape[1]
    expect(shifts.max() <= most, file.name, f"delays that differ by at most {_LATEST} times the traces' length", came)
    if shifts.any():
        recorded, traces = traces, torch.zeros(len(traces), traces.shape[1] + int(shifts.max()))
        for row, trace, shift in zip(traces, recorded, shifts.tolist(), strict=True):
            row[shift : shift + len(trace)] = trace
    return SegyTraces(traces, file.dt_s, t0_s, torch.from_numpy(distance_km), torch.from_numpy(kinds))


class _File(NamedTuple):
    """An open file. records: (num,), of fields head, samples and, with additional trace headers, extension."""

    name: str
    binary: dict
    records: np.ndarray
    dt_s: float


def _open(path: str | Path) -> _File:
    """The file's headers, checked as far as both readers need them; its samples are still on disk."""
    path = Path(path)
    name = str(path)
    if not path.is_file():
        raise FileNotFoundError(f"{name}: expected a SEG-Y file, got no file of that name")
    size = path.stat().st_size
    expect(size > 3840, name, "a SEG-Y file: 3600 bytes of headers and at least one trace", f"{size} bytes")
    content = np.memmap(path, np.uint8, "r")
    order = _byte_order(name, content)
    stored = content[3200:3600].view(_layout(_BINARY, order, 400, first=3201))[0]
    binary = {field: stored[field].item() for field in _BINARY}
    if binary["revision"] != 2:
        binary.update(dict.fromkeys(_REVISION_2, 0))
    records = _records(name, content, binary, order)
    head = records["head"]
    depth = int((head["kind"] == _DEPTH).sum())
    expect(depth == 0, name, "samples in time", f"{depth} traces in depth, trace identification code {_DEPTH}")
    if binary["format"] not in _FLOATS:
        factors = np.unique(head["weighting"][np.isin(head["kind"], _SEISMIC)]).tolist()
        expect(len(factors) <= 1, name, "one trace weighting factor of all integer samples", factors)
    return _File(name, binary, records, _interval_s(name, binary, records))


def _byte_order(name: str, content: np.ndarray) -> str:
    """As numpy writes it, < or >."""
    constant = content[3296:3300].tolist()
    expect(constant != [2, 1, 4, 3], name, "big or little endian", "pairs of swapped bytes, constant 33620995")
    code = {order: int(content[3224:3226].view(f"{order}u2")[0]) for order in "<>"}
    little = constant == [4, 3, 2, 1] or (constant != [1, 2, 3, 4] and code["<"] in range(1, 17))
    order = "<" if little else ">"
    known = ", ".join(map(str, _SAMPLES))
    expect(code[order] in _SAMPLES, name, f"sample format {known}, big or little endian", code[order])
    return order


def _layout(fields: dict, order: str, size: int, *, first: int = 1) -> np.dtype:
    formats, offsets = [order + kind for _, kind in fields.values()], [byte - first for byte, _ in fields.values()]
    return np.dtype({"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": size})


def _records(name: str, content: np.ndarray, binary: dict, order: str) -> np.ndarray:
    """The traces where they lie, (num,), all of one length."""
    begin, end = _data(name, content, binary)
    sample, blocks, limit = np.dtype(order + _SAMPLES[binary["format"]]), binary["blocks"], binary["num_traces"]
    head, extension = _layout(_TRACE, order, 240), _layout(_EXTENSION, order, 240)

    def size(length: int) -> int:
        return 240 * (1 + blocks) + length * sample.itemsize

    def viewed(at: int, num: int, length: int) -> np.ndarray:
        fields = {"head": (head, 0), "samples": ((sample, (length,)), size(0))}
        if blocks:
            fields["extension"] = (extension, 240)
        formats, offsets = zip(*fields.values(), strict=True)
        layout = np.dtype({"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": size(length)})
        return content[at : at + num * size(length)].view(layout)

    def told(at: int) -> int:
        """The length that the headers of the trace at this byte tell."""
        return int(_field(viewed(at, 1, 0), "samples")[0])

    def expect_room() -> None:
        fits = blocks >= 0 and begin + size(0) <= end
        expect(fits, name, "as many additional trace headers as the file has room for", blocks)

    expect_room()
    if blocks:
        blocks = int(_field(viewed(begin, 1, 0), "blocks")[0]) or blocks
        expect_room()
    first, stated = told(begin), binary["long_samples"] or binary["samples"]
    expect(first or stated, name, "a number of samples > 0 in the binary or the first trace header", 0)
    for length in filter(None, (first, stated)):
        num = limit or (end - begin) // size(length)
        if 0 < num * size(length) <= end - begin and (limit or num * size(length) == end - begin):
            records = viewed(begin, num, length)
            if (_field(records, "samples") == first).all():
                return records

    # From header to header: some leave their number out, or the numbers differ.
    lengths: list[int] = []
    at = begin
    while at + size(0) <= end and not 0 < limit <= len(lengths):
        lengths.append(told(at) or stated)
        at += size(lengths[-1])
    whole = (at <= end and len(lengths) == limit) if limit else at == end
    came = f"{end - begin} bytes of traces of {first} samples by the first trace header, {stated} by the binary header"
    expect(whole, name, "a complete SEG-Y file", came)
    expect(len(set(lengths)) == 1, name, "traces of one length", f"{min(lengths)} to {max(lengths)} samples")
    return viewed(begin, len(lengths), lengths[0])


def _data(name: str, content: np.ndarray, binary: dict) -> tuple[int, int]:
    """Where the traces begin and end in the file."""
    texts, trailers = binary["texts"], binary["trailers"]
    expect(texts >= -1, name, "a number of extended text headers >= 0, or -1", texts)
    expect(trailers >= -1, name, "a number of trailers >= 0, or -1", trailers)
    begin, end = binary["first_trace"] or 3600 + 3200 * max(texts, 0), len(content) - 3200 * max(trailers, 0)
    if texts == -1 and not binary["first_trace"]:
        ends = (at + 3200 for at in range(3600, end, 3200) if "((SEG:ENDTEXT))" in _text(content, at))
        begin = next(ends, 0)
        expect(begin, name, "a last extended text header that says ((SEG: EndText))", "none")
    while trailers == -1 and _text(content, end - 3200).startswith("(("):
        end -= 3200
    expect(3600 <= begin <= end - 240, name, "a trace after the headers", f"bytes {begin} to {end} for it")
    return begin, end


def _text(content: np.ndarray, at: int) -> str:
    """3200 bytes of text, ASCII or EBCDIC, in capitals and without blanks."""
    block = content[max(at, 0) : at + 3200].tobytes()
    ebcdic = block.startswith("((".encode("cp037"))
    return block.decode("cp037" if ebcdic else "latin-1").replace(" ", "").upper()


def _field(records: np.ndarray, field: str, times=1, over=1) -> np.ndarray:
    """A header's value times its scalar, or its extension's, of every trace: (num,), float64."""
    value = records["head"][field] * np.float64(times) / over if field in _TRACE else np.zeros(len(records))
    if "extension" in (records.dtype.names or ()) and field in _EXTENSION:
        extension = records["extension"]
        longer = extension[field].astype(np.float64)
        value = np.where(np.isin(extension["name"], _EXTENSION_NAMES) & (longer != 0), longer, value)
    return value


def _scaled(file: _File, field: str, scalar: str) -> np.ndarray:
    factor = file.records["head"][scalar].astype(np.float64)
    used = file.records["head"][field] != 0
    wrong = np.unique(factor[used & ~np.isin(np.abs(factor), _SCALARS)]).astype(int).tolist()
    expect(not wrong, file.name, f"0, +-1, +-10, ... +-10000 as {scalar.replace('_', ' ')}", wrong)
    return _field(file.records, field, np.maximum(factor, 1), np.maximum(-factor, 1))


def _interval_s(name: str, binary: dict, records: np.ndarray) -> float:
    told = np.append(_field(records, "interval"), binary["long_interval"] or binary["interval"])
    told = np.unique(told[told != 0])
    expect(len(told) > 0, name, "a sampling interval > 0 in the binary or a trace header", 0)
    signed = told.max() >= 2**15 and binary["revision"] != 2  # a negative number, by the older standards
    expect(not signed, name, "a sampling interval > 0, below 32768 microseconds before revision 2", told.max())
    fractions = told[told != np.round(told)]  # revision 2: 1953.125, which the field of integers says as 1953
    exact = fractions if len(fractions) else told
    agree = len(exact) == 1 and told[0] > 0 and told[-1] < told[0] + 1
    expect(agree, name, "one sampling interval in the binary and all trace headers", f"{told.tolist()} microseconds")
    return float(exact[0]) / 1e6


def _decode(file: _File) -> torch.Tensor:
    """The samples (num, samples) in float32, read a trace at a time."""
    stored = file.records["samples"]
    traces, lost = np.empty(stored.shape, np.float32), 0
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # told below
        for trace, row in zip(traces, stored, strict=True):
            value = _ibm(row) if file.binary["format"] == _IBM else row
            trace[:] = value
            lost += bool(value.any() and not trace.any())
    bad = traces.size - int(np.isfinite(traces).sum())
    expect(bad == 0, file.name, "finite samples in float32", f"{bad} NaN or infinite of {traces.size}")
    expect(lost == 0, file.name, "samples that float32 can carry", f"{lost} traces of samples below 1e-45")
    return torch.from_numpy(traces)


def _ibm(words: np.ndarray) -> np.ndarray:
    """IBM/360 floats in float64: a sign, an exponent of 16 that is 64 too large, and 24 bits of a fraction."""
    words = words.astype(np.uint32)
    exponent = (words >> 24 & 0x7F).astype(np.int32) - 64
    value = np.ldexp((words & 0xFFFFFF) * 2.0**-24, 4 * exponent)
    return np.where(words >> 31, -value, value)


def _xy(file: _File, point: str) -> np.ndarray:
    """Coordinates (num, 2) of every trace's source, group or cdp, in the file's unit."""
    return np.stack([_scaled(file, f"{point}_{axis}", "coordinate_scalar") for axis in "xy"], axis=1)


def _expect_record(file: _File, condition, expected: str, came) -> None:
    expect(condition, file.name, f"{expected} (read_traces may take others)", came)


def _expect_near(file: _File, *places_km: np.ndarray) -> None:
    far = float(np.ptp(np.concatenate(places_km), axis=0).max())
    expect(far <= _FARTHEST_KM, file.name, f"positions at most {_FARTHEST_KM:g} km apart", f"{far:.4g} km")


def _distance_km(file: _File, live: np.ndarray) -> np.ndarray:
    """What :class:`SegyTraces` calls so, (num,), float64."""
    source, group, cdp = _places_km(file)
    offset = _field(file.records, "offset") * _length_km(file)
    distance, stacked = np.full(len(live), np.nan), file.binary["sorting"] == 4
    known = _given(group, live) & (_given(source, live) | (not source.any()))
    if not stacked and group.any() and _told(source, group) and (group != source)[known].any():
        source, group = source[known], group[known]
        _expect_near(file, source, group)
        onward = group[-1] - group[0] + source[-1] - source[0]
        away = group - source
        distance[known] = np.linalg.norm(away, axis=1) * np.where(away @ onward < 0, -1, 1)
    elif not stacked and np.ptp(offset) > 0:
        _expect_near(file, offset[:, None], np.zeros((1, 1)))
        distance = offset
    elif (place := next(filter(np.any, (cdp, source, group)), None)) is not None:
        known = _given(place, live)
        _expect_near(file, place[known])
        steps = np.linalg.norm(np.diff(place[known], axis=0), axis=1)
        distance[known] = np.cumsum(np.append(0, steps))
    return distance


def _told(place: np.ndarray, other_km: np.ndarray) -> bool:
    """Whether headers tell these coordinates: 0 in all traces may be the origin of a local grid, or left out."""
    return bool(place.any()) or float(np.linalg.norm(other_km, axis=1).max()) <= _ORIGIN_KM


def _given(place: np.ndarray, live: np.ndarray) -> np.ndarray:
    """(num,), bool: dead and auxiliary traces often leave their position out."""
    return live | place.any(axis=1)


def _length_km(file: _File) -> float:
    system = file.binary["system"]
    expect(system in (0, 1, 2), file.name, "measurement system 1, metres, 2, feet, or none", system)
    return (_FOOT_M if system == 2 else 1) / 1000


def _places_km(file: _File) -> np.ndarray:
    """(3, num, 2): source, group and cdp of every trace in a plane."""
    places = np.stack([_xy(file, point) for point in ("source", "group", "cdp")])
    units = np.unique(file.records["head"]["units"][places.any(axis=(0, 2))]).tolist()
    if set(units) <= {0, 1}:
        return places * _length_km(file)
    expect(units in ([2], [3], [4]), file.name, "one unit of coordinates: 0 or 1, 2, 3 or 4", units)
    if units == [4]:  # DDDMMSS
        size = np.abs(places)
        degrees = np.sign(places) * (size // 10_000 + size // 100 % 100 / 60 + size % 100 / 3600)
    else:
        degrees = places / (3600 if units == [2] else 1)
    expect(np.abs(degrees).max() <= 360, file.name, "longitudes and latitudes", f"{np.abs(degrees).max():g} degrees")
    latitudes = degrees[..., 1][degrees.any(axis=2)]
    return degrees * _DEGREE_KM * [np.cos(np.deg2rad(np.median(latitudes))), 1]
