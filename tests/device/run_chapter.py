"""python run_chapter.py NAME DEVICE OUT [OVERRIDES]: a chapter's cells in this process, on "cpu" or the fake "cuda".

At tiny sizes, or with these overrides of the quick ones as JSON: "{}" is the chapter itself, whose claims then bind.

Writes OUT/report.json: cells that failed with their tracebacks, seconds of every cell, and on "cuda" what ran on the
fake GPU. The chapter itself writes OUT/results.json, as in any run.
"""

import json
import os
import re
import sys
import time
import traceback
from pathlib import Path

MOST = 24  # of anything that a setting counts, but for
# points on a side of a grid that integrates, steps some of which are checkpoints, cells of a model, training examples,
# networks, which stay as they are, held-out models, as many as are trained on, labelings, of which 1 % is read, and
# seeds and misfits, two of which have an interval, test sets, which hold as many of each kind, and data on a line, of
# which the middle one is 0.
LONGER = {"grid": 201, "steps": 100, "cells": 32, "examples": 100, "width": 256, "batch": 128}
LONGER |= {"held_out": 1000, "labelings": 199, "seeds": 2, "misfits": 2, "num_test": 40, "num_data": 25}
STAYS = re.compile(r"^(adversaries|training)$|referee")  # how recorded networks were made, by which they are found
STEPS = re.compile(r"checkpoints|iterations")  # lists of steps, the last of which ends the work


def tiny(settings: dict) -> dict:
    """Overrides for a chapter's quick settings that make it run in seconds, by their names: no chapter is listed here.

    A number of things is at most ``MOST``, and a list of steps ends there. Other lists (training sets, frequencies,
    particles) are what the chapter is about, and stay.
    """
    found = {}
    for name, value in settings.items():
        if STAYS.search(name):
            continue
        if isinstance(value, dict):
            small = value | tiny(value)
        elif isinstance(value, list) and STEPS.search(name) and max(value) > MOST:
            small = sorted({max(min(step, 1), round(step * MOST / max(value))) for step in value})
        elif isinstance(value, list) and name.startswith("num_"):
            small = [min(number, MOST) for number in value]
        elif type(value) is int:
            small = min(value, next((most for part, most in LONGER.items() if part in name), MOST))
        else:
            continue
        if small != value:
            found[name] = small
    return found


def draw_nothing() -> None:
    """Figures are made, which needs every number on the CPU, but not drawn, which takes most of a chapter's time."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    matplotlib.use("Agg")
    FigureCanvasAgg.draw = lambda self: None
    Figure.savefig = lambda self, file, **_: Image.new("RGB", (1, 1)).save(file, format="png")


def main(name: str, device: str, out: Path, overrides: dict | None = None) -> None:
    root = Path(__file__).parents[2]
    sys.path.insert(0, str(root / "src"))
    if device == "cuda":
        import fakecuda

        fakecuda.install()
    import nbformat
    import yaml
    from IPython.core.interactiveshell import InteractiveShell

    from chapters.ch04_dps_fwi import runs as dps_parts
    from memprior import paper

    draw_nothing()
    if overrides is None:  # sampling with waves: ten of the two hundred steps that no setting names
        dps_parts.SIGMAS = paper.SIGMAS[::20]
    out.mkdir(parents=True, exist_ok=True)
    os.environ |= {"COMPANION_RUN": str(out), "COMPANION_KEY": "tiny", "COMPANION_WORK": "tiny"}
    os.environ |= {"COMPANION_STORE": str(out / "store"), "COMPANION_ROOT": str(root)}
    os.chdir(root / "notebooks")
    quick = yaml.safe_load(Path("profiles.yml").read_text(encoding="utf-8"))[name]["quick"]
    parameters = {"profile": "quick", "seed": 0, "overrides": tiny(quick) if overrides is None else overrides}
    shell, failed, seconds = InteractiveShell.instance(), {}, {}
    shell.showtraceback = lambda *_, **__: None
    if device == "cuda":
        fakecuda.count("memprior/")
    for index, cell in enumerate(nbformat.read(f"{name}.ipynb", 4).cells):
        if cell.cell_type != "code":
            continue
        source = re.sub(r"(?m)^\s*%.*", "pass", cell.source)
        if "parameters" in cell.metadata.get("tags", []):
            source += "".join(f"\n{key} = {value!r}" for key, value in parameters.items())
        began = time.perf_counter()
        done = shell.run_cell(source)
        seconds[index] = round(time.perf_counter() - began, 2)
        if error := done.error_before_exec or done.error_in_exec:
            failed[index] = "".join(traceback.format_exception(error)[-8:])
        sys.modules["matplotlib.pyplot"].close("all") if "matplotlib.pyplot" in sys.modules else None
    report = {"failed": failed, "seconds": seconds, "cpu_s": time.process_time()}
    if device == "cuda":
        report |= fakecuda.report()
    (out / "report.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:3], Path(sys.argv[3]).resolve(), *map(json.loads, sys.argv[4:]))
