"""What a survey records: the wavelet, OpenFWI's shape of data, and the spectra of traces."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from memprior._check import expect, expect_positive, expect_tensor, expect_whole, positive_number
from memprior.fields import Grid
from memprior.waves.acquisition import Acquisition


class Survey(NamedTuple):
    """What an operator is built from, in its order: ``AcousticOperator(*survey)``. wavelet: (nt,), every dt_s."""

    grid: Grid
    acquisition: Acquisition
    wavelet: torch.Tensor
    dt_s: float


def ricker(peak_hz: float, num_samples: int, dt_s: float, *, delay_s: float | None = None) -> torch.Tensor:
    """(1 - 2 a) exp(-a), a = (pi peak_hz (t - delay))^2 at t = 0, dt_s, ...: (num_samples,), float64.

    delay_s: time of the peak; by default 1.5 / peak_hz, at which the onset is 1e-8 of the peak.

    Example:
        >>> from memprior.waves import ricker
        >>> wavelet = ricker(10.0, 300, 0.001)
        >>> int(wavelet.argmax()), float(wavelet.max())  # 1.5 / 10 s
        (150, 1.0)
    """
    expect_positive("peak_hz", peak_hz)
    expect_whole("num_samples", num_samples, 1)
    expect_positive("dt_s", dt_s)
    delay_s = 1.5 / peak_hz if delay_s is None else delay_s
    a = (math.pi * peak_hz * (torch.arange(num_samples, dtype=torch.float64) * dt_s - delay_s)) ** 2
    return (1 - 2 * a) * torch.exp(-a)


def openfwi_acquisition() -> Survey:
    """The survey of OpenFWI's Vel, Fault and Style families (Deng et al. 2022): traces (5, 1000, 70), scaled as theirs.

    70 x 70 cells of 10 m, absorbing on all sides; 15 Hz Ricker, 1000 samples of 1 ms; 5 sources and 70 receivers at a
    depth of 10 m below the first row of cells, sources in columns 0, 17, 34, 52 and 69. Columns and depth are those
    of public re-implementations; the authors' generator is not published. It adds v^2 dt^2 s to the source's cell,
    in metres, and records after the step: w is -(10 m)^2 s, one sample earlier than s, whose peak is at 73 ms. Its
    stencil is of order 4: ``AcousticOperator(*openfwi_acquisition(), accuracy=4)`` solves its equation.

    Example:
        >>> from memprior.waves import openfwi_acquisition
        >>> survey = openfwi_acquisition()
        >>> survey.grid, survey.wavelet.shape
        (Grid(shape=(70, 70), spacing_km=0.01), torch.Size([1000]))
    """
    grid = Grid((70, 70), 0.01)
    receivers = torch.stack([grid.centers_km(0), grid.centers_km(1)[1].expand(70)], dim=1)
    acquisition = Acquisition(receivers[[0, 17, 34, 52, 69]], receivers)
    return Survey(grid, acquisition, -100 * ricker(15.0, 1000, 0.001, delay_s=0.072), 0.001)


def fourier(
    traces: torch.Tensor,
    wavelet: torch.Tensor,
    dt_s: float,
    frequencies_hz: Sequence[float],
    *,
    step_s: float | None = None,
) -> torch.Tensor:
    """Green's function, U / W: traces (B, S, nt, R), wavelet (nt,) -> its spectra (B, F, S, R), complex.

    U is the sum of u(t) exp(+i omega t) dt: the waves have to have passed within the record. With ``step_s``, the
    operator's, the error of its time step is undone: leapfrog of step d does at (2 / d) arcsin(omega d / 2) what the
    exact time derivative does at omega, and both spectra are taken there. ``ValueError`` for a frequency at which the
    wavelet has less than 1 % of its peak: there is nothing to divide by.
    """
    expect_tensor("traces", traces, "(B, S, nt, R)")
    expect_tensor("wavelet", wavelet, "(nt,)")
    fits = traces.ndim == 4 and wavelet.ndim == 1 and traces.shape[2] == len(wavelet)
    expect(fits, "traces", f"shape (B, S, nt, R) with nt = {wavelet.numel()} as the wavelet", tuple(traces.shape))
    omega = 2 * math.pi * torch.as_tensor(frequencies_hz, dtype=torch.float64)
    if step_s is not None:
        half = positive_number("step_s", step_s) / 2
        omega = torch.arcsin(omega * half) / half
    waves = torch.exp(1j * omega[:, None] * torch.arange(len(wavelet)) * positive_number("dt_s", dt_s))
    source = waves @ wavelet.to("cpu", torch.complex128)
    enough = source.abs() >= 0.01 * amplitudes(wavelet).max().to("cpu")
    expect(bool(enough.all()), "frequencies_hz", "1 % of the wavelet's peak or more at each", frequencies_hz)
    kernel = (waves / source[:, None]).to(traces.device, traces.dtype.to_complex())
    return torch.einsum("ft,bstr->bfsr", kernel, traces.to(kernel))


def amplitudes(wavelet: torch.Tensor) -> torch.Tensor:
    """Amplitude spectrum, on frequencies fine enough to see the peak of a short wavelet."""
    return torch.fft.rfft(wavelet, n=8 * len(wavelet)).abs()
