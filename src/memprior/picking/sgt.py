"""Picks in .sgt files, the unified data format of pyGIMLi: points, then rows of source, receiver and travel time."""

from dataclasses import dataclass
from pathlib import Path

import torch

from memprior._check import expect

_SAME_KM = 1e-5  # two places that are one


@dataclass(frozen=True, eq=False)
class SgtPicks:
    """places_km: (num, 2), float64, x of source and of receiver. times_s: (num,), float64, first breaks."""

    places_km: torch.Tensor
    times_s: torch.Tensor

    def of_traces(self, sources_km: torch.Tensor, receivers_km: torch.Tensor) -> torch.Tensor:
        """First breaks in s of traces by the x of source and receiver (num_traces,): NaN where there is none.

        A trace takes the pick whose source and receiver lie within 1 cm of its own. Raises ``ValueError`` for places of
        another shape, and where two picks are one trace's.
        """
        shape = sources_km.shape
        expect(sources_km.ndim == 1, "sources_km", "shape (num_traces,)", tuple(shape))
        expect(receivers_km.shape == shape, "receivers_km", f"shape {tuple(shape)}", tuple(receivers_km.shape))
        traces = torch.stack([sources_km, receivers_km], 1).to(self.places_km)
        same = ((traces[:, None] - self.places_km).abs() <= _SAME_KM).all(2)
        expect(bool((same.sum(1) <= 1).all()), "picks", "at most one of a trace", lambda: int(same.sum(1).max()))
        return torch.where(same.any(1), self.times_s[same.int().argmax(1)], torch.nan)


def read_sgt(path: str | Path) -> SgtPicks:
    """Picks of a file in metres and seconds.

    It holds a number of points and their rows, columns named by a comment that has x; a number of picks and their rows,
    with columns s, g, numbers of points from 1 on, and t. Rows of other columns too; comments begin with #.

    Raises ``FileNotFoundError``, or ``ValueError`` naming the file, what was expected and what came.
    """
    path = Path(path)
    name = str(path)
    if not path.is_file():
        raise FileNotFoundError(f"{name}: expected a file of picks, got no file of that name")
    lines = [line.strip() for line in path.read_text(encoding="latin-1").splitlines()]
    lines = [line for line in lines if line]
    points, rest = _table(name, "points", lines, ("x",))
    picks, rest = _table(name, "picks", rest, ("s", "g", "t"))
    expect(not rest, name, "points and picks only", f"{len(rest)} lines after them")
    number = picks[:, :2].long()
    known = bool(((number >= 1) & (number <= len(points)) & (number == picks[:, :2])).all())
    expect(known, name, f"s and g from 1 to {len(points)}", f"{picks[:, :2].min():g} to {picks[:, :2].max():g}")
    return SgtPicks(points[number - 1, 0] / 1000, picks[:, 2])


def _table(name: str, what: str, lines: list[str], columns: tuple[str, ...]) -> tuple[torch.Tensor, list[str]]:
    """The next table's ``columns`` (num, ...), and the lines after it."""
    expect(lines, name, f"a number of {what}", "the end of the file")
    first = lines[0].split("#")[0].strip()
    expect(first.isdecimal() and int(first) > 0, name, f"a number of {what} > 0", repr(lines[0]))
    named = lines[1].lstrip("#").split() if len(lines) > 1 and lines[1].startswith("#") else []
    missing = [column for column in columns if column not in named]
    expect(not missing, name, f"a comment that names the columns of {what}: {', '.join(columns)}", named or "none")
    rows, rest = lines[2 : 2 + int(first)], lines[2 + int(first) :]
    expect(len(rows) == int(first), name, f"{first} rows of {what}", len(rows))
    places = [named.index(column) for column in columns]
    try:
        values = torch.tensor([[float(row.split()[place]) for place in places] for row in rows], dtype=torch.float64)
    except (ValueError, IndexError) as error:
        raise ValueError(f"{name}: expected rows of {len(named)} numbers of {what}, got {error}") from error
    expect(bool(torch.isfinite(values).all()), name, f"finite numbers of {what}", "others")
    return values, rest
