"""The forward operator: squared slowness on a grid to frequency-domain data, for any acquisition."""

import math
import warnings
from collections.abc import Iterable, Sequence
from numbers import Real

import torch

from memprior._check import (
    FASTEST_KMS,
    MAX_BYTES,
    SLOWEST_KMS,
    USUAL_KMS,
    expect,
    expect_finite,
    expect_fits,
    expect_tensor,
    expect_velocities,
    expect_whole,
    positive_number,
)
from memprior._derivatives import derivatives_wanted, differentiable
from memprior.fields import Grid
from memprior.waves.acquisition import Acquisition
from memprior.waves.helmholtz import choice
from memprior.waves.helmholtz.choice import choose_axes
from memprior.waves.helmholtz.cost import cost
from memprior.waves.helmholtz.solver import FrequencySolver, State

WARN_BELOW = 4.0  # nodes to a wavelength: data are then off by several per cent
# Growth of a complex64 factorisation above which the model is solved again in complex128. The relative error of the
# data is at most 5e-6 growth^2 (1200 published models on four meshes; 1e-6 on the chapters' mesh): below 1e-3 at 14.
REPAIR_ABOVE = 14.0
WARN_ABOVE = 3e5  # the same in complex128, within a millionth of a resonance: data are good to some 1e-4
SHARP = "squared_slowness: expected contrasts that the cubic between cells carries without overshooting"
_DIFFERENCES = "donot_use_mm_for_euclid_dist"  # distances by differences, not by products, which lose digits
_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}
CHUNK = {"cpu": 16, "cuda": 256}  # models factored at once: what stays in a cache, or fills a GPU


class HelmholtzOperator:
    """F(m): data of (omega^2 m + Laplacian) u = delta(x - x_s), outgoing as exp(-i omega t), at the receivers.

    In a homogeneous medium u = -(i/4) H0^(1)(k r) (paper, FWI). m: squared slowness (B, nx, nz), s^2/km^2, at the cell
    centers of ``grid``, in float32 or float64; data (B, F * 2 * S * R) of the same dtype: for each frequency the real
    parts [source, receiver], then the imaginary parts. Each member of the batch on its own; reverse and forward mode;
    on m's device.

    Spectral elements of ``order``, ``elements`` of them (across, down), solved directly. The model is carried to their
    nodes by :meth:`~memprior.waves.helmholtz.mesh.Axis.from_cells`; outside the square it goes on as it is at the face,
    in ``num_layers`` absorbing elements of complex length ``layer_km`` (across, down) on each side. Sources and
    receivers are points anywhere in the square: their loads are the nodal polynomials there, so data do not depend on
    the cells.

    Mesh and layers are chosen for 1.5 to 3.5 km/s, and the layers for the survey too, unless they are given (one layer
    if only ``layer_km`` is). Errors of what is chosen, order 8, over 2 km (blocks: 6 Hz is held by a test):

    - homogeneous, 1 to 15 Hz, sources and receivers on faces and corners too: each datum 1.1 % at the most against the
      Green's function, all together 0.3 %, an element (at most a third of a km) or more from the source;
    - nearer than that up to 21 % from half an element on and 42 % from a tenth on, which is warned of: the point source
      is singular, the elements are not;
    - random blocks of 250 m, 1.5 to 3.5 km/s, on 64 x 64 cells, against the blocks themselves: 3 % at 3 Hz, 7 % at 6 Hz
      and 6 % at 12 Hz; of 500 m .3, 1.5 and 3 %; of 500 m, 1.5 or 6 km/s, 5 % at 3 Hz and 8 % at 6 Hz. On 12 x 12
      elements at 6 Hz 2.8 % and 1 %: the rest is the cubic between cells.

    Velocities outside .1 to 20 km/s are refused, since a unit is wrong, and outside .3 to 9 km/s warned of, once. Where
    the cubic overshoots at sharp contrasts its nodes are limited to the former, which is warned of, once;
    derivatives are those of the limited model. limit_nodes: False solves what the cubic makes. any_velocity: none of
    this, every squared slowness > 0 is solved as it is (for samplers). max_bytes: work whose estimate, ``costs`` of
    each frequency, is above it is refused before it is begun: a mesh at construction, a batch at its call.

    dtype: complex64 or complex128, of the arithmetic inside. Where complex64 would lose digits the model is solved
    again in complex128 (its :meth:`growth` is above ``repair_above``), and ``num_repaired`` counts it, of
    ``num_solved``. ``axes``: the mesh of each frequency.

    Raises ``ValueError`` or ``TypeError`` naming the argument, for positions outside the grid too; warns when there
    are fewer than 4 nodes to the shortest wavelength, here at 1.5 km/s and at each call at its slowest cell.

    Example:
        >>> import torch
        >>> from memprior.fields import Grid
        >>> from memprior.waves import Acquisition, HelmholtzOperator
        >>> survey = Acquisition(torch.tensor([[0.5, 0.1]]), torch.tensor([[0.2, 0.9], [0.8, 0.9]]))
        >>> operator = HelmholtzOperator(Grid((10, 10), 0.1), survey, 3.0)
        >>> operator(torch.full((1, 10, 10), 0.25)).shape  # 2 km/s; real parts, then imaginary parts
        torch.Size([1, 4])
    """

    def __init__(
        self,
        grid: Grid,
        acquisition: Acquisition,
        frequency_hz: float | Sequence[float],
        *,
        dtype: torch.dtype = torch.complex128,
        order: int = 8,
        elements: tuple[int, int] | None = None,
        layer_km: tuple[complex, complex] | None = None,
        num_layers: int | None = None,
        repair_above: float = REPAIR_ABOVE,
        any_velocity: bool = False,
        limit_nodes: bool = True,
        max_bytes: float = MAX_BYTES,
    ):
        expect(isinstance(grid, Grid), "grid", "a fields.Grid", type(grid).__name__)
        expect(isinstance(acquisition, Acquisition), "acquisition", "an Acquisition", type(acquisition).__name__)
        acquisition.expect_inside(grid)
        frequencies = frequency_hz if isinstance(frequency_hz, Sequence) else [frequency_hz]
        expect(len(frequencies) > 0, "frequency_hz", "at least one frequency", frequency_hz)
        self.frequencies_hz = tuple(positive_number("frequency_hz", f) for f in frequencies)
        expect(dtype in (torch.complex64, torch.complex128), "dtype", "torch.complex64 or torch.complex128", dtype)
        expect_whole("order", order, 2)
        if num_layers is not None:
            expect_whole("num_layers", num_layers, 1)
        trust = isinstance(repair_above, Real) and repair_above > 0
        expect(trust, "repair_above", "a number > 0, or infinity", repr(repair_above))
        self.grid, self.acquisition, self.dtype = grid, acquisition, dtype
        self.repair_above, self.num_solved, self.num_repaired = repair_above, 0, 0
        self.allowed = None if any_velocity else (FASTEST_KMS**-2 * (1 - 1e-5), SLOWEST_KMS**-2 * (1 + 1e-5))
        self.limit_nodes = limit_nodes
        self.max_bytes = positive_number("max_bytes", max_bytes)
        self.axes = [
            choose_axes(grid, acquisition, f, order, elements, layer_km, num_layers) for f in self.frequencies_hz
        ]
        self.costs = [cost(axes, *self.data_shape, dtype) for axes in self.axes]
        self._expect_mesh_fits()
        self._solvers: dict = {}
        self._warned: set[str] = set()
        self._warn_if_coarse(choice.MESH_SLOWEST_KMS, stacklevel=3)
        self._warn_if_near()

    @property
    def data_shape(self) -> tuple[int, int]:
        """(S, R)."""
        return len(self.acquisition.sources_km), len(self.acquisition.receivers_km)

    @property
    def flops_per_gradient(self) -> float:
        """Real multiplications and additions in the matrix algebra of one model's data and gradient."""
        return sum(one.flops for one in self.costs)

    @property
    def bytes_per_model(self) -> int:
        """Size of one model's factors, which wait for the gradient."""
        return sum(one.factor_bytes for one in self.costs)

    @property
    def nodes_per_kms(self) -> float:
        """Nodes per wavelength for each km/s of velocity, the least over frequencies and directions."""
        pairs = zip(self.frequencies_hz, self.axes, strict=True)
        return min(axis.order / axis.element_km / frequency for frequency, axes in pairs for axis in axes)

    def __call__(self, squared_slowness: torch.Tensor) -> torch.Tensor:
        self._expect_model(squared_slowness)
        keeping = derivatives_wanted(squared_slowness)
        self._expect_batch_fits(squared_slowness, keeping=keeping)
        return differentiable(squared_slowness, _Solve(self, keeping=keeping))

    @torch.no_grad()
    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        """dF/dm at each x_b, (B, m, nx * nz): one solve for every source and receiver, by reciprocity."""
        self._expect_model(x)
        self._expect_batch_fits(x, result=2 * math.prod(self.data_shape) * len(self.axes) * x[0].nbytes)
        parts = [_over(passes, FrequencySolver.jacobian) for passes in self._passes(x)]
        return torch.cat([_real(part.flatten(3).to(_COMPLEX[x.dtype])) for part in parts], 1)

    @torch.no_grad()
    def wavefields(self, squared_slowness: torch.Tensor) -> torch.Tensor:
        """u of every frequency and source at the grid's cell centers, complex (B, F, S, nx, nz)."""
        self._expect_model(squared_slowness)
        self._expect_batch_fits(
            squared_slowness, result=self.data_shape[0] * len(self.axes) * 2 * squared_slowness[0].nbytes
        )
        centers = self.grid.centers_km(0), self.grid.centers_km(1)

        def shown(solver, state):
            return solver.wavefields(state, *centers)

        return torch.stack([_over(passes, shown) for passes in self._passes(squared_slowness)], 1)

    @torch.no_grad()
    def growth(self, squared_slowness: torch.Tensor) -> torch.Tensor:
        """Growth of rounding errors in the elimination of every model and frequency, (B, F): near resonances large."""
        self._expect_model(squared_slowness)
        self._expect_batch_fits(squared_slowness)
        passes = self._passes(squared_slowness)
        return torch.stack([_over(one, lambda _, state: state.factors.growth()) for one in passes], 1)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _expect_model(self, m: torch.Tensor) -> None:
        shape = f"(B, {self.grid.shape[0]}, {self.grid.shape[1]})"
        expect_tensor("squared_slowness", m, shape)
        expect(m.device.type in CHUNK, "squared_slowness", f"a tensor on {' or '.join(CHUNK)}", m.device)
        expect(m.dtype in _COMPLEX, "squared_slowness", "dtype torch.float32 or torch.float64", m.dtype)
        good = m.ndim == 3 and len(m) > 0 and m.shape[1:] == self.grid.shape
        expect(good, "squared_slowness", f"shape {shape}, B >= 1", tuple(m.shape))
        expect_finite("squared_slowness", m)
        low, high = (float(value) for value in m.detach().aminmax())
        expect(low > 0, "squared_slowness", "every cell > 0 s^2/km^2", f"{low:g} at the least")
        slow, fast = high**-0.5, low**-0.5
        if self.allowed is not None and not expect_velocities("squared_slowness", slow, fast, "s^2/km^2"):
            usual = f"from {USUAL_KMS[0]:g} to {USUAL_KMS[1]:g} km/s"
            self._tell(f"squared_slowness: expected velocities of rocks, {usual}, got {slow:.3g} to {fast:.3g}", 4)
        self._warn_if_coarse(slow, stacklevel=4)

    def _tell(self, words: str, stacklevel: int) -> None:
        """A warning, once for each operator and kind: its words before the numbers."""
        kind = words.split(", got")[0]
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(words, stacklevel=stacklevel + 1)

    def _expect_mesh_fits(self) -> None:
        width, depth = (cells * self.grid.spacing_km for cells in self.grid.shape)
        largest, (across, down) = max(zip(self.costs, self.axes, strict=True), key=lambda pair: pair[0].unknowns)
        expect_fits(
            "grid",
            max(max(one.making_bytes for one in self.costs), self._bytes(1, keeping=True)),
            self.max_bytes,
            f"{largest.unknowns:.2g} unknowns, {self.flops_per_gradient:.2g} operations a model "
            f"({across.num_elements} x {down.num_elements} elements over {width:g} km x {depth:g} km)",
            "is spacing_km in km? Take a smaller rectangle, lower frequencies, fewer elements, or raise max_bytes",
        )

    def _expect_batch_fits(self, m: torch.Tensor, *, keeping: bool = False, result: int = 0) -> None:
        """``result``: bytes that a model's result takes."""
        expect_fits(
            "squared_slowness",
            self._bytes(len(m), keeping=keeping, chunk=CHUNK[m.device.type]) + len(m) * result,
            self.max_bytes,
            f"a batch of {len(m)}" + " with all that its gradient needs" * keeping,
            "take it in parts, or raise max_bytes",
        )

    def _bytes(self, num_models: int, *, keeping: bool, chunk: int = 1) -> int:
        shared, per_model = (sum(getattr(one, name) for one in self.costs) for name in ("matrix_bytes", "kept_bytes"))
        work = max(one.work_bytes + (0 if keeping else one.kept_bytes) for one in self.costs)
        return shared + min(num_models, chunk) * work + (num_models * per_model if keeping else 0)

    def _warn_if_near(self) -> None:
        sources, receivers = (x.cpu().double() for x in (self.acquisition.sources_km, self.acquisition.receivers_km))
        distances = torch.cdist(sources, receivers, compute_mode=_DIFFERENCES)
        element_km = max(axis.element_km for axes in self.axes for axis in axes)
        near = int((distances < element_km * (1 - 1e-9)).sum())
        if near:
            self._tell(
                f"acquisition: expected receivers an element ({element_km:.3g} km) or more from sources, got {near} of "
                f"{distances.numel()} pairs nearer, the nearest {float(distances.min()):.3g} km: their data are off by "
                f"up to 21 % from half an element on, 42 % from a tenth on, and more below; finer elements mend it",
                3,
            )

    def _warn_if_coarse(self, slowest_kms: float, *, stacklevel: int) -> None:
        nodes = self.nodes_per_kms * slowest_kms
        if nodes < WARN_BELOW:
            warnings.warn(
                f"expected at least {WARN_BELOW} nodes to the shortest wavelength, got {nodes:.1f} "
                f"(at {slowest_kms:.2f} km/s and {max(self.frequencies_hz):g} Hz): data are off by several per cent",
                stacklevel=stacklevel,
            )

    def _warn_if_limited(self, state: State) -> None:
        if state.free is not None and SHARP not in self._warned and not bool(state.free.all()):
            self._warned.add(SHARP)
            warnings.warn(
                f"{SHARP}, got {int((~state.free).sum())} nodes that had to be limited to {SLOWEST_KMS:g} to "
                f"{FASTEST_KMS:g} km/s: data are off by up to tens of per cent; finer or smoother cells mend it",
                stacklevel=2,
            )

    def _solver(self, index: int, dtype: torch.dtype, device: torch.device) -> FrequencySolver:
        key = index, dtype, device
        if key not in self._solvers:
            self._solvers[key] = FrequencySolver(
                self.grid,
                self.acquisition,
                self.frequencies_hz[index],
                self.axes[index],
                dtype=dtype,
                device=device,
                allowed=self.allowed if self.limit_nodes else None,
            )
        return self._solvers[key]

    def _passes(self, model: torch.Tensor) -> list["_Passes"]:
        """For each frequency, chunk by chunk and only when asked, the solved models."""
        return [self._frequency(model, index) for index in range(len(self.frequencies_hz))]

    def _frequency(self, model: torch.Tensor, index: int) -> "_Passes":
        for chunk in model.split(CHUNK[model.device.type]):
            solver = self._solver(index, self.dtype, model.device)
            solved: list[_Pass] = [(slice(None), solver, solver.forward(chunk))]
            self.num_solved += len(chunk)
            self._warn_if_limited(solved[0][2])
            if self.dtype == torch.complex64 and len(doubtful := _above(self.repair_above, solved[0][2])):
                solver = self._solver(index, torch.complex128, model.device)
                solved.append((doubtful, solver, solver.forward(chunk[doubtful])))
                self.num_repaired += len(doubtful)
            if solver.matrix.dtype == torch.complex128 and len(_above(WARN_ABOVE, solved[-1][2])):
                warnings.warn(
                    "a model within a millionth of a resonance of the mesh: data good to some 1e-4", stacklevel=2
                )
            yield solved


def _above(limit: float, state: State) -> torch.Tensor:
    """Members whose elimination grew above ``limit``, or to no number at all."""
    return torch.nonzero(~(state.factors.growth() <= limit))[:, 0]


# Solved models of one frequency, a list for each chunk: which members, by which solver, their state. Members that were
# solved again come again, and what they then give replaces what they gave.
_Pass = tuple[slice | torch.Tensor, FrequencySolver, State]
_Passes = Iterable[list[_Pass]]


def _over(passes: _Passes, call, *batched: torch.Tensor) -> torch.Tensor:
    """call(solver, state, *its rows of every ``batched``) over all passes, as one batch."""
    pieces, start = [], 0
    for solved in passes:
        size = len(solved[0][2].data)
        own = [tensor[start : start + size] for tensor in batched]
        for members, solver, state in solved:
            piece = call(solver, state, *(tensor[members] for tensor in own))
            if isinstance(members, slice):
                pieces.append(piece)
            else:
                pieces[-1][members] = piece.to(pieces[-1].dtype)
        start += size
    return torch.cat(pieces)


def _real(data: torch.Tensor) -> torch.Tensor:
    """Complex (B, S, R, ...) to (B, 2 * S * R, ...): real parts, then imaginary parts."""
    return torch.view_as_real(data).movedim(-1, 1).flatten(1, 3)


class _Solve:
    """Data of some models. passes: by frequency, if derivatives are to come; otherwise these solve again."""

    def __init__(self, operator: HelmholtzOperator, *, keeping: bool):
        self.operator, self.keeping = operator, keeping
        self.passes: Sequence[_Passes] | None = None

    def forward(self, model: torch.Tensor) -> torch.Tensor:
        passes: Sequence[_Passes] = self.operator._passes(model)
        if self.keeping:
            passes = self.passes = [list(one) for one in passes]
        return self._stacked(model, passes, lambda _, state: state.data)

    def backward(self, model: torch.Tensor, cotangent: torch.Tensor) -> torch.Tensor:
        parts = cotangent.unflatten(1, (-1, 2, *self.operator.data_shape)).unbind(1)
        passes = self.passes or self.operator._passes(model)
        gradients = (
            _over(one, FrequencySolver.gradient, torch.complex(part[:, 0], part[:, 1]))
            for one, part in zip(passes, parts, strict=True)
        )
        return sum(gradients, start=model.new_zeros(())).to(model.dtype)

    def tangent(self, model: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        passes = self.passes or self.operator._passes(model)
        return self._stacked(model, passes, FrequencySolver.tangent, direction)

    def _stacked(self, model, passes, call, *batched) -> torch.Tensor:
        return torch.cat([_real(_over(one, call, *batched).to(_COMPLEX[model.dtype])) for one in passes], 1)
