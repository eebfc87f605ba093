"""The printed book: what is folded, hidden or a link on a page is something else on paper."""

import re
import shutil

import nbformat
import pytest
import yaml
from docutils import nodes
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from companion import book, latex, printing
from companion.sources import read_yaml
from companion.tables import Table

CONFIG = """
title: Tiny
author: Nobody
only_build_toc_files: true
execute: {execute_notebooks: "off"}
parse: {myst_enable_extensions: [amsmath, colon_fence, dollarmath]}
sphinx:
  recursive_update: true
  extra_extensions: [sphinx_design, sphinx_exercise, sphinx_proof]
  config: {proof_title_format: " (%t)"}
"""
TOC = """
format: jb-book
root: book/index
parts:
  - caption: Chapters
    chapters: [{file: notebooks/01_one}, {file: notebooks/02_two}]
  - caption: Appendix
    chapters: [{file: book/more}, {file: book/claims}]
"""
ONE = """(ch-one)=
# Chapter 1 · One

See {prf:ref}`thm-small` and {ref}`the other chapter <ch-two>`.

```{prf:theorem} Small
:label: thm-small
Every $x$ is small.
```

```{prf:proof}
Look at $x$.
```

:::{dropdown} More: how small
```{prf:lemma} Smaller
:label: lem-smaller
Half of $x$ is smaller, *at any σ and δ* ★.
```
:::

:::{dropdown} More: an aside
Only a digression.
:::

## Exercises

````{exercise-start} Try it
:label: ex-try
````

What is small?

````{exercise-end}
````
"""
CLAIMS = """# Claims

Every number.

(claims-argument)=
## The one that carries the argument

| claim | recorded |
|---|---|
| wide as the page | 1 |

## Chapter 1

In columns.
"""
SOLUTION = """````{solution-start} ex-try
:label: sol-try
:class: dropdown
````
The answer is elephantine.
"""
END = """````{solution-end}
````
"""


def written(root):
    """A book of two chapters on the stage."""
    stage = root / "_build" / "stage"
    (stage / "book").mkdir(parents=True)
    (stage / "notebooks").mkdir()
    (root / "_config.yml").write_text(CONFIG)
    (root / "_toc.yml").write_text(TOC)
    (stage / "book" / "index.md").write_text("# Tiny\n\nWhat it is.\n")
    (stage / "book" / "more.md").write_text(
        "# More\n\nAnd more of it: {prf:ref}`lem-smaller` and {ref}`an exercise <ex-try>`.\n"
    )
    (stage / "book" / "claims.md").write_text(CLAIMS)
    table = Table(["name", "number"], [["first", "0.25"], ["second", "0.75"]])
    bundle = {"text/html": table._repr_html_(), "text/plain": repr(table)}
    cells = [
        new_markdown_cell(ONE),
        new_code_cell("folded = 'set-up'", metadata={"tags": ["hide-cell"]}),
        new_code_cell("opened()", outputs=[new_output("display_data", data=bundle)]),
        new_markdown_cell(SOLUTION),
        new_code_cell("solved()"),
        new_markdown_cell(END),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = new_notebook(cells=cells, metadata=kernel)
    nbformat.write(notebook, stage / "notebooks" / "01_one.ipynb")
    other = "(ch-two)=\n# Chapter 2 · Two\n\nThe second of them all.\n"
    nbformat.write(
        new_notebook(cells=[new_markdown_cell(other)], metadata=kernel), stage / "notebooks" / "02_two.ipynb"
    )
    told = book.written_settings(
        root,
        "latex",
        extensions=["companion.latex"],
        config={"subtitle": "A book & its test", "imprint": ["100 % nothing"]},
        latex={"latex_documents": {"targetname": printing.FILE.replace(".pdf", ".tex")}},
    )
    return book.jupyter_book(root, told, "latex")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return written(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="module")
def text(folder):
    return (folder / printing.FILE.replace(".pdf", ".tex")).read_text()


def test_solutions_stand_at_the_end_and_name_the_page_of_their_exercise(text):
    before, after = text.split(r"\chapter{Solutions to the exercises}")
    assert "elephantine" not in before
    assert "solved" not in before
    assert "elephantine" in after
    assert "solved" in after
    assert r"\pageref{solution:sol-try}" in before
    assert r"\pageref{exercise:ex-try}" in after


def test_folded_code_is_left_out_and_open_code_is_not(text):
    assert "set" + r"\PYGZhy{}" + "up" not in text
    assert "folded" not in text
    assert "opened" in text


def test_table_of_html_is_a_table_of_latex_and_not_bars(text):
    table, _ = re.findall(r"\\begin\{tabulary\}.*?\\end\{tabulary\}", text, re.S)
    assert "second" in table
    assert "0.75" in table
    assert "| first" not in text


def test_statement_has_kind_number_and_name_and_its_proof_an_end(text):
    assert r"\begin{bookbox}{bookblue}{Theorem 1 (Small)}" in text
    assert re.search(r"\\emph\{Proof\.\}\s+Look at.*?\\square", text, re.S)


def test_folded_statement_stays_on_paper_and_a_folded_aside_does_not(text):
    assert "digression" not in text
    assert re.search(r"how small.*?\\begin\{bookbox\}\{bookblue\}\{Lemma 1 \(Smaller\)\}", text, re.S)


def test_claims_are_in_columns_after_the_table_of_those_that_carry_the_argument(text):
    assert text.index("wide as the page") < text.index(r"\begin{multicols}") < text.index("In columns.")


def test_reference_to_another_chapter_names_its_page_and_one_within_does_not(text):
    assert re.search(r"the other chapter\}*~\(p\.~\\pageref", text)
    assert not re.search(r"Theorem 1\}*~\(p\.", text)


def test_title_page_escapes_what_latex_would_take_as_its_own(text):
    assert r"A book \& its test" in text
    assert r"100 \% nothing" in text


@pytest.mark.skipif(bool(printing.missing_programs()), reason="LaTeX is not installed")
def test_latex_sets_the_book_and_the_pdf_holds(folder):
    made = printing.typeset(folder)
    log = made.with_suffix(".log").read_text("utf-8", "replace")
    assert printing.check_pdf(made, log, ["Chapter 1 · One", "Chapter 2 · Two"]) == []
    [problem] = printing.check_pdf(made, log, ["Chapter 1 · One", "Chapter 3 · Three"])
    assert problem.startswith("outline: expected 'Chapter 3 · Three'")


def test_table_of_numbers_is_read_from_html():
    table = latex.table_of_html(Table(["a", "b"], [["1 < 2", "±"]])._repr_html_())
    cells = [[cell.astext() for cell in row.children] for row in table.findall(nodes.row)]
    assert cells == [["a", "b"], ["1 < 2", "±"]]
    assert latex.table_of_html("<p>none</p>") is None


@pytest.mark.skipif(shutil.which("xelatex") is None, reason="LaTeX is not installed")
def test_latex_error_is_told_with_its_line(tmp_path):
    (tmp_path / printing.FILE.replace(".pdf", ".tex")).write_text("\\documentclass{article}\n\\begin{document}\n\\no\n")
    with pytest.raises(book.BuildError, match=r"(?s)^! Undefined control sequence.*whole log: "):
        printing.typeset(tmp_path)


def test_settings_of_another_form_keep_the_books_own(tmp_path):
    (tmp_path / "_config.yml").write_text(CONFIG)
    (tmp_path / "_build").mkdir()
    told = read_yaml(book.written_settings(tmp_path, "x", extensions=["e"], config={"k": 1}, p={"q": 2}))
    assert told["sphinx"]["extra_extensions"] == ["sphinx_design", "sphinx_exercise", "sphinx_proof", "e"]
    assert told["sphinx"]["config"] == {"proof_title_format": " (%t)", "k": 1}
    assert told["p"] == {"q": 2}
    assert read_yaml(tmp_path / "_config.yml") == yaml.safe_load(CONFIG)
