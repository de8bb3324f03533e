"""What a policy of a tree search is: four pure functions over the tree and a state of its own. No events in here.

`decide` makes a plugin of a policy. The own state belongs to the fold: `planned` and `closed` change it, `pick` only
reads it, so that whatever a policy has decided can be told from the log.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from gome.events import Draw, StepKind
from gome.plugins.search.tree.fold import Node, Tree
from gome.plugins.search.tree.settings import ScaledSettings, TreeSettings

S = TypeVar("S", bound=TreeSettings)
O = TypeVar("O")  # noqa: E741

FILLS = "fills"
"""The behaviour flag of policies that rather draft beyond the share of drafts than leave capacity free; earlier ones
waited (see `Tree.fills`)."""


class Pick(NamedTuple):
    """The next step: its operator, the node that it builds on ("" for a new branch), further parents, and why."""

    kind: StepKind
    parent: str = ""
    parents: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Policy(ABC, Generic[S, O]):
    """A policy. `name` is the plugin's and its table's, `scope` begins the names of the contexts that its steps are
    shown (`aide` → `aide.improve`), `flags` are the plugin's (see `gome.kernel.plugin.Plugin`)."""

    name: str
    scope: str
    summary: str
    settings: type[S]
    flags: tuple[str, ...] = ()

    @abstractmethod
    def begin(self, settings: S) -> O:
        """The own state at the start of a run."""

    def planned(self, tree: Tree, own: O, node: Node, draw: Draw) -> None:
        """A step has been planned, by this search or (before a fork) by another."""

    def refused(self, tree: Tree, own: O, node: Node) -> str:
        """Why a node with a valid score is to count as failed all the same, "" where it is not."""
        return ""

    def closed(self, tree: Tree, own: O, node: Node, best: float | None, draw: Draw) -> None:
        """A node has been closed; `best` is the best score before it."""

    @abstractmethod
    def pick(self, tree: Tree, own: O, draw: Draw) -> Pick | None:
        """The next step, None while there is nothing to do: then something must be in flight, or the search ends."""


def may_draft(tree: Tree, settings: ScaledSettings, number: int, drafts: int, least: int = 1) -> bool:
    """Whether another of the first `number` drafts is due, of which `drafts` are there: scaled, as long as no more than
    their share of the budget is used, but `least` of them in any case."""
    if drafts >= number:
        return False
    return not settings.scaled or drafts < min(least, number) or tree.used < settings.drafting
