r"""A walk through the latent space of a generator: does it move evenly, or stand still and jump?

Latent points N(0, I) of many coordinates lie near a sphere: a walk keeps to it by a great circle (Shoemake 1985),

.. math:: z(t) = \frac{\sin((1 - t) \omega)}{\sin \omega}\, a + \frac{\sin(t \omega)}{\sin \omega}\, b

A generator that memorized is, with distribution N(0, I) taken to N examples, constant but for narrow passages.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from memprior._check import expect, expect_finite, expect_points, expect_tensor, expect_whole, positive_number
from memprior.memorization.nearness import Neighbors, nearest_neighbors

LONGEST = 0.1  # of the steps: the largest tenth of them


@dataclass(frozen=True, eq=False)
class LatentWalk:
    """What :func:`~memprior.memorization.walk.latent_walk` found.

    Attributes:
        outputs: (T + 1, ...), along the walk.
        steps: (T,), Euclidean distances of neighboring outputs.
        neighbors: the two nearest examples of each output, (T + 1, 2).
    """

    outputs: torch.Tensor
    steps: torch.Tensor
    neighbors: Neighbors

    @property
    def jump_share(self) -> float:
        """:func:`~memprior.memorization.walk.jump_share` of the steps."""
        return jump_share(self.steps)

    @property
    def num_switches(self) -> int:
        """How often the nearest example is another one than a step before."""
        return int((self.neighbors.indices[:, 0].diff() != 0).sum())


def slerp(a: torch.Tensor, b: torch.Tensor, t: float | torch.Tensor) -> torch.Tensor:
    """From a, t = 0, to b, t = 1, by the great circle through both; of points of one length at constant speed.

    Args:
        a: (latent,).
        b: (latent,), neither it nor ``a`` zero, and not opposite.
        t: a number, or (T,).

    Returns:
        (latent,), or (T, latent).

    Raises:
        ValueError: points of other shapes, zero or opposite ones, numbers that are not finite.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.memorization import slerp
        >>> slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0.5)
        tensor([0.7071, 0.7071])
    """
    for name, x in (("a", a), ("b", b)):
        expect_tensor(name, x, "(latent,)")
        expect(x.ndim == 1 and len(x) > 0, name, "shape (latent,)", tuple(x.shape))
        expect_finite(name, x)
        expect(bool(x.norm() > 0), name, "a point that is not zero", "zero")
    expect(b.shape == a.shape and b.dtype == a.dtype, "b", f"{a.dtype} {tuple(a.shape)}", f"{b.dtype} {tuple(b.shape)}")
    u, v = (x.double() / x.double().norm() for x in (a, b))
    omega = 2 * math.atan2(float((u - v).norm()), float((u + v).norm()))  # exact for small angles, as acos is not
    expect(math.pi - omega > 1e-6, "b", "a point that is not opposite to a", "one that is")
    along = torch.as_tensor(t, dtype=torch.float64, device=a.device)[..., None]
    if omega < 1e-6:
        first, second = 1 - along, along
    else:
        first, second = ((share * omega).sin() / math.sin(omega) for share in (1 - along, along))
    return (first * a.double() + second * b.double()).to(a.dtype)


def jump_share(steps: torch.Tensor, largest: float = LONGEST) -> float:
    """Share of a walk's length that lies in the largest tenth of its T steps.

    A tenth where all steps are equal, as on a great circle under an orthonormal map; 1 for a generator that stands
    still but for that many jumps, as the lookup of the nearest example of it does. NaN where nothing moves.

    Args:
        steps: (T,), >= 0.
        largest: which share of the steps; rounded to whole ones, at least one.

    Raises:
        ValueError: no step, negative ones, numbers that are not finite, another share.
        TypeError: steps that are no tensor.

    Example:
        >>> import torch
        >>> from memprior.memorization import jump_share
        >>> round(jump_share(torch.ones(50)), 6), jump_share(torch.eye(50)[7])
        (0.1, 1.0)
    """
    expect_tensor("steps", steps, "(T,)")
    expect(steps.ndim == 1 and len(steps) > 0, "steps", "shape (T,), T >= 1", tuple(steps.shape))
    expect_finite("steps", steps)
    expect(bool((steps >= 0).all()), "steps", "lengths >= 0", float(steps.min()))
    largest = positive_number("largest", largest)
    expect(largest <= 1, "largest", "at most 1", largest)
    steps = steps.double()
    whole = float(steps.sum())
    num = max(1, round(largest * len(steps)))
    return float(steps.topk(num).values.sum()) / whole if whole > 0 else math.nan


@torch.no_grad()
def latent_walk(
    generator_network: Callable[[torch.Tensor], torch.Tensor],
    a: torch.Tensor,
    b: torch.Tensor,
    examples: torch.Tensor,
    *,
    num_steps: int = 100,
) -> LatentWalk:
    """Outputs along the great circle from a to b in equal steps, their lengths, and the nearest examples beside them.

    Args:
        generator_network: (B, latent) -> (B, ...), each alone.
        a: (latent,).
        b: (latent,).
        examples: (N, ...), N >= 2, of the outputs' shape.
        num_steps: T, >= 1.

    Returns:
        Outputs, steps and neighbors.

    Raises:
        ValueError: what :func:`slerp` raises, fewer than two examples, outputs of another shape than they.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.memorization import latent_walk
        >>> walk = latent_walk(torch.sign, torch.tensor([1.0, 0.2]), torch.tensor([-0.3, 1.0]), torch.eye(2))
        >>> walk.jump_share, walk.num_switches
        (1.0, 1)
    """
    expect_whole("num_steps", num_steps, 1)
    expect_tensor("examples", examples, "(N, ...)")
    expect(examples.ndim >= 2 and len(examples) >= 2, "examples", "shape (N, ...), N >= 2", tuple(examples.shape))
    outputs = generator_network(slerp(a, b, torch.linspace(0, 1, num_steps + 1, dtype=torch.float64)))
    given = tuple(outputs.shape[1:])
    expect(given == tuple(examples.shape[1:]), "examples", f"the outputs' shape (N, *{given})", tuple(examples.shape))
    flat = outputs.flatten(1)
    expect_points("outputs", flat, like=examples)
    return LatentWalk(outputs, flat.diff(dim=0).norm(dim=1), nearest_neighbors(flat, examples.flatten(1), 2))
