"""Errors that name the argument, what was expected and what came. Imports nothing of ours."""

import math
from numbers import Integral, Real

import torch


def expect(condition, name: str, expected: str, came) -> None:
    """Raise ``ValueError("NAME: expected ..., got ...")`` unless ``condition`` holds.

    came: what came, or a function that says it, called only then: the words of a tensor on a GPU wait for the GPU.
    """
    if not condition:
        raise ValueError(f"{name}: expected {expected}, got {came() if callable(came) else came}")


def expect_tensor(name: str, x, shape: str) -> None:
    """A floating tensor; ``shape``, in words, is only for the message."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor of shape {shape}, got {type(x).__name__}")
    expect(x.is_floating_point(), name, "a floating dtype", x.dtype)


def expect_points(name: str, x, *, size: int | None = None, like: torch.Tensor | None = None) -> None:
    """A floating (B, size) tensor; with ``like``, of its dtype and device too."""
    expect_tensor(name, x, f"(B, {size or 'd'})")
    expect(x.ndim == 2 and (size is None or x.shape[1] == size), name, f"shape (B, {size or 'd'})", tuple(x.shape))
    if like is not None:
        expect_like(name, x, like)


def expect_train_set(name: str, x) -> None:
    """A finite, non-empty (K, d) tensor of points."""
    expect_points(name, x)
    expect(x.shape[0] > 0 and x.shape[1] > 0, name, "at least one example with at least one coordinate", tuple(x.shape))
    expect_finite(name, x)


def expect_finite(name: str, x: torch.Tensor) -> None:
    if not torch.isfinite(x).all():
        bad = x.numel() - int(torch.isfinite(x).sum())
        raise ValueError(f"{name}: expected finite numbers, got {bad} NaN or infinite of {x.numel()}")


def expect_symmetric(name: str, matrices: torch.Tensor) -> None:
    """(..., d, d), symmetric up to the rounding of a product of d terms."""
    rounding = matrices.shape[-1] * torch.finfo(matrices.dtype).eps * matrices.abs().max()
    gap = (matrices - matrices.mT).abs().max()
    expect(
        bool(gap <= rounding),
        name,
        "symmetric to rounding",
        lambda: f"entries and their mirrors {float(gap):.3g} apart",
    )


def expect_like(name: str, x: torch.Tensor, like: torch.Tensor) -> None:
    expect(x.dtype == like.dtype, name, f"dtype {like.dtype}", x.dtype)
    expect(x.device == like.device, name, f"device {like.device}", x.device)


def expect_positive(name: str, value) -> None:
    """A finite number, or tensor of numbers, above zero."""
    if isinstance(value, torch.Tensor) and value.ndim > 0:
        expect(bool((torch.isfinite(value) & (value > 0)).all()), name, "finite and > 0", value)
    else:
        positive_number(name, value)


def positive_number(name: str, value) -> float:
    """``value``, one finite number above zero, as a float."""
    number = value.item() if isinstance(value, torch.Tensor) and value.ndim == 0 else value
    good = isinstance(number, Real) and math.isfinite(number) and float(number) > 0
    expect(good, name, "one number, finite and > 0", lambda: repr(value))
    return float(number)


def expect_whole(name: str, value, least: int) -> None:
    """An integer, of Python or numpy; not a boolean of either."""
    expect(
        isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least,
        name,
        f"an integer >= {least}",
        lambda: repr(value),
    )


def column_of(name: str, sigma, x: torch.Tensor) -> torch.Tensor:
    """The noise level as a (1, 1) or (B, 1) column beside x (B, d), in its dtype and on its device.

    ``sigma`` may be a number, a scalar tensor or a (B,) tensor; raises ``ValueError`` unless all are > 0.
    """
    expect_positive(name, sigma)
    sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    expect(
        sigma.ndim == 0 or sigma.shape == x.shape[:1], name, f"a scalar or shape ({x.shape[0]},)", tuple(sigma.shape)
    )
    return sigma.reshape(-1, 1)


def descending_levels(name: str, sigmas, x: torch.Tensor) -> torch.Tensor:
    """Noise levels (T + 1,), T >= 1, strictly descending to one >= 0, in the dtype and on the device of ``x``."""
    sigmas = torch.as_tensor(sigmas, dtype=x.dtype, device=x.device)
    good = (
        sigmas.ndim == 1
        and len(sigmas) >= 2
        and bool((sigmas.diff() < 0).all())
        and bool(sigmas[-1] >= 0)
        and bool(torch.isfinite(sigmas[0]))
    )
    expect(good, name, "at least two strictly descending finite levels >= 0", lambda: sigmas.reshape(-1)[:8].tolist())
    return sigmas


# What no rock has is taken for a wrong unit; what few rocks have is told.
SLOWEST_KMS, FASTEST_KMS = 0.1, 20.0
USUAL_KMS = 0.3, 9.0
MAX_BYTES = 16 * 2**30  # memory that the work of a wave operator may take unless it is told otherwise


def expect_velocities(name: str, slow_kms: float, fast_kms: float, meant: str) -> bool:
    """Raises unless all are some rock's; whether they are usual. ``meant``, the unit asked for, is for the message."""
    rounding = 1e-6  # squared slowness in float32 and back
    good = SLOWEST_KMS * (1 - rounding) <= slow_kms and fast_kms <= FASTEST_KMS * (1 + rounding)
    expected = f"{meant} of velocities from {SLOWEST_KMS:g} to {FASTEST_KMS:g} km/s"
    expect(good, name, expected, f"{slow_kms:.4g} to {fast_kms:.4g} km/s")
    return USUAL_KMS[0] <= slow_kms and fast_kms <= USUAL_KMS[1]


def expect_fits(name: str, num_bytes: float, max_bytes: float, what: str, remedy: str) -> None:
    """Raises unless ``what``, said with its size in the message, takes at most ``max_bytes``."""
    limit = f"work within max_bytes = {max_bytes / 1e9:.3g} GB"
    expect(num_bytes <= max_bytes, name, limit, f"{what}: {num_bytes / 1e9:.3g} GB; {remedy}")
