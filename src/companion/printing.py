"""The book as one PDF, by LaTeX, from the runs that the site is made of; checked page by page."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from companion import book, pages
from companion.book import BuildError
from companion.run import chapters
from companion.sources import read_notebook, read_yaml

FILE = "priors-that-remember.pdf"
PROGRAMS = ("xelatex", "latexmk", "makeindex")
APT_PACKAGES = "texlive-xetex texlive-latex-extra texlive-fonts-recommended latexmk fonts-lmodern fonts-dejavu-core"
SUBTITLE = (
    "An executable companion to Siahkoohi and Sabeddu, “On the role of memorization in learned priors for geophysical "
    "inverse problems”"
)
WIDEST_PT = 10.0  # what a line may stick out by: less than a seventh of the margin
OVERFULL = re.compile(r"^Overfull \\([hv])box \(([\d.]+)pt too (?:wide|high)\).*$", re.M)
NOT_FOUND = re.compile(
    r"^(?:LaTeX Warning: (?:Reference|Citation|Hyper reference|Label) .*(?:undefined|multiply defined).*"
    r"|Missing character: .*|! .*)$",
    re.M,
)


def print_book(root: Path) -> Path:
    """Build and check the PDF from the quick runs in _build/run; returns its file.

    Raises :class:`BuildError` naming the programs or packages that are missing, a chapter not run, a warning of Sphinx,
    LaTeX's error, or what is wrong with the PDF.
    """
    book.stop_at(missing_programs() + book.check_runs(root))
    began = time.monotonic()
    print("writing LaTeX with Sphinx", flush=True)
    book.stage(root, root / "_build" / "stage")
    folder = book.jupyter_book(root, config_for_paper(root), "latex")
    print("typesetting with XeLaTeX", flush=True)
    made = typeset(folder)
    book.stop_at(
        check_pdf(made, made.with_suffix(".log").read_text("utf-8", "replace"), list(titles_by_name(root).values()))
    )
    shutil.copy2(made, root / "_build" / FILE)
    print(f"{describe_pdf(made)}, {time.monotonic() - began:.0f} s", flush=True)
    return root / "_build" / FILE


def missing_programs() -> list[str]:
    """What `make pdf` needs and does not find, each with how to get it."""
    named = [program for program in PROGRAMS if not shutil.which(program)]
    if not named:
        return []
    return [f"make pdf: expected LaTeX, found no {', '.join(named)}; on Debian and Ubuntu: apt install {APT_PACKAGES}"]


def config_for_paper(root: Path) -> Path:
    """The book's settings with those of the PDF, as a file in _build."""
    commits = sorted({pages.quick_run(root, name)[1]["commit"] for name in chapters(root)})
    address = read_yaml(root / "_config.yml")["repository"]["url"]
    imprint = [
        "Text and figures: CC BY 4.0. Code: MIT.",
        f"Computed at profile quick, commit {', '.join(commits)}; recorded full runs name their own.",
        f"Sources, and these pages with their sliders: {address}",
    ]
    return book.written_settings(
        root,
        "latex",
        extensions=["companion.latex"],
        config={"subtitle": SUBTITLE, "imprint": imprint},
        latex={"latex_documents": {"targetname": FILE.replace(".pdf", ".tex")}},
    )


def titles_by_name(root: Path) -> dict[str, str]:
    """Name of a chapter -> its title, in the order of the book."""
    listed = re.findall(r"file: notebooks/(\w+)", (root / "_toc.yml").read_text())
    heads = {name: read_notebook(root / "notebooks" / f"{name}.ipynb").cells[0].source for name in listed}
    return {name: re.search(r"^# (.+)$", head, re.M)[1] for name, head in heads.items()}


def typeset(folder: Path) -> Path:
    """Run latexmk in a folder of one .tex file; returns the PDF. Raises :class:`BuildError` with LaTeX's error."""
    source = folder / FILE.replace(".pdf", ".tex")
    command = ["latexmk", "-xelatex", "-interaction=nonstopmode", "-halt-on-error", source.name]
    # A line of the log is a line: TeX would break it at 79 letters, in the middle of a name.
    surroundings = os.environ | {"max_print_line": "10000", "error_line": "254", "half_error_line": "238"}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", env=surroundings, check=False
    )
    if done.returncode:
        log = source.with_suffix(".log")
        said = log.read_text("utf-8", "replace") if log.is_file() else done.stdout
        error = re.search(r"^! .*(?:\n.*){0,6}", said, re.M)
        raise BuildError(
            f"{error[0] if error else said[-2000:]}\nlatexmk ended with status {done.returncode}; whole log: {log}"
        )
    return source.with_suffix(".pdf")


def check_pdf(file: Path, log: str, expected: list[str]) -> list[str]:
    """What is wrong with a PDF, or with LaTeX's log of it.

    expected: titles that its outline must have, in this order. Wrong are: no page, a page without text and picture, a
    title that is not in the outline or has no page, "??" where a number belongs, a reference or citation that is not
    defined, a letter that no font has, and a line that sticks out by more than :data:`WIDEST_PT`.
    """
    reader = _reader(file)
    found = [
        (" ".join(entry.title.split()), reader.get_destination_page_number(entry)) for entry in _flat(reader.outline)
    ]
    left, problems = iter(found), []
    for title in expected:
        if not any(name == title and number is not None for name, number in left):
            problems.append(f"outline: expected {title!r} with its page after the chapter before it, got none")
            left = iter(found)
    for number, page in enumerate(reader.pages, 1):
        text = page.extract_text()
        if "??" in text:
            problems.append(f"page {number}: expected the number of a reference, got ??")
        if len(text.split()) < 5 and not page.images:
            problems.append(f"page {number}: expected text or a picture, got {text.strip()!r}")
    if not len(reader.pages):
        problems.append("expected pages, got none")
    problems += [f"LaTeX: {line}" for line in dict.fromkeys(NOT_FOUND.findall(log))]
    return problems + [f"LaTeX: {line}" for width, line in overfull(log) if width > WIDEST_PT]


def overfull(log: str) -> list[tuple[float, str]]:
    """(by how many points, LaTeX's words) for each line that sticks out of its column, and each page of its height."""
    return [(float(match[2]), match[0]) for match in OVERFULL.finditer(log)]


def describe_pdf(file: Path) -> str:
    """Pages and size of a PDF, and how far its lines stick out."""
    out = overfull(file.with_suffix(".log").read_text("utf-8", "replace"))
    widest = f", the widest by {max(width for width, _ in out):.1f} pt" if out else ""
    size = file.stat().st_size / 1e6
    return f"{len(_reader(file).pages)} pages, {size:.1f} MB; {len(out)} lines stick out{widest}"


def _reader(file: Path):
    try:
        from pypdf import PdfReader
    except ImportError:
        raise BuildError(
            "expected pypdf, which reads the PDF again: pip install '.[print]', got no such package"
        ) from None
    return PdfReader(file)


def _flat(outline: list) -> list:
    return [entry for part in outline for entry in (_flat(part) if isinstance(part, list) else [part])]
