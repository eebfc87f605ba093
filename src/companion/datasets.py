"""The registry of optional data: real records that a reader may add. No build and no test needs them.

``python -m companion data`` lists them. One is downloaded from PyPI through pip, checked by its hash and unpacked; the
others are a reader's own copies, of which only the place is noted. All lie in, or are noted in, one folder that git
ignores: ``COMPANION_DATA`` where it is set, else _build/data in a checkout, else ~/.cache/priors-that-remember/data.
"""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from companion import paths
from companion.locks import alone

SUMS = "SHA256SUMS"  # of what was unpacked; `sha256sum --check` reads it


class DataError(ValueError):
    """Optional data that are unknown, absent, damaged or not what was asked for."""


@dataclass(frozen=True)
class Wheel:
    """Data inside a wheel of PyPI, which is never installed nor imported.

    requirement: what pip is asked for. num_bytes, sha256: of the wheel. member: its files that are kept, by a pattern
    of which the group ``name`` is what they are called below the folder. sums_sha256: of the SHA256SUMS of these files.
    """

    requirement: str
    num_bytes: int
    sha256: str
    member: str
    sums_sha256: str


@dataclass(frozen=True)
class Dataset:
    """about, license, credit: in words. wheel: where it comes from; None for a reader's own copy, in which each of the
    patterns ``holds`` finds a file.
    """

    about: str
    license: str
    credit: str
    wheel: Wheel | None = None
    holds: tuple[str, ...] = ()


DATASETS = {
    "first-breaks": Dataset(
        about="14 refraction shots of two sites (SEG-2, 336 traces) and 327 picks (.sgt)",
        license="MIT",
        credit="Guedes, Maciel and Rocha (2022)",
        wheel=Wheel(
            requirement="refrapy==0.2.4.1",
            num_bytes=10599572,
            sha256="c704fc7e0093c3ab5598caf727d425ff55cef2922b5dadaf16d404e7c1c60f7d",
            member=r"refrapy/data/(?P<name>field_example_\d+/(data/\d+\.dat|picks/\w+\.sgt))"
            r"|refrapy-[\d.]+\.dist-info/licenses/(?P<license>LICENSE)",
            sums_sha256="768085723e898def357b7707df39a809319a63790f93a5d1f1dbc9246524b183",
        ),
    ),
    "geo-stack": Dataset(
        about="20 picked and 295 unpicked shots of 48 traces (.npy, .txt): example/data/raw/dataset1 of the repository",
        license="MIT",
        credit="github.com/geo-stack/first_break_picking",
        holds=("train/*.npy", "train/*.txt"),
    ),
    "hardpicks": Dataset(
        about="four hard-rock surveys (HDF5, unpacked from .xz)",
        license="CC BY 4.0 (Brunswick, Halfmile), Open Government Licence - Canada (Lalor, Sudbury)",
        credit="St-Charles et al. (2023), github.com/mila-iqia/hardpicks",
        holds=("*.hdf*",),
    ),
}


def folder(name: str) -> Path | None:
    """The folder of a data set; None where the reader has not added it.

    first-breaks: field_example_01 and field_example_02, in each data/NUMBER.dat (SEG-2) and picks/NAME.sgt; LICENSE.
    Others as their authors gave them. Downloaded files are compared with their SHA-256, a reader's own with the names
    and sizes they had when they were noted. Raises :class:`DataError` naming a file that is missing or another.
    """
    dataset, home = _registered(name), home_folder()
    if dataset.wheel is None:
        note = home / f"{name}.json"
        return _check_noted(name, note) if note.is_file() else None
    target = home / name
    if not target.is_dir():
        return None
    _check_unpacked(name, target, dataset.wheel)
    return target


def home_folder() -> Path:
    """Where data sets lie or are noted."""
    if told := os.environ.get("COMPANION_DATA"):
        return Path(told)
    root = paths.repository()
    return (root / "_build" if root else Path.home() / ".cache" / "priors-that-remember") / "data"


def add(name: str, source: Path | None = None) -> Path:
    """Download and unpack a data set, or take it from ``source``; its folder.

    source: the wheel, or a folder that holds it; of a reader's own copy, its folder. What was there already and is
    whole is left; what is damaged is replaced. Raises :class:`DataError`.
    """
    dataset, home = _registered(name), home_folder()
    home.mkdir(parents=True, exist_ok=True)
    with alone(home / f".{name}.lock", waiting=f"{name}: somebody else is adding it, waiting for them to end"):
        if dataset.wheel is None:
            return _note(name, dataset, home, source)
        try:
            if (found := folder(name)) is not None:
                return found
        except DataError:
            pass  # replaced
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=home) as temporary:
            file = _given(name, dataset.wheel, source) if source else _download(name, dataset.wheel, Path(temporary))
            came = _sha256(file)
            if came != dataset.wheel.sha256:
                raise DataError(f"{file}: expected {_wheel_words(dataset.wheel)}, got sha256 {came}")
            fresh = Path(temporary) / "fresh"
            _unpack(file, fresh, dataset.wheel)
            _check_unpacked(name, fresh, dataset.wheel)
            target = home / name
            if target.exists():
                target.rename(Path(temporary) / "damaged")
            fresh.rename(target)
    return target


def listing() -> str:
    """Every data set in words: what, license, size, hash, where, and whether it is there."""
    return "\n\n".join(_entry(name, dataset) for name, dataset in DATASETS.items())


def _entry(name: str, dataset: Dataset) -> str:
    try:
        found = folder(name)
        state = f"there: {found}" if found else "not there"
    except DataError as error:
        state = f"damaged: {error}"
    lines = [dataset.about, f"license: {dataset.license}; credit: {dataset.credit}"]
    if wheel := dataset.wheel:
        size = f"{wheel.num_bytes / 1e6:.1f} MB"
        lines += [
            f"from: {wheel.requirement} of PyPI, {size}, sha256 {wheel.sha256}",
            f"goes to: {home_folder() / name}",
        ]
    else:
        lines += ["from: your own copy, which stays where it is"]
    return "\n  ".join([name, *lines, state, f"to add it: {_command(name, dataset)}"])


def _registered(name: str) -> Dataset:
    if name not in DATASETS:
        raise DataError(f"data set: expected one of {', '.join(DATASETS)}, got {name!r}")
    return DATASETS[name]


def _command(name: str, dataset: Dataset) -> str:
    return f"python -m companion data {name}" + (" --from FOLDER" if dataset.wheel is None else "")


def _wheel_words(wheel: Wheel) -> str:
    return f"the wheel {wheel.requirement} with sha256 {wheel.sha256}"


# From PyPI


def _download(name: str, wheel: Wheel, into: Path) -> Path:
    """The wheel, by pip and the user's configuration of it: no index is written down here."""
    otherwise = (
        f"without a network or pip, get the wheel elsewhere and call `python -m companion data {name} --from FILE.whl`"
    )
    if importlib.util.find_spec("pip") is None:
        raise DataError(
            f"{name}: expected pip in this Python, to download {wheel.requirement}, found none; {otherwise}"
        )
    # The wheel is for a Python that need not be this one: nothing of it is run.
    options = ["--no-deps", "--only-binary=:all:", "--python-version", "3.12", "--dest", str(into)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", *options, wheel.requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    files = sorted(into.glob("*.whl"))
    if done.returncode or len(files) != 1:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        said = errors[-1] if errors else (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise DataError(f"{name}: expected pip to download {wheel.requirement}, got: {said}; {otherwise}")
    return files[0]


def _given(name: str, wheel: Wheel, source: Path) -> Path:
    if source.is_file():
        return source
    pattern = wheel.requirement.replace("==", "-") + "-*.whl"
    files = sorted(source.glob(pattern)) if source.is_dir() else []
    if len(files) != 1:
        raise DataError(f"{name}: expected a wheel, or a folder that holds {pattern}, got {source}")
    return files[0]


def _unpack(file: Path, target: Path, wheel: Wheel) -> None:
    """The members that are kept, by names of our pattern alone: no path of the archive is followed."""
    target.mkdir()
    sums = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.namelist():
                if match := re.fullmatch(wheel.member, member):
                    place = next(filter(None, match.groupdict().values()))
                    content = archive.read(member)
                    (target / place).parent.mkdir(parents=True, exist_ok=True)
                    (target / place).write_bytes(content)
                    sums[place] = hashlib.sha256(content).hexdigest()
    except zipfile.BadZipFile as error:
        raise DataError(f"{file}: expected a wheel, got {error}") from None
    text = "".join(f"{sums[place]}  {place}\n" for place in sorted(sums))
    (target / SUMS).write_text(text, encoding="utf-8")


def _check_unpacked(name: str, target: Path, wheel: Wheel) -> None:
    again = f"`python -m companion data {name}` unpacks it again"
    sums = target / SUMS
    content = sums.read_bytes() if sums.is_file() else b""
    if hashlib.sha256(content).hexdigest() != wheel.sums_sha256:
        raise DataError(f"{sums}: expected the hashes of what {wheel.requirement} holds, got others or none; {again}")
    for line in content.decode("utf-8").splitlines():
        digest, place = line.split("  ")
        file = target / place
        if not file.is_file():
            raise DataError(f"{file}: expected a file of {name}, found none; {again}")
        if (came := _sha256(file)) != digest:
            size = file.stat().st_size
            raise DataError(f"{file}: expected sha256 {digest}, got {came} ({size} bytes); {again}")


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


# A reader's own copies


def _note(name: str, dataset: Dataset, home: Path, source: Path | None) -> Path:
    command = _command(name, dataset)
    if source is None:
        raise DataError(f"{name}: expected the folder of your own copy, got none: `{command}` ({dataset.credit})")
    source = source.resolve()
    files = {pattern: sorted(source.glob(pattern)) for pattern in dataset.holds} if source.is_dir() else {}
    missing = [pattern for pattern in dataset.holds if not files.get(pattern)]
    if missing:
        raise DataError(f"{source}: expected a folder of {name} that holds {', '.join(missing)}, found none")
    sizes = {file.relative_to(source).as_posix(): file.stat().st_size for some in files.values() for file in some}
    text = json.dumps({"folder": str(source), "bytes": sizes}, indent=1)
    with tempfile.NamedTemporaryFile("w", dir=home, delete=False, encoding="utf-8") as draft:
        draft.write(text)
    Path(draft.name).replace(home / f"{name}.json")
    return source


def _check_noted(name: str, note: Path) -> Path:
    told = json.loads(note.read_text(encoding="utf-8"))
    for place, size in told["bytes"].items():
        file = Path(told["folder"]) / place
        came = file.stat().st_size if file.is_file() else None
        if came != size:
            words = "no file" if came is None else f"{came} bytes"
            again = f"`{_command(name, DATASETS[name])}` notes it anew"
            raise DataError(f"{file}: expected {size} bytes, as when {name} was added, got {words}; {again}")
    return Path(told["folder"])
