"""The PDF: what must be there to make it, and what is wrong with one."""

import pytest
from tiny_book import REPOSITORY

from companion import printing

LOG = r"""
Overfull \hbox (3.25pt too wide) in paragraph at lines 1--2
Overfull \hbox (12.5pt too wide) in paragraph at lines 3--4
LaTeX Warning: Reference `a' on page 3 undefined on input line 5.
LaTeX Warning: Float too large for page by 3pt on input line 6.
Missing character: There is no ☃ in font x!
"""


def test_missing_programs_are_named_with_their_packages(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    [problem] = printing.missing_programs()
    assert "found no xelatex, latexmk, makeindex" in problem
    assert f"apt install {printing.APT_PACKAGES}" in problem


@pytest.mark.parametrize("file", ["README.md", ".github/workflows/cpu.yml"])
def test_packages_are_the_same_wherever_they_are_named(file):
    assert printing.APT_PACKAGES in (REPOSITORY / file).read_text()


def test_overfull_lines_are_read_with_their_width():
    assert [width for width, _ in printing.overfull(LOG)] == [3.25, 12.5]


def test_chapters_have_titles_in_the_order_of_the_book():
    titles = printing.titles_by_name(REPOSITORY)
    assert list(titles)[:2] == ["01_maximum_likelihood", "02_gaussian_mixture_prior"]
    assert titles["09_inception"].startswith("Chapter 9 · Seismic inception")


@pytest.fixture
def pdf(tmp_path):
    """Of two pages, the second empty, with an outline of the first."""
    import pypdf
    from matplotlib.figure import Figure

    file = tmp_path / "drawn.pdf"
    figure = Figure()
    figure.text(0.1, 0.5, "What section ?? says of many things")
    figure.savefig(file)
    writer = pypdf.PdfWriter(clone_from=file)
    writer.add_blank_page(width=100, height=100)
    writer.add_outline_item(title="Chapter 1 · One", page_number=0)
    writer.write(file)
    return file


def test_pdf_with_faults_is_told_each_of_them(pdf):
    problems = printing.check_pdf(pdf, LOG, ["Chapter 1 · One", "Chapter 2 · Two"])
    assert problems == [
        "outline: expected 'Chapter 2 · Two' with its page after the chapter before it, got none",
        "page 1: expected the number of a reference, got ??",
        "page 2: expected text or a picture, got ''",
        "LaTeX: LaTeX Warning: Reference `a' on page 3 undefined on input line 5.",
        "LaTeX: Missing character: There is no ☃ in font x!",
        "LaTeX: Overfull \\hbox (12.5pt too wide) in paragraph at lines 3--4",
    ]
