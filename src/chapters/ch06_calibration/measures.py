"""Chapter 6: calibration of the posteriors of many truths, and indicators of a memorized prior.

No defaults: sizes come from notebooks/profiles.yml.
"""

from dataclasses import dataclass

import torch
from scipy import stats

from chapters.ch06_calibration.posteriors import LinearSurvey, gaussian_draws
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
from memprior.intervals import Mean
from memprior.operators import ForwardOperator

LEVEL = 0.9  # of the intervals whose coverage is measured


@dataclass(frozen=True, eq=False)
class Measured:
    """Calibration of the posteriors of T truths under one prior.

    coverage: of central intervals of each coefficient; axes: of each principal coordinate; joint: of balls in prior
    deviations. error: |mean - truth| over the root of the prior's total variance; by_coefficient: the root mean square
    of errors in deviations of each coefficient. pit: (T, 100). tarp: (T,). misfits: P(chi-square_100 >= |r|^2 /
    gamma^2) of one draw for each truth, (T,): uniform when the posterior is right.
    """

    coverage: Coverage
    axes: Coverage
    joint: Coverage
    error: Mean
    by_coefficient: Mean
    pit: torch.Tensor
    tarp: torch.Tensor
    misfits: torch.Tensor

    @property
    def dots(self) -> dict[str, tuple[float, float, float]]:
        """Coverage and error with their intervals, for figures."""
        covered = self.coverage
        return {"coverage": (covered.value, covered.low, covered.high), "error": self.error.dot}

    @property
    def alarms(self) -> float:
        """The share of data sets whose misfit is too large at level 0.05: 5 % by chance when the posterior is right."""
        return float((self.misfits < 0.05).double().mean())


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
    references = gaussian_draws(survey, survey.prior, 1, generator=generator)[:, 0]
    squares = ((survey.data - predicted(draws[:, 0])) / survey.noise_std).square().sum(1)
    beyond = stats.chi2.sf(squares.cpu().numpy(), survey.data.shape[1])
    return Measured(
        marginal_coverage(ranks, LEVEL),
        marginal_coverage(turned, LEVEL),
        joint_coverage(draws, truths, LEVEL, generator=generator, scale=unit),
        Mean.over(normalized_error(draws, truths, survey.overall)),
        Mean.over(normalized_error(draws, truths, unit)),
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
        "90 % balls": coverage_test(credibility, LEVEL),
        "energy distance": energy_test(*pairs, num_permutations=999, generator=generator, paired=True),
    }


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
