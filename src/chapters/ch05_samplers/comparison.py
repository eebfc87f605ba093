"""Chapter 5: the samplers that are compared, their settings, and the analysis of likelihood weighting."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch

from chapters.ch05_samplers.problems import Draw, ProblemBatch, evaluate, exact, guided, particles
from companion.jobs import one_thread_each
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
from memprior.mixture import effective_components, total_variation
from memprior.operators import jacobian
from memprior.paper import STEP_SIZE
from memprior.sampling import SamplerState, ancestral_step

SCALE, FROZEN_SCALE = 0.3, 0.01  # of the main comparison; every scale is in the sweep
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


def toy_samplers(num_iterations: int) -> dict[str, Draw]:
    """name -> sampler: those of the main comparison, and the exact one."""
    scales = {"DPS, squared": SCALE, "DPS, norm": SCALE, "frozen, squared": FROZEN_SCALE}
    makes = {name: make(scales.get(name, STEP_SIZE)) for name, make in families().items() if name != "frozen, norm"}
    return {"exact": exact} | {name: guided(make) for name, make in (makes | untuned(num_iterations)).items()}


def at(name: str, scale: float) -> str:
    """Name of a sampler at one scale."""
    return f"{name}, at {scale:g}"


def at_scales(scales) -> dict[str, Draw]:
    """Every family at every scale, by :func:`at`."""
    return {at(name, scale): guided(make(scale)) for name, make in families().items() for scale in scales}


def best_of(results: dict[str, dict]) -> dict[str, dict]:
    """family -> its results at the scale with the least mean distance."""
    best = {}
    for name in families():
        tried = [one for key, one in results.items() if key.startswith(f"{name}, at ")]
        best[name] = min(tried, key=lambda one: sum(one["distances"]))
    return best


def fwi_samplers(batch: ProblemBatch, covariance: torch.Tensor, num_langevin: int, particle_counts) -> dict[str, Draw]:
    """Samplers without a scale, for the linearized inversion. covariance: of the true prior, (d, d).

    Few conjugate-gradient iterations: 100 would be exact, and expensive.
    """
    slope = batch.problems[0].forward.matrix
    makes = untuned(5) | {"covariance": partial(covariance_step, covariance=covariance, jacobian=slope)}
    every = {"exact": exact} | {name: guided(make) for name, make in makes.items()}
    every["DAPS"] = decoupled(batch, num_langevin)
    return every | {f"twisted, K = {num}": particles(num, twisted=True) for num in particle_counts}


def wave_samplers(chosen: dict[str, float]) -> dict[str, Draw]:
    """Samplers for the nonlinear operator. chosen: name -> scale, or 0 for a sampler without one."""
    makes = {name: families()[name](scale) for name, scale in chosen.items() if scale}
    makes |= {name: untuned(2)[name] for name, scale in chosen.items() if not scale}
    return {"exact": exact} | {name: guided(make) for name, make in makes.items()}


def decoupled(batch: ProblemBatch, num_langevin: int) -> Draw:
    """DAPS with as many Metropolis-adjusted Langevin steps at each level, x_hat = D."""
    return guided(partial(daps_step, num_ode=1, num_langevin=num_langevin, step_size=0.5, curvature=curvature(batch)))


def curvature(batch: ProblemBatch) -> float:
    """The largest eigenvalue of J^T J at any training example."""
    slopes = [jacobian(problem.forward, problem.train_set) for problem in batch.problems]
    return max(float(torch.linalg.matrix_norm(slope, 2).max()) ** 2 for slope in slopes)


@dataclass(frozen=True, eq=False)
class SamplerBenchmark:
    """Evaluates samplers, ``workers`` in parallel with one thread each.

    generator: purpose -> random generator. cached: (purpose, compute) -> ``compute(folder)``, or its stored result.
    """

    workers: int
    generator: Callable[[str], torch.Generator]
    cached: Callable

    def evaluated(
        self, label: str, batch: ProblemBatch, samplers: dict[str, Draw], num: int, sigmas
    ) -> dict[str, dict]:
        """Name -> :func:`problems.evaluate` of each sampler, with its own random generator."""
        batch.log_weights  # noqa: B018 - computed once, before threads start

        def one(name):
            purpose = f"{label} {name}"
            options = {"num": num, "sigmas": sigmas}
            return self.cached(
                purpose, lambda _: evaluate(samplers[name], batch, **options, generator=self.generator(purpose))
            )

        # torch counts forward-mode levels across threads: samplers that use it run in one thread.
        alone = [name for name in samplers if name in FORWARD_MODE]
        with one_thread_each(self.workers) as pool:
            queue = pool.submit(lambda: {name: one(name) for name in alone})
            begun = {name: pool.submit(one, name) for name in samplers if name not in alone}
            results = {name: future.result() for name, future in begun.items()} | queue.result()
        return {name: results[name] for name in samplers}


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
    """The guidance term of a step compared with the exact posterior's, at each level, (T,).

    gain: of its component along the exact term; 1 is right. cosine: of the angle between the two.
    """

    gain: torch.Tensor
    cosine: torch.Tensor


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
    for sigma, sigma_next in pairwise(sigmas):
        eps = normal(*x_0.shape, like=x_0, generator=generator)
        level = {"x": x_0 + sigma * eps, "sigma": sigma, "sigma_next": sigma_next, "generator": generator}
        plain, right = (drift(one, **level).x for one in (prior, posterior))
        right = right - plain
        for name, make in makes.items():
            term = make(likelihood, base=drift)(prior, **level).x.detach() - plain
            products[name].append(torch.stack([(term * right).sum(), right.square().sum(), term.square().sum()]))
        left.append((posterior(level["x"], sigma) - x_0).square().sum(1).mean())
    results = {name: torch.stack(rows).T for name, rows in products.items()}
    results = {name: GuidanceTerm(a / b, a / (b * c).sqrt()) for name, (a, b, c) in results.items()}
    return results, torch.stack(left) / left[0]


def drift(denoiser, x, sigma, sigma_next, *, generator) -> SamplerState:
    """An ancestral step without its noise: D + (sigma_next / sigma)^2 (x - D)."""
    denoised = denoiser(x, sigma)
    return SamplerState(denoised + (sigma_next / sigma) ** 2 * (x - denoised), sigma_next, denoised)
