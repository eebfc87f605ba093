"""Snakemake's configuration is checked before the first job, and what it plans runs."""

import json
import re
import shlex
import subprocess
import sys
import threading

import pytest
from tiny_book import NAME, PROFILES, REPOSITORY, companion, environment, write_book, write_notebook

from companion import workflow
from companion.claims import ClaimError
from companion.run import chapters, sweep_label
from companion.sources import SourceError
from companion.workflow import PlanError, plan, typed


def test_typed_gives_texts_the_types_they_are_written_with():
    given = {"a": "20000", "b": ["1e-3", "true"], "c": "float32", "d": "released, ancestral", "e": 5, "f": "1_0"}
    assert typed(given) == {
        "a": 20000,
        "b": [1e-3, True],
        "c": "float32",
        "d": "released, ancestral",
        "e": 5,
        "f": "1_0",
    }
    assert typed('{"num_draws": 20000}') == {"num_draws": 20000}


@pytest.mark.parametrize(
    ("config", "points"),
    [
        ({}, [(0, {})]),
        ({"seeds": "1,2", "overrides": {"size": "5"}}, [(1, {"size": 5}), (2, {"size": 5})]),  # as --config leaves it
        ({"seeds": 3, "overrides": '{"size": 5}'}, [(3, {"size": 5})]),
        ({"seeds": [0], "overrides": [{"size": 5}, {"spread": 2}]}, [(0, {"size": 5}), (0, {"spread": 2})]),  # a file
    ],
)
def test_plan_of_a_sweep_has_its_seeds_and_settings(tmp_path, config, points):
    asked = plan(write_book(tmp_path), config)
    assert (asked.profile, asked.names) == ("quick", (NAME,))
    assert asked.points == {sweep_label(*point): point for point in points}
    assert (tmp_path / "_build" / "keys" / "quick" / f"{NAME}.json").is_file()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"overrides": {"siez": "5"}}, "tiny: overrides: expected keys among size, spread, got 'siez'"),
        ({"overrides": {"size": "many"}}, "tiny: overrides: expected size to be an integer, got 'many'"),
        ({"seeds": "one"}, "tiny: seed: expected an integer >= 0 and <= 4294967295, got 'one'"),
        ({"profile": "fast"}, "tiny: profile: expected one of quick, full, got 'fast'"),
        ({"chapters": "tiny,other"}, "other: expected notebooks/other.ipynb and its sizes in notebooks/profiles.yml"),
        ({"seed": 5}, "config: expected brief, chapters, overrides, profile, seeds, got seed"),
    ],
)
def test_plan_refuses_what_cannot_run_before_any_job(tmp_path, config, message):
    with pytest.raises(PlanError, match=f"^{message}"):
        plan(write_book(tmp_path), config)


def broken(root, file, text):
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text)


@pytest.mark.parametrize(
    ("file", "text", "error", "message"),
    [
        ("notebooks/profiles.yml", PROFILES + "<<<<<<< HEAD\n", SourceError, r"notebooks/profiles.yml, line \d"),
        (
            "notebooks/profiles.yml",
            "other: {quick: {size: 3}}",
            PlanError,
            "tiny: expected notebooks/tiny.ipynb and its sizes",
        ),
        ("data/claims/tiny.yml", "- {id: a\n", SourceError, r"data/claims/tiny.yml, line 2: expected YAML"),
        ("data/claims/tiny.yml", "- {id: a}\n", ClaimError, "data/claims/tiny.yml: claim a: expected the fields"),
        (
            f"notebooks/{NAME}.ipynb",
            '{"cells": [<<<<<<<',
            SourceError,
            "notebooks/tiny.ipynb: expected a notebook in JSON",
        ),
        ("_toc.yml", "root: [\n", SourceError, "_toc.yml, line 2: expected YAML"),
        ("notebooks/matplotlibrc", "axes.facecolor: red", SourceError, "notebooks/matplotlibrc: expected no such file"),
        ("notebooks/random.py", "", SourceError, "notebooks/random.py: expected no such file"),
    ],
)
def test_command_names_an_error_in_a_source(tmp_path, file, text, error, message):
    root = write_book(tmp_path)
    broken(root, file, text)
    with pytest.raises(error, match=f"^{message}"):
        plan(root, {})
    done = companion(root, "chapters")
    assert done.returncode == 1
    assert re.match(message, done.stderr)


def test_command_names_a_conflict_mark_in_a_module(tmp_path):
    root = write_book(tmp_path, work="import memprior.noise")
    (root / "src" / "memprior").unlink()
    broken(root, "src/memprior/noise.py", "x = 1\n=======\n")
    done = companion(root, "chapters")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("src/memprior/noise.py: expected Python, got invalid syntax in its line 2: =======")


def test_plan_passes_over_an_unlisted_notebook_and_says_so(tmp_path, capsys):
    root = write_book(tmp_path)
    (root / "_toc.yml").write_text(f"format: jb-book\nroot: book/index\nchapters: [{{file: notebooks/{NAME}}}]\n")
    write_notebook(root / "notebooks" / "Untitled.ipynb")
    assert chapters(root) == [NAME]
    assert plan(root, {}).names == (NAME,)
    assert capsys.readouterr().err == "notebooks/Untitled.ipynb: not in _toc.yml, passed over\n"


def snakemake(root, *arguments):
    command = [sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "workflow" / "Snakefile", "--cores", "1"]
    return subprocess.run(
        [*command, *arguments],
        env=environment(root),
        cwd=root,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_sweep_of_the_readme_runs_in_a_folder_with_a_space(tmp_path):
    (tmp_path / "a b").mkdir()
    root = write_book(tmp_path / "a b")
    done = snakemake(root, "sweep", "--config", f"chapters={NAME}", "seeds=1", 'overrides={"size": 5, "spread": 2}')
    assert done.returncode == 0, done.stderr
    overrides = {"size": 5, "spread": 2}
    results = json.loads((root / f"_build/sweep/quick/{NAME}/{sweep_label(1, overrides)}/results.json").read_text())
    assert (results["seed"], results["overrides"]) == (1, overrides)


def test_snakemake_reports_what_cannot_run(tmp_path):
    root = write_book(tmp_path)
    quiet = ("--quiet", "host", "progress", "reason", "rules")
    done = snakemake(root, "sweep", *quiet, "--config", "brief=yes", 'overrides={"siez": 5}')
    assert done.returncode == 1
    assert "tiny: overrides: expected keys among size, spread, got 'siez'" in done.stderr


def test_sweep_of_the_readme_names_a_chapter_that_has_its_setting():
    (line,) = (line for line in (REPOSITORY / "README.md").read_text().splitlines() if " sweep --config " in line)
    config = dict(word.split("=", 1) for word in shlex.split(line.split(" sweep --config ")[1]))
    asked = plan(REPOSITORY, config)
    assert len(asked.points) == len(config["seeds"].split(","))
    assert all(overrides for _, overrides in asked.points.values())


def test_only_build_lets_two_builds_of_a_checkout_take_turns(tmp_path, capsys):
    order, inside = [], threading.Event()

    def second():
        inside.wait()
        with workflow.only_build(tmp_path):
            order.append("second")

    other = threading.Thread(target=second)
    with workflow.only_build(tmp_path):
        other.start()
        inside.set()
        other.join(0.5)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
    assert "another build of this checkout is at work: waiting" in capsys.readouterr().err
