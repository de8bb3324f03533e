"""Crossings: what another solution has goes into this one, or several solutions become a new one.

For steps that a search gives further parents (`crossover`, `fusion`). A merge of the gradient's traces is another move,
`join`, which chooses among all fitted members.
"""

from __future__ import annotations

from collections.abc import Iterator

from gome.plugins.reasoner.playbook.facts import Facts, Partner
from gome.plugins.reasoner.playbook.families import TITLES
from gome.plugins.reasoner.playbook.fitted import MemberFacts
from gome.plugins.reasoner.playbook.idea import Idea
from gome.plugins.reasoner.playbook.moves.blending import MOST, blend_for, blended_error, diverse

PROBLEM = "another solution"


def cross(facts: Facts) -> Iterator[Idea]:
    """Ways to join the step's parents; nothing for a step that has no further ones."""
    if not facts.partners:
        return
    if facts.parent:
        for partner in facts.partners:
            yield from _with(facts, partner)
    if len(facts.partners) > 1 or not facts.parent:
        yield from _of_all(facts)


def _lead(members: tuple[MemberFacts, ...]) -> MemberFacts:
    return max(members, key=lambda m: (m.weight, m.key))


def _gain(facts: Facts, members: list[MemberFacts], usual: float) -> float:
    known = [m for m in members if m.score is not None]
    if not known or not facts.error:
        return usual
    return max(0.002, 1 - blended_error(facts, known) / facts.error)


def _with(facts: Facts, partner: Partner) -> Iterator[Idea]:
    """Both solutions' members in one blend; one solution's members with the other's features or model."""
    own = facts.members
    fresh = [m for m in partner.members if m.spec not in [o.spec for o in own]]
    names = ", ".join(m.family for m in fresh)
    if fresh and len(own) + len(fresh) <= MOST + 2:
        yield Idea(
            move="cross",
            variant="blend",
            component="ensemble",
            problem=PROBLEM,
            statement=f"Blend this solution with the {len(fresh)} members of {partner.attempt}: {names}",
            reason=f"both solutions run, and {len(own) + len(fresh)} members err in different rows",
            change={"add": [m.spec for m in fresh], "blend": blend_for(facts)},
            gain=_gain(facts, [*own, *fresh], 0.015),
            chance=0.7,
            family="blend",
        )
    mine, theirs = _lead(own), _lead(partner.members)
    index = own.index(mine)
    have = mine.spec.get("features", [])
    steps = [s for s in theirs.spec.get("features", []) if s not in have]
    if steps and len(have) + len(steps) <= 55:
        yield Idea(
            move="cross",
            variant="features",
            component="features",
            problem=PROBLEM,
            statement=f"Give the {mine.family} the {len(steps)} feature steps of {partner.attempt}",
            reason=f"they served its {theirs.family}, and the {mine.family} lacks all {len(steps)}",
            change={"edit": {"member": index, "add_features": steps}},
            gain=0.008,
            chance=0.5,
            family=mine.family,
        )
    if theirs.spec["model"] != mine.spec["model"]:
        spec = {k: v for k, v in mine.spec.items() if k in ("features", "target")} | {"model": theirs.spec["model"]}
        others = [m.spec for m in own if m is not mine]
        yield Idea(
            move="cross",
            variant="model",
            component="model",
            problem=PROBLEM,
            statement=f"Fit {TITLES[theirs.family]}, the leading model of {partner.attempt}, on the features of this "
            "solution",
            reason=f"{partner.attempt} leads with it, and this solution has {len(have)} feature steps for it",
            change={"members": [spec, *others]},
            gain=0.006,
            chance=0.45,
            family=theirs.family,
        )


def _of_all(facts: Facts) -> Iterator[Idea]:
    """A new solution of the best that all further parents have: a lean choice, and all of their members."""
    found = {m.key: m for p in facts.partners for m in p.members} | {m.key: m for m in facts.members}
    leads = {m.key: m for m in (_lead(p.members) for p in facts.partners)} | {
        m.key: m for m in ([_lead(facts.members)] if facts.members else [])
    }
    pool = [m for m in found.values() if m.score is not None]
    names = ", ".join(p.attempt for p in facts.partners)
    choices = (
        ("leads", list(leads.values())),
        ("best", diverse(facts, 6, 2, pool)),
        ("all", list(found.values())),
    )
    for label, chosen in choices:
        if 0 < len(chosen) <= MOST + 2:
            blend = {"blend": blend_for(facts)} if len(chosen) > 1 else {}
            yield Idea(
                move="cross",
                variant=f"new of {label}",
                component="ensemble",
                problem=PROBLEM,
                statement=f"Make a new solution of {len(chosen)} members of {names}: "
                + ", ".join(m.family for m in chosen),
                reason=f"{len(facts.partners)} branches have found them apart from each other",
                change={"pipeline": {"members": [m.spec for m in chosen], **blend}},
                gain=_gain(facts, chosen, 0.02),
                chance=0.65,
                family="blend",
            )
