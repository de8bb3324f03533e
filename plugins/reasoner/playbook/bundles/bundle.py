"""What a bundle is, and what its makers share: which numeric columns come first, and how columns are listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gome.plugins.reasoner.playbook.columns import ColumnFacts, ranked
from gome.plugins.reasoner.playbook.facts import Facts
from gome.plugins.reasoner.playbook.pipelines import Spec


@dataclass(frozen=True)
class Bundle:
    """Feature steps with the challenge they answer, what they say, why, and the relative gain to expect at first:
    `trees` for tree families, `others` for linear and kernel ones."""

    name: str
    problem: str
    steps: tuple[Spec, ...]
    statement: str
    reason: str
    trees: float
    others: float


def listed(names: Sequence[str], limit: int = 3) -> str:
    """Return the first names and how many more there are, for a sentence."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def numbers_of(facts: Facts, importance: Sequence[tuple[str, float]]) -> list[ColumnFacts]:
    """Return the numeric columns, the one with most to say about the target first."""
    found = [c for c in facts.columns if c.kind == "numeric"]
    # The association with the target stays the same through a run, so that a bundle is the same bundle each time.
    return ranked(found, () if any(c.association is not None for c in found) else importance)


def matters(column: ColumnFacts, importance: Sequence[tuple[str, float]]) -> bool:
    """Whether a column is known to matter: by its association with the target or in the last model."""
    return column.association is not None or column.name in dict(importance)
