"""Chapter 2's experiments: what the theorem says to the last digit, and measurements that could come out wrong."""

import math

import pytest
import torch
from scipy import stats

from chapters.ch02_gaussian_mixture_prior import condensation, network_gap, selection
from chapters.ch02_gaussian_mixture_prior import losses as closed
from memprior import paper
from memprior.closed_forms import closed_form_reference, relative_distances
from memprior.denoiser import EmpiricalDenoiser
from memprior.fields import CosineBasis
from memprior.intervals import log_interval
from memprior.memorization.copies import copy_counts, paper_neighbors
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


def test_own_share_of_one_of_two_examples_never_falls_to_a_half():
    """Without noise it is one; with all noise a half, which it approaches and does not cross."""
    with pytest.raises(ValueError, match="sign"):
        condensation.measured_level(
            torch.tensor([[-1.0], [1.0]], dtype=F64), torch.ones(1, dtype=F64), num_draws=200, generator=generator()
        )


def test_measured_level_is_near_its_prediction():
    """White, d = 30, N = 200: between 3 and 12 % above, the mean of six repeats and four deviations either side."""
    found = condensation.white_level(30, 200, num_sets=3, num_draws=1500, generator=generator(5), like=normal(1))
    assert 0.90 < found.ratio < 0.97
    assert 0 < found.ratio_half < 0.06


@pytest.mark.parametrize("num", [50, 200])
def test_published_levels_are_within_fifteen_percent(num):
    priors, _ = paper.published_priors(published_coefficients(num), published_coefficients(2, seed=1))
    variances = torch.linalg.eigvalsh(priors.distribution.covariance)
    found = condensation.measured_level(priors.train_set, variances, num_draws=3000, generator=generator(6))
    assert 0.85 < found.ratio < 1.15
    assert found.ratio == pytest.approx({50: 0.963, 200: 0.944}[num], abs=2 * found.ratio_half)


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
    """At the first checkpoint the network has hardly moved from x / (1 + sigma^2)."""
    priors, _ = fifty
    sigmas = torch.tensor([0.5, 3.0], dtype=F64)
    ruler = closed_form_reference(priors, priors.train_set, sigmas, num_inputs=50, generator=generator(8))
    plan = TrainingPlan(40, 32, 1e-3, 1e-4, 0.9, 0.05, 20.0)
    drawn = {"num_levels": 5, "generator": generator()}
    look = network_gap.published_measure({"train": ruler}, 40, 20 * normal(6, 100), plan, **drawn)
    sizes = {"spread": 1.0, "width": 16, "depth": 1, "folder": None}
    seen = network_gap.follow(
        priors.train_set, plan, [1, 40], look, weights=generator(9), generator=generator(10), **sizes
    )
    kept = {"train": torch.stack([at["train"] for at in seen]), "samples": seen[-1]["samples"]}
    history = network_gap.TrainingHistory.of((1, 40), kept)
    start = ruler.squares(lambda x, sigma: x / (1 + sigma**2))
    torch.testing.assert_close(history.squares["train"][0], start, rtol=0.02, atol=1e-6)
    assert history.samples.shape == (6, 100)
    assert bool((history.squares["train"][1][:, 0] < history.squares["train"][0][:, 0]).all())
    a, b = history.shares("train")
    assert history.quotient("train", 39) == pytest.approx(float(a[0] / b[0]))
    assert history.quotient("train") == pytest.approx(float(a[1] / b[1]))


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
        selection.Selection.of(
            selection.select(priors.train_set, x, levels, generator=generator(12)), 50, generator=generator(19)
        )
        for x in starts.values()
    )
    assert released.distance == pytest.approx(0.35, abs=0.05)
    assert abs(control.excess) < 4
    assert stats.spearmanr(priors.train_set.norm(dim=1), released.frequencies).statistic < -0.95
    assert int(released.chosen.bincount().sum()) == num


def test_selection_interval_holds_the_mean_of_uniform_draws():
    """McDiarmid: of 200 sets of 400 uniform draws none, 5 % at most, is farther from the floor than the half."""
    draws = torch.randint(10, (200, 400), generator=generator(20))
    found = [selection.Selection.of(row, 10, generator=generator(21)) for row in draws]
    outside = sum(abs(s.distance - s.floor) > s.half for s in found)
    assert outside <= 10
    assert found[0].half == pytest.approx(math.sqrt(math.log(40) / 800))


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
