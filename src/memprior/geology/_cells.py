"""Cell centers of the unit square, where every model is evaluated: any number of cells shows the same geology."""

import numpy as np

from memprior._check import expect, expect_whole


def expect_size(size) -> None:
    """``ValueError`` unless ``size`` is (H, W), two integers >= 1."""
    expect(isinstance(size, tuple | list) and len(size) == 2, "size", "(H, W): cells down and across", repr(size))
    for cells in size:
        expect_whole("size", cells, 1)


def centers(cells: int) -> np.ndarray:
    """Of equal cells of [0, 1], (cells,), float64."""
    return (np.arange(cells) + 0.5) / cells
