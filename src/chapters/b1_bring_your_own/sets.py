"""Three sets of models unlike the book's, each with an operator, a noise level, and truths that no set holds.

Layered: logarithms of velocity of layered families, seen by a post-stack wavelet (linear). Section: windows of seismic
sections that were written as SEG-Y and read back, of which half the traces are missing (linear). Basin: depths of
sedimentary basins, seen by gravity (nonlinear), an operator in numpy with its own Jacobian.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from chapters.b1_bring_your_own.segy import write_segy
from memprior.diagnose import numpy_operator, windows
from memprior.geology import sections, velocity_models
from memprior.operators import ForwardOperator
from memprior.waves.segy import read_traces

SETS = ("layered", "section", "basin")
SIZE = 12, 6  # of a layered model, depth first
FAMILY, OTHER_FAMILY = "curve_vel_a", "curve_vel_b"
WINDOW = 6, 12  # traces and samples
RECORDED_TRACES = [0, 2, 4]  # traces that were recorded
SECTIONS = 12  # that the models are cut from, about
NOISE_OF = {"layered": 0.3, "section": 0.3, "basin": 0.03}  # of the data's root mean square
STATIONS = 16


@dataclass(frozen=True, eq=False)
class OwnSet:
    """models: (N, ...). fresh, foreign: (M, ...), of the same generator and of another one. groups: (N + M,),
    models and fresh ones that share a group belong together. forward, noise_std: how data are made.
    """

    name: str
    models: torch.Tensor
    fresh: torch.Tensor
    foreign: torch.Tensor
    groups: torch.Tensor
    forward: ForwardOperator
    noise_std: float


class PostStack:
    """y = 1/2 W D x of every column of log impedance x (B, H, W): vertical differences, convolved with a Ricker."""

    def __init__(self, height: int, peak: float = 0.2):
        t = np.pi * peak * np.arange(-(height - 1), height)
        wavelet = torch.from_numpy((1 - 2 * t**2) * np.exp(-(t**2)))
        shift = torch.arange(height)[:, None] - torch.arange(height - 1) + height - 1
        self.matrix = 0.5 * wavelet[shift] @ (torch.eye(height).double()[1:] - torch.eye(height).double()[:-1])

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return (self.matrix.to(x) @ x).flatten(1)


def kept_traces(x: torch.Tensor) -> torch.Tensor:
    """Every second trace of windows (B, 6, 12)."""
    return x[:, RECORDED_TRACES].flatten(1)


def gravity(depths_km: np.ndarray) -> np.ndarray:
    """mGal at 16 stations over a basin of depths h_j (n,) below columns: vertical sheets from 10 m down.

    g_i = G rho w sum_j log((d_ij^2 + h_j^2) / (d_ij^2 + .01^2)), 400 kg / m^3 lighter than the rock around.
    """
    apart, scale = _geometry(len(depths_km))
    return -scale * np.log((apart**2 + depths_km**2) / (apart**2 + 1e-4)).sum(1)


def gravity_rows(depths_km: np.ndarray) -> np.ndarray:
    """The derivative of :func:`gravity`, (16, n)."""
    apart, scale = _geometry(len(depths_km))
    return -scale * 2 * depths_km / (apart**2 + depths_km**2)


def _geometry(columns: int) -> tuple[np.ndarray, float]:
    """Distances (16, n) in km of stations and columns along 20 km, and G rho w in mGal."""
    x = (np.arange(columns) + 0.5) * 20 / columns
    return np.linspace(0.3, 19.7, STATIONS)[:, None] - x, 6.674e-11 * 400 * 1e3 * 20 / columns * 1e5


def basins(num: int, seed: int, *, columns: int = 12, steep: bool = False) -> torch.Tensor:
    """Depths (num, columns) in km of basins of one or two troughs, of any place, width, depth; ``steep``: grabens."""
    rng = np.random.default_rng([seed, int(steep)])
    x = (np.arange(columns) + 0.5) / columns
    depths = np.full((num, columns), 0.2)
    for one in depths:
        for _ in range(rng.integers(1, 3)):
            away = (x - rng.uniform(0.2, 0.8)) / rng.uniform(0.08, 0.25)
            one += rng.uniform(0.5, 2.5) * (np.abs(away) < 1 if steep else np.exp(-(away**2)))
    return torch.from_numpy(depths)


def through_segy(section: torch.Tensor) -> torch.Tensor:
    """A section (samples, traces) written as a line and as a gather, and read back, (traces, samples), float64."""
    traces, along = section.T.contiguous(), 25.0 * np.arange(section.shape[1])
    with TemporaryDirectory() as folder:
        line, gather = Path(folder, "line.sgy"), Path(folder, "gather.sgy")
        write_segy(line, traces, 4000, cdp_m=along)
        write_segy(gather, traces, 4000, source_m=0.0, group_m=100 + along)
        read, as_gather = read_traces(line), read_traces(gather)
    if not torch.equal(read.traces, as_gather.traces):
        raise ValueError("through_segy: expected the same traces of both layouts, got others")
    return read.traces.double()


def section_windows(num: int, of_each: int, seed: int, facies: str = "clinoform") -> tuple[torch.Tensor, torch.Tensor]:
    """Windows (num, 6, 12) of sections that came through SEG-Y, and the number of the section of each, (num,)."""
    count = -(-num // of_each)
    drawn, parts = sections(facies, count, seed=seed).seismic, []
    for number, section in enumerate(drawn):
        cut = windows(through_segy(section), WINDOW)
        order = torch.randperm(len(cut), generator=torch.Generator().manual_seed(1000 * seed + number))
        parts.append(cut[order[:of_each]])
    return torch.cat(parts)[:num], (torch.arange(count * of_each) // of_each)[:num]


def own_set(name: str, num: int, num_fresh: int, seed: int, device: torch.device | None = None) -> OwnSet:
    """One of ``SETS``."""
    total, groups = num + num_fresh, torch.arange(num + num_fresh)
    if name == "layered":

        def drawn(family: str, count: int, draw: int) -> torch.Tensor:
            return (velocity_models(family, count, seed=draw, size=SIZE).double() / 1000).log()

        models, foreign = drawn(FAMILY, total, seed), drawn(OTHER_FAMILY, num_fresh, seed + 1)
        forward: ForwardOperator = PostStack(SIZE[0])
    elif name == "section":
        of_each = max(1, num // SECTIONS)
        models, groups = section_windows(total, of_each, seed)
        foreign, _ = section_windows(num_fresh, of_each, seed + 1, "chaotic")
        forward = kept_traces
    else:
        models, foreign = basins(total, seed), basins(num_fresh, seed, steep=True)
        forward = numpy_operator(gravity, gravity_rows)
    models, foreign = models.to(device), foreign.to(device)
    size = float(forward(models[:num]).square().mean().sqrt())
    fresh = models[num:]
    return OwnSet(name, models[:num], fresh, foreign, groups, forward, NOISE_OF[name] * size)
