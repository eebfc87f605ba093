"""ResNet-18 in plain torch, with torchvision's names of weights, and a reader's own copy of these, by path.

He et al. (2016). The book brings no trained weights: a network that has seen a million photographs
finds animals in seismic, and a reader who has its file can look.
"""

import pickle
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from memprior._check import expect, expect_like, expect_tensor, expect_whole

IMAGENET_MEAN = 0.485, 0.456, 0.406
IMAGENET_STD = 0.229, 0.224, 0.225
_SHOWN = 3  # names in a message


class _Block(nn.Module):
    """Two convolutions and what goes past them."""

    def __init__(self, inner: int, outer: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.downsample = None
        if stride != 1 or inner != outer:
            self.downsample = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        past = x if self.downsample is None else self.downsample(x)
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())) + past).relu()


class ResNet18(nn.Module):
    """Logits (B, C) of pictures (B, 3, H, W), H and W >= 32; in evaluation mode from the start.

    ``layer1`` to ``layer4`` are what a dream may ascend. Its weights are drawn by torch's global generator, for they
    are there to be replaced: :func:`load_resnet18`.

    Example:
        >>> import torch
        >>> from memprior.resnet import ResNet18
        >>> network = ResNet18(10)
        >>> network(torch.zeros(1, 3, 32, 32)).shape, "layer1.0.bn1.running_mean" in network.state_dict()
        (torch.Size([1, 10]), True)
    """

    def __init__(self, num_classes: int = 1000):
        super().__init__()
        expect_whole("num_classes", num_classes, 1)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(_Block(64, 64, 1), _Block(64, 64, 1))
        self.layer2 = nn.Sequential(_Block(64, 128, 2), _Block(128, 128, 1))
        self.layer3 = nn.Sequential(_Block(128, 256, 2), _Block(256, 256, 1))
        self.layer4 = nn.Sequential(_Block(256, 512, 2), _Block(512, 512, 1))
        self.fc = nn.Linear(512, num_classes)
        self.eval()

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        expect_tensor("pictures", pictures, "(B, 3, H, W)")
        fits = pictures.ndim == 4 and pictures.shape[1] == 3 and min(pictures.shape[2:]) >= 32
        expect(fits, "pictures", "shape (B, 3, H, W), H and W >= 32", tuple(pictures.shape))
        expect_like("pictures", pictures, self.conv1.weight)
        x = nn.functional.max_pool2d(self.bn1(self.conv1(pictures)).relu(), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class OfSections(nn.Module):
    """A network of pictures that is given sections (B, H, W): gray, a unit of the section a fifth of white.

    Example:
        >>> import torch
        >>> from memprior.resnet import OfSections, ResNet18
        >>> OfSections(ResNet18(4))(torch.zeros(2, 64, 64)).shape
        torch.Size([2, 4])
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, sections: torch.Tensor) -> torch.Tensor:
        expect_tensor("sections", sections, "(B, H, W)")
        expect(sections.ndim == 3, "sections", "shape (B, H, W)", tuple(sections.shape))
        mean, std = (sections.new_tensor(of)[:, None, None] for of in (IMAGENET_MEAN, IMAGENET_STD))
        return self.network((0.5 + 0.2 * sections[:, None] - mean) / std)


def load_resnet18(path: str | Path) -> ResNet18:
    """A :class:`ResNet18` with a reader's own weights: torchvision's state dict, saved by torch or as safetensors.

    Nothing in the file is executed: torch reads it with ``weights_only``. The number of classes is the file's.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a pickle of anything but tensors, a file that is neither format, weights that are missing, that
            have other shapes, are no floating numbers or not finite, and names that are not ResNet-18's.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import torch
        >>> from memprior.resnet import ResNet18, load_resnet18
        >>> with TemporaryDirectory() as folder:
        ...     torch.save(ResNet18(4).state_dict(), f"{folder}/mine.pth")
        ...     load_resnet18(f"{folder}/mine.pth").fc.out_features
        4
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path: expected a file of weights, got {path}")
    weights = _read(path)
    state = isinstance(weights, dict) and all(isinstance(w, torch.Tensor) for w in weights.values())
    expect(state, f"weights {path.name}", "a dict of tensors by name", lambda: type(weights).__name__)
    last = weights.get("fc.weight")
    expect(last is not None and last.ndim == 2, f"weights {path.name}", "fc.weight (C, 512)", lambda: _sizes(last))
    network = ResNet18(max(1, len(last)))
    own = network.state_dict()
    optional = {name for name in own if name.endswith("num_batches_tracked")}  # files before 2018 lack them
    missing = sorted(own.keys() - weights.keys() - optional)
    expect(
        not missing, f"weights {path.name}", "all of ResNet-18's", lambda: f"{len(missing)} missing: {_few(missing)}"
    )
    unknown = sorted(weights.keys() - own.keys())
    expect(not unknown, f"weights {path.name}", "only ResNet-18's", lambda: f"{len(unknown)} more: {_few(unknown)}")
    for name, tensor in weights.items():
        same = tensor.shape == own[name].shape
        expect(same, f"weights {path.name}, {name}", f"shape {tuple(own[name].shape)}", tuple(tensor.shape))
        if name not in optional:
            good = tensor.is_floating_point() and bool(torch.isfinite(tensor).all())
            expect(good, f"weights {path.name}, {name}", "finite floating numbers", lambda of=tensor: of.dtype)
    network.load_state_dict(weights, strict=False)
    return network


def _read(path: Path):
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():  # of a pickle's protocol, before it is refused
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        text = str(error).splitlines()[0]
        raise ValueError(f"weights {path.name}: expected tensors alone, got a pickle of more: {text}") from None
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ValueError(f"weights {path.name}: expected a file of torch or safetensors, got {error!r}") from None


def _few(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _sizes(tensor) -> str:
    return "none" if tensor is None else str(tuple(tensor.shape))
