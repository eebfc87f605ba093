"""Page parts that are written by machine: claims, crosswalk, API, benchmarks, each run's times and results.

Every function returns MyST Markdown; only :func:`write_all` touches the disk.
"""

import ast
import html
import importlib
import json
import math
import re
import shutil
import sys
from pathlib import Path

from companion import api, claims, keys, paths, pictures, reading, scope, tables
from companion.profiles import DEFAULT_SEED
from companion.results import PROVENANCE, RunError, read_run, read_sealed
from companion.run import chapters, place
from companion.sources import read_notebook, read_yaml
from companion.tables import Table

BENCHMARKS = ("memorized_score", "helmholtz_gradient", "dps_step", "calibration_power", "swap_test")
ANSWER = "answer"  # the recorded picture at the head of a chapter
MARKER = "<!-- generated -->"
RECORDED = re.compile(r"\{recorded\}`([\w.-]+):([^`]+)`")  # an id and the format of its number, as glue has them
CROSSWALK_FIELDS = {"item", "says", "chapter", "anchor", "function", "test", "status", "deviation"}
STATUSES = ("proved", "computed", "computed, differs", "quoted", "not yet")


class PageError(ValueError):
    """An entry that points nowhere, or says nothing; names the entry."""


def write_all(root: Path, stage: Path, numbers: dict[str, tuple[float, str]]) -> None:
    """Fill the marker ``<!-- generated -->`` of each staged page, and write the parts that chapters include.

    numbers: of :func:`recorded_numbers`.
    """
    from companion.course.notebooks import exercise_table  # needs the references, which a container may not have

    api.write_pages(root, stage)
    shutil.copy2(root / "data" / "README.md", stage / "book" / "data.md")
    generated = {"claims": claims_page(root), "crosswalk": crosswalk_page(root), "api": api.index(root)}
    generated |= {"teach": exercise_table(root), "scope": scope.scope_page(root), "how_to_read": times(root)}
    parts = [(f"{name}.md", MARKER, text) for name, text in generated.items()]
    tables_of = write_benchmarks(root, stage)
    parts += [("benchmarks.md", f"<!-- generated: {script} -->", table) for script, table in tables_of.items()]
    for file, marker, text in parts:
        page = stage / "book" / file
        prose = page.read_text()
        if marker not in prose:
            raise PageError(f"book/{file}: expected the line {marker} where the generated part goes, found none")
        page.write_text(prose.replace(marker, text))
    for name in chapters(root):
        write_parts(root, stage, name)
    for page in (stage / "book").glob("*.md"):
        page.write_text(with_recorded(page.read_text(), numbers))


def write_benchmarks(root: Path, stage: Path) -> dict[str, str]:
    """The recorded tables by script, each also as a part that a chapter may quote."""
    folder, found = stage / "book" / "_run", {}
    for script in BENCHMARKS:
        found[script] = benchmark_table(root, script)
        folder.mkdir(exist_ok=True)
        (folder / f"{script}.md").write_text(found[script].split("\n\n")[0])
    return found


def write_parts(root: Path, stage: Path, name: str) -> None:
    """The parts that a chapter's page includes: its times, its results, what it shows of the recorded run."""
    folder = stage / "book" / "_run" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "measured.md").write_text(measured(root, name))
    (folder / "recorded.md").write_text(recorded(root, name))
    (folder / "answer.md").write_text(recorded_picture(root, name, ANSWER))
    for picture in _included(root, name, "picture"):
        (folder / f"picture-{picture}.md").write_text(recorded_picture(root, name, picture))
    for table in _included(root, name, "table"):
        (folder / f"table-{table}.md").write_text(recorded_table(root, name, table))


def recorded_numbers(root: Path) -> dict[str, tuple[float, str]]:
    """id -> (number, what it says of its age) of every recorded full run; the age is none where its code is today's."""
    numbers = {}
    for name in sorted(file.stem for file in (root / "notebooks").glob("*.ipynb")):
        if run := full_run(root, name):
            age = " (older code)" * is_stale(root, name, run[1])
            numbers |= {id: (value, age) for id, value in run[0]["claims"].items()}
    return numbers


def with_recorded(text: str, numbers: dict[str, tuple[float, str]]) -> str:
    """Markdown whose roles ``{recorded}`ID:FORMAT``` are that number of a recorded full run, with a link to its claim.

    numbers: of :func:`recorded_numbers`. Raises :class:`PageError` naming an id that is not among them.
    """

    def number(role: re.Match) -> str:
        id, form = role.groups()
        if id not in numbers:
            raise PageError(f"{role[0]}: expected a number of a recorded full run, got none with this id")
        value, age = numbers[id]
        try:
            return f"{{ref}}`{value:{form}}{age} <claim-{id}>`"
        except ValueError as error:
            raise PageError(f"{role[0]}: expected a format of a number, got {error}") from None

    replaced = RECORDED.sub(number, text)
    if left := re.search(r"\{recorded\}.{0,40}", replaced):
        raise PageError(f"{left[0]}: expected {{recorded}}`ID:FORMAT`, got another form")
    return replaced


def quick_run(root: Path, name: str) -> tuple[dict, dict]:
    """(results, provenance) of the run that the chapter's page is made from.

    Raises :class:`RunError` naming the file unless it is whole and at the published settings.
    """
    folder = run_folder(root, name)
    results, provenance = read_run(folder, name=name, profile="quick")
    if f"{name}.ipynb" not in provenance["files"]:
        raise RunError(f"{folder / PROVENANCE}: expected the digest of {name}.ipynb, got none")
    return results, provenance


def run_folder(root: Path, name: str) -> Path:
    return place(root, name, "quick", DEFAULT_SEED, {})


def full_run(root: Path, name: str) -> tuple[dict, dict] | None:
    """(results, provenance) of the recorded full run of a chapter, or None where there is none yet.

    Raises :class:`RunError` naming the file unless the folder holds that run whole and nothing else.
    """
    folder = recorded_folder(root, name)
    if not folder.is_dir():
        return None
    results, provenance = read_run(folder, name=name, profile="full")
    if others := {file.name for file in folder.iterdir()} - {*provenance["files"], PROVENANCE}:
        raise RunError(f"{folder / min(others)}: expected no file that the run did not make")
    return results, provenance


def recorded_folder(root: Path, name: str) -> Path:
    return root / "data" / "recorded" / name


def is_stale(root: Path, name: str, provenance: dict) -> bool:
    """Was the run made with other code, sizes or pins than there are now, or a quick one under other bounds?"""
    return provenance["content_key"] != keys.content_key(root, name, provenance["profile"])["key"]


def measured(root: Path, name: str) -> str:
    """How long this chapter takes to read, and how long its runs took, where."""
    _, quick = quick_run(root, name)
    line = f"**Time to run** {quick['wall_s']:.0f} s at profile quick ({quick['device']}, measured by this build)"
    if full := full_run(root, name):
        age = ", with older code" * is_stale(root, name, full[1])
        after = " once its long parts are stored" * _has_parts(root, name)  # the recorded time is that of the page
        line += f"; {full[1]['wall_s']:.0f} s at profile full{after} ({full[1]['device']}, recorded{age})"
    to_read = reading.read(read_notebook(root / "notebooks" / f"{name}.ipynb")).time_to_read()
    return f"{to_read}\n\n{line}.\n"


def recorded(root: Path, name: str) -> str:
    """The chapter's claims as this build computed them beside the recorded full run, each with its provenance."""
    from companion.record import Strip  # which imports torch: no command needs it to start

    listed = claims.of_chapter(root / "data" / "claims", name).values()
    now, full = quick_run(root, name)[0]["claims"], full_run(root, name)
    then = full[0]["claims"] if full else {}
    rows = [[_link(claim), claim.bound, _number(now.get(claim.id)), _number(then.get(claim.id))] for claim in listed]
    table = Table(["claim", "expected", "computed by this build (quick)", "recorded full run"], rows).markdown()
    table = f":::{{dropdown}} The {len(listed)} numbers of this page\n{table}\n:::"
    if full is None:
        return f"{table}\n\nNo full run of this chapter is recorded yet.\n"
    age = "recorded with older code" if is_stale(root, name, full[1]) else "recorded with this code"
    placed = {*_included(root, name, "picture"), *([ANSWER] if _includes(root, name, f"{ANSWER}.md") else [])}
    shown = [file for file in pictures.shown(recorded_folder(root, name)) if file.stem not in placed]
    shown = "".join(pictures.figure(file, name) for file in shown)
    strip = f'<p class="provenance">{html.escape(repr(Strip(full[1])))}</p>'
    return f"{table}\n\n{shown}The full run was {age}:\n\n{strip}\n"


def recorded_picture(root: Path, name: str, picture: str) -> str:
    """A picture of the recorded full run, the chapter's answer at its head say, or one sentence that there is none."""
    full, file = full_run(root, name), recorded_folder(root, name) / f"{picture}.png"
    if full is None or file not in pictures.shown(file.parent):
        what = "with this page's answer" if picture == ANSWER else "with this picture"
        return f"No full run {what} is recorded yet: the picture below is of this build.\n"
    return pictures.figure(file, name, _said(root, name, full[1]))


def recorded_table(root: Path, name: str, table: str) -> str:
    """A table of the recorded full run, or one sentence that there is none."""
    full, files = full_run(root, name), tables.written_tables(recorded_folder(root, name))
    if full is None or table not in files:
        return "No full run with this table is recorded yet.\n"
    return tables.written_table(files[table], _said(root, name, full[1]))


def _said(root: Path, name: str, provenance: dict) -> str:
    """Whose result this is, and whether its code has changed since."""
    older = ", recorded with older code" * is_stale(root, name, provenance)
    return f"Recorded full run, commit {provenance['commit']}{older}"


def claims_page(root: Path, names: list[str] | None = None) -> str:
    """Every number that the book, or its chapters ``names``, quotes: what is expected, why by so much, what came."""
    carrying = argument(root)
    parts = [_argument_part(carrying)] if carrying and not names else []
    for name in names or chapters(root):
        now = quick_run(root, name)[0]["claims"]
        full = full_run(root, name)
        then = full[0]["claims"] if full else {}
        parts.append(f"## {_title(root, name)}\n\n{{doc}}`Go to the chapter </notebooks/{name}>`")
        for claim in claims.of_chapter(root / "data" / "claims", name).values():
            found = [f"quick {_number(now[claim.id])}"] if claim.id in now else []
            found += [f"full {_number(then[claim.id])}"] if claim.id in then else []
            statement, source, why = map(_line, (claim.statement, claim.source, claim.why))
            told = f"Expected {claim.bound}; found {', '.join(found) or 'nothing yet'}. Source: {source}."
            mark = "★ " * (claim.id in carrying)
            parts.append(f"(claim-{claim.id})=\n{mark}{statement} `{claim.id}`\n: {told} Why this bound: {why}")
    return "\n\n".join(parts)


def argument(root: Path) -> dict[str, tuple[claims.Claim, float, str]]:
    """The claims that carry the argument, by id, in its order, with recorded value and sentence: book/argument.yml.

    Raises :class:`PageError` for one that is not listed, not recorded, or whose bound would pass twice the value.
    """
    file = root / "book" / "argument.yml"
    if not file.is_file():
        return {}
    listed, recorded_values = claims.load(root / "data" / "claims"), {}
    for name in chapters(root):
        if full := full_run(root, name):
            recorded_values |= full[0]["claims"]
    carrying = {}
    for id, sentence in read_yaml(file).items():
        if id not in listed:
            raise PageError(f"book/argument.yml: expected claims that are listed, got {id}")
        if id not in recorded_values:
            raise PageError(f"book/argument.yml: expected claims of a recorded full run, got {id}")
        if not binds(listed[id], recorded_values[id]):
            bound = listed[id].bound
            raise PageError(f"book/argument.yml: {id}: expected a bound that refuses twice the value, got {bound}")
        carrying[id] = (listed[id], recorded_values[id], sentence)
    return carrying


def binds(claim: claims.Claim, value: float) -> bool:
    """Would the claim refuse a value twice as far from 0, or half as far, whichever its bound is about?"""
    if claim.expected is not None:
        return True  # a tolerance of the expected value's size is refused where claims are read
    return not claim.holds(2 * value if claim.at_most is not None else value / 2)


def _argument_part(carrying: dict[str, tuple[claims.Claim, float, str]]) -> str:
    """The claims that carry the argument, at the head of their page."""
    text = "Recorded full runs; each is marked with ★ where it stands among the others."
    rows = [[_line(said), _number(value), one.bound, _link(one)] for one, value, said in carrying.values()]
    table = Table(["claim", "recorded", "expected", "id"], rows).markdown()
    return f"(claims-argument)=\n## The {len(carrying)} that carry the argument\n\n{text}\n\n{table}"


def times(root: Path) -> str:
    """How long each chapter takes to read and to run, and what three ways through the book add up to."""
    read, rows, to_skim = {}, [], reading.minutes_of(root.joinpath("book", "index.md").read_text("utf-8"))
    seconds = {}
    for name in chapters(root):
        notebook = read_notebook(root / "notebooks" / f"{name}.ipynb")
        read[name], seconds[name] = reading.read(notebook), quick_run(root, name)[1]["wall_s"]
        skim = reading.head_and_summary(notebook)
        to_skim += reading.minutes_of(skim)
        full = full_run(root, name)
        parts = " *" * _has_parts(root, name)
        counts = [f"{read[name].words:,}", str(read[name].open_lines), str(read[name].minutes)]
        spent = [f"{seconds[name]:.0f}", f"{full[1]['wall_s']:.0f}{parts}" if full else "none"]
        rows.append([f"{{doc}}`{_title(root, name)} </notebooks/{name}>`", *counts, *spent])
    head = ["chapter", "words", "open lines", "minutes to read", "seconds, quick", "seconds, full"]
    ways = [["The argument: the first page, and each chapter's question and summary", math.ceil(to_skim), 0.0]]
    for what, names in (
        ("The paper: chapters 1 to 6", [name for name in read if name[:2] <= "06"]),
        ("All chapters", list(read)),
    ):
        ways.append([what, sum(read[name].minutes for name in names), sum(seconds[name] for name in names)])
    total = [
        [what, _duration(60 * minutes), _duration(spent) if spent else "nothing to run"]
        for what, minutes, spent in ways
    ]
    return (
        f"{Table(['way', 'to read', 'to run, quick'], total).markdown()}\n\n"
        f"{Table(head, rows).markdown()}\n\n"
        "\\* once its long parts are stored: they run one by one, often over several runs, and are not in this number."
    )


def _duration(seconds: float) -> str:
    """In minutes, or in hours and minutes, rounded up."""
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _has_parts(root: Path, name: str) -> bool:
    """Has the chapter long parts, which are stored one by one, often over several runs?"""
    return root.joinpath("src", *paths.package(name).split("."), "study.py").is_file()


def crosswalk(root: Path) -> list[dict]:
    """data/crosswalk.yml, checked: fields complete, functions and tests that exist.

    Raises :class:`PageError` naming the entry.
    """
    entries = read_yaml(root / "data" / "crosswalk.yml")
    for entry in entries:
        named = f"crosswalk {entry.get('item')!r}"
        if entry.keys() != CROSSWALK_FIELDS:
            raise PageError(
                f"{named}: expected the fields {', '.join(sorted(CROSSWALK_FIELDS))}, got {', '.join(sorted(entry))}"
            )
        if entry["status"] not in STATUSES:
            raise PageError(f"{named}: expected a status among {', '.join(STATUSES)}, got {entry['status']!r}")
        if entry["status"] == "not yet":
            continue
        if entry["function"] and api.resolve(entry["function"]) is None:
            raise PageError(f"{named}: expected a function that exists, got {entry['function']}")
        if entry["test"] and _test_source(root, entry["test"]) is None:
            raise PageError(f"{named}: expected a test that exists, got {entry['test']}")
    return entries


def crosswalk_page(root: Path) -> str:
    """The paper's items, and where each is proved, computed and tested in this book.

    Functions of the library have a page of the API. Functions of chapters, and tests, are shown below the items.
    """
    parts, shown = [], {}
    for entry in ({key: _line(text) for key, text in entry.items()} for entry in crosswalk(root)):
        head = f"**{entry['item']}** · {entry['says']}"
        if entry["status"] == "not yet":
            parts.append(f"{head}\n: Not yet ({entry['chapter']}).")
            continue
        detail = [f"Status: {entry['status']}.", f"Where: {{ref}}`{entry['chapter']} <{entry['anchor']}>`."]
        function, test = entry["function"], entry["test"]
        if function.startswith("memprior."):
            detail.append(f"Computed by {{py:obj}}`{function} <{api.resolve(function)}>`.")
        elif function:
            detail.append(f"Computed by {{ref}}`{function} <code-{function}>`.")
            shown[function] = api.source(function)
        if test:
            detail.append(f"Tested by {{ref}}`{test} <code-{test}>`.")
            shown[test] = _test_source(root, test)
        detail += [f"Deviation: {entry['deviation']}"] if entry["deviation"] else []
        parts.append(f"{head}\n: {' '.join(detail)}")
    parts.append("## Functions of chapters and tests")
    parts += [f"(code-{name})=\n### `{name}`\n\n```python\n{code}\n```" for name, code in shown.items()]
    return "\n\n".join(parts)


def benchmark_table(root: Path, script: str) -> str:
    """The recorded results of benchmarks/SCRIPT.py, as a table by the module that measured them."""
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))  # benchmarks is a package that nothing installs
    module = importlib.import_module(f"benchmarks.{script}")
    file = recorded_folder(root, "benchmarks") / f"{script}.json"
    results = read_sealed(file)
    if results.get("benchmark") != script:
        raise RunError(f"{file}: expected results of {script}, got those of {results.get('benchmark')!r}")
    return module.table(results)


def _test_source(root: Path, test: str) -> str | None:
    """The lines of FILE::NAME with its decorators; None for a test that does not exist."""
    file, _, name = test.partition("::")
    text = (root / file).read_text() if (root / file).is_file() else ""
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            first = min([node, *node.decorator_list], key=lambda part: part.lineno)
            return "\n".join(text.splitlines()[first.lineno - 1 : node.end_lineno])
    return None


def _line(text: str) -> str:
    """Prose from a YAML file as one line of Markdown in which no HTML begins, and no block."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(text.split()))


def _includes(root: Path, name: str, part: str) -> bool:
    """Does a chapter's page include this part of its run?"""
    return f"_run/{name}/{part}" in (root / "notebooks" / f"{name}.ipynb").read_text("utf-8")


def _included(root: Path, name: str, kind: str) -> list[str]:
    """The recorded pictures or tables that a chapter's page includes where it speaks of them."""
    return re.findall(rf"_run/{name}/{kind}-([\w-]+)\.md", (root / "notebooks" / f"{name}.ipynb").read_text("utf-8"))


def _link(claim: claims.Claim) -> str:
    return f"{{ref}}`{claim.id} <claim-{claim.id}>`"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def open_code(root: Path) -> Table:
    """Of every chapter how much of its code stands open, its words before the exercises, and what it may not have."""
    rows = []
    for name in chapters(root):
        read = reading.read(read_notebook(root / "notebooks" / f"{name}.ipynb"))
        counts = [str(read.open_lines), str(read.code_lines), f"{read.open_share:.0%}", f"{read.words:,}"]
        rows.append([name, *counts, f"{read.minutes} min", "; ".join(read.problems()) or "none"])
    return Table(["chapter", "open", "of", "share", "words", "to read", "findings"], rows)


def _title(root: Path, name: str) -> str:
    """The first heading of a notebook."""
    for cell in json.loads((root / "notebooks" / f"{name}.ipynb").read_text())["cells"]:
        if found := re.search(r"^# (.+)$", "".join(cell["source"]), re.M):
            return found[1].strip()
    raise RunError(f"{name}: expected a heading '# ...', found none")
