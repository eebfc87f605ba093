"""Field gathers from a reader's own copies: files that we write in their layouts, and named errors for others."""

import re

import numpy as np
import pytest
import torch

from memprior.picking import HARDPICKS, HARDPICKS_FOLDS, read_bad_gathers, read_geo_stack, read_hardpicks

RNG = np.random.default_rng(0)
SHOTS = {number: RNG.standard_normal((40, 3)).astype(np.float32) for number in (9, 10, 108)}
PICKS = {9: "Time\n0.00225\n-999.031250\n0.004\n", 108: "Time,Trace\n0.001,1\n0.0055,2\n0,3\n"}


@pytest.fixture
def shots(tmp_path):
    for number, record in SHOTS.items():
        np.save(tmp_path / f"{number}.npy", record)
    for number, text in PICKS.items():
        (tmp_path / f"{number}.txt").write_text(text)
    return tmp_path


def test_read_geo_stack_gives_traces_and_picks_in_the_order_of_numbers(shots):
    """Axes exchanged; seconds to samples of .25 ms; a shot without a file of picks has none."""
    gathers = read_geo_stack(shots)
    assert gathers.shots.tolist() == [9, 10, 108]
    assert gathers.dt_s == 0.00025
    for k, record in enumerate(SHOTS.values()):
        np.testing.assert_array_equal(gathers.traces[k].numpy(), record.T)
    onsets = torch.tensor([[9, torch.nan, 16], [torch.nan] * 3, [4, 22, 0]], dtype=torch.float64)
    torch.testing.assert_close(gathers.onsets, onsets, equal_nan=True)
    assert gathers.live.all()
    torch.testing.assert_close(read_geo_stack(shots, dt_s=0.0005).onsets, onsets / 2, equal_nan=True)


def put(name, content):
    def change(folder):
        file = folder / name
        if content is None:
            file.unlink()
        elif isinstance(content, bytes):
            file.write_bytes(content)
        elif isinstance(content, str):
            file.write_text(content)
        else:
            np.save(file, content)

    return change


BAD_SHOTS = {
    "a truncated shot": (put("9.npy", b"\x93NUMPY\x01\x00v\x00"), "9.npy: expected an array of numbers"),
    "an empty shot": (put("9.npy", b""), "9.npy: expected an array of numbers"),
    "a shot of one axis": (put("9.npy", np.zeros(40)), r"9.npy: expected an array \(nt, H\) of numbers, got \(40,\)"),
    "words": (put("9.npy", np.array([["a", "b"]])), r"9.npy: expected an array \(nt, H\) of numbers"),
    "NaN": (put("9.npy", np.full((40, 3), np.nan)), "9.npy: expected finite samples in float32, got 120 NaN or"),
    "more than float32": (put("9.npy", np.full((40, 3), 1e300)), "9.npy: expected finite samples in float32"),
    "another shape": (put("9.npy", np.zeros((40, 4))), r"expected shots of one shape, got \[\(3, 40\), \(4, 40\)\]"),
    "no number": (put("nine.npy", np.zeros((40, 3))), "nine.npy: expected a name that is the shot's number, got nine"),
    "picks without a shot": (put("9.npy", None), r"expected a shot of every file of picks, got none of \[9\]"),
    "too few picks": (put("9.txt", "Time\n0\n0\n"), "9.txt: expected a header line and 3 picks, got 2"),
    "picks in words": (put("9.txt", "Time\n0\nsoon\n0\n"), "9.txt: expected picks in seconds, got .*'soon'"),
    "picks in ms": (put("9.txt", "Time\n2\n3\n4\n"), "9.txt: expected picks within 40 samples, got one at sample 8000"),
    "picks before 0": (
        put("9.txt", "Time\n0\n-1\n0\n"),
        "9.txt: expected picks within 40 .*, got one at sample -4",
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD_SHOTS.values(), ids=BAD_SHOTS)
def test_read_geo_stack_refuses_by_name(shots, change, message):
    change(shots)
    with pytest.raises(ValueError, match=message):
        read_geo_stack(shots)


def test_read_geo_stack_names_a_folder_that_is_missing_or_holds_no_shot(tmp_path):
    with pytest.raises(FileNotFoundError, match="none: expected a folder of shots, got no folder of that name"):
        read_geo_stack(tmp_path / "none")
    with pytest.raises(ValueError, match=r"expected shots, NUMBER.npy, got none"):
        read_geo_stack(tmp_path)
    with pytest.raises(ValueError, match="dt_s: expected one number, finite and > 0, got 0"):
        read_geo_stack(tmp_path, dt_s=0)


# Rows as stored: receivers of lines 41 and 42, each of two shots, out of order; line 42 of shot 5 has one trace.
ROWS = [(7, 42002), (5, 41001), (5, 41002), (7, 41002), (5, 42001), (7, 41001), (7, 42001), (7, 41003)]
SAMPLES = RNG.standard_normal((8, 20)).astype(np.float32)
SAMPLES[2] = 0
PICKS_MS = [10.0, 0, -1, 3.0, 38.0, 1.0, 7.5, 2.0]


def fields(**changes):
    shots, receivers = np.array(ROWS).T
    whole = {
        "data_array": SAMPLES,
        "SHOT_PEG": shots.astype(np.uint32),
        "SHOTID": shots + 100,
        "REC_PEG": receivers,
        "SAMP_RATE": [2000] * 8,
        "SAMP_NUM": [20] * 8,
        "SPARE1": PICKS_MS,
        "SPARE2": [4.0] * 8,
    } | changes
    return {name: np.asarray(value) for name, value in whole.items() if value is not None}


@pytest.fixture
def hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")

    def write(group="TRACE_DATA/DEFAULT", **changes):
        path = tmp_path / "survey.hdf5"
        with h5py.File(path, "w") as file:
            for name, value in fields(**changes).items():
                file[f"{group}/{name}"] = value if name == "data_array" else value.reshape(-1, 1)
        return path

    return write


def test_read_hardpicks_gathers_a_shot_and_a_receiver_line(hdf5):
    """In the order of shots and of lines, traces as stored; ms to samples of 2 ms; 0 and -1 are no pick."""
    gathers = read_hardpicks(hdf5(), "Brunswick")
    assert gathers.dt_s == 0.002
    assert gathers.shots.tolist() == [5, 5, 7, 7]
    rows = [[1, 2], [4], [3, 5, 7], [0, 6]]
    for k, members in enumerate(rows):
        np.testing.assert_array_equal(gathers.traces[k, : len(members)].numpy(), SAMPLES[members])
        assert not gathers.traces[k, len(members) :].any()
    assert gathers.onsets.nan_to_num(-1).tolist() == [[-1, -1, -1], [19, -1, -1], [1.5, 0.5, 1], [5, 3.75, -1]]
    assert gathers.live.tolist() == [[True, False, False], [True, False, False], [True] * 3, [True, True, False]]


def test_read_hardpicks_takes_the_surveys_own_picks_and_lines(hdf5):
    """Lalor's picks are SPARE2; with four digits of receivers, Halfmile's, 41001 and 42001 are of one line."""
    path = hdf5()
    assert read_hardpicks(path, "Lalor").onsets[3, 0] == 2
    assert read_hardpicks(path, "Halfmile").traces.shape == (2, 5, 20)


def test_read_hardpicks_takes_shotid_where_pegs_are_broken(hdf5):
    assert read_hardpicks(hdf5(SHOT_PEG=[1] * 8), "Sudbury").shots.tolist() == [105, 105, 107, 107]


def test_read_hardpicks_reads_the_gathers_that_are_named(hdf5):
    path = hdf5()
    whole, some = read_hardpicks(path, "Brunswick"), read_hardpicks(path, "Brunswick", gathers=[3, 0])
    assert torch.equal(some.traces, whole.traces[[3, 0], :2])
    with pytest.raises(ValueError, match=r"gathers: expected numbers from 0 to 3, got \[4\]"):
        read_hardpicks(path, "Brunswick", gathers=[0, 4])
    with pytest.raises(ValueError, match=r"within max_bytes = .*4 gathers: .*; name fewer gathers"):
        read_hardpicks(path, "Brunswick", max_bytes=900)


LIST = """Brunswick:
  2:
    ReceiverId: 41003
    ShotId: 7
  9:
    ReceiverId: 42001
    ShotId: 5
Sudbury: {}
"""


def test_bad_gathers_are_left_out_by_shot_and_line(hdf5, tmp_path):
    """Whatever their numbers are in this file."""
    file = tmp_path / "bad.yaml"
    file.write_text(LIST)
    bad = read_bad_gathers(file)
    assert bad == {"Brunswick": ((7, 41003), (5, 42001)), "Sudbury": ()}
    path = hdf5()
    whole, kept = (read_hardpicks(path, "Brunswick", bad_gathers=some) for some in ((), bad["Brunswick"]))
    assert torch.equal(kept.traces, whole.traces[[0, 3], :2])
    with pytest.raises(ValueError, match="gathers: expected at least one that is not bad, got none"):
        read_hardpicks(path, "Brunswick", gathers=[2], bad_gathers=bad["Brunswick"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  2:\n", "expected surveys, gathers, ReceiverId and ShotId, got '  2:'"),
        (LIST.replace("ShotId", "Shot"), "got '    Shot: 7'"),
        (LIST.replace("    ShotId: 7\n", ""), "expected ReceiverId and ShotId of every gather, got fewer in Brunswick"),
    ],
)
def test_read_bad_gathers_refuses_by_name(tmp_path, text, message):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"bad.yaml: .*{message}"):
        read_bad_gathers(file)
    with pytest.raises(FileNotFoundError, match="expected a list of bad gathers, got no file of that name"):
        read_bad_gathers(tmp_path / "none.yaml")


BAD_FILES = {
    "another group": ({"group": "TRACES"}, r"a group TRACE_DATA/DEFAULT, got \['TRACES'\]"),
    "a field": ({"REC_PEG": None, "SPARE1": None}, "fields of TRACE_DATA/DEFAULT, got no REC_PEG, SPARE1"),
    "no traces": ({"data_array": np.zeros((0, 20))}, r"data_array \(rows, nt\), got \(0, 20\)"),
    "a short field": ({"SHOTID": [5] * 7}, r"8 rows in every field, got \{'SHOTID': 7\}"),
    "two intervals": ({"SAMP_RATE": [2000] * 7 + [1000]}, r"one SAMP_RATE of all traces, got \[1000 2000\]"),
    "an interval in ms": ({"SAMP_RATE": [2] * 8}, "SAMP_RATE in microseconds, 1000 or more, got 2"),
    "another length": ({"SAMP_NUM": [21] * 8}, "SAMP_NUM 20, as data_array has, got 21"),
    "picks after the end": ({"SPARE1": [40.0] * 8}, "picks within 20 samples, got one at sample 20"),
    "NaN": ({"data_array": np.full((8, 20), np.nan)}, "finite samples, got 160 NaN or infinite"),
}


@pytest.mark.parametrize(("changes", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_read_hardpicks_refuses_by_name(hdf5, changes, message):
    path = hdf5(**changes)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: expected {message}"):
        read_hardpicks(path, "Brunswick")


def test_read_hardpicks_names_what_is_no_file_of_a_survey(hdf5, tmp_path):
    path = hdf5()
    with pytest.raises(ValueError, match="survey: expected one of Brunswick, Halfmile, Lalor, Sudbury, got 'Kevitsa'"):
        read_hardpicks(path, "Kevitsa")
    with pytest.raises(FileNotFoundError, match="expected an HDF5 file, got no file of that name"):
        read_hardpicks(tmp_path / "none.hdf5", "Lalor")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"survey.hdf5: expected an HDF5 file, got"):
        read_hardpicks(path, "Lalor")


def test_hardpicks_folds_use_each_survey_once():
    for test, (train, validation) in HARDPICKS_FOLDS.items():
        assert sorted([test, validation, *train]) == sorted(HARDPICKS)
    assert sorted(validation for _, validation in HARDPICKS_FOLDS.values()) == sorted(HARDPICKS)
