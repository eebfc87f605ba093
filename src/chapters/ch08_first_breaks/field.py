"""Chapter 8's real shots: 14 of two refraction surveys, with picks by people (Guedes, Maciel and Rocha 2022).

They are tried on, never trained on. The networks' grid has 4 ms and 20 m; a shallow survey has the same first breaks a
few times as fast. So records are resampled to 1 ms, which puts first breaks of 4 to 100 ms on samples 4 to 100 of 128,
and networks are given samples, not seconds. Nothing else is changed: traces as stored, polarity as it is, each over its
largest size within the network.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from chapters.ch08_first_breaks.pickers import onset_posterior
from companion import datasets
from memprior._check import expect
from memprior.picking import Aic, StaLta, read_sgt
from memprior.waves import read_seg2

GRID_S = 0.001
GRID_SAMPLES = 128  # on the networks' grid
LISTEN_S = 0.2  # what untuned pickers are given: the beginning of each record, at its own interval
WITHIN_MS = 2.0
WINDOWS_S = 0.003, 0.020  # of untuned STA/LTA

FieldErrors = dict[str, dict[str, list[float]]]  # site -> picker -> pick less that by people, ms


@dataclass(frozen=True, eq=False)
class FieldShot:
    """One record of a site.

    traces: (num, nt), float32, sample n at n dt_s after the shot. gridded: (num, GRID_SAMPLES), float32, on 1 ms.
    picks_ms: (num,), float64, by people, NaN where there is none. source_m: x; receivers_m: (num,), x.
    """

    site: str
    name: str
    traces: torch.Tensor
    dt_s: float
    gridded: torch.Tensor
    picks_ms: torch.Tensor
    source_m: float
    receivers_m: torch.Tensor


def field_folder() -> Path | None:
    """Where the records lie; None where they are not installed."""
    return datasets.folder("first-breaks")


def read_field(folder: Path) -> tuple[FieldShot, ...]:
    """All shots below ``folder``, site by site: SEG-2 records in ``data`` beside ``picks``.

    ``ValueError`` where there are no picks, or a site's picks are not all matched to a trace; ``FileNotFoundError``
    where there is no folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: expected a folder of shots and picks, got none")
    files = sorted(folder.rglob("*.sgt"))
    expect(files, str(folder), "picks, *.sgt", "none")
    return tuple(shot for file in files for shot in _site(file))


def _site(file: Path) -> list[FieldShot]:
    """Of one file of picks."""
    site, picks, shots = file.parent.parent, read_sgt(file), []
    for record in sorted(site.glob("data/*.dat")):
        gather = read_seg2(record)
        expect(gather.t0_s == 0, str(record), "a record that begins at the shot", f"a delay of {gather.t0_s} s")
        source, receivers = gather.sources_km[:, 0], gather.receivers_km[:, 0]
        of_traces = 1000 * picks.of_traces(source, receivers)
        gridded, where = on_grid(gather.traces, gather.dt_s), (float(source[0]) * 1000, receivers * 1000)
        shots.append(FieldShot(site.name, record.stem, gather.traces, gather.dt_s, gridded, of_traces, *where))
    matched = sum(int(shot.picks_ms.isfinite().sum()) for shot in shots)
    expect(matched == len(picks.times_s), str(file), f"{len(picks.times_s)} picks of recorded traces", matched)
    return shots


def on_grid(traces: torch.Tensor, dt_s: float) -> torch.Tensor:
    """Traces (num, nt) of interval ``dt_s`` as (num, GRID_SAMPLES) of 1 ms, sample 0 where it was.

    Each is the mean of 1 ms around it: null at the new sampling frequency, and an onset is blurred by half a sample. A
    sharp linear-phase filter rings before the onset, by which the AIC picks 2 to 3 ms early. ``ValueError`` unless the
    intervals are whole multiples.
    """
    every = round(GRID_S / dt_s)
    fits = every >= 1 and abs(every * dt_s - GRID_S) < 1e-6 * GRID_S
    expect(fits, "dt_s", f"{GRID_S} s over a whole number", dt_s)
    enough = traces.shape[-1] >= every * GRID_SAMPLES
    expect(enough, "traces", f"{GRID_SAMPLES} ms of record", f"{1000 * dt_s * traces.shape[-1]:g} ms")
    half = every // 2
    weights = torch.ones(2 * half + 1, dtype=torch.float64)
    if every % 2 == 0:
        weights[[0, -1]] = 0.5  # as far to either side
    padded = torch.nn.functional.pad(traces.double(), (half, half))
    means = torch.nn.functional.conv1d(padded[:, None], weights[None, None] / every, stride=every)
    return means[:, 0, :GRID_SAMPLES].float()


# ---- picks, in ms --------------------------------------------------------------------------------------------------


def untuned_picks(method: str, shot: FieldShot) -> torch.Tensor:
    """Of "AIC" or "STA/LTA" (3 and 20 ms), on the beginning of the record at its own interval, (num,), ms."""
    short, long = (round(window / shot.dt_s) for window in WINDOWS_S)
    picker = {"AIC": Aic(), "STA/LTA": StaLta(short, long)}[method]
    return 1000 * shot.dt_s * picker(shot.traces[:, : round(LISTEN_S / shot.dt_s)])


def gridded_picks(picker: Callable[[torch.Tensor], torch.Tensor], shot: FieldShot) -> torch.Tensor:
    """Of a picker whose parameters are samples of the networks' grid, (num,), ms."""
    return 1000 * GRID_S * picker(shot.gridded)


def network_picks(network: nn.Module, shot: FieldShot) -> torch.Tensor:
    """Medians of what a network says, (num,), ms; it takes multiples of 8 traces."""
    gridded = shot.gridded[None].to(next(network.parameters()).device)
    return 1000 * GRID_S * onset_posterior(network, gridded).median.to(shot.gridded.device)


# ---- how good they are ---------------------------------------------------------------------------------------------


def field_errors(shots: list[FieldShot], picks: list[torch.Tensor]) -> torch.Tensor:
    """Pick less that by people, ms, of all traces that people picked, (n,).

    A trace without a pick has an infinite error: it is no hit.
    """
    errors = []
    for shot, found in zip(shots, picks, strict=True):
        apart = (found.double() - shot.picks_ms)[shot.picks_ms.isfinite()]
        errors.append(torch.where(apart.isfinite(), apart, torch.inf))
    return torch.cat(errors)


def within_share(errors: torch.Tensor) -> float:
    """Share of errors of at most :data:`WITHIN_MS`."""
    return float((errors.abs() <= WITHIN_MS).double().mean())


def sites(shots) -> dict[str, list[FieldShot]]:
    """Site -> its shots."""
    found: dict[str, list[FieldShot]] = {}
    for shot in shots:
        found.setdefault(shot.site, []).append(shot)
    return found


def reciprocal_differences(shots) -> torch.Tensor:
    """How far picks of exchanged source and receiver lie apart, ms, (pairs,).

    Of two shots of one site the first one's picks are read at the second one's source, linear between its receivers on
    either side, and the other way round. Of two independent picks the difference is 1.4 times the error of one, and the
    interpolation adds to it; what all picks have in common does not show. Pairs whose sources are not both between
    receivers of the other are left out.
    """
    found = []
    for of in sites(shots).values():
        for k, one in enumerate(of):
            for two in of[:k]:
                there, back = _time_at(one, two.source_m), _time_at(two, one.source_m)
                if there is not None and back is not None:
                    found.append(abs(there - back))
    return torch.tensor(found, dtype=torch.float64)


def _time_at(shot: FieldShot, place_m: float) -> float | None:
    """Pick in ms at x, between the two nearest receivers that have one; None outside of them."""
    has = shot.picks_ms.isfinite()
    x, order = shot.receivers_m[has].sort()
    t = shot.picks_ms[has][order]
    after = int(torch.searchsorted(x, place_m))
    if after == 0 or after == len(x):
        return None
    share = (place_m - float(x[after - 1])) / float(x[after] - x[after - 1])
    return float(t[after - 1]) + share * float(t[after] - t[after - 1])
