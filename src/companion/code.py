"""What a piece of code rests on: which of our modules it takes names from, and what of their text can change a result.

A name is followed to the module that defines it. A front door, a package's ``__init__`` that does nothing but hand
names on, does not count: a name that is added to it changes nothing for those who do not take it. Docstrings, comments
and formatting do not count either.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from companion.sources import parse

PACKAGES = ("memprior", "chapters", "companion")


@cache
def syntax(source: str, where: str = "source") -> str:
    """``source`` as its syntax tree without docstrings: the same text for the same program, on every Python."""
    return repr(_plain(_parsed(source, where)))


def closure(root: Path, source: str, where: str = "source") -> set[Path]:
    """Files under root/src that define what ``source`` imports of ours, and what they import, and so on.

    A package's ``__init__`` that has code of its own counts for whoever imports anything below it: it is run. Raises
    :class:`~companion.sources.SourceError` for a file that is no Python; ``where`` names ``source``.
    """
    found, todo = set(), set(_files(root / "src", source, "", where))
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            package = ".".join(file.relative_to(root / "src").parts[:-1])
            todo |= set(_files(root / "src", file.read_text(), package, str(file.relative_to(root)))) - found
    return found


@cache
def imported_names(source: str, package: str = "", where: str = "source") -> tuple[tuple[str, str | None, str], ...]:
    """(module, name in it or None, what it is called here) of every import in ``source``, wherever it stands.

    package: of the file, for relative imports.
    """
    return tuple(_imported_names(_parsed(source, where), package))


def _imported_names(tree: ast.AST, package: str) -> Iterator[tuple[str, str | None, str]]:
    for node in _run(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None, alias.asname or alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield module, alias.name, alias.asname or alias.name


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that is executed: what is imported for a type checker alone is not."""
    yield tree
    only_checked = isinstance(tree, ast.If) and ast.unparse(tree.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    for node in tree.orelse if only_checked else ast.iter_child_nodes(tree):
        yield from _run(node)


def _files(src: Path, source: str, package: str, where: str) -> Iterator[Path]:
    """The files that define the names that ``source`` imports of ours."""
    for module, name, alias in imported_names(source, package, where):
        if module.split(".")[0] not in PACKAGES:
            continue
        inner = name and f"{module}.{name}"
        if inner and _file(src, inner):
            module, name = inner, None
        if name is None and _is_front_door(_file(src, module)):
            for attribute in _attributes(
                _parsed(source, where), alias
            ):  # a front door as a whole: what is taken through it
                yield from _definition(src, module, attribute)
        else:
            yield from _definition(src, module, name)


def _definition(src: Path, module: str, name: str | None) -> Iterator[Path]:
    """The file of ``module``, or of the module that it takes ``name`` from when it is a front door."""
    file = _file(src, module)
    if file is None:
        return
    if name and _is_front_door(file):
        for home, inner, alias in imported_names(file.read_text(), module):
            if alias == name:
                yield from _definition(src, home, inner)
        inner = f"{module}.{name}"
        if _file(src, inner):
            yield from _definition(src, inner, None)
        return
    yield file
    for depth in range(1, module.count(".") + 1):
        parent = _file(src, ".".join(module.split(".")[:depth]))
        if parent and not _is_front_door(parent):
            yield parent


def _attributes(tree: ast.AST, alias: str) -> set[str]:
    """The names that follow ``alias`` and a dot."""
    last = alias.rpartition(".")[2]
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and last in (getattr(node.value, "id", None), getattr(node.value, "attr", None))
        and ast.unparse(node.value) == alias
    }


@cache
def _parsed(source: str, where: str) -> ast.Module:
    """The syntax tree of a text; nobody changes it."""
    return parse(source, where)


def _file(src: Path, module: str) -> Path | None:
    base = src.joinpath(*module.split("."))
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)


def _is_front_door(file: Path | None) -> bool:
    """Nothing but a docstring, imports and ``__all__``."""
    if file is None or file.name != "__init__.py":
        return False
    return all(
        isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        for node in _parsed(file.read_text(), str(file)).body
    )


def _plain(node):
    """Nested tuples of a syntax tree, without docstrings, positions, and the empty fields that differ by version."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, ast.AST):
        return node
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _starts_with_text(node):
        fields["body"] = fields["body"][1:]
    return (type(node).__name__, *((name, _plain(value)) for name, value in fields.items()))


def _starts_with_text(node) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
