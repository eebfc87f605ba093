"""Appendix A1, second half: full waveform inversion without a prior, by an accurate solver and by a poor one.

Frozen dataclasses and short functions, no defaults: sizes come from notebooks/profiles.yml.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize

from chapters.a1_waves.accuracy import coarse_on_purpose, snapped
from memprior.fields import CosineBasis
from memprior.likelihood import GaussianLikelihood, observe
from memprior.operators import ForwardOperator
from memprior.paper import (
    FREQUENCY_HZ,
    NOISE_SHARE,
    TRUTH_SEED,
    published_acquisition,
    published_coefficients,
    published_truth,
    square,
)
from memprior.waves import Acquisition
from memprior.waves.helmholtz import HelmholtzOperator
from memprior.waves.stencil import FivePointOperator

_SLOWEST_KMS, _FASTEST_KMS = 1.2, 4.0  # an inversion of cells may not leave these velocities


@dataclass(frozen=True, eq=False)
class MeasuredTruth:
    """A truth and what is measured of it. truth: (1, nx, nz), squared slowness; likelihood of the data."""

    truth: torch.Tensor
    likelihood: GaussianLikelihood


def several_truths(num: int) -> torch.Tensor:
    """Coefficients (num, 100): the paper's truth, then fields of the truths' own stream."""
    unseen = published_coefficients(max(1, num - 1), seed=TRUTH_SEED)
    return torch.cat([published_truth()[None], unseen])[:num]


def survey(
    forward: ForwardOperator,
    cells: int,
    *,
    generator: torch.Generator,
    coefficients: torch.Tensor | None = None,
    data_forward: ForwardOperator | None = None,
    noise_std: float | None = None,
) -> MeasuredTruth:
    """A truth z (100,), the published one unless given, on cells x cells, and its data, by ``data_forward`` if given.

    noise_std: as in the paper unless given, of each real component (then ``forward`` has one frequency).
    """
    z = published_truth() if coefficients is None else coefficients
    truth = CosineBasis(square(cells)).decode(z[None])
    if noise_std is None:
        with torch.no_grad():
            clean = (forward if data_forward is None else data_forward)(truth)
        noise_std = NOISE_SHARE * float(torch.hypot(*clean[0].unflatten(0, (2, -1))).max()) / math.sqrt(2)
    return MeasuredTruth(truth, observe(forward, truth[0], noise_std, generator=generator, data_forward=data_forward))


def without_noise(measured: MeasuredTruth) -> GaussianLikelihood:
    """The likelihood of what its own operator makes of the same truth, without noise, at the same noise level."""
    noisy = measured.likelihood
    with torch.no_grad():
        clean = noisy.forward(measured.truth)[0]
    return GaussianLikelihood(noisy.forward, clean, noisy.noise_std)


@dataclass(frozen=True, eq=False)
class ClassicalInversion:
    """misfits: |y - F|^2 / (2 gamma^2), per datum, at each iterate, the start first; 1/2 is the noise.

    models: iterates (K, nx, nz) after ``iterations``, the start first and the last one last. evaluations: gradients.
    """

    misfits: list[float]
    iterations: list[int]
    models: torch.Tensor
    evaluations: int


def invert(
    likelihood: GaussianLikelihood,
    start: torch.Tensor,
    *,
    to_model: Callable[[torch.Tensor], torch.Tensor],
    bounds: tuple[float, float] | None,
    iterations: list[int],
) -> ClassicalInversion:
    """Least misfit by L-BFGS from ``start`` (one x, without a batch axis), as far as the largest of ``iterations``.

    to_model: x (1, ...) -> squared slowness (1, nx, nz). bounds: of every component of x.
    """
    data, shape, kept, misfits = len(likelihood.observed), start.shape, {}, []
    inner = GaussianLikelihood(lambda x: likelihood.forward(to_model(x)), likelihood.observed, likelihood.noise_std)
    constant = float(len(likelihood.observed)) * 0.5 * math.log(2 * math.pi * likelihood.noise_std**2)

    def objective(flat):
        value, score = inner.value_and_score(torch.from_numpy(flat).reshape(1, *shape))
        return (-float(value) - constant) / data, -score.numpy().ravel() / data

    def keep(x, value):
        if len(misfits) in iterations:
            kept[len(misfits)] = to_model(torch.from_numpy(np.array(x)).reshape(1, *shape))[0]
        misfits.append(value)

    first = start.numpy().ravel()
    keep(first, objective(first)[0])
    with coarse_on_purpose():  # a line search may try slow media
        found = minimize(
            objective,
            first,
            jac=True,
            method="L-BFGS-B",
            bounds=None if bounds is None else [bounds] * first.size,
            callback=lambda intermediate_result: keep(intermediate_result.x, intermediate_result.fun),
            options={"maxiter": max(iterations), "maxcor": 20, "ftol": 0, "gtol": 0},
        )
    return ClassicalInversion(misfits, list(kept), torch.stack(list(kept.values())), found.nfev + 1)


def invert_cells(likelihood: GaussianLikelihood, grid_cells: int, iterations: list[int]) -> ClassicalInversion:
    """Every cell on its own, from the constant background 1/4: no prior but two bounds on velocity."""
    start = torch.full((grid_cells, grid_cells), 0.25, dtype=torch.float64)
    bounds = _FASTEST_KMS**-2, _SLOWEST_KMS**-2
    return invert(likelihood, start, to_model=lambda m: m, bounds=bounds, iterations=iterations)


def invert_coefficients(likelihood: GaussianLikelihood, grid_cells: int, iterations: list[int]) -> ClassicalInversion:
    """The paper's 100 coefficients instead of cells, from zero: smoothness by the basis, still no prior over it."""
    start = torch.zeros(100, dtype=torch.float64)
    decode = CosineBasis(square(grid_cells)).decode
    return invert(likelihood, start, to_model=decode, bounds=None, iterations=iterations)


def model_error(model: torch.Tensor, truth: torch.Tensor) -> float:
    """|m - m_true| over |1/4 - m_true|: 1 is no better than the start."""
    return float((model - truth).norm() / (0.25 - truth).norm())


def coarse_survey() -> Acquisition:
    """The paper's sources and every seventh of its receivers."""
    full = published_acquisition()
    return Acquisition(full.sources_km, full.receivers_km[::7])


def stencil_survey(cells: int) -> tuple[FivePointOperator, HelmholtzOperator]:
    """A 5-point operator on cells x cells and the accurate one for the same positions, both on its cells."""
    grid = square(cells)
    positions = snapped(coarse_survey(), grid)
    pml = math.ceil(0.3 / grid.spacing_km)
    stencil = FivePointOperator(grid, positions, FREQUENCY_HZ, num_pml_cells=pml)
    return stencil, HelmholtzOperator(grid, positions, FREQUENCY_HZ)
