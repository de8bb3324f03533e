"""Starting, resuming and forking runs: from a request to a session that this process drives.

`Launcher` is what `gome run`, `gome serve` and `gome.kernel.run` share. It pins plugins and settings in the first
event, takes the run's owner lock and hands back a `Launch`, which drives the session. What a request comes to is in
`request`; showing progress and writing the result folder are done by the callers (`cli.run`, `results`).
"""

from __future__ import annotations

import contextlib
import platform
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio
import msgspec

from gome.events import (
    IMPORTED,
    ROOT,
    Payload,
    PluginPin,
    PluginsChanged,
    RunStarted,
    SubmissionGraded,
    Task,
    event_id,
)
from gome.kernel.appender import Scribe
from gome.kernel.connect import Connection, Vaults, graded
from gome.kernel.discovery import (
    OPTIONAL_ROLES,
    OWN,
    RUN_ROLES,
    Found,
    alone,
    choose,
    codec_for,
    discover,
    fallbacks_of,
    pin,
)
from gome.kernel.elsewhere import Elsewhere
from gome.kernel.errors import Forbidden, UnknownRun, UsageError
from gome.kernel.fork import Descent, descent, lineage, still_on_record
from gome.kernel.history import commits, first_of
from gome.kernel.live import LiveRun
from gome.kernel.loop import TABLES
from gome.kernel.owner import owner_lock
from gome.kernel.plugin import Plugin
from gome.kernel.pools import CorePool, DevicePool
from gome.kernel.relay import Relay
from gome.kernel.request import Request, environment, new_run_id, prepared_task, queued, resolve_settings
from gome.kernel.rerun import cast, rerun
from gome.kernel.session import Session
from gome.kernel.settings import Settings
from gome.kernel.snapshot import Camera, restored
from gome.kernel.state import RunState
from gome.kernel.tasks import Finding
from gome.kernel.workshop import Workshop

if TYPE_CHECKING:
    from gome.kernel.forking import ForkRequest
    from gome.kernel.lease import KvLease


@dataclass
class Launch:
    """A run that is ready to be driven by this process. `fresh` is False when the log knew it already; `findings` are
    those of the leak check, for a fresh one. `record` goes on with a fork on its parent's recorded results and returns
    why it has to go live ("": it is finished)."""

    run: str
    live: LiveRun
    session: Session
    plugins: list[Plugin]
    fresh: bool
    findings: Sequence[Finding] = ()
    lease: KvLease | None = None
    record: Callable[[], Awaitable[str]] | None = None

    async def drive(self) -> RunState:
        """Drive the run until it is finished or suspended, or until another machine has taken it over."""
        async with anyio.create_task_group() as group:
            if self.lease is not None:
                group.start_soon(self._yield_to_others, self.lease)
            if self.record is None:
                await self.session.drive(new_nonce, resume=not self.fresh)
            elif why := await self.record():
                await self.session.drive(new_nonce, resume=True, reason=why)
            group.cancel_scope.cancel()
        return self.live.state

    async def _yield_to_others(self, lease: KvLease) -> None:
        await lease.lost.wait()
        self.session.suspend(f"the lease on the run was lost: {lease.why}")


def new_nonce() -> str:
    """An id for a command that a client gives."""
    return secrets.token_hex(16)


async def first_event(connection: Connection, run: str) -> RunStarted | None:
    """The run's first event, None when the log has no such run."""
    return await first_of(connection.log, run)


def plugins_of(started: RunStarted, found: Sequence[Found] | None = None) -> list[Plugin]:
    """Today's plugins (`found`: as discovered before) under the names that a run was started with, none for an imported
    one; raises `PluginError` when one is gone."""
    if started.profile == IMPORTED:
        return []
    if any(p.name == rerun.name for p in started.plugins):
        return cast(started.roles)
    if kind := started.kind:
        return [alone(discover() if found is None else found, kind)]
    extra = [p.name for p in started.plugins if p.role == "plugin" and p.name not in OWN]
    return choose(discover() if found is None else found, started.roles, extra=extra, fallbacks=started.fallbacks)


def workshop(
    connection: Connection, plugins: Sequence[Plugin], cores: CorePool, devices: DevicePool, unsafe: bool
) -> Workshop:
    """What performers of this process share."""
    for struct in (*TABLES.values(), *(p.settings for p in plugins if p.settings is not None)):
        # Performers read their settings in threads, and msgspec (0.22) crashes when two meet a struct first at once.
        msgspec.json.Decoder(struct)
    return Workshop(
        plugins=plugins,
        artifacts=connection.artifacts,
        home=connection.home,
        spool=connection.spool,
        cores=cores,
        devices=devices,
        vault=Vaults(connection).of,
        history=lambda run: commits(connection.log, connection.artifacts.text, run),
        elsewhere=Elsewhere(connection).of,
        process=f"{platform.node()}/{secrets.token_hex(3)}",
        unsafe=unsafe,
    )


class Launcher:
    """Starts and resumes runs over one connection; a context manager that holds the owner lock of each. Runs that are
    driven side by side share the machine by sharing `cores` and `devices`; by default each has as many cores as its
    capacity."""

    def __init__(
        self,
        connection: Connection,
        settings: Settings,
        cores: CorePool | None = None,
        devices: DevicePool | None = None,
    ) -> None:
        self.connection = connection
        self.settings = settings
        self._held = contextlib.AsyncExitStack()
        self._cores = cores
        self._devices = devices or DevicePool()

    async def __aenter__(self) -> Launcher:
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self._held.aclose()

    async def own(self, run: str) -> KvLease | None:
        """Be the one process that drives a run, here and, where the log is a server of its own, on its other machines;
        raises `UsageError` naming the other process. Returns the lease that may get lost, None without one."""
        self._held.enter_context(owner_lock(self.connection.home, run))
        if not self.settings.nats_url or self.connection.nats is None:
            return None
        from gome.kernel.lease import KvLease

        # A scorer elsewhere may write to the vault, but only a driver may make it.
        await self.connection.vault.head(run)
        return await self._held.enter_async_context(KvLease(self.connection.nats, run))

    async def start(self, request: Request, say: Callable[[str], None], task: Task | None = None) -> Launch:
        """Start a new run, or take up an open one of the same id. `task` is what the request's specification comes to,
        where somebody has prepared it before (`prepared_task`) for several runs."""
        if request.run and await first_event(self.connection, request.run) is not None:
            return await self.resume(request.run, unsafe=request.unsafe)
        found = discover()
        plugins = choose(found, request.named)
        fallbacks = fallbacks_of(found, plugins, request.fallback) if request.fallback else {}
        if fallbacks:
            plugins = choose(found, request.named, fallbacks=fallbacks)
        performers = {role: "queue" for role in queued(request.settings.get("performers", {}))}
        if request.recording:
            request = await self._as_recorded(request)
        tables = resolve_settings(plugins, request, self.settings)
        findings: Sequence[Finding] = ()
        if task is None:
            say(f"preparing {request.spec}")
            task, findings, _ = await prepared_task(self.connection, request)
        run = request.run or new_run_id(task.name, self.connection.time.now())
        lease = await self.own(run)
        started = RunStarted(
            task=task,
            seed=request.seed,
            budget=request.budget,
            traces=request.traces,
            capacity=self.settings.capacity,
            profile=request.profile,
            plugins=tuple(pin(p) for p in plugins),
            roles={p.role: p.name for p in reversed(plugins) if p.role in (*RUN_ROLES, *OPTIONAL_ROLES)},
            fallbacks=fallbacks,
            performers=performers,
            settings=tables,
            environment=environment(),
        )
        launch = self._launch(run, plugins, fresh=True, unsafe=request.unsafe)
        launch.lease = lease
        launch.findings = findings
        id = event_id(ROOT, "client", 0)
        said = launch.live.state.codec.saying(id, started, corr=id)
        draft = launch.live.scribe.draft("control", "client", ROOT, [said])
        await launch.live.commit(draft, still=lambda: launch.live.state.head.seq == 0)
        return launch

    async def _as_recorded(self, request: Request) -> Request:
        """The request with models asked as in the run that answers, unless a person has set it otherwise: equal
        requests are what finds the recorded replies. Raises `UnknownRun`."""
        started: RunStarted | None = None
        async for commit in commits(self.connection.log, self.connection.artifacts.text, request.recording):
            assert isinstance(commit.events[0].payload, RunStarted)
            started = commit.events[0].payload
            break
        assert started is not None
        asked = {**started.settings.get("completion", {}), **request.settings.get("completion", {})}
        return replace(request, settings={**request.settings, "completion": asked})

    async def resume(self, run: str, *, unsafe: bool = False, plugins: list[Plugin] | None = None) -> Launch:
        """Take up an open run: verify what is recorded with today's plugins, then go on. What a snapshot by just this
        code covers has been verified. A finished one is returned as it is. `plugins` are those of a run of a kind of
        its own, ready to perform here. Raises `UnknownRun`, `Diverged`."""
        started = await first_event(self.connection, run)
        if started is None:
            raise UnknownRun(f"there is no run {run!r} in {self.connection.log.name}; `gome runs` lists them")
        if started.profile == IMPORTED:
            raise UsageError(f"run {run} was recorded elsewhere and imported: there is nothing in it to go on with")
        if plugins is None and (kind := started.kind):
            raise UsageError(f"run {run} is of the plugin {kind}: go on with it by `gome {kind} --resume {run}`")
        lease = await self.own(run)
        plugins = plugins_of(started) if plugins is None else plugins
        c = self.connection
        origin = await descent(c.log, run)
        state = await restored(
            c.snapshots,
            c.log,
            plugins,
            lambda: RunState(run, codec_for(plugins), plugins, c.artifacts.text, joined=origin.joined),
        )
        launch = self._launch(run, plugins, fresh=False, unsafe=unsafe, capacity=started.capacity, state=state)
        launch.lease = lease
        await launch.live.load()
        if launch.live.state.finished is None:
            await self._pins(launch, started)
            if origin.forks and origin.forks[-1][1].substitute and await still_on_record(c.log, run):
                launch.record = await self._on_record(launch, origin)
        return launch

    async def fork(self, request: ForkRequest, say: Callable[[str], None]) -> Launch:
        """Start a run that shares another one's record up to a position and goes on by itself; `say` is told what a
        person should know. Raises `UnknownRun`, `UsageError`, `PluginError`."""
        from gome.kernel.forking import begin, place, plan

        c = self.connection
        where = await place(c.log, request.parent, request.at)
        planned = await plan(c.log, request, where, discover(), c.artifacts.text)
        for text in planned.told:
            say(text)
        run = request.run or new_run_id(planned.descent.root.task.name, c.time.now())
        if (await c.log.head(run)).seq:
            raise UsageError(f"there is a run {run} already: name the fork otherwise with --run")
        codec = codec_for(planned.plugins)
        await begin(c.log, run, where, planned.forked, codec, c.artifacts, c.tenant)
        launch = await self.resume(run, unsafe=request.unsafe)
        launch.fresh = True
        return launch

    async def _on_record(self, launch: Launch, origin: Descent) -> Callable[[], Awaitable[str]]:
        """What drives a fork on its parent's record; grades of scores that it takes over are taken over as well."""
        from gome.kernel.forking import performing
        from gome.kernel.prerecorded import Prerecorded

        c = self.connection
        forked = origin.forks[-1][1]
        others = performing(forked, Descent(origin.root, origin.forks[:-1]).started, launch.plugins)
        known: dict[str, SubmissionGraded] = {}
        with contextlib.suppress(Forbidden):  # whoever may not read grades cannot take them over
            for run, _ in await lineage(c.log, forked.parent):
                async for cause, grade in graded(c.vault, run):
                    known.setdefault(cause, grade)
        vaults = Vaults(c)

        async def take_over(theirs: str, ours: str, attempt: str) -> None:
            if (grade := known.get(theirs)) is not None:
                grade = msgspec.structs.replace(grade, attempt=attempt or grade.attempt)
                await vaults.of(launch.run, ours).record(grade)

        record = Prerecorded(launch.live, forked, take_over, others)
        return lambda: record.perform(c.log)

    async def _pins(self, launch: Launch, started: RunStarted) -> None:
        """Say so when plugins differ from their pins although they decided everything the same way."""
        pinned: tuple[PluginPin, ...] = launch.live.state.pins or started.plugins
        today = tuple(pin(p) for p in launch.plugins)
        if {p.name: p.digest for p in pinned} != {p.name: p.digest for p in today}:
            await launch.session.command(PluginsChanged(plugins=today), new_nonce(), resumes=True)

    async def begin(self, run: str, plugins: list[Plugin], *first: Payload) -> Launch:
        """Own a new run and append what is said first in it, `RunStarted` before all."""
        lease = await self.own(run)
        launch = self._launch(run, plugins, fresh=True, unsafe=False)
        launch.lease = lease
        codec, corr = launch.live.state.codec, event_id(ROOT, "client", 0)
        said = [codec.saying(event_id(ROOT, "client", i), payload, corr=corr) for i, payload in enumerate(first)]
        draft = launch.live.scribe.draft("control", "client", ROOT, said)
        await launch.live.commit(draft, still=lambda: launch.live.state.head.seq == 0)
        return launch

    def _launch(
        self,
        run: str,
        plugins: list[Plugin],
        *,
        fresh: bool,
        unsafe: bool,
        capacity: int | None = None,
        state: RunState | None = None,
    ) -> Launch:
        c = self.connection
        cores = self._cores or CorePool(capacity or self.settings.capacity)
        shop = workshop(c, plugins, cores, self._devices, unsafe)
        state = state or RunState(run, codec_for(plugins), plugins, c.artifacts.text)
        live = LiveRun(c.log, state, Scribe(run, state.codec, c.artifacts, shop.process, c.tenant), c.time)
        session = Session(live, shop, self._relay)
        if c.snapshots is not None:
            session.camera = Camera(c.snapshots, state)
        return Launch(run, live, session, plugins, fresh)

    def _relay(self, tell: Callable[[str], None]) -> Relay:
        if self.connection.nats is None:
            raise UsageError("a role is given to workers, but the log is in memory only; leave out --memory")
        from gome.kernel.queue_jetstream import WorkQueue

        return Relay(WorkQueue(self.connection.nats, ack_wait=self.settings.lease), tell)
