"""The arithmetic of UCT as ML-Master and MLEvolve use it. Numbers only, no tree.

Sources: ML-Master 1.0 at `aba39c8`, MLEvolve at `7d8403c`.
"""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta

from gome.plugins.search.tree.fold import rounded
from gome.plugins.search.tree.settings import Count, ScaledSettings, Share, Variant

Rate = Annotated[float, Meta(ge=0)]


class UctSettings(ScaledSettings, frozen=True):
    """The published constants. Exploration weighs `exploration` at first, then falls by `alpha` per node to `lowest`,
    from node `min(num_drafts · num_improves², late_start · steps)` to node `late_end · steps` of `steps`; scaled, the
    run's whole budget stands for `steps` nodes. A chain of steps goes on while each gains `threshold` over the best of
    its lineage, and through `patience` steps that do not; a chain of repairs ends after `back_debug_depth` failures in
    a row, a branch after `max_debug_depth` of them. Repaired, a score that differs from the run's best by more than the
    factor `outlier` counts as a failure."""

    variant: Variant = "repaired"
    num_drafts: Count = 5
    num_improves: Count = 3
    num_bugs: Count = 1
    back_debug_depth: Count = 3
    max_debug_depth: Count = 20
    threshold: Rate = 1e-4
    patience: Count = 3
    outlier: Annotated[float, Meta(gt=1)] = 100.0
    steps: Count = 500
    exploration: Rate = 1.414
    lowest: Rate = 0.5
    alpha: Rate = 0.01
    late_start: Share = 0.3
    late_end: Share = 0.7


def exploration(t: float, given: UctSettings) -> float:
    """The weight C(t) of exploration after `t` nodes, the root included: flat, falling linearly, flat."""
    start = min(given.num_drafts * given.num_improves**2, round(given.late_start * given.steps))
    if t < start:
        return given.exploration
    if t > round(given.late_end * given.steps):
        return given.lowest
    return rounded(max(given.exploration - given.alpha * (t - start), given.lowest))


def uct(reward: float, visits: int, above: int, weight: float) -> float:
    """W/n + C·√(ln N / n) for a child with sum of rewards W and n visits under a parent with N; infinite unvisited."""
    if not visits:
        return math.inf
    return rounded(reward / visits + weight * math.sqrt(math.log(max(1, above)) / visits))


def outlying(score: float, best: float | None, factor: float) -> bool:
    """Whether a score differs from the best one by more than a factor; zeros say nothing."""
    if not best or not score:
        return False
    sizes = abs(score), abs(best)
    return max(sizes) > factor * min(sizes)
