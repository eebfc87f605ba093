"""The Gaussian distribution N(mean, covariance), and the one place where a Gaussian is conditioned on linear data.

Symbols: A a factor of the covariance, A A^T; l, U its eigenpairs; y = M x + gamma e, e ~ N(0, I), the data.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from memprior._check import (
    column_of,
    expect,
    expect_finite,
    expect_like,
    expect_points,
    expect_symmetric,
    expect_tensor,
    expect_whole,
    positive_number,
)
from memprior._random import normal


@dataclass(frozen=True, eq=False)
class Gaussian:
    """The Gaussian distribution :math:`N(m, C)`, or several of one covariance.

    Args:
        mean: m, (d,), or (T, d) for T distributions of one covariance.
        covariance: C, (d, d), symmetric positive semidefinite; it may be singular.
        root: A, (d, k), with A A^T = C; by default U diag(l)^(1/2).

    Raises:
        ValueError: shapes that do not fit, a number that is not finite, or a covariance that is not symmetric or has an
            eigenvalue below zero by more than rounding; names the argument.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.gaussian import Gaussian
        >>> prior = Gaussian(torch.zeros(2), torch.eye(2))
        >>> prior.sample(5, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([5, 2])
        >>> posterior = prior.condition(torch.tensor([[1.0, 0.0]]), torch.tensor([2.0]), noise_std=1.0)
        >>> posterior.mean, posterior.covariance
        (tensor([1., 0.]), tensor([[0.5000, 0.0000],
                [0.0000, 1.0000]]))
    """

    mean: torch.Tensor
    covariance: torch.Tensor
    root: torch.Tensor = None  # type: ignore[assignment]  # None may come, and is a tensor from then on

    def __post_init__(self):
        expect_tensor("mean", self.mean, "(d,) or (T, d)")
        expect(self.mean.ndim in (1, 2), "mean", "shape (d,) or (T, d)", tuple(self.mean.shape))
        size = self.mean.shape[-1]
        expect_points("covariance", self.covariance, size=size)
        shape = tuple(self.covariance.shape)
        expect(shape == (size, size), "covariance", f"shape {(size, size)}, as mean has {size}", shape)
        expect_like("mean", self.mean, self.covariance)
        expect_finite("mean", self.mean)
        expect_finite("covariance", self.covariance)
        expect_symmetric("covariance", self.covariance)
        if self.root is None:
            object.__setattr__(self, "root", self.axes * self.variances.sqrt())

    @cached_property
    def _eigenpairs(self) -> tuple[torch.Tensor, torch.Tensor]:
        variances, axes = torch.linalg.eigh(self.covariance)
        rounding = len(variances) * torch.finfo(self.covariance.dtype).eps * self.covariance.abs().max()
        good = bool(variances.min() >= -rounding)
        expect(good, "covariance", "a positive semidefinite matrix", lambda: f"eigenvalue {float(variances.min()):.3g}")
        return variances.clamp(min=0), axes

    @property
    def variances(self) -> torch.Tensor:
        """The variances l along the principal axes, ascending, (d,)."""
        return self._eigenpairs[0]

    @property
    def axes(self) -> torch.Tensor:
        """The principal axes U, one in each column, (d, d)."""
        return self._eigenpairs[1]

    def sample(self, num: int, *, generator: torch.Generator) -> torch.Tensor:
        """mean + A eps, ``num`` draws of each distribution: (num, d) or (T, num, d)."""
        expect_whole("num", num, 1)
        noise = normal(*self.mean.shape[:-1], num, self.root.shape[1], like=self.mean, generator=generator)
        return self.mean[..., None, :] + noise @ self.root.T

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """-(x - mean)^T C^-1 (x - mean) / 2 - log det(2 pi C) / 2 at x (B, d): (B,), or (T, B).

        Raises ``ValueError`` where the covariance C is singular to rounding: there is no density.
        """
        expect_points("x", x, size=self.mean.shape[-1], like=self.mean)
        least, largest = float(self.variances.min()), float(self.variances.max())
        floor = len(self.variances) * torch.finfo(x.dtype).eps * largest
        expect(
            least > floor, "covariance", "no singular matrix, for a density", f"variances {least:.3g} to {largest:.3g}"
        )
        whitened = (x - self.mean[..., None, :]) @ self.axes / self.variances.sqrt()
        volume = self.variances.log().sum() + len(self.variances) * math.log(2 * math.pi)
        return -0.5 * (whitened.square().sum(-1) + volume)

    def denoiser(self, x: torch.Tensor, sigma) -> torch.Tensor:
        """E[x_0 | x_0 + sigma eps = x] = mean + U diag(l / (l + sigma^2)) U^T (x - mean), (B, d): a ``Denoiser``."""
        expect_points("x", x, size=self.mean.shape[-1], like=self.mean)
        shrink = self.variances / (self.variances + column_of("sigma", sigma, x) ** 2)
        return self.mean + ((x - self.mean) @ self.axes * shrink) @ self.axes.T

    def to(self, like: torch.Tensor) -> "Gaussian":
        """In the dtype and on the device of ``like``."""
        return replace(self, mean=self.mean.to(like), covariance=self.covariance.to(like), root=self.root.to(like))

    def standardized(self, standardizer) -> "Gaussian":
        """The distribution of (x - m) / s for this one of x; ``standardizer`` is a ``fields.Standardizer``."""
        scale = standardizer.scale
        return Gaussian(standardizer.normalize(self.mean), self.covariance / (scale[:, None] * scale))

    def restored(self, standardizer) -> "Gaussian":
        """The distribution of m + s x for this one of x: the way back from :meth:`standardized`."""
        scale = standardizer.scale
        return Gaussian(standardizer.restore(self.mean), self.covariance * scale[:, None] * scale)

    def condition(self, matrix: torch.Tensor, observed: torch.Tensor, noise_std: float) -> "Gaussian":
        r"""The distribution of x given y = M x + gamma e: the posterior of a linear problem, exactly.

        With x = mean + A u, u ~ N(0, I), and :math:`B = M A / \gamma = W \,\mathrm{diag}(s)\, V^T`, u has

        .. math:: V \,\mathrm{diag}\frac{s}{1 + s^2}\, W^T (y - M m) / \gamma
            \qquad\text{and}\qquad V \,\mathrm{diag}\frac{1}{1 + s^2}\, V^T

        for its mean and covariance. Only B^T B is decomposed, (k, k), so digits are lost as 1 / gamma^2.

        Args:
            matrix: M, (m, d).
            observed: y, (m,), or (T, m) for T data sets.
            noise_std: gamma > 0, in each component.

        Returns:
            The posterior, of T means where there are T data sets.

        Raises:
            ValueError: shapes that do not fit, numbers that are not finite, and noise_std where the rounding of B^T B
                would reach 1e-6 of the prior's precision.
        """
        gamma = positive_number("noise_std", noise_std)
        expect_points("matrix", matrix, size=self.mean.shape[-1], like=self.mean)
        expect_tensor("observed", observed, f"({len(matrix)},) or (T, {len(matrix)})")
        fits = observed.ndim in (1, 2) and observed.shape[-1] == len(matrix)
        expect(fits, "observed", f"shape ({len(matrix)},) or (T, {len(matrix)})", tuple(observed.shape))
        expect_like("observed", observed, self.mean)
        expect_finite("observed", observed)
        whitened = matrix @ self.root / gamma
        squares, turn = torch.linalg.eigh(whitened.T @ whitened)
        rounding = len(squares) * torch.finfo(squares.dtype).eps * float(squares.max())
        least = gamma * math.sqrt(rounding / 1e-6)
        expect(rounding <= 1e-6, "noise_std", f"at least {least:.2g} for {squares.dtype} and this matrix", gamma)
        shrink = 1 / (1 + squares.clamp(min=0))
        away = (observed - self.mean @ matrix.T) / gamma
        root = self.root @ turn
        mean = self.mean + (away @ whitened @ turn * shrink) @ root.T
        root = root * shrink.sqrt()
        return Gaussian(mean, root @ root.T, root)
