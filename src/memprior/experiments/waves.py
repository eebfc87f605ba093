"""Appendix A1: the wave operators against exact answers, against themselves and against each other.

Frozen dataclasses and short functions, no defaults: sizes come from notebooks/profiles.yml.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import hankel1

from memprior.acquisition import Acquisition, published_acquisition
from memprior.fields import CosineBasis, Grid, published_coefficients, velocity
from memprior.helmholtz import HelmholtzOperator, published_operator
from memprior.operators import ForwardOperator
from memprior.stencil import FivePointOperator
from memprior.wave import AcousticOperator, fourier, ricker

SIDE_KM, FREQUENCY_HZ, SPEED_KMS = 2.0, 6.0, 2.0  # the paper's square and frequency; the speed of its background
WAVELENGTH_KM = SPEED_KMS / FREQUENCY_HZ


def square(cells: int) -> Grid:
    """The paper's 2 km x 2 km in cells x cells."""
    return Grid((cells, cells), SIDE_KM / cells)


def published_model(grid: Grid, example: int, device: torch.device) -> torch.Tensor:
    """A published training model on ``grid``, (1, nx, nz), squared slowness."""
    return CosineBasis(grid).decode(published_coefficients(example + 1)[example:].to(device))


def homogeneous(grid: Grid, speed_kms: float, device: torch.device) -> torch.Tensor:
    """(1, nx, nz), squared slowness."""
    return torch.full((1, *grid.shape), speed_kms**-2, dtype=torch.float64, device=device)


def as_complex(data: torch.Tensor, acquisition: Acquisition) -> torch.Tensor:
    """Stacked data (B, F * 2 * S * R) of an operator as complex (B, F, S, R)."""
    shape = -1, 2, len(acquisition.sources_km), len(acquisition.receivers_km)
    return torch.complex(*data.unflatten(1, shape).unbind(2))


def greens_function(acquisition: Acquisition, frequency_hz: float, speed_kms: float) -> torch.Tensor:
    """-(i/4) H0^(1)(k r) from every source to every receiver, complex (S, R)."""
    r = torch.cdist(acquisition.sources_km, acquisition.receivers_km)
    return torch.from_numpy(-0.25j * hankel1(0, 2 * math.pi * frequency_hz / speed_kms * r.numpy()))


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """|a - b| / |b|."""
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


def greens_error(operator: ForwardOperator, acquisition: Acquisition, speed_kms: float, device: torch.device) -> float:
    """Relative error of the data of a homogeneous medium at 6 Hz."""
    data = as_complex(operator(homogeneous(operator.grid, speed_kms, device)), acquisition)[0, 0]
    return relative(data.cpu(), greens_function(acquisition, FREQUENCY_HZ, speed_kms))


def snapped(acquisition: Acquisition, grid: Grid) -> Acquisition:
    """Every position moved to the nearest cell centre, where a stencil can put it."""

    def nearest(positions):
        return ((positions / grid.spacing_km - 0.5).round() + 0.5) * grid.spacing_km

    return Acquisition(nearest(acquisition.sources_km), nearest(acquisition.receivers_km))


def spectral_accuracy(orders, elements, device) -> dict[int, list[tuple[float, float]]]:
    """For each order, (unknowns to a wavelength, relative error) of meshes with ``elements`` a side, published survey.

    Two absorbing elements on each side, so that what is seen is the mesh.
    """
    survey, found = published_acquisition(), {}
    for order in orders:
        found[order] = []
        for count in elements:
            layer = (0.5 + 0.6j,) * 2
            operator = HelmholtzOperator(
                square(64), survey, FREQUENCY_HZ, order=order, elements=(count, count), layer_km=layer, num_layers=2
            )
            unknowns = WAVELENGTH_KM * order * count / SIDE_KM
            found[order].append((unknowns, greens_error(operator, survey, SPEED_KMS, device)))
    return found


def stencil_accuracy(cells) -> list[tuple[float, float]]:
    """(cells to a wavelength, relative error) of the 5-point stencil, the published survey snapped to its cells."""
    found = []
    for count in cells:
        grid = square(count)
        survey = snapped(published_acquisition(), grid)
        operator = FivePointOperator(grid, survey, FREQUENCY_HZ, num_pml_cells=math.ceil(0.3 / grid.spacing_km))
        error = greens_error(operator, survey, SPEED_KMS, torch.device("cpu"))
        found.append((WAVELENGTH_KM / grid.spacing_km, error))
    return found


def layer_errors(make: Callable[[int], HelmholtzOperator], speeds, device) -> dict[int, list[float]]:
    """Error against the Green's function over speeds with one and with two absorbing elements on each side."""
    return {
        layers: [greens_error(make(layers), published_acquisition(), speed, device) for speed in speeds]
        for layers in (1, 2)
    }


def chapters_operator(num_layers: int) -> HelmholtzOperator:
    """:func:`published_operator` with so many absorbing elements on each side."""
    return alike(published_operator(), published_acquisition(), num_layers=num_layers)


def alike(operator: HelmholtzOperator, acquisition: Acquisition, *, num_layers: int) -> HelmholtzOperator:
    """The same mesh and frequency with another survey or number of absorbing elements."""
    across, down = operator.axes[0]
    return HelmholtzOperator(
        operator.grid,
        acquisition,
        operator.frequencies_hz,
        dtype=operator.dtype,
        order=across.order,
        elements=(across.num_elements, down.num_elements),
        layer_km=(across.layer_km, down.layer_km),
        num_layers=num_layers,
    )


# ---- derivatives ---------------------------------------------------------------------------------------------------


def ring_direction(grid: Grid, generator: torch.Generator) -> torch.Tensor:
    """A random change of the outermost ring of cells only, (1, nx, nz), of unit length."""
    direction = random_direction(grid, generator)
    direction[:, 1:-1, 1:-1] = 0
    return direction / direction.norm()


def random_direction(grid: Grid, generator: torch.Generator) -> torch.Tensor:
    """A random change of every cell, (1, nx, nz), of unit length."""
    shape = 1, *grid.shape
    direction = torch.randn(shape, dtype=torch.float64, device=generator.device, generator=generator)
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

    def pad(self, m: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(m[:, None], (self.num_cells,) * 4, mode="replicate")[:, 0]

    def __call__(self, m: torch.Tensor) -> torch.Tensor:
        return self.larger(self.pad(m))

    def cropped_gradient(self, m: torch.Tensor) -> torch.Tensor:
        """The gradient in the larger square with its margin cut off: the share of the repeated cells is lost."""
        padded = self.pad(m).detach().requires_grad_()
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
    v = torch.randn(model.shape, dtype=model.dtype, device=model.device, generator=generator)
    data, tangent = torch.func.jvp(forward, (model,), (v,))
    w = torch.randn(data.shape, dtype=data.dtype, device=data.device, generator=generator)
    (cotangent,) = torch.func.vjp(forward, model)[1](w)
    return float(((tangent * w).sum() - (v * cotangent).sum()).abs() / (tangent.norm() * w.norm()))


def reciprocity_gap(operator: HelmholtzOperator, model: torch.Tensor) -> float:
    """Relative change of the data when sources and receivers trade places."""
    survey = operator.acquisition
    swapped = Acquisition(survey.receivers_km, survey.sources_km)
    there = alike(operator, swapped, num_layers=operator.axes[0][0].num_layers)
    return relative(as_complex(there(model), swapped).mT, as_complex(operator(model), survey))


# ---- the other solver ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class TimeAgainstFrequency:
    """frequencies_hz (F,); differences (F,), relative, of the traces' Fourier transform from the Helmholtz data.

    traces: (R, nt) of the source; in_time, in_frequency: (F, R), complex.
    """

    frequencies_hz: list[float]
    differences: list[float]
    traces: torch.Tensor
    in_time: torch.Tensor
    in_frequency: torch.Tensor


def time_against_frequency(
    frequencies_hz, *, cells: int, num_samples: int, dt_s: float, example: int, device: torch.device
) -> TimeAgainstFrequency:
    """A published model: deepwave's traces of one source, transformed, against the spectral elements, both to
    receivers across the bottom; the model is sampled on cells x cells for both, and goes on outside by its edge value.
    """
    grid = square(cells)
    survey = published_acquisition()
    one = Acquisition(survey.sources_km[7:8], survey.receivers_km[::7])
    model = published_model(grid, example, device)
    wavelet = ricker(FREQUENCY_HZ, num_samples, dt_s)
    waves = AcousticOperator(grid, one, wavelet.to(device), dt_s)
    with torch.no_grad():
        traces = waves.traces(waves(velocity(model)))
        in_time = fourier(traces, waves.wavelet, dt_s, frequencies_hz, step_s=waves.step_s)[0, :, 0]
        spectral = HelmholtzOperator(grid, one, frequencies_hz)
        in_frequency = as_complex(spectral(model), one)[0, :, 0]
    pairs = zip(in_time, in_frequency, strict=True)
    differences = [relative(there, here) for there, here in pairs]
    return TimeAgainstFrequency(list(frequencies_hz), differences, traces[0, 0].T, in_time, in_frequency)
