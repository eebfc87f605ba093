"""Sources are read, or the file and the line of the error are named."""

import pytest

from companion.sources import SourceError, parse, read_notebook, read_yaml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n<<<<<<< HEAD\nb: 2\n", r"profiles.yml, line 3: expected YAML"),
        ("tiny: {quick: [\n", r"profiles.yml, line 2: expected YAML"),
        ("", "profiles.yml: expected entries, got an empty file"),
    ],
)
def test_read_yaml_names_the_line_of_an_error(tmp_path, text, message):
    file = tmp_path / "notebooks" / "profiles.yml"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(SourceError, match=f"^notebooks/{message}"):
        read_yaml(file)


def test_read_yaml_keeps_types(tmp_path):
    (tmp_path / "a.yml").write_text("{a: 20_000, b: [1.5, x], c: true, d: γ}")
    assert read_yaml(tmp_path / "a.yml") == {"a": 20_000, "b": [1.5, "x"], "c": True, "d": "γ"}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"cells": []}\n<<<<<<< HEAD'])
def test_read_notebook_names_a_file_that_is_none(tmp_path, text):
    (tmp_path / "01_a.ipynb").write_text(text)
    with pytest.raises(SourceError, match=r"^01_a.ipynb: expected a notebook in JSON, got: "):
        read_notebook(tmp_path / "01_a.ipynb")


def test_sources_that_are_missing_are_named(tmp_path):
    with pytest.raises(SourceError, match=r"^a.yml: expected a YAML file, found none"):
        read_yaml(tmp_path / "a.yml")
    with pytest.raises(SourceError, match=r"^a.ipynb: expected a notebook, found none"):
        read_notebook(tmp_path / "a.ipynb")


def test_parse_names_the_line_of_a_conflict_mark():
    with pytest.raises(SourceError, match=r"^src/memprior/a.py: expected Python, got .* in its line 2: <<<<<<< HEAD"):
        parse("x = 1\n<<<<<<< HEAD\n", "src/memprior/a.py")


def test_parse_accepts_lines_for_ipython():
    tree = parse("%matplotlib inline\n!ls\nx = (5\n    % 3)", "01_a.ipynb")
    assert len(tree.body) == 3
