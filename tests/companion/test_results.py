"""What a run left is read back whole or not at all."""

import json
import shutil
import sys

import pytest
from PIL import Image
from tiny_book import NAME, REPOSITORY, write_book, write_run

from companion import pages, results
from companion.results import RunError, read_results, read_run, read_sealed, seal
from companion.run import chapters


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected JSON"),
        ('{"name": "tiny"', "expected JSON"),
        ("[]", "expected the fields"),
        ('{"name": "tiny", "profile": "quick", "seed": 0, "overrides": {}, "claims": {"a": "1"}}', "expected a number"),
        (
            '{"name": "tiny", "profile": "quick", "seed": 0, "overrides": {}, "claims": {"a": true}}',
            "expected a number",
        ),
        ('{"name": "tiny", "profile": "quick", "seed": 0, "overrides": {}, "claims": []}', "expected the fields"),
    ],
)
def test_read_results_names_a_corrupt_file(tmp_path, text, message):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(RunError, match=rf"results.json: {message}"):
        read_results(tmp_path)


def test_read_run_reads_a_whole_run(tmp_path):
    folder = write_run(write_book(tmp_path))
    found, provenance = read_run(folder, name=NAME, profile="quick")
    assert found == json.loads((folder / "results.json").read_text())
    assert provenance == json.loads((folder / "provenance.json").read_text())
    assert provenance["files"].keys() == {"results.json", f"{NAME}.ipynb"}


@pytest.mark.parametrize("file", ["results.json", "provenance.json", f"{NAME}.ipynb"])
def test_read_run_names_a_file_with_any_bit_flipped(tmp_path, file):
    folder = write_run(write_book(tmp_path))
    whole = (folder / file).read_bytes()
    for at in range(len(whole)):
        (folder / file).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(RunError, match=rf"{folder}/"):
            read_run(folder, name=NAME, profile="quick")


def test_json_digest_covers_all_but_itself_in_any_order():
    assert results.json_digest({"a": 1, "b": 2}) == results.json_digest({"b": 2, "a": 1, "digest": "x"})
    assert results.json_digest({"a": 1}) != results.json_digest({"a": 2})


def test_recorded_runs_and_benchmarks_are_unchanged():
    for name in chapters(REPOSITORY):
        found, provenance = pages.full_run(REPOSITORY, name)
        assert found["name"] == provenance["name"] == name
    for name in pages.BENCHMARKS:
        assert pages.benchmark_table(REPOSITORY, name)


def test_recorded_pictures_that_were_swapped_are_named(tmp_path):
    root = write_book(tmp_path)
    for name, shade in (("tiny", 0), ("other", 255)):
        folder = root / "data" / "recorded" / name
        folder.mkdir(parents=True)
        Image.new("L", (2, 2), shade).save(folder / "answer.png")
        settings = {"name": name, "profile": "full", "seed": 0, "overrides": {}, "claims": {}}
        (folder / "results.json").write_text(json.dumps(settings))
        (folder / "provenance.json").write_text("{}")
        seal(folder, folder.glob("*[gn]"))
    pictures = [root / "data" / "recorded" / name / "answer.png" for name in ("tiny", "other")]
    one, other = (picture.read_bytes() for picture in pictures)
    pictures[0].write_bytes(other)
    pictures[1].write_bytes(one)
    for name in ("tiny", "other"):
        with pytest.raises(RunError, match=rf"recorded/{name}/answer.png: expected it as the run left it"):
            pages.full_run(root, name)


def test_recorded_benchmarks_that_were_swapped_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "data" / "recorded" / "benchmarks"
    shutil.copytree(REPOSITORY / "data" / "recorded" / "benchmarks", folder)
    first, second = (folder / f"{script}.json" for script in pages.BENCHMARKS[:2])
    shutil.copy2(first, second)
    assert pages.benchmark_table(tmp_path, pages.BENCHMARKS[0])
    with pytest.raises(RunError, match=rf"{second.name}: expected results of .*, got those of '{pages.BENCHMARKS[0]}'"):
        pages.benchmark_table(tmp_path, pages.BENCHMARKS[1])
    second.write_text("{}")
    with pytest.raises(RunError, match="expected a digest of its own"):
        read_sealed(second)
