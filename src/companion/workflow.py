"""The chapters as Snakemake runs them: what is asked for, checked before the first job, and the command itself."""

import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from companion import claims, environment, keys, profiles
from companion.locks import alone
from companion.run import chapters, is_current, place, sweep_label, swept, unlisted
from companion.sources import SourceError, read_yaml

CONFIG = {"profile", "chapters", "seeds", "overrides", "brief"}
RUNS_THIS = "COMPANION_WORKFLOW"  # set for the processes of run_chapters
# Measured at profile quick. With two slots the last chapter to start should be a short one; nothing else depends on it.
LONGEST_FIRST = (
    "02_gaussian_mixture_prior",
    "04_dps_fwi",
    "06_calibration",
    "07_fine_tuning",
    "01_maximum_likelihood",
    "05_samplers",
    "08_first_breaks",
    "a1_waves",
    "09_inception",
    "03_linearized_posterior",
    "b1_bring_your_own",
)
KEPT_DAYS = 60  # in the store, from the last use
STOPPED = 130  # the status of what Ctrl-C ended
KEPT = "what had ended is kept, and the long parts of what had not: the same command goes on from there"


class PlanError(ValueError):
    """A workflow that cannot be: names the chapter, the setting or the file."""


@dataclass(frozen=True)
class Plan:
    """What a workflow is to do.

    Attributes:
        profile: quick or full.
        names: of chapters.
        points: label of each run of a sweep -> (seed, overrides).
        parts: entry of the store -> part of the long work that becomes a job of its own.
        long: (chapter, label) -> entries of the parts that this run starts from.
    """

    profile: str
    names: tuple[str, ...]
    points: dict[str, tuple[int, dict]]
    parts: dict[str, "PlannedPart"] = field(default_factory=dict)
    long: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    @staticmethod
    def priority(name: str) -> int:
        """Of two chapters that could start, the one with the higher number does."""
        return len(LONGEST_FIRST) - LONGEST_FIRST.index(name) if name in LONGEST_FIRST else 0

    @staticmethod
    def destinations(root: Path, name: str, profile: str, seed: int, overrides: dict) -> set[Path]:
        """Where the rules of the Snakefile put a run."""
        return {place(root, name, profile, seed, overrides), swept(root, name, profile, seed, overrides)}


@dataclass(frozen=True)
class PlannedPart:
    """arguments: of ``python -m companion part``. needs: entries of the parts that it starts from."""

    arguments: tuple[str, ...]
    needs: tuple[str, ...]


def plan(root: Path, config: dict) -> Plan:
    """What Snakemake's ``config`` asks for; the content keys, which are the rules' inputs, are brought up to date.

    config: profile, chapters (all of them unless named), seeds, overrides (a dict of settings, or a list of such),
    each as it stands in a file or as text, which is all that ``--config`` gives. Raises before any job
    :class:`PlanError`, ``SettingsError``, ``ClaimError`` or ``SourceError`` naming the culprit.
    """
    if unknown := config.keys() - CONFIG:
        raise PlanError(f"config: expected {', '.join(sorted(CONFIG))}, got {', '.join(sorted(unknown))}")
    profile = str(config.get("profile", "quick"))
    names = tuple(str(name) for name in _listed(config.get("chapters", "")) or chapters(root))
    seeds = [typed(seed) for seed in _listed(config.get("seeds", 0))]
    overrides = typed(config.get("overrides", {}))
    points = [(seed, one) for one in (overrides if isinstance(overrides, list) else [overrides]) for seed in seeds]
    expect_sources(root)
    for missing in [] if config.get("brief") else unlisted(root):
        print(f"notebooks/{missing}.ipynb: not in _toc.yml, passed over", file=sys.stderr)
    claims.load(root / "data" / "claims")
    sizes = root / "notebooks" / "profiles.yml"
    for name in names:
        if name not in read_yaml(sizes) or not (root / "notebooks" / f"{name}.ipynb").is_file():
            raise PlanError(f"{name}: expected notebooks/{name}.ipynb and its sizes in notebooks/profiles.yml")
        for seed, one in points:
            try:
                profiles.settings(sizes, name, profile, seed, one)
            except profiles.SettingsError as error:
                raise PlanError(f"{name}: {error}") from None
        # Touched only when something that the run depends on has changed.
        keys.write_key(root, name, profile)
    requested = Plan(profile, names, {sweep_label(seed, one): (seed, one) for seed, one in points})
    if profile == "full":  # at quick a part takes less time than its process would
        for name in names:
            plan_parts(root, requested, name)
    return requested


def plan_parts(root: Path, requested: Plan, name: str) -> None:
    """Add the long work of the runs of ``name`` that are not up to date to a plan; only their chapters import torch.

    The mark of a part whose result has been removed from the store goes too.
    """
    from companion import jobs, record

    key = keys.content_key(root, name, requested.profile)["key"]
    for label, (seed, overrides) in requested.points.items():
        point = name, requested.profile, seed, overrides
        if all(is_current(folder, key, *point) for folder in requested.destinations(root, *point)):
            continue
        with environment.with_variables(COMPANION_STORE=str(root / "_build" / "store")):
            study = jobs.study_of(record.begin(*point))
        if study is None:
            continue
        entries = {part: study.store.entry(part.name, study.arguments(part)) for part in study.parts}
        requested.long[name, label] = list(entries.values())
        for part, entry in entries.items():
            options = ("--profile", requested.profile, "--seed", str(seed), "--overrides", json.dumps(overrides))
            needs = tuple(entries[other] for other in study.needs(part))
            planned = PlannedPart((name, part.name, "--entry", entry, *options), needs)
            requested.parts.setdefault(entry, planned)
            if not any(study.store.folder.glob(f"{entry}-*.safetensors")):
                (root / "_build" / "keys" / "parts" / entry).unlink(missing_ok=True)


def _listed(value) -> list:
    """A list as it is, one entry of a text for each comma, anything else alone."""
    if isinstance(value, str):
        return [entry for entry in value.split(",") if entry]
    return value if isinstance(value, list) else [value]


def typed(value):
    """Numbers, truth values, lists and dicts where ``--config`` left texts of them; other texts stay."""
    if isinstance(value, dict):
        return {key: typed(held) for key, held in value.items()}
    if isinstance(value, list):
        return [typed(held) for held in value]
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def expect_sources(root: Path) -> None:
    """Files that would change every run and are in no content key are refused: :class:`SourceError`."""
    folder = root / "notebooks"
    shadowing = [file for file in folder.glob("*.py") if file.stem in sys.stdlib_module_names or find_spec(file.stem)]
    for file in [*shadowing, *folder.glob("matplotlibrc")]:
        raise SourceError(f"notebooks/{file.name}: expected no such file, every notebook beside it would take it up")


def run_chapters(root: Path, profile: str, cores: int) -> int:
    """Every chapter at ``profile`` by Snakemake on this machine, ``cores`` at a time; its exit status.

    Raises as :func:`plan` does. Ctrl-C ends in one line on what is kept, and :data:`STOPPED`.
    """
    with only_build(root):
        if removed := remove_unused(root / "_build" / "store"):
            print(f"removed from the store what nobody has used for {KEPT_DAYS} days: {', '.join(removed)}")
        plan(root, {"profile": profile})
        command = [sys.executable, "-m", "snakemake", "--snakefile", root / "workflow" / "Snakefile"]
        command += ["--cores", str(cores), "--quiet", "host", "progress", "reason", "rules", "--keep-going"]
        # The content keys say what has changed, and our lock waits where Snakemake's would end in an error.
        command += [
            "--rerun-triggers",
            "mtime",
            "--rerun-incomplete",
            "--nolock",
            "--config",
            f"profile={profile}",
            "brief=yes",
        ]
        if shutil.which("nvidia-smi"):  # a GPU has one queue and one memory: chapters take turns there
            command += ["--resources", "card=1"]
        with environment.of_run(root, {RUNS_THIS: "1"}):
            snakemake = subprocess.Popen(command, cwd=root)
            signal.signal(signal.SIGTERM, lambda *_: snakemake.terminate())
            try:
                return snakemake.wait()
            except KeyboardInterrupt:  # which went to Snakemake and its chapters too
                snakemake.wait()
                print(f"stopped; {KEPT}", file=sys.stderr)
                return STOPPED


def remove_unused(folder: Path, days: float = KEPT_DAYS) -> list[str]:
    """Remove the entries of a store, done or begun, that nobody has used for ``days``; their names."""
    before, removed = time.time() - 86400 * days, []
    for entry in sorted(folder.glob("[!.]*")):  # locks begin with a dot, and are empty
        with suppress(FileNotFoundError):  # somebody else has just ended with it
            if max(file.stat().st_mtime for file in (entry, *entry.rglob("*"))) < before:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
                removed.append(entry.name)
    return removed


def only_build(root: Path) -> AbstractContextManager:
    """One build of a checkout at a time: another one waits, and says so."""
    waiting = "another build of this checkout is at work: waiting for it to end"
    return alone(root / "_build" / ".lock", waiting=waiting)
