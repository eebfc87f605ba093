"""One step of the released sampler for the paper's inversion, beside the same step with a textbook script's gradient.

    python -m benchmarks.dps_step [--quick] [--table] [--threads N] [--out FILE.json]

`memprior.guidance.released_step` calls the prior twice and takes one gradient of the misfit. What stands before and
behind it varies: a network, the exact memory; spectral elements, their tangent, and the stencils of
`helmholtz_gradient`.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from benchmarks import helmholtz_gradient as waveforms
from benchmarks._common import clock, command, figures, interleaved, machine, markdown, run_child, spread, summary

PANEL = 3 * 256 * 200  # steps of single samples in the published panel: priors, samples of each, steps of a sample
STENCILS = ("textbook", "five_point")
METHOD = (
    "A step of memprior.guidance.released_step half way along the released schedule, from published examples with "
    "noise of that level; two calls of the prior and one gradient of the misfit with respect to 100 standardized "
    "coefficients; data of the published true model by the same operator, with the authors' noise. spectral: "
    "memprior.waves.helmholtz in complex64, several samples in a batch. tangent: F linearized at the truth. textbook "
    "and five_point: the stencils of benchmarks/helmholtz_gradient.py, in complex128, which take one model after the "
    "other in any batch. network: ResidualMLP in float32, not trained, which does not change its cost; released size: "
    "as wide as the released network and with as many weights, its twelve blocks of one matrix being six of ours. "
    "memory of N: the exact denoiser of N examples in float64. Times: after one untimed call of each, calls of all "
    "take turns in one process until the time is spent, at least three of each; median, fastest, slowest; per sample "
    f"is the median over the batch. Panel: {PANEL} steps of one sample (3 priors, 256 samples, 200 steps) at that "
    "cost, in core-hours."
)


@dataclass(frozen=True)
class Step:
    """What takes one step. prior: "network", "released size" or "memory of N".

    waves: "spectral", "tangent", "five_point" or "textbook"; "none": the prior alone, called twice as in a step.
    """

    prior: str
    waves: str
    batch: int


@dataclass(frozen=True)
class Plan:
    """textbook, spectral: the survey of both stencils, and ours. networks: width and depth. batch: of all but a few."""

    textbook: waveforms.Case
    spectral: waveforms.Case
    networks: dict[str, tuple[int, int]]
    memories: tuple[int, ...]
    batch: int
    batches: tuple[int, ...]
    budget_s: float

    @property
    def steps(self) -> list[Step]:
        memories = [memory_of(number) for number in self.memories]
        return [
            *(Step("network", "spectral", batch) for batch in self.batches),
            *(Step(prior, "spectral", self.batch) for prior in memories),
            Step("network", "tangent", self.batch),
            *(Step("network", waves, 1) for waves in reversed(STENCILS)),
            *(Step(prior, "none", self.batch) for prior in [*memories, *self.networks]),
        ]


def memory_of(number: int) -> str:
    return f"memory of {number}"


FULL = Plan(
    textbook=waveforms.FULL.textbook,
    spectral=waveforms.FULL.spectral,
    networks={"network": (256, 4), "released size": (2048, 6)},
    memories=(50, 1000),
    batch=16,
    batches=(1, 16, 64, 256),
    budget_s=60.0,
)
QUICK = Plan(
    textbook=waveforms.QUICK.textbook,
    spectral=waveforms.QUICK.spectral,
    networks={"network": (16, 2), "released size": (32, 2)},
    memories=(5, 20),
    batch=2,
    batches=(1, 2),
    budget_s=0.05,
)


# ---- what the child process does; only it is sure to import this checkout's library --------------------------------


class TextbookForward:
    """A ``TextbookOperator`` for torch: squared slowness (B, nx, nz) -> its data, as the library stacks them."""

    def __init__(self, case: waveforms.Case):
        self.operator, self.grid = waveforms.operator_for(case), waveforms.grid(case)

    def __call__(self, models: torch.Tensor) -> torch.Tensor:
        from memprior._derivatives import differentiable

        return differentiable(models, TextbookSolve(self.operator))


class TextbookSolve:
    """The data of some models by a ``TextbookOperator`` and the gradients they pull back, for torch."""

    def __init__(self, operator: waveforms.TextbookOperator):
        self.operator, self.solved = operator, []

    def forward(self, models: torch.Tensor) -> torch.Tensor:
        self.solved = [self.operator.solved(model) for model in models.detach().numpy()]
        data = np.stack([fields[:, self.operator.receivers].ravel() for _, fields in self.solved])
        return torch.from_numpy(np.concatenate([data.real, data.imag], axis=1))

    def backward(self, models: torch.Tensor, cotangent: torch.Tensor) -> torch.Tensor:
        halves = cotangent.numpy().reshape(len(models), 2, len(self.operator.sources), -1)
        residuals = halves[:, 0] + 1j * halves[:, 1]
        pairs = zip(self.solved, residuals, strict=True)
        return torch.from_numpy(np.stack([self.operator.pulled_back(*solved, residual) for solved, residual in pairs]))


def inversion(case: waveforms.Case):
    """The published inversion by the operator of any case."""
    from memprior.paper import published_inversion

    textbook = case.version == "textbook"
    return published_inversion(operator=TextbookForward(case) if textbook else waveforms.operator_for(case))


class Bench:
    """The priors, with their training sets, and the likelihoods of a plan; two levels, half way down the schedule."""

    def __init__(self, plan: Plan):
        from memprior.denoiser import NetworkDenoiser
        from memprior.networks import ResidualMLP
        from memprior.paper import SIGMAS, TrainingSet, tangent

        self.levels = SIGMAS[len(SIGMAS) // 2 :][:2]
        sets = [TrainingSet.published(number, torch.device("cpu")) for number in plan.memories]
        names = [memory_of(number) for number in plan.memories]
        self.priors = {name: (chosen, chosen.memorized_prior) for name, chosen in zip(names, sets, strict=True)}
        generator = torch.Generator().manual_seed(0)
        for name, (width, depth) in plan.networks.items():
            network = ResidualMLP(100, width, depth, generator=generator).requires_grad_(False)
            self.priors[name] = sets[-1], NetworkDenoiser(network, 1.0)
        cases = [plan.spectral, *(replace(plan.textbook, version=version) for version in STENCILS)]
        self.inversions = {case.version: inversion(case) for case in cases}
        self.likelihoods = {version: one.likelihood for version, one in self.inversions.items()}
        self.likelihoods["tangent"] = tangent(self.inversions["spectral"])

    def call(self, step: Step) -> Callable[[], torch.Tensor]:
        """One step from the same start as any other of its batch and training set; returns where it ends."""
        from memprior.guidance import released_step
        from memprior.noise import perturb
        from memprior.paper import STEP_SIZE, standardized

        training, denoiser = self.priors[step.prior]
        sigma, sigma_next = self.levels
        x = perturb(training.standardized[: step.batch], sigma, generator=torch.Generator().manual_seed(0))
        if step.waves == "none":
            return lambda: denoiser(denoiser(x, sigma), sigma)
        advance = released_step(standardized(self.likelihoods[step.waves], training.standardizer), STEP_SIZE)
        return lambda: advance(denoiser, x, sigma, sigma_next, generator=None).x  # Euler's step draws nothing

    def weights(self, step: Step) -> int | None:
        network = getattr(self.priors[step.prior][1], "network", None)
        return network and sum(weight.numel() for weight in network.parameters())


def child(quick: bool) -> dict:
    """Rows of every step in turn, and how far apart the steps end that differ in their waves alone."""
    from memprior.paper import STEP_SIZE

    plan = QUICK if quick else FULL
    bench = Bench(plan)
    calls = {step: bench.call(step) for step in plan.steps}
    rows = []
    for step, times in interleaved(calls, plan.budget_s).items():
        row = asdict(step) | {"weights": bench.weights(step)} | summary(times)
        rows.append(row | {"per_sample_s": row["median_s"] / step.batch})
    ends = {waves: calls[Step("network", waves, 1)]() for waves in ("spectral", *STENCILS)}
    length = STEP_SIZE * (1 + bench.levels[1] ** 2).sqrt()
    spectral = bench.inversions["spectral"].operator
    return {
        "rows": rows,
        "agreement": {
            f"{one}_against_{other}": float((ends[one] - ends[other]).norm() / length)
            for one, other in (("five_point", "textbook"), ("spectral", "five_point"))
        },
        "repaired": spectral.num_repaired / spectral.num_solved,
        "frozen": sum(one.guard.num_frozen for one in bench.inversions.values()),
        "torch": torch.__version__,
    }


# ---- the parent: starts the process --------------------------------------------------------------------------------


def benchmark(quick: bool, threads: int) -> dict:
    start, plan = time.perf_counter(), QUICK if quick else FULL
    measured = run_child(__spec__.name, {"quick": quick, "threads": threads}, threads=threads)
    rows = {Step(row["prior"], row["waves"], row["batch"]): row for row in measured["rows"]}

    def per_sample(prior, waves, batch):
        return rows[Step(prior, waves, batch)]["per_sample_s"]

    rest = per_sample("network", "spectral", plan.batch) - per_sample("network", "none", plan.batch)
    for step, row in rows.items():
        own = row["per_sample_s"]
        row["panel_core_hours"] = PANEL * own * threads / 3600
        if step.waves == "none":
            row["share_of_step"] = own / (own + rest)
        else:
            row |= {f"times_faster_than_{waves}": per_sample("network", waves, 1) / own for waves in STENCILS}
    return {
        "benchmark": "dps_step",
        "method": METHOD,
        "provenance": {
            "threads": threads,
            **machine(),
            "torch": measured["torch"],
            "wall_s": time.perf_counter() - start,
        },
        "steps": [row for step, row in rows.items() if step.waves != "none"],
        "priors": [row for step, row in rows.items() if step.waves == "none"],
        **{name: measured[name] for name in ("agreement", "repaired", "frozen")},
    }


def table(results: dict) -> str:
    """The results as markdown: the steps, then the priors alone."""

    def cells(row):
        return [str(row["batch"]), spread(row), clock(row["per_sample_s"]), figures(row["panel_core_hours"])]

    def named(row):
        return row["prior"].replace("memory of", "memorized, N =")

    costs = ["per sample", "published panel, core-hours"]
    steps = [
        [named(row), row["waves"], *cells(row), *(figures(row[f"times_faster_than_{waves}"]) for waves in STENCILS)]
        for row in results["steps"]
    ]
    priors = [
        [
            named(row),
            f"{figures(row['weights'] / 1e6)} million" if row["weights"] else "",
            *cells(row),
            f"{100 * row['share_of_step']:.2g} %",
        ]
        for row in results["priors"]
    ]
    faster = ["times faster than textbook", "than five_point"]
    return "\n\n".join(
        [
            markdown(["prior", "waves", "batch", "per step", *costs, *faster], steps),
            markdown(["prior alone", "weights", "batch", "two calls", *costs, "share of a spectral step"], priors),
        ]
    )


def main(arguments: list[str] | None = None) -> None:
    command(arguments, __doc__, "of every step", child=child, benchmark=benchmark, table=table)


if __name__ == "__main__":
    main()
