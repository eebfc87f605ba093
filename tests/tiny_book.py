"""A book of one tiny notebook, in a folder of its own: what the tests of the making of the book run."""

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from companion.__main__ import main

REPOSITORY = Path(__file__).resolve().parents[1]
NAME = "tiny"
CLAIMS = """
- {id: tiny.answer, chapter: tiny, statement: The answer, expected: 2.0, tolerance: 0.1, <<: &rest
    {source: ours, why: for the tests, profiles: [quick, full]}}
- {id: tiny.drawn, chapter: tiny, statement: A draw, at_most: 10, <<: *rest}
"""
PROFILES = "tiny: {quick: {size: 3, spread: 1.0}, full: {size: 300, spread: 1.0}}\n"
PARAMETERS = 'profile = "quick"\nseed = 0\noverrides = {}'
BEGIN = f'from companion import record\nrun = record.begin("{NAME}", profile, seed, overrides)'
WORK = """
import torch
drawn = torch.randn(run.settings["size"], generator=run.generator("draw"), device=run.device).mean()
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
    """The whole tiny repository, with this repository's own src."""
    write_notebook(root / "notebooks" / f"{NAME}.ipynb", **swapped)
    (root / "notebooks" / "profiles.yml").write_text(PROFILES)
    (root / "data").mkdir()
    (root / "data" / "claims.yml").write_text(CLAIMS)
    (root / "constraints.txt").write_text("torch==0\n")
    (root / "src").symlink_to(REPOSITORY / "src")
    return root


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
