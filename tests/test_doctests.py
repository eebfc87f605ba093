"""The examples in the docstrings of the library run and show their output."""

import doctest
import importlib
import pkgutil
import re

import pytest
import torch
from tiny_book import REPOSITORY

from companion.code import imported_names
from companion.sources import MAGIC, read_notebook

SOURCES = REPOSITORY / "src"
EXAMPLES = [file for file in sorted((SOURCES / "memprior").rglob("*.py")) if ">>> " in file.read_text()]
COMPILED = {"memprior.geology.near_surface", "memprior.geology.gathers"}  # ask for it, as the book does not
NAMES = [".".join(file.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__") for file in EXAMPLES]


@pytest.mark.parametrize("name", NAMES)
def test_doctests_of_a_module_show_their_output(name):
    if name in COMPILED:
        pytest.importorskip("eikonalfm")
    said, dtype = [], torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)  # as a reader has it
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    torch.set_default_dtype(dtype)
    assert not said, "".join(said)


def test_doctests_show_every_name_that_a_chapter_imports():
    taken = set()
    for file in (REPOSITORY / "notebooks").glob("*.ipynb"):
        code = "\n".join(cell.source for cell in read_notebook(file).cells if cell.cell_type == "code")
        taken |= {(module, name) for module, name, _ in imported_names(MAGIC.sub("pass", code)) if name}
    named = {f"{module}.{name}" for module, name in taken if re.match(r"memprior\.(?!figures)", module)}
    things = {name: pkgutil.resolve_name(name) for name in named}
    assert len(named) > 30
    assert [name for name, thing in things.items() if callable(thing) and ">>> " not in (thing.__doc__ or "")] == []
