"""What the book calls proved: every labelled theorem and proposition, what it assumes and what it leaves open.

The statements are read from the pages of the table of contents, so that none is forgotten; what is assumed and what is
not proved stands in book/scope.yml, one entry for each label, and an entry too many or too few stops the build.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from companion.sources import read_notebook, read_yaml, toc_files

PROVED = ("theorem", "proposition", "lemma", "corollary")
FIELDS = {"assumes", "not proved"}
STATEMENT = re.compile(rf"^(?:`{{3,}}|:{{3,}})\{{prf:({'|'.join(PROVED)})\}}[ \t]*(.*)\n(?::label:[ \t]*(\S+))?", re.M)
PROOF = re.compile(r"^(?:`{3,}|:{3,})\{prf:proof\}.*\n\s*(.*)", re.M)
PAGE_HEADING = re.compile(r"^# (.+)$", re.M)


class ScopeError(ValueError):
    """A statement without an entry, or an entry without a statement; names the label."""


@dataclass(frozen=True)
class Statement:
    """page: as the table of contents has it. label: what the text refers to. proof: "proof", "sketch", or "" for none.

    folded: the proof stands in a block that the reader unfolds.
    """

    page: str
    page_title: str
    label: str
    title: str
    proof: str
    folded: bool


def statements(root: Path) -> list[Statement]:
    """All of the book, in the order of its pages. Raises :class:`ScopeError` for one without a label."""
    return [one for page in toc_files(read_yaml(root / "_toc.yml")) for one in of_page(page, page_text(root, page))]


def of_page(page: str, text: str) -> list[Statement]:
    """Those of a page's Markdown. A proof belongs to the statement that it follows."""
    found, starts = [], list(STATEMENT.finditer(text))
    heading = PAGE_HEADING.search(text)
    for at, start in enumerate(starts):
        kind, title, label = start.groups()
        if not label:
            raise ScopeError(f"{page}: expected a label of the {kind} {title!r}, got none")
        end = starts[at + 1].start() if at + 1 < len(starts) else len(text)
        proof = PROOF.search(text, start.end(), end)
        how = ("sketch" if proof[1].lstrip("*(").lower().startswith("sketch") else "proof") if proof else ""
        folded = bool(proof) and _is_folded(text[start.end() : proof.start()])
        found.append(Statement(page, heading[1] if heading else page, label, title.strip(), how, folded))
    return found


def page_text(root: Path, page: str) -> str:
    """The Markdown of a page of the table of contents; that of a notebook's cells, in order. Empty for neither."""
    notebook, prose = root / f"{page}.ipynb", root / f"{page}.md"
    if notebook.is_file():
        cells = read_notebook(notebook).cells
        return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return prose.read_text("utf-8") if prose.is_file() else ""


def entries(root: Path, of_book: list[Statement]) -> dict[str, dict[str, str]]:
    """book/scope.yml by label, checked against the statements.

    Raises :class:`ScopeError` naming the label.
    """
    file, labels = root / "book" / "scope.yml", [one.label for one in of_book]
    held = read_yaml(file) if file.is_file() else {}
    if missing := [label for label in labels if label not in held]:
        raise ScopeError(f"book/scope.yml: expected an entry for every statement, got none for {', '.join(missing)}")
    if unknown := [label for label in held if label not in labels]:
        raise ScopeError(f"book/scope.yml: expected statements of the book, got {', '.join(unknown)}")
    for label, entry in held.items():
        if entry.keys() != FIELDS or not all(isinstance(text, str) and text.strip() for text in entry.values()):
            raise ScopeError(f"book/scope.yml, {label}: expected words as {' and '.join(sorted(FIELDS))}, got {entry}")
    return held


def scope_page(root: Path) -> str:
    """Every statement of the book under its page: what it assumes, where its proof is, what is not proved."""
    of_book = statements(root)
    held, parts, page = entries(root, of_book), [], None
    for one in of_book:
        if one.page != page:
            page = one.page
            parts.append(f"## {one.page_title}\n\n{{doc}}`Go to the page </{page}>`")
        entry = {field: " ".join(text.split()) for field, text in held[one.label].items()}
        parts.append(
            f"{{prf:ref}}`{one.label}` · {one.title}\n"
            f": *Assumes.* {entry['assumes']}\n\n"
            f"  *Proof.* {_where(one)}\n\n"
            f"  *Not proved.* {entry['not proved']}"
        )
    return "\n\n".join(parts)


def _where(one: Statement) -> str:
    where = "below the statement, folded" if one.folded else "below the statement"
    return {"proof": f"Whole, {where}.", "sketch": f"A sketch, {where}.", "": "None on the page."}[one.proof]


def _is_folded(between: str) -> bool:
    """Does a dropdown open between a statement and its proof?"""
    return re.search(r"^:{3,}\{dropdown\}", between, re.M) is not None
