"""Sliders: frames that stand on their own, and the same call live."""

import json
import re
import subprocess
import sys

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_notebook
from tiny_book import environment

from companion import record
from companion.frames import Frames


def draw(value):
    figure, ax = plt.subplots(figsize=(3, 2))
    ax.plot([0, value], [0, 1])
    return figure


def alt(value):
    return f"A straight line from the origin to x = {value}"


@pytest.fixture
def static(monkeypatch):
    monkeypatch.setattr(record, "unattended", lambda: True)


def test_frames_are_all_in_the_page_and_one_is_shown(static):
    frames = Frames(draw, [1, 2, 3], name="end <x>", alt=alt)
    page = BeautifulSoup(frames.markup(), "html.parser")
    images = page.select("figure.frames img")
    assert [image["alt"] for image in images] == [alt(1), alt(2), alt(3)]
    assert [image.has_attr("hidden") for image in images] == [True, False, True]
    assert all(image["src"].startswith("data:image/png;base64,") for image in images)
    assert len({image["src"] for image in images}) == 3
    slider = page.select_one("input[type=range]")
    assert (slider["min"], slider["max"], slider["value"], slider["aria-valuetext"]) == ("0", "2", "1", "2")
    assert page.select_one(f'label[for="{slider["id"]}"]').text == "end <x>"
    assert page.select_one(f'output[for="{slider["id"]}"]').text == "2"
    assert json.loads(slider["data-labels"]) == ["1", "2", "3"]
    assert not re.search(r"https?://", frames.markup())


def test_frames_are_reproducible_and_other_sliders_have_other_names(static):
    one, two, other = (Frames(draw, values, name="x", alt=alt).markup() for values in ([1, 2], [1, 2], [1, 3]))
    assert one == two
    ids = {BeautifulSoup(markup, "html.parser").select_one("input")["id"] for markup in (one, other)}
    assert len(ids) == 2


def test_frames_print_the_one_shown_first(static, monkeypatch):
    shown = {}
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.update(data))
    frames = Frames(draw, [1, 2, 3], name="x", alt=alt, start=-1)
    frames._ipython_display_()
    assert shown["image/png"] == frames.pictures[2]
    assert alt(3) in shown["text/plain"]


def test_frames_are_a_widget_with_a_live_kernel(monkeypatch):
    monkeypatch.setattr(record, "unattended", lambda: False)
    drawn = []

    def watched(value):
        drawn.append(value)
        return draw(value)

    frames = Frames(watched, [1, 2, 3], name="x", alt=alt)
    assert drawn == []  # nothing is drawn before it is shown
    slider, picture = frames.widget().children
    first = bytes(picture.value)
    slider.value = 3
    assert drawn == [2, 3]
    assert bytes(picture.value).startswith(b"\x89PNG")
    assert bytes(picture.value) != first


SLIDER = """
import matplotlib.pyplot as plt
from companion.frames import Frames

def draw(value):
    figure, ax = plt.subplots(figsize=(3, 2))
    ax.plot([0, value], [0, 1])
    return figure

Frames(draw, [1, 2, 3], name="x", alt=lambda value: f"A straight line from the origin to x = {value}")
"""


@pytest.mark.parametrize("runner", [["nbconvert", "--to", "notebook", "--execute"], ["papermill"]], ids=lambda r: r[0])
def test_slider_does_not_block_a_notebook_executed_by_hand(tmp_path, runner):
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [new_code_cell(SLIDER), new_code_cell("'the end'")]
    nbformat.write(new_notebook(cells=cells, metadata=kernel), tmp_path / "a.ipynb")
    output = ["--output", "b.ipynb"] if runner[0] == "nbconvert" else ["b.ipynb"]
    options = [] if runner[0] == "nbconvert" else ["--no-progress-bar"]
    done = subprocess.run(
        [sys.executable, "-m", *runner, "a.ipynb", *output, *options],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=300,  # it takes seconds; the old slider never ended
        check=False,
    )
    assert done.returncode == 0, done.stderr
    executed = nbformat.read(tmp_path / "b.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].data["text/plain"] == "'the end'"


@pytest.mark.parametrize(
    ("values", "words", "message"),
    [
        ([1], alt, "values: expected at least two frames, got 1"),
        ([1, 2], lambda value: f"line {value}", "alt: expected a text of at least 20 characters"),
        ([1, 2], lambda value: "the same words for every frame", "all different"),
    ],
)
def test_frames_without_values_or_descriptions_are_refused(values, words, message):
    with pytest.raises(ValueError, match=message):
        Frames(draw, values, name="x", alt=words)
