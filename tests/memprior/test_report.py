"""The command line of the memorization report: its text, table, JSON, figure, and errors in one line with status 2."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from memprior.figures.report import BINS, STYLES, ratio_histogram, report_figure, share_curves
from memprior.memorization import report
from memprior.report import load_points, main


@pytest.fixture(autouse=True)
def _no_figure_stays():
    with plt.rc_context():
        yield
        plt.close("all")


@pytest.fixture
def files(tmp_path):
    """Folder with fresh, copies, train, held: (n, 2, 3) arrays, copies and train in single precision."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal((num, 2, 3)) for name, num in (("fresh", 30), ("train", 40), ("held", 50))}
    arrays["train"] = arrays["train"].astype(np.float32)
    arrays["copies"] = arrays["train"][:30]
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return tmp_path


def call(files, *arguments):
    return main([str(files / f"{name}.npy") if name in names(files) else str(name) for name in arguments])


def names(files):
    return {path.stem for path in files.glob("*.npy")}


def flat(files, name):
    return torch.from_numpy(np.load(files / f"{name}.npy").reshape(-1, 6).astype(np.float64))


def test_report_runs_as_a_module_and_ends_with_the_verdict(files):
    paths = [str(files / f"{name}.npy") for name in ("copies", "train", "held")]
    done = subprocess.run([sys.executable, "-m", "memprior.report", *paths], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    verdict = report(flat(files, "copies"), flat(files, "train"), flat(files, "held")).verdict
    assert " ".join(done.stdout.split("\n\n")[-1].split()) == verdict
    assert verdict.startswith("Copies: 100% of the samples")


def test_report_table_is_aligned_and_has_the_reports_numbers(files, capsys):
    assert call(files, "fresh", "train", "held") == 0
    lines = capsys.readouterr().out.splitlines()
    found = report(flat(files, "fresh"), flat(files, "train"), flat(files, "held"))
    sets = (found.samples, found.held_out)
    assert lines[0].split() == ["samples", "held-out"]
    table = lines[: lines.index("")]
    assert len(table) == 9
    assert {len(line) for line in table} == {len(table[0])}

    def last_two(opening):
        (line,) = (line for line in table if line.strip().startswith(opening))
        return line.rsplit(maxsplit=2)[1:]

    assert last_two("number of points") == ["30", "50"]
    assert last_two("share with r < 0.7,") == [f"{near.share_below:.1%}" for near in sets]
    assert last_two("share with d1/d2 < 1/3") == [f"{near.share_copied:.1%}" for near in sets]
    assert last_two("d1, distance") == [f"{float(near.distances.median()):.4g}" for near in sets]
    (ratio,) = (line for line in lines if line.startswith("  ratio r"))
    assert ratio.split()[-2:] == [f"{found.ratio_test.z:.2f}", f"{found.ratio_test.p_copying:.2g}"]
    assert max(map(len, lines)) <= 100


def test_report_text_says_when_the_tests_do_not_apply(files, capsys):
    call(files, "fresh", "train", "held")
    words = " ".join(capsys.readouterr().out.split())
    assert "for samples of a posterior, draws of the prior are the wrong null" in words
    assert "the states of one Markov chain alarm too often" in words


@pytest.mark.parametrize("absent", [(), ("-",)])
def test_report_works_without_held_out_draws(absent, files, capsys):
    assert call(files, "copies", "train", *absent) == 0
    words = capsys.readouterr().out
    assert words.split()[:2] == ["samples", "left-out"]
    assert "No held-out draws were given" in words
    assert "weaker than held-out draws" in " ".join(words.split("\n\n")[-1].split())
    (repeats,) = (line for line in words.splitlines() if line.startswith("repeats of a training example"))
    assert repeats.split()[-2:] == ["30", "0"]


def test_report_json_holds_every_number(files):
    assert call(files, "copies", "train", "held", "--json", files / "found.json") == 0
    read = json.loads((files / "found.json").read_text())
    found = report(flat(files, "copies"), flat(files, "train"), flat(files, "held"))
    assert (read["finding"], read["verdict"], read["p_copying"]) == (found.finding, found.verdict, found.p_copying)
    assert read["tests"]["ratio r"] == {"z": found.ratio_test.z, "p": found.ratio_test.p_copying}
    assert (read["k"], read["d"]) == (40, 6)
    assert read["sets"]["held_out"]["r"] == found.held_out_ratios.tolist()
    assert read["sets"]["samples"]["nearest"] == list(range(30))


def test_report_json_has_null_for_a_z_that_is_not_finite(files):
    far = 100 + np.arange(30.0)[:, None, None] * np.ones((2, 3))
    np.save(files / "far.npy", far)  # no sample is a copy by any count, so that Fisher's p is 1
    call(files, "far", "train", "held", "--json", files / "found.json")
    assert json.loads((files / "found.json").read_text())["tests"]["share with d1/d2 < 1/3"] == {"z": None, "p": 1.0}


@pytest.mark.parametrize("absent", [(), ("held",)])
def test_report_figure_is_written(absent, files):
    assert call(files, "fresh", "train", *absent, "--picture", files / "drawn.png") == 0
    assert plt.imread(files / "drawn.png").shape[1] == 1440  # the article's width at 200 dots an inch


def test_load_points_converts_integers_and_booleans(tmp_path):
    for dtype in ("int16", "uint8", "bool", "float16"):
        np.save(tmp_path / "whole.npy", np.eye(3).astype(dtype))
        assert torch.equal(load_points("TRAIN", str(tmp_path / "whole.npy")), torch.eye(3, dtype=torch.float64))


def hole(value=np.nan):
    array = np.zeros((8, 2, 3))
    array[5, 1, 2] = array[6] = value
    return array


BAD = {
    "one number a point": (np.zeros(6), r"expected shape (n, ...), n points of one or more numbers, got (6,)"),
    "a number": (np.array(1.0), "n points of one or more numbers, got ()"),
    "no points": (np.zeros((0, 6)), "n points of one or more numbers, got (0, 6)"),
    "complex": (np.zeros((8, 6), complex), "expected real numbers, got complex128; stack real and imaginary parts"),
    "words": (np.array([["a", "b"]]), "expected an array of numbers, got dtype <U1"),
    "holes": (hole(), "7 of 48 numbers are NaN or infinite, in 2 of 8 points, first at index (5, 1, 2)"),
    "infinities": (hole(np.inf), "7 of 48 numbers are NaN or infinite, in 2 of 8 points, first at index (5, 1, 2)"),
    "other size": (
        np.zeros((8, 2, 4)),
        "expected points of shape (2, 3), as TRAIN has them, got (2, 4); the axes must",
    ),
    "other axes": (
        np.zeros((8, 3, 2)),
        "expected points of shape (2, 3), as TRAIN has them, got (3, 2); the axes must",
    ),
    "flattened": (np.zeros((8, 6)), "expected points of shape (2, 3), as TRAIN has them, got (6,); the axes must"),
    "few": (np.zeros((4, 2, 3)), "expected at least 5 points, got 4"),
    "structured": (np.zeros(8, [("a", "f8"), ("b", "f8")]), "expected an array of numbers, got dtype"),
    "times": (np.zeros((8, 6), "datetime64[s]"), "expected an array of numbers, got dtype datetime64[s]"),
    "huge": (np.full((8, 2, 3), 1e200), "expected numbers up to some"),
    "beyond 2^53": (np.full((8, 2, 3), 2**53 + 1), "expected whole numbers within 2^53"),
    "long double": (np.full((8, 2, 3), np.longdouble("1e400")), "48 of 48 numbers are NaN or infinite"),
}


def assert_refused(status, capsys, *messages):
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("python -m memprior.report: ")
    assert err.count("\n") == 1
    for message in messages:
        assert message in err


@pytest.mark.parametrize(("array", "message"), BAD.values(), ids=BAD)
def test_report_refuses_a_bad_array_in_one_line_with_status_2(array, message, files, capsys):
    np.save(files / "bad.npy", array)
    assert_refused(call(files, "bad", "train", "held"), capsys, "SAMPLES: ", message)


def test_report_names_arguments_as_the_command_line_does(files, capsys):
    np.save(files / "few.npy", np.zeros((2, 2, 3)))
    assert_refused(call(files, "fresh", "few", "held"), capsys, "TRAIN: expected at least 3 distinct examples, got 1")
    assert_refused(call(files, "fresh", "train", "few"), capsys, "HELD_OUT: expected at least 20 points, got 2")
    assert_refused(call(files, "fresh", "few"), capsys, "distinct examples where there is no HELD_OUT, got 1")
    assert_refused(call(files, "fresh", "train", "train"), capsys, "HELD_OUT: expected draws that are not in TRAIN")


def test_report_refuses_a_file_without_an_array_with_status_2(files, capsys):
    np.save(files / "objects.npy", np.array([[{}]]), allow_pickle=True)
    np.savez(files / "several.npz", np.zeros((8, 6)))
    (files / "text.csv").write_text("1,2\n3,4\n")
    (files / "empty").write_text("")
    (files / "cut").write_bytes((files / "train.npy").read_bytes()[:300])
    cases = {
        "objects.npy": "cannot be read (it holds pickled objects",
        "several.npz": "is not an .npy file",
        "text.csv": "is not an .npy file",
        "empty": "is not an .npy file",
        "cut": "cannot be read (",
        "missing.npy": "there is no file",
        ".": "cannot be read ([Errno 21] Is a directory",
    }
    for name, message in cases.items():
        assert_refused(main([str(files / name), str(files / "train.npy")]), capsys, "SAMPLES: ", message)


def test_report_refuses_an_output_path_that_cannot_be_written(files, capsys):
    assert_refused(call(files, "fresh", "train", "--json", files / "no" / "x.json"), capsys, "there is no folder")
    assert_refused(call(files, "fresh", "train", "--picture", files / "x.docx"), capsys, "x.docx: expected the ending")
    assert_refused(call(files, "fresh", "train", "--json", files), capsys, "that can be written, got a folder")
    assert_refused(call(files, "fresh", "train", "--picture", files / "no" / "x.png"), capsys, "there is no folder")
    assert_refused(call(files, "fresh", "train", "--json", "fresh"), capsys, "one that is read or written already")
    both = "--json", files / "x.png", "--picture", files / "x.png"
    assert_refused(call(files, "fresh", "train", *both), capsys, "one that is read or written already")


def test_report_checks_output_paths_before_reading_arrays(files, capsys):
    assert_refused(call(files, "no.npy", "no.npy", "--picture", files / "no" / "x.png"), capsys, "there is no folder")


def test_report_accepts_a_figure_suffix_in_capitals(files):
    assert call(files, "fresh", "train", "held", "--picture", files / "drawn.PNG") == 0
    assert plt.imread(files / "drawn.PNG", format="png").shape[1] == 1440


def shell(files, command):
    """``command`` in bash, where R is the report on three files, unbuffered."""
    report = " ".join(
        [sys.executable, "-u", "-m", "memprior.report", *(f"{name}.npy" for name in ("fresh", "train", "held"))]
    )
    command = ["bash", "-o", "pipefail", "-c", command.replace("R", report)]
    return subprocess.run(command, cwd=files, capture_output=True, text=True)


def test_report_into_a_closed_pipe_is_no_error(files):
    done = shell(files, "R | true")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_report_on_a_full_disk_is_one_line_with_status_2(files):
    done = shell(files, "R > /dev/full")
    assert done.returncode == 2
    assert done.stderr.startswith("python -m memprior.report: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda array: array.astype(">f8"),
        lambda array: array[:, None],  # an axis of one element
        lambda array: array.astype(np.longdouble),
    ],
)
def test_report_ignores_memory_order_and_axes_of_length_one(change, files):
    def found():
        assert call(files, "copies", "train", "held", "--json", files / "found.json") == 0
        return json.loads((files / "found.json").read_text(), parse_constant=pytest.fail)

    before = found()
    np.save(files / "train.npy", change(np.load(files / "train.npy")))
    assert found() == before


def test_report_verdict_names_exact_repeats_whatever_the_tests_say(files, capsys):
    some = np.load(files / "fresh.npy")
    some[:2] = np.load(files / "train.npy")[:2]
    np.save(files / "some.npy", some.astype(np.float32))
    call(files, "some", "train", "held", "--json", files / "found.json")
    read = json.loads((files / "found.json").read_text())
    assert (read["finding"], read["sets"]["samples"]["repeats"], read["sets"]["held_out"]["repeats"]) == (
        "repeats",
        2,
        0,
    )
    assert read["p_copying"] > 0.05
    assert "2 of 30 samples repeat a training example" in " ".join(capsys.readouterr().out.split("\n\n")[-1].split())


def test_report_announces_a_long_computation_beforehand(files, capsys, monkeypatch):
    monkeypatch.setattr("memprior.report.LONG", 6 * 40 * (30 + 50) - 1)
    assert call(files, "fresh", "train", "held") == 0
    assert (
        capsys.readouterr().err
        == "python -m memprior.report: 2e+04 products to take, a minute or two for 1e12 of them\n"
    )


def values(*numbers):
    return dict(zip(STYLES, (torch.tensor(these) for these in numbers), strict=False))


def test_ratio_histogram_fills_its_axis_whatever_the_others_are():
    ax = ratio_histogram(plt.subplot(), values([0.0] * 1000, [0.51, 0.52, 0.53], [1.0, 1 + 1e-12]), 0.7)
    outlines = [patch.get_data() for patch in ax.patches if not patch.get_fill()]
    assert [float(data.values.max()) for data in outlines] == [1, 1, 1]
    assert np.allclose([data.edges[0] for data in outlines], [0, BINS[20], BINS[39]])  # 1 + rounding is not lost
    assert ax.get_lines()[0].get_xdata() == [0.7, 0.7]


def test_share_curves_are_empirical_distribution_functions():
    ax = share_curves(plt.subplot(), values([3.0, 1.0, 9.0, 1.0]), xlabel="", title="", right=4.0)
    x, share = ax.get_lines()[0].get_data()
    assert [float(share[x <= at][-1]) for at in (0.5, 1.0, 2.9, 3.0, 4.0)] == [0, 0.5, 0.5, 0.75, 0.75]
    assert list(x) == sorted(x)


def test_report_figure_has_three_panels_and_one_legend():
    sets = values([0.1, 0.2], [0.7, 0.8], [0.6, 0.9])
    figure = report_figure(sets, sets, sets, title="Copies.")
    assert [ax.get_xlabel() for ax in figure.axes] == ["ratio $r$", "$d_1$, to the nearest example", "$d_1 / d_2$"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(STYLES)
    assert figure.get_suptitle() == "Copies."
    assert to_hex(figure.get_facecolor()) == "#ffffff"


def test_report_figure_contains_a_long_verdict():
    sets = values([0.1, 0.2], [0.7, 0.8], [0.6, 0.9])
    figure = report_figure(sets, sets, sets, title="Wide words make most of the width, they WWW say. " * 20)
    figure.canvas.draw()
    (title,) = (text for text in figure.texts if text.get_text() == figure.get_suptitle())
    box, whole = title.get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0 < box.x1 <= whole.x1
    assert box.y1 <= whole.y1
    below = max(ax.get_tightbbox().y1 for ax in figure.axes)
    assert box.y0 >= below
    assert figure.axes[0].bbox.height > 0.35 * 3.1 * figure.dpi
