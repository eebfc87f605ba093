"""The leak gate: clean files pass, and a leak of each kind, in each place, is named and fails."""

import base64
import io
import json
import zlib
from urllib.parse import quote

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from PIL import Image

from companion.course.leaks import LeakError, Secrets, find_leaks, letters, require_no_leak

SENTENCE = "With $\\gamma$ small, the *determinant* of the quokka cancels in every component."
CODE = "answer = linearized_posterior(prior, likelihood).weights"
ALT = "Two curves cross where the second example takes over"
PRINTED = "the weight is 0.48213 of all"


def picture(color=0, compress=6):
    content = io.BytesIO()
    Image.new("L", (9, 9), color).save(content, "PNG", compress_level=compress)
    return content.getvalue()


FRAME = f"data:image/png;base64,{base64.b64encode(picture(90)).decode()}"


def solution():
    outputs = [
        new_output("stream", text=PRINTED),
        new_output("display_data", {"image/png": base64.b64encode(picture()).decode()}),
        new_output("display_data", {"text/html": f'<img alt="{ALT} in a frame, 0.73519" src="{FRAME}">'}),
    ]
    shown = {"mystnb": {"image": {"alt": ALT}, "figure": {"caption": "Where both examples weigh the same, by data"}}}
    code = new_code_cell(CODE, metadata=shown, outputs=outputs)
    return [new_markdown_cell(f"{SENTENCE} See {{ref}}`there <x>`."), code]


def secrets():
    found = Secrets()
    found.add_solutions(solution())
    found.add_number(0.123456789)
    found.names |= {"c9.secret", "drawn"}
    return found.without(["Public text about every component, and `memprior`."])


CLEAN = {
    "site/page.html": "<p>Public text about every component.</p>",
    "site/searchindex.js": 'Search.setIndex({"terms": {"public": 0, "compon": 1}})',
    "notebooks/a.ipynb": json.dumps({"cells": [{"source": ["x = 1\n", "y = 2"], "outputs": []}], "metadata": {}}),
    "site/objects.inv": b"# a\n# b\n# c\n# d\n" + zlib.compress(b"sec-lookup std:label -1 page.html"),
    "site/_images/clean.png": picture(200),
    "site/_images/clean.svg": '<svg><style>a{width:0.48213em}</style><path d="M0.48213 1.5"/><desc>A line</desc></svg>',
    "site/style.css": ".frames { opacity: 0.5 }",
    "recorded/results.json": '{"claims": {"c9.public": 0.5}}',
}
TAGGED = "With \\(\\gamma\\) small, the <em>determinant</em> of&nbsp;the quokka cancels in every component."
LINES = "<span>answer</span> = <span>linearized_posterior</span>(prior, <b>likelihood</b>).weights"
CODED = base64.b64encode(picture()).decode()
BIG = base64.b64encode(picture() + b"\0" * 200).decode()
LEAKS = {
    "prose on a page": ("site/page.html", f"<p>{TAGGED}</p>", "text 'With"),
    "prose in a comment of a page": ("site/page.html", f"<!-- {SENTENCE} -->", "text 'With"),
    "code on a page": ("site/page.html", f"<pre>{LINES}</pre>", "text 'answer = linearized"),
    "prose in a source": ("site/_sources/a.md", SENTENCE, "text 'With"),
    "code in a notebook": ("notebooks/b.ipynb", json.dumps({"cells": [{"source": [CODE[:20], CODE[20:]]}]}), "'answer"),
    "prose in a notebook's metadata": ("notebooks/b.ipynb", json.dumps({"metadata": {"note": SENTENCE}}), "text 'With"),
    "prose escaped in a script": ("site/a.js", json.dumps(SENTENCE.replace("every", "\u0065very")), "text 'With"),
    "prose as a title in the index": ("site/searchindex.js", f'{{"alltitles": {{"{TAGGED}": 1}}}}', "text 'With"),
    "a word in the search index": ("site/searchindex.js", '{"terms": {"quokka": 0}}', "word 'quokka'"),
    "a delimiter": ("site/_sources/a.md", "````{solution-start} ex", "delimiter 'solution-start'"),
    "a delimiter in code": ("notebooks/c.ipynb", json.dumps({"source": "# BEGIN SOLUTION"}), "delimiter 'BEGIN SOL"),
    "an alt text": ("site/page.html", f'<img src="x.png" alt="{ALT}">', "text 'Two curves"),
    "an alt text of a frame": ("site/page.html", f'<img alt="{ALT} in a frame">', "text 'Two curves"),
    "a caption": ("site/page.html", "<p>Where both examples weigh the same, by data</p>", "text 'Where both"),
    "a printed line": ("site/page.html", f"<pre>{PRINTED} models</pre>", "number 0.48213"),
    "a number": ("site/page.html", "<p>It is 0.48213.</p>", "number 0.48213"),
    "a number in an alt text": ("site/page.html", '<img alt="Up to 0.48213 at the left">', "number 0.48213"),
    "a number of an alt text": ("site/page.html", "<p>It is 0.73519.</p>", "number 0.73519"),
    "a number beside a slider": ("site/page.html", "<input data-labels='[\"0.48213\"]'>", "number 0.48213"),
    "a number in a comment": ("site/page.html", "<p>See.</p><!-- 0.48213 -->", "number 0.48213"),
    "a number in a script of a page": ("site/page.html", '<script>w = {"a": 0.48213}</script>', "number 0.48213"),
    "a number in an alt text of Markdown": ("site/_sources/a.md", '<img alt="at 0.48213">', "number 0.48213"),
    "a number in a drawing": (
        "site/_images/a.svg",
        "<?xml version='1.0'?><svg><desc>At 0.48213</desc></svg>",
        "number 0.48213",
    ),
    "prose in a drawing": ("site/_images/a.svg", f"<svg><text>{SENTENCE}</text></svg>", "text 'With"),
    "prose in base64": (
        "site/page.html",
        f'<a href="data:text/plain;base64,{base64.b64encode(SENTENCE.encode()).decode()}">a</a>',
        "text 'With",
    ),
    "prose in an address": ("site/page.html", f'<a href="mailto:a@b?body={quote(SENTENCE)}">a</a>', "text 'With"),
    "a number in base64 in a notebook's metadata": (
        "notebooks/b.ipynb",
        json.dumps({"metadata": {"kept": base64.b64encode(f"{PRINTED} it knows".encode()).decode()}}),
        "number 0.48213",
    ),
    "a picture of a frame": ("site/page.html", f'<img src="{FRAME}">', "a picture"),
    "a reference with more digits": ("recorded/r.json", '{"value": 0.12345678}', "number 0.12345678"),
    "a picture": ("site/_images/a.png", picture(), "a picture"),
    "a picture compressed anew": ("site/_images/a.png", picture(compress=0), "a picture"),
    "a picture in a notebook": ("notebooks/b.ipynb", "", "a picture"),
    "a picture in a notebook, broken in lines": ("notebooks/b.ipynb", "", "a picture"),
    "a picture in a notebook, a list of lines": ("notebooks/b.ipynb", "", "a picture"),
    "a claim": ("site/book/claims.html", "<code>c9.secret</code>", "name 'c9.secret'"),
    "a claim in recorded results": ("recorded/results.json", '{"claims": {"c9.secret": 1.0}}', "name 'c9.secret'"),
    "a table that a solution keeps": ("site/book/_run/03/table-drawn.md", "| a |", "name 'drawn'"),
    "a label in the inventory": (
        "site/objects.inv",
        b"# a\n# b\n# c\n# d\n" + zlib.compress(f"sol-a std:label -1 a.html {CODE}".encode()),
        "text 'answer",
    ),
    "a file that cannot be read": (
        "site/book.pdf",
        b"%PDF-1.7 \xff\xfe",
        "expected a file that the leak",
    ),
}


def write(folder, files):
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def test_leaks_are_not_seen_where_there_are_none(tmp_path):
    require_no_leak(write(tmp_path, CLEAN), secrets())


@pytest.mark.parametrize("kind", LEAKS)
def test_leaks_of_each_kind_are_named_and_fail(tmp_path, kind):
    name, content, culprit = LEAKS[kind]
    found = secrets()
    if kind.startswith("a picture in a notebook"):
        noise = Image.effect_noise((40, 40), 50)
        noise.save(kept := io.BytesIO(), "PNG")
        found.add_picture(kept.getvalue())
        coded = base64.b64encode(kept.getvalue()).decode()
        lines = base64.encodebytes(kept.getvalue()).decode()
        broken = {"broken in lines": lines, "a list of lines": lines.splitlines(keepends=True)}
        coded = broken.get(kind.partition(", ")[2], coded)
        content = json.dumps({"image/png": coded})
    folder = write(tmp_path, CLEAN | {name: content})
    with pytest.raises(LeakError) as caught:
        require_no_leak(folder, found)
    lines = str(caught.value).splitlines()
    assert any(line.startswith(f"{name}: ") and culprit in line for line in lines), lines
    assert all(line.startswith(f"{name}: ") for line in lines[:-1]), lines


def test_leaks_are_not_what_students_may_read_anyway(tmp_path):
    folder = write(tmp_path, {"a.md": f"{SENTENCE} {CODE} 0.48213"})
    assert find_leaks(folder, secrets())
    allowed = secrets().without([SENTENCE, CODE, "0.48213"])
    assert find_leaks(folder, allowed) == []


def test_letters_are_the_same_in_every_format():
    assert letters("A *b*, “c” \\(d_1\\)") == letters("a <b> C $d_1$".replace("<b>", "b")) == "abcd1"
