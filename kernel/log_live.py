"""Records as they are stored, for everybody in this process who follows a run: one subscription, many followers.

The stream republishes what it stores; one subscription of a log object receives all of it and hands records to the
followers of their run. What arrives here is only fast, never trusted: a follower that sees a gap, or is told that
something may have been missed, reads from the log (`gome.kernel.log_jetstream`).
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gome.kernel.answers import Message
from gome.kernel.log import Known

if TYPE_CHECKING:
    from gome.kernel.jetstream import Connection, Subscription

_BUFFERED = 8 * 1024 * 1024
"""Bytes kept for one follower that does not come along; beyond it, it is told to read instead."""


@dataclass(eq=False)
class Follower:
    """What has arrived for one follower. `behind` says that it must read from the log before it goes on. One that has
    come somewhere by other means (`known`) is not woken for what it has."""

    run: str
    known: Known | None = None
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

    def look(self) -> None:
        """Wake the follower if there is something new for it."""
        if self.known is not None:
            revision = self.known().revision
            while self._arrived and self._arrived[0][0] <= revision:
                self.take()
        if self._arrived:
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
        self._appending: Counter[str] = Counter()
        self.closed = False

    @contextmanager
    def follower(self, run: str, known: Known | None = None) -> Iterator[Follower]:
        """A follower of a run, for as long as the context lasts."""
        follower = Follower(run, known)
        self._followers.setdefault(run, set()).add(follower)
        try:
            yield follower
        finally:
            self._followers[run].discard(follower)
            if not self._followers[run]:
                del self._followers[run]

    @contextmanager
    def appending(self, run: str) -> Iterator[None]:
        """While an append of ours is under way: a follower that knows our own records looks when whoever appended has
        folded the answer. The record arrives before it, and folding it twice is a third of a commit's cost."""
        self._appending[run] += 1
        try:
            yield
        finally:
            self._appending[run] -= 1
            if not self._appending[run]:
                del self._appending[run]
                asyncio.get_running_loop().call_soon(self._look, run)

    def _look(self, run: str) -> None:
        if run not in self._appending:
            for follower in self._followers.get(run, ()):
                follower.look()

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

    def _receive(self, message: Message) -> None:
        run = message.subject.split(".")[self._run_token]
        followers = self._followers.get(run)
        if followers and message.headers:
            revision = int(message.headers["Nats-Sequence"])
            for follower in followers:
                follower.push(revision, message.data, message.subject)
                if follower.known is None or run not in self._appending:
                    follower.look()
