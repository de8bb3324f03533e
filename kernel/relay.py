"""From the log to the work queue: offers open intents of roles pinned to `queue` to workers, again if need be.

The log is the outbox; the queue may lose everything at any time. A relay holds what it has offered until the log has a
result, and offers it all once more when the queue says that it lost something. Two relays of one run do no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
import structlog

from gome.events import EffectCancelled, result_id
from gome.kernel.errors import Forbidden, LogUnreachable
from gome.kernel.live import LiveRun

if TYPE_CHECKING:
    from gome.kernel.queue import Queue

AGAIN = 5.0
"""Seconds until an intent is offered again when the queue could not be reached."""
GRACE = 5.0
"""Seconds that a worker has to say that an intent was called off."""
PATIENCE = 10.0
"""Seconds without a sign of a worker after which a person is told."""
BUSY = 60.0
"""The same where workers have begun other work of the role: perhaps they are busy, perhaps they have died."""


class Relay:
    """Carries intents of any number of runs to one queue. `keep` must run beside it. `tell` is given sentences for the
    person who waits, such as that no worker takes what is offered."""

    def __init__(self, queue: Queue, tell: Callable[[str], None]) -> None:
        self.queue = queue
        self.tell = tell
        self._waiting: set[str] = set()
        self._offered: dict[tuple[str, str], tuple[str, str, str]] = {}
        self._log = structlog.get_logger("gome.relay")

    async def carry(self, live: LiveRun, role: str, kind: str, intent: str) -> None:
        """Offer one intent and return when the log has its result."""
        key = (live.run, intent)
        self._offered[key] = (role, kind, live.scribe.tenant)
        try:
            while live.state.is_open(intent):
                try:
                    await self.queue.publish(role, kind, live.run, intent, live.scribe.tenant)
                    break
                except Forbidden:
                    raise
                except LogUnreachable as error:
                    self._log.warning("the work queue does not answer", run=live.run, error=str(error))
                    await live.time.sleep(AGAIN)
            await self._until_taken(live, role, intent)
            await live.changed(lambda: not live.state.is_open(intent) or bool(live.state.open[intent].cancel))
            if live.state.is_open(intent):
                await self._call_off(live, intent)
        finally:
            del self._offered[key]

    async def _until_taken(self, live: LiveRun, role: str, intent: str) -> None:
        """Return when a worker has begun, or the intent wants none any more. A person is told once per role that none
        comes, until one does. (Workers say nothing of a beginning that is repeatable, only of its end.)"""

        def taken() -> bool:
            found = live.state.open.get(intent)
            return found is None or bool(found.starts or found.cancel)

        while not taken():
            busy = self._busy(live, role)
            patience = BUSY if busy else PATIENCE
            with anyio.move_on_after(patience) as waiting:
                await live.changed(lambda busy=busy: taken() or self._busy(live, role) != busy)  # type: ignore[misc]
            if waiting.cancelled_caught:
                if role not in self._waiting:
                    self._waiting.add(role)
                    self.tell(_sentence(role, patience, busy))
                await live.changed(lambda busy=busy: taken() or self._busy(live, role) != busy)  # type: ignore[misc]
        self._waiting.discard(role)

    def _busy(self, live: LiveRun, role: str) -> bool:
        """Whether workers have begun something of this run and role that is not over."""
        offered = (i for (run, i), (of, _, _) in self._offered.items() if (run, of) == (live.run, role))
        return any(i in live.state.open and live.state.open[i].starts for i in offered)

    async def _call_off(self, live: LiveRun, intent: str) -> None:
        """A worker that has the intent says that it was called off; when none does in time, we do."""
        with anyio.move_on_after(GRACE):
            await live.changed(lambda: not live.state.is_open(intent))
        found = live.state.open.get(intent)
        if found is not None:
            attempt = str(getattr(found.event.payload, "attempt", ""))
            gone = EffectCancelled(intent=intent, kind=found.event.type, reason=found.cancel, attempt=attempt)
            said = live.state.codec.saying(result_id(intent), gone, cause=intent, corr=found.event.corr)
            draft = live.scribe.draft("effect", "kernel", intent, [said])
            await live.commit(draft, still=lambda: live.state.is_open(intent))

    async def keep(self) -> None:
        """Offer everything again whenever the queue has lost what it held; runs until cancelled."""
        while True:
            await self.queue.lost.wait()
            self.queue.lost.clear()
            for (run, intent), (role, kind, tenant) in list(self._offered.items()):
                try:
                    await self.queue.publish(role, kind, run, intent, tenant)
                except Forbidden:
                    raise
                except LogUnreachable:
                    self.queue.lost.set()
                    break


def _sentence(role: str, seconds: float, busy: bool) -> str:
    what = f"waiting for a worker for {role}: none has begun what was offered {seconds:g} s ago"
    if busy:
        return f"{what}. Other work of the role is under way, so perhaps all are busy: more workers would help"
    return f"{what}. Is one running (`gome worker --roles {role} …`)? If it refuses this run, its stderr says why"
