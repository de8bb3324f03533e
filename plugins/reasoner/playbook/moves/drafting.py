"""First drafts: a small, sound program of a family that no other trace has opened with."""

from __future__ import annotations

from collections.abc import Iterator

from gome.plugins.reasoner.playbook.facts import Facts
from gome.plugins.reasoner.playbook.families import LARGE, TITLES, member, openers, strength
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
    """One draft per family; families that were opened before on any trace come last."""
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
