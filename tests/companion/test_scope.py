"""What the book calls proved: no statement is forgotten, and each says what it assumes and what it leaves open."""

import re

import pytest
from tiny_book import REPOSITORY

from companion import scope
from companion.scope import ScopeError

PAGE = """# A page

```{prf:theorem} One
:label: thm-one

It holds.
```

```{prf:proof}
By sight.
```

::::{dropdown} More
```{prf:proposition} Two, folded with its proof
:label: prop-two

It holds too.
```

```{prf:proof}
(Sketch, after somebody.) Roughly.
```
::::

```{prf:lemma} Three
:label: lem-three

And this.
```

:::{dropdown} More: the proof
```{prf:proof}
At length.
```
:::

```{prf:theorem} Four
:label: thm-four

Nobody knows why.
```
"""


def book_of(tmp_path, text, held):
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text("root: book/index\n")
    (tmp_path / "book" / "index.md").write_text(text)
    (tmp_path / "book" / "scope.yml").write_text(held)
    return tmp_path


def test_scope_reads_every_statement_with_its_proof():
    found = scope.of_page("book/a", PAGE)
    assert [(one.label, one.proof, one.folded) for one in found] == [
        ("thm-one", "proof", False),
        ("prop-two", "sketch", False),
        ("lem-three", "proof", True),
        ("thm-four", "", False),
    ]
    assert {one.page_title for one in found} == {"A page"}


def test_scope_refuses_a_statement_without_a_label():
    with pytest.raises(ScopeError, match="book/a: expected a label of the theorem 'One', got none"):
        scope.of_page("book/a", PAGE.replace(":label: thm-one\n", ""))


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ("thm-b: {assumes: A., not proved: B.}", "expected an entry for every statement, got none for thm-a"),
        (
            "thm-a: {assumes: A., not proved: B.}\nthm-b: {assumes: A., not proved: B.}",
            "expected statements of the book, got thm-b",
        ),
        ("thm-a: {assumes: A.}", "thm-a: expected words as assumes and not proved"),
        ("thm-a: {assumes: A., not proved: ' '}", "thm-a: expected words as assumes and not proved"),
    ],
    ids=["missing", "unknown", "no field", "no words"],
)
def test_scope_names_a_label_whose_entry_does_not_fit(tmp_path, held, message):
    root = book_of(tmp_path, "# A\n\n```{prf:theorem} T\n:label: thm-a\n```\n", held)
    with pytest.raises(ScopeError, match=message):
        scope.scope_page(root)


def test_scope_page_says_where_the_proof_is(tmp_path):
    held = "".join(
        f"{label}: {{assumes: A., not proved: B.}}\n" for label in ("thm-one", "prop-two", "lem-three", "thm-four")
    )
    page = scope.scope_page(book_of(tmp_path, PAGE, held))
    assert re.findall(r"\*Proof\.\* (.*)", page) == [
        "Whole, below the statement.",
        "A sketch, below the statement.",
        "Whole, below the statement, folded.",
        "None on the page.",
    ]


def test_every_statement_of_the_book_has_a_row_and_a_proof():
    """Counted once more, by its bare directive, in every notebook and page: none is missed by the reading above."""
    of_book = scope.statements(REPOSITORY)
    held, labels = scope.entries(REPOSITORY, of_book), [one.label for one in of_book]
    files = [*(REPOSITORY / "notebooks").glob("*.ipynb"), *(REPOSITORY / "book").glob("*.md")]
    directives = sum(
        len(re.findall(r"\{prf:(?:theorem|proposition|lemma|corollary)\}", file.read_text())) for file in files
    )
    assert len(set(labels)) == len(labels) == directives
    assert set(held) == set(labels)
    assert [one.label for one in of_book if not one.proof] == []
