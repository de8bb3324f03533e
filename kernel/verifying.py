"""Verifying runs where they lie: which plugins decide again, what else is checked, and many runs over many processes.

`replay.Verifier` compares; here it is given a run's plugins, store and vault, and what it finds, damage included,
becomes an `Outcome` that can be printed or sent between processes. Called by `gome verify`.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractAsyncContextManager, aclosing

import anyio
from msgspec import Struct

from gome.events import CODEC, Codec, CodecError, PluginPin, RunStarted, Sealed
from gome.kernel.connect import Connection
from gome.kernel.discovery import Found, codec_for, discover, pin
from gome.kernel.errors import Forbidden, GomeError, LogDamaged, LogUnreachable, UnknownRun, leaves
from gome.kernel.forking import verifier_of
from gome.kernel.plugin import Plugin
from gome.kernel.replay import Verifier
from gome.kernel.results import origin_of
from gome.kernel.start import plugins_of

FEW = 20_000
"""Records in all below which starting processes takes longer than verifying in this one."""
PORTION = 5_000
"""Records that a process is handed at once, unless a single run has more."""
Opening = Callable[[], AbstractAsyncContextManager[Connection]]
"""Opens the same log in another process; must be picklable."""


class Difference(Struct, frozen=True):
    """One divergence in words; see `replay.Divergence`."""

    position: int
    decider: str
    sentence: str


class Outcome(Struct, frozen=True):
    """What verifying one run has found. `error` says why it could not be verified to its end ("" when it could), with
    the exit code that stands for it. `grades` counts the hidden grades whose chain was checked (None: these credentials
    may not read the vault), `changed` names plugins that differ from their pins, `unanswered` deciders whose answer is
    not recorded yet. `imported` runs carry no decisions: their chain and artifacts were checked. `origin` says
    of which run a fork is one."""

    run: str
    events: int = 0
    commits: int = 0
    decisions: int = 0
    unanswered: int = 0
    finished: bool = False
    imported: bool = False
    origin: str = ""
    grades: int | None = 0
    changed: tuple[str, ...] = ()
    divergences: tuple[Difference, ...] = ()
    error: str = ""
    exit_code: int = 0

    @property
    def ok(self) -> bool:
        """Whether all that is recorded is as it would be computed now."""
        return not self.divergences and not self.error


class Desk:
    """Verifies runs of one connection, one after the other; what they share is found once."""

    def __init__(self, connection: Connection, *, every: bool = False) -> None:
        """`every`: go on behind a run's first divergence."""
        self.connection = connection
        self.every = every
        self._found: list[Found] | None = None
        self._plugins: dict[str, tuple[list[Plugin], Codec]] = {}

    async def verify(self, run: str) -> Outcome:
        """Verify a run. Raises `LogDamaged` where it cannot be read, `PluginError` where a plugin is gone,
        `UnknownRun`."""
        c = self.connection
        verifier: Verifier | None = None
        imported = False
        async with aclosing(c.log.read(run)) as records:  # type: ignore[type-var]
            async for sealed in records:
                if verifier is None:
                    imported = sealed.body.lane == "import"
                    verifier = await self._verifier(run, sealed)
                if not verifier.take(sealed):
                    break
        if verifier is None:
            raise UnknownRun(f"there is no run {run!r} in {c.log.name}; `gome runs` lists them")
        verdict, state = verifier.verdict(), verifier.state
        pins = state.pins or (state.started.plugins if state.started else ())
        pinned: dict[str, PluginPin] = {p.name: p for p in pins}
        today = [pin(cursor.plugin) for cursor in state.cursors]
        return Outcome(
            run,
            events=verdict.events,
            commits=verdict.commits,
            decisions=verdict.decisions,
            unanswered=verdict.unanswered,
            finished=verdict.finished,
            imported=imported,
            origin=origin_of(state.trajectory),
            grades=await self._grades(run),
            changed=tuple(p.name for p in today if p.name in pinned and pinned[p.name].digest != p.digest),
            divergences=tuple(Difference(d.position, d.decider, d.sentence(run)) for d in verdict.divergences),
        )

    async def _verifier(self, run: str, first: Sealed) -> Verifier:
        """Who verifies a run that begins with this record (a fork's is its oldest ancestor's)."""
        c, stop = self.connection, not self.every
        try:
            started = CODEC.commit(first).events[0].payload
        except CodecError as error:
            raise LogDamaged(f"run {run}, event 1: {error}", run=run, position=1) from error
        if not isinstance(started, RunStarted):
            raise LogDamaged(f"run {run} does not begin with RunStarted", run=run, position=1)
        if first.body.run != run:
            return await verifier_of(c.log, run, c.artifacts.text, c.artifacts, stop_at_first=stop)
        # What was imported was recorded elsewhere, by other deciders than ours.
        plugins, codec = ([], CODEC) if first.body.lane == "import" else self._of(started)
        return Verifier(run, codec, plugins, c.artifacts.text, c.artifacts, stop_at_first=stop)

    async def outcome(self, run: str) -> Outcome:
        """The same, with what keeps a single run from being verified as part of the outcome."""
        try:
            return await self.verify(run)
        except LogUnreachable:
            raise
        except GomeError as error:
            return Outcome(run, error=str(error), exit_code=error.exit_code)

    def _of(self, started: RunStarted) -> tuple[list[Plugin], Codec]:
        extra = sorted(p.name for p in started.plugins if p.role == "plugin")
        key = repr((sorted(started.roles.items()), extra, sorted(started.fallbacks.items())))
        if key not in self._plugins:
            if self._found is None:
                self._found = discover()
            plugins = plugins_of(started, self._found)
            self._plugins[key] = plugins, codec_for(plugins)
        return self._plugins[key]

    async def _grades(self, run: str) -> int | None:
        vault = self.connection.vault
        try:
            return sum([s.body.n async for s in vault.read(run)]) if (await vault.head(run)).seq else 0
        except Forbidden:
            return None


def portions(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Runs in order, in portions of about `PORTION` records."""
    portion: list[str] = []
    held = 0
    for run, size in sorted(sizes.items()):
        if portion and held + size > PORTION:
            yield portion
            portion, held = [], 0
        portion.append(run)
        held += size
    if portion:
        yield portion


async def verify_all(connection: Connection, opening: Opening, *, every: bool = False) -> AsyncIterator[Outcome]:
    """Verify every run of the log and yield what is found, in the order of run ids. Memory is that of one run per
    process. `opening` opens the same log once more, in the processes that share the work; they are as many as there are
    cores, none for a small log."""
    try:
        sizes = await connection.log.sizes()
    except LogDamaged:
        # What is damaged is said of its own run, in its turn.
        sizes = dict.fromkeys(await connection.log.runs(), 1)
    shares = list(portions(sizes))
    processes = min(len(os.sched_getaffinity(0)), len(shares))
    if processes < 2 or sum(sizes.values()) < FEW:
        desk = Desk(connection, every=every)
        for run in sorted(sizes):
            yield await desk.outcome(run)
        return
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        pending = [loop.run_in_executor(pool, _share, opening, share, every) for share in shares]
        try:
            for share in pending:
                for outcome in await share:
                    yield outcome
        except BrokenProcessPool as error:
            raise GomeError(
                "a process that verified runs was killed, perhaps for its memory; verify them singly"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _share(opening: Opening, runs: list[str], every: bool) -> list[Outcome]:
    """Verify some runs in a process of their own."""
    gc.set_threshold(50_000, 20, 100)  # as the command line does

    async def work() -> list[Outcome]:
        async with opening() as connection:
            desk = Desk(connection, every=every)
            return [await desk.outcome(run) for run in runs]

    try:
        return anyio.run(work)
    except BaseExceptionGroup as group:
        # A task group's error is not what the parent process can tell a person.
        raise leaves(group)[0] from None
