"""The paper's full waveform inversion: noise, truths, schedule, step, threshold."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from memprior._check import expect
from memprior._random import normal
from memprior.denoiser import EmpiricalDenoiser, GaussianDenoiser
from memprior.fields import CosineBasis, Grid, Standardizer
from memprior.intervals import Share
from memprior.likelihood import GaussianLikelihood
from memprior.memorization import PAPER_RATIO, memorization_ratio, nearest_neighbors
from memprior.noise import ddpm_sigmas
from memprior.operators import ForwardOperator, MatrixOperator, compose, jacobian
from memprior.paper.fields import TRUTH_SEED, published_coefficients, published_grid, published_law, published_truth
from memprior.paper.survey import published_operator, reference_operator
from memprior.waves.helmholtz import FreezeInvalid

NOISE_SHARE = 0.055  # the paper's noise: standard deviation of the complex noise over the largest |datum|
NOISE_SEED = 1123  # of the authors' draw, numpy's default_rng
SIGMAS, STEP_SIZE = ddpm_sigmas(200), 0.07  # of the released sampler
MEMORIZED_BELOW = PAPER_RATIO  # the paper's threshold for r


class GridOperator(ForwardOperator, Protocol):
    """Squared slowness (B, nx, nz) on ``grid`` -> data (B, m)."""

    @property
    def grid(self) -> Grid: ...


@dataclass(frozen=True, eq=False)
class Inversion:
    """The paper's inverse problem. operator: its survey; truth: z, (100,); likelihood: of raw coefficients z (B, 100).

    guard: handles non-physical models in a sampler's run, and counts them.
    """

    operator: GridOperator
    guard: FreezeInvalid
    truth: torch.Tensor
    likelihood: GaussianLikelihood

    @cached_property
    def slope(self) -> torch.Tensor:
        """The Jacobian of F at the truth, (m, 100), used by every linearization here."""
        return jacobian(self.likelihood.forward, self.truth[None])[0]


def published_inversion(
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    *,
    operator: GridOperator | None = None,
    truth: str | torch.Tensor = "published",
    noise: torch.Tensor | None = None,
    finer: bool = False,
) -> Inversion:
    """The paper's inversion: data of a true model by an operator, with noise of the paper's level.

    Args:
        dtype: of the published operator's fields; complex64 unless it is given.
        device: of the truth and of its data; where the truth is unless it is given, the CPU for a name.
        operator: squared slowness (B, nx, nz) -> data (B, m), in place of the published one for any velocity.
        truth: one of ``TRUTHS``, or coefficients z, (100,).
        noise: (m,), added to the clean data; the authors' draw unless it is given. ``noise_std`` is the paper's.
        finer: the data come from 200 x 200 cells and a mesh whose error does not matter; they are inverted as always.

    Raises:
        ValueError: another truth, a noise of another size, or a dtype beside an operator, which has its own.

    Example:
        >>> from memprior.paper import published_inversion
        >>> inversion = published_inversion()
        >>> inversion.truth.shape, inversion.likelihood.observed.shape
        (torch.Size([100]), torch.Size([5880]))
    """
    expect(operator is None or dtype is None, "dtype", "None beside an operator, which has its own", dtype)
    if not isinstance(truth, torch.Tensor):
        expect(truth in TRUTHS, "truth", f"one of {tuple(TRUTHS)}", truth)
        truth = TRUTHS[truth]()
    if operator is None:  # a sampler visits models with any velocity
        operator = published_operator(dtype=dtype or torch.complex64, any_velocity=True)
    basis = CosineBasis(operator.grid)
    expect(truth.shape == (basis.size,), "truth", f"shape ({basis.size},)", tuple(truth.shape))
    guard, z = FreezeInvalid(operator), truth.to(device)
    forward = compose(guard, basis)
    with torch.no_grad():
        clean = (finer_forward() if finer else forward)(z[None])[0]
    drawn, noise_std = authors_noise(clean)
    if noise is not None:
        expect(noise.shape == clean.shape, "noise", f"shape {tuple(clean.shape)}", tuple(noise.shape))
        drawn = noise.to(clean)
    return Inversion(operator, guard, z, GaussianLikelihood(forward, clean + drawn, noise_std))


def finer_forward() -> ForwardOperator:
    """The paper's survey on its own 200 x 200 cells, by elements of order 12: nothing shared but the physics."""
    operator = reference_operator(Grid((200, 200), 0.01))
    return compose(operator, CosineBasis(operator.grid))


def unseen_truth() -> torch.Tensor:
    """The first field of the truths' own stream, (100,): in no training set, and none of the held-out fields."""
    return published_coefficients(1, seed=TRUTH_SEED)[0]


def disc_truth() -> torch.Tensor:
    """A fast disc, 2.25 in 2 km/s, .35 km in radius, as far as 100 cosines represent it: about half of its contrast.

    Outside the support of the distribution of the examples. (100,).
    """
    grid = published_grid()
    at = (torch.arange(64, dtype=torch.float64) + 0.5) * grid.spacing_km
    inside = torch.hypot(at[:, None] - 1.2, at[None, :] - 0.9) < 0.35
    return CosineBasis(grid).encode(0.25 + (2.25**-2 - 0.25) * inside.double()[None])[0]


TRUTHS = {"published": published_truth, "unseen": unseen_truth, "disc": disc_truth}


def standardized(likelihood: GaussianLikelihood, standardizer: Standardizer) -> GaussianLikelihood:
    """The likelihood of raw z as a function of (z - mean) / std.

    Example:
        >>> import torch
        >>> from memprior.fields import Standardizer
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.operators import MatrixOperator
        >>> from memprior.paper import standardized
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(1)), torch.tensor([3.0]), noise_std=1.0)
        >>> scaled = standardized(likelihood, Standardizer(torch.ones(1), 2 * torch.ones(1)))
        >>> scaled.residual(torch.ones(1, 1))  # z = 1 + 2 * 1
        tensor([[0.]])
    """
    forward = compose(likelihood.forward, standardizer.restore)
    return GaussianLikelihood(forward, likelihood.observed, likelihood.noise_std)


def tangent(inversion: Inversion, observed: torch.Tensor | None = None) -> GaussianLikelihood:
    """The likelihood of raw z with F linearized at the truth, by 100 numbers instead of 5880 data.

    With J = Q R, ``|y - F(t) - J (z - t)|^2 = |Q^T (y - F(t)) + R t - R z|^2`` and a rest that no z can change.

    observed: y, (m,), with another draw of the noise; those of ``inversion`` unless they are given.

    Example:
        >>> from memprior.paper import published_inversion, tangent
        >>> tangent(published_inversion()).forward.matrix.shape
        torch.Size([100, 100])
    """
    likelihood, truth = inversion.likelihood, inversion.truth
    observed = likelihood.observed if observed is None else observed
    q, r = torch.linalg.qr(inversion.slope)
    with torch.no_grad():
        pulled = q.T @ (observed - likelihood.forward(truth[None])[0]) + r @ truth
    return GaussianLikelihood(MatrixOperator(r), pulled, likelihood.noise_std)


def authors_noise(clean: torch.Tensor) -> tuple[torch.Tensor, float]:
    """(noise (m,), its standard deviation in each real component) for clean data (m,).

    n = gamma_c (a + i b) / sqrt(2), a then b standard normals, ``gamma_c = 0.055 max |d|``.
    """
    scale = NOISE_SHARE * float(torch.hypot(*clean.unflatten(0, (2, -1))).max()) / math.sqrt(2)
    rng = np.random.default_rng(NOISE_SEED)
    draws = np.stack([rng.standard_normal(len(clean) // 2) for _ in range(2)])
    return scale * torch.from_numpy(draws).to(clean).flatten(), scale


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """N published examples, raw (N, 100), and the coordinates that diffusion runs in: standardized by them.

    Example:
        >>> import torch
        >>> from memprior.paper import TrainingSet
        >>> train_set = TrainingSet.published(3, torch.device("cpu"))
        >>> train_set.ratio(train_set.examples)  # copies
        tensor([0., 0., 0.], dtype=torch.float64)
    """

    examples: torch.Tensor
    standardizer: Standardizer

    @classmethod
    def published(cls, num: int, device: torch.device) -> "TrainingSet":
        examples = published_coefficients(num)
        return cls(examples.to(device), Standardizer.fit(examples).to(device))

    @property
    def standardized(self) -> torch.Tensor:
        """The examples in the coordinates of diffusion, (N, 100)."""
        return self.standardizer.normalize(self.examples)

    @property
    def memorized_prior(self) -> EmpiricalDenoiser:
        """The exactly memorized prior's denoiser."""
        return EmpiricalDenoiser(self.standardized)

    @property
    def true_prior(self) -> GaussianDenoiser:
        """The denoiser of the true prior, the distribution that the examples were drawn from."""
        true = published_law().to(self.examples).standardized(self.standardizer)
        return GaussianDenoiser(true.mean, true.covariance)

    def ratio(self, z: torch.Tensor) -> torch.Tensor:
        """The paper's r = d_1 / mean(d_2..d_k), k = min(50, N), of raw samples (B, 100)."""
        return memorization_ratio(nearest_neighbors(z, self.examples, min(50, len(self.examples))))


def start(num_samples: int, like: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
    """N(0, I) in the released sampler's own, variance-preserving iterate, (num_samples, d)."""
    eps = normal(num_samples, like.shape[-1], like=like, generator=generator)
    return eps * float((1 + SIGMAS[0] ** 2).sqrt())


def memorized_share(ratios: torch.Tensor, weights: torch.Tensor | None = None) -> Share:
    """Share of ratios r (B,) below the paper's threshold; weights: (B,), adding up to one."""
    return Share.of_flags(ratios < MEMORIZED_BELOW, weights)
