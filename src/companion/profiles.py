"""Sizes of every run, from notebooks/profiles.yml alone, as the frozen ``Settings`` that each chapter declares."""

import math
import typing
from dataclasses import is_dataclass
from functools import cache
from itertools import pairwise
from numbers import Integral
from pathlib import Path
from types import ModuleType

from companion import paths
from companion.bounds import Ascending, Bounds, Length, require
from companion.sources import parse, read_yaml, short

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


def settings(path: Path, name: str, profile: str, seed: int, overrides: dict):
    """What one run goes by: the ``Settings`` of chapter ``name`` at ``profile``, ``overrides`` in place of some.

    Lists become tuples, mappings the records that ``Settings`` names. Raises :class:`SettingsError` for an unknown
    chapter, profile or override, a seed that is no integer from 0 to 2^32 - 1, and a value that is not of the type
    and within the bounds (`companion.bounds`) that ``Settings`` declares, is more than :data:`MOST` times the largest
    number that the profiles have there, or does not go with the other settings.
    """
    sizes = sizes_of(path, name)
    if profile not in PROFILES:
        raise SettingsError(f"profile: expected one of {', '.join(PROFILES)}, got {profile!r}")
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= seed <= LARGEST_SEED:
        raise SettingsError(f"seed: expected an integer >= 0 and <= {LARGEST_SEED}, got {seed!r}")
    if not isinstance(overrides, dict):
        raise SettingsError(f"overrides: expected a dict of settings, got {overrides!r}")
    kind = _declared(path, name)
    known, published = _fields(kind), f"{path.name}, {name}, {profile}"
    if unlike := sizes[profile].keys() ^ known.keys():
        raise SettingsError(f"{published}: expected what its Settings declares, unlike in {', '.join(sorted(unlike))}")
    for key in overrides:
        if key not in known:
            raise SettingsError(f"overrides: expected keys among {', '.join(known)}, got {key!r}")
    origin = published
    try:
        chosen = {}
        for key, hint in known.items():
            origin = "overrides" if key in overrides else published
            value = overrides.get(key, sizes[profile][key])
            chosen[key] = _read(key, hint, value, [sizes[one][key] for one in PROFILES])
        origin = "overrides" if overrides else published
        return kind(**chosen)
    except ValueError as error:
        raise SettingsError(f"{origin}: {error}") from None


def _declared(path: Path, name: str) -> type:
    """``Settings`` of the chapter's package: chapters.ch04_dps_fwi for 04_dps_fwi, chapters.a1_waves for a1_waves.

    Found by name, in the checkout that ``path`` lies in, else beside this package: chapters stand on this package, so
    it imports none of them.
    """
    package = paths.package(name).removeprefix("chapters.")
    files = [src / "chapters" / package / "settings.py" for src in (path.parents[1] / "src", Path(__file__).parents[1])]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise SettingsError(f"{name}: expected its Settings in src/chapters/{package}/settings.py, found no file")
    declared = _executed(file, file.read_text("utf-8"), f"chapters.{package}.settings").get("Settings")
    if not is_dataclass(declared):
        raise SettingsError(f"{short(file)}: expected a dataclass Settings, found none")
    return declared


@cache
def _executed(file: Path, text: str, module: str) -> dict:
    """What a module defines; once for each text of it, so that equal settings are equal."""
    names = ModuleType(module).__dict__
    exec(compile(parse(text, short(file)), str(file), "exec"), names)
    return names


def _fields(kind: type) -> dict:
    return typing.get_type_hints(kind, include_extras=True)


def _read(name: str, hint, value, listed: list):
    """``value`` as the type ``hint`` has it; ``ValueError`` naming the setting where it does not fit.

    listed: what the profiles have in its place.
    """
    bounds = getattr(hint, "__metadata__", ())
    kind = hint.__origin__ if bounds else hint
    if kind in (int, float):
        return _number(name, kind, value, listed, *bounds)
    if kind is bool:
        require(type(value) is bool, name, "true or false", value)
        return value
    form = typing.get_origin(kind)
    if form is typing.Literal:
        texts = typing.get_args(kind)
        require(type(value) is str and value in texts, name, f"one of {', '.join(texts)}", value)
        return value
    if form is tuple:
        return _entries(name, typing.get_args(kind)[0], value, listed, bounds)
    if form is dict:
        require(isinstance(value, dict) and len(value) > 0, name, "a mapping of 1 or more entries", value)
        keys, values = typing.get_args(kind)
        held = [item for one in listed if isinstance(one, dict) for item in one.values()]
        return {
            _read(f"a key of {name}", keys, key, []): _read(f"{name}[{key!r}]", values, item, held)
            for key, item in value.items()
        }
    parts = _fields(kind)
    fits = isinstance(value, dict) and value.keys() == parts.keys()
    require(fits, name, f"a mapping of {', '.join(parts)}", value)
    held = {part: [one[part] for one in listed if isinstance(one, dict) and part in one] for part in parts}
    return kind(**{part: _read(f"{name}.{part}", inner, value[part], held[part]) for part, inner in parts.items()})


def _entries(name: str, hint, value, listed: list, bounds: tuple) -> tuple:
    require(isinstance(value, list | tuple), name, "a list", value)
    length = next((one for one in bounds if isinstance(one, Length)), Length())
    fits = len(value) == length.least if length.exact else len(value) >= length.least
    require(fits, name, f"a list of {length.least}{'' if length.exact else ' or more'} entries", value)
    held = [item for one in listed if isinstance(one, list) for item in one]
    read = tuple(_read(f"{name}[{k}]", hint, item, held) for k, item in enumerate(value))
    if Ascending() in bounds:
        require(all(a < b for a, b in pairwise(read)), name, "a list that ascends", value)
    return read


def _number(name: str, kind: type, value, listed: list, bounds: Bounds):
    # By type: True is an instance of int.
    require(type(value) in (int, kind), name, "an integer" if kind is int else "a number", value)
    most = min(bounds.most, MOST * max((abs(one) for one in listed if isinstance(one, int | float)), default=math.inf))
    end = str(most) if type(most) is int else f"{most:g}"
    within = f"above {bounds.least:g} and at most {end}" if bounds.above else f"from {bounds.least:g} to {end}"
    fits = bounds.least <= value <= most and value < math.inf and not (bounds.above and value == bounds.least)
    require(fits, name, within, value)  # so NaN is refused too
    return kind(value)
