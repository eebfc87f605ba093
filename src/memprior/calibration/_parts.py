"""Ranks, intervals, sums of distances and checks: what the tests of calibration are made of."""

import torch

from memprior._check import (
    expect,
    expect_finite,
    expect_like,
    expect_points,
    expect_positive,
    expect_tensor,
    positive_number,
)
from memprior._random import uniform


def ranks(draws: torch.Tensor, own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """How many of ``draws`` (T, S, ...) are below ``own`` (T, ...), equal ones counted as below or not at random."""
    below, equal = (draws < own[:, None]).sum(1), (draws == own[:, None]).sum(1)
    tie = uniform(*own.shape, like=own, dtype=torch.float64, generator=generator)
    return below + torch.minimum((tie * (equal + 1)).long(), equal)


def position(draws: torch.Tensor, own: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(rank + U) / (S + 1), kept off 0 and 1 when rounded to the dtype of ``own``."""
    rank = ranks(draws, own, generator)
    tie = uniform(*own.shape, like=own, dtype=torch.float64, generator=generator)
    limits = torch.finfo(own.dtype)
    return ((rank + tie) / (draws.shape[1] + 1)).to(own.dtype).clamp(limits.tiny, 1 - limits.eps)


def norms(x: torch.Tensor) -> torch.Tensor:
    """Lengths along the last axis, component by component: equal points must have equal lengths, to the bit."""
    return sum((part.square() for part in x.unbind(-1)), start=x.new_zeros(())).sqrt()


def sum_between(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Sum of |x_i - y_j| over all pairs, a few rows at a time."""
    exact = "donot_use_mm_for_euclid_dist"  # products lose small distances, and 0 to itself
    parts = x.split(max(1, 2**24 // len(y)))
    return sum((torch.cdist(rows, y, compute_mode=exact).sum() for rows in parts), start=x.new_zeros(()))


def expect_draws(samples, truths) -> None:
    """S >= 2 finite draws (T, S, d) for each of the finite truths (T, d)."""
    expect_tensor("samples", samples, "(T, S, d)")
    expect(samples.ndim == 3 and samples.numel() > 0, "samples", "shape (T, S, d), none 0", tuple(samples.shape))
    expect(samples.shape[1] >= 2, "samples", "at least 2 draws of each truth", samples.shape[1])
    expect_points("truths", truths, size=samples.shape[2], like=samples)
    expect(len(truths) == len(samples), "truths", f"one for each of {len(samples)} sets of draws", len(truths))
    expect_finite("samples", samples)
    expect_finite("truths", truths)


def expect_samples(x, y, names, fewest) -> None:
    """Two sets of finite points of one size, (n, d) and (m, d), called ``names``, with at least ``fewest`` each."""
    expect_points(names[0], x)
    expect_points(names[1], y, size=x.shape[1], like=x)
    for name, points, few in zip(names, (x, y), fewest, strict=True):
        expect(len(points) >= few, name, f"at least {few} points", len(points))
        expect_finite(name, points)


def expect_unit(name: str, u) -> None:
    """Numbers in [0, 1], of any shape."""
    came = f"{float(u.min()):.6g} to {float(u.max()):.6g}"
    expect(bool(((u >= 0) & (u <= 1)).all()), name, "numbers in [0, 1]", came)


def expect_unit_line(name: str, u) -> None:
    """At least two numbers in [0, 1], (T,)."""
    expect_tensor(name, u, "(T,)")
    expect(u.ndim == 1 and len(u) >= 2, name, "shape (T,), T >= 2", tuple(u.shape))
    expect_unit(name, u)


def level_number(level) -> float:
    """``level``, one number in (0, 1), as a float."""
    level = positive_number("level", level)
    expect(level < 1, "level", "a number in (0, 1)", level)
    return level


def expect_scale(scale, truths) -> torch.Tensor:
    """Units > 0 of the coordinates of ``truths`` (T, d), (d,)."""
    expect_tensor("scale", scale, "(d,)")
    expect(scale.shape == truths.shape[1:], "scale", f"shape ({truths.shape[1]},)", tuple(scale.shape))
    expect_like("scale", scale, truths)
    expect_positive("scale", scale)
    return scale
