"""From logs and vault to the table of a bench: one row per cell that has ended. A projection; nothing is executed.

The bench's log says which cells there are, each cell's log what it did and spent, the vault how good it was on hidden
rows. Works on a server's log and on an archive alike, as long as the cells' runs are in it.
"""

from __future__ import annotations

import hashlib
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from gome.events import (
    BASELINE,
    CODEC,
    AttemptAccepted,
    AttemptRejected,
    Event,
    Ledger,
    RunStarted,
    SubmissionGraded,
    Task,
    Trajectory,
)
from gome.events.quality import quality
from gome.kernel.choices import best_hidden
from gome.plugins.bench.cells import Cell
from gome.plugins.bench.events import CellFinished
from gome.plugins.bench.reading import Recorded, recorded
from gome.plugins.bench.table import Point, Row

if TYPE_CHECKING:
    from gome.kernel.connect import Connection

FINAL = "final"
"""Name under which what was handed in is graded."""


async def rows(connection: Connection, bench: str) -> list[Row]:
    """The table of a bench, in the order of its plan. Raises `UnknownRun`, `UsageError` for a run that is no bench, and
    `Forbidden` where the vault may not be read."""
    found = await recorded(connection, bench)
    return [
        await _row(connection, found, cell, found.ended[cell.digest])
        for cell in found.cells
        if cell.digest in found.ended
    ]


async def _row(connection: Connection, bench: Recorded, cell: Cell, result: CellFinished) -> Row:
    treatment = cell.treatment
    bare = Row(
        bench=bench.run,
        cell=cell.digest,
        run=result.run,
        suite=bench.started.suite.name,
        task=cell.task_name,
        split=cell.split,
        search=treatment.search,
        reasoner=treatment.reasoner,
        model=treatment.model,
        profile=treatment.profile,
        factors=treatment.factors,
        seed=cell.seed,
        split_seed=cell.split_seed or 0,
        outcome=result.outcome,
        reference=result.reference,
        commit=bench.started.commit,
    )
    if (await connection.log.head(result.run)).seq == 0:
        return bare
    from gome.kernel.connect import grades

    told = await _told(connection, result.run)
    if told.trajectory.started is None:
        return bare
    graded = await grades(connection, result.run) if told.trajectory.finished is not None else {}
    return filled(bare, told, graded)


@dataclass
class Told:
    """A cell's run, folded, with what it had spent whenever an attempt was decided, and which was `best` then."""

    trajectory: Trajectory = field(default_factory=Trajectory)
    ledger: Ledger = field(default_factory=Ledger)
    points: list[Point] = field(default_factory=list)
    best: list[str] = field(default_factory=list)

    def apply(self, event: Event) -> None:
        self.trajectory.apply(event)
        self.ledger.apply(event)
        if isinstance(event.payload, AttemptAccepted | AttemptRejected):
            t, spent = self.trajectory, self.ledger
            best = t.best_attempt()
            self.points.append(
                Point(
                    attempt=event.payload.attempt,
                    seconds=round(t.active, 3),
                    executions=spent.executions,
                    completions=spent.completions,
                    tokens=spent.tokens,
                    money=None if spent.money_unknown else spent.money,
                    validation_best=best.score if best else None,
                )
            )
            self.best.append(t.best)


async def _told(connection: Connection, run: str) -> Told:
    told = Told()
    async with aclosing(connection.log.read(run)) as records:  # type: ignore[type-var]
        async for sealed in records:
            for event in CODEC.commit(sealed, connection.artifacts.text).events:
                told.apply(event)
    return told


def filled(bare: Row, told: Told, graded: dict[str, SubmissionGraded]) -> Row:
    """A row with what its run did and spent, and how good it was."""
    t, spent = told.trajectory, told.ledger
    started = t.started
    assert started is not None
    final = graded.get(FINAL)
    curve = tuple(
        msgspec.structs.replace(point, hidden_of_best=graded[name].score if name in graded else None)
        for point, name in zip(told.points, told.best, strict=True)
    )
    return msgspec.structs.replace(
        bare,
        task=started.task.name,
        task_digest=task_digest(started.task),
        reasoner=started.roles.get("reasoner", ""),
        profile=bare.profile or started.profile,
        metric=started.task.metric.name,
        greater_is_better=t.greater_is_better,
        validation=t.selected.score if t.selected else None,
        hidden=final.score if final else None,
        hidden_se=final.se if final else None,
        best_hidden=best_hidden(t, graded),
        baseline=graded[BASELINE].score if BASELINE in graded else None,
        seconds=round(t.active, 3),
        executions=spent.executions,
        completions=spent.completions,
        tokens=spent.tokens,
        money=None if spent.money_unknown else spent.money,
        execution_seconds=round(spent.execution_seconds, 3),
        steps=len(t.attempts),
        accepted=len(t.accepted_attempts()),
        quality=quality(t),
        playbook=playbook_digest(started),
        curve=curve,
    )


def task_digest(task: Task) -> str:
    """SHA-256 over what makes two runs runs on the same task: tables, hidden answers, target, metric."""
    parts = (task.train.digest, task.test.digest, task.answers, task.id, task.target, task.metric.name)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def playbook_digest(started: RunStarted) -> str:
    """SHA-256 over the code of who proposes and who writes programs, as pinned with the run."""
    parts = [f"{p.role}:{p.name}:{p.digest}" for p in started.plugins if p.role in ("reasoner", "mutator")]
    return hashlib.sha256("\0".join(sorted(parts)).encode()).hexdigest()
