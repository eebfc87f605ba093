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
    swap = found.swap
    (share,) = (line for line in lines if line.startswith("share of samples nearer to a training model"))
    assert share.split()[-1] == f"{swap.share:.1%}"
    (decides,) = (line for line in lines if "it decides, below 0.05" in line)
    assert decides.split()[-1] == f"{swap.p:.2g}"
    (alone,) = (line for line in lines if "by labels alone" in line and "%" in line and line.startswith("  central"))
    assert alone.split()[-3:] == [f"{swap.null_interval[0]:.1%}", "to", f"{swap.null_interval[1]:.1%}"]
    assert max(map(len, lines)) <= 100


def test_report_text_says_when_the_test_applies(files, capsys):
    call(files, "fresh", "train", "held")
    words = " ".join(capsys.readouterr().out.split())
    assert "holds for samples of any distribution, dependent or narrow as those of a posterior" in words
    assert "It cannot see copies of one model" in words


@pytest.mark.parametrize("absent", [(), ("-",)])
def test_report_works_without_held_out_draws(absent, files, capsys):
    assert call(files, "copies", "train", *absent) == 0
    words = capsys.readouterr().out
    assert words.split()[:2] == ["samples", "left-out"]
    assert "No held-out models were given, so no exact test is possible" in words
    assert "swap test" not in words
    assert "without a p-value" in " ".join(words.split("\n\n")[-1].split())
    (repeats,) = (line for line in words.splitlines() if line.startswith("repeats of a training example"))
    assert repeats.split()[-2:] == ["30", "0"]


def test_report_json_holds_every_number(files):
    assert call(files, "copies", "train", "held", "--json", files / "found.json") == 0
    read = json.loads((files / "found.json").read_text())
    found = report(flat(files, "copies"), flat(files, "train"), flat(files, "held"))
    assert (read["finding"], read["verdict"], read["p_copying"]) == (found.finding, found.verdict, found.p_copying)
    swap = found.swap
    assert read["swap"]["p"] == swap.p == read["p_copying"]
    assert (read["swap"]["share"], read["swap"]["log_ratio"]) == (swap.share, swap.log_ratio)
    assert read["swap"]["share_interval"] == list(swap.share_interval)
    assert read["swap"]["num_groups"] == [40, 50]
    assert (read["k"], read["d"]) == (40, 6)
    assert read["sets"]["held_out"]["r"] == found.held_out_ratios.tolist()
    assert read["sets"]["samples"]["nearest"] == list(range(30))


def test_report_json_has_no_test_without_held_out_models(files):
    assert call(files, "fresh", "train", "--json", files / "found.json") == 0
    read = json.loads((files / "found.json").read_text())
    assert (read["swap"], read["p_copying"]) == (None, None)


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
    why = "to exchange with held_out: fewer have too few labelings, got 1".replace("held_out", "HELD_OUT")
    assert_refused(call(files, "fresh", "few", "held"), capsys, f"TRAIN: expected at least 5 distinct examples {why}")
    assert_refused(
        call(files, "fresh", "train", "few"), capsys, "HELD_OUT: expected at least 5 models to exchange with"
    )
    assert_refused(call(files, "fresh", "few"), capsys, "TRAIN: expected at least 5 distinct examples")
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


def test_report_announces_a_long_computation_and_says_how_far_it_is(files, capsys, monkeypatch):
    monkeypatch.setattr("memprior.report.LONG", 6 * 40 * (30 + 50) - 1)
    assert call(files, "fresh", "train", "held") == 0
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == "python -m memprior.report: 2e+04 products to take, a minute or two for 1e12 of them"
    assert "python -m memprior.report: nearest of 40 models to 30 of 30 points" in rest
    assert rest.count("python -m memprior.report: 9999 of 9999 labelings") == 1
    monkeypatch.undo()
    assert call(files, "fresh", "train", "held") == 0
    assert capsys.readouterr().err == ""


def test_report_refuses_two_arrays_in_one_file(files, capsys):
    """numpy.load would return the first of them without a word."""
    with open(files / "two.npy", "wb") as file:
        for name in ("train", "held"):
            np.save(file, np.load(files / f"{name}.npy"))
    assert_refused(call(files, "two", "train", "held"), capsys, "SAMPLES: ", "two.npy holds more than one array")
    np.save(files / "stacked.npy", np.stack([np.load(files / "train.npy")] * 2))
    assert_refused(call(files, "stacked", "train", "held"), capsys, "SAMPLES: expected points of shape (2, 3)")


GROUPS = np.arange(40) // 4, 10 + np.arange(50) // 5


@pytest.mark.parametrize("words", [False, True])
def test_report_exchanges_groups_of_files(words, files):
    for name, labels in zip(("one", "other"), GROUPS, strict=True):
        np.save(files / f"{name}.npy", np.array([f"survey {i}" for i in labels]) if words else labels)
    more = "--groups", "one", "other", "--json", files / "found.json"
    assert call(files, "fresh", "train", "held", *more) == 0
    read = json.loads((files / "found.json").read_text())
    groups = tuple(torch.from_numpy(labels) for labels in GROUPS)
    found = report(flat(files, "fresh"), flat(files, "train"), flat(files, "held"), groups=groups)
    assert (read["swap"]["num_groups"], read["swap"]["p"]) == ([10, 10], found.swap.p)


def test_report_refuses_groups_that_do_not_fit(files, capsys):
    np.save(files / "one.npy", GROUPS[0])
    np.save(files / "other.npy", GROUPS[1])
    np.save(files / "words.npy", GROUPS[1].astype(str))
    np.save(files / "few.npy", GROUPS[1] // 20)
    given = "fresh", "train", "held", "--groups"
    assert_refused(call(files, "fresh", "train", *given[3:], "one", "other"), capsys, "--groups: expected HELD_OUT")
    assert_refused(
        call(files, *given, "one", "held"), capsys, "groups of HELD_OUT: expected whole numbers or words (n,)"
    )
    assert_refused(call(files, *given, "one", "words"), capsys, "groups: expected whole numbers on both sides or words")
    assert_refused(call(files, *given, "one", "no.npy"), capsys, "groups of HELD_OUT: there is no file")
    assert_refused(call(files, *given, "other", "one"), capsys, "groups: expected a label for each of the 40 models")
    assert_refused(call(files, *given, "one", "few"), capsys, "groups: expected each on one side, got [0] on both")
    np.save(files / "few.npy", 100 + np.arange(50) // 20)
    assert_refused(
        call(files, *given, "one", "few"), capsys, "HELD_OUT: expected at least 5 groups: fewer have too few"
    )


def images(seed=0):
    """Training and held-out pictures (100, 4, 4) as bytes, and fresh draws: smooth, of one distribution."""
    rng = np.random.default_rng(seed)
    field = rng.standard_normal((300, 4, 4)).cumsum(1).cumsum(2)
    return np.split(np.clip(127.5 + 25 * field, 0, 255), 3)


def posterior(fresh):
    """Around one fresh draw, a third as wide."""
    return fresh[:1] + (fresh - fresh.mean(0)) / 3


CASES = {
    "copies": (lambda train, fresh: train + 0.5 * np.sign(fresh - 127), "copies", "Copies: 100% of the samples"),
    "copies in other axes": (lambda train, fresh: train.swapaxes(1, 2), "reordered", "100 of 100 samples hold the"),
    "copies in other units": (lambda train, fresh: train / 127.5 - 1, "rescaled", "100 of 100 samples are a training"),
    "shrunk by 10 %": (lambda train, fresh: 0.9 * (fresh - 127.5) + 127.5, "none", "No sign of copying. Swap test: p"),
    "posterior of an unseen truth": (lambda train, fresh: posterior(fresh), "none", "No sign of copying. Swap test: p"),
    "copies of one model": (
        lambda train, fresh: np.repeat(train[7:8], 100, axis=0),
        "repeats",
        "Exact repeats: 100 of 100 samples repeat a training example",
    ),
    "5 exact repeats": (
        lambda train, fresh: np.concatenate([train[:5], fresh[5:]]),
        "repeats",
        "Exact repeats: 5 of 100 samples repeat a training example",
    ),
    "honest": (lambda train, fresh: fresh, "none", "No sign of copying. Swap test: p"),
}


@pytest.mark.parametrize(("change", "finding", "opening"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("rounded", [False, True], ids=["continuous", "whole numbers"])
def test_report_verdict_is_right(change, finding, opening, rounded, tmp_path, capsys):
    train, held, fresh = images()
    if rounded:
        train, held, fresh = (x.round() for x in (train, held, fresh))
    samples = change(train, fresh)
    for name, x in (("samples", samples), ("train", train), ("held", held)):
        np.save(tmp_path / f"{name}.npy", x)
    assert call(tmp_path, "samples", "train", "held", "--json", tmp_path / "found.json") == 0
    read, verdict = json.loads((tmp_path / "found.json").read_text()), capsys.readouterr().out.split("\n\n")[-1]
    assert (read["finding"], " ".join(verdict.split())) == (finding, read["verdict"])
    assert opening in read["verdict"]
    if finding == "none":
        assert read["p_copying"] >= 0.05


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
