"""make test-cluster: its words where it cannot run, and that it takes the README's own command."""

import importlib.util
import sys
from pathlib import Path
from unittest import mock

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "cluster"


def module(name):
    spec = importlib.util.spec_from_file_location(f"cluster_{name}", FOLDER / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


slurm = module("slurm")
with mock.patch.dict(sys.modules, slurm=slurm):
    readme, command = module("test_readme_on_slurm"), module("__main__")


@pytest.fixture
def ready(tmp_path, monkeypatch):
    """A machine that lacks nothing."""
    monkeypatch.setattr(slurm.sys, "platform", "linux")
    monkeypatch.setattr(slurm.os, "geteuid", lambda: 0)
    monkeypatch.setattr(slurm, "find_spec", lambda name: name)
    monkeypatch.setattr(slurm.shutil, "which", lambda name: f"/a/{name}")
    monkeypatch.setattr(slurm, "CONFIGURATION", tmp_path / "slurm.conf")
    return monkeypatch


def test_slurm_requires_root(ready):
    slurm.require()
    ready.setattr(slurm.os, "geteuid", lambda: 1000)
    with pytest.raises(slurm.Missing, match=r"^expected to be root on Linux"):
        slurm.require()


def test_slurm_requires_snakemakes_executor(ready):
    ready.setattr(slurm, "find_spec", lambda name: None)
    with pytest.raises(slurm.Missing, match=r"^expected Snakemake's executor for SLURM, got none: pip install"):
        slurm.require()


def test_slurm_leaves_a_cluster_of_somebody_else_alone(ready):
    slurm.CONFIGURATION.write_text("ClusterName=theirs\n")
    with pytest.raises(slurm.Missing, match=r"^expected no SLURM here, got .*slurm.conf"):
        slurm.require()
    assert slurm.CONFIGURATION.read_text() == "ClusterName=theirs\n"


def test_slurm_requires_apt_where_its_daemons_are_missing(ready):
    ready.setattr(slurm.shutil, "which", lambda name: None)
    with pytest.raises(slurm.Missing, match=r"^expected apt-get, to install slurm-wlm and munge, got none"):
        slurm.require()


@pytest.mark.parametrize(("options", "status"), [([], 0), (["--required"], 1)])
def test_cluster_target_skips_with_a_word_and_fails_where_it_is_required(ready, capsys, options, status):
    ready.setattr(slurm.os, "geteuid", lambda: 1000)
    assert command.main(options) == status
    assert capsys.readouterr().out.startswith("make test-cluster: skipped: expected to be root")


def test_cluster_target_takes_the_command_of_the_readme():
    one, swept = readme.on_cluster(), readme.sweep_on_cluster([0, 1], [{"num_draws": 5}])
    profile = ["--snakefile", "workflow/Snakefile", "--profile", "workflow/profiles/slurm"]
    assert one[1:] == [*profile, "--config", "profile=quick", "chapters=03_linearized_posterior"]
    told = ["chapters=03_linearized_posterior", "seeds=0,1", 'overrides=[{"num_draws": 5}]']
    assert swept[1:] == [*profile, "sweep", "--config", *told]


def test_readme_says_how_to_go_on_after_a_killed_snakemake():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for words in ("`scancel --name` with the *SLURM run ID*", "`--unlock`"):
        assert words in text
