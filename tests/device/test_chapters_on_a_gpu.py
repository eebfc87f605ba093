"""Every chapter's cells run on a GPU, at tiny sizes, and the numbers are those of the CPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHAPTERS = sorted(file.stem for file in (ROOT / "notebooks").glob("*.ipynb"))
COMPARED = ("01_maximum_likelihood", "03_linearized_posterior")
CLOSE = 1e-9  # the fake GPU rounds as the CPU does: what is left is the order of what threads add up


def executed(name, device, folder):
    """report.json and the claims of a chapter's run."""
    command = [sys.executable, str(HERE / "run_chapter.py"), name, device, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=290, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    claims = folder / "results.json"
    return json.loads((folder / "report.json").read_text()), json.loads(claims.read_text())["claims"]


def test_compared_chapters_exist():
    assert set(COMPARED) <= set(CHAPTERS)


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter_runs_every_cell_on_a_gpu(name, tmp_path):
    report, claims = executed(name, "cuda", tmp_path / "cuda")
    assert not report["failed"], "\n".join(f"cell {index}:\n{text}" for index, text in report["failed"].items())
    assert sum(report["op"].values()) > 1000, "expected work on the GPU"
    assert claims
    if name in COMPARED:
        on_cpu, expected = executed(name, "cpu", tmp_path / "cpu")
        assert not on_cpu["failed"]
        assert claims == pytest.approx(expected, rel=CLOSE, abs=CLOSE, nan_ok=True)
