"""How good picks are: hit rates, coverage and errors, with intervals that know which traces belong together."""

import math
from dataclasses import dataclass

import torch
from scipy import stats

from memprior._check import expect, expect_positive, expect_tensor
from memprior.intervals import Mean

SAMPLES = 1.0, 3.0, 5.0, 7.0, 9.0
MILLISECONDS = 2.0, 4.0, 10.0, 20.0


@dataclass(frozen=True)
class PickScores:
    """num: traces that count. groups: of traces that belong together, each one draw.

    coverage: share of the traces that were picked. hits: by k, share of the traces, picked or not, with
    ``|pick - onset| <= k`` samples; hits_ms: by milliseconds. Of picked traces, in samples: mae, mean size of the
    error; rmse, root of its mean square; bias, its mean, pick less onset. NaN where none was picked.
    """

    num: int
    groups: int
    coverage: Mean
    hits: dict[float, Mean]
    hits_ms: dict[float, Mean]
    mae: Mean
    rmse: Mean
    bias: Mean


def pick_scores(
    picks: torch.Tensor,
    onsets: torch.Tensor,
    *,
    dt_s: float,
    groups: torch.Tensor | None = None,
    live: torch.Tensor | None = None,
    samples: tuple[float, ...] = SAMPLES,
    milliseconds: tuple[float, ...] = MILLISECONDS,
) -> PickScores:
    """Scores of picks, NaN where there is none, with 95 % intervals.

    Args:
        picks: (...), samples.
        onsets: (...), samples.
        dt_s: the sampling interval.
        groups: (...) or, of gathers (num, ntraces), (num,): a whole number each, as that of its gather or its survey;
            None: every trace is a draw of its own.
        live: (...), bool, which traces count; None: all.
        samples: k of the hit rates.
        milliseconds: of the hit rates in milliseconds.

    Raises:
        ValueError: another shape, onsets that are not finite where traces are live, no live trace; names it.

    Example:
        >>> import torch
        >>> from memprior.picking import pick_scores
        >>> scores = pick_scores(torch.tensor([10.0, 14.0, torch.nan]), torch.tensor([10.5, 12.0, 3.0]), dt_s=0.004)
        >>> round(scores.hits[1.0].value, 3), round(scores.coverage.value, 3), scores.mae.value
        (0.333, 0.667, 1.25)
    """
    expect_tensor("picks", picks, "(...)")
    expect_positive("dt_s", dt_s)
    shape, device = picks.shape, picks.device
    live = torch.ones(shape, dtype=torch.bool, device=device) if live is None else live
    groups = torch.arange(picks.numel(), device=device).reshape(shape) if groups is None else groups
    if groups.ndim < len(shape):
        groups = groups.reshape(*groups.shape, *[1] * (len(shape) - groups.ndim)).expand(shape)
    for name, given in (("onsets", onsets), ("live", live), ("groups", groups)):
        expect(given.shape == shape, name, f"shape {tuple(shape)}", tuple(given.shape))
    expect(bool(live.any()), "live", "at least one live trace", "none")
    expect(bool(torch.isfinite(onsets[live]).all()), "onsets", "finite numbers of all live traces", "others")
    error, groups = (picks - onsets)[live].double(), groups[live]
    picked = torch.isfinite(error)
    size, error, own = error.abs(), error[picked], groups[picked]

    def rate(limit: float) -> Mean:
        return grouped_mean((size <= limit).double(), groups)

    square = grouped_mean(error.square(), own)
    root = math.sqrt(square.value)
    return PickScores(
        num=len(size),
        groups=len(groups.unique()),
        coverage=grouped_mean(picked.double(), groups),
        hits={k: rate(k) for k in samples},
        # A tolerance of whole samples, which the division may miss by a rounding, still holds its end.
        hits_ms={ms: rate(ms / 1000 / dt_s * (1 + 1e-12)) for ms in milliseconds},
        mae=grouped_mean(error.abs(), own),
        rmse=Mean(root, square.half / (2 * root) if root else square.half),
        bias=grouped_mean(error, own),
    )


def grouped_mean(values: torch.Tensor, groups: torch.Tensor) -> Mean:
    r"""Mean of values (n,) of which those of one group are not independent, and half of its 95 % interval.

    The linearized ratio of two sums over G groups (Cochran 1977, 6.4), Student's t of G - 1 degrees of freedom:

    .. math:: se^2 = \frac{G}{G - 1} \frac{1}{n^2} \sum_g \Bigl(\sum_{i \in g} (y_i - \bar y)\Bigr)^2

    With one value a group it is that of independent values. 0 where there is one group, as there. Of differences of two
    pickers on the same traces it is the paired interval. NaN where there is no value.

    Raises ``ValueError`` for groups of another shape.

    Example:
        >>> import torch
        >>> from memprior.picking import grouped_mean
        >>> print(grouped_mean(torch.tensor([1.0, 1.0, 3.0, 3.0]), torch.tensor([0, 0, 1, 1])))
        2.000 ± 12.706
    """
    expect_tensor("values", values, "(n,)")
    expect(values.ndim == 1, "values", "shape (n,)", tuple(values.shape))
    expect(groups.shape == values.shape, "groups", f"shape {tuple(values.shape)}", tuple(groups.shape))
    if not len(values):
        return Mean(math.nan, math.nan)
    mean = values.double().mean()
    _, own = groups.unique(return_inverse=True)
    num = int(own.max()) + 1
    if num == 1:
        return Mean(float(mean), 0.0)
    sums = torch.zeros(num, dtype=torch.float64, device=values.device).index_add(0, own, values.double() - mean)
    error = math.sqrt(float(sums.square().sum()) * num / (num - 1)) / len(values)
    return Mean(float(mean), error * float(stats.t.ppf(0.975, num - 1)))
