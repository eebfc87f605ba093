"""What code depends on: names are followed to where they are defined, and docstrings do not count."""

import pytest

from companion import code

FILES = {
    "memprior/__init__.py": '"""The library."""',
    "memprior/noise.py": "from memprior._check import expect\n\nx = 1",
    "memprior/_check.py": "def expect(): pass",
    "memprior/mixture.py": "from memprior.noise import x",
    "memprior/paper/__init__.py": (
        '"""All."""\nfrom memprior.paper.fields import grid\nfrom memprior.paper.toys import toy\n__all__ = ["grid"]'
    ),
    "memprior/paper/fields.py": "grid = 1",
    "memprior/paper/toys.py": "from memprior.mixture import x as toy",
    "memprior/rooms/__init__.py": "from memprior.rooms.inner import y\nCODE = 1",
    "memprior/rooms/inner.py": "y = 2",
    "companion/record.py": "z = 3",
}


@pytest.fixture
def root(tmp_path):
    for name, text in FILES.items():
        file = tmp_path / "src" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("import memprior.noise", "noise _check"),
        ("from memprior import noise", "noise _check"),
        ("import memprior.noise as n", "noise _check"),
        ("from memprior.noise import x", "noise _check"),
        ("def f():\n    from memprior.mixture import x", "mixture noise _check"),
        ("from memprior.paper import grid", "paper/fields"),
        ("from memprior import paper\npaper.grid", "paper/fields"),
        ("import memprior.paper as p\np.toy", "paper/toys mixture noise _check"),
        ("import memprior.paper\nmemprior.paper.grid", "paper/fields"),
        ("from memprior.paper.fields import grid", "paper/fields"),
        ("from memprior import paper", ""),
        ("from memprior.paper import fields", "paper/fields"),
        ("from memprior.rooms.inner import y", "rooms/inner rooms/__init__"),
        ("from memprior.rooms import y", "rooms/inner rooms/__init__"),
        ("import torch, numpy.linalg\nfrom os import path", ""),
    ],
)
def test_closure_follows_names_to_where_they_are_defined(root, source, files):
    found = {str(file.relative_to(root / "src")) for file in code.closure(root, source)}
    assert found == {f"memprior/{name}.py" for name in files.split()}


def test_closure_includes_modules_of_all_our_packages(root):
    assert code.closure(root, "from companion import record") == {root / "src/companion/record.py"}


PROGRAM = 'def f(x, *, y=1):\n    """Words."""\n    return [x + y, "text"]\n'


@pytest.mark.parametrize(
    "same",
    [
        PROGRAM.replace("Words.", "Other words,\n\n    on lines."),
        PROGRAM.replace('    """Words."""\n', ""),
        PROGRAM.replace("return", "# why\n    return"),
        PROGRAM.replace('[x + y, "text"]', "[\n        x + y,\n        'text',\n    ]"),
        '"""A module."""\n\n\n' + PROGRAM,
    ],
)
def test_syntax_is_the_same_for_the_same_program(same):
    assert code.syntax(same) == code.syntax(PROGRAM)


@pytest.mark.parametrize(
    "other",
    [
        PROGRAM.replace("x + y", "x - y"),
        PROGRAM.replace("y=1", "y=2"),
        PROGRAM.replace("y=1", "y=1.0"),
        PROGRAM.replace('"text"', '"test"'),
        PROGRAM.replace("*, ", ""),
        PROGRAM.replace('    return [x + y, "text"]\n', ""),
    ],
)
def test_syntax_differs_for_another_program(other):
    assert code.syntax(other) != code.syntax(PROGRAM)
