"""Types: mypy finds no error in the library, and finds the errors of code that misuses it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


USE = """
import torch

from memprior.guidance import GuidedState, GuidedStep, dps_step
from memprior.likelihood import GaussianLikelihood
from memprior.operators import ForwardOperator, LinearOperator, MatrixOperator, compose
from memprior.sampling import Step, euler_step
from memprior.waves import HelmholtzOperator


def use(own: HelmholtzOperator, matrix: torch.Tensor, likelihood: GaussianLikelihood, x: torch.Tensor) -> None:
    forward: ForwardOperator = compose(own, lambda z: z)
    linear: LinearOperator = MatrixOperator(matrix)
    step: Step = euler_step
    guided: GuidedStep = dps_step(likelihood, scale=1.0, norm="norm", base=step)
    state: GuidedState = guided(lambda x, sigma: x, forward(x), x, x, generator=None)
    step(lambda x, sigma: x, linear(state.misfit), x, x, generator=None)
"""
# Replacements of a line of USE: errors of a user that mypy reports.
WRONG = {
    "an_operator_that_is_no_function_of_tensors": ("= compose(own, lambda z: z)", "= likelihood"),
    "a_matrix_that_is_not_brought": ("= MatrixOperator(matrix)", "= own"),
    "an_unguided_step": ('= dps_step(likelihood, scale=1.0, norm="norm", base=step)', "= euler_step"),
    "a_misfit_of_an_unguided_step": ("= guided(lambda", "= step(lambda"),
    "a_generator_that_is_a_seed": ("x, x, generator=None)\n    step", "x, x, generator=0)\n    step"),
}


def test_types_hold_in_the_library_and_catch_misuse_of_operators_and_steps(tmp_path):
    """Any name for an operator's argument; a matrix only where the operator has one; a misfit only in a guided state.

    One run of mypy, as pyproject.toml sets it, for all: the first one reads torch, which takes most of a minute.
    """
    (tmp_path / "right.py").write_text(USE)
    for name, (right, wrong) in WRONG.items():
        assert USE.count(right) == 1
        (tmp_path / f"{name}.py").write_text(USE.replace(right, wrong))
    library = ROOT / "src" / "memprior"
    command = [sys.executable, "-m", "mypy", str(library), *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    found = [Path(line.split(":")[0]).stem for line in said.splitlines() if " error: " in line]
    assert sorted(found) == sorted(WRONG), said
    assert f"checked {len(list(library.rglob('*.py'))) + len(WRONG) + 1} source files" in said


def test_types_are_shipped_with_py_typed():
    """The marker by which type checkers read an installed package."""
    assert (ROOT / "src" / "memprior" / "py.typed").is_file()
