"""The event log in files: the portable archive. One record is one line; any JSON tool can read it.

`FileLog(path)` is a folder with one `<run>.jsonl` per run or, when the path ends in .jsonl, one file with every run in
it. What one file is and how it survives crashes is in `gome.kernel.journal`; here is the protocol over it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from pathlib import Path

from anyio import to_thread

from gome.events import Draft, Head, Sealed
from gome.kernel.journal import Journal
from gome.kernel.log import Clock, Known, run_by_run
from gome.kernel.log_checks import (
    RECORD_LIMIT,
    behind,
    check_adopted,
    check_name,
    check_next,
    check_same,
    unknown_run,
)

_CHUNK = 4 * 1024 * 1024


class FileLog:
    """An event log in files under `path`. Several processes may append; a lock on the file makes their turns.

    Followers are woken by appends of this object; those of other processes are noticed every `glance` seconds.
    """

    def __init__(
        self, path: Path | str, *, clock: Clock = time.time, limit: int = RECORD_LIMIT, glance: float = 0.5
    ) -> None:
        self.path = Path(path)
        self.name = str(path)
        self._clock = clock
        self._limit = limit
        self._glance = glance
        self._journals: dict[Path, Journal] = {}
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._closed = False

    async def append(self, draft: Draft, head: Head) -> Sealed:
        """See `EventLog.append`. An append that is cancelled goes on to its end in its thread."""
        check_name("role", draft.role)
        journal = self._journal(draft.run)
        record = await to_thread.run_sync(journal.append, draft, head, self._clock(), self._limit)
        for event in self._waiting.get(draft.run, ()):
            event.set()
        return record

    async def adopt(self, record: Sealed, head: Head) -> Sealed:
        """See `EventLog.adopt`."""
        draft = check_adopted(record, head)
        journal = self._journal(draft.run)
        stored = await to_thread.run_sync(journal.append, draft, head, self._clock(), self._limit, record)
        for event in self._waiting.get(draft.run, ()):
            event.set()
        return check_same(stored, record, head)

    async def read(self, run: str, after: Head | None = None) -> AsyncGenerator[Sealed, None]:
        """See `EventLog.read`."""
        journal = self._journal(run)
        at = after or Head(run)
        last, ends_at = await to_thread.run_sync(journal.extent, run)
        if last < at.seq:
            raise behind(at, Head(run, last), self.name)
        if not ends_at:
            raise unknown_run(run, self.name)
        place = journal.place(run, at.seq)
        while place < ends_at:
            lines = await to_thread.run_sync(journal.lines, run, place, ends_at, _CHUNK)
            for line in lines:
                place += 1
                record = check_next(line, at, place, self.name)
                at = record.head
                yield record
        journal.check_whole(run, at)

    def scan(self, heads: Mapping[str, Head]) -> AsyncGenerator[Sealed, None]:
        """See `EventLog.scan`."""
        return run_by_run(self, heads)

    async def follow(
        self, run: str, after: Head | None = None, known: Known | None = None
    ) -> AsyncGenerator[Sealed, None]:
        """See `EventLog.follow`."""
        journal = self._journal(run)
        at = after or Head(run)
        changed = asyncio.Event()
        waiting = self._waiting.setdefault(run, set())
        waiting.add(changed)
        try:
            while not self._closed:
                changed.clear()
                if known is not None:
                    at = max(at, known(), key=lambda head: head.seq)
                last, _ = await to_thread.run_sync(journal.extent, run)
                journal.check_whole(run, at)
                if last != at.seq:
                    async with aclosing(self.read(run, at)) as records:
                        async for record in records:
                            at = record.head
                            yield record
                with suppress(TimeoutError):
                    if not self._closed:
                        await asyncio.wait_for(changed.wait(), self._glance)
        finally:
            waiting.discard(changed)

    async def head(self, run: str) -> Head:
        """See `EventLog.head`."""
        journal = self._journal(run)
        return await to_thread.run_sync(journal.head, run)

    async def runs(self) -> list[str]:
        """See `EventLog.runs`."""
        if self.path.suffix == ".jsonl":
            return await to_thread.run_sync(self._open(self.path, "").runs)
        files = sorted(self.path.glob("*.jsonl"))
        return sorted(f.stem for f in files if f.stat().st_size)

    async def sizes(self) -> dict[str, int]:
        """See `EventLog.sizes`; counts lines."""
        return {run: (await to_thread.run_sync(self._journal(run).extent, run))[1] for run in await self.runs()}

    async def close(self) -> None:
        """See `EventLog.close`."""
        self._closed = True
        for waiting in self._waiting.values():
            for event in waiting:
                event.set()

    def _journal(self, run: str) -> Journal:
        check_name("run id", run)
        if self.path.suffix == ".jsonl":
            return self._open(self.path, "")
        return self._open(self.path / f"{run}.jsonl", run)

    def _open(self, path: Path, run: str) -> Journal:
        if path not in self._journals:
            self._journals[path] = Journal(path, run)
        return self._journals[path]
