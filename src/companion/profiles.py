"""Sizes of every run, from notebooks/profiles.yml alone."""

from numbers import Integral
from pathlib import Path

from companion.sources import read_yaml

PROFILES = ("quick", "full")
DEFAULT_SEED = 0  # the seed whose results the claims are about
LARGEST_SEED = 2**32 - 1
MOST = 100  # times the largest number of the profiles: beyond it a size is a slip of the hand that eats the memory


class SettingsError(ValueError):
    """A profile, seed or override that does not exist or does not fit; names it, and what could have been said."""


def sizes_of(path: Path, name: str) -> dict[str, dict]:
    """Profile -> settings of one chapter, the same ones in both; :class:`SettingsError` naming what is not so."""
    chapters = read_yaml(path)
    if not isinstance(chapters, dict):
        raise SettingsError(f"{path.name}: expected sizes by chapter, got {type(chapters).__name__}")
    if name not in chapters:
        raise SettingsError(f"name: expected one of {', '.join(map(str, chapters))}, got {name!r}")
    sizes = chapters[name]
    if not isinstance(sizes, dict) or sizes.keys() != set(PROFILES):
        got = ", ".join(map(str, sizes)) if isinstance(sizes, dict) else repr(sizes)
        raise SettingsError(f"{path.name}, {name}: expected the profiles {', '.join(PROFILES)}, got {got}")
    for profile, chosen in sizes.items():
        if not isinstance(chosen, dict):
            raise SettingsError(f"{path.name}, {name}, {profile}: expected settings by name, got {chosen!r}")
    if unlike := sizes["quick"].keys() ^ sizes["full"].keys():
        raise SettingsError(f"{path.name}, {name}: expected {', '.join(sorted(unlike))} in both profiles, got one")
    return sizes


def settings(path: Path, name: str, profile: str, seed: int, overrides: dict) -> dict:
    """The numbers one run goes by: those of chapter ``name`` at ``profile``, with ``overrides`` in place of some.

    Raises :class:`SettingsError` for an unknown chapter, profile or override, a seed that is no integer from 0 to
    2^32 - 1, and an override unlike what the two profiles have for that setting: of another type, of another sign (0
    only where a profile has 0), more than :data:`MOST` times their largest number, another text, an entry of a list
    that is any of these.
    """
    sizes = sizes_of(path, name)
    if profile not in PROFILES:
        raise SettingsError(f"profile: expected one of {', '.join(PROFILES)}, got {profile!r}")
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= seed <= LARGEST_SEED:
        raise SettingsError(f"seed: expected an integer >= 0 and <= {LARGEST_SEED}, got {seed!r}")
    if not isinstance(overrides, dict):
        raise SettingsError(f"overrides: expected a dict of settings, got {overrides!r}")
    chosen = dict(sizes[profile])
    for key, value in overrides.items():
        if key not in chosen:
            raise SettingsError(f"overrides: expected keys among {', '.join(chosen)}, got {key!r}")
        _expect_like(key, value, [sizes[profile][key], *(sizes[other][key] for other in PROFILES if other != profile)])
        chosen[key] = value
    return chosen


def _expect_like(name: str, value, listed: list) -> None:
    """``value`` is like one of ``listed``, what the profiles have in its place; else :class:`SettingsError`."""
    like = listed[0]
    kinds = {float, int} if any(type(one) is float for one in listed) else {type(like)}
    if type(value) not in kinds:
        raise SettingsError(f"overrides: expected {name} to be of the kind of {like!r}, got {value!r}")
    if isinstance(like, list):
        items = [item for one in listed for item in one]
        if not value and all(listed):
            raise SettingsError(f"overrides: expected {name} to have entries like {like!r}, got an empty list")
        if value and not items:
            raise SettingsError(f"overrides: expected {name} to be empty, as in both profiles, got {value!r}")
        for k, item in enumerate(value):
            _expect_like(f"{name}[{k}]", item, items)
    elif isinstance(like, dict):
        known = {key: [one[key] for one in listed if key in one] for one in listed for key in one}
        needed = set.intersection(*map(set, listed))
        if not needed <= value.keys() <= known.keys():
            raise SettingsError(f"overrides: expected {name} to have the keys {', '.join(known)}, got {value!r}")
        for key, item in value.items():
            _expect_like(f"{name}[{key!r}]", item, known[key])
    elif isinstance(like, str):
        if value not in listed:
            texts = ", ".join(sorted(set(listed)))
            raise SettingsError(f"overrides: expected {name} to be one of {texts}, got {value!r}")
    elif not isinstance(like, bool):
        _expect_in_range(name, value, listed)


def _expect_in_range(name: str, value: float, listed: list[float]) -> None:
    most, least = MOST * max(map(abs, listed)), min(listed)
    whole, positive = all(type(one) is int for one in listed), least > 0
    low = -most if least < 0 else int(whole and positive)
    if not low <= value <= most or (positive and value == 0):  # so NaN is refused too
        span = f"above 0 and at most {most:g}" if positive and not whole else f"from {low} to {most}"
        raise SettingsError(f"overrides: expected {name} to be {span}, got {value!r}")
