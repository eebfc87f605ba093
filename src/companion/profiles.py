"""Sizes of every run, from notebooks/profiles.yml alone."""

from pathlib import Path

from companion.sources import read_yaml

PROFILES = ("quick", "full")


class SettingsError(ValueError):
    """A profile, seed or override that does not exist or does not fit; names it, and what could have been said."""


def settings(path: Path, name: str, profile: str, seed: int, overrides: dict) -> dict:
    """The numbers one run goes by: those of chapter ``name`` at ``profile``, with ``overrides`` in place of some.

    Raises :class:`SettingsError` for an unknown chapter, profile or override, an override of another type, or a
    seed that is not an integer >= 0.
    """
    chapters = read_yaml(path)
    if name not in chapters:
        raise SettingsError(f"name: expected one of {', '.join(chapters)}, got {name!r}")
    if profile not in PROFILES:
        raise SettingsError(f"profile: expected one of {', '.join(PROFILES)}, got {profile!r}")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise SettingsError(f"seed: expected an integer >= 0, got {seed!r}")
    if not isinstance(overrides, dict):
        raise SettingsError(f"overrides: expected a dict of settings, got {overrides!r}")
    chosen = dict(chapters[name][profile])
    for key, value in overrides.items():
        if key not in chosen:
            raise SettingsError(f"overrides: expected keys among {', '.join(chosen)}, got {key!r}")
        if not _fits(value, chosen[key]):
            raise SettingsError(f"overrides: expected {key} to be of the kind of {chosen[key]!r}, got {value!r}")
        chosen[key] = value
    return chosen


def _fits(value, like) -> bool:
    """Of the same type, where a whole number may stand for a float, and a list holds what the other list holds."""
    if isinstance(like, list):
        return isinstance(value, list) and bool(value) and all(_fits(item, like[0]) for item in value)
    return type(value) is type(like) or (type(like) is float and type(value) is int)
