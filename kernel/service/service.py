"""One service process: claims submissions in turns of tenants, drives their runs, and hands over what it cannot finish.

A claim that was held by a service that died comes to another one, which finds the run in the log and resumes it; what
has not begun begins there. Told to stop, it claims nothing more, lets runs go on for a while, suspends what is left and
gives it back. Nothing of a run is kept here once it has ended.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import anyio
import msgspec
import structlog

from gome.kernel.connect import Connection, Connections, grades
from gome.kernel.errors import (
    ArtifactMissing,
    Forbidden,
    GomeError,
    LogUnreachable,
    PluginError,
    RunAlive,
    UsageError,
    leaves,
)
from gome.kernel.pools import CorePool, DevicePool
from gome.kernel.request import Request, prepare
from gome.kernel.results import summarise
from gome.kernel.service.claims import Claim, Claims
from gome.kernel.service.fair import Turns
from gome.kernel.service.requests import request_of
from gome.kernel.service.submission import NOTHING, Ended, Outcome, Spent
from gome.kernel.service.submissions import WAKE, Submissions
from gome.kernel.service.tenants import Tenants
from gome.kernel.settings import Settings
from gome.kernel.start import Launch, Launcher, new_nonce

IDLE = 2.0
"""Seconds after which a service looks for submissions by itself, should nobody have told it of one."""
AGAIN = 3.0
"""Seconds until a run is offered again that another process still holds."""
TRIES = 12
"""How often one service takes up a run that comes to rest by itself, or whose driving fails, before it counts as
failed: further and further apart, half an hour in all."""
LONGEST = 300.0
SETTLE = 30.0
"""Seconds for suspended runs to come to rest before their service goes all the same."""


class _Rests(GomeError):
    """A run came to rest by itself and is open."""


@dataclass(eq=False)
class _Driven:
    """A run of this process; `launch` is None while it is being prepared."""

    claim: Claim
    launch: Launch | None = None
    leaving: str = ""

    def leave(self, reason: str) -> None:
        """Come to rest, for others to go on."""
        self.leaving = reason
        if self.launch is not None:
            self.launch.session.suspend(reason)


class Service:
    """Drives submissions of `tenants`, at most `capacity` runs at once."""

    def __init__(self, connection: Connection, settings: Settings, tenants: Tenants, capacity: int) -> None:
        assert connection.nats is not None
        self.connections = Connections(connection)
        self.submissions = Submissions(connection.nats, connection.time.now)
        self.capacity = capacity
        self.ended = 0
        self.handed_over = 0
        self.stopping = False
        self._nats = connection.nats
        self._settings = settings
        self.tenants = tenants
        self._claims = Claims(connection.nats, tenants.by_name, settings.lease)
        self._turns = Turns({tenant.name: tenant.weight for tenant in tenants.by_name.values()})
        self._cores, self._devices = CorePool(settings.capacity), DevicePool()
        self._driven: dict[str, _Driven] = {}
        self._failures: Counter[str] = Counter()
        self._deadline = float("inf")
        self._nudged = anyio.Event()
        self._log = structlog.get_logger("gome.service")

    @property
    def driven(self) -> list[str]:
        """Ids of the runs that this process drives."""
        return list(self._driven)

    async def run(self) -> None:
        """Claim and drive until `stop` was called and nothing is driven any more. Raises `Forbidden` where credentials
        do not do."""
        await self.submissions.prepare()
        waking = await self._nats.subscribe(WAKE, lambda _: self._nudge(), self._nudge)
        async with anyio.create_task_group() as group:
            while not self.stopping:
                nudged = self._nudged = anyio.Event()
                if (claim := await self._next()) is not None:
                    if (driven := self._driven.get(claim.submitted.run)) is not None:
                        driven.claim = claim  # our lease had run out unnoticed
                        continue
                    driven = self._driven[claim.submitted.run] = _Driven(claim)
                    group.start_soon(self._drive, driven)
                    continue
                with anyio.move_on_after(IDLE):
                    await nudged.wait()
            await self._nats.unsubscribe(waking)
            await self._claims.close()
            with anyio.move_on_at(self._deadline):
                await self._none_driven()
            for driven in self._driven.values():
                driven.leave("the service that drove it was told to stop")
            with anyio.move_on_after(SETTLE):
                await self._none_driven()
            group.cancel_scope.cancel()
        await self.connections.close()

    def stop(self, grace: float) -> int:
        """Claim nothing more, and hand over what has not ended after `grace` seconds; returns how many runs are
        driven."""
        self._deadline = anyio.current_time() + grace
        self.stopping = True
        self._nudge()
        return len(self._driven)

    def _nudge(self) -> None:
        self._nudged.set()

    async def _none_driven(self) -> None:
        while self._driven:
            self._nudged = anyio.Event()
            await self._nudged.wait()

    async def _next(self) -> Claim | None:
        if len(self._driven) >= self.capacity:
            return None
        try:
            return await self._turns.next(self._claims.next)
        except Forbidden:
            raise
        except LogUnreachable as error:
            self._log.warning("submissions cannot be claimed", reason=str(error))
            return None

    async def _drive(self, driven: _Driven) -> None:
        run = driven.claim.submitted.run
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._extend, driven)
                try:
                    await self._through(driven)
                except Exception as error:
                    await self._failed(driven, error)
                group.cancel_scope.cancel()
        finally:
            del self._driven[run]
            self._nudge()

    async def _extend(self, driven: _Driven) -> None:
        while True:
            await anyio.sleep(self._claims.lease / 3)
            await driven.claim.progress()

    async def _through(self, driven: _Driven) -> None:
        """Drive a run as far as it goes, and say how it ended."""
        run, tenant = driven.claim.submitted.run, driven.claim.submitted.tenant
        entry = await self.submissions.find(tenant, run)
        if entry is not None and entry.ended is None:
            ended = await self._launched(driven)
            if ended is None:
                self.handed_over += 1
                await driven.claim.nak()
                return
            if await self.submissions.end(ended):
                self.ended += 1
        self._failures.pop(run, None)
        await driven.claim.ack()

    async def _launched(self, driven: _Driven) -> Ended | None:
        """How a run ended; None when it was left to others."""
        submitted = driven.claim.submitted
        connection = self.connections.of(submitted.tenant)
        request, settings = await anyio.to_thread.run_sync(request_of, submitted, self._settings)
        async with Launcher(connection, settings, self._cores, self._devices) as launcher:
            launch = driven.launch = await launcher.start(request, self._say(submitted.run))
            launch.session.tell = self._say(submitted.run)
            if driven.leaving:
                launch.session.suspend(driven.leaving)
            entry = await self.submissions.find(submitted.tenant, submitted.run)
            state = launch.live.state
            if state.finished is None:
                await self._answers(connection, launch, request)
                if entry is not None and entry.ended is not None:
                    await launch.session.stop("stopped before it began", new_nonce())
                await launch.drive()
            if state.finished is None:
                if driven.leaving or (launch.lease is not None and launch.lease.lost.is_set()):
                    return None
                raise _Rests(f"run {submitted.run} rests: {state.suspended}")
            return await self._end_of(connection, launch)

    async def _answers(self, connection: Connection, launch: Launch, request: Request) -> None:
        """See that the hidden answers are in this home: another service may have prepared the task in its own.
        Preparing is deterministic, so the digest tells whether they are the same."""
        assert launch.live.state.started is not None
        wanted = launch.live.state.started.task.answers
        if not wanted or connection.answers.has(wanted):
            return
        prepared, _ = await anyio.to_thread.run_sync(prepare, request, connection.home)
        try:
            found = connection.answers.put_file(prepared.answers) if prepared.answers else ""
        finally:
            shutil.rmtree(next(iter(prepared.files.values())).parent, ignore_errors=True)
        if found != wanted:
            raise ArtifactMissing(
                f"the hidden answers of run {launch.run} are in the home of the service that began it, and preparing "
                f"{request.spec} here gives others: give all services the same data, or one home's folder vault"
            )

    async def _end_of(self, connection: Connection, launch: Launch) -> Ended:
        state = launch.live.state
        assert state.finished is not None
        found = await grades(connection, launch.run)
        summary = msgspec.to_builtins(summarise(launch.run, state.trajectory, found, state.ledger))
        used = {name: getattr(state.ledger, name) for name in Spent.__struct_fields__ if name != "seconds"}
        spent = Spent(seconds=state.trajectory.active, **used)
        return self._ended(launch.run, connection.tenant, state.finished.outcome, state.finished.reason, spent, summary)

    def _ended(
        self, run: str, tenant: str, outcome: Outcome, reason: str, spent: Spent = NOTHING, summary: object = None
    ) -> Ended:
        now = self.connections.of(tenant).time.now()
        return Ended(run, tenant, now, outcome, reason, spent, summary if isinstance(summary, dict) else {})

    async def _failed(self, driven: _Driven, error: Exception) -> None:
        """Give a run back, or say that it failed when going on is of no use."""
        submitted, found = driven.claim.submitted, leaves(error)
        log = self._log.bind(run=submitted.run, tenant=submitted.tenant)
        if any(isinstance(e, RunAlive | LogUnreachable) for e in found):
            log.info("a run is left to another service for now", reason=str(found[0]))
            await driven.claim.nak(AGAIN)
            return
        self._failures[submitted.run] += 1
        tries = self._failures[submitted.run]
        if not all(isinstance(e, GomeError) for e in found):
            log.error("driving a run failed", exc_info=error)
        try:
            began = (await self.connections.of(submitted.tenant).log.head(submitted.run)).seq > 0
            wrong = not began and all(isinstance(e, UsageError | PluginError) for e in found)
            if wrong or tries >= TRIES:
                reason = str(found[0]) if isinstance(found[0], GomeError) else type(found[0]).__name__
                if await self.submissions.end(self._ended(submitted.run, submitted.tenant, "failed", reason)):
                    self.ended += 1
                del self._failures[submitted.run]
                await driven.claim.ack()
                return
        except LogUnreachable as away:
            log.warning("the end of a run cannot be recorded now", reason=str(away))
        delay = min(LONGEST, AGAIN * 2**tries)
        log.warning("a run will be taken up again", reason=str(found[0]), seconds=delay)
        await driven.claim.nak(delay)

    def _say(self, run: str) -> Callable[[str], None]:
        log = self._log.bind(run=run)
        return lambda text: log.info(text)
