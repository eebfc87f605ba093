"""Solutions, whole: everything between solution-start and solution-end, prose and code, is cut or kept together."""

import copy
import re
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from companion.reading import SOLUTION
from companion.sources import SourceError

BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"
BLANK = "# your code here\nraise NotImplementedError"
MARKED = re.compile(rf"^([ \t]*){BEGIN}\n(.*?)^[ \t]*{END}$", re.M | re.S)


@dataclass(frozen=True)
class Stripped:
    """notebook: without its solutions. solutions: the cells, and the pieces of cells, that were cut, with outputs."""

    notebook: NotebookNode
    solutions: list[NotebookNode] = field(default_factory=list)


def cut_solutions(notebook: NotebookNode, where: str) -> Stripped:
    """A copy without groups of solutions; marked lines of code outside any group become a blank to fill in.

    Raises :class:`~companion.sources.SourceError` naming ``where`` for a group that is not closed, or closed twice:
    what is a solution and what is not cannot be told then.
    """
    kept, cut, inside = [], [], False
    for cell in copy.deepcopy(notebook.cells):
        if cell.cell_type == "markdown":
            first, *rest = SOLUTION.split(cell.source)
            pieces = [(inside, first)]
            for edge, piece in zip(rest[::2], rest[1::2], strict=True):
                if (edge == "start") == inside:
                    raise SourceError(f"{where}: expected solution-start and solution-end in turn, got {edge} twice")
                inside = edge == "start"
                pieces.append((inside, piece))
            cut += [new_markdown_cell(piece) for of_solution, piece in pieces if of_solution and piece.strip()]
            left = "\n".join(piece for of_solution, piece in pieces if not of_solution)
            if left.strip() or len(pieces) == 1:
                (cut if len(pieces) == 1 and inside else kept).append(cell)
                cell.source = left.strip() if len(pieces) > 1 else cell.source
        elif inside:
            cut.append(cell)
        elif BEGIN in cell.source:
            solution = copy.deepcopy(cell)
            solution.source = "\n".join(match[2] for match in MARKED.finditer(cell.source))
            cut.append(solution)
            cell.source, cell.outputs = MARKED.sub(BLANK, cell.source), []
            kept.append(cell)
        else:
            kept.append(cell)
    if inside:
        raise SourceError(f"{where}: expected every solution-start to be closed by a solution-end, got one that is not")
    left = [cell.source for cell in kept if BEGIN in cell.source or END in cell.source]
    if left:
        raise SourceError(f"{where}: expected {BEGIN} and {END} in turn, got {left[0][:60]!r}")
    stripped = copy.deepcopy(notebook)
    stripped.cells = kept
    return Stripped(stripped, cut)


def without_outputs(notebook: NotebookNode) -> NotebookNode:
    """A copy as nobody has run it."""
    blank = copy.deepcopy(notebook)
    for cell in blank.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return blank


def claimed(solutions: list[NotebookNode]) -> set[str]:
    """Ids of the claims, and names of the pictures and tables, that solutions record."""
    called = re.compile(r"""record\.(?:claim|picture|keep_table)\(\s*f?["']([\w.-]+)""")
    return {name for cell in solutions if cell.cell_type == "code" for name in called.findall(cell.source)}


def name_of(file: Path) -> str:
    """As messages name a notebook."""
    return f"{file.parent.name}/{file.name}"
