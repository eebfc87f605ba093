"""An encoder-decoder from shot records to velocity models: convolutions on the way down and on the way up.

Time is halved until it is at most twice the receivers, then both are, three times; the decoder starts from the model
halved three times and interpolates. Along the way a place keeps its meaning, time for depth and receiver for x, so no
layer is dense.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils import skip_init

from memprior._check import expect, expect_like, expect_tensor, expect_whole, positive_number
from memprior._random import float64_on

_GROUPS = 4  # of channels that are normalized together, at least two: one channel of one pixel has no variance
_HALVINGS = 3  # of both axes


class EncoderDecoder(nn.Module):
    """Velocity models (B, H, W) of shot records (B, sources, time, receivers): group normalization, SiLU.

    The velocity is ``slowest`` + (``fastest`` - ``slowest``) sigmoid(f): bounded, not standardized, so that whatever
    the network puts out is a model that a simulator takes, in the unit of the two bounds. It starts near their middle.
    Bounds at some distance from the velocities of the training models leave them off the flat ends. Give records of
    about unit size, in training and afterwards: another gain gives other outputs.

    Args:
        record_shape: (sources, time, receivers).
        model_shape: (H, W): depth, x.
        width: channels of the first stage, a multiple of 4, at least 8; the innermost stage has four times as many.
        slowest: least velocity, > 0.
        fastest: largest velocity, > slowest.
        generator: draws the weights, torch's default initialization of convolutions.
        dtype: of the weights.
        device: by default the generator's.

    Raises:
        ValueError: sizes < 1, another width, velocities in the wrong order; when called, records of another shape,
            dtype or device.
        TypeError: records that are no tensor, no generator.

    Example:
        >>> import torch
        >>> from memprior.encoder_decoder import EncoderDecoder
        >>> generator = torch.Generator().manual_seed(0)
        >>> network = EncoderDecoder((3, 125, 35), (35, 35), 8, slowest=1.0, fastest=5.0, generator=generator)
        >>> network(torch.zeros(2, 3, 125, 35)).shape
        torch.Size([2, 35, 35])
    """

    def __init__(
        self,
        record_shape: tuple[int, int, int],
        model_shape: tuple[int, int],
        width: int = 32,
        *,
        slowest: float,
        fastest: float,
        generator: torch.Generator,
        dtype=torch.float32,
        device=None,
    ):
        super().__init__()
        self.record_shape = _sizes("record_shape", record_shape, "sources", "time", "receivers")
        self.model_shape = _sizes("model_shape", model_shape, "H", "W")
        expect_whole("width", width, 1)
        fits = width % _GROUPS == 0 and width >= 2 * _GROUPS
        expect(fits, "width", f"a multiple of {_GROUPS}, >= {2 * _GROUPS}", width)
        self.slowest, self.fastest = positive_number("slowest", slowest), positive_number("fastest", fastest)
        expect(self.slowest < self.fastest, "slowest, fastest", "slowest < fastest", (self.slowest, self.fastest))
        float64_on(None, generator)  # raises by name unless it is a generator
        kind = {"generator": generator, "dtype": dtype}
        sources, time, receivers = self.record_shape
        shorter = max(0, math.ceil(math.log2(time / (2 * receivers))))
        ahead = [(_stage(width, width, stride=(2, 1), **kind)) for _ in range(shorter - 1)]
        channels = [width, 2 * width, 4 * width, 4 * width]
        self.encoder = nn.Sequential(
            _stage(sources, width, stride=(2, 1) if shorter else 1, kernel=5, **kind),
            *ahead,
            *(_stage(a, b, stride=2, **kind) for a, b in pairwise(channels)),
            _stage(channels[-1], channels[-1], **kind),
        )
        outward = [4 * width, 2 * width, width, width]
        self.decoder = nn.ModuleList(_stage(a, b, **kind) for a, b in pairwise(outward))
        self.head = _conv(width, 1, **kind)
        self.to(device)

    def forward(self, records: torch.Tensor) -> torch.Tensor:
        expect_tensor("records", records, f"(B, {', '.join(map(str, self.record_shape))})")
        fits = records.ndim == 4 and tuple(records.shape[1:]) == self.record_shape
        expect(fits, "records", f"shape (B, *{self.record_shape})", tuple(records.shape))
        expect_like("records", records, next(self.parameters()))
        hidden = self.encoder(records)
        for size, stage in zip(self._sizes(), self.decoder, strict=True):
            hidden = stage(nn.functional.interpolate(hidden, size=size, mode="bilinear", align_corners=False))
        return self.slowest + (self.fastest - self.slowest) * self.head(hidden)[:, 0].sigmoid()

    def _sizes(self) -> Iterator[tuple[int, ...]]:
        """Of the decoder's stages: the model's over 4, 2 and 1, upward."""
        for power in reversed(range(_HALVINGS)):
            yield tuple(-(-size // 2**power) for size in self.model_shape)


def _sizes(name: str, sizes, *axes: str) -> tuple[int, ...]:
    expect(
        isinstance(sizes, tuple | list | torch.Size) and len(sizes) == len(axes), name, f"({', '.join(axes)})", sizes
    )
    for axis, size in zip(axes, sizes, strict=True):
        expect_whole(f"{name}, {axis}", size, 1)
    return tuple(map(int, sizes))


def _stage(inner: int, outer: int, *, stride=1, kernel: int = 3, **kind) -> nn.Sequential:
    norm = nn.GroupNorm(_GROUPS, outer, dtype=kind["dtype"], device=kind["generator"].device)
    return nn.Sequential(_conv(inner, outer, stride=stride, kernel=kernel, **kind), norm, nn.SiLU())


def _conv(inner: int, outer: int, *, generator: torch.Generator, dtype, stride=1, kernel: int = 3) -> nn.Conv2d:
    """torch's default initialization of a convolution, from ``generator``."""
    where = {"dtype": dtype, "device": generator.device}
    layer = skip_init(nn.Conv2d, inner, outer, kernel, stride=stride, padding=kernel // 2, **where)
    bound = 1 / math.sqrt(inner * kernel**2)
    for weights in layer.parameters():
        nn.init.uniform_(weights, -bound, bound, generator=generator)
    return layer
