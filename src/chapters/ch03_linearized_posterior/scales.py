"""Chapter 3: the paper's scale sigma_crit (Eq. 8) as a prediction, on the line at all data and in the inversion.

The settling scale of a problem is the largest sigma up to which the weights of its components stay within
``SETTLED_WITHIN`` of the lookup's, in total variation. No defaults: sizes come from notebooks/profiles.yml.
"""

import math
from dataclasses import dataclass

import torch

from memprior._random import normal
from memprior.likelihood import GaussianLikelihood
from memprior.mixture import effective_components, total_variation
from memprior.operators import jacobian
from memprior.paper import Problem, square_grid

SETTLED_WITHIN = 0.1
EQ_8, WITH_RESIDUAL, EQ_7 = "σ_crit (Eq. 8)", "the same, with the residual", "weights of Eq. 7"  # predictions


@dataclass(frozen=True, eq=False)
class LineScales:
    """Weights of N even examples on the line against sigma, at many data y.

    sigmas: (S,). data: (Y,). limits: (Y,), exp(H) of the lookup. exact, linearized: (S, Y), exp(H) by quadrature and
    by Eq. 7. sigma_crit: sqrt(delta gamma / mean |F'|). excess: (Y,), by which share exp(H) exceeds its limit there.
    exchanged: (Y,), whether another example than the lookup's leads there. settling: (Y,), the settling scale by
    quadrature; sigmas[0] where it is smaller, inf where it is larger than all. predicted: (Y,) each, by name.
    """

    num: int
    sigmas: torch.Tensor
    data: torch.Tensor
    limits: torch.Tensor
    exact: torch.Tensor
    linearized: torch.Tensor
    sigma_crit: float
    excess: torch.Tensor
    exchanged: torch.Tensor
    settling: torch.Tensor
    predicted: dict[str, torch.Tensor]

    def ratios(self, name: str) -> torch.Tensor:
        """(Y,), settling scale over prediction: 1 where it is right, below 1 where it is too large."""
        return self.settling / self.predicted[name]


def line_scales(problem: Problem, data: torch.Tensor, sigmas: torch.Tensor, *, num_grid: int) -> LineScales:
    """The scales of a 1-D problem, whose examples lie within [-3, 3], at data y (Y,) of its F.

    Evidences are sums over ``num_grid`` points of [-9, 9], of one sigma at all data at once.
    """
    x, gamma = problem.train_set, problem.noise_std
    points, _ = square_grid(-9.0, 9.0, num_grid, 1, x.device)
    likelihoods = (-0.5 * ((data - problem.forward(points)) / gamma).square()).exp()  # (P, Y)
    residuals = data - problem.forward(x)  # (N, Y)
    slopes = jacobian(problem.forward, x)[:, 0].abs()  # (N, 1)

    def exact(sigma: float) -> torch.Tensor:
        joint = (-0.5 * ((points - x.T) / sigma).square()).exp().T @ likelihoods
        return joint / joint.sum(0)

    def linearized(sigma: float) -> torch.Tensor:
        variance = gamma**2 + (sigma * slopes).square()
        return (-0.5 * (residuals.square() / variance + variance.log())).softmax(0)

    lookup = linearized(0.0)
    leads = lookup.argmax(0)
    limits = _effective(lookup)
    spacing = float(x.max() - x.min()) / (len(x) - 1)
    sigma_crit = math.sqrt(spacing * gamma / float(slopes.mean()))
    weights = {name: [of(s) for s in sigmas.tolist()] for name, of in (("exact", exact), (EQ_7, linearized))}
    left = {
        name: first_above(sigmas, torch.stack([total_variation(w.T, lookup.T) for w in every]), SETTLED_WITHIN)
        for name, every in weights.items()
    }
    there = residuals.gather(0, leads[None])[0].abs()
    predicted = {EQ_8: torch.full_like(data, sigma_crit), EQ_7: left[EQ_7]}
    predicted[WITH_RESIDUAL] = gamma * (spacing / (slopes[leads, 0] * there)).sqrt()
    at_crit = exact(sigma_crit)
    return LineScales(
        len(x),
        sigmas,
        data,
        limits,
        torch.stack([_effective(w) for w in weights["exact"]]),
        torch.stack([_effective(w) for w in weights[EQ_7]]),
        sigma_crit,
        _effective(at_crit) / limits - 1,
        at_crit.argmax(0) != leads,
        left["exact"],
        predicted,
    )


def _effective(weights: torch.Tensor) -> torch.Tensor:
    """exp(H) of weights (N, Y), (Y,)."""
    return effective_components(weights.T.log())


def first_above(sigmas: torch.Tensor, curves: torch.Tensor, level: float) -> torch.Tensor:
    """The sigma at which each of the curves (S, Y) first exceeds a level, (Y,): linear in log sigma between points.

    sigmas[0] where a curve begins above it, inf where it never is.
    """
    above = curves > level
    after = above.to(torch.uint8).argmax(0)  # the first, or 0
    before = (after - 1).clamp(min=0)
    low, high = (curves.gather(0, at[None])[0] for at in (before, after))
    share = torch.where(after > 0, (level - low) / (high - low), 0.0)
    logs = sigmas.log()
    found = (logs[before] + share * (logs[after] - logs[before])).exp()
    return torch.where(above.any(0), found, math.inf)


# ---- the published inversion -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class InversionScales:
    """The same for a linear inversion and N published examples, over truths that are no examples.

    spacing: mean distance of an example to the next. effective: (T,), exp(H) at sigma_crit. exchanged, settling, T each
    and predicted, (T,) by name: as in :class:`LineScales`, Eq. 7 being exact here. residuals: (T,), of the lookup's
    example, in units of gamma.
    """

    num: int
    spacing: float
    sigma_crit: float
    effective: torch.Tensor
    exchanged: torch.Tensor
    settling: torch.Tensor
    predicted: dict[str, torch.Tensor]
    residuals: torch.Tensor

    def ratios(self, name: str) -> torch.Tensor:
        """(T,), settling scale over prediction."""
        return self.settling / self.predicted[name]


def inversion_scales(
    likelihood: GaussianLikelihood,
    examples: torch.Tensor,
    truths: torch.Tensor,
    sigmas: torch.Tensor,
    *,
    generator: torch.Generator,
) -> InversionScales:
    """Scales of the inversion whose operator is a matrix, ``likelihood.forward.matrix``: data of truths (T, d).

    With J = U S V^T the evidence of Eq. 7 is a sum over the rotated residuals U^T (y - J x_n), and its determinant is
    the same for all n.
    """
    matrix, gamma = likelihood.forward.matrix, likelihood.noise_std
    u, slopes, _ = torch.linalg.svd(matrix)
    noise = gamma * normal(len(truths), len(matrix), like=truths, generator=generator)
    rotated = ((truths @ matrix.T + noise)[:, None] - examples @ matrix.T) @ u  # (T, N, m)
    squares = rotated.square()

    def weights(sigma: float) -> torch.Tensor:
        return (-0.5 * (squares @ (gamma**2 + (sigma * slopes).square()).reciprocal())).softmax(1)

    lookup = weights(0.0)
    leads = lookup.argmax(1)
    near = torch.cdist(examples, examples)
    spacing = float(near.fill_diagonal_(math.inf).min(1).values.mean())
    sigma_crit = math.sqrt(spacing * gamma / float(slopes[0]))
    distances = torch.stack([total_variation(weights(s), lookup) for s in sigmas.tolist()])
    norms = squares.sum(2).gather(1, leads[:, None])[:, 0].sqrt()
    at_crit = weights(sigma_crit)
    predicted = {
        EQ_8: torch.full_like(norms, sigma_crit),
        WITH_RESIDUAL: gamma * (spacing / (slopes[0] * norms)).sqrt(),
    }
    return InversionScales(
        len(examples),
        spacing,
        sigma_crit,
        effective_components(at_crit.log()),
        at_crit.argmax(1) != leads,
        first_above(sigmas, distances, SETTLED_WITHIN),
        predicted,
        norms / gamma,
    )


def effective_by_noise(
    likelihood: GaussianLikelihood,
    examples: torch.Tensor,
    truths: torch.Tensor,
    factors: torch.Tensor,
    *,
    generator: torch.Generator,
) -> torch.Tensor:
    """exp(H) of the lookup over truths (T, d), with one noise draw each: (G, T).

    The draw is scaled to gamma times each of ``factors`` (G,).
    """
    matrix, gamma = likelihood.forward.matrix, likelihood.noise_std
    noise = normal(len(truths), len(matrix), like=truths, generator=generator)
    clean = truths @ matrix.T
    predicted = examples @ matrix.T
    found = []
    for factor in (gamma * factors).tolist():
        squares = torch.cdist(clean + factor * noise, predicted).square()
        found.append(effective_components((-0.5 * squares / factor**2).log_softmax(1)))
    return torch.stack(found)
