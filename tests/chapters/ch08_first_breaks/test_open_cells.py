"""Chapter 8's open cells, run alone: their rows are those of the chapter's package, at the same size."""

import pytest
import torch
from helpers import assert_same, store_in
from open_cells import library_cells

from chapters.ch08_first_breaks import autoencoding, picking_measures, sections_measures
from chapters.ch08_first_breaks.pickers import Gathers, Labeled, Tuning, classical_tuned, gathered
from chapters.ch08_first_breaks.picking_study import IN_SURVEY

SIZES = {"num_test": 4, "num_steps": 2, "num_sections": 5, "width": 8, "num_pool": 8}


@pytest.fixture(scope="module")
def cells() -> dict:
    return library_cells("08_first_breaks", **SIZES)


def as_labeled(gathers) -> Labeled:
    return Labeled(gathers.traces, gathers.onsets, gathers.live, gathers.surveys)


def test_open_gathers_are_those_of_the_package(cells, tmp_path):
    found = gathered(Gathers(IN_SURVEY, "train", cells["num_gathers"], 0), store_in(tmp_path), {})
    assert_same(cells["labeled"].traces, found.traces)
    assert_same(cells["labeled"].onsets, found.onsets)
    assert not cells["shared"]


def test_open_ideal_picker_states_its_error(cells):
    assert float(cells["inside"].mean()) == pytest.approx(0.9, abs=0.02)
    error = cells["error"]
    assert abs(float(error.mean())) < 3 * float(error.std()) / len(error) ** 0.5


def test_open_classical_row_is_that_of_the_package(cells, tmp_path):
    labeled, other = as_labeled(cells["labeled"]), as_labeled(cells["other"])
    found = classical_tuned(Tuning("AIC", cells["num_gathers"], 0), labeled, {"test": other}, store_in(tmp_path), {})
    assert found.picker == cells["tuned"].picker
    picks = cells["tuned"].picker(other.traces)
    torch.testing.assert_close(found.medians["test"], picks, rtol=0, atol=0, equal_nan=True)


def test_open_scores_are_those_of_the_package(cells):
    other = cells["other"]
    picks = cells["tuned"].picker(other.traces)
    which = {"dt_s": other.dt_s, "groups": other.surveys, "live": other.live}
    hits = cells["pick_scores"](picks, other.onsets, **which).hits[1.0].value
    rate = picking_measures.value_of(picks, as_labeled(other), picking_measures.HIT).mean()
    assert hits == pytest.approx(float(rate))


def test_open_linear_autoencoder_is_principal_component_analysis(cells):
    assert float(cells["largest"]) < 1e-3


def test_open_dense_autoencoder_has_the_packages_layers(cells):
    run = autoencoding.Autoencoding(4, 4, 0, 400, 4, 1e-3)
    built = autoencoding.build_autoencoder(run, 2048, torch.device("cpu"))
    shapes = [{name: w.shape for name, w in one.state_dict().items()} for one in (built, cells["dense"])]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("samples", ["copies", "fresh"])
def test_open_copying_row_is_that_of_the_package(cells, samples):
    sets = cells[samples], cells["training"], cells["unseen"]
    generator = torch.Generator().manual_seed(0)
    found = sections_measures.copying(*sets, "sections", 199, generator=generator)
    arrays = [of.flatten(1).double() for of in sets]
    assert found.share == cells["swap_test"](*arrays, num_labelings=199, generator=generator).share
    assert (found.share == 1) == (samples == "copies")


def test_open_walk_is_that_of_the_package(cells):
    ends = torch.stack([cells["start"], cells["end"]])[:, None]
    found = sections_measures.walking(cells["maker"], ends, cells["training"], 100)
    assert found.jump_share.value == pytest.approx(cells["walk"].jump_share)
    assert found.switches.value == cells["walk"].num_switches
