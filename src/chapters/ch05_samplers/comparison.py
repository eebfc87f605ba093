"""Chapter 5: which samplers are compared, with which settings, and why likelihood weighting does so well here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch

from chapters.ch05_samplers.problems import Draw, Stack, exact, guided, judge, particles
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
    """name -> scale -> what makes the step of a likelihood: the samplers that have something to tune."""
    return {
        "DPS, squared": lambda scale: partial(dps_step, scale=scale, norm="squared"),
        "DPS, norm": lambda scale: partial(dps_step, scale=scale, norm="norm"),
        "frozen, squared": lambda scale: partial(frozen_step, scale=scale, norm="squared"),
        "frozen, norm": lambda scale: partial(frozen_step, scale=scale, norm="norm"),
        "released": lambda scale: partial(released_step, step_size=scale),
        "released, ancestral": lambda scale: partial(released_step, step_size=scale, lagged=False, base=ancestral_step),
    }


def untuned(num_iterations: int) -> dict:
    """name -> what makes the step of a likelihood. num_iterations: of conjugate gradients, m for exact ones."""
    return {
        "DPS, own weight": point_step,
        "PiGDM": partial(pigdm_step, num_iterations=num_iterations),
        "MMPS": partial(mmps_step, num_iterations=num_iterations),
    }


def toy_samplers(num_iterations: int) -> dict[str, Draw]:
    """name -> sampler: the steps of the main comparison, and its two ends."""
    scales = {"DPS, squared": SCALE, "DPS, norm": SCALE, "frozen, squared": FROZEN_SCALE}
    makes = {name: make(scales.get(name, STEP_SIZE)) for name, make in families().items() if name != "frozen, norm"}
    return {"exact": exact} | {name: guided(make) for name, make in (makes | untuned(num_iterations)).items()}


def at(name: str, scale: float) -> str:
    """What a sampler at one scale is called."""
    return f"{name}, at {scale:g}"


def at_scales(scales) -> dict[str, Draw]:
    """Every family at every scale, by :func:`at`."""
    return {at(name, scale): guided(make(scale)) for name, make in families().items() for scale in scales}


def best_of(found: dict[str, dict]) -> dict[str, dict]:
    """Of what was judged at scales, each family's least mean distance: family -> judgement."""
    best = {}
    for name in families():
        tried = [one for key, one in found.items() if key.startswith(f"{name}, at ")]
        best[name] = min(tried, key=lambda one: sum(one["distances"]))
    return best


def fwi_samplers(stack: Stack, covariance: torch.Tensor, num_langevin: int, particle_counts) -> dict[str, Draw]:
    """What has no scale, for the linearized inversion. covariance: of the true law, (d, d), for one of them.

    A few conjugate gradients only: 100 would be exact, and dear.
    """
    slope = stack.problems[0].forward.matrix
    makes = untuned(5) | {"covariance": partial(covariance_step, covariance=covariance, jacobian=slope)}
    every = {"exact": exact} | {name: guided(make) for name, make in makes.items()}
    every["DAPS"] = decoupled(stack, num_langevin)
    return every | {f"twisted, K = {num}": particles(num, twisted=True) for num in particle_counts}


def wave_samplers(chosen: dict[str, float]) -> dict[str, Draw]:
    """Those that walk with the waves too: name -> scale, or 0 for those that have none."""
    makes = {name: families()[name](scale) for name, scale in chosen.items() if scale}
    makes |= {name: untuned(2)[name] for name, scale in chosen.items() if not scale}
    return {"exact": exact} | {name: guided(make) for name, make in makes.items()}


def decoupled(stack: Stack, num_langevin: int) -> Draw:
    """DAPS with as many Metropolis-adjusted Langevin steps at each level, x_hat = D."""
    return guided(partial(daps_step, num_ode=1, num_langevin=num_langevin, step_size=0.5, curvature=curvature(stack)))


def curvature(stack: Stack) -> float:
    """The largest eigenvalue of J^T J at any training example."""
    slopes = [jacobian(problem.forward, problem.train_set) for problem in stack.problems]
    return max(float(torch.linalg.matrix_norm(slope, 2).max()) ** 2 for slope in slopes)


@dataclass(frozen=True, eq=False)
class Bench:
    """Judges samplers, ``workers`` at a time with one thread each.

    generator: purpose -> randomness. kept: (purpose, compute) -> what ``compute(folder)`` gives, or gave before.
    """

    workers: int
    generator: Callable[[str], torch.Generator]
    kept: Callable

    def judged(self, label: str, stack: Stack, samplers: dict[str, Draw], num: int, sigmas) -> dict[str, dict]:
        """Name -> :func:`samplers.judge` of it, each with randomness of its own."""
        stack.log_weights  # noqa: B018 - found once, before several threads ask for them

        def one(name):
            purpose = f"{label} {name}"
            told = {"num": num, "sigmas": sigmas}
            return self.kept(purpose, lambda _: judge(samplers[name], stack, **told, generator=self.generator(purpose)))

        # torch's forward mode counts its levels for all threads together: what needs it runs in one thread.
        alone = [name for name in samplers if name in FORWARD_MODE]
        with one_thread_each(self.workers) as pool:
            queue = pool.submit(lambda: {name: one(name) for name in alone})
            begun = {name: pool.submit(one, name) for name in samplers if name not in alone}
            found = {name: future.result() for name, future in begun.items()} | queue.result()
        return {name: found[name] for name in samplers}


# ---- likelihood weighting ------------------------------------------------------------------------------------------


def weighting_law(stack: Stack, num: int, repeats: int, *, generator: torch.Generator) -> torch.Tensor:
    """The law of likelihood weighting's draw over the examples, (P, N).

    K = ``num`` examples drawn with equal chances, one of them chosen by likelihood: the mean over ``repeats`` such
    draws of the chances of each example, so that little noise is left.
    """
    log_weights = stack.log_weights
    shape = (len(log_weights), repeats * num)
    drawn = integers(log_weights.shape[1], *shape, like=log_weights, generator=generator)
    chances = log_weights.gather(1, drawn).view(-1, repeats, num).softmax(2).view(shape) / repeats
    return torch.zeros_like(log_weights).scatter_add_(1, drawn, chances)


def weighting_distance(stack: Stack, num: int, repeats: int, *, generator: torch.Generator) -> torch.Tensor:
    """Total variation of :func:`weighting_law` to the exact weights, (P,)."""
    return total_variation(weighting_law(stack, num, repeats, generator=generator), stack.log_weights.exp())


def concentration(stack: Stack) -> torch.Tensor:
    """rho = N sum w_n^2, (P,), between 1 and N: K of a few rho are enough for likelihood weighting."""
    return stack.log_weights.shape[1] * (2 * stack.log_weights).exp().sum(1)


def effective_examples(stack: Stack) -> torch.Tensor:
    """exp of the entropy of the exact weights, (P,)."""
    return effective_components(stack.log_weights)


# ---- where guidance errs -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Push:
    """What guidance adds to the prior's denoised guess, beside what the exact posterior adds, level by level, (T,).

    gain: of the part along the exact push, 1 where it is right. cosine: of the angle between the two.
    """

    gain: torch.Tensor
    cosine: torch.Tensor


def pushes(
    stack: Stack, makes: dict, num: int, sigmas: torch.Tensor, *, generator: torch.Generator
) -> tuple[dict[str, Push], torch.Tensor]:
    """Name -> the push of its step, made with the noise-free :func:`drift`, and (T,) what is left to choose.

    At ``num`` exact draws of x_sigma | y for each problem. What is left: the mean square of x_0 - E[x_0 | x_sigma, y],
    over its value at the first level.
    """
    prior, posterior, likelihood = stack.prior(), stack.posterior(), stack.likelihood(stack.forward)
    chosen = choices(stack.log_weights.exp(), num, generator=generator)
    x_0 = stack.train_sets.gather(1, chosen[:, :, None].expand(-1, -1, stack.train_sets.shape[2])).flatten(0, 1)
    products, left = {name: [] for name in makes}, []
    for sigma, sigma_next in pairwise(sigmas):
        eps = normal(*x_0.shape, like=x_0, generator=generator)
        level = {"x": x_0 + sigma * eps, "sigma": sigma, "sigma_next": sigma_next, "generator": generator}
        plain, right = (drift(one, **level).x for one in (prior, posterior))
        right = right - plain
        for name, make in makes.items():
            push = make(likelihood, base=drift)(prior, **level).x.detach() - plain
            products[name].append(torch.stack([(push * right).sum(), right.square().sum(), push.square().sum()]))
        left.append((posterior(level["x"], sigma) - x_0).square().sum(1).mean())
    found = {name: torch.stack(rows).T for name, rows in products.items()}
    found = {name: Push(a / b, a / (b * c).sqrt()) for name, (a, b, c) in found.items()}
    return found, torch.stack(left) / left[0]


def drift(denoiser, x, sigma, sigma_next, *, generator) -> SamplerState:
    """An ancestral step without its noise: D + (sigma_next / sigma)^2 (x - D)."""
    denoised = denoiser(x, sigma)
    return SamplerState(denoised + (sigma_next / sigma) ** 2 * (x - denoised), sigma_next, denoised)
