"""Chapter 7: which parts its settings ask for, what a fine-tuned network moves and stores, and how it is measured."""

from dataclasses import replace

import pytest
import torch
from helpers import store_in

from chapters.ch07_fine_tuning import measures, page, runs
from chapters.ch07_fine_tuning.data import Pairs, Records
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
        "num_test": 5,
        "pretraining": Schedule((2,), 2, (1e-3,)),
        "sizes": (4, 8),
        "methods": METHODS,
        "ranks": (1, 4),
        "penalty": 0.1,
        "fine_tuning": plan,
        "memorizing": MemorizingSettings((6,), 2, 4, 1e-3),
        "num_bootstrap": 199,
        "num_labelings": 199,
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
    assert len(study.memorizings) == 2 * 1 * 3
    assert len({part.name for part in study.parts}) == len(study.parts)
    assert study.labels == [*METHODS[:-1], "LoRA, rank 1", "LoRA, rank 4"]
    place = {part: k for k, part in enumerate(study.parts)}
    assert all(place[other] < place[part] for part in study.parts for other in study.needs(part))


def test_study_gives_seeds_target_models_of_their_own_and_nested_sizes(tmp_path):
    study = Study(settings(), 0, store_in(tmp_path), print)
    firsts = [study.first_of(seed) for seed in range(2)]
    assert firsts == [0, 8]
    assert study.num_target == 16
    streams = {(part.family, part.stream) for part in study.parts if isinstance(part, Records)}
    assert ("curve_fault_b", "train") in streams
    assert ("curve_fault_b", "unseen") in streams
    assert not {("curve_fault_b", "train")} & {(p.family, p.stream) for p in study.source}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_source": 0}, "num_source"),
        ({"base": "recorded"}, "num_source"),
        ({"methods": ("head", "LoRA")}, "methods"),
        ({"methods": ("all", "all")}, "methods"),
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
    found = runs.tuned(run, weights, made_up(4, 1), tests, store)
    assert {name: tuple(of.shape) for name, of in found.errors.items()} == {
        **{name: (2, 3) for name in tests},
        "members": (2, 4),
    }
    assert found.predictions.shape == (2, 3, 8, 8)
    expected = runs.errors(found.predictions[0], tests["test"].models)
    assert torch.equal(found.error("test"), expected)
    assert torch.equal(found.error("test", early=True), found.errors["test"][found.best])
    again = runs.tuned(run, weights, made_up(4, 1), tests, store)
    assert all(torch.equal(again.errors[name], of) for name, of in found.errors.items())
    other = runs.tuned(run, weights_of(1), made_up(4, 1), tests, store)  # another base is another result
    assert not torch.equal(other.error("test"), found.error("test"))


def test_all_weights_store_shuffled_pairs_and_what_they_moved_is_cut(tmp_path):
    pairs, others, weights = made_up(6, 1), made_up(6, 2), weights_of()
    run = Memorizing(0, 6, 0, 8, 300, 1e-2, BASE)
    found = runs.stored(run, weights, pairs, others, store_in(tmp_path))
    assert found.retrieval == 1
    assert found.auc == 1
    assert found.filtered[-1] == 1
    assert found.filtered[0] < 1
    nothing = runs.stored(replace(run, num_steps=2, rate=1e-9), weights, pairs, others, store_in(tmp_path))
    assert nothing.retrieval < 0.6


def test_shuffled_exchanges_models_and_keeps_records():
    pairs = made_up(20, 3)
    other = runs.shuffled(pairs, "a purpose")
    assert torch.equal(other.records, pairs.records)
    assert not torch.equal(other.models, pairs.models)
    assert torch.equal(other.models.flatten(1).sort(0).values, pairs.models.flatten(1).sort(0).values)


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


def test_paired_difference_covers_the_difference_of_seeds_and_models():
    covered = 0
    for k in range(200):
        generator = torch.Generator().manual_seed(k)
        model = torch.randn(1, 40, generator=generator)  # shared: pairing takes it out
        seeds = 5 + torch.randn(8, 1, generator=generator)
        ours = model + seeds + 0.5 * torch.randn(8, 40, generator=generator)
        found = measures.paired_difference(list(ours), [model[0]] * 8, 199, generator=generator)
        covered += found.low < 5 < found.high
    # Eight seeds: the bootstrap's interval is a little short. Binomial error of 200 is .02.
    assert 0.84 < covered / 200 < 0.98
    with pytest.raises(ValueError, match="expected two seeds or more, got 1"):
        measures.paired_difference([model[0]], [model[0]], 199, generator=generator)


def test_paired_difference_says_whether_its_sign_is_sure():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = torch.randn(4, 50, generator=generator), torch.randn(4, 50, generator=generator)
    options = {"generator": generator}
    assert not measures.paired_difference(list(ours), list(theirs), 999, **options).sure
    assert measures.paired_difference(list(ours - 10), list(theirs), 999, **options).sure


def test_over_seeds_is_over_test_models_where_there_is_one_seed():
    values = torch.tensor([1.0, 2.0, 3.0])
    assert measures.over_seeds([values]) == Mean.over(values)
    assert measures.over_seeds([values, values + 1]) == Mean.over([2.0, 3.0])


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
