"""Taking up all open runs of a log at once, and the run index that is brought up to date the same way."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gome.events import Head, RunStarted
from gome.kernel.connect import Connection
from gome.kernel.discovery import codec_for
from gome.kernel.index import RunIndex, key_of
from gome.kernel.log_memory import MemoryLog
from gome.kernel.recovery import Opened, recover
from gome.kernel.snapshot import Snapshots
from gome.kernel.spool import Spool
from gome.kernel.state import RunState
from gome.kernel.testing import Killed, MemoryArtifacts, drive, open_run, start, state_digest
from gome.kernel.timekeeping import RealTime, VirtualTime
from tests.kernel import toy

pytestmark = pytest.mark.anyio
CODEC = codec_for(toy.PLUGINS)


class Counted:
    """A log that notes what is asked of it."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.scans: list[dict[str, int]] = []
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def read(self, run: str, after: Head | None = None) -> Any:
        self.reads += 1
        return self._log.read(run, after)

    def scan(self, heads: dict[str, Head]) -> AsyncIterator[Any]:
        self.scans.append({run: head.seq for run, head in heads.items()})
        return self._log.scan(heads)


@pytest.fixture
def connection(tmp_path: Path) -> Connection:
    log: Any = Counted(MemoryLog(clock=lambda: 0.0))
    store: Any = MemoryArtifacts()
    snapshots = Snapshots(tmp_path / "snapshots")
    return Connection(
        log, log, store, store, Spool(tmp_path / "spool"), tmp_path, RealTime(), "main", snapshots=snapshots
    )


async def run(connection: Connection, name: str, commits: int | None = None) -> RunState:
    """Drive a toy run, to its end or so many commits far."""
    time = VirtualTime()
    live = await open_run(connection.log, name, toy.PLUGINS, connection.artifacts, time)  # type: ignore[arg-type]
    await start(live, toy.started())
    with contextlib.suppress(Killed):
        await drive(live, toy.world, time, stop_after=commits)
    return live.state


def everyone(run: str, started: RunStarted) -> Opened:
    return RunState(run, CODEC, toy.PLUGINS, None), list(toy.PLUGINS)


async def test_all_open_runs_are_recovered_in_one_read_and_finished_ones_are_left_out(connection: Connection) -> None:
    log: Any = connection.log
    kept = {f"r{n}": await run(connection, f"r{n}", 4 + n) for n in range(6)}
    await run(connection, "done")
    log.reads, log.scans = 0, []
    states = await recover(connection, everyone)
    assert len(log.scans) == 1 and log.reads == 0
    assert sorted(states) == sorted(kept)
    for name, state in states.items():
        assert state.head == kept[name].head and list(state.open) == list(kept[name].open)
        assert state_digest(state) == state_digest(kept[name]) and state.fresh


async def test_what_is_recovered_decides_as_if_nothing_had_happened(connection: Connection) -> None:
    await run(connection, "r", 9)
    state = (await recover(connection, everyone))["r"]
    whole = await run(connection, "other", 9)
    for fold in (state, whole):
        assert (answer := fold.answer()) is None or not answer.error
    assert [c.kept()["state"] for c in state.cursors] == [c.kept()["state"] for c in whole.cursors]


async def test_snapshots_and_the_index_say_where_reading_begins(connection: Connection) -> None:
    log: Any = connection.log
    assert connection.snapshots is not None
    await run(connection, "ended")
    with RunIndex(connection.home / "index.sqlite", connection.log) as index:
        await index.rows(key_of(connection))
    half = await run(connection, "long", 12)
    connection.snapshots.put("long", connection.snapshots.take(half))
    whole = await run(connection, "long", 6)
    rest = await run(connection, "resting", 7)
    connection.snapshots.put("resting", connection.snapshots.take(rest))
    await run(connection, "young", 3)
    log.scans = []
    states = await recover(connection, everyone)
    assert log.scans == [{"long": half.head.seq, "resting": rest.head.seq, "young": 0}]
    assert states["long"].head == whole.head and state_digest(states["long"]) == state_digest(whole)
    assert states["resting"].head == rest.head


async def test_a_snapshot_of_another_log_is_dropped_and_the_run_read_from_its_start(connection: Connection) -> None:
    assert connection.snapshots is not None
    for name, other, commits in (("same", 7, 7), ("behind", 7, 9)):
        elsewhere = dataclasses.replace(connection, log=MemoryLog(clock=lambda: 1e6))
        state = await run(elsewhere, name, other)
        connection.snapshots.put(name, connection.snapshots.take(state))
        await run(connection, name, commits)
    states = await recover(connection, everyone)
    for name in ("same", "behind"):
        assert states[name].head == await connection.log.head(name)
        assert not (connection.snapshots.folder / f"{name}.snapshot").exists()


async def test_runs_of_no_interest_are_read_over(connection: Connection) -> None:
    for name in ("mine", "theirs"):
        await run(connection, name, 5)

    def mine(run: str, started: RunStarted) -> Opened | None:
        return everyone(run, started) if run == "mine" else None

    assert list(await recover(connection, mine)) == ["mine"]


async def test_the_index_is_brought_up_to_date_in_one_read_behind_what_it_knows(connection: Connection) -> None:
    log: Any = connection.log
    await run(connection, "one", 6)
    with RunIndex(connection.home / "index.sqlite", connection.log) as index:
        (row,) = await index.rows()
        await run(connection, "one")
        await run(connection, "two", 4)
        log.reads, log.scans = 0, []
        rows = {r.run: r for r in await index.rows()}
        assert log.scans == [{"one": row.head.seq, "two": 0}] and log.reads == 0
        assert rows["one"].state == "done" and rows["one"].steps == 6 and rows["two"].state == "open"
        assert index.ended() == {"one": rows["one"].records}
        assert [r.head for r in await index.rows()] == [r.head for r in rows.values()]
