"""Chapter 5: posterior samplers on an exactly memorized prior, where the posterior is known for any F.

The posterior under the empirical prior is a lookup: every sample chooses an example, and the examples' frequencies are
compared with their exact weights. Several problems of one kind run as one batch. No defaults: sizes come from
notebooks/profiles.yml.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from chapters.ch05_samplers.costs import Counted
from memprior._random import float64_on, normal
from memprior.denoiser import Denoiser
from memprior.guidance import smc
from memprior.likelihood import GaussianLikelihood, noisy
from memprior.memorization import memorization_ratio, nearest_neighbors
from memprior.mixture import draw_components, total_variation
from memprior.operators import ForwardOperator, MatrixOperator
from memprior.paper import Problem, line_problem, pentagon_problem
from memprior.posterior import collapsed_log_weights
from memprior.sampling import Step, ancestral_step, sample

DIM, NUM_DATA, NUM_EXAMPLES, NOISE = 10, 4, 20, 0.5  # of the linear toy


# ---- problems ------------------------------------------------------------------------------------------------------


def line_problems(num: int, *, generator: torch.Generator, device=None) -> list[Problem]:
    """The paper's 1-D problem with y = gamma eps in place of y = 0: data of the truth 0, one noise draw each."""
    line = line_problem(float64_on(device, generator).device)
    return [replace(line, observed=noisy(line.observed, line.noise_std, generator)) for _ in range(num)]


def pentagon_problems(num: int, *, generator: torch.Generator, device=None) -> list[Problem]:
    """The paper's 2-D problem with a noise draw each; the paper's own data have none."""
    pentagon, _ = pentagon_problem(float64_on(device, generator).device)
    return [replace(pentagon, observed=noisy(pentagon.observed, pentagon.noise_std, generator)) for _ in range(num)]


def linear_problems(num: int, *, generator: torch.Generator, device=None) -> list[Problem]:
    """y = A x + noise: examples and truth from N(0, I_10), A (4, 10) from N(0, 1/10), independent for each."""
    problems, drawn = [], {"like": float64_on(device, generator), "generator": generator}
    for _ in range(num):
        matrix, truth = normal(NUM_DATA, DIM, **drawn) / math.sqrt(DIM), normal(DIM, **drawn)
        observed = noisy(matrix @ truth, NOISE, generator)
        problems.append(Problem(MatrixOperator(matrix), normal(NUM_EXAMPLES, DIM, **drawn), observed, NOISE))
    return problems


# ---- several problems as one batch ---------------------------------------------------------------------------------


class BlockDenoiser:
    """The empirical denoisers of P training sets for a batch of P equal blocks: x (P B, d) -> (P B, d).

    train_sets: (P, N, d). log_weights: (P, N). Block p is ``EmpiricalDenoiser(train_sets[p], log_weights[p])``.
    """

    def __init__(self, train_sets: torch.Tensor, log_weights: torch.Tensor):
        self._center = train_sets.mean((0, 1))
        self._points = train_sets - self._center
        self._half_norms = 0.5 * self._points.square().sum(2)[:, None]
        self._log_weights = log_weights[:, None]

    def __call__(self, x: torch.Tensor, sigma) -> torch.Tensor:
        blocks = (x - self._center).reshape(len(self._points), -1, x.shape[1])
        logits = (blocks @ self._points.mT - self._half_norms) / sigma**2 + self._log_weights
        return (logits.softmax(2) @ self._points).reshape(x.shape) + self._center


@dataclass(frozen=True, eq=False)
class ProblemBatch:
    """P problems of one kind with memorized priors. Batches are P blocks of B samples, in the problems' order."""

    problems: list[Problem]

    @cached_property
    def train_sets(self) -> torch.Tensor:
        """(P, N, d)."""
        return torch.stack([problem.train_set for problem in self.problems])

    @cached_property
    def log_weights(self) -> torch.Tensor:
        """Log weights of the exact posterior, (P, N): N solves per problem."""
        return torch.stack([collapsed_log_weights(problem.train_set, problem.likelihood) for problem in self.problems])

    @property
    def num_data(self) -> int:
        return len(self.problems[0].observed)

    @cached_property
    def _observed(self) -> torch.Tensor:
        return torch.stack([problem.observed for problem in self.problems])[:, None]

    @cached_property
    def _matrices(self) -> torch.Tensor:
        return torch.stack([problem.forward.matrix.T for problem in self.problems])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """F_p(x) - y_p for each block, (P B, m). One call of F, or one batched product for matrices."""
        blocks, operator = x.reshape(len(self.problems), -1, x.shape[1]), self.problems[0].forward
        if isinstance(operator, MatrixOperator):
            return (blocks @ self._matrices - self._observed).flatten(0, 1)
        return (operator(x).view(*blocks.shape[:2], -1) - self._observed).flatten(0, 1)

    def likelihood(self, forward: ForwardOperator) -> GaussianLikelihood:
        """Likelihood of all blocks, with ``forward`` (or a wrapper of it) for F."""
        first = self.problems[0]
        return GaussianLikelihood(forward, torch.zeros_like(first.observed), first.noise_std)

    def prior(self) -> Denoiser:
        """Denoiser of the memorized priors."""
        return BlockDenoiser(self.train_sets, torch.zeros_like(self.log_weights))

    def posterior(self) -> Denoiser:
        """Denoiser of the exact posteriors: :class:`memprior.posterior.MemorizedPosteriorDenoiser`, in blocks."""
        return BlockDenoiser(self.train_sets, self.log_weights)

    def start(self, denoiser: Denoiser, num: int, sigma, *, generator: torch.Generator) -> torch.Tensor:
        """x_sigma (P num, d) at the first level: sigma N(0, I) about the denoiser's mean.

        About another mean the frequencies would be biased by about the distance of the means over sigma.
        """
        means = denoiser(self.train_sets.mean(1), sigma).repeat_interleave(num, 0)
        return means + sigma * normal(*means.shape, like=means, generator=generator)


# ---- samplers ------------------------------------------------------------------------------------------------------

Draw = Callable[..., torch.Tensor]  # (batch, likelihood, num, sigmas, *, generator) -> samples (P num, d)


def exact(batch: ProblemBatch, likelihood, num: int, sigmas, *, generator) -> torch.Tensor:
    """Ancestral steps with the exact posterior's denoiser."""
    return _sampled(batch, batch.posterior(), ancestral_step, num, sigmas, generator)


def unconditional(batch: ProblemBatch, likelihood, num: int, sigmas, *, generator) -> torch.Tensor:
    """Ancestral steps with the prior's denoiser: unconditional samples."""
    return _sampled(batch, batch.prior(), ancestral_step, num, sigmas, generator)


def guided(make: Callable[[GaussianLikelihood], Step]) -> Draw:
    """The memorized prior's denoiser with the guided step ``make(likelihood)``."""

    def draw(batch, likelihood, num, sigmas, *, generator):
        return _sampled(batch, batch.prior(), make(likelihood), num, sigmas, generator)

    return draw


def particles(num_particles: int, *, twisted: bool, spread: float | None = None) -> Draw:
    """One draw from each of ``num`` runs with ``num_particles`` particles."""

    def draw(batch, likelihood, num, sigmas, *, generator):
        first = batch.start(batch.prior(), num * num_particles, sigmas[0], generator=generator)
        first = first.view(-1, num_particles, first.shape[1])
        options = {"twisted": twisted, "generator": generator} | ({"spread": spread} if spread else {})
        return smc(batch.prior(), likelihood, first, sigmas, **options).draw(generator=generator)

    return draw


def _sampled(batch, denoiser, step, num, sigmas, generator):
    first = batch.start(denoiser, num, sigmas[0], generator=generator)
    return sample(denoiser, first, sigmas, step=step, generator=generator)


# ---- evaluation ----------------------------------------------------------------------------------------------------


def evaluate(draw: Draw, batch: ProblemBatch, num: int, sigmas: torch.Tensor, *, generator: torch.Generator) -> dict:
    """Compare ``num`` samples of each problem with its exact posterior; JSON-able.

    distances: (P,), total variation of the frequencies of chosen examples to the exact weights. best: (P,), share that
    chose the most probable example. ratio: (P,), median of r = d_1 / mean(d_2..d_N). misfit: (P,), median of
    |y - F(x)|^2 / (2 gamma^2 m). invalid: (P,), share not finite or farther from its nearest example than any two
    examples are; such samples choose none. forward, gradient: solves per sample.
    """
    counted, weights = Counted(batch.forward), batch.log_weights.exp()
    x = draw(batch, batch.likelihood(counted), num, sigmas, generator=generator)
    with torch.no_grad():
        squares = batch.likelihood(batch.forward).residual(x).square().sum(1)
    misfits = (squares / (2 * batch.problems[0].noise_std ** 2 * batch.num_data)).view(len(weights), -1)
    results = {"distances": [], "best": [], "ratio": [], "misfit": misfits.median(1).values.tolist(), "invalid": []}
    for block, examples, exact_weights in zip(x.chunk(len(weights)), batch.train_sets, weights, strict=True):
        near = nearest_neighbors(block[block.isfinite().all(1)], examples, len(examples))
        apart = torch.cdist(examples, examples, compute_mode="donot_use_mm_for_euclid_dist")
        inside = near.distances[:, 0] <= apart.max()
        frequencies = near.indices[inside, 0].bincount(minlength=len(examples)).to(exact_weights) / num
        lost = 1 - int(inside.sum()) / num
        results["distances"].append(float(total_variation(frequencies, exact_weights) + lost / 2))
        results["best"].append(float(frequencies[exact_weights.argmax()]))
        results["ratio"].append(float(memorization_ratio(near).median()) if len(near.indices) else math.nan)
        results["invalid"].append(float(lost))
    solves = {"forward": counted.forward / len(x), "gradient": counted.gradient / len(x)}
    return results | solves


def floors(batch: ProblemBatch, num: int, repeats: int, *, generator: torch.Generator) -> torch.Tensor:
    """Total variation of ``num`` exact draws' frequencies to the exact weights, (repeats, P): the floor."""
    columns = []
    for log_weights in batch.log_weights:
        chosen = draw_components(log_weights, repeats * num, generator).view(repeats, num)
        counts = torch.zeros(repeats, len(log_weights), dtype=log_weights.dtype, device=log_weights.device)
        counts.scatter_add_(1, chosen, torch.ones_like(chosen, dtype=counts.dtype))
        columns.append(total_variation(counts / num, log_weights.exp()))
    return torch.stack(columns, 1)
