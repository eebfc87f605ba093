"""The k nearest by Euclidean distance: candidates by a matrix product in float64, their distances by differences."""

import logging
import math

import torch

from memprior._check import expect

# By products, a distance between two points at 2500 +- 1 has lost all its digits in float32.
DIFFERENCES = "donot_use_mm_for_euclid_dist"
HALF = (torch.float16, torch.bfloat16)  # torch has no distances in them
_LOG = logging.getLogger(__name__)  # how far long work is; silent unless asked
_BLOCK = 2**20  # numbers in a block of differences: what stays in a cache
TABLE = 2**23  # distances held at once


def expect_squares(name: str, x: torch.Tensor, *, lost: bool = False) -> None:
    """Raise where squared distances overflow, or with ``lost`` where those of points that differ may underflow to 0."""
    largest = max(abs(float(end)) for end in x.aminmax()) if x.numel() else 0.0
    of = torch.finfo(torch.promote_types(x.dtype, torch.float32))
    most, least = math.sqrt(of.max / (4 * x.shape[1])), math.sqrt(of.tiny) / of.eps if lost else 0.0
    fits = largest < most and (largest > least or largest == 0)
    expect(fits, name, f"numbers up to some {least:.0e} to {most:.0e} in {x.dtype}: scale them", f"{largest:.3g}")


def nearest(samples: torch.Tensor, train_set: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances (B, k) of the nearest of ``train_set`` (K, d), ascending, and their indices."""
    if samples.dtype in HALF:
        samples, train_set = samples.float(), train_set.float()
    matches, done = [], 0
    for part in samples.split(max(1, TABLE // len(train_set))):
        matches.append(_of_block(part, train_set, k))
        done += len(part)
        _LOG.info("nearest of %d models to %d of %d points", len(train_set), done, len(samples))
    values, indices = (torch.cat(tables) for tables in zip(*matches, strict=True))
    return values, indices


def _of_block(x: torch.Tensor, train_set: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    chosen = _candidates(x, train_set, k)
    if chosen is None:
        distances, indices = torch.cdist(x, train_set, compute_mode=DIFFERENCES).topk(k, largest=False)
        return distances, indices
    rows = max(1, _BLOCK // (chosen.shape[1] * x.shape[1]))
    apart = [
        torch.cdist(part[:, None], train_set[those], compute_mode=DIFFERENCES)[:, 0]
        for part, those in zip(x.split(rows), chosen.split(rows), strict=True)
    ]
    near = torch.cat(apart).topk(k, largest=False)
    return near.values, chosen.gather(1, near.indices)


def _blocks(x: torch.Tensor):
    """First index and rows, a block at a time, in float64."""
    rows = max(1, _BLOCK // x.shape[1])
    return ((start, x[start : start + rows].double()) for start in range(0, len(x), rows))


@torch.no_grad()
def _candidates(x: torch.Tensor, train_set: torch.Tensor, k: int) -> torch.Tensor | None:
    """Indices (n, c), ascending, among which the k nearest are for certain; None where all might as well be taken.

    |x - y|^2 = |x|^2 + |y|^2 - 2 x.y, all from one center, is off by at most 2 (d + 4) eps (|x|^2 + |y|^2).
    """
    num, size = train_set.shape
    if num <= 4 * k or x.device.type == "mps":  # which has no float64
        return None
    center = train_set.mean(0, dtype=torch.float64)
    u = x.double() - center
    own, bound = u.square().sum(1, keepdim=True), 4 * (size + 4) * torch.finfo(torch.float64).eps
    lower, upper = (u.new_empty(len(x), num) for _ in range(2))
    for start, block in _blocks(train_set):
        v, those = block - center, slice(start, start + len(block))
        scale = own + v.square().sum(1)
        squares, slack = scale - 2 * u @ v.T, bound * scale
        lower[:, those], upper[:, those] = squares - slack, squares + slack
    # The differences are rounded too, in the precision of x.
    limit = upper.topk(k, largest=False).values[:, -1:] * (1 + 4 * (size + 4) * torch.finfo(x.dtype).eps)
    most = int((lower <= limit).sum(1).max())
    return None if 2 * most > num else lower.topk(most, largest=False).indices.sort(1).values


@torch.no_grad()
def rescaled(points: torch.Tensor, examples: torch.Tensor, *, itself: bool = False) -> torch.Tensor:
    """Which of ``points`` (n, d) are one of ``examples`` (K, d) times a factor plus a constant, up to rounding, (n,).

    They correlate as 1 - 1e-12 or more: noise of a millionth is none. ``itself``: points are the examples, beside the
    others. Two numbers always are, so none is at d < 3.
    """
    matches = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    if points.shape[1] < 3 or points.device.type == "mps":
        return matches

    def directions(x: torch.Tensor) -> torch.Tensor:
        x = x - x.mean(1, keepdim=True)
        return torch.nn.functional.normalize(x, eps=torch.finfo(x.dtype).tiny)

    for first, these in _blocks(points):
        u = directions(these)
        for start, block in _blocks(examples):
            alike = (u @ directions(block).T).abs() > 1 - 1e-12
            if itself:
                alike[torch.arange(first, first + len(u))[:, None] == torch.arange(start, start + len(block))] = False
            matches[first : first + len(u)] |= alike.any(1)
    return matches
