"""Intervals for what a finite number of draws, seeds or problems can tell."""

import math
from dataclasses import dataclass

import torch
from scipy import stats
from scipy.special import betaincinv


def student(values: torch.Tensor, confidence: float = 0.95) -> float:
    """Half of Student's interval of the mean of independent values (n,), n >= 2."""
    error = float(values.std()) / math.sqrt(len(values))
    return error * float(stats.t.ppf(0.5 + confidence / 2, len(values) - 1))


def jeffreys(value: float, num: float) -> tuple[float, float]:
    """The 95 % interval of a Beta(1/2, 1/2) prior after ``num`` trials of which a share ``value`` succeeded.

    It ends at 0 where none did and at 1 where all did. ``num`` may be an effective number, not whole.
    """
    hits, misses = num * value + 0.5, num * (1 - value) + 0.5
    low = float(betaincinv(hits, misses, 0.025)) if value > 0 else 0.0
    return low, float(betaincinv(hits, misses, 0.975)) if value < 1 else 1.0


def log_interval(values, confidence: float) -> tuple[float, float, float]:
    """Geometric mean of positive values and its interval by Student's t on their logarithms: (mean, low, high).

    NaN among the values, or fewer than two of them, make all three NaN: an event that was not seen has no time.

    Example:
        >>> from memprior.intervals import log_interval
        >>> mean, low, high = log_interval([1.0, 100.0], 0.5)
        >>> round(mean, 6), low < mean < high
        (10.0, True)
    """
    logs = torch.tensor([math.log(v) if v > 0 else math.nan for v in values], dtype=torch.float64)
    if len(logs) < 2 or bool(logs.isnan().any()):
        return math.nan, math.nan, math.nan
    center = float(logs.mean())
    reach = student(logs, confidence)
    return math.exp(center), math.exp(center - reach), math.exp(center + reach)


@dataclass(frozen=True)
class Share:
    """A share of samples, and how many samples it rests on; weighted ones count as their effective number.

    Example:
        >>> import torch
        >>> from memprior.intervals import Share
        >>> share = Share.of_flags(torch.tensor([True, False, False, False]))
        >>> share.value, [round(end, 2) for end in share.interval]
        (0.25, [0.03, 0.72])
    """

    value: float
    num: float

    @classmethod
    def of_flags(cls, flags: torch.Tensor, weights: torch.Tensor | None = None) -> "Share":
        """Of draws (B,), true or false, that are true; weights: (B,), adding up to one."""
        flags = flags.double()
        if weights is None:
            return cls(float(flags.mean()), len(flags))
        return cls(float(weights @ flags), float(1 / weights.square().sum()))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval that :func:`jeffreys` gives."""
        return jeffreys(self.value, self.num)

    @property
    def dot(self) -> tuple[float, float, float]:
        """What a figure draws (value, low, high)."""
        return self.value, *self.interval

    def of(self, num: int) -> str:
        """As a count of so many samples with its interval, "26 (18 to 37)"."""
        low, high = (round(num * end) for end in self.interval)
        return f"{num * self.value:.0f} ({low} to {high})"


@dataclass(frozen=True)
class Mean:
    """value: a mean over independent values. half: half of its 95 % interval by Student's t, 0 where there is one.

    Example:
        >>> from memprior.intervals import Mean
        >>> print(Mean.over([1.0, 2.0, 3.0]))
        2.000 ± 2.484
    """

    value: float
    half: float

    @classmethod
    def over(cls, values) -> "Mean":
        """Of numbers (n,), n >= 1: one for each problem, truth or data set."""
        values = torch.as_tensor(values, dtype=torch.float64)
        return cls(float(values.mean()), student(values) if len(values) > 1 else 0.0)

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self.value - self.half

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return self.value + self.half

    @property
    def dot(self) -> tuple[float, float, float]:
        """What a figure draws (value, low, high)."""
        return self.value, self.low, self.high

    def __str__(self):
        return f"{self.value:.3f} ± {self.half:.3f}"
