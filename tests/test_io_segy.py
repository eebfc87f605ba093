"""A SEG-Y gather written with real headers comes back in kilometres and seconds; a broken file is refused by name."""

import numpy as np
import pytest
import segyio
import torch
from segyio import BinField, TraceField

from memprior.io_segy import read_segy

NUM_TRACES, NUM_SAMPLES = 40, 25
TRACES = np.random.default_rng(0).standard_normal((NUM_TRACES, NUM_SAMPLES)).astype(np.float32)


def gather(path, *, sample_format=5, traces=TRACES, trace_fields=None, binary_fields=None):
    """Two shots of 20 receivers along x, coordinates in decimetres, elevations in centimetres, samples every 4 ms."""
    spec = segyio.spec()
    spec.format, spec.samples, spec.tracecount = sample_format, np.arange(NUM_SAMPLES) * 4.0, NUM_TRACES
    with segyio.create(path, spec) as file:
        file.bin.update({BinField.Interval: 4000, BinField.MeasurementSystem: 1, **(binary_fields or {})})
        for trace in range(NUM_TRACES):
            file.header[trace] = {
                TraceField.SourceGroupScalar: -10,
                TraceField.ElevationScalar: -100,
                TraceField.SourceX: 5000 * (trace // 20),
                TraceField.GroupX: 250 * (trace % 20) + 1,
                TraceField.SourceDepth: 1200,
                TraceField.SourceSurfaceElevation: 300,
                TraceField.ReceiverGroupElevation: -450 - trace,
                TraceField.CoordinateUnits: 1,
                TraceField.TRACE_SAMPLE_INTERVAL: 4000,
                **(trace_fields or {}),
            }
            file.trace[trace] = traces[trace].astype(file.dtype)
    return path


def test_traces_interval_and_positions(tmp_path):
    read = read_segy(gather(tmp_path / "shots.sgy"))
    np.testing.assert_array_equal(read.traces.numpy(), TRACES)
    assert (read.traces.dtype, read.dt_s) == (torch.float32, pytest.approx(0.004))
    trace = torch.arange(NUM_TRACES, dtype=torch.float64)
    sources = torch.stack([0.5 * (trace >= 20), torch.full_like(trace, 0.009)], dim=1)
    receivers = torch.stack([0.025 * (trace % 20) + 1e-4, 0.0045 + 1e-5 * trace], dim=1)
    torch.testing.assert_close(read.sources_km, sources, rtol=0, atol=1e-12)
    torch.testing.assert_close(read.receivers_km, receivers, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("scalar", "factor"), [(-10, 0.1), (0, 1.0), (1, 1.0), (100, 100.0)])
def test_the_coordinate_scalar_multiplies_or_if_negative_divides(tmp_path, scalar, factor):
    fields = {TraceField.SourceGroupScalar: scalar, TraceField.SourceX: 30}
    read = read_segy(gather(tmp_path / "shots.sgy", trace_fields=fields))
    assert read.sources_km[:, 0].tolist() == pytest.approx([0.03 * factor] * NUM_TRACES)


def test_ibm_floats_are_read_to_their_precision(tmp_path):
    """24 bits of mantissa, of which the base of 16 may leave 21."""
    read = read_segy(gather(tmp_path / "shots.sgy", sample_format=1))
    np.testing.assert_allclose(read.traces.numpy(), TRACES, rtol=2**-20)


def test_integer_samples_are_read(tmp_path):
    traces = np.round(TRACES * 100)
    read = read_segy(gather(tmp_path / "shots.sgy", sample_format=3, traces=traces))
    np.testing.assert_array_equal(read.traces.numpy(), traces)


def test_the_interval_falls_back_to_the_trace_header(tmp_path):
    fields = {TraceField.TRACE_SAMPLE_INTERVAL: 2000}
    path = gather(tmp_path / "shots.sgy", binary_fields={BinField.Interval: 0}, trace_fields=fields)
    assert read_segy(path).dt_s == pytest.approx(0.002)


def broken(**changes):
    return lambda path: gather(path, **changes)


def in_header(**fields):
    return broken(trace_fields={getattr(TraceField, name): value for name, value in fields.items()})


def written(content):
    return lambda path: path.write_bytes(content)


def cut(path):
    gather(path)
    path.write_bytes(path.read_bytes()[:-60])


def fewer_bytes_per_sample(path):
    """The header tells 2-byte integers where 4-byte floats follow."""
    gather(path)
    stored = bytearray(path.read_bytes())
    stored[3224:3226] = (3).to_bytes(2, "big")
    path.write_bytes(stored)


def npy(path):
    with path.open("wb") as file:
        np.save(file, np.zeros((100, 100)))


def with_nan():
    traces = TRACES.copy()
    traces[3, 4] = np.nan
    return traces


def no_interval(path):
    gather(path, binary_fields={BinField.Interval: 0}, trace_fields={TraceField.TRACE_SAMPLE_INTERVAL: 0})


def along_y(path):
    gather(path)
    with segyio.open(path, "r+", ignore_geometry=True) as file:
        file.header[7].update({TraceField.GroupY: 500})


CASES = {
    "missing": (lambda path: None, "expected a SEG-Y file, got no file of that name", FileNotFoundError),
    "empty": (written(b""), "expected a SEG-Y file: 3600 bytes of headers and at least one trace, got 0 bytes"),
    "headers only": (written(b"\0" * 3600), "at least one trace, got 3600 bytes"),
    "zeros": (written(b"\0" * 9000), "expected a complete SEG-Y file, got: trace count inconsistent"),
    "text": (written(b"time, amplitude\n" * 500), "expected a complete SEG-Y file, got: unable to count traces"),
    "npy": (npy, "expected a complete SEG-Y file, got: trace count inconsistent"),
    "truncated": (cut, "expected a complete SEG-Y file, got: .*trace count inconsistent with file size"),
    "another sample size": (fewer_bytes_per_sample, "expected a complete SEG-Y file, got: trace count inconsistent"),
    "no interval": (no_interval, "expected a sampling interval > 0 in the binary or the first trace header, got 0"),
    "NaN": (broken(traces=with_nan()), "expected finite samples, got 1 NaN or infinite of 1000"),
    "format 4": (broken(binary_fields={BinField.Format: 4}), "expected sample format 1, 2, 3, 5, 8, big-endian, got 4"),
    "format 0": (broken(binary_fields={BinField.Format: 0}), "expected sample format 1, 2, 3, 5, 8, big-endian, got 0"),
    "feet": (
        broken(binary_fields={BinField.MeasurementSystem: 2}),
        r"expected metres, measurement system 1 or none, got 2",
    ),
    "arcseconds": (in_header(CoordinateUnits=2), r"expected coordinates as lengths, units 1 or none, got units \[2\]"),
    "delayed": (
        in_header(DelayRecordingTime=100),
        r"expected a delay recording time of 0 ms in every trace, got \[100\]",
    ),
    "a map, not a line": (along_y, "expected one group Y, a line along x, got 2, from 0 to 50"),
}


@pytest.mark.parametrize(("make", "told", "kind"), [(*case, ValueError)[:3] for case in CASES.values()], ids=CASES)
def test_a_wrong_file_is_named(tmp_path, make, told, kind):
    path = tmp_path / "shots.sgy"
    make(path)
    with pytest.raises(kind, match=rf"shots\.sgy: .*{told}"):
        read_segy(path)
