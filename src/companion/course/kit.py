"""The editions of a course: ``make course SEED=2027 CHAPTERS=03,05 OUT=course``.

student: chapters without solutions, graded exercises to fill in, and a site built from these alone. instructor: with
solutions, reference values and typical mistakes. test: what students get, run here from top to bottom, with the
reference solutions filled in, handed in and graded: it must have full marks.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode

from companion import book, claims, environment, keys, pages, paths, site
from companion.course import execution, gradebook, grading, notebooks
from companion.course.answers import FOLDER
from companion.course.leaks import Secrets, output_parts, require_no_leak
from companion.course.strip import Stripped, claimed, cut_solutions, name_of, without_outputs
from companion.results import PROVENANCE, RESULTS, read_run, seal
from companion.run import run
from companion.sources import read_notebook, read_yaml

COURSE = "course.json"  # among the instructor's files: seed and chapters
BOOK_PAGES = ("notation", "glossary", "references")
README = """# A course on priors that remember

| | for |
|---|---|
| student/ | students: chapters without solutions, graded exercises, site (open site/book/index.html) |
| instructor/ | you: solutions, reference values, typical mistakes, the seed |
| test/ | what students get, run here with the reference solutions handed in: full marks |
| nbgrader/ | a course folder for nbgrader |

Give students the folder student/ and nothing else. How to run and grade what comes back: the page *To teach with it* of
the book (book/teach.md). Text and figures are CC BY 4.0, code MIT: credit the book and the paper.
"""
INDEX = """# {title}

{about}

{items}

Text and figures CC BY 4.0, code MIT, by the contributors of the book, *Priors That Remember*, a companion to the paper
{{cite:t}}`siahkoohi2026memorization`.
"""
ABOUT = {
    "student": "Chapters of *Priors That Remember* without their solutions, and graded exercises.",
    "instructor": "Chapters of *Priors That Remember* with their solutions, and the graded exercises with reference "
    "values and typical mistakes. Not for students.",
    "test": "The graded exercises as handed in with all solutions, run and graded here. Not for students.",
}


class CourseError(RuntimeError):
    """A course that cannot be made; says why."""


@dataclass(frozen=True)
class Course:
    """root: of the book. work: a folder of ours. numbers: of the chapters, ``("03", "05")``."""

    root: Path
    work: Path
    seed: int
    numbers: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Of the chapters' notebooks."""
        return [notebooks.notebook_file(self.root, number).stem for number in self.numbers]

    @property
    def exercises(self) -> list:
        return [exercise for number in self.numbers for exercise in notebooks.of_chapter_number(number)]

    def assignments(self, *, notes: bool = False) -> dict[str, NotebookNode]:
        """The graded notebooks by name, with solutions; of chapters that have graded exercises."""
        return {
            f"graded_{number}": notebooks.assignment(number, _title(self.root, name), self.seed, notes=notes)
            for number, name in zip(self.numbers, self.names, strict=True)
            if notebooks.of_chapter_number(number)
        }


def make_course(root: Path, seed: int, numbers: tuple[str, ...], out: Path) -> Path:
    """Write all editions to ``out``, which must be new, empty, or an older course; returns it.

    Raises, before any work, :class:`CourseError` for a destination that holds something else and
    :class:`~companion.sources.SourceError` for a chapter that does not exist; later
    :class:`~companion.course.leaks.LeakError`, and whatever the run of a chapter or Sphinx raises. Nothing goes to
    ``out`` before all of it is made and the students' part has passed the gate.
    """
    if len(set(numbers)) < len(numbers):
        raise CourseError(f"chapters: expected each once, got {', '.join(numbers)}")
    course = Course(root, root / "_build" / "course", seed, numbers)
    names, out = course.names, out.resolve()
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / "instructor" / COURSE).is_file())):
        raise CourseError(f"out: expected a folder that is new, empty or an earlier course, got {out}")
    if root.is_relative_to(out) or (out.is_relative_to(root) and out.relative_to(root).parts[0] in _tracked(root)):
        raise CourseError(f"out: expected a folder apart from the book's sources, got {out}")
    shutil.rmtree(course.work, ignore_errors=True)
    made = course.work / "out"
    for name in names:
        run(name, "quick")
    bare = strip_root(course)
    _tell("running the chapters without their solutions")
    with environment.with_variables(COMPANION_ROOT=str(bare)):
        for name in names:
            run(name, "quick")
    write_student(course, bare, made / "student")
    write_instructor(course, made / "instructor")
    write_test(course, bare, made / "test")
    gradebook.write_source(made / "nbgrader", course.assignments())
    if gradebook.has_nbgrader():
        gradebook.pack_release(made / "nbgrader", list(course.assignments()))
    else:
        _tell("nbgrader is not installed: no release by it, and no gradebook (the extra `course`)")
    _tell("looking for solutions in all that students get")
    secrets = secrets_of(course, bare)
    for folder in (made / "student", made / "nbgrader" / "release"):
        require_no_leak(folder, secrets)
    (made / "README.md").write_text(README)
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(made, out)
    return out


def strip_root(course: Course) -> Path:
    """A checkout without solutions, and without the claims and pictures that solutions record; returns it.

    Code is linked, not copied. Recorded runs are sealed for the code that is left.
    """
    root, bare = course.root, course.work / "bare"
    for folder in ("notebooks", "data/claims", "data/recorded", "_build/store"):
        (bare / folder).mkdir(parents=True)
    for name in ("src", "constraints.txt", "notebooks/profiles.yml", "data/README.md"):
        (bare / name).symlink_to(root / name)
    (bare / "_build" / "store").rmdir()
    (root / "_build" / "store").mkdir(exist_ok=True)
    (bare / "_build" / "store").symlink_to(root / "_build" / "store")
    for file in sorted((root / "notebooks").glob("*_*.ipynb")):
        stripped = cut_solutions(without_outputs(read_notebook(file)), name_of(file))
        nbformat.write(stripped.notebook, bare / "notebooks" / file.name)
        _strip_records(root, bare, file.stem, claimed(stripped.solutions))
    toc = {"format": "jb-book", "root": "book/index"}
    toc["chapters"] = [{"file": f"notebooks/{name}"} for name in course.names]
    (bare / "_toc.yml").write_text(yaml.safe_dump(toc))
    return bare


def _strip_records(root: Path, bare: Path, name: str, ids: set[str]) -> None:
    listed = root / "data" / "claims" / f"{name}.yml"
    if listed.is_file() and ids:
        kept = [entry for entry in read_yaml(listed) if entry["id"] not in ids]
        (bare / "data" / "claims" / listed.name).write_text(yaml.safe_dump(kept, sort_keys=False, allow_unicode=True))
    elif listed.is_file():
        shutil.copy2(listed, bare / "data" / "claims")
    folder, target = pages.recorded_folder(root, name), pages.recorded_folder(bare, name)
    if not folder.is_dir():
        return
    results, provenance = read_run(folder, name=name, profile="full")
    shutil.copytree(folder, target)
    for file in target.iterdir():
        if file.stem.removeprefix("table-") in ids:
            file.unlink()
    results["claims"] = {id: value for id, value in results["claims"].items() if id not in ids}
    (target / RESULTS).write_text(json.dumps(results, indent=1) + "\n")
    if not pages.is_stale(root, name, provenance):
        provenance["content_key"] = keys.content_key(bare, name, "full")["key"]
    (target / PROVENANCE).write_text(json.dumps(provenance))
    seal(target, [file for file in target.iterdir() if file.name != PROVENANCE])


def write_student(course: Course, bare: Path, out: Path) -> None:
    """Notebooks without solutions and outputs, and the site of their run."""
    blank = student_assignments(course)
    for name in course.names:
        _write(read_notebook(bare / "notebooks" / f"{name}.ipynb"), out / "notebooks" / f"{name}.ipynb")
    for name, notebook in blank.items():
        _write(notebook, out / "assignments" / f"{name}.ipynb")
    build_site(course, bare, "student", course.names, blank, out / "site")


def write_instructor(course: Course, out: Path) -> None:
    """Notebooks with solutions, reference values and typical mistakes, the seed, and the site of the whole run."""
    noted = course.assignments(notes=True)
    for name in course.names:
        _write(read_notebook(course.root / "notebooks" / f"{name}.ipynb"), out / "notebooks" / f"{name}.ipynb")
    for name, notebook in noted.items():
        _write(notebook, out / "assignments" / f"{name}.ipynb")
    (out / COURSE).write_text(json.dumps({"seed": course.seed, "chapters": course.numbers}) + "\n")
    build_site(course, course.root, "instructor", course.names, noted, out / "site")


def write_test(course: Course, bare: Path, out: Path) -> None:
    """The students' notebooks, run; the reference solutions, handed in. Raises unless they have full marks."""
    for name in course.names:
        _write(read_notebook(pages.run_folder(bare, name) / f"{name}.ipynb"), out / "notebooks" / f"{name}.ipynb")
    student = out / "submissions" / "reference"
    for name, notebook in course.assignments().items():
        _write(notebook, student / f"{name}.ipynb")
    if not course.exercises:
        return
    execution.run_submissions(student.parent, tell=_tell)
    results = grading.grade_submissions(student.parent, course.exercises, course.seed)
    grading.write_feedback(course.root, results, out / "feedback")
    if failed := [result.exercise.id for result in results["reference"] if result.problems]:
        raise CourseError(f"expected full marks for the reference solutions, got none for {', '.join(failed)}")
    done = {name: read_notebook(student / FOLDER / f"{name}.executed.ipynb") for name in course.assignments()}
    build_site(course, bare, "test", [], done, out / "site")


def student_assignments(course: Course) -> dict[str, NotebookNode]:
    return {name: cut_solutions(notebook, name).notebook for name, notebook in course.assignments().items()}


def build_site(
    course: Course, source: Path, edition: str, names: list[str], assignments: dict[str, NotebookNode], out: Path
) -> None:
    """Sphinx, warnings as errors, on chapters as they were run in ``source`` and on graded notebooks; then its checks.

    Pages of chapters and exercises only, so no button leads to the public book with its solutions.
    """
    _tell(f"building the {edition} site with Sphinx")
    root, parts = course.work / f"site-{edition}", []
    stage = root / "_build" / "stage"
    (stage / "book").mkdir(parents=True)
    shutil.copytree(course.root / "book" / "_static", stage / "book" / "_static")
    shutil.copy2(course.root / "book" / "references.bib", stage / "book")
    (stage / "notebooks").mkdir()
    if names:
        pages.write_benchmarks(course.root, stage)
    numbers = pages.recorded_numbers(source)
    for name in names:
        book.stage_chapter(source, stage, name, numbers)
        pages.write_parts(source, stage, name)
        parts.append(f"notebooks/{name}")
    for name, notebook in assignments.items():
        _write(_for_page(notebook), stage / "assignments" / f"{name}.ipynb")
        parts.append(f"assignments/{name}")
    items = "\n".join(f"- {{doc}}`/{part}`" for part in parts)
    title = f"Priors That Remember: {edition} edition"
    (stage / "book" / "index.md").write_text(INDEX.format(title=title, about=ABOUT[edition], items=items))
    toc = {"format": "jb-book", "root": "book/index", "parts": [{"caption": "Course", "chapters": _files(parts)}]}
    toc["parts"].append({"caption": "Reference", "chapters": _files(_reference(course, source, stage, names, numbers))})
    (root / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False))
    (root / "_config.yml").write_text(yaml.safe_dump(_config(course.root, title), sort_keys=False))
    html = book.sphinx(root)
    if problems := site.check_pages(html, root / "_toc.yml"):
        raise book.BuildError("\n".join(f"{edition} site: {problem}" for problem in problems))
    shutil.copytree(html, out)


def _reference(course: Course, source: Path, stage: Path, names: list[str], numbers: dict) -> Iterator[str]:
    """Pages of the book that every chapter leans on, and these chapters' claims. Not the API: that takes minutes."""
    for page in BOOK_PAGES:
        text = (course.root / "book" / f"{page}.md").read_text("utf-8")
        (stage / "book" / f"{page}.md").write_text(pages.with_recorded(text, numbers))
        yield f"book/{page}"
    if not names:
        return
    prose = (course.root / "book" / "claims.md").read_text("utf-8")
    (stage / "book" / "claims.md").write_text(prose.replace(pages.MARKER, pages.claims_page(source, names)))
    yield "book/claims"


def _config(root: Path, title: str) -> dict:
    """The book's, without what leads to the public notebooks."""
    config = json.loads(json.dumps(read_yaml(root / "_config.yml")))
    config["title"] = title
    for buttons in ("launch_buttons", "repository"):
        config.pop(buttons, None)
    config["html"] = {"use_repository_button": False, "use_issues_button": False}
    config["sphinx"]["config"]["some_chapters"] = True
    return config


def secrets_of(course: Course, bare: Path) -> Secrets:
    """What only solutions hold: of the chapters as they were run, of the graded exercises, of the recorded runs."""
    secrets, allowed = Secrets(), []
    for name in course.names:
        executed = read_notebook(pages.run_folder(course.root, name) / f"{name}.ipynb")
        _of_chapter(course.root, name, cut_solutions(executed, name), secrets)
        allowed += readable(read_notebook(pages.run_folder(bare, name) / f"{name}.ipynb"))
        allowed += [(bare / "data" / "claims" / f"{name}.yml").read_text("utf-8"), *quoted_tables(bare, name)]
        for run_of in (pages.quick_run(bare, name), pages.full_run(bare, name)):
            allowed += [_as_printed(value) for value in (run_of[0]["claims"].values() if run_of else ())]
    for name, notebook in course.assignments(notes=True).items():
        stripped = cut_solutions(notebook, name)
        secrets.add_solutions(stripped.solutions)
        secrets.add_solutions(cell for cell in stripped.notebook.cells if cell.id.endswith("-notes"))
    for notebook in student_assignments(course).values():
        allowed += readable(notebook)
    for exercise in course.exercises:
        for values in (exercise.expected(course.seed), *exercise.mistaken(course.seed).values()):
            for value in values.values():
                for number in value.flatten().tolist():
                    secrets.add_number(number)
    allowed += [(course.root / "book" / f"{page}.md").read_text("utf-8") for page in (*BOOK_PAGES, "claims")]
    allowed += [file.read_text("utf-8") for file in sorted((course.root / "src" / "memprior").rglob("*.py"))]
    return secrets.without(allowed)


def _of_chapter(root: Path, name: str, stripped: Stripped, secrets: Secrets) -> None:
    """Solutions with their outputs, and the claims, numbers and pictures that they record."""
    secrets.add_solutions(stripped.solutions)
    ids = claimed(stripped.solutions)
    secrets.names |= ids
    listed = claims.of_chapter(root / "data" / "claims", name)
    for id in ids & listed.keys():
        secrets.add_text(listed[id].statement)
        secrets.add_text(listed[id].why)
    for run_of in (pages.quick_run(root, name), pages.full_run(root, name)):
        for id, value in (run_of[0]["claims"] if run_of else {}).items():
            if id in ids:
                secrets.add_number(value)
    for folder in (pages.run_folder(root, name), pages.recorded_folder(root, name)):
        for picture in folder.glob("*.png"):
            if picture.stem in ids:
                secrets.add_picture(picture.read_bytes())


def readable(notebook: NotebookNode) -> list[str]:
    """Every text of a notebook that a student may read, outputs among them."""
    texts = [cell.source for cell in notebook.cells]
    for cell in notebook.cells:
        shown = cell.metadata.get("mystnb", {})
        texts += [shown.get("figure", {}).get("caption", ""), shown.get("image", {}).get("alt", "")]
        texts += [content for kind, content in output_parts(cell) if not kind.startswith("image/")]
    return texts


def quoted_tables(bare: Path, name: str) -> list[str]:
    """Recorded tables that a page without solutions shows: a number of theirs may be a solution's too, by chance."""
    return [file.read_text("utf-8") for file in sorted(pages.recorded_folder(bare, name).glob("table-*.json"))]


def _as_printed(value: float) -> str:
    """A claim's value as pages may print it."""
    return " ".join(f"{value:.{digits}{form}}" for form in "fg" for digits in range(3, 7))


def read_course(out: Path) -> Course:
    """The course that was written to ``out``, for grading. Raises :class:`CourseError` where there is none."""
    file = out / "instructor" / COURSE
    if not file.is_file():
        raise CourseError(f"{out}: expected a course that `make course` wrote, found no {file.relative_to(out)}")
    told = json.loads(file.read_text())
    return Course(paths.require_repository(), out, int(told["seed"]), tuple(told["chapters"]))


def grade_course(folder: Path, out: Path, feedback: Path) -> str:
    """Grade the folders below ``folder`` as of the course at ``out``; returns one line for each student."""
    course = read_course(out)
    results = grading.grade_submissions(folder, course.exercises, course.seed)
    grading.write_feedback(course.root, results, feedback)
    lines = []
    for student, of_student in results.items():
        total = sum(result.exercise.points for result in of_student)
        lines.append(f"{student}: {sum(result.points for result in of_student)} of {total} points")
    if gradebook.has_nbgrader() and (out / "nbgrader" / gradebook.DATABASE).is_file():
        lines.append(f"{gradebook.enter_marks(out / 'nbgrader', results)} marks entered in nbgrader's gradebook")
    return "\n".join(lines)


def _for_page(notebook: NotebookNode) -> NotebookNode:
    """As a page shows it: no marks of solutions, no metadata of nbgrader, and times of a run removed."""
    shown = json.loads(json.dumps(notebook))
    for cell in shown["cells"]:
        cell["metadata"] = {}
        if cell["cell_type"] == "code":
            cell["source"] = re.sub(r"^# (BEGIN|END) SOLUTION\n?", "", cell["source"], flags=re.M)
    return nbformat.from_dict(shown)


def _write(notebook: NotebookNode, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, file)


def _files(parts: Iterable[str]) -> list[dict]:
    return [{"file": part} for part in parts]


def _title(root: Path, name: str) -> str:
    return notebooks.heading(root, name.partition("_")[0], "")


def _tracked(root: Path) -> set[str]:
    """What the book's own folders are called."""
    return {path.name for path in root.iterdir() if path.is_dir()} - {"course"} | {"_build"}


def _tell(line: str) -> None:
    print(line, flush=True, file=sys.stdout)
