"""Appendix A1: its experiments measure what they claim to."""

import math

import pytest
import torch

from chapters.a1_waves import accuracy as waves
from chapters.a1_waves import classical_inversion as inversion
from chapters.a1_waves import derivatives
from memprior import paper
from memprior.paper import published_acquisition, published_operator
from memprior.waves.helmholtz import HelmholtzOperator

CPU = torch.device("cpu")


def test_snapped_positions_are_centers_within_half_a_cell():
    grid, survey = paper.square(60), published_acquisition()
    moved = waves.snapped(survey, grid)
    cells = moved.receivers_km / grid.spacing_km - 0.5
    assert torch.allclose(cells, cells.round(), atol=1e-9)
    assert float((moved.receivers_km - survey.receivers_km).abs().max()) <= grid.spacing_km / 2 + 1e-12
    moved.expect_inside(grid)


def test_as_complex_orders_data_by_frequency_source_and_receiver():
    survey = inversion.coarse_survey()
    operator = HelmholtzOperator(paper.square(12), survey, [4.0, 6.0])
    data = operator(waves.homogeneous(operator.grid, 2.0, CPU))
    found = waves.as_complex(data, survey)
    assert found.shape == (1, 2, 15, 28)
    assert found[0, 1, 3, 5].imag == data[0, 2 * 15 * 28 + 15 * 28 + 3 * 28 + 5]


def test_spectral_accuracy_rises_faster_the_higher_the_order():
    found = waves.spectral_accuracy([4, 8], [4, 8], CPU)
    (coarse, large), (fine, small) = found[4]
    assert (coarse, fine) == pytest.approx((8 / 3, 16 / 3))
    assert found[8][0][0] == fine  # as many unknowns to a wavelength
    assert found[8][0][1] < small / 50 < large / 500


def test_stencil_error_falls_with_the_square_of_the_cell():
    (_, first), (_, second) = waves.stencil_accuracy([100, 200])
    assert first / second == pytest.approx(4, rel=0.05)


def test_padded_operator_has_the_derivative_of_repeated_edges(generator):
    """Whole gradients have remainders of second order; without the margin's share, of first order on the ring."""
    operator = derivatives.padded_operator(20, 4)
    model = waves.published_model(paper.square(20), 0, CPU)
    ring = derivatives.ring_direction(paper.square(20), generator)
    steps = [4e-3, 2e-3, 1e-3]
    assert derivatives.taylor_test(operator, model, ring, steps).slope == pytest.approx(2, abs=0.05)
    cropped = derivatives.taylor_test(operator, model, ring, steps, gradient=operator.cropped_gradient)
    assert cropped.slope == pytest.approx(1, abs=0.05)


def test_ring_direction_has_unit_length_and_stays_on_the_ring(generator):
    ring = derivatives.ring_direction(paper.square(9), generator)
    assert float(ring.norm()) == pytest.approx(1)
    assert not ring[:, 1:-1, 1:-1].any()
    assert (derivatives.random_direction(paper.square(9), generator) != 0).all()


def test_adjoint_gap_of_a_wrong_adjoint_is_large(generator):
    operator, model = published_operator(), waves.published_model(paper.square(64), 0, CPU)
    assert derivatives.adjoint_gap(operator, model, generator) < 1e-15

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x.flatten(1) ** 2

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, cotangent):
            return (2.01 * ctx.saved_tensors[0].flatten(1) * cotangent).reshape(ctx.saved_tensors[0].shape)

        @staticmethod
        def jvp(ctx, direction):
            return (2 * ctx.saved_tensors[0] * direction).flatten(1)

    assert derivatives.adjoint_gap(Wrong.apply, model, generator) > 1e-5


def test_chapters_operator_changes_its_layer_alone():
    one, two = waves.chapters_operator(1), waves.chapters_operator(2)
    model = waves.homogeneous(one.grid, 2.0, CPU)
    assert torch.equal(one(model), published_operator()(model))
    assert 1e-5 < waves.relative(two(model), one(model)) < 2e-3


def test_digits_repairs_what_it_counts():
    found = waves.digits(24, 2.0, CPU)
    assert found.num_repaired == int((found.growth > published_operator().repair_above).sum()) > 0
    repaired = found.growth > published_operator().repair_above
    assert float(found.repaired[repaired].max()) < 1e-7
    assert torch.equal(found.repaired[~repaired], found.plain[~repaired])


def test_solvers_differ_by_half_a_cell_of_their_outsides():
    """With outsides of their own the difference halves with the cell; with one outside it nearly vanishes."""
    apart = [
        waves.time_against_frequency(
            [6.0], cells=cells, margin=margin, num_samples=num, dt_s=dt, example=0, device=CPU
        ).differences[0]
        for cells, margin, num, dt in ((80, 0, 1200, 0.0025), (160, 0, 1500, 0.002), (80, 16, 1200, 0.0025))
    ]
    assert apart[0] / apart[1] == pytest.approx(2, rel=0.15)
    assert apart[2] < 2e-3 < 0.02 < apart[0] < 0.03


@pytest.fixture(scope="module")
def measured():
    return inversion.survey(published_operator(cells=24), 24, generator=torch.Generator().manual_seed(1))


def test_noise_is_the_papers(measured):
    clean = published_operator(cells=24)(measured.truth)[0]
    largest = torch.hypot(*clean.unflatten(0, (2, -1))).max()
    assert measured.likelihood.noise_std == pytest.approx(0.055 * float(largest) / math.sqrt(2))
    residual = (measured.likelihood.observed - clean) / measured.likelihood.noise_std
    assert float(residual.square().mean()) == pytest.approx(1, abs=4 * math.sqrt(2 / len(residual)))


@pytest.mark.parametrize("invert", [inversion.invert_cells, inversion.invert_coefficients])
def test_invert_starts_flat_falls_at_every_iterate_and_fits_the_noise(measured, invert):
    found = invert(measured.likelihood, 24, [0, 3, 25])
    assert found.iterations == [0, 3, 25]
    assert torch.equal(found.models[0], torch.full((24, 24), 0.25))
    assert inversion.model_error(found.models[0], measured.truth[0]) == pytest.approx(1)
    assert all(later < before for before, later in zip(found.misfits, found.misfits[1:], strict=False))
    assert len(found.misfits) == 26
    assert 0.45 < found.misfits[-1] < 0.56
    last = measured.likelihood.residual(found.models[-1:]) / measured.likelihood.noise_std
    assert found.misfits[-1] == pytest.approx(0.5 * float(last.square().mean()))


def test_without_noise_the_truth_has_no_misfit(measured):
    clean = inversion.without_noise(measured)
    assert torch.equal(clean.residual(measured.truth), torch.zeros(1, len(clean.observed)).to(measured.truth))
    assert clean.noise_std == measured.likelihood.noise_std
    assert not torch.equal(clean.observed, measured.likelihood.observed)


def test_several_truths_begin_with_the_papers_and_go_on_with_unseen_ones():
    found = inversion.several_truths(3)
    assert torch.equal(found[0], paper.published_truth())
    assert torch.equal(found[1:], paper.published_coefficients(2, seed=paper.TRUTH_SEED))
