"""Groups of feature steps that belong together, read off the columns' names, units and ranges.

A bundle is what one hypothesis adds: a few steps with a reason a person can check. Which bundle is worth trying now is
decided elsewhere (`moves`, `believe`); nothing here knows a data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from gome.plugins.reasoner.playbook.columns import ColumnFacts, place, ranked, shared_words
from gome.plugins.reasoner.playbook.facts import Facts, Spec

_HALF = {"half"}
_LATEST = {"sold", "sale", "sales", "current", "end", "listed", "now", "report"}
_MANY = 10
"""Distinct values above which a category counts as one of many levels."""


@dataclass(frozen=True)
class Bundle:
    """Feature steps with the challenge they answer, what they say, why, and the relative gain to expect at first:
    `trees` for tree families, `others` for linear and kernel ones."""

    name: str
    problem: str
    steps: tuple[Spec, ...]
    statement: str
    reason: str
    trees: float
    others: float


def bundles(facts: Facts, importance: Sequence[tuple[str, float]] = ()) -> list[Bundle]:
    """Return all bundles that the columns suggest, whether they have been tried or not."""
    makers = (_quality, _years, _sums, _ratios, _products, _targets, _space, _groups, _codes, _missing, _crosses)
    found = [bundle for make in (*makers, _texts, _dates, _drift) for bundle in make(facts, importance)]
    return [b for b in found if b.steps]


def _names(names: Sequence[str], limit: int = 3) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _numeric(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[ColumnFacts]:
    found = [c for c in facts.columns if c.kind == "numeric"]
    # The association with the target stays the same through a run, so that a bundle is the same bundle each time.
    return ranked(found, () if any(c.association is not None for c in found) else importance)


def _strong(column: ColumnFacts, importance: Sequence[tuple[str, float]]) -> bool:
    """Whether a column is known to matter: by its association with the target or in the last model."""
    return column.association is not None or column.name in dict(importance)


def _quality(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    found = [c for c in facts.kinds("category") if _speaks_quality(c)]
    if not found:
        return []
    return [
        Bundle(
            "quality",
            "graded words",
            ({"op": "quality"},),
            f"Rank the graded words of {_names([c.name for c in found])} from worst to best",
            f"{len(found)} category columns use grades such as {_names(found[0].levels or ('Fair', 'Good'))}; "
            "their order is lost when they are treated as names",
            0.02,
            0.006,
        )
    ]


_GRADED = frozenset({"qual", "quality", "qc", "cond", "condition", "satisfaction", "rating", "grade"})


def _speaks_quality(column: ColumnFacts) -> bool:
    return bool(column.levels) or bool(set(column.words) & _GRADED)


def _years(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    years = [c for c in facts.columns if c.year][:5]
    if len(years) < 2:
        return []
    latest = max(years, key=lambda c: (bool(set(c.words) & _LATEST), c.name))
    steps = [{"op": "difference", "a": latest.name, "b": c.name} for c in years if c.name != latest.name]
    rest = [c for c in years if c.name != latest.name]
    steps += [{"op": "difference", "a": b.name, "b": a.name} for a, b in combinations(rest, 2)]
    return [
        Bundle(
            "years",
            "several calendar years",
            tuple(steps[:8]),
            f"Add ages: {latest.name} minus {_names([c.name for c in rest])}",
            f"{len(years)} columns are calendar years; their differences are ages, which say more than dates",
            0.005,
            0.004,
        )
    ]


def _by_unit(facts: Facts, importance: Sequence[tuple[str, float]]) -> dict[str, list[ColumnFacts]]:
    groups: dict[str, list[ColumnFacts]] = {}
    for column in _numeric(facts, importance):
        if column.unit and not column.year:
            groups.setdefault(column.unit, []).append(column)
    return {unit: columns for unit, columns in groups.items() if len(columns) >= 2}


def _weight(name: ColumnFacts) -> float:
    return 0.5 if set(name.words) & _HALF else 1.0


def _sums(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    by_name = {c.name: c for c in facts.columns}
    steps: list[Spec] = []
    used: set[frozenset[str]] = set()

    def add(names: Sequence[str], label: str) -> None:
        key = frozenset(names)
        if len(key) < 2 or key in used:
            return
        used.add(key)
        weights = [_weight(by_name[n]) for n in names]
        step: Spec = {"op": "sum", "columns": list(names), "name": f"total_{label}"}
        if len(set(weights)) > 1:
            step["weights"] = weights
        steps.append(step)

    for unit, columns in _by_unit(facts, importance).items():
        if unit in ("area", "money", "length"):
            best = [c.name for c in columns[:3]]
            for a, b in combinations(best, 2):
                add([a, b], f"{a}_and_{b}")
            add(best, f"{unit}_of_three")
        if unit in ("area", "bath", "room"):
            add([c.name for c in columns[:12]], unit)
    for word, names in shared_words(facts.columns).items():
        units = {by_name[n].unit for n in names}
        if len(units) == 1 and units != {""} and word not in units and len(names) <= 8:
            add(names, word)
    if not steps:
        return []
    return [
        Bundle(
            "sums",
            "parts of a whole",
            tuple(steps[:12]),
            f"Add {len(steps[:12])} totals of columns in the same unit, first {_names(steps[0]['columns'])}",
            "trees and linear models see only single columns; the total of parts in the same unit is one clear number",
            0.012,
            0.014,
        )
    ]


def _ratios(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    steps: list[Spec] = []
    for unit, columns in _by_unit(facts, importance).items():
        if unit in ("area", "money", "length", "duration"):
            steps += [{"op": "ratio", "a": a.name, "b": b.name} for a, b in combinations(columns[:4], 2)]
    found = []
    if steps:
        found.append(
            Bundle(
                "ratios",
                "same unit",
                tuple(steps[:10]),
                f"Add {len(steps[:10])} ratios of columns in the same unit, first {steps[0]['a']} to {steps[0]['b']}",
                "a tree needs many splits to express a quotient of two numbers",
                0.008,
                0.004,
            )
        )
    best = [c for c in _numeric(facts, importance) if not c.year and not c.code][:5]
    pairs = [{"op": "ratio", "a": a.name, "b": b.name} for a, b in combinations(best, 2)]
    pairs = [p for p in pairs if p not in steps][:8]
    if len(best) >= 3 and pairs and _strong(best[0], importance):
        found.append(
            Bundle(
                "best_ratios",
                "strong numbers",
                tuple(pairs),
                f"Add ratios among the strongest numbers: {_names([c.name for c in best], 4)}",
                "the columns with the most influence are the likeliest to matter relative to each other",
                0.006,
                0.003,
            )
        )
    return found


def _products(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    found = []
    lengths = [c for c in facts.columns if c.kind == "numeric" and c.unit == "length" and len(c.name) == 1]
    if len(lengths) == 3:
        a, b, c = (x.name for x in lengths)
        steps: list[Spec] = [
            {"op": "product", "a": a, "b": b},
            {"op": "product", "a": f"{a}_times_{b}", "b": c},
            {"op": "ratio", "a": a, "b": b},
            {"op": "ratio", "a": c, "b": a},
        ]
        mass = next((m for m in facts.columns if set(m.words) & {"carat", "weight", "mass"}), None)
        if mass:
            steps.append({"op": "ratio", "a": mass.name, "b": f"{a}_times_{b}_times_{c}"})
        found.append(
            Bundle(
                "volume",
                "same unit",
                tuple(steps),
                f"Add surface, volume and proportions of {a}, {b}, {c}",
                f"{a}, {b} and {c} are lengths of one body; its volume and shape are products and quotients of them",
                0.010,
                0.020,
            )
        )
    best = [c for c in _numeric(facts, importance) if not c.year and not c.code][:4]
    if len(best) >= 3 and _strong(best[0], importance):
        pairs: list[Spec] = [{"op": "product", "a": a.name, "b": b.name} for a, b in combinations(best, 2)]
        found.append(
            Bundle(
                "products",
                "strong numbers",
                tuple(pairs[:6]),
                f"Add products among the strongest numbers: {_names([c.name for c in best], 4)}",
                "the strongest columns may act jointly, which a linear model cannot express and a tree only in steps",
                0.003,
                0.005,
            )
        )
    return found


def _targets(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
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
            f"Encode {_names(names)} by the mean target of their levels, cross-fitted, and by their frequency",
            f"{len(names)} category columns have {_MANY} levels or more (up to {largest or 'many'}); a mean target per "
            "level pools what one-hot columns and native splits must learn level by level",
            0.001,
            0.005,
        )
    ]


def _space(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    where = place(facts.columns, facts.profile)
    if not where or facts.classes > 4:
        return []
    return [
        Bundle(
            "space",
            "places",
            ({"op": "neighbours", "columns": list(where), "k": [5, 15]},),
            f"Add the mean target of the 5 and 15 nearest training rows by {where[0]} and {where[1]}",
            "the columns are coordinates: what is next door tells more than two axes cut by thresholds",
            0.004,
            0.02,
        )
    ]


def _groups(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    shares = dict(importance)
    by = [c for c in facts.kinds("category") if 5 <= (c.unique or len(c.levels)) <= 500]
    by.sort(key=lambda c: (-shares.get(c.name, 0.0), -abs(c.association or 0.0), -(c.unique or 0), c.name))
    numeric = [c.name for c in _numeric(facts, importance) if not c.year][:3]
    if not by or not numeric:
        return []
    return [
        Bundle(
            "groups",
            "groups",
            ({"op": "group_statistics", "by": by[0].name, "columns": numeric},),
            f"Compare {_names(numeric)} with their mean within {by[0].name}",
            f"rows of the same {by[0].name} are alike; how a row differs from its group is not in any single column",
            0.003,
            0.008,
        )
    ]


def _codes(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    codes = [c for c in facts.columns if c.code]
    if not codes:
        return []
    return [
        Bundle(
            "codes",
            "numeric codes",
            ({"op": "categorise", "columns": [c.name for c in codes]},),
            f"Treat the codes {_names([c.name for c in codes])} as categories",
            f"{len(codes)} numeric columns hold few whole numbers and are named like codes, whose order means little",
            0.001,
            0.004,
        )
    ]


def _missing(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    holes = [c for c in facts.columns if c.missing > 0.005]
    if not holes:
        return []
    worst = max(holes, key=lambda c: c.missing)
    return [
        Bundle(
            "missing",
            "missing values",
            ({"op": "missing_indicators"},),
            f"Mark missing values ({len(holes)} columns) and count them per row",
            f"{len(holes)} columns have gaps, {worst.name} in {worst.missing:.0%} of its rows; that a value is missing "
            "may itself tell something, and is lost when gaps are filled",
            0.001,
            0.004,
        )
    ]


def _crosses(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
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


def _texts(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    found = []
    for column in facts.kinds("text")[:2]:
        found.append(
            Bundle(
                "text_terms",
                "text",
                (
                    {"op": "tfidf", "column": column.name, "svd": 100},
                    {"op": "text_statistics", "column": column.name},
                ),
                f"Read {column.name} as terms (100 components of TF-IDF) and by its length and style",
                f"{column.name} is text: almost all it says lies in its words",
                0.15,
                0.15,
            )
        )
        found.append(
            Bundle(
                "text_characters",
                "text",
                ({"op": "tfidf", "column": column.name, "analyzer": "char_wb", "ngrams": 4, "svd": 100},),
                f"Add character n-grams of {column.name} (100 components)",
                "parts of words catch spellings, endings and negations that whole words miss",
                0.02,
                0.02,
            )
        )
    return found


def _dates(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    return [
        Bundle(
            "dates",
            "dates",
            tuple({"op": "date_parts", "column": c.name} for c in facts.kinds("time")[:3]),
            f"Split {_names([c.name for c in facts.kinds('time')])} into year, month, weekday and hour",
            "a time stamp as one number hides what repeats: seasons, weekdays, hours",
            0.03,
            0.03,
        )
    ] * bool(facts.kinds("time"))


def _drift(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    adversarial = facts.profile.get("adversarial")
    auc = adversarial.get("auc") if isinstance(adversarial, dict) else None
    drifts = isinstance(auc, (int, float)) and auc > 0.6
    drifting = sorted((c for c in facts.columns if (c.drift or 0.0) > 0.2 and drifts), key=lambda c: -(c.drift or 0.0))[
        :3
    ]
    if not drifting:
        return []
    return [
        Bundle(
            "drift",
            "drift",
            ({"op": "drop", "columns": [c.name for c in drifting]},),
            f"Leave out {_names([c.name for c in drifting])}",
            f"test rows can be told from training rows (AUC {auc:.2f}), most of all by {drifting[0].name} "
            f"({drifting[0].drift or 0:.0%} of it); what is learnt from such columns does not carry over",
            0.004,
            0.004,
        )
    ]
