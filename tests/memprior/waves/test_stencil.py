"""The 5-point operator: second order in the spacing, with the derivatives of the discrete operator."""

import math

import pytest
import torch
from helpers import assert_adjoint, assert_batch_independent, assert_derivative, assert_same, with_one
from scipy.special import hankel1

from memprior.fields import Grid
from memprior.operators import jacobian
from memprior.paper import published_acquisition
from memprior.waves import Acquisition
from memprior.waves.stencil import FivePointOperator

FREQUENCY = 3.0
SMALL = Grid((12, 9), 0.05)


def points(*positions):
    return torch.tensor(positions, dtype=torch.float64)


def at_cells(grid, *cells):
    return points(*[[(i + 0.5) * grid.spacing_km, (k + 0.5) * grid.spacing_km] for i, k in cells])


SURVEY = Acquisition(at_cells(SMALL, (1, 0), (8, 2)), at_cells(SMALL, (0, 8), (5, 7), (11, 8)))


def small_operator(**changed):
    return FivePointOperator(
        **{"grid": SMALL, "acquisition": SURVEY, "frequency_hz": FREQUENCY, "num_pml_cells": 4} | changed
    )


def models(num, generator, grid=SMALL):
    """Around 2 km/s, (num, nx, nz), with more than 10 cells per wavelength."""
    return 0.25 + 0.05 * (2 * torch.rand(num, *grid.shape, generator=generator) - 1)


def complex_data(operator, model):
    """(S, R), of one model."""
    halves = operator(model[None])[0].reshape(2, len(operator.acquisition.sources_km), -1)
    return torch.complex(*halves)


def exact(acquisition, frequency_hz, speed_km_s=2.0):
    """-(i/4) H0(k r) of a homogeneous medium, (S, R)."""
    distances = torch.cdist(acquisition.sources_km, acquisition.receivers_km)
    return torch.from_numpy(-0.25j * hankel1(0, 2 * math.pi * frequency_hz / speed_km_s * distances.numpy()))


def error(grid, acquisition, frequency_hz):
    """Distance from the Green's function of 2 km/s, relative to it."""
    expected = exact(acquisition, frequency_hz)
    data = complex_data(FivePointOperator(grid, acquisition, frequency_hz), torch.full(grid.shape, 0.25))
    return float((data - expected).norm() / expected.norm())


def test_five_point_operator_is_second_order_in_a_homogeneous_medium():
    # Thirds, not halves, of a cell: only then are the centres of the coarse cells centres of the fine ones.
    coarse, fine = Grid((21, 21), 1 / 21), Grid((63, 63), 1 / 63)
    survey = Acquisition(at_cells(coarse, (2, 1), (10, 1)), at_cells(coarse, *[(i, 19) for i in range(21)]))
    errors = [error(grid, survey, FREQUENCY) for grid in (coarse, fine)]
    assert math.log(errors[0] / errors[1], 3) == pytest.approx(2, abs=0.05)


def test_five_point_operator_is_5_percent_from_greens_function_as_published():
    assert error(Grid((200, 200), 0.01), published_acquisition(), 6.0) == pytest.approx(0.048, abs=0.001)


def test_five_point_operator_is_reciprocal(generator):
    model = models(1, generator)[0]
    swapped = small_operator(acquisition=Acquisition(SURVEY.receivers_km, SURVEY.sources_km))
    assert_same(complex_data(small_operator(), model).T, complex_data(swapped, model), rounding=1e-12)


def test_pml_of_twice_the_cells_changes_the_data_by_less_than_2e_4():
    grid = Grid((40, 40), 0.025)
    x = grid.centers_km(0)
    model = 0.25 + 0.05 * torch.cos(5 * x[:, None] + 1) * torch.cos(7 * x)
    survey = Acquisition(at_cells(grid, (1, 1), (20, 1)), at_cells(grid, *[(i, 38) for i in range(40)]))
    once, twice = (complex_data(FivePointOperator(grid, survey, 4.0, num_pml_cells=n), model) for n in (15, 30))
    assert (once - twice).norm() < 2e-4 * twice.norm()


def test_five_point_operator_data_are_the_wavefields_at_the_receivers(generator):
    operator, model = small_operator(), models(2, generator)
    fields = operator.wavefields(model)
    assert fields.shape == (2, 2, *SMALL.shape)
    recorded = fields[:, :, [0, 5, 11], [8, 7, 8]].flatten(1)
    assert torch.equal(operator(model), torch.cat([recorded.real, recorded.imag], dim=1))


def test_five_point_operator_has_the_adjoint_as_its_reverse_mode(generator):
    assert_adjoint(small_operator(), models(3, generator), generator)


RING = torch.ones(SMALL.shape, dtype=torch.float64)
RING[1:-1, 1:-1] = 0


@pytest.mark.parametrize("cells", [torch.ones_like(RING), RING], ids=["every cell", "outer ring"])
def test_five_point_operator_derivative_is_that_of_the_discrete_operator(cells, generator):
    operator, base = small_operator(), models(3, generator)

    def function(x):
        return operator(base + cells * x)

    def along(x, v):
        return torch.func.jvp(function, (x,), (v,))[1]

    assert_derivative(function, along, torch.zeros_like(base), generator)


def test_five_point_operator_jacobian_is_that_of_forward_mode(generator):
    operator, model = small_operator(), models(2, generator)
    direction = torch.randn(model.shape, generator=generator)
    tangent = torch.func.jvp(operator, (model,), (direction,))[1]
    assert_same((jacobian(operator, model) @ direction.flatten(1)[..., None])[..., 0], tangent)


def test_five_point_operator_refuses_a_second_derivative(generator):
    operator, model = small_operator(), models(1, generator).requires_grad_()
    (first,) = torch.autograd.grad(operator(model).sum() + (model**3).sum(), model, create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives"):
        torch.autograd.grad(first.sum(), model)


def test_five_point_operator_batch_equals_its_members(generator):
    operator, model = small_operator(), models(3, generator)
    assert_batch_independent(operator, model)
    assert_batch_independent(lambda m: jacobian(operator, m), model)


def test_sources_and_receivers_may_share_a_cell(generator):
    once = Acquisition(SURVEY.sources_km[:1], SURVEY.receivers_km[:1])
    twice = Acquisition(once.sources_km.repeat(2, 1), once.receivers_km.repeat(2, 1))
    model, gradients = models(1, generator), []
    for acquisition in (once, twice):
        m = model.clone().requires_grad_()
        small_operator(acquisition=acquisition)(m).sum().backward()
        gradients.append(m.grad)
    assert_same(gradients[1], 4 * gradients[0])


def test_five_point_operator_warns_of_too_few_cells_per_wavelength():
    with pytest.warns(UserWarning, match=r"^8\.0 cells per shortest wavelength, fewer than 10: .* 0\.16 rad"):
        small_operator(frequency_hz=5.0)(torch.full((1, *SMALL.shape), 0.25))


GOOD = torch.full((2, *SMALL.shape), 0.25, dtype=torch.float64)


@pytest.mark.parametrize(
    ("model", "problem", "message"),
    [
        (GOOD.tolist(), TypeError, "expected a torch.Tensor of shape (B, 12, 9), got list"),
        (GOOD[0], ValueError, "expected shape (B, 12, 9), B >= 1, got (12, 9)"),
        (GOOD.mT, ValueError, "expected shape (B, 12, 9), B >= 1, got (2, 9, 12)"),
        (GOOD[:0], ValueError, "expected shape (B, 12, 9), B >= 1, got (0, 12, 9)"),
        (GOOD.float(), ValueError, "expected dtype torch.float64, got torch.float32"),
        (GOOD.to("meta"), ValueError, "expected a tensor on cpu or cuda, got meta"),
        (GOOD.int(), ValueError, "expected a floating dtype, got torch.int32"),
        (with_one(GOOD, math.nan), ValueError, "expected finite numbers, got 1 NaN or infinite of 216"),
        (with_one(GOOD, 0.0), ValueError, "expected finite and > 0"),
        (with_one(GOOD, -0.25), ValueError, "expected finite and > 0"),
    ],
)
@pytest.mark.parametrize("call", ["__call__", "wavefields"])
def test_five_point_operator_refuses_a_bad_model(call, model, problem, message):
    with pytest.raises(problem) as raised:
        getattr(small_operator(), call)(model)
    assert str(raised.value).startswith(f"squared_slowness: {message}")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_pml_cells": 0}, "num_pml_cells: expected an integer >= 1, got 0"),
        ({"num_pml_cells": 4.0}, "num_pml_cells: expected an integer >= 1, got 4.0"),
        ({"frequency_hz": 0.0}, "frequency_hz: expected one number, finite and > 0, got 0.0"),
        ({"frequency_hz": math.inf}, "frequency_hz: expected one number, finite and > 0, got inf"),
        (
            {"acquisition": Acquisition(points([0.025, 0.7]), SURVEY.receivers_km)},
            "sources_km[0]: expected inside 0.6 km x 0.45 km, got (0.025, 0.7)",
        ),
        (
            {"acquisition": Acquisition(SURVEY.sources_km, points([0.025, 0.025], [0.16, 0.225]))},
            "receivers_km[1]: expected the center of a cell (the nearest, (0.175, 0.225) km, is 0.015 km away), "
            "got (0.16, 0.225) km",
        ),
        (
            {"acquisition": Acquisition(points([0.6, 0.45]), SURVEY.receivers_km)},
            "sources_km[0]: expected the center of a cell (the nearest, (0.575, 0.425) km, is 0.0354 km away), "
            "got (0.6, 0.45) km",
        ),
    ],
)
def test_five_point_operator_refuses_a_bad_setting(changed, message):
    with pytest.raises(ValueError, match="expected") as raised:
        small_operator(**changed)
    assert str(raised.value) == message


@pytest.mark.parametrize("call", ["__call__", "wavefields"])
@pytest.mark.parametrize("speed", [2000.0, 0.05])
def test_five_point_operator_refuses_velocities_of_no_rock(call, speed):
    """2000: squared slowness in s^2/m^2."""
    with pytest.raises(ValueError, match=r"^squared_slowness: expected s\^2/km\^2 of velocities from 0\.1 to 20 km/s"):
        getattr(small_operator(), call)(torch.full((1, *SMALL.shape), speed**-2))


def test_five_point_operator_warns_once_of_unusual_velocities(recwarn):
    operator = small_operator()
    for _ in range(2):
        operator(torch.full((1, *SMALL.shape), 12.0**-2))
    (warned,) = [str(one.message) for one in recwarn]
    assert warned == "squared_slowness: expected velocities of rocks, from 0.3 to 9 km/s, got 12 to 12"


def test_five_point_operator_refuses_a_grid_in_meters():
    grid = Grid((12, 9), 50.0)
    operator = FivePointOperator(grid, Acquisition(at_cells(grid, (1, 0)), at_cells(grid, (5, 7))), FREQUENCY)
    with pytest.raises(
        ValueError, match=r"^grid: expected at least 2 cells of spacing_km, in km, .*, got 0\.0133 at 2"
    ):
        operator(torch.full((1, 12, 9), 0.25))


def test_five_point_operator_refuses_work_beyond_max_bytes_beforehand():
    grid = Grid((20_000, 20_000), 0.001)
    survey = Acquisition(at_cells(grid, (1, 0)), at_cells(grid, (5, 7)))
    with pytest.raises(ValueError, match=r"^grid: expected work within max_bytes = 17\.2 GB, got 4e\+08 unknowns"):
        FivePointOperator(grid, survey, FREQUENCY)
    tight = small_operator(max_bytes=400_000)
    assert tight(GOOD[:1]).isfinite().all()
    with pytest.raises(
        ValueError, match=r"^squared_slowness: expected work within .* 2 models.*take the batch in parts"
    ):
        tight(GOOD)
