"""Public names and published constants are defined once."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from memprior import paper

SRC = Path(__file__).parents[1] / "src"
TREES = {file.relative_to(SRC): ast.parse(file.read_text()) for file in sorted(SRC.rglob("*.py"))}
ENTRIES = {"main", "setup"}  # of every command, and of every extension of Sphinx


def defined(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """Public functions, classes and constants of a module, also below a condition; not what is imported."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
        elif isinstance(node, ast.If | ast.Try):
            yield from defined(node)
            continue
        else:
            continue
        yield from ((name, node) for name in names if not name.startswith("_"))


def twice(trees: dict[Path, ast.Module]) -> dict[str, list[str]]:
    """Names that memprior or companion defines and another module of src defines too, and where."""
    found = defaultdict(list)
    for file, tree in trees.items():
        for name, _ in defined(tree):
            found[name].append(file.as_posix())
    return {
        name: files
        for name, files in found.items()
        if len(files) > 1 and name not in ENTRIES and any(not file.startswith("chapters/") for file in files)
    }


def body(node: ast.stmt) -> str:
    """A function or class but for its own name, docstrings and formatting."""
    node = ast.parse(ast.unparse(node)).body[0]
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(inner) is not None:
            inner.body = inner.body[1:]
    node.name = ""
    return ast.dump(node)


def alike(trees: dict[Path, ast.Module]) -> list[list[str]]:
    """Public functions and classes of chapters that are the same but for their names."""
    found = defaultdict(list)
    for file, tree in trees.items():
        if file.parts[0] == "chapters":
            for name, node in defined(tree):
                if hasattr(node, "name"):
                    found[body(node)].append(f"{file.as_posix()}: {name}")
    return [places for places in found.values() if len(places) > 1]


def stated(trees: dict[Path, ast.Module], value, *, bound: bool) -> list[str]:
    """Where ``value`` is written as a number. bound: only where a name or a parameter's default takes it.

    A length or a line's width may be .7 as well; what nothing is called by is no setting.
    """

    def numbers(node: ast.AST) -> Iterator[ast.Constant]:
        for part in ast.walk(node):
            if not bound:
                parts = [part]
            elif isinstance(part, ast.Assign | ast.AnnAssign):
                parts = part.value.elts if isinstance(part.value, ast.Tuple) else [part.value]
            elif isinstance(part, ast.arguments):
                parts = [*part.defaults, *part.kw_defaults]
            else:
                continue
            yield from (one for one in parts if isinstance(one, ast.Constant))

    return [
        f"{file.as_posix()}:{number.lineno}"
        for file, tree in trees.items()
        for number in numbers(tree)
        if type(number.value) is type(value) and number.value == value
    ]


def test_names_of_the_library_and_of_the_tools_are_defined_once():
    assert twice(TREES) == {}


def test_names_of_chapters_stand_for_different_functions():
    assert alike(TREES) == []


PUBLISHED = {
    "NOISE_SHARE": (0.055, False),
    "NOISE_SEED": (1123, False),
    "TRAINING_SEED": (42, False),
    "HELD_OUT_SEED": (12345, False),
    "STEP_SIZE": (0.07, True),
    "MEMORIZED_BELOW": (0.7, True),
}


@pytest.mark.parametrize(("name", "value", "bound"), [(name, *rest) for name, rest in PUBLISHED.items()])
def test_names_of_published_constants_are_defined_once(name, value, bound):
    assert getattr(paper, name) == value
    assert len(stated(TREES, value, bound=bound)) == 1


def test_names_of_the_published_data_shape_are_defined_once():
    """It follows from the survey, and no module repeats it."""
    assert paper.published_operator().data_shape == (15, 196)
    pairs = [
        f"{file.as_posix()}:{node.lineno}"
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Tuple) and [getattr(part, "value", None) for part in node.elts] == [15, 196]
    ]
    assert pairs == []


# What counts as a second definition, and what does not.
ONE = "from memprior.b import moved\n__all__ = ['f', 'moved']\n\ndef f(x):\n    return x\n\nclass K:\n    RATE = 1\n"
DOUBLES = {
    "a function": ("def f(y):\n    return 2 * y\n", {"f": ["memprior/a.py", "companion/b.py"]}),
    "a class": ("class K:\n    pass\n", {"K": ["memprior/a.py", "companion/b.py"]}),
    "a constant in a tuple": ("f, other = 1, 2\n", {"f": ["memprior/a.py", "companion/b.py"]}),
    "an annotated constant": ("K: int = 1\n", {"K": ["memprior/a.py", "companion/b.py"]}),
    "below a condition": ("if True:\n    f = None\n", {"f": ["memprior/a.py", "companion/b.py"]}),
    "a re-export": ("from memprior.a import K, f\n__all__ = ['K', 'f']\n", {}),
    "a private name": ("def _f(x):\n    return x\n", {}),
    "a method": ("class L:\n    def f(self):\n        return 1\n", {}),
    "a local": ("def g():\n    K = 1\n    return K\n", {}),
    "an entry": ("def main():\n    pass\n", {}),
}


@pytest.mark.parametrize(("source", "found"), DOUBLES.values(), ids=DOUBLES)
def test_names_are_counted_where_they_are_defined(source, found):
    trees = {
        Path("memprior/a.py"): ast.parse(ONE + "\ndef main():\n    pass\n"),
        Path("companion/b.py"): ast.parse(source),
    }
    assert twice(trees) == found


def test_names_may_be_shared_by_two_chapters_and_bodies_may_not():
    one = ast.parse("def f(x):\n    'Of x.'\n    return x + 1\n")
    other = ast.parse("def f(x):\n    return x + 2\n")
    same = ast.parse("def g(x):\n    # as f\n    return (x + 1)\n")
    a, b = Path("chapters/ch01/a.py"), Path("chapters/ch02/b.py")
    assert twice({a: one, b: other}) == {}
    assert alike({a: one, b: other}) == []
    assert alike({a: one, b: same}) == [["chapters/ch01/a.py: f", "chapters/ch02/b.py: g"]]
    assert twice({a: one, Path("memprior/c.py"): other}) == {"f": ["chapters/ch01/a.py", "memprior/c.py"]}


def test_names_of_settings_are_distinguished_from_other_numbers():
    source = "A, B = 0.7, 2\nplot(lw=0.7)\ny = 0.7 * x\n\ndef f(x, *, threshold: float = 0.7):\n    z: float = 0.7\n"
    trees = {Path("memprior/a.py"): ast.parse(source)}
    assert stated(trees, 0.7, bound=True) == ["memprior/a.py:1", "memprior/a.py:5", "memprior/a.py:6"]
    assert len(stated(trees, 0.7, bound=False)) == 5
    assert stated({Path("a.py"): ast.parse("A = True\nB = 1.0\n")}, 1, bound=True) == []
