"""The work queue: hints that an intent wants performing, shared by the workers of a role.

The log is the outbox, so the queue may forget: whoever relays intents publishes the open ones again when `lost` is
set. A worker holds an item on a lease that it extends while it works; an item whose lease ends is delivered again.
Whether an intent is still open is read from its run's log, never from here. This is what relay and workers see;
`gome.kernel.queue_jetstream` does it on a server, `gome.kernel.queue_memory` in one process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Answer = Callable[[str, float], Awaitable[None]]
"""What a worker says of an item: ack, nak, progress or term, and a delay in seconds."""
REMEMBERED = 120.0
"""Seconds for which publishing an intent again is noticed and changes nothing."""
SHORTEST = 5.0
"""Seconds of the shortest lease that settings may ask for: whoever extends leases more often than that is safe."""


@dataclass(frozen=True, eq=False)
class WorkItem:
    """An intent to be performed, on a lease. `deliveries` counts from 1; it is no count of attempts, the log has that.

    Exactly one of `ack` (done, forget it), `nak` (deliver it again, after `delay` seconds) and `term` (never again)
    ends the lease; `progress` extends it. None of them raises when the server is away: the lease then runs out.
    """

    role: str
    kind: str
    run: str
    intent: str
    deliveries: int
    _answer: Answer = field(repr=False)
    tenant: str = ""

    async def ack(self) -> None:
        """It is done."""
        await self._answer("ack", 0.0)

    async def nak(self, delay: float = 0.0) -> None:
        """Somebody else shall do it, not before `delay` seconds."""
        await self._answer("nak", delay)

    async def progress(self) -> None:
        """It is being worked on."""
        await self._answer("progress", 0.0)

    async def term(self) -> None:
        """It can never be done."""
        await self._answer("term", 0.0)


class Queue(Protocol):
    """What relay and workers use. `lost` is set when published items may be gone; whoever republishes clears it.
    `lease` is the length in seconds that this end would give to leases; another end may have given them another."""

    lost: asyncio.Event
    lease: float

    async def publish(self, role: str, kind: str, run: str, intent: str, tenant: str = "") -> None:
        """Offer an intent to the workers of a role; doing so again within two minutes changes nothing. `tenant` is
        whose run it is ("": the workers' own)."""
        ...

    def pull(self, roles: Sequence[str], n: int, stop: asyncio.Event | None = None) -> AsyncGenerator[WorkItem, None]:
        """Yield items of some roles as they come; at most `n` of them are on lease at once. Once `stop` is set nothing
        more is asked for, and the iterator ends when what had been asked for has been given to others."""
        ...

    async def close(self) -> None:
        """Let go; iterators end."""
        ...


class Slots:
    """How many items one puller has on lease."""

    def __init__(self, n: int) -> None:
        self._free = n
        self._closed = False
        self._changed = asyncio.Condition()

    async def some(self) -> None:
        """Wait until one is free, or until they are closed."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._free > 0 or self._closed)

    async def close(self) -> None:
        """Nobody needs to wait any more."""
        self._closed = True
        async with self._changed:
            self._changed.notify_all()

    def take(self) -> bool:
        """Take one if one is free."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    async def free(self) -> None:
        """Give one back."""
        async with self._changed:
            self._free += 1
            self._changed.notify_all()

    def leased(self, answer: Answer) -> Answer:
        """`answer` for an item that holds a slot: the word that ends its lease gives the slot back, later ones count
        for nothing."""
        ended = False

        async def once(what: str, delay: float) -> None:
            nonlocal ended
            if ended:
                return
            if what != "progress":
                ended = True
                await self.free()
            await answer(what, delay)

        return once
