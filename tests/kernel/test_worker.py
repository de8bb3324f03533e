"""A worker: takes up what is open, performs what it is offered, reads later runs when they come."""

from __future__ import annotations

import contextlib
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gome.events import CODEC, ExecutionFinished, result_id
from gome.kernel.connect import Connection
from gome.kernel.queue_memory import MemoryQueue
from gome.kernel.start import plugins_of
from gome.kernel.state import RunState
from gome.kernel.testing import Killed, drive, open_run, start
from gome.kernel.timekeeping import VirtualTime
from gome.kernel.worker import Worker
from tests.kernel import recorded, test_recovery, toy

pytestmark = pytest.mark.anyio
connection = test_recovery.connection


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded.install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


async def run(connection: Connection, name: str, **performers: str) -> RunState:
    """A run that has asked for executions, and whose driver has gone."""
    clock = VirtualTime()
    started = replace(recorded.first_event(), performers=performers)
    store: Any = connection.artifacts
    live = await open_run(connection.log, name, plugins_of(started), store, clock)
    await start(live, started)
    with contextlib.suppress(Killed):
        await drive(live, toy.world, clock, stop_after=8)
    return live.state


def executions(state: RunState) -> list[str]:
    return [id for id, found in state.open.items() if found.event.type == "ExecutionRequested"]


async def result(connection: Connection, run: str, intent: str) -> ExecutionFinished:
    """Await an intent's result in the log."""
    async with aclosing(connection.log.follow(run)) as records:  # type: ignore[type-var]
        async for sealed in records:
            for event in CODEC.commit(sealed).events:
                if event.id == result_id(intent):
                    assert isinstance(event.payload, ExecutionFinished)
                    return event.payload
    raise AssertionError("the log was closed")


async def test_a_worker_takes_up_open_runs_in_one_read_and_performs_what_is_offered(connection: Connection) -> None:
    log: Any = connection.log
    states = {name: await run(connection, name, runner="queue") for name in ("r1", "r2", "r3")}
    await run(connection, "local")
    queue = MemoryQueue(time.time)
    worker = Worker(connection, queue, ["runner"], 4)
    log.reads, log.scans = 0, []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            await worker._recover(group)
            assert sorted(worker._runs) == ["r1", "r2", "r3"]
            assert len(log.scans) == 1 and log.reads == 0
            group.start_soon(worker.run)
            for name, state in states.items():
                for intent in executions(state):
                    await queue.publish("runner", "ExecutionRequested", name, intent)
                    assert (await result(connection, name, intent)).ok
            later = await run(connection, "later", runner="queue")
            (intent, *_) = executions(later)
            await queue.publish("runner", "ExecutionRequested", "later", intent)
            assert (await result(connection, "later", intent)).ok
            group.cancel_scope.cancel()
    await queue.close()


async def test_a_damaged_run_does_not_keep_a_worker_from_the_others(connection: Connection) -> None:
    log: Any = connection.log
    await run(connection, "bad", runner="queue")
    log._stored["bad"][2] = log._stored["bad"][2].replace(b"a", b"b", 1)
    (intent, *_) = executions(await run(connection, "good", runner="queue"))
    queue = MemoryQueue(time.time)
    await queue.publish("runner", "ExecutionRequested", "good", intent)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(Worker(connection, queue, ["runner"], 4).run)
            assert (await result(connection, "good", intent)).ok
            group.cancel_scope.cancel()
    await queue.close()
