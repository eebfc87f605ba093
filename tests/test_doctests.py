"""The examples in the docstrings of the library run, and say what comes out."""

import doctest
import importlib

import pytest
import torch
from tiny_book import REPOSITORY

from companion import api

MODULES = [name for group in api.modules(REPOSITORY).values() for name in group if name.startswith("memprior")]
EXAMPLES = [name for name in MODULES if ">>> " in (api.file_of(REPOSITORY, name)).read_text()]


@pytest.mark.parametrize("name", EXAMPLES)
def test_doctests_of_a_module_say_what_comes_out(name):
    said, dtype = [], torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)  # as a reader has it
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    torch.set_default_dtype(dtype)
    assert not said, "".join(said)
