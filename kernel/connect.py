"""Opening what a run needs: the event log, the vault, artifacts, hidden answers, the spool; and closing it all again.

With no URL configured the embedded server of `$GOME_HOME` is used, with `--memory` nothing leaves the process. Every
command goes through `connect`; nobody else decides where the log is.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gome.events import Head, SubmissionGraded, result_id
from gome.kernel.appender import Scribe
from gome.kernel.artifacts import ArtifactStore, open_store
from gome.kernel.diagnostics import learn
from gome.kernel.discovery import codec_for
from gome.kernel.errors import Conflict, LogUnreachable, leaves
from gome.kernel.fork import WholeLog, lineage
from gome.kernel.log import EventLog
from gome.kernel.log_memory import MemoryLog
from gome.kernel.settings import Settings
from gome.kernel.snapshot import Snapshots
from gome.kernel.spool import Spool
from gome.kernel.timekeeping import RealTime, Time

if TYPE_CHECKING:
    from gome.kernel.jetstream import Connection as NatsConnection

FULL = 2 * 1024 * 1024
"""Free bytes under the home below which trouble with the log is put down to a full disk."""
VAULT_STREAM = "GOME_VAULT"
VAULT_PREFIX = "gome.vault"


@dataclass(frozen=True)
class Connection:
    """Everything durable, opened. `answers` and `vault` are for the scorer and for showing a finished run's grades."""

    log: EventLog
    vault: EventLog
    artifacts: ArtifactStore
    answers: ArtifactStore
    spool: Spool
    home: Path
    time: Time
    tenant: str
    nats: NatsConnection | None = None
    snapshots: Snapshots | None = None


@contextlib.asynccontextmanager
async def connect(settings: Settings, *, memory: bool = False) -> AsyncIterator[Connection]:
    """Open log and stores for the length of the block. Raises `LogUnreachable` when there is no server to be had,
    `UsageError` when the home folder cannot be used."""
    home = settings.home
    time = RealTime()
    artifacts = open_store(settings.artifacts or home / "artifacts", cache=home / "artifacts")
    answers = ArtifactStore(home / "vault", private=True)
    spool = Spool(home / "spool")
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(spool.close)
        if memory:
            log: EventLog = WholeLog(MemoryLog(clock=time.now))
            vault: EventLog = MemoryLog(clock=time.now)
            yield Connection(log, vault, artifacts, answers, spool, home, time, settings.tenant)
            return
        nats = await stack.enter_async_context(_nats(settings))
        log, vault = logs(nats, settings.tenant, time)
        stack.push_async_callback(log.close)
        stack.push_async_callback(vault.close)
        try:
            snapshots = Snapshots(home / "snapshots")
            yield Connection(log, vault, artifacts, answers, spool, home, time, settings.tenant, nats, snapshots)
        except BaseException as error:
            _blame_disk(home, error)
            raise


def _blame_disk(home: Path, error: BaseException) -> None:
    """A server whose disk is full just stops answering; say what a person can do about it."""
    # With a server of its own elsewhere, nothing may have made the home yet.
    if (
        home.exists()
        and shutil.disk_usage(home).free < FULL
        and any(isinstance(e, LogUnreachable | OSError) for e in leaves(error))
    ):
        raise LogUnreachable(
            f"the disk under {home} is full; what was recorded is safe: free some space and go on with "
            "`gome run --resume RUN` (`gome runs` lists them)"
        ) from error


@contextlib.asynccontextmanager
async def _nats(settings: Settings) -> AsyncIterator[NatsConnection]:
    from gome.kernel.jetstream import Connection as NatsConnection
    from gome.kernel.server import embedded_server

    async with contextlib.AsyncExitStack() as stack:
        if settings.nats_url:
            nats = NatsConnection(
                settings.nats_url,
                token=settings.nats_token,
                user=settings.nats_user,
                password=settings.nats_password,
                replicas=settings.replicas,
            )
        else:
            address = await stack.enter_async_context(embedded_server(settings.home))
            learn(address.token)
            nats = NatsConnection(address.url, token=address.token)
        nats.retain()
        stack.push_async_callback(nats.release)
        await nats.open()
        yield nats


def logs(nats: NatsConnection, tenant: str, time: Time) -> tuple[EventLog, EventLog]:
    """The event log and the vault over one connection."""
    from gome.kernel.log_jetstream import JetStreamLog

    log = WholeLog(JetStreamLog(nats, tenant=tenant, replicas=nats.replicas, clock=time.now))
    vault = JetStreamLog(
        nats, stream=VAULT_STREAM, prefix=VAULT_PREFIX, tenant=tenant, replicas=nats.replicas, clock=time.now
    )
    return log, vault


class Connections:
    """A connection per tenant over one connection to the server: log and vault show its runs only."""

    def __init__(self, connection: Connection) -> None:
        self._base = connection
        self._known = {connection.tenant: connection}

    def of(self, tenant: str) -> Connection:
        """The connection of a tenant."""
        if tenant not in self._known:
            assert self._base.nats is not None
            log, vault = logs(self._base.nats, tenant, self._base.time)
            self._known[tenant] = replace(self._base, log=log, vault=vault, tenant=tenant)
        return self._known[tenant]

    async def close(self) -> None:
        """Close what was opened here."""
        for connection in self._known.values():
            if connection is not self._base:
                await connection.log.close()
                await connection.vault.close()


class Vaults:
    """The vault as the performers of one process use it: `of(run, intent)` is what the scorer is handed.

    What a run's chain in the vault holds is remembered and read on from its head, so that a grade that is recorded
    again, after a crash or by a second worker, is stored once at the cost of a look.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._known: dict[str, tuple[Head, set[str]]] = {}

    def of(self, run: str, intent: str) -> Vault:
        """Answers and grades for one intent of a run."""
        return Vault(self, run, intent)

    async def known(self, run: str) -> tuple[Head, set[str]]:
        """Head and record ids of a run's chain, up to date."""
        log = self.connection.vault
        head, ids = self._known.get(run, (Head(run), set()))
        if (await log.head(run)).seq != head.seq:
            async for sealed in log.read(run, head if head.seq else None):
                head = sealed.head
                ids.add(sealed.id)
        self._known[run] = (head, ids)
        return head, ids


class Vault:
    """Hidden answers and grades of one run, as handed to the scorer for one intent."""

    def __init__(self, vaults: Vaults, run: str, intent: str) -> None:
        self._vaults = vaults
        self._connection = vaults.connection
        self._run = run
        self._intent = intent

    def answers(self, digest: str) -> bytes:
        """The table of hidden answers."""
        return self._connection.answers.get(digest)

    async def record(self, grade: SubmissionGraded) -> None:
        """Append a grade to the run's own chain in the vault; the same grade twice is stored once."""
        codec = codec_for(())
        said = codec.saying(result_id(f"{self._intent}/{grade.attempt}"), grade, cause=self._intent)
        scribe = Scribe(self._run, codec, self._connection.artifacts, "scorer", self._connection.tenant)
        draft = scribe.draft("effect", "scorer", self._intent, [said])
        while True:
            head, ids = await self._vaults.known(self._run)
            if draft.id in ids:
                return
            with contextlib.suppress(Conflict):
                await self._connection.vault.append(draft, head)
                return


async def grades(connection: Connection, run: str) -> dict[str, SubmissionGraded]:
    """Hidden grades of a run by attempt (the handed-in submission is `final`). To be shown after RunFinished only.
    What a fork shares with its parent was graded there."""
    found: dict[str, SubmissionGraded] = {}
    known = (await connection.log.head(run)).seq > 0
    runs = await lineage(connection.log, run) if known else [(run, None)]
    shared = await _answered(connection.log, run, runs[-2][1] or 0) if len(runs) > 1 else set()
    for name, _ in reversed(runs):
        async for cause, grade in graded(connection.vault, name):
            if name == run or cause in shared:
                found.setdefault(grade.attempt, grade)
    return found


async def graded(vault: EventLog, run: str) -> AsyncIterator[tuple[str, SubmissionGraded]]:
    """The grades of one chain, each with the intent that it belongs to."""
    if (await vault.head(run)).seq == 0:
        return
    codec = codec_for(())
    async for sealed in vault.read(run):
        for event in codec.commit(sealed).events:
            if isinstance(event.payload, SubmissionGraded):
                yield event.cause, event.payload


async def _answered(log: EventLog, run: str, upto: int) -> set[str]:
    """The intents whose results a fork shares with its parent, which keeps their grades."""
    found: set[str] = set()
    async with aclosing(log.read(run)) as records:  # type: ignore[type-var]
        async for sealed in records:
            if sealed.last > upto:
                break
            found.update(w.cause for w in sealed.body.events if w.id == result_id(w.cause))
    return found
