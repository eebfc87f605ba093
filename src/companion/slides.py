"""A deck of slides for each chapter, by sphinx-revealjs, from the site's own runs; checked in a browser."""

import html
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from companion import book
from companion.book import BuildError
from companion.printing import titles_by_name

DECKS_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: slides</title>
<style>body {{ font: 1.1rem/1.6 sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; color: #1f2933 }}
a {{ color: #0b4f9e }}</style></head>
<body><h1>{title}: slides</h1>
<p>Arrow keys move; Esc shows all slides; S opens the speaker’s notes.
To print, add <code>?print-pdf</code> to the address.</p>
<ul>
{decks}
</ul></body></html>
"""
REVEAL = {
    "width": 1280,
    "height": 720,
    "margin": 0.04,
    "center": False,
    "hash": True,
    "slideNumber": True,
    "transition": "none",
    "controlsTutorial": False,
}
DECK_CONFIG = {
    "revealjs_style_theme": "white",
    "revealjs_static_path": ["book/_static"],
    "revealjs_css_files": ["pygments.css", "slides.css"],
    "revealjs_script_conf": REVEAL,
    "revealjs_script_plugins": [{"name": "RevealNotes", "src": "revealjs/plugin/notes/notes.js"}],
    "nb_mime_priority_overrides": [
        ["revealjs", "text/html", 0],
        ["revealjs", "image/png", 10],
        ["revealjs", "text/plain", 20],
    ],
}


def make_slides(root: Path) -> Path:
    """Build and check a deck of each chapter from the quick runs in _build/run; returns the page that lists them.

    Raises :class:`BuildError` where sphinx-revealjs is missing, a chapter was not run, Sphinx warns, a slide is wrong.
    """
    if find_spec("sphinx_revealjs") is None:
        raise BuildError("make slides: expected sphinx-revealjs: pip install '.[slides]', got no such package")
    book.stop_at(book.check_runs(root))
    print("making the slides with Sphinx", flush=True)
    book.stage(root, root / "_build" / "stage")
    told = book.written_settings(
        root, "slides", extensions=["sphinx_revealjs", "companion.deck"], config=DECK_CONFIG, launch_buttons={}
    )
    made = book.jupyter_book(root, told, "revealjs")
    folder = root / "_build" / "slides"
    gather_decks(made, folder, titles_by_name(root))
    print(look_at(root, folder))
    return folder / "index.html"


def gather_decks(made: Path, folder: Path, names: dict[str, str]) -> None:
    """Take the decks alone, with what they show: Sphinx has written every page of the book.

    names: name of a chapter -> its title. Raises :class:`BuildError` for a chapter without a deck.
    """
    if lacking := [name for name in names if not (made / "notebooks" / f"{name}.html").is_file()]:
        raise BuildError(f"slides: expected a deck of each chapter, got none of {', '.join(lacking)}")
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("_static", "_images"):
        if (made / part).is_dir():
            shutil.copytree(made / part, folder / part)
    (folder / "notebooks").mkdir(parents=True)
    for name in names:
        shutil.copy2(made / "notebooks" / f"{name}.html", folder / "notebooks")
    decks = [f'<li><a href="notebooks/{name}.html">{html.escape(title)}</a></li>' for name, title in names.items()]
    (folder / "index.html").write_text(DECKS_PAGE.format(title="Priors That Remember", decks="\n".join(decks)))


def look_at(root: Path, folder: Path) -> str:
    """Go through every deck in a headless Chromium with the network blocked; returns what was seen, a line a deck."""
    scripts = root / "workflow" / "browser"
    if not shutil.which("node") or not (scripts / "node_modules").is_dir():
        return f"slides not looked at: {book.BROWSER_NEEDS}"
    done = subprocess.run(
        ["node", scripts / "decks.mjs", folder / "notebooks"], capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, book.BROWSER_ABSENT):
        raise BuildError(done.stdout + done.stderr)
    return done.stdout.strip()
