"""Forked runs: whose record a run's prefix is, and a log that reads a fork with its prefix.

A fork stores its own part only. Its first record names the parent's record that it comes behind (`Origin`), and its
chain goes on from there, so that parent and fork share a prefix that is stored once. `WholeLog` puts this together for
every reader; what is appended, counted or listed is the log's own affair. Making a fork is in `gome.kernel.forking`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from gome.events import CODEC, Draft, Head, Origin, RunForked, RunStarted, Sealed
from gome.kernel.errors import LogDamaged, UnknownRun
from gome.kernel.log import EventLog, Known


@dataclass(frozen=True)
class Joined:
    """How a decider takes part in a fork whose prefix it did not decide: it answers nothing up to position `behind` and
    folds `started` as the run's first event."""

    behind: int
    started: RunStarted


@dataclass(frozen=True)
class Descent:
    """What a run begins from: `root` is the first event of the oldest ancestor (its own where it is no fork), `forks`
    are the positions and events of the forks on the way to it, oldest first."""

    root: RunStarted
    forks: tuple[tuple[int, RunForked], ...] = ()

    @property
    def started(self) -> RunStarted:
        """The run's start with all its forks' changes."""
        started = self.root
        for _, forked in self.forks:
            started = forked.amended(started)
        return started

    @property
    def joined(self) -> dict[str, Joined]:
        """The deciders that were replaced, by name, each as of the last fork that replaced it."""
        found: dict[str, Joined] = {}
        started = self.root
        for position, forked in self.forks:
            started = forked.amended(started)
            found.update((name, Joined(position - 1, started)) for name in forked.replaced)
        return found


class WholeLog:
    """A log whose forked runs are read with their prefix; everything else is `own`, the log that it is made around."""

    def __init__(self, own: EventLog) -> None:
        self.own = own
        self.name = own.name

    async def append(self, draft: Draft, head: Head) -> Sealed:
        """See `EventLog.append`."""
        return await self.own.append(draft, head)

    async def adopt(self, record: Sealed, head: Head) -> Sealed:
        """See `EventLog.adopt`."""
        return await self.own.adopt(record, head)

    async def read(self, run: str, after: Head | None = None) -> AsyncGenerator[Sealed, None]:
        """See `EventLog.read`; the records of a prefix are those of the runs that hold it. `after` may lie in it."""
        inside = after is not None and after.seq > 0 and after.run != run
        async with aclosing(self.own.read(run, None if inside else after)) as records:  # type: ignore[type-var]
            async for sealed in records:
                if sealed.body.origin is not None and (inside or after is None or after.seq == 0):
                    async with aclosing(self.prefix(sealed, after if inside else None)) as before:
                        async for shared in before:
                            yield shared
                yield sealed

    async def prefix(self, first: Sealed, after: Head | None = None) -> AsyncGenerator[Sealed, None]:
        """The records that come before the first one of a fork's own part. Raises `LogDamaged` where they are not those
        that it was forked from."""
        origin, run = first.body.origin, first.body.run
        assert origin is not None, "only a fork's own part begins with an origin"
        at = after
        if after is None or after.seq < origin.seq:
            try:
                async with aclosing(self.read(origin.parent, after)) as records:
                    async for sealed in records:
                        if sealed.last > origin.seq:
                            break
                        at = sealed.head
                        yield sealed
            except UnknownRun as error:
                raise self._lacks(run, origin, "which is not there") from error
        if at is None or (at.seq, at.hash) != (origin.seq, origin.hash):
            raise self._lacks(run, origin, "which has another record there")

    def _lacks(self, run: str, origin: Origin, why: str) -> LogDamaged:
        return LogDamaged(
            f"run {run} was forked from run {origin.parent} at event {origin.seq}, {why} in {self.name}; restore it "
            "from an export",
            run=run,
            position=origin.seq,
        )

    async def scan(self, heads: Mapping[str, Head]) -> AsyncGenerator[Sealed, None]:
        """See `EventLog.scan`; the own parts only, so that no record is read twice."""
        async with aclosing(self.own.scan(heads)) as records:  # type: ignore[type-var]
            async for sealed in records:
                yield sealed

    async def follow(
        self, run: str, after: Head | None = None, known: Known | None = None
    ) -> AsyncGenerator[Sealed, None]:
        """See `EventLog.follow`; begins with the prefix."""
        inside = after is not None and after.seq > 0 and after.run != run
        async with aclosing(self.own.follow(run, None if inside else after, known)) as records:  # type: ignore[type-var]
            async for sealed in records:
                if sealed.body.origin is not None and (inside or after is None or after.seq == 0):
                    async with aclosing(self.prefix(sealed, after if inside else None)) as before:
                        async for shared in before:
                            yield shared
                yield sealed

    async def head(self, run: str) -> Head:
        """See `EventLog.head`."""
        return await self.own.head(run)

    async def runs(self) -> list[str]:
        """See `EventLog.runs`."""
        return await self.own.runs()

    async def sizes(self) -> dict[str, int]:
        """See `EventLog.sizes`; the own parts."""
        return await self.own.sizes()

    async def close(self) -> None:
        """See `EventLog.close`."""
        await self.own.close()


def own_part(log: EventLog) -> EventLog:
    """The log behind a `WholeLog`, which reads own parts only; any other log is that already."""
    return log.own if isinstance(log, WholeLog) else log


async def still_on_record(log: EventLog, run: str) -> bool:
    """Whether a fork on recorded results has only said what its parent's record made it say: it has not gone live."""
    async with aclosing(own_part(log).read(run)) as records:  # type: ignore[type-var]
        async for sealed in records:
            if any(wire.type in ("RunResumed", "RunSuspended") for wire in sealed.body.events):
                return False
    return True


async def first_record(log: EventLog, run: str) -> Sealed:
    """The first record of a run's own part. Raises `UnknownRun`."""
    async with aclosing(own_part(log).read(run)) as records:  # type: ignore[type-var]
        async for sealed in records:
            return sealed
    raise UnknownRun(f"there is no run {run!r} in {log.name}; `gome runs` lists them")


async def ancestry(log: EventLog, run: str) -> AsyncIterator[Sealed]:
    """The first record of a run's own part, of its parent's, and so on up to the run that is no fork. Raises
    `UnknownRun` where one is not there, `LogDamaged` where a run descends from itself."""
    seen: set[str] = set()
    while True:
        if run in seen:
            raise LogDamaged(f"run {run} is said to be forked from itself in {log.name}", run=run, position=1)
        seen.add(run)
        first = await first_record(log, run)
        yield first
        if first.body.origin is None:
            return
        run = first.body.origin.parent


async def lineage(log: EventLog, run: str) -> list[tuple[str, int | None]]:
    """The runs whose records make up a run, oldest first, each with the position up to which it does (None: all of the
    run itself). One entry for a run that is no fork. Each one's own records begin behind the entry before."""
    found: list[tuple[str, int | None]] = []
    upto: int | None = None
    async for first in ancestry(log, run):
        # An ancestor of which less is shared than its own prefix gives nothing of its own.
        if upto is None or first.body.seq <= upto:
            found.append((first.body.run, upto))
        if first.body.origin is not None:
            upto = first.body.origin.seq if upto is None else min(upto, first.body.origin.seq)
    return found[::-1]


async def descent(log: EventLog, run: str) -> Descent:
    """What a run begins from. Raises `UnknownRun`."""
    forks: list[tuple[int, RunForked]] = []
    upto: int | None = None
    async for first in ancestry(log, run):
        payload = CODEC.commit(first).events[0].payload
        if isinstance(payload, RunStarted):
            return Descent(payload, tuple(reversed(forks)))
        assert isinstance(payload, RunForked), "a fork's own part begins with RunForked"
        if upto is None or first.body.seq <= upto:
            forks.append((first.body.seq, payload))
            upto = payload.position
    raise UnknownRun(f"there is no run {run!r} in {log.name}; `gome runs` lists them")
