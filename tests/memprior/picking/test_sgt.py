"""Files of picks: rows by their columns, matched to traces by place, and named errors for others."""

import re

import pytest
import torch

from memprior.picking import read_sgt

GOOD = """3 # shot/geophone points
#x y
-2.50 606.70
0.00 606.46
5.00 605.46
2 # measurements
#s g t
1 2 0.005067
1 3 0.023665
"""


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "picks.sgt"
        path.write_text(text)
        return path

    return write


def test_read_sgt_tells_places_and_times(file):
    picks = read_sgt(file(GOOD))
    torch.testing.assert_close(picks.places_km, torch.tensor([[-2.5, 0], [-2.5, 5]]) / 1000)
    assert picks.times_s.tolist() == [0.005067, 0.023665]


def test_read_sgt_takes_columns_by_name(file):
    text = GOOD.replace("#s g t", "#err t s g").replace("1 2 0.005067", ".1 0.005067 1 2")
    text = text.replace("1 3 0.023665", ".1 0.023665 1 3")
    assert torch.equal(read_sgt(file(text)).places_km, read_sgt(file(GOOD)).places_km)
    assert torch.equal(read_sgt(file(text)).times_s, read_sgt(file(GOOD)).times_s)


def test_picks_go_to_the_traces_at_their_places(file):
    """Within 1 cm; another source has none, though its receiver has."""
    picks = read_sgt(file(GOOD))
    times = picks.of_traces(torch.tensor([-0.0025, -0.0025, 0.01, -0.0025]), torch.tensor([0.005, 0.000009, 0.0, 0.05]))
    assert times.nan_to_num(-1).tolist() == [0.023665, 0.005067, -1, -1]


def test_picks_that_are_two_of_one_trace_are_refused(file):
    picks = read_sgt(file(GOOD.replace("1 3 0.02", "1 2 0.02")))
    with pytest.raises(ValueError, match="picks: expected at most one of a trace, got 2"):
        picks.of_traces(torch.tensor([-0.0025]), torch.tensor([0.0]))
    with pytest.raises(ValueError, match="receivers_km: expected shape"):
        picks.of_traces(torch.tensor([-0.0025]), torch.tensor([0.0, 1.0]))


BAD = {
    "nothing": ("", "a number of points, got the end of the file"),
    "no number": (GOOD.replace("3 #", "x #"), "a number of points > 0"),
    "no columns": (GOOD.replace("#x y\n", ""), "a comment that names the columns of points: x, got none"),
    "other columns": (GOOD.replace("#s g t", "#s r t"), "the columns of picks: s, g, t, got"),
    "a cut file": (GOOD[: GOOD.index("1 3")], "2 rows of picks, got 1"),
    "no picks": (GOOD[: GOOD.index("2 #")], "a number of picks, got the end of the file"),
    "a short row": (GOOD.replace("1 3 0.023665", "1 3"), "rows of 3 numbers of picks, got"),
    "words": (GOOD.replace("0.023665", "soon"), "rows of 3 numbers of picks, got"),
    "NaN": (GOOD.replace("0.023665", "nan"), "finite numbers of picks"),
    "a point that is none": (GOOD.replace("1 3 ", "1 4 "), "s and g from 1 to 3, got 1 to 4"),
    "point 0": (GOOD.replace("1 3 ", "0 3 "), "s and g from 1 to 3, got 0 to 3"),
    "more lines": (GOOD + "1 1 1\n", "points and picks only, got 1 lines after them"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_read_sgt_refuses_by_name(file, text, message):
    path = file(text)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: expected .*{message}"):
        read_sgt(path)


def test_read_sgt_names_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a file of picks, got no file of that name"):
        read_sgt(tmp_path / "none.sgt")
