"""Slides by rule: few words, the recorded picture and not both, nothing of exercises."""

from types import SimpleNamespace

import pytest
from docutils import nodes
from sphinx.highlighting import PygmentsBridge
from sphinx_exercise.nodes import exercise_node, solution_node

from companion import book, deck, slides
from companion.tables import Table

CHAPTER = "notebooks/01_one"


def paragraph(*parts):
    return nodes.paragraph("", "", *(nodes.Text(part) if isinstance(part, str) else part for part in parts))


def section(title, *blocks):
    return nodes.section("", nodes.title("", title), *blocks)


def figure(id, caption):
    return nodes.figure("", nodes.image(uri="a.png", alt="What is seen."), nodes.caption("", caption), ids=[id])


def numbers(rows):
    return nodes.raw("", Table(["a"], [["1"]] * rows)._repr_html_(), format="html")


def cell(code, *, tags=("tag_library",), printed=""):
    parts = [nodes.container("", nodes.literal_block(code, code), classes=["cell_input"])]
    if printed:
        output = nodes.literal_block(printed, printed, classes=["output", "stream"])
        parts.append(nodes.container("", output, classes=["cell_output"]))
    return nodes.container("", *parts, classes=["cell", *tags])


@pytest.fixture
def maker():
    builder = SimpleNamespace(highlighter=PygmentsBridge("html"))
    env = SimpleNamespace(toc_fignumbers={})
    return deck._Maker(SimpleNamespace(builder=builder, env=env, config=SimpleNamespace(html_title="Tiny")), CHAPTER)


def words(slide):
    return [block.astext() for block in slide.shown]


def test_sentences_end_at_full_stops_and_not_in_numbers_or_abbreviations():
    found = deck.sentences(paragraph("A share of 0.5 is half, e.g. of two. ", nodes.strong("", "Bold"), " too. Last?"))
    assert ["".join(part.astext() for part in one) for one in found] == [
        "A share of 0.5 is half, e.g. of two.",
        "Bold too.",
        "Last?",
    ]


def test_key_sentences_are_the_first_and_the_bold_ones_within_the_words():
    said = paragraph(
        "One two three. Four five. ", nodes.strong("", "Six"), " seven. ", nodes.strong("", "Eight"), " nine ten."
    )
    found = deck.key_sentences(said, 6)
    assert ["".join(part.astext() for part in one) for one in found] == ["One two three.", "Six seven."]


def test_citation_in_brackets_is_not_on_the_slide():
    cited = nodes.inline("", "[Ho et al., 2020]", classes=["bibtex-citation"])
    [sentence] = deck.sentences(paragraph("It is known ", cited, "."))
    assert "Ho" not in "".join(part.astext() for part in sentence)


def test_recorded_picture_stands_for_that_of_this_build(maker):
    made = maker.section(
        section(
            "Found",
            figure("recorded-01-a", "Recorded full run, commit abc. What was found."),
            paragraph("This build, as the check:"),
            figure("fig-a", "The same, smaller."),
            figure("fig-b", "Another."),
        )
    )
    assert [words(slide)[1:] for slide in made] == [["What was found."], ["Another."]]


def test_table_with_many_rows_stays_on_the_page(maker):
    recorded = paragraph("Recorded full run, commit abc. Numbers.")
    made = maker.section(section("Found", recorded, numbers(3), numbers(3), numbers(40)))
    assert len(made) == 1
    assert words(made[0])[1] == "Numbers."


def test_first_open_cell_is_shown_with_what_it_printed(maker):
    made = maker.section(
        section(
            "Sampled",
            cell("page.draw()", tags=()),
            cell("x = draw()", printed="0.25 & more"),
            cell("y = 2"),
        )
    )
    [slide] = made
    assert "draw" in slide.shown[0].astext()
    assert "0.25 &amp; more" in slide.shown[1].astext()


def test_prose_alone_is_its_first_sentence_and_the_rest_is_the_speakers(maker):
    [slide] = maker.section(section("Said", paragraph("First of all. Then much more."), paragraph("And more.")))
    assert words(slide) == ["First of all.", "Then much more."]
    assert slide.notes == ["First of all. Then much more.", "And more."]


def test_subsection_has_slides_under_its_own_title(maker):
    made = maker.section(section("Whole", paragraph("One."), section("Part", paragraph("Two."))))
    assert ["".join(part.astext() for part in slide.title) for slide in made] == ["Whole", "Part"]


def test_exercises_and_solutions_are_in_no_slide_and_no_note(maker):
    asked = exercise_node("", paragraph("Asked."))
    solved = solution_node("", paragraph("Solved."))
    page = section(
        "Chapter 1 · One",
        paragraph(nodes.strong("", "The question."), " Why?"),
        section("Found", paragraph("So."), asked, solved),
        section("Exercises", paragraph("Hidden."), asked.deepcopy()),
        section("Summary", paragraph("One thing. Another.")),
    )
    nodes.document(None, None).append(page)
    shown = [slide for stack in maker.stacks(page) for slide in stack]
    told = " ".join([block.astext() for slide in shown for block in slide.shown] + [n for s in shown for n in s.notes])
    assert "Why?" in told
    assert "Another." in told
    for hidden in ("Asked", "Solved", "Hidden"):
        assert hidden not in told


def test_slide_of_many_words_is_set_smaller():
    few, many = (deck.Slide([nodes.Text("T")], [paragraph("word " * count)]) for count in (10, 120))
    assert "denser" not in deck._section(few, "a")[1]["classes"]
    assert "denser" in deck._section(many, "b")[1]["classes"]


def test_slides_need_their_package_and_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(slides, "find_spec", lambda name: None)
    with pytest.raises(book.BuildError, match=r"expected sphinx-revealjs: pip install '\.\[slides\]'"):
        slides.make_slides(tmp_path)


def test_decks_alone_are_gathered_with_what_they_show(tmp_path):
    made, folder = tmp_path / "made", tmp_path / "slides"
    for file in ("_static/a.css", "_images/a.png", "book/page.html", "notebooks/01_one.html"):
        (made / file).parent.mkdir(parents=True, exist_ok=True)
        (made / file).write_text("x")
    slides.gather_decks(made, folder, {"01_one": "Chapter 1 · <One>"})
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    assert files == ["_images/a.png", "_static/a.css", "index.html", "notebooks/01_one.html"]
    assert '<a href="notebooks/01_one.html">Chapter 1 · &lt;One&gt;</a>' in (folder / "index.html").read_text()
    with pytest.raises(book.BuildError, match="expected a deck of each chapter, got none of 02_two"):
        slides.gather_decks(made, folder, {"02_two": "Chapter 2"})
