"""First drafts: a small, sound program of a family that no other trace has opened with."""

from __future__ import annotations

from collections.abc import Iterator

from gome.plugins.reasoner.playbook.bundles import bundles
from gome.plugins.reasoner.playbook.facts import Facts
from gome.plugins.reasoner.playbook.families import (
    FAMILIES_BY_VALUE,
    LARGE,
    TITLES,
    member,
    openers,
    strength,
    suits,
)
from gome.plugins.reasoner.playbook.idea import Idea
from gome.plugins.reasoner.playbook.pipelines import Spec


def basics(facts: Facts, family: str) -> list[Spec]:
    """Feature steps without which a draft would be blind: texts and dates."""
    steps: list[Spec] = []
    for column in facts.kinds("text")[:2]:
        sparse = family in ("ridge", "elastic_net", "svm", "naive_bayes")
        steps.append({"op": "tfidf", "column": column.name, **({} if sparse else {"svd": 60})})
        if not sparse:
            steps.append({"op": "text_statistics", "column": column.name})
    steps += [{"op": "date_parts", "column": c.name} for c in facts.kinds("time")[:3]]
    return steps


def drafts(facts: Facts) -> Iterator[Idea]:
    """One draft per family; families that were opened before on any trace come last. For a search of many drafts also
    all other families, and every family with the features that the columns suggest."""
    yield from _openers(facts)
    if not facts.many:
        return
    suggested = [step for b in bundles(facts, ()) for step in b.steps][:40]
    wanted = openers(facts)
    others = [f for f in FAMILIES_BY_VALUE if f not in wanted and suits(facts, f)]
    for place, (family, steps) in enumerate(
        [*((f, []) for f in others), *((f, suggested) for f in (*wanted, *others))]
    ):
        spec = member(facts, family)
        if both := [*basics(facts, family), *steps]:
            spec["features"] = both
        more = f" with {len(steps)} features that the columns suggest" if steps else ""
        yield Idea(
            move=f"draft {family}",
            variant="rich" if steps else "",
            component="model",
            problem="no solution yet",
            statement=f"Start with {TITLES[family]}{more}",
            reason=f"{len(wanted)} families were to open with; this one's error is usually "
            f"{strength(facts, family):.2f} times the best one's",
            change={"pipeline": {"members": [spec]}},
            gain=0.005 / (1 + place),
            chance=0.8,
            family=family,
        )


def _openers(facts: Facts) -> Iterator[Idea]:
    wanted = openers(facts)
    start = facts.trace % max(1, len(wanted))
    order = wanted[start:] + wanted[:start]
    for place, family in enumerate(order):
        spec = member(facts, family)
        if steps := basics(facts, family):
            spec["features"] = steps
        size = "a small table" if facts.rows <= LARGE else "a large table"
        target = f" on the {spec['target']} target, the scale of {facts.metric}," if spec.get("target") else ""
        used = f"draft {family}" in facts.openers
        yield Idea(
            move=f"draft {family}",
            component="model",
            problem="no solution yet",
            statement=f"Start with {TITLES[family]}{target} with settings for {size}",
            reason=f"{facts.rows} rows and {len(facts.columns)} columns are {size}; this family's error is usually "
            f"{strength(facts, family):.2f} times the best one's, and trace {facts.trace} should start away "
            f"from the others",
            change={"pipeline": {"members": [spec]}},
            gain=(0.05 if not used else 0.01) / (1 + place),
            chance=0.9,
            family=family,
        )
