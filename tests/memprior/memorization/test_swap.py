"""The swap test: its statistics by brute force, its level on what cannot copy, its power on what does."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from memprior.intervals import jeffreys
from memprior.memorization import swap, swap_test
from memprior.memorization.swap import FLOOR, _Rivals


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_hand(samples, models, in_training, floor):
    """Share and log-ratio of each sample under one labeling, from every distance."""
    apart = (samples[:, None] - models).norm(dim=2)
    near, far = (apart[:, side].min(1).values for side in (in_training, ~in_training))
    shares = (near < far).double() + 0.5 * (near == far)
    return shares, far.clamp_min(floor).log() - near.clamp_min(floor).log()


class Labelings:
    """Labelings in place of random ones: ``uniform`` of the module draws their keys."""

    def __init__(self, monkeypatch):
        self.drawn = []
        monkeypatch.setattr("memprior.memorization.swap.uniform", self.keys)

    def keys(self, rows, num, *, like, generator):
        keys = torch.rand(rows, num, generator=generator, dtype=like.dtype)
        self.drawn.append(keys)
        return keys

    def of(self, num_train):
        for keys in torch.cat(self.drawn):
            labels = torch.zeros(len(keys), dtype=torch.bool)
            labels[keys.topk(num_train).indices] = True
            yield labels


@pytest.mark.parametrize(("num", "held_out"), [(12, 12), (30, 6), (6, 40), (40, 25)])
def test_swap_test_is_that_of_all_distances(num, held_out, generator, monkeypatch):
    """Balanced or not: by the rare models and the nearest of the others, or by the nearest and, where these have one
    label, all."""
    models = normal(num + held_out, 3)
    samples = torch.cat([models[:2], normal(9, 3, seed=1)])  # two copies: their distance is the floor
    labelings = Labelings(monkeypatch)
    found = swap_test(samples, models[:num], models[num:], num_labelings=300, generator=generator)
    own = torch.arange(len(models)) < num
    shares, log_ratios = by_hand(samples, models, own, found.floor)
    assert torch.equal(found.shares, shares)
    assert torch.allclose(found.log_ratios, log_ratios, rtol=1e-12)
    null = [[values.mean() for values in by_hand(samples, models, one, found.floor)] for one in labelings.of(num)]
    shares, log_ratios = torch.tensor(null).T
    assert torch.allclose(found.null_shares, shares, rtol=1e-12)
    assert torch.allclose(found.null_log_ratios, log_ratios, rtol=1e-9, atol=1e-12)
    assert found.p == (1 + int((log_ratios >= found.log_ratio - 1e-12).sum())) / 301
    assert found.p_share == (1 + int((shares >= found.share - 1e-12).sum())) / 301


@pytest.mark.parametrize("few", [True, False])
def test_swap_test_asks_for_all_models_where_the_nearest_have_one_label(few, monkeypatch):
    """Rare labels by themselves, as the search among the nearest and its last resort find them."""
    models, samples = normal(200, 3), normal(6, 3, seed=1)
    own = torch.arange(200) < 192
    monkeypatch.setattr("memprior.memorization.swap.math.log1p", lambda x: -9.0 if not few else math.log(1 + x))
    rivals = _Rivals(samples, models, torch.arange(200), 0.0, 192, 99)
    assert rivals.asks_rare is few
    labels = torch.stack([own[torch.randperm(200, generator=torch.Generator().manual_seed(i))] for i in range(40)])
    found = rivals.statistics(labels)
    expected = [by_hand(samples, models, one, 1e-300) for one in labels]
    for values, theirs in zip(found, zip(*expected, strict=True), strict=True):
        assert torch.allclose(values, torch.stack(theirs), rtol=1e-12)


def test_swap_test_takes_the_spacing_of_models_that_recur():
    """Each of 16 points 40 times: their spacing is that of the points."""
    models = torch.cartesian_prod(*[torch.arange(4.0)] * 2).repeat(40, 1)
    found = swap_test(models[:9] + 0.2, models[:320], models[320:], num_labelings=9, generator=torch.Generator())
    assert torch.equal(found.spacings, torch.ones(16))
    assert found.log_ratio == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_swap_test_measures_half_precision_in_single(dtype):
    half = [normal(20, 4, seed=seed).to(dtype) for seed in range(3)]
    found, single = (
        swap_test(*given, num_labelings=99, generator=torch.Generator().manual_seed(0))
        for given in (half, [x.float() for x in half])
    )
    assert (found.p, found.log_ratio, found.floor) == (single.p, single.log_ratio, single.floor)


def test_swap_test_has_the_interval_of_the_share_and_that_of_labels(generator):
    models, samples = normal(90, 4), normal(40, 4, seed=1)
    found = swap_test(samples, models[:60], models[60:], generator=generator)
    assert found.share_interval == jeffreys(found.share, 40)
    low, high = found.null_interval
    assert low < 60 / 90 < high
    beyond = ((found.null_shares < low) | (found.null_shares > high)).double().mean()
    assert float(beyond) <= 0.05
    as_small = (found.null_log_ratios <= found.log_ratio + 1e-12).sum()
    assert found.p_held_out == (1 + int(as_small)) / 10000


def test_swap_test_of_samples_at_held_out_models_is_on_the_other_side(generator):
    models = normal(80, 4)
    found = swap_test(models[40:], models[:40], models[40:], generator=generator)
    assert (found.share, found.p, found.p_held_out) == (0, 1, 1e-4)


def test_swap_test_exchanges_groups_as_wholes(generator, monkeypatch):
    sizes = torch.tensor([1, 4, 2, 3, 5, 2, 2, 1, 6, 3, 2, 4])
    group = torch.repeat_interleave(torch.arange(12), sizes)
    models, samples = normal(12, 2)[group] + 0.1 * normal(len(group), 2, seed=1), normal(8, 2, seed=2)
    train = group < 7
    labelings = Labelings(monkeypatch)
    found = swap_test(
        samples,
        models[train],
        models[~train],
        groups=(group[train].tolist(), group[~train]),
        num_labelings=200,
        generator=generator,
    )
    assert found.num_groups == (7, 5)
    assert torch.equal(found.shares, by_hand(samples, models, train, found.floor)[0])
    null = [by_hand(samples, models, one[group], found.floor)[0].mean() for one in labelings.of(7)]
    assert torch.allclose(found.null_shares, torch.stack(null))


def test_swap_test_counts_a_tie_as_half(generator):
    models = torch.arange(10.0)[:, None]
    samples = torch.tensor([[4.5], [0.2], [9.0]])
    found = swap_test(samples, models[:5], models[5:], num_labelings=9, generator=generator)
    assert found.shares.tolist() == [0.5, 1.0, 0.0]
    assert found.log_ratios[0] == 0
    assert found.floor == FLOOR
    assert found.log_ratios[2] == pytest.approx(math.log(FLOOR / 5))  # d_H = 0 is floored


def test_swap_test_floors_by_the_models_whatever_their_labels(generator):
    models, samples = normal(60, 4), normal(5, 4, seed=1)
    one = swap_test(samples, models[:20], models[20:], num_labelings=9, generator=generator)
    other = swap_test(samples, models[30:].flip(0), models[:30], num_labelings=9, generator=generator)
    assert one.floor == other.floor
    apart = torch.cdist(models, models) + torch.diag(torch.full((60,), torch.inf))
    assert one.floor == pytest.approx(FLOOR * float(apart.min(1).values.median()))


def test_swap_test_floors_by_models_that_differ(generator):
    models = normal(20, 4).repeat(2, 1)  # each in both sets
    found = swap_test(models[:4], models[:20], models[20:], num_labelings=9, generator=generator)
    assert found.floor > 0
    assert found.shares.tolist() == [0.5] * 4
    assert found.log_ratio == 0


FAIR = {
    "fresh": lambda draws: draws(40),
    "shrunk": lambda draws: 0.9 * draws(40),
    "clump": lambda draws: draws(1) + 0.3 * draws(40),
    "one point": lambda draws: draws(1).expand(40, -1),
    "shifted": lambda draws: draws(40) + 3,
    "heavy tails": lambda draws: draws(40) / draws(40)[:, :1].abs(),
}


@pytest.mark.parametrize("make", FAIR.values(), ids=FAIR)
@pytest.mark.parametrize("size", [2, 50])
def test_swap_test_alarms_no_more_often_than_its_level(make, size):
    """On 200 problems: p is at most 5 % in 22 of them but for one in a thousand such tests (binomial)."""
    alarms, most = 0, int(stats.binom.isf(1e-3, 200, 0.05))
    for seed in range(200):
        draws = torch.Generator().manual_seed(1000 + seed)
        models = torch.randn(60, size, generator=draws)
        samples = make(lambda num, draws=draws: torch.randn(num, size, generator=draws))
        alarms += swap_test(samples, models[:30], models[30:], num_labelings=99, generator=draws).p <= 0.05
    assert alarms <= most


def test_swap_test_has_uniform_p_values_on_fresh_draws():
    p = []
    for seed in range(300):
        draws = torch.Generator().manual_seed(seed)
        samples, train_set, held_out = torch.randn(90, 10, generator=draws).split(30)
        p.append(swap_test(samples, train_set, held_out, num_labelings=199, generator=draws).p)
    assert stats.kstest(np.array(p) - 0.5 / 200, "uniform").pvalue > 1e-3


def test_swap_test_needs_groups_where_models_come_in_groups():
    """Patches of one survey: exchanged one by one they alarm, whole they do not."""
    alarms = {"alone": 0, "whole": 0}
    for seed in range(60):
        draws = torch.Generator().manual_seed(seed)
        group = torch.arange(20).repeat_interleave(8)
        models = torch.randn(20, 5, generator=draws)[group] + 0.05 * torch.randn(160, 5, generator=draws)
        samples = torch.randn(1, 5, generator=draws) + 0.1 * torch.randn(30, 5, generator=draws)
        kind = {"num_labelings": 99, "generator": draws}
        train = group < 10
        alone = swap_test(samples, models[train], models[~train], **kind)
        whole = swap_test(samples, models[train], models[~train], groups=(group[train], group[~train]), **kind)
        alarms["alone"] += alone.p <= 0.05
        alarms["whole"] += whole.p <= 0.05
    assert alarms["whole"] <= stats.binom.isf(1e-3, 60, 0.05)
    assert alarms["alone"] > 15  # a control: without the groups the labels are not exchangeable


def test_swap_test_needs_a_metric_that_no_label_chose():
    """Standardized by the training set it alarms, by all models it does not."""
    alarms = {"training set": 0, "all": 0}
    for seed in range(100):
        draws = torch.Generator().manual_seed(seed)
        samples, train_set, held_out = torch.randn(110, 100, generator=draws).split([30, 20, 60])
        for name, by in (("training set", train_set), ("all", torch.cat([train_set, held_out]))):
            scaled = ((x - by.mean(0)) / by.std(0) for x in (samples, train_set, held_out))
            alarms[name] += swap_test(*scaled, num_labelings=99, generator=draws).p <= 0.05
    assert alarms["all"] <= stats.binom.isf(1e-3, 100, 0.05)
    assert alarms["training set"] > 15  # a control


@pytest.mark.parametrize(("copied", "least"), [(0.1, 0.95), (0.05, 0.6)])
def test_swap_test_sees_a_few_copies(copied, least):
    seen = 0
    for seed in range(40):
        draws = torch.Generator().manual_seed(seed)
        samples, train_set, held_out = torch.randn(300, 20, generator=draws).split(100)
        num = round(100 * copied)
        samples = torch.cat([train_set[:num] + 0.01 * torch.randn(num, 20, generator=draws), samples[num:]])
        seen += swap_test(samples, train_set, held_out, num_labelings=99, generator=draws).p <= 0.05
    assert seen >= least * 40


@pytest.mark.parametrize("copied", [1, 2, 3])
def test_swap_test_cannot_see_copies_of_one_model(copied, generator):
    """k copied models are all in T with a chance near (N / (N + M))^k, whatever the number of their copies."""
    models = normal(100, 5)
    samples = models[:copied].repeat(200, 1)
    found = swap_test(samples, models[:50], models[50:], num_labelings=4000, generator=generator)
    expected = math.comb(100 - copied, 50 - copied) / math.comb(100, 50)
    assert found.share == 1
    assert found.p_share == pytest.approx(expected, abs=4 * math.sqrt(expected / 4000))


def test_swap_test_repeats_itself_with_its_generator():
    models, samples = normal(40, 3).float(), normal(7, 3, seed=1).float()
    one, two = (
        swap_test(samples, models[:20], models[20:], generator=torch.Generator().manual_seed(5)) for _ in range(2)
    )
    assert one.p == two.p
    assert torch.equal(one.null_shares, two.null_shares)
    assert len(one.null_shares) == 9999


MODELS = normal(20, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_set": MODELS[:4]}, "train_set: expected at least 5 models: fewer have too few labelings, got 4"),
        ({"held_out": MODELS[:4]}, "held_out: expected at least 5 models: fewer have too few labelings, got 4"),
        ({"held_out": MODELS[:, :2]}, "held_out: expected .*3"),
        ({"samples": MODELS[:0]}, "samples: expected at least one point"),
        ({"samples": MODELS * math.nan}, "samples: expected finite numbers"),
        ({"train_set": MODELS[:1].repeat(9, 1), "held_out": MODELS[:1].repeat(9, 1)}, "train_set, held_out: expected"),
        ({"num_labelings": 0}, "num_labelings: expected"),
        ({"groups": ([0] * 20, [1] * 20)}, r"train_set: expected at least 5 groups: fewer .*, got 1"),
        ({"groups": (range(20), range(20))}, r"groups: expected each on one side, got \[0, 1, 2\] on both"),
        ({"groups": (range(19), range(20, 40))}, r"groups: expected a label for each of the 20 models of train_set"),
        ({"groups": (range(20),)}, "groups: expected those of train_set and those of held_out, got 1 of them"),
    ],
)
def test_swap_test_names_what_does_not_fit(changes, message, generator):
    given = {"samples": MODELS, "train_set": MODELS, "held_out": MODELS + 1} | changes
    with pytest.raises(ValueError, match=rf"^{message}"):
        swap_test(given.pop("samples"), given.pop("train_set"), given.pop("held_out"), **given, generator=generator)


def test_swap_test_draws_the_same_labelings_for_any_samples_and_any_blocks(monkeypatch):
    """What two sets of samples have beside the same models may then be subtracted, labeling by labeling."""
    train_set, held_out, few, many = torch.randn(120, 3, generator=torch.Generator().manual_seed(5)).split(
        [20, 20, 10, 70]
    )

    def null(samples):
        generator = torch.Generator().manual_seed(6)
        return swap_test(samples, train_set, held_out, num_labelings=50, generator=generator).null_shares

    whole, both = null(few), null(torch.cat([few, many]))
    rest = null(many)
    assert torch.allclose(80 * both, 10 * whole + 70 * rest)
    monkeypatch.setattr(swap, "TABLE", 200)
    assert torch.equal(null(few), whole)
