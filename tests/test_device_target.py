"""make test-device: its messages where it cannot run, and the tiny sizes that it gives to every chapter."""

import importlib.util
import json
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from companion import profiles

ROOT = Path(__file__).parents[1]


def module(name):
    spec = importlib.util.spec_from_file_location(f"device_{name}", ROOT / "tests" / "device" / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


fakecuda, run_chapter = module("fakecuda"), module("run_chapter")


@pytest.fixture
def nothing_built(tmp_path, monkeypatch):
    monkeypatch.setattr(fakecuda, "compiled", lambda: tmp_path / "_build" / "fakecuda.so")
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path


def test_fakecuda_build_names_a_missing_compiler(nothing_built, monkeypatch):
    monkeypatch.setattr(fakecuda.shutil, "which", lambda name: None)
    with pytest.raises(
        fakecuda.NoCompiler, match=r"^expected a C\+\+ compiler \(g\+\+ or clang\+\+, or CXX\), found none"
    ):
        fakecuda.build()


def test_fakecuda_build_names_missing_python_headers(nothing_built, monkeypatch):
    monkeypatch.setattr(fakecuda.shutil, "which", lambda name: "/a/compiler")
    monkeypatch.setattr(fakecuda.sysconfig, "get_paths", lambda: {"include": str(nothing_built)})
    with pytest.raises(fakecuda.NoCompiler, match=r"^expected Python's headers in .*, found none"):
        fakecuda.build()


def test_fakecuda_build_quotes_a_compiler_that_fails(nothing_built, monkeypatch):
    headers = nothing_built / "Python.h"
    headers.write_text("")
    fails = nothing_built / "compiler"
    fails.write_text("#!/bin/sh\necho no such type >&2\nexit 1\n")
    fails.chmod(0o755)
    monkeypatch.setattr(fakecuda.sysconfig, "get_paths", lambda: {"include": str(nothing_built)})
    monkeypatch.setenv("CXX", str(fails))
    with pytest.raises(RuntimeError, match="no such type"):
        fakecuda.build()
    assert not fakecuda.compiled().exists()


def test_fakecuda_install_must_come_before_torch():
    with pytest.raises(ImportError, match="expected to be installed before torch is imported"):
        fakecuda.install()


def test_fakecuda_library_belongs_to_one_source_torch_and_python(monkeypatch):
    here = fakecuda.compiled()
    assert here.parent == ROOT / "_build" / "device"
    monkeypatch.setattr(fakecuda.metadata, "version", lambda package: "0.1")
    assert fakecuda.compiled() != here


QUICK = {
    name: chapter["quick"] for name, chapter in yaml.safe_load((ROOT / "notebooks/profiles.yml").read_text()).items()
}


@pytest.mark.parametrize("name", QUICK)
def test_tiny_sizes_are_overrides_that_a_chapter_accepts(name):
    small = run_chapter.tiny(QUICK[name])
    assert small
    settings = asdict(profiles.settings(ROOT / "notebooks" / "profiles.yml", name, "quick", 0, small))
    assert json.loads(json.dumps(settings)) == QUICK[name] | small


def test_tiny_sizes_are_smaller_and_keep_what_a_chapter_is_about():
    settings = {"num_draws": 4000, "train_steps": 1000, "num_grid": 4001, "few": 3, "sizes": [50, 1000], "floor": 0.05}
    settings |= {
        "finer": False,
        "checkpoints": [100, 300, 1000],
        "num_digits": [200, 3],
        "iterations": [0, 5, 100],
        "time": {"cells": 100, "dt_s": 0.1},
    }
    assert run_chapter.tiny(settings) == {
        "num_draws": 24,
        "train_steps": 100,
        "num_grid": 201,
        "checkpoints": [2, 7, 24],
        "num_digits": [24, 3],
        "iterations": [0, 1, 24],
        "time": {"cells": 32, "dt_s": 0.1},
    }
