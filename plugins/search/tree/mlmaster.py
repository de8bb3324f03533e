"""ML-Master's policy: UCT over an AIDE tree, walked in chains.

A worker goes on from its last node (a change where that is good, a repair where it failed) until something sends it
back: a repair that worked, more than `patience` steps without gain over the best of the lineage, or too many failures
in a row. Then the chain's reward is added to every node from its end up to the root, and UCT chooses where the next
chain begins. There are as many workers as the run has capacity, and never two in one branch. So visits count chains.

Reward: −1 for a chain that ends in a failure, else 1, and one more where its end beats the run's best. As released that
best was never stored, so that the search is led by what runs, not by what scores; nor could any score be an outlier,
and a score of 0 or any other whole number was lost. Where the published search would spin because nothing can be
expanded, this one drafts. Source: ML-Master 1.0 at `aba39c8`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from gome.events import Draw
from gome.plugins.search.tree.aide import whole
from gome.plugins.search.tree.fold import ROOT, Node, Tree
from gome.plugins.search.tree.policy import FILLS, Pick, Policy, may_draft
from gome.plugins.search.tree.uct import UctSettings, exploration, outlying, uct

S = TypeVar("S", bound=UctSettings)


@dataclass(slots=True)
class Chains:
    """`visits` and `rewards` by node, the root's included; `local` is the best node of a node's lineage, `weak` how
    many steps in a row did not gain on it. `going` are nodes from which the chain went on, `repaired` failed ones that
    a repair below has settled, `terminal` ones that are never expanded again. `due` has, by branch, the node that its
    worker goes on from."""

    settings: UctSettings
    visits: dict[str, int] = field(default_factory=dict)
    rewards: dict[str, float] = field(default_factory=dict)
    local: dict[str, str] = field(default_factory=dict)
    weak: dict[str, int] = field(default_factory=dict)
    going: set[str] = field(default_factory=set)
    repaired: set[str] = field(default_factory=set)
    terminal: set[str] = field(default_factory=set)
    due: dict[int, str] = field(default_factory=dict)


class ChainPolicy(Policy[S, Chains]):
    """ML-Master's policy; MLEvolve's overrides what it does otherwise."""

    def begin(self, settings: S) -> Chains:
        """See `Policy.begin`."""
        return Chains(settings)

    def planned(self, tree: Tree, own: Chains, node: Node, draw: Draw) -> None:
        """See `Policy.planned`."""
        own.due.pop(node.branch, None)
        own.local[node.name] = own.local.get(node.parent, "")

    def refused(self, tree: Tree, own: Chains, node: Node) -> str:
        """See `Policy.refused`."""
        assert node.score is not None
        if own.settings.variant == "released":
            return whole(node)
        return "outlier" if outlying(node.score, tree.best, own.settings.outlier) else ""

    def closed(self, tree: Tree, own: Chains, node: Node, best: float | None, draw: Draw) -> None:
        """See `Policy.closed`."""
        if node.void:
            return  # nothing was tried: the branch is free again, and no visit is counted
        done = self.chain_ends(tree, own, node, draw)
        if not done:
            own.due[node.branch] = node.name
            own.going.add(node.name)
            return
        own.going.discard(node.name)
        self._back_up(tree, own, node, self.reward(tree, own, node, best))

    def chain_ends(self, tree: Tree, own: Chains, node: Node, draw: Draw) -> bool:
        """Whether the chain goes back to the root from a node; keeps the local best and patience on the way."""
        return self._judged(tree, own, node, repair_ends=True)

    def _judged(self, tree: Tree, own: Chains, node: Node, *, repair_ends: bool) -> bool:
        given = own.settings
        if not node.good:
            if node.depth >= given.max_debug_depth or not node.repairable:
                own.terminal.add(node.name)
            return node.depth >= given.back_debug_depth or not node.repairable
        assert node.score is not None
        ends = repair_ends and node.depth > 0
        local = own.local.get(node.name, "")
        if not local:
            own.local[node.name] = node.name
            return ends
        old = tree.nodes[local].score
        assert old is not None
        if tree.better(node.score, old) >= given.threshold:
            own.local[node.name] = node.name
        elif own.weak.get(local, 0) < given.patience:
            own.weak[local] = own.weak.get(local, 0) + 1
        else:
            own.terminal.add(node.name)
            ends = True
        return ends

    def reward(self, tree: Tree, own: Chains, node: Node, best: float | None) -> float:
        """What a chain that ends in a node has earned."""
        if not node.good:
            return -1.0
        return 1.0 + (own.settings.variant == "repaired" and beats(tree, node, best))

    def _back_up(self, tree: Tree, own: Chains, node: Node, reward: float) -> None:
        settled = node.good
        for name in tree.above(node.name):
            own.visits[name] = own.visits.get(name, 0) + 1
            own.rewards[name] = own.rewards.get(name, 0.0) + reward
            own.weak.pop(name, None)
            own.going.discard(name)
            if settled and name != node.name and name and not tree.nodes[name].good:
                own.repaired.add(name)
            elif name != node.name:
                settled = False

    def pick(self, tree: Tree, own: Chains, draw: Draw) -> Pick | None:
        """See `Policy.pick`."""
        for name in own.due.values():
            if name not in tree.dry:
                return self.expand(tree, own, name, draw, f"the chain goes on from {name}")
        return self.start(tree, own, draw)

    def start(self, tree: Tree, own: Chains, draw: Draw) -> Pick | None:
        """The first step of a new chain."""
        return self.chosen(tree, own, draw, self.select(tree, own))

    def chosen(self, tree: Tree, own: Chains, draw: Draw, found: tuple[str, str] | None) -> Pick | None:
        """The step that follows from what `select` found."""
        if found is None:
            if ROOT in tree.dry:
                return None
            if not tree.open:  # everything is settled: another branch is all that is left
                return Pick("draft", why="nothing in the tree can be expanded any more")
            # Whoever works may make room. But no worker waits for that while the root has room, as published, whatever
            # share of the budget is used.
            waits = not tree.fills or _drafts(tree) >= own.settings.num_drafts
            return None if waits else Pick("draft", why="every branch that can be expanded has its worker")
        name, why = found
        return self.expand(tree, own, name, draw, why) if name else Pick("draft", why=why)

    def expand(self, tree: Tree, own: Chains, name: str, draw: Draw, why: str) -> Pick:
        """The step below a node: a change where it is good, else a repair."""
        return Pick("improve" if tree.nodes[name].good else "debug", name, why=why)

    def drafting(self, tree: Tree, own: Chains) -> bool:
        """Whether the root has room for another draft and the reasoner for an idea."""
        given = own.settings
        return ROOT not in tree.dry and may_draft(tree, given, given.num_drafts, _drafts(tree), tree.capacity)

    def select(self, tree: Tree, own: Chains, below: str = ROOT) -> tuple[str, str] | None:
        """Walk down by UCT from the root (or from a node) to what is to be expanded, "" for the root; None where
        nothing can be. Branches with a worker are left alone."""
        name, why = below, "it has room"
        if below == ROOT and self.drafting(tree, own):
            return ROOT, f"draft {len(tree.roots) + 1}: the root has room"
        alive = self.alive(tree, own)
        weight = exploration(journal(tree, own.settings), own.settings)
        while True:
            inside = [n.name for n in tree.children(name) if n.name in alive]
            if name and expandable(tree, own, tree.nodes[name]) and not (name in own.going and inside):
                return name, why
            if not inside:
                return None
            above = own.visits.get(name, 0)
            values = {n: uct(own.rewards.get(n, 0.0), own.visits.get(n, 0), above, weight) for n in inside}
            name = max(values, key=values.__getitem__)  # of equals the one planned first
            why = (
                f"UCT {values[name]:.4g} is the largest of {len(values)} below {tree.nodes[name].parent or 'the root'}"
            )

    def alive(self, tree: Tree, own: Chains) -> set[str]:
        """Nodes of branches without a worker that can be expanded, or below which something can."""
        busy = workers(tree, own)
        found: set[str] = set()
        for name in reversed(tree.nodes):
            node = tree.nodes[name]
            if node.branch not in busy and (name in found or expandable(tree, own, node)):
                found.add(name)
                if node.parent:
                    found.add(node.parent)
        return found


def _drafts(tree: Tree) -> int:
    """How many branches there are, without those of which nothing came."""
    return sum(not n.void for n in tree.children(ROOT))


def workers(tree: Tree, own: Chains) -> set[int]:
    """The branches in which somebody works: a step is in flight, or the chain is about to go on."""
    return {tree.nodes[n].branch for n in tree.open} | {b for b, n in own.due.items() if n not in tree.dry}


def expandable(tree: Tree, own: Chains, node: Node) -> bool:
    """Whether a node may get another child."""
    if not (node.good or node.repairable) or node.name in own.terminal or node.name in tree.dry:
        return False
    children = [n for n in tree.children(node.name) if not n.void]
    if node.good:
        return len(children) < own.settings.num_improves
    if node.name in own.repaired or any(n.good for n in children):
        return False
    return len(children) < own.settings.num_bugs


def journal(tree: Tree, given: UctSettings) -> float:
    """How many nodes there are, the root included; scaled, what share of the budget is used, in nodes."""
    return tree.used * given.steps if given.scaled else float(len(tree.closed) + 1)


def beats(tree: Tree, node: Node, best: float | None) -> bool:
    """Whether a node is better than the best before it."""
    return best is not None and node.score is not None and tree.better(node.score, best) > 0


mlmaster = ChainPolicy(
    name="mlmaster",
    scope="mlmaster",
    summary="ML-Master: UCT over chains of steps, one worker per branch",
    settings=UctSettings,
    flags=(FILLS,),
)
