"""Noise levels, as plain descending tensors of sigma.

The whole book writes x_sigma = x_0 + sigma * eps, eps ~ N(0, I) ("variance exploding" coordinates). A schedule of
T steps is the tensor (sigma_T, ..., sigma_1, 0): a sampler walks along it, and nothing else has to be known about
it.
"""

import math

import torch

from memprior._check import column_of, expect, expect_points, expect_positive, expect_whole, positive_number
from memprior._random import normal


def ddpm_sigmas(num_steps: int, beta_min: float = 1e-4, beta_max: float = 2e-2) -> torch.Tensor:
    """Levels of the linear-beta schedule, sigma_t = sqrt((1 - abar_t) / abar_t) with abar_t = prod_{s<=t} (1 - beta_s).

    The variance-preserving iterate sqrt(abar) x_0 + sqrt(1 - abar) eps, divided by sqrt(abar), is ours at this sigma
    (schedule of the paper's experiment; its 200 steps stop at abar = .132, so sigma_T is only 2.56).

    Returns (num_steps + 1,), float64, descending, ending in 0. Raises ``ValueError`` for num_steps < 1 or betas not
    with 0 < beta_min <= beta_max < 1.
    """
    expect_whole("num_steps", num_steps, 1)
    expect(0 < beta_min <= beta_max < 1, "beta_min, beta_max", "0 < beta_min <= beta_max < 1", (beta_min, beta_max))
    log_abar = torch.log1p(-torch.linspace(beta_min, beta_max, num_steps, dtype=torch.float64)).cumsum(0)
    return _ending_in_zero(torch.expm1(-log_abar).sqrt().flip(0))


def karras_sigmas(num_steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> torch.Tensor:
    """Levels evenly spaced in sigma^(1/rho) from sigma_max down to sigma_min, then 0 (Karras et al. 2022, Eq. 5).

    Returns (num_steps + 1,), float64. Raises ``ValueError`` unless num_steps >= 2, 0 < sigma_min < sigma_max and
    rho > 0.
    """
    expect_whole("num_steps", num_steps, 2)
    expect(
        0 < sigma_min < sigma_max < float("inf"),
        "sigma_min, sigma_max",
        "0 < sigma_min < sigma_max",
        (sigma_min, sigma_max),
    )
    expect_positive("rho", rho)
    roots = torch.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), num_steps, dtype=torch.float64)
    return _ending_in_zero(roots**rho)


def perturb(x: torch.Tensor, sigma, *, generator: torch.Generator) -> torch.Tensor:
    """x_sigma = x_0 + sigma * eps for x (B, d) and sigma a scalar or (B,); ``ValueError`` unless sigma > 0."""
    expect_points("x", x)
    return x + column_of("sigma", sigma, x) * normal(*x.shape, like=x, generator=generator)


def _ending_in_zero(sigmas: torch.Tensor) -> torch.Tensor:
    return torch.cat([sigmas, sigmas.new_zeros(1)])


def geometric_sigmas(top: float, bottom: float, num_steps: int) -> torch.Tensor:
    """(num_steps + 1,) levels from ``top`` to ``bottom`` with one ratio; it ends above 0, where D has chosen."""
    top, bottom = positive_number("top", top), positive_number("bottom", bottom)
    expect(top > bottom, "top", f"a level above the bottom {bottom}", top)
    return torch.logspace(math.log10(top), math.log10(bottom), num_steps + 1, dtype=torch.float64)
