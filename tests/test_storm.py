"""A small storm, whose observer finds nothing, and one with a plant, which it finds. docs/figures/law.md has the large one."""

from law_reading import Law, blake3
from storm import HEAD, LAWS, OPEN, storm

PARIS = {"jurisdiction": "FR", "operator": "acme", "control": ["DE"], "assurance": 1}
MUNICH = {**PARIS, "jurisdiction": "DE-BY"}
JAKARTA = {**PARIS, "jurisdiction": "ID"}
BOSTON = {"jurisdiction": "US", "operator": "other", "control": None, "assurance": 1}


def test_the_second_reading_of_the_law_reads_as_people_do():
    first, second, third = (Law(HEAD.format(version=1) + rules) for rules in LAWS)
    ask = {"model": "near", "class": "personal", "subjects": ["DE-BY"], "tags": [], "purpose": None}
    assert first.judge(ask, MUNICH, PARIS) == ["eea-personal"]
    assert first.judge(ask, MUNICH, JAKARTA) == [] and first.judge(ask, MUNICH, BOSTON) == []
    # A permit wants all whom it concerns, a forbid any one of them.
    assert first.judge({**ask, "subjects": ["DE-BY", "ID"]}, MUNICH, PARIS) == []
    assert first.judge({**ask, "class": "public", "subjects": ["ID"]}, MUNICH, JAKARTA) == ["public"]
    assert first.judge({**ask, "class": "public", "tags": ["phi"]}, MUNICH, BOSTON) == []
    # Who can compel boston is not known, which opens no way.
    assert second.judge(ask, MUNICH, PARIS) == ["personal"] and second.judge(ask, MUNICH, BOSTON) == []
    assert second.judge({**ask, "class": "internal"}, MUNICH, BOSTON) == ["internal-abroad"]
    assert third.judge({**ask, "class": "special", "purpose": "triage"}, MUNICH, PARIS) == ["triage"]
    assert third.judge({**ask, "class": "special"}, MUNICH, PARIS) == []
    # The digests of the paper's test vectors, of nothing and of three bytes that count from 0.
    assert blake3(b"").hex().startswith("af1349b9f5f9a1a6") and blake3(b"\0\1\2").hex().startswith("e1be4d7a8ab5560a")


def test_whatever_happens_nothing_leaves_that_its_law_keeps():
    found = storm(4000)
    assert found["violations"] == [], found["violations"][:5]
    assert found["statuses"].get(200, 0) > 500 and found["statuses"].get(451, 0) > 100, found
    assert found["left"] > 300 and found["ingresses"] > 300 and found["denials"] > 100, found
    assert found["ran as another model"] > 0, found
    assert found["happened"]["apply"] > 0 and sum(found["happened"].values()) >= 5, found


def test_the_observer_finds_two_nodes_with_a_law_that_nobody_gave_them():
    found = storm(2500, seed=2, plant=True)
    assert any("nobody gave it this policy" in text for text in found["violations"]), found
    assert any("by open: " in text and "permits it" in text for text in found["violations"]), found["violations"][:20]
    assert OPEN not in "".join(LAWS)
