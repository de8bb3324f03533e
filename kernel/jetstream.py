"""One connection to a NATS server, with the traps of the client library closed: requests, subscriptions, streams.

What it adds to nats-py: requests that were sent and lost their answer are told apart from requests that never left
(`Unanswered` and plain `LogUnreachable`), a permission violation becomes an error that says so, and subscriptions
outlive the client they were made over. Keeping a client connected is the business of `gome.kernel.nats_link`. The logs
(`gome.kernel.log_jetstream`) and the work queue (`gome.kernel.queue`) share one connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import nats.errors

from gome.kernel.answers import (
    IMPORTED_API,
    ApiError,
    Asked,
    Message,
    Unanswered,
    Waiting,
    compression,
    headers_size,
    parse,
)
from gome.kernel.errors import Forbidden, OversizeRecord
from gome.kernel.nats_client import DirectClient
from gome.kernel.nats_link import Link

__all__ = ["ApiError", "Connection", "Subscription", "Unanswered", "headers_size", "parse"]
_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"')
_NO_JETSTREAM = 10039
_NO_PLACE = (10005, 10074)
"""Error codes: no suitable peers for placement, replicas without a cluster."""
_GATHERS = 6
"""Answers of many messages at once, per connection: the server cuts off a client that has 64 MiB outstanding."""


@dataclass(eq=False)
class Subscription:
    """Interest in a subject that outlives reconnects and replaced clients. `missed` is called when messages may have
    been lost: after a reconnect, or when the local buffer overflowed."""

    subject: str
    receive: Callable[[Message], None]
    missed: Callable[[], None]
    held: Any = None


def _led(info: dict[str, Any], servers: int) -> bool:
    """Whether so many servers hold a stream, one of which leads."""
    cluster = info.get("cluster") or {}
    return bool(cluster.get("leader")) and len(cluster.get("replicas") or ()) + 1 >= servers


@dataclass(eq=False)
class Connection:
    """A connection to `url` (or to the first that answers of several with commas between), made on the first request.
    Times are in seconds: `connect_timeout` for the first connection, `timeout` for one answer, `patience` for the
    server to come back before an error is raised. `pending_bytes` bounds what is received and not yet looked at.
    `replicas` is how many servers shall hold a stream that is made or found over this connection; 0 becomes 3 when we
    are connected to a server of a cluster, else 1."""

    url: str
    token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    name: str = "gome"
    inbox_prefix: str = "_INBOX"
    connect_timeout: float = 3.0
    timeout: float = 5.0
    patience: float = 15.0
    pending_bytes: int = 64 * 1024 * 1024
    replicas: int = 1

    def __post_init__(self) -> None:
        self._link = Link(
            url=self.url,
            token=self.token,
            user=self.user,
            password=self.password,
            name=self.name,
            inbox_prefix=self.inbox_prefix,
            connect_timeout=self.connect_timeout,
            patience=self.patience,
            begin=self._begin,
            end=self._end,
            returned=self._returned,
            notice=self._notice,
        )
        self._inbox = ""
        self._users = 0
        self._gathering = asyncio.Semaphore(_GATHERS)
        self._waiting = Waiting(self.where, self._link.doubt, self.who)
        self._api = "$JS.API"
        self.narrow: dict[str, str] = {}
        """Streams that fewer servers hold than shall, or that several hold compressed, by name, with the reason; they
        are asked for once."""
        self._forbidden: set[tuple[str, str]] = set()
        self._subscriptions: list[Subscription] = []
        self._on_return: list[Callable[[], None]] = []

    @property
    def where(self) -> str:
        """The server's address (or the cluster's) without credentials, for messages to people."""
        return self._link.where

    @property
    def who(self) -> str:
        """The user that we are for the server; "" with a token or without credentials."""
        return self._link.who

    @property
    def refused(self) -> str:
        """Why the server does not let us in; "" when it does, or is away."""
        return self._link.refused

    @property
    def max_payload(self) -> int:
        """Bytes a message may have, headers included, as the server announced."""
        client = self._link.client
        return client.max_payload if client else 1_048_576

    def retain(self) -> None:
        """Count one more user; the last `release` closes."""
        self._users += 1

    async def release(self) -> None:
        """Count one user less and close after the last."""
        self._users -= 1
        if self._users <= 0:
            await self.close()

    async def open(self) -> None:
        """Connect if that has not been done; raises `LogUnreachable` within `connect_timeout`."""
        await self._link.open()

    async def up(self) -> None:
        """Wait until there is a connection, however long; `LogUnreachable` when the server refuses us."""
        await self._link.up()

    async def close(self) -> None:
        """Close for good; whoever waits for an answer gets `Unanswered`."""
        await self._link.close()

    async def client(self) -> DirectClient:
        """The library's client as it is now, connected; it is another one after the library gave one up for good, which
        `on_return` tells. For what the library does by itself, such as services."""
        return await self._link.ready()

    async def request(
        self, subject: str, payload: bytes = b"", headers: Mapping[str, str] | None = None, timeout: float = 0.0
    ) -> Message:
        """Publish and await the answer. Raises `Unanswered` when it may have been received and none came, plain
        `LogUnreachable` when it was surely not: no connection within `patience`, or not permitted."""
        client = await self._link.ready()
        asked = self._waiting.add(subject, timeout or self.timeout, several=False)
        return await self._ask(client, asked, payload, headers)

    async def gather(self, subject: str, payload: bytes, timeout: float = 0.0) -> list[Message]:
        """Publish and await several messages; the last one is the status message that ends the answer. `timeout`
        is the longest silence."""
        async with self._gathering:
            client = await self._link.ready()
            asked = self._waiting.add(subject, timeout or self.timeout, several=True)
            last = await self._ask(client, asked, payload, None)
            return [*(asked.parts or ()), last]

    async def _ask(
        self, client: DirectClient, asked: Asked, payload: bytes, headers: Mapping[str, str] | None
    ) -> Message:
        try:
            size = headers_size(headers) + len(payload)
            if size > client.max_payload:
                # The library checks the payload alone; the server then closes the connection for good.
                raise OversizeRecord(f"a message of {size:,} bytes exceeds the {client.max_payload:,} of {self.where}")
            # The library may write headers of its own into the dict it is given: it gets its own.
            own = dict(headers) if headers else None
            await client.publish(asked.subject, payload, reply=f"{self._inbox}.{asked.token}", headers=own)
            message: Message = await asked.future
            return message
        finally:
            self._waiting.remove(asked)

    async def send(
        self,
        subject: str,
        payload: bytes = b"",
        reply: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        confirm: bool = False,
    ) -> None:
        """Publish without awaiting an answer; one that comes goes to `reply`. With `confirm` this returns when the
        server has taken it, and raises `Forbidden` when it does not."""
        client = await self._link.ready()
        self._forbidden.discard(("publish", subject.lower()))
        await client.publish(subject, payload, reply=reply, headers=dict(headers) if headers else None)
        if confirm:
            await self._settle(client)
            if ("publish", subject.lower()) in self._forbidden:
                raise self._waiting.forbidden("publish to", subject)

    async def api(self, call: str, body: object = None) -> dict[str, Any]:
        """Ask `$JS.API.<call>`; asked again while the server is away or starting, so only for requests that may be
        repeated. In an account that imports single calls they have another prefix, which the first answer tells.
        Raises `ApiError`, `LogUnreachable`."""
        payload = b"" if body is None else msgspec.json.encode(body)
        loop = asyncio.get_running_loop()
        until = loop.time() + self.patience
        disabled: ApiError | None = None
        while True:
            try:
                return parse(await self.request(f"{self._api}.{call}", payload))
            except Unanswered:
                if loop.time() >= until:
                    raise
            except ApiError as error:
                if error.code == _NO_JETSTREAM and disabled is None:
                    self._api, disabled = IMPORTED_API, error
                    continue
                if error.status != 503:
                    raise
                if loop.time() >= until:
                    raise disabled or error from None
                await asyncio.sleep(0.05)

    async def create(self, config: dict[str, Any]) -> dict[str, Any]:
        """Make a stream, as `api` does. A cluster that has just started has no place for all copies yet: it is asked
        again for as long as we have patience."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.patience
        while True:
            try:
                return await self.api(f"STREAM.CREATE.{config['name']}", config)
            except ApiError as error:
                if error.code not in _NO_PLACE or config["num_replicas"] == 1:
                    raise
                if loop.time() >= until:
                    wanted = f"{config['num_replicas']} servers with JetStream are wanted"
                    hint = f"{error}: {wanted}; start them, or make do with one by GOME_REPLICAS=1"
                    raise ApiError(error.code, error.status, hint) from None
            await asyncio.sleep(0.2)

    async def widen(self, info: dict[str, Any], replicas: int = 0) -> dict[str, Any]:
        """Have a stream that fewer servers hold than `replicas` (0: of the connection) held by that many, and one that
        several hold uncompressed (`compression`); it is never taken from one. Takes what the server said of the stream
        and returns what it says now. A stream that does not get its copies, for want of servers or because we may not
        alter it, serves as it is: see `narrow`."""
        config = info["config"]
        name, held = config["name"], config["num_replicas"]
        wanted = max(held, replicas or self.replicas)
        fit = {**config, "num_replicas": wanted}
        if wanted > 1 and config.get("compression") == "s2":
            fit["compression"] = compression(wanted)
        if fit == config or name in self.narrow:
            return info
        try:
            info = await self.api(f"STREAM.UPDATE.{name}", fit)
        except (ApiError, Forbidden) as error:
            what = f"{held} of {wanted} servers hold {name}"
            if held == wanted:
                what = f"{held} servers hold {name} compressed, which a killed one may damage"
            self.narrow[name] = f"{what}: {error}"
            return info
        # Until its servers have agreed on a leader, a stream takes nothing and answers nothing.
        until = asyncio.get_running_loop().time() + self.patience
        while not _led(info, wanted) and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.05)
            info = await self.api(f"STREAM.INFO.{name}")
        return info

    def new_inbox(self) -> str:
        """A subject of our own, for answers that keep the subject they were stored under."""
        return f"{self.inbox_prefix}.{uuid.uuid4().hex}"

    def on_return(self, call: Callable[[], None]) -> None:
        """Call this whenever the server is back after having been away."""
        self._on_return.append(call)

    async def subscribe(
        self, subject: str, receive: Callable[[Message], None], missed: Callable[[], None]
    ) -> Subscription:
        """Receive a subject's messages until `unsubscribe`; the server knows of it when this returns. `receive` is
        called in the middle of reading from the socket: it only puts the message somewhere."""
        client = await self._link.ready()
        wanted = Subscription(subject, receive, missed)
        try:
            await self._attach(client, wanted)
        except nats.errors.Error as error:
            raise self._link.away() from error
        self._subscriptions.append(wanted)
        await self._settle(client)
        if ("subscription", subject.lower()) in self._forbidden:
            await self.unsubscribe(wanted)
            raise self._waiting.forbidden("read", subject)
        return wanted

    async def _settle(self, client: DirectClient) -> None:
        """Wait until the server has processed what was sent, refusals included. The library writes its pings at once
        and commands later, so a ping sent right after a command overtakes it."""
        until = asyncio.get_running_loop().time() + self.timeout
        while client.pending_data_size > 0 and client.is_connected and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.001)
        with contextlib.suppress(nats.errors.Error, OSError):
            await client.flush(timeout=max(1, int(self.timeout)))

    async def unsubscribe(self, wanted: Subscription) -> None:
        """End a subscription; doing so twice, or without a server, is fine."""
        if wanted in self._subscriptions:
            self._subscriptions.remove(wanted)
            if self._link.client is not None:
                self._link.client.direct.pop(wanted.held._id, None)
            with contextlib.suppress(nats.errors.Error):
                await wanted.held.unsubscribe()

    async def _begin(self, client: DirectClient) -> None:
        """Over a new client, have answers and all subscriptions come in."""
        if self.replicas == 0:
            self.replicas = 3 if client._server_info.get("cluster") else 1
        self._inbox = client.new_inbox()
        await client.listen(f"{self._inbox}.*", self._on_answer, self.pending_bytes)
        for wanted in self._subscriptions:
            await self._attach(client, wanted)

    async def _attach(self, client: DirectClient, wanted: Subscription) -> None:
        wanted.held = await client.listen(wanted.subject, wanted.receive, self.pending_bytes)

    def _on_answer(self, message: Message) -> None:
        self._waiting.receive(message.subject.rpartition(".")[2], message)

    def _end(self, reason: str) -> None:
        self._waiting.end(reason)

    def _returned(self) -> None:
        for wanted in list(self._subscriptions):
            wanted.missed()
        for call in self._on_return:
            call()

    def _notice(self, error: Exception) -> bool:
        """Take an error of the library that is about a subject of ours; False for any other."""
        if found := _VIOLATION.search(str(error).lower()):
            self._deny(found[1], found[2])
            return True
        if isinstance(error, nats.errors.SlowConsumerError):
            for wanted in self._subscriptions:
                if wanted.held is error.sub:
                    wanted.missed()
            return True
        return False

    def _deny(self, verb: str, subject: str) -> None:
        # The server reports a violation once and answers nothing; the library lets the caller wait for its time-out.
        if verb == "publish" and self._waiting.deny(subject):
            return
        self._forbidden.add((verb, subject))
        if verb == "subscription" and subject.startswith(self._inbox.lower()):
            self._link.refused = f"it does not permit us to receive answers on {subject}"
            self._waiting.end(self._link.refused)
