"""Chapter 2's study: which parts its settings ask for, and that what is measured is what its names say."""

import math

import pytest
import torch
from helpers import store_in

from chapters.ch02_gaussian_mixture_prior import measures, page, selection
from chapters.ch02_gaussian_mixture_prior.settings import Settings
from chapters.ch02_gaussian_mixture_prior.study import PLANE_STEPS, RELEASED, SCHEDULES, START_RATIOS, TRUE_START, Study
from memprior.closed_forms import relative_distances
from memprior.intervals import Mean


def settings(**changed):
    given = {
        "workers": 1,
        "num_grid_plane": 5,
        "num_draws": 60,
        "num_held_out": 1000,
        "num_sigmas": 3,
        "plane_steps": 100,
        "plane_plan_steps": 100,
        "sizes": (50, 1000),
        "num_seeds": (2, 2),
        "train_steps": 100,
        "plan_steps": 100,
        "num_inputs": 20,
        "num_samples": 4,
        "num_labelings": 199,
        "white_dims": (2, 10, 30, 100),
        "white_sizes": (50,),
        "white_sets": 2,
        "selection_draws": 40,
        "selection_draws_long": 10,
        "selection_precision": "float64",
        "start_sizes": (50,),
        "start_draws": 20,
    }
    return Settings(**given | changed)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    done = Study(settings(), 0, store_in(tmp_path_factory.mktemp("store")), lambda message: None)
    done.run()
    return done


def test_study_has_every_network_level_and_start_once(study):
    assert len({part.name for part in study.parts}) == len(study.parts)
    assert len(study.parts) == 4 + 1 + len(SCHEDULES) + len(START_RATIOS) + 3 + 4
    assert study.plane_run.steps == tuple(step for step in PLANE_STEPS if step <= 100)


def test_study_gives_each_network_weights_of_its_own(study):
    first, second = (study.result(run)["train"] for run in study.field_runs(50))
    assert not torch.equal(first, second)


def test_references_exchange_the_sets(study):
    """The memorized form of the held-out fields is exactly at "exchanged", and the training set's is not."""
    known, exchanged = study.priors(50), study.references(50)["exchanged"]
    other = type(known)(known.held_out[:50], known.train_set, known.distribution)
    assert float(exchanged.squares(other.empirical)[:, 0].max()) == 0
    a, b = relative_distances(exchanged.squares(known.true).sum(0))
    assert (float(a), float(b)) == (1, 0)
    assert float(relative_distances(exchanged.squares(known.empirical).sum(0))[0]) > 1


def test_swaps_of_networks_have_their_interval_over_seeds(study):
    found = measures.swaps(study, 50)[measures.NETWORKS]
    assert len(found.by_seed) == 2
    assert Mean.over(found.by_seed).value == pytest.approx(found.test.share)
    assert found.over == "seeds"
    low, high = found.interval
    assert low <= min(found.by_seed) <= max(found.by_seed) <= high


def test_swaps_tell_which_set_a_prior_has_memorized(study):
    """The negative control: the same form on the other set."""
    found = measures.swaps(study, 50)
    assert found[measures.MEMORIZED].test.share == 1
    assert found[measures.OTHER_SET].test.share == 0
    assert found[measures.TRUE_DRAWS].test.p > 0.001


def test_shares_with_interval_are_over_seeds_or_over_samples():
    value, low, high = measures.share_with_interval([0.2, 0.4], 10)
    assert (value, low) == (pytest.approx(0.3), 0)
    assert high == 1
    assert measures.share_with_interval([1.0, 1.0], 10)[1] == measures.share_with_interval([1.0], 10)[1] < 1


def test_page_keeps_a_row_for_all_that_is_measured(study):
    assert len(page.gaps_table(study).rows) == 2
    assert len(page.swap_table(study).rows) == 2 * 6
    assert len(page.levels_table(study).rows) == 3 + 4
    assert [row[0] for row in page.schedule_table(study).rows] == list(SCHEDULES)


def test_chosen_examples_are_those_of_a_sampler_from_that_start(study):
    part = study.chosen_by(TRUE_START)
    examples, levels = study.priors(50).train_set, study.schedule(TRUE_START)
    generator = study.generator(f"selection {TRUE_START}")
    first = selection.true_start(40, examples, levels[0], generator=generator)
    again = selection.select(examples, first, levels, generator=generator)
    assert torch.equal(study.result(part)["chosen"], again)
    assert float(study.schedule(RELEASED)[0]) == pytest.approx(2.5623, abs=1e-4)


def test_crossings_of_untrained_networks_are_none(study):
    assert all(math.isnan(step) for step in measures.crossings(study, 1000))
    assert math.isnan(measures.crossing(study, 1000)[0])
