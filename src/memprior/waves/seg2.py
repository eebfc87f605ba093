"""Shot records from SEG-2 files (Pullan 1990), revisions 0 and 1, as refraction seismographs write them.

- Byte order: by the block identifier, 0x3a55. Each block's strings are "KEYWORD value", cut at the file's string
  terminator; each begins with the distance to the next one, and a distance of 0 ends them.
- Sample format: 1 and 2, integers of 16 and 32 bits; 3, four 16-bit integers, negative in one's complement, after a
  word of four binary exponents, the first in the lowest bits; 4 and 5, IEEE floats of 32 and 64 bits. They become
  float32, exact (1, 3, 4) or rounded (2, 5), as stored: DESCALING_FACTOR and STACK are told and not applied.
- SAMPLE_INTERVAL and DELAY are in seconds, one of all traces. Locations are one to three numbers in the file's UNITS.
  Filters, gains and SKEW, a fraction of an interval by which a channel was sampled late, change nothing.
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from memprior._check import expect

_FILE, _TRACE = 0x3A55, 0x4422
_HEAD = 32  # bytes of either block's fixed part
_PACKED = 3
_SAMPLES = {1: "i2", 2: "i4", _PACKED: "i2", 4: "f4", 5: "f8"}
_UNITS_M = {"METERS": 1.0, "CENTIMETERS": 0.01, "FEET": 0.3048, "INCHES": 0.0254, "NONE": 1.0}


@dataclass(frozen=True, eq=False)
class Seg2Gather:
    """traces: (num, nt), float32, in the file's order. Sample n is at t0_s + n dt_s after the shot, in all traces.

    sources_km, receivers_km: (num, 3), float64, x, y, z of each trace: 0 where a location has fewer numbers, NaN where
    there is none. descaling: (num,), float64, millivolts of a stored unit, 1 where not told. stacks: (num,), int64,
    shots that were summed, 1 where not told. headers: of the file, keyword to value; trace_headers: of each trace.
    """

    traces: torch.Tensor
    dt_s: float
    t0_s: float
    sources_km: torch.Tensor
    receivers_km: torch.Tensor
    descaling: torch.Tensor
    stacks: torch.Tensor
    headers: dict[str, str]
    trace_headers: tuple[dict[str, str], ...]


def read_seg2(path: str | Path) -> Seg2Gather:
    """All traces of a SEG-2 file.

    Raises ``FileNotFoundError``, or ``ValueError`` naming the file, what was expected and what came: another or a
    truncated file, blocks and strings that point outside of it, an unknown sample format, traces of unlike length,
    samples that are not finite, no or several sampling intervals or delays, numbers that are none, unknown units.

    Example:
        >>> from memprior.waves import read_seg2
        >>> read_seg2("1001.dat")
        Traceback (most recent call last):
        FileNotFoundError: 1001.dat: expected a SEG-2 file, got no file of that name
    """
    path = Path(path)
    name = str(path)
    if not path.is_file():
        raise FileNotFoundError(f"{name}: expected a SEG-2 file, got no file of that name")
    content = path.read_bytes()
    expect(len(content) >= _HEAD, name, f"a SEG-2 file, at least {_HEAD} bytes", f"{len(content)} bytes")
    order = {b"\x55\x3a": "<", b"\x3a\x55": ">"}.get(content[:2], "")
    expect(order, name, "a SEG-2 file, which begins with 55 3a or 3a 55", content[:2].hex(" "))
    revision, table, num, ending, *ends = struct.unpack_from(f"{order}HHHBBB", content, 2)
    expect(revision in (0, 1), name, "revision 0 or 1", revision)
    expect(ending in (1, 2), name, "a string terminator of 1 or 2 bytes", ending)
    expect(num > 0 and table >= 4 * num, name, f"pointers to 1 to {table // 4} traces", num)
    first = _HEAD + table
    expect(first <= len(content), name, f"{table} bytes of trace pointers", f"{len(content)} bytes")
    pointers = struct.unpack_from(f"{order}{num}I", content, _HEAD)
    least, most = min(pointers), max(pointers)
    inside = first <= least and most + _HEAD <= len(content)
    expect(inside, name, f"traces between bytes {first} and {len(content)}", f"pointers from {least} to {most}")
    file = _File(name, content, order, bytes(ends[:ending]))

    headers = file.strings("the file", first, least)
    stored, told = zip(*(file.trace(k, at) for k, at in enumerate(pointers, start=1)), strict=True)
    lengths = {len(samples) for samples in stored}
    expect(len(lengths) == 1, name, "traces of one length", f"{min(lengths)} to {max(lengths)} samples")
    traces = np.stack(stored)
    bad = traces.size - int(np.isfinite(traces).sum())
    expect(bad == 0, name, "finite samples in float32", f"{bad} NaN or infinite of {traces.size}")

    (dt_s,), (t0_s,) = (
        file.one(keyword, {file.numbers(header, keyword, default)[0] for header in told})
        for keyword, default in (("SAMPLE_INTERVAL", "nan"), ("DELAY", "0"))
    )
    expect(dt_s > 0, name, "SAMPLE_INTERVAL > 0 in every trace", dt_s)
    units = headers.get("UNITS", "").upper() or "METERS"
    expect(units in _UNITS_M, name, f"UNITS {', '.join(_UNITS_M)}", units)
    sources_km, receivers_km = (
        torch.tensor([file.place(header, keyword) for header in told], dtype=torch.float64) * _UNITS_M[units] / 1000
        for keyword in ("SOURCE_LOCATION", "RECEIVER_LOCATION")
    )
    descaling, stacks = (
        torch.tensor([file.numbers(header, keyword, "1")[0] for header in told], dtype=torch.float64)
        for keyword in ("DESCALING_FACTOR", "STACK")
    )
    return Seg2Gather(
        torch.from_numpy(traces), dt_s, t0_s, sources_km, receivers_km, descaling, stacks.long(), headers, told
    )


@dataclass(frozen=True, eq=False)
class _File:
    """A file's bytes and how to read them; every error names it."""

    name: str
    content: bytes
    order: str
    end: bytes

    def strings(self, owner: str, at: int, stop: int) -> dict[str, str]:
        """Keywords and values of the block that ends before byte ``stop``."""
        found = {}
        while at + 2 <= stop:
            (step,) = struct.unpack_from(f"{self.order}H", self.content, at)
            if step == 0:
                break
            fits = step > 2 and at + step <= stop
            expect(fits, self.name, f"strings of {owner} within its {stop - at} bytes", f"one of {step}")
            text = self.content[at + 2 : at + step].split(self.end)[0].decode("latin-1").strip()
            keyword, _, value = text.partition(" ")
            found[keyword.upper()] = value.strip()
            at += step
        return found

    def trace(self, k: int, at: int) -> tuple[np.ndarray, dict[str, str]]:
        """Samples in float32, and strings, of trace ``k``, whose block begins at byte ``at``."""
        mark, block, size, length, code = struct.unpack_from(f"{self.order}HHIIB", self.content, at)
        expect(mark == _TRACE, self.name, f"0x{_TRACE:x} where trace {k} begins", f"0x{mark:x}")
        known = ", ".join(map(str, _SAMPLES))
        expect(code in _SAMPLES, self.name, f"sample format {known} in trace {k}", code)
        begin, left = at + block, len(self.content) - at - block
        expect(block >= _HEAD and left >= 0, self.name, f"a block of trace {k} within the file", f"{block} bytes")
        whole = length > 0 and (code != _PACKED or length % 4 == 0)
        expect(whole, self.name, f"samples in trace {k}{', in fours' * (code == _PACKED)}", length)
        words = length * 5 // 4 if code == _PACKED else length
        kind = np.dtype(self.order + _SAMPLES[code])
        need = words * kind.itemsize
        expect(need <= min(size, left), self.name, f"{need} bytes of samples in trace {k}", min(size, left))
        stored = np.frombuffer(self.content, kind, words, begin)
        with np.errstate(over="ignore"):  # not finite: told by the caller
            samples = (_unpacked(stored) if code == _PACKED else stored).astype(np.float32)
        return samples, self.strings(f"trace {k}", at + _HEAD, begin)

    def numbers(self, header: dict[str, str], keyword: str, default: str) -> list[float]:
        """One or more, finite where they are told."""
        text = header.get(keyword, "") or default
        try:
            found = [float(word) for word in text.split()]
        except ValueError as error:
            raise ValueError(f"{self.name}: expected numbers in {keyword}, got {text!r}") from error
        fine = text == default or all(map(math.isfinite, found))
        expect(fine, self.name, f"finite numbers in {keyword}", repr(text))
        return found

    def one(self, keyword: str, values: set[float]) -> set[float]:
        alike = len(values) == 1 and all(map(math.isfinite, values))
        expect(alike, self.name, f"one {keyword} of all traces", lambda: sorted(values))
        return values

    def place(self, header: dict[str, str], keyword: str) -> list[float]:
        found = self.numbers(header, keyword, "nan nan nan")
        expect(len(found) <= 3, self.name, f"at most three numbers in {keyword}", len(found))
        return found + [0.0] * (3 - len(found))


def _unpacked(words: np.ndarray) -> np.ndarray:
    """Format 3: of five words four samples, exact in float32."""
    exponents, mantissas = words[::5].astype(np.uint16)[:, None], words.reshape(-1, 5)[:, 1:].astype(np.int32)
    mantissas += mantissas < 0  # one's complement
    return (mantissas << (exponents >> np.arange(0, 16, 4) & 0xF)).reshape(-1)
