"""One NATS client, kept: made on the first use, told apart when it is away or refused, replaced when it is gone.

nats-py never gives up on a first connection, buffers what is published while the server is away, and closes its client
for good over any protocol error. Here each of these ends in a sentence or in a new client. What is asked and received
over the client is not known here: `gome.kernel.jetstream`, which makes a link, is told when to subscribe, when no
answer will come any more and when something may have been missed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import nats.errors

from gome.kernel.errors import LogUnreachable
from gome.kernel.nats_client import DirectClient


@dataclass(eq=False, kw_only=True)
class Link:
    """A client for `url` (or for the first that answers of several with commas between). Times are in seconds:
    `connect_timeout` for the first connection, `patience` for the server to come back.

    `begin` subscribes over a client that has just been made, `end` is told why no answer will come any more, `returned`
    is called when the server is back after having been away, and `notice` takes the library's errors that are not about
    who we are; it says whether it has understood one."""

    url: str
    token: str = field(repr=False)
    user: str
    password: str = field(repr=False)
    name: str
    inbox_prefix: str
    connect_timeout: float
    patience: float
    begin: Callable[[DirectClient], Awaitable[None]]
    end: Callable[[str], None]
    returned: Callable[[], None]
    notice: Callable[[Exception], bool]

    def __post_init__(self) -> None:
        self.client: DirectClient | None = None
        """The client as it is now, connected or not."""
        self.refused = ""
        """Why the server does not let us in; "" when it does, or is away."""
        self._trouble = ""
        self._closed = False
        self._up = asyncio.Event()
        self._opening = asyncio.Lock()
        self._rebuilding: asyncio.Task[None] | None = None
        self._doubting: asyncio.Task[None] | None = None

    @property
    def urls(self) -> list[str]:
        """Each address, with a scheme."""
        return [url if "//" in url else f"nats://{url}" for url in self.url.split(",")]

    @property
    def where(self) -> str:
        """The server's address (or the cluster's) without credentials, for messages to people."""
        parts = [urlsplit(url) for url in self.urls]
        return ",".join(f"{p.scheme}://{p.hostname or ''}" + (f":{p.port}" if p.port else "") for p in parts)

    @property
    def who(self) -> str:
        """The user that we are for the server; "" with a token or without credentials."""
        return self.user or urlsplit(self.urls[0]).username or ""

    async def open(self) -> None:
        """Connect if that has not been done; raises `LogUnreachable` within `connect_timeout`."""
        async with self._opening:
            if self.client is None:
                await self._connect()

    async def close(self) -> None:
        """Close for good."""
        self._closed = True
        for task in (self._rebuilding, self._doubting):
            if task is not None:
                task.cancel()
        client, self.client = self.client, None
        self.end("the connection was closed")
        if client is not None:
            await client.close()

    async def ready(self) -> DirectClient:
        """The client, connected. nats-py takes a publish without awaiting anything first, so none is refused. Raises
        `LogUnreachable` when the server is not back within `patience`."""
        client = self.client
        if client is not None and client.is_connected and self._up.is_set():
            return client
        if client is None and self._rebuilding is None and not self._closed:
            await self.open()
        loop = asyncio.get_running_loop()
        until = loop.time() + self.patience
        while self.client is None or not self.client.is_connected or not self._up.is_set():
            if self.refused or self._closed or loop.time() >= until:
                raise self.away()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._up.wait(), 0.25)
            await asyncio.sleep(0.005)
        return self.client

    async def up(self) -> None:
        """Wait until there is a connection, however long; `LogUnreachable` when the server refuses us."""
        while not self._up.is_set():
            if self.refused or self._closed:
                raise self.away()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._up.wait(), 1.0)

    def away(self) -> LogUnreachable:
        """The error for a server that cannot be reached, with what is known of the reason."""
        if self._closed:
            return LogUnreachable(f"the connection to the event log at {self.where} was closed")
        if self.refused:
            given = "GOME_NATS_USER and GOME_NATS_PASSWORD" if self.who else "the token in GOME_NATS_TOKEN"
            return LogUnreachable(
                f"the event log at {self.where} refuses us: {self.refused}; check {given} (`gome doctor`)"
            )
        reason = f" ({self._trouble})" if self._trouble else ""
        return LogUnreachable(
            f"no event log answers at {self.where}{reason}; start a server there, or leave the URL out to let gome "
            "start its own (`gome doctor` tells more)"
        )

    def doubt(self) -> None:
        """An answer did not come: a connection that cannot even answer a ping is made anew."""
        if self._doubting is None:
            self._doubting = asyncio.ensure_future(self._ping())

    async def _ping(self) -> None:
        client = self.client
        try:
            if client is not None and client.is_connected:
                await client.flush(timeout=1)
        except (nats.errors.Error, OSError):
            if client is not None:
                await client.force_reconnect()
        finally:
            self._doubting = None

    async def _connect(self) -> None:
        """Make a client. nats-py with endless reconnects never gives up on the first connection either, so it gets
        `connect_timeout`, and a refusal ends it at once."""
        client = DirectClient()
        self.refused = ""
        attempt = asyncio.ensure_future(self._dial(client))
        try:
            until = asyncio.get_running_loop().time() + self.connect_timeout
            while not attempt.done():
                await asyncio.wait([attempt], timeout=0.05)
                if self.refused or asyncio.get_running_loop().time() >= until:
                    raise self.away()
            attempt.result()
            self.client = client
            await self.begin(client)
            await client.flush()
        except (nats.errors.Error, OSError) as error:
            self.client = None
            self._trouble = self._trouble or str(error)
            raise self.away() from error
        finally:
            if self.client is not client:
                attempt.cancel()
                await asyncio.gather(attempt, return_exceptions=True)
                with contextlib.suppress(Exception):
                    await client.close()
        self._trouble = ""
        self._up.set()

    async def _dial(self, client: DirectClient) -> None:
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

    async def _on_error(self, error: Exception) -> None:
        text = str(error).lower()
        if "authorization violation" in text or "authentication" in text:
            self.refused = "authorization violation, " + (
                f"user {self.who} or the password is wrong" if self.who else "the token is wrong or missing"
            )
        elif not self.notice(error):
            self._trouble = str(error) or type(error).__name__

    async def _on_disconnected(self) -> None:
        self._up.clear()
        self.end("the connection was lost")

    async def _on_reconnected(self) -> None:
        self.refused = self._trouble = ""
        self._up.set()
        self.returned()

    async def _on_closed(self) -> None:
        """The library gave up for good (any protocol error does that): replace the client."""
        self._up.clear()
        self.end("the connection was closed")
        if not self._closed and self._rebuilding is None and self.client is not None:
            self.client = None
            self._rebuilding = asyncio.ensure_future(self._rebuild())

    async def _rebuild(self) -> None:
        try:
            while not self._closed:
                try:
                    await self.open()
                    self.returned()
                    return
                except LogUnreachable:
                    await asyncio.sleep(0.5)
        finally:
            self._rebuilding = None
