"""`gome worker`: performs intents that runs elsewhere have put on the work queue.

A worker pulls intents of its roles, folds the run they belong to, performs (`effects` does the counting, spooling and
appending), and acknowledges last; while it works it extends its lease. It refuses intents of a run whose plugins are
pinned to other code than it has. It decides nothing. When it starts it takes up all open runs that give its roles to
workers (`recovery`), so that a thousand of them cost one read of the log and not a thousand; those that begin later are
read one by one. It does not fill the queue: whoever drives a run relays its intents, again when it is taken up again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
import structlog

from gome.events import RunStarted
from gome.kernel.appender import Scribe
from gome.kernel.connect import Connection
from gome.kernel.discovery import codec_for, pin
from gome.kernel.effects import Performer, Workshop
from gome.kernel.errors import GomeError, PluginError
from gome.kernel.live import LiveRun
from gome.kernel.plugin import Plugin
from gome.kernel.pools import CorePool, DevicePool
from gome.kernel.queue import Queue, WorkItem
from gome.kernel.recovery import Opened, recover
from gome.kernel.snapshot import restored
from gome.kernel.start import first_event, plugins_of, workshop
from gome.kernel.state import RunState

LEASE = 30.0
"""Seconds after which an intent whose worker is silent is given to another one."""
REFUSED = 10.0
"""Seconds until an intent that this worker may not perform is offered again."""


class _Kit:
    """What runs by the same plugins share in this process."""

    def __init__(self, plugins: list[Plugin], shop: Workshop) -> None:
        self.plugins = plugins
        self.codec = codec_for(plugins)
        self.shop = shop

    def empty(self, run: str, text: Callable[[str], str]) -> RunState:
        """The state of a run of which nothing has been read."""
        return RunState(run, self.codec, (), text)


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
        self._kits: dict[tuple[object, ...], _Kit] = {}
        self._cores, self._devices = CorePool(capacity), DevicePool()  # of the machine, whatever the plugins are
        self._opening = anyio.Lock()
        self._log = structlog.get_logger("gome.worker")

    async def run(self) -> None:
        """Pull and perform until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._recover, group)
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
            kit = self._kit(started)
            c = self.connection
            state = await restored(c.snapshots, c.log, kit.plugins, lambda: kit.empty(run, c.artifacts.text))
            live = self._live(state, kit)
            await live.load()
            return self._keep(live, kit, group)

    async def _recover(self, group: anyio.abc.TaskGroup) -> None:
        """Take up what is open, beside the work that comes meanwhile; without it, runs are read as their items come."""
        try:
            found = await recover(self.connection, self._wanted)
        except GomeError as error:
            self._log.warning("open runs were not taken up at once", reason=str(error))
            return
        async with self._opening:
            for run, state in found.items():
                if run not in self._runs and state.started is not None:
                    kit = self._kit(state.started)
                    self._keep(self._live(state, kit), kit, group)

    def _wanted(self, run: str, started: RunStarted) -> Opened | None:
        """An empty state for a run that gives one of our roles to workers, and whose plugins are here."""
        if not any(started.performers.get(role) == "queue" for role in self.roles):
            return None
        try:
            kit = self._kit(started)
        except PluginError as error:
            self._log.warning("a run cannot be worked for", run=run, reason=str(error))
            return None
        return kit.empty(run, self.connection.artifacts.text), kit.plugins

    def _kit(self, started: RunStarted) -> _Kit:
        key = (*sorted(started.roles.items()), *sorted(p.name for p in started.plugins))
        if key not in self._kits:
            plugins = plugins_of(started)
            shop = workshop(self.connection, plugins, self._cores, self._devices, self.unsafe)
            self._kits[key] = _Kit(plugins, shop)
        return self._kits[key]

    def _live(self, state: RunState, kit: _Kit) -> LiveRun:
        c = self.connection
        scribe = Scribe(state.run, state.codec, c.artifacts, kit.shop.process, c.tenant)
        return LiveRun(c.log, state, scribe, c.time)

    def _keep(self, live: LiveRun, kit: _Kit, group: anyio.abc.TaskGroup) -> _Known:
        known = self._runs[live.run] = _Known(live, kit.shop)
        if live.state.started is not None:
            kit.shop.prepare(live.state.started, lambda role: role in self.roles)
        group.start_soon(self._follow, known)
        return known

    async def _follow(self, known: _Known) -> None:
        with known.scope:
            await known.live.follow()
