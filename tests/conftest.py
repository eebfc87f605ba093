"""What every test starts from: float64, and randomness that is seeded."""

import os
import sys
from pathlib import Path

import pytest
import torch

WITHOUT_GRAMMAR = Path(__file__).with_name("without_grammar")
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(WITHOUT_GRAMMAR), os.environ.get("PYTHONPATH")]))
sys.path.insert(0, str(WITHOUT_GRAMMAR))


def pytest_configure(config):
    torch.set_num_threads(1)  # bits are compared, and tests run side by side
    # torch's own forward mode calls torch.jit.script on first use, and torch now warns of that.
    config.addinivalue_line("filterwarnings", "ignore:`torch.jit.script` is deprecated:DeprecationWarning")


@pytest.fixture(autouse=True)
def _float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)
