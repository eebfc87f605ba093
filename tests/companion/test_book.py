"""The book as a whole: what stands in several files agrees, and what does not hold stops the build."""

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tiny_book import NAME, REPOSITORY, WORK, companion, write_book, write_notebook, write_run

from companion import address, book, pages, pictures, tables
from companion.claims import ClaimError
from companion.keys import content_key
from companion.pages import PageError
from companion.results import RunError, seal
from companion.run import chapters
from companion.sources import read_notebook
from companion.tables import Table


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\W*([\w.-]+)==([\w.]+)$", text, re.M))


def test_environment_yml_has_the_versions_of_the_constraints():
    constraints = pins((REPOSITORY / "constraints.txt").read_text())
    named = pins((REPOSITORY / "environment.yml").read_text())
    assert {
        "torch",
        "numpy",
        "scipy",
        "matplotlib",
        "ipywidgets",
        "papermill",
        "jupyterlab",
        "jupyter-book",
    } <= named.keys()
    assert named == {name: constraints[name] for name in named}


def test_pins_name_no_build_of_torch_and_no_machine():
    text = (REPOSITORY / "constraints.txt").read_text()
    assert "+" not in text.split("torch==")[1].split()[0]
    assert "file:" not in text
    assert "@" not in text


def test_constraints_pin_every_requirement():
    project = (REPOSITORY / "pyproject.toml").read_text()
    wanted = set(re.findall(r'^    "([\w-]+)[><=]', project, re.M))
    wanted |= {"snakemake-executor-plugin-slurm", "pandas"}  # of the cluster extra, the second by the first
    pinned = {name.lower().replace("_", "-") for name in pins((REPOSITORY / "constraints.txt").read_text())}
    assert wanted <= pinned


def test_address_is_the_same_in_every_file():
    assert address.elsewhere(REPOSITORY) == []
    here = [file for folder in (".", "book", "data") for file in REPOSITORY.glob(f"{folder}/*.*") if file.is_file()]
    told = [file for file in here if address.address(REPOSITORY) in file.read_text("utf-8")]
    assert {str(file.relative_to(REPOSITORY)) for file in told} <= {"_config.yml", *address.REPEATED}


def test_address_is_moved_everywhere_at_once(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "book").mkdir()
    repeated = ("README.md", "pyproject.toml", "CITATION.cff", "notebooks/a.ipynb", "book/teach.md")
    for name in ("_config.yml", *repeated):
        (tmp_path / name).write_text("repository: {url: https://host.example/o/old}")
    address.change(tmp_path, "https://host.example/o/new")
    assert address.address(tmp_path) == "https://host.example/o/new"
    assert address.elsewhere(tmp_path) == []
    assert [name for name in repeated if "/o/new" not in (tmp_path / name).read_text()] == []
    with pytest.raises(ValueError, match="address: expected https://HOST/OWNER/NAME without"):
        address.change(tmp_path, "git@host:o/n")


def test_chapters_are_in_the_table_of_contents_and_have_sizes():
    listed = re.findall(r"file: notebooks/(\w+)", (REPOSITORY / "_toc.yml").read_text())
    assert sorted(listed) == chapters(REPOSITORY)
    sizes = yaml.safe_load((REPOSITORY / "notebooks" / "profiles.yml").read_text())
    assert sorted(sizes) == chapters(REPOSITORY)
    for profile in sizes.values():
        assert profile["quick"].keys() == profile["full"].keys()


def test_crosswalk_points_at_functions_and_tests_that_exist():
    entries = pages.crosswalk(REPOSITORY)
    assert {entry["status"] for entry in entries} >= {"proved", "computed", "computed, differs"}


def test_crosswalk_names_sections_by_their_headings():
    for entry in pages.crosswalk(REPOSITORY):
        number, _, section = entry["chapter"].partition(": ")
        number = number.split()[-1].lower()
        for file in REPOSITORY.glob(f"notebooks/{number:0>2}_*.ipynb"):
            cells = [cell.source for cell in read_notebook(file).cells if cell.cell_type == "markdown"]
            headings = re.findall(r"^##+ +(.+)$", "\n".join(cells).lower(), re.M)
            assert any(heading.startswith(section.lower()) for heading in headings), entry["chapter"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"function": "memprior.mixture.nothing"}, "expected a function that exists, got memprior.mixture.nothing"),
        ({"test": "tests/memprior/test_mixture.py::test_nothing"}, "expected a test that exists"),
        ({"status": "done"}, "expected a status among"),
        ({"extra": 1}, "expected the fields"),
    ],
)
def test_crosswalk_names_an_entry_that_points_nowhere(tmp_path, change, message):
    entry = dict.fromkeys(pages.CROSSWALK_FIELDS, "") | {"item": "Eq. 0", "status": "computed"} | change
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "crosswalk.yml").write_text(yaml.safe_dump([entry]))
    with pytest.raises(PageError, match=f"crosswalk 'Eq. 0': {message}"):
        pages.crosswalk(tmp_path)


def test_crosswalk_links_to_the_function_and_the_test_of_each_item(tmp_path):
    library = {"item": "Eq. 1", "says": "s", "chapter": "c", "anchor": "a", "status": "computed", "deviation": ""}
    library |= {"function": "memprior.waves.ricker", "test": "tests/test_a.py::test_b"}
    own = library | {"item": "Eq. 2", "function": "companion.paths.require_repository", "test": ""}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "crosswalk.yml").write_text(yaml.safe_dump([library, own]))
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("@mark\ndef test_b():\n    assert True\n\n\ndef test_c(): ...\n")
    page = pages.crosswalk_page(tmp_path)
    assert "{py:obj}`memprior.waves.ricker <memprior.waves.time_domain.survey.ricker>`" in page
    assert "{ref}`tests/test_a.py::test_b <code-tests/test_a.py::test_b>`" in page
    assert "(code-tests/test_a.py::test_b)=\n" in page
    assert "```python\n@mark\ndef test_b():\n    assert True\n```" in page
    assert "{ref}`companion.paths.require_repository <code-companion.paths.require_repository>`" in page
    assert "```python\ndef require_repository(" in page


def test_check_runs_passes_results_that_hold(tmp_path):
    root = write_book(tmp_path)
    write_run(root)
    assert book.check_runs(root) == []


@pytest.mark.parametrize(
    ("claims", "culprit"),
    [
        ({"tiny.answer": 4.0, "tiny.drawn": 0.0}, "claim tiny.answer: expected 2 ± 0.1, got 4"),
        ({"tiny.answer": 2.0}, "claim tiny.drawn: never made"),
        ({"tiny.answer": 2.0, "tiny.drawn": 0.0, "tiny.extra": 1}, "claim tiny.extra: made by tiny"),
    ],
)
def test_book_is_not_built_from_results_that_do_not_hold(tmp_path, claims, culprit):
    root = write_book(tmp_path)
    write_run(root, claims=claims)
    done = companion(root, "book")
    assert done.returncode == 1
    assert culprit in done.stderr


def test_book_is_not_built_without_its_runs(tmp_path):
    done = companion(write_book(tmp_path), "book")
    assert done.returncode == 1
    assert f"{NAME}: " in done.stderr
    assert "expected the results of a run" in done.stderr


def test_check_sources_only_warns_of_outputs_saved_by_jupyterlab(tmp_path, capsys):
    root = write_book(tmp_path)
    file = root / "notebooks" / f"{NAME}.ipynb"
    key = content_key(root, NAME, "quick")["key"]
    notebook = nbformat.read(file, as_version=4)
    notebook.cells[1].execution_count = 3
    notebook.cells[1].metadata |= {"execution": {"iopub.status.busy": "2026"}, "scrolled": True}
    notebook.cells[3].outputs = [nbformat.v4.new_output("stream", text="of another run")]
    nbformat.write(notebook, file)
    assert book.check_sources(root) == []
    told = (
        f"notebooks/{NAME}.ipynb: saved with results; before you commit it: .venv/bin/nbstripout --keep-id notebooks/"
    )
    assert capsys.readouterr().out == f"{told}{NAME}.ipynb\n"
    assert content_key(root, NAME, "quick")["key"] == key
    notebook.metadata.kernelspec.name = "my-venv"
    nbformat.write(notebook, file)
    assert book.check_sources(root) == [f"notebooks/{NAME}.ipynb: kernelspec: expected python3, got my-venv"]


def test_check_sources_passes_over_an_unlisted_notebook(tmp_path):
    root = write_book(tmp_path)
    (root / "_toc.yml").write_text(f"root: book/index\nchapters: [{{file: notebooks/{NAME}.ipynb}}]\n")
    (root / "notebooks" / "Untitled.ipynb").write_text('{"cells": []}')
    assert chapters(root) == [NAME]
    assert book.check_sources(root) == []


def test_check_runs_names_claims_of_a_missing_chapter(tmp_path):
    root = write_book(tmp_path)
    write_run(root)
    (root / "data" / "claims" / "gone.yml").write_text(
        "- {id: g, chapter: gone, statement: s, source: s, at_most: 1, why: w, profiles: [full]}\n"
    )
    assert book.check_runs(root) == ["data/claims: expected chapters that exist, got 'gone'"]


def test_check_recorded_needs_full_runs(tmp_path):
    root = write_book(tmp_path)
    with pytest.raises(book.BuildError, match=f"{NAME}: expected a recorded full run"):
        book.check_recorded(root)


def test_check_recorded_holds_what_is_recorded_against_the_bounds_of_today(tmp_path):
    root = write_book(tmp_path)
    write_run(root, "full")
    book.keep(root, NAME)
    book.check_recorded(root)
    claims = root / "data" / "claims" / f"{NAME}.yml"
    claims.write_text(claims.read_text().replace("expected: 2.0", "expected: 3.0"))
    with pytest.raises(book.BuildError, match=r"recorded full run: claim tiny\.answer: expected 3 ± 0\.1, got 2"):
        book.check_recorded(root)


def test_recorded_run_has_the_pictures_with_a_description(tmp_path):
    root = write_book(tmp_path)
    write_run(root)
    full = write_run(root, "full")
    text = PngInfo()
    text.add_text("Description", "A black square: nothing else")
    text.add_text("Title", "What is seen.")
    Image.new("L", (2, 2)).save(full / "shown.png", pnginfo=text)
    Image.new("L", (2, 2)).save(full / "silent.png")
    Image.new("L", (2, 2)).save(full / "of-an-older-run.png", pnginfo=text)
    seal(full, [full / file for file in ("results.json", "tiny.ipynb", "shown.png", "silent.png")])
    target = book.keep(root, NAME)
    assert sorted(file.name for file in target.iterdir()) == ["provenance.json", "results.json", "shown.png"]
    part = pages.recorded(root, NAME)
    assert f"```{{figure}} ../book/_run/{NAME}/recorded/shown.png\n:alt: A black square: nothing else\n" in part
    assert "Recorded full run. What is seen." in part
    seal(full, [full / "results.json"])
    book.keep(root, NAME)
    assert pictures.shown(target) == []


def keep_picture(root, name="answer"):
    """A recorded full run of the tiny chapter with one picture that says what it shows."""
    full = write_run(root, "full")
    text = PngInfo()
    text.add_text("Description", "A rising line from left to right")
    text.add_text("Title", "What to see.")
    Image.new("L", (2, 2)).save(full / f"{name}.png", pnginfo=text)
    seal(full, [full / file for file in ("results.json", "tiny.ipynb", f"{name}.png")])
    return book.keep(root, NAME)


def include_recorded(root, part="answer"):
    file = root / "notebooks" / f"{NAME}.ipynb"
    notebook = nbformat.read(file, as_version=4)
    notebook.cells[0].source += f"\n\n```{{include}} ../book/_run/{NAME}/{part}.md\n```"
    nbformat.write(notebook, file)


def test_answer_is_the_recorded_picture_of_that_name(tmp_path):
    root = write_book(tmp_path)
    keep_picture(root)
    head = f"```{{figure}} ../book/_run/{NAME}/recorded/answer.png\n:alt: A rising line from left to right\n"
    assert pages.recorded_picture(root, NAME, "answer").startswith(head)
    assert "\nRecorded full run, commit c. What to see.\n" in pages.recorded_picture(root, NAME, "answer")
    (root / "constraints.txt").write_text("torch==1\n")
    older = pages.recorded_picture(root, NAME, "answer")
    assert "\nRecorded full run, commit c, recorded with older code. What to see.\n" in older


@pytest.mark.parametrize("recorded", [None, "another"])
def test_answer_says_in_one_sentence_that_none_is_recorded(tmp_path, recorded):
    root = write_book(tmp_path)
    if recorded:
        keep_picture(root, recorded)
    said = pages.recorded_picture(root, NAME, "answer")
    assert said == "No full run with this page's answer is recorded yet: the picture below is of this build.\n"


def test_recorded_table_stands_in_the_page_that_includes_it(tmp_path):
    root = write_book(tmp_path)
    missing = "No full run with this table is recorded yet.\n"
    assert pages.recorded_table(root, NAME, "swap") == missing
    full = write_run(root, "full")
    tables.write_table(full, "swap", Table(["prior", "share"], [["network", "0.9"]]), "What it shows.")
    seal(full, [full / file for file in ("results.json", "tiny.ipynb", "table-swap.json")])
    target = book.keep(root, NAME)
    assert sorted(file.name for file in target.iterdir()) == ["provenance.json", "results.json", "table-swap.json"]
    expected = "*Recorded full run, commit c. What it shows.*\n\n| prior | share |\n| --- | --- |\n| network | 0.9 |\n"
    assert pages.recorded_table(root, NAME, "swap") == expected
    assert pages.recorded_table(root, NAME, "other") == missing
    notebook = nbformat.read(root / "notebooks" / f"{NAME}.ipynb", as_version=4)
    notebook.cells[0].source += f"\n\n```{{include}} ../book/_run/{NAME}/table-swap.md\n```"
    nbformat.write(notebook, root / "notebooks" / f"{NAME}.ipynb")
    write_run(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages.api, "write_pages", lambda root, stage: None)
        patch.setattr(pages, "BENCHMARKS", ())
        (root / "book").mkdir()
        (root / "data" / "README.md").write_text("data")
        (root / "data" / "crosswalk.yml").write_text("[]")
        for page in ("claims", "crosswalk", "api", "teach", "scope", "how_to_read"):
            (root / "book" / f"{page}.md").write_text(f"# {page}\n\n{pages.MARKER}\n")
        (root / "book" / "index.md").write_text("# The first page\n")
        (root / "_toc.yml").write_text(f"root: book/index\nchapters: [{{file: notebooks/{NAME}}}]\n")
        book.stage(root, tmp_path / "stage")
    assert (tmp_path / "stage" / "book" / "_run" / NAME / "table-swap.md").read_text() == expected
    (target / "table-swap.json").write_text("{}")
    with pytest.raises(RunError, match=r"table-swap.json: expected it as the run left it"):
        pages.full_run(root, NAME)


def test_stage_writes_recorded_numbers_in_pages_and_notebooks_with_a_link_to_their_claim(tmp_path):
    root = write_book(tmp_path)
    (root / "book").mkdir()
    (root / "book" / "index.md").write_text("It is {recorded}`tiny.answer:.2f`.")
    notebook = nbformat.read(root / "notebooks" / f"{NAME}.ipynb", as_version=4)
    notebook.cells[0].source += "\n\nOr {recorded}`tiny.drawn:+.1f`, which {glue:text}`tiny.drawn:.1f` is near."
    nbformat.write(notebook, root / "notebooks" / f"{NAME}.ipynb")
    write_run(root)
    write_run(root, "full", claims={"tiny.answer": 1.95, "tiny.drawn": 0.25})
    book.keep(root, NAME)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book.pages, "write_all", lambda root, stage, numbers: None)
        book.stage(root, tmp_path / "stage")
    staged = nbformat.read(tmp_path / "stage" / "notebooks" / f"{NAME}.ipynb", as_version=4)
    assert staged.cells[0].source.endswith(
        "Or {ref}`+0.2 <claim-tiny.drawn>`, which {glue:text}`tiny.drawn:.1f` is near."
    )
    text = (root / "book" / "index.md").read_text()
    assert pages.with_recorded(text, pages.recorded_numbers(root)) == "It is {ref}`1.95 <claim-tiny.answer>`."
    (root / "constraints.txt").write_text("torch==1\n")
    numbers = pages.recorded_numbers(root)
    assert pages.with_recorded(text, numbers) == "It is {ref}`1.95 (older code) <claim-tiny.answer>`."
    with pytest.raises(PageError, match=r"tiny\.gone:\.1f`: expected a number of a recorded full run, got none"):
        pages.with_recorded("{recorded}`tiny.gone:.1f`", numbers)
    with pytest.raises(PageError, match=r"tiny\.answer:d`: expected a format of a number"):
        pages.with_recorded("{recorded}`tiny.answer:d`", numbers)
    with pytest.raises(PageError, match=r"expected \{recorded\}`ID:FORMAT`, got another form"):
        pages.with_recorded("{recorded}`tiny.answer`", numbers)


def test_recorded_shows_the_answer_where_the_head_of_the_page_does_not(tmp_path):
    root = write_book(tmp_path)
    write_run(root)
    keep_picture(root)
    assert "recorded/answer.png" in pages.recorded(root, NAME)
    include_recorded(root)
    shutil.rmtree(root / "_build" / "run" / "quick")
    write_run(root)
    assert "recorded/answer.png" not in pages.recorded(root, NAME)
    assert "The full run was recorded" in pages.recorded(root, NAME)


def test_recorded_shows_a_picture_where_the_page_does_not_include_it(tmp_path):
    root = write_book(tmp_path)
    write_run(root)
    keep_picture(root, "curve")
    assert "recorded/curve.png" in pages.recorded(root, NAME)
    assert "recorded/curve.png" in pages.recorded_picture(root, NAME, "curve")
    include_recorded(root, "picture-curve")
    assert "recorded/curve.png" not in pages.recorded(root, NAME)
    said = pages.recorded_picture(root, NAME, "other")
    assert said == "No full run with this picture is recorded yet: the picture below is of this build.\n"


@pytest.mark.parametrize("step", range(2))
def test_keep_killed_leaves_the_old_recording_whole_or_none(tmp_path, monkeypatch, step):
    root = write_book(tmp_path)
    write_run(root)
    full = write_run(root, "full", claims={"tiny.answer": 1.95, "tiny.drawn": 0.0})
    target = book.keep(root, NAME)
    before = (target / "results.json").read_bytes()
    shutil.rmtree(full)
    write_run(root, "full")
    rename, count = Path.rename, itertools.count()

    def dying(old, new):
        if next(count) == step:
            raise OSError("died")
        return rename(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying)
        with pytest.raises(OSError, match="died"):
            book.keep(root, NAME)
    if step == 0:
        assert (target / "results.json").read_bytes() == before
    else:
        assert not target.exists()
    assert any("`keep` was cut short: run it again" in problem for problem in book.check_runs(root))
    book.keep(root, NAME)
    assert pages.full_run(root, NAME)[0]["claims"]["tiny.answer"] == 2
    assert [folder.name for folder in (root / "data" / "recorded").iterdir()] == [NAME]
    assert book.check_runs(root) == []


def test_keep_refuses_a_run_of_other_settings(tmp_path):
    root = write_book(tmp_path)
    full = write_run(root, "full")
    results = full / "results.json"
    results.write_text(results.read_text().replace('"seed": 0', '"seed": 7'))
    seal(full, [results])
    with pytest.raises(RunError, match=r"results.json: expected a run of seed 0, got 7"):
        book.keep(root, NAME)
    assert not (root / "data" / "recorded").exists()


def test_keep_refuses_a_run_out_of_the_bounds_of_today(tmp_path):
    root = write_book(tmp_path)
    write_run(root, "full")
    claims = root / "data" / "claims" / f"{NAME}.yml"
    claims.write_text(claims.read_text().replace("expected: 2.0", "expected: 3.0"))
    with pytest.raises(RunError, match=r"tiny\.answer"):
        book.keep(root, NAME)
    assert not (root / "data" / "recorded").exists()


def test_recording_of_older_code_stops_no_build_and_its_page_says_so(tmp_path):
    root = write_book(tmp_path)
    write_run(root, "full")
    book.keep(root, NAME)
    claims = root / "data" / "claims" / f"{NAME}.yml"
    new = "- {id: tiny.new, chapter: tiny, statement: s, source: ours, at_most: 1, why: w, profiles: [quick, full]}\n"
    claims.write_text(claims.read_text().replace("tiny.drawn", "tiny.gone") + new)
    write_notebook(root / "notebooks" / f"{NAME}.ipynb", work=WORK + "pass")
    write_run(root, claims={"tiny.answer": 2.0, "tiny.gone": 0.0, "tiny.new": 0.5})
    assert book.check_runs(root) == []
    assert "The full run was recorded with older code" in pages.recorded(root, NAME)
    with pytest.raises(book.BuildError, match=f"{NAME}: recorded with older code"):
        book.check_recorded(root)
    claims.write_text(claims.read_text().replace("expected: 2.0", "expected: 3.0"))  # what it shows must hold still
    shutil.rmtree(root / "_build" / "run" / "quick")
    write_run(root, claims={"tiny.answer": 3.0, "tiny.gone": 0.0, "tiny.new": 0.5})
    assert book.check_runs(root) == ["recorded full run: claim tiny.answer: expected 3 ± 0.1, got 2 (The answer)"]


def test_claims_page_escapes_html_and_headings(tmp_path):
    root = write_book(tmp_path)
    text = "Share < 0.7 and <script>alert(1)</script> & <!-- x -->\\n\\n# No heading"
    claims = root / "data" / "claims" / f"{NAME}.yml"
    claims.write_text(claims.read_text().replace("statement: The answer", f'statement: "{text}"'))
    write_run(root)
    page = pages.claims_page(root)
    assert "Share < 0.7 and &lt;script>alert(1)&lt;/script> & &lt;!-- x --> # No heading `tiny.answer`" in page
    assert "<script" not in page


def test_sphinx_names_the_page_that_includes_a_missing_file(tmp_path):
    (tmp_path / "_config.yml").write_text("execute: {execute_notebooks: 'off'}\nonly_build_toc_files: true\n")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    page = tmp_path / "_build" / "stage" / "book" / "index.md"
    page.parent.mkdir(parents=True)
    page.write_text("# Title\n\n```{include} gone.md\n```\n")
    with pytest.raises(book.BuildError) as caught:
        book.sphinx(tmp_path)
    culprit, status = str(caught.value).splitlines()
    assert culprit.startswith(f"{page}:3: CRITICAL: ")
    assert "gone.md" in culprit
    assert status.startswith("Sphinx ended with status 1; whole log: ")


def test_sphinx_warnings_are_reported_without_terminal_colors(tmp_path, monkeypatch):
    (tmp_path / "_build").mkdir()

    def sphinx(command, *, stdout, **_):
        stdout.write("\x1b[01mbuilding\x1b[0m\n\x1b[31ma.md:1: WARNING: no such thing\x1b[39;49;00m\n")
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", sphinx)
    with pytest.raises(book.BuildError, match=r"^a.md:1: WARNING: no such thing\nSphinx ended with status 1"):
        book.sphinx(tmp_path)


@pytest.mark.parametrize("tools", [(), ("node", "npm")], ids=["no node", "no modules"])
def test_browse_fetches_nothing(tmp_path, monkeypatch, tools):
    called = tmp_path / "called"
    for tool in tools:
        (tmp_path / tool).write_text(f"#!/bin/sh\ntouch {called}\n")
        (tmp_path / tool).chmod(0o755)
    (tmp_path / "workflow" / "browser").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = book.browse(tmp_path, tmp_path / "html")
    assert said.startswith("browser checks skipped: ")
    assert ("make browser" if tools else "nodejs") in said
    assert not called.exists()


def test_check_runs_refuses_a_claim_that_cannot_fail(tmp_path):
    root = write_book(tmp_path)
    (root / "data" / "claims" / f"{NAME}.yml").write_text(
        "- {id: a, chapter: tiny, statement: s, source: s, expected: 1, tolerance: 2, why: w, profiles: [quick]}\n"
    )
    with pytest.raises(ClaimError, match="claim a: expected a tolerance"):
        book.check_runs(root)


def test_table_rows_are_as_long_as_the_header():
    assert Table(["a", "b"], [["1", "<2>"]])._repr_html_().count("<td>") == 2
    assert "&lt;2&gt;" in Table(["a", "b"], [["1", "<2>"]])._repr_html_()
    with pytest.raises(ValueError, match="rows: expected 2 entries in each, got 1"):
        Table(["a", "b"], [["1"]])


def test_table_needs_a_name_for_every_column():
    with pytest.raises(ValueError, match=r"header: expected a name for every column, got \['', 'b'\]"):
        Table(["", "b"], [["1", "2"]])


@pytest.mark.parametrize("arguments", [[], ["sweep"]], ids=["chapters", "sweep"])
def test_workflow_plans_every_chapter(arguments):
    snakemake = Path(sys.executable).with_name("snakemake")
    config = ["--config", "profile=quick"]
    if arguments:
        config += ["chapters=03_linearized_posterior", "seeds=0,1", 'overrides={"num_draws": 5}']
    command = [snakemake, "--snakefile", REPOSITORY / "workflow/Snakefile", "--cores", "1"]
    planned = subprocess.run(
        [*command, "--dry-run", "--forceall", *arguments, *config], capture_output=True, text=True, check=False
    )
    assert planned.returncode == 0, planned.stderr
    rule = "swept_chapter" if arguments else "chapter"
    count = 2 if arguments else len(chapters(REPOSITORY))
    assert re.search(rf"^{rule}\s+{count}$", planned.stdout, re.M)
