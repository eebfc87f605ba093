r"""The ideal picker of one trace: the exact posterior of the onset of a known wavelet in Gaussian noise.

A trace x of n samples has one arrival, of known wavelet w, onset tau, amplitude a and polarity s:

.. math:: x = s \, a \, w_\tau + \eta, \quad (w_\tau)_i = w(i \, dt - \tau), \quad \eta \sim N(0, C), \\
          a \sim N(m, v^2), \quad s = \pm 1 \text{ with } 1/2, \quad \tau \text{ uniform on the window.}

Given tau and s the trace is Gaussian, of mean s m w and covariance C + v^2 w w^T. With

.. math:: u = w_\tau^T C^{-1} x, \qquad q = w_\tau^T C^{-1} w_\tau, \qquad \Lambda = 1 + v^2 q

the formulas of Sherman and Morrison, (C + v^2 w w^T)^{-1} = C^{-1} - v^2 C^{-1} w w^T C^{-1} / Lambda, and Sylvester,
det(C + v^2 w w^T) = Lambda det C, give its density over that of noise alone,

.. math:: \log \frac{p(x \mid \tau, s)}{p(x \mid \text{noise})} =
          \frac{v^2 u^2 + 2 s m u - m^2 q}{2 \Lambda} - \frac{1}{2} \log \Lambda ,

and the mean over both polarities

.. math:: \log p(\tau \mid x) = \frac{v^2 u^2 - m^2 q}{2 \Lambda} + \log \cosh \frac{m u}{\Lambda}
          - \frac{1}{2} \log \Lambda + \text{const.}

That is known at every tau; it is evaluated in the middle of cells that divide the window, ``fine`` a sample, and taken
as constant in each. Of all pickers that see this trace alone, the posterior's mean has the least mean square error, its
median the least mean size of the error, and the middle of the window of length 2 k that holds most of it the greatest
chance to be within k samples (of whole samples such a window holds 2 k + 1).

Symbols: B traces, n samples, G cells.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from memprior._check import (
    expect,
    expect_finite,
    expect_like,
    expect_symmetric,
    expect_tensor,
    expect_whole,
    positive_number,
)
from memprior._random import normal, uniform


@dataclass(frozen=True, eq=False)
class OnsetPosterior:
    """edges: (G + 1,), of the cells, in samples, equally far apart. probabilities: (B, G), of the cells.

    Example:
        >>> import torch
        >>> from memprior.picking import OnsetPosterior
        >>> OnsetPosterior.of_distribution(torch.tensor([[0.0, 0.5, 1.0]])).median
        tensor([2.])
    """

    edges: torch.Tensor
    probabilities: torch.Tensor

    @classmethod
    def of_distribution(cls, below: torch.Tensor) -> "OnsetPosterior":
        """Of distribution functions (B, n), P(onset < k + 1) at sample k: cells of one sample, from 0 on.

        What a network says by :class:`~memprior.trace_networks.OnsetUNet`, traces of gathers one after another. Raises
        ``ValueError`` for another shape, and for functions that fall or end elsewhere than at 1.
        """
        expect_tensor("below", below, "(B, n)")
        expect(below.ndim == 2 and below.numel() > 0, "below", "shape (B, n)", tuple(below.shape))
        steps = below.diff(dim=1, prepend=torch.zeros_like(below[:, :1]))
        rounding = below.shape[1] * torch.finfo(below.dtype).eps
        rises = bool((steps >= -rounding).all() and ((below[:, -1] - 1).abs() <= rounding).all())
        expect(rises, "below", "functions that rise from 0 to 1", "others")
        edges = torch.arange(below.shape[1] + 1, dtype=below.dtype, device=below.device)
        return cls(edges, steps.clamp(min=0))

    @property
    def mean(self) -> torch.Tensor:
        """The pick of least mean square error, (B,)."""
        return self.probabilities @ self._middles

    @property
    def std(self) -> torch.Tensor:
        """The posterior's standard deviation, with that of a cell, (B,), which is the error bar of the mean."""
        away = self._middles - self.mean[:, None]
        return ((self.probabilities * away.square()).sum(1) + self._step**2 / 12).sqrt()

    @property
    def median(self) -> torch.Tensor:
        """The pick of least mean size of the error, (B,)."""
        return self.quantile(0.5)

    def quantile(self, level: float) -> torch.Tensor:
        """(B,), where ``level``, from 0 to 1, of the posterior lies before; ``ValueError`` for another level."""
        expect(0 <= level <= 1, "level", "a number from 0 to 1", level)
        below = self._below
        target = torch.full_like(below[:, :1], level)
        cell = (torch.searchsorted(below, target).clamp(1, below.shape[1] - 1) - 1)[:, 0]
        rows = torch.arange(len(below), device=below.device)
        start, mass = below[rows, cell], self.probabilities[rows, cell]
        share = torch.where(mass > 0, (level - start) / mass, 0.5).clamp(0, 1)
        return self.edges[cell] + share * self._step

    def interval(self, level: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Central interval: its ends (B,), with (1 - ``level``) / 2 of the posterior beyond each."""
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def best_window(self, k: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Middle (B,) of the window of length 2 k samples that holds most of the posterior, and how much (B,).

        The first is the pick of the greatest hit rate at k, the second its expected hit. Windows begin at cells' edges;
        of equal ones the first is taken. ``ValueError`` unless 2 k is a whole number of cells, at least one, or the
        window is not longer than the posterior.
        """
        cells = 2 * k / self._step
        whole = round(cells)
        most = self.probabilities.shape[1]
        fits = abs(cells - whole) < 1e-6 and 1 <= whole <= most
        expect(fits, "k", f"a multiple of {self._step / 2:g} samples, up to {most * self._step / 2:g}", k)
        held = self._below[:, whole:] - self._below[:, :-whole]
        share, first = held.max(1)
        return self.edges[first] + k, share

    @property
    def _below(self) -> torch.Tensor:
        """Probability before each edge, (B, G + 1)."""
        return torch.nn.functional.pad(self.probabilities.cumsum(1), (1, 0))

    @property
    def _middles(self) -> torch.Tensor:
        return (self.edges[1:] + self.edges[:-1]) / 2

    @property
    def _step(self) -> float:
        return float(self.edges[-1] - self.edges[0]) / (len(self.edges) - 1)


class IdealPicker:
    """Posterior of the onset, in the symbols of the module.

    Args:
        wavelet: w, seconds after the onset (any shape) -> of that shape; zero before the onset.
        covariance: C, of the noise, (n, n), positive definite; its dtype and device are the traces'.
        dt_s: sampling interval.
        amplitude: m, mean of the amplitude, >= 0. At 0 polarity says nothing that the amplitude does not.
        spread: v, standard deviation of the amplitude, > 0.
        window: first and last onset, samples; (0, n) by default.
        fine: cells per sample. Where a posterior is narrower than a cell its intervals are too wide, by up to a cell.

    Raises:
        ValueError: an argument outside these bounds, a wavelet that is not causal or is silent on the trace; names it.

    Example:
        >>> import torch
        >>> from memprior.geology import berlage
        >>> from memprior.picking import IdealPicker
        >>> noise = 0.05 * torch.eye(64, dtype=torch.float64)
        >>> picker = IdealPicker(lambda t: berlage(t, 30.0), noise, dt_s=0.004, amplitude=2.0, spread=0.2)
        >>> traces, onsets = picker.draw(3, generator=torch.Generator().manual_seed(0))
        >>> picker.posterior(traces).mean.shape
        torch.Size([3])
    """

    def __init__(
        self,
        wavelet: Callable[[torch.Tensor], torch.Tensor],
        covariance: torch.Tensor,
        *,
        dt_s: float,
        amplitude: float = 0.0,
        spread: float = 1.0,
        window: tuple[float, float] | None = None,
        fine: int = 16,
    ):
        expect_tensor("covariance", covariance, "(n, n)")
        square = covariance.ndim == 2 and covariance.shape[0] == covariance.shape[1] > 0
        expect(square, "covariance", "shape (n, n)", tuple(covariance.shape))
        expect_finite("covariance", covariance)
        expect_symmetric("covariance", covariance)
        good = math.isfinite(amplitude) and amplitude >= 0
        expect(good, "amplitude", "a finite number >= 0", amplitude)
        expect_whole("fine", fine, 1)
        self.wavelet, self.dt_s = wavelet, positive_number("dt_s", dt_s)
        self.amplitude, self.spread = float(amplitude), positive_number("spread", spread)
        size = len(covariance)
        first, last = (0, size) if window is None else window
        cells = round((last - first) * fine)
        fits = 0 <= first < last <= size and abs(cells - (last - first) * fine) < 1e-6
        expect(fits, "window", f"0 <= first < last <= {size}, {fine} cells a sample", window)
        self._factor, failed = torch.linalg.cholesky_ex(covariance)
        expect(int(failed) == 0, "covariance", "positive definite", f"a leading minor, {int(failed)}, that is not")
        like: dict[str, Any] = {"dtype": covariance.dtype, "device": covariance.device}
        self.edges = first + torch.arange(cells + 1, **like) / fine
        arrivals = self._arrivals(self.edges[:-1] + 0.5 / fine)
        expect_finite("wavelet", arrivals)
        early = -self.dt_s * size * (torch.arange(1000, **like) + 1) / 1000
        expect(not wavelet(early).any(), "wavelet", "zero before the onset", "a wavelet that is not causal")
        expect(bool(arrivals.any()), "wavelet", "an arrival that is not zero on the trace", "zero everywhere")
        white = torch.linalg.solve_triangular(self._factor, arrivals.mT, upper=False)
        self._power = white.square().sum(0)  # q, (G,)
        self._filters = torch.linalg.solve_triangular(self._factor.mT, white, upper=True)  # C^-1 w, (n, G)

    def posterior(self, traces: torch.Tensor) -> OnsetPosterior:
        """Of each trace (B, n). ``ValueError`` for another shape, dtype or device, and for NaN or infinite samples."""
        expect_tensor("traces", traces, f"(B, {len(self._filters)})")
        fits = traces.ndim == 2 and traces.shape[1] == len(self._filters)
        expect(fits, "traces", f"shape (B, {len(self._filters)})", tuple(traces.shape))
        expect_like("traces", traces, self._filters)
        expect_finite("traces", traces)
        m, v, q, u = self.amplitude, self.spread, self._power, traces @ self._filters
        inflation = 1 + v**2 * q  # Lambda
        turned = (m * u / inflation).abs()
        log_cosh = turned + torch.log1p((-2 * turned).exp()) - math.log(2)
        log_weights = (v**2 * u**2 - m**2 * q) / (2 * inflation) + log_cosh - 0.5 * inflation.log()
        return OnsetPosterior(self.edges, log_weights.softmax(1))

    def draw(self, num: int, *, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """``num`` traces of the prior (num, n), and their onsets (num,), uniform on the window, in samples."""
        expect_whole("num", num, 1)
        like = self._filters
        span = self.edges[-1] - self.edges[0]
        onsets = self.edges[0] + span * uniform(num, like=like, generator=generator)
        signs = 2.0 * (uniform(num, like=like, generator=generator) < 0.5) - 1
        amplitudes = signs * (self.amplitude + self.spread * normal(num, like=like, generator=generator))
        noise = normal(num, len(like), like=like, generator=generator) @ self._factor.mT
        return amplitudes[:, None] * self._arrivals(onsets) + noise, onsets

    def _arrivals(self, onsets: torch.Tensor) -> torch.Tensor:
        """w_tau, (T, n), of onsets (T,)."""
        samples = torch.arange(len(self._factor), dtype=onsets.dtype, device=onsets.device)
        return self.wavelet((samples - onsets[:, None]) * self.dt_s)
