"""Who may import whom: the contracts in pyproject.toml hold, and each of them can be broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lint(root: Path) -> tuple[int, str]:
    """Exit status and words of import-linter on the packages below ``root``/src."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", root / "pyproject.toml"],
        cwd=root / "src",
        env={"PYTHONPATH": str(root / "src"), "COLUMNS": "300", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_imports_keep_the_contracts():
    status, said = lint(ROOT)
    assert status == 0, said


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("memprior/mixture.py", "from memprior import sampling", "The levels of the library"),
        ("memprior/noise.py", "def late():\n    import memprior.fields", "The levels of the library"),
        ("memprior/extra.py", "", "The levels of the library"),
        ("memprior/guidance/extra.py", "import memprior.posterior", "What is known about the posterior"),
        ("memprior/sampling.py", "from companion import record", "Chapters stand on the library"),
        ("companion/claims.py", "from chapters.ch04_dps_fwi import study", "Chapters stand on the library"),
        ("chapters/ch05_samplers/extra.py", "from chapters.ch04_dps_fwi import study", "No chapter imports a chapter"),
        ("memprior/sampling.py", "import matplotlib.pyplot as plt", "Heavy packages are imported where"),
        ("memprior/networks.py", "import zuko", "Heavy packages are imported where"),
    ],
)
def test_imports_that_break_a_contract_are_named(tmp_path, file, line, contract):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "src" / file).open("a", encoding="utf-8") as source:
        source.write(f"\n\n{line}\n")
    status, said = lint(tmp_path)
    assert status == 1, said
    broken = [words for words in said.splitlines() if " BROKEN" in words]
    assert any(words.startswith(contract) for words in broken), said
    assert Path(file).stem in said
