"""Small networks of gathers and sections: a picker, autoencoders, a generator and a discriminator.

All take and give (B, H, W) of real numbers, H traces of W samples, or H samples of W traces; both multiples of 8. The
picker and the autoencoders have one encoder: three halvings of both axes, its channels 1, 2, 4 and 4 times ``width``.
What is learned without labels moves from one to the other by its ``encoder``'s ``load_state_dict``. They train by the
mean squared error, as :func:`memprior.adapters.fine_tune` takes it.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils import parametrize

from memprior._check import expect, expect_like, expect_tensor, expect_whole
from memprior._random import float64_on, uniform
from memprior.encoder_decoder import _conv, _stage
from memprior.networks import _linear

_HALVINGS = 3
_WIDTHS = 1, 2, 4, 4  # channels of the stages, of the width


class OnsetUNet(nn.Module):
    """Distribution functions (B, H, W) of the onsets of traces (B, H, W): P(onset < n + 1) at sample n.

    A U-Net (Ronneberger, Fischer and Brox 2015) whose last layer is a softmax over samples, summed: each trace has a
    distribution. Against the steps of :func:`onset_steps` its mean squared error is the continuous ranked probability
    score (Gneiting and Raftery 2007), a proper one: the best output is the posterior of the onset, wider by half a
    sample to either side. Every trace is divided by its largest size first. Skips go around the innermost stage, from
    each of the three before it, and are added: without them the network is :class:`TraceAutoencoder`, but for its code
    and its last layer.

    Args:
        width: a multiple of 4, at least 8.
        features: the encoder is that of a :class:`SectionDiscriminator`, whose ``features`` have its weights, with
            spectral norm: channels and strides are the same, activations are not normalized.
        generator: draws the weights.
        dtype: of the weights.
        device: by default the generator's.

    Raises:
        ValueError: another width; when called, traces of another shape, dtype or device.
        TypeError: traces that are no tensor, no generator.

    Example:
        >>> import torch
        >>> from memprior.trace_networks import OnsetUNet
        >>> network = OnsetUNet(8, generator=torch.Generator().manual_seed(0))
        >>> network(torch.ones(2, 16, 32))[..., -1].shape
        torch.Size([2, 16])
    """

    def __init__(
        self, width: int = 16, *, features: bool = False, generator: torch.Generator, dtype=torch.float32, device=None
    ):
        super().__init__()
        kind = _kind(width, generator, dtype)
        self.encoder = _Features(width, spectral=True, **kind) if features else _Encoder(width, **kind)
        self.decoder = _Decoder(width, **kind)
        # The decoder's channels before its stages: what a stage of the encoder has, half a level inward.
        self.skips = nn.ModuleList(
            _conv(width * a, width * b, kernel=1, **kind) for a, b in zip(_WIDTHS[-2::-1], _WIDTHS[:0:-1], strict=True)
        )
        self.to(device)

    def forward(self, traces: torch.Tensor) -> torch.Tensor:
        _expect_images("traces", traces, self)
        *outer, hidden = self.encoder.outputs(unit_traces(traces))
        around = [skip(stage) for skip, stage in zip(self.skips, reversed(outer), strict=True)]
        return self.decoder(hidden, around).softmax(-1).cumsum(-1)


class TraceAutoencoder(nn.Module):
    """Traces (B, H, W) by way of a code (B, ``code``, H / 8, W / 8), and nothing else: no skip goes around it.

    The code has ``code`` / 64 numbers for each sample. Give traces of about unit size, as :func:`unit_traces` makes
    them. Arguments and errors are those of :class:`OnsetUNet`; code: channels, >= 1.

    Example:
        >>> import torch
        >>> from memprior.trace_networks import TraceAutoencoder
        >>> network = TraceAutoencoder(2, 8, generator=torch.Generator().manual_seed(0))
        >>> network.encode(torch.ones(3, 16, 32)).shape, network(torch.ones(3, 16, 32)).shape
        (torch.Size([3, 2, 2, 4]), torch.Size([3, 16, 32]))
    """

    def __init__(self, code: int, width: int = 16, *, generator: torch.Generator, dtype=torch.float32, device=None):
        super().__init__()
        kind = _kind(width, generator, dtype)
        expect_whole("code", code, 1)
        self.encoder = _Encoder(width, **kind)
        self.inward = _conv(4 * width, code, kernel=1, **kind)
        self.outward = _conv(code, 4 * width, kernel=1, **kind)
        self.decoder = _Decoder(width, **kind)
        self.to(device)

    def encode(self, traces: torch.Tensor) -> torch.Tensor:
        """The code, (B, ``code``, H / 8, W / 8)."""
        _expect_images("traces", traces, self)
        return self.inward(self.encoder.outputs(traces)[-1])

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """Traces (B, H, W) of a code."""
        return self.decoder(self.outward(code))

    def forward(self, traces: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(traces))


class MaskedTraceAutoencoder(TraceAutoencoder):
    """Fills in traces that are zero, as :func:`hide_traces` leaves them, and returns the others as they came.

    So the mean squared error to the whole gather is that of the hidden traces alone (as in He et al. 2022, with traces
    for patches and zeros for tokens left out). Dead traces are hidden ones.

    Example:
        >>> import torch
        >>> from memprior.trace_networks import MaskedTraceAutoencoder
        >>> network = MaskedTraceAutoencoder(8, 8, generator=torch.Generator().manual_seed(0))
        >>> traces = torch.ones(1, 16, 32).index_fill(1, torch.tensor([3]), 0.0)
        >>> (network(traces) == traces).all(-1).sum()
        tensor(15)
    """

    def forward(self, traces: torch.Tensor) -> torch.Tensor:
        hidden = (traces == 0).all(-1, keepdim=True)
        return torch.where(hidden, super().forward(traces), traces)


class SectionGenerator(nn.Module):
    """Sections (B, H, W) of latent points (B, ``latent``), which are N(0, I): a dense layer and three doublings.

    Args:
        latent: >= 1.
        shape: (H, W), multiples of 8.
        width: a multiple of 4, at least 8; the innermost stage has four times as many channels.
        generator: draws the weights.
        dtype: of the weights.
        device: by default the generator's.

    Raises:
        ValueError: other sizes; when called, points of another shape, dtype or device.

    Example:
        >>> import torch
        >>> from memprior.trace_networks import SectionGenerator
        >>> network = SectionGenerator(16, (64, 64), 8, generator=torch.Generator().manual_seed(0))
        >>> network(torch.zeros(2, 16)).shape
        torch.Size([2, 64, 64])
    """

    def __init__(
        self,
        latent: int,
        shape: tuple[int, int],
        width: int = 16,
        *,
        generator: torch.Generator,
        dtype=torch.float32,
        device=None,
    ):
        super().__init__()
        kind = _kind(width, generator, dtype)
        self._inner = _inner("shape", shape)
        expect_whole("latent", latent, 1)
        self.latent = latent
        self.enter = _linear(latent, 4 * width * self._inner[0] * self._inner[1], **kind)
        self.decoder = _Decoder(width, **kind)
        self.to(device)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        expect_tensor("latent", latent, f"(B, {self.latent})")
        fits = latent.ndim == 2 and latent.shape[1] == self.latent
        expect(fits, "latent", f"shape (B, {self.latent})", tuple(latent.shape))
        expect_like("latent", latent, next(self.parameters()))
        return self.decoder(self.enter(latent).reshape(len(latent), -1, *self._inner))


class SectionDiscriminator(nn.Module):
    """Logits (B,) that sections (B, H, W) are real ones: four convolutions, three of stride 2, and a dense layer.

    Without normalization of activations, so one section's logit knows no other. With ``spectral`` every weight is
    divided by its greatest singular value (:class:`UnitSpectralNorm`).

    Arguments are those of :class:`SectionGenerator`; shape: (H, W), multiples of 8. ``features`` are what a picker, or
    a test of copying, may take: the channels before the dense layer, (B, 4 ``width``, H / 8, W / 8).

    Example:
        >>> import torch
        >>> from memprior.trace_networks import SectionDiscriminator
        >>> network = SectionDiscriminator((64, 64), 8, generator=torch.Generator().manual_seed(0))
        >>> network(torch.zeros(2, 64, 64)).shape
        torch.Size([2])
    """

    def __init__(
        self,
        shape: tuple[int, int],
        width: int = 16,
        *,
        spectral: bool = True,
        generator: torch.Generator,
        dtype=torch.float32,
        device=None,
    ):
        super().__init__()
        kind = _kind(width, generator, dtype)
        down, across = _inner("shape", shape)
        self.shape = tuple(shape)
        self.features = _Features(width, spectral=spectral, **kind)
        self.leave = _linear(4 * width * down * across, 1, **kind)
        if spectral:
            parametrize.register_parametrization(self.leave, "weight", UnitSpectralNorm())
        self.to(device)

    def forward(self, sections: torch.Tensor) -> torch.Tensor:
        _expect_images("sections", sections, self)
        expect(sections.shape[1:] == self.shape, "sections", f"shape (B, *{self.shape})", tuple(sections.shape))
        return self.leave(self.features(sections[:, None]).flatten(1))[:, 0]


class UnitSpectralNorm(nn.Module):
    """W / s(W) for a weight as the matrix (outputs, the rest), s its greatest singular value (Miyato et al. 2018).

    s^2 is the greatest eigenvalue of W W^T, to rounding in every step: no power iteration, no state, no randomness. As
    there it is the norm of a convolution's matrix; the convolution's own is at most its kernel's width times that.
    """

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        matrix = weight.flatten(1)
        matrix = matrix if len(matrix) <= matrix.shape[1] else matrix.mT
        return weight / torch.linalg.eigvalsh(matrix @ matrix.mT)[-1].sqrt()


def unit_traces(traces: torch.Tensor) -> torch.Tensor:
    """Each trace (..., W) over its largest size; dead ones stay zero.

    Example:
        >>> import torch
        >>> from memprior.trace_networks import unit_traces
        >>> unit_traces(torch.tensor([[1.0, -4.0], [0.0, 0.0]]))
        tensor([[ 0.2500, -1.0000],
                [ 0.0000,  0.0000]])
    """
    size = traces.abs().amax(-1, keepdim=True)
    return traces / torch.where(size > 0, size, 1)


def onset_steps(onsets: torch.Tensor, num_samples: int) -> torch.Tensor:
    """What :class:`OnsetUNet` learns: (..., num_samples), at sample n the distribution function, at n + 1, of a uniform
    number within half a sample of the onset (...). As cells of one sample it has the onset for its mean: no rounding.

    Example:
        >>> import torch
        >>> from memprior.trace_networks import onset_steps
        >>> onset_steps(torch.tensor([1.25]), 4)
        tensor([[0.2500, 1.0000, 1.0000, 1.0000]])
    """
    n = torch.arange(num_samples, dtype=onsets.dtype, device=onsets.device)
    return (n + 1.5 - onsets[..., None]).clamp(0, 1)


def hide_traces(traces: torch.Tensor, share: float, *, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Gathers (B, H, W) with round(``share`` H) traces of each set to zero, and which (B, H), bool.

    Raises ``ValueError`` for a share that hides none or all.

    Example:
        >>> import torch
        >>> from memprior.trace_networks import hide_traces
        >>> hide_traces(torch.ones(2, 8, 16), 0.5, generator=torch.Generator().manual_seed(0))[1].sum(1)
        tensor([4, 4])
    """
    expect_tensor("traces", traces, "(B, H, W)")
    expect(traces.ndim == 3, "traces", "shape (B, H, W)", tuple(traces.shape))
    num = round(share * traces.shape[1])
    expect(0 < num < traces.shape[1], "share", f"a share that hides 1 to {traces.shape[1] - 1} traces", share)
    order = uniform(*traces.shape[:2], like=traces, generator=generator).argsort(1)
    hidden = torch.zeros(traces.shape[:2], dtype=torch.bool, device=traces.device)
    hidden.scatter_(1, order[:, :num], True)
    return traces.masked_fill(hidden[..., None], 0), hidden


class _Encoder(nn.Module):
    """(B, H, W) to the outputs of its stages, (B, k width, H, W) and, twice as coarse each, three more."""

    def __init__(self, width: int, **kind):
        super().__init__()
        self.stages = nn.ModuleList([_stage(1, width, kernel=5, **kind)])
        self.stages.extend(_stage(width * a, width * b, stride=2, **kind) for a, b in pairwise(_WIDTHS))

    def outputs(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Of its stages."""
        outputs = [x[:, None]]
        for stage in self.stages:
            outputs.append(stage(outputs[-1]))
        return outputs[1:]


class _Features(nn.Sequential):
    """(B, 1, H, W) to (B, 4 width, H / 8, W / 8): four convolutions, three of stride 2, each before a leaky ReLU."""

    def __init__(self, width: int, *, spectral: bool, **kind):
        channels = [1, *(width * k for k in _WIDTHS)]
        layers = [_conv(a, b, stride=1 if a == 1 else 2, **kind) for a, b in pairwise(channels)]
        if spectral:
            for layer in layers:
                parametrize.register_parametrization(layer, "weight", UnitSpectralNorm())
        super().__init__(*(part for layer in layers for part in (layer, nn.LeakyReLU(0.2))))

    def outputs(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Of traces (B, H, W) by the leaky ReLUs."""
        outputs, hidden = [], x[:, None]
        for part in self:
            hidden = part(hidden)
            outputs.append(hidden)
        return outputs[1::2]


class _Decoder(nn.Module):
    """(B, 4 width, H / 8, W / 8) to (B, H, W): three doublings, each followed by what is added, then by a stage."""

    def __init__(self, width: int, **kind):
        super().__init__()
        inward = [width * k for k in reversed(_WIDTHS)]
        self.stages = nn.ModuleList(_stage(a, b, **kind) for a, b in pairwise(inward))
        self.head = _conv(width, 1, **kind)

    def forward(self, hidden: torch.Tensor, added: list[torch.Tensor] | None = None) -> torch.Tensor:
        for k, stage in enumerate(self.stages):
            hidden = nn.functional.interpolate(hidden, scale_factor=2, mode="bilinear", align_corners=False)
            hidden = stage(hidden if added is None else hidden + added[k])
        return self.head(hidden)[:, 0]


def _kind(width, generator, dtype) -> dict:
    expect_whole("width", width, 1)
    expect(width % 4 == 0 and width >= 8, "width", "a multiple of 4, >= 8", width)
    float64_on(None, generator)  # raises by name unless it is a generator
    return {"generator": generator, "dtype": dtype}


def _inner(name: str, shape) -> tuple[int, int]:
    """(H / 8, W / 8)."""
    step = 2**_HALVINGS
    expect(isinstance(shape, tuple | list) and len(shape) == 2, name, "(H, W)", repr(shape))
    for size in shape:
        expect_whole(name, size, 1)
        expect(size % step == 0, name, f"multiples of {step}", tuple(shape))
    return shape[0] // step, shape[1] // step


def _expect_images(name: str, x, network: nn.Module) -> None:
    expect_tensor(name, x, "(B, H, W)")
    step = 2**_HALVINGS
    fits = x.ndim == 3 and x.shape[1] > 0 and x.shape[2] > 0 and x.shape[1] % step == 0 and x.shape[2] % step == 0
    expect(fits, name, f"shape (B, H, W), H and W multiples of {step}", tuple(x.shape))
    expect_like(name, x, next(network.parameters()))
