"""The store: an entry is found again until its identity changes, and no other is taken for it."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
import torch
from helpers import PATHS, store_in
from tiny_book import NAME, write_book, write_notebook

from companion.store import LOCKS, code_digest
from companion.workflow import KEPT_DAYS, remove_unused
from memprior.checkpoint import read_saved

ARGUMENTS = {"size": 3, "looks": (1, 2)}


@pytest.fixture
def store(tmp_path):
    return store_in(tmp_path / "store")


def left(store):
    """What lies in a store, but for its locks."""
    return {file.suffix for file in store.folder.iterdir() if file.name != LOCKS}


def never(folder):
    raise AssertionError("computed again")


def ones(folder):
    return {"x": torch.ones(2, dtype=torch.float64)}


def test_store_computes_a_result_once(store):
    assert torch.equal(store.tensors("a", ARGUMENTS, ones)["x"], torch.ones(2, dtype=torch.float64))
    assert torch.equal(store.tensors("a", ARGUMENTS, never)["x"], torch.ones(2, dtype=torch.float64))
    assert store.value("b", {}, lambda _: {"y": (1, 2)}) == store.value("b", {}, never) == {"y": [1, 2]}
    assert left(store) == {".safetensors"}
    assert store.made("a", ARGUMENTS)["made_on"] == ["cpu in words"]


@pytest.mark.parametrize(
    "other",
    [
        lambda store: (store, "b", ARGUMENTS),
        lambda store: (store, "a", ARGUMENTS | {"size": 4}),
        lambda store: (store, "a", {"size": 3}),
        lambda store: (replace(store, code="other"), "a", ARGUMENTS),
        lambda store: (replace(store, device=torch.device("meta")), "a", ARGUMENTS),
    ],
    ids=["name", "an argument", "fewer arguments", "code", "device"],
)
def test_store_keeps_results_of_other_work_apart(store, other):
    store.tensors("a", ARGUMENTS, ones)
    another, name, arguments = other(store)
    assert another.tensors(name, arguments, lambda _: {"x": torch.zeros(1)})["x"].shape == (1,)


def test_store_shares_results_between_devices_of_one_kind(store):
    one, two = (replace(store, device=torch.device("cpu", index)) for index in (0, 1))
    assert one.file("a", {}) == two.file("a", {})
    one.value("a", {}, lambda _: 1)
    assert one.value("a", {}, never) == 1


def test_store_hands_on_what_was_begun(store):
    def begins(folder):
        (folder / "half").write_text("done")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.value("a", {}, begins)
    elsewhere = replace(store, device=torch.device("meta"), label="meta in words")
    assert elsewhere.entry("a", {}) == store.entry("a", {})
    again = replace(store, label="another CPU")
    assert again.value("a", {}, lambda folder: (folder / "half").read_text()) == "done"
    assert store.made("a", {})["made_on"] == ["cpu in words", "another CPU"]
    assert left(store) == {".safetensors"}


def test_store_names_an_entry_with_any_bit_flipped(store):
    store.value("a", {}, lambda _: [1.5])
    file = store.file("a", {})
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ValueError, match=f"{file.name}: expected "):
            store.value("a", {}, never)
    file.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=f"{file.name}: expected a file written by save_atomically.*; remove the file"):
        store.value("a", {}, never)


def test_store_names_an_entry_under_the_name_of_another(store):
    store.value("a", {"size": 3}, lambda _: 3)
    os.replace(store.file("a", {"size": 3}), store.file("a", {"size": 4}))
    with pytest.raises(ValueError, match=r"expected the result of .*'size': 4.*, got that of .*'size': 3.*; remove"):
        store.value("a", {"size": 4}, never)


def test_store_refuses_arguments_that_json_cannot_hold(store):
    with pytest.raises(ValueError, match=r"^arguments: expected .* finite numbers, got nan"):
        store.value("a", {"size": float("nan")}, never)


def test_store_computes_once_for_two_threads(store, capsys):
    calls, begun, told = [], threading.Event(), []

    def slow(folder):
        calls.append(0)
        begun.set()
        time.sleep(0.3)
        return 1

    first = threading.Thread(target=lambda: told.append(store.value("a", {}, slow)))
    first.start()
    assert begun.wait(10)
    assert store.value("a", {}, slow) == 1
    first.join()
    assert (calls, told) == ([0], [1])
    assert capsys.readouterr().err == "a: somebody else is at work on it, waiting for them to end\n"


def test_store_resumes_to_the_same_result_after_a_kill(tmp_path):
    """A count that saves each of its steps; the process dies in the middle of one."""
    program = """
import os, pathlib, signal, sys
from helpers import store_in
def count(folder):
    file = folder / "count"
    begun = len(file.read_text()) if file.exists() else 0
    for k in range(begun, 5):
        if k == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        with file.open("a") as open_file:
            open_file.write(str(k))
    return file.read_text()
print(store_in(pathlib.Path(sys.argv[1])).value("count", {}, count))
"""
    surroundings = os.environ | PATHS

    def run(dies_at):
        command = [sys.executable, "-c", program, str(tmp_path / "store"), str(dies_at)]
        return subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)

    assert run(3).returncode == -signal.SIGKILL
    (begun,) = (tmp_path / "store").glob("*.begun")
    assert (begun / "count").read_text() == "012"
    done = run(2)  # steps that are done are not taken again
    assert done.stdout == "01234\n", done.stderr
    assert left(store_in(tmp_path / "store")) == {".safetensors"}


def test_remove_unused_removes_entries_not_used_for_long(store):
    def interrupted(folder):
        (folder / "half").touch()
        raise KeyboardInterrupt

    for name in ("old", "read", "new"):
        store.value(name, {}, lambda _: 1)
    with pytest.raises(KeyboardInterrupt):
        store.value("begun", {}, interrupted)
    long_ago = time.time() - 86400 * (KEPT_DAYS + 1)
    for file in store.folder.rglob("*"):
        if not file.name.startswith("new"):
            os.utime(file, (long_ago, long_ago))
    store.value("read", {}, never)
    old = [store.folder / f"{store.entry('begun', {})}.begun", store.file("old", {})]
    assert remove_unused(store.folder) == [file.name for file in old]
    assert not any(file.exists() for file in old)
    assert store.value("read", {}, never) == store.value("new", {}, never) == 1
    assert remove_unused(store.folder / "nowhere") == []


# The identity of code


@pytest.fixture
def book(tmp_path):
    """A tiny book with a src of its own: ``between`` imports ``used``, and never ``unused``."""
    root = tmp_path / "book"
    write_book(root, work="from memprior import between")
    for package in ("memprior", "companion"):
        (root / "src" / package).unlink()
        (root / "src" / package).mkdir()
    between = "from memprior.used import x\nfrom companion.keeps import y"
    for name, text in (("__init__", ""), ("between", between), ("used", "import torch"), ("unused", "import scipy")):
        (root / "src" / "memprior" / f"{name}.py").write_text(text + "\n")
    (root / "src" / "companion" / "keeps.py").write_text("y = 1\n")
    return root


MATTERS = {
    "the module": ("src/memprior/between.py", "from memprior.used import x as y\n"),
    "what it imports": ("src/memprior/used.py", "import torch, math\n"),
    "the package": ("src/memprior/__init__.py", "FLAG = 1\n"),
    "one more module": ("src/memprior/used.py", "import torch\nimport memprior.unused\n"),
    "a pin": ("constraints.txt", "torch==1\n"),
}
DOES_NOT = {
    "words": ("src/memprior/used.py", '"""Of use."""\n\nimport torch  # why\n'),
    "a line break": ("src/memprior/used.py", "import (\n    torch\n)\n".replace("(\n    torch\n)", "torch\n")),
    "a front door": ("src/memprior/__init__.py", "from memprior.unused import y\n"),
    "another module": ("src/memprior/unused.py", "x = 2\n"),
    "a new module": ("src/memprior/new.py", "def public():\n    return 1\n"),
    "another pin": ("constraints.txt", "torch==0\nscipy==1\n"),
    "the making of the book": ("src/companion/keeps.py", "y = 2\n"),
    "sizes": ("notebooks/profiles.yml", "tiny: {quick: {size: 4}, full: {size: 5}}\n"),
    "claims": ("data/claims/tiny.yml", "[]\n"),
}


@pytest.mark.parametrize(("file", "text"), MATTERS.values(), ids=MATTERS)
def test_code_digest_changes_with_the_work(book, file, text):
    before = code_digest(book, "memprior.between")
    (book / file).write_text(text)
    assert code_digest(book, "memprior.between") != before


@pytest.mark.parametrize(("file", "text"), DOES_NOT.values(), ids=DOES_NOT)
def test_code_digest_stays_for_the_same_work(book, file, text):
    before = code_digest(book, "memprior.between")
    (book / file).write_text(text)
    assert code_digest(book, "memprior.between") == before


def test_code_digest_is_the_modules_own(book):
    write_notebook(book / "notebooks" / f"{NAME}.ipynb", work="from memprior import used")
    assert code_digest(book, "memprior.between") != code_digest(book, "memprior.used")


def test_store_records_how_a_result_was_made(store):
    store.value("a", {"k": 1}, lambda _: 1)
    _, told = read_saved(store.file("a", {"k": 1}))
    assert {key: told[key] for key in ("name", "code", "arguments", "device")} == {
        "name": "a", "code": "code", "arguments": {"k": 1}, "device": "cpu",
    }  # fmt: skip
