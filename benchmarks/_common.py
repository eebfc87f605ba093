"""What the benchmarks share: clocks, the memory of a process, fresh processes to measure in, options and tables."""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from companion.results import json_digest

ROOT = Path(__file__).resolve().parents[1]


def seconds(call: Callable) -> tuple[float, object]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def interleaved(
    calls: dict[str, Callable], budget_s: float, *, least: int = 3, most: int = 25
) -> dict[str, list[float]]:
    """Seconds of each call, in turn, until the budget is spent; one untimed call of each comes first."""
    for call in calls.values():
        call()
    times = {name: [] for name in calls}
    start = time.perf_counter()
    for done in range(most):
        if done >= least and time.perf_counter() - start > budget_s:
            break
        for name, call in calls.items():
            times[name].append(seconds(call)[0])
    return times


def summary(times: list[float]) -> dict:
    return {"median_s": statistics.median(times), "min_s": min(times), "max_s": max(times), "repeats": len(times)}


def high_water_gb() -> float:
    """Most memory that this process has held.

    On Linux ru_maxrss starts from the parent's, which may be more than a child ever holds; VmHWM does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def run_child(module: str, request: dict, *, threads: int) -> dict | list:
    """What ``python -m MODULE --child REQUEST`` prints as JSON, in a fresh process that finds this checkout's library.

    ``SystemExit`` with the request when it fails.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    command = [sys.executable, "-m", module, "--child", json.dumps(request)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{request}: the process ended with status {done.returncode}")
    return json.loads(done.stdout)


def machine() -> dict:
    return {
        "cpu_count": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def figures(number: float) -> str:
    """Three significant digits, never an exponent above."""
    return f"{number:.3g}" if number < 1000 else f"{number:.0f}"


def clock(*times: float) -> str:
    """A time in s or ms; with two more, the fastest and the slowest in brackets."""
    scale, unit = (1, "s") if times[0] >= 1 else (1e3, "ms")
    spread = f" ({figures(times[1] * scale)} to {figures(times[2] * scale)})" if times[1:] else ""
    return f"{figures(times[0] * scale)} {unit}{spread}"


def spread(row: dict) -> str:
    """The times of a row that holds a :func:`summary`."""
    return clock(*(row[key] for key in ("median_s", "min_s", "max_s")))


def memory(gigabytes: float) -> str:
    return f"{figures(gigabytes)} GB" if gigabytes >= 1 else f"{figures(gigabytes * 1e3)} MB"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table, aligned to the right."""
    rule = ["--:"] * len(header)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows])


def options(doc: str, threads: str) -> argparse.ArgumentParser:
    """The options of a benchmark that runs one child a part. doc: the module's. threads: what they are of."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tiny setting, seconds")
    parser.add_argument("--table", action="store_true", help="print markdown tables instead of JSON")
    parser.add_argument("--threads", type=int, default=1, help=f"{threads} (default: 1)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the results here")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser


def give(results: dict, table: Callable[[dict], str], *, out: Path | None, as_table: bool) -> None:
    """Write the results where they are wanted: as JSON into a file, as tables or JSON on the terminal."""
    text = json.dumps(results | {"digest": json_digest(results)}, indent=2) + "\n"  # the book reads no edited results
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    if as_table:
        print(table(results))
    elif not out:
        print(text, end="")


def command(
    arguments: list[str] | None, doc: str, threads: str, *, child: Callable, benchmark: Callable, table
) -> None:
    """The command line of a benchmark whose child does all of it: child(quick), benchmark(quick, threads), table.

    doc: the module's. threads: what they are of.
    """
    given = options(doc, threads).parse_args(arguments)
    if given.child:
        import torch  # not before the child's environment is what it measures in

        request = json.loads(given.child)
        torch.set_num_threads(request["threads"])
        print(json.dumps(child(request["quick"])))
        return
    give(benchmark(given.quick, given.threads), table, out=given.out, as_table=given.table)
