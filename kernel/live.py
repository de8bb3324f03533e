"""A run that is alive in this process: its state kept up with the log, and appends that survive lost races.

One `LiveRun` per run and process, shared by whoever decides (`session`) and whoever performs (`effects`, `worker`). All
appends of the process go through its lock, so only foreign writers can cost a race; then the tail is folded and the
same draft is sealed again on the new head, unless what it wanted to say has been said meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import anyio

from gome.events import CancelRequested, Commit, Draft, Event, Sealed
from gome.kernel.appender import Scribe
from gome.kernel.errors import Conflict
from gome.kernel.log import EventLog
from gome.kernel.replay import check
from gome.kernel.state import RunState
from gome.kernel.timekeeping import Time

Observer = Callable[[Commit], None]


def always() -> bool:
    """The condition of a draft that is never overtaken."""
    return True


class LiveRun:
    """State, log and lock of one run. `observers` are called with every commit that is folded, own or foreign."""

    def __init__(self, log: EventLog, state: RunState, scribe: Scribe, time: Time) -> None:
        self.log = log
        self.state = state
        self.scribe = scribe
        self.time = time
        self.run = state.run
        self.observers: list[Observer] = []
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._lock = anyio.Lock(fast_acquire=True)
        self._changed = anyio.Event()
        self._waiting = 0

    def apply(self, sealed: Sealed, *, ours: bool = False) -> None:
        """Fold one record. A decision of one of our deciders that somebody else wrote must be the one we compute; one
        that was sealed from our own draft (`ours`) is it already."""
        commit, given = self.state.apply(sealed)
        for cursor, answer in given:
            if ours and answer is not None and answer.trigger.id == sealed.body.answers:
                continue
            if found := check(self.state.codec, commit, cursor.plugin.name, answer):
                raise found.error(self.run)
        for observer in self.observers:
            observer(commit)
        # A result of our own comes from the very performer that would be stopped, which is about to end anyway.
        if not ours or sealed.body.lane != "effect":
            for event in commit.events:
                self._settle(event)
        self.nudge()

    def _settle(self, event: Event) -> None:
        """Stop whoever works on an intent that is called off or has its result."""
        if isinstance(event.payload, CancelRequested):
            intent = event.payload.intent
        elif self.state.is_open(event.cause):
            return
        else:
            intent = event.cause
        if (scope := self._scopes.get(intent)) is not None:
            scope.cancel()

    @contextlib.contextmanager
    def until_settled(self, intent: str) -> Iterator[anyio.CancelScope]:
        """Work in this block is cancelled when the log says that the intent is called off or has its result."""
        with anyio.CancelScope() as scope:
            self._scopes[intent] = scope
            found = self.state.open.get(intent)
            if found is None or found.cancel:
                scope.cancel()
            try:
                yield scope
            finally:
                del self._scopes[intent]

    def nudge(self) -> None:
        """Let everybody who waits look again."""
        if self._waiting:
            changed, self._changed = self._changed, anyio.Event()
            changed.set()

    async def load(self) -> None:
        """Fold the log up to its present head."""
        async with self._lock:
            await self._catch_up()

    async def _catch_up(self) -> None:
        head = self.state.head
        async for sealed in self.log.read(self.run, head if head.seq else None):
            self.apply(sealed)

    async def follow(self) -> None:
        """Keep folding what others append, until cancelled."""
        async for sealed in self.log.follow(self.run, self.state.head, lambda: self.state.head):
            async with self._lock:
                if sealed.body.seq > self.state.head.seq:
                    self.apply(sealed)

    async def commit(self, draft: Draft, still: Callable[[], bool] = always) -> Sealed | None:
        """Append a draft as soon as nobody else is writing; None when `still` no longer holds, because the log says
        meanwhile what the draft wanted to say."""
        with anyio.CancelScope(shield=True):
            async with self._lock:
                while still():
                    try:
                        sealed = await self.log.append(draft, self.state.head)
                    except Conflict:
                        await self._catch_up()
                        continue
                    if sealed.body.seq == self.state.head.seq + 1:
                        self.apply(sealed, ours=sealed.body.writer == draft.writer)
                    elif sealed.body.seq > self.state.head.seq:
                        await self._catch_up()
                    return sealed
        return None

    async def changed(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds; it is looked at after every fold."""
        while not condition():
            self._waiting += 1
            try:
                await self._changed.wait()
            finally:
                self._waiting -= 1

    def active_now(self) -> float:
        """Active seconds of the run at this moment."""
        head = self.state.head
        return head.active + max(0.0, self.time.now() - head.ts)

    def seconds_left(self) -> float | None:
        """Active seconds until the budget ends, None when it does not."""
        started = self.state.started
        if started is None or started.budget.seconds is None:
            return None
        return started.budget.seconds - self.active_now()
