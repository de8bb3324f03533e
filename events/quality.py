"""How well a reasoner's forecasts hold, measured: the rank correlation of predicted impact and realised gain.

Pure, over a trajectory; whoever compares searches plots it on the axis on which reasoners of any kind can stand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gome.events.hypothesis import Scores
from gome.events.trajectory import Attempt, Trajectory

LEAST = 5
"""Attempts below which there is no correlation worth the name."""
_UNSAID = Scores()


def forecasts(trajectory: Trajectory) -> list[tuple[float, float]]:
    """Return (predicted, realised) of the judged attempts that had a program and something to be better than.

    Predicted is the hypothesis' score for impact; where none of the run has scores, the gain that was expected.
    Realised is the judge's paired gain over the parent, positive better; an attempt that failed has gained nothing, and
    one without a program or a parent with a score is left out."""
    judged = [a for a in trajectory.attempts.values() if a.accepted is not None and a.hypothesis and a.code]
    told = [a for a in judged if _reference(trajectory, a)]
    scored = any(a.hypothesis and a.hypothesis.scores != _UNSAID for a in told)
    found = []
    for a in told:
        assert a.hypothesis is not None
        predicted = a.hypothesis.scores.impact if scored else a.hypothesis.expected_gain
        found.append((predicted, a.gain if a.scored else 0.0))
    return found


def _reference(trajectory: Trajectory, attempt: Attempt) -> bool:
    parent = trajectory.attempts.get(attempt.parent)
    return parent is not None and parent.score is not None


def quality(trajectory: Trajectory) -> float | None:
    """Return Spearman's correlation of predicted impact and realised gain over a run, in [−1, 1], to 12 significant
    digits; None with fewer than `LEAST` attempts or where either never varies."""
    found = forecasts(trajectory)
    return spearman([p for p, _ in found], [r for _, r in found]) if len(found) >= LEAST else None


def spearman(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Return the correlation of ranks, equal values sharing their mean rank; None where it is not defined. ValueError
    if the sequences differ in length."""
    if len(left) != len(right):
        raise ValueError(f"{len(left)} and {len(right)} values do not pair up")
    first, second = ranks(left), ranks(right)
    middle = (len(left) + 1) / 2
    one = sum((a - middle) ** 2 for a in first)
    two = sum((b - middle) ** 2 for b in second)
    if not one or not two:
        return None
    both = sum((a - middle) * (b - middle) for a, b in zip(first, second, strict=True))
    return max(-1.0, min(1.0, float(f"{both / math.sqrt(one * two):.12g}")))


def ranks(values: Sequence[float]) -> list[float]:
    """Return the 1-based rank of each value, the smallest first; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for i in order[start:end]:
            found[i] = (start + 1 + end) / 2
        start = end
    return found
