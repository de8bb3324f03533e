"""Ranks rerun candidates, and shrinks a plan to the time there is. Arithmetic only.

Each rerun has another model seed and another fold partition, the same for all candidates, so a candidate's difference
to the leader in one rerun is paired. With three reruns each candidate's own standard deviation would be ± 50 %: it is
pooled over the candidates. The leader is the best by validation score; a challenger takes its place only if its mean
difference exceeds λ standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SHAPES: tuple[tuple[int, int], ...] = (
    (3, 3),
    (3, 2),
    (2, 3),
    (2, 2),
    (3, 1),
    (2, 1),
    (1, 3),
    (1, 2),
    (1, 1),
)
"""Candidates × repeats in the order in which they are tried when time is short."""
SAFETY = 1.15
"""By how much executions may take longer than they did before."""


@dataclass(frozen=True)
class Ranked:
    """A candidate's row: mean difference to the leader (positive better), its pooled standard error, their balance."""

    attempt: str
    difference: float
    se: float
    rank_score: float
    reruns: int


def rank(
    leader: str, gains: Mapping[str, Mapping[int, float]], *, fallback_se: Mapping[str, float], penalty: float
) -> list[Ranked]:
    """Rank candidates by mean paired difference minus `penalty` × SE, in the order of `gains` where that ties.

    `gains[attempt][r]` is rerun r's score with the sign that makes larger better. Only reruns that the leader has too
    count. `fallback_se` serves where one rerun each gives no deviation to pool.
    """
    base = gains[leader]
    differences = {
        name: [runs[r] - base[r] for r in sorted(runs) if r in base] for name, runs in gains.items() if name != leader
    }
    squares, freedom = 0.0, 0
    for found in differences.values():
        if len(found) > 1:
            middle = sum(found) / len(found)
            squares += sum((d - middle) * (d - middle) for d in found)
            freedom += len(found) - 1
    rows = []
    for name, runs in gains.items():
        if name == leader:
            rows.append(Ranked(name, 0.0, 0.0, 0.0, len(runs)))
        elif found := differences[name]:
            mean = sum(found) / len(found)
            se = math.sqrt(squares / freedom / len(found)) if freedom else fallback_se.get(name, 0.0)
            rows.append(Ranked(name, mean, se, mean - penalty * se, len(runs)))
    return sorted(rows, key=lambda row: -row.rank_score)


def makespan(seconds: Sequence[float], slots: int) -> float:
    """About how long executions take side by side."""
    return SAFETY * max(sum(seconds) / slots, max(seconds)) if seconds else 0.0


def shapes(candidates: int, repeats: int) -> list[tuple[int, int]]:
    """Plans to try, largest first: what is asked for, then the standard shapes that are no larger."""
    smaller = [(k, r) for k, r in SHAPES if k <= candidates and r <= repeats]
    return list(dict.fromkeys([(candidates, repeats), *smaller]))
