"""The browser checks of the built site: silent on a good page, and each fault of a bad one is reported."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

BROWSER = Path(__file__).resolve().parents[2] / "workflow" / "browser"
BROWSE = BROWSER / "browse.mjs"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium", path=f"/usr/bin{os.pathsep}{os.environ['PATH']}")

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no node on PATH: pages cannot be browsed")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or not Path(CHROMIUM).exists() or not (BROWSER / "node_modules").is_dir(),
    reason="no chromium, or no node modules (npm ci --prefix workflow/browser)",
)

PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>A page</title></head>
<body><main><article class="bd-article"><h1>A page</h1>{body}</article></main></body></html>"""

PICTURE = (
    "<img {hidden} alt='A square filled with {color}' "
    "src='data:image/svg+xml,<svg xmlns=%22http://www.w3.org/2000/svg%22 width=%2240%22 height=%2240%22>"
    "<rect width=%2240%22 height=%2240%22 fill=%22{color}%22/></svg>'>"
)
COLORS = ("black", "gray", "silver")
MOVE = "this.closest('.frames').querySelectorAll('img').forEach((m, k) => { m.hidden = k !== +this.value })"


def slider(move, name="shade"):
    pictures = "".join(PICTURE.format(color=c, hidden="" if c == "gray" else "hidden") for c in COLORS)
    return (
        f'<figure class="frames" id="{name}-frames">{pictures}<label for="{name}">{name}</label>'
        f'<input id="{name}" type="range" min="0" max="2" value="1" oninput="{move}"><output>gray</output></figure>'
    )


def formula(style, number=""):
    """A displayed formula beside its number, as the theme lays them out."""
    said = '<span style="white-space: nowrap">a long formula</span>'
    return (
        f'<div class="math" style="display: flex; flex-direction: row-reverse; position: relative">'
        f'<span class="eqno" style="{number}">(1)</span>'
        f'<mjx-container tabindex="0" style="display: block; {style}">{said}</mjx-container></div>'
    )


GOOD = f"""{slider(MOVE)}
<p>A formula, <span class="math"><mjx-container>x</mjx-container></span>, and code that only looks like one:
<code>\\(</code>, <code>$$</code>.</p>{formula("width: 200px")}
<details><summary>Opened to be looked at</summary><p>Fine.</p></details>
<div role="list" class="citation-list"><div class="citation" role="doc-biblioentry">Docutils writes so</div></div>"""

FAULTS = [  # what is in a bad page, and what is said of it
    (
        slider("", "dead"),
        ["[light] slider 1 moves no picture with ArrowRight", "[light] slider 1 moves no picture with End"],
    ),
    (
        slider("document.querySelectorAll('#vanishing-frames img').forEach(m => { m.hidden = true })", "vanishing"),
        ["[light] slider 2 shows 0 pictures after ArrowRight, expected one"],
    ),
    (
        slider(MOVE, "silent").replace("filled with gray", "filled with black"),
        ["[light] slider 3 keeps the alt text of another picture: A square filled with black"],
    ),
    (
        slider(MOVE, "paper") + "<style>@media print { #paper-frames img { display: block !important } }</style>",
        ["[light] slider 4 prints 3 pictures, expected one"],
    ),
    (
        slider(MOVE, "mouse").replace("<input", '<input tabindex="-1"'),
        ["[light] slider 5 is out of reach of the keyboard"],
    ),
    ('<figure class="frames"></figure>', ["[light] slider 6 has 0 range inputs, expected one"]),
    (
        "<script>fetch('https://example.com/data').catch(() => 0); new WebSocket('wss://example.com/live')</script>",
        ["[dark] outside request https://example.com/data", "[dark] outside request wss://example.com/live"],
    ),
    ('<img src="file:///nowhere/secret.png" alt="x">', ["[light] outside request file:///nowhere/secret.png"]),
    ('<img src="gone.png" alt="A picture that is not there">', ["[phone] picture does not load: ", "/gone.png"]),
    ("<script>throw new Error('broken script')</script>", ["[light] page error: broken script"]),
    ("<script>console.error('said in the console')</script>", ["[light] console error: said in the console"]),
    ('<p id="wide" style="width: 600px">wide</p>', ["[phone] sideways overflow: ", ', by <p id="wide"']),
    ('<p>Raw <span class="math">\\(x\\)</span></p>', ["1 of 4 formulas not rendered: \\(x\\)", "raw \\( in the text"]),
    (formula("overflow: hidden; width: 90px"), ["formula cut off: a long formula"]),
    (formula("overflow: auto; width: 90px"), ["formula scrolls beside its number: (1) a long formula"]),
    (formula("width: 300px", "position: absolute; right: 0"), ["formula under its number: (1) a long formula"]),
    ("<p>Costs $$, no code</p>", ["[light] raw $$ in the text: Costs $$, no code"]),
    ('<p style="color: #aaa; background: #fff">pale</p>', ["[light] axe color-contrast x1: "]),
    (
        "<style>@media (prefers-color-scheme: dark) { #night { color: #333; background: #000 } }</style>"
        '<p id="night">dark on dark</p>',
        ["[dark] axe color-contrast x"],
    ),
    (
        "<style>@media (min-width: 500px) { #narrow { display: none } }</style>"
        '<div id="narrow" role="list"><p>no item on a phone</p></div>',
        ["[phone] axe aria-required-children x2: "],
    ),
    ('<div role="list"><p>no item</p></div>', ["[light] axe aria-required-children x1: "]),
    ("<details><summary>Closed</summary><img src='data:,'></details>", ["[light] axe image-alt x1: "]),
]


def browse(*args, script=BROWSE, **environment):
    return subprocess.run(
        ["node", str(script), *map(str, args)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,  # a page takes a second; a busy machine, minutes
    )


@needs_browser
def test_browser_passes_a_good_page_and_takes_its_screenshot(tmp_path):
    (tmp_path / "site" / "_static").mkdir(parents=True)
    (tmp_path / "site" / "page.html").write_text(PAGE.format(body=GOOD))
    (tmp_path / "site" / "index.html").write_text('<meta http-equiv="refresh" content="0; url=page.html">')
    (tmp_path / "site" / "_static" / "template.html").write_text(PAGE.format(body=slider("")))
    done = browse(tmp_path / "site", "--pictures", tmp_path / "pictures")
    assert done.stdout == "1 pages, 0 findings\n"
    assert done.returncode == 0, done.stderr
    pictures = {"page-light.png", "page-dark.png", "page-phone.png"}
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == pictures


@needs_browser
def test_browser_reports_each_fault_of_a_bad_page(tmp_path):
    (tmp_path / "bad page.html").write_text(PAGE.format(body="".join(html for html, _ in FAULTS)))
    done = browse(tmp_path)
    assert [what for _, said in FAULTS for what in said if what not in done.stdout] == [], done.stdout
    *findings, count = done.stdout.splitlines()
    assert all(finding.startswith("bad page.html [") for finding in findings)
    assert count == f"1 pages, {len(findings)} findings"
    assert done.returncode == 1


@needs_browser
def test_browser_fails_on_no_page(tmp_path):
    done = browse(tmp_path / "nothing")
    assert (done.returncode, done.stdout) == (1, "0 pages, 0 findings\n")


def test_browser_reports_a_missing_tool_by_its_own_status(tmp_path):
    no_browser = browse(tmp_path, CHROMIUM=str(tmp_path / "none"))
    assert no_browser.returncode == 3
    needs = "with chromium, nodejs and npm installed, `make browser` readies them"
    assert no_browser.stdout == f"browser checks skipped: no chromium at {tmp_path / 'none'}; {needs}\n"

    alone = shutil.copy(BROWSE, tmp_path)
    no_modules = browse(tmp_path, script=alone, CHROMIUM=shutil.which("node"))
    assert no_modules.returncode == 3
    assert no_modules.stdout == f"browser checks skipped: no node modules; {needs}\n"


@needs_browser
def test_browser_skips_when_chromium_does_not_start(tmp_path):
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    (tmp_path / "page.html").write_text(PAGE.format(body=GOOD))
    done = browse(tmp_path, CHROMIUM=str(broken))
    assert done.returncode == 3
    assert done.stdout.startswith(f"browser checks skipped: {broken} does not start (")
    assert done.stdout.endswith("`make browser` readies them\n")


def test_browser_refuses_wrong_arguments(tmp_path):
    assert browse().returncode == 2
    assert browse(tmp_path, "--photos").returncode == 2


def test_browser_modules_are_pinned_and_name_no_host():
    lock = (BROWSER / "package-lock.json").read_text()
    assert "resolved" not in lock
    assert "http" not in lock
