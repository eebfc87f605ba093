"""Shot gathers with known first breaks: 64 traces, 20 m apart, of 128 samples of 4 ms.

What arrives at a trace is a sum of causal pulses: it is zero up to the first break, which is so no matter of
convention. A survey is 4 gathers, 4 i to 4 i + 3, that share their near surface, statics and polarity: sets are split
between surveys.
"""

from dataclasses import dataclass

import numpy as np
import torch

from memprior._check import expect, expect_positive, expect_whole
from memprior.geology.layered import LayerShape
from memprior.geology.near_surface import CELL_M, NearSurface

SHOT_FAMILIES = ("base", "shifted")  # the place of a name is its number in the streams: new families come last
SHOTS = 4  # of a survey
DT_S = 0.004

_TRACES, _SAMPLES, _SPACING_M = 64, 128, 20.0
_RECEIVERS_M = np.arange(_TRACES) * _SPACING_M
_DEPTHS_M = 40.0, 200.0  # of a refractor
_LATEST_S = 0.46  # first break of a trace, of .508 that are recorded
_STREAMS = 2**32  # as in geology.families
_UNLABELED = 2**31  # number of the first gather that nobody labels
_NUMBERS = {"survey": 1000, "gather": 1001}  # of the streams of family 0; a family takes two, and no velocity family


@dataclass(frozen=True, eq=False)
class ShotGathers:
    """traces: (num, 64, 128), float32; the first break of a gather is of size 1 at the median trace.

    onsets: (num, 64), float64, first breaks in samples after sample 0. live: (num, 64), bool, False for dead traces,
    which are zero; their onsets are those that they would have. offsets_m: (num, 64), float64, receiver less source.
    surveys: (num,), int64, numbers of the surveys that the gathers belong to. dt_s: the sampling interval.
    """

    traces: torch.Tensor
    onsets: torch.Tensor
    live: torch.Tensor
    offsets_m: torch.Tensor
    surveys: torch.Tensor
    dt_s: float = DT_S


@dataclass(frozen=True, eq=False)
class ShotSurvey:
    """What the gathers of a survey share.

    near_surface: what first arrivals cross. statics_s: (64,), of the receivers, added to every arrival. polarity: of
    every first break, 1 or -1.
    """

    near_surface: NearSurface
    statics_s: np.ndarray
    polarity: int


@dataclass(frozen=True, eq=False)
class ShotGather:
    """What one gather is made of: pulses, known between samples as at them, and noise.

    source_m: place of the source on the line of receivers, which goes from 0 to 1260 m. onsets_s: (64,), first breaks.
    times_s, amplitudes: (E, 64), of the E arrivals at each trace, the first break's first; frequencies_hz: (E,).
    noise: (64, 128), to be added. live: (64,), bool.
    """

    source_m: float
    onsets_s: np.ndarray
    times_s: np.ndarray
    amplitudes: np.ndarray
    frequencies_hz: np.ndarray
    noise: np.ndarray
    live: np.ndarray

    def signal(self, time_s: np.ndarray) -> np.ndarray:
        """Without noise, at times (nt,): (64, nt)."""
        late = torch.from_numpy(np.asarray(time_s) - self.times_s[..., None])
        pulses = [berlage(t, f).numpy() for t, f in zip(late, self.frequencies_hz.tolist(), strict=True)]
        return (self.amplitudes[..., None] * np.stack(pulses)).sum(0)

    def traces(self) -> np.ndarray:
        """What was recorded, (64, 128)."""
        return np.where(self.live[:, None], self.signal(np.arange(_SAMPLES) * DT_S) + self.noise, 0.0)


def berlage(time_s: torch.Tensor, frequency_hz: float) -> torch.Tensor:
    r"""A causal pulse, Berlage's (Aldridge 1990, n = 1, phase -90 degrees), of the shape of ``time_s``.

    .. math:: w(t) = \alpha t \, e^{1 - \alpha t} \sin(2 \pi f t), \quad t > 0, \qquad \alpha = \pi f

    It begins at t = 0, with t^2, and is zero before; its envelope has the greatest value 1, at 1 / (pi f).

    Raises ``ValueError`` unless the frequency is > 0.

    Example:
        >>> import torch
        >>> from memprior.geology import berlage
        >>> berlage(torch.tensor([-0.01, 0.0, 0.01]), 25.0).round(decimals=4)
        tensor([0.0000, 0.0000, 0.9734])
    """
    expect_positive("frequency_hz", frequency_hz)
    turns = frequency_hz * time_s.clamp(min=0)
    return torch.pi * turns * torch.exp(1 - torch.pi * turns) * torch.sin(2 * torch.pi * turns)


def shot_gathers(family: str, num: int, *, seed: int, first: int = 0) -> ShotGathers:
    """Gathers ``first`` to ``first + num - 1`` of a family, with their first breaks.

    Near surface: 1200 to 2000 m/s, growing with depth, above a refractor of 3000 to 5500 m/s, 40 to 200 m deep. Sources
    lie on the line where every trace breaks before .46 s. Behind the first break come direct waves, reflections and
    ground roll; 2 % of the traces are dead, 4 % are 4 to 12 times as noisy. In ``base`` pulses are of 25 to 40 Hz and
    noise is colored, each trace's own; in ``shifted`` pulses are of 12 to 20 Hz and noise, of the same band, is alike
    on neighboring traces.

    Args:
        family: one of ``SHOT_FAMILIES``.
        num: >= 1.
        seed: from 0 to 2^32 - 1. Sets of one seed are nested; gathers of different seeds are independent.
        first: number of the first gather. Gather i is of survey i // 4: sets that begin and end at multiples of 4 share
            no survey.

    Raises:
        ValueError: an argument outside these bounds, numbers of 2^31 and more; names it.
        ModuleNotFoundError: eikonalfm, the extra ``geology``, is missing.

    Example:
        >>> from memprior.geology import shot_gathers
        >>> gathers = shot_gathers("base", 5, seed=0)
        >>> gathers.traces.shape, gathers.surveys.tolist()
        (torch.Size([5, 64, 128]), [0, 0, 0, 0, 1])
    """
    _expect_range(num, first, _UNLABELED)
    return _stack(family, range(first, first + num), seed)


def unlabeled_gathers(family: str, num: int, *, seed: int, first: int = 0) -> torch.Tensor:
    """Traces (num, 64, 128) of gathers that nobody has labeled, of surveys of their own.

    They are drawn as :func:`shot_gathers` does, whose arguments and errors these are; no survey of a seed is in both.

    Example:
        >>> from memprior.geology import unlabeled_gathers
        >>> unlabeled_gathers("shifted", 2, seed=0).shape
        torch.Size([2, 64, 128])
    """
    _expect_range(num, first, _UNLABELED)
    return _stack(family, range(_UNLABELED + first, _UNLABELED + first + num), seed).traces


def shot_survey(family: str, number: int, *, seed: int) -> ShotSurvey:
    """What the gathers 4 ``number`` to 4 ``number`` + 3 of a family share.

    Raises ``ValueError`` for an unknown family, or a number or seed that is not an integer from 0 to 2^32 - 1.
    """
    rng = _stream("survey", family, number, seed)
    while True:
        near_surface = _near_surface(rng)
        if near_surface.first_arrivals(_RECEIVERS_M[_TRACES // 2 - 1], _RECEIVERS_M).max() < _LATEST_S - 0.02:
            break
    # Half of the statics is smooth along the line, half each receiver's own.
    smooth = np.convolve(rng.standard_normal(_TRACES + 8), np.full(9, 1 / 3), "valid")
    statics_s = 0.003 * (smooth + rng.standard_normal(_TRACES)) / np.sqrt(2)
    return ShotSurvey(near_surface, np.clip(statics_s, -0.008, 0.008), 1 if rng.uniform() < 0.5 else -1)


def shot_gather(family: str, index: int, *, seed: int) -> ShotGather:
    """What one gather is made of.

    Args:
        family: one of ``SHOT_FAMILIES``.
        index: of the gather in the sets that :func:`shot_gathers` draws.
        seed: as there.

    Raises:
        ValueError: an unknown family, or an index or seed that is not an integer from 0 to 2^32 - 1.
        ModuleNotFoundError: eikonalfm, the extra ``geology``, is missing.

    Example:
        >>> import numpy as np
        >>> from memprior.geology import shot_gather
        >>> gather = shot_gather("base", 0, seed=0)
        >>> before = gather.signal(np.array([gather.onsets_s.min()]))
        >>> before.shape, float(np.abs(before).max())
        ((64, 1), 0.0)
    """
    rng = _stream("gather", family, index, seed)
    shared = shot_survey(family, index // SHOTS, seed=seed)
    line = shared.near_surface
    while True:
        source_m = CELL_M * rng.integers(round(_RECEIVERS_M[-1] / CELL_M) + 1)
        # The source's own static keeps every first break behind sample 1.
        statics_s = shared.statics_s + rng.uniform(0.012, 0.020)
        onsets_s = line.first_arrivals(source_m, _RECEIVERS_M) + statics_s
        if onsets_s.max() < _LATEST_S:
            break
    offsets_m = np.abs(_RECEIVERS_M - source_m)
    base = family == "base"
    frequency_hz = rng.uniform(25, 40) if base else rng.uniform(12, 20)
    times_s, amplitudes, ratios = _arrivals(line, offsets_m, onsets_s - statics_s, shared.polarity, rng)
    coupling = np.exp(0.2 * rng.standard_normal(_TRACES))
    amplitudes = amplitudes * coupling / np.median(np.abs(amplitudes[0]) * coupling)
    live, noisy = rng.uniform(size=_TRACES) >= 0.02, rng.uniform(size=_TRACES) < 0.04
    levels = np.exp(rng.uniform(np.log(0.04), np.log(0.4))) * np.where(noisy, rng.uniform(4, 12, _TRACES), 1.0)
    noise = levels[:, None] * (_noise(rng, 30.0, 0.0) if base else _noise(rng, 15.0, 2.0))
    return ShotGather(
        source_m, onsets_s, np.maximum(times_s + statics_s, onsets_s), amplitudes, frequency_hz * ratios, noise, live
    )


def _arrivals(line: NearSurface, offsets_m, breaks_s, polarity: int, rng: np.random.Generator):
    """Times (E, 64), amplitudes (E, 64) and frequencies (E,), in units of the first break's, of all arrivals."""
    far = 1 + offsets_m / 100
    decay = rng.uniform(0.5, 1.0)
    reflections = int(rng.integers(3, 7))
    zero_s, speeds = np.sort(rng.uniform(0.1, 0.5, reflections)), np.sort(rng.uniform(1800, 3500, reflections))
    signs = np.where(rng.uniform(size=reflections) < 0.5, 1.0, -1.0)
    sizes = signs * rng.uniform(0.1, 0.5, reflections)
    roll, size = rng.uniform(250, 500), rng.uniform(0.5, 2.0)
    times_s = [
        breaks_s,
        offsets_m / line.velocity,
        *np.sqrt(zero_s[:, None] ** 2 + (offsets_m / speeds[:, None]) ** 2),
        offsets_m / roll,
    ]
    amplitudes = [far**-decay, 0.7 * polarity * far**-decay, *sizes[:, None] * np.ones(_TRACES), size * far**-0.5]
    amplitudes[0] = polarity * amplitudes[0]
    ratios = np.array([1.0, 0.9, *rng.uniform(0.7, 1.1, reflections), rng.uniform(0.3, 0.5)])
    return np.maximum(np.stack(times_s), breaks_s), np.stack(amplitudes), ratios


def _near_surface(rng: np.random.Generator) -> NearSurface:
    velocity, deep = np.sort(rng.uniform(1200, 2000, 2))
    shape = LayerShape(rng.uniform(5, 40), rng.uniform(500, 2000), rng.uniform(0, 2 * np.pi))
    (high, low), (least, most) = shape.extremes(0, _RECEIVERS_M[-1]), _DEPTHS_M
    return NearSurface(
        velocity=float(velocity),
        gradient=float((deep - velocity) / most),
        refractor=rng.uniform(3000, 5500),
        depth_m=rng.uniform(least - high, most - low),
        shape=shape,
        length_m=float(_RECEIVERS_M[-1]),
    )


def _noise(rng: np.random.Generator, corner_hz: float, alike: float) -> np.ndarray:
    """Gaussian, (64, 128), of unit variance: its spectrum falls beyond the corner; correlated over so many traces.

    Twice as many traces and four times as many samples are drawn as are kept: nothing of what wraps around.
    """
    size = 2 * _TRACES, 4 * _SAMPLES
    k, f = np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1], DT_S)
    # exp(-d^2 / (2 l^2)) has the spectrum exp(-2 (pi k l)^2), whose root is the amplitude; below 3 Hz is no noise.
    amplitude = np.exp(-((np.pi * k * alike) ** 2)) * (np.abs(f) > 3) / np.sqrt(1 + (f / corner_hz) ** 4)
    white = np.fft.fft2(rng.standard_normal(size))
    return np.fft.ifft2(white * amplitude / np.sqrt((amplitude**2).mean())).real[:_TRACES, :_SAMPLES]


def _stack(family: str, numbers: range, seed: int) -> ShotGathers:
    gathers = [shot_gather(family, index, seed=seed) for index in numbers]

    def stacked(field) -> torch.Tensor:
        return torch.from_numpy(np.stack([field(gather) for gather in gathers]))

    return ShotGathers(
        stacked(ShotGather.traces).float(),
        stacked(lambda gather: gather.onsets_s / DT_S),
        stacked(lambda gather: gather.live),
        stacked(lambda gather: _RECEIVERS_M - gather.source_m),
        torch.tensor([index // SHOTS for index in numbers]),
    )


def _stream(kind: str, family: str, number: int, seed: int) -> np.random.Generator:
    expect(family in SHOT_FAMILIES, "family", f"one of {', '.join(SHOT_FAMILIES)}", repr(family))
    for what, value in (("seed", seed), (kind, number)):
        expect_whole(what, value, 0)
        expect(value < _STREAMS, what, "an integer below 2^32", value)
    return np.random.default_rng([seed, _NUMBERS[kind] + 2 * SHOT_FAMILIES.index(family), number])


def _expect_range(num, first, end: int) -> None:
    expect_whole("num", num, 1)
    expect_whole("first", first, 0)
    expect(first + num <= end, "first, num", f"numbers of gathers below {end}", (first, num))
