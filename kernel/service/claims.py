"""Claims on submissions: who drives which run, while it lives. One durable consumer per tenant, shared by all services.

A claim is a delivery that its holder keeps extending. It ends by `ack` (the submission has ended), by `nak` (somebody
else shall go on, at once or later), or by silence: then it goes to another service when the lease has run out. How many
of a tenant's runs may be open at once is what the consumer lets be claimed at once, so it holds over all services.
The kernel's lease on the run itself (`gome.kernel.lease`) is taken by whoever drives it; a claim only says whose turn
it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from gome.kernel.answers import ApiError, Message
from gome.kernel.errors import GomeError, LogUnreachable
from gome.kernel.service.submission import Submitted
from gome.kernel.service.submissions import PREFIX, STREAM
from gome.kernel.service.tenants import Tenant

if TYPE_CHECKING:
    from gome.kernel.jetstream import Connection, Subscription

_ANSWER = 2.0
"""Seconds for the server to say what there is, and to confirm the end of a claim."""
_GONE = (10014, 10059)
_request = msgspec.json.encode({"batch": 1, "no_wait": True})


@dataclass(eq=False)
class Claim:
    """The right to drive a submission, until its lease runs out. `deliveries` counts from 1."""

    submitted: Submitted
    deliveries: int
    _connection: Connection = field(repr=False)
    _reply: str = field(repr=False)

    async def ack(self) -> None:
        """The submission has ended."""
        await self._say(b"+ACK")

    async def nak(self, delay: float = 0.0) -> None:
        """Somebody shall go on with it, not before `delay` seconds."""
        await self._say(b'-NAK {"delay": %d}' % int(delay * 1e9) if delay > 0 else b"-NAK")

    async def progress(self) -> None:
        """It is being driven."""
        await self._say(b"+WPI")

    async def _say(self, word: bytes) -> None:
        try:
            await self._connection.request(self._reply, word, timeout=_ANSWER)
        except GomeError:
            return  # the lease runs out, and whoever claims it then sees in the log how far it is


class Claims:
    """Claims for one service. `lease` is in seconds. Not for several tasks at once."""

    def __init__(self, connection: Connection, tenants: Mapping[str, Tenant], lease: float) -> None:
        self.lease = lease
        self._connection = connection
        self._tenants = tenants
        self._prepared: set[str] = set()
        self._arrived: asyncio.Queue[Message] = asyncio.Queue()
        self._subscription: Subscription | None = None
        self._inbox = ""

    async def next(self, tenant: str) -> Claim | None:
        """Claim what a tenant has waited for longest; None when nothing waits, or as much is open as may be."""
        if self._subscription is None:
            self._inbox = self._connection.new_inbox()
            receive = self._arrived.put_nowait
            self._subscription = await self._connection.subscribe(self._inbox, receive, self._prepared.clear)
        if tenant not in self._prepared:
            await self._prepare(tenant)
        await self._connection.send(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{tenant}", _request, reply=self._inbox)
        try:
            message = await asyncio.wait_for(self._arrived.get(), _ANSWER)
        except TimeoutError:
            self._prepared.discard(tenant)
            return None
        if (message.headers or {}).get("Status") is not None:
            if message.headers and message.headers.get("Status") == "503":
                self._prepared.discard(tenant)
            return None
        # An answer that was late is of another tenant; its submission says of which.
        place = message.reply.split(".")
        deliveries = int(place[4] if len(place) == 9 else place[6])
        return Claim(msgspec.json.decode(message.data, type=Submitted), deliveries, self._connection, message.reply)

    async def close(self) -> None:
        """Claim nothing more, and give back what has arrived meanwhile."""
        if self._subscription is not None:
            await self._connection.unsubscribe(self._subscription)
        while not self._arrived.empty():
            message = self._arrived.get_nowait()
            if message.reply and message.data:
                await self._connection.send(message.reply, b"-NAK")

    async def _prepare(self, tenant: str) -> None:
        filter = f"{PREFIX}.{tenant}.*.submitted"
        config = {
            "name": tenant,
            "durable_name": tenant,
            "filter_subject": filter,
            "ack_policy": "explicit",
            "deliver_policy": "all",
            "replay_policy": "instant",
            "ack_wait": int(self.lease * 1e9),
            "max_deliver": -1,
            "max_ack_pending": self._tenants[tenant].open,
        }
        try:
            body = {"stream_name": STREAM, "action": "", "config": config}
            await self._connection.api(f"CONSUMER.CREATE.{STREAM}.{tenant}.{filter}", body)
        except ApiError as error:
            if error.code not in _GONE:
                raise LogUnreachable(f"submissions of {tenant} cannot be claimed: {error}") from error
            return
        self._prepared.add(tenant)
