"""Who drives a run on a cluster: a lease in the KV bucket GOME_OWNERS, the counterpart of `gome.kernel.owner`.

Safety does not depend on it: commits are compare-and-swap and ids are computed. It keeps a second machine from paying
for the same work, and tells a person where the first one is.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import time
from dataclasses import asdict
from types import TracebackType

from gome.kernel.errors import GomeError, LogUnreachable
from gome.kernel.jetstream import ApiError, Connection, parse
from gome.kernel.log_checks import check_name
from gome.kernel.owner import Owner, refusal

BUCKET = "GOME_OWNERS"
LEASE = 15.0
"""Seconds after which a lease that is not renewed is free again: as long as a log waits for its server
(`Connection.patience`), and longer than the servers of a cluster need to replace one that led the bucket. They begin to
vote 4 to 9 s after its last sign (`minElectionTimeout` and `maxElectionTimeout` in nats-server's raft.go); until then
the bucket takes nothing, and the last renewal may have been a quarter of the lease before that sign."""
_TURNS = 4
"""Renewals in the time of a lease."""
_TRIES = 20
"""And as often one that failed is tried again."""
_WRONG_LAST = (10071, 10164)
_STREAM_EXISTS = 10058


class KvLease:
    """The lock's counterpart where homes are not shared: `async with KvLease(connection, run) as lease`.

    Entering raises `UsageError` naming the owner while another holds the run, `LogUnreachable` without a server.
    `lease.epoch` grows with every owner of any run. The lease is renewed in the background; `lease.lost` is set when
    somebody else has it (this process was stopped for longer than the lease) or no server renewed it for as long, and
    the holder should then stop driving; `lease.why` says which. Leaving gives the lease back. The bucket is an ordinary
    JetStream KV bucket; an empty value is a lease given back.
    """

    def __init__(self, connection: Connection, run: str, *, lease: float = LEASE) -> None:
        self.run, self.lease = check_name("run id", run), lease
        self.epoch = 0
        self.lost = asyncio.Event()
        self.why = ""
        self._connection = connection
        self._subject = f"$KV.{BUCKET}.{run}"
        self._value = json.dumps({**asdict(Owner.me()), "nonce": os.urandom(8).hex()}).encode()
        self._revision = 0
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> KvLease:
        try:
            await self._prepare()
            revision, value = await self._last()
            if value and value != self._value:
                raise refusal(self.run, Owner.said(value))
            try:
                self._revision = self.epoch = await self._put(self._value, revision)
            except ApiError as error:
                if error.code not in _WRONG_LAST:
                    raise
                self._revision, value = await self._last()
                if not self._revision:
                    raise  # neither ours nor anybody's: the server does not know its own stream yet
                if value != self._value:  # else ours landed, and only the answer to its first sending was lost
                    raise refusal(self.run, Owner.said(value)) from None
                self.epoch = self._revision
        except ApiError as error:
            raise LogUnreachable(f"{self._connection.where} gives no lease on run {self.run}: {error}") from error
        self._renewing = asyncio.create_task(self._renew(), name=f"lease on {self.run}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        if not self.lost.is_set():
            with contextlib.suppress(GomeError, TimeoutError):
                async with asyncio.timeout(2):
                    await self._put(b"", self._revision)

    async def owner(self) -> Owner | None:
        """Who has the run at this moment, without taking it; None when nobody does."""
        try:
            _, value = await self._last()
        except ApiError as error:
            raise LogUnreachable(f"{self._connection.where} does not tell who has run {self.run}: {error}") from error
        return Owner.said(value) if value else None

    async def _prepare(self) -> None:
        config = {
            "name": f"KV_{BUCKET}",
            "subjects": [f"$KV.{BUCKET}.>"],
            "max_msgs_per_subject": 1,
            "max_age": int(self.lease * 1e9),
            "duplicate_window": int(min(self.lease, 120.0) * 1e9),
            "discard": "new",
            "deny_delete": True,
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "storage": "file",
            "num_replicas": self._connection.replicas,
        }
        try:
            await self._connection.create(config)
        except ApiError as error:
            if error.code != _STREAM_EXISTS:
                raise
            await self._connection.widen(await self._connection.api(f"STREAM.INFO.KV_{BUCKET}"))

    async def _last(self) -> tuple[int, bytes]:
        """Revision and value of the lease; (0, b"") when there is none."""
        try:
            answer = await self._connection.api(f"STREAM.MSG.GET.KV_{BUCKET}", {"last_by_subj": self._subject})
        except ApiError as error:
            if error.status == 404:
                return 0, b""
            raise
        message = answer["message"]
        return int(message["seq"]), base64.b64decode(message.get("data", ""))

    async def _put(self, value: bytes, last: int, timeout: float = 0.0) -> int:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(last)}
        return int(parse(await self._connection.request(self._subject, value, headers, timeout))["seq"])

    async def _renew(self) -> None:
        renewed, pause = time.monotonic(), self.lease / _TURNS
        while time.monotonic() - renewed < self.lease:
            await asyncio.sleep(pause)
            # Servers that have lost the bucket's leader refuse at once, and the next turn may come too long after they
            # have elected another.
            pause = self.lease / _TRIES
            try:
                self._revision = await self._put(self._value, self._revision, self.lease / _TURNS)
            except LogUnreachable:
                continue
            except ApiError as error:
                if error.code not in _WRONG_LAST:
                    continue
                try:
                    # Another owner; a renewal of ours that landed without its acknowledgement; or nothing at all: a
                    # server that has just begun to lead may not have caught up yet, and then nobody else has it.
                    revision, value = await self._last()
                except GomeError:
                    continue
                if revision and value != self._value:
                    self.why = "another machine has it, or had it meanwhile"
                    break
                self._revision = revision
                if not revision:
                    continue
            renewed, pause = time.monotonic(), self.lease / _TURNS
        self.why = self.why or f"{self._connection.where} did not renew it for {self.lease:g} s; resume the run later"
        self.lost.set()
