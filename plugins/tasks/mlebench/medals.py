"""What a score wins: rows of a leaderboard that medals are given at, and the comparison with them. Plain arithmetic.

A submission is never ranked: its score is compared with the scores at fixed rows of a frozen leaderboard, and equality
wins the medal. The rule is Kaggle's, as MLE-bench applies it, whether or not the competition gave medals itself.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal, NamedTuple

Medal = Literal["gold", "silver", "bronze"]


class Rows(NamedTuple):
    """1-based rows of the leaderboard whose scores are the thresholds."""

    gold: int
    silver: int
    bronze: int


class Thresholds(NamedTuple):
    """Scores that win; the median wins nothing and has to be beaten, not reached."""

    gold: float
    silver: float
    bronze: float
    median: float
    lower_is_better: bool


class Award(NamedTuple):
    """What a score won: its best medal (None: none), and whether it beats the median."""

    medal: Medal | None
    above_median: bool


def medal_rows(teams: int) -> Rows:
    """Rows for a number of teams (rows of the leaderboard). ValueError below 1."""
    if teams < 1:
        raise ValueError(f"a leaderboard with {teams} teams gives no medals")
    if teams < 250:
        gold = 10 if teams >= 100 else max(1, int(teams * 0.1))
        return Rows(gold, max(1, int(teams * 0.2)), max(1, int(teams * 0.4)))
    gold = 10 + int(teams * 0.002)
    if teams < 1000:
        return Rows(gold, 50, 100)
    return Rows(gold, int(teams * 0.05), int(teams * 0.1))


def thresholds(scores: Sequence[float]) -> Thresholds:
    """Thresholds of a leaderboard, best team first. Lower is better only where the first score is below the last.

    Scores that are not numbers count as teams and not for the median. ValueError where there are none.
    """
    rows = medal_rows(len(scores))
    known = [score for score in scores if not math.isnan(score)]
    if not known:
        raise ValueError("the leaderboard has no score")
    at = [float(scores[row - 1]) for row in rows]
    return Thresholds(at[0], at[1], at[2], float(statistics.median(known)), bool(scores[0] < scores[-1]))


def award(score: float | None, needed: Thresholds) -> Award:
    """What a rounded score wins. None (no valid submission) and NaN win nothing."""
    if score is None:
        return Award(None, False)
    sign = -1.0 if needed.lower_is_better else 1.0
    for medal, threshold in (("gold", needed.gold), ("silver", needed.silver), ("bronze", needed.bronze)):
        if sign * score >= sign * threshold:
            return Award(medal, sign * score > sign * needed.median)  # type: ignore[arg-type]
    return Award(None, sign * score > sign * needed.median)
