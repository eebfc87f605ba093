"""What each test of calibration sees: the share of wrong posteriors that it rejects, and of right ones.

    python -m benchmarks.calibration_power [--quick] [--table] [--threads N] [--out FILE.json]

Truths N(0, I), data truth + noise: the posterior is a known normal law, and each wrong one differs from it by one
change. A test that holds its level rejects the right one 5 % of the time.
"""

import math
import sys
import time
from dataclasses import asdict, dataclass

import torch

from benchmarks._common import command, machine, markdown, run_child

NOISE = 0.5  # of the data; the prior's standard deviation is 1
LEVEL = 0.05  # of every test
CREDIBILITY = 0.9  # of every region whose coverage is tested
POSTERIORS = {
    "exact": "the exact posterior",
    "narrow": "standard deviation times 0.8",
    "wide": "standard deviation divided by 0.8",
    "one narrow": "one component's standard deviation times 0.8",
    "shifted": "every component moved by a quarter of its standard deviation",
    "prior": "the prior: data ignored",
}
METHOD = (
    "Truths N(0, I) in d dimensions, data = truth + N(0, 0.25 I), S draws of each posterior; as many repeats as in the "
    "plan, each with new truths, data and draws, which all tests share. Given: the share of repeats with p <= 0.05; "
    "for the interval of marginal_coverage, the share in which it misses 0.9. Regions have credibility 0.9. Fixed "
    "reference of tarp: 3 in every component. Residuals: the truth, and a draw, less the mean of the other draws. With "
    "data: (truth, data) against (draw, data). Bare: truths against draws. Paired: swaps within each truth, otherwise "
    "permutations of all points. The band is where a test of exact level 0.05 falls with probability 0.999."
)


@dataclass(frozen=True)
class Plan:
    """truths: of one repeat, each size on its own. draws: of each posterior. permutations: of the energy test."""

    truths: tuple[int, ...]
    repeats: int
    draws: int
    size: int
    permutations: int


FULL = Plan(truths=(100, 500), repeats=200, draws=99, size=10, permutations=199)
QUICK = Plan(truths=(20, 40), repeats=3, draws=9, size=3, permutations=19)


# ---- one repeat ----------------------------------------------------------------------------------------------------


def world(posterior: str, num: int, plan: Plan, generator):
    """``num`` truths and their data (T, d), and what ``posterior`` gives as draws (T, S, d)."""

    def normal(*shape):
        return torch.randn(*shape, plan.size, dtype=torch.float64, generator=generator)

    truths = normal(num)
    data = truths + NOISE * normal(num)
    draws = normal(num, plan.draws)
    if posterior == "prior":
        return draws, truths, data
    width = {"narrow": 0.8, "wide": 1 / 0.8}.get(posterior, 1.0) * torch.ones(plan.size, dtype=torch.float64)
    if posterior == "one narrow":
        width[0] = 0.8
    mean, spread = data / (1 + NOISE**2), math.sqrt(NOISE**2 / (1 + NOISE**2))
    shift = 0.25 * spread if posterior == "shifted" else 0.0
    return (mean + shift)[:, None] + spread * width * draws, truths, data


def rejections(posterior: str, num: int, plan: Plan, generator) -> dict[str, bool]:
    """Which tests reject ``posterior`` in one repeat with ``num`` truths."""
    from memprior import calibration

    samples, truths, data = world(posterior, num, plan, generator)
    pit = calibration.pit(samples, truths, generator=generator)
    joint = calibration.joint_credibility(samples, truths, generator=generator)
    marginal = calibration.marginal_coverage(pit, CREDIBILITY)
    one = 2 * (pit[:, 0] - 0.5).abs()
    draw = samples[:, 0]
    of_truth, of_draw = calibration.residuals(samples, truths)

    def tarp(references):
        return calibration.uniform_test(calibration.tarp(samples, truths, references, generator=generator))

    def energy(x, y, paired):
        given = {"num_permutations": plan.permutations, "generator": generator, "paired": paired}
        return calibration.energy_test(x, y, **given)

    p_values = {
        "rank_test": calibration.rank_test(pit),
        "coverage_test, joint": calibration.coverage_test(joint, CREDIBILITY),
        "coverage_test, one component": calibration.coverage_test(one, CREDIBILITY),
        "uniform_test, joint": calibration.uniform_test(joint),
        "tarp, references: data": tarp(data),
        "tarp, references: prior": tarp(torch.randn(truths.shape, dtype=truths.dtype, generator=generator)),
        "tarp, references: fixed": tarp(torch.full_like(truths, 3.0)),
        "energy, residuals, paired": energy(of_truth, of_draw, True),
        "energy, residuals": energy(of_truth, of_draw, False),
        "energy, with data, paired": energy(torch.cat([truths, data], 1), torch.cat([draw, data], 1), True),
        "energy, bare, paired": energy(truths, draw, True),
        "energy, bare": energy(truths, draw, False),
    }
    found = {name: p <= LEVEL for name, p in p_values.items()}
    return {"marginal_coverage, interval": not marginal.low <= CREDIBILITY <= marginal.high, **found}


def child(quick: bool) -> dict:
    """In a fresh process: the share of repeats in which each test rejects each posterior."""
    plan = QUICK if quick else FULL
    start, rows = time.perf_counter(), []
    for num in plan.truths:
        for code, posterior in enumerate(POSTERIORS):
            print(
                f"{num} truths, {posterior} ({time.perf_counter() - start:.0f} s so far)", file=sys.stderr, flush=True
            )
            generator = torch.Generator().manual_seed(1000 * num + code)
            found = [rejections(posterior, num, plan, generator) for _ in range(plan.repeats)]
            shares = {name: sum(repeat[name] for repeat in found) / plan.repeats for name in found[0]}
            rows.append({"truths": num, "posterior": posterior, "rejected": shares})
    return {"rows": rows, "torch": torch.__version__}


# ---- the parent ----------------------------------------------------------------------------------------------------


def binomial_band(repeats: int) -> list[float]:
    """The shares between which a test of exact level lies with probability 0.999, its tails equal."""
    terms = [math.comb(repeats, k) * LEVEL**k * (1 - LEVEL) ** (repeats - k) for k in range(repeats + 1)]
    below = [sum(terms[: k + 1]) for k in range(repeats + 1)]
    return [next(k for k, share in enumerate(below) if share > tail) / repeats for tail in (0.0005, 0.9995)]


def benchmark(quick: bool, threads: int) -> dict:
    start, plan = time.perf_counter(), QUICK if quick else FULL
    measured = run_child(__spec__.name, {"quick": quick, "threads": threads}, threads=threads)
    return {
        "benchmark": "calibration_power",
        "method": METHOD,
        "provenance": {
            "threads": threads,
            **machine(),
            "torch": measured["torch"],
            "wall_s": time.perf_counter() - start,
        },
        "plan": asdict(plan),
        "posteriors": POSTERIORS,
        "band": binomial_band(plan.repeats),
        "rows": measured["rows"],
    }


def table(results: dict) -> str:
    """The results as markdown: for each number of truths, tests down and posteriors across."""
    parts = []
    for num in sorted(results["plan"]["truths"], reverse=True):
        rows = [row for row in results["rows"] if row["truths"] == num]
        header = [f"{num} truths", *(row["posterior"] for row in rows)]
        names = rows[0]["rejected"]
        parts.append(markdown(header, [[name, *(f"{row['rejected'][name]:.2g}" for row in rows)] for name in names]))
    low, high = results["band"]
    parts.append(f"A test of exact level 0.05 rejects *exact* in {low:.2g} to {high:.2g} of the repeats.")
    return "\n\n".join(parts) + "\n"


def main(arguments: list[str] | None = None) -> None:
    command(arguments, __doc__, "of every test", child=child, benchmark=benchmark, table=table)


if __name__ == "__main__":
    main()
