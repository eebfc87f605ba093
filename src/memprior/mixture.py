"""Gaussian mixtures in log space: the memorized prior, and the posterior that linearization makes of it.

Symbols: x (B, d) points, mu_n (K, d) means, w_n weights, r_n(x) = p(n | x) responsibilities (B, K).
Full normalized densities throughout, so that no log-determinant is lost on the way.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch.distributions import MultivariateNormal

from memprior._check import (
    column_of,
    expect,
    expect_finite,
    expect_like,
    expect_points,
    expect_symmetric,
    expect_tensor,
    expect_train_set,
    expect_whole,
    positive_number,
)
from memprior._random import choices, normal
from memprior.gaussian import Gaussian

# Rows of x are taken so many at a time that one (rows, K) block holds at most this many numbers (128 MB in float64).
BLOCK = 2**24
TOLERATED = 0.05  # nats, by which the rounding of products may move an exponent


@dataclass(frozen=True, eq=False)
class IsotropicMixture:
    r"""Training examples smoothed at one noise level (paper, claim 3).

    .. math:: p_\sigma(x) = \sum_n w_n N(x; \mu_n, \sigma^2 I)

    Args:
        means: mu_n, (K, d), finite, K >= 1.
        sigma: number > 0.
        log_weights: (K,), or None for equal weights; need not be normalized, -inf removes a component.

    Raises:
        ValueError: a field with the wrong shape, or numbers that are not finite; names the field.
        TypeError: a field that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.mixture import IsotropicMixture
        >>> prior = IsotropicMixture(torch.tensor([[-1.0], [1.0]]), sigma=0.5)
        >>> prior.responsibilities(torch.tensor([[0.0], [2.0]]))
        tensor([[5.0000e-01, 5.0000e-01],
                [1.1254e-07, 1.0000e+00]])
        >>> prior.score(torch.tensor([[0.0]]))
        tensor([[0.]])
    """

    means: torch.Tensor
    sigma: float
    log_weights: torch.Tensor = None  # type: ignore[assignment]  # None may come, and is a tensor from then on
    _cloud: "PointCloud" = field(init=False, repr=False)

    def __post_init__(self):
        expect_train_set("means", self.means)
        object.__setattr__(self, "sigma", positive_number("sigma", self.sigma))
        object.__setattr__(self, "log_weights", normalized_log_weights(self.log_weights, self.means))
        object.__setattr__(self, "_cloud", PointCloud(self.means))

    @property
    def weights(self) -> torch.Tensor:
        """(K,), summing to one."""
        return self.log_weights.exp()

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """log p_sigma(x), (B,)."""
        normalizer = 0.5 * self.means.shape[1] * math.log(2 * math.pi * self.sigma**2)
        return torch.cat([block.logsumexp(1) for block in self._blocks(x)]) - normalizer

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """grad log p_sigma(x) = sum_n r_n(x) (mu_n - x) / sigma^2, (B, d) (paper, Eq. 3), in bounded memory."""
        return (self._cloud.posterior_mean(x, self.sigma, self.log_weights) - x) / self.sigma**2

    def responsibilities(self, x: torch.Tensor) -> torch.Tensor:
        """r_n(x) = p(n | x), (B, K), rows summing to one."""
        return torch.cat([block.softmax(1) for block in self._blocks(x)])

    def sample(self, num: int, *, generator: torch.Generator) -> torch.Tensor:
        """``num`` draws, (num, d): a component by its weight, then a Gaussian around its mean."""
        centers = self.means[draw_components(self.log_weights, num, generator)]
        return centers + self.sigma * normal(*centers.shape, like=centers, generator=generator)

    def _blocks(self, x):
        return self._cloud.log_joint_blocks(x, self.sigma, self.log_weights)


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    r"""A mixture with a full covariance for each component.

    .. math:: p(x) = \sum_n w_n N(x; \mu_n, \Sigma_n)

    For few components in few dimensions: methods hold (B, K, d).

    Args:
        means: mu_n, (K, d).
        covariances: Sigma_n, (K, d, d), symmetric positive definite.
        log_weights: (K,), need not be normalized.

    Raises:
        ValueError: a field with the wrong shape, numbers that are not finite, or a covariance that is not symmetric
            positive definite; names the field.
        TypeError: a field that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.mixture import GaussianMixture
        >>> means, covariances = torch.zeros(2, 1), torch.tensor([[[1.0]], [[4.0]]])
        >>> mixture = GaussianMixture(means, covariances, torch.zeros(2))
        >>> mixture.weights
        tensor([0.5000, 0.5000])
        >>> mixture.log_prob(torch.zeros(1, 1)).exp()  # the mean of 0.3989 and 0.1995
        tensor([0.2992])
    """

    means: torch.Tensor
    covariances: torch.Tensor
    log_weights: torch.Tensor
    _factors: torch.Tensor = field(init=False, repr=False)

    def __post_init__(self):
        expect_train_set("means", self.means)
        _expect_matrices("covariances", self.covariances, self.means)
        expect_finite("covariances", self.covariances)
        expect_symmetric("covariances", self.covariances)
        factors, info = torch.linalg.cholesky_ex(self.covariances)
        expect(
            not bool(info.any()),
            "covariances",
            "positive definite matrices",
            lambda: f"component {int(info.argmax())} that is not",
        )
        object.__setattr__(self, "log_weights", normalized_log_weights(self.log_weights, self.means))
        object.__setattr__(self, "_factors", factors)

    @classmethod
    def from_factors(cls, means: torch.Tensor, factors: torch.Tensor, log_weights: torch.Tensor) -> "GaussianMixture":
        """The mixture of covariances L_n L_n^T, ``factors`` L_n (K, d, d) lower triangular with a diagonal > 0.

        For covariances whose least eigenvalues are lost once their entries are rounded: densities and draws use L_n.
        """
        expect_train_set("means", means)
        _expect_matrices("factors", factors, means)
        expect_finite("factors", factors)
        good = bool((factors.diagonal(dim1=1, dim2=2) > 0).all()) and torch.equal(factors, factors.tril())
        expect(good, "factors", "lower triangular matrices with a diagonal > 0", "others")
        covariances = factors @ factors.mT
        mixture = cls.__new__(cls)
        known = {"means": means, "covariances": (covariances + covariances.mT) / 2, "_factors": factors}
        for name, value in (known | {"log_weights": normalized_log_weights(log_weights, means)}).items():
            object.__setattr__(mixture, name, value)
        return mixture

    @property
    def weights(self) -> torch.Tensor:
        """(K,), summing to one."""
        return self.log_weights.exp()

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """log p(x), (B,)."""
        return self._log_joint(x).logsumexp(1)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """grad log p(x) = sum_n r_n(x) Sigma_n^-1 (mu_n - x), (B, d)."""
        responsibilities = self.responsibilities(x)
        pulls = torch.cholesky_solve((self.means - x[:, None])[..., None], self._factors)[..., 0]
        return torch.einsum("bk,bkd->bd", responsibilities, pulls)

    def responsibilities(self, x: torch.Tensor) -> torch.Tensor:
        """r_n(x) = p(n | x), (B, K), rows summing to one."""
        return self._log_joint(x).softmax(1)

    def sample(self, num: int, *, generator: torch.Generator) -> torch.Tensor:
        """``num`` draws, (num, d)."""
        chosen = draw_components(self.log_weights, num, generator)
        noise = normal(num, self.means.shape[1], like=self.means, generator=generator)
        return self.means[chosen] + (self._factors[chosen] @ noise[..., None])[..., 0]

    def _log_joint(self, x):
        expect_points("x", x, size=self.means.shape[1], like=self.means)
        components = MultivariateNormal(self.means, scale_tril=self._factors, validate_args=False)
        return self.log_weights + components.log_prob(x[:, None])


def _expect_matrices(name: str, x, means: torch.Tensor) -> None:
    """One (d, d) for each of ``means`` (K, d)."""
    shape = (*means.shape, means.shape[1])
    expect_tensor(name, x, f"{shape}")
    expect(x.shape == shape, name, f"shape {shape}", tuple(x.shape))
    expect_like(name, x, means)


@dataclass(frozen=True, eq=False)
class TiedMixture:
    r"""A mixture of Gaussians of one covariance, which may be singular (a prior of a few variants of one background).

    .. math:: p(x) = \sum_k w_k N(x; \mu_k, C)

    Linear data turn it into another one: each component is conditioned as a Gaussian, all by one gain, and is weighted
    by its evidence. One covariance is decomposed for all components, so that there may be thousands of them in a
    hundred dimensions. One component is :class:`memprior.gaussian.Gaussian`, C = h^2 I is :class:`IsotropicMixture`.

    Args:
        components: their means mu_k, (K, d), and C, (d, d).
        log_weights: (K,), or None for equal weights; need not be normalized, -inf removes a component.

    Raises:
        ValueError: means of another shape, or log_weights that do not fit; names the field.

    Example:
        >>> import torch
        >>> from memprior.gaussian import Gaussian
        >>> from memprior.mixture import TiedMixture
        >>> prior = TiedMixture(Gaussian(torch.tensor([[-2.0], [2.0]]), torch.eye(1)))
        >>> prior.mean, prior.covariance
        (tensor([0.]), tensor([[5.]]))
        >>> posterior = prior.condition(torch.eye(1), torch.tensor([[1.0]]), noise_std=1.0)
        >>> posterior.weights  # 1 to e^2
        tensor([[0.1192, 0.8808]])
        >>> posterior.mean  # of -0.5 and 1.5
        tensor([[1.2616]])
    """

    components: Gaussian
    log_weights: torch.Tensor = None  # type: ignore[assignment]  # None may come, and is a tensor from then on

    def __post_init__(self):
        expect_train_set("components", self.components.mean)
        object.__setattr__(self, "log_weights", normalized_log_weights(self.log_weights, self.components.mean))

    @property
    def weights(self) -> torch.Tensor:
        """(K,), summing to one."""
        return self.log_weights.exp()

    @cached_property
    def mean(self) -> torch.Tensor:
        """(d,)."""
        return self.weights @ self.components.mean

    @cached_property
    def covariance(self) -> torch.Tensor:
        """C and the covariance of the means, (d, d)."""
        away = self.components.mean - self.mean
        between = (self.weights[:, None] * away).T @ away
        return self.components.covariance + (between + between.T) / 2

    def sample(self, num: int, *, generator: torch.Generator) -> torch.Tensor:
        """``num`` draws, (num, d): a component by its weight, then a Gaussian around its mean."""
        chosen = draw_components(self.log_weights, num, generator)
        root = self.components.root
        noise = normal(num, root.shape[1], like=root, generator=generator)
        return self.components.mean[chosen] + noise @ root.T

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """log p(x), (B,). Raises ``ValueError`` where C is singular to rounding."""
        one = Gaussian(torch.zeros_like(self.components.mean[0]), self.components.covariance)
        away = x[:, None] - self.components.mean
        return (self.log_weights + one.log_prob(away.flatten(0, 1)).unflatten(0, away.shape[:2])).logsumexp(1)

    def denoiser(self, x: torch.Tensor, sigma) -> torch.Tensor:
        """E[x_0 | x_0 + sigma eps = x], (B, d), a ``Denoiser``: each component shrinks as a Gaussian.

        With U, l the eigenpairs of C, component k has -sum_j (U^T (x - mu_k))_j^2 / (2 (l_j + sigma^2)) in its weight.
        """
        expect_points("x", x, size=self.components.mean.shape[1], like=self.components.mean)
        noise = column_of("sigma", sigma, x) ** 2
        precision = 1 / (self.components.variances + noise)
        turned, means = (x - self.mean) @ self.components.axes, self._turned
        by_weight = []
        num = max(1, BLOCK // len(means))
        for rows, scale in zip(turned.split(num), precision.expand_as(turned).split(num), strict=True):
            products = (scale * rows) @ means.T - 0.5 * scale @ means.square().T
            by_weight.append((self.log_weights + products).softmax(1) @ means)
        nearest = torch.cat(by_weight)
        moved = nearest + self.components.variances * precision * (turned - nearest)
        return self.mean + moved @ self.components.axes.T

    @cached_property
    def _turned(self) -> torch.Tensor:
        """The means about the mixture's, along the principal axes of C: small numbers lose fewer digits."""
        return (self.components.mean - self.mean) @ self.components.axes

    def to(self, like: torch.Tensor) -> "TiedMixture":
        """In the dtype and on the device of ``like``."""
        return TiedMixture(self.components.to(like), self.log_weights.to(like))

    def standardized(self, standardizer) -> "TiedMixture":
        """The distribution of (x - m) / s for this one of x; ``standardizer`` is a ``fields.Standardizer``."""
        return TiedMixture(self.components.standardized(standardizer), self.log_weights)

    def restored(self, standardizer) -> "TiedMixture":
        """The distribution of m + s x for this one of x: the way back from :meth:`standardized`."""
        return TiedMixture(self.components.restored(standardizer), self.log_weights)

    def condition(self, matrix: torch.Tensor, observed: torch.Tensor, noise_std: float) -> "TiedPosterior":
        r"""The posteriors for T data sets y = M x + gamma e, exactly.

        .. math:: \log w_k(y) = \log w_k - \tfrac12 |S^{-1/2} (y - M \mu_k)|^2 + \mathrm{const}, \qquad
            S = M C M^T + \gamma^2 I

        The determinant of S is that of every component, and cancels.

        Args:
            matrix: M, (m, d).
            observed: y, (T, m).
            noise_std: gamma > 0, in each component.

        Returns:
            Weights, means and draws of each posterior.

        Raises:
            ValueError: what :meth:`memprior.gaussian.Gaussian.condition` raises.
        """
        expect_points("observed", observed, size=len(matrix), like=matrix)
        gain = Gaussian(torch.zeros_like(self.components.mean[0]), self.components.covariance, self.components.root)
        predicted = self.components.mean @ matrix.T
        gain.condition(matrix, observed[:1], noise_std)  # asks what it asks
        u, s, _ = torch.linalg.svd(matrix @ self.components.root)
        spread = s.new_full((len(matrix),), noise_std**2)
        spread[: len(s)] += s.square()
        white = u / spread.sqrt()
        apart = torch.cdist(observed @ white, predicted @ white, compute_mode="donot_use_mm_for_euclid_dist")
        log_weights = (self.log_weights - 0.5 * apart.square()).log_softmax(1)
        return TiedPosterior(self, gain, predicted, matrix, observed, noise_std, log_weights)


@dataclass(frozen=True, eq=False)
class TiedPosterior:
    """The posteriors of a :class:`TiedMixture` for T data sets. log_weights: (T, K), normalized; the rest is private to
    its methods.
    """

    prior: TiedMixture
    gain: Gaussian
    predicted: torch.Tensor
    matrix: torch.Tensor
    observed: torch.Tensor
    noise_std: float
    log_weights: torch.Tensor

    @property
    def weights(self) -> torch.Tensor:
        """(T, K), rows summing to one."""
        return self.log_weights.exp()

    @property
    def mean(self) -> torch.Tensor:
        """The posterior means, (T, d). Conditioning is affine, so that of the mean component is enough."""
        residual = self.observed - self.weights @ self.predicted
        return self.weights @ self.prior.components.mean + self._conditioned(residual).mean

    def sample(self, num: int, *, generator: torch.Generator) -> torch.Tensor:
        """``num`` draws of each posterior, (T, num, d)."""
        chosen = choices(self.weights, num, generator=generator)
        residual = (self.observed[:, None] - self.predicted[chosen]).flatten(0, 1)
        moved = self._conditioned(residual)
        noise = normal(len(residual), moved.root.shape[1], like=moved.root, generator=generator)
        return self.prior.components.mean[chosen] + (moved.mean + noise @ moved.root.T).unflatten(0, (-1, num))

    def _conditioned(self, residual: torch.Tensor) -> Gaussian:
        return self.gain.condition(self.matrix, residual, self.noise_std)


def effective_components(log_weights: torch.Tensor) -> torch.Tensor:
    r"""exp of the entropy of the weights, 1 for one winner and K for K equal ones.

    .. math:: \exp\Bigl(-\sum_n w_n \log w_n\Bigr)

    Args:
        log_weights: (..., K), need not be normalized.

    Returns:
        (...), from 1 to K.

    Example:
        >>> import torch
        >>> from memprior.mixture import effective_components
        >>> effective_components(torch.tensor([[0.0, 0.0], [0.0, -100.0]]))
        tensor([2., 1.])
    """
    log_weights = log_weights.log_softmax(-1)
    return torch.special.entr(log_weights.exp()).sum(-1).exp()


def total_variation(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Half the L1 distance between two rows of probabilities, 0 for the same and 1 for nothing in common.

    Args:
        p: (..., K), each row summing to one.
        q: (..., K).

    Returns:
        (...), from 0 to 1.

    Example:
        >>> import torch
        >>> from memprior.mixture import total_variation
        >>> total_variation(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0]))
        tensor(0.5000)
    """
    return 0.5 * (p - q).abs().sum(-1)


class PointCloud:
    """Points (K, d) with equal noise around each, as matrix products.

    Never a (B, K, d) array: a copy of the points, and at most a few blocks of (rows, K) at a time.
    Coordinates are taken about the points' mean, because ``|x|^2 - 2 x.x_n + |x_n|^2`` loses digits in proportion
    to the norms: the exponent is good to about ``eps |x|^2 / sigma^2``, with eps 2e-16 in float64 and 1e-7 in float32.
    Where that is above ``TOLERATED``, as for clusters far apart or little noise, distances are made of differences,
    which are slower and good to eps of themselves.
    """

    def __init__(self, points: torch.Tensor):
        self.as_given, self.center = points, points.mean(0)
        self.points = points - self.center
        self.half_norms = 0.5 * torch.linalg.vector_norm(self.points, dim=1) ** 2  # no second (K, d) array

    def log_joint_blocks(self, x, sigma, log_weights) -> Iterator[torch.Tensor]:
        """Blocks of rows of ``log w_n - |x - x_n|^2 / 2 sigma^2``, for x (B, d) and sigma a scalar or (B,)."""
        expect_points("x", x, size=self.points.shape[1], like=self.points)
        precision = (column_of("sigma", sigma, x) ** -2).expand(len(x), 1)
        num = max(1, BLOCK // len(self.points))
        about = x - self.center
        norms = about.square().sum(1, keepdim=True)
        largest = (torch.maximum(norms.detach(), 2 * self.half_norms.max()) * precision).nan_to_num(0, 0, 0)
        if len(x) > 0 and torch.finfo(x.dtype).eps * float(largest.max()) > TOLERATED:
            for rows, tau in zip(x.split(num), precision.split(num), strict=True):
                apart = torch.cdist(rows, self.as_given, compute_mode="donot_use_mm_for_euclid_dist")
                yield log_weights - 0.5 * tau * apart.square()
            return
        for rows, square, tau in zip(*(part.split(num) for part in (about, norms, precision)), strict=True):
            log_joint = torch.addmm(log_weights, tau * rows, self.points.T)
            yield log_joint - tau * self.half_norms - 0.5 * tau * square

    def posterior_mean(self, x, sigma, log_weights) -> torch.Tensor:
        """E[x_0 | x_sigma = x], x_0 one of the points with these log weights: the softmax-weighted points, (B, d).

        Differentiable in x.
        """
        blocks = self.log_joint_blocks(x, sigma, log_weights)
        return self.center + torch.cat([block.softmax(1) @ self.points for block in blocks])


def normalized_log_weights(log_weights, points: torch.Tensor) -> torch.Tensor:
    """(K,) log weights summing to one in probability; None means equal.

    ``ValueError`` for NaN, +inf, or none above zero.
    """
    if log_weights is None:
        return points.new_full((len(points),), -math.log(len(points)))
    expect_tensor("log_weights", log_weights, f"({len(points)},)")
    expect(log_weights.shape == points.shape[:1], "log_weights", f"shape ({len(points)},)", tuple(log_weights.shape))
    expect_like("log_weights", log_weights, points)
    total = log_weights.logsumexp(0)
    expect(
        bool(torch.isfinite(total)),
        "log_weights",
        "numbers < inf with at least one > -inf",
        lambda: f"a total of {float(total)}",
    )
    return log_weights - total


def draw_components(log_weights: torch.Tensor, num: int, generator: torch.Generator) -> torch.Tensor:
    """Component indices drawn by weight.

    Args:
        log_weights: (K,), need not be normalized.
        num: number of draws, >= 1.
        generator: draws them.

    Returns:
        (num,), int64, from 0 to K - 1.

    Example:
        >>> import torch
        >>> from memprior.mixture import draw_components
        >>> draw_components(torch.tensor([0.0, -torch.inf]), 3, torch.Generator().manual_seed(0))
        tensor([0, 0, 0])
    """
    expect_whole("num", num, 1)
    return choices(log_weights.exp(), num, generator=generator)


def multinomial_floor(weights: torch.Tensor, num: int, *, generator: torch.Generator) -> tuple[float, float]:
    """Total variation of the frequencies of exact draws to their own weights: what no sampler can be below.

    Args:
        weights: (K,), summing to one.
        num: number of exact draws.
        generator: draws them, 200 times.

    Returns:
        Mean and standard deviation of the total variation over the 200 repeats.

    Example:
        >>> import torch
        >>> from memprior.mixture import multinomial_floor
        >>> weights = torch.full((2,), 0.5)
        >>> few, _ = multinomial_floor(weights, 10, generator=torch.Generator().manual_seed(0))
        >>> many, _ = multinomial_floor(weights, 1000, generator=torch.Generator().manual_seed(0))
        >>> many < few
        True
    """
    counts = [draw_components(weights.log(), num, generator).bincount(minlength=len(weights)) for _ in range(200)]
    distances = total_variation(torch.stack(counts) / num, weights)
    return float(distances.mean()), float(distances.std())
