"""Repairs of a solution that failed: lighter where it asked for too much, safer where it broke, another start at last.

Each failure class has the repairs that usually answer it; the others are kept for when those are used up, so that a
chain of repairs goes on as long as a search asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gome.plugins.reasoner.playbook.facts import TOO_MUCH, Broken, Facts
from gome.plugins.reasoner.playbook.families import TITLES, estimate, member, suits
from gome.plugins.reasoner.playbook.idea import Idea
from gome.plugins.reasoner.playbook.moves.drafting import basics
from gome.plugins.reasoner.playbook.pipelines import Spec

HEAVY = (*TOO_MUCH, "killed")
"""Failures that a lighter program answers."""
PLAIN = ("ridge", "booster", "trees", "hist_booster", "knn", "mlp", "naive_bayes")
"""Families to start over with, the most dependable first."""
_AMOUNTS = {"rounds": 50, "trees": 20, "epochs": 5, "subset": 50, "rows": 200}
"""Settings that a program's time grows with, and how small they may become."""
_USUAL: dict[str, dict[str, int]] = {
    "booster": {"rounds": 2000},
    "hist_booster": {"rounds": 600},
    "trees": {"trees": 300},
    "mlp": {"epochs": 150},
    "network": {"epochs": 40},
    "gaussian_process": {"subset": 400, "rows": 4000},
}


def lighter(spec: Spec) -> Spec | None:
    """A member with half of what its time grows with, and one seed; None where nothing can be halved."""
    model = dict(spec["model"])
    halved = {}
    for name, usual in _USUAL.get(model["family"], {}).items():
        now = int(model.get(name, usual))
        if (fewer := max(_AMOUNTS[name], now // 2)) < now:
            halved[name] = fewer
    steps = [{**s, "svd": 30} if s.get("op") == "tfidf" and s.get("svd", 0) > 30 else s for s in _steps(spec)]
    if not halved and spec.get("bag", 1) == 1 and steps == _steps(spec):
        return None
    found = {k: v for k, v in spec.items() if k != "bag"} | {"model": {**model, **halved}}
    return found | {"features": steps} if steps else found


def _steps(spec: Spec) -> list[Spec]:
    return list(spec.get("features", []))


def _members(facts: Facts) -> list[Spec]:
    return [m.spec for m in facts.members]


def _idea(facts: Facts, broken: Broken, way: str, said: tuple[str, str], change: dict[str, Any], apt: bool) -> Idea:
    """One repair; `said` is how and why, `apt` whether it is what this class of failure usually wants."""
    happened = f"ran out of {broken.failure}" if broken.failure in TOO_MUCH else "failed"
    return Idea(
        move="repair",
        variant=f"{way} after {broken.failure or 'failure'}",
        component="workflow",
        problem="does not run",
        statement=f"Repair {broken.attempt}, which {happened}: {said[0]}",
        reason=said[1],
        change=change,
        gain=0.02 if apt else 0.008,
        chance=0.7 if apt else 0.35,
    )


def repair(facts: Facts) -> Iterator[Idea]:
    """All repairs of the broken solution that the step builds on; nothing where it is sound."""
    if broken := facts.broken:
        yield from _mended(facts, broken)
        yield from _lighter(facts, broken, broken.failure in HEAVY)
        yield from _safer(facts, broken, broken.failure not in HEAVY)
        yield from _afresh(facts, broken)


def _mended(facts: Facts, broken: Broken) -> Iterator[Idea]:
    """The same program without the fault that broke it."""
    members = _members(facts)
    faulty = [m["model"]["family"] for m in members if m.get("fault") == "crash"]
    if faulty:
        sound = [{k: v for k, v in m.items() if k != "fault" or v != "crash"} for m in members]
        why = f"{len(faulty)} of its {len(members)} members break where they are fitted, by a slip in the program"
        yield _idea(facts, broken, "mend", (f"mend its {', '.join(faulty)}", why), {"members": sound}, True)


def _lighter(facts: Facts, broken: Broken, apt: bool) -> Iterator[Idea]:
    """Less of what takes time and memory."""
    members = _members(facts)
    order = sorted(range(len(members)), key=lambda i: (-estimate(facts, members[i], {}), i))
    why = f"{facts.rows} rows and {len(members)} members asked for more than a step may take"
    halves = [lighter(m) for m in members]
    if any(halves):
        change = {"members": [h or m for h, m in zip(halves, members, strict=True)]}
        yield _idea(facts, broken, "halve", ("half the rounds, trees or epochs, and one seed", why), change, apt)
    if len(members) > 1:
        heaviest = members[order[0]]["model"]["family"]
        said = (f"without the {heaviest}, its heaviest member", why)
        yield _idea(facts, broken, "lighten", said, {"remove": [order[0]]}, apt)
        least = members[order[-1]]
        said = (f"the {least['model']['family']} alone, its lightest member", why)
        yield _idea(facts, broken, "lightest", said, {"members": [least]}, apt)
    for family in ("hist_booster", "ridge"):
        if members and members[order[0]]["model"]["family"] != family and suits(facts, family):
            rest = [m for i, m in enumerate(members) if i != order[0]]
            said = (f"{TITLES[family]} in place of its heaviest member", why)
            change = {"members": [*rest, _plain(facts, family)]}
            yield _idea(facts, broken, f"replace by {family}", said, change, apt)


def _safer(facts: Facts, broken: Broken, apt: bool) -> Iterator[Idea]:
    """Less of what may break: added features, unusual encodings, targets and settings."""
    members = _members(facts)
    added = sum(len(_steps(m)) for m in members)
    needed = [basics(facts, m["model"]["family"]) for m in members]
    if added > sum(len(steps) for steps in needed):
        bare = [{**m, "features": steps} for m, steps in zip(members, needed, strict=True)]
        why = f"one of its {added} feature steps may be what broke it"
        yield _idea(facts, broken, "no features", ("without added features", why), {"members": bare}, apt)
    if any(m.get("encoding") for m in members):
        plain = [{k: v for k, v in m.items() if k != "encoding"} for m in members]
        why = f"{sum(bool(m.get('encoding')) for m in members)} of its members encode columns in a way of their own"
        yield _idea(facts, broken, "plain encoding", ("usual encodings", why), {"members": plain}, apt)
    if any(m.get("target") or m.get("temperature") for m in members):
        plain = [{k: v for k, v in m.items() if k not in ("target", "temperature")} for m in members]
        why = f"{len(members)} members transform what they predict, which may leave the range of numbers"
        yield _idea(facts, broken, "plain target", ("no transformed target", why), {"members": plain}, apt)
    if any(set(m["model"]) > {"family"} for m in members):
        usual = [{**m, "model": {"family": m["model"]["family"]}} for m in members]
        why = f"its settings are not the usual ones in {len(members)} members"
        yield _idea(
            facts, broken, "usual settings", ("every family with its usual settings", why), {"members": usual}, apt
        )
    if len(members) > 1:
        for index, m in enumerate(members):
            said = (
                f"without its {m['model']['family']} (member {index})",
                f"1 of its {len(members)} members may break it",
            )
            yield _idea(facts, broken, "leave out", said, {"remove": [index]}, apt)


def _plain(facts: Facts, family: str) -> Spec:
    spec = member(facts, family)
    if steps := basics(facts, family):
        spec["features"] = steps
    return spec


def _afresh(facts: Facts, broken: Broken) -> Iterator[Idea]:
    """One dependable family instead of all that was there."""
    there = {m["model"]["family"] for m in _members(facts)}
    for family in (f for f in PLAIN if suits(facts, f)):
        why = f"{len(there)} families were in it; {TITLES[family]} on {facts.rows} rows is a program that runs"
        change = {"pipeline": {"members": [_plain(facts, family)]}}
        said = (f"start over with {TITLES[family]}", why)
        yield _idea(
            facts, broken, f"start over with {family}", said, change, family not in there and broken.failure == "import"
        )
