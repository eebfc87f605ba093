"""Chapter 7's open cells, run alone: their rows are those of the chapter's package, at the same size."""

from itertools import pairwise

import pytest
import torch
from helpers import assert_same, store_in
from open_cells import library_cells

from chapters.ch07_fine_tuning import data, page, runs
from chapters.ch07_fine_tuning.data import Pairs, Records
from chapters.ch07_fine_tuning.runs import FineTuning, Memorizing
from memprior.adapters import count_trainable, lora_count
from memprior.memorization import retrieval

NUM, STEPS = 6, 5
SIZES = {"num_source": 2, "num_base_steps": 2, "num_memorizing": STEPS, "num_tuning": 2, "width": 8}


@pytest.fixture(scope="module")
def cells() -> dict:
    return library_cells("07_fine_tuning", num_examples=NUM, **SIZES)


def own_and_other(cells) -> tuple[Pairs, Pairs]:
    """The cells' two pairings."""
    return tuple(Pairs(cells["records"], cells["models"][cells[name]]) for name in ("own", "other"))


def test_open_pairs_are_those_of_the_package(cells, tmp_path):
    found = data.simulated(Records(data.TARGET, "train", NUM, 0), store_in(tmp_path), {})
    assert_same(cells["records"], found.records)
    assert_same(cells["models"], found.models)
    assert cells["right"].scattered_misfit == 0.0


def test_open_linear_row_is_that_of_the_package(cells):
    ranks = tuple(cells["exact"])
    row = page.linear_retrieval(ranks, 32, num_draws=1, generator=torch.Generator().manual_seed(0))
    assert [[share] for share in cells["exact"].values()] == row
    assert cells["reached"] == pytest.approx(float(cells["best"].errors[cells["rank"]]), rel=0.01)


def test_open_adapters_have_the_counted_weights(cells):
    layers = [m for name, m in cells["base"].named_modules() if isinstance(m, torch.nn.Conv2d) and name != "head"]
    for rank in (1, 4):
        assert count_trainable(cells["adapted"](rank)) == sum(lora_count(layer, rank) for layer in layers)
    assert cells["same"]


def test_open_storage_row_is_that_of_the_package(cells, tmp_path):
    own, other = own_and_other(cells)
    for one, two in pairwise((torch.arange(NUM), cells["own"], cells["other"])):
        assert not (one == two).any()  # no pair is in both, or as it was
    run = Memorizing(0, NUM, 0, 8, STEPS, 3e-3, None)
    network = runs.adapted(run.as_tuning(), cells["base"].state_dict(), cells["records"].shape[1:], torch.device("cpu"))
    for _ in runs.trained(network, own, run.plan, "any", tmp_path):
        pass
    assert cells["stored"][0] == pytest.approx(runs.stored_by(network, own, other))


def test_open_cuts_are_those_of_the_package(cells):
    base, network = cells["base"].state_dict(), cells["adapted"](0)
    with torch.no_grad():
        for k, weight in enumerate(network.parameters()):
            weight.add_(0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(k)))
    for rank in (0, 1, 4):
        ours, theirs = cells["cut"](network, rank), runs.cut_update(network, base, rank)
        assert_same(ours.state_dict()["encoder.2.0.weight"], theirs.state_dict()["encoder.2.0.weight"])
    outputs = runs.predict(runs.cut_update(network, base, 4), cells["records"]).flatten(1)
    own = cells["models"][cells["own"]].flatten(1)
    assert (
        retrieval(outputs, own).value == retrieval(cells["cut"](network, 4)(cells["x"]).detach().flatten(1), own).value
    )


def test_open_comparison_trains_as_the_package_does(cells, tmp_path):
    run = FineTuning("all", 0, NUM, 0, 8, (2,), 8, 3e-3, 0.0, None)
    network = runs.adapted(run, cells["base"].state_dict(), cells["records"].shape[1:], torch.device("cpu"))
    for _ in runs.trained(network, Pairs(cells["records"], cells["models"]), run.plan, "any", tmp_path):
        pass
    again = cells["adapted"](0)
    plan = cells["FineTuningPlan"](2, NUM, 3e-3, 1.5e-4)
    for _ in cells["fine_tune"](again, cells["x"], cells["models"], plan, generator=torch.Generator()):
        pass
    assert_same(again(cells["x"]).detach(), network(runs.scaled(cells["records"])).detach())
