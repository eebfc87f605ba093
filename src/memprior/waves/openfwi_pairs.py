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
)
from memprior.fields import Grid
from memprior.waves.acquisition import Acquisition
from memprior.waves.openfwi import read_openfwi_data, read_openfwi_models
from memprior.waves.time_domain import AcousticOperator, Survey, openfwi_acquisition, ricker
from memprior.waves.time_domain.survey import amplitudes

PAIR_LIMIT = 0.1  # of the scattered misfit; tests/memprior/waves/test_openfwi_pairs.py has both sides of it
_ALIASED = 1e-6  # of the wavelet's energy, that may lie above the Nyquist frequency: 1e-3 of its amplitude
_LEAST_SCATTERED = 0.01  # of the record: simulators differ by as much, and a homogeneous model scatters nothing


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
    """
    model_file = openfwi_model_file(path)
    records, models = read_openfwi_data(path, samples=samples), read_openfwi_models(model_file, samples=samples)
    expect(len(records) == len(models), str(model_file), f"{len(records)} models, as records", len(models))
    return records, models


@dataclass(frozen=True)
class PairMisfit:
    """How far a record d is from that of a model, F(m).

    Attributes:
        misfit: |d - F(m)| / |d|. The direct wave carries it, so it hardly sees what lies deep.
        scattered_misfit: |d - F(m)| / |d - F(m_top)|, where the model m_top goes on downwards with the first row of m:
            the denominator is what m's structure scatters. It is at least .01 of |d|.
        scattered_share: |d - F(m_top)| / |d|.
    """

    misfit: float
    scattered_misfit: float
    scattered_share: float


def pair_misfit(
    data: torch.Tensor, model: torch.Tensor, *, operator: AcousticOperator | None = None, every: int = 1
) -> PairMisfit:
    """The misfits of a record beside a model; as :func:`check_openfwi_pair`, but it does not judge.

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
    return pair.misfits(pair.velocity[None])[0]


def check_openfwi_pair(
    data: torch.Tensor, model: torch.Tensor, *, operator: AcousticOperator | None = None, every: int = 1
) -> PairMisfit:
    """Do a record and a model belong together?

    The scattered misfit decides, at ``PAIR_LIMIT``, .1. A right pair is below it by simulators that differ as much as
    stencils of order 4 and 8 do; a model that is .3 km/s too fast below its first layer is above it. It cannot see
    what the record does not: a layer that no wave comes back from within the record's time.

    Args:
        data: a record, (S, T, R) or (1, S, T, R), in the operator's amplitude.
        model: a map in m/s, depth first, or in km/s, x first: (70, 70) or (1, 70, 70).
        operator: the survey; by default OpenFWI's at its stencil order, 4.
        every: of the operator's samples in time the record has every so many.

    Returns:
        Its misfits.

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
        0.2
    """
    pair = _Pair(data, model, operator, every)
    found = pair.misfits(pair.velocity[None])[0]
    if found.scattered_misfit > PAIR_LIMIT:
        numbers = f"{found.scattered_misfit:.3g} (misfit of the whole record {found.misfit:.3g})"
        expected = f"a record and its model, of scattered misfit at most {PAIR_LIMIT:g}"
        raise ValueError(f"data, model: expected {expected}, got {numbers}{pair.reason()}")
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
    def simulated(self, models: torch.Tensor) -> torch.Tensor:
        """(n, S, T, R), float64, of models one by one."""
        with warnings.catch_warnings():
            if self.quiet:
                warnings.filterwarnings("ignore", ".*cells per wavelength")
            records = [self.operator.traces(self.operator(model[None])) for model in models]
        return torch.cat(records)[:, :, :: self.every].double()

    def misfits(self, models: torch.Tensor) -> list[PairMisfit]:
        """Of models (n, nx, nz), km/s."""
        own, tops = self.simulated(models), self.simulated(models[..., :1].expand_as(models))
        return [self._misfit(one, top) for one, top in zip(own, tops, strict=True)]

    def _misfit(self, own: torch.Tensor, top: torch.Tensor, factor: float = 1.0) -> PairMisfit:
        data = factor * self.data
        size, away, scattered = (float(part.norm()) for part in (data, data - own, data - top))
        return PairMisfit(away / size, away / max(scattered, _LEAST_SCATTERED * size), scattered / size)

    def reason(self) -> str:
        """What would fit, as the end of a message; empty where nothing does."""
        m = self.velocity
        others = {"mirrored left to right": m.flip(0), "turned upside down": m.flip(1)}
        if m.shape[0] == m.shape[1]:
            others["transposed"] = m.mT
        fits = self.misfits(torch.stack(list(others.values())))
        for name, fit in zip(others, fits, strict=True):
            if fit.scattered_misfit <= PAIR_LIMIT:
                return f"; the model {name} has {fit.scattered_misfit:.3g}"
        own, top = self.simulated(torch.stack([m, m[..., :1].expand_as(m)]))
        factor = float((own * self.data).sum() / self.data.square().sum())
        scaled = self._misfit(own, top, factor).scattered_misfit if factor else 1.0
        return f"; the record times {factor:.4g} has {scaled:.3g}" if scaled <= PAIR_LIMIT else ""


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
