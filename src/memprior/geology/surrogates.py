"""Sections with the amplitude spectrum of given ones and no geology: their phases are random (Theiler et al. 1992)."""

import torch

from memprior._check import expect, expect_finite, expect_tensor
from memprior._random import normal


def phase_randomized(sections: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
    """Sections (B, H, W) with the two-dimensional amplitude spectra of ``sections`` and random phases.

    Their mean, their mean square and their autocorrelation (on a torus) are those of the original: what a classifier
    finds in them beyond these it brought along {cite:p}`theiler1992testing`. A section does not close into a torus: the
    jump between its opposite edges is in the spectrum too.

    Args:
        sections: (B, H, W).
        generator: draws the phases, those of Gaussian noise.

    Raises:
        ValueError: another shape, numbers that are not finite.
        TypeError: no tensor, no generator.

    Example:
        >>> import torch
        >>> from memprior.geology import phase_randomized, sections
        >>> drawn = sections("channel", 1, seed=0).seismic
        >>> surrogate = phase_randomized(drawn, generator=torch.Generator().manual_seed(0))
        >>> bool(torch.allclose(torch.fft.rfft2(surrogate).abs(), torch.fft.rfft2(drawn).abs(), atol=1e-3))
        True
    """
    expect_tensor("sections", sections, "(B, H, W)")
    expect(sections.ndim == 3 and sections.numel() > 0, "sections", "shape (B, H, W)", tuple(sections.shape))
    expect_finite("sections", sections)
    noise = torch.fft.rfft2(normal(*sections.shape, like=sections, generator=generator))
    spectrum = torch.fft.rfft2(sections)
    moved = torch.polar(spectrum.abs(), noise.angle())
    moved[:, 0, 0] = spectrum[:, 0, 0]  # the mean stays
    return torch.fft.irfft2(moved, s=sections.shape[1:])
