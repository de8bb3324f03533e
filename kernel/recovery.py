"""Every open run of a log at its head, after a crash or at a start: from snapshots and one sequential read behind them.

Runs that the index knows to be finished, or whose snapshot is, are not read. A run whose first event nobody here is
interested in is read over. What is then done with the states (driving, performing) is for the caller; today that is
`worker`. A process that drives one run uses `start`, which reads just that one.
"""

from __future__ import annotations

from collections.abc import Callable

from gome.events import CODEC, Head, RunStarted
from gome.kernel.connect import Connection
from gome.kernel.errors import LogDamaged
from gome.kernel.fork import WholeLog, own_part
from gome.kernel.history import first_of
from gome.kernel.index import RunIndex, key_of
from gome.kernel.log import EventLog
from gome.kernel.plugin import Plugin
from gome.kernel.state import RunState

Opened = tuple[RunState, list[Plugin]]
"""A state that has folded nothing, and the plugins whose code a snapshot of it must have been made by."""
Wants = Callable[[str, RunStarted], Opened | None]
"""Makes the state of a run, given its id and its first event; None when the run is of no interest."""


async def recover(connection: Connection, wants: Wants) -> dict[str, RunState]:
    """The states at their heads of all open runs that `wants` makes one for. Raises `LogDamaged` for a run whose record
    does not fit."""
    runs = await _unfinished(connection)
    states = {run: state for run in runs if (state := _from_snapshot(connection, run, wants)) is not None}
    restored = {run: state.head for run, state in states.items()}
    heads = {run: restored.get(run, Head(run)) for run in runs}
    try:
        await _read_on(connection.log, heads, states, wants)
        await _check_unmoved(connection.log, restored, states)
    except LogDamaged:
        if not restored or connection.snapshots is None:
            raise
        # Perhaps a snapshot is of another log; without any of them the log itself says what is damaged.
        for run in restored:
            connection.snapshots.drop(run)
        return await recover(connection, wants)
    return {run: state for run, state in states.items() if state.finished is None}


async def _read_on(log: EventLog, heads: dict[str, Head], states: dict[str, RunState], wants: Wants) -> None:
    skipped: set[str] = set()
    async for sealed in log.scan(heads):
        run = sealed.body.run
        if run in skipped:
            continue
        if run not in states:
            # A fork's own part begins behind a prefix that holds the run's first event.
            forked = sealed.body.origin is not None
            started = await first_of(log, run) if forked else CODEC.commit(sealed).events[0].payload
            opened = wants(run, started) if isinstance(started, RunStarted) else None
            if opened is None:
                skipped.add(run)
                continue
            states[run] = opened[0]
            if forked:
                async for shared in WholeLog(own_part(log)).prefix(sealed):
                    states[run].apply(shared)
        states[run].apply(sealed)


async def _check_unmoved(log: EventLog, restored: dict[str, Head], states: dict[str, RunState]) -> None:
    """A snapshot behind which nothing was read must be of the log's own last record; others were checked by reading."""
    for run, head in restored.items():
        if states[run].head.seq == head.seq and (await log.head(run)).hash != head.hash:
            raise LogDamaged(f"run {run} has another record {head.seq} in {log.name} than its snapshot", run=run)


async def _unfinished(connection: Connection) -> list[str]:
    """Runs that may be open: all but those that the index has seen to their end."""
    sizes = await connection.log.sizes()
    with RunIndex(connection.home / "index.sqlite", connection.log) as index:
        ended = index.ended(key_of(connection))
    return [run for run, size in sizes.items() if ended.get(run) != size]


def _from_snapshot(connection: Connection, run: str, wants: Wants) -> RunState | None:
    """A run's state from its snapshot, if that fits the code. Whether it lies on the log's chain shows in reading."""
    if connection.snapshots is None:
        return None
    started = connection.snapshots.started(run)
    opened = wants(run, started) if started is not None else None
    if opened is None:
        return None
    state, plugins = opened
    return state if connection.snapshots.restore(state, plugins) else None
