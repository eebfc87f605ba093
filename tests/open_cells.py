"""A chapter's open cells as a reader would copy them: those that use the library alone, in a namespace of their own.

A code cell that carries the tag ``library`` calls ``memprior`` and needs nothing from the rest of its page but what
other such cells, and the parameters of the notebook, have named. So the row that these cells end with can be held
against what the chapter's package computes for the same size.
"""

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch

from companion.sources import parse, read_notebook

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
TAG = "library"
OF_THE_BOOK = re.compile(r"\b(chapters|companion)\b")


def library_cells(name: str, **overrides) -> dict:
    """Namespace after the cells of notebooks/NAME.ipynb tagged ``library``, executed in order.

    They start from the cell tagged ``parameters`` (profile, seed, overrides) and nothing else, as a new kernel does: in
    torch's own default precision, here with one thread and figures that no window shows. ``overrides`` replace what
    these cells assign by ``name = literal`` at their top level: ``num_samples=8``.

    Raises ``ValueError`` when there is no such cell, when one mentions ``chapters`` or ``companion``, or when an
    override meets no assignment. What a cell raises itself carries a note that names the cell.
    """
    cells = list(_cells(name))
    replaced: set[str] = set()
    namespace: dict[str, Any] = {"__name__": "__main__"}
    values = {_private(key): value for key, value in overrides.items()}
    code = [(where, _replaced(parse(source, where), overrides, replaced)) for where, source in cells]
    if unmatched := overrides.keys() - replaced:
        raise ValueError(f"{name}: expected an assignment of a literal to {min(unmatched)} in its open cells, got none")
    with _as_a_kernel_starts():
        for where, tree in code:
            namespace |= values
            try:
                exec(compile(tree, f"<{where}>", "exec"), namespace)
            except Exception as error:
                error.add_note(f"in {where}")
                raise
    return {key: value for key, value in namespace.items() if key not in values and not key.startswith("__")}


def _cells(name: str) -> Iterator[tuple[str, str]]:
    """(what messages call it, source) of the parameters and of each cell with the tag."""
    notebook = read_notebook(NOTEBOOKS / f"{name}.ipynb")
    tagged = [(cell, cell.metadata.get("tags", [])) for cell in notebook.cells if cell.cell_type == "code"]
    if not any(TAG in tags for _, tags in tagged):
        raise ValueError(f"{name}: expected cells with the tag {TAG!r}, got none")
    for cell, tags in tagged:
        where = f"{name}, cell {cell.get('id', '')}"
        if TAG in tags and (found := OF_THE_BOOK.search(cell.source)):
            raise ValueError(f"{where}: expected a cell that uses the library alone, got one that names {found[0]!r}")
        if TAG in tags or "parameters" in tags:
            yield where, cell.source


def _replaced(tree: ast.Module, overrides: dict, replaced: set[str]) -> ast.Module:
    """The cell with other values in its assignments of literals; what was met joins ``replaced``."""
    for statement in tree.body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            names, values = [target], [statement.value]
            if isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
                names, values = target.elts, statement.value.elts
            for at, (one, value) in enumerate(zip(names, values, strict=False)):
                if isinstance(one, ast.Name) and one.id in overrides and _is_literal(value):
                    replaced.add(one.id)
                    values[at] = ast.copy_location(ast.Name(_private(one.id), ast.Load()), value)
            if names == [target]:
                statement.value = values[0]
    return tree


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


def _private(name: str) -> str:
    """Under which an override reaches the cells: no cell calls anything so."""
    return f"__override_{name}"


@contextmanager
def _as_a_kernel_starts() -> Iterator[None]:
    dtype, threads, backend = torch.get_default_dtype(), torch.get_num_threads(), mpl.get_backend()
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(1)
    mpl.use("Agg")
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        mpl.use(backend)
