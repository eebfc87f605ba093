"""The Gaussian likelihood.

Data = F(x) + noise, noise of standard deviation gamma = ``noise_std`` in each REAL component.
"""

import math
import warnings

import torch

from memprior._check import expect, expect_finite, expect_like, expect_tensor, positive_number
from memprior._derivatives import derivatives_wanted
from memprior._random import normal
from memprior.operators import ForwardOperator, expect_traced, predicted

ROUNDINGS = 10  # of the data, below which a noise level is not carried by their dtype


class GaussianLikelihood:
    r"""The Gaussian likelihood, normalized.

    .. math:: p(y \mid x) = N(y; F(x), \gamma^2 I_m)

    Args:
        forward: F, (B, ...) -> (B, m).
        observed: y, (m,), finite.
        noise_std: gamma, a number > 0, in the data's unit: the standard deviation of each real component.

    Raises:
        ValueError: an argument that is none of these; F's data without m components or of another dtype or device; a
            gradient taken through data that move with x and are not made by torch (see
            :func:`memprior.operators.expect_traced`, asked once, where the first gradient begins). Names the argument.

    Warns where a few roundings of the data are as large as the noise.

    Example:
        >>> import torch
        >>> from memprior.likelihood import GaussianLikelihood
        >>> from memprior.operators import MatrixOperator
        >>> likelihood = GaussianLikelihood(MatrixOperator(torch.eye(2)), torch.tensor([1.0, 2.0]), noise_std=0.5)
        >>> likelihood.score(torch.zeros(1, 2))
        tensor([[4., 8.]])
    """

    def __init__(self, forward: ForwardOperator, observed: torch.Tensor, noise_std: float):
        expect_tensor("observed", observed, "(m,)")
        expect(observed.ndim == 1 and len(observed) > 0, "observed", "shape (m,), m >= 1", tuple(observed.shape))
        expect_finite("observed", observed)
        self.forward, self.observed = forward, observed
        self.noise_std, self._traced = positive_number("noise_std", noise_std), False
        least = ROUNDINGS * torch.finfo(observed.dtype).eps * float(observed.abs().max())
        if self.noise_std < least:
            warnings.warn(
                f"noise_std: expected at least {least:.3g}, {ROUNDINGS} roundings of these data in {observed.dtype}, "
                f"got {self.noise_std:.3g}: likelihoods are rounding; use a wider dtype",
                stacklevel=2,
            )

    def predicted(self, x: torch.Tensor) -> torch.Tensor:
        """F(x), (B, m), ready for a gradient."""
        if not self._traced and derivatives_wanted(x) and len(x) > 0:
            expect_traced(self.forward, x)
            self._traced = True
        data = predicted(self.forward, x)
        expect(
            data.shape == (len(x), len(self.observed)),
            "forward",
            f"data of shape ({len(x)}, {len(self.observed)}), as observed has",
            tuple(data.shape),
        )
        expect_like("forward", data, self.observed)
        return data

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        """y - F(x), (B, m)."""
        return self.observed - self.predicted(x)

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """``log p(y | x) = -|y - F(x)|^2 / 2 gamma^2 - (m/2) log(2 pi gamma^2)``, (B,)."""
        normalizer = 0.5 * len(self.observed) * math.log(2 * math.pi * self.noise_std**2)
        return -0.5 * self.residual(x).square().sum(1) / self.noise_std**2 - normalizer

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """grad_x log p(y | x), of x's shape: one reverse pass for the whole batch."""
        return self.value_and_score(x)[1]

    def value_and_score(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """log_prob (B,) and its gradient (of x's shape) from one solve."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            value = self.log_prob(x)
            (gradient,) = torch.autograd.grad(value.sum(), x, materialize_grads=True)
        return value.detach(), gradient


def observe(
    forward: ForwardOperator,
    truth: torch.Tensor,
    noise_std: float,
    *,
    generator: torch.Generator,
    data_forward: ForwardOperator | None = None,
) -> GaussianLikelihood:
    r"""Noisy data of a known truth, and the likelihood that assumes exactly that noise: both in one place.

    .. math:: y = F_\mathrm{data}(x) + \gamma \epsilon, \qquad \epsilon \sim N(0, I_m)

    Args:
        forward: F, (B, ...) -> (B, m), that the likelihood inverts with.
        truth: x, one model, without a batch axis.
        noise_std: gamma > 0.
        generator: draws eps.
        data_forward: makes the data where it should not be the operator that inverts them (the same operator for both
            is an inverse crime).

    Returns:
        The likelihood; the data are its ``observed``.

    Raises:
        ValueError: unless noise_std > 0 and the truth is finite.
        TypeError: a truth that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.likelihood import observe
        >>> from memprior.operators import CubicOperator
        >>> likelihood = observe(CubicOperator(), torch.ones(1), 0.1, generator=torch.Generator().manual_seed(0))
        >>> likelihood.observed.shape, likelihood.noise_std
        (torch.Size([1]), 0.1)
    """
    noise_std = positive_number("noise_std", noise_std)
    expect_tensor("truth", truth, "(d,), or one model")
    expect_finite("truth", truth)
    with torch.no_grad():
        clean = (forward if data_forward is None else data_forward)(truth[None])[0]
    noise = normal(*clean.shape, like=clean, generator=generator)
    return GaussianLikelihood(forward, clean + noise_std * noise, noise_std)


def noisy(clean: torch.Tensor, noise_std: float, generator: torch.Generator) -> torch.Tensor:
    """Data with one draw of the noise.

    Args:
        clean: (m,).
        noise_std: standard deviation of each real component.
        generator: draws the noise.

    Returns:
        (m,).

    Example:
        >>> import torch
        >>> from memprior.likelihood import noisy
        >>> clean = torch.zeros(1000)
        >>> 0.4 < float(noisy(clean, 0.5, torch.Generator().manual_seed(0)).std()) < 0.6
        True
    """
    return clean + noise_std * normal(*clean.shape, like=clean, generator=generator)
