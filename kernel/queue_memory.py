"""The work queue in one process, with leases on an injected clock: for tests and virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gome.kernel.log import Clock
from gome.kernel.log_checks import check_name
from gome.kernel.queue import REMEMBERED, Answer, Slots, WorkItem


@dataclass(eq=False)
class _Kept:
    """An item in a `MemoryQueue`; `free_at` is when it may be delivered (again)."""

    role: str
    kind: str
    run: str
    intent: str
    tenant: str = ""
    free_at: float = 0.0
    deliveries: int = 0


class MemoryQueue:
    """The work queue in one process, for tests and virtual time. Leases are measured by `clock`; after the clock was
    moved by hand, `expire` has them looked at (otherwise that happens once a second)."""

    def __init__(self, clock: Clock, *, ack_wait: float = 30.0, max_ack_pending: int = 1000) -> None:
        self.lost = asyncio.Event()
        self.lost.set()
        self.lease = ack_wait
        self._clock = clock
        self._max_ack_pending = max_ack_pending
        self._items: list[_Kept] = []
        self._remembered: dict[tuple[str, str, str], float] = {}
        self._changed = asyncio.Condition()
        self._closed = False

    async def publish(self, role: str, kind: str, run: str, intent: str, tenant: str = "") -> None:
        """See `Queue.publish`."""
        check_name("role", role)
        check_name("kind", kind)
        now = self._clock()
        if self._remembered.get((tenant, run, intent), -REMEMBERED) + REMEMBERED > now:
            return
        self._remembered[tenant, run, intent] = now
        self._items.append(_Kept(role, kind, run, intent, tenant))
        await self.expire()

    async def expire(self) -> None:
        """Look at the leases: items whose lease has ended are delivered again."""
        async with self._changed:
            self._changed.notify_all()

    async def pull(
        self, roles: Sequence[str], n: int, stop: asyncio.Event | None = None
    ) -> AsyncGenerator[WorkItem, None]:
        """See `Queue.pull`."""
        slots = Slots(n)
        stop = stop or asyncio.Event()
        while not (self._closed or stop.is_set()):
            if not await _or(slots.some(), stop):
                return
            kept = self._next(roles)
            if kept is None:
                await _or(self._change(), stop)
                continue
            slots.take()
            kept.deliveries += 1
            kept.free_at = self._clock() + self.lease
            answer = self._answering(kept, slots)
            yield WorkItem(kept.role, kept.kind, kept.run, kept.intent, kept.deliveries, answer, kept.tenant)

    async def close(self) -> None:
        """See `Queue.close`."""
        self._closed = True
        await self.expire()

    async def _change(self) -> None:
        """Wait until there is something to look at; a lease may also just run out."""
        with contextlib.suppress(TimeoutError):
            async with self._changed:
                await asyncio.wait_for(self._changed.wait(), 1.0)

    def _next(self, roles: Iterable[str]) -> _Kept | None:
        now = self._clock()
        for role in roles:
            mine = [kept for kept in self._items if kept.role == role]
            if sum(kept.free_at > now and kept.deliveries > 0 for kept in mine) < self._max_ack_pending:
                for kept in mine:
                    if kept.free_at <= now:
                        return kept
        return None

    def _answering(self, kept: _Kept, slots: Slots) -> Answer:
        delivery = kept.deliveries

        async def answer(what: str, delay: float) -> None:
            if what in ("ack", "term"):
                if kept in self._items:
                    self._items.remove(kept)
            elif kept.deliveries == delivery:
                kept.free_at = self._clock() + (self.lease if what == "progress" else delay)
            await self.expire()

        return slots.leased(answer)


async def _or(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Wait for some work, or until `stop` is set; say whether the work was done."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        return working.done()
    finally:
        for waiting in (working, stopping):
            waiting.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
