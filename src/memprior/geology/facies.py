"""Seismic sections from relative geologic time: one unit of a facies between parallel layers.

Relative geologic time T(x, t) rises downward, from younger to older, t two-way time; a reflector is a line of equal T.
Log-impedance is a step function L(T): the reflectivity at a sample is half the difference of L to the sample above,
taken on samples four times as fine, and the section is that, convolved with a Ricker wavelet, on every fourth.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.signal import fftconvolve

from memprior._check import expect, expect_whole

SECTION_FACIES = ("parallel", "clinoform", "chaotic", "channel", "transparent")  # new ones come last
SECTION_DT_S = 0.004

_FINE = 4  # samples in one, on which reflectors are placed
_STREAMS = 2**32  # as in geology.families
_NUMBER = 2000  # of the streams of the first facies
_STEP = 3.0  # of T in L, samples: thinnest layer before a unit squeezes it


@dataclass(frozen=True, eq=False)
class Sections:
    """seismic: (num, H, W), float32, time first, of unit mean square in each. geologic_time: (num, H, W), float32, in
    samples, ascending downward but in chaotic units, NaN in water. unit: (num, H, W), bool, where the facies is. dt_s:
    the sampling interval.
    """

    seismic: torch.Tensor
    geologic_time: torch.Tensor
    unit: torch.Tensor
    dt_s: float = SECTION_DT_S


def sections(
    facies: str, num: int, *, seed: int, first: int = 0, size: tuple[int, int] = (128, 128), water: bool = False
) -> Sections:
    """Sections ``first`` to ``first + num - 1`` of a facies, without noise.

    A unit of a third to a half of the section's height lies between two gentle horizons. In it layers are

    - parallel to them;
    - clinoform: sigmoids that prograde to one side, between a top and a base that they approach;
    - chaotic: folded and broken at random, as in a slide;
    - channel: cut away by a channel, whose fill is flat and onlaps its flanks;
    - transparent: of a twentieth of the contrast.

    Args:
        facies: one of ``SECTION_FACIES``.
        num: >= 1.
        seed: from 0 to 2^32 - 1. Sets of one seed are nested; sections of different seeds are independent.
        first: number of the first section.
        size: (H, W), samples of 4 ms and traces, each >= 32.
        water: whether a column of water, without reflections, lies on top.

    Raises:
        ValueError: an argument outside these bounds; names it.

    Example:
        >>> from memprior.geology import sections
        >>> drawn = sections("clinoform", 2, seed=0)
        >>> drawn.seismic.shape, round(float(drawn.seismic.square().mean()), 4)
        (torch.Size([2, 128, 128]), 1.0)
    """
    expect(facies in SECTION_FACIES, "facies", f"one of {', '.join(SECTION_FACIES)}", repr(facies))
    expect_whole("num", num, 1)
    for what, value in (("seed", seed), ("first", first)):
        expect_whole(what, value, 0)
        expect(value < _STREAMS, what, "an integer below 2^32", value)
    expect(first + num <= _STREAMS, "first, num", "numbers of sections below 2^32", (first, num))
    expect(isinstance(size, tuple | list) and len(size) == 2, "size", "(H, W): samples and traces", repr(size))
    for cells in size:
        expect_whole("size", cells, 32)
    number = _NUMBER + SECTION_FACIES.index(facies)
    streams = (np.random.default_rng([seed, number, index]) for index in range(first, first + num))
    drawn = [_section(facies, (size[0], size[1]), water, rng) for rng in streams]
    seismic, geologic_time, unit = (torch.from_numpy(np.stack(parts)) for parts in zip(*drawn, strict=True))
    return Sections(seismic, geologic_time, unit)


def _section(facies: str, size: tuple[int, int], water: bool, rng: np.random.Generator):
    """Seismic, geologic time and unit of one section."""
    height, width = size
    t, x = np.arange(height * _FINE)[:, None] / _FINE, np.arange(width) / width
    fold = _horizon(rng, x, 0.06 * height)
    begun = height * rng.uniform(0.25, 0.4)  # age of the top
    top = begun + fold
    base = top + height * rng.uniform(0.33, 0.5) * (1 + _horizon(rng, x, 0.1))
    inside = (t >= top) & (t < base)
    share = np.clip((t - top) / (base - top), 0, 1)
    age = t - fold  # of layers that are parallel
    own, contrast = None, np.ones_like(age)  # own: age in a unit since its top
    if facies == "clinoform":
        # A sigmoid t = top + (base - top) / (1 + exp(-(x - x_0) / w)) is the place of age -x_0, younger basinward.
        toward, w = (1 if rng.uniform() < 0.5 else -1), rng.uniform(0.05, 0.12)
        logit = np.log(np.clip(share, 0.02, 0.98) / (1 - np.clip(share, 0.02, 0.98)))
        own = rng.uniform(80, 160) * (w * logit - toward * x)
    elif facies == "chaotic":
        rough = rng.standard_normal(age.shape)
        smooth = gaussian_filter1d(gaussian_filter1d(rough, rng.uniform(3, 6) * _FINE, 0), rng.uniform(4, 9), 1)
        age = np.where(inside, age + rng.uniform(8, 16) * smooth / smooth.std(), age)
    elif facies == "channel":
        middle, half = rng.uniform(0.35, 0.65), rng.uniform(0.15, 0.3)
        flank = 1 - ((x - middle) / half) ** 2
        deepest = rng.uniform(0.7, 0.95)
        inside &= share < deepest * flank
        own = np.broadcast_to(t, age.shape)
    elif facies == "transparent":
        contrast = np.where(inside, 0.05, 1.0)
    if own is not None:
        since = own - own[inside].min()
        age = np.where(inside, begun + since, np.where(t < top, age, age + since[inside].max()))
    place = np.clip(age / _STEP + height, 0, 5 * height - 1).astype(int)
    layers = _steps(rng, 5 * height)[place]
    while not np.diff(layers, axis=0).any():  # one layer all the way down reflects nothing
        layers = _steps(rng, 5 * height)[place]
    log_impedance = contrast * layers
    if water:
        seabed = height * rng.uniform(0.08, 0.2) + _horizon(rng, x, 0.02 * height)
        wet = t < seabed
        log_impedance, age, inside = np.where(wet, -3.0, log_impedance), np.where(wet, np.nan, age), inside & ~wet
    reflectivity = np.diff(log_impedance, axis=0, prepend=log_impedance[:1]) / 2
    traces = fftconvolve(reflectivity, _ricker(rng.uniform(22, 40))[:, None], "same", axes=0)[::_FINE]
    seismic = traces / np.sqrt((traces**2).mean())
    return seismic.astype(np.float32), age[::_FINE].astype(np.float32), inside[::_FINE].copy()


def _ricker(peak_hz: float) -> np.ndarray:
    """On the fine samples, zero phase, to where it is below 1e-8 of its peak."""
    half = int(1.5 / peak_hz / SECTION_DT_S * _FINE)
    a = (np.pi * peak_hz * np.arange(-half, half + 1) * SECTION_DT_S / _FINE) ** 2
    return (1 - 2 * a) * np.exp(-a)


def _horizon(rng: np.random.Generator, x: np.ndarray, size: float) -> np.ndarray:
    """A gentle curve about zero, at most 1.5 ``size``: a slope and a wave."""
    slope, wave = rng.uniform(-1, 1, 2)
    bend = np.sin(2 * np.pi * x / rng.uniform(0.7, 2) + rng.uniform(0, 2 * np.pi))
    return size * (slope * (x - 0.5) + wave * bend)


def _steps(rng: np.random.Generator, num: int) -> np.ndarray:
    """Log-impedance of layers (num,), some of them thick: a layer goes on into the next with a chance of 1 in 2."""
    values = rng.standard_normal(num)
    begins = np.maximum.accumulate(np.where(rng.uniform(size=num) < 0.5, np.arange(num), 0))
    return values[begins]
