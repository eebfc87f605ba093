"""How much of a chapter's code stands open, how many words come before its exercises, how long that takes to read.

Asked of the source notebook. A line of code is open when its cell shows it unfolded; the cells that ready the notebook
and the solutions are no part of the count. A word is one that the reader meets unfolded: no derivation in a dropdown,
no formula, no option of a directive.
"""

import ast
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from companion.sources import parse

NUMBERED = re.compile(r"[a-z]?\d+_")  # how the name of one begins: these are held to the bounds
OPEN_SHARE, OPEN_LINES, WORDS = 0.6, 60, 2200
WORDS_A_MINUTE, LINES_A_MINUTE = 200, 20  # of prose, and of code

SOLUTION = re.compile(r"^\s*(?:`{3,}|:{3,})\{solution-(start|end)\}(?:[^\n]*\n\s*(?:`{3,}|:{3,})[ \t]*$)?", re.M)
EXERCISES = re.compile(r"^#+ +Exercises\b.*\Z|^\s*(?:`{3,}|:{3,})\{exercise-start\}.*\Z", re.M | re.S)
HEADING = re.compile(r"^#+ +Exercises\b", re.M)
SUMMARY = re.compile(r"^## +Summary\b.*?(?=^#|\Z)", re.M | re.S)
FENCE = re.compile(r"\s*(`{3,}|:{3,}|~{3,})\s*(?:\{([^}]*)\})?\s*(.*)")
OPTION = re.compile(r"\s*:([\w-]+):(.*)")
FOLDED = ("dropdown", "toggle")
SILENT = ("math", "code", "code-block", "code-cell", "sourcecode", "literalinclude", "raw", "image", "toctree")
NO_TITLE = ("include", "figure", "glue:figure", "embed:figure")  # their argument is a file or a key
LABEL = re.compile(r"^\([^()\s]+\)=\s*$", re.M)
HIDDEN = re.compile(r"<!--.*?-->|<details\b.*?</details>", re.S | re.I)
MATH = re.compile(
    r"\$\$.*?\$\$(?:[ \t]*\([^()\s]*\))?|\\begin\{(\w+\*?)\}.*?\\end\{\1\}|(?<!\\)\$[^$]+?(?<!\\)\$", re.S
)
ROLE = re.compile(r"\{([\w:+-]+)\}`([^`]*)`")
LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)")
TAG = re.compile(r"</?[a-z][^>]*>", re.I)
WORD = re.compile(r"[^\W_]")

PARTS = ("guidance", "sampling", "posterior", "denoiser", "memorization")  # of the library: samplers, priors, theorems
ROLES_OF_CALLS = re.compile(rf"\{{py:\w+\}}`(?:[^`<]*<)?[~!]?(memprior\.(?:{'|'.join(PARTS)})\.[\w.]+)>?`")


@dataclass(frozen=True)
class Reading:
    """open_lines of code_lines stand open; words come before the exercises.

    uncalled: names of the library that the text before the exercises uses and no open cell calls. has_exercises: under
    their own heading.
    """

    open_lines: int
    code_lines: int
    words: int
    uncalled: tuple[str, ...] = ()
    has_exercises: bool = True

    @property
    def open_share(self) -> float:
        return self.open_lines / self.code_lines if self.code_lines else 1.0

    @property
    def minutes(self) -> int:
        return math.ceil(self.words / WORDS_A_MINUTE + self.open_lines / LINES_A_MINUTE)

    def time_to_read(self) -> str:
        """One line of a page."""
        words = f"{self.words:,} words before the exercises, {WORDS_A_MINUTE} a minute"
        code = f"{self.open_lines} open lines of code, {LINES_A_MINUTE} a minute"
        return f"**Time to read** about {self.minutes} minutes ({words}; {code})."

    def problems(self) -> list[str]:
        """What a chapter may not have."""
        lines = f"{self.open_lines} of {self.code_lines} lines of code stand open"
        found = {
            f"{lines}, expected at least {OPEN_SHARE:.0%}": self.open_share < OPEN_SHARE,
            f"{lines}, expected at least {OPEN_LINES} lines": self.open_lines < OPEN_LINES,
            f"{self.words} words before the exercises, expected at most {WORDS}": self.words > WORDS,
            "expected a heading 'Exercises', got none": not self.has_exercises,
        }
        called = [f"{name} is used in the text, expected a call in an open cell" for name in self.uncalled]
        return [what for what, wrong in found.items() if wrong] + called


def read(notebook: NotebookNode) -> Reading:
    """The counts of a source notebook. Raises :class:`~companion.sources.SourceError` for a cell that is no Python."""
    cells = list(_without_solutions(notebook))
    ready = _set_up(cells)
    code = [(source, tags) for at, (kind, source, tags) in enumerate(cells) if kind == "code" and at not in ready]
    shown = [source for source, tags in code if not any(map(_hides, tags))]
    texts = [source for kind, source, _ in cells if kind == "markdown"]
    used = {name for tree in (parse(source, "an open cell") for source in shown) for name in _used(tree)}
    before = _before_exercises(texts)
    named = dict.fromkeys(filter(_is_called, ROLES_OF_CALLS.findall(HIDDEN.sub("", before))))
    return Reading(
        sum(map(_lines, shown)),
        sum(_lines(source) for source, _ in code),
        len(words(before)),
        tuple(name for name in named if name.rpartition(".")[2] not in used),
        any(HEADING.search(text) for text in texts),
    )


def minutes_of(text: str) -> float:
    """How long prose takes to read."""
    return len(words(text)) / WORDS_A_MINUTE


def head_and_summary(notebook: NotebookNode) -> str:
    """A chapter's question with its answer, which stand first, and its summary."""
    texts = [source for kind, source, _ in _without_solutions(notebook) if kind == "markdown"]
    summary = next((found[0] for text in texts if (found := SUMMARY.search(text))), "")
    return f"{texts[0] if texts else ''}\n\n{summary}"


def words(text: str) -> list[str]:
    """The words of MyST Markdown that a reader meets without unfolding anything; a number pasted by glue is one."""
    text = MATH.sub(" ", LABEL.sub("", "\n".join(_unfolded(HIDDEN.sub("", text)))))
    text = TAG.sub(" ", LINK.sub(r"\1", ROLE.sub(_spoken, text)))
    return [word for word in text.split() if WORD.search(word)]


def _without_solutions(notebook: NotebookNode) -> Iterator[tuple[str, str, list[str]]]:
    """(type, source, tags) of each cell; of a Markdown cell what lies outside solutions."""
    inside = False
    for cell in notebook.cells:
        source = cell.source
        if cell.cell_type == "markdown":
            first, *rest = SOLUTION.split(source)
            pieces = [first] * (not inside)
            for edge, piece in zip(rest[::2], rest[1::2], strict=True):
                inside = edge == "start"
                pieces += [piece] * (not inside)
            source = "\n".join(pieces)
        if cell.cell_type == "markdown" or not inside:
            yield cell.cell_type, source, cell.metadata.get("tags", [])


def _set_up(cells: list[tuple[str, str, list[str]]]) -> set[int]:
    """Which cells ready the notebook: its parameters, what is removed before them, and the first that is folded."""
    parameters = next((at for at, (_, _, tags) in enumerate(cells) if "parameters" in tags), 0)
    removed = {at for at, (_, _, tags) in enumerate(cells[:parameters]) if "remove-cell" in tags}
    folded = [at for at, (_, _, tags) in enumerate(cells) if "hide-cell" in tags and "parameters" not in tags]
    return removed | set(folded[:1]) | {at for at, (_, _, tags) in enumerate(cells) if "parameters" in tags}


def _hides(tag: str) -> bool:
    """Does a cell with this tag keep its code from the reader who unfolds nothing?"""
    return tag.startswith(("hide", "remove")) and not tag.endswith(("-output", "-stdout", "-stderr"))


def _lines(source: str) -> int:
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in source.splitlines())


def _before_exercises(texts: list[str]) -> str:
    before = []
    for text in texts:
        before.append(EXERCISES.sub("", text))
        if before[-1] != text:
            break
    return "\n\n".join(before)


def _unfolded(text: str) -> Iterator[str]:
    """Lines of Markdown outside what is folded or is no prose; of a directive its title, not its options."""
    blocks: list[tuple[str, bool]] = []  # (fence, is it silent) of the directives that are open
    head = False  # are options of the innermost still to come?
    for line in text.splitlines():
        fence = FENCE.fullmatch(line)
        if fence and fence[2] is None and not fence[3] and blocks and fence[1].startswith(blocks[-1][0]):
            blocks.pop()
            head = False
        elif fence and (fence[1][0] != ":" or fence[2] is not None):
            name = fence[2] if fence[2] is not None else "code"
            silent = name in FOLDED or name in SILENT or any(quiet for _, quiet in blocks)
            blocks.append((fence[1], silent))
            head = True
            if not silent and name not in NO_TITLE:
                yield fence[3]
        elif head and (option := OPTION.fullmatch(line)):
            if option[1] == "class" and set(option[2].split()) & set(FOLDED):
                blocks[-1] = (blocks[-1][0], True)
        else:
            head = False
            if not any(quiet for _, quiet in blocks):
                yield line


def _spoken(role: re.Match) -> str:
    """A role as it is read: its own text, or the one word that stands for a number or a reference."""
    if role[1] == "math":
        return " "
    text = re.sub(r"\s*<[^<>]*>\s*$", "", role[2]) if "<" in role[2] else "reference"
    return text if role[1].startswith(("ref", "doc", "py", "numref", "term", "prf")) else "number"


def _used(tree: ast.AST) -> Iterator[str]:
    """Names that code takes the value of, by themselves or from a module; an import alone is no use."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr


def _is_called(name: str) -> bool:
    """Is this a function, or a prior? A module, a result or a protocol is named without being called."""
    path = Path(__file__).resolve().parents[1].joinpath(*name.split("."))
    last = name.rpartition(".")[2]
    return not path.is_dir() and not path.with_suffix(".py").is_file() and (last[0].islower() or "Denoiser" in last)
