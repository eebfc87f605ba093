"""Retrieval, lookup and membership: exact on copiers, without effect on what cannot copy."""

import math

import pytest
import torch
from helpers import assert_mean

from memprior.memorization import LookupIndex, lookup_index, membership_auc, retrieval
from memprior.memorization import storage as module


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Retrieval


def test_retrieval_of_a_copier_is_one_and_of_fresh_draws_is_that_of_chance():
    targets = normal(40, 6)
    assert (retrieval(targets, targets).value, retrieval(targets, targets).num) == (1.0, 40)
    fresh = torch.tensor([retrieval(normal(40, 6, seed=1 + i), targets).value for i in range(100)])
    assert_mean(fresh, 1 / 40)


def test_retrieval_counts_each_output_that_is_nearest_to_its_own(monkeypatch):
    monkeypatch.setattr(module, "TABLE", 100)  # in several blocks
    targets = normal(30, 3)
    outputs = targets + 0.8 * normal(30, 3, seed=1)
    near = (outputs[:, None] - targets).norm(dim=2).argmin(1)
    expected = float((near == torch.arange(30)).double().mean())
    assert 0.2 < expected < 0.8
    assert retrieval(outputs, targets).value == pytest.approx(expected, abs=1e-15)


def test_retrieval_shares_ties():
    targets = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, -1.0], [5.0, 0.0]])
    # The first two tie with one another; the third is between three; the last is nearest to another one.
    outputs = torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 0.0], [0.1, 0.1]])
    assert retrieval(outputs, targets).value == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 4, rel=1e-15)


def test_retrieval_of_equal_lengths_from_zero_is_that_of_chance():
    """Distances that tie but for their rounding."""
    targets = torch.nn.functional.normalize(normal(32, 64), dim=1)
    assert retrieval(torch.zeros(32, 64), targets).value == pytest.approx(1 / 32, rel=1e-12)


def test_retrieval_of_single_precision_is_that_of_its_numbers():
    targets, outputs = normal(20, 3).float(), (normal(20, 3) + normal(20, 3, seed=1)).float()
    assert retrieval(outputs, targets) == retrieval(outputs.double(), targets.double())


# Lookup


def test_lookup_index_of_a_copier_is_its_share_minus_that_of_chance():
    stored, unseen, truths = normal(3, 200, 4)
    found = lookup_index(stored, truths, stored, unseen)
    apart = (stored - truths).norm(dim=1)
    by_chance = float((torch.cdist(stored, unseen).amin(1) < apart).double().mean())
    assert isinstance(found, LookupIndex)
    assert (found.stored.value, found.unseen.value, found.unseen.num) == (1.0, by_chance, 200)
    assert found.index.value == pytest.approx(1 - by_chance, abs=1e-15)


def test_lookup_index_of_the_truth_is_zero():
    stored, unseen, truths = normal(3, 50, 4)
    found = lookup_index(truths, truths, stored, unseen)
    assert (found.index.value, found.stored.value, found.unseen.value) == (0, 0, 0)


def test_lookup_index_of_outputs_that_know_no_model_is_zero_in_the_mean():
    """Bad outputs: near to anything but their truth, stored or not."""
    found = []
    for seed in range(100):
        stored, unseen, truths, outputs = normal(4, 30, 3, seed=seed)
        found.append(lookup_index(outputs, truths, stored, unseen))
    assert_mean(torch.tensor([one.index.value for one in found]), 0.0)
    assert min(one.stored.value for one in found) > 0.5


def test_lookup_index_shares_ties_and_names_unequal_numbers():
    stored, unseen = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    found = lookup_index(torch.zeros(1, 2), torch.tensor([[0.0, -1.0]]), stored, unseen)
    assert (found.stored.value, found.unseen.value, found.index.value) == (0.5, 0.0, 0.5)
    with pytest.raises(ValueError, match=r"^unseen: expected as many as stored models, 1, got 2$"):
        lookup_index(torch.zeros(1, 2), torch.ones(1, 2), stored, torch.cat([unseen, unseen]))


# Membership


def test_membership_auc_is_the_share_of_pairs_with_ties_half():
    members, others = torch.tensor([0.1, 0.4, 0.4, 0.9]), torch.tensor([0.4, 0.5, 0.05])
    pairs = (members[:, None] < others).double() + 0.5 * (members[:, None] == others)
    found = membership_auc(members, others)
    assert found.value == pytest.approx(float(pairs.mean()), rel=1e-15)
    # DeLong's variance is that of the two kinds of placements.
    variance = float(pairs.mean(1).var() / 4 + pairs.mean(0).var() / 3)
    assert found.value * (1 - found.value) / found.num == pytest.approx(variance, rel=1e-12)


def test_membership_auc_of_a_copier_is_one():
    found = membership_auc(torch.zeros(30), normal(20).abs() + 1e-3)
    assert (found.value, found.num, found.interval[1]) == (1.0, 20, 1.0)
    assert 0.8 < found.interval[0] < 1
    assert membership_auc(torch.ones(30), torch.zeros(20)).value == 0


def test_membership_auc_of_fresh_draws_is_a_half_and_within_its_interval():
    found = [membership_auc(normal(40, seed=seed).exp(), normal(25, seed=1000 + seed).exp()) for seed in range(400)]
    assert_mean(torch.tensor([one.value for one in found]), 0.5)
    within = sum(low < 0.5 < high for low, high in (one.interval for one in found)) / 400
    # 95 % are meant; four standard errors of 400 draws, and DeLong's variance of few losses, a twentieth too small.
    assert 0.93 - 4 * math.sqrt(0.07 * 0.93 / 400) < within < 0.95 + 4 * math.sqrt(0.05 * 0.95 / 400)


def test_membership_auc_of_losses_that_all_tie_is_a_half():
    found = membership_auc(torch.ones(8), torch.ones(5))
    assert (found.value, found.num) == (0.5, 5)


# Bad input

GOOD = torch.ones(4, 3)
NAN = torch.full((4, 3), math.nan)
BAD = {
    "one pair": ("targets: expected at least two, got 1", lambda: retrieval(GOOD[:1], GOOD[:1])),
    "fewer outputs": ("outputs: expected one for each of the 4 targets, got 3", lambda: retrieval(GOOD[:3], GOOD)),
    "outputs of nan": ("outputs: expected finite", lambda: retrieval(NAN, GOOD)),
    "targets of nan": ("targets: expected finite", lambda: retrieval(GOOD, NAN)),
    "outputs of images": ("outputs: expected shape", lambda: retrieval(torch.ones(4, 3, 1), GOOD)),
    "other precision": ("outputs: expected dtype", lambda: retrieval(GOOD.half(), GOOD)),
    "stored of nan": ("stored: expected finite", lambda: lookup_index(GOOD, GOOD, NAN, GOOD)),
    "unseen of another size": (r"unseen: expected shape \(B, 3\)", lambda: lookup_index(GOOD, GOOD, GOOD, GOOD[:, :2])),
    "outputs of no truth": ("outputs: expected one for", lambda: lookup_index(GOOD[:3], GOOD, GOOD, GOOD)),
    "one loss": ("member_losses: expected shape", lambda: membership_auc(torch.ones(1), torch.ones(4))),
    "losses in a table": ("other_losses: expected shape", lambda: membership_auc(torch.ones(4), GOOD)),
    "losses of nan": ("other_losses: expected finite", lambda: membership_auc(torch.ones(4), NAN[:, 0])),
}


@pytest.mark.parametrize(("message", "call"), BAD.values(), ids=BAD)
def test_storage_names_bad_input(message, call):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


def test_storage_takes_tensors_only():
    with pytest.raises(TypeError, match=r"^member_losses: expected a torch\.Tensor"):
        membership_auc([0.1, 0.2], torch.ones(2))
