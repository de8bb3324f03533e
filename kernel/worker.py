"""`gome worker`: performs intents that runs elsewhere have put on the work queue.

A worker pulls intents of its roles, folds the run they belong to, performs (`effects` does the counting, spooling and
appending), and acknowledges last; while it works it extends its lease. It refuses intents of a run whose plugins are
pinned to other code than it has, and says so once. It decides nothing. Told to stop it takes nothing more, finishes
what it has begun, and gives back what it cannot finish in time; that attempt does not count. When it starts it takes
up all open runs that give its roles to workers (`recovery`), so that a thousand of them cost one read of the log and
not a thousand; those that begin later are read one by one. It does not fill the queue: whoever drives a run relays its
intents, again when it is taken up again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import anyio
import structlog

from gome.events import RunStarted
from gome.kernel.appender import Scribe
from gome.kernel.connect import Connection, Connections
from gome.kernel.discovery import codec_for, pin
from gome.kernel.effects import Performer
from gome.kernel.errors import Forbidden, GomeError, LogUnreachable, PluginError, leaves
from gome.kernel.live import LiveRun
from gome.kernel.plugin import Plugin
from gome.kernel.pools import CorePool, DevicePool
from gome.kernel.queue import SHORTEST, Queue, WorkItem
from gome.kernel.recovery import Opened, recover
from gome.kernel.snapshot import restored
from gome.kernel.start import first_event, plugins_of, workshop
from gome.kernel.state import RunState
from gome.kernel.workshop import Workshop

REFUSED = 10.0
"""Seconds until an intent that this worker may not perform is offered again."""
GRACE = 30.0
"""Seconds that what is in flight has to come to its end when a worker is told to stop."""


class _Kit:
    """What runs of one tenant by the same plugins share in this process."""

    def __init__(self, connection: Connection, plugins: list[Plugin], shop: Workshop) -> None:
        self.connection = connection
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
        self._compared: object = None
        self._refusals: dict[str, str] = {}

    def refusal(self, role: str) -> str:
        """Why nothing is performed for a role here: its plugin is not the pinned one. "" when it is. A run may be
        pinned anew while it is open."""
        started = self.live.state.started
        assert started is not None
        pins = self.live.state.pins or started.plugins
        if self._compared is not pins:
            pinned = {p.name: p for p in pins}
            self._refusals = {}
            for mine in (pin(p) for p in self.shop.plugins if p.name != "lifecycle"):
                theirs = pinned.get(mine.name)
                if theirs is None or theirs.digest != mine.digest:
                    self._refusals[mine.role] = (
                        f"plugin {mine.name} {mine.version} here has other code than the run is pinned to "
                        f"({theirs.version if theirs else 'none of that name'})"
                    )
            self._compared = pins
        return self._refusals.get(role, "")


class Worker:
    """Performs for `roles`, at most `capacity` intents at once."""

    def __init__(
        self, connection: Connection, queue: Queue, roles: Sequence[str], capacity: int, *, unsafe: bool = False
    ) -> None:
        self.connection = connection
        self._connections = Connections(connection)
        self.queue = queue
        self.roles = list(roles)
        self.capacity = capacity
        self.unsafe = unsafe
        self.performed = 0
        self.returned = 0
        self._stop = asyncio.Event()
        self._deadline = float("inf")
        self._held: dict[WorkItem, anyio.CancelScope] = {}
        self._under_way: set[tuple[str, str, str]] = set()
        self._idle = anyio.Event()
        self._refused: set[tuple[str, str]] = set()
        self._runs: dict[str, _Known] = {}
        self._kits: dict[tuple[object, ...], _Kit] = {}
        self._cores, self._devices = CorePool(capacity), DevicePool()  # of the machine, whatever the plugins are
        self._opening = anyio.Lock()
        self._log = structlog.get_logger("gome.worker")

    async def run(self) -> None:
        """Pull and perform until cancelled, or until `stop` was called and nothing is in flight any more."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._recover, group)
            async for item in self.queue.pull(self.roles, self.capacity, self._stop):
                self._held[item] = anyio.CancelScope()
                group.start_soon(self._handle, item, group)
            with anyio.move_on_at(self._deadline):
                await self._nothing_held()
            for scope in self._held.values():
                scope.cancel()
            await self._nothing_held()
            group.cancel_scope.cancel()
        await self._connections.close()

    def stop(self, grace: float = GRACE) -> int:
        """Take nothing more, and give back what is not done after `grace` seconds; returns how much is in flight."""
        self._deadline = anyio.current_time() + grace
        self._stop.set()
        return len(self._held)

    async def _nothing_held(self) -> None:
        while self._held:
            self._idle = anyio.Event()
            await self._idle.wait()

    async def _handle(self, item: WorkItem, group: anyio.abc.TaskGroup) -> None:
        performer: Performer | None = None
        scope = self._held[item]
        key = (item.tenant, item.run, item.intent)
        if key in self._under_way:
            # Its lease had run out unnoticed, or a driver that took over offered it again: one of them is enough.
            await item.nak(REFUSED)
            del self._held[item]
            self._idle.set()
            return
        self._under_way.add(key)
        try:
            with scope:
                performer = await self._performer(item, group)
                if performer is not None:
                    await self._perform(item, performer)
            if scope.cancelled_caught:
                if performer is not None:
                    await performer.give_back(item.intent)
                self.returned += 1
                await item.nak()
        finally:
            self._under_way.discard(key)
            del self._held[item]
            self._idle.set()

    async def _perform(self, item: WorkItem, performer: Performer) -> None:
        try:
            async with anyio.create_task_group() as working:
                working.start_soon(self._extend, item)
                await performer.perform(item.intent)
                working.cancel_scope.cancel()
        except ExceptionGroup as failed:
            found = leaves(failed)
            if any(not isinstance(error, GomeError) or isinstance(error, LogUnreachable) for error in found):
                raise
            # A store that is away, a full disk: what has been worked for is in the spool, and another may be luckier.
            await self._refuse(item, str(found[0]), "see to it, or stop this worker")
            return
        self.performed += 1
        await item.ack()

    async def _performer(self, item: WorkItem, group: anyio.abc.TaskGroup) -> Performer | None:
        """Who performs an item; None where there is nothing to perform here, which the queue has then been told."""
        try:
            known = await self._known(item.run, item.tenant or self.connection.tenant, group)
            if known is None:
                self._log.warning("no such run in this log", run=item.run)
                await item.term()
                return None
            live = known.live
            if not live.state.is_open(item.intent):
                await live.load()
        except LogUnreachable as error:
            if isinstance(error, Forbidden) and item.tenant not in ("", self.connection.tenant):
                await self._refuse(item, str(error), "give this worker credentials for all tenants, or start others")
                return None
            raise
        except GomeError as error:  # this run's own trouble: others shall not be kept waiting
            await self._refuse(item, str(error), "`gome plugins` and `gome doctor` show what is here")
            return None
        if not live.state.is_open(item.intent):
            await item.ack()
            return None
        if why := known.refusal(item.role):
            advice = f"install here what the run was started with, or go on with it here: gome run --resume {item.run}"
            await self._refuse(item, why, advice)
            return None
        return Performer(live, known.shop)

    async def _refuse(self, item: WorkItem, why: str, advice: str) -> None:
        """Leave an item to others, and say why once for a run and role."""
        if (item.run, item.role) not in self._refused:
            self._refused.add((item.run, item.role))
            told = f"work for {item.role} is refused and left to other workers"
            self._log.warning(told, run=item.run, reason=why, advice=advice)
        await item.nak(REFUSED)

    async def _extend(self, item: WorkItem) -> None:
        while True:
            # Another worker or the driver may have made leases that are shorter than this one would.
            await anyio.sleep(min(self.queue.lease, SHORTEST) / 3)
            await item.progress()

    async def _known(self, run: str, tenant: str, group: anyio.abc.TaskGroup) -> _Known | None:
        async with self._opening:
            key = run if tenant == self.connection.tenant else f"{tenant}/{run}"
            if key in self._runs:
                return self._runs[key]
            c = self._connections.of(tenant)
            started = await first_event(c, run)
            if started is None:
                return None
            for done in [r for r, k in self._runs.items() if k.live.state.finished is not None]:
                self._runs.pop(done).scope.cancel()
            kit = self._kit(started, c)
            state = await restored(c.snapshots, c.log, kit.plugins, lambda: kit.empty(run, c.artifacts.text))
            live = self._live(state, kit)
            await live.load()
            return self._keep(key, live, kit, group)

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
                    kit = self._kit(state.started, self.connection)
                    self._keep(run, self._live(state, kit), kit, group)

    def _wanted(self, run: str, started: RunStarted) -> Opened | None:
        """An empty state for a run that gives one of our roles to workers, and whose plugins are here."""
        if not any(started.performers.get(role) == "queue" for role in self.roles):
            return None
        try:
            kit = self._kit(started, self.connection)
        except PluginError as error:
            self._log.warning("a run cannot be worked for", run=run, reason=str(error))
            return None
        return kit.empty(run, self.connection.artifacts.text), kit.plugins

    def _kit(self, started: RunStarted, connection: Connection) -> _Kit:
        key = (connection.tenant, *sorted(started.roles.items()), *sorted(p.name for p in started.plugins))
        if key not in self._kits:
            plugins = plugins_of(started)
            shop = workshop(connection, plugins, self._cores, self._devices, self.unsafe)
            self._kits[key] = _Kit(connection, plugins, shop)
        return self._kits[key]

    def _live(self, state: RunState, kit: _Kit) -> LiveRun:
        c = kit.connection
        scribe = Scribe(state.run, state.codec, c.artifacts, kit.shop.process, c.tenant)
        return LiveRun(c.log, state, scribe, c.time)

    def _keep(self, key: str, live: LiveRun, kit: _Kit, group: anyio.abc.TaskGroup) -> _Known:
        known = self._runs[key] = _Known(live, kit.shop)
        if live.state.started is not None:
            kit.shop.prepare(live.state.started, lambda role: role in self.roles)
        group.start_soon(self._follow, key, known)
        return known

    async def _follow(self, key: str, known: _Known) -> None:
        with known.scope:
            try:
                await known.live.follow()
            except LogUnreachable:
                raise
            except GomeError as error:  # read again, and refused, when its next item comes
                self._log.warning("a run is not followed any more", run=known.live.run, reason=str(error))
                self._runs.pop(key, None)
