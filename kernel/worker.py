"""`gome worker`: performs intents that runs elsewhere have put on the work queue.

A worker pulls intents of its roles, folds the run they belong to, performs (`effects` does the counting, spooling and
appending), and acknowledges last; while it works it extends its lease. It refuses intents of a run whose plugins are
pinned to other code than it has. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import structlog

from gome.kernel.appender import Scribe
from gome.kernel.connect import Connection
from gome.kernel.discovery import codec_for, pin
from gome.kernel.effects import Performer, Workshop
from gome.kernel.live import LiveRun
from gome.kernel.plugin import Plugin
from gome.kernel.queue import Queue, WorkItem
from gome.kernel.start import first_event, plugins_of, workshop
from gome.kernel.state import RunState

LEASE = 30.0
"""Seconds after which an intent whose worker is silent is given to another one."""
REFUSED = 10.0
"""Seconds until an intent that this worker may not perform is offered again."""


class _Known:
    """A run that this worker has folded and follows, with the plugins that may perform in it."""

    def __init__(self, live: LiveRun, shop: Workshop) -> None:
        self.live = live
        self.shop = shop
        self.scope = anyio.CancelScope()
        self.refusals = self._compare()

    def _compare(self) -> dict[str, str]:
        """Roles whose plugin here is not the pinned one, with the reason."""
        started = self.live.state.started
        assert started is not None
        pinned = {p.name: p.digest for p in (self.live.state.pins or started.plugins)}
        return {
            p.role: f"{p.name} here has other code than the run is pinned to"
            for p in self.shop.plugins
            if p.name != "lifecycle" and pinned.get(p.name) != pin(p).digest
        }


class Worker:
    """Performs for `roles`, at most `capacity` intents at once."""

    def __init__(
        self, connection: Connection, queue: Queue, roles: Sequence[str], capacity: int, *, unsafe: bool = False
    ) -> None:
        self.connection = connection
        self.queue = queue
        self.roles = list(roles)
        self.capacity = capacity
        self.unsafe = unsafe
        self.performed = 0
        self._runs: dict[str, _Known] = {}
        self._opening = anyio.Lock()
        self._log = structlog.get_logger("gome.worker")

    async def run(self) -> None:
        """Pull and perform until cancelled."""
        async with anyio.create_task_group() as group:
            async for item in self.queue.pull(self.roles, self.capacity):
                group.start_soon(self._handle, item, group)

    async def _handle(self, item: WorkItem, group: anyio.abc.TaskGroup) -> None:
        log = self._log.bind(run=item.run, kind=item.kind, intent=item.intent[:12])
        known = await self._known(item.run, group)
        if known is None:
            log.warning("no such run in this log")
            await item.term()
            return
        live = known.live
        if not live.state.is_open(item.intent):
            await live.load()
        if not live.state.is_open(item.intent):
            await item.ack()
            return
        if why := known.refusals.get(item.role):
            log.warning("refused", reason=why)
            await item.nak(REFUSED)
            return
        async with anyio.create_task_group() as working:
            working.start_soon(self._extend, item)
            await Performer(live, known.shop).perform(item.intent)
            working.cancel_scope.cancel()
        self.performed += 1
        await item.ack()

    async def _extend(self, item: WorkItem) -> None:
        while True:
            await anyio.sleep(LEASE / 3)
            await item.progress()

    async def _known(self, run: str, group: anyio.abc.TaskGroup) -> _Known | None:
        async with self._opening:
            if run in self._runs:
                return self._runs[run]
            started = await first_event(self.connection, run)
            if started is None:
                return None
            for done in [r for r, k in self._runs.items() if k.live.state.finished is not None]:
                self._runs.pop(done).scope.cancel()
            plugins: list[Plugin] = plugins_of(started)
            codec = codec_for(plugins)
            shop = workshop(self.connection, plugins, self.capacity, self.unsafe)
            state = RunState(run, codec, (), self.connection.artifacts.text)
            scribe = Scribe(run, codec, self.connection.artifacts, shop.process, self.connection.tenant)
            live = LiveRun(self.connection.log, state, scribe, self.connection.time)
            await live.load()
            known = self._runs[run] = _Known(live, shop)
            group.start_soon(self._follow, known)
            return known

    async def _follow(self, known: _Known) -> None:
        with known.scope:
            await known.live.follow()
