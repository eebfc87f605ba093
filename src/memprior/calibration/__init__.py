"""Is a posterior calibrated? Tests of its draws against truths, and a distance of two distributions.

T truths, S posterior draws of each, d components. Truths come from the prior and data from the truths: then each truth
is one more draw of its posterior, exchangeable with the S others. Each test takes another consequence of that; none
proves it. The prior itself, given out as a posterior, passes ranks and coverage: ``tarp`` with references from the data
and ``energy_test`` of pairs with the data see it. benchmarks/calibration_power.py measures what each test sees.
"""

import math
from dataclasses import dataclass

import torch
from scipy import stats

from memprior._check import expect, expect_finite, expect_points, expect_whole
from memprior._random import uniform
from memprior.calibration._parts import (
    expect_draws,
    expect_samples,
    expect_scale,
    expect_unit,
    expect_unit_line,
    level_number,
    norms,
    position,
    ranks,
    sum_between,
)
from memprior.intervals import jeffreys


@dataclass(frozen=True)
class Coverage:
    """value: the share of truths inside regions that claim ``level``. low, high: its 95 % interval, within [0, 1]."""

    value: float
    low: float
    high: float
    level: float


def sbc_ranks(samples: torch.Tensor, truths: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
    """How many of its S draws lie below each component of a truth: (T, d) integers 0..S (talts2018validating).

    samples: (T, S, d), S >= 2. truths: (T, d). Equal numbers, as the atoms of a memorized posterior give, are ordered
    at random. Uniform on 0..S when calibrated; the components of one truth are dependent. Raises ``ValueError`` /
    ``TypeError`` for shapes, dtypes or devices that differ and for numbers that are not finite.
    """
    expect_draws(samples, truths)
    return ranks(samples, truths, generator)


def pit(samples: torch.Tensor, truths: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
    """(rank + U) / (S + 1), (T, d) in (0, 1), U uniform: exactly uniform when calibrated, for any S.

    The rank of ``sbc_ranks``, so that S need not be large. Takes and raises what ``sbc_ranks`` does.

    Example:
        >>> import torch
        >>> from memprior.calibration import pit
        >>> generator = torch.Generator().manual_seed(0)
        >>> samples, truths = torch.randn(500, 9, 1, generator=generator), torch.randn(500, 1, generator=generator)
        >>> abs(float(pit(samples, truths, generator=generator).mean()) - 0.5) < 0.05
        True
    """
    expect_draws(samples, truths)
    return position(samples, truths, generator)


def marginal_coverage(pit_values: torch.Tensor, level: float) -> Coverage:
    """The share of components inside their central interval of ``level``, ``|pit - 1/2| < level / 2``.

    pit_values: (T, d), T >= 2, of ``pit``. Components of one truth are dependent: the interval is Jeffreys' for the
    number of independent trials that explains the spread of the truths' own shares, between T and T d. Raises
    ``ValueError`` for a level outside (0, 1) and values outside [0, 1].

    Example:
        >>> import torch
        >>> from memprior.calibration import marginal_coverage
        >>> marginal_coverage(torch.tensor([[0.5], [0.2], [0.01], [0.9]]), 0.9).value
        0.75
    """
    level = level_number(level)
    expect_points("pit_values", pit_values)
    expect(len(pit_values) >= 2 and pit_values.shape[1] > 0, "pit_values", "(T >= 2, d)", tuple(pit_values.shape))
    expect_unit("pit_values", pit_values)
    inside = (2 * (pit_values - 0.5).abs() < level).double()
    value, variance = float(inside.mean()), float(inside.mean(1).var()) / len(inside)
    num = min(inside.numel(), max(len(inside), value * (1 - value) / variance)) if variance else len(inside)
    return Coverage(value, *jeffreys(value, num), level)


def joint_credibility(
    samples: torch.Tensor, truths: torch.Tensor, *, generator: torch.Generator, scale: torch.Tensor | None = None
) -> torch.Tensor:
    """The credibility of the ball, around the draws' mean, on whose edge the truth lies: (T,) in (0, 1).

    samples: (T, S, d), S >= 2. truths: (T, d). scale: (d,) > 0, the unit of each component, or None for one unit. It is
    (rank + U) / (S + 1), with the rank of the truth's distance among the draws'. Draws are too near to a mean of which
    they are part; so the mean here is of the S draws and the truth. All S + 1 points are then exchangeable, and the
    credibility exactly uniform, when calibrated. Raises what ``sbc_ranks`` does, and ``ValueError`` for a bad scale.
    """
    expect_draws(samples, truths)
    points = torch.cat([truths[:, None], samples], dim=1)
    if scale is not None:
        points = points / expect_scale(scale, truths)
    distances = norms(points - points.mean(1, keepdim=True))
    return position(distances[:, 1:], distances[:, 0], generator)


def joint_coverage(
    samples: torch.Tensor,
    truths: torch.Tensor,
    level: float,
    *,
    generator: torch.Generator,
    scale: torch.Tensor | None = None,
) -> Coverage:
    """The share of truths inside the ball of credibility ``level`` around the draws' mean, with Jeffreys' interval.

    Takes and raises what ``joint_credibility`` does, and ``ValueError`` for a level outside (0, 1).
    """
    level = level_number(level)
    inside = joint_credibility(samples, truths, generator=generator, scale=scale) < level
    value = float(inside.double().mean())
    return Coverage(value, *jeffreys(value, len(inside)), level)


def tarp(
    samples: torch.Tensor, truths: torch.Tensor, references: torch.Tensor, *, generator: torch.Generator
) -> torch.Tensor:
    """The credibility of the ball, around a reference point, on whose edge the truth lies: (T,) in (0, 1).

    samples: (T, S, d), S >= 2. truths, references: (T, d). (rank + U) / (S + 1), ties at random: uniform when
    calibrated (lemos2023sampling), for references that may depend on the data, but neither on the truth nor on these
    draws. A reference near an estimate from the data sees the posterior's radius, and whether it ignores the data.
    One drawn from the prior sees the spread along one direction, little of a shift, and not whether data are ignored.
    Distances are Euclidean: bring components to one unit first. Raises what ``sbc_ranks`` does.
    """
    expect_draws(samples, truths)
    expect_points("references", references, size=truths.shape[1], like=truths)
    expect(len(references) == len(truths), "references", f"one for each of {len(truths)} truths", len(references))
    expect_finite("references", references)
    points = torch.cat([truths[:, None], samples], dim=1)
    distances = norms(points - references[:, None])
    return position(distances[:, 1:], distances[:, 0], generator)


def uniform_test(u: torch.Tensor) -> float:
    """The p-value that the u (T,) in [0, 1] are independent and uniform: Neyman's smooth test of order two.

    Sums of the first two Legendre polynomials, chi-square with 2 degrees of freedom for large T: they see a shift, and
    a spread as of a posterior that is too narrow. Raises ``ValueError`` for u outside [0, 1] or fewer than 2.
    """
    expect_unit_line("u", u)
    u = u.double()
    shift, spread = math.sqrt(3) * (2 * u - 1), math.sqrt(5) * (6 * u * u - 6 * u + 1)
    return math.exp(-float(shift.sum() ** 2 + spread.sum() ** 2) / (2 * len(u)))


def rank_test(pit_values: torch.Tensor) -> float:
    """The p-value that each column of ``pit_values`` (T, d) is uniform: simulation-based calibration, as a test.

    ``uniform_test`` of each component, the least p-value times d (Bonferroni): components of one truth are dependent.
    Raises what ``uniform_test`` does (talts2018validating).
    """
    expect_points("pit_values", pit_values)
    expect(pit_values.shape[1] > 0, "pit_values", "at least one component", tuple(pit_values.shape))
    return min(1.0, pit_values.shape[1] * min(uniform_test(column) for column in pit_values.T))


def coverage_test(credibility: torch.Tensor, level: float) -> float:
    """The p-value that ``level`` of the credibilities (T,) are below it: the exact two-sided binomial test.

    credibility: of ``joint_credibility`` or ``tarp``; ``2 |pit - 1/2|`` of one component for its central interval.
    Counts no more likely than the one found are summed. Raises ``ValueError`` for a level outside (0, 1) and
    credibilities outside [0, 1] or fewer than 2.
    """
    level = level_number(level)
    expect_unit_line("credibility", credibility)
    return float(stats.binomtest(int((credibility < level).sum()), len(credibility), level).pvalue)


def residuals(samples: torch.Tensor, truths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(truth - m, draw - m), each (T, d): the truth and its first draw, less the mean m of the draw's S - 1 companions.

    When calibrated, the two are exchangeable pair by pair: for ``energy_test`` with ``paired``. Without m, a posterior
    much narrower than the prior hides behind the prior's spread. Takes and raises what ``sbc_ranks`` does.
    """
    expect_draws(samples, truths)
    mean = samples[:, 1:].mean(1)
    return truths - mean, samples[:, 0] - mean


def energy_test(
    x: torch.Tensor, y: torch.Tensor, *, num_permutations: int, generator: torch.Generator, paired: bool = False
) -> float:
    """The p-value that x (n, d) and y (m, d) have one distribution, by permutations of ``energy_distance``
    (szekely2013energy).

    paired: x_i and y_i belong to one truth (n = m) and each pair is swapped or not. That is exact for a truth and a
    draw of its posterior, which are dependent; permutations of all points suppose that all are independent, and reject
    dependent pairs too rarely. Truths against draws cannot see a posterior that ignores the data: both have the
    prior as distribution, and so have both ``residuals``. Pairs (truth, data) against (draw, data) can, but are less
    sensitive to the spread. Needs an (n + m)^2 matrix; the least p-value is 1 / (num_permutations + 1). Raises
    ``ValueError`` / ``TypeError`` for sizes, dtypes or devices that differ, fewer than 2 points, and NaN or inf.
    """
    expect_samples(x, y, ("x", "y"), (2, 2))
    expect_whole("num_permutations", num_permutations, 1)
    n, m = len(x), len(y)
    expect(not paired or n == m, "y", f"{n} points, one for each x, when paired", m)
    points = torch.cat([x, y])
    gaps = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    sums, total = gaps.sum(1), gaps.sum()

    def distances(is_x):
        """The energy distance of each split (P, n + m) of the points into x's and y's."""
        is_x = is_x.to(gaps)
        own_x = ((is_x @ gaps) * is_x).sum(1)
        across = is_x @ sums - own_x
        own_y = total - 2 * across - own_x
        return 2 * across / (n * m) - own_x / (n * (n - 1)) - own_y / (m * (m - 1))

    # A split into the same two sets, or a mirrored one, has the same distance but for the rounding of its sums.
    rounding = torch.finfo(x.dtype).eps * total / (n + m)
    observed = distances(torch.arange(n + m, device=x.device)[None] < n) - rounding
    above, rows = 0, max(1, 2**24 // (n + m))
    for start in range(0, num_permutations, rows):
        num = min(rows, num_permutations - start)
        draws = uniform(num, n if paired else n + m, like=x, dtype=torch.float64, generator=generator)
        is_x = torch.cat([draws < 0.5, draws >= 0.5], dim=1) if paired else draws.argsort(1) < n
        above += int((distances(is_x) >= observed).sum())
    return (1 + above) / (1 + num_permutations)


def normalized_error(samples: torch.Tensor, truths: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The root mean square, over components, of (posterior mean - truth) / scale: (T,).

    samples: (T, S, d), S >= 2. truths: (T, d). scale: (d,) > 0, for example the prior's standard deviations: the prior
    mean then has about 1. Raises what ``sbc_ranks`` does, and ``ValueError`` for a bad scale.

    Example:
        >>> import torch
        >>> from memprior.calibration import normalized_error
        >>> normalized_error(torch.tensor([[[1.0], [3.0]]]), torch.zeros(1, 1), torch.ones(1))
        tensor([2.])
    """
    expect_draws(samples, truths)
    return ((samples.mean(1) - truths) / expect_scale(scale, truths)).square().mean(1).sqrt()


def energy_distance(samples: torch.Tensor, reference: torch.Tensor, *, reference_is_law: bool = False) -> torch.Tensor:
    """``2 E|X - Y| - E|X - X'| - E|Y - Y'|``, scalar: a squared metric of distributions (Szekely and Rizzo 2013).

    samples: draws (A, d), A >= 2. reference: draws (B, d), B >= 2; or, with ``reference_is_law``, the equally likely
    atoms of a distribution that is known exactly. Unbiased, so it may be negative for equal distributions. Raises
    ``ValueError`` / ``TypeError`` for sizes, dtypes or devices that differ and for numbers that are not finite.

    Example:
        >>> import torch
        >>> from memprior.calibration import energy_distance
        >>> samples = torch.tensor([[0.0], [2.0]])
        >>> energy_distance(samples, torch.tensor([[3.0]]), reference_is_law=True)  # 2 * 2 - 2 - 0
        tensor(2.)
    """
    expect_samples(samples, reference, ("samples", "reference"), (2, 1 if reference_is_law else 2))
    num, other = len(samples), len(reference)
    within = sum_between(samples, samples) / (num * (num - 1))
    within_reference = sum_between(reference, reference) / (other**2 if reference_is_law else other * (other - 1))
    return 2 * sum_between(samples, reference) / (num * other) - within - within_reference
