"""Where sources and receivers lie: positions are (x across, z down) in km, anywhere in the model's rectangle."""

from dataclasses import dataclass

import torch

from memprior._check import expect, expect_finite, expect_tensor
from memprior.fields import Grid


@dataclass(frozen=True, eq=False)
class Acquisition:
    """Every source is heard at every receiver. sources_km: (S, 2), receivers_km: (R, 2), float32 or float64, km.

    Raises ``TypeError`` or ``ValueError`` naming the argument otherwise.

    Example:
        >>> import torch
        >>> from memprior.waves import Acquisition
        >>> survey = Acquisition(torch.tensor([[0.5, 0.1]]), torch.tensor([[0.2, 0.9], [0.8, 0.9]]))
        >>> len(survey.sources_km), len(survey.receivers_km)
        (1, 2)
    """

    sources_km: torch.Tensor
    receivers_km: torch.Tensor

    def __post_init__(self):
        for name, positions in (("sources_km", self.sources_km), ("receivers_km", self.receivers_km)):
            expect_tensor(name, positions, "(n, 2)")
            fine = positions.dtype in (torch.float32, torch.float64)
            expect(fine, name, "dtype torch.float32 or torch.float64", positions.dtype)
            good = positions.ndim == 2 and positions.shape[1] == 2 and len(positions) > 0
            expect(good, name, "shape (n, 2), n >= 1: x and z of each", tuple(positions.shape))
            expect_finite(name, positions)

    def expect_inside(self, grid: Grid) -> None:
        """``ValueError`` naming the first position outside the rectangle of ``grid``."""
        width, depth = (cells * grid.spacing_km for cells in grid.shape)
        slack = 1e-9 * max(width, depth)  # cells times spacing may round to just below what is meant
        for name, positions in (("sources_km", self.sources_km), ("receivers_km", self.receivers_km)):
            for index, (x, z) in enumerate(positions.tolist()):
                inside = -slack <= x <= width + slack and -slack <= z <= depth + slack
                expect(inside, f"{name}[{index}]", f"inside {width:g} km x {depth:g} km", f"({x:g}, {z:g})")
