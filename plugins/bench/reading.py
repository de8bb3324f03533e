"""A bench as its log tells it: what was planned, which cells have ended and how. A projection; it decides nothing.

Used by progress, by the table and by whoever goes on with a bench. Works on any log, an archive's included.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gome.events import EffectCancelled, EffectFailed, Event, RunFinished
from gome.kernel.discovery import codec_for
from gome.kernel.errors import UnknownRun, UsageError
from gome.plugins.bench.cells import Cell, cells
from gome.plugins.bench.events import BenchStarted, CellFinished, CellRequested, ParallelChanged

if TYPE_CHECKING:
    from gome.kernel.connect import Connection


@dataclass
class Recorded:
    """A bench up to a position of its log. `ended` are the results by cell, in the order in which they came; a cell
    whose effect failed counts as lost. `open` maps the intents of cells that go on to their cells."""

    run: str
    started: BenchStarted
    cells: list[Cell] = field(default_factory=list)
    parallel: int = 1
    ended: dict[str, CellFinished] = field(default_factory=dict)
    open: dict[str, str] = field(default_factory=dict)
    finished: RunFinished | None = None

    def __post_init__(self) -> None:
        self.cells = cells(self.started.suite, self.started.treatments)
        self.by_digest = {cell.digest: cell for cell in self.cells}
        self.parallel = self.started.parallel

    def apply(self, event: Event) -> CellFinished | None:
        """Fold one event; returns the result of a cell, where it is one."""
        match event.payload:
            case ParallelChanged(parallel=parallel):
                self.parallel = parallel
            case CellRequested(cell=cell):
                self.open[event.id] = cell
            case CellFinished() as result:
                self.open.pop(event.cause, None)
                self.ended[result.cell] = result
                return result
            case EffectFailed(intent=intent, error=error) if intent in self.open:
                cell = self.open.pop(intent)
                run = self.by_digest[cell].run(self.run)
                self.ended[cell] = CellFinished(cell=cell, run=run, outcome="lost", reason=error)
                return self.ended[cell]
            case EffectCancelled(intent=intent):
                self.open.pop(intent, None)
            case RunFinished() as finished:
                self.finished = finished
        return None


async def recorded(connection: Connection, run: str) -> Recorded:
    """Read a bench. Raises `UnknownRun`, and `UsageError` for a run that is no bench."""
    if (found := await begun(connection, run)) is not None:
        async for event in _events(connection, run):
            found.apply(event)
        return found
    raise UsageError(f"run {run} is no bench; `gome show {run}` shows what it is")


async def begun(connection: Connection, run: str) -> Recorded | None:
    """A bench as it began; None for a run that is none. Raises `UnknownRun`."""
    if not run or (await connection.log.head(run)).seq == 0:
        raise UnknownRun(f"there is no run {run!r} in {connection.log.name}; `gome runs` lists them")
    async with aclosing(_events(connection, run)) as events:
        async for event in events:
            if isinstance(event.payload, BenchStarted):
                return Recorded(run, event.payload)
            if event.seq > 1:
                break
    return None


async def _events(connection: Connection, run: str) -> AsyncGenerator[Event, None]:
    from gome.plugins.bench import plugin

    codec = codec_for([plugin])
    async with aclosing(connection.log.read(run)) as records:  # type: ignore[type-var]
        async for sealed in records:
            for event in codec.commit(sealed, connection.artifacts.text).events:
                yield event
