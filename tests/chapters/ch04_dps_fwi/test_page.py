"""The rows and tables of chapter 4's page, of samples that are made up."""

from types import SimpleNamespace

import scipy.stats
import torch

from chapters.ch04_dps_fwi import page, unseen
from companion.record import seeded
from memprior import paper

SIZES = (50, 200)


def made_up_study(num_nonlinear):
    """Two truths; a network that copies training models, a memorized prior that copies one, a true prior's draws."""
    size = SimpleNamespace(num_nonlinear=num_nonlinear, num_nonlinear_samples=6)
    training = {n: paper.TrainingSet.published(n, torch.device("cpu")) for n in SIZES}
    truths = paper.published_coefficients(2, seed=paper.TRUTH_SEED)

    def nonlinear_runs(prior, n, *, truth):
        copies = training[n].examples[torch.arange(6) + truth]
        return [SimpleNamespace(x=copies if prior != "truth" else paper.published_coefficients(6, seed=100 + truth))]

    law = paper.published_law()
    return SimpleNamespace(
        settings=SimpleNamespace(sizes=SIZES, unseen=size, num_labelings=199, num_fresh_sets=39),
        training=training,
        held_out=unseen.held_out_draws(max(SIZES)),
        problems=SimpleNamespace(truths=truths, ideal_posterior=lambda truth, draw: law),
        nonlinear_runs=nonlinear_runs,
        generator=lambda purpose: seeded(0, purpose),
        each=lambda items, work: [work(item) for item in items],
    )


def test_nonlinear_table_has_a_row_for_each_prior_and_size_and_finds_copies():
    study = made_up_study(2)
    samples = page.nonlinear_samples(study)
    assert {tuple(x.shape) for by_size in samples.values() for x in by_size.values()} == {(1, 2, 1, 6, 100)}
    rows = page.swap_rows(study, samples)
    assert all(rows["trained network"][n].share.value == 1 for n in SIZES)
    assert rows["trained network"][50].p <= 0.05
    table = page.nonlinear_table(study, samples, samples, rows)
    assert [row[0] for row in table.rows] == [f"{name}, N = {n}" for n in SIZES for name in samples]
    assert len(table.rows) == 8
    copies, fresh = table.rows[0], table.rows[2]
    assert all(row[-1] == row[1] for row in table.rows)  # the same samples stand beside themselves
    assert copies[5].startswith("1.000")
    assert fresh[1] == str(rows["true prior"][50].share) != copies[1]


def test_nonlinear_samples_are_none_where_no_truth_has_them():
    study = made_up_study(0)
    assert page.nonlinear_samples(study) == {}
    assert page.nonlinear_table(study, {}, {}, {}).rows == []


def test_fresh_set_p_is_least_for_copies_and_uniform_for_draws():
    study = made_up_study(0)
    copies = study.training[50].examples[None, :10, None, None] + 1e-9
    assert page.fresh_set_p(study, copies, 50) == 1 / 40
    draws = paper.published_law().sample(40, generator=seeded(0, "draws"))
    law = paper.published_law()
    others = [SimpleNamespace(examples=law.sample(50, generator=seeded(0, f"T {k}"))) for k in range(60)]
    found = []
    for other in others:
        study.training[50] = other
        found.append(page.fresh_set_p(study, draws[None, :, None, None], 50))
    # Rank of T among 40 exchangeable sets: uniform on 1/40 .. 1; Kolmogorov-Smirnov with 60 of them, p > .001.
    assert scipy.stats.kstest(found, "uniform").statistic < 0.25
