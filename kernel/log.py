"""What an event log promises, whoever keeps it: memory, file or JetStream. Contract: `tests/kernel/log_contract.py`.

A log stores sealed commit records per run and nothing else: it neither decodes payloads nor knows who writes. The
appender (`gome.kernel.appender`) encodes, moves long texts out and seals again after a lost race; deciding is
`gome.kernel.dispatch`. A second log of the same kind, under another name, is the vault.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Protocol

from gome.events import Draft, Head, Sealed

Clock = Callable[[], float]
"""Seconds since 1970; injected everywhere, so that a test can own time."""
Known = Callable[[], Head]
"""The head of a run up to which somebody has folded it."""


class EventLog(Protocol):
    """Per-run sequences of commit records, appended by compare-and-swap, never changed."""

    name: str
    """Where the log is, for messages to people."""

    async def append(self, draft: Draft, head: Head) -> Sealed:
        """Seal a draft right behind `head` and store it durably; returns the stored record with its revision.

        Atomic: the record is stored whole if the run's head is still `head`, else not at all. Appending again after
        an unknown outcome is safe: if the run already holds this draft's record (same `Draft.id`), that one is
        returned. Raises `Conflict` (with the new `head`) when somebody else was first, `OversizeRecord` when it
        cannot fit, `AppendUnknown` when the outcome could not be found out, `LogUnreachable` when there is no log.
        """
        ...

    async def adopt(self, record: Sealed, head: Head) -> Sealed:
        """Store a record that was sealed in another log right behind `head`, byte for byte, as durably as `append`.

        Taking it over again returns the stored one. Raises what `append` raises, and `LogDamaged` when the record does
        not follow `head` (sequence, chain).
        """
        ...

    def read(self, run: str, after: Head | None = None) -> AsyncIterator[Sealed]:
        """Yield the run's records in order up to the head at the time of the call, each checked: hash, chain, no gap.

        `after` continues behind a known head. Raises `UnknownRun` when there is none, `LogDamaged` with run and
        position where a record is missing or altered.
        """
        ...

    def scan(self, heads: Mapping[str, Head]) -> AsyncIterator[Sealed]:
        """Yield the records of many runs, each run's in order behind the given head (`Head(run)`: from its start) up to
        its head at the time of the call, checked as by `read`; how runs are interleaved is not said. Where there is
        much to read this is one sequential read of the log from the oldest of those heads."""
        ...

    def follow(self, run: str, after: Head | None = None, known: Known | None = None) -> AsyncIterator[Sealed]:
        """Like `read`, then keep yielding as records arrive, across reconnects, without gaps or repetitions, until
        the iterator is closed. A run that does not exist yet is waited for. `known` tells how far the caller has come
        by other means (its own appends): what lies before that need not be yielded."""
        ...

    async def head(self, run: str) -> Head:
        """The run's head as the leader knows it (read your own writes); `Head(run)` when there is no such run."""
        ...

    async def runs(self) -> list[str]:
        """All run ids in the log, sorted."""
        ...

    async def sizes(self) -> dict[str, int]:
        """The number of records of every run, without reading them where the log can tell."""
        ...

    async def close(self) -> None:
        """Let go of connections and files; followers end."""
        ...


async def run_by_run(log: EventLog, heads: Mapping[str, Head]) -> AsyncGenerator[Sealed, None]:
    """A scan as one read after the other."""
    for run, head in heads.items():
        async with aclosing(log.read(run, head if head.seq else None)) as records:  # type: ignore[type-var]
            async for record in records:
                yield record
