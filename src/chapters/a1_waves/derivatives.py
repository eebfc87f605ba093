"""Appendix A1: derivatives of the wave operators, checked, with one that is wrong beside them.

Frozen dataclasses and short functions, no defaults: sizes come from notebooks/profiles.yml.
"""

from dataclasses import dataclass

import numpy as np
import torch

from chapters.a1_waves.accuracy import as_complex, operator_like, relative, repeat_edges
from memprior._random import float64_on, normal
from memprior.fields import Grid
from memprior.operators import ForwardOperator
from memprior.paper import FREQUENCY_HZ, SIDE_KM, published_acquisition
from memprior.waves import Acquisition
from memprior.waves.helmholtz import HelmholtzOperator


def ring_direction(grid: Grid, generator: torch.Generator, device=None) -> torch.Tensor:
    """A random change of the outermost ring of cells only, (1, nx, nz), of unit length."""
    direction = random_direction(grid, generator, device)
    direction[:, 1:-1, 1:-1] = 0
    return direction / direction.norm()


def random_direction(grid: Grid, generator: torch.Generator, device=None) -> torch.Tensor:
    """A random change of every cell, (1, nx, nz), of unit length."""
    direction = normal(1, *grid.shape, like=float64_on(device, generator), generator=generator)
    return direction / direction.norm()


@dataclass(frozen=True, eq=False)
class TaylorTest:
    """J(m + h v) - J(m) - h <g, v> over steps h (H,): remainders (H,) fall as h^slope; slope 2 where g is right."""

    steps: torch.Tensor
    remainders: torch.Tensor
    slope: float


def taylor_test(forward: ForwardOperator, model, direction, steps, gradient=None) -> TaylorTest:
    """Of J = |F(m)|^2 / 2 along ``direction``; ``gradient``: m -> g, or the operator's own."""

    def misfit(m):
        return 0.5 * forward(m).square().sum()

    at = model.clone().requires_grad_()
    value = misfit(at)
    g = torch.autograd.grad(value, at)[0] if gradient is None else gradient(model)
    slope_along = float((g * direction).sum())
    with torch.no_grad():
        remainders = [abs(float(misfit(model + h * direction) - value) - h * slope_along) for h in steps]
    remainders = torch.tensor(remainders, dtype=torch.float64)
    fitted = np.polyfit(np.log(steps), remainders.log().numpy(), 1)[0]
    return TaylorTest(torch.tensor(steps, dtype=torch.float64), remainders, float(fitted))


@dataclass(frozen=True)
class PaddedOperator:
    """F on a larger square whose margin of ``num_cells`` repeats the edge cells of the model."""

    larger: HelmholtzOperator
    num_cells: int

    def __call__(self, m: torch.Tensor) -> torch.Tensor:
        return self.larger(repeat_edges(m, self.num_cells))

    def cropped_gradient(self, m: torch.Tensor) -> torch.Tensor:
        """The gradient in the larger square with its margin cut off: the share of the repeated cells is lost."""
        padded = repeat_edges(m, self.num_cells).detach().requires_grad_()
        (g,) = torch.autograd.grad(0.5 * self.larger(padded).square().sum(), padded)
        cut = slice(self.num_cells, -self.num_cells)
        return g[:, cut, cut]


def padded_operator(cells: int, margin: int) -> PaddedOperator:
    """The published survey at 6 Hz over 2 km in cells x cells, with a margin of ``margin`` cells around."""
    spacing, survey = SIDE_KM / cells, published_acquisition()
    shifted = Acquisition(survey.sources_km + margin * spacing, survey.receivers_km[::14] + margin * spacing)
    grid = Grid((cells + 2 * margin,) * 2, spacing)
    return PaddedOperator(HelmholtzOperator(grid, shifted, FREQUENCY_HZ), margin)


def adjoint_gap(forward: ForwardOperator, model, generator: torch.Generator) -> float:
    """| <J v, w> - <v, J^T w> | / (|J v| |w|) for random v and w: forward mode against reverse mode."""
    v = normal(*model.shape, like=model, generator=generator)
    data, tangent = torch.func.jvp(forward, (model,), (v,))
    w = normal(*data.shape, like=data, generator=generator)
    (cotangent,) = torch.func.vjp(forward, model)[1](w)
    return float(((tangent * w).sum() - (v * cotangent).sum()).abs() / (tangent.norm() * w.norm()))


def reciprocity_gap(operator: HelmholtzOperator, model: torch.Tensor) -> float:
    """Relative change of the data when sources and receivers trade places."""
    survey = operator.acquisition
    swapped = Acquisition(survey.receivers_km, survey.sources_km)
    there = operator_like(operator, swapped, num_layers=operator.axes[0][0].num_layers)
    return relative(as_complex(there(model), swapped).mT, as_complex(operator(model), survey))
