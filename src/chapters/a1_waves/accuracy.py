"""Appendix A1: the wave operators against exact answers, against themselves and against each other.

Frozen dataclasses and short functions, no defaults: sizes come from notebooks/profiles.yml.
"""

import math
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from scipy.special import hankel1

from memprior.fields import CosineBasis, Grid, velocity
from memprior.operators import ForwardOperator
from memprior.paper import (
    FREQUENCY_HZ,
    SIDE_KM,
    SPEED_KMS,
    published_acquisition,
    published_coefficients,
    published_operator,
    square,
)
from memprior.waves import Acquisition
from memprior.waves.helmholtz import HelmholtzOperator
from memprior.waves.helmholtz.operator import REPAIR_ABOVE
from memprior.waves.stencil import FivePointOperator
from memprior.waves.time_domain import AcousticOperator, fourier, ricker

WAVELENGTH_KM = SPEED_KMS / FREQUENCY_HZ


def published_model(grid: Grid, example: int, device: torch.device) -> torch.Tensor:
    """A published training model on ``grid``, (1, nx, nz), squared slowness."""
    return published_models(grid, example + 1, device)[example:]


def published_models(grid: Grid, num: int, device: torch.device) -> torch.Tensor:
    """The first published training models on ``grid``, (num, nx, nz), squared slowness."""
    return CosineBasis(grid).decode(published_coefficients(num).to(device))


def homogeneous(grid: Grid, speed_kms: float, device: torch.device) -> torch.Tensor:
    """(1, nx, nz), squared slowness."""
    return torch.full((1, *grid.shape), speed_kms**-2, dtype=torch.float64, device=device)


def as_complex(data: torch.Tensor, acquisition: Acquisition) -> torch.Tensor:
    """Stacked data (B, F * 2 * S * R) of an operator as complex (B, F, S, R)."""
    shape = -1, 2, len(acquisition.sources_km), len(acquisition.receivers_km)
    return torch.complex(*data.unflatten(1, shape).unbind(2))


def greens_function(acquisition: Acquisition, frequency_hz: float, speed_kms: float) -> torch.Tensor:
    """-(i/4) H0^(1)(k r) from every source to every receiver, complex (S, R)."""
    r = torch.cdist(acquisition.sources_km, acquisition.receivers_km, compute_mode="donot_use_mm_for_euclid_dist")
    return torch.from_numpy(-0.25j * hankel1(0, 2 * math.pi * frequency_hz / speed_kms * r.numpy()))


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """|a - b| / |b|."""
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


def greens_error(operator: ForwardOperator, acquisition: Acquisition, speed_kms: float, device: torch.device) -> float:
    """Relative error of the data of a homogeneous medium at 6 Hz."""
    data = as_complex(operator(homogeneous(operator.grid, speed_kms, device)), acquisition)[0, 0]
    return relative(data.cpu(), greens_function(acquisition, FREQUENCY_HZ, speed_kms))


def snapped(acquisition: Acquisition, grid: Grid) -> Acquisition:
    """Every position moved to the nearest cell center, where a stencil can put it."""

    def nearest(positions):
        return ((positions / grid.spacing_km - 0.5).round() + 0.5) * grid.spacing_km

    return Acquisition(nearest(acquisition.sources_km), nearest(acquisition.receivers_km))


def spectral_accuracy(orders, elements, device) -> dict[int, list[tuple[float, float]]]:
    """For each order, (unknowns per wavelength, relative error) of meshes with ``elements`` a side, published survey.

    Four absorbing elements on each side, so that what is seen is the mesh.
    """
    survey, found = published_acquisition(), {}
    for order in orders:
        found[order] = []
        for count in elements:
            mesh = {"order": order, "elements": (count, count), "layer_km": (0.15 + 0.2j,) * 2, "num_layers": 4}
            with coarse_on_purpose():
                operator = HelmholtzOperator(square(64), survey, FREQUENCY_HZ, **mesh)
                error = greens_error(operator, survey, SPEED_KMS, device)
            found[order].append((WAVELENGTH_KM * order * count / SIDE_KM, error))
    return found


@contextmanager
def coarse_on_purpose():
    """Without the operators' warnings of too few unknowns per wavelength, and of what no rock is like."""
    with warnings.catch_warnings():
        for message in (".*shortest wavelength", ".*velocities of rocks", ".*cubic between cells"):
            warnings.filterwarnings("ignore", message=message, category=UserWarning)
        yield


def stencil_accuracy(cells) -> list[tuple[float, float]]:
    """(cells to a wavelength, relative error) of the 5-point stencil, the published survey snapped to its cells."""
    found = []
    for count in cells:
        grid = square(count)
        survey = snapped(published_acquisition(), grid)
        operator = FivePointOperator(grid, survey, FREQUENCY_HZ, num_pml_cells=math.ceil(0.3 / grid.spacing_km))
        with coarse_on_purpose():
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
    return operator_like(published_operator(), published_acquisition(), num_layers=num_layers)


def operator_like(
    operator: HelmholtzOperator, acquisition: Acquisition, *, num_layers: int, repair_above: float = REPAIR_ABOVE
) -> HelmholtzOperator:
    """The same mesh and frequency with another survey, number of absorbing elements or trust in complex64."""
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
        repair_above=repair_above,
        limit_nodes=operator.limit_nodes,
    )


# ---- digits --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Digits:
    """complex64 against complex128 on B models. growth (B,) of the elimination in complex64.

    plain, repaired: relative errors of the data (B,), without and with the operator's repair; num_repaired of them.
    """

    growth: torch.Tensor
    plain: torch.Tensor
    repaired: torch.Tensor
    num_repaired: int


def digits(num: int, scale: float, device: torch.device) -> Digits:
    """Published models with coefficients ``scale`` times as large; non-physical models are left out."""
    exact, repairing = published_operator(), published_operator(dtype=torch.complex64)
    plain = operator_like(repairing, repairing.acquisition, num_layers=1, repair_above=math.inf)
    models = CosineBasis(exact.grid).decode(scale * published_coefficients(num)).to(device)
    models = models[models.flatten(1).amin(1) > 0]
    with torch.no_grad(), coarse_on_purpose():
        right = exact(models)
        errors = [((one(models) - right).norm(dim=1) / right.norm(dim=1)).cpu() for one in (plain, repairing)]
        return Digits(plain.growth(models)[:, 0].cpu(), *errors, repairing.num_repaired)


# ---- the other solver ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class TimeAgainstFrequency:
    """frequencies_hz (F,); differences (F,), relative, of the traces' Fourier transform from the Helmholtz data.

    traces: (nt, R) of the source; in_time, in_frequency: (F, R), complex.
    """

    frequencies_hz: list[float]
    differences: list[float]
    traces: torch.Tensor
    in_time: torch.Tensor
    in_frequency: torch.Tensor


def time_against_frequency(
    frequencies_hz, *, cells: int, margin: int, num_samples: int, dt_s: float, example: int, device: torch.device
) -> TimeAgainstFrequency:
    """A published model on cells x cells: deepwave's traces of one source, transformed, against the spectral elements.

    Receivers across the bottom. ``margin`` cells around the square repeat its edge cells, for both operators alike;
    with none, each goes on outside in its own way: deepwave with the edge cell's value from that cell's center on,
    the spectral elements with the value extrapolated to the face.
    """
    grid = Grid((cells + 2 * margin,) * 2, SIDE_KM / cells)
    survey, shift = published_acquisition(), margin * SIDE_KM / cells
    one = Acquisition(survey.sources_km[7:8] + shift, survey.receivers_km[::7] + shift)
    model = repeat_edges(published_model(square(cells), example, device), margin)
    waves = AcousticOperator(grid, one, ricker(FREQUENCY_HZ, num_samples, dt_s).to(device), dt_s)
    with torch.no_grad():
        traces = waves.traces(waves(velocity(model)))
        in_time = fourier(traces, waves.wavelet, dt_s, frequencies_hz, step_s=waves.step_s)[0, :, 0]
        spectral = HelmholtzOperator(grid, one, frequencies_hz)
        in_frequency = as_complex(spectral(model), one)[0, :, 0]
    pairs = zip(in_time, in_frequency, strict=True)
    differences = [relative(there, here) for there, here in pairs]
    return TimeAgainstFrequency(list(frequencies_hz), differences, traces[0, 0], in_time, in_frequency)


def repeat_edges(m: torch.Tensor, num_cells: int) -> torch.Tensor:
    """(B, nx, nz) with ``num_cells`` more on every side, equal to the cells at the edge."""
    return torch.nn.functional.pad(m[:, None], (num_cells,) * 4, mode="replicate")[:, 0]
