"""python3 workflow/changed_pages.py OLD NEW: which pages of two built books read differently, as Markdown.

Standard library only, and nothing of the pages is executed: it reads what strangers built.
"""

import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
SHOWN = 50  # pages in a list; a comment has to be short


class Article(HTMLParser):
    """What stands in a page's article: its words and its pictures, without the provenance, which differs each time."""

    def __init__(self, text: str):
        super().__init__()
        self.words: list[str] = []
        self.pictures: list[str] = []
        self.title: list[str] = []
        self._open: list[tuple[str, str]] = []  # tag and class, from the article on
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        told = {name: value or "" for name, value in attributes}
        if tag == "article" or self._open:
            if tag == "img":
                self.pictures.append(told.get("src", ""))
            if tag not in VOID:
                self._open.append((tag, told.get("class", "")))

    def handle_endtag(self, tag):
        if tag in [name for name, _ in self._open]:
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, text):
        if self._open and not any(tag in ("script", "style") or "provenance" in kind for tag, kind in self._open):
            self.words += text.split()
            if not self.title and self._open[-1][0] == "h1":
                self.title = text.split()


def pages(folder: Path) -> dict[str, Article]:
    """Every page that has an article, by its path."""
    read = {
        file.relative_to(folder).as_posix(): Article(file.read_text(encoding="utf-8", errors="replace"))
        for file in sorted(folder.rglob("*.html"))
    }
    return {path: page for path, page in read.items() if page.words}


def difference(old: Article, new: Article) -> str:
    """In words; nothing where both read the same."""
    told = []
    for what, before, after in (("word", old.words, new.words), ("picture", old.pictures, new.pictures)):
        added, gone = Counter(after) - Counter(before), Counter(before) - Counter(after)
        count = max(added.total(), gone.total())
        if count or before != after:
            told.append(f"{count} {what}{'s' * (count != 1)}" if count else f"order of {what}s")
    return ", ".join(told)


def report(old: Path, new: Path) -> str:
    """The pages of ``new`` that are not as in ``old``, and those that are gone, as Markdown."""
    before, after = pages(old), pages(new)
    if not before:
        return f"No earlier build to compare with; this one has {len(after)} pages."
    changed = {path: "new" if path not in before else difference(before[path], page) for path, page in after.items()}
    lines = [
        f"- `{_plain(path)}` {_plain(' '.join(after[path].title))}: {what}" for path, what in changed.items() if what
    ]
    lines += [f"- `{_plain(path)}`: gone" for path in before if path not in after]
    if not lines:
        return f"All {len(after)} pages read as on the main branch."
    left = [f"- and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n".join(
        [f"Pages that read differently from the main branch ({len(lines)} of {len(after)}):", *lines[:SHOWN], *left]
    )


def _plain(text: str) -> str:
    """Without what Markdown would act on: the text is a stranger's."""
    return "".join(letter for letter in text if letter.isalnum() or letter in " ./_-,:?'()")[:120]


if __name__ == "__main__":
    if len(sys.argv) != 3 or not Path(sys.argv[2]).is_dir():
        sys.exit("expected two folders with built books: python3 workflow/changed_pages.py OLD NEW")
    print(report(Path(sys.argv[1]), Path(sys.argv[2])))
