"""The paper's square, frequency, survey and wave operator."""

import numpy as np
import torch

from memprior._check import expect_whole
from memprior.fields import Grid
from memprior.paper.fields import square
from memprior.waves.acquisition import Acquisition
from memprior.waves.helmholtz.operator import HelmholtzOperator

FREQUENCY_HZ, SPEED_KMS = 6.0, 2.0  # of the paper's data; the speed of its background


def published_acquisition() -> Acquisition:
    """The paper's survey of its 2 km x 2 km square: 15 sources at 25 m depth, 196 receivers at 1975 m.

    At centers of its 10 m cells: sources at columns int(linspace(2, 197, 15)) of row 2, receivers at columns 2..197 of
    row 197 (settings of the released code).

    Example:
        >>> from memprior.paper import published_acquisition
        >>> survey = published_acquisition()
        >>> survey.sources_km.shape, survey.receivers_km.shape
        (torch.Size([15, 2]), torch.Size([196, 2]))
    """
    return Acquisition(_row(np.linspace(2, 197, 15).astype(int), 2), _row(np.arange(2, 198), 197))


def _row(columns: np.ndarray, row: int) -> torch.Tensor:
    """Centers of 10 m cells in one row, (n, 2), km."""
    return torch.tensor(
        [[(column + 0.5) * 0.01, (row + 0.5) * 0.01] for column in columns.tolist()], dtype=torch.float64
    )


def published_operator(
    *, dtype: torch.dtype = torch.complex128, cells: int | None = None, any_velocity: bool = False
) -> HelmholtzOperator:
    """The chapters' operator: the paper's survey at 6 Hz over 2 km x 2 km, on cells x cells (64).

    6 x 7 elements of order 6, clear of resonances from 1.73 to 2.60 km/s; the layer's two lengths are those with the
    least largest error for this survey in homogeneous media of 1.7, 2 and 2.6 km/s. Nothing of it is chosen anew, nor
    are its nodes limited.

    Example:
        >>> from memprior.paper import published_operator
        >>> published_operator().data_shape  # sources, receivers
        (15, 196)
    """
    cells = 64 if cells is None else cells
    expect_whole("cells", cells, 4)
    return HelmholtzOperator(
        square(cells),
        published_acquisition(),
        FREQUENCY_HZ,
        dtype=dtype,
        order=6,
        elements=(6, 7),
        layer_km=(0.363 + 0.415j, 0.083 + 0.412j),
        num_layers=1,
        any_velocity=any_velocity,
        limit_nodes=False,  # its data stay what they were where an inversion makes rough models
    )


def reference_operator(grid: Grid) -> HelmholtzOperator:
    """The paper's survey at 6 Hz on a mesh whose error does not matter: order 12, 9 x 10 elements, two layers."""
    layer_km = 0.4 + 0.6j, 0.4 + 0.6j
    return HelmholtzOperator(
        grid, published_acquisition(), FREQUENCY_HZ, order=12, elements=(9, 10), layer_km=layer_km, num_layers=2
    )
