"""Chapter 2's experiments: what the theorem says to the last digit, and measurements that could come out wrong."""

import json
import math

import pytest
import torch
from scipy import stats

from chapters.ch02_gaussian_mixture_prior import condensation, network_gap, selection
from chapters.ch02_gaussian_mixture_prior import losses as closed
from memprior import paper
from memprior.closed_forms import closed_form_reference, relative_distances
from memprior.denoiser import EmpiricalDenoiser, GaussianDenoiser
from memprior.fields import CosineBasis
from memprior.intervals import log_interval
from memprior.memorization.copies import copy_counts, paper_neighbors
from memprior.mixture import IsotropicMixture
from memprior.noise import ddpm_sigmas, perturb
from memprior.paper import published_coefficients, published_fields, published_grid
from memprior.training import TrainingPlan

F64 = torch.float64


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=generator(seed))


@pytest.fixture(scope="module")
def fifty():
    return paper.published_priors(published_coefficients(50), published_coefficients(100, seed=paper.HELD_OUT_SEED))


def test_closed_form_score_is_the_gradient():
    assert closed.score_gap(normal(7, 5), 0.8, num_points=50, generator=generator(1)) < 1e-13


@pytest.mark.parametrize("sigma", [0.3, 3.0, 10.0])
def test_excess_loss_is_the_distance_to_the_memorized_prior(fifty, sigma):
    """To rounding with the mean over examples exact; within four standard errors by plain draws."""
    priors, _ = fifty
    excess = closed.excess_loss(priors, priors.true, sigma, num_draws=500, generator=generator(2))
    assert excess.identity < 1e-12
    assert abs(excess.loss - excess.distance) <= 4 * excess.standard_error + 1e-12


def test_excess_loss_at_another_sigma_is_higher(fifty):
    """The check above can fail: the denoiser of another level is not the minimizer, and its loss is higher."""
    priors, _ = fifty
    off = closed.excess_loss(
        priors, lambda x, sigma: priors.empirical(x, 2 * sigma), 3.0, num_draws=200, generator=generator()
    )
    assert off.distance > 0.01


def test_memorized_prior_wins_on_its_examples_and_loses_on_others(fifty):
    priors, _ = fifty
    sigmas = torch.tensor([0.5, 2.0, 5.0], dtype=F64)
    curves = [
        closed.loss_curve(denoiser, points, sigmas, num_repeats=4, generator=generator(3))
        for points in (priors.train_set, priors.held_out)
        for denoiser in (priors.empirical, priors.true)
    ]
    assert bool((curves[0] < curves[1]).all())
    assert bool((curves[2] > curves[3]).all())


@pytest.mark.parametrize("num", [2, 5, 20])
def test_nats_under_the_loss_are_log_n(num):
    """Area log N, for points so far apart that nothing is left of the overlap at the lowest level."""
    sigmas = torch.logspace(-2, 3, 201, dtype=F64)
    slopes = closed.nats_per_level(4 * normal(num, 3), sigmas, num_draws=4000, generator=generator(4))
    assert closed.area(sigmas, slopes) == pytest.approx(math.log(num), rel=0.03)


def test_gaussian_nats_integrate_to_its_information():
    variances = torch.tensor([4.0, 1.0, 0.1], dtype=F64)
    sigmas = torch.logspace(math.log10(0.5), 4, 2001, dtype=F64)
    information = 0.5 * float(torch.log1p(variances / 0.25).sum())
    slopes = closed.gaussian_nats_per_level(variances, sigmas)
    assert closed.area(sigmas, slopes) == pytest.approx(information, rel=1e-5)


@pytest.mark.parametrize(("dim", "num"), [(2, 5), (10, 50), (100, 1000)])
def test_predicted_level_of_white_data_has_a_closed_form(dim, num):
    level = condensation.predicted_level(torch.ones(dim, dtype=F64), num)
    assert level == pytest.approx((num ** (2 / dim) - 1) ** -0.5, rel=1e-8)


def test_predicted_level_ignores_directions_without_variance():
    ones = torch.ones(4, dtype=F64)
    padded = torch.cat([ones, torch.zeros(3, dtype=F64), torch.tensor([-1e-17], dtype=F64)])
    assert condensation.predicted_level(padded, 9) == condensation.predicted_level(ones, 9)


def test_predicted_level_refuses_no_variance_and_a_single_example():
    with pytest.raises(ValueError, match="variances: expected at least one above zero"):
        condensation.predicted_level(torch.zeros(3), 5)
    with pytest.raises(ValueError, match="num: expected an integer >= 2"):
        condensation.predicted_level(torch.ones(3), 1)


def test_own_share_of_one_of_two_examples_never_falls_to_a_half():
    """Without noise it is one; with all noise a half, which it approaches and does not cross."""
    with pytest.raises(ValueError, match="sign"):
        condensation.measured_level(
            torch.tensor([[-1.0], [1.0]], dtype=F64), torch.ones(1, dtype=F64), num_draws=200, generator=generator()
        )


def test_measured_level_is_near_its_prediction():
    """White, d = 30, N = 200: between 3 and 12 % above, the mean of six repeats and four deviations either side."""
    found = condensation.white_levels(30, 200, num_sets=3, num_draws=1500, generator=generator(5))
    assert 0.90 < found.ratio < 0.97
    assert 0 < found.ratio_error < 0.03


@pytest.mark.parametrize("num", [50, 200])
def test_published_levels_are_within_fifteen_percent(num):
    priors, _ = paper.published_priors(published_coefficients(num), published_coefficients(2, seed=1))
    variances = torch.linalg.eigvalsh(priors.distribution.covariance)
    found = condensation.measured_level(priors.train_set, variances, num_draws=3000, generator=generator(6))
    assert 0.85 < found.ratio < 1.15
    assert found.ratio == pytest.approx({50: 0.963, 200: 0.944}[num], abs=4 * found.ratio_error)


def test_distances_to_both_closed_forms_obey_the_triangle_inequality(fifty):
    priors, _ = fifty
    sigmas = torch.tensor([0.1, 1.0, 3.0, 10.0], dtype=F64)
    ruler = closed_form_reference(priors, priors.train_set, sigmas, num_inputs=60, generator=generator(7))
    for other in (priors.true, priors.empirical, lambda x, sigma: x, lambda x, sigma: 0 * x):
        squares = ruler.squares(other)
        a, b = relative_distances(squares)
        assert bool((a + b >= 1 - 1e-12).all())
        assert float(sum(relative_distances(squares.sum(0)))) >= 1 - 1e-12
    assert float(relative_distances(ruler.squares(priors.empirical).sum(0))[0]) == 0
    assert float(relative_distances(ruler.squares(priors.true).sum(0))[1]) == 0


def test_crossing_step_of_straight_lines_is_exact():
    steps = [10, 100, 1000]
    assert network_gap.crossing_step(steps, [1, 0.5, 0.1], [0.5, 0.5, 0.5]) == pytest.approx(100)
    assert network_gap.crossing_step(steps, [1, 0.7, 0.3], [0.5, 0.5, 0.5]) == pytest.approx(10**2.5)


@pytest.mark.parametrize("a", [[1, 0.9, 0.8], [0.1, 0.2, 0.3], [0.1, 0.9, 0.8]])
def test_crossing_step_of_no_crossing_is_nan(a):
    """Never nearer; nearer from the first checkpoint on; nearer only at the first checkpoint."""
    assert math.isnan(network_gap.crossing_step([1, 2, 3], a, [0.5, 0.5, 0.5]))


def test_crossing_step_needs_a_gap_for_every_step():
    with pytest.raises(ValueError, match="steps: expected 2 of them"):
        network_gap.crossing_step([1, 2, 3], [1, 0], [0, 1])


def test_log_interval_is_students():
    mean, low, high = log_interval([100.0, 1000.0, 10.0], 0.95)
    reach = 4.302653 * math.log(10) / math.sqrt(3)
    assert mean == pytest.approx(100)
    assert low == pytest.approx(100 * math.exp(-reach), rel=1e-5)
    assert high == pytest.approx(100 * math.exp(reach), rel=1e-5)


@pytest.mark.parametrize("values", [[100.0], [100.0, math.nan, 90.0]])
def test_log_interval_of_an_unseen_event_is_nan(values):
    assert all(math.isnan(v) for v in log_interval(values, 0.95))


def test_training_history_has_every_checkpoint(fifty):
    """Through JSON and back; at the first checkpoint the network has hardly moved from x / (1 + sigma^2)."""
    priors, _ = fifty
    sigmas = torch.tensor([0.5, 3.0], dtype=F64)
    ruler = closed_form_reference(priors, priors.train_set, sigmas, num_inputs=50, generator=generator(8))
    plan = TrainingPlan(40, 32, 1e-3, 1e-4, 0.9, 0.05, 20.0)
    look = network_gap.published_measure({"train": ruler}, 40, 20 * normal(6, 100), plan, 5, generator=generator())
    sizes = {"spread": 1.0, "width": 16, "depth": 1, "folder": None}
    seen = network_gap.follow(
        priors.train_set, plan, [1, 40], look, weights=generator(9), generator=generator(10), **sizes
    )
    course = network_gap.TrainingHistory.of([1, 40], json.loads(json.dumps(seen)))
    start = ruler.squares(lambda x, sigma: x / (1 + sigma**2))
    torch.testing.assert_close(course.squares["train"][0], start, rtol=0.02, atol=1e-6)
    assert course.samples.shape == (6, 100)
    assert bool((course.squares["train"][1][:, 0] < course.squares["train"][0][:, 0]).all())


def test_snapshots_stop_where_training_does():
    assert network_gap.snapshots_until(1000) == [100, 200, 400, 600, 800, 1000]


def test_truncated_schedule_selects_unevenly_because_of_its_start(fifty):
    """The paper's recipe: .35 from even. The same levels from the right distribution are at the floor."""
    priors, _ = fifty
    levels, num = ddpm_sigmas(200), 2000
    starts = {
        begin: begin(num, priors.train_set, levels[0], generator=generator(11))
        for begin in (selection.gaussian_start, selection.true_start)
    }
    released, control = (
        selection.select(priors.train_set, x, levels, generator=generator(12)) for x in starts.values()
    )
    assert released.distance == pytest.approx(0.35, abs=0.05)
    assert abs(control.excess) < 4
    assert stats.spearmanr(priors.train_set.norm(dim=1), released.frequencies).statistic < -0.95
    assert int(released.chosen.bincount().sum()) == num


def test_gaussian_start_has_the_variance_of_standardized_data():
    x = selection.gaussian_start(20_000, normal(2, 3), 2.0, generator=generator(13))
    torch.testing.assert_close(x.var(0), torch.full((3,), 5.0, dtype=F64), rtol=0.05, atol=0)


def test_field_space_keeps_the_distances_of_decoded_fields():
    z = published_coefficients(12)
    decoded = CosineBasis(published_grid()).decode(z).flatten(1)
    found = torch.pdist(paper.FieldSpace(torch.device("cpu"))(z))
    torch.testing.assert_close(found, torch.pdist(decoded), rtol=1e-10, atol=1e-12)
    assert not torch.allclose(found, torch.pdist(published_fields(12).flatten(1)), rtol=0.1)  # the basis holds a third


def test_copies_are_counted_and_other_fields_are_not(fifty):
    priors, _ = fifty
    strangers = perturb(priors.held_out, 1e-9, generator=generator(14))
    copied = copy_counts(
        paper_neighbors(perturb(priors.train_set, 1e-3, generator=generator(15)), priors.train_set), 0.7
    )
    fresh = copy_counts(paper_neighbors(strangers, priors.train_set), 0.7)
    assert (copied.memorized, copied.near, fresh.near) == (1, 1, 0)


def test_flow_paths_start_where_they_are_put_and_end_on_examples():
    examples = 3 * normal(4, 2, seed=16)
    sigmas = torch.logspace(1.5, -3, 60, dtype=F64)
    start = 30 * normal(8, 2, seed=17)
    paths = closed.flow_paths(EmpiricalDenoiser(examples), start, sigmas, generator=generator())
    assert paths.shape == (60, 8, 2)
    assert bool((paths[0] == start).all())
    assert float(torch.cdist(paths[-1], examples).min(1).values.max()) < 0.02


def test_plane_priors_are_a_gaussian_of_that_spread():
    priors = closed.plane_priors(normal(5, 2), 2**0.5)
    x = normal(3, 2, seed=18)
    eye = torch.eye(2, dtype=F64)
    torch.testing.assert_close(priors.true(x, 1.0), GaussianDenoiser(torch.zeros(2, dtype=F64), 2 * eye)(x, 1.0))
    shares = IsotropicMixture(priors.train_set, 1.0).responsibilities(x)
    torch.testing.assert_close(priors.empirical(x, 1.0), shares @ priors.train_set)
