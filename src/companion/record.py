"""What a notebook says about itself: its settings, its claims, its provenance.

A chapter calls::

    run = record.begin("03_linearized_posterior", profile, seed, overrides)
    record.claim("linearized.tv_determinant", value)  # checked, quoted on the page, listed with the claims
    record.finish()  # the provenance strip; writes results.json and provenance.json

Under ``python -m companion run`` the environment names the folder that results go to (``COMPANION_RUN``), the store
(``COMPANION_STORE``) and the identity of the notebook's own work there (``COMPANION_WORK``). By hand, in a notebook
that somebody has open, nothing is written.
"""

import html
import json
import logging
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from companion import claims, paths, profiles, tables, weights
from companion.profiles import DEFAULT_SEED
from companion.results import PROVENANCE, RESULTS
from companion.store import Store, code_digest
from memprior._random import generator_for

DIGITS = 12  # significant digits kept in results.json: below them two runs may round differently
RESUMING = ("memprior.training", "memprior.guidance", "chapters")  # their logs tell of work that goes on, no others
LISTED = ("torch", "numpy", "scipy", "matplotlib")


@dataclass
class Run:
    """One run of one notebook. settings: the chapter's ``Settings``. listed: every claim.

    device: the first NVIDIA GPU, else the CPU. Other GPUs are left alone: Apple's (mps) has no double precision.
    """

    name: str
    profile: str
    seed: int
    overrides: dict
    settings: Any
    device: torch.device
    listed: dict[str, claims.Claim] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)
    values: dict[str, float] = field(default_factory=dict)
    resumed: list[str] = field(default_factory=list)  # where killed work went on, in the library's words
    devices: list[str] = field(default_factory=list)  # in words, those that made what was found in the store

    @property
    def binding(self) -> bool:
        """Claims are about the published settings, in the repository; elsewhere a claim that fails only warns."""
        return paths.repository() is not None and self.seed == DEFAULT_SEED and not self.overrides

    def generator(self, purpose: str) -> torch.Generator:
        """Randomness for one purpose: the same for the same seed whatever else has been drawn.

        It is the CPU's on every device: with a GPU's own numbers, claims about one seed would be about another one.
        """
        return seeded(self.seed, purpose)

    def store(self, module: str | None = None) -> Store:
        """Where results of ``module`` are kept from run to run, or those of this notebook's own code.

        A changed sentence, or a change in a module of figures, leaves both as they are; a changed cell of code leaves
        the first. By hand it is a temporary folder.
        """
        label = _device(self.device)
        if "COMPANION_STORE" not in os.environ:
            return Store(Path(tempfile.mkdtemp(prefix=f"{self.name}-")), "by hand", self.device, label, self.devices)
        made_by = code_digest(paths.require_repository(), module) if module else os.environ["COMPANION_WORK"]
        return Store(Path(os.environ["COMPANION_STORE"]), made_by, self.device, label, self.devices)

    def cached(self, purpose: str, compute: Callable[[Path | None], Any]) -> Any:
        """``compute(folder)``, or its stored result, as JSON (numbers, strings, lists, dicts with string keys).

        folder: for unfinished work; None by hand, where nothing is stored. The identity is the code of
        the notebook, its sizes, seed and overrides, and the purpose.
        """
        if "COMPANION_STORE" not in os.environ:
            return json.loads(json.dumps(compute(None)))
        arguments = {"seed": self.seed, "overrides": self.overrides}
        return self.store().value(f"{self.name} {purpose}", arguments, compute)


def seeded(seed: int, purpose: str) -> torch.Generator:
    """That of :meth:`Run.generator`."""
    return generator_for(f"{seed}:{purpose}")


_run: Run | None = None


def unattended() -> bool:
    """True where ``python -m companion run`` executes the notebook, so that nobody can move a live slider."""
    return "COMPANION_RUN" in os.environ


def begin(name: str, profile: str, seed: int, overrides: dict) -> Run:
    """Start the record of notebook ``name``.

    Raises, before any work, ``SettingsError`` for settings that do not exist and ``ClaimError`` for bad claims.
    """
    global _run
    settings = profiles.settings(paths.shipped("profiles.yml"), name, profile, seed, overrides)
    listed = claims.of_chapter(paths.shipped("claims"), name)  # once: parsing them takes longer than a claim may
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    _run = Run(name, profile, int(seed), overrides, settings, device, listed)
    for name in RESUMING:
        log = logging.getLogger(name)
        log.setLevel(logging.INFO)
        others = [handler for handler in log.handlers if not isinstance(handler, _Resumed)]
        log.handlers = [*others, _Resumed(_run.resumed)]
    return _run


class _Resumed(logging.Handler):
    """What the library and the chapters say of work that goes on, as a list of lines."""

    def __init__(self, lines: list[str]):
        super().__init__()
        self.lines = lines

    def emit(self, record) -> None:
        self.lines.append(record.getMessage())


def claim(id: str, value) -> float:
    """State a result: check it against data/claims/NAME.yml, keep it for the page, return it as a float.

    Raises ``ClaimError`` for an id that is not listed for this notebook and profile, and for a value out of
    tolerance; where the settings are not the published ones, or outside the repository, it warns instead. A value
    must be one number.
    """
    run, value = _begun(), float(value)
    listed = run.listed.get(id)
    if listed is None or run.profile not in listed.profiles:
        _fail(run, f"claim {id}: expected an entry at profile {run.profile} in data/claims/{run.name}.yml, got none")
    elif not listed.holds(value):
        _fail(run, listed.failure(value))
    run.values[id] = value
    if unattended():
        from myst_nb import glue  # part of the book's tools, not needed to run a notebook elsewhere

        glue(id, value, display=False)
    return value


def picture(name: str, figure, *, alt: str | None = None, caption: str | None = None) -> None:
    """Keep a figure as NAME.png beside the results, for a page that is not this notebook.

    With ``alt`` and ``caption``, which travel in the file, it is one of the recorded results: kept in a full run only.
    """
    if unattended() and (alt is None or _begun().profile == "full"):
        figure.canvas.draw()  # the layout needs a first drawing to settle
        file = Path(os.environ["COMPANION_RUN"]) / f"{name}.png"
        texts = {"Description": alt, "Title": caption} if alt else {}
        figure.savefig(file, dpi=200, bbox_inches="tight", metadata={"Software": None} | texts)


def keep_table(name: str, table: tables.Table, *, caption: str) -> None:
    """Keep a table beside the results of a full run: one of the recorded results, for its page to include."""
    if unattended() and _begun().profile == "full":
        tables.write_table(Path(os.environ["COMPANION_RUN"]), name, table, caption)


def keep_weights(name: str, tensors: dict[str, torch.Tensor], made: dict) -> None:
    """Keep weights beside the results of a full run, for other runs of this chapter to start from; at most 4 MB.

    made: how, as JSON.
    """
    if unattended() and _begun().profile == "full":
        weights.write_weights(Path(os.environ["COMPANION_RUN"]), name, tensors, made)


def finish() -> "Strip":
    """End the record: every claim due was made, results and provenance are written; the cell shows the strip."""
    run = _begun()
    if failures := claims.check_made(run.listed, run.name, run.profile, run.values):
        _fail(run, "; ".join(failures))
    strip = Strip(provenance(run))
    if unattended():
        folder = Path(os.environ["COMPANION_RUN"])
        results = {key: getattr(run, key) for key in ("name", "profile", "seed", "overrides")}
        results["claims"] = {id: float(f"{value:.{DIGITS}g}") for id, value in sorted(run.values.items())}
        (folder / RESULTS).write_text(json.dumps(results, indent=1) + "\n")
        (folder / PROVENANCE).write_text(json.dumps(strip.provenance, indent=1) + "\n")
    return strip


def provenance(run: Run) -> dict:
    """Where, with what and how long: everything about a run that may differ while its results do not."""
    return {
        "name": run.name,
        "profile": run.profile,
        "seed": run.seed,
        "device": "; then ".join(dict.fromkeys([*run.devices, _device(run.device)])),
        "python": platform.python_version(),
        # What torch says of itself: its build too, which the metadata of PyPI's CUDA build leave out.
        **{package: torch.__version__ if package == "torch" else metadata.version(package) for package in LISTED},
        "commit": _commit(),
        "content_key": os.environ.get("COMPANION_KEY", "none: run by hand"),
        "wall_s": round(time.perf_counter() - run.started, 1),
        "peak_memory_mb": round(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
        ),
        **({"resumed": run.resumed} if run.resumed else {}),
    }


class Strip:
    """Provenance as one line of a page."""

    def __init__(self, provenance: dict):
        self.provenance = provenance

    def _parts(self):
        p = self.provenance
        versions = ", ".join(f"{name} {p[name]}" for name in ("python", *LISTED))
        settings = (
            ("profile", p["profile"]),
            ("seed", p["seed"]),
            ("device", p["device"]),
            ("versions", versions),
            ("commit", p["commit"]),
        )
        return (
            *settings,
            ("key", p["content_key"][:12]),
            ("wall", f"{p['wall_s']:g} s"),
            ("peak memory", f"{p['peak_memory_mb']} MB"),
        )

    def __repr__(self):
        return " · ".join(f"{name} {value}" for name, value in self._parts())

    def _repr_html_(self):
        inner = " · ".join(f"{name} <b>{html.escape(str(value))}</b>" for name, value in self._parts())
        return f'<p class="provenance">{inner}</p>'


def _begun() -> Run:
    if _run is None:
        raise RuntimeError(
            "record.begin(name, profile, seed, overrides): expected once at the head of the notebook, got no call"
        )
    return _run


def _fail(run: Run, message: str) -> None:
    if run.binding:
        raise claims.ClaimError(message)
    warnings.warn(message, stacklevel=3)


def _device(device: torch.device) -> str:
    """In words."""
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        return f"{card.name}, {card.total_memory / 2**30:.0f} GiB, driver {_driver()}"
    return f"CPU, {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"


@cache
def _driver() -> str:
    """The version of NVIDIA's driver, which torch does not know."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        version = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return version or "unknown"


def _commit() -> str:
    root = paths.repository()
    if root is None:
        return "none: not in a checkout"
    if not (root / ".git").exists():  # an archive, unpacked: a repository around it is another one
        return "none: no git repository"
    # A hook, or `git rebase --exec`, names its own repository to every git that it starts.
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        described = subprocess.run(
            ["git", "-C", root, "describe", "--always", "--dirty", "--exclude=*"],
            env=surroundings,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return "none: no git"
    return described.stdout.strip() or "none"
