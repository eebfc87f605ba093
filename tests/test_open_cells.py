"""Open cells are executed as a reader would copy them, or the cell that cannot be is named."""

import nbformat
import open_cells
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook
from open_cells import library_cells

PARAMETERS = ("parameters", 'profile = "quick"\nseed = 3\noverrides = {}')
SETUP = ("hide-cell", "from companion import record\nrun = record")
DRAW = (
    "library",
    """import torch
from memprior.noise import perturb

num_draws, spread = 40, 0.5
levels: tuple = (1.0, 2.0)
draws = perturb(torch.zeros(num_draws, 2), spread, generator=torch.Generator().manual_seed(seed))""",
)
TABLE = ("", "table = run.settings")
MEAN = ("library", "%matplotlib inline\nwidths = [float(draws.std()) * level for level in levels]\nwidths")


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes the notebook 01_a of (tag, source) cells."""
    monkeypatch.setattr(open_cells, "NOTEBOOKS", tmp_path)

    def written(*cells):
        made = [new_code_cell(source, metadata={"tags": [tag] if tag else []}) for tag, source in cells]
        nbformat.write(new_notebook(cells=made), tmp_path / "01_a.ipynb")

    return written


def test_library_cells_execute_in_order_and_nothing_else_does(write):
    write(PARAMETERS, SETUP, DRAW, TABLE, MEAN)
    found = library_cells("01_a")
    assert found.keys() >= {"seed", "num_draws", "spread", "draws", "widths"}
    assert not found.keys() & {"run", "table", "__builtins__"}
    assert found["draws"].shape == (40, 2)
    assert found["widths"][1] == 2 * found["widths"][0]


def test_library_cells_start_as_a_kernel_does(write):
    write(("library", "import matplotlib, torch\nseen = torch.zeros(1).dtype, torch.get_num_threads()"))
    assert library_cells("01_a")["seen"] == (torch.float32, 1)
    assert torch.get_default_dtype() == torch.float64  # the tests' own, again
    write(("library", "import matplotlib as mpl\nseen = mpl.get_backend().lower()"))
    assert library_cells("01_a")["seen"] == "agg"


def test_library_cells_share_nothing_between_calls(write):
    write(("library", "count = globals().get('count', 0) + 1"))
    assert library_cells("01_a")["count"] == library_cells("01_a")["count"] == 1


def test_library_cells_take_other_literals(write):
    write(PARAMETERS, DRAW, MEAN)
    other = library_cells("01_a", num_draws=8, levels=[3.0], seed=4)
    assert other["draws"].shape == (8, 2)
    assert other["num_draws"] == 8
    assert other["spread"] == 0.5
    assert len(other["widths"]) == 1
    assert not torch.equal(other["draws"], library_cells("01_a", num_draws=8)["draws"])


@pytest.mark.parametrize("name", ["num_drawn", "draws", "widths"])
def test_library_cells_name_an_override_that_meets_no_literal(write, name):
    write(PARAMETERS, DRAW, MEAN)
    with pytest.raises(ValueError, match=f"01_a: expected an assignment of a literal to {name} in its open cells"):
        library_cells("01_a", **{name: 1})


def test_library_cells_leave_a_literal_inside_a_function(write):
    write(("library", "def f():\n    size = 3\n    return size"))
    with pytest.raises(ValueError, match="assignment of a literal to size"):
        library_cells("01_a", size=1)


@pytest.mark.parametrize(
    "source", ["from chapters.ch01 import page", "import companion", "run.chapters", "# see the chapters"]
)
def test_library_cells_refuse_what_is_of_the_book(write, source):
    write(PARAMETERS, ("library", source))
    with pytest.raises(ValueError, match=r"01_a, cell .*expected a cell that uses the library alone, got one that"):
        library_cells("01_a")


def test_library_cells_refuse_a_notebook_without_any(write):
    write(PARAMETERS, TABLE)
    with pytest.raises(ValueError, match="01_a: expected cells with the tag 'library', got none"):
        library_cells("01_a")


def test_library_cells_name_the_cell_that_fails(write):
    write(PARAMETERS, ("library", "run.settings"))
    with pytest.raises(NameError, match="run") as caught:
        library_cells("01_a")
    assert caught.value.__notes__[0].startswith("in 01_a, cell ")
