r"""The best update of rank r of a linear map on N pairs, in closed form: reduced-rank regression (Izenman 1975).

A linear layer maps a row x to x W^T. Let X (N, n) be inputs, Y (N, m) targets, W_0 (m, n) the map to start from and
R = Y - X W_0^T what it leaves. With X = P S Q^T, of the singular values above rounding, and the singular values
s_1 >= s_2 >= ... of P^T R, the least error of an update of rank at most r is

.. math:: \min_{\mathrm{rank}\, U \le r} |R - X U^T|^2 = |R|^2 - \sum_{i \le r} s_i^2

It is what LoRA of that rank, trained to its optimum, reaches on these pairs.
"""

from dataclasses import dataclass

import torch

from memprior._check import expect, expect_points, expect_train_set, expect_whole


@dataclass(frozen=True, eq=False)
class BestUpdate:
    """What :func:`~memprior.reduced_rank.best_update` found, in float64, for its rank r and for every lower one.

    Attributes:
        start: W_0, (m, n).
        left: (m, r). The first s columns, times the first s rows of ``right``, are the best update of rank s.
        right: (r, n).
        errors: (r + 1,), mean squared error over the pairs and the m outputs after the best update of rank 0..r.
    """

    start: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    errors: torch.Tensor

    @property
    def training_error(self) -> float:
        """The last of ``errors``."""
        return float(self.errors[-1])

    def weight(self, rank: int | None = None) -> torch.Tensor:
        """W_0 plus the best update of ``rank``, by default r, (m, n).

        Raises:
            ValueError: a rank that is not from 0 to r.
        """
        most = self.left.shape[1]
        rank = most if rank is None else _expect_rank(rank, most)
        return self.start + self.left[:, :rank] @ self.right[:rank]


def best_update(
    inputs: torch.Tensor, targets: torch.Tensor, rank: int, *, start: torch.Tensor | None = None
) -> BestUpdate:
    """The update of ``start`` of rank at most r with the least squared error on the pairs, by two SVDs in float64.

    Of all such updates with the same outputs on the inputs it is the one of least Frobenius norm. Where the r-th and
    the next singular value of the theorem are equal, other subspaces do as well; this is one of them.

    Args:
        inputs: X, (N, n).
        targets: Y, (N, m).
        rank: r, from 0 to min(m, n).
        start: W_0, (m, n); None: 0.

    Returns:
        Factors and errors of rank 0 to r.

    Raises:
        ValueError: another rank, shapes that do not fit, numbers that are not finite.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.reduced_rank import best_update
        >>> found = best_update(torch.eye(2), torch.tensor([[3.0, 0.0], [0.0, 1.0]]), 2)
        >>> found.errors
        tensor([2.5000, 0.2500, 0.0000], dtype=torch.float64)
        >>> found.weight(1).round(decimals=6).abs()
        tensor([[3., 0.],
                [0., 0.]], dtype=torch.float64)
    """
    expect_train_set("inputs", inputs)
    expect_train_set("targets", targets)
    expect(len(targets) == len(inputs), "targets", f"one for each of the {len(inputs)} inputs", len(targets))
    shape = targets.shape[1], inputs.shape[1]
    rank = _expect_rank(rank, min(shape))
    x, y = inputs.detach().double(), targets.detach().double()
    if start is None:
        start = x.new_zeros(shape)
    else:
        expect_points("start", start, size=shape[1])
        expect_train_set("start", start)
        expect(tuple(start.shape) == shape, "start", f"shape {shape}", tuple(start.shape))
        start = start.detach().to(x)
    residual = y - x @ start.T
    p, s, qt = torch.linalg.svd(x, full_matrices=False)
    kept = s > max(x.shape) * torch.finfo(inputs.dtype).eps * s[0]  # below it a direction is rounding of what came
    p, s, qt = p[:, kept], s[kept], qt[kept]
    a, strengths, bt = torch.linalg.svd(p.T @ residual, full_matrices=False)
    left, right, explained = x.new_zeros(shape[0], rank), x.new_zeros(rank, shape[1]), x.new_zeros(rank)
    some = min(rank, len(strengths))  # beyond it all that the inputs can explain is explained
    left[:, :some] = bt[:some].T * strengths[:some]
    right[:some] = (a[:, :some].T / s) @ qt
    explained[:some] = strengths[:some] ** 2
    # What remains, from below: differences of nearly equal sums would lose the small errors.
    beyond = (residual - p @ (p.T @ residual)).square().sum() + strengths[some:].square().sum()
    errors = beyond + torch.cat([explained.flip(0).cumsum(0).flip(0), explained.new_zeros(1)])
    return BestUpdate(start, left, right, errors / residual.numel())


def _expect_rank(rank, most: int) -> int:
    """``rank`` as an integer of Python; ``ValueError`` unless it is from 0 to ``most``."""
    expect_whole("rank", rank, 0)
    expect(rank <= most, "rank", f"an integer from 0 to {most}", rank)
    return int(rank)
