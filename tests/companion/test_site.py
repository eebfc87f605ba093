"""The checks of the built site: silent on a clean book, and each break is named once, with the page it is on."""

import copy
import json
import re

import pytest
from bs4 import BeautifulSoup

from companion import site, theme

ALT = "Bell curve around zero, twice as wide as it is high"
WORDS = "A page says something, or it is no page. " * 6

PAGE = """<!DOCTYPE html><html lang="en"><head>
<link rel="stylesheet" href="{up}_static/book.css"><link rel="canonical" href="https://example.org/{name}">
<script>const THEBE_JS_URL = "https://example.org/thebe.js"; // fetched when asked, not when read
</script></head><body><a href="#">top</a><article class="bd-article"><h1 id="title">{name}</h1>
<p>{words}</p>{body}</article></body></html>"""

INDEX = f"""<p>See <a href="../notebooks/01_chapter.html#a%20claim">the claim</a>,
<a href="https://example.org">elsewhere</a> and <code>{{glue:text}}`key`</code>.</p>
<img src="../_images/a%20picture.png" alt="{ALT}">"""

CHAPTER = f"""<p id="a claim">The mean is <span class="pasted-text">0.2</span>,
<span class="math">\\({{ref}} ??\\)</span></p>
<figure class="frames"><img src="data:image/png;base64,AA" alt="{ALT}, narrow"><img hidden
 src="data:image/png;base64,AB" alt="{ALT}, wide"><input type="range"></figure>
<div class="cell_output"><pre>0.2</pre></div>"""

FILES = {
    "_toc.yml": """format: jb-book
root: book/index
parts:
  - caption: Chapters
    chapters:
      - file: notebooks/01_chapter.ipynb
        sections:
          - file: book/appendix
""",
    "html/index.html": '<meta http-equiv="Refresh" content="0; url=book/index.html">',
    "html/search.html": "<html><body>Search</body></html>",
    "html/book/index.html": PAGE.format(up="../", name="book/index", words=WORDS, body=INDEX),
    "html/book/appendix.html": PAGE.format(up="../", name="book/appendix", words=WORDS, body=""),
    "html/notebooks/01_chapter.html": PAGE.format(up="../", name="notebooks/01_chapter", words=WORDS, body=CHAPTER),
    "html/_static/book.css": "@import 'more.css'; body { background: url(data:image/svg+xml,x) }",
    "html/_static/template.html": '<a href="nowhere.html">Not a page</a>',
    "html/_images/a picture.png": "",
    "html/_sources/book/index.md": "See `` {glue:text}`key` ``.",
    "html/_sources/notebooks/01_chapter.ipynb": json.dumps({"cells": [{"source": ["The mean is {glue:text}`mean`"]}]}),
}


def code(source, **metadata):
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [], "execution_count": None}


def markdown(source):
    return {"cell_type": "markdown", "source": source, "metadata": {}}


NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 4,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "cells": [
        code("seed = 0", tags=["parameters"]),
        code("plot()", mystnb={"figure": {"caption": "A curve."}, "image": {"alt": ALT}}),
        markdown("```{solution-start} exercise\n:class: dropdown\n```"),
        code("# BEGIN SOLUTION\nmean = 0.2\n# END SOLUTION"),
        markdown("```{solution-end}\n```"),
    ],
}


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A small clean book: its table of contents, its site and its one notebook, too short to be held to a chapter's
    bounds."""
    monkeypatch.setattr(site.reading, "NUMBERED", re.compile("none"))
    for name, text in FILES.items():
        write(tmp_path / name, text)
    write(tmp_path / "notebooks/01_chapter.ipynb", json.dumps(NOTEBOOK))
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def check(book):
    return [str(problem) for problem in site.check(book / "html", book / "_toc.yml", book / "notebooks")]


def test_check_finds_no_problem_in_a_clean_book(book):
    assert check(book) == []


def test_theme_gives_each_scrolling_table_its_own_name():
    table = '<div class="pst-scrollable-table-container"><table></table></div>'
    context = {"body": table + "<figure id='a'>" + table}
    theme.mend(None, "page", "page.html", context, None)
    page = BeautifulSoup(context["body"], "html.parser")
    regions = page.select("div[role=region][tabindex='0']")
    assert [region["aria-label"] for region in regions] == ["table 1", "table 2"]


def test_theme_makes_a_signature_of_several_lines_no_list():
    lines = "<dd><em>a</em>,</dd>\n<dd><em>b</em>,</dd>"
    paren = '<span class="sig-paren">{}</span>'
    context = {"body": f"<dl><dt>f{paren.format('(')}\n\n<dl>{lines}</dl>{paren.format(')')}</dt><dd>Text.</dd></dl>"}
    theme.mend(None, "page", "page.html", context, None)
    page = BeautifulSoup(context["body"], "html.parser")
    assert [line.text for line in page.select("dt > .sig-line")] == ["a,", "b,"]
    assert len(page("dl")) == len(page("dd")) == 1


def test_page_problem_reads_as_page_and_message():
    assert str(site.PageProblem("book/index.html", "too long")) == "book/index.html: too long"


BROKEN = "https://example.com/x"
REGION = '<div role="region" aria-label="{}"><table><tr><th>{}</th></tr></table></div>'
ADDED = {  # what is put into the article of a page -> what is said of that page
    '<a href="gone.html">x</a>': "no such file: gone.html",
    REGION.format("table 1", "N") + REGION.format("table 1", "N"): "2 scrolling regions named 'table 1'",
    REGION.format("", "N"): "1 scrolling regions named ''",
    REGION.format("table 1", " "): "table with an empty header: ",
    '<a href="Appendix.html">x</a>': "no such file: Appendix.html",
    '<a href="../../secret.txt">x</a>': "no such file: ../../secret.txt",
    '<a href="file:///home/me/x.html">x</a>': "no such file: file:///home/me/x.html",
    f'<img srcset="gone.png 2x" src="../_images/a%20picture.png" alt="{ALT}">': "no such file: gone.png",
    '<a href="#gone">x</a>': "no such anchor: #gone",
    '<a href="appendix.html#gone">x</a>': "no such anchor: appendix.html#gone",
    f'<script src="{BROKEN}"></script>': f"fetches {BROKEN}",
    '<script src="//example.com/x"></script>': "fetches //example.com/x",
    f'<link rel="stylesheet" href="{BROKEN}">': f"fetches {BROKEN}",
    f'<link rel="preconnect" href="{BROKEN}">': f"fetches {BROKEN}",
    f'<img src="{BROKEN}" alt="{ALT}">': f"fetches {BROKEN}",
    f'<iframe src="{BROKEN}"></iframe>': f"fetches {BROKEN}",
    f'<video><source src="{BROKEN}"></video>': f"fetches {BROKEN}",
    f'<img srcset="{BROKEN} 2x" src="../_images/a%20picture.png" alt="{ALT}">': f"fetches {BROKEN}",
    f"<p style=\"background: url('{BROKEN}')\">x</p>": f"fetches {BROKEN}",
    f"<style>@import '{BROKEN}';</style>": f"fetches {BROKEN}",
    f'<script type="module">import {{ a }} from "{BROKEN}";</script>': f"fetches {BROKEN}",
    f'<script>fetch("{BROKEN}")</script>': f"fetches {BROKEN}",
    '<img src="../_images/a%20picture.png">': "alt text '' of picture ../_images/a%20picture.png",
    '<img src="../_images/a%20picture.png" alt="A curve">': "alt text 'A curve' of picture ../_images/a%20picture.png",
    '<img src="data:," alt="../_images/0123456789.png">': "alt text '../_images/0123456789.png' of picture data:,",
    f'<div class="frames"><img src="data:," alt="{ALT}"><img src="data:," alt="{ALT}"></div>': (
        "slider of 2 pictures with 1 different alt texts"
    ),
    '<div class="frames"></div>': "slider of 0 pictures with 0 different alt texts",
    '<div class="system-message">x</div>': "Sphinx error",
    '<a class="problematic">x</a>': "Sphinx error",
    '<div class="output stderr">x</div>': "stderr",
    '<div class="output traceback">x</div>': "traceback",
    '<div class="cell_output"><pre>Traceback (most recent call last):</pre></div>': "traceback",
    "<p>Unknown glue: mean</p>": "unresolved 'Unknown glue'",
    "<p>No key found: mean</p>": "unresolved 'No key found'",
    "<p>{glue:text}`mean`</p>": "unresolved '{glue:text'",
    "<p>{cite:p}`someone`</p>": "unresolved '{cite:p'",
    "<p>see Section ??</p>": "unresolved '??'",
}


@pytest.mark.parametrize("html", ADDED)
def test_check_names_a_fault_of_a_page_once(book, html):
    page = book / "html/book/index.html"
    write(page, page.read_text().replace("</article>", f"{html}</article>"))
    assert check(book) == [f"book/index.html: {ADDED[html]}"]


def test_check_allows_in_code_what_prose_may_not_show(book):
    page = book / "html/book/index.html"
    shown = "<pre>{eq}`a` ?? https://example.com/x</pre><pre>Traceback (most recent call last):</pre>"
    write(page, page.read_text().replace("</article>", f"{shown}</article>"))
    assert check(book) == []


def test_check_toc_names_a_page_missing_from_the_site(book):
    (book / "html/book/appendix.html").unlink()
    assert check(book) == ["book/appendix.html: in _toc.yml, but not in the site"]


def test_check_toc_names_a_page_left_by_an_older_build(book):
    write(book / "html/book/old.html", (book / "html/book/appendix.html").read_text())
    assert check(book) == ["book/old.html: not in _toc.yml"]


def test_toc_pattern_stands_for_the_pages_that_match_it(book):
    toc = book / "_toc.yml"
    toc.write_text(toc.read_text().replace("file: book/appendix", "glob: book/app**"))
    assert check(book) == []
    (book / "html/book/appendix.html").unlink()
    assert check(book) == ["book/app**: in _toc.yml, but not in the site"]


def test_check_fails_on_a_site_without_pages(book):
    (book / "html").rename(book / "elsewhere")
    (book / "html").mkdir()
    problems = check(book)
    assert problems[0] == "html: expected a built site, got no page"
    assert len(problems) == 4  # and each page of the table of contents is missing
    (book / "html").rmdir()
    assert check(book) == problems


def test_check_links_names_a_redirect_to_no_file(book):
    write(book / "html/index.html", '<meta http-equiv="refresh" content="0; url=gone.html">')
    assert check(book) == ["index.html: no such file: gone.html"]
    write(book / "html/index.html", f'<meta http-equiv="refresh" content="0; url={BROKEN}">')
    assert check(book) == [f"index.html: fetches {BROKEN}"]


def test_check_styles_names_a_style_sheet_that_fetches(book):
    write(book / "html/_static/book.css", f"@font-face {{ src: url({BROKEN}) }}")
    assert check(book) == [f"_static/book.css: fetches {BROKEN}"]


def test_check_size_counts_the_pictures_of_a_page(book):
    (book / "html/_images/a picture.png").write_bytes(bytes(site.PAGE_BYTES))
    assert check(book) == ["book/index.html: weighs 5.0 MB"]


def test_check_names_an_empty_page(book):
    page = book / "html/book/appendix.html"
    write(page, page.read_text().replace(WORDS, ""))
    assert check(book) == ["book/appendix.html: empty page: 13 letters"]


@pytest.mark.parametrize("hole", ["", '<span class="pasted-text"></span>'])
def test_check_glue_names_a_missing_number(book, hole):
    page = book / "html/notebooks/01_chapter.html"
    write(page, page.read_text().replace('<span class="pasted-text">0.2</span>', hole))
    assert check(book) == ["notebooks/01_chapter.html: unresolved glue: 0 of 1 pasted"]


def stored_output(notebook):
    notebook["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "0.2"}]


def execution_count(notebook):
    notebook["cells"][0]["execution_count"] = 3


def no_parameters(notebook):
    notebook["cells"][0]["metadata"] = {}


def two_parameters(notebook):
    notebook["cells"].insert(0, copy.deepcopy(notebook["cells"][0]))


def other_kernel(notebook):
    notebook["metadata"]["kernelspec"]["name"] = "my-venv"


def long_cell(notebook):
    notebook["cells"][0]["source"] = "x = 0\n" * 26


def no_alt(notebook):
    del notebook["cells"][1]["metadata"]["mystnb"]["image"]


def invalid(notebook):
    del notebook["cells"][0]["outputs"]


def too_old(notebook):
    notebook.update(nbformat=3, nbformat_minor=0, worksheets=[], metadata={})
    del notebook["cells"]


def unmarked_solution(notebook):
    notebook["cells"][3]["source"] = "mean = 0.2"


def half_marked_solution(notebook):
    notebook["cells"][3]["source"] = "# BEGIN SOLUTION\nmean = 0.2"


def marked_elsewhere(notebook):
    notebook["cells"][1]["source"] = "# BEGIN SOLUTION\nplot()\n# END SOLUTION"


def no_end(notebook):
    notebook["cells"].pop()


def no_start(notebook):
    del notebook["cells"][2:4]


SOURCES = {
    stored_output: "cell 1: stored output",
    execution_count: "cell 1: execution count 3",
    no_parameters: "expected one cell tagged parameters, got 0",
    two_parameters: "expected one cell tagged parameters, got 2",
    other_kernel: "kernelspec: expected python3, got my-venv",
    long_cell: "cell 1: 26 lines, expected at most 25",
    no_alt: "cell 2: figure with alt text ''",
    invalid: "no valid notebook: 'outputs' is a required property",
    too_old: "no valid notebook: too old",
    unmarked_solution: "cell 4: inside a solution, with the markers []",
    half_marked_solution: "cell 4: inside a solution, with the markers ['# BEGIN SOLUTION']",
    marked_elsewhere: "cell 2: outside a solution, with the markers ['# BEGIN SOLUTION', '# END SOLUTION']",
    no_end: "two solution-start in a row, or one unpaired",
    no_start: "two solution-end in a row, or one unpaired",
}


@pytest.mark.parametrize("change", SOURCES)
def test_check_notebooks_names_a_fault_once(tmp_path, change):
    notebook = copy.deepcopy(NOTEBOOK)
    change(notebook)
    write(tmp_path / "notebooks/broken.ipynb", json.dumps(notebook))
    assert [str(p) for p in site.check_notebooks(tmp_path / "notebooks")] == [
        f"notebooks/broken.ipynb: {SOURCES[change]}"
    ]


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}"])
def test_check_notebooks_names_a_file_that_is_no_notebook(tmp_path, text):
    write(tmp_path / "notebooks/broken.ipynb", text)
    (problem,) = site.check_notebooks(tmp_path / "notebooks")
    assert str(problem).startswith("notebooks/broken.ipynb: no valid notebook")


def test_check_notebooks_fails_on_none(tmp_path):
    assert [str(p) for p in site.check_notebooks(tmp_path / "notebooks")] == ["notebooks: expected notebooks, got none"]


def test_main_counts_the_problems_and_fails(book, monkeypatch, capsys):
    monkeypatch.setenv("COMPANION_ROOT", str(book))
    assert site.main([str(book / "html")]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "5 pages, 0 problems"
    assert err == ""

    write(book / "html/book/appendix.html", (book / "html/book/appendix.html").read_text().replace("#", "gone.html"))
    stored = copy.deepcopy(NOTEBOOK)
    stored_output(stored)
    write(book / "notebooks/01_chapter.ipynb", json.dumps(stored))
    assert site.main([str(book / "html")]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "5 pages, 2 problems"
    assert err.splitlines() == [
        "book/appendix.html: no such file: gone.html",
        "notebooks/01_chapter.ipynb: cell 1: stored output",
    ]


def test_main_fails_on_zero_pages(book, monkeypatch, capsys):
    monkeypatch.setenv("COMPANION_ROOT", str(book))
    assert site.main([str(book / "nothing")]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("0 pages, ")
    assert "nothing: expected a built site, got no page" in err
