"""The event log in memory: for tests, for `--memory`, and as the plainest reading of the protocol."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from msgspec import structs

from gome.events import Draft, Head, Sealed, seal, unseal
from gome.kernel.log import Clock, Known, run_by_run
from gome.kernel.log_checks import (
    RECORD_LIMIT,
    beginning,
    behind,
    check_adopted,
    check_name,
    check_next,
    check_same,
    check_size,
    conflict,
    unknown_run,
)


class MemoryLog:
    """Runs as lists of stored bytes; a record's revision is its 1-based place in its run."""

    name = "memory"

    def __init__(self, *, clock: Clock = time.time, limit: int = RECORD_LIMIT) -> None:
        self._clock = clock
        self._limit = limit
        self._stored: dict[str, list[bytes]] = {}
        self._ends: dict[str, list[int]] = {}
        self._heads: dict[str, Head] = {}
        self._ids: dict[tuple[str, str], int] = {}
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._closed = False

    async def append(self, draft: Draft, head: Head) -> Sealed:
        """See `EventLog.append`."""
        return self._append(draft, head, None)

    async def adopt(self, record: Sealed, head: Head) -> Sealed:
        """See `EventLog.adopt`."""
        return check_same(self._append(check_adopted(record, head), head, record), record, head)

    def _append(self, draft: Draft, head: Head, sealed: Sealed | None) -> Sealed:
        run = check_name("run id", draft.run)
        check_name("role", draft.role)
        if (revision := self._ids.get((run, draft.id))) is not None:
            return unseal(self._stored[run][revision - 1], revision)
        current = self._heads.get(run) or beginning(draft, head)
        if (current.seq, current.hash) != (head.seq, head.hash):
            if current.seq < head.seq:
                raise behind(head, current, self.name)
            raise conflict(run, head, current)
        record = sealed or seal(draft, current, self._clock())
        check_size(draft, len(record.stored), self._limit)
        self._stored.setdefault(run, []).append(record.stored)
        self._ends.setdefault(run, []).append(record.last)
        revision = len(self._stored[run])
        self._ids[run, draft.id] = revision
        record = structs.replace(record, revision=revision)
        self._heads[run] = record.head
        for event in self._waiting.get(run, ()):
            event.set()
        return record

    async def read(self, run: str, after: Head | None = None) -> AsyncGenerator[Sealed, None]:
        """See `EventLog.read`."""
        at = after or Head(run)
        end = await self.head(run)
        if end.seq < at.seq:
            raise behind(at, end, self.name)
        if end.seq == 0:
            raise unknown_run(run, self.name)
        for index in range(bisect_right(self._ends[run], at.seq), end.revision):
            record = check_next(self._stored[run][index], at, index + 1, self.name)
            at = record.head
            yield record

    def scan(self, heads: Mapping[str, Head]) -> AsyncGenerator[Sealed, None]:
        """See `EventLog.scan`."""
        return run_by_run(self, heads)

    async def follow(
        self, run: str, after: Head | None = None, known: Known | None = None
    ) -> AsyncGenerator[Sealed, None]:
        """See `EventLog.follow`."""
        at = after or Head(check_name("run id", run))
        changed = asyncio.Event()
        waiting = self._waiting.setdefault(run, set())
        waiting.add(changed)
        try:
            while not self._closed:
                changed.clear()
                if known is not None:
                    at = max(at, known(), key=lambda head: head.seq)
                if run in self._heads:
                    async with aclosing(self.read(run, at)) as records:
                        async for record in records:
                            at = record.head
                            yield record
                if not self._closed:
                    await changed.wait()
        finally:
            waiting.discard(changed)

    async def head(self, run: str) -> Head:
        """See `EventLog.head`."""
        return self._heads.get(check_name("run id", run), Head(run))

    async def runs(self) -> list[str]:
        """See `EventLog.runs`."""
        return sorted(self._stored)

    async def sizes(self) -> dict[str, int]:
        """See `EventLog.sizes`."""
        return {run: len(records) for run, records in self._stored.items()}

    async def close(self) -> None:
        """See `EventLog.close`. What was recorded can still be read."""
        self._closed = True
        for waiting in self._waiting.values():
            for event in waiting:
                event.set()
