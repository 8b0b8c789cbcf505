"""The conformance page names tests that are there, and each row that names none says why."""

import re

from mesh import ROOT

PAGE = (ROOT / "docs/conformance.md").read_text()


def rows():
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3 and cells[0] not in ("what", "---"):
            yield cells


def test_each_row_names_a_test_or_says_what_is_missing():
    found = list(rows())
    assert len(found) > 30
    for what, state, held_by in found:
        assert held_by != "–" or state != "whole", what
        assert held_by == "–" or re.fullmatch(r"`[^`]+`(, `[^`]+`)*", held_by), what


def test_each_test_that_is_named_is_there():
    for _, _, held_by in rows():
        for path, name in re.findall(r"`([^`:]+)::(\w+)`", held_by):
            text = (ROOT / path).read_text()
            assert re.search(rf"^def {name}\(", text, re.M), f"{path} has no {name}"
