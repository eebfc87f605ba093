"""The import contracts in pyproject.toml hold, and each of them can be broken."""

import shutil
import subprocess
import sys
import tomllib
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
        ("memprior/waves/segy.py", "def late():\n    import segyio", "Heavy packages are imported where"),
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


WITHOUT_EXTRAS = """
import importlib, pkgutil, sys

EXTRAS = {"IPython", "PIL", "deepwave", "eikonalfm", "h5py", "ipywidgets", "matplotlib", "psutil", "segyio", "sklearn"}
EXTRAS |= {"yaml", "zuko"}

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""


def without_extras(work: str) -> str:
    """What ``work`` prints in a Python without pyproject's extras."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS + work],
        env={"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_imports_of_the_library_need_no_extra():
    """Every module but the figures: memprior, posterior, guidance, memorization, paper, waves and what is below."""
    found = without_extras("""
import memprior
names = [info.name for info in pkgutil.walk_packages(memprior.__path__, "memprior.", onerror=lambda name: None)]
for name in names:
    if not name.startswith("memprior.figures."):
        importlib.import_module(name)
print(*sorted(set(names) & set(sys.modules)))
""").split()
    asked = {f"memprior.{name}" for name in ("posterior", "guidance", "memorization", "paper", "waves", "report")}
    assert asked | {"memprior.waves.segy", "memprior.waves.time_domain"} <= set(found)


def test_imports_that_are_missing_are_named_when_they_are_needed():
    said = without_extras("""
import torch
from memprior.paper import published_acquisition, square
from memprior.waves import AcousticOperator, ricker
try:
    AcousticOperator(square(64), published_acquisition(), ricker(6.0, 100, 0.002), 0.002)
except ModuleNotFoundError as error:
    print(error)
try:
    import memprior.figures.style
except ModuleNotFoundError as error:
    print(error)
""").splitlines()
    assert said == [
        "waves.time_domain: expected deepwave, got No module named 'deepwave'; "
        "pip install 'priors-that-remember[waves]'",
        "No module named 'matplotlib'",
    ]


def test_imports_of_the_command_line_leave_torch_to_the_commands_that_compute():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, companion.__main__; print('torch' in sys.modules)"],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_imports_are_the_dependencies_in_pyproject():
    """`pip install .` without extras installs what the library needs, and no more."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [need.split(">=")[0] for need in project["dependencies"]] == ["numpy", "safetensors", "scipy", "torch"]
