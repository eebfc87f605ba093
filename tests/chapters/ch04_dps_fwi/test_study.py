"""Chapter 4's study: which parts the profiles ask for, and how they are found again."""

from itertools import product
from pathlib import Path

import pytest
import torch
from helpers import store_in

from chapters.ch04_dps_fwi.runs import PRIORS
from chapters.ch04_dps_fwi.study import Study
from companion import profiles
from memprior.guidance import GuidedSamples

ROOT = Path(__file__).resolve().parents[3]


def settings(profile):
    return profiles.settings(ROOT / "notebooks" / "profiles.yml", "04_dps_fwi", profile, 0, {})


def study(tmp_path, profile="full", seed=0, device="cpu"):
    return Study(settings(profile), seed, store_in(tmp_path, device), print)


def sampled(plan):
    """Every run's samples carry its place in the plan."""
    for k, run in enumerate(plan.sampling_runs):
        plan._results[run] = GuidedSamples(torch.full((2, 100), float(k)), torch.zeros(1, 2))
    return plan


def places(samples):
    return [int(s.x[0, 0]) for s in samples]


def test_study_at_full_size_is_the_papers_panel_three_times_and_more(tmp_path):
    plan = study(tmp_path)
    assert [(one.num_examples, one.seed, one.width) for one in plan.training_runs] == [
        (n, k, 256) for k in (0, 1, 2) for n in (50, 200, 1000)
    ]
    # The paper's: 2.5 million
    assert {one.plan.num_steps * one.batch_size for one in plan.training_runs} == {2_560_000}
    published = [run for run in plan.sampling_runs if run.truth == "published"]
    assert {run.num_samples for run in published} == {256}
    kinds = [run.prior for run in published]
    assert [kinds.count(prior) for prior in ("network", "truth", "memory")] == [10, 3, 3]
    few = [run for run in plan.sampling_runs if run.truth != "published"]
    assert sorted({run.truth for run in few}) == list(range(8))
    assert {run.num_samples for run in few} == {64}
    assert len(few) == 8 * 3 * 3
    assert len({part.name for part in plan.parts}) == len(plan.parts)


def test_study_at_full_size_has_sixty_unseen_truths_for_every_prior_and_checkpoint(tmp_path):
    plan = study(tmp_path)
    assert sum(part.num for part in plan.linearizations) == 60
    assert [part.first for part in plan.linearizations] == list(range(0, 60, 10))
    kinds = [(run.prior, run.pooled, run.step) for run in plan.unseen_runs]
    assert kinds.count(("network", False, 20_000)) == 9
    assert [kinds.count(kind) for kind in (("memory", False, None), ("truth", True, None), ("truth", False, None))] == [
        3,
        3,
        3,
    ]
    assert sum(prior == "network" and step < 20_000 for prior, _, step in kinds) == 8 * 3
    assert {run.parts for run in plan.unseen_runs} == {plan.linearizations}
    assert not any(run.pooled for run in plan.unseen_runs if run.prior != "truth")


def test_study_needs_come_before_what_needs_them(tmp_path):
    plan = study(tmp_path)
    place = {part: k for k, part in enumerate(plan.parts)}
    for part in plan.parts:
        assert all(place[other] < place[part] for other in plan.needs(part))
    by_network = next(run for run in plan.unseen_runs if run.prior == "network")
    assert plan.needs(by_network) == [by_network.training_run, *plan.linearizations]


def test_study_of_another_seed_shares_no_part(tmp_path):
    one, other = (
        {part.name for part in s.parts if part not in s.linearizations}
        for s in (study(tmp_path), study(tmp_path, seed=1))
    )
    assert not one & other


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (("network", 200, {}), [("network", 200, k, "published") for k in (0, 1, 2)]),
        (("memory", 50, {}), [("memory", 50, 0, "published")]),
        (("network", 1000, {"truth": 7}), [("network", 1000, 0, 7)]),
        (("truth", 1000, {"truth": "disc"}), []),
    ],
)
def test_sampling_runs_are_found_by_what_they_are(asked, found, tmp_path):
    plan = sampled(study(tmp_path))
    prior, n, options = asked
    got = [plan.sampling_runs[k] for k in places(plan.nonlinear_runs(prior, n, **options))]
    assert [(w.prior, w.num_examples, w.seed, w.truth) for w in got] == found
    assert not any(w.finer for w in got)


def test_sampling_run_on_the_finer_grid_is_found_apart(tmp_path):
    plan = sampled(study(tmp_path))
    [finer] = plan.nonlinear_runs("network", 200, finer=True)
    assert plan.sampling_runs[places([finer])[0]].finer


def test_ratios_are_of_the_nonlinear_runs_where_all_priors_have_them(tmp_path):
    for profile, source in (("full", "waves"), ("quick", "tangent")):
        plan = sampled(study(tmp_path, profile))
        example = plan.training[50].examples[7]
        of = {"waves": example, "tangent": example + 1.0}
        for walk, samples in plan.samples.items():
            if (walk.prior, walk.num_examples, walk.truth) == ("network", 50, "published"):
                samples.x[:] = of["waves"]
        for kind in product(PRIORS, plan.settings.sizes):
            plan._results[kind] = GuidedSamples(of["tangent"][None], torch.zeros(1, 1))
        expected = plan.training[50].ratio(of[source][None])
        assert torch.equal(plan.ratios("network", 50).unique(), expected)


def test_workers_on_a_gpu_are_one(tmp_path):
    assert study(tmp_path, device="cuda").workers == 1
    assert study(tmp_path).workers == 2


def test_study_computes_nothing_before_it_is_asked_for(tmp_path):
    plan = study(tmp_path, "quick")
    plan.sampling_runs  # noqa: B018
    for what in ("problems", "samples", "tangents"):
        with pytest.raises(ValueError, match=r"^study: expected run\(\) before its results are asked for"):
            getattr(plan, what)
    assert list(tmp_path.iterdir()) == []


def test_sampling_run_of_a_network_needs_its_training_run(tmp_path):
    plan = study(tmp_path)
    assert [plan.needs(part) for part in plan.training_runs] == [[]] * 9
    for walk in plan.sampling_runs:
        assert plan.needs(walk) == ([walk.training_run] if walk.prior == "network" else [])
