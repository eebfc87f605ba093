"""How far apart two laws are, from their samples."""

import torch

from memprior._check import expect, expect_finite, expect_points


def energy_distance(samples: torch.Tensor, reference: torch.Tensor, *, reference_is_law: bool = False) -> torch.Tensor:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, scalar: the square of a metric between laws (Szekely and Rizzo 2013).

    samples: draws (A, d), A >= 2. reference: draws (B, d), B >= 2; or, with ``reference_is_law``, the equally likely
    atoms of a law that is then known exactly. Unbiased, so it may come out below zero for equal laws. Raises
    ``ValueError`` / ``TypeError`` for sizes, dtypes or devices that differ and for numbers that are not finite.
    """
    expect_points("samples", samples)
    expect_points("reference", reference, size=samples.shape[1], like=samples)
    least = 1 if reference_is_law else 2
    for name, x, few in (("samples", samples, 2), ("reference", reference, least)):
        expect(len(x) >= few, name, f"at least {few} points", len(x))
        expect_finite(name, x)
    # Products of matrices lose digits in proportion to the distance from the origin.
    centre = reference.mean(0)
    x, y = samples - centre, reference - centre
    within_y = _within(y) / (len(y) ** 2 if reference_is_law else len(y) * (len(y) - 1))
    return 2 * _between(x, y) / (len(x) * len(y)) - _within(x) / (len(x) * (len(x) - 1)) - within_y


def _between(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Sum of |x_i - y_j| over all pairs, a few rows at a time."""
    return sum(torch.cdist(rows, y).sum() for rows in x.split(max(1, 2**24 // len(y))))


def _within(x: torch.Tensor) -> torch.Tensor:
    """Sum of |x_i - x_j| over all pairs; a point is at distance 0 from itself, which rounding would miss."""
    num, total = max(1, 2**24 // len(x)), x.new_zeros(())
    for start in range(0, len(x), num):
        block = torch.cdist(x[start : start + num], x)
        block.diagonal(offset=start)[: len(block)] = 0
        total = total + block.sum()
    return total
