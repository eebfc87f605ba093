"""Figures take tensors of any device, with a graph or without, through one helper."""

from pathlib import Path

import numpy as np
import pytest
import torch

from memprior.figures import style

FIGURES = Path(style.__file__).parent


@pytest.mark.parametrize(
    "values",
    [torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0], requires_grad=True) * 1, [1.0, 2.0], np.array([1.0, 2.0])],
)
def test_array_accepts_tensors_lists_and_arrays(values):
    found = style.array(values)
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [1.0, 2.0]


def test_array_is_the_only_conversion_in_the_figures():
    others = [file for file in FIGURES.glob("*.py") if file.name not in ("style.py", "report.py")]
    others += FIGURES.parents[1].glob("chapters/*/*figures.py")
    assert len(others) > 10
    assert [file.name for file in others if ".numpy(" in file.read_text() or ".cpu(" in file.read_text()] == []
