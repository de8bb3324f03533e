"""Ensemble moves: join what the traces have found, add members that err elsewhere, drop those that do nothing.

Members fitted before cost almost nothing (their out-of-fold and test predictions are kept), so joining comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gome.plugins.reasoner.playbook.facts import Facts, error_of
from gome.plugins.reasoner.playbook.families import FAMILIES_BY_VALUE, TITLES, TREES, member, strength, suits
from gome.plugins.reasoner.playbook.fitted import MemberFacts
from gome.plugins.reasoner.playbook.idea import Idea
from gome.plugins.reasoner.playbook.moves.drafting import basics
from gome.plugins.reasoner.playbook.pipelines import Spec

MOST = 14
"""Members in a blend that the playbook still adds to."""
BLENDED = 0.001
"""What a fitted model more is worth to a solution that is a blend already, as a share of the error: on development
tasks 150 such steps lost 0.3 % on average, and 28 % of them gained anything."""
_WORSE = 1.5
"""Error relative to the best member's above which a fitted model is no candidate for a blend; probabilities may be
far worse alone and still help, since they are wrong about other classes."""
_WORSE_CLASSES = 3.5


def blend_for(facts: Facts) -> dict[str, Any]:
    """How members are blended unless something speaks against it."""
    if _chances(facts):
        return {"kind": "weights", "space": "logit"}
    return {"kind": "weights"}


def _chances(facts: Facts) -> bool:
    """Whether probabilities of several classes are blended."""
    return facts.classes > 2 and facts.metric in ("log_loss", "logloss")


def _error(facts: Facts, m: MemberFacts) -> float:
    return error_of(m.score, facts.metric, facts.greater) or 1e9


def diverse(facts: Facts, count: int, per_family: int, pool: Sequence[MemberFacts]) -> list[MemberFacts]:
    """The best members of the pool, at most so many per family, none far worse than the best."""
    if not pool:
        return []
    best = min(_error(facts, m) for m in pool)
    taken: list[MemberFacts] = []
    for m in sorted(pool, key=lambda m: (_error(facts, m), m.key)):
        if (
            _error(facts, m) <= (_WORSE_CLASSES if _chances(facts) else _WORSE) * best
            and sum(t.family == m.family for t in taken) < per_family
        ):
            taken.append(m)
    return taken[:count]


def blended_error(facts: Facts, chosen: Sequence[MemberFacts]) -> float:
    """Forecast the error of a blend from its members' own errors: the best of them, less for every good other family,
    most of all for one of the other kind (trees, smooth models), and half as much for each one more."""
    errors: dict[str, float] = {}
    for m in chosen:
        errors[m.family] = min(_error(facts, m), errors.get(m.family, 1e9))
    best, slope = min(errors.values()), 0.4 if _chances(facts) else 4.0
    leader = min(errors, key=lambda name: (errors[name], name))
    close = {name: max(0.0, 1.0 - slope * (error / best - 1.0)) for name, error in errors.items() if name != leader}
    other_kind = max((share for name, share in close.items() if (name in TREES) != (leader in TREES)), default=0.0)
    ranked = sorted(close.values(), reverse=True)
    saved = 0.03 * other_kind + sum(0.012 * 0.5**place * share for place, share in enumerate(ranked))
    return best * (1.0 - saved * (3.0 if _chances(facts) else 1.0))


def expected_now(facts: Facts) -> float:
    """The error of the present solution as `blended_error` would forecast it, so that what a forecast gets wrong of
    every blend alike is not taken for a gain; of a single model its own error."""
    known = [m for m in facts.members if m.score is not None]
    if len(known) >= 2 and len(known) == len(facts.members):
        return blended_error(facts, known)
    return facts.error or 1.0


def _promise(facts: Facts, fitted: Sequence[MemberFacts]) -> float:
    """How far some fitted models keep up with the best one here, in [0.1, 1]; 1 where none of them has a score."""
    errors = [_error(facts, m) for m in fitted if m.score is not None]
    if not errors:
        return 1.0
    best = min(_error(facts, m) for m in facts.library if m.score is not None)
    return max(0.1, 1.0 - (0.4 if _chances(facts) else 4.0) * (min(errors) / best - 1.0))


def join(facts: Facts) -> Iterator[Idea]:
    """Blend fitted members of all traces: a lean and a rich choice, and the parent with what it lacks."""
    pool = [m for m in facts.library if m.score is not None]
    own = {m.key for m in facts.members}
    error = expected_now(facts)
    base = [m.spec for m in facts.members]
    traces = len({m.trace for m in pool})
    size = len(facts.members)
    for count, per_family, label in ((4, 1, "lean"), (6, 1, "broad"), (8, 2, "rich"), (12, 3, "full")):
        chosen = diverse(facts, count, per_family, pool)
        fresh = [m for m in chosen if m.key not in own]
        if len(chosen) < 2 or not fresh:
            continue
        least = 0.002 if size == 1 else BLENDED
        gain = max(least * min(3, len(fresh)), 1 - blended_error(facts, chosen) / error)
        yield Idea(
            move="join",
            variant=label,
            component="ensemble",
            problem="unused programs",
            statement=f"Blend the {len(chosen)} best fitted models of {traces} traces with non-negative weights: "
            + ", ".join(m.family for m in chosen),
            reason=f"{len(fresh)} of them are not in this solution and their predictions are kept, so the blend "
            f"costs almost "
            "nothing; families err in different rows",
            change={"members": [m.spec for m in chosen], "blend": blend_for(facts)},
            gain=gain,
            chance=0.8 if size == 1 else 0.35,
            family="blend",
        )
    for name, spec in facts.heads[:2]:
        promise = _promise(facts, [m for m in pool if m.spec in spec.get("members", [])])
        foreign = [m for m in spec.get("members", []) if m not in base]
        if foreign and len(base) + len(foreign) <= MOST + 2:
            yield Idea(
                move="join",
                variant="heads",
                component="ensemble",
                problem="unused programs",
                statement=f"Take the {len(foreign)} members of {name}, another trace's solution, into this blend",
                reason=f"{name} was accepted on its trace; its members' predictions are kept and cost almost nothing",
                change={"add": foreign, "blend": blend_for(facts)},
                gain=promise * (0.02 if size == 1 else 2 * BLENDED),
                chance=0.7 if size == 1 else 0.4,
                family="blend",
            )
        lean = [m for m in facts.members if m.weight > 0.15 and m.spec not in spec.get("members", [])][:2]
        best = [m.spec for m in diverse(facts, 3, 1, [m for m in pool if m.spec not in spec.get("members", [])])]
        for label, extra in (("own", [m.spec for m in lean]), ("best", best)):
            if extra and len(spec.get("members", [])) + len(extra) <= MOST:
                yield Idea(
                    move="join",
                    variant=f"adopt {label}",
                    component="ensemble",
                    problem="unused programs",
                    statement=f"Go on from {name}, another trace's solution, with {len(extra)} fitted members added",
                    reason=f"{name} was accepted on its trace, and all {len(extra) + len(spec['members'])} "
                    f"predictions are "
                    "kept, so the blend costs almost nothing",
                    change={
                        "members": [*spec["members"], *extra],
                        "blend": {**blend_for(facts), **spec.get("blend", {})},
                    },
                    gain=promise * (0.015 if size == 1 else 2 * BLENDED),
                    chance=0.7 if size == 1 else 0.35,
                    family="blend",
                )
    if size >= 2:
        for m in [m for m in diverse(facts, 10, 4, pool) if m.key not in own][:4]:
            yield Idea(
                move="join",
                variant="one",
                component="ensemble",
                problem="unused programs",
                statement=f"Take the {m.family} of {m.attempt} ({facts.metric} {m.score:.5g} alone) into the blend",
                reason="it is fitted already and its predictions are kept, so the blend costs almost nothing",
                change={"add": [m.spec]},
                gain=BLENDED,
                chance=0.3,
                family="blend",
            )


def best_features(facts: Facts) -> list[Spec]:
    """Feature steps of the best member fitted so far that has any."""
    for m in sorted((m for m in facts.library if m.score is not None), key=lambda m: (_error(facts, m), m.key)):
        if m.spec.get("features"):
            return list(m.spec["features"])
    return []


def add_family(facts: Facts) -> Iterator[Idea]:
    """Add a family that the solution lacks, with the features that served best so far."""
    have = {m.family for m in facts.members}
    if len(facts.members) >= MOST:
        return
    somewhere = have | {m.family for m in facts.library}
    smooth_missing = not somewhere - TREES
    trees_missing = not somewhere & TREES
    for family in FAMILIES_BY_VALUE:
        if family in have or not suits(facts, family) or any(m.family == family for m in facts.library):
            continue  # what is fitted already is joined instead
        spec = member(facts, family)
        steps = [*best_features(facts)]
        steps += [s for s in basics(facts, family) if s not in steps]
        if family in ("hist_booster", "trees", "gaussian_process", "discriminant", "network", "kernel_ridge"):
            steps = [{**s, "svd": s.get("svd") or 60} if s.get("op") == "tfidf" else s for s in steps]
        if steps:
            spec["features"] = steps
        gain = 0.012 if (smooth_missing and family not in TREES) or (trees_missing and family in TREES) else 0.005
        gain *= max(0.1, 2.2 - 1.2 * strength(facts, family)) / len(facts.members) ** 0.3
        gain *= _promise(facts, [m for m in facts.library if (m.family in TREES) == (family in TREES)])
        if len(facts.members) == 1:
            gain *= 2.5
        yield Idea(
            move="add member",
            variant=family,
            component="ensemble",
            problem="one kind of model" if smooth_missing or trees_missing else "missing families",
            statement=f"Add {TITLES[family]} to the blend" + (f" with {len(steps)} feature steps" if steps else ""),
            reason=f"the solution holds {', '.join(sorted(have))}; {TITLES[family]} errs in other rows, and a "
            f"blend with "
            "non-negative weights keeps what each does best",
            change={"add": [spec], "blend": {} if len(facts.members) > 1 else blend_for(facts)},
            gain=gain,
            chance=0.6,
            family=family,
        )


def add_variant(facts: Facts) -> Iterator[Idea]:
    """Add a leading member once more, changed so that it errs elsewhere."""
    if len(facts.members) >= MOST:
        return
    order = sorted(facts.members, key=lambda m: (-m.weight, m.key))[:3]
    for m in order:
        options: list[tuple[str, Spec]] = []
        model = m.spec["model"]
        if m.family == "booster":
            leaves = int(model.get("leaves", 10))
            options.append(
                ("larger trees", {**m.spec, "model": {**model, "leaves": min(200, leaves * 3), "min_child": 5}})
            )
            options.append(("extremely random splits", {**m.spec, "model": {**model, "extra_trees": True}}))
        if m.family == "svm" and facts.regression:
            options.append(("a wider kernel", {**m.spec, "model": {**model, "gamma_scale": 0.1, "c": 10.0}}))
        if m.family == "kernel_ridge":
            options.append(("a Laplacian kernel", {**m.spec, "model": {**model, "kernel": "laplacian"}}))
        if m.spec.get("features"):
            options.append(("no added features", {k: v for k, v in m.spec.items() if k != "features"}))
        if m.family not in TREES and (m.spec.get("encoding") or {}).get("numbers") == "standard":
            encoding = {**(m.spec.get("encoding") or {}), "numbers": "quantile", "log_skew": 0.0, "winsor": 0.0}
            options.append(("numbers by their ranks", {**m.spec, "encoding": encoding}))
        for label, spec in options:
            yield Idea(
                move="add variant",
                variant=label,
                component="ensemble",
                problem="leading member",
                statement=f"Add a second {m.family} with {label}",
                reason=f"the {m.family} carries {m.weight:.0%} of the blend; a variant that errs elsewhere "
                f"lowers its variance",
                change={"add": [spec]} if len(facts.members) > 1 else {"add": [spec], "blend": blend_for(facts)},
                gain=0.003 if len(facts.members) > 1 else 0.008,
                chance=0.45,
                family=m.family,
            )


def prune(facts: Facts) -> Iterator[Idea]:
    """Leave out the members that weigh next to nothing."""
    weak = [i for i, m in enumerate(facts.members) if m.weight < 0.03]
    if weak and len(facts.members) - len(weak) >= 2:
        names = ", ".join(facts.members[i].family for i in weak)
        yield Idea(
            move="prune",
            component="ensemble",
            problem="useless members",
            statement=f"Leave out {len(weak)} members that weigh less than 3 %: {names}",
            reason="fewer weights are fitted, and the program takes less time in the final reruns",
            change={"remove": weak},
            gain=0.001,
            chance=0.5,
            family="blend",
        )


def kind(facts: Facts) -> Iterator[Idea]:
    """Blend otherwise: greedy on the metric, ridge on the members, on another scale, or with shrunken weights."""
    if len(facts.members) < 3:
        return
    options: list[tuple[str, dict[str, Any], float]] = [
        ("greedy", {"kind": "greedy"}, 0.002),
        ("shrunk", {"shrink": 0.3}, 0.002),
        ("stack", {"kind": "stack"}, 0.003 if facts.rows > 5_000 else 0.001),
        ("mean", {"kind": "mean"}, 0.001),
    ]
    if not facts.regression and facts.metric in ("log_loss", "logloss"):
        options += [
            ("logit", {"kind": "weights", "space": "logit"}, 0.01),
            ("plain", {"kind": "weights", "space": "plain"}, 0.003),
        ]
    if facts.metric == "roc_auc":
        options += [("rank", {"kind": "rank"}, 0.002), ("logit", {"kind": "weights", "space": "logit"}, 0.002)]
    for name, blend, gain in options:
        yield Idea(
            move="blend kind",
            variant=name,
            component="ensemble",
            problem="weights are fitted",
            statement=f"Blend the {len(facts.members)} members otherwise: {name}",
            reason=f"{len(facts.members)} weights fitted on {facts.rows} rows may follow chance; the members' "
            f"predictions are "
            "kept, so trying costs almost nothing",
            change={"blend": blend},
            gain=gain,
            chance=0.4,
            family="blend",
        )
