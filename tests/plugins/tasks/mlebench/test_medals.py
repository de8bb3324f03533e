"""Medals: the rows of a leaderboard that count, what equality wins, and what must hold for any leaderboard."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.plugins.tasks.mlebench.medals import Thresholds, award, medal_rows, thresholds


def falling(teams: int, first: float = 0.9, step: float = 0.001) -> list[float]:
    """Scores that fall by `step` a rank, as decimal numbers."""
    return [round(first - step * rank, 6) for rank in range(teams)]


@pytest.mark.parametrize(
    ("teams", "rows"),
    [
        (1, (1, 1, 1)),
        (9, (1, 1, 3)),
        (24, (2, 4, 9)),
        (80, (8, 16, 32)),
        (99, (9, 19, 39)),
        (100, (10, 20, 40)),
        (200, (10, 40, 80)),
        (249, (10, 49, 99)),
        (250, (10, 50, 100)),
        (499, (10, 50, 100)),
        (500, (11, 50, 100)),
        (999, (11, 50, 100)),
        (1000, (12, 50, 100)),
        (1500, (13, 75, 150)),
        (4550, (19, 227, 455)),
    ],
)
def test_medals_are_given_at_the_rows_of_kaggles_rule(teams: int, rows: tuple[int, int, int]) -> None:
    assert medal_rows(teams) == rows


def test_a_leaderboard_without_teams_is_refused() -> None:
    with pytest.raises(ValueError, match="0 teams"):
        medal_rows(0)


@pytest.mark.parametrize(
    ("teams", "needed"),
    [(80, (0.893, 0.885, 0.869, 0.8605)), (200, (0.891, 0.861, 0.821, 0.8005)), (500, (0.890, 0.851, 0.801, 0.6505))],
)
def test_thresholds_are_scores_at_those_rows_and_the_median_of_all(
    teams: int, needed: tuple[float, float, float, float]
) -> None:
    found = thresholds(falling(teams))
    assert found[:4] == pytest.approx(needed, abs=1e-12) and not found.lower_is_better


def test_lower_is_better_where_the_first_score_is_below_the_last() -> None:
    found = thresholds([round(0.2 + 0.0001 * rank, 6) for rank in range(1500)])
    assert found == pytest.approx((0.2012, 0.2074, 0.2149, 0.27495, True), abs=1e-12)
    assert [award(score, found).medal for score in (0.2012, 0.2149, 0.21491)] == ["gold", "bronze", None]
    assert not thresholds([0.5, 0.9, 0.5]).lower_is_better


@pytest.mark.parametrize(
    ("score", "medal", "above"),
    [
        (0.893, "gold", True),
        (0.8929, "silver", True),
        (0.869, "bronze", True),
        (0.868, None, True),
        (0.8605, None, False),
    ],
)
def test_equality_wins_a_medal_but_does_not_beat_the_median(score: float, medal: str | None, above: bool) -> None:
    assert award(score, thresholds(falling(80))) == (medal, above)


def test_no_score_and_no_number_win_nothing() -> None:
    for needed in (thresholds(falling(80)), thresholds(falling(80)[::-1])):
        assert award(None, needed) == (None, False)
        assert award(math.nan, needed) == (None, False)


def test_tied_thresholds_give_the_best_of_the_tied_medals() -> None:
    tied = Thresholds(1.0, 1.0, 1.0, 0.9991, False)
    assert award(1.0, tied).medal == "gold" and award(0.99999, tied) == (None, True)


RANK = {"gold": 3, "silver": 2, "bronze": 1, None: 0}
scores = st.lists(st.integers(0, 10**6).map(lambda n: n / 10**6), min_size=1, max_size=300)


@given(scores, st.booleans(), st.floats(0, 1), st.floats(0, 1))
def test_a_better_score_never_wins_less(given_: list[float], lower: bool, one: float, other: float) -> None:
    needed = thresholds(sorted(given_, reverse=not lower))
    worse, better = sorted((one, other), reverse=needed.lower_is_better)
    first, second = award(worse, needed), award(better, needed)
    assert RANK[first.medal] <= RANK[second.medal] and first.above_median <= second.above_median


@given(st.integers(1, 20_000))
def test_gold_is_rarer_than_silver_and_silver_than_bronze(teams: int) -> None:
    gold, silver, bronze = medal_rows(teams)
    assert 1 <= gold <= silver <= bronze <= teams


@given(scores, st.booleans())
def test_the_teams_at_the_medal_rows_win_those_medals_or_better(given_: list[float], lower: bool) -> None:
    board = sorted(given_, reverse=not lower)
    needed = thresholds(board)
    for row, medal in zip(medal_rows(len(board)), ("gold", "silver", "bronze"), strict=True):
        assert RANK[award(board[row - 1], needed).medal] >= RANK[medal]
