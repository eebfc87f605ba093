"""The arrows between modules are those of the architecture's level table, and no others; what all of them keep to."""

import ast
import shutil
from pathlib import Path

import pytest
from helpers import PACKAGES, upward_imports

SOURCE = Path(__file__).parents[1] / "src"


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_no_module_imports_upward(package):
    assert upward_imports(SOURCE / package) == []


@pytest.mark.parametrize(
    ("file", "line", "named"),
    [
        ("mixture.py", "from memprior.posterior import log_posterior", "memprior.posterior"),
        ("mixture.py", "from memprior import noise", "memprior.noise"),
        ("mixture.py", "from . import noise", "memprior.noise"),
        ("mixture.py", "from .noise import perturb", "memprior.noise"),
        ("noise.py", "def late():\n    import memprior.fields", "memprior.fields"),
        ("posterior.py", "import memprior.guidance as g", "memprior.guidance"),
        ("guidance.py", "from memprior.posterior import log_posterior", "memprior.posterior"),
        ("sampling.py", "from companion import record", "companion.record"),
        ("sampling.py", "import matplotlib.pyplot as plt", "matplotlib.pyplot"),
        ("figures/extra.py", "from memprior.posterior import log_posterior", "memprior.posterior"),
        ("experiments/extra.py", "from memprior.figures import style", "memprior.figures"),
        ("stray.py", "", "stray"),
    ],
)
def test_an_upward_import_is_reported_with_its_file(tmp_path, file, line, named):
    package = tmp_path / "memprior"
    shutil.copytree(SOURCE / "memprior", package, ignore=shutil.ignore_patterns("__pycache__"))
    culprit = package / file
    culprit.parent.mkdir(exist_ok=True)
    with culprit.open("a", encoding="utf-8") as source:
        source.write(f"\n\n{line}\n")
    (message,) = upward_imports(package)
    assert message.startswith(f"memprior/{file}: ")
    assert named in message


def test_companion_importing_memprior_is_reported(tmp_path):
    package = tmp_path / "companion"
    package.mkdir()
    (package / "run.py").write_text("from memprior.mixture import IsotropicMixture\n", encoding="utf-8")
    assert upward_imports(package) == ["companion/run.py: imports memprior.mixture, a sister package"]


def test_allowed_imports_are_silent(tmp_path):
    package = tmp_path / "memprior"
    for file, line in {
        "guidance.py": "from memprior.sampling import Step",
        "figures/one.py": "import matplotlib\nfrom memprior.figures.style import colours",
        "experiments/one.py": "from memprior.posterior import log_posterior\nfrom memprior._check import expect",
    }.items():
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).write_text(line + "\n", encoding="utf-8")
    assert upward_imports(package) == []


def test_every_distance_states_how_it_is_made():
    """By products, torch's choice from 26 points on, small distances lose their digits."""
    calls = [
        (file.name, node.lineno, {word.arg for word in node.keywords})
        for package in ("memprior", "companion")
        for file in (SOURCE / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", None) == "cdist"
    ]
    assert calls
    assert [call for call in calls if "compute_mode" not in call[2]] == []
