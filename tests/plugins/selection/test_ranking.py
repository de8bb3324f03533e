"""Ranking of rerun candidates, and how plans shrink."""

from __future__ import annotations

import pytest

from gome.plugins.selection.reruns.ranking import makespan, rank, shapes


def test_a_challenger_must_beat_the_leader_by_a_share_of_its_noise() -> None:
    gains = {"a": {1: 1.0, 2: 1.0, 3: 1.0}, "b": {1: 1.05, 2: 1.45, 3: 0.65}, "c": {1: 1.3, 2: 1.2, 3: 1.25}}
    rows = rank("a", gains, fallback_se={}, penalty=0.5)
    assert [row.attempt for row in rows] == ["c", "a", "b"]
    pooled = ((0.4**2 + 0.4**2 + 0.05**2 + 0.05**2) / 4) ** 0.5
    assert rows[0].se == rows[2].se == pytest.approx(pooled / 3**0.5)
    assert rows[0].rank_score == pytest.approx(0.25 - 0.5 * pooled / 3**0.5)
    assert rank("a", gains, fallback_se={}, penalty=0.0)[1].attempt == "b"


def test_only_common_reruns_are_compared() -> None:
    rows = rank("a", {"a": {2: 1.0}, "b": {1: 9.0, 2: 1.1}, "c": {1: 5.0}}, fallback_se={"b": 1.0}, penalty=0.5)
    assert [(row.attempt, row.reruns) for row in rows] == [("a", 1), ("b", 2)]
    assert rows[1].difference == pytest.approx(0.1) and rows[1].se == 1.0


def test_equal_ranks_keep_the_given_order() -> None:
    rows = rank("b", {"a": {1: 1.0}, "b": {1: 1.0}}, fallback_se={}, penalty=0.5)
    assert [row.attempt for row in rows] == ["a", "b"]


def test_plans_shrink_from_what_is_asked_for() -> None:
    assert shapes(3, 3)[:3] == [(3, 3), (3, 2), (2, 3)]
    assert shapes(5, 4)[:2] == [(5, 4), (3, 3)]
    assert shapes(1, 3) == [(1, 3), (1, 2), (1, 1)]
    assert makespan([1.0, 1.0, 4.0], 2) == pytest.approx(4.6)
    assert makespan([], 2) == 0.0
