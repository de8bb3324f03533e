"""Feature moves: bundles of steps suggested by the columns, for one member or for all; fewer columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gome.plugins.reasoner.playbook.bundles import Bundle, bundles
from gome.plugins.reasoner.playbook.facts import Facts
from gome.plugins.reasoner.playbook.families import TREES
from gome.plugins.reasoner.playbook.fitted import MemberFacts
from gome.plugins.reasoner.playbook.idea import Idea

ANSWERS = (
    *("graded words", "several calendar years", "parts of a whole", "same unit", "strong numbers", "many levels"),
    *("places", "groups", "numeric codes", "missing values", "joint categories", "text", "dates", "drift"),
)
"""Challenges that bundles answer."""
_DOUBTFUL = frozenset({"best_ratios", "products", "crosses", "codes", "drift"})
"""Bundles that are tried alone only."""


def leading(facts: Facts, count: int) -> list[tuple[int, MemberFacts]]:
    """The parent's members with the most weight, with their places."""
    order = sorted(enumerate(facts.members), key=lambda pair: (-pair[1].weight, pair[0]))
    return order[:count]


def _lacks(m: MemberFacts, bundle: Bundle) -> bool:
    have = m.spec.get("features", [])
    return any(step not in have for step in bundle.steps)


def _elsewhere(facts: Facts, index: int, bundle: Bundle) -> bool:
    """Whether another member of the same family has the bundle: then the one without it is there to differ."""
    own = facts.members[index]
    return any(m.family == own.family and not _lacks(m, bundle) for i, m in enumerate(facts.members) if i != index)


def add_all(facts: Facts) -> Iterator[Idea]:
    """Add everything that the columns suggest to one member at once: one execution instead of one per bundle."""
    importance = next((m.importance for m in facts.members if m.importance), ())
    single = len(facts.members) == 1
    for index, m in leading(facts, 1 if single else 3):
        lacking = [
            b
            for b in bundles(facts, importance)
            if b.name not in _DOUBTFUL and _lacks(m, b) and not _elsewhere(facts, index, b)
        ]
        steps = [s for b in lacking for s in b.steps if s not in m.spec.get("features", [])]
        if len(lacking) < 2 or len(steps) + len(m.spec.get("features", [])) > 55:
            continue
        prior = sum(b.trees if m.family in TREES else b.others for b in lacking)
        names = ", ".join(b.name.replace("_", " ") for b in lacking)
        yield Idea(
            move="features",
            variant="all",
            component="features",
            problem=lacking[0].problem,
            statement=f"Add all {len(steps)} features that the columns suggest to the {m.family}: {names}",
            reason=f"{len(lacking)} groups of columns speak for it ({lacking[0].reason}); together they cost "
            f"one execution",
            change={"edit": {"member": index, "add_features": steps}},
            gain=0.7 * prior * (1.0 if single else 0.3 + 0.7 * m.weight),
            chance=0.65,
            family=m.family,
        )


def drop_kind(facts: Facts) -> Iterator[Idea]:
    """Take one kind of added feature out again, to see whether it earns its place."""
    for index, m in leading(facts, 2):
        ops = list(dict.fromkeys(s["op"] for s in m.spec.get("features", []) if s["op"] not in ("tfidf", "drop")))
        for op in ops if len(ops) > 1 else []:
            count = sum(s["op"] == op for s in m.spec["features"])
            yield Idea(
                move="drop features",
                variant=op,
                component="features",
                problem="many columns",
                statement=f"Take the {count} {op.replace('_', ' ')} features out of the {m.family} again",
                reason=f"{len(ops)} kinds of features were added; one that does not help only adds noise",
                change={"edit": {"member": index, "drop_features": [op]}},
                gain=0.002 * (0.3 + 0.7 * m.weight),
                chance=0.35,
                family=m.family,
            )


def add_bundle(facts: Facts) -> Iterator[Idea]:
    """Add a bundle to the only member, to a leading member, or to every member that lacks it."""
    yield from add_all(facts)
    importance = next((m.importance for m in facts.members if m.importance), ())
    single = len(facts.members) == 1
    for bundle in bundles(facts, importance):
        for index, m in leading(facts, 1 if single else 3):
            if not _lacks(m, bundle) or _elsewhere(facts, index, bundle):
                continue
            prior = bundle.trees if m.family in TREES else bundle.others
            yield Idea(
                move="features",
                variant=bundle.name,
                component="features",
                problem=bundle.problem,
                statement=bundle.statement + ("" if single else f" for the {m.family} (member {index})"),
                reason=bundle.reason,
                change={"edit": {"member": index, "add_features": list(bundle.steps)}},
                gain=prior * (1.0 if single else 0.3 + 0.7 * m.weight),
                chance=0.55,
                family=m.family,
            )
        lacking = [(i, m) for i, m in enumerate(facts.members) if m.weight >= 0.03 and _lacks(m, bundle)]
        if not single and len(lacking) >= 2 and all(_lacks(m, bundle) for m in facts.members):
            mean = sum(m.weight * (bundle.trees if m.family in TREES else bundle.others) for _, m in lacking)
            yield Idea(
                move="features",
                variant=bundle.name,
                component="features",
                problem=bundle.problem,
                statement=f"{bundle.statement} for {len(lacking)} members",
                reason=bundle.reason,
                change={"edit": [{"member": i, "add_features": list(bundle.steps)} for i, _ in lacking]},
                gain=0.8 * mean,
                chance=0.55,
                family="all",
            )


def select_columns(facts: Facts) -> Iterator[Idea]:
    """Keep the columns with the most gain, fitted inside the training folds."""
    for index, m in leading(facts, 2):
        spare = _columns(facts, m)
        for share in (0.5, 0.75):
            keep = round(share * spare)
            if spare < 30 or (m.spec.get("encoding") or {}).get("top") or m.family == "naive_bayes":
                continue
            encoding: dict[str, Any] = {"top": keep}
            yield Idea(
                move="select columns",
                component="features",
                problem="many columns",
                statement=f"Keep the {keep} columns with the most gain for the {m.family} (of about {spare})",
                reason=f"{spare} columns for {facts.rows} rows leave room for chance; the weakest half mostly "
                f"adds noise",
                change={"edit": {"member": index, "set": {"encoding": encoding}}},
                gain=0.003 * m.weight if m.family in TREES else 0.006 * m.weight,
                chance=0.35,
                family=m.family,
            )


def _columns(facts: Facts, m: MemberFacts) -> int:
    """About how many columns the member's matrix has."""
    wide = 0 if m.family in TREES else sum(min(c.unique or 4, 60) - 1 for c in facts.kinds("category"))
    return len(facts.columns) + 2 * len(m.spec.get("features", [])) + wide
