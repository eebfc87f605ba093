"""What a run leaves, and whether it is still what the run left.

Beside results.json lies provenance.json with a digest of every file of the run and one of itself: a file that is
missing, cut short, edited, damaged or of another run is named when it is read, before any page shows it.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from companion.profiles import DEFAULT_SEED

RESULTS = "results.json"
PROVENANCE = "provenance.json"
RESULT_FIELDS = {"name", "profile", "seed", "overrides", "claims"}


class RunError(RuntimeError):
    """A notebook that did not run, or left no usable results; names the notebook and the reason."""


def seal(folder: Path, files: Iterable[Path]) -> None:
    """Write the digests of ``files``, all in ``folder``, into its provenance, and one of the provenance itself."""
    content = _object(folder / PROVENANCE)
    content["files"] = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)}
    (folder / PROVENANCE).write_text(json.dumps(content | {"digest": json_digest(content)}, indent=1) + "\n")


def read_run(
    folder: Path, *, name: str, profile: str, seed: int = DEFAULT_SEED, overrides: dict | None = None
) -> tuple[dict, dict]:
    """(results, provenance) of a whole run of these settings, each of its files as the run left it.

    Raises :class:`RunError` naming the file that is not.
    """
    results, provenance = read_results(folder), read_sealed(folder / PROVENANCE)
    requested = {"name": name, "profile": profile, "seed": seed, "overrides": overrides or {}}
    for field, expected in requested.items():
        if results[field] != expected:
            raise RunError(f"{folder / RESULTS}: expected a run of {field} {expected!r}, got {results[field]!r}")
    if not isinstance(provenance.get("files"), dict) or RESULTS not in provenance["files"]:
        raise RunError(f"{folder / PROVENANCE}: expected digests of the run's files, got none")
    for file, expected in provenance["files"].items():
        try:
            actual = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        except OSError:
            raise RunError(f"{folder / file}: expected this file of the run, found none that can be read") from None
        if actual != expected:
            raise RunError(f"{folder / file}: expected it as the run left it, got an edited, damaged or other file")
    return results, provenance


def read_results(folder: Path) -> dict:
    """results.json of a run.

    Raises :class:`RunError` naming the file when it is missing, cut short or not of our making.
    """
    file = folder / RESULTS
    if not file.is_file():
        raise RunError(f"{file}: expected the results of a run that called record.finish(), found no file")
    results = _object(file)
    if results.keys() != RESULT_FIELDS or not isinstance(results["claims"], dict):
        raise RunError(f"{file}: expected the fields {', '.join(sorted(RESULT_FIELDS))}, got {list(results)}")
    if not all(type(value) in (int, float) for value in results["claims"].values()):
        raise RunError(f"{file}: expected a number for every claim")
    return results


def read_sealed(file: Path) -> dict:
    """A JSON object that carries its own digest; :class:`RunError` naming the file unless it is as it was written."""
    content = _object(file)
    if "digest" not in content:
        raise RunError(f"{file}: expected a digest of its own, got none")
    if content["digest"] != json_digest(content):
        raise RunError(f"{file}: expected it as it was written, got an edited or damaged file")
    return content


def json_digest(content: dict) -> str:
    """Of everything in a JSON object but its own ``digest``."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _object(file: Path) -> dict:
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise RunError(f"{file}: expected this file of the run, found none") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{file}: expected JSON, got {error}") from None
    if not isinstance(content, dict):
        raise RunError(f"{file}: expected the fields of a JSON object, got {type(content).__name__}")
    return content
