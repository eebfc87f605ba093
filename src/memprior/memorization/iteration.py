"""Which examples does an autoencoder come back to? The iteration x <- A(x) from starts that it was not trained on.

Radhakrishnan, Belkin and Uhler (2020): overparameterized autoencoders trained to interpolate make training examples
attractors, so that the iteration retrieves them from noise. A linear one has none: at its optimum it is a projection,
every point of whose range is fixed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from memprior._check import expect, expect_finite, expect_like, expect_tensor, expect_whole, positive_number
from memprior.intervals import Share
from memprior.memorization.nearness import COPY_GAP, nearest_neighbors

FIXED = 1e-3  # of the root mean square of the examples: a step below it moves no more


@dataclass(frozen=True, eq=False)
class Attractors:
    """What :func:`~memprior.memorization.iteration.attractors` found of each of B starts.

    Attributes:
        ends: (B, ...), where the iteration ended.
        steps: (B,), root mean square of the last step over that of the examples; NaN where the iteration diverged.
        nearest: (B,), number of the nearest example.
        gaps: (B,), d_1 / d_2, distance to the nearest over that to the second nearest example; NaN where it diverged.
        tolerance: below which a step is none.
        gap: below which a gap is a landing.
    """

    ends: torch.Tensor
    steps: torch.Tensor
    nearest: torch.Tensor
    gaps: torch.Tensor
    tolerance: float = FIXED
    gap: float = COPY_GAP

    def beside(self, examples: torch.Tensor) -> "Attractors":
        """The same ends beside other examples (N, ...), N >= 2, in units of the first ones."""
        bounded = ~self.steps.isnan()
        ends = torch.where(bounded.reshape(-1, *[1] * (self.ends.ndim - 1)), self.ends, 0).flatten(1)
        near = nearest_neighbors(ends, examples.flatten(1), 2)
        first, second = near.distances.unbind(1)
        # Between two equal examples, on both.
        gaps = torch.where(second > 0, first / second, first)
        return replace(self, nearest=near.indices[:, 0], gaps=torch.where(bounded, gaps, torch.nan))

    @property
    def fixed(self) -> Share:
        """Share of starts that ended in a point that moves no more."""
        return Share.of_flags(self.steps < self.tolerance)

    @property
    def landed(self) -> Share:
        """Share of starts that ended fixed and at an example, nearer to it than a third of the way to the next."""
        return Share.of_flags((self.steps < self.tolerance) & (self.gaps < self.gap))

    @property
    def num_reached(self) -> int:
        """Examples on which some start landed."""
        return len(self.nearest[(self.steps < self.tolerance) & (self.gaps < self.gap)].unique())


@torch.no_grad()
def attractors(
    autoencoder: Callable[[torch.Tensor], torch.Tensor],
    starts: torch.Tensor,
    examples: torch.Tensor,
    *,
    num_iterations: int = 200,
    tolerance: float = FIXED,
    gap: float = COPY_GAP,
) -> Attractors:
    """Iterate x <- A(x) from ``starts``; which end fixed, and on an example?

    A start lands on an example where its last step is below ``tolerance`` of the examples' root mean square and
    d_1 / d_2 is below ``gap``. Ask the same of as many held-out examples, the control: fixed points of any smooth
    autoencoder may lie near to something. A start whose iteration leaves all bounds has not landed.

    Args:
        autoencoder: (B, ...) -> (B, ...), in evaluation mode, each alone.
        starts: (B, ...), as noise of the examples' size.
        examples: (N, ...), N >= 2, of the shape of the starts.
        num_iterations: of the map, >= 1.
        tolerance: of a fixed point.
        gap: of a landing, below 1.

    Returns:
        Ends, last steps and nearest examples.

    Raises:
        ValueError: fewer than two examples or that all vanish, shapes, dtypes or devices that differ, numbers that are
            not finite, an autoencoder of another output shape, another bound.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.memorization import attractors
        >>> starts = torch.tensor([[0.3], [-2.0]])
        >>> found = attractors(torch.sign, starts, torch.tensor([[1.0], [-1.0]]))
        >>> found.landed.value, found.num_reached, found.nearest
        (1.0, 2, tensor([0, 1]))
    """
    for name, x in (("examples", examples), ("starts", starts)):
        expect_tensor(name, x, "(N, ...)")
        expect(x.ndim >= 2 and len(x) > 0, name, "shape (N, ...), N >= 1", tuple(x.shape))
        expect_finite(name, x)
    expect(len(examples) >= 2, "examples", "at least two", len(examples))
    expect(starts.shape[1:] == examples.shape[1:], "starts", f"shape (B, *{tuple(examples.shape[1:])})", starts.shape)
    expect_like("starts", starts, examples)
    expect_whole("num_iterations", num_iterations, 1)
    tolerance, gap = positive_number("tolerance", tolerance), positive_number("gap", gap)
    expect(gap < 1, "gap", "below 1", gap)
    scale = float(examples.double().square().mean().sqrt())
    expect(scale > 0, "examples", "examples that do not all vanish", "zeros")
    x, step = starts, starts
    for _ in range(num_iterations):
        moved = autoencoder(x)
        expect(moved.shape == x.shape, "autoencoder", f"outputs of shape {tuple(x.shape)}", tuple(moved.shape))
        step, x = moved - x, moved
    far = 1e6 * scale
    bounded = torch.isfinite(x).flatten(1).all(1) & (x.flatten(1).abs().amax(1) < far)
    size = torch.where(bounded, step.flatten(1).square().mean(1).sqrt() / scale, torch.nan)
    none = torch.empty(0, dtype=torch.int64, device=x.device)
    return Attractors(x, size, none, none, tolerance, gap).beside(examples)
