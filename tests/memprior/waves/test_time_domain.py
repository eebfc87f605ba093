"""Time-domain waves agree with exact solutions, and their derivatives are those of the scheme."""

import math

import pytest
import torch
from helpers import assert_adjoint, assert_batch_independent, assert_derivative, assert_same
from scipy.special import hankel1

from memprior.fields import Grid
from memprior.operators import jacobian
from memprior.waves import Acquisition
from memprior.waves.time_domain import AcousticOperator, BornOperator, fourier, openfwi_acquisition, ricker

# Two internal steps per sample, at the fastest velocity of 4 km/s that the tiny operators allow.
TINY = Grid((9, 7), 0.01)
TINY_SURVEY = Acquisition(
    torch.tensor([[0.015, 0.015], [0.0555, 0.0235]], dtype=torch.float64),
    torch.tensor([[0.025, 0.045], [0.0615, 0.0355], [0.0015, 0.0695]], dtype=torch.float64),
)
TINY_WAVELET = ricker(20.0, 70, 0.002)
SPEED = 2.0
ON_CENTRES = ([[0.35, 0.35]], [[0.95, 0.47], [0.75, 0.83], [0.55, 0.39]])
BETWEEN = ([[0.358, 0.361]], [[0.953, 0.456], [0.745, 0.837], [0.557, 0.391]])
AT_THE_EDGE = ([[0.0, 0.0], [1.2, 0.6]], [[0.953, 0.456], [0.6, 1.2], [0.557, 0.391]])


def survey(sources, receivers):
    return Acquisition(torch.tensor(sources, dtype=torch.float64), torch.tensor(receivers, dtype=torch.float64))


def tiny_acoustic(**settings):
    return AcousticOperator(TINY, TINY_SURVEY, TINY_WAVELET, 0.002, **{"max_velocity_kms": 4.0, **settings})


def tiny_born(background):
    return BornOperator(TINY, TINY_SURVEY, TINY_WAVELET, 0.002, background=background, max_velocity_kms=4.0)


def tiny_velocity(num, generator):
    return 2 + 0.5 * torch.rand(num, *TINY.shape, generator=generator)


def homogeneous(acquisition, *, cells=60, dt_s=0.002, max_velocity_kms=2.5):
    """A square of 1.2 km and its traces: 2.4 s, long after the last wave has passed."""
    wavelet = ricker(8.0, round(2.4 / dt_s), dt_s)
    grid = Grid((cells, cells), 1.2 / cells)
    operator = AcousticOperator(grid, acquisition, wavelet, dt_s, max_velocity_kms=max_velocity_kms)
    return operator, operator.traces(operator(torch.full((1, cells, cells), SPEED)))


def green(acquisition, frequencies):
    """-(i/4) H0^(1)(k r), (F, S, R)."""
    distance = (acquisition.sources_km[:, None] - acquisition.receivers_km).norm(dim=2)
    k = 2 * math.pi * torch.tensor(frequencies) / SPEED
    return torch.from_numpy(-0.25j * hankel1(0, (k[:, None, None] * distance).numpy()))


@pytest.mark.parametrize("places", [ON_CENTRES, BETWEEN, AT_THE_EDGE], ids=["on centers", "between", "at the edge"])
def test_acoustic_operator_direct_wave_is_the_greens_function(places):
    """Amplitude, sign and phase to 0.1 %: what is left is the tail of 2-D waves after 2.4 s, 0.05 % at 3 Hz."""
    acquisition, frequencies = survey(*places), [3.0, 4.0, 6.0, 10.0]
    operator, traces = homogeneous(acquisition)
    spectra = fourier(traces, operator.wavelet, operator.dt_s, frequencies, step_s=operator.step_s)
    assert ((spectra[0] / green(acquisition, frequencies) - 1).abs() < 1e-3).all()


def test_acoustic_operator_on_finer_cells_is_exact_at_higher_frequencies():
    acquisition, frequencies = survey(*BETWEEN), [3.0, 6.0, 10.0, 15.0]
    operator, traces = homogeneous(acquisition, cells=120)
    spectra = fourier(traces, operator.wavelet, operator.dt_s, frequencies, step_s=operator.step_s)
    assert ((spectra[0] / green(acquisition, frequencies) - 1).abs() < 1e-3).all()


def test_fourier_corrects_the_phase_error_of_the_time_step():
    """Leapfrog is fast by (omega dt)^2 / 24; the next order is (omega dt)^2 / 10 of that."""
    acquisition = survey([[0.35, 0.35]], [[0.95, 0.47]])
    operator, traces = homogeneous(acquisition)
    plain = fourier(traces, operator.wavelet, 0.002, [10.0])[0] / green(acquisition, [10.0])
    lead = (2 * math.pi * 10 * 0.002) ** 2 / 24
    turns = 2 * math.pi * 10 / SPEED * math.hypot(0.6, 0.12)
    assert plain.angle().item() == pytest.approx(-turns * lead, rel=0.03)


@pytest.mark.parametrize(("accuracy", "cells"), [(2, 13.0), (4, 5.33), (6, 3.98), (8, 3.44)])
def test_acoustic_operator_warning_marks_a_phase_error_of_one_percent(accuracy, cells):
    """Measured between two receivers on a row; far from the source to 2 % of that 1 %."""
    hertz = SPEED / (cells * 0.02)
    acquisition = survey([[0.21, 0.21]], [[0.61, 0.21], [1.01, 0.21]])
    operator = AcousticOperator(
        Grid((60, 20), 0.02), acquisition, ricker(12.0, 600, 0.002), 0.002, max_velocity_kms=2.5, accuracy=accuracy
    )
    with pytest.warns(UserWarning, match="cells per wavelength"):
        traces = operator.traces(operator(torch.full((1, 60, 20), SPEED)))
    spectra = fourier(traces, operator.wavelet, 0.002, [hertz], step_s=operator.step_s)[0] / green(acquisition, [hertz])
    turns = 2 * math.pi * hertz / SPEED * 0.4
    assert (spectra[0, 0, 1] / spectra[0, 0, 0]).angle().item() / turns == pytest.approx(0.01, rel=0.03)


def test_acoustic_operator_record_on_long_samples_is_the_fine_one_decimated():
    """The scheme halves a step of 6 ms; interpolation changes only the wavelet's onset, 1e-8 of its peak."""
    records = []
    for dt_s in (0.006, 0.003):
        operator, traces = homogeneous(survey(*BETWEEN), dt_s=dt_s)
        assert operator.step_s == pytest.approx(0.003)
        records.append(traces[:, :, :: round(0.006 / dt_s)])
    assert_same(records[0], records[1], rounding=1e-7)


def test_acoustic_operator_is_reciprocal(generator):
    """Up to the weak asymmetry of the absorbing layer, measured as 6e-6."""
    velocity = 2 + 0.5 * torch.rand(1, 30, 24, generator=generator)
    here, there = [[0.113, 0.078], [0.5, 0.33]], [[0.41, 0.402], [0.03, 0.3], [0.59, 0.03]]
    records = []
    for acquisition in (survey(here, there), survey(there, here)):
        operator = AcousticOperator(Grid((30, 24), 0.02), acquisition, ricker(8.0, 300, 0.002), 0.002)
        records.append(operator.traces(operator(velocity)))
    assert_same(records[0].transpose(1, 3), records[1], rounding=1e-5)


def test_absorbing_layer_reflects_nothing():
    """The record of a small square is that of a large one around it, to 2e-4 of the direct wave (measured: 6e-5)."""
    records = []
    for margin in (0, 60):
        shift = 0.02 * margin
        acquisition = survey(
            [[0.11 + shift, 0.07 + shift]], [[0.41 + shift, 0.33 + shift], [0.59 + shift, 0.03 + shift]]
        )
        grid = Grid((30 + 2 * margin, 24 + 2 * margin), 0.02)
        operator = AcousticOperator(grid, acquisition, ricker(10.0, 400, 0.002), 0.002, max_velocity_kms=2.5)
        records.append(operator(torch.full((1, *grid.shape), SPEED)))
    assert_same(records[0], records[1], rounding=2e-4)


@pytest.mark.parametrize(("accuracy", "limit"), [(2, 1.0), (8, 0.7843)])
def test_acoustic_operator_is_stable_for_the_fastest_model_allowed(accuracy, limit):
    """At 0.94 of the stability limit dt < limit spacing / (sqrt(2) v), 3000 steps: the wave has left, nothing grows."""
    fastest = 0.94 * limit * 0.01 / (math.sqrt(2) * 0.002)
    wavelet = ricker(6.0, 3000, 0.002)
    operator = AcousticOperator(TINY, TINY_SURVEY, wavelet, 0.002, max_velocity_kms=fastest, accuracy=accuracy)
    assert operator.step_s == 0.002
    traces = operator.traces(operator(full(fastest)))
    assert traces[:, :, -1000:].abs().max() < 1e-4 * traces.abs().max()


def test_acoustic_operator_is_openfwis_recursion():
    """Leapfrog of order 4 in meters, on a domain too large for echoes; the wavelet's first sample, 1.5e-4, is lost."""
    shape, pad, num = openfwi_acquisition(), 60, 300
    velocity = torch.full((70, 70), 2500.0)  # [depth, x]
    velocity[20:] = 3500.0
    wide = torch.nn.functional.pad(velocity[None, None], 4 * (pad,), mode="replicate")[0, 0]
    before, now, expected = torch.zeros_like(wide), torch.zeros_like(wide), []
    for s in ricker(15.0, num, 0.001, delay_s=0.073):
        near, far = ([now.roll(by, axis) for by in (n, -n) for axis in (0, 1)] for n in (1, 2))
        after = 2 * now - before + (wide * 0.1 * 0.001) ** 2 * (sum(near) * 4 / 3 - sum(far) / 12 - 5 * now)
        after[pad + 1, pad + 17] += (2500.0 * 0.001) ** 2 * s
        before, now = now, after
        expected.append(now[pad + 1, pad : pad + 70])
    operator = AcousticOperator(*shape._replace(wavelet=shape.wavelet[:num]), accuracy=4)
    traces = operator.traces(operator(velocity.T[None] / 1000))
    assert traces.shape == (1, 5, num, 70)
    assert_same(traces[0, 1], torch.stack(expected), rounding=3e-4)


def test_ricker_is_one_at_its_peak_and_has_its_peak_frequency():
    wavelet = ricker(10.0, 400, 0.001, delay_s=0.2)
    assert (wavelet[200].item(), wavelet.argmax().item()) == (1.0, 200)
    hertz = torch.fft.rfftfreq(8000, 0.001)
    assert hertz[torch.fft.rfft(wavelet, n=8000).abs().argmax()].item() == pytest.approx(10.0)


def test_openfwi_acquisition_has_the_published_shape():
    shape = openfwi_acquisition()
    assert (len(shape.acquisition.sources_km), len(shape.wavelet), len(shape.acquisition.receivers_km)) == (5, 1000, 70)
    assert (shape.grid.shape, shape.grid.spacing_km, shape.dt_s) == ((70, 70), 0.01, 0.001)
    assert AcousticOperator(*shape).step_s == 0.001


def test_wave_operators_reverse_mode_is_the_adjoint_of_forward_mode(generator):
    velocity = tiny_velocity(2, generator)
    assert_adjoint(tiny_acoustic(), velocity, generator)
    assert_adjoint(tiny_born(velocity[0]), torch.randn(2, *TINY.shape, generator=generator), generator)


def test_born_operator_is_the_derivative_of_the_acoustic_operator(generator):
    velocity = tiny_velocity(1, generator)
    assert_derivative(tiny_acoustic(), lambda _, dv: tiny_born(velocity[0])(dv), velocity, generator)


def test_acoustic_operator_forward_mode_is_the_derivative(generator):
    operator = tiny_acoustic()
    velocity = tiny_velocity(2, generator)
    assert_derivative(operator, lambda x, v: torch.func.jvp(operator, (x,), (v,))[1], velocity, generator)


def test_jacobian_columns_are_the_born_data_of_single_cells(generator):
    grid, acquisition = Grid((4, 3), 0.01), survey([[0.015, 0.015]], [[0.025, 0.0255]])
    velocity = 2 + 0.5 * torch.rand(1, 4, 3, generator=generator)
    wavelet = ricker(20.0, 35, 0.004)
    born = BornOperator(grid, acquisition, wavelet, 0.004, background=velocity[0], max_velocity_kms=2.6)
    acoustic = AcousticOperator(grid, acquisition, wavelet, 0.004, max_velocity_kms=2.6)
    columns = born(torch.eye(12).reshape(12, 4, 3)).T
    assert_same(jacobian(acoustic, velocity)[0], columns)
    assert_same(jacobian(born, torch.zeros(1, 4, 3))[0], columns)


def test_wave_operator_batch_equals_its_members_at_any_velocity(generator):
    velocity = tiny_velocity(3, generator) * torch.tensor([1.0, 1.1, 1.5])[:, None, None]
    assert_batch_independent(tiny_acoustic(), velocity)
    assert_batch_independent(tiny_born(velocity[0]), velocity)


def test_traces_are_ordered_source_time_receiver(generator):
    operator = tiny_acoustic()
    velocity = tiny_velocity(1, generator)
    traces = operator.traces(operator(velocity))
    assert traces.shape == (1, 2, 70, 3)
    alone = Acquisition(TINY_SURVEY.sources_km[1:], TINY_SURVEY.receivers_km[:1])
    assert_same(
        AcousticOperator(TINY, alone, TINY_WAVELET, 0.002, max_velocity_kms=4.0)(velocity)[0], traces[0, 1, :, 0]
    )


def test_velocity_axes_are_x_then_depth():
    """A faster cell in the path of the direct wave changes it; a faster row whose reflection is too late does not."""
    acquisition = survey([[0.055, 0.025]], [[0.255, 0.025]])
    operator = AcousticOperator(Grid((40, 30), 0.01), acquisition, ricker(20.0, 110, 0.002), 0.002)
    velocity = full(2.0, 3, 40, 30)
    velocity[1, :, 29] = 2.2
    velocity[2, 15] = 2.2
    direct, below, between = operator(velocity)
    assert_same(below, direct, rounding=1e-6)
    assert (between - direct).abs().max() > 0.03 * direct.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wave_operator_dtype_follows_the_input(dtype):
    velocity = torch.full((1, *TINY.shape), 2.0, dtype=dtype, requires_grad=True)
    data = tiny_acoustic()(velocity)
    (gradient,) = torch.autograd.grad(data.square().sum(), velocity)
    scattered = tiny_born(velocity[0])(torch.ones_like(velocity))
    assert (data.dtype, gradient.dtype, scattered.dtype) == (dtype, dtype, dtype)
    spectra = fourier(tiny_acoustic().traces(data), TINY_WAVELET, 0.002, [20.0])
    assert spectra.dtype == dtype.to_complex()


def test_acoustic_operator_in_single_precision_is_double_to_rounding(generator):
    """A leapfrog adds a rounding of the field, 6e-8, in each of its 140 steps."""
    velocity = tiny_velocity(1, generator)
    assert_same(tiny_acoustic()(velocity.float()).double(), tiny_acoustic()(velocity), rounding=140 * 6e-8)


def test_acoustic_operator_keeps_no_graph_without_gradient():
    velocity = torch.full((1, *TINY.shape), 2.0, requires_grad=True)
    with torch.no_grad():
        assert not tiny_acoustic()(velocity).requires_grad


@pytest.mark.parametrize("kind", ["acoustic", "born"])
def test_wave_operators_refuse_a_second_derivative(kind):
    operator = tiny_acoustic() if kind == "acoustic" else tiny_born(full(2.0, *TINY.shape))
    x = torch.full((1, *TINY.shape), 2.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(operator(x).square().sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives"):
        gradient.sum().backward()
    x = x.detach()
    with pytest.raises(NotImplementedError, match="second derivatives"):
        torch.func.jvp(torch.func.grad(lambda x: operator(x).square().sum()), (x,), (x,))


def test_acoustic_operator_warns_once_of_too_few_cells_per_wavelength(recwarn):
    operator = tiny_acoustic(accuracy=2)
    slow = torch.full((1, *TINY.shape), 1.0)
    operator(slow)
    operator(slow)
    (warned,) = [str(warning.message) for warning in recwarn if warning.category is UserWarning]
    assert warned.startswith("velocity: 1.84 cells per wavelength at 1 km/s and 54.5 Hz; with fewer than 13,")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_wave_operators_give_the_same_on_gpu_and_cpu(generator):
    velocity = tiny_velocity(2, generator)
    for operator, moved in (
        (tiny_acoustic(), tiny_acoustic()),
        (tiny_born(velocity[0]), tiny_born(velocity[0].cuda())),
    ):
        records = []
        for one, x in ((operator, velocity), (moved, velocity.cuda())):
            x = x.clone().requires_grad_()
            data = one(x)
            (gradient,) = torch.autograd.grad(data.square().sum(), x)
            assert data.device == gradient.device == x.device
            spectra = fourier(one.traces(data.detach()), TINY_WAVELET, 0.002, [20.0])
            records.append((data.cpu(), gradient.cpu(), spectra.cpu()))
        for on_cpu, on_gpu in zip(*records, strict=True):
            assert_same(on_gpu, on_cpu, rounding=1e-10)


def acoustic(grid=TINY, acquisition=TINY_SURVEY, wavelet=TINY_WAVELET, dt_s=0.002, **settings):
    return AcousticOperator(grid, acquisition, wavelet, dt_s, **settings)


def full(value, *shape, dtype=torch.float64):
    return torch.full(shape or (1, *TINY.shape), value, dtype=dtype)


def spectra(shape=(1, 2, 70, 3), frequencies=(20.0,), **settings):
    return fourier(torch.zeros(shape, dtype=torch.float64), TINY_WAVELET, 0.002, frequencies, **settings)


BORN = tiny_born(full(2.0, *TINY.shape))
CASES = {
    "source outside": (r"sources_km\[0\]", lambda: acoustic(acquisition=survey([[0.2, 0.0]], [[0.0, 0.0]]))),
    "wavelet of a list": ("wavelet", lambda: acoustic(wavelet=[0.0, 1.0]), TypeError),
    "wavelet per source": ("wavelet", lambda: acoustic(wavelet=torch.ones(2, 40))),
    "wavelet of one sample": ("wavelet", lambda: acoustic(wavelet=torch.ones(1))),
    "wavelet NaN": ("wavelet", lambda: acoustic(wavelet=full(math.nan, 5))),
    "silent wavelet": ("wavelet", lambda: acoustic(wavelet=full(0.0, 5))),
    "no time step": ("dt_s", lambda: acoustic(dt_s=0.0)),
    "time step infinite": ("dt_s", lambda: acoustic(dt_s=math.inf)),
    "accuracy odd": ("accuracy", lambda: acoustic(accuracy=3)),
    "no absorbing layer": ("pml_cells", lambda: acoustic(pml_cells=0)),
    "no fastest velocity": ("max_velocity_kms", lambda: acoustic(max_velocity_kms=-1.0)),
    "velocity of a list": ("velocity", lambda: acoustic()([[2.0]]), TypeError),
    "velocity without batch": ("velocity", lambda: acoustic()(full(2.0, *TINY.shape))),
    "velocity turned": ("velocity", lambda: acoustic()(full(2.0, 1, 7, 9))),
    "velocity of no model": ("velocity", lambda: acoustic()(full(2.0, 0, 9, 7))),
    "velocity zero": ("velocity", lambda: acoustic()(full(0.0))),
    "velocity NaN": ("velocity", lambda: acoustic()(full(math.nan))),
    "background of a batch": ("background", lambda: tiny_born(full(2.0))),
    "background too fast": ("background", lambda: tiny_born(full(4.5, *TINY.shape))),
    "perturbation turned": ("perturbation", lambda: BORN(full(0.1, 1, 7, 9))),
    "perturbation of another dtype": ("perturbation", lambda: BORN(full(0.1, dtype=torch.float32))),
    "perturbation infinite": ("perturbation", lambda: BORN(full(math.inf))),
    "data of another survey": ("data", lambda: acoustic().traces(full(0.0, 1, 419))),
    "traces without sources": ("traces", lambda: spectra(shape=(1, 70, 3))),
    "traces of another length": ("traces", lambda: spectra(shape=(1, 2, 69, 3))),
    "frequency beyond the wavelet": ("frequencies_hz", lambda: spectra(frequencies=(20.0, 80.0))),
    "step of zero": ("step_s", lambda: spectra(step_s=0.0)),
    "ricker of no frequency": ("peak_hz", lambda: ricker(0.0, 10, 0.001)),
    "ricker of no samples": ("num_samples", lambda: ricker(10.0, 0, 0.001)),
    "ricker of no step": ("dt_s", lambda: ricker(10.0, 10, -0.001)),
}


@pytest.mark.parametrize(("name", "call", "kind"), [(*case, ValueError)[:3] for case in CASES.values()], ids=CASES)
def test_wave_operators_refuse_bad_input_by_name(name, call, kind):
    with pytest.raises(kind, match=rf"^{name}: expected .*, got .*"):
        call()


def test_acoustic_operator_refuses_a_model_in_m_per_s_with_both_numbers():
    message = r"^velocity: expected km/s above 0 and at most max_velocity_kms = 4, got 2000 to 2000$"
    with pytest.raises(ValueError, match=message):
        tiny_acoustic()(full(2000.0))


@pytest.mark.parametrize("speed", [0.09, 21.0, 2000.0])
def test_wave_operators_refuse_velocities_of_no_rock(speed):
    with pytest.raises(ValueError, match=r"^(velocity|max_velocity_kms): expected km/s"):
        tiny_acoustic(max_velocity_kms=max(speed, 4.0))(full(speed))


def test_wave_operators_warn_once_of_unusual_velocities(recwarn):
    operator = tiny_acoustic(max_velocity_kms=12.0)
    for _ in range(2):
        operator(full(10.0))
    (warned,) = [str(one.message) for one in recwarn if one.category is UserWarning]
    assert warned == "velocity: expected velocities of rocks, from 0.3 to 9 km/s, got 10 to 10"


def test_wave_operators_refuse_a_grid_in_meters():
    grid = Grid((9, 7), 10.0)
    operator = AcousticOperator(grid, survey([[15.0, 15.0]], [[25.0, 45.0]]), TINY_WAVELET, 0.002)
    with pytest.raises(
        ValueError, match=r"^grid: expected at least 2 cells of spacing_km, in km, .*, got 0\.0\d* at 2"
    ):
        operator(full(2.0))


def test_wavelet_may_have_its_largest_spectrum_at_0_hz():
    t = 0.002 * torch.arange(70, dtype=torch.float64)
    pulse = torch.exp(-(((t - 0.06) / 0.012) ** 2))
    once, twice = (acoustic(wavelet=factor * pulse, max_velocity_kms=4.0)(full(2.0)) for factor in (1, 2))
    assert float(once.abs().max()) > 0
    assert_same(twice, 2 * once)


def test_wave_operators_refuse_work_beyond_max_bytes_beforehand():
    """A gradient keeps the field at every step: 2 sources, 140 steps, (9 + 64) x (7 + 64) cells of 8 bytes."""
    operator = tiny_acoustic(max_bytes=10e6)
    assert operator(full(2.0)).isfinite().all()
    with pytest.raises(
        ValueError, match=r"^velocity: expected work within max_bytes = 0\.01 GB, got 1 x 2 sources, 140"
    ):
        operator(full(2.0).requires_grad_())
