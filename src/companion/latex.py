"""A Sphinx extension for the printed book: what a page does by folding, sliding and linking, paper does another way.

Tables of HTML become tables of LaTeX, statements and exercises boxes with their number and name, solutions an appendix.
Folded set-up code is left out, a slider is its picture, and a reference to another chapter names the page. Nothing here
touches another builder than LaTeX's.
"""

import re

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import texescape
from sphinx_exercise.nodes import is_exercise_node, is_solution_node
from sphinx_proof.nodes import NODE_TYPES, proof_node, unenumerable_node

APPENDIX = "Appendix"  # the part of _toc.yml at whose end solutions stand
LONG_TABLE = 30  # rows: more than fit under a heading
SLASH = re.compile(r"(?<=\S)/(?=\S{3})")
DIGEST = re.compile(r"[0-9a-f]{40,}")
LETTERS_OF_LINE = 96  # of a table
OVERVIEW = "The argument, and what this book is"
SOLUTIONS = "solutions"  # the name of their page
OF_CLAIM = "claim-"  # what a reference to a number's claim begins with

PREAMBLE = r"""
\usepackage[breakable,skins]{tcolorbox}
\usepackage{unicode-math}
\usepackage{titlesec}
\usepackage{multicol}
\newcommand{\R}{\mathbb{R}}
\newcommand{\E}{\mathbb{E}}
% Titles bring their own numbers, those of the site; figures and equations are numbered through, as there.
\setcounter{secnumdepth}{-2}
\setcounter{tocdepth}{0}
\AtBeginDocument{\counterwithout{figure}{chapter}\counterwithout{table}{chapter}\counterwithout{equation}{chapter}}
\titleformat{\chapter}{\sffamily\bfseries\LARGE\raggedright}{}{0pt}{}
\titlespacing*{\chapter}{0pt}{0pt}{14pt}
\makeatletter
\renewcommand{\l@chapter}{\@dottedtocline{0}{0em}{1.5em}}
\makeatother
% A part is a line of the contents and of the outline; it needs no page of its own.
\renewcommand{\part}[1]{\clearpage\phantomsection\addcontentsline{toc}{part}{#1}}
\hypersetup{pdfencoding=auto,psdextra,bookmarksopenlevel=0,bookmarksdepth=3}
\emergencystretch=3em
\usepackage{newunicodechar}
\newunicodechar{≤}{\ensuremath{\le}}
\newunicodechar{≥}{\ensuremath{\ge}}
\newunicodechar{★}{\ensuremath{\star}}
\newunicodechar{σ}{\ensuremath{\sigma}}
\newunicodechar{δ}{\ensuremath{\delta}}
\newunicodechar{^^^^202f}{\,}
\newunicodechar{^^^^200b}{\allowbreak}
% A name of code may be cut after an underscore and a colon, too.
\DeclareRobustCommand{\_}{\ifmmode\text{\textunderscore}\else\textunderscore\allowbreak\fi}
\pdfstringdefDisableCommands{\def\_{\textunderscore}}
% Columns are as wide as their words where these are few, and cells are set ragged.
\newcolumntype{T}{L}
\setlength{\tymin}{60pt}
\AtBeginEnvironment{tabulary}{\footnotesize}
\AtBeginEnvironment{longtable}{\footnotesize}
\definecolor{bookblue}{HTML}{0B4F9E}
\definecolor{bookgray}{HTML}{5A6370}
\definecolor{bookgreen}{HTML}{1B6E4A}
\newtcolorbox{bookbox}[2]{enhanced, breakable, frame hidden, sharp corners, boxrule=0pt, borderline west={2pt}{0pt}{#1},
  colback=#1!4!white, left=8pt, right=6pt, top=4pt, bottom=4pt, before skip=8pt, after skip=8pt,
  coltitle=#1!80!black, fonttitle=\sffamily\bfseries\small, attach title to upper={\par\smallskip}, title={#2},
  parbox=false}
\newenvironment{sphinxVerbatimInput}{\par\sphinxsetup{VerbatimColor={HTML}{F5F6F8},VerbatimBorderColor={HTML}{D9DDE3}}}{\par}
\newenvironment{sphinxVerbatimOutput}{\par\sphinxsetup{VerbatimColor={HTML}{FFFFFF},VerbatimBorderColor={HTML}{FFFFFF}}}{\par}
\newcommand{\bookprovenance}[1]{{\par\footnotesize\color{bookgray}\raggedright#1\par}}
\renewcommand{\sphinxstyleindexentry}[1]{#1}
\raggedbottom
\renewcommand{\sphinxtablecontinued}[1]{\footnotesize\emph{continued}}
% Two pictures and their captions fit on a page.
\makeatletter
\AtBeginDocument{\spx@image@maxheight.38\textheight}
\makeatother
"""

PAPER_FONTS = r"""
\setmainfont{lmroman10-regular.otf}[BoldFont=lmroman10-bold.otf, ItalicFont=lmroman10-italic.otf,
  BoldItalicFont=lmroman10-bolditalic.otf]
\setsansfont{lmsans10-regular.otf}[BoldFont=lmsans10-bold.otf, ItalicFont=lmsans10-oblique.otf,
  BoldItalicFont=lmsans10-boldoblique.otf]
\setmonofont{DejaVuSansMono.ttf}[BoldFont=DejaVuSansMono-Bold.ttf, ItalicFont=DejaVuSansMono-Oblique.ttf, Scale=0.88]
"""

SETUP = (
    "verbatimwrapslines=true, verbatimforcewraps=true, verbatimhintsturnover=false, verbatimwithframe=true, "
    "VerbatimColor={HTML}{F5F6F8}, VerbatimBorderColor={HTML}{D9DDE3}, TitleColor={HTML}{1F2933}, "
    "InnerLinkColor={HTML}{0B4F9E}, OuterLinkColor={HTML}{0B4F9E}"
)


CONTENTS = r"\renewcommand{\contentsname}{Contents}\renewcommand{\bibname}{References}\sphinxtableofcontents"

TITLE_PAGE = r"""
\hypersetup{pageanchor=false}
\begin{titlepage}
\sffamily\raggedright\null\vspace{3cm}
{\Huge\bfseries %(title)s\par}\vspace{1cm}
{\Large %(subtitle)s\par}\vspace{1.5cm}
{\large %(author)s\par}
\vfill
{\small\color{bookgray}%(lines)s\par}
\end{titlepage}
\hypersetup{pageanchor=true}
"""


class Box(nodes.General, nodes.Element):
    """A block with a colored rule at its left. color: its name in the preamble. Its first child is the title."""


class FromPage(nodes.General, nodes.Element):
    """Blocks moved out of a page (docname); references still find them by its name."""


class ForPaper(SphinxPostTransform):
    """Before anything is resolved: tables of HTML become tables; of what is folded on the page, proofs stay."""

    builders = ("latex",)
    default_priority = 1

    def run(self, **kwargs):
        for cell in _of_class(self.document, "cell"):
            if "tag_hide-cell" in cell["classes"]:
                cell.parent.remove(cell)
            elif "tag_hide-input" in cell["classes"]:
                for code in _of_class(cell, "cell_input"):
                    code.parent.remove(code)
        for bundle in _of_class(self.document, "cell_output"):
            _join_lines(bundle)
            for of_output in list(bundle.findall(_has_mime("text/html"))):
                if table := table_of_html(of_output.astext()):
                    _around(of_output).replace_self(table)
                elif 'class="provenance"' in of_output.astext():
                    words = BeautifulSoup(of_output.astext(), "html.parser").get_text()
                    _around(of_output).replace_self(_small(words))
        for html in list(self.document.findall(nodes.raw)):
            if 'class="provenance"' in html.astext():
                html.replace_self(_small(BeautifulSoup(html.astext(), "html.parser").get_text()))
        for fold in list(self.document.findall(_is_fold)):
            if any(map(_is_statement, fold.findall())):  # paper has nowhere else to look a proof up
                fold.replace_self(_unfolded(fold))
            else:
                fold.parent.remove(fold)


class ForPages(SphinxPostTransform):
    """After everything is resolved: boxes, solutions at the end, the site's numbers, and pages beside references.

    Before sphinx-jupyterbook-latex (700), which rearranges the tree and leaves nodes with parents that are none.
    """

    builders = ("latex",)
    default_priority = 690

    def run(self, **kwargs):
        _tell_parents(self.document)
        self._begin()
        for block in list(self.document.findall(_is_statement)):
            self._box_statement(block)
        self._move_solutions()
        for exercise in list(self.document.findall(is_exercise_node)):
            labels = [f"exercise:{exercise['label']}", f"{_docname(exercise)}:{exercise['label']}"]
            exercise.replace_self(_boxed(exercise, "bookgreen", labels))
        for note in list(self.document.findall(nodes.admonition)):
            note.replace_self(_boxed(note, "bookgray", []))
        for table in list(self.document.findall(nodes.table)):
            _fit(table)
            _keep_with_caption(table)
        self._number_figures()
        self._name_pages()

    def _box_statement(self, block):
        docname = _docname(block)
        kind, ids = block.get("realtype", "").title(), block["ids"]
        if isinstance(block, proof_node):
            _open_proof(block)
            return
        numbers = self.env.toc_fignumbers.get(docname, {}).get(block.get("countertype"), {})
        number = next((numbers[id] for id in ids if id in numbers), ())
        head = f"{kind} {'.'.join(map(str, number))}".strip()
        block[0].insert(0, nodes.Text(head))
        block.replace_self(_boxed(block, "bookblue", [f"{docname}:{block['label']}"]))

    def _begin(self):
        """The first page is a chapter as the others are; the list of references stands at the end by itself."""
        first = next(iter(self.document.findall(nodes.section)))
        first.insert(1, _tex(rf"\chapter{{{OVERVIEW}}}"))
        for page in list(self.document.findall(addnodes.start_of_file)):
            if page["docname"].endswith("/references"):
                page.replace_self(list(page.findall(nodes.citation)))
            elif page["docname"].endswith("/claims"):  # long, and looked up rather than read
                head = page.next_node(nodes.section)
                # The table of those that carry the argument is as wide as the page: in a column it would not break.
                first = [k for k, part in enumerate(head) if isinstance(part, nodes.section)]
                wide = bool(first) and "claims-argument" in head[first[0]]["ids"]
                head.insert(first[0] + 1 if wide else 1, _tex(r"\begin{multicols}{2}\footnotesize\raggedright"))
                head += _tex(r"\end{multicols}")

    def _move_solutions(self):
        """Of all chapters into an appendix of their own, a section each: nobody reads them by accident."""
        chapter = nodes.section("", nodes.title("", "Solutions to the exercises"), ids=[SOLUTIONS])
        sections = {}
        for solution in list(self.document.findall(is_solution_node)):
            docname = _docname(solution)
            if docname not in sections:
                head = nodes.title("", self.env.titles[docname].astext())
                sections[docname] = nodes.section("", head, ids=[f"{SOLUTIONS}-{docname.replace('/', '-')}"])
                chapter += sections[docname]
            label = solution["label"]
            exercise = self.env.sphinx_exercise_registry[solution["target_label"]]["node"]["label"]
            solution.parent.remove(solution)
            solution[0] += _tex(rf" (page \pageref{{exercise:{exercise}}})")
            _pointer(self.document, exercise, f"solution:{label}")
            box = _boxed(solution, "bookgreen", [f"solution:{label}", f"{docname}:{label}"])
            sections[docname] += FromPage("", box, docname=docname)
        if sections:
            file = addnodes.start_of_file("", chapter, docname=SOLUTIONS)
            _part(self.document, APPENDIX).append(file)

    def _number_figures(self):
        for caption in self.document.findall(nodes.caption):
            for cited in [part for part in caption.findall(nodes.inline) if "bibtex-citation" in part["classes"]]:
                cited.children = [part for part in cited.findall(nodes.Text) if not isinstance(part.parent, nodes.raw)]
        for kind, counter in ((nodes.figure, "figure"), (nodes.table, "table")):
            for shown in list(self.document.findall(kind)):
                numbers = self.env.toc_fignumbers.get(_docname(shown), {}).get(counter, {})
                if number := next((numbers[id] for id in shown["ids"] if id in numbers), None):
                    place = shown.parent.index(shown)
                    shown.parent.insert(place, _tex(rf"\setcounter{{{counter}}}{{{number[-1] - 1}}}"))

    def _name_pages(self):
        for reference in list(self.document.findall(nodes.reference)):
            target = reference.get("refuri", "")
            docname, _, label = target.removeprefix("%").partition("#")
            if (
                not target.startswith("%")
                or label.startswith(OF_CLAIM)
                or _within(reference, nodes.title, nodes.caption)
            ):
                continue
            if docname == _docname(reference) or docname.startswith("book/api") or _within(reference, addnodes.desc):
                continue
            where = f"{docname}:{label}" if label else f"{docname}::doc"
            page = _tex(rf"~(p.~\pageref{{\detokenize{{{where}}}}})")
            reference.parent.insert(reference.parent.index(reference) + 1, page)


def table_of_html(text: str) -> nodes.table | None:
    """The first table of numbers in ``text`` as docutils has tables; None where there is none."""
    table = BeautifulSoup(text, "html.parser").select_one("table.numbers")
    if table is None:
        return None
    head, *rows = [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in table.find_all("tr")]
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", _row(head))
    group += nodes.tbody("", *map(_row, rows))
    return nodes.table("", group)


def _row(cells: list[str]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", cell)) for cell in cells))


def _of_class(tree: nodes.Node, name: str) -> list[nodes.Element]:
    return [node for node in tree.findall(nodes.container) if name in node["classes"]]


def _has_mime(mime: str):
    return lambda node: isinstance(node, nodes.container) and node.get("mime_type") == mime


def _around(of_output: nodes.Element) -> nodes.Element:
    """The output that holds one of its forms."""
    return of_output.parent if of_output.parent.get("nb_element") == "mime_bundle" else of_output


def _join_lines(output: nodes.Element) -> None:
    """What a loop has printed in pieces is one block."""
    for block in list(output.children):
        place = output.index(block)
        before = output[place - 1] if place else None
        if _is_printed(block) and _is_printed(before):
            text = before.astext().rstrip("\n") + "\n" + block.astext()
            joined = nodes.literal_block(text, text, **before.attributes)
            output.children[place - 1 : place + 1] = [joined]
            joined.parent = output


def _is_printed(node: nodes.Node | None) -> bool:
    return isinstance(node, nodes.literal_block) and "stream" in node["classes"]


def _is_fold(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and node.get("design_component") == "dropdown"


def _unfolded(fold: nodes.Element) -> list[nodes.Node]:
    """What it holds, after its title, unless that says no more than the proof's own head."""
    first, *rest = fold.children
    if not isinstance(first, nodes.rubric):
        return fold.children
    return rest if first.astext() == "Proof" else [nodes.paragraph("", "", nodes.strong("", first.astext())), *rest]


def _is_statement(node: nodes.Node) -> bool:
    return isinstance(node, (*NODE_TYPES.values(), unenumerable_node, proof_node))


def _tell_parents(tree: nodes.Element) -> None:
    """Sphinx joins the pages to one tree without telling their blocks what they now belong to."""
    for node in list(tree.findall(nodes.Element)):
        for child in node.children:
            child.parent = node


def _docname(node: nodes.Node) -> str:
    """The page that a node came from; nothing for the first."""
    while node is not None:
        if isinstance(node, addnodes.start_of_file | FromPage):
            return node["docname"]
        node = node.parent
    return ""


def _within(node: nodes.Node, *kinds: type) -> bool:
    while node is not None:
        if isinstance(node, kinds):
            return True
        node = node.parent
    return False


def _tex(text: str) -> nodes.raw:
    return nodes.raw("", text, format="latex")


def _small(words: str) -> nodes.paragraph:
    return nodes.paragraph("", "", _tex(r"\bookprovenance{"), nodes.Text(words), _tex("}"))


def _boxed(block: nodes.Element, color: str, labels: list[str]) -> Box:
    return Box("", *block.children, color=color, labels=labels)


def _pointer(document: nodes.Node, exercise: str, label: str) -> None:
    """Say at the end of an exercise where its solution is."""
    for node in document.findall(is_exercise_node):
        if node["label"] == exercise:
            node += nodes.paragraph("", "", _tex(rf"\emph{{Solution on page \pageref{{{label}}}.}}"))


def _fit(table: nodes.Element) -> None:
    """Columns as wide as their words, within the page; one of several pages is told how wide if need be."""
    table["classes"] = [name for name in table["classes"] if not name.startswith("colwidths")]
    rows = list(table.findall(nodes.row))
    for text in list(table.findall(nodes.Text)):  # an address may be cut after its slashes, a digest anywhere
        cut = DIGEST.sub(lambda found: "\u200b".join(found[0]), SLASH.sub("/\u200b", text.astext()))
        text.parent.replace(text, nodes.Text(cut))
    if len(rows) > LONG_TABLE:
        longest = [max(len(row[k].astext()) for row in rows) + 2 for k in range(len(rows[0]))]
        table["classes"] += ["longtable"] + ["colwidths-given"] * (sum(longest) > LETTERS_OF_LINE)
        for column, length in zip(table.findall(nodes.colspec), longest, strict=True):
            column["colwidth"] = min(length, LETTERS_OF_LINE // 2)


def _keep_with_caption(table: nodes.Element) -> None:
    """A recorded table says what it is in the paragraph before it: both on one page."""
    place = table.parent.index(table)
    before = table.parent[place - 1] if place else None
    if isinstance(before, nodes.paragraph) and all(isinstance(child, nodes.emphasis) for child in before.children):
        table.parent.insert(place, _tex("\\par\\nopagebreak "))


def _open_proof(proof: nodes.Element) -> None:
    """Its word before the first paragraph, a sign after the last."""
    parts = [part for child in proof.children for part in (child.children if _is_content(child) else [child])]
    parts = [part for part in parts if not isinstance(part, nodes.title)]
    for place, text in ((0, r"\emph{Proof.} "), (-1, r"~\hfill\ensuremath{\square}")):
        if not isinstance(parts[place], nodes.paragraph):
            parts.insert(0 if place == 0 else len(parts), nodes.paragraph())
        paragraph = parts[place]
        word = next(iter(paragraph.findall(nodes.Text)), None)
        if place == 0 and word is not None and word.startswith("Proof. "):  # sphinx-proof has written it into the text
            word.parent.replace(word, nodes.Text(word.removeprefix("Proof. ")))
        paragraph.insert(0 if place == 0 else len(paragraph), _tex(text))
    proof.replace_self(parts)


def _is_content(node: nodes.Node) -> bool:
    return isinstance(node, nodes.section | nodes.admonition)


def _part(document: nodes.Node, name: str) -> nodes.Element:
    """What holds the pages of a part; the whole document where there is no such part."""
    parts = (node for node in document.findall(nodes.compound) if "toctree-wrapper" in node["classes"])
    return next((part for part in parts if part.get("caption") == name), document)


def visit_box(self, node):
    labels = "".join(rf"\phantomsection\label{{\detokenize{{{label}}}}}" for label in node["labels"])
    self.body.append(f"\n{labels}\\begin{{bookbox}}{{{node['color']}}}{{")
    self.in_title += 1
    for part in node[0].children:
        part.walkabout(self)
    self.in_title -= 1
    self.body.append("}\n")
    self.no_latex_floats += 1
    for part in node[1:]:
        part.walkabout(self)
    self.no_latex_floats -= 1
    self.body.append("\n\\end{bookbox}\n")
    raise nodes.SkipNode


def visit_from_page(self, node):
    self.curfilestack.append(node["docname"])


def depart_from_page(self, node):
    self.curfilestack.pop()


def for_paper(app, config):
    """What the LaTeX builder is told; after sphinx-jupyterbook-latex, whose class wants rare fonts."""
    config["latex_theme"] = "manual"
    config["latex_engine"] = "xelatex"
    config["latex_use_xindy"] = False
    config["latex_show_urls"] = "no"
    config["latex_elements"] = {
        "papersize": "a4paper",
        "pointsize": "10pt",
        "extraclassoptions": "openany,oneside",
        "geometry": r"\usepackage[a4paper,margin=2.3cm,headheight=14pt]{geometry}",
        "fontpkg": PAPER_FONTS,
        "fncychap": "",
        "figure_align": "H",
        "fvset": r"\fvset{fontsize=\footnotesize}",
        "sphinxsetup": SETUP,
        "preamble": PREAMBLE,
        "tableofcontents": CONTENTS,
        "maketitle": TITLE_PAGE % _title_page(config),
    }
    config["latex_domain_indices"] = False


def _title_page(config) -> dict[str, str]:
    texescape.init()  # which Sphinx does later

    def escaped(text: str) -> str:
        return texescape.escape(text, "xelatex")

    told = {"title": config["html_title"], "subtitle": config["subtitle"], "author": config["author"]}
    lines = r"\par\smallskip ".join(map(escaped, config["imprint"]))
    return {key: escaped(text) for key, text in told.items()} | {"lines": lines}


def setup(app):
    app.add_config_value("subtitle", "", "")
    app.add_config_value("imprint", [], "")  # lines at the foot of the title page
    app.add_node(Box, latex=(visit_box, None))
    app.add_node(FromPage, latex=(visit_from_page, depart_from_page))
    app.connect("config-inited", for_paper, priority=900)
    app.connect("builder-inited", lambda app: app.builder.name == "latex" and app.add_post_transform(ForPages))
    app.add_post_transform(ForPaper)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
