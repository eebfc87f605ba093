"""What a reader meets first: the claims that carry the argument, the ways through the book, the words they use."""

import json
import re

import nbformat
import pytest
from tiny_book import NAME, REPOSITORY, write_book, write_run

from companion import book, claims, pages, reading
from companion.claims import Claim
from companion.pages import PageError
from companion.run import chapters
from companion.sources import read_notebook, read_yaml


def claim(**bound):
    told = {"id": "a.b", "chapter": "a", "statement": "A number", "source": "ours", "why": "by sight"}
    return Claim(**told, profiles=("full",), **bound)


@pytest.mark.parametrize(
    ("bound", "value", "binds"),
    [
        ({"expected": 2.0, "tolerance": 1.9}, 2.0, True),
        ({"at_most": 0.03}, 0.0157, True),
        ({"at_most": 0.05}, 0.0157, False),
        ({"at_least": 0.9}, 1.0, True),
        ({"at_least": 0.4}, 1.0, False),
        ({"at_most": 1e-10}, 0.0, False),
    ],
)
def test_a_claim_binds_where_twice_or_half_the_value_would_fail(bound, value, binds):
    assert pages.binds(claim(**bound), value) is binds


def test_argument_is_listed_recorded_and_bound():
    listed = claims.load(REPOSITORY / "data" / "claims")
    ids = read_yaml(REPOSITORY / "book" / "argument.yml")
    assert 10 <= len(ids) == len(set(ids)) <= 14
    recorded = {}
    for file in (REPOSITORY / "data" / "recorded").glob("*/results.json"):
        recorded |= json.loads(file.read_text())["claims"]
    for id in ids:
        assert "full" in listed[id].profiles, id
        assert listed[id].holds(recorded[id]), id
        assert pages.binds(listed[id], recorded[id]), id
    assert {listed[id].chapter[:2] for id in ids} >= {f"0{number}" for number in range(1, 10)}


def keep_full(root, values):
    write_run(root, "full", claims=values)
    book.keep(root, NAME)


def test_argument_stands_first_on_the_claims_page_and_is_marked(tmp_path):
    root = write_book(tmp_path)
    (root / "book").mkdir()
    (root / "book" / "argument.yml").write_text("tiny.answer: It is this.\n")
    write_run(root)
    keep_full(root, {"tiny.answer": 1.95, "tiny.drawn": 0.25})
    page = pages.claims_page(root)
    assert page.startswith("(claims-argument)=\n## The 1 that carry the argument\n")
    assert re.search(r"\| It is this\. \| 1\.95 \| [^|]+ \| \{ref\}`tiny\.answer <claim-tiny\.answer>` \|", page)
    marked = re.findall(r"^\(claim-(\S+)\)=\n(★ )?", page, re.M)
    assert marked == [("tiny.answer", "★ "), ("tiny.drawn", "")]
    assert "claims-argument" not in pages.claims_page(root, [NAME])  # a course of some chapters has no such part


@pytest.mark.parametrize(
    ("id", "values", "message"),
    [
        ("tiny.gone", {"tiny.answer": 2.0, "tiny.drawn": 0.0}, "expected claims that are listed, got tiny.gone"),
        ("tiny.answer", None, "expected claims of a recorded full run, got tiny.answer"),
        ("tiny.drawn", {"tiny.answer": 2.0, "tiny.drawn": 0.0}, "tiny.drawn: expected a bound that refuses twice"),
    ],
    ids=["not listed", "not recorded", "bounds nothing"],
)
def test_argument_names_a_claim_that_carries_nothing(tmp_path, id, values, message):
    root = write_book(tmp_path)
    (root / "book").mkdir()
    (root / "book" / "argument.yml").write_text(f"{id}: It is this.\n")
    if values:
        keep_full(root, values)
    with pytest.raises(PageError, match=f"book/argument.yml: .*{message}"):
        pages.argument(root)


def test_times_add_up_what_each_chapter_takes(tmp_path):
    root = write_book(tmp_path)
    (root / "book").mkdir()
    (root / "book" / "index.md").write_text("word " * 400)
    notebook = nbformat.read(root / "notebooks" / f"{NAME}.ipynb", as_version=4)
    notebook.cells[0].source += "\n\n" + "word " * 1000
    notebook.cells.append(
        nbformat.v4.new_markdown_cell("## Summary\n\n" + "word " * 600 + "\n\n### Numbers\n\n" + "word " * 900)
    )
    nbformat.write(notebook, root / "notebooks" / f"{NAME}.ipynb")
    write_run(root)
    read = reading.read(read_notebook(root / "notebooks" / f"{NAME}.ipynb"))
    made = pages.times(root)
    row = next(line for line in made.splitlines() if f"</notebooks/{NAME}>" in line)
    assert f"| {read.words:,} | {read.open_lines} | {read.minutes} | 1 | none |" in row
    assert f"| All chapters | {read.minutes} min | 1 min |" in made
    skim = reading.head_and_summary(read_notebook(root / "notebooks" / f"{NAME}.ipynb"))
    assert 1600 <= len(reading.words(skim)) < 1650  # the first cell and the summary, not what follows it
    assert "10 min | nothing to run |" in made or "11 min | nothing to run |" in made
    keep_full(root, {"tiny.answer": 2.0, "tiny.drawn": 0.0})
    assert "| 1 | 1 |" in pages.times(root)


def test_every_chapter_has_a_head_and_a_summary_to_skim():
    for name in chapters(REPOSITORY):
        skim = reading.head_and_summary(read_notebook(REPOSITORY / "notebooks" / f"{name}.ipynb"))
        assert "**The question.**" in skim, name
        assert "## Summary" in skim, name


@pytest.mark.parametrize(("seconds", "said"), [(1, "1 min"), (61, "2 min"), (3600, "1 h 0 min"), (7261, "2 h 2 min")])
def test_duration_is_rounded_up_to_minutes(seconds, said):
    assert pages._duration(seconds) == said


def test_argument_on_one_page_reads_in_five_minutes():
    text = (REPOSITORY / "book" / "index.md").read_text()
    argument, rest = text.split("## On your own arrays")
    assert reading.minutes_of(argument) <= 5
    assert reading.minutes_of(text) <= 6
    assert "memprior.report" in rest
    assert "thm-swap" in rest  # its condition


def test_every_number_of_the_index_has_its_interval():
    """A value, and beside it half of its interval, its bound by labels, its least, or an exact count."""
    text = (REPOSITORY / "book" / "index.md").read_text()
    quoted = re.findall(r"\{recorded\}`([\w.]+):", text)
    exact = {
        "c4.full_truths",
        "c4.full_excess_p_1000",
        "c5.num_problems",
        "c5.fwi_tried",
        "c7.full_num_shuffled",
        "c9.full_most",
    }
    for id in quoted:
        partner = {id.replace("excess_", "excess_high_"), f"{id}_half", f"{id}_least"}
        is_partner = "_high_" in id or id.endswith(("_half", "_least"))
        assert id in exact or is_partner or partner & set(quoted) - {id}, id


def test_symbols_name_code_that_exists():
    library = "\n".join(file.read_text() for file in (REPOSITORY / "src").rglob("*.py"))
    table = (REPOSITORY / "book" / "notation.md").read_text().split("## On one page")[0]
    named = [
        name
        for row in table.splitlines()
        for name in re.findall(r"`(\w+)\(", row.rsplit("|", 2)[-2] if row.startswith("|") else "")
    ]
    arguments = {"forward", "denoiser"}  # what a caller brings
    assert named
    assert [
        name for name in named if name not in arguments and not re.search(rf"^(?:def|class) {name}\b", library, re.M)
    ] == []
