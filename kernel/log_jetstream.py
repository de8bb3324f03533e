"""The event log in a JetStream stream: the one that runs live in.

One commit record is one message on `<prefix>.<tenant>.<run>.<lane>.<role>`, published with a compare-and-swap on
everything under `<prefix>.<tenant>.<run>`. Reading is by byte-bounded batches up to a head that the leader named
first, so a tail cannot get lost unnoticed; following adds the stream's own republication of what it stores
(`gome.kernel.log_live`). The vault is a second object of this class with another stream and prefix. The connection and
its traps are in `gome.kernel.jetstream`, how the stream is set up in `gome.kernel.log_stream`.
"""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

import msgspec

from gome.events import Draft, Head, RecordError, Sealed, follows, seal, unseal
from gome.kernel.answers import IN_PROCESS, ApiError, Unanswered, headers_size, parse
from gome.kernel.errors import AppendUnknown, Forbidden, LogDamaged, LogUnreachable, UsageError
from gome.kernel.log import Clock, Known, run_by_run
from gome.kernel.log_batches import BATCH_BYTES, SMALLEST_BATCH, Where, fetch
from gome.kernel.log_checks import (
    behind,
    check_adopted,
    check_name,
    check_next,
    check_place,
    check_same,
    check_size,
    conflict,
    damaged,
    unknown_run,
)
from gome.kernel.log_live import Live
from gome.kernel.log_stream import prepare

if TYPE_CHECKING:
    from gome.kernel.jetstream import Connection

_WRONG_LAST = (10071, 10164)
_NOT_FOUND = 10037
_READ_COST = 30
"""Records that are read in a row in the time that beginning to read another run takes."""
_SCAN_FACTOR = 4
"""How many records of other runs may be read over for one that is wanted."""


class JetStreamLog:
    """An event log for one tenant in one stream, over a connection that others may share.

    `replicas` is how many servers shall hold the stream at least. `sweep` is how many seconds a follower may stay
    silent before it looks at the head by itself, should a wake-up have been lost. Closing it releases the connection.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        stream: str = "GOME",
        prefix: str = "gome.ev",
        tenant: str = "main",
        replicas: int = 1,
        clock: Clock = time.time,
        sweep: float = 30.0,
    ) -> None:
        self._connection = connection
        self._stream = check_name("stream name", stream)
        self._prefix = prefix
        self._tenant = check_name("tenant", tenant)
        self._replicas = replicas
        self._clock = clock
        self._sweep = sweep
        self._prepared = False
        self._preparing = asyncio.Lock()
        # Five tokens behind the prefix, so it is under the same permissions and can never match the stream's four.
        self._live = Live(connection, f"{prefix}.live.{tenant}.*.*.*")
        self._released = False
        self.name = f"{connection.where} (stream {stream})"
        connection.retain()

    async def append(self, draft: Draft, head: Head) -> Sealed:
        """See `EventLog.append`. A cancelled append has an unknown outcome, as one that timed out.

        The draft's own record is looked for behind `head`, and for two minutes by the server wherever it is. Who
        appends later than that must have folded the run up to `head` and know that the draft is not in it.
        """
        return await self._append(draft, head, None)

    async def adopt(self, record: Sealed, head: Head) -> Sealed:
        """See `EventLog.adopt`."""
        return check_same(await self._append(check_adopted(record, head), head, record), record, head)

    async def _append(self, draft: Draft, head: Head, sealed: Sealed | None) -> Sealed:
        if draft.tenant != self._tenant:
            what = f"run {draft.run}, which is taken over," if sealed else "the draft"
            raise UsageError(f"this log belongs to tenant {self._tenant}, {what} to {draft.tenant}")
        names = [check_name(what, value) for what, value in (("run id", draft.run), ("role", draft.role))]
        await self._prepare()
        record = sealed or seal(draft, head, self._clock())
        subject = f"{self._prefix}.{self._tenant}.{names[0]}.{draft.lane}.{names[1]}"
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(head.revision),
            "Nats-Expected-Last-Subject-Sequence-Subject": self._filter(draft.run),
            # The window of remembered ids is the stream's, not the tenant's.
            "Nats-Msg-Id": f"{self._tenant}.{draft.id}",
        }
        limit = self._connection.max_payload * 3 // 4
        check_size(draft, headers_size(headers) + len(record.stored), limit)
        with self._live.appending(draft.run):
            return await self._publish(draft, head, record, subject, headers)

    async def _publish(self, draft: Draft, head: Head, record: Sealed, subject: str, headers: dict[str, str]) -> Sealed:
        """Publish until the outcome is known. Publishing the same record on the same head again is harmless: the
        compare-and-swap lets at most one of the copies in."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._connection.patience
        sent = False
        while True:
            try:
                answer = parse(await self._connection.request(subject, record.stored, headers))
                if answer.get("duplicate"):
                    return await self._duplicate(draft, head, answer["seq"])
                return msgspec.structs.replace(record, revision=answer["seq"])
            except ApiError as error:
                if error.code == 0 and error.status == 503:
                    # Nobody listens on the subject: JetStream is starting, or the stream is gone.
                    self._prepared = False
                elif error.code == IN_PROCESS:
                    # Either copy may land, and of two on one head the compare-and-swap takes one.
                    sent = True
                    headers.pop("Nats-Msg-Id", None)
                elif error.code not in _WRONG_LAST:
                    raise LogUnreachable(f"{self.name} refuses a record of run {draft.run}: {error}") from error
                reason: LogUnreachable | ApiError = error
            except Unanswered as error:
                sent = True
                reason = error
            except LogUnreachable as error:
                if sent:
                    raise self._unknown(draft, error) from error
                raise
            if (landed := await self._landed(draft, head, sent)) is not None:
                return landed
            if loop.time() >= until:
                if sent:
                    raise self._unknown(draft, reason) from reason
                raise LogUnreachable(f"{self.name} does not take a record of run {draft.run}: {reason}") from reason
            # The head has not moved: the refusal was spurious, or the record never arrived.
            await asyncio.sleep(random.uniform(0.002, 0.02))

    async def _landed(self, draft: Draft, head: Head, sent: bool) -> Sealed | None:
        """The draft's record if it is in the log behind `head`, None if the head has not moved, else `Conflict`."""
        try:
            end = await self.head(draft.run)
            if end.revision == head.revision:
                return None
            if end.seq < head.seq:
                raise behind(head, end, self.name)
            async with aclosing(self._fetch(draft.run, head.revision + 1, end.revision)) as tail:
                async for revision, stored, _ in tail:
                    with suppress(RecordError):
                        record = unseal(stored, revision)
                        if record.id == draft.id:
                            return record
        except LogUnreachable as error:
            if sent:
                raise self._unknown(draft, error) from error
            raise
        raise conflict(draft.run, head, end)

    def _unknown(self, draft: Draft, error: Exception) -> AppendUnknown:
        return AppendUnknown(
            f"a record of run {draft.run} may or may not be in {self.name}: {error}; appending it again is safe"
        )

    async def _duplicate(self, draft: Draft, head: Head, revision: int) -> Sealed:
        """The record that the server remembers under the draft's id."""
        answer = await self._connection.api(f"STREAM.MSG.GET.{self._stream}", {"seq": revision})
        record = unseal(base64.b64decode(answer["message"].get("data", "")), revision)
        if record.id != draft.id:
            raise damaged(head, f"the server takes record {revision} for the one to append", self.name)
        return record

    async def read(self, run: str, after: Head | None = None) -> AsyncGenerator[Sealed, None]:
        """See `EventLog.read`."""
        end = await self.head(run)
        at = after or Head(run)
        if end.seq < at.seq:
            raise behind(at, end, self.name)
        if end.seq == 0:
            raise unknown_run(run, self.name)
        tried = -1
        size = BATCH_BYTES
        while at.revision < end.revision:
            async with aclosing(self._fetch(run, at.revision + 1, end.revision, size)) as messages:
                async for revision, stored, subject in messages:
                    try:
                        record = check_next(stored, at, revision, self.name, subject)
                    except LogDamaged:
                        # A message dropped on the way to us looks the same: only what is wrong twice is damage.
                        if tried == at.seq:
                            raise
                        tried, size = at.seq, SMALLEST_BATCH
                        break
                    at = record.head
                    yield record

    async def scan(self, heads: Mapping[str, Head]) -> AsyncGenerator[Sealed, None]:
        """See `EventLog.scan`."""
        if not heads:
            return
        sizes = await self.sizes()
        first = min(head.revision for head in heads.values()) + 1
        last = await self._last(f"{self._prefix}.{self._tenant}.>")
        # Behind the oldest head there may be far more of other runs than of those that are wanted.
        apart = last - first > _SCAN_FACTOR * (sum(sizes.get(run, 0) for run in heads) + _READ_COST * len(heads))
        async with aclosing(run_by_run(self, heads) if apart else self._sweep_through(heads, first, last)) as records:
            async for record in records:
                yield record

    async def _sweep_through(self, heads: Mapping[str, Head], first: int, last: int) -> AsyncGenerator[Sealed, None]:
        at = dict(heads)
        place = self._prefix.count(".") + 2
        where = Where("*", self._stream, f"{self._prefix}.{self._tenant}.>", self.name)
        async with aclosing(fetch(self._connection, where, first, last)) as messages:
            async for revision, stored, subject in messages:
                run = subject.split(".")[place]
                head = at.get(run)
                if head is None or revision <= head.revision:
                    continue
                record = check_next(stored, head, revision, self.name, subject)
                at[run] = record.head
                yield record

    async def _last(self, subjects: str) -> int:
        """Stream sequence of the last record on some subjects, as the leader knows it; 0 when there is none."""
        try:
            found = await self._connection.api(f"STREAM.MSG.GET.{self._stream}", {"last_by_subj": subjects})
        except ApiError as error:
            if error.code == _NOT_FOUND:
                return 0
            raise LogUnreachable(f"{self.name} does not tell its last record: {error}") from error
        return int(found["message"]["seq"])

    async def follow(
        self, run: str, after: Head | None = None, known: Known | None = None
    ) -> AsyncGenerator[Sealed, None]:
        """See `EventLog.follow`."""
        at = after or Head(run)
        started = False
        with self._live.follower(check_name("run id", run), known) as follower:
            while not self._live.closed:
                follower.wake.clear()
                if known is not None:
                    at = max(at, known(), key=lambda head: head.seq)
                if follower.behind:
                    follower.behind = False
                    try:
                        # Subscribed first, read afterwards: what is stored in between arrives twice and counts once.
                        await self._live.listen()
                        async with aclosing(self._tail(run, at)) as records:
                            async for record in records:
                                at = record.head
                                yield record
                        started = True
                    except LogUnreachable as error:
                        if not started or isinstance(error, Forbidden):
                            raise
                        await asyncio.sleep(0.1)
                        await self._connection.up()
                        follower.behind = True
                        continue
                while (arrived := follower.take()) is not None:
                    revision, stored, subject = arrived
                    if revision <= at.revision or (known is not None and revision <= known().revision):
                        continue
                    with suppress(RecordError):
                        record = unseal(stored, revision)
                        if not follows(record, at) and not check_place(record, subject):
                            at = record.head
                            yield record
                            continue
                    # Whether something is missing or damaged, the log itself has to say.
                    follower.miss()
                if not follower.behind and not self._live.closed:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(follower.wake.wait(), self._sweep)
                        continue
                    follower.behind = True

    async def _tail(self, run: str, at: Head) -> AsyncGenerator[Sealed, None]:
        if at.seq == 0 and (await self.head(run)).seq == 0:
            return
        async with aclosing(self.read(run, at)) as records:
            async for record in records:
                yield record

    async def head(self, run: str) -> Head:
        """See `EventLog.head`. Asked of the leader, not of any replica."""
        subject = self._filter(check_name("run id", run))
        await self._prepare()
        try:
            message = await self._connection.api(f"STREAM.MSG.GET.{self._stream}", {"last_by_subj": subject})
        except ApiError as error:
            if error.code == _NOT_FOUND:
                return Head(run)
            raise LogUnreachable(f"{self.name} does not tell the head of run {run}: {error}") from error
        stored = base64.b64decode(message["message"].get("data", ""))
        revision = message["message"]["seq"]
        try:
            return unseal(stored, revision).head
        except RecordError as error:
            raise damaged(Head(run, _claimed(stored) - 1), str(error), self.name) from error

    async def runs(self) -> list[str]:
        """See `EventLog.runs`."""
        return sorted(await self.sizes())

    async def sizes(self) -> dict[str, int]:
        """See `EventLog.sizes`."""
        await self._prepare()
        found: Counter[str] = Counter()
        offset, total = 0, 1
        place = self._prefix.count(".") + 2
        while offset < total:
            body = {"subjects_filter": f"{self._prefix}.{self._tenant}.>", "offset": offset}
            info = await self._connection.api(f"STREAM.INFO.{self._stream}", body)
            subjects = info["state"].get("subjects") or {}
            for subject, count in subjects.items():
                found[subject.split(".")[place]] += count
            total = info.get("total", 0)
            offset += len(subjects) or total
        return dict(found)

    async def close(self) -> None:
        """See `EventLog.close`."""
        if not self._released:
            self._released = True
            await self._live.close()
            await self._connection.release()

    def _fetch(
        self, run: str, first: int, last: int, size: int = BATCH_BYTES
    ) -> AsyncGenerator[tuple[int, bytes, str], None]:
        where = Where(run, self._stream, self._filter(run), self.name)
        return fetch(self._connection, where, first, last, size)

    def _filter(self, run: str) -> str:
        return f"{self._prefix}.{self._tenant}.{run}.>"

    async def _prepare(self) -> None:
        """Make sure that the stream exists and has what the log relies on."""
        if self._prepared:
            return
        async with self._preparing:
            if self._prepared:
                return
            await prepare(self._connection, self._stream, self._prefix, self._replicas, self.name)
            self._prepared = True


def _claimed(stored: bytes) -> int:
    """The sequence that a damaged record claims to begin at; 0 when not even that can be read."""
    try:
        value = msgspec.json.decode(stored)
        return int(value["seq"])
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
        return 0
