"""A small network that names the facies of a patch of seismic, and its training."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import skip_init

from memprior._check import expect, expect_finite, expect_like, expect_tensor, expect_whole, positive_number
from memprior._random import choices, float64_on, integers, normal

_GROUPS = 4  # of channels that are normalized together


class FaciesNetwork(nn.Module):
    """Logits (B, C) of patches (B, H, W), time first, of any size from 8 x 8 on.

    ``conv1``, 7 x 7 without bias, is linear; three stages follow, each half as fine as the one before, of group
    normalization, SiLU and a convolution, and the mean over the patch goes into ``head``. What the patches' gain is
    makes no difference.

    Args:
        num_facies: C, >= 2.
        width: channels of ``conv1``, a multiple of 4; the last stage has four times as many.
        generator: draws the weights, torch's default initialization of convolutions.
        dtype: of the weights.

    Raises:
        ValueError: sizes outside these bounds; when called, another shape, dtype or device.
        TypeError: no tensor, no generator.

    Example:
        >>> import torch
        >>> from memprior.facies_network import FaciesNetwork
        >>> network = FaciesNetwork(5, generator=torch.Generator().manual_seed(0))
        >>> network(torch.zeros(2, 64, 64)).shape
        torch.Size([2, 5])
    """

    def __init__(self, num_facies: int, width: int = 16, *, generator: torch.Generator, dtype=torch.float32):
        super().__init__()
        expect_whole("num_facies", num_facies, 2)
        expect_whole("width", width, 1)
        expect(width % _GROUPS == 0, "width", f"a multiple of {_GROUPS}", width)
        float64_on(None, generator)  # raises by name unless it is a generator
        kind = {"generator": generator, "dtype": dtype}
        self.conv1 = _convolution(1, width, 7, bias=False, **kind)
        self.stage1 = _stage(width, width, **kind)
        self.stage2 = _stage(width, 2 * width, **kind)
        self.stage3 = _stage(2 * width, 4 * width, **kind)
        self.norm = nn.GroupNorm(_GROUPS, 4 * width, dtype=dtype, device=generator.device)
        self.head = skip_init(nn.Linear, 4 * width, num_facies, dtype=dtype, device=generator.device)
        _draw(self.head, 4 * width, generator)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        expect_tensor("patches", patches, "(B, H, W)")
        fits = patches.ndim == 3 and min(patches.shape[1:]) >= 8
        expect(fits, "patches", "shape (B, H, W), H and W >= 8", tuple(patches.shape))
        expect_like("patches", patches, self.conv1.weight)
        hidden = self.stage3(self.stage2(self.stage1(self.conv1(patches[:, None]))))
        return self.head(F.silu(self.norm(hidden)).mean((2, 3)))


def _stage(inner: int, outer: int, **kind) -> nn.Sequential:
    norm = nn.GroupNorm(_GROUPS, inner, dtype=kind["dtype"], device=kind["generator"].device)
    return nn.Sequential(norm, nn.SiLU(), _convolution(inner, outer, 3, stride=2, **kind))


def _convolution(inner: int, outer: int, kernel: int, *, generator, dtype, stride=1, bias=True) -> nn.Conv2d:
    options = {"stride": stride, "padding": kernel // 2, "bias": bias, "dtype": dtype, "device": generator.device}
    layer = skip_init(nn.Conv2d, inner, outer, kernel, **options)
    _draw(layer, inner * kernel**2, generator)
    return layer


def _draw(layer: nn.Module, fan_in: int, generator: torch.Generator) -> None:
    """torch's default initialization, from ``generator``."""
    bound = 1 / math.sqrt(fan_in)
    for weights in layer.parameters():
        nn.init.uniform_(weights, -bound, bound, generator=generator)


@dataclass(frozen=True)
class FaciesTraining:
    """Adam, its rate falling to zero along half a cosine. noise: standard deviation of what is added to each patch.

    Raises:
        ValueError: a number outside its bounds; names it.

    Example:
        >>> from memprior.facies_network import FaciesTraining
        >>> FaciesTraining(300, 16, 2.0).rate(151)
        1.0
    """

    num_steps: int
    batch_size: int = 32
    learning_rate: float = 3e-3
    noise: float = 0.1

    def __post_init__(self):
        expect_whole("num_steps", self.num_steps, 1)
        expect_whole("batch_size", self.batch_size, 1)
        positive_number("learning_rate", self.learning_rate)
        if self.noise != 0:
            positive_number("noise", self.noise)

    def rate(self, step: int) -> float:
        """Learning rate of step 1..num_steps."""
        return self.learning_rate * (1 + math.cos(math.pi * (step - 1) / self.num_steps)) / 2


def train_facies(
    network: nn.Module,
    patches: torch.Tensor,
    labels: torch.Tensor,
    plan: FaciesTraining,
    *,
    generator: torch.Generator,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Minimize the cross-entropy, in place; (step, loss of its batch before it) after every step.

    Each patch of a batch comes as it is or with its traces in the opposite order, at even odds, and with noise.

    Args:
        network: patches (B, H, W) -> logits (B, C).
        patches: (N, H, W).
        labels: (N,), int64, from 0 to C - 1.
        plan: sizes and rate.
        generator: draws batches, directions and noise.

    Raises:
        ValueError: another shape, numbers that are not finite, labels that are no places among the logits.
        TypeError: no tensor, no generator.

    Example:
        >>> import torch
        >>> from memprior.facies_network import FaciesNetwork, FaciesTraining, train_facies
        >>> generator = torch.Generator().manual_seed(0)
        >>> network, labels = FaciesNetwork(2, 4, generator=generator), torch.tensor([0, 1])
        >>> states = train_facies(network, torch.ones(2, 16, 16), labels, FaciesTraining(3), generator=generator)
        >>> [step for step, _ in states]
        [1, 2, 3]
    """
    expect_tensor("patches", patches, "(N, H, W)")
    expect(patches.ndim == 3 and patches.numel() > 0, "patches", "shape (N, H, W)", tuple(patches.shape))
    expect_finite("patches", patches)
    whole = isinstance(labels, torch.Tensor) and labels.dtype == torch.int64 and labels.shape == patches.shape[:1]
    expect(whole, "labels", f"int64 of shape ({len(patches)},)", lambda: getattr(labels, "dtype", type(labels)))
    float64_on(None, generator)  # raises by name unless it is a generator
    with torch.no_grad():
        most = network(patches[:1]).shape[1] - 1
    inside = int(labels.min()) >= 0 and int(labels.max()) <= most
    expect(inside, "labels", f"from 0 to {most}", lambda: (int(labels.min()), int(labels.max())))
    return _training(network, patches, labels, plan, generator)


def _training(network, patches, labels, plan: FaciesTraining, generator) -> Iterator[tuple[int, torch.Tensor]]:
    optimizer = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
    evenly = torch.ones(len(patches), device=patches.device)
    size = min(plan.batch_size, len(patches))
    for step in range(1, plan.num_steps + 1):
        batch = choices(evenly, size, generator=generator, replacement=False)
        turned = integers(2, size, like=patches, generator=generator).bool()
        x = torch.where(turned[:, None, None], patches[batch].flip(2), patches[batch])
        x = x + plan.noise * normal(*x.shape, like=x, generator=generator)
        for group in optimizer.param_groups:
            group["lr"] = plan.rate(step)
        loss = F.cross_entropy(network(x), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield step, loss.detach()
