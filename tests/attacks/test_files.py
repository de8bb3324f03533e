"""Programs that leave files made to deceive or break whoever reads them: the collector and the scorer."""

from __future__ import annotations

import os

import pytest

from tests.attacks.conftest import Fort

ONE = pytest.mark.parametrize("fort", ["root" if os.geteuid() == 0 else "user"], indirect=True)
"""For readers to whom it is all the same who ran the program."""

JSON = ("deep", "nested", "surrogate", "infinite", "huge", "digits", "bytes", "twice", "null", "nothing", "wide")
PLAIN = {
    "infinite": {"a": None, "b": None, "c": None},
    "twice": {"a": {"a": 2}},
    "null": {"\0": "\0"},
    "wide": {str(n): [] for n in range(20_000)},
}
"""Diagnostics that look hostile but mean something."""
CSV = (
    *("rows", "columns", "cells", "field", "quote", "digits", "exponent", "integer", "missing", "infinite"),
    *("bytes", "zeros", "twice", "header", "folds", "surrogate", "nothing", "lines", "complex", "ids"),
)
HARMLESS = ("digits",)
"""What looks hostile but reads as the numbers that it says."""


def test_links_are_not_followed(fort: Fort) -> None:
    found = fort.attack("link_submission")
    assert found.result["failure"] == "contract" and "is a symbolic link" in found.result["error"]
    assert found.result.get("outputs", {}) == {}


def test_hard_links_give_away_nothing(fort: Fort) -> None:
    found = fort.attack("hard_links")
    assert found.lost and found.result.get("outputs", {}) == {}


def test_what_is_no_file_is_not_read(fort: Fort) -> None:
    found = fort.attack("odd_files")
    assert found.result["failure"] == "contract" and "is no regular file" in found.result["error"]
    assert set(found.result.get("outputs", {})) <= {"diagnostics.json"}


def test_the_launchers_words_cannot_be_put_into_its_mouth(fort: Fort) -> None:
    found = fort.attack("forge_reports")
    assert (found.result["ok"], found.result["exit_code"]) == (False, 5)
    assert found.result.get("outputs", {}) == {}


def test_a_claimed_score_is_not_believed(fort: Fort) -> None:
    found = fort.attack("fake_scores", score=True)
    assert found.result["ok"]
    assert found.score == "scored 0.5000", "errors of 0.5 in both folds"


@ONE
@pytest.mark.parametrize("case", JSON)
def test_hostile_diagnostics_are_left_out_or_made_plain(fort: Fort, case: str) -> None:
    found = fort.attack("hostile_json", known={"case": case})
    assert found.result["ok"], found.result["error"]
    diagnostics = found.result.get("diagnostics", {})
    if case in PLAIN:
        assert diagnostics == PLAIN[case]
    else:
        assert diagnostics == {}
        assert "[gome] diagnostics.json" in found.result["stderr"]


@ONE
@pytest.mark.parametrize("case", CSV)
def test_hostile_predictions_are_refused_in_bounded_memory(fort: Fort, case: str) -> None:
    found = fort.attack("hostile_csv", known={"case": case}, score=True)
    if case in HARMLESS:
        assert found.score.startswith(("scored", "1: ")), found.score
    else:
        assert found.score.startswith("1: "), found.score
        assert len(found.score) < 1000


@ONE
def test_a_billion_rows_are_refused_unread(fort: Fort) -> None:
    found = fort.attack("a_billion_rows", score=True)
    assert found.score.startswith("1: submission.csv has ") and "fit into" in found.score
