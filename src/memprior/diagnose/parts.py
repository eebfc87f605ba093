"""The parts of a diagnosis, each a function of arrays: what one exact posterior, one approximation and one check say.

Symbols as in ``memprior.posterior``: x_n models (N), y data (m), gamma the noise, F_n = F(x_n), J_n Jacobians. Models
are moved by an isometry to coordinates z (N, q) of the space that they span, q <= N - 1: what no model ever does, the
smoothed prior does not do either.
"""

import math
from dataclasses import dataclass

import torch
from scipy import stats
from scipy.optimize import minimize_scalar

from memprior._check import expect, expect_points, expect_train_set, positive_number
from memprior._random import generator_for
from memprior.calibration import Coverage, joint_credibility
from memprior.intervals import jeffreys
from memprior.likelihood import GaussianLikelihood, noisy
from memprior.mixture import GaussianMixture, IsotropicMixture, draw_components, effective_components
from memprior.posterior import collapsed_log_weights, importance_correction, linearized_posterior


@dataclass(frozen=True, eq=False)
class Span:
    """center: (d,). basis: (d, q), orthonormal columns. points: the models' coordinates z, (N, q)."""

    center: torch.Tensor
    basis: torch.Tensor
    points: torch.Tensor

    def back(self, z: torch.Tensor) -> torch.Tensor:
        """Models (B, d) of coordinates (B, q)."""
        return self.center + z @ self.basis.T


def span_of(models: torch.Tensor) -> Span:
    """The space that models (N, d) span about their mean, with the same distances.

    Example:
        >>> import torch
        >>> from memprior.diagnose import span_of
        >>> span_of(torch.tensor([[0.0, 0.0, 7.0], [2.0, 0.0, 7.0], [4.0, 0.0, 7.0]])).points.abs()
        tensor([[2.],
                [0.],
                [2.]])
    """
    expect_train_set("models", models)
    center = models.mean(0)
    _, s, rows = torch.linalg.svd(models - center, full_matrices=False)
    rank = int((s > max(models.shape) * torch.finfo(models.dtype).eps * s[0]).sum())
    expect(rank > 0, "models", "models that differ", "models that all coincide")
    basis = rows[:rank].T.contiguous()
    return Span(center, basis, (models - center) @ basis)


@dataclass(frozen=True, eq=False)
class KnownData:
    """F at K points whose data (K, m), and Jacobians (K, m, q) where there are some, are known already."""

    data: torch.Tensor
    rows: torch.Tensor | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        expect(len(x) == len(self.data), "x", f"the {len(self.data)} points whose data are known", len(x))
        return self.data

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        """(K, m, q)."""
        expect(self.rows is not None, "jacobian", "Jacobians that are known", "none")
        assert self.rows is not None
        return self.rows


@dataclass(frozen=True, eq=False)
class ExactLookup:
    """The posterior of the exactly memorized prior, by N solves.

    log_weights: (N,), normalized. misfits: :math:`|y - F_n|^2 / (m gamma^2)`, (N,). p_fit: of a chi-square with m
    degrees of freedom above the least misfit, at most which it is likely if the truth is among the models. p_low: N
    times that below it, at most 1: a bound for any truth.
    """

    log_weights: torch.Tensor
    misfits: torch.Tensor
    p_fit: float
    p_low: float
    noise_alone: tuple[float, float]

    @property
    def best(self) -> int:
        """The likeliest model."""
        return int(self.misfits.argmin())

    @property
    def effective(self) -> float:
        """Effective number of models, exp of the entropy of the weights, 1 to N."""
        return float(effective_components(self.log_weights))


def look_up(predicted: torch.Tensor, observed: torch.Tensor, noise_std: float) -> ExactLookup:
    r"""The lookup from data (N, m) of the models: weights proportional to p(y | x_n), and how well the best one fits.

    If y is F of one of the models plus noise, :math:`\min_n |y - F_n|^2 / \gamma^2` is at most a chi-square variable of
    m degrees, that of the truth: ``p_fit`` rejects it too rarely, never too often. For any truth that is chosen without
    the noise, each :math:`|y - F_n|^2 / \gamma^2` is a non-central one, so that the least of N lies below the quantile
    of p / N with probability at most p: ``p_low``.

    Example:
        >>> import torch
        >>> from memprior.diagnose import look_up
        >>> found = look_up(torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([0.0, 1.0]), 1.0)
        >>> found.best, float(found.misfits[0]), round(found.p_fit, 3), round(found.effective, 2)
        (0, 0.5, 0.607, 1.06)
    """
    expect_points("predicted", predicted)
    noise_std = positive_number("noise_std", noise_std)
    log_weights = collapsed_log_weights(predicted, GaussianLikelihood(KnownData(predicted), observed, noise_std))
    num = len(observed)
    misfits = (observed - predicted).square().mean(1) / noise_std**2
    least, law = num * float(misfits.min()), stats.chi2(num)
    alone = float(law.ppf(0.025)) / num, float(law.ppf(0.975)) / num
    p_low = min(1.0, len(predicted) * float(law.cdf(least)))
    return ExactLookup(log_weights, misfits, float(law.sf(least)), p_low, alone)


@dataclass(frozen=True)
class Bandwidth:
    """value: h. gain_over_half, gain_over_twice: nats per model that it is likelier than h / 2 and 2 h, left out one by
    one. at_edge: the likelihood still grows at an end of what was searched.
    """

    value: float
    gain_over_half: float
    gain_over_twice: float
    at_edge: bool


def left_out_bandwidth(points: torch.Tensor, labels: torch.Tensor | None = None) -> Bandwidth:
    r"""The bandwidth h under which each of the points (N, q) is likeliest, given the kernels of all others.

    .. math:: \max_h \sum_i \log \frac{1}{N - n_i} \sum_{l_j \ne l_i} N(z_i; z_j, h^2 I)

    With its own kernel counted the best h is 0, which is memorization. labels: (N,), points of one label (repeats,
    patches of one survey) are left out together. Searched from a hundredth of the median nearest distance, over the
    square root of q, to the largest distance.

    Example:
        >>> import torch
        >>> from memprior.diagnose import left_out_bandwidth
        >>> x = torch.linspace(0, 9, 10, dtype=torch.float64)[:, None]
        >>> round(left_out_bandwidth(x).value, 2)
        2.28
    """
    labels = torch.arange(len(points), device=points.device) if labels is None else labels
    expect(len(labels.unique()) >= 3, "models", "at least 3 that differ (or groups)", len(labels.unique()))
    squares = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()
    return _bandwidth(squares.masked_fill(labels[:, None] == labels, math.inf), points.shape[1])


def _bandwidth(squares: torch.Tensor, size: int) -> Bandwidth:
    def loss(log_width: float) -> float:
        return size * log_width - float((-0.5 * squares / math.exp(2 * log_width)).logsumexp(1).mean())

    near = float(squares.amin(1).median().sqrt()) / math.sqrt(size)
    widest = float(squares[squares.isfinite()].max().sqrt())
    first, last = math.log(max(near / 100, 1e-12 * widest)), math.log(widest)
    grid = torch.linspace(first, last, 25, dtype=torch.float64).tolist()
    best = min(range(len(grid)), key=lambda k: loss(grid[k]))
    ends = grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)]
    log_width = float(minimize_scalar(loss, bounds=ends, method="bounded").x)
    here, half, twice = (loss(log_width + shift) for shift in (0.0, -math.log(2), math.log(2)))
    return Bandwidth(math.exp(log_width), half - here, twice - here, best in (0, len(grid) - 1))


def smoothed_posterior(
    points: torch.Tensor,
    bandwidth: float,
    predicted: torch.Tensor,
    rows: torch.Tensor,
    observed: torch.Tensor,
    noise_std: float,
) -> tuple[GaussianMixture, float]:
    r"""The linearized posterior of kernels N(z_n, h^2 I), from data (N, m) and Jacobians (N, m, q) that are known.

    Beside it the least :math:`(y - F_n)^T C_n^{-1} (y - F_n) / m`: how far the data are from the smoothed models.

    Example:
        >>> import torch
        >>> from memprior.diagnose import smoothed_posterior
        >>> z, rows = torch.zeros(1, 1), torch.ones(1, 1, 1)
        >>> posterior, far = smoothed_posterior(z, 1.0, z, rows, torch.tensor([2.0]), 1.0)
        >>> posterior.means, round(far, 6)  # C = 1 + 1, 2^2 / 2
        (tensor([[1.]]), 2.0)
    """
    known = KnownData(predicted, rows)
    likelihood = GaussianLikelihood(known, observed, noise_std)
    posterior = linearized_posterior(IsotropicMixture(points, bandwidth), likelihood)
    shift = posterior.means - points
    left = observed - predicted - (rows @ shift[..., None])[..., 0]
    squares = left.square().sum(1) / noise_std**2 + shift.square().sum(1) / bandwidth**2
    return posterior, float(squares.min()) / len(observed)


@dataclass(frozen=True)
class Importance:
    """Of S draws of the linearized posterior, reweighted to the exact one of the smoothed prior.

    efficiency: effective share of the draws, in (0, 1]. halves: the same of either half of them. num: S. bound: half of
    sqrt(1 / e - 1), e the smaller half: by as much, at most, a probability of the linearized posterior is off.
    """

    efficiency: float
    halves: tuple[float, float]
    num: int

    @property
    def effective(self) -> float:
        """Effective number of draws, by the smaller half."""
        return min(self.halves) * self.num

    @property
    def bound(self) -> float:
        """1/2 sqrt(chi^2) >= total variation, chi^2 = 1 / efficiency - 1 (Cauchy and Schwarz)."""
        return min(1.0, 0.5 * math.sqrt(max(0.0, 1 / min(self.halves) - 1)))


def importance_of(sums: torch.Tensor, num: int) -> Importance:
    """From chunks of draws, rows (log mean weight, efficiency, number), (C, 3), in order; the halves are of chunks."""

    def efficiency(rows: torch.Tensor) -> float:
        totals = rows[:, 2].log() + rows[:, 0]
        squares = 2 * totals - (rows[:, 2] * rows[:, 1]).log()
        if not bool(totals.isfinite().any()):
            return float(1 / rows[:, 2].sum())
        return float((2 * totals.logsumexp(0) - squares.logsumexp(0) - rows[:, 2].sum().log()).exp())

    middle = (len(sums) + 1) // 2
    second = sums[middle:] if len(sums) > 1 else sums
    return Importance(efficiency(sums), (efficiency(sums[:middle]), efficiency(second)), num)


def importance_chunk(
    prior: IsotropicMixture, likelihood: GaussianLikelihood, proposal: GaussianMixture, num: int, purpose: str
) -> torch.Tensor:
    """(1, 3): log mean weight, efficiency and number of draws of one chunk."""
    draws = proposal.sample(num, generator=generator_for(purpose))
    found = importance_correction(prior, likelihood, proposal, draws)
    weight = float(found.log_evidence)
    known = weight > -math.inf  # else all draws have a likelihood of zero
    return torch.tensor([[weight if known else -math.inf, found.efficiency if known else 1.0, num]]).double()


def left_out_credibility(
    truth: int,
    points: torch.Tensor,
    labels: torch.Tensor,
    predicted: torch.Tensor,
    rows: torch.Tensor | None,
    noise_std: float,
    *,
    num_draws: int,
    bandwidth: float | None,
    purpose: str,
) -> torch.Tensor:
    """Model ``truth`` as the truth, data simulated from it, all models of other labels as the prior: (1, 4).

    Credibility of the ball around the posterior draws' mean on whose edge the truth lies, of the lookup and of the
    linearized posterior, uniform on (0, 1) when calibrated; and how far the data are from the models and from the
    smoothed ones, per datum, for :func:`p_alike_of`. NaN without ``rows``. Bandwidth, unless given, and span are those
    of the others: with fewer models than dimensions the truth alone spans one, along which a kernel would find it.

    Args:
        truth: which model.
        points: (N, q), coordinates of the models.
        labels: (N,), those of one label are left out together.
        predicted: (N, m), their data.
        rows: (N, m, q), their Jacobians, or None.
        noise_std: gamma, in the data's unit.
        num_draws: of each posterior.
        bandwidth: h, in the points' unit, or None.
        purpose: names the random numbers.

    Example:
        >>> import torch
        >>> from memprior.diagnose import left_out_credibility
        >>> z = torch.eye(6, dtype=torch.float64)
        >>> found = left_out_credibility(
        ...     0, z, torch.arange(6), z, None, 0.01, num_draws=99, bandwidth=None, purpose="an example"
        ... )
        >>> bool(found[0, 0] > 0.98)  # the lookup has collapsed on another model
        True
    """
    rest, generator = labels != labels[truth], generator_for(purpose)
    others, data = points[rest], predicted[rest]
    observed = noisy(predicted[truth], noise_std, generator)
    log_weights = collapsed_log_weights(others, GaussianLikelihood(KnownData(data), observed, noise_std))
    draws = others[draw_components(log_weights, num_draws, generator)]
    inside = [float(joint_credibility(draws[None], points[truth, None], generator=generator))]
    far = [float((observed - data).square().mean(1).min()) / noise_std**2]
    if rows is None:
        return torch.tensor([[*inside, math.nan, *far, math.nan]], dtype=torch.float64)
    rows, inner = rows[rest], span_of(others)
    narrower = inner.points.shape[1] < others.shape[1]
    if narrower:
        others, rows = inner.points, rows @ inner.basis
    width = left_out_bandwidth(others, labels[rest]).value if bandwidth is None else bandwidth
    posterior, left = smoothed_posterior(others, width, data, rows, observed, noise_std)
    draws = posterior.sample(num_draws, generator=generator)
    draws = inner.back(draws) if narrower else draws
    inside.append(float(joint_credibility(draws[None], points[truth, None], generator=generator)))
    return torch.tensor([[*inside, *far, left]], dtype=torch.float64)


def p_alike_of(left_out: torch.Tensor, own: torch.Tensor) -> float:
    r"""Are the data farther from the models than data of a left-out model are?

    .. math:: p_k = \frac{1 + \#\{t : D_{tk} \ge D_k\}}{1 + T}, \qquad p = \min(1, K \min_k p_k)

    left_out: distances D_tk (T, K) of data simulated from left-out models. own: (K,). If truth and models are
    exchangeable, the operator is right and noise is as said, p is below a with probability at most a (the truth has one
    model more to be near to), whatever F is: nothing is linearized.

    Example:
        >>> import torch
        >>> from memprior.diagnose import p_alike_of
        >>> p_alike_of(torch.arange(19.0)[:, None], torch.tensor([99.0]))
        0.05
    """
    above = 1 + (left_out >= own).sum(0)
    return min(1.0, len(own) * float(above.min()) / (1 + len(left_out)))


def coverage_of(credibilities: torch.Tensor, level: float, labels: torch.Tensor | None = None) -> Coverage:
    """The share of credibilities (T,) below ``level`` with Jeffreys' 95 % interval over truths.

    labels: (T,), truths of one label are not independent: the interval is of their effective number, by the variance
    between labels (Kish's design effect), at most T; where all or none are covered, of the number of labels.

    Example:
        >>> import torch
        >>> from memprior.diagnose import coverage_of
        >>> coverage_of(torch.tensor([0.2, 0.5, 0.95, 0.7]), 0.9).value
        0.75
    """
    inside = (credibilities < level).double()
    value, num = float(inside.mean()), float(len(inside))
    names, places = (inside if labels is None else labels).unique(return_inverse=True)
    if labels is not None and len(names) < num:
        totals = inside.new_zeros(len(names)).index_add(0, places, inside - value)
        between = float(totals.square().sum()) * len(names) / max(1, len(names) - 1) / num**2
        num = min(num, value * (1 - value) / between) if between > 0 else float(len(names))
    return Coverage(value, *jeffreys(value, num), level)
