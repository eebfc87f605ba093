"""Archived work is found again until the module that does it changes, or anything that the module rests on."""

import shutil
import tempfile
from types import ModuleType

import pytest
import torch
from tiny_book import NAME, write_book, write_notebook

from companion import archive, record
from companion.results import RunError

BETWEEN = ModuleType("memprior.between")


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A tiny book, run unattended, with a src of its own: ``between`` imports ``used``, and never ``unused``."""
    root = tmp_path / "book"
    write_book(root, work="from memprior import between")
    (root / "src" / "memprior").unlink()
    (root / "src" / "memprior").mkdir(parents=True)
    for name, text in (("__init__", ""), ("between", "from memprior.used import x"), ("used", "import torch")):
        (root / "src" / "memprior" / f"{name}.py").write_text(text + "\n")
    (root / "src" / "memprior" / "unused.py").write_text("import scipy\n")
    monkeypatch.setenv("COMPANION_ROOT", str(root))
    monkeypatch.setenv("COMPANION_RUN", str(tmp_path / "run"))
    return root


def folder(name=NAME, device="cpu", module=BETWEEN, **settings):
    run = record.Run(name, "quick", 0, {}, settings, torch.device(device))
    return archive.folder(run, module)


def test_it_is_a_folder_of_the_repository_that_keeps_what_is_put_there(book):
    first = folder()
    assert first.parent == book / "_build" / "archive"
    assert first.name.startswith(f"{NAME}-")
    (first / "work").write_text("an hour's")
    assert (folder() / "work").read_text() == "an hour's"


MATTERS = {
    "the module": lambda root: (root / "src/memprior/between.py").write_text("from memprior.used import x as y\n"),
    "what it imports": lambda root: (root / "src/memprior/used.py").write_text("import torch, math\n"),
    "the package": lambda root: (root / "src/memprior/__init__.py").write_text("FLAG = 1\n"),
    "one more module": lambda root: (root / "src/memprior/used.py").write_text(
        "import torch\nimport memprior.unused\n"
    ),
    "a pin": lambda root: (root / "constraints.txt").write_text("torch==1\n"),
}
DOES_NOT = {
    "words": lambda root: (root / "src/memprior/used.py").write_text('"""Of use."""\n\nimport torch  # why\n'),
    "a front door": lambda root: (root / "src/memprior/__init__.py").write_text("from memprior.unused import y\n"),
    "another module": lambda root: (root / "src/memprior/unused.py").write_text("x = 2\n"),
    "another pin": lambda root: (root / "constraints.txt").write_text("torch==0\nscipy==1\n"),
    "the notebook": lambda root: write_notebook(root / "notebooks" / f"{NAME}.ipynb", work="from memprior import used"),
    "sizes": lambda root: (root / "notebooks/profiles.yml").write_text("tiny: {quick: {size: 4}, full: {size: 5}}\n"),
    "claims": lambda root: (root / "data/claims/tiny.yml").write_text("[]\n"),
    "results": lambda root: (root / "_build" / "results.json").write_text("{}\n"),
}


@pytest.mark.parametrize("change", MATTERS.values(), ids=MATTERS)
def test_another_folder_when_it_would_be_other_work(book, change):
    before = folder()
    change(book)
    assert folder() != before
    assert before.is_dir()


@pytest.mark.parametrize("change", DOES_NOT.values(), ids=DOES_NOT)
def test_the_same_folder_when_it_would_be_the_same_work(book, change):
    before = folder()
    change(book)
    assert folder() == before


@pytest.mark.usefixtures("book")
def test_devices_notebooks_and_modules_do_not_share_a_folder():
    # A graphics card's bits are not a processor's; that of the second card are those of the first.
    folders = [folder(), folder(device="cuda"), folder(name="other"), folder(module=ModuleType("memprior.used"))]
    assert len(set(folders)) == 4
    assert folder(device="cuda:1") == folders[1]


def test_a_folder_of_other_work_under_this_name_is_refused(book):
    old = folder()
    (book / "src/memprior/used.py").write_text("import torch, math\n")
    new = folder()
    shutil.rmtree(new)
    old.rename(new)
    with pytest.raises(RunError, match=f"{new}: expected work of this chapter's code, got that of other code"):
        folder()
    (new / archive.MADE_FOR).unlink()
    (new / "run.safetensors").touch()
    with pytest.raises(RunError, match=rf"{archive.MADE_FOR}: expected this file"):
        folder()


@pytest.mark.usefixtures("book")
def test_sizes_are_for_the_work_to_tell_apart():
    assert folder(size=3) == folder(size=300)


def test_by_hand_it_is_a_temporary_folder(book, tmp_path, monkeypatch):
    monkeypatch.delenv("COMPANION_RUN")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    first, second = folder(), folder()
    assert first != second
    for found in (first, second):
        assert found.is_dir()
        assert found.parent == tmp_path / "temporary"
        assert found.name.startswith(f"{NAME}-")
    assert not (book / "_build").exists()


@pytest.mark.usefixtures("book")
def test_what_is_begun_lies_in_one_folder_whatever_device_began_it():
    runs = [record.Run(NAME, "quick", 0, {}, {}, torch.device(device)) for device in ("cpu", "cuda")]
    begun = [archive.unfinished(run, BETWEEN) for run in runs]
    assert begun[0] == begun[1]
    assert begun[0] not in [archive.folder(run, BETWEEN) for run in runs]
