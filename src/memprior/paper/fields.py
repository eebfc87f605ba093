"""The paper's training fields, its true model, and the true prior that they are draws of."""

import numpy as np
import torch

from memprior._check import expect_whole
from memprior.fields import CosineBasis, Grid
from memprior.gaussian import Gaussian

# Extremes of the velocities the fields are scaled to, 1.5 and 3 km/s, as squared slowness in s^2/km^2.
FASTEST, SLOWEST = 1 / 9, 1 / 2.25
SIDE_KM = 2.0  # of the paper's square
TRAINING_SEED = 42  # of the paper's training fields
HELD_OUT_SEED = 12345  # of the fields that no published training set holds
TRUTH_SEED = 2026  # of truths to invert for: in no training set, and none of the held-out fields
_CONTRAST, _CENTER = (SLOWEST - FASTEST) / 6, (SLOWEST + FASTEST) / 2  # scale and mean of the published fields


def square(cells: int) -> Grid:
    """The paper's 2 km x 2 km in cells x cells.

    Example:
        >>> from memprior.paper import square
        >>> square(64)
        Grid(shape=(64, 64), spacing_km=0.03125)
    """
    return Grid((cells, cells), SIDE_KM / cells)


def published_grid() -> Grid:
    """The 64 x 64 cells of 31.25 m on which the paper's training fields are drawn.

    Example:
        >>> from memprior.paper import published_grid
        >>> published_grid()
        Grid(shape=(64, 64), spacing_km=0.03125)
    """
    return square(64)


def published_fields(num: int, *, seed: int = TRAINING_SEED) -> torch.Tensor:
    """The paper's training fields: squared slowness (num, 64, 64), s^2/km^2, float64 (settings of the released code).

    A stationary Gaussian field with amplitude ``(4 pi^2 |k|^2 + 25)^(-3/2)`` over integer wavenumbers, none at k = 0.
    One block of real normals from numpy's legacy RandomState, so sets of different size are nested; real noise in
    wavenumber makes every field point-symmetric. seed 42: the training set; 12345: held-out draws;
    2026: truths that are in neither.

    Example:
        >>> from memprior.paper import published_fields
        >>> fields = published_fields(2)
        >>> fields.shape, bool((fields[:1] == published_fields(1)).all())
        (torch.Size([2, 64, 64]), True)
    """
    expect_whole("num", num, 1)
    noise = np.random.RandomState(seed).standard_normal((num, 64, 64))
    waves = np.fft.ifft2(64**2 * _amplitude() * noise).real
    return torch.from_numpy(waves * _CONTRAST + _CENTER)


def _amplitude() -> np.ndarray:
    """Spectral amplitude of the published fields over integer wavenumbers, (64, 64); its squares sum to one."""
    k = np.fft.fftfreq(64, 1 / 64)
    amplitude = (4 * np.pi**2 * (k[:, None] ** 2 + k[None, :] ** 2) + 25) ** -1.5
    amplitude[0, 0] = 0
    return amplitude / np.sqrt((amplitude**2).sum())


def published_coefficients(num: int, *, seed: int = TRAINING_SEED) -> torch.Tensor:
    """Coefficients z of the published fields, (num, 100), which the paper's priors are trained on.

    Example:
        >>> from memprior.paper import published_coefficients
        >>> published_coefficients(2).shape
        torch.Size([2, 100])
    """
    return CosineBasis(published_grid()).encode(published_fields(num, seed=seed))


def published_truth() -> torch.Tensor:
    """The paper's true model, (100,).

    The mean of training examples 8, 9 and 24 (0-based), in the hull of every training set.

    Example:
        >>> from memprior.paper import published_truth
        >>> published_truth().shape
        torch.Size([100])
    """
    return published_coefficients(25)[[8, 9, 24]].mean(0)


def published_law() -> Gaussian:
    """The true prior, the distribution that the published coefficients are draws of.

    z is linear in the white noise w of a field: its map is the analysis of a real part of an inverse Fourier transform,
    whose transpose is the real part of a forward one. Exact but for rounding. Its variances fall without a gap, so it
    has no numerical rank: of the 100, 88 are above 1e-8 of the largest, 92 above 1e-10 and 96 above 1e-12.

    Example:
        >>> from memprior.paper import published_law
        >>> law = published_law()
        >>> int((law.variances > 1e-8 * law.variances.max()).sum())
        88
    """
    basis = CosineBasis(published_grid())
    analysis = basis._analysis.reshape(-1, 64, 64).numpy()
    noise_to_z = torch.from_numpy(_CONTRAST * _amplitude() * np.fft.fft2(analysis).real).flatten(1)
    mean = basis.encode(torch.full((1, 64, 64), _CENTER, dtype=torch.float64))[0]
    return Gaussian(mean, noise_to_z @ noise_to_z.T)


class FieldSpace:
    """Coefficients z (B, d) to coordinates in which distances are those between decoded fields, without the cells.

    Decoding is linear plus a constant, so ``|field - field'|^2 = (z - z')^T G (z - z')`` with G its Gram matrix.
    """

    def __init__(self, device: torch.device):
        basis = CosineBasis(published_grid())
        eye = torch.eye(basis.size, dtype=torch.float64)
        columns = (basis.decode(eye) - basis.decode(0 * eye)).flatten(1)
        variances, axes = torch.linalg.eigh(columns @ columns.T)
        self._map = (axes * variances.clamp(min=0).sqrt()).to(device)

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return z @ self._map
