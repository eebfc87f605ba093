"""The leak gate: is anything of a solution left in a file that students get?

A sentence or a line of code is known again whatever was made of it (Markdown, HTML with its spans and entities, JSON,
a script): only letters and digits are compared, of each file as it lies there and of the text that it renders to.
"""

import base64
import hashlib
import html
import io
import json
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from bs4 import BeautifulSoup, Comment
from nbformat import NotebookNode
from PIL import Image

from companion.reading import LABEL, LINK, ROLE, TAG

DIGITS_SURE = 6  # with which a value is no other's by chance
LEAST = 25  # letters and digits: a shorter sentence may stand anywhere
DELIMITERS = ("BEGIN SOLUTION", "END SOLUTION", "solution-start", "solution-end")
PICTURE_FILES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".ico")
FONTS = (".woff", ".woff2", ".ttf", ".eot", ".otf")
NUMBER = re.compile(r"\d+\.\d{3,}(?:e[+-]?\d+)?")  # with fewer digits it may be any number
# Coded in one run, or broken into lines as notebooks and mail have it; 25 letters are 34 of these.
BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{60,}\s+)+[A-Za-z0-9+/]+={0,2}|[A-Za-z0-9+/]{34,}={0,2}")
SPOKEN = re.compile(r"alt|title|content|value|placeholder|summary|(?:aria|data)-.*")  # attributes that hold words
SENTENCE = re.compile(r"(?<=[.!?:;])\s+|\n")
OPTION_LINE = re.compile(r"^\s*(?::[\w-]+:.*|[`:]{3,}.*)$", re.M)
XML_HEAD = re.compile(r"\A\s*<\?xml.*?\?>", re.S)  # of a drawing; what follows reads as HTML does
ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[nrt])")


class LeakError(RuntimeError):
    """Something of a solution in what students get; a leak a line, each with its file."""


@dataclass
class Secrets:
    """What stands in solutions and nowhere else.

    texts: sentences, lines of code, alt texts, by their letters. numbers: as printed. pictures: digests of bytes and
    of pixels. names: ids of claims, which hold a point, and of pictures and tables, which are sought as files. words:
    for the search index, which knows no sentences. values: numbers, rounded to the six digits that give them away.
    """

    texts: dict[str, str] = field(default_factory=dict)
    numbers: set[str] = field(default_factory=set)
    pictures: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    values: set[str] = field(default_factory=set)

    def add_text(self, text: str) -> None:
        for piece in _pieces(text):
            if len(key := letters(piece)) >= LEAST:
                self.texts.setdefault(key, piece.strip())
        self.words |= _words(text)

    def add_shown(self, text: str) -> None:
        """What was printed, or says what is seen: its numbers, too."""
        self.add_text(text)
        self.numbers |= set(NUMBER.findall(text))

    def add_number(self, value: float) -> None:
        """Known again where six of its digits or more are printed."""
        if _digits(text := f"{abs(value):.6g}") >= DIGITS_SURE:
            self.values.add(text)

    def add_picture(self, content: bytes) -> None:
        self.pictures |= digests(content)

    def add_solutions(self, cells: Iterable[NotebookNode]) -> None:
        """Cells that were cut, with what they printed and drew."""
        for cell in cells:
            self.add_text(cell.source)
            shown = cell.metadata.get("mystnb", {})
            for part in (shown.get("figure", {}).get("caption", ""), shown.get("image", {}).get("alt", "")):
                self.add_shown(part)
            for attached in cell.get("attachments", {}).values():
                for content in attached.values():
                    self.add_picture(base64.b64decode(content))
            for kind, content in output_parts(cell):
                if kind.startswith("image/") and "svg" not in kind:
                    self.add_picture(base64.b64decode(content))
                    continue
                if "html" in kind:
                    page = BeautifulSoup(content, "html.parser")
                    for tag in page("img"):
                        self.add_shown(tag.get("alt", ""))
                        for coded in _decoded(tag.get("src", "")):
                            self.add_picture(coded)
                    content = page.get_text("\n")
                self.add_shown(content)

    def without(self, allowed: Iterable[str]) -> "Secrets":
        """Less what the texts ``allowed``, which students may read, hold as well."""
        texts = list(allowed)
        read, words = letters("\n".join(texts)), set().union(*map(_words, texts), set())
        numbers = {number for text in texts for number in NUMBER.findall(text)}
        return Secrets(
            {key: text for key, text in self.texts.items() if key not in read},
            self.numbers - numbers,
            set(self.pictures),
            set(self.names),
            self.words - words,
            self.values - {f"{float(number):.6g}" for number in numbers},
        )


def output_parts(cell: NotebookNode) -> Iterator[tuple[str, str]]:
    """(kind, content) of all that a cell of code printed and showed."""
    for output in cell.get("outputs", []):
        if "text" in output:
            yield "text/plain", output.text
        for kind, content in output.get("data", {}).items():
            yield kind, content if isinstance(content, str) else json.dumps(content)


def letters(text: str) -> str:
    """Letters and digits alone, in lower case: what no format changes."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text)).lower()


def digests(content: bytes) -> set[str]:
    """Of a picture's bytes, and of its pixels: those stay when it is compressed anew."""
    found = {hashlib.sha256(content).hexdigest()}
    try:
        with Image.open(io.BytesIO(content)) as picture:
            pixels = picture.convert("RGBA")
            found.add(hashlib.sha256(f"{pixels.size}".encode() + pixels.tobytes()).hexdigest())
    except OSError:
        pass  # no picture after all
    return found


def find_leaks(folder: Path, secrets: Secrets) -> list[str]:
    """Every leak in the files below ``folder``, ``FILE: what``. A file that cannot be read counts as one."""
    found, shown, index = [], set(), []
    for file in sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink()):
        name, content = file.relative_to(folder).as_posix(), file.read_bytes()
        leaked = secrets.names & {re.sub(r"^(?:picture|table)-", "", file.stem)}
        found += [f"{name}: the name {what!r} of a solution" for what in sorted(leaked)]
        if file.suffix.lower() in PICTURE_FILES:
            found += [f"{name}: a picture of a solution"] * bool(digests(content) & secrets.pictures)
        elif file.suffix.lower() not in FONTS:
            try:
                texts, told = _texts(file, content)
            except (UnicodeDecodeError, zlib.error, ValueError) as error:
                found.append(f"{name}: expected a file that the leak gate can read, got {type(error).__name__}")
                continue
            found += [f"{name}: {what}" for what in dict.fromkeys(_leaks_of(texts, told, secrets))]
            if file.name == "searchindex.js":
                index.append((name, texts[0]))
            elif file.suffix in (".html", ".md", ".ipynb", ".txt", ".rst"):
                shown |= _words(texts[-1], least=1)
    for name, text in index:
        found += [f"{name}: {what}" for what in _index_leaks(text, secrets.words, shown)]
    return found


def require_no_leak(folder: Path, secrets: Secrets) -> None:
    """:class:`LeakError` naming each leak below ``folder``."""
    if found := find_leaks(folder, secrets):
        raise LeakError("\n".join([*found, f"{len(found)} leaks of solutions: nothing was written for students"]))


def _texts(file: Path, content: bytes) -> tuple[list[str], str]:
    """As the file lies there, what is coded in it, last what it renders to; and that in which numbers are sought.

    Numbers of a style sheet or of a picture's lines are no result.
    """
    if file.suffix == ".inv":  # Sphinx's inventory: four lines, then the names, compressed
        *head, packed = content.split(b"\n", 4)
        content = b"\n".join(head) + b"\n" + zlib.decompress(packed)
    raw = content.decode("utf-8", "replace" if file.suffix == ".mo" else "strict")  # a theme's translations
    plain = html.unescape(ESCAPED.sub(lambda match: chr(int(match[1], 16)) if match[1] else " ", raw))
    bare = TAG.sub("", plain)  # of HTML in a script or in JSON
    texts, told = list(dict.fromkeys([plain, unquote(plain)])), plain
    if file.suffix in (".ipynb", ".json"):
        bare = told = html.unescape("\n".join(_strings(json.loads(raw))))
    if file.suffix in (".html", ".htm", ".svg"):
        texts.append(bare)
        page = BeautifulSoup(XML_HEAD.sub("", raw), "html.parser")
        told = "\n".join(_spoken(page))
        for silent in page(["script", "style"]):
            silent.decompose()
        bare = page.get_text(" ")
    for coded in _decoded(*texts, bare):
        try:
            texts.append(coded.decode("utf-8"))
        except UnicodeDecodeError:
            continue  # a picture, say
        told += f"\n{texts[-1]}"
    return [*texts, bare], f"{told}\n{bare}"


def _spoken(page: BeautifulSoup) -> Iterator[str]:
    """What a page holds beside its text: words in attributes, comments, what its scripts are told."""
    for tag in page(True):
        for name, value in tag.attrs.items():
            if SPOKEN.fullmatch(name):
                yield value if isinstance(value, str) else " ".join(value)
    yield from page(string=lambda text: isinstance(text, Comment))
    yield from (script.get_text() for script in page("script"))


def _decoded(*texts: str) -> Iterator[bytes]:
    """What stands in ``texts`` in base64, or may."""
    for coded in dict.fromkeys(coded for text in texts for coded in BASE64.findall(text)):
        run = re.sub(r"[\s=]+", "", coded)
        with suppress(ValueError):  # long, but no base64
            yield base64.b64decode(run + "=" * (-len(run) % 4))


def _strings(content) -> Iterator[str]:
    """Every string and number in JSON, lines of one cell together."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield key
            yield from _strings(value)
    elif isinstance(content, list):
        if all(isinstance(part, str) for part in content):
            yield "".join(content)
        else:
            for part in content:
                yield from _strings(part)
    elif content is not None:
        yield str(content)


def _leaks_of(texts: list[str], told: str, secrets: Secrets) -> Iterator[str]:
    for text in texts:
        read = letters(text)
        found = [original for key, original in secrets.texts.items() if key in read]
        yield from (f"the text {original[:60]!r} of a solution" for original in found)
        yield from (f"the delimiter {mark!r}" for mark in DELIMITERS if letters(mark) in read)
        yield from (f"the name {name!r} of a solution" for name in secrets.names if "." in name and name in text)
    if any(digests(coded) & secrets.pictures for coded in _decoded(*texts)):
        yield "a picture of a solution"
    for number in dict.fromkeys(NUMBER.findall(told)):
        sure = _digits(number) >= DIGITS_SURE and f"{float(number):.6g}" in secrets.values
        if sure or number in secrets.numbers:
            yield f"the number {number} of a solution"


def _index_leaks(text: str, words: set[str], shown: set[str]) -> Iterator[str]:
    """The index has the stems of words; those of no page are of solutions."""
    from sphinx.search.en import SearchEnglish

    stem = SearchEnglish({}).stem
    indexed = {term.lower() for term in re.findall(r"\w+", text)} - {stem(word) for word in shown} - shown
    for word in sorted(words):
        if {word, stem(word)} & indexed:
            yield f"the word {word!r}, which stands in solutions alone"


def _digits(number: str) -> int:
    """How many of its digits are significant."""
    return len(number.partition("e")[0].replace(".", "").lstrip("0"))


def _pieces(text: str) -> list[str]:
    """Sentences and lines, cut where a role or a link renders to other words."""
    text = LABEL.sub("\n", OPTION_LINE.sub("\n", text))
    text = LINK.sub("\n", ROLE.sub("\n", text))
    return SENTENCE.split(text)


def _words(text: str, least: int = 5) -> set[str]:
    """Those of ``least`` letters or more."""
    return {word.lower() for word in re.findall(r"[^\W\d_]+", text) if len(word) >= least}
