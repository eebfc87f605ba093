"""Chapter 5: the samplers that are compared, their settings, and the analysis of likelihood weighting."""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch

from chapters.ch05_samplers.problems import Draw, ProblemBatch, guided
from memprior._random import choices, integers, normal
from memprior.guidance import (
    covariance_step,
    daps_step,
    dps_step,
    frozen_step,
    mmps_step,
    pigdm_step,
    point_step,
    released_step,
)
from memprior.intervals import Mean, student
from memprior.mixture import effective_components, total_variation
from memprior.operators import jacobian
from memprior.sampling import SamplerState, ancestral_step

# Of the main comparison; every scale is in the sweep.
SCALES = {"DPS, squared": 0.3, "DPS, norm": 0.3, "frozen, squared": 0.01}
FORWARD_MODE = ("PiGDM", "MMPS")  # those that multiply by J


def families() -> dict:
    """name -> scale -> function from a likelihood to its step: the samplers with a tuning parameter."""
    return {
        "DPS, squared": lambda scale: partial(dps_step, scale=scale, norm="squared"),
        "DPS, norm": lambda scale: partial(dps_step, scale=scale, norm="norm"),
        "frozen, squared": lambda scale: partial(frozen_step, scale=scale, norm="squared"),
        "frozen, norm": lambda scale: partial(frozen_step, scale=scale, norm="norm"),
        "released": lambda scale: partial(released_step, step_size=scale),
        "released, ancestral": lambda scale: partial(released_step, step_size=scale, lagged=False, base=ancestral_step),
    }


def untuned(num_iterations: int) -> dict:
    """name -> function from a likelihood to its step. num_iterations: of conjugate gradients; m makes them exact."""
    return {
        "DPS, own weight": point_step,
        "PiGDM": partial(pigdm_step, num_iterations=num_iterations),
        "MMPS": partial(mmps_step, num_iterations=num_iterations),
    }


def at(name: str, scale: float) -> str:
    """Name of a sampler at one scale."""
    return f"{name}, at {scale:g}"


def best_of(results: dict[str, dict]) -> dict[str, dict]:
    """family -> its results at the scale with the least mean distance."""
    best = {}
    for name in families():
        tried = [one for key, one in results.items() if key.startswith(f"{name}, at ")]
        best[name] = min(tried, key=lambda one: sum(one["distances"]))
    return best


def with_covariance(batch: ProblemBatch, covariance: torch.Tensor):
    """Function from a likelihood to the step with one covariance of the prior, (d, d), for all levels."""
    return partial(covariance_step, covariance=covariance, jacobian=batch.problems[0].forward.matrix)


def decoupled(batch: ProblemBatch, num_langevin: int) -> Draw:
    """DAPS with as many Metropolis-adjusted Langevin steps at each level, x_hat = D."""
    return guided(partial(daps_step, num_ode=1, num_langevin=num_langevin, step_size=0.5, curvature=curvature(batch)))


def curvature(batch: ProblemBatch) -> float:
    """The largest eigenvalue of J^T J at any training example."""
    slopes = [jacobian(problem.forward, problem.train_set) for problem in batch.problems]
    return max(float(torch.linalg.matrix_norm(slope, 2).max()) ** 2 for slope in slopes)


# ---- likelihood weighting ------------------------------------------------------------------------------------------


def weighting_distribution(batch: ProblemBatch, num: int, repeats: int, *, generator: torch.Generator) -> torch.Tensor:
    """The distribution of likelihood weighting's draw over the examples, (P, N).

    K = ``num`` examples are drawn uniformly, and one of them by likelihood. The probability of each example is averaged
    over ``repeats`` such sets.
    """
    log_weights = batch.log_weights
    shape = (len(log_weights), repeats * num)
    drawn = integers(log_weights.shape[1], *shape, like=log_weights, generator=generator)
    chances = log_weights.gather(1, drawn).view(-1, repeats, num).softmax(2).view(shape) / repeats
    return torch.zeros_like(log_weights).scatter_add_(1, drawn, chances)


def weighting_distance(batch: ProblemBatch, num: int, repeats: int, *, generator: torch.Generator) -> torch.Tensor:
    """Total variation of :func:`weighting_distribution` to the exact weights, (P,)."""
    return total_variation(weighting_distribution(batch, num, repeats, generator=generator), batch.log_weights.exp())


def concentration(batch: ProblemBatch) -> torch.Tensor:
    """rho = N sum w_n^2, (P,), between 1 and N: likelihood weighting needs K of a few rho."""
    return batch.log_weights.shape[1] * (2 * batch.log_weights).exp().sum(1)


def effective_examples(batch: ProblemBatch) -> torch.Tensor:
    """exp of the entropy of the exact weights, (P,)."""
    return effective_components(batch.log_weights)


# ---- errors of guidance --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class GuidanceTerm:
    """The guidance term of a step compared with the exact posterior's.

    products: (T, 3, P), at each level and for each problem: of the two terms, of the exact one with itself, and of the
    step's with itself, summed over states.
    """

    products: torch.Tensor

    @property
    def gain(self) -> torch.Tensor:
        """(T,), of its component along the exact term; 1 is right."""
        return _gain(self.products.sum(2))

    @property
    def cosine(self) -> torch.Tensor:
        """(T,), of the angle between the two."""
        return _cosine(self.products.sum(2))

    def interval(self, what: str, level: int) -> Mean:
        """Of "gain" or "cosine" at one level: half of its 95 % interval by the jackknife over problems."""
        products, of = self.products[level], {"gain": _gain, "cosine": _cosine}[what]
        num = products.shape[1]
        left = of((products.sum(1, keepdim=True) - products).T)
        pseudo = num * of(products.sum(1)[None]) - (num - 1) * left
        return Mean(float(of(products.sum(1)[None])), student(pseudo))


def _gain(products):
    """(..., 3) -> (...)."""
    return products[..., 0] / products[..., 1]


def _cosine(products):
    return products[..., 0] / (products[..., 1] * products[..., 2]).sqrt()


def guidance_terms(
    batch: ProblemBatch, makes: dict, num: int, sigmas: torch.Tensor, *, generator: torch.Generator
) -> tuple[dict[str, GuidanceTerm], torch.Tensor]:
    """name -> :class:`GuidanceTerm` of its step, with the noise-free :func:`drift`; and the posterior variance, (T,).

    At ``num`` exact draws of x_sigma | y for each problem. The variance is the mean square of x_0 - E[x_0 | x_sigma, y]
    over its value at the first level.
    """
    prior, posterior, likelihood = batch.prior(), batch.posterior(), batch.likelihood(batch.forward)
    chosen = choices(batch.log_weights.exp(), num, generator=generator)
    x_0 = batch.train_sets.gather(1, chosen[:, :, None].expand(-1, -1, batch.train_sets.shape[2])).flatten(0, 1)
    products, left = {name: [] for name in makes}, []

    def summed(a, b):
        return (a * b).view(len(chosen), -1).sum(1)

    for sigma, sigma_next in pairwise(sigmas):
        eps = normal(*x_0.shape, like=x_0, generator=generator)
        level = {"x": x_0 + sigma * eps, "sigma": sigma, "sigma_next": sigma_next, "generator": generator}
        plain, right = (drift(one, **level).x for one in (prior, posterior))
        right = right - plain
        for name, make in makes.items():
            term = make(likelihood, base=drift)(prior, **level).x.detach() - plain
            products[name].append(torch.stack([summed(term, right), summed(right, right), summed(term, term)]))
        left.append((posterior(level["x"], sigma) - x_0).square().sum(1).mean())
    return {name: GuidanceTerm(torch.stack(rows)) for name, rows in products.items()}, torch.stack(left) / left[0]


def drift(denoiser, x, sigma, sigma_next, *, generator) -> SamplerState:
    """An ancestral step without its noise: D + (sigma_next / sigma)^2 (x - D)."""
    denoised = denoiser(x, sigma)
    return SamplerState(denoised + (sigma_next / sigma) ** 2 * (x - denoised), sigma_next, denoised)
