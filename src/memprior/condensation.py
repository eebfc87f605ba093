"""Condensation: the noise level at which a noised training example can be told from all the others."""

import math

import torch
from scipy.optimize import brentq

from memprior._check import expect, expect_whole

_LOWEST, _HIGHEST = math.log(1e-6), math.log(1e6)  # log levels that bracket the root


def information(variances: torch.Tensor, sigma: float) -> tuple[float, float]:
    r"""Mean and variance of the information density of x_0 and x_sigma = x_0 + sigma eps, x_0 Gaussian; in nats.

    .. math:: I(\sigma) = \tfrac12 \sum_i \log(1 + \lambda_i / \sigma^2), \qquad
        v(\sigma) = \sum_i \lambda_i / (\lambda_i + \sigma^2)

    The mean is the mutual information.

    Args:
        variances: eigenvalues of the covariance of x_0, (d,); those below zero count as zero.
        sigma: noise level > 0.

    Returns:
        I, v.

    Raises:
        ValueError: unless sigma > 0.

    Example:
        >>> import torch
        >>> from memprior.condensation import information
        >>> mean, variance = information(torch.ones(4), 1.0)
        >>> round(mean, 4), variance  # 2 log 2; 4/2
        (1.3863, 2.0)
    """
    expect(sigma > 0, "sigma", "a noise level > 0", sigma)
    ratios = variances.clamp(min=0).double() / sigma**2
    return 0.5 * float(torch.log1p(ratios).sum()), float((ratios / (1 + ratios)).sum())


def condensation_level(variances: torch.Tensor, num: int) -> float:
    r"""The level at which a noised example of N carries as much information as names one of them.

    .. math:: \tfrac12 \sum_i \log(1 + \lambda_i / \sigma_c^2) = \log N

    After Biroli et al. 2024, where it is the condensation of a random-energy model.

    Args:
        variances: eigenvalues of the covariance of the distribution that examples are drawn from, (d,).
        num: N.

    Returns:
        sigma_c.

    Raises:
        ValueError: num < 2, or variances none of which is above zero.

    Example:
        >>> import torch
        >>> from memprior.condensation import condensation_level
        >>> round(condensation_level(torch.ones(2), 101), 6)  # N^(2/d) - 1 = 100
        0.1
    """
    expect_whole("num", num, 2)
    expect(bool((variances > 0).any()), "variances", "at least one above zero", lambda: variances[:8].tolist())

    def excess(log_sigma: float) -> float:
        return information(variances, math.exp(log_sigma))[0] - math.log(num)

    return math.exp(brentq(excess, _LOWEST, _HIGHEST, xtol=1e-10))
