"""Chapter 8: how good picks are, with intervals over surveys and over seeds, and what pre-training changes, paired."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy import stats

from chapters.ch08_first_breaks.pickers import GRIDS, Labeled
from chapters.ch08_first_breaks.picking_study import PickingStudy
from memprior.geology.gathers import DT_S
from memprior.intervals import Mean
from memprior.picking import grouped_mean
from memprior.picking.scores import SAMPLES

HIT = "hit 1"  # the score that pickers are tuned for and compared by
SCORES_OF_PICKS = (*(f"hit {k:g}" for k in SAMPLES), "ms 2", "ms 10", "ms 20", "size", "square", "error", "picked")


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and traces, half of its 95 % interval, and p of its sign, two-sided."""

    value: float
    half: float
    p: float = math.nan

    @property
    def mean(self) -> Mean:
        """Without p."""
        return Mean(self.value, self.half)

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.half:.3f}"


def two_way(values: Sequence[torch.Tensor], groups: torch.Tensor) -> Estimate:
    """Of each seed values (n,) of the same traces, NaN where there is none; groups: (n,), the surveys.

    Seeds and surveys are both draws: the variance of the mean is that over seeds plus that over surveys, of whose
    traces none is a draw of its own (:func:`memprior.picking.grouped_mean`). Student's t has the degrees of freedom of
    such a sum (Satterthwaite 1946): between those of the seeds and of the surveys, by which of them is the larger part.
    Of differences of two pickers on the same traces and seeds it is the paired interval. ``ValueError`` for one seed.
    """
    every = torch.stack([one.double() for one in values])
    num = len(every)
    if num < 2:
        raise ValueError(f"values: expected two seeds or more, got {num}")
    of_traces = every.nanmean(0)
    there = of_traces.isfinite()
    over_surveys = grouped_mean(of_traces[there], groups[there])
    surveys = len(groups[there].unique())
    error = over_surveys.half / float(stats.t.ppf(0.975, surveys - 1)) if surveys > 1 else 0.0
    by_seed = every.nanmean(1)
    of_seeds, of_surveys = float(by_seed.var()) / num, error**2
    both = math.sqrt(of_seeds + of_surveys)
    value = float(by_seed.mean())
    if not both:
        return Estimate(value, 0.0)  # no p: equal values of few seeds are not certainty
    t = stats.t((of_seeds + of_surveys) ** 2 / (of_seeds**2 / (num - 1) + of_surveys**2 / max(1, surveys - 1)))
    return Estimate(value, both * float(t.ppf(0.975)), 2 * float(t.sf(abs(value) / both)))


def value_of(picks: torch.Tensor, gathers: Labeled, score: str) -> torch.Tensor:
    """Of every live trace (n,): 1 for a hit, else 0; size, square or error itself in samples, NaN without a pick."""
    error = (picks.double() - gathers.onsets)[gathers.live]
    what, _, limit = score.partition(" ")
    if what in ("hit", "ms"):
        samples = float(limit) if what == "hit" else float(limit) / 1000 / DT_S * (1 + 1e-12)
        return (error.abs() <= samples).double()  # NaN is no hit
    return {"size": error.abs(), "square": error.square(), "error": error, "picked": error.isfinite().double()}[what]


def surveys_of(gathers: Labeled) -> torch.Tensor:
    """Of every live trace, (n,)."""
    return gathers.surveys[:, None].expand_as(gathers.live)[gathers.live]


# ---- of a study ----------------------------------------------------------------------------------------------------


def labels(study: PickingStudy) -> list[str]:
    """Of all pickers: starts, then classical ones, tuned."""
    return [*study.settings.starts, *GRIDS]


def picks_of(study: PickingStudy, label: str, n: int, name: str) -> list[torch.Tensor]:
    """By seed the picks (num, 64) of a set: "test", "shifted", "validation" or "members"."""
    if label in GRIDS:
        return [one.medians[name] for one in study.tuned(label, n)]
    return [study.result(run).medians[name] for run in study.chosen(label, n)]


def values(study: PickingStudy, label: str, n: int, name: str, score: str) -> list[torch.Tensor]:
    """By seed a score of each live trace of "test", "shifted" or "validation", (n,)."""
    gathers = study.joined(study.tests[name])
    return [value_of(picks, gathers, score) for picks in picks_of(study, label, n, name)]


def estimate(study: PickingStudy, label: str, n: int, name: str, score: str = HIT) -> Estimate:
    """A score's mean with its interval; of "square" the root of the mean."""
    found = two_way(values(study, label, n, name, score), surveys_of(study.joined(study.tests[name])))
    if score != "square":
        return found
    root = math.sqrt(found.value)
    return Estimate(root, found.half / (2 * root) if root else found.half)


def difference(study: PickingStudy, a: str, b: str, n: int, name: str, score: str = HIT) -> Estimate:
    """Mean of a less that of b, seeds and traces paired."""
    ours, theirs = (values(study, label, n, name, score) for label in (a, b))
    apart = [one - other for one, other in zip(ours, theirs, strict=True)]
    return two_way(apart, surveys_of(study.joined(study.tests[name])))


def comparisons(study: PickingStudy) -> list[tuple[str, str]]:
    """(ours, theirs): every start and scratch; encoders that stay, and those of a kind, with and without training; and
    scratch and the classical pickers.
    """
    starts = study.settings.starts
    found = [(start, "scratch") for start in starts if start != "scratch"]
    found += [("autoencoder, frozen", "random, frozen"), ("discriminator", "discriminator, untrained")]
    found += [("scratch", method) for method in GRIDS]
    return [(a, b) for a, b in found if a in starts and b in (*starts, *GRIDS)]


def differences(study: PickingStudy, name: str, score: str = HIT) -> dict[tuple[str, str, int], Estimate]:
    """(ours, theirs, N) -> the paired difference."""
    cases = [(a, b, n) for n in study.settings.sizes for a, b in comparisons(study)]
    return {case: difference(study, *case, name, score) for case in cases}


def training_hits(study: PickingStudy, label: str, n: int) -> list[float]:
    """By seed the hit rate at one sample on the N gathers that a picker was trained or tuned on."""
    found = []
    for seed, picks in zip(study.seeds, picks_of(study, label, n, "members"), strict=True):
        found.append(float(value_of(picks, study.members(seed, n), HIT).mean()))
    return found


def training_gap(study: PickingStudy, label: str, n: int) -> Mean:
    """Hit rate at one sample on training gathers less that on other surveys; interval over seeds."""
    test = [float(value.mean()) for value in values(study, label, n, "test", HIT)]
    apart = [one - other for one, other in zip(training_hits(study, label, n), test, strict=True)]
    return Mean.over(apart)


def stated_coverage(study: PickingStudy, start: str, n: int, name: str) -> Estimate:
    """Share of live traces whose onset lies in the 90 % interval that a network states."""
    gathers = study.joined(study.tests[name])
    found = []
    for run in study.chosen(start, n):
        picks = study.result(run)
        inside = (picks.low[name] <= gathers.onsets) & (gathers.onsets <= picks.high[name])
        found.append(inside[gathers.live].double())
    return two_way(found, surveys_of(gathers))
