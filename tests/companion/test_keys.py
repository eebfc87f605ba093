"""Content keys: editing a helper re-executes its dependents and nothing else."""

import pytest
from tiny_book import NAME, REPOSITORY, write_book

from companion import keys
from companion.run import chapters


@pytest.fixture
def book(tmp_path):
    """A tiny book with a src of its own: its notebook imports ``used`` through ``between``, and never ``unused``."""
    root = write_book(tmp_path, work="from memprior.between import x")
    (root / "src" / "memprior").unlink()
    for name, text in (("between", "from memprior.used import x"), ("used", "x = 1"), ("unused", "x = 1")):
        (root / "src" / "memprior").mkdir(parents=True, exist_ok=True)
        (root / "src" / "memprior" / f"{name}.py").write_text(text)
    return root


def edited(root, file, text):
    before = {profile: keys.content_key(root, NAME, profile)["key"] for profile in ("quick", "full")}
    (root / file).write_text(text)
    return {profile for profile, key in before.items() if keys.content_key(root, NAME, profile)["key"] != key}


def test_content_key_changes_with_what_a_run_depends_on_alone(book):
    assert edited(book, "src/memprior/used.py", "x = 2") == {"quick", "full"}
    assert edited(book, "src/memprior/unused.py", "x = 2") == set()
    (book / "src/memprior/used.py").write_text("import torch, sklearn.mixture\nfrom PIL import Image")
    for pin in ("torch==1", "scikit-learn == 1", "Pillow[x]==1"):
        assert edited(book, "constraints.txt", pin + "\n") == {"quick", "full"}, pin
    assert edited(book, "constraints.txt", "Pillow[x]==1\ntorchvision==1\npackage-of-others==1\n") == set()
    other = "other: {quick: {size: 1}}\ntiny: {quick: {size: 4, spread: 1.0}, full: {size: 300, spread: 1.0}}\n"
    assert edited(book, "notebooks/profiles.yml", other) == {"quick"}
    own = f"data/claims/{NAME}.yml"
    claims = (book / own).read_text()
    assert edited(book, "data/claims/other.yml", "- {no: claim}\n") == set()  # another chapter's are not even read
    assert edited(book, own, claims.replace("The answer", "Forty-two")) == set()
    assert edited(book, own, claims.replace("0.1", "0.2")) == {"quick", "full"}


def test_write_key_touches_the_file_only_when_the_key_changes(book):
    file = keys.write_key(book, NAME, "quick")
    stamp = file.stat().st_mtime_ns
    assert keys.write_key(book, NAME, "quick").stat().st_mtime_ns == stamp
    (book / "src" / "memprior" / "used.py").write_text("x = 3")
    assert keys.write_key(book, NAME, "quick").stat().st_mtime_ns > stamp


def test_content_key_covers_no_other_chapters_package():
    for name in chapters(REPOSITORY):
        parts = keys.content_key(REPOSITORY, name, "quick")["parts"]
        packages = {part.split("/")[2] for part in parts if part.startswith("src/chapters/")}
        assert packages == {name if name.startswith("a") else f"ch{name}"}
        assert "src/companion/record.py" in parts
