"""The pages of the API: a page for each public module, of names that are where the pages say."""

import pytest
from tiny_book import REPOSITORY

from companion import api


def test_api_modules_are_the_public_ones_each_in_one_group():
    groups = api.modules(REPOSITORY)
    listed = [name for names in groups.values() for name in names]
    assert len(listed) == len(set(listed))
    assert {"memprior.noise", "memprior.memorization", "memprior.waves.helmholtz.operator"} <= set(listed)
    assert not any("._" in name for name in listed)
    assert {"memprior.operators", "memprior.waves", "memprior.waves.segy"} <= set(groups["Waves"])
    assert "memprior.paper.fields" in groups["On both wings"]
    assert "memprior.posterior" in groups["Priors and posteriors"]


def test_api_modules_include_one_that_is_new(tmp_path):
    for name in ("noise.py", "_hidden.py", "waves/__init__.py", "waves/new.py", "_private/inside.py"):
        file = tmp_path / "src" / "memprior" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('"""Levels of ``sigma``,\nas tensors.\n\nMore."""\n')
    groups = api.modules(tmp_path)
    assert groups["Priors and posteriors"] == ["memprior.noise"]
    assert groups["Waves"] == ["memprior.waves", "memprior.waves.new"]
    assert api._summary(tmp_path, "memprior.noise") == "Levels of `sigma`, as tensors."


def test_api_page_documents_its_module():
    assert ".. automodule:: memprior.noise\n   :members:\n" in api.module_page("memprior.noise")
    assert "autosummary" not in api.module_page("memprior.noise")


def test_api_page_of_a_front_door_leads_to_where_its_names_are_defined():
    page = api.module_page("memprior.waves")
    assert "   ~memprior.waves.helmholtz.operator.HelmholtzOperator\n" in page
    assert "   ~memprior.waves.segy.read_segy\n" in page


@pytest.mark.parametrize(
    ("name", "defined"),
    [
        ("memprior.waves.Acquisition", "memprior.waves.acquisition.Acquisition"),
        ("memprior.mixture.IsotropicMixture.score", "memprior.mixture.IsotropicMixture.score"),
        ("memprior.mixture.nothing", None),
        ("memprior.mixture.IsotropicMixture.nothing", None),
        ("nothing.at.all", None),
    ],
)
def test_api_resolves_a_name_to_where_it_is_defined(name, defined):
    assert api.resolve(name) == defined
