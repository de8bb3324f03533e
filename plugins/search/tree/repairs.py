"""Chains of repairs as AIRA-dojo's solvers run them: a failed child is repaired at once, and again, until it works or
the chain is too long. Only then does the solver go on with what it was at."""

from __future__ import annotations

from dataclasses import dataclass, field

from gome.plugins.search.tree.fold import Node, Tree
from gome.plugins.search.tree.policy import Pick


@dataclass(slots=True)
class Repairs:
    """`due` are failed nodes to be repaired next, oldest first; `first` names the child that each node's chain began
    with, `length` how many repairs came before it."""

    due: dict[str, None] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    length: dict[str, int] = field(default_factory=dict)

    def planned(self, node: Node) -> None:
        """A step has been planned; a repair continues the chain of its parent."""
        self.due.pop(node.parent, None)
        repair = node.kind == "debug" and node.parent in self.first
        self.first[node.name] = self.first[node.parent] if repair else node.name
        self.length[node.name] = self.length[node.parent] + 1 if repair else 0

    def goes_on(self, node: Node, most: int) -> bool:
        """Whether the chain of a node that has been closed goes on."""
        if node.good or not node.repairable or self.length[node.name] >= most:
            return False
        self.due[node.name] = None
        return True

    def next(self, tree: Tree) -> Pick | None:
        """The repair that is due."""
        for name in self.due:
            if name not in tree.dry:
                number = self.length[name] + 1
                return Pick("debug", name, why=f"repair {number} of {self.first[name]}: {tree.nodes[name].failure}")
        return None
