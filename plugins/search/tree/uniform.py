"""The control: an operator drawn uniformly among those that are possible, then a node for it, uniformly too."""

from __future__ import annotations

from gome.events import Draw, StepKind
from gome.plugins.search.tree.aide import failed_leaves
from gome.plugins.search.tree.fold import ROOT, Tree
from gome.plugins.search.tree.policy import Pick, Policy
from gome.plugins.search.tree.settings import Count, TreeSettings


class RandomSettings(TreeSettings, frozen=True):
    """A failed leaf is repaired only with at most `max_debug_depth` failures in a row above it."""

    max_debug_depth: Count = 3


class RandomPolicy(Policy[RandomSettings, RandomSettings]):
    """See the module."""

    def begin(self, settings: RandomSettings) -> RandomSettings:
        """See `Policy.begin`."""
        return settings

    def pick(self, tree: Tree, own: RandomSettings, draw: Draw) -> Pick | None:
        """See `Policy.pick`."""
        possible: dict[StepKind, list[str]] = {
            "draft": [ROOT] if ROOT not in tree.dry else [],
            "improve": [name for name in tree.good if name not in tree.dry],
            "debug": [n.name for n in failed_leaves(tree, own.max_debug_depth)],
        }
        kinds = [kind for kind, names in possible.items() if names]
        if not kinds:
            return None
        kind = draw.choice(kinds, "operator")
        name = draw.choice(possible[kind], "node")
        return Pick(kind, name, why=f"drawn among {', '.join(kinds)}" + (f", on {name}" if name else ""))


uniform = RandomPolicy(
    name="random",
    scope="random",
    summary="the control: operator and node drawn uniformly",
    settings=RandomSettings,
)
