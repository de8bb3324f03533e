"""What clients may ask a service for, whichever way they came: submit, status, list, result, file, stop, tail, health.

Everything is said of the runs of one tenant: ids of others are unknown ids. Any service answers for any run, since all
it needs is in submissions and log. What a run says is read from the log on demand; how far it is, is folded on from
where it was asked last, for the runs that were asked last.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import anyio
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from gome.events import Head, RunFinished
from gome.kernel.cli.opening import folded, known_types
from gome.kernel.cli.tail import as_line
from gome.kernel.connect import Connection, grades
from gome.kernel.index import Row
from gome.kernel.owner import owner_of
from gome.kernel.report import report
from gome.kernel.results import summarise
from gome.kernel.service.problems import Refused
from gome.kernel.service.requests import check, decode
from gome.kernel.service.service import Service
from gome.kernel.service.submission import Ended, Entry
from gome.kernel.service.submissions import PAGE
from gome.kernel.service.tenants import Tenant
from gome.kernel.settings import Settings
from gome.kernel.state import RunState
from gome.kernel.stopping import ask_to_stop

KEPT = 256
"""Runs whose progress is remembered."""
TAILS = 200
"""Runs that may be followed at once, over one service."""
LOOK = 2.0
"""Seconds of silence after which a tail looks whether its run was stopped before it began."""
RECORDED = 10.0
"""Seconds that whoever drove a run has to record its end after the run's last event."""
FILES = {"best_program.py": "text/x-python", "submission.csv": "text/csv", "REPORT.md": "text/markdown"}
"""What a finished run hands in, with its media type."""


class Status(Struct, frozen=True, omit_defaults=True):
    """How far a run is. `state` is queued, open, suspended, done, stopped or failed; `best` the best accepted
    validation score, or that of what was handed in; times are seconds, `submitted` and `ended` since 1970."""

    run: str
    tenant: str
    task: str
    state: str
    submitted: float
    position: int
    ended: float | UnsetType = UNSET
    reason: str = ""
    metric: str = ""
    best: float | None = None
    steps: int = 0
    accepted: int = 0
    events: int = 0
    seconds: float = 0.0


class Operations:
    """What is offered, over one service process."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self.service = service
        self._settings = settings
        self._rows: OrderedDict[str, Row] = OrderedDict()
        self._tails = 0

    async def submit(self, tenant: Tenant, body: bytes) -> tuple[Status, bool]:
        """Take a submission (JSON); returns its status, and whether it is new."""
        submission = decode(body)
        await anyio.to_thread.run_sync(check, submission, tenant, self._settings)
        entry, fresh = await self.service.submissions.submit(tenant, submission)
        return await self._status(entry), fresh

    async def status(self, tenant: Tenant, run: str) -> Status:
        """How far a run is. Raises `Refused` (404)."""
        return await self._status(await self._entry(tenant, run))

    async def list(self, tenant: Tenant, after: int = 0, limit: int = 20) -> list[Status]:
        """Runs in the order of their submission, those after a position."""
        if not 1 <= limit <= PAGE or after < 0:
            raise Refused(422, f"limit is 1 to {PAGE}, and after a position of an earlier answer")
        entries = await self.service.submissions.page(tenant.name, after, limit)
        return list(await asyncio.gather(*map(self._status, entries)))

    async def result(self, tenant: Tenant, run: str) -> dict[str, Any]:
        """How a run ended, and its summary, hidden score included. Raises `Refused` (409) while it is open."""
        ended = await self._ended(tenant, run)
        files = list(FILES) if ended.summary.get("outcome") in ("done", "stopped") else []
        return {
            "run": run,
            "outcome": ended.outcome,
            "reason": ended.reason,
            "spent": ended.spent,
            "summary": ended.summary,
            "files": files,
        }

    async def file(self, tenant: Tenant, run: str, name: str) -> bytes:
        """A file that a finished run hands in. Raises `Refused`, `ArtifactMissing`."""
        await self._ended(tenant, run)
        if name not in FILES:
            raise Refused(404, f"there is no file {name!r}; there are {', '.join(FILES)}")
        connection = self._connection(tenant)
        if (await connection.log.head(run)).seq == 0:
            raise Refused(404, f"run {run} never began and has no files")
        state = await folded(connection, run)
        trajectory = state.trajectory
        if name == "REPORT.md":
            found = await grades(connection, run)
            return report(summarise(run, trajectory, found, state.ledger), trajectory).encode()
        if trajectory.selected is None:
            raise Refused(404, f"run {run} has handed nothing in")
        if name == "best_program.py":
            return str(trajectory.selected.program).encode()
        return await anyio.to_thread.run_sync(connection.artifacts.get, trajectory.selected.submission.digest)

    async def stop(self, tenant: Tenant, run: str, reason: str = "") -> dict[str, Any]:
        """Ask a run to end with what it has; one that waits ends at once."""
        entry = await self._entry(tenant, run)
        reason = reason[:500] or f"tenant {tenant.name} asked for it"
        if entry.ended is not None:
            return {"run": run, "said": "finished"}
        connection = self._connection(tenant)
        if (await connection.log.head(run)).seq == 0:
            # Should a service be beginning it right now, it sees this before it drives.
            await self.service.submissions.end(Ended(run, tenant.name, connection.time.now(), "stopped", reason))
            return {"run": run, "said": "withdrawn"}
        state = await folded(connection, run)
        resting = bool(state.suspended) or not await self._held(connection, run)
        return {"run": run, "said": await ask_to_stop(connection, state, reason, resting=resting, by="gome serve")}

    async def tail(self, tenant: Tenant, run: str, after: int = 0) -> AsyncGenerator[dict[str, Any], None]:
        """The events of a run behind a position, as they are or come, until it has ended."""
        entry = await self._entry(tenant, run)
        if self._tails >= TAILS:
            raise Refused(429, f"{TAILS} runs are followed here already; try again, or ask for the status")
        self._tails += 1
        try:
            async with aclosing(self._follow(tenant, entry, after)) as lines:
                async for line in lines:
                    yield line
        finally:
            self._tails -= 1

    async def health(self) -> dict[str, Any]:
        """How this process is: what it drives, whether it still claims, whether the log answers."""
        await self.service.submissions.prepare()
        where = self.service.connections.of(next(iter(self.service.tenants.by_name)))
        await where.log.head("health")
        return {
            "ok": True,
            "draining": self.service.stopping,
            "driven": len(self.service.driven),
            "capacity": self.service.capacity,
            "ended": self.service.ended,
        }

    def _connection(self, tenant: Tenant) -> Connection:
        return self.service.connections.of(tenant.name)

    async def _held(self, connection: Connection, run: str) -> bool:
        """Whether anybody drives a run."""
        if not self._settings.nats_url:
            return owner_of(connection.home, run) is not None
        from gome.kernel.lease import KvLease

        assert connection.nats is not None
        return await KvLease(connection.nats, run).owner() is not None

    async def _entry(self, tenant: Tenant, run: str) -> Entry:
        # What is no name would be a subject of another meaning.
        plain = run and len(run) <= 120 and run.replace("-", "").replace("_", "").isalnum() and run.isascii()
        entry = await self.service.submissions.find(tenant.name, run) if plain else None
        if entry is None:
            raise Refused(404, f"tenant {tenant.name} has no run {run[:120]!r}")
        return entry

    async def _ended(self, tenant: Tenant, run: str) -> Ended:
        entry = await self._entry(tenant, run)
        row = None if entry.ended is not None else await self._row(tenant.name, run)
        if row is not None and row.state in ("done", "stopped", "failed"):
            entry = await self._recorded(tenant, run)
        if entry.ended is None:
            raise Refused(409, f"run {run} has not ended; ask for its status, or follow it")
        return entry.ended

    async def _recorded(self, tenant: Tenant, run: str) -> Entry:
        """The entry of a run whose last event has been read: whoever drove it is about to record its end. Without it
        after a while, when the service died in between; then another one records it."""
        with anyio.move_on_after(RECORDED):
            while (entry := await self._entry(tenant, run)).ended is None:
                await anyio.sleep(0.05)
        return entry

    async def _status(self, entry: Entry) -> Status:
        s, ended = entry.submitted, entry.ended
        about = Status(s.run, s.tenant, s.submission.task, "queued", s.at, entry.position)
        if ended is not None:
            told = ended.summary
            return replace(
                about,
                state=ended.outcome,
                ended=ended.at,
                reason=ended.reason,
                metric=told.get("metric", ""),
                best=told.get("score"),
                steps=told.get("steps", 0),
                accepted=told.get("accepted", 0),
                seconds=ended.spent.seconds,
            )
        row = await self._row(s.tenant, s.run)
        if row is None:
            return about
        return replace(
            about,
            state=row.state,
            metric=row.metric,
            best=row.best,
            steps=row.steps,
            accepted=row.accepted,
            events=row.events,
            seconds=row.head.active,
        )

    async def _row(self, tenant: str, run: str) -> Row | None:
        """What the run's log says so far; None when it has not begun."""
        log = self.service.connections.of(tenant).log
        if (await log.head(run)).seq == 0:
            return None
        row = self._rows.pop(run, None) or Row(run=run, head=Head(run))
        async for sealed in log.read(run, row.head if row.head.seq else None):
            row.take(sealed)
        self._rows[run] = row
        while len(self._rows) > KEPT:
            self._rows.popitem(last=False)
        return row

    async def _follow(self, tenant: Tenant, entry: Entry, after: int) -> AsyncGenerator[dict[str, Any], None]:
        run, connection = entry.submitted.run, self._connection(tenant)
        state = RunState(run, known_types(), (), connection.artifacts.text, views=False)
        async with aclosing(connection.log.follow(run)) as records:  # type: ignore[type-var]
            coming = asyncio.ensure_future(anext(records))
            try:
                while True:
                    await asyncio.wait([coming], timeout=LOOK if state.head.seq == 0 else None)
                    if not coming.done():
                        if (await self._entry(tenant, run)).ended is not None:
                            return
                        continue
                    commit, _ = state.apply(coming.result())
                    for event in commit.events:
                        if event.seq > after:
                            yield as_line(run, event)
                    if any(isinstance(event.payload, RunFinished) for event in commit.events):
                        await self._recorded(tenant, run)
                        return
                    coming = asyncio.ensure_future(anext(records))
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
