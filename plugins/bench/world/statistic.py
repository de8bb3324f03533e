"""The statistic that a suite's hypothesis is about: by how much the gradient is ahead, and how that grows with quality.

A hidden score counts as the *share of the way* from the default LightGBM to the best known on its task and split. Runs
are paired by task, split, seed and factors; a level's quality is the mean over all runs that were played at that level.
Intervals are of a bootstrap over tasks, then over pairs within each task; with few tasks they are wide, as they should
be.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from gome.plugins.bench.table import Row

Level = tuple[tuple[str, str | float], ...]
Pairs = Mapping[str, Sequence["Pair"]]
"""Pairs by task."""
RESAMPLES = 2000
BOUNDS = (0.025, 0.975)


class Pair(Struct, frozen=True):
    """One search against another under equal conditions: the difference of their shares, first minus second."""

    level: Level
    difference: float


class Estimate(Struct, frozen=True):
    """A figure with the bounds of its 95 % bootstrap interval, from so many pairs on so many tasks; None where there is
    nothing to compute it from."""

    value: float | None
    low: float | None
    high: float | None
    pairs: int
    tasks: int


def share(row: Row) -> float | None:
    """The share of the way from the baseline's hidden score (0) to the best known (1); below 0 where the run made
    things worse. None where one of them is missing or they are equal. A run that handed in nothing stands where the
    baseline does."""
    if row.baseline is None or row.reference is None or row.reference == row.baseline:
        return None
    hidden = row.baseline if row.hidden is None else row.hidden
    return (hidden - row.baseline) / (row.reference - row.baseline)


def level_of(row: Row) -> Level:
    """The factors of a row, in a form that can be compared."""
    return tuple(sorted(row.factors.items()))


def pairs(
    rows: Sequence[Row], first: str | float, second: str | float, factor: str = "search"
) -> dict[str, list[Pair]]:
    """All pairs, by task, of runs that differ only in one factor (the search, unless another is named), where one is at
    its level `first` and the other at `second`."""

    def aspects(row: Row) -> dict[str, str | float]:
        return {"search": row.search, **row.factors}

    def rest(row: Row) -> tuple[object, ...]:
        others = tuple(sorted((k, v) for k, v in aspects(row).items() if k != factor))
        return (row.task, row.split_seed, row.seed, others)

    of = {level: {rest(r): r for r in rows if aspects(r).get(factor) == level} for level in (first, second)}
    found: dict[str, list[Pair]] = defaultdict(list)
    for place, row in of[first].items():
        if (other := of[second].get(place)) is None:
            continue
        mine, theirs = share(row), share(other)
        if mine is not None and theirs is not None:
            found[row.task].append(Pair(level_of(row), mine - theirs))
    return dict(found)


def qualities(rows: Sequence[Row]) -> dict[Level, float]:
    """The mean measured quality of each level, over all its runs that have one."""
    found: dict[Level, list[float]] = defaultdict(list)
    for row in rows:
        if row.quality is not None:
            found[level_of(row)].append(row.quality)
    return {level: sum(values) / len(values) for level, values in found.items()}


def mean_difference(found: Pairs) -> Estimate:
    """The mean over tasks of the mean difference."""
    return _bootstrapped(found, _mean)


def slope(found: Pairs, quality: Mapping[Level, float]) -> Estimate:
    """The least-squares slope of the difference over the measured quality of its level: share of the way per unit of
    rank correlation."""
    known = {task: [p for p in all_ if p.level in quality] for task, all_ in found.items()}
    return _bootstrapped(known, lambda sample: _slope(sample, quality))


def _mean(sample: Sequence[Sequence[Pair]]) -> float | None:
    means = [sum(p.difference for p in all_) / len(all_) for all_ in sample if all_]
    return sum(means) / len(means) if means else None


def _slope(sample: Sequence[Sequence[Pair]], quality: Mapping[Level, float]) -> float | None:
    points = [(quality[p.level], p.difference) for all_ in sample for p in all_]
    if len(points) < 2:
        return None
    x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((a - x) ** 2 for a, _ in points)
    return sum((a - x) * (b - y) for a, b in points) / spread if spread > 1e-12 else None


def _bootstrapped(found: Pairs, of: Callable[[Sequence[Sequence[Pair]]], float | None]) -> Estimate:
    tasks = [list(all_) for _, all_ in sorted(found.items()) if all_]
    count = sum(map(len, tasks))
    value = of(tasks)
    if value is None:
        return Estimate(None, None, None, count, len(tasks))
    generator = random.Random(0)
    resampled = []
    for _ in range(RESAMPLES):
        chosen = [generator.choice(tasks) for _ in tasks]
        drawn = of([[generator.choice(all_) for _ in all_] for all_ in chosen])
        if drawn is not None:
            resampled.append(drawn)
    resampled.sort()
    low, high = (resampled[min(len(resampled) - 1, int(b * len(resampled)))] for b in BOUNDS)
    return Estimate(value, low, high, count, len(tasks))
