"""Weights that a full run leaves, and that a quick run starts from."""

import pytest
import torch
from tiny_book import NAME, write_book, write_run

from companion import book, weights
from companion.keys import content_key
from companion.results import RunError, seal

TENSORS = {"layer.weight": torch.arange(6.0).reshape(2, 3)}


def recorded(root):
    """A recorded full run of the tiny chapter with weights."""
    write_run(root)
    full = write_run(root, "full")
    weights.write_weights(full, "base", TENSORS, {"seed": 0})
    seal(full, [full / file for file in ("results.json", f"{NAME}.ipynb", "base.safetensors")])
    return book.keep(root, NAME)


def test_keep_records_weights_and_a_run_reads_them(tmp_path, monkeypatch):
    root = write_book(tmp_path)
    target = recorded(root)
    assert sorted(file.name for file in target.iterdir()) == ["base.safetensors", "provenance.json", "results.json"]
    monkeypatch.setenv("COMPANION_ROOT", str(root))
    found, made = weights.recorded_weights(NAME, "base", torch.device("cpu"))
    assert torch.equal(found["layer.weight"], TENSORS["layer.weight"])
    assert made == {"seed": 0}
    with pytest.raises(RunError, match=r"other.safetensors: expected weights of a recorded full run, found none"):
        weights.recorded_weights(NAME, "other", torch.device("cpu"))
    file = target / "base.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(RunError, match=r"base.safetensors"):
        weights.recorded_weights(NAME, "base", torch.device("cpu"))


def test_weights_above_four_megabytes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="weights base: expected at most 4194304 bytes, got 4194308"):
        weights.write_weights(tmp_path, "base", {"w": torch.zeros(2**20 + 1, dtype=torch.float32)}, {})
    assert not list(tmp_path.iterdir())
    weights.write_weights(tmp_path, "base", {"w": torch.zeros(2**20, dtype=torch.float32)}, {})


def test_key_of_a_quick_run_alone_changes_with_recorded_weights(tmp_path):
    root = write_book(tmp_path)
    before = {profile: content_key(root, NAME, profile) for profile in ("quick", "full")}
    recorded(root)
    after = {profile: content_key(root, NAME, profile) for profile in ("quick", "full")}
    assert after["full"] == before["full"]
    assert after["quick"]["key"] != before["quick"]["key"]
    assert after["quick"]["work"] != before["quick"]["work"]
    weights.write_weights(root / "data" / "recorded" / NAME, "base", {"layer.weight": torch.zeros(2, 3)}, {})
    assert content_key(root, NAME, "quick")["work"] != after["quick"]["work"]
