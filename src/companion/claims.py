"""data/claims/NAME.yml: every number chapter NAME quotes, what it should be, why it may differ by so much and no more.

An entry has ``expected`` with ``tolerance``, or a one-sided bound; ``why`` is the reason for exactly that bound. A
chapter's run fails when one of its claims is out of bounds, is never made, or is made and not listed.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from companion.profiles import PROFILES
from companion.sources import read_yaml, short

REQUIRED = {"id", "chapter", "statement", "source", "why", "profiles"}
BOUNDS = {"expected", "tolerance", "at_most", "at_least"}


class ClaimError(ValueError):
    """A claim that fails, is not listed, was never made, or cannot fail. Names the claim."""


@dataclass(frozen=True)
class Claim:
    """One entry. Either ``expected`` with ``tolerance``, or a one-sided bound ``at_most`` / ``at_least``.

    profiles: those in which the claim is made and checked. source: the paper's item, or "ours".
    """

    id: str
    chapter: str
    statement: str
    source: str
    why: str
    profiles: tuple[str, ...]
    expected: float | None = None
    tolerance: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self):
        for text in ("id", "chapter", "statement", "source", "why"):
            if not isinstance(getattr(self, text), str) or not getattr(self, text).strip():
                raise ClaimError(f"claim {self.id}: expected words as {text}, got {getattr(self, text)!r}")
        if not re.fullmatch(r"[\w.-]+", self.id):
            raise ClaimError(f"claim {self.id}: expected an id of letters, digits, '.', '_' and '-'")
        for bound in sorted(BOUNDS):
            if getattr(self, bound) is not None and not math.isfinite(getattr(self, bound)):
                raise ClaimError(f"claim {self.id}: expected a finite {bound}, else every value passes or none")
        two_sided = self.expected is not None and self.tolerance is not None
        one_sided = (self.at_most is None) != (self.at_least is None)
        half = (self.expected is None) != (self.tolerance is None)
        if half or two_sided == one_sided:
            raise ClaimError(f"claim {self.id}: expected either expected and tolerance, or one of at_most and at_least")
        if two_sided and not 0 <= self.tolerance < abs(self.expected):
            raise ClaimError(
                f"claim {self.id}: expected a tolerance below |{self.expected}|, else twice the value passes, "
                f"got {self.tolerance}"
            )
        if not self.profiles:
            raise ClaimError(f"claim {self.id}: expected profiles among {', '.join(PROFILES)}, got none")
        for profile in self.profiles:
            if profile not in PROFILES:
                raise ClaimError(f"claim {self.id}: expected profiles among {', '.join(PROFILES)}, got {profile!r}")

    @property
    def bound(self) -> str:
        """In words a reader takes in: '0.224 ± 0.003', '≤ 1e-10'."""
        if self.expected is not None:
            return f"{self.expected:g} ± {self.tolerance:g}"
        return f"≤ {self.at_most:g}" if self.at_most is not None else f"≥ {self.at_least:g}"

    def holds(self, value: float) -> bool:
        """NaN and infinity never hold."""
        if not math.isfinite(value):
            return False
        if self.expected is not None:
            return abs(value - self.expected) <= self.tolerance
        return value <= self.at_most if self.at_most is not None else value >= self.at_least

    def failure(self, value: float) -> str:
        return f"claim {self.id}: expected {self.bound}, got {value:.6g} ({self.statement})"


def load(path: Path) -> dict[str, Claim]:
    """Every claim by its id: of one chapter's file, or of all in a folder, a file a chapter, by name.

    Raises :class:`ClaimError` naming the file, for a missing or unknown field, a doubled id, a claim that cannot fail,
    or one of another chapter than the file's.
    """
    claims = {}
    for file in sorted(path.glob("*.yml")) if path.is_dir() else [path]:
        try:
            of_file = _of_file(file)
            if twice := claims.keys() & of_file.keys():
                raise ClaimError(f"claim {min(twice)}: expected one entry of this id, got two")
        except ClaimError as error:
            raise ClaimError(f"{short(file)}: {error}") from None
        claims |= of_file
    return claims


def of_chapter(folder: Path, name: str) -> dict[str, Claim]:
    """Those of chapter ``name``, which alone are read; none where it has no file yet. Raises as :func:`load`."""
    file = folder / f"{name}.yml"
    return load(file) if file.is_file() else {}


def _of_file(path: Path) -> dict[str, Claim]:
    entries, claims = read_yaml(path), {}
    if not isinstance(entries, list):
        raise ClaimError(f"expected a list of claims, got {type(entries).__name__}")
    for entry in entries:
        if not isinstance(entry, dict):
            raise ClaimError(f"expected the fields {', '.join(sorted(REQUIRED))}, got {entry!r}")
        named = f"claim {entry.get('id', entry)}"
        if missing := REQUIRED - entry.keys():
            raise ClaimError(
                f"{named}: expected the fields {', '.join(sorted(REQUIRED))}, got none for {', '.join(sorted(missing))}"
            )
        if unknown := entry.keys() - REQUIRED - BOUNDS:
            raise ClaimError(f"{named}: expected no field {', '.join(sorted(map(str, unknown)))}")
        if not isinstance(entry["profiles"], list):
            raise ClaimError(f"{named}: expected a list of profiles, got {entry['profiles']!r}")
        texts = {key: entry[key] for key in REQUIRED - {"profiles"}}
        bounds = {key: _number(named, key, entry[key]) for key in BOUNDS & entry.keys()}
        claim = Claim(**texts, profiles=tuple(entry["profiles"]), **bounds)
        if claim.chapter != path.stem:
            raise ClaimError(f"{named}: expected a claim of chapter {path.stem}, got one of {claim.chapter}")
        if claim.id in claims:
            raise ClaimError(f"{named}: expected one entry of this id, got two")
        claims[claim.id] = claim
    return claims


def _number(named: str, key: str, value) -> float:
    """YAML reads 1e-9, without a point, as a text."""
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError):
        raise ClaimError(f"{named}: expected a number as {key}, got {value!r}") from None


def check_made(claims: dict[str, Claim], chapter: str, profile: str, values: dict[str, float]) -> list[str]:
    """What is wrong with the claims one run made: out of tolerance, never made, made but not listed.

    Empty when nothing is.
    """
    due = {claim.id for claim in claims.values() if claim.chapter == chapter and profile in claim.profiles}
    failures = [f"claim {name}: never made by {chapter} at profile {profile}" for name in sorted(due - values.keys())]
    failures += [
        f"claim {name}: made by {chapter} at profile {profile} but not listed for it"
        for name in sorted(values.keys() - due)
    ]
    failures += [
        claims[name].failure(values[name])
        for name in sorted(due & values.keys())
        if not claims[name].holds(values[name])
    ]
    return failures
