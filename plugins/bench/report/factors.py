"""Which factor earns what: main effects of a factorial suite, and how they differ between policies.

The effect of a level against another is the mean of paired differences over cells that agree in everything else: task,
split, seed and all other factors. So policy, information, memory and guard each get their own part of a win. An effect
*within* a policy is the same over that policy's cells only; an *interaction* is how much larger it is within one policy
than within the reference policy, paired again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from gome.plugins.bench.report.bootstrap import Estimate, estimate
from gome.plugins.bench.report.scale import Arm, Block, Cell, Names, reference_policy

POLICY = "policy"
OFF = ("", "false", "off", "no", "none", "0")
"""Levels that say that a factor is absent, which others are held against."""
Point = tuple[tuple[str, str], ...]
Key = tuple[Block, Point]


class Effect(Struct, frozen=True):
    """`level` − `against` of a factor. `policy` names whose cells they are ("" for all: a main effect)."""

    kind: Literal["main", "within", "interaction"]
    factor: str
    level: str
    against: str
    policy: str
    pairs: int
    difference: Estimate


def factors_of(arm: Arm, names: Names) -> dict[str, str]:
    """An arm's coordinates: its policy, its factors, and reasoner and model as two more."""
    return {
        POLICY: names.policies[arm.policy],
        "reasoner": arm.context.reasoner,
        "model": arm.context.model,
        **dict(arm.context.factors),
    }


def effects(cells: Sequence[Cell], names: Names) -> list[Effect]:
    """Main effects of every factor with two levels or more, then those within policies, then interactions."""
    table: dict[Key, list[float]] = defaultdict(list)
    levels: dict[str, set[str]] = defaultdict(set)
    for cell in cells:
        coordinates = factors_of(cell.arm, names)
        for name, value in coordinates.items():
            levels[name].add(value)
        if cell.share is not None:
            table[cell.block, tuple(sorted(coordinates.items()))].append(cell.share)
    mean = {key: sum(values) / len(values) for key, values in table.items()}
    varied = {name: _ordered(name, found, names) for name, found in sorted(levels.items()) if len(found) > 1}
    main, within, between = [], [], []
    policies = list(names.policies.values())
    lead = names.policies[reference_policy(names)]
    for factor, (base, *rest) in sorted(varied.items(), key=lambda item: item[0] != POLICY):
        for level in rest:
            # Of policies the reference is held against each other one; of the rest each level against the lowest.
            pair = (base, level) if factor == POLICY else (level, base)
            differences = _differences(mean, factor, *pair)
            main += _effect("main", factor, pair, "", differences)
            if factor == POLICY or len(policies) < 2:
                continue
            own = {p: {k: d for k, d in differences.items() if dict(k[1])[POLICY] == p} for p in policies}
            for policy in policies:
                within += _effect("within", factor, pair, policy, own[policy])
                if policy != lead:
                    between += _effect("interaction", factor, pair, policy, _more(own[lead], own[policy]))
    return [*main, *within, *between]


def _ordered(factor: str, found: set[str], names: Names) -> list[str]:
    """Levels with the one first that others are held against: absent ones, then by number, then by name."""
    if factor == POLICY:
        return [title for title in names.policies.values() if title in found]

    def rank(level: str) -> tuple[bool, float, str]:
        try:
            return level not in OFF, float(level), level
        except ValueError:
            return level not in OFF, 0.0, level

    return sorted(found, key=rank)


def _differences(mean: Mapping[Key, float], factor: str, level: str, against: str) -> dict[Key, float]:
    found = {}
    for (block, point), share in mean.items():
        here = dict(point)
        if here.get(factor) != level:
            continue
        there = (block, tuple(sorted({**here, factor: against}.items())))
        if there in mean:
            found[block, point] = share - mean[there]
    return found


def _more(lead: Mapping[Key, float], other: Mapping[Key, float]) -> dict[Key, float]:
    """The lead's effect minus another's where everything but the policy is the same."""

    def blind(key: Key) -> Key:
        return key[0], tuple(item for item in key[1] if item[0] != POLICY)

    there = {blind(key): value for key, value in other.items()}
    return {key: value - there[blind(key)] for key, value in lead.items() if blind(key) in there}


def _effect(
    kind: Literal["main", "within", "interaction"],
    factor: str,
    pair: tuple[str, str],
    policy: str,
    differences: Mapping[Key, float],
) -> list[Effect]:
    if not differences:
        return []
    observed = [(block[0], block[1], value) for (block, _), value in sorted(differences.items())]
    return [Effect(kind, factor, *pair, policy, len(observed), estimate(observed))]
