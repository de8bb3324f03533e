"""How much a task has in common with another: what weighs memories of other tasks' runs. Pure."""

from __future__ import annotations

from typing import get_args

from gome.events import Task
from gome.events.task import ColumnKind


def described(task: Task) -> str:
    """The text by which tasks are compared."""
    return f"{task.name} {task.description}"[:600]


def affinity(one: Task, other: Task, similarity: float) -> float:
    """Return a number in [0, 1] from kind, metric, column types and the similarity in [-1, 1] of the descriptions."""
    kind = 1.0 if one.kind == other.kind else 0.0
    metric = 1.0 if one.metric.name == other.metric.name else 0.0
    if not metric and one.metric.greater_is_better == other.metric.greater_is_better:
        metric = 0.5
    mine, theirs = _types(one), _types(other)
    columns = 1.0 - sum(abs(a - b) for a, b in zip(mine, theirs, strict=True)) / 2
    return round(0.3 * kind + 0.2 * metric + 0.25 * columns + 0.25 * max(0.0, similarity), 9)


def _types(task: Task) -> list[float]:
    """The share of each kind of column."""
    kinds = [column.kind for column in task.columns]
    return [kinds.count(kind) / max(1, len(kinds)) for kind in get_args(ColumnKind)]
