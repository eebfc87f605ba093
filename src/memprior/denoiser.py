"""Denoisers: one contract for every prior, so that a sampler cannot tell a network from a formula.

D(x, sigma) = E[x_0 | x_sigma = x], and by Tweedie's formula score = (D(x, sigma) - x) / sigma^2.
"""

from typing import Protocol

import torch

from memprior._check import column_of, expect, expect_points, expect_positive, expect_tensor, expect_train_set
from memprior._derivatives import followed
from memprior.gaussian import Gaussian
from memprior.mixture import IsotropicMixture, PointCloud, normalized_log_weights


class Denoiser(Protocol):
    """x (B, d), sigma scalar or (B,), > 0 -> (B, d)."""

    def __call__(self, x: torch.Tensor, sigma) -> torch.Tensor: ...


def score(denoiser: Denoiser, x: torch.Tensor, sigma) -> torch.Tensor:
    r"""The score from the denoiser, by Tweedie's formula.

    .. math:: \nabla \log p_\sigma(x) = (D(x, \sigma) - x) / \sigma^2

    Args:
        denoiser: D.
        x: (B, d).
        sigma: noise level > 0, a scalar or (B,).

    Returns:
        (B, d).

    Raises:
        ValueError: unless sigma > 0.

    Example:
        >>> import torch
        >>> from memprior.denoiser import GaussianDenoiser, score
        >>> score(GaussianDenoiser(torch.zeros(1), torch.eye(1)), torch.tensor([[4.0]]), 1.0)  # of N(0, 2)
        tensor([[-2.]])
    """
    return (denoiser(x, sigma) - x) / column_of("sigma", sigma, x) ** 2


def denoised_traced(denoiser: Denoiser, x: torch.Tensor, sigma) -> torch.Tensor:
    """D(x, sigma), ready for a gradient: taking one raises ``ValueError`` where D left torch's graph, as under no_grad.

    A denoiser that does not move with x has gradient zero.
    """
    name = getattr(denoiser, "__qualname__", type(denoiser).__qualname__)
    expected, came = "D(x, sigma) that depends on x by torch operations", f"{name}, whose result left torch's graph"
    return followed(lambda at: denoiser(at, sigma), x, f"denoiser: expected {expected}, got {came}")


class EmpiricalDenoiser:
    r"""The denoiser of the empirical distribution, which training on its examples tends to (paper, Eq. 3).

    .. math:: D(x, \sigma) = \sum_n \mathrm{softmax}_n\bigl(\log w_n - |x - x_n|^2 / 2 \sigma^2\bigr) \, x_n

    The exact minimizer of denoising score matching at every sigma. Bounded memory: see
    :class:`memprior.mixture.PointCloud`.

    Args:
        train_set: x_n, (K, d), finite.
        log_weights: log w_n, (K,), where examples are not equally likely.

    Raises:
        ValueError: an empty or non-finite training set; when called, sigma <= 0, or x of another size, dtype or device.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.denoiser import EmpiricalDenoiser
        >>> denoiser = EmpiricalDenoiser(torch.tensor([[-1.0], [1.0]]))
        >>> x = torch.tensor([[0.0], [0.4]])
        >>> denoiser(x, 10.0), denoiser(x, 0.1)  # the mean of the examples; the nearest example
        (tensor([[0.0000],
                [0.0040]]), tensor([[0.],
                [1.]]))
    """

    def __init__(self, train_set: torch.Tensor, log_weights: torch.Tensor | None = None):
        expect_train_set("train_set", train_set)
        self.train_set = train_set
        self.log_weights = normalized_log_weights(log_weights, train_set)
        self._cloud = PointCloud(train_set)

    def __call__(self, x: torch.Tensor, sigma) -> torch.Tensor:
        return self._cloud.posterior_mean(x, sigma, self.log_weights)


class GaussianDenoiser:
    """The denoiser of N(mean, covariance), :meth:`memprior.gaussian.Gaussian.denoiser`.

    Args:
        mean: (d,).
        covariance: (d, d), it may be singular.

    Raises:
        ValueError: what :class:`memprior.gaussian.Gaussian` raises.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.denoiser import GaussianDenoiser
        >>> GaussianDenoiser(torch.zeros(1), torch.eye(1))(torch.tensor([[4.0]]), 1.0)
        tensor([[2.]])
    """

    def __init__(self, mean: torch.Tensor, covariance: torch.Tensor):
        expect_tensor("mean", mean, "(d,)")
        expect(mean.ndim == 1, "mean", "shape (d,)", tuple(mean.shape))
        self.distribution = Gaussian(mean, covariance)

    def __call__(self, x: torch.Tensor, sigma) -> torch.Tensor:
        return self.distribution.denoiser(x, sigma)


class MixtureDenoiser:
    r"""The denoiser of p_h(x) = sum_n w_n N(x; mu_n, h^2 I), a mixture with a width h of its own.

    x_sigma has the same components at width (h^2 + sigma^2)^(1/2), so the responsibilities are those of the empirical
    denoiser there, and within a component a Gaussian shrinks:

    .. math:: D(x, \sigma) = (\sigma^2 M + h^2 x) / (\sigma^2 + h^2)

    with M the responsibility-weighted mean of the mu_n. h -> 0 is :class:`EmpiricalDenoiser`.

    Args:
        mixture: p_h, with h its ``sigma``.

    Example:
        >>> import torch
        >>> from memprior.denoiser import MixtureDenoiser
        >>> from memprior.mixture import IsotropicMixture
        >>> MixtureDenoiser(IsotropicMixture(torch.zeros(1, 1), sigma=1.0))(torch.tensor([[4.0]]), 1.0)
        tensor([[2.]])
    """

    def __init__(self, mixture: IsotropicMixture):
        self.mixture = mixture
        self._means = EmpiricalDenoiser(mixture.means, mixture.log_weights)

    def __call__(self, x: torch.Tensor, sigma) -> torch.Tensor:
        expect_points("x", x, size=self.mixture.means.shape[1], like=self.mixture.means)
        noise, own = column_of("sigma", sigma, x) ** 2, self.mixture.sigma**2
        means = self._means(x, (noise + own).sqrt().expand(len(x), 1)[:, 0])
        return (noise * means + own * x) / (noise + own)


class NetworkDenoiser:
    r"""A learned denoiser, preconditioned for every noise level (Karras et al. 2022, Tab. 1).

    .. math:: D(x, \sigma) = \frac{x}{1 + s^2} + \frac{\sigma}{\sqrt{1 + s^2}} f(x / c, \log s),
        \qquad s = \sigma / \mathrm{spread}, \quad c = \sqrt{\mathrm{spread}^2 + \sigma^2}

    The network's input and target have variance near one at every noise level, and f = 0 is right for data
    N(0, spread^2 I). Computes in the network's dtype; the result is in that of x.

    Args:
        network: f, (x (B, d), condition (B,)) -> (B, d).
        spread: number > 0, the standard deviation of the data.

    Raises:
        ValueError: unless spread > 0.

    Example:
        >>> import torch
        >>> from memprior.denoiser import NetworkDenoiser
        >>> from memprior.networks import ResidualMLP
        >>> network = ResidualMLP(1, 8, 1, generator=torch.Generator().manual_seed(0))  # f = 0 before training
        >>> NetworkDenoiser(network, spread=1.0)(torch.tensor([[4.0]]), 1.0).detach()
        tensor([[2.]])
    """

    def __init__(self, network: torch.nn.Module, spread: float):
        expect_positive("spread", spread)
        self.network, self.spread = network, float(spread)
        self._dtype = next(network.parameters()).dtype

    def __call__(self, x: torch.Tensor, sigma) -> torch.Tensor:
        expect_points("x", x)
        inner = x.to(self._dtype)
        ratio = column_of("sigma", sigma, inner) / self.spread
        damp = 1 / (1 + ratio**2)
        output = self.network(inner * damp.sqrt() / self.spread, ratio.log().expand(len(x), 1)[:, 0])
        return (damp * inner + self.spread * ratio * damp.sqrt() * output).to(x.dtype)
