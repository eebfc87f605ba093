"""Assertions, small problems and independent reference formulas that several test files share."""

import json
import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from companion.jobs import side_by_side
from companion.store import Store
from memprior.fields import CosineBasis, Grid
from memprior.operators import CoupledQuadraticOperator, CubicOperator, MatrixOperator, compose
from memprior.paper import published_coefficients

# Environment of a subprocess that imports what the tests import.
PATHS = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]), "OMP_NUM_THREADS": "1"}

# A sum of a few thousand float64 terms: each may add one rounding.
ROUNDING = 2**12 * torch.finfo(torch.float64).eps

# Batch sizes of the solves by which a likelihood checks, before its first gradient, that torch differentiates all of F.
TRACE_CHECK = [1, 1, 1]

MATRIX = torch.tensor(
    [[1.0, -0.5, 0.2], [0.3, 2.0, 0.0], [0.0, 0.7, -1.1], [0.4, 0.4, 0.4], [-2.0, 0.1, 0.6]], dtype=torch.float64
)


def by_numpy(x):
    return torch.from_numpy(x.detach().numpy() @ MATRIX.numpy().T)


class BySimulator:
    """F(x) = MATRIX x outside torch, with the ``jacobian`` method that such an operator needs."""

    def __call__(self, x):
        return by_numpy(x)

    def jacobian(self, x):
        return MATRIX.expand(len(x), *MATRIX.shape)


# Operators (B, 3) -> (B, 5) with data, some of them or a part of each, computed outside torch's graph.
DETACHED = {
    "numpy": by_numpy,
    "no_grad": torch.no_grad()(lambda x: x @ MATRIX.T),
    "rows by numpy": lambda x: torch.cat([x @ MATRIX[:3].T, by_numpy(x)[:, 3:]], 1),
    "one row by numpy": lambda x: torch.cat([x @ MATRIX[:4].T, by_numpy(x)[:, 4:]], 1),
    "one coordinate by numpy": lambda x: x[:, :2] @ MATRIX[:, :2].T + by_numpy(x * torch.tensor([0.0, 0.0, 1.0])),
    "half of each by numpy": lambda x: 0.5 * (x @ MATRIX.T + by_numpy(x)),
    "after numpy": compose(MatrixOperator(MATRIX), lambda x: torch.from_numpy(2 * x.detach().numpy())),
    "after half of numpy": compose(
        MatrixOperator(MATRIX), lambda x: torch.cat([x[:, :2], torch.from_numpy(2 * x[:, 2:].detach().numpy())], 1)
    ),
}
UNTRACED = (
    "^forward: expected data that depend on x by torch operations, or a .jacobian of its own, got .*(<lambda>|by_numpy)"
)
every_detached = pytest.mark.parametrize("forward", DETACHED.values(), ids=DETACHED)


def _squared_pixels(fields):
    return fields.flatten(1)[:, ::4] ** 2


# Every operator of the library, with the size of the x it takes: a new operator joins all shared checks by one line.
OPERATORS = {
    "cubic": (CubicOperator(), 1),
    "coupled": (CoupledQuadraticOperator(), 2),
    "matrix": (MatrixOperator(MATRIX), 3),
    "matrix after coupled": (compose(MatrixOperator(MATRIX[:, :2].contiguous()), CoupledQuadraticOperator()), 2),
    "pixels after basis": (compose(_squared_pixels, CosineBasis(Grid((5, 4), 0.5), 2).decode), 4),
}
every_operator = pytest.mark.parametrize(("operator", "size"), OPERATORS.values(), ids=OPERATORS)


def assert_same(actual, expected, *, rounding: float = ROUNDING) -> None:
    """Equal up to rounding, relative to the largest entry."""
    actual, expected = actual.detach(), torch.as_tensor(expected).detach()
    largest = float(expected.abs().max())
    torch.testing.assert_close(actual, expected, rtol=0, atol=rounding * largest)


def assert_adjoint(forward, x, generator) -> None:
    """<J v, w> = <v, J^T w>: forward mode on the left, reverse mode on the right."""
    v = torch.randn(x.shape, generator=generator)
    data, tangent = torch.func.jvp(forward, (x,), (v,))
    w = torch.randn(data.shape, generator=generator)
    (cotangent,) = torch.func.vjp(forward, x)[1](w)
    left, right = (tangent * w).sum(), (v * cotangent).sum()
    assert abs(left - right) <= ROUNDING * tangent.norm() * w.norm()


def assert_derivative(function, directional, x, generator) -> None:
    """f(x + h v) - f(x) - h f'(x)[v] falls as h^2 along random v, or is rounding, for each member of the batch.

    ``directional(x, v)`` is f'(x)[v]. The remainder is a h^2 + b h^3, so its order when h is halved is 2 + O(h b / a):
    above 1.9 unless a is a thousandth of b. A slope wrong by more than some 1e-5 shows as order 1.
    """
    steps = (1e-4, 5e-5)
    for _ in range(5):
        v = torch.randn(x.shape, generator=generator)
        value, slope = function(x), directional(x, v)
        remainders = [(function(x + h * v) - value - h * slope).abs().reshape(len(x), -1).sum(1) for h in steps]
        floor = ROUNDING * (1 + value.abs().reshape(len(x), -1).sum(1))
        order = torch.log2(remainders[0] / remainders[1])
        assert bool(((order > 1.9) | (remainders[0] < floor)).all()), order


def assert_batch_independent(function, x) -> None:
    """A batch equals its members one by one, up to the order in which a product is summed."""
    assert_same(function(x), torch.cat([function(one[None]) for one in x]))


def assert_step_batch_independent(step, denoiser, x, sigma, sigma_next, monkeypatch, generator) -> None:
    """One sampler step of a batch equals the steps of its members, each with its own rows of the same noise."""
    noises = [torch.randn(x.shape, generator=generator) for _ in range(4)]

    def stepped(rows):
        draws = iter(noises)

        def same_noise(*_, **__):
            return next(draws)[rows]

        with monkeypatch.context() as patch:
            patch.setattr(torch, "randn", same_noise)
            return step(denoiser, x[rows], sigma, sigma_next, generator=generator)

    whole = stepped(slice(None))
    members = [stepped(slice(i, i + 1)) for i in range(len(x))]
    assert_same(whole.x, torch.cat([member.x for member in members]))
    assert_same(whole.denoised, torch.cat([member.denoised for member in members]))


def assert_mean(draws, expected) -> None:
    """The mean of ``draws`` (S, ...) is ``expected`` within four of its standard errors."""
    error = (draws.mean(0) - expected).abs()
    assert bool((error <= 4 * draws.std(0) / math.sqrt(len(draws))).all()), error


def assert_moments(draws, mean, covariance) -> None:
    """Mean (d,) and covariance (d, d) of ``draws`` (S, d), both within four standard errors."""
    assert_mean(draws, mean)
    away = draws - mean
    assert_mean(away[:, :, None] * away[:, None, :], covariance)


def naive_log_joint(x, points, sigma, log_weights):
    """log w_n N(x; x_n, sigma^2 I) by broadcast differences, (B, K)."""
    sigma = torch.as_tensor(sigma).reshape(-1, 1)
    squares = ((x[:, None] - points) ** 2).sum(2)
    size = points.shape[1]
    return log_weights - squares / (2 * sigma**2) - 0.5 * size * torch.log(2 * math.pi * sigma**2)


def naive_posterior_mean(x, points, sigma, log_weights):
    """sum_n w_n N(x; x_n, sigma^2 I) x_n / sum_n w_n N(x; x_n, sigma^2 I), (B, d)."""
    joint = naive_log_joint(x, points, sigma, log_weights)
    shares = (joint - joint.amax(1, keepdim=True)).exp()
    return (shares[:, :, None] * points).sum(1) / shares.sum(1, keepdim=True)


def with_one(model, value):
    """A copy of models (2, nx, nz) with one cell of the second set to ``value``."""
    model = model.clone()
    model[1, 3, 4] = value
    return model


def quick_benchmark(name: str, folder: Path, *options: str) -> tuple[dict, str]:
    """Results and tables of ``python -m benchmarks.NAME`` with --quick, run from the command line."""
    root, out = Path(__file__).parents[1], folder / "results.json"
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--table", "--out", str(out), *options]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text(encoding="utf-8")), done.stdout


def pentagon(radius: float = 2.0):
    """The paper's 2-D training set: the first vertex on the +x1 axis."""
    angles = torch.arange(5) * (2 * math.pi / 5)
    return radius * torch.stack([angles.cos(), angles.sin()], dim=1)


def line_grid(low: float, high: float, cells: int):
    """Midpoints (cells, 1) of equal cells, and their width."""
    width = (high - low) / cells
    return (low + width * (torch.arange(cells) + 0.5))[:, None], width


def square_grid(low: float, high: float, cells: int):
    """Midpoints (cells^2, 2) of equal square cells, and their area."""
    line, width = line_grid(low, high, cells)
    return torch.cartesian_prod(line[:, 0], line[:, 0]), width**2


@cache
def training_set():
    return published_coefficients(1000)


@cache
def held_out_set():
    return published_coefficients(1000, seed=12345)


class LargestTensor(TorchDispatchMode):
    """Records the largest number of elements of any tensor made inside it."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        self.numel = max([self.numel, *(leaf.numel() for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor))])
        return made


def run_parts(study):
    """Every part of a half of a study, which has no number of workers of its own, one after another."""
    study._results.update(zip(study.parts, side_by_side(list(study.parts), study.work, 1, study.tell), strict=True))


def store_in(folder, device="cpu"):
    """A store of results made by a piece of code called "code"."""
    return Store(folder, "code", torch.device(device), f"{device} in words")
