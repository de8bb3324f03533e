"""MLEvolve's policy: ML-Master's chains, more and more exploitation, and steps that look at other branches.

Up to half of the time new chains begin by UCT; later ever more of them begin at one of the best nodes of all branches,
drawn by rank. A step below a good node is an *evolution* (its lineage in view) where the branch stands still, from half
of the time on sometimes a *fusion* (the best of other branches in view), else an improvement; once all regular drafts
are used and everything stands still, a new branch is a fusion of the best of every branch. Long chains are broken: from
0.4 of the time on every third node of a branch goes back to the root, from 0.8 on every second one by chance.

Reward: failure −1, draft 0, change 1, repair 1.5, and 1.5 more where it beats the run's best; as released, never.
Source: MLEvolve at `7d8403c`; the length of the window of global stagnation is ours.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gome.events import Draw
from gome.plugins.search.tree.evolving import borrowed, by_rank, representatives, soft_switch, stagnant, stuck
from gome.plugins.search.tree.evolving import top as best_of_all
from gome.plugins.search.tree.fold import ROOT, Node, Tree, rounded
from gome.plugins.search.tree.mlmaster import ChainPolicy, Chains, beats, workers
from gome.plugins.search.tree.policy import FILLS, Pick
from gome.plugins.search.tree.settings import Count, Share
from gome.plugins.search.tree.uct import UctSettings, outlying


class EvolveSettings(UctSettings, frozen=True):
    """The published constants beside ML-Master's. The first `initial_drafts` steps are drafts. Unscaled, shares of the
    time are those of `time_limit` seconds. A node from the ranking gets at most `top_improves` children; a branch
    stands still by its last `window` successes (`top_window` where the node came from the ranking), everything by the
    last `global_window`. `fusion_prob` is the chance of a fusion where an evolution is due; new branches by fusion come
    within the shares `fusion_from` to `fusion_until` of the time, `fusion_drafts` of them at most."""

    initial_drafts: Count = 3
    time_limit: Annotated[float, Meta(gt=0)] = 43_200.0
    top_improves: Count = 10
    window: Count = 3
    top_window: Count = 6
    global_window: Count = 6
    fusion_prob: Share = 0.3
    fusion_from: Share = 0.5
    fusion_until: Share = 0.833333333333
    fusion_drafts: Annotated[int, Meta(ge=0)] = 2


class EvolvePolicy(ChainPolicy[EvolveSettings]):
    """See the module."""

    def refused(self, tree: Tree, own: Chains, node: Node) -> str:
        """See `Policy.refused`. Nothing of nothing is a failure where more is better."""
        assert node.score is not None
        if tree.sign > 0 and node.score == 0:
            return "no score"
        released = own.settings.variant == "released"
        return "outlier" if not released and outlying(node.score, tree.best, own.settings.outlier) else ""

    def chain_ends(self, tree: Tree, own: Chains, node: Node, draw: Draw) -> bool:
        """See `ChainPolicy.chain_ends`: a repair that worked goes on, and long chains are broken."""
        if self._judged(tree, own, node, repair_ends=False):
            return True
        f = elapsed(tree, _given(own))
        if f < 0.4 or _best_of_latest(tree, node):
            return False
        if f >= 0.8:
            return draw.uniform("back") < 0.5
        return sum(tree.nodes[n].branch == node.branch for n in tree.closed) % 3 == 0

    def reward(self, tree: Tree, own: Chains, node: Node, best: float | None) -> float:
        """See `ChainPolicy.reward`."""
        if not node.good:
            return -1.0
        earned = 1.5 if node.depth else 0.0 if node.parent == ROOT else 1.0
        return earned + 1.5 * (own.settings.variant == "repaired" and beats(tree, node, best))

    def pick(self, tree: Tree, own: Chains, draw: Draw) -> Pick | None:
        """See `Policy.pick`: the initial drafts come before any chain goes on."""
        given, drafts = _given(own), len(tree.roots)
        if drafts < given.initial_drafts and self.drafting(tree, own):
            return Pick("draft", why=f"initial draft {drafts + 1} of {given.initial_drafts}")
        return super().pick(tree, own, draw)

    def start(self, tree: Tree, own: Chains, draw: Draw) -> Pick | None:
        """See `ChainPolicy.start`."""
        f = elapsed(tree, _given(own))
        if draw.uniform("explore") >= soft_switch(f) and (found := self._ranked(tree, own, draw, f)):
            return found
        if not self.drafting(tree, own) and (fused := self._new_branch(tree, own, f)):
            return fused
        return self.chosen(tree, own, draw, self.select(tree, own))

    def _ranked(self, tree: Tree, own: Chains, draw: Draw, f: float) -> Pick | None:
        """A step below one of the best nodes of all branches, None where each of them is busy."""
        given, busy = _given(own), workers(tree, own)
        count, per_branch = (5, 3) if f < 0.7 else (3, 2)
        listed = best_of_all(tree, count, per_branch)
        chances = dict(zip((n.name for n in listed), by_rank(len(listed)), strict=True))
        free = [n for n in listed if n.branch not in busy]
        if not free:
            return None
        open_ = [n for n in free if self._has_room(tree, own, n)]
        among = open_ or free
        chosen = draw.weighted(among, [chances[n.name] for n in among], "rank")
        why = f"{chosen.name} was drawn by rank among the {len(listed)} best of all branches"
        if open_:
            return self.expand(tree, own, chosen.name, draw, why, given.top_window)
        found = self.select(tree, own, chosen.name)
        return self.expand(tree, own, found[0], draw, f"{why}; {found[1]}", given.top_window) if found else None

    def _has_room(self, tree: Tree, own: Chains, node: Node) -> bool:
        blocked = node.name in own.terminal or node.name in tree.dry
        return not blocked and sum(not n.void for n in tree.children(node.name)) < _given(own).top_improves

    def _new_branch(self, tree: Tree, own: Chains, f: float) -> Pick | None:
        given, released = _given(own), own.settings.variant == "released"
        done = sum(n.kind == "fusion" for n in tree.children(ROOT))
        successful = sum(len(names) >= 2 for names in tree.by_branch.values())
        if ROOT in tree.dry or not given.fusion_from <= f <= given.fusion_until or done >= given.fusion_drafts:
            return None
        if successful < 2 or not stuck(tree, given.global_window, given.threshold, released=released):
            return None
        parents = representatives(tree, released=released)
        return Pick("fusion", parents=parents, why="nothing gets better any more: join the best of every branch anew")

    def expand(self, tree: Tree, own: Chains, name: str, draw: Draw, why: str, window: int = 0) -> Pick:
        """See `ChainPolicy.expand`; `window` is by how many successes the branch is judged."""
        given, node = _given(own), tree.nodes[name]
        if not node.good:
            return Pick("debug", name, why=why)
        if not stagnant(tree, node.branch, window or given.window):
            return Pick("improve", name, why=why)
        others = borrowed(tree, node.branch)
        if elapsed(tree, given) >= 0.5 and others and draw.uniform("fusion") < given.fusion_prob:
            return Pick("fusion", name, others, f"{why}; the branch stands still: look at other branches")
        if sum(1 for _ in tree.above(name)) - 1 >= 2:
            return Pick("evolution", name, why=f"{why}; the branch stands still: look at its lineage")
        return Pick("improve", name, why=why)


def elapsed(tree: Tree, given: EvolveSettings) -> float:
    """Share of the time that is over, in [0, 1]: of the run's budget, or of the published limit."""
    return tree.used if given.scaled else rounded(min(1.0, tree.ledger.active / given.time_limit))


def _best_of_latest(tree: Tree, node: Node) -> bool:
    """Whether a node is the best of the last four."""
    recent = [n for n in tree.closed[-4:] if tree.nodes[n].good]
    return bool(recent) and tree.first(recent).name == node.name


def _given(own: Chains) -> EvolveSettings:
    assert isinstance(own.settings, EvolveSettings)
    return own.settings


mlevolve = EvolvePolicy(
    name="mlevolve",
    scope="mlevolve",
    summary="MLEvolve: ML-Master's chains, more exploitation with time, steps that borrow from other branches",
    settings=EvolveSettings,
    flags=(FILLS,),
)
