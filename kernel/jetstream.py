"""One connection to a NATS server, with the traps of the client library closed. The only home of `import nats`.

What it adds to nats-py: requests that were sent and lost their answer are told apart from requests that never left
(`Unanswered` and plain `LogUnreachable`), nobody waits on a future that nobody will resolve (a broken connection ends
all of them at once), a permission violation or a wrong token becomes an error that says so, nothing is buffered while
the server is away, and a client that closed for good is replaced, with its subscriptions. The logs
(`gome.kernel.log_jetstream`) and the work queue (`gome.kernel.queue`) share one connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from gome.kernel.errors import GomeError, LogUnreachable, OversizeRecord

Receive = Callable[[Msg], Awaitable[None]]
_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"')
GATHERS = 6
"""Answers of many messages at once, per connection: the server cuts off a client that has 64 MiB outstanding."""
_PENDING_BYTES = 64 * 1024 * 1024


class Unanswered(LogUnreachable):
    """A request was sent and its answer did not come: whether it took effect is unknown."""


class ApiError(GomeError):
    """JetStream refused a request. `code` is its error code (10071, …), `status` the HTTP-like class."""

    def __init__(self, code: int, status: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.status = status


@dataclass(eq=False)
class Subscription:
    """Interest in a subject that outlives reconnects and replaced clients. `missed` is called when messages may have
    been lost: after a reconnect, or when the local buffer of `pending_bytes` overflowed."""

    subject: str
    receive: Receive
    missed: Callable[[], None]
    pending_bytes: int = _PENDING_BYTES
    held: Any = None


@dataclass(eq=False)
class _Asked:
    """A request on its way: the future of its last message, and those before it when there may be several."""

    subject: str
    future: asyncio.Future[Msg]
    parts: list[Msg] | None = None
    timer: asyncio.TimerHandle | None = None
    seen: int = 0


@dataclass(eq=False)
class Connection:
    """A connection to `url`, made on the first request. Times are in seconds: `connect_timeout` for the first
    connection, `timeout` for one answer, `patience` for the server to come back before an error is raised."""

    url: str
    token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    name: str = "gome"
    inbox_prefix: str = "_INBOX"
    connect_timeout: float = 3.0
    timeout: float = 5.0
    patience: float = 15.0
    pending_bytes: int = _PENDING_BYTES
    _client: Client | None = None
    _inbox: str = ""
    _counter: int = 0
    _users: int = 0
    _closed: bool = False
    _refused: str = ""
    _trouble: str = ""
    _up: asyncio.Event = field(default_factory=asyncio.Event)
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _gathering: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(GATHERS))
    _waiting: dict[str, _Asked] = field(default_factory=dict)
    _forbidden: set[str] = field(default_factory=set)
    _subscriptions: list[Subscription] = field(default_factory=list)
    _on_return: list[Callable[[], None]] = field(default_factory=list)
    _rebuilding: asyncio.Task[None] | None = None
    _doubting: asyncio.Task[None] | None = None

    @property
    def where(self) -> str:
        """The server's address without credentials, for messages to people."""
        parts = urlsplit(self.url if "//" in self.url else f"nats://{self.url}")
        return f"{parts.scheme}://{parts.hostname or ''}" + (f":{parts.port}" if parts.port else "")

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
        if self._client is None:
            async with self._opening:
                if self._client is None:
                    await self._connect()

    async def close(self) -> None:
        """Close for good; whoever waits for an answer gets `Unanswered`."""
        self._closed = True
        for task in (self._rebuilding, self._doubting):
            if task is not None:
                task.cancel()
        client, self._client = self._client, None
        self._end_waiting("the connection was closed")
        if client is not None:
            await client.close()

    async def request(
        self, subject: str, payload: bytes = b"", headers: Mapping[str, str] | None = None, timeout: float = 0.0
    ) -> Msg:
        """Publish and await the answer. Raises `Unanswered` when it may have been received and none came, plain
        `LogUnreachable` when it was surely not: no connection within `patience`, or not permitted."""
        future = asyncio.get_running_loop().create_future()
        return await self._ask(_Asked(subject, future), payload, headers, timeout)

    async def gather(self, subject: str, payload: bytes, timeout: float = 0.0) -> list[Msg]:
        """Publish and await several messages; the last one is the status message that ends the answer. `timeout`
        is the longest silence."""
        asked = _Asked(subject, asyncio.get_running_loop().create_future(), [])
        async with self._gathering:
            last = await self._ask(asked, payload, None, timeout)
        return [*(asked.parts or ()), last]

    async def _ask(
        self, asked: _Asked, payload: bytes, headers: Mapping[str, str] | None, timeout: float
    ) -> Msg:
        client = await self._ready()
        size = headers_size(headers) + len(payload)
        if size > client.max_payload:
            # The library checks the payload alone; the server then closes the connection for good.
            raise OversizeRecord(f"a message of {size:,} bytes exceeds the {client.max_payload:,} of {self.where}")
        self._counter += 1
        token = str(self._counter)
        self._waiting[token] = asked
        self._arm(token, asked, timeout or self.timeout)
        try:
            # The library may write headers of its own into the dict it is given: it gets its own.
            await client.publish(
                asked.subject, payload, reply=f"{self._inbox}.{token}", headers=dict(headers) if headers else None
            )
            return await asked.future
        finally:
            if asked.timer is not None:
                asked.timer.cancel()
            self._waiting.pop(token, None)

    async def send(self, subject: str, payload: bytes = b"", reply: str = "") -> None:
        """Publish without an answer."""
        client = await self._ready()
        await client.publish(subject, payload, reply=reply)

    async def api(self, call: str, body: object = None, *, timeout: float = 0.0) -> dict[str, Any]:
        """Ask `$JS.API.<call>`; asked again while the server is away or starting, so only for requests that may be
        repeated. Raises `ApiError`, `LogUnreachable`."""
        payload = b"" if body is None else msgspec.json.encode(body)
        loop = asyncio.get_running_loop()
        until = loop.time() + self.patience
        while True:
            try:
                return parse(await self.request(f"$JS.API.{call}", payload, timeout=timeout))
            except Unanswered:
                if loop.time() >= until:
                    raise
            except ApiError as error:
                if error.status != 503 or loop.time() >= until:
                    raise
                await asyncio.sleep(0.05)

    def new_inbox(self) -> str:
        """A subject of our own, for answers that keep the subject they were stored under."""
        return f"{self.inbox_prefix}.{uuid.uuid4().hex}"

    def on_return(self, call: Callable[[], None]) -> None:
        """Call this whenever the server is back after having been away."""
        self._on_return.append(call)

    async def subscribe(
        self, subject: str, receive: Receive, missed: Callable[[], None], pending_bytes: int = 0
    ) -> Subscription:
        """Receive a subject's messages until `unsubscribe`; the server knows of it when this returns."""
        client = await self._ready()
        wanted = Subscription(subject, receive, missed, pending_bytes or self.pending_bytes)
        self._subscriptions.append(wanted)
        await self._attach(client, wanted)
        await self.flush()
        if subject.lower() in self._forbidden:
            await self.unsubscribe(wanted)
            raise LogUnreachable(f"{self.where} does not permit us to read {subject}; ask for other credentials")
        return wanted

    async def unsubscribe(self, wanted: Subscription) -> None:
        """End a subscription; doing so twice, or without a server, is fine."""
        if wanted in self._subscriptions:
            self._subscriptions.remove(wanted)
            with contextlib.suppress(nats.errors.Error):
                await wanted.held.unsubscribe()

    async def flush(self) -> None:
        """Wait until the server has processed what was sent; a connection lost meanwhile is somebody else's news."""
        client = await self._ready()
        with contextlib.suppress(nats.errors.Error, OSError):
            await client.flush(timeout=max(1, int(self.timeout)))

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
            return f"the event log at {self.where} refuses us: {self._refused}; check the token (`gome doctor`)"
        reason = f" ({self._trouble})" if self._trouble else ""
        return (
            f"no event log answers at {self.where}{reason}; start a server there, or leave the URL out to let gome "
            "start its own (`gome doctor` tells more)"
        )

    async def _ready(self) -> Client:
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
        client = Client()
        self._refused = ""
        options: dict[str, Any] = {"token": self.token or None}
        if self.user:
            options = {"user": self.user, "password": self.password}
        attempt = asyncio.ensure_future(
            client.connect(
                self.url,
                name=self.name,
                error_cb=self._on_error,
                disconnected_cb=self._on_disconnected,
                reconnected_cb=self._on_reconnected,
                closed_cb=self._on_closed,
                # Buffered publishes are sent after a reconnect, long after their callers gave up: no buffer.
                pending_size=-1,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,  # type: ignore[arg-type]  # slept on, so a float will do
                connect_timeout=max(1, int(self.connect_timeout)),
                ping_interval=20,
                inbox_prefix=self.inbox_prefix,
                **options,
            )
        )
        try:
            until = asyncio.get_running_loop().time() + self.connect_timeout
            while not attempt.done():
                await asyncio.wait([attempt], timeout=0.05)
                if self._refused or asyncio.get_running_loop().time() >= until:
                    raise LogUnreachable(self._away())
            attempt.result()
            self._inbox = client.new_inbox()
            self._client = client
            await client.subscribe(
                f"{self._inbox}.*", cb=self._on_answer, pending_bytes_limit=self.pending_bytes
            )
            for wanted in self._subscriptions:
                await self._attach(client, wanted)
            await client.flush()
        except (nats.errors.Error, OSError) as error:
            self._trouble = self._trouble or str(error)
            raise LogUnreachable(self._away()) from error
        finally:
            if not attempt.done():
                attempt.cancel()
                with contextlib.suppress(BaseException):
                    await attempt
            if self._client is not client:
                with contextlib.suppress(Exception):
                    await client.close()
        self._trouble = ""
        self._up.set()

    async def _attach(self, client: Client, wanted: Subscription) -> None:
        wanted.held = await client.subscribe(
            wanted.subject, cb=wanted.receive, pending_bytes_limit=wanted.pending_bytes
        )

    def _arm(self, token: str, asked: _Asked, timeout: float) -> None:
        # A timer instead of asyncio.timeout: it costs half, and this is the path of every append.
        asked.timer = asyncio.get_running_loop().call_later(timeout, self._expire, token, timeout)

    def _expire(self, token: str, timeout: float) -> None:
        asked = self._waiting.get(token)
        if asked is None or asked.future.done():
            return
        if asked.parts is not None and len(asked.parts) > asked.seen:
            asked.seen = len(asked.parts)
            self._arm(token, asked, timeout)
            return
        asked.future.set_exception(Unanswered(f"{self.where} did not answer {asked.subject} within {timeout:g} s"))
        if self._doubting is None:
            self._doubting = asyncio.ensure_future(self._doubt())

    async def _doubt(self) -> None:
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

    def _end_waiting(self, reason: str) -> None:
        for asked in list(self._waiting.values()):
            if not asked.future.done():
                asked.future.set_exception(Unanswered(f"{self.where} did not answer {asked.subject}: {reason}"))

    async def _on_answer(self, message: Msg) -> None:
        asked = self._waiting.get(message.subject.rpartition(".")[2])
        if asked is None or asked.future.done():
            return
        if asked.parts is not None and not (message.headers and "Status" in message.headers):
            asked.parts.append(message)
        else:
            asked.future.set_result(message)

    async def _on_error(self, error: Exception) -> None:
        text = str(error).lower()
        if "authorization violation" in text or "authentication" in text:
            self._refused = "authorization violation, the token or password is wrong"
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
        if verb == "subscription":
            self._forbidden.add(subject)
        if verb == "subscription" and subject.startswith(self._inbox.lower()):
            self._refused = f"it does not permit us to receive answers on {subject}"
            self._end_waiting(self._refused)
            return
        for asked in list(self._waiting.values()):
            if asked.subject.lower() == subject and not asked.future.done():
                asked.future.set_exception(
                    LogUnreachable(
                        f"{self.where} does not permit us to publish to {asked.subject}; ask for other credentials"
                    )
                )

    async def _on_disconnected(self) -> None:
        self._up.clear()
        self._end_waiting("the connection was lost")

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
        self._end_waiting("the connection was closed")
        if not self._closed and self._rebuilding is None and self._client is not None:
            self._rebuilding = asyncio.ensure_future(self._rebuild())

    async def _rebuild(self) -> None:
        self._client = None
        try:
            while not self._closed:
                try:
                    async with self._opening:
                        if self._client is None:
                            await self._connect()
                    self._returned()
                    return
                except LogUnreachable:
                    await asyncio.sleep(0.5)
        finally:
            self._rebuilding = None


def parse(reply: Msg) -> dict[str, Any]:
    """A JetStream answer as a dict; raises `ApiError` for errors and for "no responders" (status 503)."""
    if reply.headers and not reply.data and reply.headers.get("Status") == "503":
        raise ApiError(0, 503, f"nobody answers {reply.headers.get('Nats-Subject', 'there')}")
    try:
        answer: dict[str, Any] = msgspec.json.decode(reply.data)
    except msgspec.MsgspecError as error:
        raise ApiError(0, 500, f"an answer does not decode: {error}") from error
    if fault := answer.get("error"):
        raise ApiError(fault.get("err_code", 0), fault.get("code", 0), fault.get("description", "unknown error"))
    return answer


def headers_size(headers: Mapping[str, str] | None) -> int:
    """Bytes that headers take in a message."""
    if not headers:
        return 0
    return 14 + sum(len(key.encode()) + len(value.encode()) + 4 for key, value in headers.items())
