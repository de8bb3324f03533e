"""AIRA-dojo's Monte-Carlo tree search: scores themselves are backed up, and a leaf gets all its children at once.

From the root down to a leaf by the largest U; there `num_children` children one after the other, drafts below the root
and improvements elsewhere, each repaired until it works. The metric of a child that works is added to every node from
it up to the root.

    U = q + c·√(ln N_parent / N)    q: mean metric between the extremes of the run, in [0, 1]; never backed up: −1e8

As released, q of a metric that is minimised is negated but its extremes are not, and what failed leaves no trace: so a
leaf whose children have all failed is chosen again, and the walk ends in one of these, which is then "improved".
Repaired, the extremes are negated too, a failed child counts as a visit with the worst value seen, and only good nodes
are leaves. Where nothing can be expanded any more, the root gets another set of drafts. Source: aira-dojo, 2025-09-26.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from gome.events import Draw
from gome.plugins.search.tree.fold import ROOT, Node, Tree, rounded
from gome.plugins.search.tree.policy import FILLS, Pick, Policy
from gome.plugins.search.tree.repairs import Repairs
from gome.plugins.search.tree.settings import Count, ScaledSettings, Variant

NEVER = -1e8
"""U of a node through which nothing has been backed up."""


class MctsSettings(ScaledSettings, frozen=True):
    """The constants of the benchmark preset."""

    variant: Variant = "repaired"
    num_children: Count = 5
    uct_c: Annotated[float, Meta(ge=0)] = 0.25
    max_debug_depth: Count = 20


@dataclass(slots=True)
class Backed:
    """What has been backed up, by node (the root's included): sums of raw metrics, how many, how many failures; `low`
    and `high` are the extremes of the run. `made` counts the children that are no repairs."""

    settings: MctsSettings
    totals: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    low: float = math.inf
    high: float = -math.inf
    made: dict[str, int] = field(default_factory=dict)
    repairs: Repairs = field(default_factory=Repairs)


def value(
    total: float,
    count: int,
    above: int,
    bounds: tuple[float, float],
    weight: float,
    *,
    greater: bool,
    released: bool,
    failures: int = 0,
) -> float:
    """U of a child with `count` metrics of sum `total` and `failures` failed visits, under a parent with `above`
    visits; `bounds` are the least and the greatest metric of the run."""
    visits = count + failures
    if not visits:
        return NEVER
    low, high = bounds
    if not count and low > high:
        q = 0.0  # nothing has ever worked
    elif low == high:
        q = 0.5
    else:
        mean = (total + failures * (low if greater else high)) / visits
        if released:
            q = ((mean if greater else -mean) - low) / (high - low)
        else:
            q = (mean - low) / (high - low) if greater else (high - mean) / (high - low)
    return rounded(q + weight * math.sqrt(math.log(max(1, above)) / visits))


class MctsPolicy(Policy[MctsSettings, Backed]):
    """See the module."""

    def begin(self, settings: MctsSettings) -> Backed:
        """See `Policy.begin`."""
        return Backed(settings)

    def planned(self, tree: Tree, own: Backed, node: Node, draw: Draw) -> None:
        """See `Policy.planned`."""
        own.repairs.planned(node)
        if node.kind != "debug":
            own.made[node.parent] = own.made.get(node.parent, 0) + 1

    def closed(self, tree: Tree, own: Backed, node: Node, best: float | None, draw: Draw) -> None:
        """See `Policy.closed`."""
        if node.good:
            assert node.score is not None
            own.low, own.high = min(own.low, node.score), max(own.high, node.score)
            for name in tree.above(node.name):
                own.totals[name] = own.totals.get(name, 0.0) + node.score
                own.counts[name] = own.counts.get(name, 0) + 1
            return
        if own.repairs.goes_on(node, own.settings.max_debug_depth) or own.settings.variant == "released" or node.void:
            return
        for name in tree.above(node.name):
            own.failures[name] = own.failures.get(name, 0) + 1

    def pick(self, tree: Tree, own: Backed, draw: Draw) -> Pick | None:
        """See `Policy.pick`."""
        if repair := own.repairs.next(tree):
            return repair
        for name, made in own.made.items():
            if made % own.settings.num_children and self._goes_on(tree, own, name):
                return _child(name, f"child {made % own.settings.num_children + 1} of {own.settings.num_children}")
        busy = self._busy(tree, own)
        if found := self._leaf(tree, own, busy):
            return _child(found[0], found[1])
        if ROOT in tree.dry:
            return None
        if not busy:
            return Pick("draft", why="nothing in the tree can be expanded any more: another set of drafts")
        # The rest of the drafts was left out for the sake of the budget: better one of them than to wait.
        rest = tree.fills and own.made.get(ROOT, 0) % own.settings.num_children
        return _child(ROOT, "whatever can be expanded is being expanded") if rest else None

    def _goes_on(self, tree: Tree, own: Backed, name: str) -> bool:
        """Whether an expansion that has begun is continued."""
        if name in tree.dry:
            return False
        if name:
            return self._leaf_like(own, tree.nodes[name])
        return not own.settings.scaled or tree.used < own.settings.drafting

    def _leaf_like(self, own: Backed, node: Node) -> bool:
        """Whether a node may have children; as released that may be a failed one, as long as it has a program."""
        return node.good or (own.settings.variant == "released" and node.repairable)

    def _busy(self, tree: Tree, own: Backed) -> set[str]:
        """Nodes in or below which something is in flight or about to be repaired, the root included."""
        waiting = [n for n in own.repairs.due if n not in tree.dry]
        return {name for leaf in (*tree.open, *waiting) for name in tree.above(leaf)}

    def _leaf(self, tree: Tree, own: Backed, busy: set[str]) -> tuple[str, str] | None:
        """The leaf that the largest U leads to, None where there is none."""
        if not tree.roots:
            return (ROOT, "the root is the only leaf") if ROOT not in tree.dry else None
        alive = self._alive(tree, own, busy)
        name, why = ROOT, ""
        while inside := [n.name for n in tree.children(name) if n.name in alive]:
            values = {n: self._value(tree, own, n) for n in inside}
            name = max(values, key=values.__getitem__)  # of equals the one planned first
            why = f"U {values[name]:.4g} is the largest of {len(values)} below {tree.nodes[name].parent or 'the root'}"
        return (name, why) if name else None

    def _value(self, tree: Tree, own: Backed, name: str) -> float:
        above = tree.nodes[name].parent
        return value(
            own.totals.get(name, 0.0),
            own.counts.get(name, 0),
            own.counts.get(above, 0) + own.failures.get(above, 0),
            (own.low, own.high),
            own.settings.uct_c,
            greater=tree.sign > 0,
            released=own.settings.variant == "released",
            failures=own.failures.get(name, 0),
        )

    def _alive(self, tree: Tree, own: Backed, busy: set[str]) -> set[str]:
        """Leaves that may be expanded and the nodes above them. No walk could go on through a child of a leaf."""
        found: set[str] = set()
        for name in reversed(tree.nodes):
            node = tree.nodes[name]
            if name in found or (self._leaf_like(own, node) and name not in busy and name not in tree.dry):
                found.add(name)
                if node.parent:
                    found.add(node.parent)
        return found


def _child(name: str, why: str) -> Pick:
    return Pick("improve", name, why=why) if name else Pick("draft", why=why)


aira_mcts = MctsPolicy(
    name="aira-mcts",
    scope="aira",
    summary="AIRA-dojo's Monte-Carlo tree search: scores are backed up, a leaf gets five children",
    settings=MctsSettings,
    flags=(FILLS,),
)
