"""Which pages of two built books read differently, and that a stranger's page stays text."""

import importlib.util
import subprocess
import sys
from pathlib import Path

FILE = Path(__file__).parents[2] / "workflow" / "changed_pages.py"
spec = importlib.util.spec_from_file_location("changed_pages", FILE)
changed_pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(changed_pages)

PAGE = """<html><head><title>t</title><script>var a = "{head}"</script></head><body><nav>{head}</nav>
<article class="bd-article"><section><h1>{title}<a href="#x">#</a></h1><p>One <b>bold</b> word<br> {words}</p>
<img src="{picture}" alt="a"><p class="provenance">wall {head} s</p></section></article>
<footer>{head}</footer></body></html>"""


def write_site(folder, **pages):
    for name, told in pages.items():
        file = folder / "book" / f"{name}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        defaults = {"title": name, "head": "1", "words": "", "picture": "a.png"}
        file.write_text(PAGE.format_map(defaults | told))
    (folder / "search.html").write_text("<html><body>Search</body></html>")
    return folder


def test_changed_pages_are_those_whose_words_or_pictures_differ(tmp_path):
    old = write_site(tmp_path / "old", same={}, said={"words": "0.25"}, drawn={}, gone={})
    new = write_site(
        tmp_path / "new", same={"head": "2"}, said={"words": "0.26 now"}, drawn={"picture": "b.png"}, added={}
    )
    assert changed_pages.report(old, new).splitlines() == [
        "Pages that read differently from the main branch (4 of 4):",
        "- `book/added.html` added: new",
        "- `book/drawn.html` drawn: 1 picture",
        "- `book/said.html` said: 2 words",
        "- `book/gone.html`: gone",
    ]


def test_changed_pages_see_words_that_have_only_changed_places(tmp_path):
    old, new = (write_site(tmp_path / order, page={"words": order}) for order in ("a b", "b a"))
    assert changed_pages.report(old, new).endswith("page: order of words")


def test_changed_pages_say_so_when_none_has_or_there_is_nothing_to_compare_with(tmp_path):
    new = write_site(tmp_path / "new", a={}, b={})
    (tmp_path / "none").mkdir()
    assert changed_pages.report(new, new) == "All 2 pages read as on the main branch."
    assert changed_pages.report(tmp_path / "none", new) == "No earlier build to compare with; this one has 2 pages."


def test_changed_pages_let_no_markup_of_a_page_into_the_comment(tmp_path):
    old = write_site(tmp_path / "old", a={})
    new = write_site(tmp_path / "new", a={"title": "[x](http://y) @all `z` &lt;img&gt;"})
    line = changed_pages.report(old, new).splitlines()[1]
    assert not set(line.split("` ", 1)[1]) & set("[]@`<>")


def test_changed_pages_command_names_what_it_expects(tmp_path):
    done = subprocess.run([sys.executable, FILE, tmp_path / "no"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("expected two folders with built books")
