"""The run index: one row per run, a projection with its own cursor, so that `gome runs` never scans the log.

A row holds the run's head and is brought up to date from there; runs whose head has not moved cost nothing. It lives
in `$GOME_HOME/index.sqlite` and is cache: lost or damaged, it is built again from the log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct, field

from gome.events import (
    CODEC,
    AttemptAccepted,
    CodecError,
    Event,
    Head,
    Origin,
    RunFinished,
    RunForked,
    RunResumed,
    RunStarted,
    RunSuspended,
    Sealed,
    StepPlanned,
    SubmissionScored,
    SubmissionSelected,
)
from gome.kernel.errors import LogDamaged
from gome.kernel.fork import WholeLog, own_part
from gome.kernel.log import EventLog
from gome.kernel.server import read_address

if TYPE_CHECKING:
    from gome.kernel.connect import Connection

VERSION = 3

State = Literal["open", "suspended", "done", "stopped", "failed", "damaged"]


class Row(Struct):
    """What `gome runs` shows of a run. `best` is the best accepted validation score (or the handed-in one), times are
    seconds since 1970; `scores` are those of attempts that are not judged yet; `records` counts the own ones of a fork,
    whose `origin` says where the others lie."""

    run: str
    head: Head
    task: str = ""
    metric: str = ""
    greater_is_better: bool = False
    state: State = "open"
    best: float | None = None
    steps: int = 0
    accepted: int = 0
    events: int = 0
    records: int = 0
    started: float = 0.0
    updated: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)
    origin: Origin | None = None

    def take(self, sealed: Sealed) -> None:
        """Fold the next record. One that does not decode damages its own run's row and no other."""
        try:
            for event in () if self.state == "damaged" else CODEC.commit(sealed).events:
                self.apply(event)
        except CodecError:
            self.state = "damaged"
        self.head = sealed.head
        self.origin = sealed.body.origin or self.origin
        self.records += sealed.body.run == self.run

    def apply(self, event: Event) -> None:
        """Fold one event."""
        self.events, self.updated = event.seq, event.ts
        match event.payload:
            case RunStarted(task=task):
                self.task, self.metric, self.started = task.name, task.metric.name, event.ts
                self.greater_is_better = task.metric.greater_is_better
            case StepPlanned():
                self.steps += 1
            case SubmissionScored(attempt=attempt, purpose="full", score=score):
                self.scores[attempt] = score
            case AttemptAccepted(attempt=attempt):
                self.accepted += 1
                if attempt in self.scores:
                    score = self.scores.pop(attempt)
                    better = self.best is None or (score > self.best) == self.greater_is_better
                    self.best = score if better else self.best
            case SubmissionSelected(score=score):
                self.best = score
            case RunForked():
                self.started = event.ts
                self.state = "open"
            case RunSuspended():
                self.state = "suspended"
            case RunResumed():
                self.state = "open"
            case RunFinished(outcome=outcome):
                self.state = outcome
                self.scores.clear()


def key_of(connection: Connection) -> str:
    """What tells a connection's log apart from others that share its home: server and tenant, where the server is not
    the home's own, whose port means nothing."""
    address = read_address(connection.home)
    foreign = address is None or address.url not in connection.log.name
    return f"{connection.log.name}/{connection.tenant}" if foreign else connection.tenant


class RunIndex:
    """Rows of one log, kept in a SQLite file. A context manager."""

    def __init__(self, path: Path, log: EventLog) -> None:
        self.log = log
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = self._open(path)
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            self._db = self._open(path)

    def _open(self, path: Path) -> sqlite3.Connection:
        db = sqlite3.connect(path, timeout=10)
        if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            db.execute("DROP TABLE IF EXISTS runs")
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("CREATE TABLE IF NOT EXISTS runs (log TEXT, run TEXT, row BLOB, PRIMARY KEY (log, run))")
        return db

    def __enter__(self) -> RunIndex:
        return self

    def __exit__(self, *reason: object) -> None:
        self._db.close()

    def _stored(self, key: str) -> dict[str, Row]:
        rows: Iterable[tuple[str, bytes]] = self._db.execute("SELECT run, row FROM runs WHERE log = ?", (key,))
        decode = msgspec.msgpack.Decoder(Row).decode
        return {run: decode(data) for run, data in rows}

    def ended(self, key: str = "") -> dict[str, int]:
        """The runs that are known to be finished, as far as the index has read them, with their numbers of records."""
        rows = self._stored(key).values()
        return {row.run: row.records for row in rows if row.state in ("done", "stopped", "failed")}

    async def _inherit(self, row: Row, first: Sealed) -> None:
        """Fold what a fork shares with its parent; where that is not to be had, the fork is damaged."""
        try:
            async with aclosing(WholeLog(own_part(self.log)).prefix(first)) as records:
                async for sealed in records:
                    row.take(sealed)
        except LogDamaged:
            row.state = "damaged"

    async def rows(self, key: str = "") -> list[Row]:
        """All runs of the log, oldest first, brought up to date. `key` tells logs apart that share a home."""
        stored = self._stored(key)
        sizes = await self.log.sizes()
        moved = {run: stored.get(run) or Row(run=run, head=Head(run)) for run in sizes}
        moved = {run: row for run, row in moved.items() if row.records != sizes[run]}
        async for sealed in self.log.scan({run: row.head for run, row in moved.items()}):
            row = moved[sealed.body.run]
            if sealed.body.origin is not None and row.head.seq == 0:
                await self._inherit(row, sealed)
            row.take(sealed)
        fresh = list(moved.values())
        with self._db:
            data = [(key, r.run, msgspec.msgpack.encode(r)) for r in fresh]
            self._db.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", data)
            gone = [(key, run) for run in stored if run not in sizes]
            self._db.executemany("DELETE FROM runs WHERE log = ? AND run = ?", gone)
        rows = {run: row for run, row in stored.items() if run in sizes} | {r.run: r for r in fresh}
        return sorted(rows.values(), key=lambda r: (r.started, r.run))
