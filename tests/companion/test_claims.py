"""Claims: what cannot fail is refused, and what fails says what was expected and what came."""

import math

import pytest
from tiny_book import REPOSITORY

from companion import claims
from companion.claims import Claim, ClaimError
from companion.run import chapters

ENTRY = "id: a, chapter: c, statement: s, source: ours, why: w, profiles: [quick]"


def claim(**bounds) -> Claim:
    return Claim("a", "c", "s", "ours", "w", ("quick",), **bounds)


@pytest.mark.parametrize(
    ("bounds", "held", "failed"),
    [
        ({"expected": 2.0, "tolerance": 0.1}, (2.0, 1.91, 2.09), (4.0, 0.0, -2.0, 2.11)),
        ({"expected": -0.5, "tolerance": 0.1}, (-0.5,), (0.5, -1.0)),
        ({"at_most": 1e-10}, (0.0, 1e-10), (2e-10,)),
        ({"at_least": 3.0}, (3.0, 4.0), (2.9,)),
    ],
)
def test_claim_holds_within_its_bounds_only(bounds, held, failed):
    one = claim(**bounds)
    assert all(one.holds(value) for value in held)
    assert not any(one.holds(value) for value in (*failed, math.nan, math.inf, -math.inf))


@pytest.mark.parametrize("one", claims.load(REPOSITORY / "data" / "claims").values(), ids=lambda one: one.id)
def test_claims_of_the_book_refuse_twice_their_value(one):
    if one.expected is not None:
        assert one.holds(one.expected)
        assert not one.holds(2 * one.expected)
        assert f"claim {one.id}: expected" in one.failure(2 * one.expected)


def test_claims_belong_to_a_chapter_and_give_their_reason():
    for one in claims.load(REPOSITORY / "data" / "claims").values():
        assert one.chapter in chapters(REPOSITORY)
        assert len(one.why) > 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"- {{{ENTRY}, expected: 1.0}}", "claim a: expected either expected and tolerance, or one of"),
        (f"- {{{ENTRY}}}", "claim a: expected either expected and tolerance, or one of"),
        (f"- {{{ENTRY}, at_most: 1, at_least: 0}}", "claim a: expected either expected and tolerance, or one of"),
        (
            f"- {{{ENTRY}, expected: 1, tolerance: 1}}",
            "claim a: expected a tolerance below .* else twice the value passes",
        ),
        (f"- {{{ENTRY}, expected: 1, tolerance: -1}}", "claim a: expected a tolerance"),
        (f"- {{{ENTRY}, at_most: 1, tolerence: 1}}", "claim a: expected no field tolerence"),
        (
            "- {id: a, chapter: c, at_most: 1}",
            "claim a: expected the fields .* got none for profiles, source, statement, why",
        ),
        (f"- {{{ENTRY}, at_most: 1}}\n- {{{ENTRY}, at_most: 1}}", "claim a: expected one entry of this id, got two"),
        (
            "- {id: a, chapter: c, statement: s, source: o, why: w, profiles: [fast], at_most: 1}",
            "claim a: expected profiles among",
        ),
    ],
)
def test_claims_name_an_incomplete_entry(tmp_path, text, message):
    file = tmp_path / "data" / "claims" / "c.yml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    for path in (file, file.parent):
        with pytest.raises(ClaimError, match=f"^data/claims/c.yml: {message}"):
            claims.load(path)


def test_claims_of_a_folder_are_those_of_its_files_by_chapter(tmp_path):
    texts = {name: f"- {{{ENTRY}, at_most: 1}}\n".replace("id: a", f"id: {name}.a") for name in ("c", "d")}
    for name, text in texts.items():
        (tmp_path / f"{name}.yml").write_text(text.replace("chapter: c", f"chapter: {name}"))
    assert {id: one.chapter for id, one in claims.load(tmp_path).items()} == {"c.a": "c", "d.a": "d"}
    assert claims.of_chapter(tmp_path, "d").keys() == {"d.a"}
    assert claims.of_chapter(tmp_path, "e") == {}
    (tmp_path / "d.yml").write_text(texts["d"])
    assert claims.of_chapter(tmp_path, "c").keys() == {"c.a"}  # the other's file is not read
    with pytest.raises(ClaimError, match=r"^d.yml: claim d.a: expected a claim of chapter d, got one of c"):
        claims.load(tmp_path)
    (tmp_path / "d.yml").write_text(texts["c"].replace("chapter: c", "chapter: d"))
    with pytest.raises(ClaimError, match=r"^d.yml: claim c.a: expected one entry of this id, got two"):
        claims.load(tmp_path)


def test_check_made_reports_all_failures_at_once():
    listed = {name: Claim(name, "c", "s", "o", "w", ("quick",), at_most=1.0) for name in ("low", "high", "absent")}
    said = claims.check_made(listed, "c", "quick", {"low": 0.5, "high": 2.0, "extra": 1.0})
    assert [line.split(":")[0] for line in said] == ["claim absent", "claim extra", "claim high"]
    assert claims.check_made(listed, "c", "full", {}) == []
