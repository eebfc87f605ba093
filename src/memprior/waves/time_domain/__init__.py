"""Acoustic waves in the time domain, on deepwave: the full operator and its linearization (Born).

u_tt / v^2 - Laplacian u = -delta(x - x_s) w(t), at rest before t = 0, in km, s and km/s; delta is per km^2. Outside the
grid the medium goes on with the value of its edge, and absorbs. So U(omega), the integral of u(t) exp(+i omega t) dt,
is W(omega) G with (omega^2 / v^2 + Laplacian) G = delta(x - x_s): G = -(i/4) H0^(1)(omega r / v) in a homogeneous
medium, outgoing under exp(-i omega t).

deepwave solves Laplacian u - u_tt / v^2 = f by leapfrog, f in one cell, and its sample n of u is at the time of sample
n of f. So f = w / spacing^2, and neither a sign nor a shift in time is left to correct (tests/memprior/waves).
"""

import math
import warnings

import torch

from memprior._check import (
    MAX_BYTES,
    USUAL_KMS,
    expect,
    expect_finite,
    expect_fits,
    expect_like,
    expect_points,
    expect_tensor,
    expect_velocities,
    expect_whole,
    positive_number,
)
from memprior.fields import Grid
from memprior.waves.acquisition import Acquisition
from memprior.waves.time_domain.derivatives import simulate
from memprior.waves.time_domain.survey import Survey, amplitudes, fourier, openfwi_acquisition, ricker

__all__ = ["AcousticOperator", "BornOperator", "Survey", "fourier", "openfwi_acquisition", "ricker"]

# Cells per wavelength at which a wave along an axis is 1 % slow, by the symbol of the stencil of each order.
_CELLS_NEEDED = {2: 13.0, 4: 5.33, 6: 3.98, 8: 3.44}
_SIGNIFICANT = 0.01  # of the peak of the wavelet's amplitude spectrum; a Ricker falls below it at 2.8 peak frequencies
_FIELDS = 12  # of the cells, that a run without gradient holds: models, fields of two times, absorbing layers
_ON_CENTER = 1e-5  # cells: closer to a cell's center deepwave takes the cell
# Cells, of the window that spreads a point between cell centers: 8 make it as exact as a point on one (0.02 %); with
# deepwave's own choice of 4 it is up to 1 % off.
_HALFWIDTH = 8


class _WaveOperator:
    """What the two operators share: settings, checks, and one run of deepwave."""

    def __init__(
        self,
        grid: Grid,
        acquisition: Acquisition,
        wavelet: torch.Tensor,
        dt_s: float,
        *,
        max_velocity_kms: float = 5.0,
        accuracy: int = 8,
        pml_cells: int = 20,
        max_bytes: float = MAX_BYTES,
    ):
        acquisition.expect_inside(grid)
        expect_tensor("wavelet", wavelet, "(nt,)")
        expect(wavelet.ndim == 1 and len(wavelet) > 1, "wavelet", "shape (nt,), nt >= 2", tuple(wavelet.shape))
        expect_finite("wavelet", wavelet)
        expect(bool(wavelet.any()), "wavelet", "a sample other than 0", "zeros")
        expect(accuracy in _CELLS_NEEDED, "accuracy", "2, 4, 6 or 8", repr(accuracy))
        expect_whole("pml_cells", pml_cells, 1)
        self.grid, self.acquisition, self.accuracy, self.pml_cells = grid, acquisition, accuracy, pml_cells
        self.wavelet = wavelet.detach().to("cpu", torch.float64)
        self.dt_s = positive_number("dt_s", dt_s)
        self.max_velocity_kms = positive_number("max_velocity_kms", max_velocity_kms)
        expect_velocities("max_velocity_kms", self.max_velocity_kms, self.max_velocity_kms, "km/s")
        self.max_bytes = positive_number("max_bytes", max_bytes)
        # The step is chosen here and not from the model at hand, so that a batch equals its members; and not by
        # deepwave, which sums the gradient over steps of dt_s only, and is then not the adjoint of what it solves.
        discretization = _deepwave().discretisation
        self._courant = discretization.critical_courant_number(accuracy, propagator="scalar")
        spacings = [grid.spacing_km, grid.spacing_km]
        self.step_s, self._substeps = discretization.cfl_condition_n(
            spacings, self.dt_s, self.max_velocity_kms, courant_number=0.95 * self._courant
        )
        spectrum, frequencies = amplitudes(self.wavelet), torch.fft.rfftfreq(8 * len(wavelet), self.dt_s)
        self._peak_hz = float(frequencies[spectrum.argmax()])
        self.highest_hz = float(frequencies[spectrum >= _SIGNIFICANT * spectrum.max()].max())
        self._warned, self._unusual = False, False

        # In cells, 0 at the center of the first.
        positions = (acquisition.sources_km, acquisition.receivers_km)
        places = [place.to("cpu", torch.float64) / grid.spacing_km - 0.5 for place in positions]
        off_centre = any(bool(((place - place.round()).abs() > _ON_CENTER).any()) for place in places)
        self._margin = _HALFWIDTH if off_centre else 0
        self._source_cells, weights = _spread(places[0] + self._margin)
        fine = discretization.upsample(self.wavelet, self._substeps, time_pad_frac=1.0)
        self._source = weights[:, :, None] * fine / grid.spacing_km**2
        # Receivers may share cells, and deepwave wants each cell once: record the distinct ones, then weigh.
        cells, weights = _spread(places[1] + self._margin)
        self._receiver_cells, slots = cells.flatten(0, 1).unique(dim=0, return_inverse=True)
        self._gather = torch.zeros(len(cells), len(self._receiver_cells), dtype=torch.float64)
        self._gather.scatter_add_(1, slots.reshape(weights.shape), weights)

    def traces(self, data: torch.Tensor) -> torch.Tensor:
        """Data (B, m) as traces (B, S, nt, R): source, time, receiver."""
        shape = (len(self.acquisition.sources_km), len(self.wavelet), len(self.acquisition.receivers_km))
        expect_points("data", data, size=math.prod(shape))
        return data.reshape(-1, *shape)

    def _expect_models(self, name: str, models: torch.Tensor) -> None:
        shape = f"(B, {self.grid.shape[0]}, {self.grid.shape[1]})"
        expect_tensor(name, models, shape)
        good = models.ndim == 3 and len(models) > 0 and models.shape[1:] == self.grid.shape
        expect(good, name, f"shape {shape}, B >= 1", tuple(models.shape))

    def _expect_velocity(self, name: str, velocity: torch.Tensor) -> None:
        """Raises unless 0 < v <= the velocity that the step is made for; warns, once, of too few cells per wave."""
        slow, fast = (float(value) for value in velocity.detach().aminmax())
        allowed = f"km/s above 0 and at most max_velocity_kms = {self.max_velocity_kms:g}"
        expect(slow > 0 and fast <= self.max_velocity_kms, name, allowed, f"{slow:g} to {fast:g}")
        if not expect_velocities(name, slow, fast, "km/s") and not self._unusual:
            self._unusual = True
            usual = f"from {USUAL_KMS[0]:g} to {USUAL_KMS[1]:g} km/s"
            warnings.warn(f"{name}: expected velocities of rocks, {usual}, got {slow:.3g} to {fast:.3g}", stacklevel=3)
        # A pulse has its peak at 0 Hz, where a wave has no end.
        at_peak = slow / self._peak_hz / self.grid.spacing_km if self._peak_hz else math.inf
        enough = "at least 2 cells of spacing_km, in km, per wavelength at the wavelet's peak"
        expect(at_peak >= 2, "grid", enough, f"{at_peak:.3g} at {slow:.3g} km/s and {self._peak_hz:.3g} Hz")
        cells, needed = slow / self.highest_hz / self.grid.spacing_km, _CELLS_NEEDED[self.accuracy]
        if cells < needed and not self._warned:
            self._warned = True
            warnings.warn(
                f"{name}: {cells:.3g} cells per wavelength at {slow:.3g} km/s and {self.highest_hz:.3g} Hz; with fewer "
                f"than {needed:.3g}, a wave in the stencil of order {self.accuracy} is more than 1 % slow",
                stacklevel=3,
            )

    def _expect_fits(self, name: str, models: torch.Tensor) -> None:
        """Raises where the field of every source, at every step if a gradient may be asked for, needs too much."""
        around = 2 * (self._margin + self.pml_cells) + self.accuracy
        cells, steps = math.prod(n + around for n in self.grid.shape), len(self.wavelet) * self._substeps
        recording = models.requires_grad and torch.is_grad_enabled()
        numbers = cells * (steps if recording else _FIELDS) + steps * len(self._receiver_cells)
        expect_fits(
            name,
            len(models) * len(self._source_cells) * numbers * models.element_size(),
            self.max_bytes,
            f"{len(models)} x {len(self._source_cells)} sources, {steps} steps of {self.step_s:.3g} s, {cells} cells",
            "are spacing_km in km and dt_s in s? Take fewer models at once, or raise max_bytes",
        )

    def _run(self, velocity: torch.Tensor, perturbation: torch.Tensor | None = None) -> torch.Tensor:
        """A simulation per model and source, linearized if there is a perturbation: (B, nx, nz) -> (B, S * nt * R)."""
        num, sources = len(velocity), len(self._source_cells)

        def per_shot(models):
            # Room for the window of a point at the very edge, in the medium that goes on with the edge's value.
            wide = torch.nn.functional.pad(models, 4 * (self._margin,), mode="replicate")
            return wide.repeat_interleave(sources, dim=0)

        source = self._source.to(velocity).repeat(num, 1, 1), self._source_cells.to(velocity.device).repeat(num, 1, 1)
        born, deepwave = perturbation is not None, _deepwave()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", deepwave.MigrationWarning)  # of what releases before 0.1 did
            warnings.filterwarnings("ignore", "At least six grid cells per wavelength")  # told above, by order
            *_, recorded = (deepwave.scalar_born if born else deepwave.scalar)(
                per_shot(velocity),
                self.grid.spacing_km,
                self.step_s,
                **({"dv": per_shot(perturbation)} if born else {}),
                sources={"u": source},
                receivers={"u": self._receiver_cells.to(velocity.device).expand(num * sources, -1, -1)},
                accuracy=self.accuracy,
                pml_width=self.pml_cells,
                pml_freq=self._peak_hz,
                max_vel=self.max_velocity_kms,
                courant_number=self._courant,
            )
        return (self._gather.to(velocity) @ recorded[..., :: self._substeps]).mT.reshape(num, -1)


class AcousticOperator(_WaveOperator):
    """F(v): velocity (B, nx, nz) in km/s -> traces (B, S * nt * R) in the order [source, time, receiver].

    grid, acquisition: positions may lie between cell centers (Hicks 2002: a windowed sinc), where data nearer than 10
    cells to the source are less exact, 4 % off at 4 cells. wavelet: (nt,), one sample every dt_s; the scheme
    interpolates it where it needs a smaller step, ``step_s``. max_velocity_kms: sets that step for every model alike.
    accuracy: order in space, 2, 4, 6 or 8; in time it is 2. pml_cells: thickness of the absorbing layer.

    Reverse mode is the exact gradient of the discrete scheme, forward mode (jvp) its derivative; a second derivative
    raises ``NotImplementedError``, torch.func.vmap ``RuntimeError``. Reverse mode keeps every step of the field of
    every source and model in memory, 0.3 GB a model for OpenFWI's survey in single precision; what the estimate puts
    above ``max_bytes`` is refused before it is begun.
    Dtype and device follow the input. Raises ``ValueError`` or ``TypeError`` naming the argument; warns when the
    slowest velocity makes too few cells per wavelength. Velocities outside .1 to 20 km/s, and less than 2 cells per
    wavelength at the wavelet's peak, are refused: a unit is wrong; outside .3 to 9 km/s they are warned of, once.

    Example:
        >>> import torch
        >>> from memprior.fields import Grid
        >>> from memprior.waves import AcousticOperator, Acquisition, ricker
        >>> survey = Acquisition(torch.tensor([[0.1, 0.05]]), torch.tensor([[0.05, 0.05], [0.15, 0.05]]))
        >>> operator = AcousticOperator(Grid((20, 20), 0.01), survey, ricker(15.0, 200, 0.001), 0.001)
        >>> operator(torch.full((1, 20, 20), 2.0)).shape  # 1 source, 200 samples, 2 receivers
        torch.Size([1, 400])
    """

    def __call__(self, velocity: torch.Tensor) -> torch.Tensor:
        self._expect_models("velocity", velocity)
        self._expect_velocity("velocity", velocity)
        self._expect_fits("velocity", velocity)
        return simulate(velocity, self._run, self._run)


class BornOperator(_WaveOperator):
    """F(dv): perturbation of the velocity (B, nx, nz) in km/s -> first-order change of the traces, (B, S * nt * R).

    The derivative of :class:`AcousticOperator` at ``background`` (nx, nz), km/s: linear, without the direct wave. The
    perturbation has the background's dtype and device. All else as there.

    Example:
        >>> import torch
        >>> from memprior.fields import Grid
        >>> from memprior.waves import Acquisition, BornOperator, ricker
        >>> survey = Acquisition(torch.tensor([[0.1, 0.05]]), torch.tensor([[0.05, 0.05], [0.15, 0.05]]))
        >>> background, wavelet = torch.full((20, 20), 2.0), ricker(15.0, 200, 0.001)
        >>> operator = BornOperator(Grid((20, 20), 0.01), survey, wavelet, 0.001, background=background)
        >>> float(operator(torch.zeros(1, 20, 20)).abs().max())  # linear: no perturbation, no change
        0.0
    """

    def __init__(
        self,
        grid: Grid,
        acquisition: Acquisition,
        wavelet: torch.Tensor,
        dt_s: float,
        *,
        background: torch.Tensor,
        max_velocity_kms: float = 5.0,
        accuracy: int = 8,
        pml_cells: int = 20,
        max_bytes: float = MAX_BYTES,
    ):
        super().__init__(
            grid,
            acquisition,
            wavelet,
            dt_s,
            max_velocity_kms=max_velocity_kms,
            accuracy=accuracy,
            pml_cells=pml_cells,
            max_bytes=max_bytes,
        )
        expect_tensor("background", background, str(grid.shape))
        expect(background.shape == grid.shape, "background", f"shape {grid.shape}", tuple(background.shape))
        self._expect_velocity("background", background)
        self.background = background.detach()

    def __call__(self, perturbation: torch.Tensor) -> torch.Tensor:
        self._expect_models("perturbation", perturbation)
        expect_like("perturbation", perturbation, self.background)
        expect_finite("perturbation", perturbation)
        self._expect_fits("perturbation", perturbation)

        def scattered(models):
            return self._run(self.background.expand_as(models), models)

        return simulate(perturbation, scattered, lambda _, tangent: scattered(tangent))


def _spread(places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cells (n, K, 2) over which each point is spread, and their weights (n, K), float64; ``places`` (n, 2) in cells.

    A point on a cell's center has one cell; the others of its K are marked as ignored, with weight 0.
    """
    deepwave = _deepwave()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", deepwave.MigrationWarning)
        window = deepwave.Hicks(places[:, None], halfwidth=_HALFWIDTH, dtype=torch.float64)
    return window.get_locations(), window.source(torch.ones(len(places), 1, 1, dtype=torch.float64))[..., 0]


def _deepwave():
    """The package: compiled code that only these two operators need, loaded with the first of them."""
    try:
        import deepwave.discretisation
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"waves.time_domain: expected deepwave, got {error}; pip install 'priors-that-remember[waves]'"
        ) from error
    return deepwave
