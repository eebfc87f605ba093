"""A Sphinx extension that makes a deck of slides from each chapter's page, by rule.

The page already says, in the order of every chapter, the question, the answer's picture, what is proved, the open
cells, what was found, what would prove it wrong and a summary. A slide takes a title, a sentence or two and one thing
to look at; the other paragraphs become the speaker's notes. Numbers and pictures are the page's own, so that they
cannot drift. Only the builder ``revealjs`` is touched.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx import addnodes
from sphinx_exercise.nodes import is_exercise_node, is_solution_node
from sphinx_proof.nodes import NODE_TYPES, proof_node

BUILDER = "revealjs"
FEW_WORDS = 45  # of text on a slide that also shows something
MANY_WORDS = 75  # of text alone
STATEMENT_WORDS = 110  # of a theorem that is shown whole
WORDS_OF_FORMULA = 25  # that a line of a displayed formula takes the room of
FEW_LINES = 10  # of a table that can be read from the last bench
WIDE = 88  # letters in a line of a table
LONG_CODE = 18  # lines; a longer cell stays on the page
SENTENCE_END = re.compile(r"[.?!](?=\s)")  # of a sentence, in a text that goes on
ABBREVIATED = re.compile(r"(?:\b(?:e\.g|i\.e|vs|cf|al|Fig|Eq|No)|\s[A-Z])$")
SKIPPED = ("Exercises", "Numbers of this page", "Where this page deviates")
WRONG = "What would prove this wrong"
LAST_SECTION = "Summary"
SAID_RECORDED = re.compile(r"^Recorded full run, commit [^.]*\.\s*")


@dataclass
class Slide:
    """title: what stands above. shown: the blocks of the slide. notes: what the speaker may say."""

    title: list[nodes.Node]
    shown: list[nodes.Node]
    notes: list[str] = field(default_factory=list)
    classes: tuple[str, ...] = ()


def make_deck(app, doctree: nodes.document, docname: str) -> None:
    """Put a chapter's slides in the place of its page."""
    if app.builder.name != BUILDER or not docname.startswith("notebooks/"):
        return
    for reference in list(doctree.findall(_leads_away)):  # a deck stands alone
        reference.replace_self(_without_link(reference))
    maker = _Maker(app, docname)
    page = doctree.next_node(nodes.section)
    first, *stacks = maker.stacks(page)
    deck = _section(first[0], "title")
    for number, (slide, *more) in enumerate(stacks, 1):
        column = _section(slide, f"part-{number}")
        column += [_section(one, f"part-{number}-{k}") for k, one in enumerate(more, 2)]
        deck += column
    doctree.children = []
    doctree += deck


class _Maker:
    """The slides of one page, a stack a section."""

    def __init__(self, app, docname: str):
        self.app, self.docname = app, docname

    def stacks(self, page: nodes.section) -> Iterator[list[Slide]]:
        """The slides of a chapter, a list for each that stand below one another."""
        yield [self.title(page)]
        yield self.opening(page)
        for section in (child for child in page.children if isinstance(child, nodes.section)):
            name = section[0].astext()
            if name.startswith(SKIPPED):
                continue
            made = self.section(section, whole_lists=name == WRONG)
            if name == LAST_SECTION:
                paragraph = next(child for child in section.children if isinstance(child, nodes.paragraph))
                made = [Slide(_title(section), [_listed(sentences(paragraph))], classes=("text",))]
            if made:
                yield made
        yield [self.last()]

    def title(self, page: nodes.section) -> Slide:
        head, _, rest = page[0].astext().partition(" · ")
        name = nodes.paragraph("", self.app.config.html_title, classes=["book"])
        return Slide(
            [nodes.Text(rest or head)], [nodes.paragraph("", head, classes=["chapter"]), name], classes=("first",)
        )

    def opening(self, page: nodes.section) -> list[Slide]:
        """The question; the answer in words and in its picture; what you will be able to do."""
        blocks = list(_blocks(page))
        paragraphs = [block for block in blocks if isinstance(block, nodes.paragraph)]
        made = []
        for label in ("The question.", "The answer."):
            for paragraph in paragraphs:
                if paragraph.astext().startswith(label):
                    parts = [part for part in paragraph.children if part.astext() not in ("", label)]
                    said = _paragraph(parts)
                    whole = label == "The question." and _words(said) <= MANY_WORDS
                    shown = [parts] if whole else key_sentences(said, MANY_WORDS, every=True)
                    shown = [_paragraph(sentence) for sentence in shown]
                    made.append(Slide([nodes.Text(label.rstrip("."))], shown, [said.astext()], ("large",)))
        pictures = [block for block in blocks if isinstance(block, nodes.figure)]
        if pictures:
            made.append(self.picture([nodes.Text("The answer in one picture")], pictures[0]))
        for tip in page.findall(nodes.admonition):
            for goals in tip.findall(nodes.bullet_list):
                made.append(Slide([nodes.Text(tip[0].astext())], [goals.deepcopy()], classes=("text",)))
                break
            break
        return made

    def section(self, section: nodes.section, whole_lists: bool = False) -> list[Slide]:
        """A slide for each statement, picture and short table, the first formula and open cell; nothing else.

        Of a recorded picture or table and the same of this build, which a page shows as the check, the recorded one.
        """
        made, notes, lead, title = [], [], [], _title(section)
        checked, has_code, prose = set(), False, []
        for block in _blocks(section):
            slide = None
            if isinstance(block, nodes.paragraph):
                notes.append(block.astext())
                lead = lead or key_sentences(block, FEW_WORDS)
                prose = prose or key_sentences(block, FEW_WORDS, every=True)
            elif isinstance(block, nodes.bullet_list | nodes.enumerated_list):
                items = [sentences(item.next_node(nodes.paragraph))[0] for item in block.children]
                if whole_lists or not made:
                    slide = Slide(title, [_listed(items)], [block.astext()], ("text",))
            elif isinstance(block, tuple(NODE_TYPES.values())):
                slide = self.statement(block)
            elif isinstance(block, nodes.math_block) and not made:
                slide = Slide(title, [*map(_paragraph, lead), block.deepcopy()])
            elif isinstance(block, nodes.figure | nodes.table) or _is_number_table(block):
                kind = "picture" if isinstance(block, nodes.figure) else "table"
                caption = (notes or [""])[-1]
                if SAID_RECORDED.match(caption) if kind == "table" else _is_recorded(block):
                    checked.add(kind)
                elif kind in checked:
                    checked.remove(kind)
                    continue
                slide = self.picture(title, block) if kind == "picture" else self.table(title, block, caption)
            elif _is_slider(block):
                slide = Slide(title, [block.deepcopy()], classes=("look",))
            elif _is_code(block) and not has_code and "tag_library" in block.parent["classes"]:
                slide = self.code(title, block)
                has_code = slide is not None
            if slide:
                slide.notes, notes = [*notes, *slide.notes], []
                made.append(slide)
        if not made and prose:
            made = [Slide(title, [*map(_paragraph, prose)], notes, ("large",))]
        elif made and notes:
            made[-1].notes += notes
        for deeper in (child for child in section.children if isinstance(child, nodes.section)):
            made += self.section(deeper, whole_lists)
        return made

    def statement(self, block: nodes.Element) -> Slide:
        """Of a theorem, with the number of the page; as much of it as a slide holds."""
        numbers = self.app.env.toc_fignumbers.get(self.docname, {}).get(block["countertype"], {})
        number = next((numbers[id] for id in block["ids"] if id in numbers), ())
        kind = f"{block['realtype'].title()} {'.'.join(map(str, number))}".strip()
        parts = [part.deepcopy() for child in block.children[1:] for part in child.children]
        while len(parts) > 1 and sum(map(_words, parts)) > STATEMENT_WORDS:
            parts.pop()
        name = [part.deepcopy() for part in block[0].children]
        return Slide([nodes.Text(kind), *name], parts, classes=("statement",))

    def picture(self, title: list[nodes.Node], figure: nodes.figure) -> Slide:
        """One picture, the key of its caption below it and the whole in the notes."""
        image = next(iter(figure.findall(nodes.image))).deepcopy()
        said = [part.deepcopy() for part in figure.findall(nodes.caption)]
        if said and isinstance(said[0][0], nodes.Text):
            said[0][0] = nodes.Text(SAID_RECORDED.sub("", said[0][0].astext()))
        shown = key_sentences(said[0], FEW_WORDS) if said else []
        notes = [part.astext() for part in said]
        return Slide(title, [image, *(_paragraph(part, "caption") for part in shown[:2])], notes, ("look",))

    def table(self, title: list[nodes.Node], block: nodes.Element, caption: str) -> Slide | None:
        if _lines(block) > FEW_LINES:
            return None
        said = SAID_RECORDED.sub("", caption) if SAID_RECORDED.match(caption) else ""
        return Slide(title, [block.deepcopy(), nodes.paragraph("", said, classes=["caption"])], classes=("look",))

    def code(self, title: list[nodes.Node], block: nodes.Element) -> Slide | None:
        source = block.next_node(nodes.literal_block).astext()
        if source.count("\n") >= LONG_CODE:
            return None
        printed = [part.astext().rstrip() for part in block.parent.findall(_is_stream)]
        shown = [self.highlighted(source, "python")]
        if printed and sum(text.count("\n") + 1 for text in printed) + source.count("\n") < LONG_CODE + 3:
            shown.append(
                nodes.raw("", f'<pre class="printed">{html.escape(chr(10).join(printed))}</pre>', format="html")
            )
        return Slide(title, shown, classes=("code",))

    def highlighted(self, source: str, language: str) -> nodes.raw:
        return nodes.raw("", self.app.builder.highlighter.highlight_block(source, language), format="html")

    def last(self) -> Slide:
        words = f"The page has proofs, code, exercises and every number’s run: {self.docname.split('/')[-1]}."
        return Slide([nodes.Text("Read on")], [nodes.paragraph("", words)], classes=("text",))


def sentences(paragraph: nodes.Element) -> list[list[nodes.Node]]:
    """The sentences of a paragraph, each as inline nodes; without citations in brackets."""
    found, now = [], []
    for part in paragraph.children:
        if not isinstance(part, nodes.Text):
            if not _is_citation(part):
                now.append(part.deepcopy())
            continue
        text, start = part.astext(), 0
        for end in SENTENCE_END.finditer(text):
            if ABBREVIATED.search(text[start : end.start()]):
                continue
            now.append(nodes.Text(text[start : end.end()]))
            found.append(now)
            now, start = [], end.end()
        if text[start:]:
            now.append(nodes.Text(text[start:]))
    found += [now] if "".join(part.astext() for part in now).strip() else []
    for sentence in found:
        if isinstance(sentence[0], nodes.Text):
            sentence[0] = nodes.Text(sentence[0].astext().lstrip())
    return found


def key_sentences(paragraph: nodes.Element, most_words: int, *, every: bool = False) -> list[list[nodes.Node]]:
    """The first sentence and those with bold words, or every one in turn, as long as they are few words together."""
    found = sentences(paragraph)
    chosen, words = [], 0
    for k, sentence in enumerate(found):
        is_key = every or k == 0 or any(isinstance(part, nodes.strong) for part in sentence)
        length = sum(len(part.astext().split()) for part in sentence)
        if is_key and (not chosen or words + length <= most_words):
            chosen.append(sentence)
            words += length
        elif is_key:
            every = False  # what follows may lean on what is left out
    return chosen


def _section(slide: Slide, id: str) -> nodes.section:
    words = sum(map(_words, slide.shown))
    density = ("dense",) * (words > 55) + ("denser",) * (words > 90)
    section = nodes.section("", nodes.title("", "", *map(_copied, slide.title)), ids=[id])
    section += nodes.container("", *slide.shown, classes=["slide", *slide.classes, *density])
    if notes := "".join(f"<p>{html.escape(note)}</p>" for note in slide.notes):
        section += nodes.raw("", f'<aside class="notes">{notes}</aside>', format="html")
    for node in section.findall(nodes.Element):  # a block is shown once or twice: names would be double
        if node is not section:
            node["ids"], node["names"] = [], []
        if isinstance(node, nodes.math_block):
            node["number"] = None
    return section


def _blocks(section: nodes.Element) -> Iterator[nodes.Element]:
    """What a section shows itself, in order, down into its cells; not exercises, solutions, proofs and folds."""
    for child in section.children:
        if is_exercise_node(child) or is_solution_node(child) or isinstance(child, proof_node | nodes.title):
            continue
        classes = child.get("classes", []) if isinstance(child, nodes.Element) else []
        if "tag_hide-cell" in classes or child.__class__ is addnodes.index:
            continue
        if "cell" in classes or "cell_output" in classes:
            yield from _blocks(child)
        elif not isinstance(child, nodes.section | nodes.admonition) or isinstance(child, tuple(NODE_TYPES.values())):
            yield child


def _title(section: nodes.section) -> list[nodes.Node]:
    return list(section[0].children)


def _paragraph(parts: list[nodes.Node], *classes: str) -> nodes.paragraph:
    return nodes.paragraph("", "", *map(_copied, parts), classes=list(classes))


def _copied(node: nodes.Node) -> nodes.Node:
    return node.deepcopy()


def _listed(items: list[list[nodes.Node]]) -> nodes.bullet_list:
    return nodes.bullet_list("", *(nodes.list_item("", _paragraph(item)) for item in items))


def _words(node: nodes.Node) -> int:
    """How much room a block takes, in words; a line of a displayed formula is as high as many."""
    if isinstance(node, nodes.raw | nodes.image | nodes.table):
        return 0
    formulas = [node] if isinstance(node, nodes.math_block) else list(node.findall(nodes.math_block))
    lines = sum(formula.astext().count("\\\\") + 1 for formula in formulas)
    words = len(node.astext().split()) - sum(len(formula.astext().split()) for formula in formulas)
    return words + WORDS_OF_FORMULA * lines


def _lines(table: nodes.Element) -> int:
    """How high a table is, about, when its columns share the slide's width as their words ask for it."""
    if isinstance(table, nodes.table):
        rows = [[len(entry.astext()) for entry in row.children] for row in table.findall(nodes.row)]
    else:
        html_rows = BeautifulSoup(table.astext(), "html.parser").find_all("tr")
        rows = [[len(cell.get_text()) for cell in row.find_all(["th", "td"])] for row in html_rows]
    widths = [max(column) + 3 for column in zip(*rows, strict=True)]
    shares = [max(width * min(1.0, WIDE / sum(widths)), 1) for width in widths]
    return sum(max(ceil((length + 3) / share) for length, share in zip(row, shares, strict=True)) for row in rows)


def _is_recorded(figure: nodes.figure) -> bool:
    return any(id.startswith("recorded-") for id in figure["ids"])


def _html_with(node: nodes.Node, part: str) -> bool:
    return isinstance(node, nodes.raw) and node.get("format") == "html" and part in node.astext()


def _is_number_table(node: nodes.Node) -> bool:
    return _html_with(node, 'class="numbers"')


def _is_slider(node: nodes.Node) -> bool:
    return _html_with(node, 'class="frames"')


def _is_code(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and "cell_input" in node["classes"]


def _is_stream(node: nodes.Node) -> bool:
    return isinstance(node, nodes.literal_block) and "stream" in node["classes"]


def _is_citation(node: nodes.Node) -> bool:
    return "bibtex-citation" in node.get("classes", ()) and node.astext().startswith("[")


def _leads_away(node: nodes.Node) -> bool:
    return isinstance(node, nodes.reference) and not re.match("https?:", node.get("refuri", ""))


def _without_link(reference: nodes.reference) -> nodes.inline:
    return nodes.inline("", "", *reference.children)


def drop_of_theme(app, pagename, templatename, context, doctree) -> None:
    """Of scripts and styles a deck takes reveal.js's and MathJax's alone: the others are for pages."""
    if app.builder.name == BUILDER:
        context["script_files"] = [file for file in context["script_files"] if "mathjax" in _told(file)]
        wanted = ("revealjs", "pygments.css", "slides.css")
        context["css_files"] = [file for file in context["css_files"] if any(name in _told(file) for name in wanted)]


def _told(file) -> str:
    """What a script or a style sheet is called, or says."""
    return f"{getattr(file, 'filename', file)} {getattr(file, 'attributes', {}).get('body', '')}".lower()


def setup(app):
    app.connect("doctree-resolved", make_deck, priority=900)
    app.connect("html-page-context", drop_of_theme, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
