"""What is counted of a chapter: open lines of code, words that are met unfolded, names that are called."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from tiny_book import NAME, companion, write_book, write_run

from companion import pages, paths, reading, site


def notebook(*cells):
    """A notebook of Markdown (a text) and code (a source with its tag)."""
    made = [
        new_markdown_cell(cell) if isinstance(cell, str) else new_code_cell(cell[0], metadata={"tags": [*cell[1:]]})
        for cell in cells
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return new_notebook(cells=made, metadata=kernel)


def counted(*cells):
    found = reading.read(notebook(*cells))
    return found.open_lines, found.code_lines


BOOTSTRAP = ("import sys\nimport os", "remove-cell")
PARAMETERS = ("profile = 1\nseed = 0", "parameters", "remove-cell")
SETUP = ("import a\nimport b", "hide-cell")
OPEN = ("# why\nx = 1\n\ny = [\n    2,  # two\n]",)
START, END = "````{solution-start} ex-a\n:class: dropdown\n````\nProse.", "````{solution-end}\n````"


def test_open_lines_leave_out_blanks_and_comments():
    assert counted(OPEN) == (4, 4)


def test_open_lines_leave_out_what_readies_the_notebook():
    assert counted(BOOTSTRAP, PARAMETERS, SETUP, OPEN) == (4, 4)


def test_only_the_first_folded_cell_readies_the_notebook():
    assert counted(BOOTSTRAP, PARAMETERS, SETUP, OPEN, ("import c", "hide-cell")) == (4, 5)
    assert counted(PARAMETERS, OPEN, ("import c", "remove-cell")) == (4, 5)  # it does not stand before the parameters


@pytest.mark.parametrize("tag", ["hide-input", "hide-cell", "remove-cell", "remove-input", "hide_input"])
def test_a_folded_or_removed_cell_is_not_open(tag):
    assert counted(PARAMETERS, SETUP, OPEN, ("z = 3", tag)) == (4, 5)


@pytest.mark.parametrize("tag", ["hide-output", "remove-output", "remove-stderr", "library", "raises-exception"])
def test_a_cell_whose_output_alone_is_folded_is_open(tag):
    assert counted(PARAMETERS, SETUP, ("z = 3", tag)) == (1, 1)


def test_solutions_are_not_counted():
    hidden = ("# BEGIN SOLUTION\nz = 3\n# END SOLUTION",)
    assert counted(OPEN, START, hidden, ("z = 4", "hide-input"), END, OPEN) == (8, 8)
    assert counted(OPEN, f"{START}\n\n{END}\n\nAfter it.", OPEN) == (8, 8)


WORDS = {
    "One two three.": 3,
    "# Chapter 1: Memory\n\nText - here": 5,
    "A $x = y + z$ formula\n$$\na = b\n$$ (eq:a)\nends": 3,
    "A formula $a\n+ b$ over a line": 5,
    "A cost of \\$5 and \\$6 each": 7,
    "\\begin{align}a b c\\end{align} d": 1,
    "{glue:text}`a.b:.3f` of {glue:text}`a.c`": 3,
    "by {cite:t}`somebody2020word` and {ref}`the first chapter <ch-one>`": 6,
    "{py:obj}`dps_step <memprior.guidance.dps_step>` steps": 2,
    "Math by role: {math}`a + b`": 3,
    "(sec-a)=\n## Two words": 2,
    "<!-- not this one -->seen": 1,
    "a <details><summary>More</summary>not this</details> b": 2,
    "a <b>word</b> or [two words](https://example.org)": 5,
    ":::{dropdown} More: the proof\nnot this\n:::\nseen": 1,
    "::::{dropdown} More\n```{math}\na\n```\nnot this\n:::{note}\nnor this\n:::\nnor that\n::::\nseen": 1,
    ":::{admonition} Goals here\n:class: tip\n\n- You will\n:::\nseen": 5,
    ":::{admonition} Goals here\n:class: note dropdown\nnot this\n:::\nseen": 3,
    "```{prf:theorem} A title\n:label: thm-a\n\nIt holds: yes.\n```": 5,
    "::::{admonition} Goals\n```{include} ../book/_run/a/measured.md\n```\nlast\n::::\nseen": 3,
    "```python\nx = not_counted\n```\nseen": 1,
    "```{figure} a.png\n:alt: not this\n\nThe caption.\n```": 2,
    "| a | b |\n| --- | --- |\n| 1 | two |": 4,
}


@pytest.mark.parametrize("text", WORDS)
def test_words_are_those_met_unfolded(text):
    assert len(reading.words(text)) == WORDS[text]


@pytest.mark.parametrize(
    "exercises", ["## Exercises\n\nFour more words here", "````{exercise-start} Four more words\n````"]
)
def test_words_end_where_the_exercises_begin(exercises):
    found = reading.read(notebook("One two", f"three\n\n{exercises}", "Five six"))
    assert found.words == 3
    assert found.has_exercises == exercises.startswith("##")


DPS = "The {py:obj}`dps_step <memprior.guidance.dps_step>` and"
CALLED = "from memprior.guidance import dps_step\nstep = dps_step(likelihood)"


@pytest.mark.parametrize(
    ("cells", "uncalled"),
    [
        ((DPS, (CALLED,)), ()),
        ((DPS, ("from memprior import guidance\nsample(prior, step=guidance.dps_step)",)), ()),
        ((DPS, (CALLED, "hide-input")), ("memprior.guidance.dps_step",)),
        ((DPS, ("from memprior.guidance import dps_step",)), ("memprior.guidance.dps_step",)),
        ((DPS, ("from memprior.guidance import dps_step as ours\nours(likelihood)",)), ("memprior.guidance.dps_step",)),
        ((DPS, START, (CALLED,), END), ("memprior.guidance.dps_step",)),
        (("{py:func}`memprior.memorization.swap_test`",), ("memprior.memorization.swap_test",)),
        (("{py:class}`~memprior.denoiser.EmpiricalDenoiser`",), ("memprior.denoiser.EmpiricalDenoiser",)),
        (("{py:obj}`a <memprior.memorization>` {py:obj}`memprior.guidance.gradients`",), ()),  # modules
        (
            ("{py:obj}`memprior.sampling.SamplerState` {py:obj}`memprior.fields.Grid`",),
            (),
        ),  # what it yields; no sampler
        ((f"<!-- {DPS} -->",), ()),
        ((f"## Exercises\n\n{DPS}",), ()),  # its solution calls it
    ],
)
def test_names_in_the_text_are_called_in_an_open_cell(cells, uncalled):
    assert reading.read(notebook(*cells)).uncalled == uncalled


def test_time_to_read_is_of_words_and_of_open_lines():
    read = reading.Reading(open_lines=60, code_lines=100, words=2000)
    assert read.minutes == 10 + 3
    assert read.time_to_read() == (
        "**Time to read** about 13 minutes (2,000 words before the exercises, 200 a minute; "
        "60 open lines of code, 20 a minute)."
    )


@pytest.mark.parametrize(
    ("read", "problems"),
    [
        (reading.Reading(60, 100, 2200), []),
        (reading.Reading(60, 101, 2200), ["60 of 101 lines of code stand open, expected at least 60%"]),
        (reading.Reading(59, 60, 2200), ["59 of 60 lines of code stand open, expected at least 60 lines"]),
        (reading.Reading(60, 60, 2201), ["2201 words before the exercises, expected at most 2200"]),
        (reading.Reading(60, 60, 0, has_exercises=False), ["expected a heading 'Exercises', got none"]),
        (
            reading.Reading(60, 60, 0, ("memprior.guidance.smc",)),
            ["memprior.guidance.smc is used in the text, expected a call in an open cell"],
        ),
    ],
)
def test_problems_are_what_a_chapter_may_not_have(read, problems):
    assert read.problems() == problems


def test_site_finds_what_a_chapter_may_not_have(tmp_path):
    text = json.dumps(notebook(PARAMETERS, SETUP, OPEN, "## Exercises"))
    for name in ("a1_first", "of_mine"):
        (tmp_path / f"{name}.ipynb").write_text(text)
    (problem,) = site.check_notebooks(tmp_path)
    assert problem.page == f"{tmp_path.name}/a1_first.ipynb"
    assert problem.what == "4 of 4 lines of code stand open, expected at least 60 lines"


def test_pages_say_how_long_the_chapter_takes_to_read(tmp_path, monkeypatch):
    root = write_book(tmp_path)
    nbformat.write(notebook(PARAMETERS, OPEN, "# Tiny\n\n" + "word " * 399), root / "notebooks" / f"{NAME}.ipynb")
    assert pages.open_code(root).rows == [[NAME, "4", "4", "100%", "400", "3 min", pages.open_code(root).rows[0][-1]]]
    write_run(root)
    read, blank, ran = pages.measured(root, NAME).splitlines()
    assert (read.startswith("**Time to read** about 3 minutes (400 words"), blank) == (True, "")
    assert ran == "**Time to run** 1 s at profile quick (CPU, measured by this build)."
    recorded = {}, {"wall_s": 42.0, "device": "CPU", "content_key": "other", "profile": "full"}
    monkeypatch.setattr(pages, "full_run", lambda root, name: recorded)
    assert pages.measured(root, NAME).endswith("; 42 s at profile full (CPU, recorded, with older code).\n")
    study = root.joinpath("src", *paths.package(NAME).split("."), "study.py")
    study.write_text("")
    assert "; 42 s at profile full once its long parts are stored (CPU" in pages.measured(root, NAME)
    monkeypatch.undo()
    done = companion(root, "open")
    assert done.returncode == 0
    assert f"| {NAME} | 4 | 4 | 100% | 400 | 3 min | 4 of 4 lines of code stand open" in done.stdout
