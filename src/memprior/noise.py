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
    r"""Levels of the linear-beta schedule, in variance-exploding coordinates.

    .. math:: \sigma_t = \sqrt{(1 - \bar\alpha_t) / \bar\alpha_t}, \qquad \bar\alpha_t = \prod_{s \le t} (1 - \beta_s)

    The variance-preserving iterate sqrt(abar) x_0 + sqrt(1 - abar) eps, divided by sqrt(abar), is ours at this sigma
    (schedule of the paper's experiment; its 200 steps stop at abar = .132, so sigma_T is only 2.56).

    Args:
        num_steps: T >= 1.
        beta_min: beta of the first step, > 0.
        beta_max: beta of the last step, from beta_min to below 1.

    Returns:
        (num_steps + 1,), float64, descending, ending in 0.

    Raises:
        ValueError: num_steps < 1, or betas not with 0 < beta_min <= beta_max < 1.

    Example:
        >>> from memprior.noise import ddpm_sigmas
        >>> sigmas = ddpm_sigmas(200)
        >>> sigmas.shape, round(float(sigmas[0]), 2), float(sigmas[-1])
        (torch.Size([201]), 2.56, 0.0)
    """
    expect_whole("num_steps", num_steps, 1)
    expect(0 < beta_min <= beta_max < 1, "beta_min, beta_max", "0 < beta_min <= beta_max < 1", (beta_min, beta_max))
    log_abar = torch.log1p(-torch.linspace(beta_min, beta_max, num_steps, dtype=torch.float64)).cumsum(0)
    return _ending_in_zero(torch.expm1(-log_abar).sqrt().flip(0))


def karras_sigmas(num_steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> torch.Tensor:
    """Levels evenly spaced in sigma^(1/rho) from sigma_max down to sigma_min, then 0 (Karras et al. 2022, Eq. 5).

    Args:
        num_steps: T >= 2.
        sigma_min: the last level above 0.
        sigma_max: the first level, above sigma_min; take it well above the spread of the prior.
        rho: > 0; larger values put more levels at small sigma.

    Returns:
        (num_steps + 1,), float64, descending, ending in 0.

    Raises:
        ValueError: unless num_steps >= 2, 0 < sigma_min < sigma_max and rho > 0.

    Example:
        >>> from memprior.noise import karras_sigmas
        >>> karras_sigmas(3, 0.1, 10.0, rho=1.0)
        tensor([10.0000,  5.0500,  0.1000,  0.0000], dtype=torch.float64)
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
    r"""Noised examples, :math:`x_\sigma = x_0 + \sigma \epsilon` with :math:`\epsilon \sim N(0, I)`.

    Args:
        x: x_0, (B, d).
        sigma: noise level > 0, a scalar or (B,).
        generator: draws eps.

    Returns:
        x_sigma, (B, d), in the dtype and on the device of x.

    Raises:
        ValueError: unless sigma > 0.

    Example:
        >>> import torch
        >>> from memprior.noise import perturb
        >>> x = torch.zeros(2000, 1, dtype=torch.float64)
        >>> noised = perturb(x, 3.0, generator=torch.Generator().manual_seed(0))
        >>> 2.8 < float(noised.std()) < 3.2
        True
    """
    expect_points("x", x)
    return x + column_of("sigma", sigma, x) * normal(*x.shape, like=x, generator=generator)


def _ending_in_zero(sigmas: torch.Tensor) -> torch.Tensor:
    return torch.cat([sigmas, sigmas.new_zeros(1)])


def geometric_sigmas(top: float, bottom: float, num_steps: int) -> torch.Tensor:
    """Levels with one ratio between neighbors; they end above 0, where the denoiser D has chosen an example.

    Args:
        top: the first level.
        bottom: the last level, > 0 and below top.
        num_steps: number of steps T.

    Returns:
        (num_steps + 1,), float64, descending from top to bottom.

    Raises:
        ValueError: unless 0 < bottom < top.

    Example:
        >>> from memprior.noise import geometric_sigmas
        >>> geometric_sigmas(1.0, 0.01, 2)
        tensor([1.0000, 0.1000, 0.0100], dtype=torch.float64)
    """
    top, bottom = positive_number("top", top), positive_number("bottom", bottom)
    expect(top > bottom, "top", f"a level above the bottom {bottom}", top)
    return torch.logspace(math.log10(top), math.log10(bottom), num_steps + 1, dtype=torch.float64)
