"""What the tests of copying are made of: two statistics, standard normal under their null, and the verdict in words."""

import math

import torch


def rank_statistic(near: torch.Tensor, fresh: torch.Tensor) -> float:
    """Mann-Whitney z of how often one of ``near`` (B,) exceeds one of ``fresh`` (M,), ties shared."""
    b, m, ordered = len(near), len(fresh), torch.sort(fresh).values
    ranks = torch.searchsorted(ordered, near) + torch.searchsorted(ordered, near, right=True)
    return (float(ranks.sum()) / 2 - b * m / 2) / math.sqrt(b * m * (b + m + 1) / 12)


def distinct(points: torch.Tensor) -> torch.Tensor:
    """Indices of the rows that repeat no earlier row, ascending."""
    _, group = torch.unique(points, dim=0, return_inverse=True)
    rows = torch.arange(len(points), device=points.device)
    first = torch.full_like(rows, len(points)).scatter_reduce(0, group, rows, "amin")
    return rows[first[group] == rows]


def share_statistic(ours: torch.Tensor, null: torch.Tensor) -> float:
    """Fisher's exact test, one-sided, of the shares of True in ``ours`` (B,) and ``null`` (M,): the z of its p."""
    b, m, total = len(ours), len(null), int(ours.sum() + null.sum())
    j = torch.arange(int(ours.sum()), min(total, b) + 1, dtype=torch.float64)

    def log_choose(n, k):
        return math.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)

    log_p = log_choose(b, j) + log_choose(m, total - j) - log_choose(b + m, j.new_tensor(total))
    return float(torch.special.ndtri(log_p.exp().sum().clamp(max=1)))


def in_words(finding: str, p: float, share: float, chance: float, left_out: bool) -> str:
    """The verdict: what was found, its p, and the shares of copies, ``chance`` being the null's."""
    null = "training examples beside the others" if left_out else "held-out draws"
    copies = f"{share:.0%} of the samples are more than three times nearer to one training example than to any other"
    copies += f" ({null}: {chance:.0%})"
    words = {
        "none": f"No sign of copying: the samples are not detectably nearer to the training set than {null} are",
        "attraction": f"Nearer to the training set than {null} are, but it is not shown that most are copies: {copies}",
        "copies": f"Copies: {copies}",
    }[finding]
    weak = ", beside a null that is weaker than held-out draws, for there are none" if left_out else ""
    return f"{words}; p {f'= {p:.2g}' if p > 1e-300 else '< 1e-300'}{weak}."
