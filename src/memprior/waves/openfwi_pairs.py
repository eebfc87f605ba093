"""Records and models that belong together, as OpenFWI and its Kaggle competition pair them: made, found and checked.

Models come in two forms. As the files and :mod:`memprior.geology` have them: (n, depth, x) in m/s. As the operators
take them and :func:`~memprior.waves.openfwi.read_openfwi_models` returns them: (n, x, depth) in km/s.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from memprior._check import (
    FASTEST_KMS,
    SLOWEST_KMS,
    expect,
    expect_finite,
    expect_tensor,
    expect_velocities,
    expect_whole,
    positive_number,
)
from memprior.fields import Grid
from memprior.waves.acquisition import Acquisition
from memprior.waves.openfwi import read_openfwi_data, read_openfwi_models
from memprior.waves.time_domain import AcousticOperator, Survey, openfwi_acquisition, ricker
from memprior.waves.time_domain.survey import amplitudes

# Of the scattered misfit, the geometric mean of what was measured on both sides of it, 150 models at 35 cells: right
# pairs in half precision with noise of 5 % of the median amplitude reach .03, models that are .3 km/s too fast below
# their first layer begin at .08, mirrored ones at .19, others at .7.
PAIR_LIMIT = 0.05
_ALIASED = 1e-6  # of the wavelet's energy, that may lie above the Nyquist frequency: 1e-3 of its amplitude
_AMPLITUDE = 0.05  # by which a record's amplitude may differ: simulators agree to some 1 % of the direct wave
_LEAST_SCATTERED = 0.01  # of the record: a homogeneous model scatters nothing


def coarse_openfwi_acquisition() -> Survey:
    """OpenFWI's survey on 35 x 35 cells of 20 m, at half its frequency: 3 sources, 500 samples of 2 ms, 35 receivers.

    The same in cells and samples as :func:`~memprior.waves.time_domain.survey.openfwi_acquisition`, but for their
    numbers: 7.5 Hz Ricker, sources in columns 0, 17 and 34, all in the second row; its amplitude, -(20 m)^2, by the
    same rule.

    Example:
        >>> from memprior.waves import coarse_openfwi_acquisition
        >>> survey = coarse_openfwi_acquisition()
        >>> survey.grid, survey.wavelet.shape
        (Grid(shape=(35, 35), spacing_km=0.02), torch.Size([500]))
    """
    grid = Grid((35, 35), 0.02)
    receivers = torch.stack([grid.centers_km(0), grid.centers_km(1)[1].expand(35)], dim=1)
    wavelet = -400 * ricker(7.5, 500, 0.002, delay_s=0.144)
    return Survey(grid, Acquisition(receivers[[0, 17, 34]], receivers), wavelet, 0.002)


def to_operator(models: torch.Tensor) -> torch.Tensor:
    """(n, depth, x) in m/s to (n, x, depth) in km/s; of one model too.

    Raises ``ValueError`` unless all are some rock's velocities in m/s, ``TypeError`` for what is no tensor.

    Example:
        >>> import torch
        >>> from memprior.waves import to_operator
        >>> to_operator(torch.tensor([[1500.0, 2000.0]]))
        tensor([[1.5000],
                [2.0000]])
    """
    expect_tensor("models", models, "(n, depth, x)")
    expect(models.ndim in (2, 3) and models.numel() > 0, "models", "shape (n, depth, x)", tuple(models.shape))
    expect_finite("models", models)
    slow, fast = (float(value) / 1000 for value in models.detach().aminmax())
    expect_velocities("models", slow, fast, "m/s")
    return (models.mT / 1000).contiguous()


def energy_above_nyquist(wavelet: torch.Tensor, dt_s: float, every: int) -> float:
    """Share of the wavelet's energy above the Nyquist frequency of every ``every``-th sample, 1 / (2 every dt_s).

    A record has the wavelet's spectrum times that of the medium's response, which in two dimensions falls with
    frequency: what the wavelet does not hold is not in the record either.

    Example:
        >>> from memprior.waves import coarse_openfwi_acquisition, energy_above_nyquist
        >>> survey = coarse_openfwi_acquisition()
        >>> energy_above_nyquist(survey.wavelet, survey.dt_s, 4) < 1e-8  # 62.5 Hz
        True
    """
    expect_tensor("wavelet", wavelet, "(nt,)")
    expect_whole("every", every, 1)
    energy = amplitudes(wavelet).square()
    frequencies = torch.fft.rfftfreq(8 * len(wavelet), dt_s)
    return float(energy[frequencies > 1 / (2 * every * dt_s)].sum() / energy.sum())


@torch.no_grad()
def simulate_records(
    models: torch.Tensor,
    operator: AcousticOperator,
    *,
    every: int = 1,
    batch_size: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> torch.Tensor:
    """Shot records of velocity models.

    Args:
        models: (num, H, W) in m/s, depth first; of the operator's cells.
        operator: the survey, as ``AcousticOperator(*coarse_openfwi_acquisition())``.
        every: keep every so many samples in time, where the wavelet has less than 1e-6 of its energy above the new
            Nyquist frequency.
        batch_size: models at once.
        progress: called with (models done, num) after each batch.

    Returns:
        (num, sources, time, receivers), in the dtype and on the device of ``models``.

    Raises:
        ValueError: models of other cells or not in m/s, numbers that are not whole or below 1, and a wavelet that
            ``every`` would alias. What the operator refuses.
        TypeError: models that are no tensor.

    Example:
        >>> import torch
        >>> from memprior.waves import AcousticOperator, coarse_openfwi_acquisition, simulate_records
        >>> operator = AcousticOperator(*coarse_openfwi_acquisition())
        >>> simulate_records(torch.full((1, 35, 35), 2000.0), operator, every=4).shape
        torch.Size([1, 3, 125, 35])
    """
    velocity = to_operator(models)
    cells = operator.grid.shape[::-1]
    expect(models.ndim == 3 and models.shape[1:] == cells, "models", f"shape (num, *{cells})", tuple(models.shape))
    expect_whole("batch_size", batch_size, 1)
    aliased = energy_above_nyquist(operator.wavelet, operator.dt_s, every)
    few = f"a number that leaves at most {_ALIASED:g} of the wavelet's energy above the Nyquist frequency"
    expect(aliased <= _ALIASED, "every", few, f"{every}: {aliased:.2g} above {1 / (2 * every * operator.dt_s):g} Hz")
    records = []
    for start in range(0, len(velocity), batch_size):
        some = velocity[start : start + batch_size]
        # A copy, or each batch would keep the samples that are left out.
        records.append(operator.traces(operator(some))[:, :, ::every].clone())
        if progress is not None:
            progress(start + len(some), len(velocity))
    return torch.cat(records)


def openfwi_model_file(path: str | Path) -> Path:
    """The file of models beside a file of records, by the names that OpenFWI and Kaggle give them.

    data/data1.npy goes with model/model1.npy, seis2_1_0.npy with vel2_1_0.npy. Only the file's own name and that of the
    folder that it lies in are changed. ``ValueError`` for another name; the file need not exist.

    Example:
        >>> from memprior.waves import openfwi_model_file
        >>> openfwi_model_file("FlatVel_A/data/data1.npy").as_posix()
        'FlatVel_A/model/model1.npy'
    """
    path = Path(path)
    for record, model in (("data", "model"), ("seis", "vel")):
        if path.name.startswith(record):
            folder = path.parent.with_name(model) if path.parent.name == record else path.parent
            return folder / path.name.replace(record, model, 1)
    raise ValueError(f"{path}: expected a file of records, data*.npy or seis*.npy, got another name")


def read_openfwi_pairs(path: str | Path, *, samples: slice | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Records (n, 5, 1000, 70) of a file and the models (n, 70, 70) of the file beside it, sample by sample.

    As :func:`~memprior.waves.openfwi.read_openfwi_data` and :func:`~memprior.waves.openfwi.read_openfwi_models` return
    them: models in km/s, x first. Raises as those do, and ``ValueError`` for numbers of samples that differ, and for a
    record of Kaggle's test set, which has no model.

    Example:
        >>> import numpy as np, pathlib, tempfile
        >>> from memprior.waves import read_openfwi_pairs
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> np.save(folder / "seis1.npy", np.zeros((2, 5, 1000, 70), np.float32))
        >>> np.save(folder / "vel1.npy", np.full((2, 1, 70, 70), 2000.0, np.float32))
        >>> records, models = read_openfwi_pairs(folder / "seis1.npy")
        >>> records.shape, models[0, 0, 0]
        (torch.Size([2, 5, 1000, 70]), tensor(2.))
    """
    model_file = openfwi_model_file(path)
    records, models = read_openfwi_data(path, samples=samples), read_openfwi_models(model_file, samples=samples)
    expect(len(records) == len(models), str(model_file), f"{len(records)} models, as records", len(models))
    return records, models


@dataclass(frozen=True)
class PairMisfit:
    """How far a record d is from that of a model, F(m).

    Attributes:
        misfit: ``|a d - F(m)| / |a d|``. The direct wave carries it, so it hardly sees what lies deep.
        scattered_misfit: ``|a d - F(m)| / |a d - F(m_top)|``, where the model m_top goes on downwards with the first
            row of m: the denominator is what the structure scatters. It is at least .01 of ``|a d|``.
        scattered_share: ``|a d - F(m_top)| / |a d|``.
        amplitude: a, between .95 and 1.05, with which ``|a d - F(m)|`` is least.
    """

    misfit: float
    scattered_misfit: float
    scattered_share: float
    amplitude: float


def pair_misfit(
    data: torch.Tensor, model: torch.Tensor, *, operator: AcousticOperator | None = None, every: int = 1
) -> PairMisfit:
    """The misfits of a record beside a model, without a verdict.

    Arguments and errors are those of :func:`~memprior.waves.openfwi_pairs.check_openfwi_pair`.

    Example:
        >>> import torch
        >>> from memprior.waves import AcousticOperator, coarse_openfwi_acquisition, pair_misfit, simulate_records
        >>> operator, model = AcousticOperator(*coarse_openfwi_acquisition()), torch.full((35, 35), 2000.0)
        >>> model[20:] = 3000.0
        >>> record = simulate_records(model[None], operator)[0]
        >>> pair_misfit(record, model, operator=operator).scattered_misfit
        0.0
    """
    pair = _Pair(data, model, operator, every)
    return pair.of(pair.velocity)


def check_openfwi_pair(
    data: torch.Tensor,
    model: torch.Tensor,
    *,
    operator: AcousticOperator | None = None,
    every: int = 1,
    limit: float = PAIR_LIMIT,
) -> PairMisfit:
    """Do a record and a model belong together?

    The scattered misfit decides. The limit, .05, lies between right pairs with rounding and noise and models that are
    .3 km/s too fast below their first layer. It asks for the scheme that made the record: stencils of order 4 and 8
    are .05 to .3 apart, where the slowest wave has 4 cells. It cannot see what the record does not, such as an error in
    the last layer alone, or below the waves that come back within the record's time.

    Args:
        data: a record, (S, T, R) or (1, S, T, R), in the operator's amplitude.
        model: a map in m/s, depth first, or in km/s, x first: (70, 70) or (1, 70, 70).
        operator: the survey; by default OpenFWI's at its stencil order, 4.
        every: of the operator's samples in time the record has every so many.
        limit: of the scattered misfit, > 0.

    Returns:
        The pair's misfits.

    Raises:
        ValueError: shapes, numbers that are not finite, or velocities in no such unit; and a pair whose scattered
            misfit is above the limit, with a reason where a mirrored, transposed or upturned model or a record in
            another amplitude would fit.
        TypeError: an argument that is no tensor.

    Example:
        >>> import torch
        >>> from memprior.waves import AcousticOperator, coarse_openfwi_acquisition
        >>> from memprior.waves import check_openfwi_pair, simulate_records
        >>> operator, model = AcousticOperator(*coarse_openfwi_acquisition()), torch.full((35, 35), 2000.0)
        >>> model[20:] = 3000.0
        >>> record = simulate_records(model[None], operator)[0]
        >>> round(check_openfwi_pair(record, model, operator=operator).scattered_share, 1)
        0.1
    """
    limit = positive_number("limit", limit)
    pair = _Pair(data, model, operator, every)
    found = pair.of(pair.velocity)
    numbers = f"{found.scattered_misfit:.3g}, with a misfit of the whole record of {found.misfit:.3g}"
    expect(
        found.scattered_misfit <= limit,
        "data, model",
        f"a record and its model, of a scattered misfit of at most {limit:g}",
        lambda: numbers + pair.reason(limit),
    )
    return found


class _Pair:
    """A record and a model of the operator's axes and unit, checked."""

    def __init__(self, data, model, operator: AcousticOperator | None, every: int):
        self.quiet = operator is None  # the published scheme has few cells per wavelength, and stays as it is
        self.operator = operator or AcousticOperator(*openfwi_acquisition(), accuracy=4)
        expect_whole("every", every, 1)
        self.every = every
        acquisition, times = self.operator.acquisition, len(range(0, len(self.operator.wavelet), every))
        shape = len(acquisition.sources_km), times, len(acquisition.receivers_km)
        self.data = _one("data", data, shape, "source, time, receiver").double()
        self.velocity = _operators_model(model, self.operator.grid.shape)

    @torch.no_grad()
    def simulated(self, model: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """F(m) and F(m_top), (S, T, R) each, float64, of a model (nx, nz) in km/s."""
        with warnings.catch_warnings():
            if self.quiet:
                warnings.filterwarnings("ignore", ".*cells per wavelength")
            both = self.operator(torch.stack([model, model[:, :1].expand_as(model)]))
        own, top = self.operator.traces(both)[:, :, :: self.every].double()
        return own, top

    def best_amplitude(self, own: torch.Tensor) -> float:
        """Factor of the record with which it is nearest to ``own``."""
        return float((own * self.data).sum() / self.data.square().sum())

    def misfit(self, own: torch.Tensor, top: torch.Tensor, amplitude: float) -> PairMisfit:
        data = amplitude * self.data
        size, away, scattered = (float(part.norm()) for part in (data, data - own, data - top))
        return PairMisfit(away / size, away / max(scattered, _LEAST_SCATTERED * size), scattered / size, amplitude)

    def of(self, model: torch.Tensor) -> PairMisfit:
        own, top = self.simulated(model)
        return self.misfit(own, top, min(max(self.best_amplitude(own), 1 - _AMPLITUDE), 1 + _AMPLITUDE))

    def reason(self, limit: float) -> str:
        """What would fit, as the end of a message; empty where nothing does."""
        own, top = self.simulated(self.velocity)
        amplitude = self.best_amplitude(own)
        if amplitude and (scaled := self.misfit(own, top, amplitude).scattered_misfit) <= limit:
            return f"; the record times {amplitude:.4g} has {scaled:.3g}"
        others = {"mirrored left to right": self.velocity.flip(0), "turned upside down": self.velocity.flip(1)}
        if self.velocity.shape[0] == self.velocity.shape[1]:
            others["transposed"] = self.velocity.mT
        for name, other in others.items():
            if (fit := self.of(other).scattered_misfit) <= limit:
                return f"; the model {name} has {fit:.3g}"
        return ""


def _one(name: str, x, shape: tuple[int, ...], axes: str) -> torch.Tensor:
    """``x`` without a leading axis of one; ``ValueError`` unless of ``shape`` then, finite and not all zeros."""
    expect_tensor(name, x, str(shape))
    fits = tuple(x.shape) in (shape, (1, *shape))
    expect(fits, name, f"shape {shape}: {axes}", tuple(x.shape))
    expect_finite(name, x)
    expect(bool(x.any()), name, "a number other than 0", "zeros")
    return x.reshape(shape)


def _operators_model(model, cells: tuple[int, int]) -> torch.Tensor:
    """A map (nx, nz) in km/s, float32 or float64, of one in either form."""
    expect_tensor("model", model, f"{cells[::-1]} in m/s, depth first, or {cells} in km/s, x first")
    expect(model.numel() > 0, "model", f"{cells[0]} x {cells[1]} cells", tuple(model.shape))
    expect_finite("model", model)
    slow, fast = (float(value) for value in model.aminmax())
    metres = slow >= 1000 * SLOWEST_KMS and fast <= 1000 * FASTEST_KMS
    good = metres or (slow >= SLOWEST_KMS and fast <= FASTEST_KMS)
    expect(good, "model", "velocities in m/s or in km/s", f"{slow:.4g} to {fast:.4g}")
    model = model.float() if model.dtype in (torch.float16, torch.bfloat16) else model
    if metres:
        return to_operator(_one("model", model, cells[::-1], "depth, x"))
    return _one("model", model, cells, "x, depth")
