"""Running a notebook: whole or not at all, the same twice, and every way to fail named."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from tiny_book import NAME, WORK, companion, environment, write_book, write_notebook, write_settings

from companion import run as runs
from companion.profiles import SettingsError
from companion.results import PROVENANCE
from companion.run import RunError, tell_gpu


@pytest.fixture
def book(tmp_path, monkeypatch):
    root = write_book(tmp_path)
    monkeypatch.setenv("COMPANION_ROOT", str(root))
    return root


def results_of(root, folder=f"_build/run/quick/{NAME}"):
    return (root / folder / "results.json").read_bytes()


def test_run_depends_on_its_seed_alone(book):
    for out, seed in (("a", "0"), ("b", "0"), ("c", "1")):  # not in the sources: new folders beside them
        done = companion(book, "run", NAME, "--seed", seed, "--out", str(book / out), kernel=out == "a")
        assert done.returncode == 0, done.stderr
    assert results_of(book, "a") == results_of(book, "b")
    claims = [json.loads(results_of(book, out))["claims"] for out in ("a", "c")]
    assert claims[0]["tiny.drawn"] != claims[1]["tiny.drawn"]
    provenance = json.loads((book / "a" / "provenance.json").read_text())
    assert {"device", "torch", "seed", "commit", "content_key", "wall_s", "peak_memory_mb"} <= provenance.keys()


def test_run_of_the_same_content_is_kept_and_a_corrupt_one_is_not(book):
    assert companion(book, "run", NAME).returncode == 0
    again = companion(book, "run", NAME)
    assert "unchanged" in again.stdout
    (book / "_build" / "run" / "quick" / NAME / "results.json").write_text('{"name": "tiny", ')
    third = companion(book, "run", NAME)
    assert "unchanged" not in third.stdout
    assert json.loads(results_of(book))["claims"]["tiny.answer"] == 2


@pytest.mark.parametrize(
    ("work", "culprit"),
    [
        (WORK.replace("1.0 + 1.0", "2 * (1.0 + 1.0)"), "claim tiny.answer: expected 2 ± 0.1, got 4"),
        ("1/0", "cell 4 failed, ZeroDivisionError"),
        (
            WORK.replace("tiny.drawn", "tiny.typo"),
            "claim tiny.typo: expected an entry at profile quick in data/claims/tiny.yml",
        ),
        ('record.claim("tiny.answer", 2)', "claim tiny.drawn: never made by tiny at profile quick"),
    ],
    ids=["doubled", "one over zero", "not listed", "never made"],
)
def test_run_of_claims_that_do_not_hold_fails(tmp_path, work, culprit):
    root = write_book(tmp_path, work=work)
    done = companion(root, "run", NAME)
    assert done.returncode == 1
    assert NAME in done.stderr
    assert culprit in done.stderr
    assert not (root / "_build" / "run" / "quick" / NAME / "results.json").exists()
    assert (root / "_build" / "run" / "quick" / f".{NAME}.failed" / f"{NAME}.ipynb").is_file()


def test_run_command_exits_with_its_status(tmp_path):
    root = write_book(tmp_path, parameters="sede = 0")
    command = [sys.executable, "-m", "companion", "run", NAME]
    done = subprocess.run(command, env=environment(root), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{NAME}.ipynb: expected the parameters overrides, profile, seed, got sede" in done.stderr


def test_run_without_finish_fails(tmp_path):
    root = write_book(tmp_path, finish="pass")
    done = companion(root, "run", NAME)
    assert done.returncode == 1
    assert "expected the results of a run that called record.finish()" in done.stderr


def test_run_with_other_settings_only_warns(tmp_path):
    root = write_book(tmp_path, work=WORK.replace("1.0 + 1.0", "4.0"))
    with pytest.warns(UserWarning, match="claim tiny.answer: expected 2 ± 0.1, got 4"):
        done = companion(root, "run", NAME, "--overrides", '{"size": 5}')
    assert done.returncode == 0, done.stderr
    assert "2 claims made, 1 out of bounds" in done.stdout
    label = runs.sweep_label(0, {"size": 5})
    assert json.loads(results_of(root, f"_build/sweep/quick/{NAME}/{label}"))["overrides"] == {"size": 5}
    assert not (root / "_build" / "run").exists()  # where the book looks


def test_run_killed_half_way_leaves_nothing_half_written(tmp_path):
    waits = 'import pathlib, time\nif not pathlib.Path("go").exists(): time.sleep(60)\n' + WORK
    root = write_book(tmp_path, work=waits)
    command = [sys.executable, "-m", "companion", "run", NAME]
    started = subprocess.Popen(command, env=environment(root), start_new_session=True)
    partial = root / "_build" / "run" / "quick" / f".{NAME}.partial" / f"{NAME}.ipynb"
    deadline = time.monotonic() + 60
    while not partial.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    beside = companion(root, "run", NAME)
    assert beside.returncode != 0
    assert "expected to be the only run" in beside.stderr
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    assert partial.exists()
    assert not (root / "_build" / "run" / "quick" / NAME / "results.json").exists()
    (root / "notebooks" / "go").touch()
    done = companion(root, "run", NAME)
    assert done.returncode == 0, done.stderr
    assert json.loads(results_of(root))["claims"]["tiny.answer"] == 2
    assert not partial.parent.exists()


def test_run_started_again_finds_what_it_had_kept(tmp_path):
    stops = """
import pathlib
def compute(folder):
    with pathlib.Path("calls").open("a") as calls:
        return calls.write("x")
done = run.cached("long work", compute)
assert pathlib.Path("go").exists(), "stopped after the long work"
"""
    root = write_book(tmp_path, work=stops + WORK)
    assert companion(root, "run", NAME).returncode == 1
    (kept,) = (root / "_build" / "store").glob("*.safetensors")
    (root / "notebooks" / "go").touch()
    assert companion(root, "run", NAME, "--seed", "1").returncode == 0  # another seed's work is not this one's
    assert companion(root, "run", NAME).returncode == 0
    assert (root / "notebooks" / "calls").read_text() == "xx"
    assert kept.name.startswith(f"{NAME}_long_work-")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "name: expected one of tiny, got 'nowhere'"),
        ([NAME, "--profile", "fast"], "profile: expected one of quick, full, got 'fast'"),
        ([NAME, "--seed", "-1"], "seed: expected an integer >= 0 and <= 4294967295, got -1"),
        ([NAME, "--overrides", '{"siez": 3}'], "overrides: expected keys among size, spread, got 'siez'"),
        ([NAME, "--overrides", '{"size": "3"}'], "overrides: expected size to be an integer, got '3'"),
        ([NAME, "--overrides", "[1]"], "overrides: expected a dict of settings, got [1]"),
        ([NAME, "--overrides", "{size: 3}"], "overrides: expected JSON, got '{size: 3}'"),
    ],
)
def test_run_names_bad_arguments_before_any_work(book, arguments, message):
    done = companion(book, "run", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (book / "_build").exists()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            'profile = "quick"\nsede = 0\noverrides = {}',
            "expected the parameters overrides, profile, seed, got overrides, profile, sede",
        ),
        ('profile = "quick"\nseed = 0', "expected the parameters overrides, profile, seed, got profile, seed"),
    ],
)
def test_run_names_a_misspelled_or_missing_parameter(tmp_path, parameters, message):
    done = companion(write_book(tmp_path, parameters=parameters), "run", NAME)
    assert done.returncode == 1
    assert f"{NAME}.ipynb: {message}" in done.stderr


def test_run_names_a_notebook_without_a_parameters_cell(book):
    file = book / "notebooks" / f"{NAME}.ipynb"
    file.write_text(file.read_text().replace('"parameters"', '"other"'))
    with pytest.raises(RunError, match=r"tiny.ipynb: expected one cell tagged 'parameters', got 0"):
        runs.run(NAME, "quick")


def test_run_names_an_output_folder_that_cannot_be_written(book):
    (book / "_build").write_text("a file where a folder should be")
    with pytest.raises(RunError, match=r"tiny: expected a folder that can be written at .*_build"):
        runs.run(NAME, "quick")


def test_run_replaces_a_run_of_its_chapter_and_no_other_file(book):
    run = ["run", NAME, "--out", str(book / "mine")]
    assert companion(book, *run).returncode == 0
    (book / "mine" / "thesis.tex").write_text("years of work")
    assert companion(book, *run, "--seed", "1").returncode == 0
    assert json.loads(results_of(book, "mine"))["seed"] == 1
    assert (book / "mine" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("seed", [0, 1])
def test_sweep_point_may_be_the_published_one(book, seed):
    overrides = {} if seed == 0 else {"size": 4}
    point = book / "_build" / "sweep" / "quick" / NAME / runs.sweep_label(seed, overrides)
    own = [runs.place(book, NAME, "quick", seed, overrides), point]
    runs.check_destination(book, point, NAME, own)
    other = point.with_name(runs.sweep_label(seed + 1, overrides))
    with pytest.raises(RunError, match=f"apart from what the book is built from, got {other}; this run's is {own[0]}"):
        runs.check_destination(book, other, NAME, own)


def test_run_names_the_cell_and_memory_of_a_kernel_that_dies(tmp_path):
    dies = "import os, signal\nheld = b'x' * 400_000_000\nos.kill(os.getpid(), signal.SIGKILL)"
    root = write_book(tmp_path, work=dies)
    done = companion(root, "run", NAME, kernel=True)
    assert done.returncode == 1
    named = r"tiny: the kernel died in cell 4, crashed or killed, .*: it had held up to (\d+) MB of (\d+) MB"
    held, has = map(int, re.search(named, done.stderr).groups())
    assert 400 < held < 2000
    assert held < has
    failed = root / "_build" / "run" / "quick" / f".{NAME}.failed" / f"{NAME}.ipynb"
    assert f"executed so far: {failed}" in done.stderr
    assert failed.is_file()


def test_run_names_a_kernel_that_does_not_start(book, monkeypatch):
    def dead(*_, **__):
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(runs.papermill, "execute_notebook", dead)
    with pytest.raises(RunError, match="tiny: the kernel did not start, Kernel died before replying"):
        runs.run(NAME, "quick")


def test_run_of_a_notebook_that_records_another_chapter_fails(tmp_path):
    root = write_book(tmp_path)
    file = root / "notebooks" / f"{NAME}.ipynb"
    (root / "notebooks" / "copied.ipynb").write_text(file.read_text())
    sizes = root / "notebooks" / "profiles.yml"
    sizes.write_text(sizes.read_text() + sizes.read_text().replace("tiny", "copied"))
    write_settings(root, "copied")
    done = companion(root, "run", "copied")
    assert done.returncode == 1
    assert "results.json: expected a run of name 'copied', got 'tiny'" in done.stderr


def test_chapters_without_notebooks_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected notebooks, found none"):
        runs.chapters(tmp_path)


def test_run_refuses_a_name_that_leaves_the_folder(book):
    with pytest.raises(SettingsError, match="name: expected one of tiny"):
        runs.run("../tiny", "quick")


def test_sweep_labels_differ_by_seed_and_overrides():
    labels = {runs.sweep_label(seed, overrides) for seed in (0, 1) for overrides in ({}, {"size": 3})}
    assert len(labels) == 4
    assert runs.sweep_label(0, {"a": 1, "b": 2}) == runs.sweep_label(0, {"b": 2, "a": 1})


def test_run_is_current_for_a_notebook_rewritten_with_the_same_cells(book):
    from companion.keys import content_key

    before, full = (content_key(book, NAME, profile)["key"] for profile in ("quick", "full"))
    file = book / "notebooks" / f"{NAME}.ipynb"
    file.write_text(file.read_text() + "\n")
    assert content_key(book, NAME, "quick")["key"] == before
    file.write_text(file.read_text().replace("# Tiny", "# Tiny, in other words"))
    assert content_key(book, NAME, "quick")["key"] != before  # the page shows the run's copy
    assert content_key(book, NAME, "full")["key"] == full  # of a full run only the results are kept
    write_notebook(file, work=WORK + "\n1")
    assert content_key(book, NAME, "full")["key"] != full


ANSWERS = "#!/bin/sh\necho 'NVIDIA H200, 570.86.15, 143771'\n"


@pytest.mark.parametrize(
    ("device", "answer", "expected"),
    [
        ("NVIDIA H200", ANSWERS, [{"name": "NVIDIA H200", "driver": "570.86.15", "memory_mb": 143771}]),
        ("NVIDIA H200", "#!/bin/sh\necho no devices were found\n", None),
        ("NVIDIA H200", "#!/bin/sh\nexit 9\n", None),
        ("NVIDIA H200", None, None),
        ("CPU, 2 threads", ANSWERS, None),
    ],
    ids=["answers", "says something else", "fails", "is not there", "run on the CPU"],
)
def test_tell_gpu_adds_driver_and_memory_where_the_driver_says_them(tmp_path, monkeypatch, device, answer, expected):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep if answer else None)
    (tmp_path / "bin").mkdir()
    if answer:
        (tmp_path / "bin" / "nvidia-smi").write_text(answer)
        (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
    (tmp_path / PROVENANCE).write_text(json.dumps({"device": device}))
    tell_gpu(tmp_path / PROVENANCE)
    assert json.loads((tmp_path / PROVENANCE).read_text()).get("gpus") == expected
