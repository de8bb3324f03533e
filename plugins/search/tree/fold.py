"""What every tree search knows of a run: a node per attempt, what is in flight, how much of the budget is used.

An attempt is a node from the moment it is planned and is closed by the judge's verdict. Which way the verdict goes does
not matter here: a tree search works on what was *scored*. A node is good when it has a valid score and did not fail,
else it is buggy; a buggy one can be repaired when there is a program to repair and the failure was the program's. What
a policy keeps beside this is in its own module; nothing is decided here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeVar

from gome.events import Event, Ledger, RunStarted, StepPlanned

T = TypeVar("T")

ROOT = ""
"""Name of the virtual root, whose children are the drafts."""
NO_FAULT = ("hopeless", "cancelled", "budget", "effect", "proposal")
"""Failures that are not the program's: there is nothing to repair."""
RESERVE = 0.2
"""Share of the seconds that the kernel keeps for final selection, where its table says nothing else."""


def rounded(value: float) -> float:
    """Return a number to 12 significant digits: what log, sqrt and exp give is compared in this form only."""
    return float(f"{value:.12g}")


@dataclass(slots=True)
class Node:
    """An attempt. `branch` is the 0-based number of the draft that it descends from, `trace` the number under which
    the run knows that branch; `depth` counts the buggy nodes in a row above it. `failure` is "" for a good node."""

    name: str
    number: int
    kind: str
    parent: str
    parents: tuple[str, ...]
    trace: int
    branch: int
    depth: int = 0
    written: bool = False
    closed: bool = False
    score: float | None = None
    failure: str = ""
    children: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether it has a valid score."""
        return self.closed and not self.failure

    @property
    def repairable(self) -> bool:
        """Whether it failed by its program's fault."""
        return self.closed and bool(self.failure) and self.written and self.failure not in NO_FAULT

    @property
    def void(self) -> bool:
        """Whether nothing came of it that a tree could count: no program was written, or none was run to its end."""
        lost = self.closed and bool(self.failure) and self.failure != "hopeless"
        return lost and not self.repairable


@dataclass(slots=True)
class Tree:
    """All nodes in planning order. `open` maps those in flight to their parents, `closed`, `good` and
    `failed` name the closed, the good and the repairable ones in the order in which they were closed, `by_branch` the
    good ones of each branch likewise; `best` is the best score. `dry` names parents (the root
    for drafts) for which the reasoner had nothing left; something accepted is new ground for all of them. `traces`
    counts the steps of each trace. `fills` says that free capacity is worth a draft beyond the drafts' share of the
    budget."""

    sign: float = -1.0
    seed: int = 0
    capacity: int = 1
    fills: bool = False
    reserve: float = RESERVE
    ledger: Ledger = field(default_factory=Ledger)
    nodes: dict[str, Node] = field(default_factory=dict)
    roots: list[str] = field(default_factory=list)
    open: dict[str, str] = field(default_factory=dict)
    good: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    by_branch: dict[int, list[str]] = field(default_factory=dict)
    best: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    dry: set[str] = field(default_factory=set)
    traces: dict[int, int] = field(default_factory=dict)
    failed_in_a_row: int = 0
    ready: bool = False
    stopped: bool = False
    ended: bool = False

    @property
    def used(self) -> float:
        """Share of the budget that the search has used, in [0, 1]: of the limit that is furthest on. Of the seconds
        only those count that final selection does not keep."""
        shares = [0.0]
        for name in self.ledger.budget.__struct_fields__:
            limit = getattr(self.ledger.budget, name)
            if limit:
                own = limit * (1.0 - self.reserve) if name == "seconds" else limit
                shares.append(self.ledger.spent(name) / own)
        return rounded(min(1.0, max(shares)))

    @property
    def steps_left(self) -> int | None:
        """Steps that the budget still allows, None where it does not count them."""
        limit = self.ledger.budget.steps
        return None if limit is None else limit - self.ledger.steps

    def children(self, name: str) -> list[Node]:
        """The children of a node or of the root, oldest first."""
        names = self.nodes[name].children if name else self.roots
        return [self.nodes[child] for child in names]

    def above(self, name: str) -> Iterator[str]:
        """A node, its parent, and so on up to the root."""
        while name:
            yield name
            name = self.nodes[name].parent
        yield ROOT

    def better(self, new: float, old: float) -> float:
        """How much better a score is than another, positive better."""
        return self.sign * (new - old)

    def ranked(self, names: list[str]) -> list[Node]:
        """Good nodes, best first (see `rank`)."""
        return sorted((self.nodes[n] for n in names), key=self.rank)

    def first(self, names: list[str]) -> Node:
        """The best of some good nodes."""
        return min((self.nodes[n] for n in names), key=self.rank)

    def rank(self, node: Node) -> tuple[float, int]:
        """What good nodes are sorted by: the best first, of equals the one planned first."""
        return -self.sign * (node.score or 0.0), node.number

    def begin(self, started: RunStarted) -> None:
        """The run begins."""
        self.sign = 1.0 if started.task.metric.greater_is_better else -1.0
        self.seed, self.capacity = started.seed, max(1, started.capacity)
        self.reserve = float(started.settings.get("lifecycle", {}).get("reserve", RESERVE))

    def plan(self, step: StepPlanned) -> Node:
        """A step is planned, by whatever search."""
        parent = self.nodes.get(step.parent)
        node = Node(
            name=step.attempt,
            number=len(self.nodes),
            kind=step.kind,
            parent=parent.name if parent else ROOT,
            parents=step.parents,
            trace=step.trace,
            branch=parent.branch if parent else len(self.roots),
            depth=parent.depth + 1 if parent and parent.closed and parent.failure else 0,
        )
        self.nodes[node.name] = node
        (parent.children if parent else self.roots).append(node.name)
        self.open[node.name] = node.parent
        self.traces[step.trace] = self.traces.get(step.trace, 0) + 1
        return node

    def exhausted(self, attempt: str) -> None:
        """The reasoner has nothing left to propose for a step."""
        if attempt in self.open:
            self.dry.add(self.open[attempt])

    def close(self, attempt: str, failure: str, *, accepted: bool) -> Node | None:
        """An attempt is judged; returns its node, None for one that was not in flight."""
        if self.open.pop(attempt, None) is None:
            return None
        node = self.nodes[attempt]
        node.closed, node.score = True, self.scores.pop(attempt, None)
        if node.score is None or not math.isfinite(node.score):
            # What is refused without a failure and without a score was stopped early, because it was far behind.
            node.failure = failure or ("no score" if accepted or node.score is not None else "hopeless")
        else:
            node.failure = failure
        self.failed_in_a_row = self.failed_in_a_row + 1 if failure else 0
        if accepted:
            self.dry.clear()
        return node

    def count(self, node: Node) -> None:
        """Enter a closed node, of which it is settled by now whether it is good, into the lists."""
        self.closed.append(node.name)
        if node.good and node.score is not None:
            self.good.append(node.name)
            self.by_branch.setdefault(node.branch, []).append(node.name)
            if self.best is None or self.better(node.score, self.best) > 0:
                self.best = node.score
        elif node.repairable:
            self.failed.append(node.name)

    def apply(self, event: Event) -> None:
        """Take over what an event says about the budget."""
        self.ledger.apply(event)


def copied(value: T) -> T:
    """A copy of a state that shares nothing that changes: of containers and of this package's own records."""
    made: Any = value
    if isinstance(value, dict):
        made = {k: copied(v) for k, v in value.items()}
    elif isinstance(value, list | set):
        made = type(value)(map(copied, value))
    elif is_dataclass(value) and not isinstance(value, type):
        made = object.__new__(type(value))
        for f in fields(value):
            setattr(made, f.name, copied(getattr(value, f.name)))
    return made  # type: ignore[no-any-return]
