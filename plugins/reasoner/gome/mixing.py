"""Arithmetic of proposals: which kinds of challenges are asked for, and how hypotheses are ranked. Pure.

The published rules are those of the method's released code; `robust` is what they are evidently for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gome.events import Draw, Hypothesis

Label = Literal["scenario", "feedback"]
KEPT = 5
"""Hypotheses that take part in the published lottery."""


@dataclass(frozen=True)
class Idea:
    """A hypothesis and where the challenge that it answers came from."""

    hypothesis: Hypothesis
    label: Label = "feedback"


def multiplier(accepted: int, others: int) -> int:
    """How much challenges from the scenario count on a trace with so many accepted and other attempts: 3 at the start,
    falling to 0 as experience takes over. n = ⌊(3·accepted + 2·others) / 2⌋, m = max(0, 3 − ⌊n / 4⌋)."""
    learnt = (3 * accepted + 2 * others) // 2
    return max(0, 3 - learnt // 4)


def kinds(m: int) -> tuple[Label, ...]:
    """Which challenges are asked for at a multiplier in 0…3."""
    found: list[Label] = []
    if m > 0:
        found.append("scenario")
    if m < 3:
        found.append("feedback")
    return tuple(found)


def total(idea: Idea) -> float:
    """The weighted sum of an idea's five scores, as it is compared."""
    return round(idea.hypothesis.scores.total, 9)


def by_scores(ideas: Sequence[Idea]) -> list[Idea]:
    """All ideas, best weighted total first, equal ones by the names of their challenges."""
    return sorted(ideas, key=lambda idea: (-total(idea), idea.hypothesis.problem, idea.hypothesis.statement))


def best(ideas: Sequence[Idea], draw: Draw) -> Idea:
    """The idea with the best weighted total; the run's own draw breaks ties. There must be one."""
    ordered = by_scores(ideas)
    return draw.choice([idea for idea in ordered if total(idea) == total(ordered[0])], "tie")


def lottery(ideas: Sequence[Idea], m: int) -> Idea:
    """The published choice: among the best five by weighted total, a draw in which an idea has `m` tickets when its
    challenge comes from the scenario and 3 − m when it comes from feedback. The draw is a hash of the scores, so equal
    scores choose equally in any run. There must be an idea."""
    kept = by_scores(ideas)[:KEPT]
    tickets = [idea for idea in kept for _ in range(m if idea.label == "scenario" else 3 - m)]
    table = json.dumps([[idea.hypothesis.problem, total(idea)] for idea in kept])
    drawn = int(hashlib.md5(table.encode(), usedforsecurity=False).hexdigest(), 16)
    return tickets[drawn % len(tickets)] if tickets else kept[0]


def choose(ideas: Sequence[Idea], rule: str, m: int, draw: Draw) -> Idea:
    """The idea that a ranking rule (`robust` or `published`) takes."""
    return lottery(ideas, m) if rule == "published" else best(ideas, draw)
