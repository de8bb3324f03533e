"""AIDE's greedy policy: drafts first, then repairs by chance, else one more change to the best node.

1. While there are fewer than `num_drafts` drafts, failed ones included: draft.
2. With probability `debug_prob`: repair one of the failed leaves that have at most `max_debug_depth` failures in a row
   above them, uniformly. (So a chain of repairs can grow to `max_debug_depth` + 1.)
3. Without a good node: draft.
4. Else improve on the best node, of equals the first. Nothing counts visits: it stays the one until something beats it.

AIRA-dojo's greedy solver is the same policy with the settings of its benchmark preset and other scopes. What the
reasoner has nothing left for is passed over. Source: aideml 0.2.2, aira-dojo of 2025-09-26.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

from msgspec import Meta

from gome.events import Draw
from gome.plugins.search.tree.fold import ROOT, Node, Tree
from gome.plugins.search.tree.policy import Pick, Policy, may_draft
from gome.plugins.search.tree.settings import Count, ScaledSettings, Share, Variant


class GreedySettings(ScaledSettings, frozen=True):
    """The published package's constants."""

    num_drafts: Count = 5
    debug_prob: Share = 0.5
    max_debug_depth: Annotated[int, Meta(ge=0)] = 3


class AideSettings(GreedySettings, frozen=True):
    """`released` takes a score without a fraction for a missing one, as the published code does with whole numbers."""

    variant: Variant = "repaired"


class AiraGreedySettings(GreedySettings, frozen=True):
    """The constants of the benchmark preset. Released and repaired are the same here."""

    debug_prob: Share = 1.0
    max_debug_depth: Annotated[int, Meta(ge=0)] = 20


@dataclass(slots=True)
class Greedy:
    """Nothing is kept beside the tree."""

    settings: GreedySettings


S = TypeVar("S", bound=GreedySettings)


class GreedyPolicy(Policy[S, Greedy]):
    """See the module."""

    def begin(self, settings: S) -> Greedy:
        """See `Policy.begin`."""
        return Greedy(settings)

    def refused(self, tree: Tree, own: Greedy, node: Node) -> str:
        """See `Policy.refused`."""
        released = isinstance(own.settings, AideSettings) and own.settings.variant == "released"
        return whole(node) if released else ""

    def pick(self, tree: Tree, own: Greedy, draw: Draw) -> Pick | None:
        """See `Policy.pick`."""
        given, drafts = own.settings, len(tree.roots)
        drafting = ROOT not in tree.dry
        if drafting and may_draft(tree, given, given.num_drafts, drafts):
            return Pick("draft", why=f"draft {drafts + 1} of {given.num_drafts}")
        leaves = failed_leaves(tree, given.max_debug_depth)
        if leaves and draw.uniform("debug") < given.debug_prob:
            return _debug(draw.choice(leaves, "leaf"), len(leaves))
        if promising := [name for name in tree.good if name not in tree.dry]:
            best = tree.first(promising)
            return Pick("improve", best.name, why=f"{best.name} is the best so far")
        if drafting:
            return Pick("draft", why="there is no good solution to improve on")
        # Nothing else is left: whatever chance said, a repair is better than an end.
        return _debug(draw.choice(leaves, "leaf"), len(leaves)) if leaves else None


def _debug(leaf: Node, among: int) -> Pick:
    return Pick("debug", leaf.name, why=f"drawn among {among} failed leaves: {leaf.name} ({leaf.failure})")


def failed_leaves(tree: Tree, depth: int) -> list[Node]:
    """Failed nodes without children that may be repaired, in planning order."""
    nodes = (tree.nodes[name] for name in tree.failed if name not in tree.dry)
    return sorted((n for n in nodes if not n.children and n.depth <= depth), key=lambda n: n.number)


def whole(node: Node) -> str:
    """Why the published code does not see a score: it is a whole number."""
    return "no score" if node.score is not None and node.score.is_integer() else ""


aide = GreedyPolicy(
    name="aide",
    scope="aide",
    summary="greedy tree search: some drafts, repairs by chance, else one more change to the best",
    settings=AideSettings,
)
aira_greedy = GreedyPolicy(
    name="aira-greedy",
    scope="aira",
    summary="the greedy tree search of AIRA-dojo: repairs whenever something failed",
    settings=AiraGreedySettings,
)
