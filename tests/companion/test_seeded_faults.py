"""Faults put into a book that holds: each stops its command before any work, with words that name the culprit."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tiny_book import NAME, REPOSITORY, companion, write_book, write_run, write_settings

from companion import book, run
from companion.results import seal

QUICK, RECORDED = f"_build/run/quick/{NAME}", f"data/recorded/{NAME}"
SIZES = """
tiny:
  quick: {size: 3, none: 0, spread: 1.0, sizes: [5, 10], truths: [], mode: fast, plan: {steps: 2, dt: 0.1}, exact: true}
  full: {size: 9, none: 4, spread: 1.0, sizes: [5], truths: [disc], mode: slow, plan: {steps: 4, dt: 0.1}, exact: false}
"""
SETTINGS = """
from dataclasses import dataclass
from typing import Annotated, Literal
from companion.bounds import Natural, NaturalOrZero, Length, Positive

@dataclass(frozen=True)
class Plan:
    steps: Natural
    dt: Positive

@dataclass(frozen=True)
class Settings:
    size: Natural
    none: NaturalOrZero
    spread: Positive
    sizes: tuple[Natural, ...]
    truths: Annotated[tuple[Literal["disc"], ...], Length(0)]
    mode: Literal["fast", "slow"]
    plan: Plan
    exact: bool
"""


@dataclass(frozen=True)
class Fault:
    """words: a pattern that stderr must hold. seed: puts the fault into the book at a root. command: stops with 1."""

    words: str
    seed: Callable[[Path], object] = lambda root: None
    command: tuple[str, ...] = ("book",)


def cut(file):
    return lambda root: (root / file).write_bytes((root / file).read_bytes()[:-5])


def gone(file):
    return lambda root: (root / file).unlink()


def swapped(file, old, new):
    """``old`` for ``new`` in the text of a file."""

    def seed(root):
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new))

    return seed


def of_another_run(folder, field, value):
    """Whole, sealed, and of other settings than the published ones."""

    def seed_(root):
        results = root / folder / "results.json"
        results.write_text(json.dumps(json.loads(results.read_text()) | {field: value}))
        told = json.loads((root / folder / "provenance.json").read_text())["files"]
        seal(root / folder, [root / folder / file for file in told])

    return seed_


def traded(root):
    """Quick results where the full ones should be, and the other way round."""
    for file in ("results.json", "provenance.json"):
        quick, full = root / QUICK / file, root / RECORDED / file
        texts = quick.read_text(), full.read_text()
        quick.write_text(texts[1])
        full.write_text(texts[0])


def flipped(file):
    def seed_(root):
        data = bytearray((root / file).read_bytes())
        data[len(data) // 2] ^= 1
        (root / file).write_bytes(data)

    return seed_


def listed(text):
    """One more claim."""
    return lambda root: (root / "data/claims/tiny.yml").write_text(
        (root / "data/claims/tiny.yml").read_text() + f"- {{{text}}}\n"
    )


def claim(fields, name="tiny.x", profiles="[full]"):
    return listed(f"id: {name}, chapter: tiny, statement: s, source: o, why: w, profiles: {profiles}, {fields}")


def override(words, **settings):
    return Fault(f"overrides: expected {words}", command=("run", NAME, "--overrides", json.dumps(settings)))


def out(words, folder, seed=lambda root: None, *more):
    return Fault(f"out: expected a folder{words}", seed, ("run", NAME, "--out", folder, *more))


WHOLE = "expected it as the run left it, got an edited, damaged or other file"
FAULTS = {
    # what the book takes from _build/run
    "results missing": Fault(
        r"quick/tiny/results.json: .* found no file; `make book` runs it again", gone(f"{QUICK}/results.json")
    ),
    "results truncated": Fault(r"quick/tiny/results.json: expected JSON", cut(f"{QUICK}/results.json")),
    "results edited": Fault(rf"quick/tiny/results.json: {WHOLE}", swapped(f"{QUICK}/results.json", "2.0", "2.01")),
    "provenance missing": Fault(r"quick/tiny/provenance.json: expected this file", gone(f"{QUICK}/provenance.json")),
    "provenance truncated": Fault(r"quick/tiny/provenance.json: expected JSON", cut(f"{QUICK}/provenance.json")),
    "provenance edited": Fault(
        r"quick/tiny/provenance.json: expected it as it was written",
        swapped(f"{QUICK}/provenance.json", '"wall_s": 1.0', '"wall_s": 0.1'),
    ),
    "provenance of a run by hand": Fault(
        r"quick/tiny/provenance.json: expected a digest",
        lambda root: (root / QUICK / "provenance.json").write_text('{"name": "tiny"}'),
    ),
    "executed copy missing": Fault(r"quick/tiny/tiny.ipynb: expected this file", gone(f"{QUICK}/{NAME}.ipynb")),
    "executed copy edited": Fault(
        rf"quick/tiny/tiny.ipynb: {WHOLE}", swapped(f"{QUICK}/{NAME}.ipynb", "# Tiny", "# Tinier")
    ),
    "executed copy with one bit flipped": Fault(rf"quick/tiny/tiny.ipynb: {WHOLE}", flipped(f"{QUICK}/{NAME}.ipynb")),
    "a run of another seed": Fault(
        r"quick/tiny/results.json: expected a run of seed 0, got 7", of_another_run(QUICK, "seed", 7)
    ),
    "a run with overrides": Fault(
        r"results.json: expected a run of overrides {}, got {'size': 4}",
        of_another_run(QUICK, "overrides", {"size": 4}),
    ),
    "a run of another profile": Fault(
        r"results.json: expected a run of profile 'quick', got 'full'", of_another_run(QUICK, "profile", "full")
    ),
    "a run of another chapter": Fault(
        r"results.json: expected a run of name 'tiny', got 'other'", of_another_run(QUICK, "name", "other")
    ),
    "a run of older code": Fault(
        r"quick/tiny: expected a run of this code, sizes, claims and pins",
        swapped(f"notebooks/{NAME}.ipynb", "1.0 + 1.0", "2.0"),
    ),
    "a run of older sizes": Fault(
        r"quick/tiny: expected a run of this code, sizes", swapped("notebooks/profiles.yml", "size: 3", "size: 4")
    ),
    "quick and full traded": Fault(
        r"expected a run of profile 'quick', got 'full'(?s:.*)expected a run of profile 'full', got 'quick'", traded
    ),
    # what it takes from data/recorded
    "recorded results edited": Fault(
        rf"tiny, recorded full run: .*results.json: {WHOLE}", swapped(f"{RECORDED}/results.json", "2.0", "2.01")
    ),
    "recorded results missing": Fault(
        r"tiny, recorded full run: .*results.json: expected the results", gone(f"{RECORDED}/results.json")
    ),
    "recorded provenance truncated": Fault(
        r"tiny, recorded full run: .*provenance.json: expected JSON", cut(f"{RECORDED}/provenance.json")
    ),
    "recorded picture missing": Fault(
        r"recorded/tiny/shown.png: expected this file of the run", gone(f"{RECORDED}/shown.png")
    ),
    "recorded picture with one bit flipped": Fault(
        rf"recorded/tiny/shown.png: {WHOLE}", flipped(f"{RECORDED}/shown.png")
    ),
    "a picture put beside the recorded ones": Fault(
        r"recorded/tiny/extra.png: expected no file that the run did not make",
        lambda root: shutil.copy(root / RECORDED / "shown.png", root / RECORDED / "extra.png"),
    ),
    "a recording of another seed": Fault(
        r"recorded full run: .*expected a run of seed 0, got 3", of_another_run(RECORDED, "seed", 3)
    ),
    "a recording under another name": Fault(
        r"data/recorded: expected the chapters' recorded runs, got 'tiny2'",
        lambda root: (root / RECORDED).rename(root / "data/recorded/tiny2"),
    ),
    "keep cut short": Fault(
        r"got '.tiny.old' \(`keep` was cut short: run it again\)",
        lambda root: (root / RECORDED).rename(root / "data/recorded/.tiny.old"),
    ),
    "keep of a run that is not whole": Fault(
        r"full/tiny/results.json: expected it as the run left it",
        swapped(f"_build/run/full/{NAME}/results.json", "2.0", "2.01"),
        ("keep", NAME),
    ),
    "keep of a chapter that is not there": Fault(
        "name: expected one of tiny, got '../tiny'", command=("keep", "../tiny")
    ),
    # claims and sizes
    "a bound that is infinite": Fault("claim tiny.x: expected a finite at_most", claim("at_most: .inf")),
    "a bound that is minus infinity": Fault("claim tiny.x: expected a finite at_least", claim("at_least: -.inf")),
    "an expected value that is not a number": Fault(
        "claim tiny.x: expected a finite expected", claim("expected: .nan, tolerance: 1")
    ),
    "a bound in words": Fault("claim tiny.x: expected a number as at_most, got 'small'", claim("at_most: small")),
    "a bound that is yes": Fault("claim tiny.x: expected a number as at_most, got True", claim("at_most: yes")),
    "a bound twice": Fault(
        "data/claims/tiny.yml, line .*: expected YAML, got: the key at_most twice", claim("at_most: 1, at_most: 2")
    ),
    "a claim made nowhere": Fault(
        "claim tiny.x: expected profiles among quick, full, got none", claim("at_most: 1", profiles="[]")
    ),
    "a claim with markup as its name": Fault("claim <b>: expected an id of letters", claim("at_most: 1", name="<b>")),
    "a claim without words": Fault(
        "claim tiny.x: expected words as why, got None",
        listed("id: tiny.x, chapter: tiny, statement: s, source: o, why: , profiles: [full], at_most: 1"),
    ),
    "claims that are no YAML": Fault(
        r"data/claims/tiny.yml, line \d: expected YAML, got: ",
        lambda root: (root / "data/claims/tiny.yml").write_text("- {id: a\n<<<<<<< HEAD\n"),
    ),
    "no claims": Fault(
        "data/claims/tiny.yml: expected entries, got an empty file",
        lambda root: (root / "data/claims/tiny.yml").write_text(""),
    ),
    "sizes of one profile only": Fault(
        "profiles.yml, tiny: expected the profiles quick, full, got quick",
        lambda root: (root / "notebooks/profiles.yml").write_text("tiny: {quick: {size: 3}}\n"),
        ("run", NAME),
    ),
    "a size in one profile only": Fault(
        "profiles.yml, tiny: expected spread in both profiles",
        swapped("notebooks/profiles.yml", "full: {size: 9, none: 4, spread: 1.0,", "full: {size: 9, none: 4,"),
        ("run", NAME),
    ),
    "a size twice": Fault(
        "notebooks/profiles.yml, line .*: expected YAML, got: the key size twice",
        swapped("notebooks/profiles.yml", "size: 3,", "size: 3, size: 4,"),
        ("run", NAME),
    ),
    "a notebook cut short": Fault(
        "notebooks/tiny.ipynb: expected a notebook in JSON, got: ", cut(f"notebooks/{NAME}.ipynb"), ("run", NAME)
    ),
    # destinations
    "into the sources": out(" apart from the book's sources", "{root}/notebooks"),
    "below the sources": out(" apart from the book's sources", "{root}/data/recorded/new"),
    "into git": out(" apart from the book's sources", "{root}/.git/x"),
    "the checkout": out(" apart from the book's sources", "{root}"),
    "above the checkout": out(" apart from the book's sources", "{root}/notebooks/../.."),
    "by a link into the sources": out(
        " apart from the book's sources", "{root}/link", lambda root: (root / "link").symlink_to(root / "notebooks")
    ),
    "into the book's input": out(
        " apart from what the book is built from", f"{{root}}/{QUICK}", lambda root: None, "--seed", "7"
    ),
    "into the site": out(" apart from what the book is built from", "{root}/_build/html"),
    "into _build itself": out(" apart from what the book is built from", "{root}/_build"),
    "into a folder of others": out(
        " that is new, empty or of an earlier run of tiny",
        "{root}/mine",
        lambda root: ((root / "mine").mkdir(), (root / "mine" / "thesis.tex").touch()),
    ),
    "onto a file": out(", got the file", "{root}/mine", lambda root: (root / "mine").touch()),
    # overrides
    "negative": override("size to be from 1 to 900, got -1", size=-1),
    "zero": override("size to be from 1 to 900, got 0", size=0),
    "null": override("size to be an integer, got None", size=None),
    "2**70": override("size to be from 1 to 900, got 1180591620717411303424", size=2**70),
    "huge": override("size to be from 1 to 900, got 901", size=901),
    "yes as a number": override("size to be an integer, got True", size=True),
    "not whole": override("size to be an integer, got 3.5", size=3.5),
    "negative where zero may be": override("none to be from 0 to 400, got -1", none=-1),
    "zero for a width": override("spread to be above 0 and at most 100, got 0", spread=0),
    "not a number": override("spread to be above 0 and at most 100, got nan", spread=float("nan")),
    "infinite": override("spread to be above 0 and at most 100, got inf", spread=float("inf")),
    "a list with a bad entry": override(r"sizes\[1\] to be from 1 to 1000, got -10", sizes=[5, -10]),
    "a list with a text": override(r"sizes\[1\] to be an integer, got '10'", sizes=[5, "10"]),
    "an empty list": override(r"sizes to be a list of 1 or more entries, got \[\]", sizes=[]),
    "a bad entry where the profile has none": override(r"truths\[0\] to be one of disc, got 'disk'", truths=["disk"]),
    "another word": override("mode to be one of fast, slow, got 'faster'", mode="faster"),
    "a key too few": override("plan to be a mapping of steps, dt, got", plan={"steps": 2}),
    "a bad number below": override(r"plan.steps to be from 1 to 400, got 0", plan={"steps": 0, "dt": 0.1}),
    "a number as yes": override("exact to be true or false, got 1", exact=1),
    "a setting twice": Fault(
        "expected each setting once, got size, size", command=("run", NAME, "--overrides", '{"size": 3, "size": 4}')
    ),
    "a seed beyond 32 bits": Fault(
        "seed: expected an integer >= 0 and <= 4294967295, got 1180591620717411303424",
        command=("run", NAME, "--seed", str(2**70)),
    ),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A book with a quick run, a recorded full one and its picture, all of which holds."""
    root = write_book(tmp_path_factory.mktemp("sound") / "book")
    (root / "notebooks" / "profiles.yml").write_text(SIZES)
    write_settings(root, text=SETTINGS)
    write_run(root)
    full = write_run(root, "full")
    text = PngInfo()
    text.add_text("Description", "A black square: nothing else")
    text.add_text("Title", "What is seen.")
    Image.new("L", (2, 2)).save(full / "shown.png", pnginfo=text)
    seal(full, [full / file for file in ("results.json", f"{NAME}.ipynb", "shown.png")])
    book.keep(root, NAME)
    assert book.check_runs(root) == []
    return root


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_seeded_fault_stops_its_command_and_is_named(sound, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(run.papermill, "execute_notebook", None)  # no kernel is started
    monkeypatch.setattr(book, "stage", None)  # and no page is written
    root = tmp_path / "book"
    shutil.copytree(sound, root, symlinks=True)
    fault.seed(root)
    done = companion(root, *(word.replace("{root}", str(root)) for word in fault.command))
    assert done.returncode == 1
    assert re.search(fault.words, done.stderr), done.stderr


def test_folders_of_sources_are_those_of_the_repository():
    asked = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if asked.returncode:
        pytest.skip("not in a git checkout")
    tops = {file.split("/")[0] for file in asked.stdout.splitlines() if "/" in file}
    assert {top for top in tops if not top.startswith(".")} == set(run.SOURCES)
