"""SEG-2 files: what a writer of our own puts in comes out, in both byte orders and five formats; others are refused."""

import math
import re
import struct
import warnings

import numpy as np
import pytest
import torch

from companion import datasets
from memprior.picking import read_sgt
from memprior.waves import read_seg2

CODES = {1: "i2", 2: "i4", 3: None, 4: "f4", 5: "f8"}
every_code = pytest.mark.parametrize("code", CODES)
every_order = pytest.mark.parametrize("order", "<>")


def packed(samples):
    """Format 3: words of 20-bit floats. Each sample is m 2^e, m of 16 bits in one's complement, by the least e."""
    words = []
    for four in np.asarray(samples, dtype=np.int64).reshape(-1, 4):
        exponents = [next(e for e in range(16) if abs(v) >> e < 2**15) for v in four]
        mantissas = [abs(v) >> e for v, e in zip(four, exponents, strict=True)]
        words.append(sum(e << 4 * k for k, e in enumerate(exponents)))
        words += [m if v >= 0 else 0xFFFF - m for m, v in zip(mantissas, four, strict=True)]
    return words


def strings(order, header, end, line=b"\n"):
    said = b""
    for keyword, value in header.items():
        text = f"{keyword} {value}".encode("latin-1") + end
        said += struct.pack(f"{order}H", len(text) + 2) + text
    return said + struct.pack(f"{order}H", 0)


HEADER = {"UNITS": "METERS", "NOTE": "by hand"}
TRACE_HEADERS = [
    {
        "SAMPLE_INTERVAL": "0.00025",
        "DELAY": "-0.010",
        "SOURCE_LOCATION": "-2.50",
        "RECEIVER_LOCATION": f"{5 * k}.0 1.5 -3",
        "DESCALING_FACTOR": f"{k + 1}.5E-004",
        "STACK": "5",
    }
    for k in range(3)
]


def written(
    traces,
    *,
    order="<",
    code=4,
    end=b"\0",
    header=HEADER,
    trace_headers=TRACE_HEADERS,
    revision=1,
    padding=8,
):
    """Bytes of a SEG-2 file."""
    blocks = []
    for samples, own in zip(traces, trace_headers, strict=True):
        said = strings(order, own, end)
        data = np.array(packed(samples) if code == 3 else samples, dtype=order + (CODES[code] or "u2")).tobytes()
        head = struct.pack(f"{order}HHIIB", 0x4422, 32 + len(said), len(data), len(samples), code)
        blocks.append(head.ljust(32, b"\0") + said + data)
    said = strings(order, header, end)
    table = 4 * len(blocks) + padding
    begin = 32 + table + len(said)
    pointers = [begin + sum(map(len, blocks[:k])) for k in range(len(blocks))]
    head = struct.pack(
        f"{order}HHHHBBBBBB", 0x3A55, revision, table, len(blocks), len(end), *end.ljust(2, b"\0"), 1, 10, 0
    )
    places = struct.pack(f"{order}{len(blocks)}I", *pointers)
    return head.ljust(32, b"\0") + places.ljust(table, b"\0") + said + b"".join(blocks)


def samples_of(code, num=3, length=8):
    rng = np.random.default_rng(code)
    if code == 3:
        return rng.integers(-(2**15) + 1, 2**15, (num, length)) << rng.integers(0, 15, (num, length))
    if code in (1, 2):
        limit = 2 ** (15 if code == 1 else 24)
        return rng.integers(-limit + 1, limit, (num, length))
    return rng.standard_normal((num, length)).astype(np.float32)


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "shot.dat"
        path.write_bytes(content)
        return path

    return write


@every_code
@every_order
def test_read_seg2_gives_back_what_was_written(file, code, order):
    """Bit for bit: integers below 2^24, and packed ones that their mantissas hold, are exact in float32."""
    samples = samples_of(code)
    gather = read_seg2(file(written(samples, code=code, order=order)))
    assert gather.traces.dtype == torch.float32
    np.testing.assert_array_equal(gather.traces.numpy(), samples.astype(np.float32))


@every_order
@pytest.mark.parametrize("end", [b"\0", b"\r\n"])
@pytest.mark.parametrize("revision", [0, 1])
def test_read_seg2_tells_its_headers(file, order, end, revision):
    gather = read_seg2(file(written(samples_of(4), order=order, end=end, revision=revision)))
    assert (gather.dt_s, gather.t0_s) == (0.00025, -0.01)
    assert gather.sources_km.tolist() == [[-0.0025, 0, 0]] * 3
    torch.testing.assert_close(gather.receivers_km, torch.tensor([[5 * k, 1.5, -3] for k in range(3)]) / 1000)
    torch.testing.assert_close(gather.descaling, torch.tensor([1.5e-4, 2.5e-4, 3.5e-4]))
    assert gather.stacks.tolist() == [5, 5, 5]
    assert gather.headers == HEADER
    assert list(gather.trace_headers) == TRACE_HEADERS


def test_read_seg2_says_what_is_not_told(file):
    bare = [{"SAMPLE_INTERVAL": "0.001"}] * 3
    gather = read_seg2(file(written(samples_of(4), header={}, trace_headers=bare)))
    assert (gather.t0_s, gather.headers) == (0.0, {})
    assert gather.sources_km.isnan().all()
    assert gather.receivers_km.isnan().all()
    assert gather.descaling.tolist() == [1, 1, 1]
    assert gather.stacks.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("units", "metres"), [("FEET", 0.3048), ("CENTIMETERS", 0.01), ("INCHES", 0.0254), ("NONE", 1)]
)
def test_read_seg2_takes_locations_in_the_files_units(file, units, metres):
    gather = read_seg2(file(written(samples_of(4), header={"UNITS": units})))
    torch.testing.assert_close(gather.receivers_km[:, 0], torch.arange(3) * 5 * metres / 1000)


def test_read_seg2_unpacks_by_hand(file):
    """Exponents 1, 0, 15, 2 in the lowest bits first; mantissas 3, -5 as ~5, 1, -0 as ~0."""
    content = bytearray(written(np.zeros((1, 4), int), code=3, trace_headers=TRACE_HEADERS[:1]))
    content[-10:] = struct.pack("<5H", 1 | 0 << 4 | 15 << 8 | 2 << 12, 3, 0xFFFF - 5, 1, 0xFFFF)
    assert read_seg2(file(bytes(content))).traces.tolist() == [[6.0, -5.0, 32768.0, 0.0]]


def test_read_seg2_rounds_integers_and_floats_that_float32_does_not_hold(file):
    gather = read_seg2(file(written(np.full((3, 2), 2**24 + 1), code=2)))
    assert gather.traces.unique().tolist() == [2.0**24]
    gather = read_seg2(file(written(np.full((3, 2), 0.1), code=5)))
    assert gather.traces.unique().tolist() == [float(np.float32(0.1))]


def test_read_seg2_finds_traces_in_the_order_of_the_pointers(file):
    """Wherever they lie: the table names the second block first."""
    samples = samples_of(4)
    content = bytearray(written(samples))
    first, second = struct.unpack_from("<2I", content, 32)
    struct.pack_into("<2I", content, 32, second, first)
    np.testing.assert_array_equal(read_seg2(file(bytes(content))).traces.numpy(), samples[[1, 0, 2]])


GOOD = written(samples_of(4))
FIRST = struct.unpack_from("<I", GOOD, 32)[0]


def changed(at, kind, value, content=GOOD):
    content = bytearray(content)
    struct.pack_into("<" + kind, content, at, value)
    return bytes(content)


def of_headers(**changes):
    """The file with other strings in its last trace; None leaves one out."""
    last = {key: value for key, value in (TRACE_HEADERS[2] | changes).items() if value is not None}
    return written(samples_of(4), trace_headers=[*TRACE_HEADERS[:2], last])


LONGER = [samples_of(4)[0], samples_of(4)[1], samples_of(4, length=12)[2]]
BAD = {
    "nothing": (b"", "a SEG-2 file, at least 32 bytes, got 0 bytes"),
    "another file": (b"SEGY" + bytes(100), "begins with 55 3a or 3a 55, got 53 45"),
    "a revision": (changed(2, "H", 2), "revision 0 or 1, got 2"),
    "no terminator": (changed(8, "B", 0), "a string terminator of 1 or 2 bytes, got 0"),
    "no trace": (changed(6, "H", 0), "pointers to 1 to 5 traces, got 0"),
    "more traces than pointers": (changed(6, "H", 6), "pointers to 1 to 5 traces, got 6"),
    "a table behind the end": (changed(4, "H", 60000), "60000 bytes of trace pointers"),
    "a pointer behind the end": (changed(40, "I", len(GOOD)), f"traces between bytes 52 and {len(GOOD)}"),
    "a pointer into the table": (changed(40, "I", 33), "traces between bytes 52"),
    "a pointer that is none": (changed(36, "I", FIRST + 2), "0x4422 where trace 2 begins"),
    "a string without an end": (changed(52, "H", 9999), "strings of the file within its"),
    "a string of one byte": (changed(52, "H", 1), "strings of the file within its"),
    "a trace's string": (changed(FIRST + 32, "H", 9999), "strings of trace 1 within its"),
    "a short block": (changed(FIRST + 2, "H", 31), "a block of trace 1 within the file, got 31 bytes"),
    "a long block": (changed(FIRST + 2, "H", 60000), "a block of trace 1 within the file, got 60000 bytes"),
    "no sample": (changed(FIRST + 8, "I", 0), "samples in trace 1, got 0"),
    "more samples than data": (changed(FIRST + 8, "I", 9), "36 bytes of samples in trace 1, got 32"),
    "a format": (changed(FIRST + 12, "B", 6), "sample format 1, 2, 3, 4, 5 in trace 1, got 6"),
    "packed samples not in fours": (
        changed(FIRST + 8, "I", 7, changed(FIRST + 12, "B", 3)),
        "samples in trace 1, in fours, got 7",
    ),
    "a file cut in its samples": (GOOD[:-1], "32 bytes of samples in trace 3, got 31"),
    "a file cut in its strings": (GOOD[: FIRST + 40], "traces between bytes"),
    "traces of two lengths": (written(LONGER), "traces of one length, got 8 to 12 samples"),
    "NaN": (written(np.full((3, 8), math.nan)), "finite samples in float32, got 24 NaN or infinite of 24"),
    "more than float32": (written(np.full((3, 8), 1e300), code=5), "finite samples in float32"),
    "no interval": (of_headers(SAMPLE_INTERVAL=None), "one SAMPLE_INTERVAL of all traces"),
    "another interval": (
        of_headers(SAMPLE_INTERVAL="0.001"),
        r"one SAMPLE_INTERVAL of all traces, got \[0.00025, 0.001\]",
    ),
    "an interval of zero": (
        written(samples_of(4), trace_headers=[{"SAMPLE_INTERVAL": "0"}] * 3),
        "SAMPLE_INTERVAL > 0 in every trace, got 0.0",
    ),
    "another delay": (of_headers(DELAY="0"), r"one DELAY of all traces, got \[-0.01, 0.0\]"),
    "words for numbers": (of_headers(STACK="many"), "numbers in STACK, got 'many'"),
    "infinity": (of_headers(DESCALING_FACTOR="inf"), "finite numbers in DESCALING_FACTOR, got 'inf'"),
    "NaN in a place": (of_headers(SOURCE_LOCATION="nan"), "finite numbers in SOURCE_LOCATION, got 'nan'"),
    "a place of four": (of_headers(SOURCE_LOCATION="1 2 3 4"), "at most three numbers in SOURCE_LOCATION, got 4"),
    "units": (written(samples_of(4), header={"UNITS": "FURLONGS"}), "UNITS METERS, CENTIMETERS, .*, got FURLONGS"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_read_seg2_refuses_by_name(file, content, message):
    path = file(content)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: expected .*{message}"):
        read_seg2(path)


def test_read_seg2_names_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.dat: expected a SEG-2 file, got no file of that name"):
        read_seg2(tmp_path / "none.dat")


def test_read_seg2_of_any_cut_file_is_a_named_error(file):
    """Every length that a broken transfer may leave: no other exception, and no gather."""
    for length in range(0, len(GOOD), 7):
        path = file(GOOD[:length])
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_seg2(path)


@every_code
@every_order
def test_read_seg2_agrees_with_obspy(file, code, order):
    obspy = pytest.importorskip("obspy")
    path = file(
        written(samples_of(code), code=code, order=order, trace_headers=[h | {"DELAY": "0"} for h in TRACE_HEADERS])
    )
    assert_same_as_obspy(obspy, path, read_seg2(path))


@pytest.fixture
def field():
    """14 shots and 327 picks of Guedes et al. (2022), where the reader has them."""
    folder = datasets.folder("first-breaks")
    if folder is None:
        pytest.skip("no field shots: `python -m companion data first-breaks` downloads them")
    return folder


def test_read_seg2_reads_the_field_shots_as_obspy_does(field):
    obspy = pytest.importorskip("obspy")
    shots = sorted(field.glob("*/data/*.dat"))
    assert len(shots) == 14
    for path in shots:
        assert_same_as_obspy(obspy, path, read_seg2(path))


def test_read_seg2_places_the_traces_of_the_field_shots_where_their_picks_are(field):
    counts = []
    for site in ("field_example_01", "field_example_02"):
        picks = read_sgt(field / site / "picks" / f"{site}.sgt")
        gathers = [read_seg2(path) for path in sorted((field / site / "data").iterdir())]
        times = [picks.of_traces(one.sources_km[:, 0], one.receivers_km[:, 0]) for one in gathers]
        found = int(torch.cat(times).isfinite().sum())
        assert found == len(picks.times_s)
        counts.append((len(gathers), sum(len(one.traces) for one in gathers), found))
    assert counts == [(5, 120, 120), (9, 216, 207)]


def assert_same_as_obspy(obspy, path, gather):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that vendors' headers may mean something else
        stream = obspy.read(str(path), format="SEG2")
    np.testing.assert_array_equal(gather.traces.numpy(), np.stack([one.data for one in stream]).astype(np.float32))
    assert {one.stats.delta for one in stream} == {gather.dt_s}
    assert [float(one.stats.seg2.RECEIVER_LOCATION.split()[0]) / 1000 for one in stream] == pytest.approx(
        gather.receivers_km[:, 0].tolist()
    )
    assert [one.stats.calib for one in stream] == gather.descaling.tolist()
