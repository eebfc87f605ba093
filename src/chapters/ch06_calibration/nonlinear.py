"""Chapter 6 with the nonlinear (Helmholtz) operator: F is linearized for each truth, and draws are weighted.

F is too nonlinear to be linearized at the prior's mean for all truths. So F is linearized for each truth at its most
probable model under the true prior, and posteriors are drawn with that linearization. The weight of a draw is the ratio
of the nonlinear likelihood to the linearized one: the prior cancels, so that this holds under any prior.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import least_squares

from chapters.ch06_calibration.posteriors import LinearSurvey, solved
from companion.jobs import part_name
from memprior._check import expect_whole
from memprior._random import choices
from memprior.gaussian import Gaussian
from memprior.likelihood import GaussianLikelihood
from memprior.operators import jacobian

MOST_STEPS = 60  # of Gauss-Newton; it takes about ten


@dataclass(frozen=True)
class LinearizationPoint:
    """The model at which F is linearized for one truth. seed: that of the noise in its data."""

    index: int
    seed: int

    @property
    def name(self) -> str:
        """See :func:`companion.jobs.part_name`."""
        return part_name(f"place {self.index}", self)


@dataclass(frozen=True, eq=False)
class Local:
    """survey: of one truth, F linearized at its most probable model. misfit: there, |y - F|^2 / gamma^2 per datum."""

    survey: LinearSurvey
    misfit: float


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws of T posteriors, (T, S, 100), and their weights, (T, S), which sum to one for each."""

    draws: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def equally_weighted(cls, draws: torch.Tensor) -> "Drawn":
        """Draws with equal weights."""
        return cls(draws, draws.new_full(draws.shape[:2], 1 / draws.shape[1]))

    @classmethod
    def reweighted(cls, local: list[Local], draw: Callable[[LinearSurvey], torch.Tensor], likelihoods: list) -> "Drawn":
        """Draws ``draw(survey)``, (1, S, 100), of each local survey, weighted by the nonlinear likelihoods."""
        draws = [draw(one.survey)[0] for one in local]
        weights = [nonlinear_weights(*of) for of in zip(local, likelihoods, draws, strict=True)]
        return cls(torch.stack(draws), torch.stack(weights))

    @property
    def effective(self) -> torch.Tensor:
        """Effective sample size, (T,): 1 / sum of squared weights."""
        return 1 / self.weights.square().sum(1)

    def attainable(self, level: float) -> float:
        """Coverage of central intervals of ``level`` for draws of the right posterior, averaged over truths.

        Of n equally weighted draws ceil(n a), a = (1 - level) / 2, are at or below the lower end. The truth is one
        more draw: it lies outside with probability 2 ceil(n a) / (n + 1). n is the effective sample size.
        """
        outside = torch.ceil(self.effective * (1 - level) / 2) / (self.effective + 1)
        return float(1 - 2 * outside.mean())

    def resampled(self, num: int, *, generator: torch.Generator) -> torch.Tensor:
        """``num`` of the draws for each truth, by weight and with repetition, (T, num, 100)."""
        chosen = choices(self.weights, num, generator=generator)
        return self.draws.gather(1, chosen[:, :, None].expand(-1, -1, self.draws.shape[2]))


def most_probable(likelihood: GaussianLikelihood, prior: Gaussian, most_steps: int) -> torch.Tensor:
    """argmax p(z | y), (100,), by Gauss-Newton steps in a trust region from the prior mean (`scipy.least_squares`).

    In z = mean + A u, with A A^T the prior covariance, the sum of squares is |y - F(z)|^2 / gamma^2 + |u|^2. The data
    of a non-physical model are not finite, and the trust region shrinks.
    """
    expect_whole("most_steps", most_steps, 1)
    variances, axes = torch.linalg.eigh(prior.covariance)
    nonzero = variances > 1e-10 * variances.max()
    root = axes[:, nonzero] * variances[nonzero].sqrt()

    def model(u):
        return prior.mean + root @ torch.from_numpy(u).to(root)

    def residual(u):
        with torch.no_grad():
            left = likelihood.residual(model(u)[None])[0] / likelihood.noise_std
        return np.concatenate([left.cpu().numpy(), u])

    def slope(u):
        rows = jacobian(likelihood.forward, model(u)[None])[0].detach().to(root) @ root
        return np.concatenate([-(rows / likelihood.noise_std).cpu().numpy(), np.eye(len(u))])

    start = np.zeros(root.shape[1])
    solution = least_squares(residual, start, slope, max_nfev=most_steps, ftol=1e-6, xtol=1e-6, gtol=1e-6)
    return model(solution.x)


def linearized_at(survey: LinearSurvey, index: int, likelihood: GaussianLikelihood) -> Local:
    """The truth of this ``index`` in ``survey`` with F linearized at its most probable model under the true prior.

    likelihood: of raw models z, with all of this truth's data.
    """
    z = most_probable(likelihood, survey.prior, MOST_STEPS)
    with torch.no_grad():
        left = likelihood.residual(z[None])[0]
    q, response = torch.linalg.qr(jacobian(likelihood.forward, z[None])[0].detach().to(z))
    data = left @ q + response @ (z - survey.prior.mean)
    one = LinearSurvey(survey.prior, response, survey.truths[index, None], data[None], survey.noise_std)
    return Local(one, float(left.square().mean()) / survey.noise_std**2)


def nonlinear_weights(local: Local, likelihood: GaussianLikelihood, z: torch.Tensor) -> torch.Tensor:
    """Normalized weights (S,) of draws z (S, 100) made with F linearized: one solve each.

    Non-physical models have weight 0.
    """
    survey = local.survey
    exact = (likelihood.observed - solved(likelihood.forward, z)).square().sum(1)
    proposed = (survey.data - survey.predicted(z)).square().sum(1)
    log_ratio = (proposed - exact) / (2 * survey.noise_std**2)
    return torch.where(log_ratio.isfinite(), log_ratio, -torch.inf).softmax(0)
