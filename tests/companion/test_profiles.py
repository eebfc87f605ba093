"""Settings of a run: what a chapter declares is what it gets, and what does not fit is named before any work."""

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from tiny_book import NAME, write_settings

from companion.profiles import SettingsError, settings
from companion.sources import SourceError

SIZES = """
tiny:
  quick: &quick {size: 3, spread: 1.0, few: 7, sizes: [5, 10], exact: true, mode: fast, plan: {steps: 2, dt: 0.1},
    pair: [1, 2], truths: [], scales: {released: 0.07}, share: 0.5}
  full: {<<: *quick, size: 9, sizes: [5, 20], plan: {steps: 4, dt: 0.1}}
"""
DECLARED = """
from dataclasses import dataclass
from typing import Annotated, Literal
from companion.bounds import Bounds, Natural, NaturalOrZero, Counts, Length, NotNegative, Positive, require

@dataclass(frozen=True)
class Plan:
    steps: Natural
    dt: Positive

@dataclass(frozen=True)
class Settings:
    size: Natural
    spread: Positive
    few: Annotated[int, Bounds(0, 8)]
    sizes: Counts
    exact: bool
    mode: Literal["fast", "slow"]
    plan: Plan
    pair: Annotated[tuple[NaturalOrZero, ...], Length(2, exact=True)]
    truths: Annotated[tuple[Literal["disc"], ...], Length(0)]
    scales: dict[Literal["released", "norm"], NotNegative]
    share: Annotated[float, Bounds(0, 1)]

    def __post_init__(self):
        require(self.size <= self.sizes[-1], "size", f"at most the last of sizes, {self.sizes[-1]}", self.size)
"""


@pytest.fixture
def sizes(tmp_path):
    file = tmp_path / "notebooks" / "profiles.yml"
    file.parent.mkdir()
    file.write_text(SIZES)
    write_settings(tmp_path, text=DECLARED)
    return file


def read(file: Path, profile="quick", seed=0, **overrides):
    return settings(file, NAME, profile, seed, overrides)


def test_settings_are_those_of_the_profile_as_the_chapter_declares_them(sizes):
    quick, full = read(sizes), read(sizes, "full")
    assert (quick.size, full.size) == (3, 9)
    assert (quick.sizes, full.sizes) == ((5, 10), (5, 20))
    assert (full.plan.steps, full.plan.dt) == (4, 0.1)
    assert quick.scales == {"released": 0.07}
    assert quick == read(sizes, seed=1) != full
    with pytest.raises(FrozenInstanceError):
        quick.size = 4


def test_overrides_replace_settings_whole_and_stay_as_given(sizes):
    given = json.loads('{"sizes": [4, 6], "plan": {"steps": 1, "dt": 1}, "spread": 2, "truths": ["disc"], "few": 0}')
    chosen = settings(sizes, NAME, "quick", 0, given)
    assert (chosen.sizes, chosen.truths, chosen.few, chosen.size) == ((4, 6), ("disc",), 0, 3)
    assert (chosen.plan.steps, chosen.plan.dt, chosen.spread) == (1, 1.0, 2.0)
    assert {type(chosen.plan.dt), type(chosen.spread)} == {float}
    assert given["sizes"] == [4, 6]
    assert given["plan"] == {"steps": 1, "dt": 1}


FAULTS = {
    "negative": ({"size": -1}, "size to be from 1 to 900, got -1"),
    "zero": ({"size": 0}, "size to be from 1 to 900, got 0"),
    "null": ({"size": None}, "size to be an integer, got None"),
    "null for a list": ({"sizes": None}, "sizes to be a list, got None"),
    "null for a record": ({"plan": None}, "plan to be a mapping of steps, dt, got None"),
    "2**70": ({"size": 2**70}, "size to be from 1 to 900, got 1180591620717411303424"),
    "2**70 in a list": ({"sizes": [2**70]}, "sizes[0] to be from 1 to 2000, got 1180591620717411303424"),
    "10**400": ({"spread": 10**400}, f"spread to be above 0 and at most 100, got {10**400}"),
    "above its own bound": ({"few": 9}, "few to be from 0 to 8, got 9"),
    "yes for a number": ({"size": True}, "size to be an integer, got True"),
    "a number for yes": ({"exact": 1}, "exact to be true or false, got 1"),
    "not whole": ({"size": 3.0}, "size to be an integer, got 3.0"),
    "text for a number": ({"spread": "1.0"}, "spread to be a number, got '1.0'"),
    "not a number": ({"spread": float("nan")}, "spread to be above 0 and at most 100, got nan"),
    "infinite": ({"spread": float("inf")}, "spread to be above 0 and at most 100, got inf"),
    "minus infinity": ({"share": -float("inf")}, "share to be from 0 to 1, got -inf"),
    "zero for a width": ({"spread": 0}, "spread to be above 0 and at most 100, got 0"),
    "empty": ({"sizes": []}, "sizes to be a list of 1 or more entries, got []"),
    "empty mapping": ({"scales": {}}, "scales to be a mapping of 1 or more entries, got {}"),
    "too short": ({"pair": [1]}, "pair to be a list of 2 entries, got [1]"),
    "too long": ({"pair": [1, 2, 3]}, "pair to be a list of 2 entries, got [1, 2, 3]"),
    "descending": ({"sizes": [10, 5]}, "sizes to be a list that ascends, got [10, 5]"),
    "one entry twice": ({"sizes": [5, 5]}, "sizes to be a list that ascends, got [5, 5]"),
    "text for a list": ({"sizes": "57"}, "sizes to be a list, got '57'"),
    "another word": ({"mode": "faster"}, "mode to be one of fast, slow, got 'faster'"),
    "another word in a list": ({"truths": ["disk"]}, "truths[0] to be one of disc, got 'disk'"),
    "another key": ({"scales": {"freed": 1}}, "a key of scales to be one of released, norm, got 'freed'"),
    "below a key": ({"scales": {"norm": -1}}, "scales['norm'] to be from 0 to 7, got -1"),
    "list for a record": ({"plan": [2, 0.1]}, "plan to be a mapping of steps, dt, got [2, 0.1]"),
    "record too short": ({"plan": {"steps": 2}}, "plan to be a mapping of steps, dt, got {'steps': 2}"),
    "record too long": (
        {"plan": {"steps": 2, "dt": 0.1, "t": 1}},
        "plan to be a mapping of steps, dt, got {'steps': 2, 'dt': 0.1, 't': 1}",
    ),
    "in a record": ({"plan": {"steps": -2, "dt": 0.1}}, "plan.steps to be from 1 to 400, got -2"),
    "unknown": ({"siez": 3}, None),
    "relation": ({"size": 11}, "size to be at most the last of sizes, 10, got 11"),
    "relation from the other side": ({"sizes": [2]}, "size to be at most the last of sizes, 2, got 3"),
}


@pytest.mark.parametrize(("overrides", "told"), FAULTS.values(), ids=FAULTS)
def test_settings_name_an_override_that_does_not_fit(sizes, overrides, told):
    with pytest.raises(SettingsError) as raised:
        read(sizes, **overrides)
    among = "keys among size, spread, few, sizes, exact, mode, plan, pair, truths, scales, share, got 'siez'"
    assert str(raised.value) == f"overrides: expected {told or among}"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("size: 3,", "size: 3.5,", "profiles.yml, tiny, quick: expected size to be an integer, got 3.5"),
        ("sizes: [5, 10]", "sizes: 5", "profiles.yml, tiny, quick: expected sizes to be a list, got 5"),
        ("size: 3,", "size: 11,", "profiles.yml, tiny, quick: expected size to be at most the last of sizes, 10"),
        ("few: 7,", "", "profiles.yml, tiny, quick: expected what its Settings declares, unlike in few"),
        (
            "few: 7,",
            "few: 7, more: 1,",
            "profiles.yml, tiny, quick: expected what its Settings declares, unlike in more",
        ),
    ],
)
def test_settings_name_sizes_that_are_not_as_declared(sizes, old, new, told):
    sizes.write_text(SIZES.replace(old, new))
    with pytest.raises(SettingsError) as raised:
        read(sizes)
    assert str(raised.value).startswith(told)


def test_settings_name_a_chapter_that_declares_none(sizes):
    file = sizes.parents[1] / "src" / "chapters" / NAME / "settings.py"
    file.write_text("class Settings: ...")
    with pytest.raises(SettingsError, match=r"settings.py: expected a dataclass Settings, found none"):
        read(sizes)
    file.write_text("x = 1\n=======\n")
    with pytest.raises(SourceError, match=r"settings.py: expected Python, got invalid syntax in its line 2"):
        read(sizes)
    file.unlink()
    with pytest.raises(SettingsError, match=r"tiny: expected its Settings in src/chapters/tiny/settings.py, found no"):
        read(sizes)
