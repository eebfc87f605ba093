"""A book of one tiny notebook, in a folder of its own: what the tests of the making of the book run."""

import io
import json
import os
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from companion.__main__ import main
from companion.keys import content_key
from companion.results import seal

REPOSITORY = Path(__file__).resolve().parents[1]
NAME = "tiny"
CLAIMS = """
- {id: tiny.answer, chapter: tiny, statement: The answer, expected: 2.0, tolerance: 0.1, <<: &rest
    {source: ours, why: for the tests, profiles: [quick, full]}}
- {id: tiny.drawn, chapter: tiny, statement: A draw, at_most: 10, <<: *rest}
"""
PROFILES = "tiny: {quick: {size: 3, spread: 1.0}, full: {size: 300, spread: 1.0}}\n"
SETTINGS = """
from dataclasses import dataclass
from companion.bounds import Natural, Positive

@dataclass(frozen=True)
class Settings:
    size: Natural
    spread: Positive
"""
PARAMETERS = 'profile = "quick"\nseed = 0\noverrides = {}'
BEGIN = f'from companion import record\nrun = record.begin("{NAME}", profile, seed, overrides)'
WORK = """
import torch
drawn = torch.randn(run.settings.size, generator=run.generator("draw"), device=run.device).mean()
record.claim("tiny.answer", 1.0 + 1.0)
record.claim("tiny.drawn", drawn)
"""


def write_notebook(
    file: Path, *, parameters: str = PARAMETERS, work: str = WORK, finish: str = "record.finish()"
) -> None:
    """Parameters, begin, work, finish; any of them may be swapped for something broken."""
    tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# Tiny"), tagged, *(new_code_cell(source) for source in (BEGIN, work, finish))]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata=kernel), file)


def write_book(root: Path, **swapped) -> Path:
    """The whole tiny repository, with this repository's own library."""
    write_notebook(root / "notebooks" / f"{NAME}.ipynb", **swapped)
    (root / "notebooks" / "profiles.yml").write_text(PROFILES)
    (root / "data" / "claims").mkdir(parents=True)
    (root / "data" / "claims" / f"{NAME}.yml").write_text(CLAIMS)
    (root / "constraints.txt").write_text("torch==0\n")
    (root / "src").mkdir()
    for package in ("companion", "memprior"):
        (root / "src" / package).symlink_to(REPOSITORY / "src" / package)
    write_settings(root)
    return root


def write_settings(root: Path, name: str = NAME, text: str = SETTINGS) -> None:
    """What the chapter's settings may be."""
    file = root / "src" / "chapters" / name / "settings.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def write_run(root: Path, profile: str = "quick", *, claims: dict | None = None) -> Path:
    """A whole run of the tiny chapter as ``companion run`` leaves it, without a kernel; returns its folder."""
    folder = root / "_build" / "run" / profile / NAME
    folder.mkdir(parents=True)
    shutil.copy(root / "notebooks" / f"{NAME}.ipynb", folder)
    settings = {"name": NAME, "profile": profile, "seed": 0}
    claims = {"tiny.answer": 2.0, "tiny.drawn": 0.0} if claims is None else claims
    (folder / "results.json").write_text(json.dumps(settings | {"overrides": {}, "claims": claims}))
    versions = {"python": "3", "torch": "2", "numpy": "2", "scipy": "1", "matplotlib": "3"}
    made = {"device": "CPU", "commit": "c", "content_key": content_key(root, NAME, profile)["key"]}
    provenance = settings | versions | made | {"wall_s": 1.0, "peak_memory_mb": 1}
    (folder / "provenance.json").write_text(json.dumps(provenance))
    seal(folder, [folder / "results.json", folder / f"{NAME}.ipynb"])
    return folder


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def companion(root: Path, *arguments: str) -> Done:
    """``python -m companion ...`` on the book at ``root``, in this process: a new one spends seconds on imports."""
    out, err = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ, environment(root)), redirect_stdout(out), redirect_stderr(err):
        status = main(list(arguments))
    return Done(status, out.getvalue(), err.getvalue())


def environment(root: Path) -> dict:
    return os.environ | {"COMPANION_ROOT": str(root)}
