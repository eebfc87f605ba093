"""Chapter 8's matched problem: one arrival of known wavelet in Gaussian noise of known covariance, a trace alone.

The ideal picker is exact there. Of single-trace pickers none can do better in the mean than its posterior's mean, in
RMSE, its median, in MAE, and the middle of its best window, in hit rate.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from companion.jobs import part_name
from companion.store import Store
from memprior._random import generator_for
from memprior.adapters import FineTuningPlan, fine_tune
from memprior.geology.gathers import DT_S, berlage
from memprior.intervals import Share
from memprior.picking import AIC_GRID, STA_LTA_GRID, IdealPicker, OnsetPosterior, tune
from memprior.trace_networks import OnsetUNet, onset_steps

TRACE_SAMPLES = 128
WAVELET_HZ, CORNER_HZ, LOWEST_HZ = 30.0, 30.0, 3.0  # of the wavelet; of the noise
AMPLITUDE, SPREAD = 1.0, 0.3
WINDOW = 8.0, 112.0
LEVEL = 0.9
HITS = 1, 3, 5, 7, 9
COPIES = 8  # a network of gathers sees one trace so many times: the height that it needs
FINAL = 1 / 20
SCORES = ("square", "size", *(f"hit {k}" for k in HITS))  # losses of a pick: what one score each is the mean of
OTHERS = "AIC, tuned", "STA/LTA, tuned", "one-trace network"


@dataclass(frozen=True)
class Matched:
    """``num_traces`` test traces, pickers tuned and trained on ``num_training`` others of the same distribution."""

    seed: int
    width: int
    num_training: int
    num_traces: int
    num_steps: int
    batch_size: int
    rate: float
    noise: float

    @property
    def name(self) -> str:
        return part_name(f"matched {self.seed}", self)


@dataclass(frozen=True, eq=False)
class MatchedScores:
    """Of T test traces, in samples.

    onsets: (T,). low, high: of the ideal picker's central 90 % interval, (T,). picks: picker -> score -> picks (T,):
    the ideal one's and the network's those that are best by what they believe; a classical picker has one for all.
    """

    onsets: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    picks: dict[str, dict[str, torch.Tensor]]

    def losses(self, picker: str, score: str) -> torch.Tensor:
        """Of each trace, (T,), smaller is better: squared error, its size, or 1 for a miss."""
        error = (self.picks[picker][score] - self.onsets).abs()
        if score == "square":
            return error.square()
        return error if score == "size" else (error > float(score.removeprefix("hit "))).double()

    @property
    def coverage(self) -> Share:
        """Of the ideal picker's intervals."""
        return Share.of_flags((self.low <= self.onsets) & (self.onsets <= self.high))

    def excess(self, picker: str, score: str) -> tuple[float, float]:
        """Mean paired loss over the ideal picker's, and its standard error: >= 0 but for chance, if that is ideal."""
        apart = self.losses(picker, score) - self.losses("ideal", score)
        return float(apart.mean()), float(apart.std() / len(apart) ** 0.5)

    def bias(self) -> tuple[float, float]:
        """Mean error of the ideal picker's mean, and its standard error."""
        error = self.picks["ideal"]["square"] - self.onsets
        return float(error.mean()), float(error.std() / len(error) ** 0.5)


@cache
def ideal_picker(noise: float) -> IdealPicker:
    """For noise of standard deviation ``noise`` and the spectrum of the gathers', in double precision."""
    f = torch.fft.fftfreq(4 * TRACE_SAMPLES, DT_S, dtype=torch.float64)
    power = (f.abs() > LOWEST_HZ) / (1 + (f / CORNER_HZ) ** 4)
    row = torch.fft.ifft(power / power.mean()).real[:TRACE_SAMPLES]
    n = torch.arange(TRACE_SAMPLES)
    covariance = noise**2 * row[(n[:, None] - n).abs()]
    options = {"dt_s": DT_S, "amplitude": AMPLITUDE, "spread": SPREAD, "window": WINDOW}
    return IdealPicker(lambda t: berlage(t, WAVELET_HZ), covariance, **options)


def matched(run: Matched, store: Store, arguments: dict) -> MatchedScores:
    """Ideal, classical and learned picks of the same traces."""

    def compute(folder: Path) -> dict[str, torch.Tensor]:
        ideal = ideal_picker(run.noise)
        training = ideal.draw(run.num_training, generator=generator_for(f"matched training {run.seed}"))
        traces, onsets = ideal.draw(run.num_traces, generator=generator_for(f"matched {run.seed}"))
        posterior = ideal.posterior(traces)
        low, high = posterior.interval(LEVEL)
        found = {"onsets": onsets, "low": low, "high": high} | by_score("ideal", posterior)
        for name, grid in zip(OTHERS, (AIC_GRID, STA_LTA_GRID), strict=False):
            picks = tune(grid, *training).picker(traces)
            found[name] = picks
        return found | by_score(OTHERS[-1], _network(run, *training, traces, folder))

    stored = store.tensors(run.name, arguments, compute)
    picks = {
        name: {score: stored.get(name, stored.get(f"{name}.{score}")) for score in SCORES}
        for name in ("ideal", *OTHERS)
    }
    return MatchedScores(stored["onsets"], stored["low"], stored["high"], picks)


def by_score(name: str, posterior: OnsetPosterior) -> dict[str, torch.Tensor]:
    """The best pick for each score."""
    windows = {f"{name}.hit {k}": posterior.best_window(k)[0] for k in HITS}
    return {f"{name}.square": posterior.mean, f"{name}.size": posterior.median} | windows


def _network(run: Matched, training, onsets, traces, folder: Path) -> OnsetPosterior:
    """Of ``traces``, by a network that sees copies of one trace beside each other."""
    network = OnsetUNet(run.width, generator=generator_for(f"matched network {run.seed}"))

    def copies(some: torch.Tensor) -> torch.Tensor:
        return some.float()[:, None].expand(-1, COPIES, -1).contiguous()

    plan = FineTuningPlan(run.num_steps, run.batch_size, run.rate, FINAL * run.rate)
    targets = copies(onset_steps(onsets, TRACE_SAMPLES))
    options = {"checkpoint": folder / "run.safetensors", "save_every": 100}
    for _ in fine_tune(network, copies(training), targets, plan, generator=generator_for("matched batches"), **options):
        pass
    with torch.no_grad():
        below = torch.cat([network(copies(some)).double().mean(1) for some in traces.split(100)])
    return OnsetPosterior.of_distribution(below / below[:, -1:])
