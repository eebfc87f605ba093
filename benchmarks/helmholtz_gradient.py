"""One gradient of a waveform misfit three ways: a textbook script, the best of plain scipy, and the spectral elements.

    python -m benchmarks.helmholtz_gradient [--quick] [--table] [--threads N] [--out FILE.json]

The gradient is that of |d - d_obs|^2 / 2 with respect to squared slowness in every cell, for all sources of the survey.
`memprior.waves.FivePointOperator` and `memprior.waves.helmholtz` are timed beside a script as it is usually written, in
one run; time, memory and distance from the Green's function of a homogeneous medium stand together in the results.
"""

import json
import math
import sys
import time
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.special import hankel1

from benchmarks._common import (
    clock,
    figures,
    give,
    high_water_gb,
    interleaved,
    machine,
    markdown,
    memory,
    options,
    run_child,
    spread,
    summary,
)

REAL = {"complex64": torch.float32, "complex128": torch.float64}  # dtype of the models for a dtype of the fields
PUBLISHED = (6.0, 15, 2.0, 200)  # frequency_hz, num_sources, size_km and survey_cells of a case
PRODUCT = 1024  # rows of the matrices whose product measures what the processor can do
METHOD = (
    "Models: examples of the published training set, decoded on the cells of each operator; d_obs: noise-free data of "
    "the published true model by the same operator. textbook: numpy and scipy, 5-point stencil, splu in its default "
    "order, one factorization of A and one of its conjugate transpose, a loop over the sources. five_point: the same "
    "stencil, symmetric, one factorization in the best order, all sources at once. spectral: memprior.waves.helmholtz, "
    "gradient by autograd, several models in a batch. Times: after one untimed call of each version, calls of all take "
    "turns in one process until the time is spent, at least three of each; median, fastest, slowest; per model is the "
    "median over the batch. The cases of the scaling tables take turns too, in one process for each number of threads. "
    "Memory: growth of the process's high-water mark (VmHWM; ru_maxrss where there is no /proc) from when the models "
    "are made to after the first gradient, set-up included, each in a fresh process, in a homogeneous model. Error: "
    "relative 2-norm over all complex data in homogeneous 2 km/s against -(i/4) H0(k r). Agreement: relative 2-norm "
    "between gradients, taken to the 100 cosine coefficients because the operators have different cells. The matrix "
    "product is of two complex64 matrices, 8 n^3 operations, in turn with the gradients."
)


@dataclass(frozen=True)
class Case:
    """One gradient: a survey of the square, a version and a batch.

    cells: along each axis; None, in a plan: those of `memprior.paper.published_operator`.
    """

    version: str = "spectral"
    batch: int = 1
    dtype: str = "complex64"
    cells: int | None = None
    frequency_hz: float = 6.0
    num_sources: int = 15
    size_km: float = 2.0
    survey_cells: int = 200  # sources and receivers lie at centers of these
    elements: str = ""  # across x down, of order 6; otherwise the operator's own choice
    device: str = "cpu"


@dataclass(frozen=True)
class Plan:
    """textbook: the case of both stencils. The lists: what the spectral operator is timed for, one list a table."""

    textbook: Case
    spectral: Case
    batches: tuple[int, ...]
    scaling: dict[str, tuple]
    table_batch: int
    threads: tuple[int, ...]
    gpu_batches: tuple[int, ...]
    budget_s: float


FULL = Plan(
    textbook=Case("textbook", dtype="complex128", cells=200),
    spectral=Case(),
    batches=(1, 16, 64),
    scaling={
        "batch": (1, 4, 16, 64, 256),
        "frequency_hz": (2.0, 4.0, 6.0, 8.0, 10.0, 12.0),
        "elements": ("6 x 7", "7 x 7", "8 x 9", "12 x 13"),
        "num_sources": (1, 15, 60),
        "cells": (32, 64, 128, 200),
        "dtype": ("complex64", "complex128"),
    },
    table_batch=16,
    threads=(1, 2),
    gpu_batches=(1, 16, 64, 256),
    budget_s=40.0,
)
_TINY = {"cells": 40, "frequency_hz": 3.0, "num_sources": 3, "size_km": 1.0, "survey_cells": 40}
QUICK = Plan(
    textbook=Case("textbook", dtype="complex128", **_TINY),
    spectral=Case(**_TINY),
    batches=(2,),
    scaling={"batch": (1, 2), "frequency_hz": (2.0, 3.0), "num_sources": (1, 3), "dtype": ("complex64", "complex128")},
    table_batch=2,
    threads=(1,),
    gpu_batches=(2,),
    budget_s=0.05,
)


# ---- the textbook version: numpy and scipy alone -----------------------------------------------------------------


class TextbookOperator:
    """(omega^2 m + Laplacian) u = delta on cell centers, second order, with a layer of ``pml`` cells on four sides.

    (1 / s_x) d/dx ((1 / s_x) du/dx) and its like in z, s = 1 + i sigma / omega and sigma quadratic in depth: the matrix
    is not symmetric. spacing: km. sources, receivers: (n, 2) indices of cells.
    """

    def __init__(self, cells, spacing, frequency_hz, sources, receivers, pml=30):
        self.cells, self.pml, self.spacing, self.omega = cells, pml, spacing, 2 * math.pi * frequency_hz
        self.total = cells + 2 * pml
        position = np.arange(2 * self.total + 1) / 2 - pml
        depth = np.maximum(np.maximum(-position, position - cells), 0) / pml
        peak = 3 * 2.0 / (2 * pml * spacing) * math.log(1e8)  # an ideal layer reflects 1e-8 of a wave of 2 km/s
        stretch = 1 + 1j * peak * depth**2 / self.omega
        faces, centers = 1 / stretch[::2], 1 / stretch[1::2]
        second = sparse.diags([faces[1:-1], -faces[1:] - faces[:-1], faces[1:-1]], [-1, 0, 1]) / spacing**2
        second = sparse.diags(centers) @ second
        self.laplacian = sparse.kron(second, sparse.eye(self.total)) + sparse.kron(sparse.eye(self.total), second)
        self.sources, self.receivers = ((xz[:, 0] + pml) * self.total + xz[:, 1] + pml for xz in (sources, receivers))

    def matrix(self, squared_slowness):
        padded = np.pad(squared_slowness, self.pml, mode="edge")
        return (self.laplacian + sparse.diags(self.omega**2 * padded.ravel())).tocsc()

    def fields(self, factors):
        """One solve for each source, (S, padded cells)."""
        fields = []
        for source in self.sources:
            load = np.zeros(self.total**2, complex)
            load[source] = 1 / self.spacing**2
            fields.append(factors.solve(load))
        return np.array(fields)

    def solved(self, squared_slowness):
        """The matrix and the fields of all sources."""
        matrix = self.matrix(squared_slowness)
        return matrix, self.fields(splu(matrix))

    def data(self, squared_slowness):
        """Complex (S, R)."""
        return self.solved(squared_slowness)[1][:, self.receivers]

    def gradient(self, squared_slowness, observed):
        """Of |d - d_obs|^2 / 2, (nx, nz)."""
        matrix, fields = self.solved(squared_slowness)
        return self.pulled_back(matrix, fields, fields[:, self.receivers] - observed)

    def pulled_back(self, matrix, fields, residual):
        """J^T residual (S, R), as (nx, nz): the zero-lag product of the forward and the adjoint fields."""
        adjoint_factors = splu(matrix.conj().T.tocsc())
        product = np.zeros(self.total**2)
        for field, value in zip(fields, residual, strict=True):
            load = np.zeros(self.total**2, complex)
            load[self.receivers] = value
            product -= (self.omega**2 * adjoint_factors.solve(load).conj() * field).real
        # Edge cells also answer for the layer that they are continued into.
        nearest = np.clip(np.arange(self.total) - self.pml, 0, self.cells - 1)
        gradient = np.zeros((self.cells, self.cells))
        np.add.at(gradient, (nearest[:, None], nearest), product.reshape(self.total, self.total))
        return gradient


# ---- what the child processes do; only they are sure to import this checkout's library ----------------------------


def survey(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Cells (n, 2) of sources and receivers: the published rows and columns, for any number of cells and sources."""
    low, high = 2, case.survey_cells - 3
    sources, receivers = np.linspace(low, high, case.num_sources).astype(int), np.arange(low, high + 1)
    return tuple(
        np.stack([columns, np.full_like(columns, row)], axis=1) for columns, row in ((sources, low), (receivers, high))
    )


def acquisition(case: Case):
    from memprior.waves import Acquisition

    spacing = case.size_km / case.survey_cells
    return Acquisition(*(torch.from_numpy((cells + 0.5) * spacing) for cells in survey(case)))


def grid(case: Case):
    from memprior.fields import Grid

    return Grid((case.cells, case.cells), case.size_km / case.cells)


def operator_for(case: Case):
    """A ``TextbookOperator``, or an operator of the library; the published one where the case is its."""
    if case.version == "textbook":
        return TextbookOperator(case.cells, case.size_km / case.cells, case.frequency_hz, *survey(case))
    if case.version == "five_point":
        from memprior.waves.stencil import FivePointOperator

        return FivePointOperator(grid(case), acquisition(case), case.frequency_hz)
    dtype = getattr(torch, case.dtype)
    survey_of = (case.frequency_hz, case.num_sources, case.size_km, case.survey_cells)
    if survey_of == PUBLISHED and not case.elements:
        from memprior.paper import published_operator

        return published_operator(dtype=dtype, cells=case.cells)
    from memprior.waves.helmholtz import HelmholtzOperator

    mesh = {"order": 6, "elements": tuple(map(int, case.elements.split(" x ")))} if case.elements else {}
    return HelmholtzOperator(grid(case), acquisition(case), case.frequency_hz, dtype=dtype, **mesh)


class Problem:
    """An operator and the gradient of the misfits of models on its cells.

    models: (B, nx, nz). truth: (1, nx, nz), whose noise-free data by the same operator are the observed ones. Both
    squared slowness in s^2/km^2, in any floating dtype, on the CPU.
    """

    def __init__(self, case: Case, models: torch.Tensor, truth: torch.Tensor):
        self.case = case
        self.models, self.truth = (m.to(dtype=REAL[case.dtype], device=case.device) for m in (models, truth))
        self.operator = operator_for(case)
        self.observed = self.data(self.truth)

    def data(self, models: torch.Tensor):
        """Complex (S, R) of the textbook version, stacked (1, 2 S R) of the others."""
        if self.case.version == "textbook":
            return self.operator.data(models[0].numpy())
        with torch.no_grad():
            return self.operator(models)

    def gradient(self) -> torch.Tensor:
        """(B, nx, nz), on the CPU when it returns: a GPU's work is then done."""
        if self.case.version == "textbook":
            return torch.from_numpy(self.operator.gradient(self.models[0].numpy(), self.observed))[None]
        models = self.models.clone().requires_grad_()
        misfit = 0.5 * (self.operator(models) - self.observed).square().sum()
        return torch.autograd.grad(misfit, models)[0].cpu()

    def greens_error(self) -> float:
        """Of the data of homogeneous 2 km/s, relative to the closed form."""
        data = self.data(torch.full_like(self.truth, 0.25))
        if isinstance(data, torch.Tensor):
            real, imaginary = data[0].double().cpu().numpy().reshape(2, self.case.num_sources, -1)
            data = real + 1j * imaginary
        place = acquisition(self.case)
        distances = torch.cdist(place.sources_km, place.receivers_km).numpy()
        exact = -0.25j * hankel1(0, 2 * math.pi * self.case.frequency_hz / 2.0 * distances)
        return float(np.linalg.norm(data - exact) / np.linalg.norm(exact))


def published(case: Case) -> Problem:
    """The published models and truth on the cells of a case."""
    from memprior.paper import published_coefficients, published_truth

    decode = basis(case).decode
    return Problem(case, decode(published_coefficients(case.batch)), decode(published_truth()[None]))


def basis(case: Case):
    from memprior.fields import CosineBasis

    return CosineBasis(grid(case))


def coefficients(problem: Problem) -> torch.Tensor:
    """The first model's gradient with respect to its cosine coefficients, (d,), float64."""
    cosines = basis(problem.case)
    z = torch.zeros(1, cosines.size, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(cosines.decode(z), z, problem.gradient()[:1].double())[0][0]


def turns(problems: list[Problem], budget_s: float, also: dict | None = None) -> tuple[list[dict], dict]:
    """A row of results for each problem, and the times of the ``also`` calls that took turns with them."""
    calls = {str(index): problem.gradient for index, problem in enumerate(problems)}
    times = interleaved(calls | (also or {}), budget_s)
    rows = []
    for name, problem in zip(calls, problems, strict=True):
        row = asdict(problem.case) | summary(times.pop(name))
        row["per_model_s"] = row["median_s"] / problem.case.batch
        if problem.case.version == "spectral":
            across, down = problem.operator.axes[0]
            row["mesh"] = f"{across.num_elements} x {down.num_elements}, order {across.order}"
            row["flops_per_gradient"] = float(problem.operator.flops_per_gradient)
            row["repaired"] = problem.operator.num_repaired / problem.operator.num_solved
        rows.append(row)
    return rows, times


def child_gradients(cases: list[Case], budget_s: float) -> dict:
    """Every case in turn with a matrix product, their errors, and how far apart they are."""
    problems = [published(case) for case in cases]
    a, b = torch.randn(2, PRODUCT, PRODUCT, dtype=torch.complex64)
    rows, times = turns(problems, budget_s, {"product": lambda: a @ b})
    for row, problem in zip(rows, problems, strict=True):
        row["greens_error"] = problem.greens_error()
    first = {problem.case.version: problem for problem in reversed(problems)}
    gradients = {version: coefficients(problem) for version, problem in first.items()}
    agreement = {
        f"{one}_against_{other}": float((gradients[one] - gradients[other]).norm() / gradients[other].norm())
        for one, other in (("five_point", "textbook"), ("spectral", "five_point"))
    }
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"rows": rows, "product": times["product"], "agreement": agreement, "gpu": gpu, "torch": torch.__version__}


def child_rows(cases: list[Case], budget_s: float) -> list[dict]:
    """Cases in turn."""
    return turns([published(case) for case in cases], budget_s)[0]


def child_cells(cases: list[Case], budget_s: float) -> dict:
    """Cells along an axis of the published operator."""
    from memprior.paper import published_operator

    return {"cells": published_operator().grid.shape[0]}


def child_memory(cases: list[Case], budget_s: float) -> dict:
    """Growth of one case to its first gradient. Homogeneous models: making others takes memory that would hide ours."""
    import memprior.waves.helmholtz
    import memprior.waves.stencil  # noqa: F401  the library's own code is no part of the growth

    [case] = cases
    models = torch.full((case.batch, case.cells, case.cells), 0.25)
    before = high_water_gb()
    Problem(case, models, models[:1] + 0.01).gradient()
    return {"peak_gb": high_water_gb() - before}


CHILDREN = {"cells": child_cells, "gradients": child_gradients, "rows": child_rows, "memory": child_memory}


# ---- the parent: starts the processes ------------------------------------------------------------------------------


def ask(work: str, cases: list[Case], budget_s: float, threads: int):
    request = {"work": work, "cases": [asdict(case) for case in cases], "budget_s": budget_s, "threads": threads}
    return run_child(__spec__.name, request, threads=threads)


def benchmark(plan: Plan, threads: int) -> dict:
    start = time.perf_counter()

    def say(step):
        print(f"{step} ({time.perf_counter() - start:.0f} s so far)", file=sys.stderr, flush=True)

    ours = plan.spectral
    if ours.cells is None:
        ours = replace(ours, **ask("cells", [], 0.0, threads))
    stencils = [plan.textbook, replace(plan.textbook, version="five_point")]
    spectral = [replace(ours, batch=batch) for batch in plan.batches]
    cases = [*stencils, *spectral, replace(ours, dtype="complex128")]
    say("gradients")
    measured = ask("gradients", cases, plan.budget_s, threads)
    rate = 8 * PRODUCT**3 / summary(measured["product"])["median_s"]
    slow = {row["version"]: row["per_model_s"] for row in measured["rows"][:2]}
    for case, row in zip(cases, measured["rows"], strict=True):
        say(f"memory of {case.version}, batch {case.batch}, {case.dtype}")
        row["peak_gb"] = ask("memory", [case], 0.0, threads)["peak_gb"]
        row["peak_per_model_gb"] = row["peak_gb"] / case.batch
        row |= {f"times_faster_than_{version}": per_model / row["per_model_s"] for version, per_model in slow.items()}
        if "flops_per_gradient" in row:
            row["flop_fraction"] = row["flops_per_gradient"] / row["per_model_s"] / rate

    batched = replace(ours, batch=plan.table_batch)
    tables = {}
    for name, values in plan.scaling.items():
        alone = replace(batched, elements="6 x 7") if name == "num_sources" else batched  # the mesh is the same
        tables[name] = [replace(alone, **{name: value}) for value in values]
    say("scaling with " + ", ".join(tables))
    rows = iter(ask("rows", [case for cases in tables.values() for case in cases], plan.budget_s, threads))
    tables = {name: [next(rows) for _ in cases] for name, cases in tables.items()}
    tables["threads"] = []
    for number in plan.threads:
        say(f"threads {number}")
        tables["threads"] += [row | {"threads": number} for row in ask("rows", [batched], plan.budget_s / 8, number)]
    gpu = {"not_run": "no GPU"}
    if measured["gpu"]:
        say(measured["gpu"])
        kinds = [(batch, dtype) for dtype in REAL for batch in plan.gpu_batches]
        on_gpu = [replace(ours, batch=batch, dtype=dtype, device="cuda") for batch, dtype in kinds]
        gpu = {"name": measured["gpu"], "rows": ask("rows", on_gpu, plan.budget_s / 2, threads)}
    return {
        "benchmark": "helmholtz_gradient",
        "method": METHOD,
        "provenance": {
            "threads": threads,
            **machine(),
            "torch": measured["torch"],
            "wall_s": time.perf_counter() - start,
        },
        "gradients": measured["rows"],
        "agreement": measured["agreement"],
        "matrix_product": {"size": PRODUCT, **summary(measured["product"]), "flops_per_s": rate},
        "scaling": tables,
        "gpu": gpu,
    }


def table(results: dict) -> str:
    """The results as markdown: the three versions, then one table for each quantity that was varied."""

    def scaled(names, rows):
        names = [*names, "mesh"]
        times = ([spread(row), clock(row["per_model_s"]), f"{row['repaired']:.0%}"] for row in rows)
        cells = ([*(str(row[name]) for name in names), *time] for row, time in zip(rows, times, strict=True))
        return markdown([*names, "a gradient", "per model", "solved again"], cells)

    limit = any("flop_fraction" in row for row in results["gradients"])
    header = ["version", "dtype", "batch", "a gradient", "per model", "times faster than textbook", "than five_point"]
    header += ["memory", "per model", "error", *(["of the rate of a large matrix product"] if limit else [])]
    versions = []
    for row in results["gradients"]:
        cells = [row["version"], row["dtype"], str(row["batch"]), spread(row), clock(row["per_model_s"])]
        cells += [figures(row[f"times_faster_than_{version}"]) for version in ("textbook", "five_point")]
        cells += [memory(row["peak_gb"]), memory(row["peak_per_model_gb"]), f"{100 * row['greens_error']:.2g} %"]
        if limit:
            cells.append(f"{100 * row['flop_fraction']:.2g} %" if "flop_fraction" in row else "")
        versions.append(cells)
    tables = [markdown(header, versions)]
    tables += [scaled([name], rows) for name, rows in results["scaling"].items()]
    gpu = results["gpu"]
    tables.append(scaled(["device", "dtype", "batch"], gpu["rows"]) if "rows" in gpu else f"GPU: {gpu['not_run']}")
    return "\n\n".join(tables)


def main(arguments: list[str] | None = None) -> None:
    given = options(__doc__, "of every part but the table of threads").parse_args(arguments)
    if given.child:
        request = json.loads(given.child)
        torch.set_num_threads(request["threads"])
        cases = [Case(**case) for case in request["cases"]]
        print(json.dumps(CHILDREN[request["work"]](cases, request["budget_s"])))
        return
    results = benchmark(QUICK if given.quick else FULL, given.threads)
    give(results, table, out=given.out, as_table=given.table)


if __name__ == "__main__":
    main()
