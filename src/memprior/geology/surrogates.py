"""Sections with the amplitude spectrum of given ones and random phases (Theiler et al. 1992), or with its mean over
directions.
"""

import torch

from memprior._check import expect, expect_finite, expect_tensor
from memprior._random import normal


def phase_randomized(sections: torch.Tensor, *, isotropic: bool = False, generator: torch.Generator) -> torch.Tensor:
    """Sections (B, H, W) with the two-dimensional amplitude spectra of ``sections`` and random phases.

    Their mean, their mean square and their autocorrelation (on a torus) are those of the original: what a classifier
    finds in them beyond these it brought along. Dips and lateral continuity are in the
    spectrum and stay: what was layered is layered, and only shapes are lost. An ``isotropic`` one has no direction
    either: its power is the mean over those of wavenumbers of one length, in cycles per sample. A section does not
    close into a torus: the jump between its opposite edges is in the spectrum too.

    Args:
        sections: (B, H, W).
        isotropic: whether directions are averaged.
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
    amplitude = _over_directions(spectrum.abs(), sections.shape[1:]) if isotropic else spectrum.abs()
    moved = torch.polar(amplitude, noise.angle())
    moved[:, 0, 0] = spectrum[:, 0, 0]  # the mean stays
    return torch.fft.irfft2(moved, s=sections.shape[1:])


def _over_directions(amplitude: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Root mean power (B, H, W // 2 + 1) over wavenumbers of one length, in rings as wide as the coarser axis' step."""
    down, across = torch.fft.fftfreq(size[0]), torch.fft.rfftfreq(size[1])
    ring = (torch.hypot(down[:, None], across) * min(size)).round().long().flatten().to(amplitude.device)
    # A wavenumber across stands for its negative too, but for 0 and the last of an even number.
    twice = torch.full((len(across),), 2.0)
    twice[0] = 1
    if size[1] % 2 == 0:
        twice[-1] = 1
    weight = twice.expand(len(down), -1).flatten().to(amplitude)
    power = amplitude.flatten(1).square()
    sums = torch.zeros(len(power), int(ring.max()) + 1, dtype=power.dtype, device=power.device)
    counts = torch.zeros_like(sums[0]).index_add(0, ring, weight)
    mean = sums.index_add(1, ring, power * weight) / counts
    return mean[:, ring].sqrt().view_as(amplitude)
