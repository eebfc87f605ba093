"""What the report and the tests are made of: a rank statistic, and what is looked for in the data."""

import math

import torch
from scipy import stats


def rank_statistic(near: torch.Tensor, fresh: torch.Tensor) -> float:
    """Mann-Whitney z of how often one of ``near`` (B,) exceeds one of ``fresh`` (M,), ties shared.

    From scipy's statistic, not its p-value: that underflows where many samples are copies. The deviation is that of
    distances without ties, which is never too small.
    """
    b, m = len(near), len(fresh)
    both = (x.detach().double().cpu().numpy() for x in (near, fresh))
    test = stats.mannwhitneyu(*both, method="asymptotic").statistic
    return (float(test) - b * m / 2) / math.sqrt(b * m * (b + m + 1) / 12)


def distinct(points: torch.Tensor, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the rows that repeat no earlier row, ascending, and how often each occurs.

    numbers: ``multiset_hash(points)``; only rows that share theirs are compared.
    """
    times = torch.ones(len(points), dtype=torch.int64, device=points.device)
    first = torch.arange(len(points), device=points.device)
    _, group, alike = numbers.unique(return_inverse=True, return_counts=True)
    rows = (alike[group] > 1).nonzero()[:, 0]
    if len(rows):
        _, group, alike = torch.unique(points[rows], dim=0, return_inverse=True, return_counts=True)
        times[rows] = alike[group]
        first[rows] = rows.new_full(alike.shape, len(points)).scatter_reduce(0, group, rows, "amin")[group]
    unique = (first == torch.arange(len(points), device=points.device)).nonzero()[:, 0]
    return unique, times[unique]


def multiset_hash(points: torch.Tensor) -> torch.Tensor:
    """A number (n,) that is the same for rows (n, d) of the same numbers in any order, and else hardly ever."""
    whole = torch.int64 if points.dtype == torch.float64 else torch.int32

    def of_block(x: torch.Tensor) -> torch.Tensor:
        bits = (x + 0.0).view(whole).to(torch.int64)  # -0.0 is 0.0
        for factor, shift in ((-7046029254386353131, 32), (-4658895280553007687, 29)):  # odd: no bit is lost
            bits = (bits ^ (bits >> shift)) * factor
        return (bits ^ (bits >> 32)).sum(1)

    return torch.cat([of_block(part) for part in points.split(max(1, 2**18 // points.shape[1]))])


def few_values(distances: torch.Tensor, examples: torch.Tensor) -> bool:
    """Do the data lie on a lattice so coarse that points coincide by chance, as rounded, whole and sparse ones do?

    Then nearest distances (n,) take the same few values: of 5 % of the points, those of more than four others; beyond
    mutual neighbors and their mirror images continuous data have no such ties. So do the gaps between the sorted
    values of a coordinate of the examples (K, d), which the symmetries of an augmented training set do not make.
    """

    def ties(values: torch.Tensor, digits: float, least: int) -> float:
        """Share of ``values`` (n,) that occur ``least`` times, up to a relative rounding."""
        _, group, times = (digits * values.double().log()).round().unique(return_inverse=True, return_counts=True)
        return (times[group] >= least).double().mean().item()

    if ties(distances, 1e6, 5) <= 0.05:
        return False
    gaps = [ties(column.sort().values.diff(), 1e3, 3) for column in examples.T]
    return sum(gaps) / len(gaps) > 0.5


def grouped(distances: torch.Tensor, gap: float) -> bool:
    """Do most of the points, beyond sampling error, have one to nine neighbors much nearer than the next?

    ``distances`` (n, k) ascending; much: d_j / d_j+1 < ``gap``. At 1/3 chance makes 44 % of them on a line, 12 % in the
    plane.
    """
    near = distances[:, :10]
    share = (near[:, :-1] < gap * near[:, 1:]).any(1).double().mean().item()
    return share - 1.645 * math.sqrt(share * (1 - share) / len(near)) > 0.5
