"""A relay: offers open intents to workers, and tells the person who waits that none takes them."""

from __future__ import annotations

import time
from pathlib import Path

import anyio
import pytest

from gome.kernel.connect import Connection
from gome.kernel.queue_memory import MemoryQueue
from gome.kernel.relay import Relay
from gome.kernel.start import plugins_of
from gome.kernel.testing import open_run
from gome.kernel.timekeeping import VirtualTime
from gome.kernel.worker import Worker
from tests.kernel import recorded, test_recovery
from tests.kernel.test_worker import executions, run

pytestmark = pytest.mark.anyio
connection = test_recovery.connection


async def test_a_person_is_told_once_per_role_that_no_worker_begins_and_the_work_goes_on_when_one_comes(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr("gome.kernel.relay.PATIENCE", 0.05)
    state = await run(connection, "r", runner="queue")
    assert state.started is not None
    live = await open_run(connection.log, "r", plugins_of(state.started), connection.artifacts, VirtualTime())  # type: ignore[arg-type]
    await live.load()
    told: list[str] = []
    heard = anyio.Event()

    def tell(text: str) -> None:
        told.append(text)
        heard.set()

    queue = MemoryQueue(time.time)
    relay = Relay(queue, tell)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as outer:
            outer.start_soon(live.follow)
            async with anyio.create_task_group() as group:
                for intent in executions(state)[:2]:
                    group.start_soon(relay.carry, live, "runner", "ExecutionRequested", intent)
                await heard.wait()
                await anyio.sleep(0.1)
                outer.start_soon(Worker(connection, queue, ["runner"], 4).run)
            outer.cancel_scope.cancel()
    assert len(told) == 1 and told[0].startswith("waiting for a worker for runner") and "gome worker" in told[0]
    assert not relay._offered
