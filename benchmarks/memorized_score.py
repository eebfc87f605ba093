"""The memorized score against its textbook version: time and peak memory, side by side in one run.

    python -m benchmarks.memorized_score [--quick] [--table] [--out FILE.json] [--free-gb GB]

score_i = sum_n r_n(x_i) (x_n - x_i) / sigma^2 for x (B, d) and K examples x_n (K, d), in float32.
`memprior.mixture.IsotropicMixture.score` makes matrix products of it; the textbook version holds the (B, K, d) array
of all differences. Both are timed here, and both must give the same numbers.
"""

import argparse
import json
import math
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks._common import clock, figures, give, high_water_gb, machine, memory, run_child, seconds, summary

THREADS = 2
SEED = 0
FLOAT = 4  # bytes
METHOD = (
    "float32 on CPU. x = one of the examples + sigma * noise with sigma = sqrt(d) / 4, so that many examples share "
    "the weight. Each case runs in fresh processes. Times: after one untimed call of each version, calls of the two "
    "alternate in one process until the case's time is spent, at least three of each; median, with the fastest and "
    "slowest call. A call pays for the memory that it asks of the system, as it does in use. `set_up_s` (checks and a "
    "centered copy of the examples) is paid once per mixture and is not in the time of a call. Memory: growth of the "
    "process's high-water mark (VmHWM or ru_maxrss) from when the data are made to after the first call, set-up "
    "included; each version in its own process; some 5 MB of it is library code used for the first time. The textbook "
    "version runs only where its (B, K, d) array fits into the limit below; elsewhere the table says what that array "
    "needs, and the scores are compared on a few rows."
)


@dataclass(frozen=True)
class Case:
    """B points, K examples, d coordinates."""

    batch: int
    components: int
    size: int

    @property
    def needs_gb(self) -> float:
        """What the (B, K, d) array of differences takes in float32."""
        return self.batch * self.components * self.size * FLOAT / 1e9


FULL = [
    Case(256, 1_000, 100),
    Case(256, 10_000, 100),
    Case(256, 1_000, 1_000),
    Case(256, 10_000, 1_000),
    Case(256, 100_000, 100),
    Case(256, 100_000, 1_000),
    Case(16, 100_000, 4_096),
]
QUICK = [Case(8, 100, 20), Case(16, 500, 50)]


# ---- the two versions and one case; only the child processes come here, so that the parent stays small -------------


def textbook_score(means, sigma, x):
    """The formula as it is written, with its (B, K, d) array; no second array of that size."""
    import torch

    difference = means - x[:, None]
    distance = torch.linalg.vector_norm(difference, dim=-1)
    responsibilities = (-0.5 * (distance / sigma) ** 2).softmax(-1)
    return torch.einsum("bk,bkd->bd", responsibilities, difference) / sigma**2


def float32_bound(means, sigma, x, score) -> float:
    """Worst case of the relative difference between the two versions, from float32's unit roundoff u alone.

    With g(n) = n u / (1 - n u) and R = max |x - c| + max |x_n - c|, c the mean: either exponent is off by at most
    e = g(d + 16) R^2 / 2 sigma^2 + u log K, a responsibility by a factor of at most exp(2 e) (1 + g(K + 8)), and the
    weighted sum of vectors no longer than R by g(K + 8) more. Loose for large d: real errors do not all point one way.
    """
    num, size = means.shape
    unit = 2.0**-24

    def g(terms):
        return terms * unit / (1 - terms * unit)

    center = means.mean(0)
    reach = float((x - center).norm(dim=1).max() + (means - center).norm(dim=1).max())
    exponent = g(size + 16) * reach**2 / (2 * sigma**2) + unit * math.log(num)
    weight = math.expm1(2 * exponent) + math.exp(2 * exponent) * g(num + 8)
    shortest_step = float(score.norm(dim=1).min()) * sigma**2
    return 2 * (weight + g(num + 8) + 4 * unit) * reach / shortest_step


def child(version: str, case: Case, fits: bool, budget_s: float) -> dict:
    """In a fresh process. "textbook": its memory. "memorized": its memory, then both in turn, then the check."""
    import torch

    from memprior.mixture import IsotropicMixture

    torch.set_num_threads(THREADS)
    generator = torch.Generator().manual_seed(SEED)
    sigma = math.sqrt(case.size) / 4
    means = torch.randn(case.components, case.size, dtype=torch.float32, generator=generator)
    x = means[torch.randint(case.components, (case.batch,), generator=generator)]
    x = x + sigma * torch.randn(x.shape, dtype=torch.float32, generator=generator)
    before = high_water_gb()
    if version == "textbook":
        textbook_score(means, sigma, x)
        return {"peak_gb": high_water_gb() - before}

    set_up_s, mixture = seconds(lambda: IsotropicMixture(means, sigma))
    ours = mixture.score(x)
    result = {"peak_gb": high_water_gb() - before, "set_up_s": set_up_s, "torch": torch.__version__}
    if fits:
        textbook_score(means, sigma, x[:1])
    times = {"memorized": [], "textbook": []}
    start = time.perf_counter()
    while len(times["memorized"]) < 3 or (time.perf_counter() - start < budget_s and len(times["memorized"]) < 25):
        elapsed, ours = seconds(lambda: mixture.score(x))
        times["memorized"].append(elapsed)
        if fits:
            theirs = None  # or the last call's result would be counted with the next call's array
            elapsed, theirs = seconds(lambda: textbook_score(means, sigma, x))
            times["textbook"].append(elapsed)
    if not fits:
        theirs = torch.cat([textbook_score(means, sigma, row[None]) for row in x[:4]])
    rows = len(theirs)
    return result | {
        "times": times,
        "rows_compared": rows,
        "max_relative_difference": float(((ours[:rows] - theirs).norm(dim=1) / theirs.norm(dim=1)).max()),
        "float32_bound": float32_bound(means, sigma, x[:rows], theirs),
    }


# ---- the parent: starts the processes, never imports torch --------------------------------------------------------


def ask(version: str, case: Case, fits: bool, budget_s: float) -> dict:
    request = {"version": version, "case": asdict(case), "fits": fits, "budget_s": budget_s}
    return run_child(__spec__.name, request, threads=THREADS)


def measure(case: Case, free_gb: float, budget_s: float) -> dict:
    """One row of the results: both versions, or the memorized one and what the textbook one would need."""
    fits = case.needs_gb <= free_gb
    ours = ask("memorized", case, fits, budget_s)
    if ours["max_relative_difference"] > ours["float32_bound"]:
        raise SystemExit(f"{case}: the two versions disagree: {ours}")
    textbook = {"needs_gb": case.needs_gb}
    ratios = {}
    if fits:
        textbook |= summary(ours["times"]["textbook"]) | ask("textbook", case, fits, budget_s)
        ratios = {"time_ratio": textbook["median_s"] / statistics.median(ours["times"]["memorized"])}
    else:
        textbook["not_run"] = f"needs {case.needs_gb:.3g} GB"
    return {
        **asdict(case),
        "memorized": summary(ours["times"]["memorized"]) | {k: ours[k] for k in ("set_up_s", "peak_gb")},
        "textbook": textbook,
        **ratios,
        **{k: ours[k] for k in ("rows_compared", "max_relative_difference", "float32_bound", "torch")},
    }


def benchmark(cases: list[Case], free_gb: float, budget_s: float) -> dict:
    start = time.perf_counter()
    rows = []
    for number, case in enumerate(cases, 1):
        say = f"[{number}/{len(cases)}] B {case.batch}, K {case.components}, d {case.size}"
        print(f"{say} ({time.perf_counter() - start:.0f} s so far)", file=sys.stderr, flush=True)
        rows.append(measure(case, free_gb, budget_s))
    [torch_version] = {row.pop("torch") for row in rows}
    return {
        "benchmark": "memorized_score",
        "method": METHOD,
        "provenance": {
            "device": "cpu",
            "dtype": "float32",
            "threads": THREADS,
            "seed": SEED,
            **machine(),
            "torch": torch_version,
            "memory_limit_gb": free_gb,
            "wall_s": time.perf_counter() - start,
        },
        "cases": rows,
    }


def table(results: dict) -> str:
    """The results as a markdown table, one row per case."""

    def call(version):
        return clock(*(version[key] for key in ("median_s", "min_s", "max_s")))

    lines = [
        "| B | K | d | memorized score, a call | set-up, once | memory | textbook, a call | memory | times slower |"
        " largest relative difference |",
        "|--:|--:|--:|:--|--:|--:|:--|--:|--:|--:|",
    ]
    for row in results["cases"]:
        ours, textbook = row["memorized"], row["textbook"]
        not_run = textbook.get("not_run")
        cells = [
            *(f"{row[key]:,}".replace(",", "\N{NARROW NO-BREAK SPACE}") for key in ("batch", "components", "size")),
            call(ours),
            clock(ours["set_up_s"]),
            memory(ours["peak_gb"]),
            *(
                (not_run, "", "")
                if not_run
                else (call(textbook), memory(textbook["peak_gb"]), figures(row["time_ratio"]))
            ),
            f"{row['max_relative_difference']:.1e}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def free_memory_gb() -> float:
    """Six tenths of what the system says is available."""
    import psutil

    return 0.6 * psutil.virtual_memory().available / 1e9


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two tiny cases, seconds")
    parser.add_argument("--table", action="store_true", help="print a markdown table instead of JSON")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the results here")
    parser.add_argument(
        "--free-gb", type=float, metavar="GB", help="largest array to make (default: 0.6 of the memory available)"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        request = json.loads(options.child)
        print(json.dumps(child(**request | {"case": Case(**request["case"])})))
        return
    free_gb = free_memory_gb() if options.free_gb is None else options.free_gb
    results = benchmark(QUICK, free_gb, 0.05) if options.quick else benchmark(FULL, free_gb, 15.0)
    give(results, table, out=options.out, as_table=options.table)


if __name__ == "__main__":
    main()
