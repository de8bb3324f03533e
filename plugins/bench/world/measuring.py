"""What is read off a played run: its row in the table of the bench. Nothing here is seen by the run itself."""

from __future__ import annotations

import functools
import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata

import msgspec

from gome.events import BASELINE, Attempt, RunStarted, Trajectory
from gome.kernel.discovery import source_digest
from gome.kernel.errors import GomeError
from gome.plugins.bench.table import Point, Row
from gome.plugins.bench.world.playing import Player
from gome.plugins.bench.world.suite import Cell, Value

FINAL = "final"
"""The name under which what is handed in is scored."""
LEAST = 3
"""Predictions below which there is no rank correlation."""


def row_of(cell: Cell, player: Player) -> Row:
    """The row of a cell that has been played. `reference` is left open: it is known when all cells are
    (`referenced`)."""
    state, grades = player.state, player.grades
    t, ledger, started = state.trajectory, state.ledger, state.started
    if started is None or state.finished is None:
        raise GomeError(f"run {player.live.run} has not been played to its end")
    metric = started.task.metric
    best = max if metric.greater_is_better else min
    hidden = [grades[name][0] for name in t.attempts if name in grades]
    handed_in = grades.get(FINAL)
    selected = t.attempts.get(t.selected.attempt) if t.selected else None
    return Row(
        bench=cell.suite,
        cell=cell.part.digest.removeprefix("sha256-"),
        run=player.live.run,
        suite=cell.suite,
        task=cell.part.task,
        task_digest=task_digest(started),
        split=cell.split,
        search=started.roles.get("search", ""),
        reasoner=started.roles.get("reasoner", ""),
        profile=started.profile,
        factors={name: spelt(value) for name, value in cell.factors.items()},
        seed=cell.part.seed,
        split_seed=cell.part.split_seed,
        outcome=state.finished.outcome,
        metric=metric.name,
        greater_is_better=metric.greater_is_better,
        validation=selected.score if selected else None,
        hidden=handed_in[0] if handed_in else None,
        hidden_se=handed_in[1] if handed_in else None,
        best_hidden=best(hidden) if hidden else None,
        baseline=grades[BASELINE][0] if BASELINE in grades else None,
        seconds=round(t.active, 4),
        executions=ledger.executions,
        execution_seconds=round(ledger.execution_seconds, 4),
        steps=ledger.steps,
        accepted=len(t.accepted_attempts()),
        quality=quality(t.attempts.values()),
        playbook=playbook_digest(started.roles.get("reasoner", ""), started.roles.get("mutator", "")),
        commit=metadata.version("gome"),
        curve=curve(t, grades, metric.greater_is_better),
    )


def spelt(value: Value) -> str | float:
    """A level of a factor as tables name it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return value


def task_digest(started: RunStarted) -> str:
    """The digest of the task's tables and rules (not of what was remarked about them), 12 hex digits."""
    plain = msgspec.structs.replace(started.task, findings=())
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()[:12]


@functools.cache
def playbook_digest(reasoner: str, mutator: str) -> str:
    """The digest of the code that proposes and the code that renders, 12 hex digits."""
    packages = (f"gome.plugins.reasoner.{reasoner}", f"gome.plugins.mutator.{mutator}", "gome.events.pipeline")
    return hashlib.sha256("\0".join(source_digest(name) for name in packages).encode()).hexdigest()[:12]


def quality(attempts: Iterable[Attempt]) -> float | None:
    """Spearman's rank correlation, in [-1, 1], of the gain that hypotheses were predicted to have and the one that was
    measured, over all scored steps that improve on something (a draft has nothing to gain over). None for fewer than
    three, and where either side is constant."""
    pairs = [
        (a.hypothesis.expected_gain, a.gain)
        for a in attempts
        if a.hypothesis is not None and a.parent and a.score is not None and a.accepted is not None
    ]
    if len(pairs) < LEAST:
        return None
    return correlation(_ranks([p for p, _ in pairs]), _ranks([g for _, g in pairs]))


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks, equal values sharing the mean of theirs."""
    order = sorted(values)
    first = {v: i for i, v in reversed(list(enumerate(order)))}
    last = {v: i for i, v in enumerate(order)}
    return [(first[v] + last[v]) / 2 for v in values]


def correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Pearson's correlation; None where one side is constant."""
    middle_a, middle_b = sum(a) / len(a), sum(b) / len(b)
    spread = math.sqrt(sum((x - middle_a) ** 2 for x in a) * sum((y - middle_b) ** 2 for y in b))
    if spread == 0:
        return None
    return sum((x - middle_a) * (y - middle_b) for x, y in zip(a, b, strict=True)) / spread


def curve(t: Trajectory, grades: Mapping[str, tuple[float, float]], greater: bool) -> tuple[Point, ...]:
    """A point per decided attempt in the order of their ends: what had been used by then, and the best accepted one."""
    points: list[Point] = []
    best: Attempt | None = None
    executions = 1 if t.baseline and t.baseline.executions else 0
    for a in sorted((a for a in t.attempts.values() if a.accepted is not None), key=lambda a: (a.ended_at, a.number)):
        executions += len(a.executions) + len(a.repeats)
        if a.accepted and a.score is not None:
            better = best is None or best.score is None or ((a.score > best.score) is greater and a.score != best.score)
            best = a if better else best
        grade = grades.get(best.id) if best else None
        points.append(
            Point(
                attempt=a.id,
                seconds=round(a.ended_at, 4),
                executions=executions,
                validation_best=best.score if best else None,
                hidden_of_best=grade[0] if grade else None,
            )
        )
    return tuple(points)


def referenced(rows: Sequence[Row]) -> list[Row]:
    """The rows with the best hidden score known for their task and split: of any attempt of any run of the table. What
    a share of the way is measured against is then the same for all, and no run can be beyond it."""
    known: dict[tuple[str, int], list[float]] = defaultdict(list)
    for row in rows:
        known[row.task, row.split_seed] += [v for v in (row.best_hidden, row.hidden, row.baseline) if v is not None]
    found = []
    for row in rows:
        scores = known[row.task, row.split_seed]
        best = (max(scores) if row.greater_is_better else min(scores)) if scores else None
        found.append(msgspec.structs.replace(row, reference=best))
    return found
