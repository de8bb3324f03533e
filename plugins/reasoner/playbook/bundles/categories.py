"""Bundles that read categories: grades, codes, means of the target, groups and joint keys."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from gome.plugins.reasoner.playbook.bundles.bundle import Bundle, listed, numbers_of
from gome.plugins.reasoner.playbook.columns import ColumnFacts, ranked
from gome.plugins.reasoner.playbook.facts import Facts
from gome.plugins.reasoner.playbook.pipelines import Spec

_MANY = 10
"""Distinct values above which a category counts as one of many levels."""
_GRADED = frozenset({"qual", "quality", "qc", "cond", "condition", "satisfaction", "rating", "grade"})


def quality(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    """Return the ranking of words that grade."""
    found = [c for c in facts.kinds("category") if _speaks_quality(c)]
    if not found:
        return []
    return [
        Bundle(
            "quality",
            "graded words",
            ({"op": "quality"},),
            f"Rank the graded words of {listed([c.name for c in found])} from worst to best",
            f"{len(found)} category columns use grades such as {listed(found[0].levels or ('Fair', 'Good'))}; "
            "their order is lost when they are treated as names",
            0.02,
            0.006,
        )
    ]


def _speaks_quality(column: ColumnFacts) -> bool:
    return bool(column.levels) or bool(set(column.words) & _GRADED)


def targets(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    """Return the encoding of many-levelled categories by their mean target and frequency."""
    many = [c for c in facts.kinds("category") if (c.unique or 0) >= _MANY]
    if not many or facts.classes > 8:
        return []
    names = [c.name for c in many]
    largest = max((c.unique or 0) for c in many)
    return [
        Bundle(
            "target_encoding",
            "many levels",
            ({"op": "target_encoding"}, {"op": "count_encoding", "columns": names[:12]}),
            f"Encode {listed(names)} by the mean target of their levels, cross-fitted, and by their frequency",
            f"{len(names)} category columns have {_MANY} levels or more (up to {largest or 'many'}); a mean target per "
            "level pools what one-hot columns and native splits must learn level by level",
            0.001,
            0.005,
        )
    ]


def groups(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    """Return the comparison of the strongest numbers with their mean in a group."""
    shares = dict(importance)
    by = [c for c in facts.kinds("category") if 5 <= (c.unique or len(c.levels)) <= 500]
    by.sort(key=lambda c: (-shares.get(c.name, 0.0), -abs(c.association or 0.0), -(c.unique or 0), c.name))
    numeric = [c.name for c in numbers_of(facts, importance) if not c.year][:3]
    if not by or not numeric:
        return []
    return [
        Bundle(
            "groups",
            "groups",
            ({"op": "group_statistics", "by": by[0].name, "columns": numeric},),
            f"Compare {listed(numeric)} with their mean within {by[0].name}",
            f"rows of the same {by[0].name} are alike; how a row differs from its group is not in any single column",
            0.003,
            0.008,
        )
    ]


def codes(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    """Return the reading of numeric codes as categories."""
    codes = [c for c in facts.columns if c.code]
    if not codes:
        return []
    return [
        Bundle(
            "codes",
            "numeric codes",
            ({"op": "categorise", "columns": [c.name for c in codes]},),
            f"Treat the codes {listed([c.name for c in codes])} as categories",
            f"{len(codes)} numeric columns hold few whole numbers and are named like codes, whose order means little",
            0.001,
            0.004,
        )
    ]


def crosses(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    """Return the joint keys of the strongest categories."""
    shares = dict(importance)
    cats = [c for c in ranked(facts.kinds("category"), importance) if 2 <= (c.unique or 0) <= 40 and c.name in shares]
    pairs = [(a.name, b.name) for a, b in combinations(cats[:3], 2)]
    if not pairs:
        return []
    steps: list[Spec] = []
    for a, b in pairs[:2]:
        if facts.classes > 4:
            steps.append({"op": "cross", "columns": [a, b]})
        else:
            steps.append({"op": "target_encoding", "columns": [a, b], "joint": True, "smoothing": 20.0})
    return [
        Bundle(
            "crosses",
            "joint categories",
            tuple(steps),
            f"Join {' and '.join(pairs[0])} into one key" + (f", and {' and '.join(pairs[1])}" if pairs[1:] else ""),
            "the strongest categories may act jointly: a level may mean something else beside another column's level",
            0.002,
            0.004,
        )
    ]
