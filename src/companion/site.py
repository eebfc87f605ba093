"""Is the built book fit to be read? Offline checks of its HTML and of the notebooks it was made from.

``python -m companion.site _build/html``: one function per check, and ``check`` asks them all. What only a browser can
tell (layout, sliders, scripts that fetch) is asked by workflow/browser/browse.mjs.
"""

import argparse
import fnmatch
import posixpath
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import yaml
from bs4 import BeautifulSoup, Tag
from nbformat.validator import iter_validate

from companion import paths, reading
from companion.sources import toc_files

PAGE_BYTES = 5_000_000  # of a page and its pictures: more is long to wait for on a telephone
ALT_LETTERS = 20  # a shorter text names a picture and does not say what is seen
ARTICLE_LETTERS = 200  # a page that says less is a build gone wrong
CELL_LINES = 25  # longer logic has a home in src/

GENERATED = re.compile(r"(genindex(-.*)?|search|py-modindex|prf-prf)\.html")  # Sphinx writes them, from no source
RELATIONS = {"canonical", "alternate", "author", "license", "help", "index", "search", "next", "prev"}  # not fetched
FOLLOWED = ("a", "area", "form")  # by the reader
OUTSIDE = re.compile(r"\s*((?!file:)[a-z][a-z0-9+.-]*:|//)", re.I)  # an address with a scheme or a host
REMOTE = re.compile(r"\s*((https?|wss?|ftp):)?//", re.I)
REMOTE_CSS = re.compile(r"(?:\burl\(|@import)\s*['\"]?\s*((?:https?:)?//[^'\")\s]+)", re.I)
REMOTE_SCRIPT = re.compile(r"""\b(?:import|from|fetch|Worker|src)\b[^"'`;]*["'`]((?:https?:)?//[^"'`]+)""")
GLUE_ROLE = re.compile(r"\{glue:text\}`[^`\n]+`")
UNRESOLVED = re.compile(
    r"\{(?:glue|recorded|cite|numref|eq|ref|prf)\b[^}\n]*|\?\?|(?:Unknown|pending) glue|No key found"
)
TRACEBACK = ".output.traceback, .cell_output:-soup-contains('Traceback (most recent call last)')"
FAILURES = {".system-message, .problematic": "Sphinx error", ".output.stderr": "stderr", TRACEBACK: "traceback"}
SAVED = re.compile(r"^cell \d+: (stored output|execution count \d+)$")  # what running a notebook by hand leaves in it
SOLUTION_MARKS = ["# BEGIN SOLUTION", "# END SOLUTION"]


@dataclass(frozen=True)
class PageProblem:
    """page: a page, or a source notebook, by name. what: what is wrong with it."""

    page: str
    what: str

    def __str__(self):
        return f"{self.page}: {self.what}"


@dataclass(frozen=True)
class Site:
    """A built site, parsed. Names are relative to its root, with slashes."""

    root: Path
    files: dict[str, int]  # name -> bytes
    pages: dict[str, BeautifulSoup]
    anchors: dict[str, set[str]]  # name of a page -> what a link to it may point at
    authored: set[str]  # pages that are neither Sphinx's own lists nor redirects


def read_site(html: Path) -> Site:
    """Parse a built site. A folder named with an underscore holds files, not pages; no folder holds no pages."""
    files = {path.relative_to(html).as_posix(): path.stat().st_size for path in html.rglob("*") if path.is_file()}
    names = sorted(name for name in files if name.endswith(".html") and not name.startswith("_"))
    pages = {name: BeautifulSoup((html / name).read_bytes(), "html.parser") for name in names}
    anchors = {name: {"", "top", *(tag["id"] for tag in page(id=True))} for name, page in pages.items()}
    moved = {name for name, page in pages.items() if any(map(_addresses, page("meta")))}
    return Site(html, files, pages, anchors, {name for name in names if not GENERATED.fullmatch(name)} - moved)


def check(html: Path, toc: Path, notebooks: Path) -> list[PageProblem]:
    """Every problem of the site and its source notebooks. Raises ``FileNotFoundError`` when there is no ``toc``."""
    return check_pages(html, toc) + check_notebooks(notebooks)


def check_pages(html: Path, toc: Path) -> list[PageProblem]:
    """Every problem of the site. Raises ``FileNotFoundError`` when there is no ``toc``."""
    site = read_site(html)
    checks = (check_links, check_remote, check_alt, check_size, check_failures, check_glue, check_tables)
    problems = [problem for name in site.pages for one in checks for problem in one(site, name)]
    return check_toc(site, toc) + problems + check_styles(site)


def check_toc(site: Site, toc: Path) -> list[PageProblem]:
    """One page for each entry, and none left from an older build. Raises ``FileNotFoundError`` when there is no toc.

    A pattern stands for the pages that match it, and is an entry itself where none does.
    """
    listed = yaml.safe_load(toc.read_text("utf-8"))
    wanted = {re.sub(r"\.(md|ipynb|rst)$", "", file) + ".html" for file in toc_files(listed)}
    for pattern in toc_files(listed, ("glob",)):
        wanted |= set(fnmatch.filter(site.authored, f"{pattern}.html")) or {pattern}
    problems = [] if site.pages else [PageProblem(site.root.name, "expected a built site, got no page")]
    problems += [
        PageProblem(name, f"in {toc.name}, but not in the site") for name in sorted(wanted - site.pages.keys())
    ]
    return problems + [PageProblem(name, f"not in {toc.name}") for name in sorted(site.authored - wanted)]


def check_links(site: Site, name: str) -> list[PageProblem]:
    """Every link into the site meets a file, spelt the same, and an anchor; none leads into somebody's own disk."""
    links = dict.fromkeys(link for tag in site.pages[name](True) for link in _addresses(tag) if not OUTSIDE.match(link))
    targets = {link: _target(name, link) for link in links}
    missing = [link for link, (file, _) in targets.items() if file not in site.files]
    loose = [link for link, (file, anchor) in targets.items() if anchor not in site.anchors.get(file, {anchor})]
    problems = [PageProblem(name, f"no such file: {link}") for link in missing]
    return problems + [PageProblem(name, f"no such anchor: {link}") for link in loose]


def check_remote(site: Site, name: str) -> list[PageProblem]:
    """Nothing is fetched from another host while a page is read; a link that the reader may follow is no fetch."""
    page = site.pages[name]
    tags = [tag for tag in page(True) if tag.name not in FOLLOWED and not RELATIONS & set(tag.get("rel", []))]
    style = "\n".join([tag.text for tag in page("style")] + [tag["style"] for tag in page(style=True)])
    script = "\n".join(tag.text for tag in page("script") if "json" not in tag.get("type", ""))
    links = [link for tag in tags for link in _addresses(tag) if REMOTE.match(link)]
    links += REMOTE_CSS.findall(style) + REMOTE_SCRIPT.findall(script)
    return [PageProblem(name, f"fetches {link}") for link in dict.fromkeys(links)]


def check_styles(site: Site) -> list[PageProblem]:
    """No style sheet of the site fetches from another host."""
    sheets = {name: site.root / name for name in sorted(site.files) if name.endswith(".css")}
    links = {name: REMOTE_CSS.findall(path.read_text("utf-8", "replace")) for name, path in sheets.items()}
    return [PageProblem(name, f"fetches {link}") for name, by_page in links.items() for link in dict.fromkeys(by_page)]


def check_alt(site: Site, name: str) -> list[PageProblem]:
    """Every picture says in words what is seen in it; the frames of a slider do so each in their own words."""
    alts = [(picture.get("alt", ""), picture.get("src", "")[:60]) for picture in _article(site.pages[name])("img")]
    problems = [PageProblem(name, f"alt text {alt!r} of picture {src}") for alt, src in alts if _says_little(alt)]
    for slider in site.pages[name].select(".frames"):
        frames = [picture.get("alt", "").strip() for picture in slider("img")]
        what = f"slider of {len(frames)} pictures with {len(set(frames))} different alt texts"
        problems += [] if len(frames) == len(set(frames)) > 0 else [PageProblem(name, what)]
    return problems


def check_tables(site: Site, name: str) -> list[PageProblem]:
    """Every column of a table has a name, and so has every table that scrolls, one of its own on its page."""
    article = _article(site.pages[name])
    tables = [table for table in article("table") if "highlighttable" not in table.get("class", [])]
    empty = [table for table in tables if any(not head.text.strip() for head in table.select("th"))]
    problems = [
        PageProblem(name, f"table with an empty header: {' '.join(table.text.split())[:60]}") for table in empty
    ]
    regions = Counter(region.get("aria-label", "") for region in article.select("[role=region]"))
    twice = [label for label, count in regions.items() if count > 1 or not label.strip()]
    return problems + [PageProblem(name, f"{regions[label]} scrolling regions named {label!r}") for label in twice]


def check_size(site: Site, name: str) -> list[PageProblem]:
    """No page that somebody wrote is empty; none, with the pictures of its article, is too heavy for a telephone."""
    article = _article(site.pages[name])
    letters = len(" ".join(article.text.split()))
    shown = {_target(name, link)[0] for picture in article("img") for link in _addresses(picture)}
    weight = sum(site.files.get(file, 0) for file in shown | {name})
    problems = [PageProblem(name, f"empty page: {letters} letters")] * (
        letters < ARTICLE_LETTERS and name in site.authored
    )
    return problems + [PageProblem(name, f"weighs {weight / 1e6:.1f} MB")] * (weight >= PAGE_BYTES)


def check_failures(site: Site, name: str) -> list[PageProblem]:
    """No trace of what failed while running or building: tracebacks, stderr, Sphinx's errors, roles left as text."""
    article = _article(site.pages[name])
    problems = [PageProblem(name, what) for marker, what in FAILURES.items() if article.select(marker)]
    apart = {id(text) for part in article.select("pre, code, .math") for text in part.strings}
    prose = "".join(text for text in article.strings if id(text) not in apart)
    return problems + [PageProblem(name, f"unresolved {text!r}") for text in dict.fromkeys(UNRESOLVED.findall(prose))]


def check_glue(site: Site, name: str) -> list[PageProblem]:
    """Every number that a source asks for is on its page: MyST-NB leaves a hole, without a mark, for an unknown key."""
    article, sources = _article(site.pages[name]), site.root.glob(f"_sources/{name.removesuffix('.html')}.*")
    asked = sum(len(GLUE_ROLE.findall(source.read_text("utf-8"))) for source in sources)
    asked -= len(GLUE_ROLE.findall(article.text))  # quoted as code, by a page that explains it
    pasted = sum(bool(tag.text.strip()) for tag in article.select(".pasted-text"))
    return [PageProblem(name, f"unresolved glue: {pasted} of {asked} pasted")] if pasted < asked else []


def check_notebooks(notebooks: Path) -> list[PageProblem]:
    """Source notebooks are valid, hold no results, take parameters, and keep solutions where a machine finds them.

    Chapters are open and short enough: :mod:`companion.reading`.
    """
    files = [path for path in sorted(notebooks.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
    by_page = {f"{notebooks.name}/{path.relative_to(notebooks).as_posix()}": _notebook_problems(path) for path in files}
    problems = [PageProblem(name, what) for name, problems in by_page.items() for what in problems]
    return problems if files else [PageProblem(notebooks.name, "expected notebooks, got none")]


def _notebook_problems(path: Path) -> Iterator[str]:
    try:
        notebook = nbformat.reader.reads(path.read_text("utf-8"))
        invalid = [error.message[:80] for error in iter_validate(notebook)] + ["too old"] * (notebook.nbformat < 4)
    except (nbformat.reader.NotJSONError, AttributeError, KeyError) as error:
        invalid = [f"{type(error).__name__} {str(error)[:80]}"]
    if invalid:
        yield f"no valid notebook: {'; '.join(invalid)}"
        return
    if (kernel := notebook.metadata.get("kernelspec", {}).get("name")) != "python3":
        yield f"kernelspec: expected python3, got {kernel}"
    if (tagged := sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells)) != 1:
        yield f"expected one cell tagged parameters, got {tagged}"
    edges = ["end"]  # of the solutions passed so far
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown":
            edges += reading.SOLUTION.findall(cell.source)
        elif cell.cell_type == "code":
            yield from (f"cell {number}: {what}" for what in _cell_problems(cell, edges[-1] == "start"))
    if reading.NUMBERED.match(path.stem):
        yield from reading.read(notebook).problems()
    yield from (f"two solution-{a} in a row, or one unpaired" for a, b in pairwise([*edges, "start"]) if a == b)


def _cell_problems(cell, solution: bool) -> Iterator[str]:
    lines, shown = cell.source.splitlines(), cell.metadata.get("mystnb", {})
    if cell.outputs:
        yield "stored output"
    if cell.execution_count is not None:
        yield f"execution count {cell.execution_count}"
    if len(lines) > CELL_LINES:
        yield f"{len(lines)} lines, expected at most {CELL_LINES}"
    if "figure" in shown and _says_little(alt := str(shown.get("image", {}).get("alt", ""))):
        yield f"figure with alt text {alt!r}"
    if (marks := [line for line in map(str.strip, lines) if line in SOLUTION_MARKS]) != SOLUTION_MARKS * solution:
        yield f"{'inside' if solution else 'outside'} a solution, with the markers {marks}"


def _says_little(alt: str) -> bool:
    """Too short, or one word: the name of a file, an address."""
    return len(alt.strip()) < ALT_LETTERS or len(alt.split()) == 1


def _article(page: BeautifulSoup) -> Tag:
    return page.select_one("article.bd-article") or page.find("article") or page


def _target(page: str, link: str) -> tuple[str, str]:
    """The file and the anchor that a link without a scheme leads to."""
    url = urlsplit(link.strip())
    path = posixpath.join(posixpath.dirname(page), unquote(url.path)) if url.path else page
    return posixpath.normpath(path), unquote(url.fragment)


def _addresses(tag: Tag) -> list[str]:
    """Every address that one tag holds; for <meta http-equiv=refresh> the one that it sends the reader to."""
    if tag.name == "meta":
        refresh = tag.get("content", "") if tag.get("http-equiv", "").lower() == "refresh" else ""
        return re.findall(r"\burl=['\"]?([^'\"]+)", refresh, re.I)
    listed = [part.split()[0] for part in re.split(r",\s+", tag.get("srcset", "")) if part.strip()]
    return listed + [tag[key] for key in ("href", "src", "xlink:href", "action", "poster", "data") if tag.get(key)]


def main(argv: list[str]) -> int:
    """Print problems to stderr and a summary; 1 when there are any. Raises ``FileNotFoundError`` outside a checkout."""
    parser = argparse.ArgumentParser(prog="python -m companion.site", description="Check the built book.")
    parser.add_argument("html", type=Path, help="the folder of the built pages")
    html, root = parser.parse_args(argv).html, paths.require_repository()
    problems, site = check(html, root / "_toc.yml", root / "notebooks"), read_site(html)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"site of {sum(site.files.values()) / 1e6:.1f} MB")
    print(f"{len(site.pages)} pages, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
