"""Records as they are stored, for everybody in this process who follows a run: one subscription, many followers.

The stream republishes what it stores; one subscription of a log object receives all of it and hands records to the
followers of their run. What arrives here is only fast, never trusted: a follower that sees a gap, or is told that
something may have been missed, reads from the log (`gome.kernel.log_jetstream`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gome.kernel.answers import Message

if TYPE_CHECKING:
    from gome.kernel.jetstream import Connection, Subscription

_BUFFERED = 8 * 1024 * 1024
"""Bytes kept for one follower that does not come along; beyond it, it is told to read instead."""


@dataclass(eq=False)
class Follower:
    """What has arrived for one follower. `behind` says that it must read from the log before it goes on."""

    run: str
    behind: bool = True
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    _arrived: deque[tuple[int, bytes, str]] = field(default_factory=deque)
    _size: int = 0

    def push(self, revision: int, stored: bytes, subject: str) -> None:
        """Hand over a record that was just stored."""
        if self._size + len(stored) > _BUFFERED:
            self.miss()
            return
        self._arrived.append((revision, stored, subject))
        self._size += len(stored)
        self.wake.set()

    def miss(self) -> None:
        """Something may not have arrived."""
        self._arrived.clear()
        self._size = 0
        self.behind = True
        self.wake.set()

    def take(self) -> tuple[int, bytes, str] | None:
        """The oldest record that arrived and was not taken."""
        if not self._arrived:
            return None
        arrived = self._arrived.popleft()
        self._size -= len(arrived[1])
        return arrived


class Live:
    """The shared subscription of one log object to `subject` (…<tenant>.<run>.<lane>.<role>)."""

    def __init__(self, connection: Connection, subject: str) -> None:
        self._connection = connection
        self._subject = subject
        self._run_token = subject.split(".").index("*")
        self._followers: dict[str, set[Follower]] = {}
        self._subscription: Subscription | None = None
        self._lock = asyncio.Lock()
        self.closed = False

    @contextmanager
    def follower(self, run: str) -> Iterator[Follower]:
        """A follower of a run, for as long as the context lasts."""
        follower = Follower(run)
        self._followers.setdefault(run, set()).add(follower)
        try:
            yield follower
        finally:
            self._followers[run].discard(follower)
            if not self._followers[run]:
                del self._followers[run]

    async def listen(self) -> None:
        """Subscribe, unless that has been done: what is stored from now on arrives."""
        async with self._lock:
            if self._subscription is None and not self.closed:
                self._subscription = await self._connection.subscribe(self._subject, self._receive, self.miss)

    async def close(self) -> None:
        """End the subscription and wake all followers, which then end."""
        self.closed = True
        self.miss()
        if self._subscription is not None:
            await self._connection.unsubscribe(self._subscription)

    def miss(self) -> None:
        """Tell all followers to read from the log."""
        for followers in self._followers.values():
            for follower in followers:
                follower.miss()

    async def _receive(self, message: Message) -> None:
        followers = self._followers.get(message.subject.split(".")[self._run_token])
        if followers and message.headers:
            revision = int(message.headers["Nats-Sequence"])
            for follower in followers:
                follower.push(revision, message.data, message.subject)
