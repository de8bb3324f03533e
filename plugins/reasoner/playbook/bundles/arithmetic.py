"""Bundles that compute with numbers: ages from years, totals, ratios and products of columns in the same unit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from gome.plugins.reasoner.playbook.bundles.bundle import Bundle, listed, matters, numbers_of
from gome.plugins.reasoner.playbook.columns import ColumnFacts, shared_words
from gome.plugins.reasoner.playbook.facts import Facts
from gome.plugins.reasoner.playbook.pipelines import Spec

_HALF = {"half"}
_LATEST = {"sold", "sale", "sales", "current", "end", "listed", "now", "report"}


def years(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    """Return the differences of calendar years, which are ages."""
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
            f"Add ages: {latest.name} minus {listed([c.name for c in rest])}",
            f"{len(years)} columns are calendar years; their differences are ages, which say more than dates",
            0.005,
            0.004,
        )
    ]


def _by_unit(facts: Facts, importance: Sequence[tuple[str, float]]) -> dict[str, list[ColumnFacts]]:
    groups: dict[str, list[ColumnFacts]] = {}
    for column in numbers_of(facts, importance):
        if column.unit and not column.year:
            groups.setdefault(column.unit, []).append(column)
    return {unit: columns for unit, columns in groups.items() if len(columns) >= 2}


def _weight(name: ColumnFacts) -> float:
    return 0.5 if set(name.words) & _HALF else 1.0


def sums(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    """Return the totals of columns in the same unit, and of columns whose names share a word."""
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
            f"Add {len(steps[:12])} totals of columns in the same unit, first {listed(steps[0]['columns'])}",
            "trees and linear models see only single columns; the total of parts in the same unit is one clear number",
            0.012,
            0.014,
        )
    ]


def ratios(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    """Return the quotients of columns in the same unit, and of the strongest numbers."""
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
    best = [c for c in numbers_of(facts, importance) if not c.year and not c.code][:5]
    pairs = [{"op": "ratio", "a": a.name, "b": b.name} for a, b in combinations(best, 2)]
    pairs = [p for p in pairs if p not in steps][:8]
    if len(best) >= 3 and pairs and matters(best[0], importance):
        found.append(
            Bundle(
                "best_ratios",
                "strong numbers",
                tuple(pairs),
                f"Add ratios among the strongest numbers: {listed([c.name for c in best], 4)}",
                "the columns with the most influence are the likeliest to matter relative to each other",
                0.006,
                0.003,
            )
        )
    return found


def products(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[Bundle]:
    """Return surface and volume of three lengths, and the products of the strongest numbers."""
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
    best = [c for c in numbers_of(facts, importance) if not c.year and not c.code][:4]
    if len(best) >= 3 and matters(best[0], importance):
        pairs: list[Spec] = [{"op": "product", "a": a.name, "b": b.name} for a, b in combinations(best, 2)]
        found.append(
            Bundle(
                "products",
                "strong numbers",
                tuple(pairs[:6]),
                f"Add products among the strongest numbers: {listed([c.name for c in best], 4)}",
                "the strongest columns may act jointly, which a linear model cannot express and a tree only in steps",
                0.003,
                0.005,
            )
        )
    return found
