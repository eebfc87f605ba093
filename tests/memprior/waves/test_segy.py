"""SEG-Y files written byte by byte are read in kilometers and seconds; ambiguous files are refused."""

import struct

import numpy as np
import pytest
import segyio
import torch
from segyio import BinField, TraceField

from memprior.waves.segy import read_segy, read_traces

NUM_TRACES, NUM_SAMPLES = 40, 25
TRACES = np.random.default_rng(0).standard_normal((NUM_TRACES, NUM_SAMPLES)).astype(np.float32)

# Types of header fields by the standard's byte numbers; all others have two bytes and a sign.
BINARY_TYPES = {3217: "H", 3221: "H", 3269: "I", 3273: "d", 3297: "I", 3501: "B", 3507: "i", 3513: "Q", 3521: "Q"}
BINARY_TYPES[3529] = "i"
TRACE_TYPES = {37: "i", 41: "i", 45: "i", 49: "i", 73: "i", 77: "i", 81: "i", 85: "i", 115: "H", 117: "H"}
TRACE_TYPES |= {181: "i", 185: "i"}
EXTENSION_TYPES = dict.fromkeys((33, 41, 49, 57, 97, 105, 113, 121, 129, 145, 161, 169), "d") | {137: "I", 157: "H"}

LINE = {71: -10, 73: 5000, 81: [1000 + 250 * k for k in range(NUM_TRACES)]}
STATION = [25 * k for k in range(NUM_TRACES)]
END_TEXT = "((SEG: EndText))".ljust(3200)


def fields(size, types, values, order, *, index=0, first=1):
    block = bytearray(size)
    for byte, value in values.items():
        if isinstance(value, bytes):
            block[byte - first : byte - first + len(value)] = value
        else:
            value = value[index] if isinstance(value, list) else value
            struct.pack_into(order + types.get(byte, "h"), block, byte - first, value)
    return bytes(block)


def written(
    path, samples=TRACES, trace=LINE, binary=None, *, order=">", dtype="f4", texts=(), extensions=(), trailers=()
):
    """A file of these samples, a trace a row. Header fields by their byte: one value, or one for each trace."""
    heads = {115: [len(row) for row in samples], 117: 4000, **trace}
    numbers = {3217: 4000, 3221: len(samples[0]), 3225: 5, 3501: 1, 3505: len(texts), **(binary or {})}
    parts = [b" " * 3200, fields(400, BINARY_TYPES, numbers, order, first=3201)]
    parts += [text if isinstance(text, bytes) else text.encode() for text in texts]
    for index, row in enumerate(samples):
        parts.append(fields(240, TRACE_TYPES, heads, order, index=index))
        parts += [fields(240, EXTENSION_TYPES, values, order, index=index) for values in extensions]
        parts.append(np.asarray(row).astype(order + dtype).tobytes())
    path.write_bytes(b"".join([*parts, *(text.encode() for text in trailers)]))
    return path


def of_segyio(path, *, sample_format=5, traces=TRACES):
    """By segyio, two shots of 20 receivers along x, coordinates in decimeters, elevations in centimeters, 4 ms."""
    spec = segyio.spec()
    spec.format, spec.samples, spec.tracecount = sample_format, np.arange(NUM_SAMPLES) * 4.0, NUM_TRACES
    with segyio.create(path, spec) as file:
        file.bin.update({BinField.Interval: 4000, BinField.MeasurementSystem: 1})
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
            }
            file.trace[trace] = traces[trace].astype(file.dtype)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shots.sgy"


def assert_traces(path, expected=TRACES):
    """Both of our readers return these samples."""
    for read in (read_segy(path), read_traces(path)):
        assert read.traces.dtype == torch.float32
        np.testing.assert_array_equal(read.traces.numpy(), expected)


def test_read_segy_returns_segyios_traces_interval_and_positions(path):
    read = read_segy(of_segyio(path))
    np.testing.assert_array_equal(read.traces.numpy(), TRACES)
    assert (read.traces.dtype, read.dt_s) == (torch.float32, 0.004)
    trace = torch.arange(NUM_TRACES, dtype=torch.float64)
    sources = torch.stack([0.5 * (trace >= 20), torch.full_like(trace, 0.009)], dim=1)
    receivers = torch.stack([0.025 * (trace % 20) + 1e-4, 0.0045 + 1e-5 * trace], dim=1)
    torch.testing.assert_close(read.sources_km, sources, rtol=0, atol=1e-12)
    torch.testing.assert_close(read.receivers_km, receivers, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sample_format", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(("order", "endian"), [(">", "big"), ("<", "little")])
def test_read_segy_agrees_with_segyio(path, sample_format, order, endian):
    """Where both can read: samples bit by bit, positions and interval."""
    if sample_format == 1:
        of_segyio(path, sample_format=1)
        words = np.frombuffer(path.read_bytes()[3600:], ">u4").reshape(NUM_TRACES, 60 + NUM_SAMPLES)[:, 60:]
        samples, dtype = words, "u4"
    else:
        dtype = {2: "i4", 3: "i2", 5: "f4", 8: "i1"}[sample_format]
        samples = TRACES if sample_format == 5 else np.round(30 * TRACES)
    written(path, samples, binary={3225: sample_format}, order=order, dtype=dtype)
    read = read_segy(path)
    with segyio.open(path, ignore_geometry=True, endian=endian) as file:
        np.testing.assert_array_equal(read.traces.numpy(), file.trace.raw[:].astype(np.float32))
        np.testing.assert_array_equal(read.receivers_km[:, 0] * 10_000, file.attributes(TraceField.GroupX)[:])
        assert read.dt_s * 1000 == pytest.approx(segyio.tools.dt(file) / 1000, rel=1e-6)


# Layout


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("code", "dtype"),
    [(2, "i4"), (3, "i2"), (5, "f4"), (6, "f8"), (8, "i1"), (9, "i8"), (10, "u4"), (11, "u2"), (12, "u8"), (16, "u1")],
)
def test_samples_of_every_format_are_read_in_either_byte_order(path, order, code, dtype):
    samples = np.arange(NUM_TRACES * 3).reshape(NUM_TRACES, 3)
    samples = samples - 60 if dtype[0] in "if" else samples + 100
    assert_traces(written(path, samples, binary={3225: code}, order=order, dtype=dtype), samples)


@pytest.mark.parametrize("order", "<>")
def test_ibm_floats_are_exact(path, order):
    """Words of the format's definition: the base is 16, so 1/16 to 1 have the exponent 0, which is stored as 64."""
    words = np.array([[0xC276A000, 0x41100000, 0x40800000, 0x00000000, 0x42640000, 0x3F100000, 0x7F000000]], np.uint32)
    trace = {73: 100}
    assert_traces(
        written(path, words, trace, {3225: 1}, order=order, dtype="u4"), [[-118.625, 1, 0.5, 0, 100, 1 / 256, 0]]
    )


def test_ibm_floats_of_segyio_are_read_to_their_precision(path):
    """24 bits of mantissa, of which the base of 16 may leave 21."""
    np.testing.assert_allclose(read_segy(of_segyio(path, sample_format=1)).traces.numpy(), TRACES, rtol=2**-20)


@pytest.mark.parametrize("order", "<>")
def test_byte_order_follows_its_constant(path, order):
    assert_traces(written(path, binary={3501: 2, 3297: 0x01020304}, order=order))


@pytest.mark.parametrize("count", [1, 2])
def test_extended_text_headers_are_skipped(path, count):
    assert_traces(written(path, texts=["C 1 MORE".ljust(3200)] * count))


@pytest.mark.parametrize("code", ["ascii", "cp037"])
def test_extended_text_headers_of_unknown_number_end_where_they_say(path, code):
    texts = [text.ljust(3200).encode(code) for text in ("((SEG: Location Data ver 1.0))", "((SEG: EndText))")]
    assert_traces(written(path, texts=texts, binary={3505: -1}))


def test_first_trace_offset_overrides_the_text_headers(path):
    assert_traces(written(path, texts=[END_TEXT, END_TEXT], binary={3501: 2, 3505: 1, 3521: 3600 + 2 * 3200}))


@pytest.mark.parametrize("count", [2, -1])
def test_trailers_are_left_out(path, count):
    trailers = ["((SEG: User Data ver 1.0))".ljust(3200)] * 2
    assert_traces(written(path, trailers=trailers, binary={3501: 2, 3529: count}))


def test_trace_count_ends_the_data(path):
    assert_traces(written(path, binary={3501: 2, 3513: 7}), TRACES[:7])
    assert_traces(written(path, TRACES, LINE | {115: [25, 0] * 20}, {3501: 2, 3513: 7}), TRACES[:7])


def test_revision_2_fields_are_not_read_in_older_files(path):
    vendors = {3269: 77, 3273: 5.0, 3507: 1, 3513: 3, 3521: 99, 3529: 1}
    read = read_segy(written(path, binary=vendors))
    assert (read.traces.shape, read.dt_s) == ((NUM_TRACES, NUM_SAMPLES), 0.004)


def test_additional_trace_headers_are_skipped_unless_they_are_the_standards(path):
    doubles = {97: 12.25, 105: 7.5, 113: [float(k) for k in range(NUM_TRACES)], 121: 7.5}
    depths = {33: -1.0, 41: 2.0, 49: 3.0, 57: 10.0}
    binary = {3501: 2, 3507: 2, 3221: 1}
    heads = LINE | {69: -10, 41: 5, 77: 5, 85: 5, 115: 1}
    named = {233: b"SEG00001", **doubles, **depths, 137: NUM_SAMPLES, 145: 4000.0}
    for label in (b"SEG00001", "SEG00001".encode("cp037")):
        written(path, TRACES, heads, binary, extensions=[named | {233: label}, {}])
        assert_traces(path)
        read = read_segy(path)
        assert read.sources_km[0].tolist() == pytest.approx([0.01225, 0.007])
        assert read.receivers_km[3].tolist() == pytest.approx([0.003, 0.003])
    other = {233: b"MINE0001", 97: 12.25}
    read = read_segy(written(path, TRACES, LINE, binary | {3221: 0}, extensions=[other, {}]))
    assert read.sources_km[0].tolist() == [0.5, 0]
    written(path, TRACES, LINE, binary | {3507: 5, 3221: 0}, extensions=[{233: b"SEG00001", 157: 2}, {}])
    assert_traces(path)


# Samples per trace


@pytest.mark.parametrize(
    ("stated", "in_trace", "flag"),
    [
        pytest.param(0, NUM_SAMPLES, 0, id="not in the binary header"),
        pytest.param(NUM_SAMPLES, 0, 1, id="not in the trace headers"),
        pytest.param(30, NUM_SAMPLES, 0, id="another one in the binary header"),
        pytest.param(30, NUM_SAMPLES, 1, id="another one in the binary header, fixed"),
        pytest.param(NUM_SAMPLES, 30, 0, id="another one in all trace headers"),
        pytest.param(NUM_SAMPLES, [0, NUM_SAMPLES] * 20, 0, id="not in some trace headers"),
    ],
)
def test_sample_count_is_the_one_that_fits_the_file_size(path, stated, in_trace, flag):
    assert_traces(written(path, trace=LINE | {115: in_trace}, binary={3221: stated, 3503: flag}))


def test_sample_count_may_take_32_bits_or_all_of_16(path):
    long = np.tile(np.arange(40_000, dtype=np.float32), (2, 1))
    assert_traces(written(path, long), long)
    assert_traces(written(path, long, LINE | {115: 0}, {3221: 7, 3269: 40_000, 3501: 2}), long)


@pytest.mark.parametrize("lengths", [(61, 59), (75, 45)])
@pytest.mark.parametrize("samples", [TRACES, np.zeros_like(TRACES)], ids=["noise", "zeros"])
@pytest.mark.parametrize("read", [read_segy, read_traces])
def test_traces_of_different_lengths_are_refused_though_their_sum_fits(path, lengths, samples, read):
    rows = [np.resize(samples[k], lengths[k % 2]) for k in range(14)]
    written(path, rows, binary={3221: 60})
    message = f"expected traces of one length, got {min(lengths)} to {max(lengths)} samples"
    with pytest.raises(ValueError, match=rf"shots\.sgy: {message}"):
        read(path)


# Time


@pytest.mark.parametrize(
    ("stated", "in_trace", "dt_s"),
    [(4000, 4000, 0.004), (0, 2000, 0.002), (2000, 0, 0.002), (500, [0, 500] * 20, 0.0005)],
)
def test_interval_is_the_one_that_the_headers_agree_on(path, stated, in_trace, dt_s):
    written(path, trace=LINE | {117: in_trace}, binary={3217: stated})
    assert read_segy(path).dt_s == read_traces(path).dt_s == dt_s


def test_interval_of_revision_2_may_have_a_fraction_or_all_of_16_bits(path):
    written(path, trace=LINE | {117: 1953}, binary={3501: 2, 3217: 1953, 3273: 1953.125})
    assert read_segy(path).dt_s == 0.001953125
    written(path, trace=LINE | {117: 40_000}, binary={3501: 2, 3217: 40_000})
    assert read_segy(path).dt_s == 0.04


@pytest.mark.parametrize(
    ("stated", "in_trace", "got"),
    [
        (4000, 500, r"one sampling interval in .*, got \[500.0, 4000.0\] microseconds"),
        (0, [1000, 2000] * 20, r"one sampling interval in .*, got \[1000.0, 2000.0\] microseconds"),
        (0, 0, "a sampling interval > 0 in the binary or a trace header, got 0"),
        (40_000, 40_000, "a sampling interval > 0, below 32768 microseconds before revision 2, got 40000"),
    ],
)
@pytest.mark.parametrize("read", [read_segy, read_traces])
def test_intervals_that_disagree_or_are_missing_are_refused(path, stated, in_trace, got, read):
    written(path, trace=LINE | {117: in_trace}, binary={3217: stated})
    with pytest.raises(ValueError, match=rf"shots\.sgy: expected {got}"):
        read(path)


@pytest.mark.parametrize(
    ("delay", "scalar", "t0_s"), [(100, 0, 0.1), (-50, 1, -0.05), (5, 1000, 5), (125, -100, 0.00125), (0, 77, 0)]
)
def test_delay_is_the_time_of_the_first_sample(path, delay, scalar, t0_s):
    read = read_traces(written(path, trace=LINE | {109: delay, 215: scalar}))
    assert read.t0_s == pytest.approx(t0_s, rel=1e-15)
    np.testing.assert_array_equal(read.traces.numpy(), TRACES)


def test_delays_that_differ_align_the_traces_in_time(path):
    """Traces that begin 0, 3 or 6 samples after 20 ms; a dead trace of zeros is ignored."""
    samples, late = np.abs(TRACES) + 1, [3 * (k % 3) for k in range(NUM_TRACES)]
    samples[7] = 0
    delays = [20 + 4 * shift for shift in late]
    delays[7] = 0
    read = read_traces(written(path, samples, LINE | {109: delays}))
    assert (read.t0_s, read.traces.shape) == (0.02, (NUM_TRACES, NUM_SAMPLES + 6))
    for k in set(range(NUM_TRACES)) - {7}:
        expected = np.zeros(NUM_SAMPLES + 6)
        expected[late[k] : late[k] + NUM_SAMPLES] = samples[k]
        np.testing.assert_array_equal(read.traces[k].numpy(), expected.astype(np.float32))
    assert not read.traces[7].any()


# Positions


@pytest.mark.parametrize("scalar", [1, 10, 100, 1000, 10_000])
def test_scalars_multiply_or_if_negative_divide(path, scalar):
    for sign in (1, -1):
        factor = float(scalar) ** sign
        read = read_segy(written(path, trace={71: sign * scalar, 73: 30, 81: 20, 69: sign * scalar, 41: -1, 49: 1}))
        assert read.sources_km[5].tolist() == pytest.approx([0.03 * factor, 0.001 * factor])
        assert read.receivers_km[5].tolist() == pytest.approx([0.02 * factor, 0.001 * factor])
    assert read_segy(written(path, trace={73: 30, 49: 1})).sources_km[0].tolist() == [0.03, 0.001]


def test_positions_equal_under_two_scalars_are_one(path):
    """12.3 is 123 / 10 and 1230 / 100, which 123 * .1 and 1230 * .01 need not be."""
    for tenth in range(1, 300):
        trace = {71: [-10, -100] * 20, 77: [tenth, 10 * tenth] * 20, 85: [tenth, 10 * tenth] * 20}
        written(path, TRACES[:2, :1], trace)
        assert len(read_segy(path).traces) == 2


def test_distance_with_an_invalid_scalar_is_unknown(path):
    written(path, trace=LINE | {71: 82})
    with pytest.raises(ValueError, match=r"shots\.sgy: expected 0, .* as coordinate scalar, got \[82\]"):
        read_segy(path)
    with pytest.warns(UserWarning, match=r"shots\.sgy: .* as coordinate scalar, got \[82\]; distance_km is NaN"):
        read = read_traces(path)
    np.testing.assert_array_equal(read.traces.numpy(), TRACES)
    assert read.distance_km.isnan().all()


def test_scalars_matter_only_for_nonzero_values(path):
    assert_traces(written(path, trace={71: [82] * 39 + [1], 73: [0] * 39 + [5], 69: 82, 215: 82}))


@pytest.mark.parametrize(
    ("trace", "got"),
    [
        ({73: 0, 81: [1_500_000] * 39 + [0]}, "positions at most 1000 km apart, got 1500 km"),
        ({73: 5, 85: [-2_000_000] * 39 + [0]}, "positions at most 1000 km apart, got 2000 km"),
        ({89: 7, 73: 5}, r"one unit of coordinates: 0 or 1, 2, 3 or 4, got \[7\]"),
        ({89: [1, 3] * 20, 73: 5}, r"one unit of coordinates: 0 or 1, 2, 3 or 4, got \[1, 3\]"),
        ({89: 3, 73: 361}, "longitudes and latitudes, got 361 degrees"),
    ],
)
def test_distance_with_invalid_positions_is_unknown(path, trace, got):
    written(path, trace=trace)
    with pytest.raises(ValueError, match=r"shots\.sgy: expected "):
        read_segy(path)
    with pytest.warns(UserWarning, match=rf"shots\.sgy: expected {got}; distance_km is NaN"):
        read = read_traces(path)
    assert read.distance_km.isnan().all()


def test_distance_of_a_shot_record_is_from_its_source_with_a_sign(path):
    """Source at (300, 40), receivers at y 40 from x = 0: the first 12 lie behind."""
    read = read_traces(written(path, trace={73: 300, 77: 40, 81: STATION, 85: 40}))
    assert read.distance_km.tolist() == pytest.approx([(station - 300) / 1000 for station in STATION])


def test_distance_is_across_the_line_too(path):
    """Receivers on a line 650 m beside the source."""
    read = read_traces(written(path, trace={73: 100, 77: 2000, 81: [100 + 4 * s for s in STATION], 85: 2650}))
    assert read.distance_km.tolist() == pytest.approx([np.hypot(0.004 * s, 0.65) for s in STATION])


def test_distance_of_receiver_and_multi_shot_records_is_from_the_source(path):
    read = read_traces(written(path, trace={73: STATION, 81: 500}))
    assert read.distance_km.tolist() == pytest.approx([(500 - station) / 1000 for station in STATION])
    rolled = {73: [100 * (k // 20) for k in range(40)], 81: [100 * (k // 20) + 25 * (k % 20 - 5) for k in range(40)]}
    read = read_traces(written(path, trace=rolled))
    assert read.distance_km.tolist() == pytest.approx([0.025 * (k % 20 - 5) for k in range(40)])


@pytest.mark.parametrize("group", [(81, 85), (73, 77), (181, 185)], ids=["groups", "sources", "CDPs"])
def test_distance_of_a_section_is_the_arc_length_along_it(path, group):
    """Up and then to the right, in projected coordinates: steps of 25 m."""
    x = [500_000 + 25 * max(k - 20, 0) for k in range(40)]
    y = [4_000_000 + 25 * min(k, 20) for k in range(40)]
    read = read_traces(written(path, trace=dict(zip(group, (x, y), strict=True))))
    assert read.distance_km.tolist() == pytest.approx([0.025 * k for k in range(40)], abs=1e-12)


def test_distance_along_a_volume_may_be_longer_than_a_survey_is_wide(path):
    read = read_traces(written(path, trace={181: [0, 90_000] * 20}))
    assert read.distance_km[-1].item() == pytest.approx(39 * 90)


def test_distance_of_stacked_traces_is_the_arc_length_along_the_cdps(path):
    """Though sources, groups and offsets of the last traces that were stacked are left in the headers."""
    left = {73: 10, 81: STATION, 37: STATION, 181: [2 * s for s in STATION]}
    read = read_traces(written(path, trace=left, binary={3229: 4}))
    assert read.distance_km.tolist() == pytest.approx([0.002 * s for s in STATION])


def test_distance_without_coordinates_is_the_offset_or_unknown(path):
    read = read_traces(written(path, trace={37: [-s for s in STATION]}))
    assert read.distance_km.tolist() == pytest.approx([-0.001 * s for s in STATION])
    read = read_traces(written(path, trace={37: 1}))
    assert read.distance_km.isnan().all()


def test_distance_takes_a_source_at_the_origin_of_a_local_grid(path):
    read = read_traces(written(path, trace={81: [1000 + s for s in STATION]}))
    assert read.distance_km.tolist() == pytest.approx([1 + 0.001 * s for s in STATION])


def test_distance_leaves_out_dead_traces_without_a_position(path):
    x, y = [500_000 + s for s in STATION], [4_000_000] * 40
    x[3], y[3], kinds = 0, 0, [1] * 40
    kinds[3] = 2
    for trace in ({181: x, 185: y}, {73: 499_000, 77: 4_000_000, 81: x, 85: y}):
        read = read_traces(written(path, trace=trace | {29: kinds}))
        first = 0 if 181 in trace else 1
        assert read.distance_km[3].isnan()
        assert read.distance_km[[2, 4]].tolist() == pytest.approx([first + 0.05, first + 0.1])


def test_distance_in_feet_is_converted(path):
    read = read_traces(written(path, trace={73: 100, 81: [100 + s for s in STATION]}, binary={3255: 2}))
    assert read.distance_km.tolist() == pytest.approx([0.0003048 * s for s in STATION])


@pytest.mark.parametrize(
    ("units", "scalar", "per_degree", "latitude"),
    [(2, -10, 36_000, 60), (3, -10_000, 10_000, 60), (4, -100, None, 60)],
    ids=["seconds", "degrees", "DMS"],
)
def test_distance_in_degrees_is_on_a_sphere(path, units, scalar, per_degree, latitude):
    """At 60 degrees north a degree of longitude is half of one of latitude. DMS: 10 degrees and 2 minutes a trace."""
    if units == 4:
        x, y = [-100 * (100_000 + 200 * k) for k in range(20)], 100 * 600_000
        step = 2 / 60
    else:
        step = 0.01
        x, y = [round(-per_degree * (10 + step * k)) for k in range(20)], latitude * per_degree
    read = read_traces(written(path, TRACES[:20], {89: units, 71: scalar, 181: x, 185: y}))
    km = np.pi / 180 * 6371 * step / 2
    assert read.distance_km.tolist() == pytest.approx([km * k for k in range(20)], rel=1e-5, abs=1e-9)


def test_trace_kinds_are_the_standards_codes_and_mark_live_traces(path):
    kinds = [0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 17, 18, 22, 41, -1] + [1] * 25
    read = read_traces(written(path, trace=LINE | {29: kinds}))
    assert read.kinds.tolist() == kinds
    live = [code in (0, 1, 11, 14, 17) for code in kinds]
    assert read.live.tolist() == live
    np.testing.assert_array_equal(read.traces[read.live].numpy(), TRACES[live])


# What is refused


MIXED = [1] * (NUM_TRACES - 1)
RECORD = {
    "delay": ({109: 100}, {}, r"a delay recording time of 0 ms in every trace .*, got \[100\]"),
    "one negative delay": ({109: [*MIXED[1:], 1, -7]}, {}, r"a delay .* of 0 ms .*, got \[-7, 1\]"),
    "dead trace": ({29: [*MIXED, 2]}, {}, r"seismic traces of one kind, code 0, 1 or 11 to 17 .*, got codes \[1, 2\]"),
    "auxiliary traces": ({29: 9}, {}, r"seismic traces .*, got codes \[9\]"),
    "components": ({29: [12, 14] * 20}, {}, r"seismic traces of one kind.*, got codes \[12, 14\]"),
    "feet": ({}, {3255: 2}, r"metres, measurement system 1 or none .*, got 2 \(2 is feet\)"),
    "seconds of arc": ({89: 2}, {}, r"coordinates as lengths, units 1 or none .*, got units \[2\]"),
    "no positions": ({73: 0, 81: 0}, {}, "source and group coordinates .*, got 0 in every trace"),
    "no sources": ({73: 0, 71: 1, 81: 500_000}, {}, "source and group coordinates .*, got 0 in every trace"),
    "a map": ({85: [*MIXED, 51]}, {}, "one Y of all sources and groups, a line along x .*, got 3, from 0 to 5.1 m"),
    "across": ({77: 20_000, 85: 26_500}, {}, "one Y of all sources and groups.*, got 2, from 2000 to 2650 m"),
}


@pytest.mark.parametrize(("trace", "binary", "message"), RECORD.values(), ids=RECORD)
def test_read_segy_refuses_traces_that_are_no_2d_shot_record(path, trace, binary, message):
    written(path, trace=LINE | trace, binary=binary)
    with pytest.raises(ValueError, match=rf"shots\.sgy: expected {message}") as refused:
        read_segy(path)
    assert "(read_traces may take others), got" in str(refused.value)
    read = read_traces(path)
    places = slice(0, NUM_SAMPLES) if read.traces.shape[1] == NUM_SAMPLES else slice(2, None)
    np.testing.assert_array_equal(read.traces[:39, places].numpy(), TRACES[:39])


def test_depths_that_are_invalid_are_refused(path):
    with pytest.raises(ValueError, match=r"shots\.sgy: expected depths within 12 km of the datum, got 1e\+05 km"):
        read_segy(written(path, trace=LINE | {41: 100_000_000}))
    with pytest.raises(ValueError, match=r"shots\.sgy: expected 0, .* as elevation scalar, got \[3\]"):
        read_segy(written(path, trace=LINE | {41: 1, 69: 3}))


def bytes_of(content):
    return lambda path: path.write_bytes(content)


def file_of(*args, **changes):
    return lambda path: written(path, *args, **changes)


def cut(path):
    path.write_bytes(written(path).read_bytes()[:-60])


def npy(path):
    with path.open("wb") as file:
        np.save(file, np.zeros((100, 100)))


def with_nan():
    traces = TRACES.copy()
    traces[3, 4] = np.nan
    return traces


FORMATS = "expected sample format 1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 16, big or little endian, got"
CASES = {
    "missing": (lambda path: None, "expected a SEG-Y file, got no file of that name", FileNotFoundError),
    "empty": (bytes_of(b""), "expected a SEG-Y file: 3600 bytes of headers and at least one trace, got 0 bytes"),
    "headers only": (bytes_of(b"\0" * 3600), "at least one trace, got 3600 bytes"),
    "zeros": (bytes_of(b"\0" * 9000), f"{FORMATS} 0"),
    "text": (bytes_of(b"time, amplitude\n" * 500), f"{FORMATS} 28780"),
    "npy": (npy, f"{FORMATS} 0"),
    "truncated": (
        cut,
        "expected a complete SEG-Y file, got 13540 bytes of traces of 25 samples by the first .*, 25 by",
    ),
    "another sample size": (file_of(binary={3225: 3}), "expected a complete SEG-Y file, got 13600 bytes"),
    "no samples": (file_of(trace=LINE | {115: 0}, binary={3221: 0}), "expected a number of samples > 0 in .*, got 0"),
    "NaN": (file_of(with_nan()), "expected finite samples in float32, got 1 NaN or infinite of 1000"),
    "signaling NaN": (file_of([[0x7FA00000]], {73: 1}, dtype="u4"), "finite samples in float32, got 1 NaN or infinite"),
    "too large": (file_of([[1e200]], {73: 1}, {3225: 6}, dtype="f8"), "finite samples in float32, got 1 NaN or inf"),
    "too small": (file_of([[1e-60]], {73: 1}, {3225: 6}, dtype="f8"), "samples that float32 can carry, got 1 traces"),
    "IBM, too large": (file_of([[0x7F100000]], {73: 1}, {3225: 1}, dtype="u4"), "finite samples in float32, got 1"),
    "format 4": (file_of(binary={3225: 4}), f"{FORMATS} 4"),
    "format 7": (file_of(binary={3225: 7}), f"{FORMATS} 7"),
    "little-endian format 15": (file_of(binary={3225: 15}, order="<"), f"{FORMATS} 15"),
    "pairs of bytes": (file_of(binary={3297: 0x02010403}), "expected big or little endian, got pairs of swapped bytes"),
    "order and format at odds": (file_of(binary={3297: 0x04030201}), f"{FORMATS} 1280"),
    "no end of texts": (
        file_of(texts=["A".ljust(3200)], binary={3505: -1}),
        r"that says \(\(SEG: EndText\)\), got none",
    ),
    "negative texts": (file_of(binary={3505: -2}), "expected a number of extended text headers >= 0, or -1, got -2"),
    "texts to the end": (file_of(binary={3505: 9}), "expected a trace after the headers, got bytes 32400 to 17200"),
    "negative trailers": (file_of(binary={3501: 2, 3529: -2}), "expected a number of trailers >= 0, or -1, got -2"),
    "blocks": (file_of(binary={3501: 2, 3507: 99}), "expected as many additional trace headers as .* for, got 99"),
    "negative blocks": (file_of(binary={3501: 2, 3507: -1}), "expected as many additional trace headers .*, got -1"),
    "fewer traces": (file_of(binary={3501: 2, 3513: 41}), "expected a complete SEG-Y file, got 13600 bytes of traces"),
    "depth": (file_of(trace=LINE | {29: 25}), "expected samples in time, got 40 traces in depth, .* code 25"),
    "weighting": (
        file_of(trace=LINE | {169: [1, 2] * 20}, binary={3225: 3}, dtype="i2"),
        r"expected one trace weighting factor of all integer samples, got \[1, 2\]",
    ),
}


@pytest.mark.parametrize("read", [read_segy, read_traces])
@pytest.mark.parametrize(("make", "message", "kind"), [(*case, ValueError)[:3] for case in CASES.values()], ids=CASES)
def test_read_segy_names_a_wrong_file(path, read, make, message, kind):
    make(path)
    with pytest.raises(kind, match=rf"shots\.sgy: .*{message}"):
        read(path)


@pytest.mark.parametrize(
    ("trace", "got"),
    [
        ({109: [0, 2] * 20}, "delays that differ by whole samples, got 0 to 0.002 s with samples every 0.004 s"),
        (
            {109: [0, 32] * 20, 215: 1000},
            "delays that differ by at most 100 times the traces' length, got 0 to 32 s",
        ),
        ({109: 5, 215: 7}, r"0, .* as time scalar, got \[7\]"),
    ],
)
def test_times_that_are_invalid_are_refused(path, trace, got):
    with pytest.raises(ValueError, match=rf"shots\.sgy: expected {got}"):
        read_traces(written(path, trace=LINE | trace))


def test_distance_with_an_invalid_measurement_system_is_unknown(path):
    written(path, binary={3255: 3})
    with pytest.warns(UserWarning, match="expected measurement system 1, metres, 2, feet, or none, got 3; dist"):
        assert read_traces(path).distance_km.isnan().all()


def test_weighting_of_float_samples_and_amplitude_fields_change_nothing(path):
    """Gain, transduction constant, polarity, static shifts, mutes, lag times, water depths, day and time basis."""
    ignored = {169: [1, 2] * 20, 119: 2, 121: 12, 123: 6, 205: 3, 209: 2, 95: 9, 99: 8, 103: 7, 105: 6, 107: 5}
    ignored |= {111: 4, 113: 100, 61: 11, 65: 12, 157: 2024, 159: 200, 167: 4}
    plain, read = read_segy(written(path)), read_segy(written(path, trace=LINE | ignored, binary={3257: 2, 3511: 1}))
    assert torch.equal(read.traces, plain.traces)
    assert torch.equal(read.receivers_km, plain.receivers_km)
    assert torch.equal(read.sources_km, plain.sources_km)
