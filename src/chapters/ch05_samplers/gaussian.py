"""Chapter 5: the samplers where the prior is Gaussian and F linear, so that steps are affine and distributions exact.

Symbols: x_0 ~ N(0, C), y = A x_0 + gamma e. For affine steps mean and covariance are propagated exactly, without draws.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import torch

from chapters.ch05_samplers.comparison import SCALES, drift
from chapters.ch05_samplers.problems import DIM, NUM_DATA
from memprior._random import choices, float64_on, normal
from memprior.calibration import energy_distance
from memprior.denoiser import GaussianDenoiser
from memprior.gaussian import Gaussian
from memprior.guidance import covariance_step, dps_step, frozen_step, mmps_step, pigdm_step, point_step
from memprior.likelihood import GaussianLikelihood, noisy
from memprior.noise import geometric_sigmas
from memprior.operators import MatrixOperator
from memprior.sampling import Step, ancestral_step, sample

NOISES = (0.5, 0.15, 0.05)  # of likelihood weighting


@dataclass(frozen=True, eq=False)
class GaussianCase:
    """prior_covariance: C, (d, d). likelihood: of a ``MatrixOperator``. The prior's mean is zero."""

    prior_covariance: torch.Tensor
    likelihood: GaussianLikelihood

    @property
    def matrix(self) -> torch.Tensor:
        """A, (m, d)."""
        return self.likelihood.forward.matrix

    @property
    def prior(self) -> GaussianDenoiser:
        return GaussianDenoiser(self.prior_covariance.new_zeros(len(self.prior_covariance)), self.prior_covariance)

    @cached_property
    def posterior_distribution(self) -> Gaussian:
        """The posterior."""
        prior = Gaussian(self.prior_covariance.new_zeros(len(self.prior_covariance)), self.prior_covariance)
        return prior.condition(self.matrix, self.likelihood.observed, self.likelihood.noise_std)

    @property
    def covariance(self) -> torch.Tensor:
        """Of the posterior, (d, d)."""
        return self.posterior_distribution.covariance

    @property
    def mean(self) -> torch.Tensor:
        """Of the posterior, (d,)."""
        return self.posterior_distribution.mean

    @property
    def posterior(self) -> GaussianDenoiser:
        """The posterior's own denoiser."""
        return GaussianDenoiser(self.mean, self.covariance)

    @property
    def nats(self) -> float:
        """KL divergence of the posterior from the prior."""
        ratio = torch.linalg.solve(self.prior_covariance, self.covariance)
        moved = self.mean @ torch.linalg.solve(self.prior_covariance, self.mean)
        return 0.5 * float(ratio.trace() - len(ratio) - torch.linalg.slogdet(ratio).logabsdet + moved)


def toy_case(noise_std: float, *, white: bool, generator: torch.Generator, device=None) -> GaussianCase:
    """The linear toy with the Gaussian prior of its examples, N(0, I), or one with unequal deviations.

    white: False takes deviations from 1/2 to 2 along random axes, so that no isotropic prior fits.
    """
    options = {"like": float64_on(device, generator), "generator": generator}
    matrix = normal(NUM_DATA, DIM, **options) / math.sqrt(DIM)
    axes, _ = torch.linalg.qr(normal(DIM, DIM, **options))
    deviations = axes.new_ones(DIM) if white else torch.logspace(-1, 1, DIM, 2).to(axes)
    truth = axes * deviations @ normal(DIM, **options)
    observed = noisy(matrix @ truth, noise_std, generator)
    covariance = axes * deviations**2 @ axes.T
    likelihood = GaussianLikelihood(MatrixOperator(matrix), observed, noise_std)
    return GaussianCase((covariance + covariance.T) / 2, likelihood)


def affine_steps(case: GaussianCase, scale: float) -> dict[str, Callable[..., Step]]:
    """name -> base -> step: the samplers whose step is affine in x here. ``scale``: of the two without a weight."""
    likelihood, m = case.likelihood, len(case.likelihood.observed)
    return {
        "DPS, squared": partial(dps_step, likelihood, scale=scale, norm="squared"),
        "frozen, squared": partial(frozen_step, likelihood, scale=scale, norm="squared"),
        "DPS, own weight": partial(point_step, likelihood),
        "PiGDM": partial(pigdm_step, likelihood, num_iterations=m),
        "MMPS": partial(mmps_step, likelihood, num_iterations=m),
        "covariance": partial(covariance_step, likelihood, case.prior_covariance, case.matrix),
    }


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean (d,) and covariance (d, d) of a sampler's distribution."""

    mean: torch.Tensor
    covariance: torch.Tensor

    def against(self, case: GaussianCase) -> dict[str, float]:
        """mean: root mean square error of the mean, in the posterior's deviations, over its axes. narrow, wide: least
        and largest ratio of deviations, over all directions. All of the exact posterior are 0, 1, 1."""
        root = torch.linalg.cholesky(case.covariance)
        off = torch.linalg.solve_triangular(root, (self.mean - case.mean)[:, None], upper=False)
        half = torch.linalg.solve_triangular(root, self.covariance, upper=False)
        ratios = torch.linalg.eigvalsh(torch.linalg.solve_triangular(root, half.T, upper=False)).clamp(min=0).sqrt()
        return {"mean": float(off.square().mean().sqrt()), "narrow": float(ratios[0]), "wide": float(ratios[-1])}


def sampler_moments(step: Step, denoiser, case: GaussianCase, sigmas: torch.Tensor) -> Moments:
    """Mean and covariance of x at the last of ``sigmas``, from the exact p(x_sigma | y) at the first.

    ``step`` must be affine in x and made with :func:`drift` for its base: x' = b + x M, probed at 0 and along each
    axis, and the noise of an ancestral step is added, sigma'^2 (1 - sigma'^2 / sigma^2) I.
    """
    mean, eye = case.mean, torch.eye(len(case.mean)).to(case.mean)
    covariance = case.covariance + sigmas[0] ** 2 * eye
    probes = torch.cat([torch.zeros_like(mean)[None], eye])
    for sigma, sigma_next in pairwise(sigmas):
        moved = step(denoiser, probes, sigma, sigma_next, generator=None).x.detach()
        matrix = moved[1:] - moved[0]
        noise = sigma_next**2 * (1 - (sigma_next / sigma) ** 2)
        mean, covariance = moved[0] + mean @ matrix, matrix.T @ covariance @ matrix + noise * eye
    return Moments(mean, (covariance + covariance.T) / 2)


def exact_moments(case: GaussianCase, sigmas: torch.Tensor) -> Moments:
    """Moments of ancestral steps with the posterior's denoiser: only the discretization of levels is in error."""
    return sampler_moments(drift, case.posterior, case, sigmas)


def moments_of(samples: torch.Tensor) -> Moments:
    """Moments of draws (B, d), for steps that are not affine."""
    return Moments(samples.mean(0), samples.T.cov())


def point_moments(observed: float, noise_std: float) -> tuple[float, float]:
    """Mean and variance of the own-weight step for x_0 ~ N(0, 1), y = x_0 + gamma e, in the limit of dense levels.

    y (1 - e^(-1 / gamma^2)) and (gamma^2 / 2) (1 - e^(-2 / gamma^2)); the posterior has y / (1 + gamma^2) and
    gamma^2 / (1 + gamma^2). Derived on chapter 5's page.
    """
    g = noise_std**2
    return -observed * math.expm1(-1 / g), -g / 2 * math.expm1(-2 / g)


def line_case(observed: float, noise_std: float, device: torch.device) -> GaussianCase:
    """x_0 ~ N(0, 1), y = x_0 + gamma e."""
    one = torch.ones(1, 1, dtype=torch.float64, device=device)
    return GaussianCase(one, GaussianLikelihood(MatrixOperator(one), observed * one[0], noise_std))


def exact_draws(case: GaussianCase, num: int, *, generator: torch.Generator) -> torch.Tensor:
    """``num`` draws of the posterior, (num, d)."""
    return case.mean + _normal(num, case, generator) @ torch.linalg.cholesky(case.covariance).T


def distance_to_posterior(case: GaussianCase, samples: torch.Tensor, *, generator: torch.Generator) -> float:
    """Energy distance of ``samples`` (B, d) to 2 B draws of the posterior, where that is white: all axes alike."""
    root = torch.linalg.cholesky(case.covariance)
    both = samples, exact_draws(case, 2 * len(samples), generator=generator)
    white = [torch.linalg.solve_triangular(root, (z - case.mean).T, upper=False).T for z in both]
    return float(energy_distance(*white))


def compared(case: GaussianCase, num_levels: int) -> dict[str, dict[str, float]]:
    """Sampler -> :meth:`Moments.against` of its distribution at ``num_levels`` levels from 20 down to 0; no draws."""
    sigmas = _down(num_levels)
    found = {"exact": exact_moments(case, sigmas)}
    for name, make in affine_steps(case, SCALES["frozen, squared"]).items():
        found[name] = sampler_moments(make(base=drift), case.prior, case, sigmas)
    return {name: moments.against(case) for name, moments in found.items()}


@dataclass(frozen=True, eq=False)
class Weighted:
    """Likelihood weighting where no draw of the prior repeats, over P problems.

    nats: (P,), divergence of the posterior from the prior. wide: (S, P), for each K the largest ratio, over all
    directions, of the samples' standard deviation to the posterior's. floor: (P,), that of as many exact draws.
    """

    nats: torch.Tensor
    wide: torch.Tensor
    floor: torch.Tensor


def weighted(cases: list[GaussianCase], counts, num: int, *, generator: torch.Generator) -> Weighted:
    """Likelihood weighting with K prior draws for each of ``num`` samples, for each K of ``counts``."""
    wide = [
        [moments_of(weighted_draws(case, k, num, generator=generator)).against(case)["wide"] for case in cases]
        for k in counts
    ]
    floor = [moments_of(exact_draws(case, num, generator=generator)).against(case)["wide"] for case in cases]
    return Weighted(*(torch.tensor(one, dtype=torch.float64) for one in ([case.nats for case in cases], wide, floor)))


def weighted_draws(case: GaussianCase, count: int, num: int, *, generator: torch.Generator) -> torch.Tensor:
    """``num`` samples (num, d), each chosen by likelihood among ``count`` draws of the prior."""
    root, chosen = torch.linalg.cholesky(case.prior_covariance), []
    for some in torch.arange(num, device=root.device).split(max(1, 2**18 // count)):
        x = _normal(len(some) * count, case, generator) @ root.T
        weights = case.likelihood.log_prob(x).view(-1, count).softmax(1)
        pick = choices(weights, 1, generator=generator, replacement=False)[:, 0]
        chosen.append(x.view(len(some), count, -1)[torch.arange(len(some), device=x.device), pick])
    return torch.cat(chosen)


def control(cases: list[GaussianCase], num_levels: int, num: int, *, generator: torch.Generator) -> dict:
    """Sampler -> :func:`distance_to_posterior` of ``num`` draws for each case; "exact draws" beside them."""
    sigmas, found = _down(num_levels), {"MMPS": [], "DPS, own weight": [], "exact draws": []}
    for case in cases:
        steps = affine_steps(case, SCALES["frozen, squared"])
        for name in ("MMPS", "DPS, own weight"):
            x = 20 * _normal(num, case, generator)
            drawn = sample(case.prior, x, sigmas, step=steps[name](base=ancestral_step), generator=generator)
            found[name].append(distance_to_posterior(case, drawn, generator=generator))
        drawn = exact_draws(case, num, generator=generator)
        found["exact draws"].append(distance_to_posterior(case, drawn, generator=generator))
    return found


def _down(num_levels: int) -> torch.Tensor:
    return torch.cat([geometric_sigmas(20.0, 0.01, num_levels), torch.zeros(1, dtype=torch.float64)])


def _normal(num: int, case: GaussianCase, generator: torch.Generator) -> torch.Tensor:
    return normal(num, len(case.mean), like=case.mean, generator=generator)
