"""Sources and receivers lie in the model's rectangle, and the published acquisition is the paper's."""

import math

import pytest
import torch

from memprior.fields import Grid
from memprior.paper import published_acquisition
from memprior.waves import Acquisition

GRID = Grid((12, 9), 0.05)  # 0.6 km x 0.45 km


def points(*positions, dtype=torch.float64):
    return torch.tensor(positions, dtype=dtype)


INSIDE = points([0.1, 0.2], [0.3, 0.4])


def test_published_acquisition_has_15_sources_above_and_196_receivers_below():
    survey = published_acquisition()
    cells = torch.tensor([2, 15, 29, 43, 57, 71, 85, 99, 113, 127, 141, 155, 169, 183, 197])
    torch.testing.assert_close(survey.sources_km[:, 0], (cells + 0.5) * 0.01)
    torch.testing.assert_close(survey.receivers_km[:, 0], 0.025 + 0.01 * torch.arange(196))
    torch.testing.assert_close(survey.sources_km[:, 1], torch.full((15,), 0.025))
    torch.testing.assert_close(survey.receivers_km[:, 1], torch.full((196,), 1.975))


def is_inside(sources, receivers, grid):
    try:
        Acquisition(sources, receivers).expect_inside(grid)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("cells", [1, 49, 64, 200])
def test_published_acquisition_lies_in_the_papers_square_for_any_cells(cells):
    survey = published_acquisition()
    assert is_inside(survey.sources_km, survey.receivers_km, Grid((cells, cells), 2.0 / cells))
    assert not is_inside(survey.sources_km, survey.receivers_km, Grid((cells, cells), 1.97 / cells))


def test_acquisition_accepts_faces_and_corners_and_nothing_beyond():
    on, beyond = points([0.0, 0.0], [0.6, 0.1], [0.3, 0.45], [0.6, 0.45]), points([0.6 + 1e-6, 0.1])
    assert is_inside(on, on, GRID)
    assert not is_inside(on, beyond, GRID)
    assert not is_inside(beyond, on, GRID)


def test_acquisition_accepts_a_face_that_rounding_moves_inwards():
    assert 60 * 0.03 < 1.8
    assert is_inside(points([1.8, 0.0]), INSIDE, Grid((60, 60), 0.03))


@pytest.mark.parametrize(
    ("sources", "receivers", "message"),
    [
        (points([0.61, 0.1]), INSIDE, r"sources_km\[0\]: expected inside 0\.6 km x 0\.45 km, got \(0\.61, 0\.1\)"),
        (INSIDE, points([0.1, 0.1], [0.1, 0.5]), r"receivers_km\[1\]: expected inside .*, got \(0\.1, 0\.5\)"),
        (points([0.1, 0.1], [-0.01, 0.1]), INSIDE, r"sources_km\[1\]: .*, got \(-0\.01, 0\.1\)"),
        (INSIDE, points([0.1, -0.01]), r"receivers_km\[0\]: .*, got \(0\.1, -0\.01\)"),
    ],
)
def test_acquisition_names_the_first_position_outside(sources, receivers, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Acquisition(sources, receivers).expect_inside(GRID)


@pytest.mark.parametrize(
    ("positions", "kind", "message"),
    [
        ([[0.1, 0.2]], TypeError, r"expected a torch\.Tensor of shape \(n, 2\), got list"),
        (points([1, 2], dtype=torch.int64), ValueError, "expected a floating dtype, got torch.int64"),
        (points(0.1, 0.2), ValueError, r"expected shape \(n, 2\), n >= 1: x and z of each, got \(2,\)"),
        (points([0.1, 0.2, 0.3]), ValueError, r"expected shape \(n, 2\), .*, got \(1, 3\)"),
        (INSIDE[:0], ValueError, r"expected shape \(n, 2\), .*, got \(0, 2\)"),
        (points([0.1, math.nan]), ValueError, "expected finite numbers, got 1 NaN or infinite of 2"),
        (points([math.inf, math.inf]), ValueError, "expected finite numbers, got 2 NaN or infinite of 2"),
    ],
)
@pytest.mark.parametrize("name", ["sources_km", "receivers_km"])
def test_acquisition_refuses_bad_positions_by_name(name, positions, kind, message):
    with pytest.raises(kind, match=f"^{name}: {message}$"):
        Acquisition(**{"sources_km": INSIDE, "receivers_km": INSIDE, name: positions})
