"""A book of one tiny notebook, in a folder of its own: what the tests of the making of the book run."""

import io
import json
import os
import shutil
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import nbformat
from IPython.core.interactiveshell import InteractiveShell
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from papermill.engines import Engine, papermill_engines
from traitlets.config import Config

from companion import run
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
how = {"generator": run.generator("draw"), "device": run.device, "dtype": torch.float32}
drawn = torch.randn(run.settings.size, **how).mean()
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


class InThisProcess(Engine):
    """Papermill's engine without a kernel: the cells are executed here, and shown to nobody."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, **_):
        # What formats a result for a page is IPython's shell; it writes no history here.
        InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
        names = {"__name__": "__main__"}
        for index, cell in enumerate(nb_man.nb.cells):
            nb_man.cell_start(cell, index)
            try:
                with warnings.catch_warnings(action="default"):
                    exec(compile(cell.source if cell.cell_type == "code" else "", f"cell {index}", "exec"), names)
            except Exception as error:
                cell.outputs = [new_output("error", ename=type(error).__name__, evalue=str(error), traceback=[])]
                nb_man.cell_exception(cell, index, exception=error)
                return
            nb_man.cell_complete(cell, index)


papermill_engines.register("in this process", InThisProcess)


def companion(root: Path, *arguments: str, kernel: bool = False) -> Done:
    """``python -m companion ...`` on the book at ``root``, in this process: a new one spends seconds on imports.

    kernel: notebooks run in a kernel of their own, as they do everywhere but in tests. Else here.
    """
    out, err, execute_notebook = io.StringIO(), io.StringIO(), run.papermill.execute_notebook

    def execute(*given, **options):
        return execute_notebook(*given, engine_name=None if kernel else "in this process", **options)

    with (
        mock.patch.object(run.papermill, "execute_notebook", execute),
        mock.patch.dict(os.environ, environment(root)),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        status = main(list(arguments))
    return Done(status, out.getvalue(), err.getvalue())


def environment(root: Path, *folders: Path) -> dict:
    """Of a process that works on the book at ``root``. folders: where it looks for modules first."""
    path = os.pathsep.join([*map(str, folders), os.environ["PYTHONPATH"]])
    return os.environ | {"COMPANION_ROOT": str(root), "PYTHONPATH": path}
