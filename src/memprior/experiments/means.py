"""A mean over independent values with its interval: what chapters 5 and 6 print and draw."""

import math
from dataclasses import dataclass

import torch
from scipy import stats


@dataclass(frozen=True)
class Mean:
    """value: a mean over independent values. half: half of its 95 % interval by Student's t, 0 where there is one."""

    value: float
    half: float

    @classmethod
    def over(cls, values) -> "Mean":
        """Of numbers (n,), n >= 1: one for each problem, truth or data set."""
        values = torch.as_tensor(values, dtype=torch.float64)
        n = len(values)
        error = float(values.std()) / math.sqrt(n) if n > 1 else math.nan
        return cls(float(values.mean()), float(stats.t.ppf(0.975, n - 1)) * error if n > 1 else 0.0)

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
        """Value, low, high: what a figure draws."""
        return self.value, self.low, self.high

    def __str__(self):
        return f"{self.value:.3f} ± {self.half:.3f}"
