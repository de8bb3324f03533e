"""One connection to a NATS server, with the traps of the client library closed. The home of `import nats`.

What it adds to nats-py: requests that were sent and lost their answer are told apart from requests that never left
(`Unanswered` and plain `LogUnreachable`), a permission violation or a wrong token becomes an error that says so,
nothing is buffered while the server is away, and a client that closed for good is replaced, with its subscriptions.
The logs (`gome.kernel.log_jetstream`) and the work queue (`gome.kernel.queue`) share one connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec
import nats.aio.client
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from gome.kernel.answers import (
    IMPORTED_API,
    ApiError,
    Asked,
    Headers,
    Message,
    Unanswered,
    Waiting,
    compression,
    headers_size,
    parse,
)
from gome.kernel.errors import Forbidden, LogUnreachable, OversizeRecord

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


# Where fast-mail-parser is installed nats-py uses it, and its newer versions give lists for header values.
nats.aio.client.parse_email = None  # type: ignore[attr-defined]


class _Client(Client):
    """nats-py's client with a shorter way from the socket to us: `direct` receivers get their messages at once, not
    through a queue and a task of their own, and headers are looked at only when somebody asks for one. That is a third
    of what reading costs. Should the method be renamed there, messages simply take the long way."""

    def __init__(self) -> None:
        super().__init__()
        self.direct: dict[int, Callable[[Message], None]] = {}

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        receive = self.direct.get(sid)
        if receive is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        try:
            receive(Message(subject.decode(), data, Headers(headers) if headers else None, reply.decode()))
        except Exception as error:
            await self._error_cb(error)

    async def _process_pong(self) -> None:
        # The library fails on the answer to a ping whose sender has given up, and never reads from the socket again.
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def listen(self, subject: str, receive: Callable[[Message], None], pending_bytes: int) -> Any:
        """Subscribe a receiver that returns at once."""

        async def long_way(message: Msg) -> None:
            receive(Message(message.subject, message.data, message.headers, message.reply))

        held = await self.subscribe(subject, cb=long_way, pending_bytes_limit=pending_bytes)
        self.direct[held._id] = receive
        return held


def _led(info: dict[str, Any], servers: int) -> bool:
    """Whether so many servers hold a stream, one of which leads."""
    cluster = info.get("cluster") or {}
    return bool(cluster.get("leader")) and len(cluster.get("replicas") or ()) + 1 >= servers


@dataclass(eq=False)
class Connection:
    """A connection to `url` (or to the first that answers of several with commas between), made on the first request.
    Times are in seconds: `connect_timeout` for the first
    connection, `timeout` for one answer, `patience` for the server to come back before an error is raised.
    `pending_bytes` bounds what is received and not yet looked at. `replicas` is how many servers shall hold a stream
    that is made or found over this connection; 0 becomes 3 when we are connected to a server of a cluster, else 1."""

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
        self._client: _Client | None = None
        self._inbox = ""
        self._users = 0
        self._closed = False
        self._refused = ""
        self._trouble = ""
        self._up = asyncio.Event()
        self._opening = asyncio.Lock()
        self._gathering = asyncio.Semaphore(_GATHERS)
        self._waiting = Waiting(self.where, self._doubt, self.who)
        self._api = "$JS.API"
        self.narrow: dict[str, str] = {}
        """Streams that fewer servers hold than shall, or that several hold compressed, by name, with the reason; they
        are asked for once."""
        self._forbidden: set[tuple[str, str]] = set()
        self._subscriptions: list[Subscription] = []
        self._on_return: list[Callable[[], None]] = []
        self._rebuilding: asyncio.Task[None] | None = None
        self._doubting: asyncio.Task[None] | None = None

    @property
    def where(self) -> str:
        """The server's address (or the cluster's) without credentials, for messages to people."""
        parts = [urlsplit(url) for url in self.urls]
        return ",".join(f"{p.scheme}://{p.hostname or ''}" + (f":{p.port}" if p.port else "") for p in parts)

    @property
    def urls(self) -> list[str]:
        """Each address, with a scheme."""
        return [url if "//" in url else f"nats://{url}" for url in self.url.split(",")]

    @property
    def who(self) -> str:
        """The user that we are for the server; "" with a token or without credentials."""
        return self.user or urlsplit(self.urls[0]).username or ""

    @property
    def refused(self) -> str:
        """Why the server does not let us in; "" when it does, or is away."""
        return self._refused

    @property
    def max_payload(self) -> int:
        """Bytes a message may have, headers included, as the server announced."""
        return self._client.max_payload if self._client else 1_048_576

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
        async with self._opening:
            if self._client is None:
                await self._connect()

    async def client(self) -> Client:
        """The library's client as it is now, connected; it is another one after the library gave one up for good, which
        `on_return` tells. For what the library does by itself, such as services."""
        return await self._ready()

    async def close(self) -> None:
        """Close for good; whoever waits for an answer gets `Unanswered`."""
        self._closed = True
        for task in (self._rebuilding, self._doubting):
            if task is not None:
                task.cancel()
        client, self._client = self._client, None
        self._waiting.end("the connection was closed")
        if client is not None:
            await client.close()

    async def request(
        self, subject: str, payload: bytes = b"", headers: Mapping[str, str] | None = None, timeout: float = 0.0
    ) -> Message:
        """Publish and await the answer. Raises `Unanswered` when it may have been received and none came, plain
        `LogUnreachable` when it was surely not: no connection within `patience`, or not permitted."""
        client = await self._ready()
        asked = self._waiting.add(subject, timeout or self.timeout, several=False)
        return await self._ask(client, asked, payload, headers)

    async def gather(self, subject: str, payload: bytes, timeout: float = 0.0) -> list[Message]:
        """Publish and await several messages; the last one is the status message that ends the answer. `timeout`
        is the longest silence."""
        async with self._gathering:
            client = await self._ready()
            asked = self._waiting.add(subject, timeout or self.timeout, several=True)
            last = await self._ask(client, asked, payload, None)
            return [*(asked.parts or ()), last]

    async def _ask(self, client: Client, asked: Asked, payload: bytes, headers: Mapping[str, str] | None) -> Message:
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
        client = await self._ready()
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
        client = await self._ready()
        wanted = Subscription(subject, receive, missed)
        try:
            await self._attach(client, wanted)
        except nats.errors.Error as error:
            raise LogUnreachable(self._away()) from error
        self._subscriptions.append(wanted)
        await self._settle(client)
        if ("subscription", subject.lower()) in self._forbidden:
            await self.unsubscribe(wanted)
            raise self._waiting.forbidden("read", subject)
        return wanted

    async def _settle(self, client: Client) -> None:
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
            if self._client is not None:
                self._client.direct.pop(wanted.held._id, None)
            with contextlib.suppress(nats.errors.Error):
                await wanted.held.unsubscribe()

    async def up(self) -> None:
        """Wait until there is a connection, however long; `LogUnreachable` when the server refuses us."""
        while not self._up.is_set():
            if self._refused or self._closed:
                raise LogUnreachable(self._away())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._up.wait(), 1.0)

    def _away(self) -> str:
        if self._closed:
            return f"the connection to the event log at {self.where} was closed"
        if self._refused:
            given = "GOME_NATS_USER and GOME_NATS_PASSWORD" if self.who else "the token in GOME_NATS_TOKEN"
            return f"the event log at {self.where} refuses us: {self._refused}; check {given} (`gome doctor`)"
        reason = f" ({self._trouble})" if self._trouble else ""
        return (
            f"no event log answers at {self.where}{reason}; start a server there, or leave the URL out to let gome "
            "start its own (`gome doctor` tells more)"
        )

    async def _ready(self) -> _Client:
        """The client, connected. nats-py takes a publish without awaiting anything first, so none is refused."""
        client = self._client
        if client is not None and client.is_connected and self._up.is_set():
            return client
        if client is None and self._rebuilding is None and not self._closed:
            await self.open()
        loop = asyncio.get_running_loop()
        until = loop.time() + self.patience
        while self._client is None or not self._client.is_connected or not self._up.is_set():
            if self._refused or self._closed or loop.time() >= until:
                raise LogUnreachable(self._away())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._up.wait(), 0.25)
            await asyncio.sleep(0.005)
        return self._client

    async def _connect(self) -> None:
        """Make a client. nats-py with endless reconnects never gives up on the first connection either, so it gets
        `connect_timeout`, and a refusal ends it at once."""
        client = _Client()
        self._refused = ""
        attempt = asyncio.ensure_future(self._dial(client))
        try:
            until = asyncio.get_running_loop().time() + self.connect_timeout
            while not attempt.done():
                await asyncio.wait([attempt], timeout=0.05)
                if self._refused or asyncio.get_running_loop().time() >= until:
                    raise LogUnreachable(self._away())
            attempt.result()
            if self.replicas == 0:
                self.replicas = 3 if client._server_info.get("cluster") else 1
            self._inbox = client.new_inbox()
            self._client = client
            await client.listen(f"{self._inbox}.*", self._on_answer, self.pending_bytes)
            for wanted in self._subscriptions:
                await self._attach(client, wanted)
            await client.flush()
        except (nats.errors.Error, OSError) as error:
            self._client = None
            self._trouble = self._trouble or str(error)
            raise LogUnreachable(self._away()) from error
        finally:
            if self._client is not client:
                attempt.cancel()
                await asyncio.gather(attempt, return_exceptions=True)
                with contextlib.suppress(Exception):
                    await client.close()
        self._trouble = ""
        self._up.set()

    async def _dial(self, client: Client) -> None:
        access: dict[str, Any] = {"token": self.token or None}
        if self.user:
            access = {"user": self.user, "password": self.password}
        await client.connect(
            self.urls,
            name=self.name,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            closed_cb=self._on_closed,
            # Buffered publishes are sent after a reconnect, long after their callers gave up: no buffer.
            pending_size=-1,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.2,  # type: ignore[arg-type]  # it is slept on, so a float will do
            connect_timeout=max(1, int(self.connect_timeout)),
            ping_interval=20,
            inbox_prefix=self.inbox_prefix,
            **access,
        )

    async def _attach(self, client: _Client, wanted: Subscription) -> None:
        wanted.held = await client.listen(wanted.subject, wanted.receive, self.pending_bytes)

    def _doubt(self) -> None:
        if self._doubting is None:
            self._doubting = asyncio.ensure_future(self._ping())

    async def _ping(self) -> None:
        """After an answer that did not come: a connection that cannot even answer a ping is made anew."""
        client = self._client
        try:
            if client is not None and client.is_connected:
                await client.flush(timeout=1)
        except (nats.errors.Error, OSError):
            if client is not None:
                await client.force_reconnect()
        finally:
            self._doubting = None

    def _on_answer(self, message: Message) -> None:
        self._waiting.receive(message.subject.rpartition(".")[2], message)

    async def _on_error(self, error: Exception) -> None:
        text = str(error).lower()
        if "authorization violation" in text or "authentication" in text:
            self._refused = "authorization violation, " + (
                f"user {self.who} or the password is wrong" if self.who else "the token is wrong or missing"
            )
        elif found := _VIOLATION.search(text):
            self._deny(found[1], found[2])
        elif isinstance(error, nats.errors.SlowConsumerError):
            for wanted in self._subscriptions:
                if wanted.held is error.sub:
                    wanted.missed()
        else:
            self._trouble = str(error) or type(error).__name__

    def _deny(self, verb: str, subject: str) -> None:
        # The server reports a violation once and answers nothing; the library lets the caller wait for its time-out.
        if verb == "publish" and self._waiting.deny(subject):
            return
        self._forbidden.add((verb, subject))
        if verb == "subscription" and subject.startswith(self._inbox.lower()):
            self._refused = f"it does not permit us to receive answers on {subject}"
            self._waiting.end(self._refused)

    async def _on_disconnected(self) -> None:
        self._up.clear()
        self._waiting.end("the connection was lost")

    async def _on_reconnected(self) -> None:
        self._refused = self._trouble = ""
        self._up.set()
        self._returned()

    def _returned(self) -> None:
        for wanted in list(self._subscriptions):
            wanted.missed()
        for call in self._on_return:
            call()

    async def _on_closed(self) -> None:
        """The library gave up for good (any protocol error does that): replace the client."""
        self._up.clear()
        self._waiting.end("the connection was closed")
        if not self._closed and self._rebuilding is None and self._client is not None:
            self._client = None
            self._rebuilding = asyncio.ensure_future(self._rebuild())

    async def _rebuild(self) -> None:
        try:
            while not self._closed:
                try:
                    await self.open()
                    self._returned()
                    return
                except LogUnreachable:
                    await asyncio.sleep(0.5)
        finally:
            self._rebuilding = None
