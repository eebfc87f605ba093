"""STA/LTA and AIC pickers, a batch at once, and their tuning on labeled traces.

Symbols: x trace, n its samples, e_i = x_i^2 their energy. Both are sums over runs of samples: differences of one
cumulative sum, in float64.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product

import torch

from memprior._check import expect, expect_finite, expect_tensor, expect_whole


@dataclass(frozen=True)
class StaLta:
    r"""The ratio of energies after and before a sample (Allen 1978; windows that touch: Wong, Han and Bancroft 2009).

    .. math:: r_k = \frac{\frac{1}{s} \sum_{i=k}^{k+s-1} e_i + c}{\frac{1}{l} \sum_{i=k-l}^{k-1} e_i + c}, \qquad
              c = w \bar e

    Windows are cut at the ends of the trace. The pick is the first k of r_k >= ``threshold``, or that of the greatest
    r_k, and ``shift``.

    Args:
        short: s, samples, >= 1.
        long: l, samples, >= 1.
        threshold: > 1, or None for the greatest ratio.
        water: w, > 0, of the mean energy of the trace: without it the ratio of silence has no meaning.
        shift: samples, added to every pick.

    Raises:
        ValueError: a field outside these bounds; when called, traces shorter than 2 or not finite.

    Example:
        >>> import torch
        >>> from memprior.picking import StaLta
        >>> StaLta()(torch.tensor([[0.1, -0.1, 0.1, -0.1, 2.0, -3.0, 1.0, 0.5], [0.0] * 8]))
        tensor([4., nan])
    """

    short: int = 3
    long: int = 20
    threshold: float | None = None
    water: float = 1e-3
    shift: float = 0.0

    def __post_init__(self):
        expect_whole("short", self.short, 1)
        expect_whole("long", self.long, 1)
        expect(self.threshold is None or self.threshold > 1, "threshold", "a number > 1 or None", self.threshold)
        expect(self.water > 0, "water", "a number > 0", self.water)
        expect(math.isfinite(self.shift), "shift", "a finite number", self.shift)

    def __call__(self, traces: torch.Tensor) -> torch.Tensor:
        energy = _checked(traces).square()
        size = energy.shape[-1]
        before = torch.nn.functional.pad(energy.cumsum(-1), (1, 0))  # energy before sample k, k = 0..n
        k = torch.arange(1, size, device=traces.device)
        end, start = (k + self.short).clamp(max=size), (k - self.long).clamp(min=0)
        water = self.water * energy.mean(-1, keepdim=True)
        sta = (before[..., end] - before[..., k]) / (end - k)
        lta = (before[..., k] - before[..., start]) / (k - start)
        ratio = (sta + water) / (lta + water)
        if self.threshold is None:
            best, picked = ratio.argmax(-1), energy.any(-1)
        else:
            above = ratio >= self.threshold
            best, picked = above.int().argmax(-1), above.any(-1)
        return torch.where(picked, (best + 1).to(traces.dtype) + self.shift, math.nan)


@dataclass(frozen=True)
class Aic:
    r"""Akaike's criterion of two stretches of white noise (Maeda 1985): the pick is the k of least AIC, and ``shift``.

    .. math:: AIC_k = k \log(v_{0:k} + c) + (m - k - 1) \log(v_{k:m} + c), \qquad c = w v_{0:m}

    v is the variance of the samples of a stretch, m the end of the window: ``behind`` samples after the first that is
    as large as ``reach`` times the largest. Without an end (``reach`` None) the window is the whole trace.

    Args:
        reach: above 0, at most 1; or None.
        behind: samples, >= 1.
        water: w, > 0.
        shift: samples, added to every pick.

    Raises:
        ValueError: a field outside these bounds; when called, traces shorter than 4 or not finite.

    Example:
        >>> import torch
        >>> from memprior.picking import Aic
        >>> Aic()(torch.tensor([[0.1, -0.1, 0.1, -0.1, 2.0, -3.0, 1.0, -2.0], [0.0] * 8]))
        tensor([4., nan])
    """

    reach: float | None = None
    behind: int = 4
    water: float = 1e-6
    shift: float = 0.0

    def __post_init__(self):
        expect(self.reach is None or 0 < self.reach <= 1, "reach", "a number above 0, at most 1, or None", self.reach)
        expect_whole("behind", self.behind, 1)
        expect(self.water > 0, "water", "a number > 0", self.water)
        expect(math.isfinite(self.shift), "shift", "a finite number", self.shift)

    def __call__(self, traces: torch.Tensor) -> torch.Tensor:
        x = _checked(traces, least=4)
        size = x.shape[-1]
        sums = torch.nn.functional.pad(torch.stack([x, x * x]).cumsum(-1), (1, 0))  # of x and x^2 before sample k
        large = x.abs()
        if self.reach is None:
            m = torch.full(x.shape[:-1], size, device=x.device)
        else:
            first = (large >= self.reach * large.amax(-1, keepdim=True)).int().argmax(-1)
            m = (first + 1 + self.behind).clamp(4, size)
        k, m = torch.arange(1, size, device=x.device), m[..., None]
        ends = sums.gather(-1, m.expand(2, *m.shape))

        def variance(total: torch.Tensor, num: torch.Tensor) -> torch.Tensor:
            mean, square = total / num.clamp(min=1)
            return (square - mean * mean).clamp(min=0)

        water = self.water * variance(ends, m)
        before = variance(sums[..., 1:size], k)
        after = variance(ends - sums[..., 1:size], m - k)
        # Maeda's factor of the second stretch is one less than its length.
        aic = k * (before + water).log() + (m - k - 1) * (after + water).log()
        best = torch.where(k < m - 1, aic, math.inf).argmin(-1)
        return torch.where(water[..., 0] > 0, (best + 1).to(traces.dtype) + self.shift, math.nan)


STA_LTA_GRID = tuple(
    StaLta(*values)
    for values in product((1, 2, 3, 5), (5, 20, 40, 128), (None, 2.0, 3.0, 5.0, 10.0, 30.0), (1e-3, 0.03, 0.1, 0.3))
)
AIC_GRID = tuple(
    Aic(*values)
    for values in product((0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0), (1, 2, 4, 8, 16, 32), (1e-4, 1e-3, 1e-2, 0.03, 0.1))
) + tuple(Aic(water=water) for water in (1e-6, 1e-4, 1e-3, 1e-2, 0.03, 0.1))
_SHIFTS = tuple(quarter / 4 for quarter in range(-16, 17))  # samples


@dataclass(frozen=True)
class TunedPicker:
    """picker: the best of ``tried`` ones, its shift too. hit_rate: its share of hits on the traces that tuned it."""

    picker: StaLta | Aic
    hit_rate: float
    tried: int


def tune(
    pickers: Iterable[StaLta | Aic],
    traces: torch.Tensor,
    onsets: torch.Tensor,
    live: torch.Tensor | None = None,
    *,
    within: float = 1.0,
) -> TunedPicker:
    """The picker of the highest hit rate on labeled traces, each tried with shifts of -4 to 4 samples, 1/4 apart.

    Args:
        pickers: as ``AIC_GRID`` or ``STA_LTA_GRID``; shifts are added to theirs. Of equal ones the first is taken, with
            the least shift.
        traces: (..., nt).
        onsets: (...), in samples.
        live: (...), bool, which traces count; None: all.
        within: samples that a hit may be off, > 0.

    Raises:
        ValueError: no picker, no live trace, another shape of onsets or live; names it.

    Example:
        >>> import torch
        >>> from memprior.picking import StaLta, tune
        >>> traces = torch.tensor([[0.1, -0.1, 0.1, -0.1, 2.0, -3.0, 1.0, 0.5]])
        >>> tune([StaLta()], traces, torch.tensor([2.0])).picker.shift
        -1.0
    """
    pickers = list(pickers)
    expect(pickers, "pickers", "at least one", "none")
    x = _checked(traces)
    live = torch.ones(x.shape[:-1], dtype=torch.bool, device=x.device) if live is None else live
    for name, given in (("onsets", onsets), ("live", live)):
        expect(given.shape == x.shape[:-1], name, f"shape {tuple(x.shape[:-1])}", tuple(given.shape))
    expect(within > 0, "within", "a number > 0", within)
    expect(bool(live.any()), "live", "at least one live trace", "none")
    x, onsets = x[live], onsets[live].double()
    shifts = sorted(_SHIFTS, key=abs)
    moves = torch.tensor(shifts, dtype=x.dtype, device=x.device)[:, None]
    best = TunedPicker(pickers[0], -1.0, len(pickers) * len(shifts))
    for picker in pickers:
        hits = ((picker(x) + moves - onsets).abs() <= within).double().mean(-1)
        rate, place = hits.max(), int(hits.argmax())
        if rate > best.hit_rate:
            best = replace(best, picker=replace(picker, shift=picker.shift + shifts[place]), hit_rate=float(rate))
    return best


def _checked(traces, least: int = 2) -> torch.Tensor:
    """In float64: what cumulative sums are taken of."""
    expect_tensor("traces", traces, "(..., nt)")
    enough = traces.ndim > 0 and traces.shape[-1] >= least
    expect(enough, "traces", f"shape (..., nt), nt >= {least}", tuple(traces.shape))
    expect_finite("traces", traces)
    return traces.double()
