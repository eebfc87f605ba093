"""What the swap test sees: the share of copying samples that it rejects, and of samples that cannot copy.

    python -m benchmarks.swap_test [--quick] [--table] [--threads N] [--out FILE.json]

Models N(0, I), half of them the training set. A test that holds its level rejects samples that have not seen the labels
5 % of the time, however they are distributed.
"""

import sys
import time
from dataclasses import asdict, dataclass

import torch
from scipy import stats

from benchmarks._common import command, machine, markdown, run_child

LEVEL = 0.05
CLUMP = 0.3  # standard deviation of a posterior
HONEST = {
    "fresh": "fresh draws of the distribution",
    "shrunk": "fresh draws times 0.9",
    "clump": "N(m, 0.3^2 I), m from N(0, (1 - 0.3^2) I): the posterior of an unseen truth, seen with noise",
    "heavy tails": "fresh draws divided by the size of another normal number each",
    "patches": "a clump; models are 5 patches each of 40 surveys, which differ little: exchanged as groups",
}
COPYING = {
    "2 % copies": "2 % training models + N(0, 0.01^2 I), the rest fresh draws",
    "5 % copies": "5 % of them",
    "10 % copies": "10 % of them",
    "20 % copies": "20 % of them",
    "10 % near": "10 % training models + N(0, 0.3^2 I)",
    "kernel density": "training models + N(0, 0.5^2 I)",
}
TESTS = ("share", "log-ratio", "three-sample z")
METHOD = (
    "Models N(0, I) in d dimensions: N in the training set, as many held out, S samples; as many repeats as in the "
    "plan, each with new models and samples, which all tests share. Given: the share of repeats with p <= 0.05. The "
    "band is where a test of exact level 0.05 falls with probability 0.999. Fresh draws: p-values of the log-ratio "
    "beside the uniform distribution, by Kolmogorov and Smirnov. The three-sample z has as its null that samples are "
    "as far from the training set as held-out models are, which holds for fresh draws alone."
)


@dataclass(frozen=True)
class Plan:
    """num: N, M and S. sizes: d of honest samples; the first also of copying ones. labelings: of each test."""

    num: int
    sizes: tuple[int, ...]
    repeats: int
    labelings: int


FULL = Plan(num=100, sizes=(20, 2, 200), repeats=400, labelings=399)
QUICK = Plan(num=30, sizes=(3,), repeats=3, labelings=19)


def problem(kind: str, num: int, size: int, generator):
    """Samples, training and held-out models (num, size) each, and their groups or None."""

    def normal(*shape):
        return torch.randn(*shape, size, dtype=torch.float64, generator=generator)

    models, groups = normal(2 * num), None
    if kind == "patches":
        survey = torch.arange(2 * num) // 5
        models = normal(2 * num // 5)[survey] + 0.05 * models
        groups = survey[:num], survey[num:]
    train_set, held_out = models.split(num)
    samples = normal(num)
    if kind == "shrunk":
        samples = 0.9 * samples
    elif kind in ("clump", "patches"):
        samples = (1 - CLUMP**2) ** 0.5 * normal(1) + CLUMP * samples
    elif kind == "heavy tails":
        samples = samples / normal(num)[:, :1].abs()
    elif kind == "kernel density":
        samples = train_set + 0.5 * samples
    elif kind in COPYING:
        copied, width = round(num * float(kind.split()[0]) / 100), 0.3 if kind.endswith("near") else 0.01
        chosen = torch.randperm(num, generator=generator)[:copied]
        samples[:copied] = train_set[chosen] + width * samples[:copied]
    return samples, train_set, held_out, groups


def p_values(kind: str, size: int, plan: Plan, generator) -> dict[str, float]:
    """Of every test, in one repeat."""
    from memprior.memorization import swap_test, three_sample_test

    samples, train_set, held_out, groups = problem(kind, plan.num, size, generator)
    given = {"groups": groups, "num_labelings": plan.labelings, "generator": generator}
    found = swap_test(samples, train_set, held_out, **given)
    old = three_sample_test(samples, train_set, held_out).p_copying
    return dict(zip(TESTS, (found.p_share, found.p, old), strict=True))


def child(quick: bool) -> dict:
    """In a fresh process: the share of repeats in which each test rejects each kind of samples."""
    plan = QUICK if quick else FULL
    start, rows = time.perf_counter(), []
    cells = [(kind, size) for size in plan.sizes for kind in HONEST] + [(kind, plan.sizes[0]) for kind in COPYING]
    for code, (kind, size) in enumerate(cells):
        print(f"d = {size}, {kind} ({time.perf_counter() - start:.0f} s so far)", file=sys.stderr, flush=True)
        generator = torch.Generator().manual_seed(code)
        found = [p_values(kind, size, plan, generator) for _ in range(plan.repeats)]
        row = {"kind": kind, "d": size, "rejected": {test: sum(p[test] <= LEVEL for p in found) for test in TESTS}}
        if kind == "fresh":
            # In the middle of their steps: there are as many values as labelings, and one more.
            middle = [p["log-ratio"] - 0.5 / (plan.labelings + 1) for p in found]
            row["uniform_p"] = float(stats.kstest(middle, "uniform").pvalue)
        rows.append(row)
    return {"rows": rows, "torch": torch.__version__}


def benchmark(quick: bool, threads: int) -> dict:
    start, plan = time.perf_counter(), QUICK if quick else FULL
    measured = run_child(__spec__.name, {"quick": quick, "threads": threads}, threads=threads)
    wall_s = time.perf_counter() - start
    return {
        "benchmark": "swap_test",
        "method": METHOD,
        "provenance": {"threads": threads, **machine(), "torch": measured["torch"], "wall_s": wall_s},
        "plan": asdict(plan),
        "kinds": HONEST | COPYING,
        "band": [float(stats.binom.ppf(tail, plan.repeats, LEVEL)) for tail in (0.0005, 0.9995)],
        "rows": measured["rows"],
    }


def table(results: dict) -> str:
    """The results as markdown: samples down, tests across, honest ones first."""
    repeats, (low, high) = results["plan"]["repeats"], results["band"]
    rows = [
        [f"{row['kind']}, d = {row['d']}", *(f"{row['rejected'][test] / repeats:.2f}" for test in TESTS)]
        for row in results["rows"]
    ]
    uniform = ", ".join(f"{row['uniform_p']:.2g} at d = {row['d']}" for row in results["rows"] if "uniform_p" in row)
    told = (
        f"A test of exact level 0.05 rejects {low / repeats:.3f} to {high / repeats:.3f} of samples that cannot copy. "
    )
    least = min(row["rejected"]["share"] for row in results["rows"] if row["kind"] in HONEST) / repeats
    told += f"The share takes few values and is conservative: at worst it rejects {least:.3f} of them. "
    told += f"p-values of the log-ratio on fresh draws, beside the uniform distribution: p = {uniform}."
    return markdown(["samples", *TESTS], rows) + f"\n\n{told}\n"


def main(arguments: list[str] | None = None) -> None:
    command(arguments, __doc__, "of every test", child=child, benchmark=benchmark, table=table)


if __name__ == "__main__":
    main()
