"""The user's shell and home do not affect a run."""

import os
from pathlib import Path

import nbformat
import pytest
from tiny_book import NAME, WORK, companion, write_book

from companion import environment

FIGURE = "\nimport matplotlib.pyplot as plt\nfigure, ax = plt.subplots()\nax.plot([0, 1]);"


def with_figure(root: Path, work: str = WORK + FIGURE) -> Path:
    """A tiny book whose cell of work promises a figure."""
    file = write_book(root, work=work) / "notebooks" / f"{NAME}.ipynb"
    notebook = nbformat.read(file, as_version=4)
    notebook.cells[3].metadata["mystnb"] = {"figure": {"name": "fig-line"}}
    nbformat.write(notebook, file)
    return root


def test_environment_of_a_run_has_its_own_configuration(tmp_path, monkeypatch):
    for name in ("MPLBACKEND", "PYTHONSTARTUP", "PYTHONOPTIMIZE", "IPYTHONDIR", "JUPYTER_PATH", "LC_NUMERIC"):
        monkeypatch.setenv(name, "mine")
    monkeypatch.setenv("PYTHONPATH", "said by who calls companion")
    before = dict(os.environ)
    with environment.of_run(tmp_path, {"COMPANION_RUN": "here"}):
        assert os.environ["MPLBACKEND"] == "module://matplotlib_inline.backend_inline"
        assert Path(os.environ["MATPLOTLIBRC"]).is_file()
        assert {"PYTHONSTARTUP", "PYTHONOPTIMIZE", "JUPYTER_PATH", "LC_NUMERIC"}.isdisjoint(os.environ)
        assert os.environ["IPYTHONDIR"] != "mine"
        assert os.environ["PYTHONPATH"] == "said by who calls companion"
        assert (os.environ["PYTHONUTF8"], os.environ["COMPANION_RUN"]) == ("1", "here")
    assert dict(os.environ) == before


def test_run_shows_the_same_figure_in_a_hostile_home(tmp_path, monkeypatch):
    """A backend that shows nothing, red axes, a start-up script that fails, a foreign kernel of the same name."""
    home = tmp_path / "home"
    for file, text in {
        ".config/matplotlib/matplotlibrc": "axes.facecolor: red\nfigure.dpi: 30\n",
        ".ipython/profile_default/startup/00.py": "raise RuntimeError('of mine')",
        ".local/share/jupyter/kernels/python3/kernel.json": '{"argv": ["/bin/false"], "display_name": "of mine"}',
    }.items():
        (home / file).parent.mkdir(parents=True)
        (home / file).write_text(text)

    def cell_of(root):
        done = companion(with_figure(root), "run", NAME, kernel=True)
        assert done.returncode == 0, done.stderr
        return nbformat.read(root / f"_build/run/quick/{NAME}/{NAME}.ipynb", as_version=4).cells[4].outputs

    (tmp_path / "plain").mkdir()
    plain = cell_of(tmp_path / "plain")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("MATPLOTLIBRC", str(home / ".config" / "matplotlib"))
    monkeypatch.setenv("JUPYTER_PATH", str(home / ".local" / "share" / "jupyter"))
    (tmp_path / "hostile").mkdir()
    assert cell_of(tmp_path / "hostile") == plain
    (shown,) = (output.data for output in plain if "image/png" in output.get("data", {}))
    assert shown["text/plain"].startswith("<Figure size ")


def test_run_fails_if_a_cell_does_not_show_its_figure(tmp_path):
    done = companion(with_figure(tmp_path, WORK + "\n'a text'"), "run", NAME, kernel=True)
    assert done.returncode == 1
    assert f"{NAME}: cell 5: expected it to show the figure 'fig-line', got text/plain" in done.stderr
    assert not (tmp_path / "_build" / "run" / "quick" / NAME / "results.json").exists()


@pytest.mark.parametrize("threads", ["1", "7"])
def test_run_at_profile_quick_has_one_thread_in_any_shell(tmp_path, monkeypatch, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    root = write_book(tmp_path, work=WORK + "\nimport os\nassert os.environ['OMP_NUM_THREADS'] == '1'")
    done = companion(root, "run", NAME, kernel=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("variable", ["OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"])
def test_environment_leaves_no_thread_to_a_shell_but_torchs(tmp_path, monkeypatch, variable):
    monkeypatch.setenv(variable, "7")
    surroundings = environment.clean(tmp_path, tmp_path)
    assert surroundings["OPENBLAS_NUM_THREADS"] == "1"
    assert "MKL_NUM_THREADS" not in surroundings
