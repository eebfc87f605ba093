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
    """p(y | x) = N(y; F(x), gamma^2 I_m), normalized.

    forward: (B, ...) -> (B, m). observed: y, (m,), finite. noise_std: gamma, a number > 0, in the data's unit.
    Raises ``ValueError`` naming the argument otherwise, when F's data do not have m components or another dtype or
    device, and when a gradient is taken through data that move with x and are not made by torch (see
    :func:`memprior.operators.expect_traced`, asked once, where the first gradient begins). Warns where a few roundings
    of the data are as large as the noise.
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
    """Make noisy data of a known truth, and the likelihood that assumes exactly that noise: both in one place.

    truth: one model, without a batch axis. data_forward: makes the data where it should not be the operator that
    inverts them (the same operator for both is an inverse crime). y = F_data(truth) + gamma * eps.
    """
    noise_std = positive_number("noise_std", noise_std)
    expect_tensor("truth", truth, "(d,), or one model")
    expect_finite("truth", truth)
    with torch.no_grad():
        clean = (forward if data_forward is None else data_forward)(truth[None])[0]
    noise = normal(*clean.shape, like=clean, generator=generator)
    return GaussianLikelihood(forward, clean + noise_std * noise, noise_std)


def noisy(clean: torch.Tensor, noise_std: float, generator: torch.Generator) -> torch.Tensor:
    """Data (m,) with one draw of the noise."""
    return clean + noise_std * normal(*clean.shape, like=clean, generator=generator)
