"""What a notebook records about itself, run by hand or by machine, inside the repository or out of it."""

import json
import logging
import math
import subprocess
import tempfile
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
import torch
from PIL import Image
from tiny_book import NAME, write_book

from companion import pictures, record
from companion.claims import ClaimError
from companion.profiles import SettingsError


@pytest.fixture
def book(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_ROOT", str(write_book(tmp_path)))
    monkeypatch.delenv("COMPANION_RUN", raising=False)
    monkeypatch.setattr(record, "_run", None)
    return tmp_path


def test_claim_in_bounds_is_returned_as_a_float(book):
    record.begin(NAME, "quick", 0, {})
    assert record.claim("tiny.answer", torch.tensor(2.05)) == pytest.approx(2.05)


def test_claim_out_of_bounds_raises_in_the_repository(book):
    record.begin(NAME, "quick", 0, {})
    with pytest.raises(ClaimError, match=r"claim tiny.answer: expected 2 ± 0.1, got 4 \(The answer\)"):
        record.claim("tiny.answer", 4.0)


@pytest.mark.parametrize("settings", [(1, {}), (0, {"size": 4})], ids=["another seed", "an override"])
def test_claim_only_warns_with_other_settings(book, settings):
    record.begin(NAME, "quick", *settings)
    with pytest.warns(UserWarning, match=r"claim tiny.answer: expected 2 ± 0.1, got 4"):
        record.claim("tiny.answer", 4.0)


def test_claim_only_warns_outside_the_repository(book, monkeypatch):
    shipped = {name: record.paths.shipped(name) for name in ("claims", "profiles.yml")}
    monkeypatch.setattr(record.paths, "shipped", shipped.get)
    monkeypatch.setattr(record.paths, "repository", lambda: None)
    record.begin(NAME, "quick", 0, {})
    with pytest.warns(UserWarning, match="claim tiny.answer"):
        record.claim("tiny.answer", 4.0)
    with pytest.warns(UserWarning, match="claim tiny\\.unheard: expected an entry"):
        record.claim("tiny.unheard", 4.0)


def test_finish_names_the_claims_never_made(book):
    record.begin(NAME, "quick", 0, {})
    record.claim("tiny.answer", 2.0)
    with pytest.raises(ClaimError, match=r"claim tiny.drawn: never made by tiny at profile quick"):
        record.finish()


def test_finish_writes_results_without_the_last_digits(book, monkeypatch):
    monkeypatch.setattr(record, "unattended", lambda: False)  # no kernel here to glue to
    record.begin(NAME, "quick", 0, {})
    record.claim("tiny.answer", 2.0 + 4e-16)
    record.claim("tiny.drawn", 1 / 3)
    monkeypatch.setattr(record, "unattended", lambda: True)
    monkeypatch.setenv("COMPANION_RUN", str(book))
    monkeypatch.setenv("COMPANION_KEY", "k" * 64)
    strip = record.finish()
    written = json.loads((book / "results.json").read_text())
    assert written["claims"] == {"tiny.answer": 2.0, "tiny.drawn": 0.333333333333}
    assert json.loads((book / "provenance.json").read_text()) == strip.provenance
    assert f"torch {torch.__version__}" in strip._repr_html_()
    assert "peak memory" in repr(strip)


def test_provenance_has_the_build_of_torch(book, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.13.0+cu130")
    monkeypatch.setattr(record.metadata, "version", lambda package: "2.13.0")
    assert record.provenance(record.begin(NAME, "quick", 0, {}))["torch"] == "2.13.0+cu130"


def test_commit_is_of_the_checkout_and_of_no_repository_around_it(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "-m", "of others")
    (tmp_path / "unpacked").mkdir()
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path / "unpacked"))
    assert record._commit() == "none: no git repository"
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert git("--git-dir", ".git", "rev-parse", "HEAD").startswith(record._commit())
    monkeypatch.setenv("PATH", "")
    assert record._commit() == "none: no git"


def test_begin_refuses_the_code_of_another_checkout(tmp_path, monkeypatch):
    monkeypatch.delenv("COMPANION_ROOT", raising=False)
    for part in ("notebooks/profiles.yml", "src/companion/paths.py"):
        (tmp_path / part).parent.mkdir(parents=True)
        (tmp_path / part).touch()
    (tmp_path / "notebooks" / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks" / "deep")
    with pytest.raises(FileNotFoundError, match=rf"expected to be installed from this checkout, {tmp_path}, got the"):
        record.paths.require_repository()
    monkeypatch.chdir(tmp_path.parent)
    assert record.paths.require_repository() == record.paths.repository()


def test_record_writes_nothing_by_hand(book):
    before = sorted(book.rglob("*"))
    record.begin(NAME, "quick", 0, {})
    record.claim("tiny.answer", 2.0)
    record.claim("tiny.drawn", 0.0)
    record.finish()
    assert sorted(book.rglob("*")) == before


def test_generator_depends_on_seed_and_purpose(book):
    def draw(seed, purpose):
        return torch.randn(3, generator=record.begin(NAME, "quick", seed, {}).generator(purpose)).tolist()

    assert draw(0, "a") == draw(0, "a")
    assert draw(0, "a") != draw(0, "b")
    assert draw(0, "a") != draw(1, "a")


def test_generator_is_on_the_cpu_for_every_device(book):
    run = record.begin(NAME, "quick", 0, {})
    on_a_gpu = replace(run, device=torch.device("cuda")).generator("a")
    assert on_a_gpu.device.type == "cpu"
    assert torch.equal(torch.randn(3, generator=on_a_gpu), torch.randn(3, generator=run.generator("a")))


def test_provenance_lists_every_device_that_made_a_result(working):
    here = record.provenance(working)["device"]
    assert here.startswith("CPU, ")
    working.cached("fit", lambda _: 1)
    assert record.provenance(working)["device"] == here
    monkeyed = replace(working, devices=[])
    store = replace(monkeyed.store(), label="A CPU of before")
    store.value(f"{NAME} early", {"seed": 0, "overrides": {}}, lambda _: 1)
    assert record.provenance(monkeyed)["device"] == f"A CPU of before; then {here}"
    again = record.begin(NAME, "quick", 0, {})
    again.cached("early", lambda _: 2)  # read, not made
    assert record.provenance(again)["device"] == f"A CPU of before; then {here}"


def test_provenance_says_where_a_run_was_resumed(working):
    assert "resumed" not in record.provenance(working)
    logging.getLogger("memprior.training").info("%s: training goes on from step %d of %d", "five", 500, 600)
    logging.getLogger("memprior.memorization.swap").info("%d of %d labelings", 10, 10)  # progress, no resumption
    assert record.provenance(working)["resumed"] == ["five: training goes on from step 500 of 600"]
    assert "resumed" not in record.provenance(record.begin(NAME, "quick", 0, {}))


@pytest.mark.parametrize(("told", "driver"), [("550.54\n", "550.54"), ("", "unknown"), (None, "unknown")])
def test_provenance_has_the_memory_and_driver_of_a_gpu(told, driver, book, monkeypatch):
    def ask(command, **_):
        if told is None:
            raise FileNotFoundError(command[0])
        return SimpleNamespace(stdout=told)

    card = SimpleNamespace(name="A GPU", total_memory=80 * 2**30)
    run = replace(record.begin(NAME, "quick", 0, {}), device=torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    monkeypatch.setattr(record.subprocess, "run", ask)
    record._driver.cache_clear()
    assert record._device(run.device) == f"A GPU, 80 GiB, driver {driver}"


@pytest.fixture
def working(book, monkeypatch):
    """A run by machine, with the folders that ``python -m companion run`` names."""
    monkeypatch.setattr(record, "unattended", lambda: True)
    monkeypatch.setenv("COMPANION_RUN", str(book))
    monkeypatch.setenv("COMPANION_STORE", str(book / "store"))
    monkeypatch.setenv("COMPANION_WORK", "code")
    return record.begin(NAME, "quick", 0, {})


def test_run_kept_computes_a_value_once(working, book):
    calls = []

    def compute(folder):
        assert folder.is_dir()
        calls.append(0)
        return {"values": (0.1, 1 / 3), "steps": {"a": 2}, "none": float("nan")}

    first, again = working.cached("fit", compute), working.cached("fit", compute)
    for found in (first, again):
        assert math.isnan(found.pop("none"))
    assert first == again == {"values": [0.1, 1 / 3], "steps": {"a": 2}}
    assert len(calls) == 1
    assert working.cached("another", lambda _: 5) == 5


def test_run_kept_depends_on_seed_settings_and_code(working, monkeypatch):
    assert working.cached("fit", lambda _: 1) == 1
    for other in (replace(working, seed=1), replace(working, overrides={"size": 4})):
        assert other.cached("fit", lambda _: 2) == 2
    monkeypatch.setenv("COMPANION_WORK", "other code")
    assert working.cached("fit", lambda _: 3) == 3


def test_run_kept_by_hand_goes_through_json_and_keeps_nothing(book):
    run = record.begin(NAME, "quick", 0, {})
    assert run.cached("fit", lambda folder: (folder, 1)) == [None, 1]
    with pytest.raises(TypeError, match="not JSON serializable"):
        run.cached("fit", lambda _: torch.ones(2))


def test_run_store_by_hand_is_a_temporary_folder(book, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    run = record.begin(NAME, "quick", 0, {})
    folders = [run.store("memprior.noise").folder, run.store("memprior.noise").folder]
    assert len(set(folders)) == 2
    assert {folder.parent for folder in folders} == {tmp_path / "temporary"}


def test_picture_carries_its_description(working, book):
    record.begin(NAME, "full", 0, {})
    figure, _ = plt.subplots(figsize=(1, 1))
    record.picture("shown", figure, alt="A square, empty: γ = 1", caption="An empty square.")
    record.picture("silent", figure)
    plt.close(figure)
    with Image.open(book / "shown.png") as opened:
        assert opened.info["Description"] == "A square, empty: γ = 1"
    assert [file.name for file in pictures.shown(book)] == ["shown.png"]


def test_picture_of_a_quick_run_is_kept_only_for_other_pages(working, book):
    figure, _ = plt.subplots(figsize=(1, 1))
    record.picture("result", figure, alt="A square.", caption="An empty square.")
    record.picture("silent", figure)
    plt.close(figure)
    assert [file.name for file in book.glob("*.png")] == ["silent.png"]


def test_claim_before_begin_is_refused(book):
    with pytest.raises(RuntimeError, match=r"record.begin\(name, profile, seed, overrides\): expected once"):
        record.claim("tiny.answer", 2.0)


def test_begin_refuses_unknown_settings(book):
    with pytest.raises(SettingsError, match="profile: expected one of quick, full, got 'fast'"):
        record.begin(NAME, "fast", 0, {})
    settings = record.begin(NAME, "full", 0, {"spread": 2}).settings
    assert (settings.size, settings.spread) == (300, 2.0)
