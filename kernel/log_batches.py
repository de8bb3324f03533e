"""Stored records of one run, or of all, out of a stream, in byte-bounded batches, up to a place that is known to exist.

A batch is one request and many messages (JetStream's batch direct get): nothing is kept on the server, what is asked
for is bounded in bytes, and an answer that got lost, or of which a message did, is simply asked for again. Whether the
records make whole runs is for the caller to check (`gome.kernel.log_jetstream`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gome.kernel.answers import Unanswered
from gome.kernel.errors import LogDamaged, LogUnreachable

if TYPE_CHECKING:
    from gome.kernel.jetstream import Connection

BATCH_BYTES = 4 * 1024 * 1024
"""Bytes asked for at once; a reader holds two batches at most, the one in use and the next."""
SMALLEST_BATCH = 65_536
"""Bytes asked for when larger answers did not arrive whole."""
_EMPTY_ANSWERS = 40
_TURNS = 4
"""Turns of the event loop that a request takes to the socket."""


@dataclass(frozen=True)
class Where:
    """A run's records in a stream: those on subjects that match `subjects`. `name` is the log's, for messages."""

    run: str
    stream: str
    subjects: str
    name: str


async def fetch(
    connection: Connection, where: Where, first: int, last: int, size: int = BATCH_BYTES
) -> AsyncGenerator[tuple[int, bytes, str], None]:
    """Yield (stream sequence, bytes, subject) from `first` to `last`, which is reached or an error is raised; in
    between, messages may be missing. The next batch is on its way while one is used. Raises `LogDamaged` when the last
    ones are gone, `LogUnreachable` when nobody answers."""
    loop = asyncio.get_running_loop()
    came, empty = loop.time(), 0
    ahead = asyncio.ensure_future(_batch(connection, where, first, size))
    try:
        while first <= last:
            batch = await ahead
            if batch:
                came, empty = loop.time(), 0
                first = batch[-1][0] + 1
            else:
                # A replica that answers may be behind the leader that named the head, or the answer got lost.
                empty += batch is not None
                size = max(SMALLEST_BATCH, size // 4)
                if empty > _EMPTY_ANSWERS:
                    raise LogDamaged(
                        f"run {where.run} is damaged in {where.name}: its head is record {last}, but from record "
                        f"{first} on nothing can be read; restore it from an export",
                        run=where.run,
                    )
                if batch is None and loop.time() - came > connection.patience:
                    raise LogUnreachable(f"{where.name} does not answer requests for records of run {where.run}")
                await asyncio.sleep(0.05)
            if first <= last:
                ahead = asyncio.ensure_future(_batch(connection, where, first, size))
                # Else the request leaves only when whoever uses this batch waits for something.
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
            for message in batch or ():
                if message[0] <= last:
                    yield message
    finally:
        ahead.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await ahead


async def _batch(connection: Connection, where: Where, first: int, size: int) -> list[tuple[int, bytes, str]] | None:
    """One answer: messages from `first` on, none when there are none, None when there was no (whole) answer. Each
    message names the one that was sent before it, and the end names the last."""
    body = {"seq": first, "next_by_subj": where.subjects, "batch": 100_000, "max_bytes": size}
    try:
        messages = await connection.gather(f"$JS.API.DIRECT.GET.{where.stream}", msgspec.json.encode(body))
    except Unanswered:
        return None
    status = (messages[-1].headers or {}).get("Status")
    if len(messages) == 1:
        return [] if status == "404" else None
    found: list[tuple[int, bytes, str]] = []
    for m in messages:
        headers = m.headers or {}
        if found and int(headers["Nats-Last-Sequence"]) != found[-1][0]:
            return None
        if m is not messages[-1]:
            found.append((int(headers["Nats-Sequence"]), m.data, headers["Nats-Subject"]))
    return found
