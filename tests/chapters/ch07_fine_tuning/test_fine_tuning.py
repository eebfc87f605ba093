"""Chapter 7: which parts its settings ask for, what a fine-tuned network moves and stores, and how it is measured."""

from dataclasses import replace

import pytest
import torch
from helpers import store_in

from chapters.ch07_fine_tuning import data, measures, page, runs
from chapters.ch07_fine_tuning.data import Pairs
from chapters.ch07_fine_tuning.runs import FineTuning, Memorizing, Pretraining
from chapters.ch07_fine_tuning.settings import Memorizing as MemorizingSettings
from chapters.ch07_fine_tuning.settings import Schedule, Settings
from chapters.ch07_fine_tuning.study import Study
from memprior.adapters import count_trainable
from memprior.intervals import Mean

CPU = torch.device("cpu")
METHODS = ("scratch", "all", "head", "norms", "to the start", "LoRA")
BASE = Pretraining(0, 8, 4, (2,), 2, 1e-3)


def settings(**changed):
    plan = Schedule((2, 4), 2, (1e-3, 3e-3))
    given = {
        "workers": 1,
        "num_seeds": 2,
        "base": "trained",
        "width": 8,
        "num_source": 4,
        "num_validation": 3,
        "num_test": 6,
        "pretraining": Schedule((2,), 2, (1e-3,)),
        "sizes": (5, 8),
        "methods": METHODS,
        "ranks": (1, 4),
        "penalty": 0.1,
        "fine_tuning": plan,
        "memorizing": MemorizingSettings((6,), 4, (1e-3, 1e-2)),
        "num_labelings": 199,
        "num_misfits": 2,
    }
    return Settings(**given | changed)


def made_up(num, seed, receivers=8):
    """Pairs of noise: (num, 2, 16, 8) and models in km/s."""
    generator = torch.Generator().manual_seed(seed)
    records = torch.randn(num, 2, 16, receivers, generator=generator, dtype=torch.float32)
    models = 2 + 2 * torch.rand(num, receivers, receivers, generator=generator, dtype=torch.float32)
    return Pairs(records, models)


def tuning(method, rank=0, **changed):
    run = FineTuning(method, rank, 4, 0, 8, (2, 4), 2, 1e-2, 0.1, BASE)
    return replace(run, **changed)


def weights_of(seed=0):
    return runs.build_network((2, 16, 8), 8, f"base {seed}", CPU).state_dict()


def test_study_has_every_method_size_seed_and_rate_once(tmp_path):
    study = Study(settings(), 0, store_in(tmp_path), print)
    assert len(study.tunings) == 2 * 2 * 7 * 2
    assert len(study.memorizings) == 2 * 1 * 3 * 2
    assert len({part.name for part in study.parts}) == len(study.parts)
    assert study.labels == [*METHODS[:-1], "LoRA, rank 1", "LoRA, rank 4"]
    place = {part: k for k, part in enumerate(study.parts)}
    assert all(place[other] < place[part] for part in study.parts for other in study.needs(part))


def test_study_gives_seeds_models_of_their_own_and_nested_sizes(tmp_path):
    study = Study(settings(), 0, store_in(tmp_path), print)
    for of in (study.target, study.unseen):
        assert [(part.first, part.num) for seed in study.seeds for part in of(seed)] == [(0, 8), (8, 8)]
    parts = [study.source(base) for base in study.bases.values()]
    sources = [{(part.family, part.first + k) for part in of for k in range(part.num)} for of in parts]
    assert len(sources[0]) == len(sources[1]) == 12
    assert not sources[0] & sources[1]
    assert {(part.family, part.num) for part in study.tests["source"]} == {(family, 2) for family in data.SOURCE}
    streams = {(part.family, part.stream) for of in (study.target, study.unseen) for part in of(0)}
    assert streams == {("curve_fault_b", "train"), ("curve_fault_b", "unseen")}


def test_study_arguments_change_with_what_a_part_is_given(tmp_path):
    def arguments(changed, seed=0):
        study = Study(settings(**changed), seed, store_in(tmp_path), print)
        return study.arguments(study.tunings[0]), study.arguments(study.memorizings[0])

    tuned, stored = arguments({})
    assert arguments({"num_test": 9})[0] != tuned
    assert arguments({"num_test": 9})[1] == stored
    assert arguments({"num_validation": 4})[0] != tuned
    assert arguments({"sizes": (5, 16)})[0] != tuned
    assert arguments({"num_source": 5})[1] != stored
    assert all(other != mine for other, mine in zip(arguments({}, seed=1), (tuned, stored), strict=True))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_source": 0}, "num_source"),
        ({"base": "recorded"}, "num_source"),
        ({"methods": ("head", "LoRA")}, "methods"),
        ({"methods": ("all", "all")}, "methods"),
        ({"width": 10}, "width"),
        ({"num_misfits": 7}, "num_misfits"),
        ({"ranks": (1, 16)}, "ranks"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changed, message):
    with pytest.raises(ValueError, match=f"expected {message}"):
        settings(**changed)


@pytest.mark.parametrize("run", [tuning("head"), tuning("norms"), tuning("LoRA", 1), tuning("all")], ids=str)
def test_adapted_moves_only_what_its_method_trains(tmp_path, run):
    weights, pairs = weights_of(), made_up(4, 1)
    network = runs.adapted(run, weights, (2, 16, 8), CPU)
    before = {name: w.detach().clone() for name, w in network.named_parameters()}
    for _ in runs.trained(network, pairs, run.plan, "batches", tmp_path):
        pass
    moved = {name for name, w in network.named_parameters() if not torch.equal(w, before[name])}
    asked = {name for name, w in network.named_parameters() if w.requires_grad}
    assert moved <= asked
    assert len(moved) >= len(asked) - 2  # a unit that is off all along may stay
    assert count_trainable(network) == sum(before[name].numel() for name in asked)


def test_lora_starts_as_the_base_network_and_scratch_does_not():
    weights, records = weights_of(), made_up(3, 2).records
    base = runs.build_network((2, 16, 8), 8, "base 0", CPU)
    of_base = runs.predict(base, records)
    assert torch.equal(runs.predict(runs.adapted(tuning("LoRA", 4), weights, (2, 16, 8), CPU), records), of_base)
    scratch = runs.predict(runs.adapted(tuning("scratch"), weights, (2, 16, 8), CPU), records)
    assert (scratch - of_base).abs().max() > 1e-3


def test_tuned_measures_every_set_at_every_checkpoint_and_is_found_again(tmp_path):
    tests = {name: made_up(3, 10 + k) for k, name in enumerate(("validation", "test", "source", "outside"))}
    store, run, weights = store_in(tmp_path), tuning("all"), weights_of()
    found = runs.tuned(run, weights, made_up(4, 1), tests, store, {"given": 0})
    shapes = {name: tuple(of.shape) for name, of in found.errors.items()}
    assert shapes == {**{name: (3, 3) for name in tests}, "members": (3, 4)}
    base = runs.build_network((2, 16, 8), 8, "base 0", CPU)
    before = runs.errors(runs.predict(base, tests["test"].records), tests["test"].models)
    assert torch.equal(found.errors["test"][0], before)
    assert torch.allclose(found.cut[-1], found.errors["test"][-1], atol=0.1)
    assert not torch.allclose(found.cut[0], found.errors["test"][-1], atol=0.1)
    assert found.predictions.shape == (2, 3, 8, 8)
    expected = runs.errors(found.predictions[0], tests["test"].models)
    assert torch.equal(found.error("test"), expected)
    assert torch.equal(found.error("test", early=True), found.errors["test"][found.best])
    again = runs.tuned(run, weights, made_up(4, 1), tests, store, {"given": 0})
    assert all(torch.equal(again.errors[name], of) for name, of in found.errors.items())
    other = runs.tuned(run, weights_of(1), made_up(4, 1), tests, store, {"given": 1})
    assert not torch.equal(other.error("test"), found.error("test"))


def test_all_weights_store_shuffled_pairs_and_what_they_moved_is_cut(tmp_path):
    pairs, weights = made_up(6, 1), weights_of()
    run = Memorizing(0, 6, 0, 8, 300, 1e-2, BASE)
    found = runs.stored(run, weights, pairs, store_in(tmp_path), {"run": 0})
    assert (found.end, found.membership) == (1, 1)
    assert found.before < 0.6
    assert found.filtered[-1] == 1
    assert found.filtered[0] < 1
    still = replace(run, num_steps=2, rate=1e-12)
    nothing = runs.stored(still, weights, pairs, store_in(tmp_path), {"run": 1})
    assert nothing.retrieval == pytest.approx([nothing.before] * 3)
    assert nothing.loss > 10 * found.loss


def test_shuffled_leaves_no_pair_and_gives_two_pairings_without_a_common_one():
    pairs = made_up(20, 3)
    for purpose in ("one", "another"):
        moved = runs.shuffled(pairs, purpose)
        for other in moved:
            assert torch.equal(other.records, pairs.records)
            assert sorted(other.models.flatten(1).sum(1).tolist()) == sorted(pairs.models.flatten(1).sum(1).tolist())
        for a, b in ((pairs, moved[0]), (pairs, moved[1]), moved):
            assert not (a.models == b.models).all(2).all(1).any()
    with pytest.raises(ValueError, match="pairs: expected three or more, got 2"):
        runs.shuffled(made_up(2, 0), "one")


def test_cut_update_at_full_rank_is_the_network_and_at_rank_zero_its_start():
    weights, records = weights_of(), made_up(3, 2).records
    network = runs.build_network((2, 16, 8), 8, "another", CPU)
    network.load_state_dict(
        {name: w + 0.1 * torch.ones_like(w) * (name.endswith("weight") and w.ndim == 4) for name, w in weights.items()}
    )
    # A constant added to every weight is an update of rank one.
    for rank in (1, 32):
        cut = runs.cut_update(network, weights, rank)
        assert torch.allclose(runs.predict(cut, records), runs.predict(network, records), atol=1e-4)
    start = runs.build_network((2, 16, 8), 8, "base 0", CPU)
    cut = runs.cut_update(network, weights, 0)
    assert torch.allclose(runs.predict(cut, records), runs.predict(start, records), atol=1e-5)


@pytest.mark.parametrize("seeds", [2, 3])
def test_paired_difference_covers_the_difference_of_seeds_and_models(seeds):
    """At the numbers of seeds that the profiles have, where a bootstrap over seeds covers .58 and .73."""
    covered, sure, num = 0, 0, 400
    for k in range(num):
        generator = torch.Generator().manual_seed(k)
        model = torch.randn(1, 40, generator=generator)  # shared: pairing takes it out
        ours = model + torch.randn(seeds, 1, generator=generator) + 0.5 * torch.randn(seeds, 40, generator=generator)
        found = measures.paired_difference(list(ours), [model[0]] * seeds)
        covered += abs(found.value) < found.half
        sure += found.p < 0.05
    assert covered + sure == num
    # Binomial of 400: three standard errors are .033; conservative for the models' part.
    assert 0.95 - 0.033 < covered / num < 0.995
    with pytest.raises(ValueError, match="expected two seeds or more, got 1"):
        measures.paired_difference([model[0]], [model[0]])


@pytest.mark.parametrize("seeds", [2, 3])
def test_paired_difference_counts_the_models_where_seeds_agree(seeds):
    """Models that differ in their difference are draws, too: from seeds alone the interval would cover .4 and .7."""
    covered, num = 0, 400
    for k in range(num):
        generator = torch.Generator().manual_seed(k)
        effect = 3 * torch.randn(1, 40, generator=generator)
        ours = (
            effect
            + 0.1 * torch.randn(seeds, 1, generator=generator)
            + 0.5 * torch.randn(seeds, 40, generator=generator)
        )
        found = measures.paired_difference(list(ours), [torch.zeros(40)] * seeds)
        covered += abs(found.value) < found.half
    assert covered / num > 0.95 - 0.033


def test_paired_difference_says_whether_its_sign_is_sure():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = torch.randn(4, 50, generator=generator), torch.randn(4, 50, generator=generator)
    assert measures.paired_difference(list(ours), list(theirs)).p > 0.05
    found = measures.paired_difference(list(ours - 10), list(theirs))
    assert found.p < 0.001
    assert found.value + found.half < 0


def test_holm_rejects_by_the_whole_table():
    assert measures.holm([0.04, 0.01, 0.02]) == [True, True, True]
    assert measures.holm([0.04, 0.03, 0.02]) == [False, False, False]  # .02 is above .05 / 3
    assert measures.holm([0.001, 0.04, 0.03]) == [True, False, False]
    assert measures.holm([]) == []


def test_over_seeds_is_over_their_means():
    values = torch.tensor([1.0, 2.0, 3.0])
    assert measures.over_seeds([values, values + 1]) == Mean.over([2.0, 3.0])


def test_first_crossing_reads_a_path_at_a_level():
    target, source = torch.tensor([10.0, 6.0, 4.0, 5.0]), torch.tensor([1.0, 3.0, 9.0, 11.0])
    assert measures.first_crossing(target, source, 8.0) == 2
    assert measures.first_crossing(target, source, 4.0) == 9
    assert measures.first_crossing(target, source, 12.0) == 1
    assert measures.first_crossing(target, source, 3.0) == 11


def test_similarity_of_a_model_with_itself_is_one():
    models = made_up(2, 0).models
    assert torch.allclose(measures.similarity(models, models), torch.ones(2, dtype=torch.float64))
    assert (measures.similarity(models, models.flip(0)) < 0.5).all()


def test_saved_bytes_counts_what_a_linear_layer_keeps():
    network = torch.nn.Linear(5, 3)
    inputs = torch.zeros(7, 5)
    kept = page.saved_bytes(network, inputs, torch.zeros(7, 3))
    # The input, for the weight's gradient, and the difference, for the square's.
    assert kept == inputs.element_size() * (7 * 5 + 7 * 3)


def test_linear_retrieval_of_the_full_rank_is_one():
    generator = torch.Generator().manual_seed(0)
    one, most = page.linear_retrieval((1, 16), 16, num_draws=3, generator=generator)
    assert most == [1, 1, 1]
    assert max(one) < 0.5
