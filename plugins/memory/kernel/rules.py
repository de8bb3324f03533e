"""What is drawn from the kernel's weights, by two rules.

`published` is what was used, with its habits. A memory's gain is d · (s_j − s*) in units of the metric, s* being the
best score on the path rounded to three decimals; without one it is the number −1, so that a path whose best score *is*
−1.000 counts as having none, and the gain term is off. Each candidate draws two memories without replacement; of the
union of the draws in the order of acceptance only the first two are kept, which favours the oldest (of ten equal
memories and four candidates, the first two are kept with probability .59, the last four with .012 at most). The best
of all stands before them: at most three are shown.

`robust` replaces the gain by the one in units of the spread of accepted gains, so that the metric's scale does not
matter, knows "no score" as such, and draws without replacement from the mean of the candidates' weights, best first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice

from gome.events import Draw, Trajectory

Weights = Sequence[Sequence[float]]
"""Rows of candidates, columns of memories; each row sums to one."""
NO_SCORE = -1.0
"""How the published rule says that nothing was accepted on the path."""
DRAWS = 2
"""Memories that a candidate draws, and draws that are kept, by the published rule."""
BACK = 1000
"""Attempts that are looked at for the length of a path; similarity has faded to nothing long before."""


def path(trajectory: Trajectory, trace: int, parent: str) -> tuple[int, list[float]]:
    """Return the length of the path to a parent and the scores accepted on it.

    The path is the parent, its accepted ancestors, and the trace's refused attempts at steps from any of them. Its
    length is 0 as long as nothing has been accepted anywhere.
    """
    names: dict[str, None] = {}
    while parent and parent not in names and parent in trajectory.attempts and len(names) < BACK:
        names[parent] = None
        parent = trajectory.attempts[parent].parent
    found = (trajectory.attempts[name].score for name in names)
    scores = [score for score in found if score is not None]
    if not trajectory.accepted:
        return 0, scores
    latest = islice(trajectory.attempts, max(0, len(trajectory.attempts) - BACK), None)
    refused = (a for a in (trajectory.attempts[name] for name in latest) if a.trace == trace and a.accepted is False)
    return len(names) + sum(not a.parent or a.parent in names for a in refused), scores


def published_gains(memories: Sequence[float], scores: Sequence[float], greater_is_better: bool) -> list[float]:
    """Return the published gain of each memory's score against the best of the path's, 0 where the term is off."""
    sign = 1.0 if greater_is_better else -1.0
    best = round(sign * max(sign * score for score in scores), 3) if scores else NO_SCORE
    if best == NO_SCORE:
        return [0.0] * len(memories)
    return [sign * (score - best) for score in memories]


def first_two(weights: Weights, draw: Draw) -> list[int]:
    """Return the published rule's memories: what the candidates drew, oldest first, cut to two."""
    drawn: set[int] = set()
    for number, row in enumerate(weights):
        drawn.update(without_replacement(row, min(DRAWS, len(row)), draw, f"candidate/{number}"))
    return sorted(drawn)[:DRAWS]


def mean(weights: Weights) -> list[float]:
    """Return the mean over candidates of each memory's weight."""
    return [sum(column) / len(weights) for column in zip(*weights, strict=True)]


def without_replacement(weights: Sequence[float], count: int, draw: Draw, label: str) -> list[int]:
    """Return `count` different indices, drawn one after another in proportion to the weights (Gumbel's trick)."""
    keys = []
    for i, weight in enumerate(weights):
        u = min(1 - 1e-12, max(1e-12, draw.uniform(f"{label}/{i}")))
        keys.append((math.log(max(weight, 1e-300)) - math.log(-math.log(u)), -i))
    order = sorted(range(len(weights)), key=lambda i: keys[i], reverse=True)
    return order[:count]
