"""Chapter 6: calibration of the posteriors of many truths, and indicators of a memorized prior.

No defaults: sizes come from notebooks/profiles.yml.
"""

from dataclasses import dataclass

import torch
from scipy import stats

from chapters.ch06_calibration.families import Prior
from chapters.ch06_calibration.fits import Fit
from chapters.ch06_calibration.posteriors import LinearSurvey, exact_draws
from memprior._check import expect
from memprior.calibration import (
    Coverage,
    coverage_test,
    energy_test,
    joint_coverage,
    joint_credibility,
    marginal_coverage,
    normalized_error,
    pit,
    rank_test,
    residuals,
    tarp,
    uniform_test,
)
from memprior.intervals import Mean, Share
from memprior.operators import ForwardOperator

LEVEL = 0.9  # of the intervals whose coverage is measured


@dataclass(frozen=True, eq=False)
class Measured:
    """Calibration of the posteriors of T truths under one prior.

    coverage: of central intervals of each coefficient; axes: of each principal coordinate; region: of balls about the
    posterior mean, coefficients in prior deviations. errors: |mean - truth| over the root of the prior's total
    variance, (T,). pit: (T, 100). tarp: (T,). misfits: P(chi-square_100 >= |r|^2 /
    gamma^2) of one draw for each truth, (T,): uniform when the posterior is right.
    """

    coverage: Coverage
    axes: Coverage
    region: Coverage
    errors: torch.Tensor
    pit: torch.Tensor
    tarp: torch.Tensor
    misfits: torch.Tensor

    @property
    def error(self) -> Mean:
        """The mean of ``errors`` with its interval over truths."""
        return Mean.over(self.errors)

    @property
    def dots(self) -> dict[str, tuple[float, float, float]]:
        """Coverage and error with their intervals, for figures."""
        covered = self.coverage
        return {"coverage": (covered.value, covered.low, covered.high), "error": self.error.dot}

    @property
    def alarms(self) -> Share:
        """The share of data sets whose misfit is too large at level 0.05: 5 % by chance when the posterior is right."""
        return Share.of_flags(self.misfits < 0.05)


def measure(
    survey: LinearSurvey, draws: torch.Tensor, *, generator: torch.Generator, forward: ForwardOperator | None = None
) -> Measured:
    """Everything of :class:`Measured` from raw draws (T, S, 100).

    The references of the TARP test are draws of the posteriors under the true prior, F linearized: they depend on the
    data, not on the truths. forward: raw z -> predicted data, in place of the linearized. Raises ``ValueError`` for
    fewer than 19 draws of each truth: among them no rank is outside an interval of 90 % for certain.
    """
    least = round(2 / (1 - LEVEL)) - 1
    expect(draws.ndim == 3 and draws.shape[1] >= least, "draws", f"(T, S >= {least}, d)", tuple(draws.shape))
    truths, unit, predicted = survey.truths, survey.deviations, forward or survey.predicted
    ranks = pit(draws, truths, generator=generator)
    turned = pit(draws @ survey.axes, truths @ survey.axes, generator=generator)
    references = exact_draws(survey, survey.prior, 1, generator=generator)[:, 0]
    squares = ((survey.data - predicted(draws[:, 0])) / survey.noise_std).square().sum(1)
    beyond = stats.chi2.sf(squares.cpu().numpy(), survey.data.shape[1])
    return Measured(
        marginal_coverage(ranks, LEVEL),
        marginal_coverage(turned, LEVEL),
        joint_coverage(draws, truths, LEVEL, generator=generator, scale=unit),
        normalized_error(draws, truths, survey.overall),
        ranks,
        tarp(draws / unit, truths / unit, references / unit, generator=generator),
        torch.from_numpy(beyond),
    )


def all_tests(survey: LinearSurvey, draws: torch.Tensor, *, generator: torch.Generator) -> dict[str, float]:
    """p-values of four calibration tests of posterior draws (T, S, 100), by name; each detects other errors."""
    m = measure(survey, draws, generator=generator)
    truths, unit = survey.truths / survey.deviations, survey.deviations
    credibility = joint_credibility(draws / unit, truths, generator=generator)
    pairs = residuals(draws / unit, truths)
    return {
        "ranks (SBC)": rank_test(m.pit),
        "TARP": uniform_test(m.tarp),
        "90 % regions": coverage_test(credibility, LEVEL),
        "energy distance": energy_test(*pairs, num_permutations=999, generator=generator, paired=True),
    }


def simulated(fitted: Prior, survey: LinearSurvey, num: int, num_draws: int, *, generator: torch.Generator) -> Coverage:
    """Coverage where truths are ``num`` draws of the prior itself: the check that every fit passes."""
    truths = fitted.sample(num, generator=generator)
    draws = exact_draws(survey.of(truths, generator=generator), fitted, num_draws, generator=generator)
    return marginal_coverage(pit(draws, truths, generator=generator), LEVEL)


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Each example in turn the truth of a prior that is fitted to the others: coverage, and errors (N,) in the unit of
    the survey's prior."""

    coverage: Coverage
    errors: torch.Tensor


def left_out(
    examples: torch.Tensor, fit: Fit, survey: LinearSurvey, num_draws: int, *, generator: torch.Generator
) -> LeftOut:
    """The check by leave-one-out truths. fit: raw examples -> a prior; survey: of whose kind the data are."""
    own = survey.of(examples, generator=generator)
    draws = []
    for n in range(len(examples)):
        prior = fit(torch.cat([examples[:n], examples[n + 1 :]]))
        draws.append(exact_draws(own.only(n), prior, num_draws, generator=generator))
    z = torch.cat(draws)
    covered = marginal_coverage(pit(z, examples, generator=generator), LEVEL)
    return LeftOut(covered, normalized_error(z, examples, survey.overall))


def disagreement(first: torch.Tensor, second: torch.Tensor) -> Mean:
    """Distance between two sets of samples (B, d) that start from the same noise, pair by pair.

    |a_i - b_i| over the mean |a_i - b_j|, j /= i: 0 when both networks map a noise to one model, 1 when pairs are as
    far apart as samples of different noise (after kadkhodaie2024generalization).
    """
    apart = torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
    partners = apart.diagonal()
    return Mean.over(partners * (len(apart) - 1) / (apart.sum(1) - partners))


def too_narrow(draws: torch.Tensor, factor: float) -> torch.Tensor:
    """Draws (T, S, d) contracted towards their mean: the standard deviations are multiplied by ``factor``."""
    mean = draws.mean(1, keepdim=True)
    return mean + factor * (draws - mean)
