"""A seismic gather from a SEG-Y file (SEG-Y rev 1; read by segyio): traces, sampling, positions along a line."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import segyio
import torch
from segyio import BinField, TraceField

from memprior._check import expect

_FORMATS = (1, 2, 3, 5, 8)  # IBM float, int32, int16, IEEE float, int8: each exact, or rounded, in float32


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


def read_segy(path: str | Path) -> SegyGather:
    """All traces of a big-endian SEG-Y file in metres, in the file's order.

    x is the source or group X. z of a source is its depth less the surface elevation there, z of a receiver minus its
    group elevation. Each takes its header's scalar: positive multiplies, negative divides, 0 is 1. The interval is
    the binary header's, or where that is 0 the first trace's.

    Raises ``FileNotFoundError``, or ``ValueError`` naming the file, what was expected and what came: not SEG-Y,
    truncated, a sample format other than 1, 2, 3, 5, 8, no interval, a delayed first sample, coordinates that are not
    metres along x, samples that are not finite.
    """
    path = Path(path)
    name = str(path)
    if not path.is_file():
        raise FileNotFoundError(f"{name}: expected a SEG-Y file, got no file of that name")
    size = path.stat().st_size
    expect(size > 3840, name, "a SEG-Y file: 3600 bytes of headers and at least one trace", f"{size} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a format it does not know; refused below
            opened = segyio.open(path, ignore_geometry=True)
        with opened as file:
            _expect_readable(name, file)
            return _gather(name, file)
    except (RuntimeError, OSError) as error:
        raise ValueError(f"{name}: expected a complete SEG-Y file, got: {error}") from error


def _expect_readable(name: str, file) -> None:
    code = file.bin[BinField.Format]
    expect(code in _FORMATS, name, f"sample format {', '.join(map(str, _FORMATS))}, big-endian", code)
    system = file.bin[BinField.MeasurementSystem]
    expect(system in (0, 1), name, "metres, measurement system 1 or none", f"{system} (2 is feet)")
    units = np.unique(_field(file, TraceField.CoordinateUnits)).tolist()
    expect(set(units) <= {0, 1}, name, "coordinates as lengths, units 1 or none", f"units {units}")


def _gather(name: str, file) -> SegyGather:
    microseconds = file.bin[BinField.Interval] or int(_field(file, TraceField.TRACE_SAMPLE_INTERVAL)[0])
    expect(microseconds > 0, name, "a sampling interval > 0 in the binary or the first trace header", microseconds)
    delays = np.unique(_field(file, TraceField.DelayRecordingTime))
    expect(not delays.any(), name, "a delay recording time of 0 ms in every trace", delays.tolist())
    for axis, field in (("source", TraceField.SourceY), ("group", TraceField.GroupY)):
        span = np.unique(_scaled(file, field, TraceField.SourceGroupScalar))
        expect(len(span) == 1, name, f"one {axis} Y, a line along x", f"{len(span)}, from {span[0]:g} to {span[-1]:g}")
    traces = np.array(file.trace.raw[:], dtype=np.float32)
    bad = traces.size - int(np.isfinite(traces).sum())
    expect(bad == 0, name, "finite samples", f"{bad} NaN or infinite of {traces.size}")
    depth = _elevation(file, TraceField.SourceDepth) - _elevation(file, TraceField.SourceSurfaceElevation)
    return SegyGather(
        torch.from_numpy(traces),
        microseconds * 1e-6,
        _positions(_scaled(file, TraceField.SourceX, TraceField.SourceGroupScalar), depth),
        _positions(
            _scaled(file, TraceField.GroupX, TraceField.SourceGroupScalar),
            -_elevation(file, TraceField.ReceiverGroupElevation),
        ),
    )


def _field(file, field: TraceField) -> np.ndarray:
    return np.asarray(file.attributes(field)[:])


def _scaled(file, field: TraceField, scalar: TraceField) -> np.ndarray:
    """A header value of every trace, times its scalar or divided by it."""
    factor = _field(file, scalar).astype(np.float64)
    factor[factor == 0] = 1
    factor = np.where(factor < 0, -1 / factor, factor)
    return _field(file, field) * factor


def _elevation(file, field: TraceField) -> np.ndarray:
    return _scaled(file, field, TraceField.ElevationScalar)


def _positions(x_m: np.ndarray, z_m: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([x_m, z_m], axis=1) / 1000)
