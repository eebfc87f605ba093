"""How far apart two laws are, from their samples."""

import torch

from memprior._check import expect, expect_finite, expect_points


def energy_distance(samples: torch.Tensor, reference: torch.Tensor, *, reference_is_law: bool = False) -> torch.Tensor:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, scalar: the square of a metric between laws (Szekely and Rizzo 2013).

    samples: draws (A, d), A >= 2. reference: draws (B, d), B >= 2; or, with ``reference_is_law``, the equally likely
    atoms of a law that is then known exactly. Unbiased, so it may come out below zero for equal laws. Raises
    ``ValueError`` / ``TypeError`` for sizes, dtypes or devices that differ and for numbers that are not finite.
    """
    least = 1 if reference_is_law else 2
    for name, x, few in (("samples", samples, 2), ("reference", reference, least)):
        expect_points(name, x, size=samples.shape[-1], like=samples)
        expect(len(x) >= few, name, f"at least {few} points", len(x))
        expect_finite(name, x)
    return (
        2 * _mean_distance(samples, reference)
        - _own_distance(samples)
        - (_mean_distance(reference, reference) if reference_is_law else _own_distance(reference))
    )


def _mean_distance(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean of |x_i - y_j| over all pairs, a few rows at a time."""
    rows = max(1, 2**24 // len(y))
    return sum(torch.cdist(part, y).sum() for part in x.split(rows)) / (len(x) * len(y))


def _own_distance(x: torch.Tensor) -> torch.Tensor:
    """Mean of |x_i - x_j| over pairs of different draws."""
    return _mean_distance(x, x) * len(x) / (len(x) - 1)
