"""What other runs of the log have learnt, for the memory plugin and nobody else: successes of finished runs.

Reads the event log only, through the run index; the vault, where hidden grades lie, is out of its reach, and so are
other tenants. Left out are runs that are not finished, which have not recorded yet what they hand in, and runs on the
same task: what another split of a task found was fitted on rows that are hidden from this one. `Context.elsewhere`
hands it out; nothing is read unless a memory asks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gome.events import CODEC, IMPORTED, RunStarted, SuccessMemory, Task
from gome.kernel.errors import GomeError
from gome.kernel.index import RunIndex, key_of
from gome.kernel.plugin import FinishedRun

if TYPE_CHECKING:
    from gome.kernel.connect import Connection

RUNS = 32
"""How many finished runs are told of, the latest ones."""
SUCCESSES = 64
"""How many successes of each, the latest ones."""


def same_task(one: Task, other: Task) -> bool:
    """Whether two tasks may hold the same rows, whatever their split: same name, same source, or same columns."""
    if one.name == other.name or (one.source and one.source == other.source):
        return True
    return one.target == other.target and {c.name for c in one.columns} == {c.name for c in other.columns}


class Elsewhere:
    """The finished runs of one log; what was read of a run is kept, since it cannot change any more."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._read: dict[str, FinishedRun | None] = {}

    async def of(self, run: str, task: Task) -> Sequence[FinishedRun]:
        """Finished runs on other tasks than a run's, latest first, at most `RUNS` of them. Raises `GomeError`."""
        try:
            with RunIndex(self.connection.home / "index.sqlite", self.connection.log) as index:
                rows = await index.rows(key_of(self.connection))
        except (sqlite3.Error, OSError) as error:
            raise GomeError(f"other runs cannot be read: the run index is out of order ({error})") from error
        found: list[FinishedRun] = []
        for row in reversed(rows):
            if row.run == run or row.task == task.name or row.state not in ("done", "stopped") or not row.accepted:
                continue
            if row.run not in self._read:
                self._read[row.run] = await self._fold(row.run)
            told = self._read[row.run]
            if told is not None and not same_task(told.task, task):
                found.append(told)
                if len(found) == RUNS:
                    break
        return found

    async def _fold(self, run: str) -> FinishedRun | None:
        memory, task = SuccessMemory(), None
        async for sealed in self.connection.log.read(run):
            for event in CODEC.commit(sealed).events:
                memory.apply(event)
                if isinstance(event.payload, RunStarted):
                    if event.payload.profile == IMPORTED:
                        # What others have found out on other machines is no experience of ours.
                        return None
                    task = event.payload.task
        return None if task is None else FinishedRun(run, task, tuple(memory.successes[-SUCCESSES:]))
