"""Reading what people write: YAML, notebooks, modules. A mistake in one is told with its file and its line."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nbformat
import yaml

# The loader of libyaml is ten times as fast; a PyYAML built without it has the other one.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAGIC = re.compile(r"^[%!].*$", re.M)  # a line for IPython, not for Python


class SourceError(ValueError):
    """A source that cannot be read; names the file, and the line where there is one."""


def read_yaml(file: Path):
    """What a YAML file holds.

    Raises :class:`SourceError` for a file that is missing, empty, no YAML, or has one key twice: PyYAML would take the
    last of two without a word. A text is parsed once: nobody changes what comes back.
    """
    try:
        held = _parsed(file.read_text("utf-8"))
    except FileNotFoundError:
        raise SourceError(f"{short(file)}: expected a YAML file, found none") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        message = getattr(error, "problem", None) or error
        raise SourceError(f"{short(file)}{line}: expected YAML, got: {message}") from None
    if held is None:
        raise SourceError(f"{short(file)}: expected entries, got an empty file")
    return held


@cache
def _parsed(text: str):
    loader = LOADER(text)
    _expect_keys_once(tree := loader.get_single_node())
    return None if tree is None else loader.construct_document(tree)


def _expect_keys_once(node: yaml.Node | None) -> None:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise yaml.MarkedYAMLError(problem=f"the key {min(twice)} twice", problem_mark=node.start_mark)
    for inner in node.value if isinstance(node, yaml.CollectionNode) else ():
        for part in inner if isinstance(inner, tuple) else (inner,):
            _expect_keys_once(part)


def read_notebook(file: Path) -> nbformat.NotebookNode:
    """A notebook of format 4. Raises :class:`SourceError` for a file that is missing or no notebook."""
    try:
        return nbformat.read(file, as_version=4)
    except FileNotFoundError:
        raise SourceError(f"{short(file)}: expected a notebook, found none") from None
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, ValueError, AttributeError, KeyError) as error:
        message = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise SourceError(f"{short(file)}: expected a notebook in JSON, got: {message}") from None


def toc_files(toc, keys: tuple[str, ...] = ("root", "file")) -> Iterator[str]:
    """The root and every file of a table of contents, at any depth; with ``keys`` of ("glob",) its patterns."""
    for key, value in toc.items() if isinstance(toc, dict) else enumerate(toc) if isinstance(toc, list) else ():
        yield from [str(value)] if key in keys else toc_files(value, keys)


def parse(code: str, where: str) -> ast.Module:
    """The syntax tree of a module, or of all cells of a notebook, lines for IPython left out.

    Raises :class:`SourceError` naming ``where`` and the line.
    """
    try:
        return ast.parse(MAGIC.sub("pass", code))
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise SourceError(f"{where}: expected Python, got {error.msg} in its line {error.lineno}: {line}") from None


def short(file: Path) -> str:
    """The file as messages name it: from its folder in the repository on."""
    parts = {"notebooks": 2, "data": 2, "book": 2, "claims": 3}.get(file.parent.name, 1)
    return "/".join(file.parts[-parts:])
