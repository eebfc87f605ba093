"""The graded exercises: the reference is right, typical mistakes and another cohort's answers are not."""

import itertools
import math

import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from tiny_book import REPOSITORY

from companion.course import graded
from companion.course.answers import AnswerError, hand_in, read_answers
from companion.course.exercise import Answer, ParameterDraw, three_digits
from companion.course.notebooks import assignment, heading, notebook_file, solution
from companion.course.strip import cut_solutions
from companion.sources import SourceError

SEEDS = (2027, 2028)
EACH = pytest.mark.parametrize("exercise", graded.GRADED, ids=lambda exercise: exercise.id)


def right(exercise, given, expected):
    return all(answer.holds(given[name], expected[name]) for name, answer in exercise.answers.items())


def test_graded_exercises_cover_six_chapters_at_three_levels():
    assert len(graded.GRADED) >= 12
    assert {exercise.chapter for exercise in graded.GRADED} == {f"0{n}" for n in range(1, 7)}
    assert {exercise.level for exercise in graded.GRADED} == {1, 2, 3}
    assert len({exercise.id for exercise in graded.GRADED}) == len(graded.GRADED)


@EACH
def test_graded_answers_depend_on_the_seed_and_mistakes_are_wrong(exercise):
    one, other = (exercise.expected(seed) for seed in SEEDS)
    assert {name: tuple(value.shape) for name, value in one.items()} == {
        name: answer.shape for name, answer in exercise.answers.items()
    }
    assert right(exercise, exercise.expected(SEEDS[0]), one)
    assert not right(exercise, other, one)
    assert not right(exercise, {name: torch.zeros_like(value) for name, value in one.items()}, one)
    assert exercise.mistakes
    for mistake, wrong in exercise.mistaken(SEEDS[0]).items():
        assert not right(exercise, wrong, one), mistake


@EACH
def test_graded_exercise_points_at_a_section_that_exists(exercise):
    text = notebook_file(REPOSITORY, exercise.chapter).read_text("utf-8")
    assert f"({exercise.page})=" in text
    assert exercise.answers.keys() <= set(solution(exercise).replace(",", " ").split())
    assert all(answer.why for answer in exercise.answers.values())
    assert all(f"`{name}`" in exercise.statement for name in exercise.answers)


def given(exercise):
    return exercise.parameters(7), exercise.expected(7)


def of(name):
    return graded.BY_ID[name]


def test_graded_lookup_is_bayes_rule_by_hand():
    p, found = given(of("ch03_lookup_on_a_line"))
    x = p["train_set"][:, 0]
    weights = torch.softmax(-((p["observed"] - x - 0.3 * x**3) ** 2) / (2 * p["noise_std"] ** 2), 0)
    torch.testing.assert_close(found["weights"], weights)
    torch.testing.assert_close(found["effective"], (-(weights * weights.log()).sum()).exp())


def test_graded_undecided_data_have_equal_evidence_by_hand():
    p, found = given(of("ch03_undecided_data"))
    x, y = p["train_set"][:, 0], found["by_linearization"]
    variance = (p["sigma"] * (1 + 0.9 * x**2)) ** 2 + p["noise_std"] ** 2
    evidence = -((y - x - 0.3 * x**3) ** 2) / (2 * variance) - 0.5 * variance.log()
    assert float(evidence[0] - evidence[1]) == pytest.approx(0, abs=1e-9)


def test_graded_gradient_is_a_difference_quotient():
    p, found = given(of("ch04_guidance_gradient"))
    for axis in range(2):
        step = torch.zeros(1, 2, dtype=torch.float64)
        step[0, axis] = 1e-5
        up, down = (graded.guidance_gradient(**p | {"x": p["x"] + sign * step})["fit"] for sign in (1, -1))
        assert float((up - down).detach()) / 2e-5 == pytest.approx(float(found["gradient"][axis]), rel=1e-6)


def test_graded_coverage_is_a_share_of_simulated_truths():
    p, found = given(of("ch06_assumed_spread"))
    generator = torch.Generator().manual_seed(0)
    truth, noise = torch.randn(2, 200_000, dtype=torch.float64, generator=generator)
    data = p["spread"] * truth + p["noise_std"] * noise
    gain = p["assumed"] ** 2 / (p["assumed"] ** 2 + p["noise_std"] ** 2)
    error = p["spread"] * truth - gain * data
    inside = (error.abs() <= 1.644854 * math.sqrt(gain) * p["noise_std"]).double().mean()
    assert float(inside) == pytest.approx(float(found["coverage"]), abs=4 * 0.5 / math.sqrt(200_000))
    assert float(error.square().mean().sqrt()) == pytest.approx(float(found["rms"]), rel=4 / math.sqrt(400_000))


def test_graded_denoiser_with_data_is_one_least_squares_problem():
    p, found = given(of("ch05_noised_and_measured"))
    eye = torch.eye(2, dtype=torch.float64)
    precision = torch.linalg.inv(p["covariance"]) + eye / p["sigma"] ** 2
    precision = precision + p["matrix"].T @ p["matrix"] / p["noise_std"] ** 2
    pull = p["x"][0] / p["sigma"] ** 2 + p["matrix"].T @ p["observed"] / p["noise_std"] ** 2
    torch.testing.assert_close(found["mean"], torch.linalg.solve(precision, pull))
    torch.testing.assert_close(found["variances"], torch.linalg.inv(precision).diagonal())


def test_graded_swap_test_is_exact_over_all_labelings():
    p, found = given(of("ch04_all_labelings"))
    x, models = p["samples"], torch.cat([p["train_set"], p["held_out"]])
    apart = (x - models.T).abs()
    statistics = []
    for chosen in itertools.combinations(range(6), 3):
        rest = [n for n in range(6) if n not in chosen]
        statistics.append(float((apart[:, rest].amin(1) / apart[:, list(chosen)].amin(1)).log().mean()))
    assert statistics[0] == pytest.approx(float(found["statistic"]))
    assert float(found["p"]) == sum(t >= statistics[0] - 1e-9 for t in statistics) / 20


def test_graded_flow_is_euler_by_hand():
    p, found = given(of("ch02_probability_flow"))
    x = p["x"][0]
    for level, below, after in zip(p["sigmas"], p["sigmas"][1:], found["path"], strict=False):
        w = torch.softmax(-((x - p["train_set"]) ** 2).sum(1) / (2 * level**2), 0)
        x = x + (below - level) * (x - w @ p["train_set"]) / level
        torch.testing.assert_close(x, after)


def test_exercise_parameters_are_printed_without_loss():
    draw = ParameterDraw(torch.Generator().manual_seed(0))
    assert all(round(value, 3) == value for value in draw.points(50, 1, -2.0, 2.0).flatten().tolist())
    line = draw.line(5, -1.6, 1.6)[:, 0]
    assert bool((line.diff() > 0.25).all())
    assert draw.number(1.0, 2.0) != draw.number(1.0, 2.0)


def test_answers_within_the_tolerance_are_right_and_nan_is_not():
    answer, reference = three_digits(2), torch.tensor([1.0, -2.0])
    assert answer.holds(torch.tensor([1.004, -2.009]), reference)
    assert not answer.holds(torch.tensor([1.006, -2.0]), reference)
    assert not answer.holds(torch.tensor([math.nan, -2.0]), reference)
    assert Answer(absolute=0.1).holds(torch.tensor(0.05), torch.tensor(0.0))


def test_answers_are_numbers_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = hand_in("e", a=torch.tensor([1.0, 2.0]), b=3, c=[[1], [2]])
    assert read_answers(file) == {"a": [1.0, 2.0], "b": 3.0, "c": [[1.0], [2.0]]}
    for value, came in {"text": "str", True: "bool", None: "NoneType", math.inf: "inf"}.items():
        with pytest.raises(AnswerError, match=f"a: expected .*numbers?.*, got {came}"):
            hand_in("e", a=value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON, got JSONDecodeError"),
        ("[" * 100_000, "expected JSON, got RecursionError"),
        ("[1]", "expected values by name, got list"),
        ('{"a": NaN}', "a: expected finite numbers, got nan"),
        ('{"a": "1"}', "a: expected a number or an array of numbers, got str"),
        ('{"a": 1' + "0" * 400 + "}", "a: expected a number or an array of numbers, got int"),
        (" " * 1_000_001, "expected at most 1000000 bytes, got 1000001"),
    ],
)
def test_answers_that_are_no_numbers_are_named(tmp_path, content, message):
    (tmp_path / "e.json").write_text(content)
    with pytest.raises(AnswerError, match=message):
        read_answers(tmp_path / "e.json")
    (tmp_path / "link.json").symlink_to(tmp_path / "e.json")
    with pytest.raises(AnswerError, match="expected a file, got none"):
        read_answers(tmp_path / "link.json")


def test_assignment_for_students_has_no_line_of_a_solution():
    whole = assignment("03", "Title", 1, notes=False)
    blank = cut_solutions(whole, "graded_03").notebook
    sources = "\n".join(cell.source for cell in blank.cells)
    for exercise in graded.GRADED:
        if exercise.chapter == "03":
            assert all(line not in sources for line in solution(exercise).splitlines() if len(line) > 25)
            assert f'hand_in("{exercise.id}"' in sources
            assert exercise.statement in sources
    assert "SOLUTION" not in sources
    assert sources.count("raise NotImplementedError") == 3
    locked = [cell for cell in blank.cells if cell.metadata["nbgrader"]["locked"]]
    assert all("hand_in" in c.source for c in locked if c.metadata["nbgrader"]["grade"])
    assert len({cell.metadata["nbgrader"]["grade_id"] for cell in blank.cells}) == len(blank.cells)


def test_assignment_of_another_seed_has_other_parameters():
    one, other = (assignment("06", "T", seed).cells for seed in SEEDS)
    parameters = [cell.source for cell in one if "parameters" in cell.id]
    assert parameters
    assert all(mine.source != theirs.source for mine, theirs in zip(one, other, strict=True) if "parameters" in mine.id)


def test_heading_is_the_section_of_a_label_or_the_chapter():
    assert heading(REPOSITORY, "03", "sec-lookup") == "The lookup"
    assert heading(REPOSITORY, "03", "no-such") == "Chapter 3 · The posterior linearized"
    with pytest.raises(SourceError, match=r"chapters: expected some of 01, .*, got '9'"):
        notebook_file(REPOSITORY, "9")


GROUP = "````{solution-start} ex-a\n:label: sol-a\n````\nThe answer in a sentence of some length."
CLOSE = "````{solution-end}\n````"


def notebook(*cells):
    return new_notebook(cells=[new_markdown_cell(c) if c[:1] != ">" else new_code_cell(c[1:]) for c in cells])


def test_strip_cuts_whole_groups_prose_and_code():
    cells = ["# Title", GROUP, ">x = 1", "more prose", CLOSE + "\n\nAfter.", ">y = 2"]
    stripped = cut_solutions(notebook(*cells), "n")
    assert [cell.source for cell in stripped.notebook.cells] == ["# Title", "After.", "y = 2"]
    assert any("answer in a sentence" in cell.source for cell in stripped.solutions)
    assert {"x = 1", "more prose"} <= {cell.source for cell in stripped.solutions}
    both = cut_solutions(notebook(f"Before.\n\n{GROUP}\n\n{CLOSE}\n\nAfter."), "n")
    assert "answer" not in both.notebook.cells[0].source
    assert "Before." in both.notebook.cells[0].source
    marked = cut_solutions(notebook(">a = 1\n# BEGIN SOLUTION\nb = 2\n# END SOLUTION\nc = 3"), "n")
    assert marked.notebook.cells[0].source == "a = 1\n# your code here\nraise NotImplementedError\nc = 3"


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([GROUP], "n: expected every solution-start to be closed"),
        ([CLOSE], "n: expected solution-start and solution-end in turn, got end twice"),
        ([GROUP, GROUP, CLOSE], "got start twice"),
        (["># BEGIN SOLUTION\nx = 1"], "n: expected # BEGIN SOLUTION and # END SOLUTION in turn"),
    ],
)
def test_strip_refuses_groups_that_are_not_closed(cells, message):
    with pytest.raises(SourceError, match=message):
        cut_solutions(notebook(*cells), "n")
