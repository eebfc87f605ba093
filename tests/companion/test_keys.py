"""Content keys: editing a helper re-executes its dependents and nothing else."""

import ast
import shutil

import nbformat
import pytest
from tiny_book import NAME, REPOSITORY, write_book

from companion import keys, paths
from companion.run import chapters
from companion.store import code_digest

LOOKED_AT = ("02_gaussian_mixture_prior", "06_calibration", "08_first_breaks")


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
    assert edited(book, own, claims.replace("0.1", "0.2")) == {"quick"}  # what is recorded is held against them anew
    assert edited(book, own, claims.replace("0.1", "0.2").replace("[quick, full]", "[quick]")) == set()


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
        assert packages == {paths.package(name).removeprefix("chapters.")}
        assert "src/companion/record.py" in parts


# This book's own keys. No kernel is started: its sources are copied, edited, and the identities compared.


@pytest.fixture
def sources(tmp_path):
    for folder in ("src", "notebooks", "data/claims"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "constraints.txt", tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def before():
    return identities(REPOSITORY)


def modules(root, package=""):
    return sorted((root / "src" / package).rglob("*.py"))


def identities(root):
    """The key at profile full of three chapters that rest on most of the library, and the code digest of each module.

    A module of one chapter is imported by no other: tests/test_imports.py.
    """
    folders = [f"chapters/ch{name}" for name in LOOKED_AT]
    files = [file for folder in folders for file in modules(root, folder)]
    names = [".".join(file.relative_to(root / "src").with_suffix("").parts) for file in files]
    own = {name: keys.content_key(root, name, "full")["key"] for name in LOOKED_AT}
    return own | {name: code_digest(root, name) for name in names if not name.endswith("__init__")}


def changed(before, root):
    after = identities(root)
    assert after.keys() == before.keys()
    return {name for name, digest in after.items() if digest != before[name]}


def with_comments(text):
    return "\n# a comment\n".join(text.split("\n\n")) + "\n# at the end\n"


def with_other_docstrings(text):
    """As Python itself writes it, on lines of any length."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            if ast.get_docstring(node) is not None:
                del node.body[0]
            node.body.insert(0, ast.Expr(ast.Constant("Other words.")))
    return ast.unparse(ast.fix_missing_locations(tree))


def test_content_key_ignores_docstrings_comments_and_line_breaks(before, sources):
    for file in modules(sources):
        text = file.read_text()
        file.write_text(with_comments(with_other_docstrings(text)))
        assert file.read_text() != text
    assert changed(before, sources) == set()


def with_another_formula(text):
    """The first sum made a product, or the first product a sum."""
    tree = ast.parse(text)
    first = next(n for n in ast.walk(tree) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Add | ast.Mult))
    first.op = ast.Mult() if isinstance(first.op, ast.Add) else ast.Add()
    return ast.unparse(tree)


@pytest.mark.parametrize("name", ["measures", "nonlinear", "figures"])
def test_content_key_of_chapter_6_alone_changes_with_its_formulas(before, sources, name):
    file = sources / "src" / "chapters" / "ch06_calibration" / f"{name}.py"
    file.write_text(with_another_formula(file.read_text()))
    stale = changed(before, sources)
    assert stale - {one for one in stale if one.startswith("chapters.ch06_calibration.")} == {"06_calibration"}
    assert f"chapters.ch06_calibration.{name}" in stale


def test_content_key_ignores_a_new_function_of_a_package(before, sources):
    for package in ("memorization", "waves"):
        folder = sources / "src" / "memprior" / package
        (folder / "new.py").write_text("def new(x):\n    return 2 * x\n")
        door = folder / "__init__.py"
        door.write_text(f"{door.read_text()}\nfrom memprior.{package}.new import new\n")
    assert changed(before, sources) == set()


def test_content_key_at_profile_full_ignores_prose_of_a_notebook(before, sources):
    names, edited = chapters(REPOSITORY), "02_gaussian_mixture_prior"
    quick = {name: keys.content_key(sources, name, "quick") for name in names}
    file = sources / "notebooks" / f"{edited}.ipynb"
    notebook = nbformat.read(file, as_version=4)
    next(cell for cell in notebook.cells if cell.cell_type == "markdown").source += "\n\nAnother sentence."
    nbformat.write(notebook, file)
    assert changed(before, sources) == set()
    after = {name: keys.content_key(sources, name, "quick") for name in names}
    assert [name for name in names if after[name]["key"] != quick[name]["key"]] == [edited]
    assert after[edited]["work"] == quick[edited]["work"]
