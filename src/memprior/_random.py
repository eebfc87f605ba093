"""Every random number: drawn where its generator lives, then moved to where it is used. Imports nothing of ours.

A generator of the CPU so gives a GPU the numbers that it gives the CPU: results keep their meaning, and a run goes on
where another device stopped. A generator of the GPU works too; its numbers are its own.
"""

import hashlib

import torch


def normal(*shape: int, like: torch.Tensor, generator: torch.Generator | None, dtype=None) -> torch.Tensor:
    """N(0, 1) numbers of ``shape``, in the dtype (or ``dtype``) and on the device of ``like``.

    Example:
        >>> import torch
        >>> from memprior._random import normal
        >>> normal(2, 3, like=torch.zeros(1), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3])
    """
    return torch.randn(shape, dtype=dtype or like.dtype, **_at(generator)).to(like.device)


def uniform(*shape: int, like: torch.Tensor, generator: torch.Generator | None, dtype=None) -> torch.Tensor:
    """Numbers from [0, 1), as :func:`normal`."""
    return torch.rand(shape, dtype=dtype or like.dtype, **_at(generator)).to(like.device)


def integers(high: int, *shape: int, like: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """int64 from 0..high - 1, each as likely, on the device of ``like``."""
    return torch.randint(high, shape, **_at(generator)).to(like.device)


def choices(
    weights: torch.Tensor, num: int, *, generator: torch.Generator | None, replacement: bool = True
) -> torch.Tensor:
    """Indices (..., num) into the last axis of ``weights`` (..., K), which need not add up to one, on their device."""
    drawn = torch.multinomial(weights.to(_at(generator)["device"]), num, replacement, generator=generator)
    return drawn.to(weights.device)


def float64_on(device, generator: torch.Generator | None) -> torch.Tensor:
    """What a problem in double precision is like that lies on ``device``; None: where its generator lives."""
    return torch.empty(0, dtype=torch.float64, device=_at(generator)["device"] if device is None else device)


def _at(generator: torch.Generator | None) -> dict:
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator, got {type(generator).__name__}")
    return {"device": generator.device, "generator": generator}


def generator_for(purpose: str) -> torch.Generator:
    """Randomness, the CPU's on every device, that depends on nothing but its purpose.

    With a GPU's own numbers, results of one seed would be those of another one.
    """
    digest = hashlib.sha256(purpose.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
