"""A worker: takes up what is open, performs what it is offered, refuses what it may not, comes to an end in order."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from gome.events import CODEC, EffectStarted, EffectYielded, Event, ExecutionFinished, PluginsChanged, result_id
from gome.kernel.cli.worker import _signals
from gome.kernel.connect import Connection
from gome.kernel.discovery import pin
from gome.kernel.errors import GomeError, PluginError
from gome.kernel.plugin import Context
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
    await queue.publish("runner", "ExecutionRequested", "bad", intent)
    await queue.publish("runner", "ExecutionRequested", "good", intent)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(Worker(connection, queue, ["runner"], 4).run)
            assert (await result(connection, "good", intent)).ok
            group.cancel_scope.cancel()
    await queue.close()


async def said(connection: Connection, run: str) -> list[Event]:
    return [event async for sealed in connection.log.read(run) for event in CODEC.commit(sealed).events]


@asynccontextmanager
async def working(connection: Connection, queue: MemoryQueue) -> AsyncIterator[Worker]:
    """A worker at work, which is stopped in the end."""
    worker = Worker(connection, queue, ["runner"], 1)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            yield worker
            worker.stop(0)


class Slow:
    """A runner that begins and does not end before it is allowed to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.may_end = anyio.Event(), anyio.Event()
        monkeypatch.setattr(recorded, "runner", dataclasses.replace(toy.runner, perform=self._perform))

    async def _perform(self, event: Event, ctx: Context) -> Any:
        self.begun.set()
        await self.may_end.wait()
        return await toy._perform(event, ctx)


async def test_a_worker_that_is_told_to_stop_finishes_what_it_has_begun(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, queue = Slow(monkeypatch), MemoryQueue(time.time)
    one, two, *_ = executions(await run(connection, "r", runner="queue"))
    for intent in (one, two):
        await queue.publish("runner", "ExecutionRequested", "r", intent)
    async with working(connection, queue) as worker:
        await slow.begun.wait()
        assert worker.stop(20) == 1
        slow.may_end.set()
        assert (await result(connection, "r", one)).ok
    assert (worker.performed, worker.returned) == (1, 0)
    assert [e for e in await said(connection, "r") if e.cause == two] == []


async def test_an_intent_that_is_offered_again_while_it_is_under_way_is_performed_once(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    slow, queue = Slow(monkeypatch), MemoryQueue(lambda: now[0], ack_wait=5.0)
    intent = executions(await run(connection, "r", runner="queue"))[0]
    await queue.publish("runner", "ExecutionRequested", "r", intent)
    worker = Worker(connection, queue, ["runner"], 2)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            await slow.begun.wait()
            now[0] += 6.0  # the lease runs out, unnoticed by the worker
            await queue.expire()
            while queue._items[0].deliveries < 2:
                await anyio.sleep(0.01)
            slow.may_end.set()
            assert (await result(connection, "r", intent)).ok
            worker.stop(10)
    assert worker.performed == 1
    answers = [e.payload for e in await said(connection, "r") if e.cause == intent]
    assert [p.attempt for p in answers if isinstance(p, EffectStarted)] == [1]


async def test_what_a_stopping_worker_cannot_finish_goes_to_another_at_once_and_costs_no_attempt(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, queue = Slow(monkeypatch), MemoryQueue(time.time)
    intent = executions(await run(connection, "r", runner="queue"))[0]
    await queue.publish("runner", "ExecutionRequested", "r", intent)
    for _ in range(4):  # more often than a crash would be forgiven
        slow.begun = anyio.Event()
        async with working(connection, queue) as worker:
            await slow.begun.wait()
        assert (worker.performed, worker.returned) == (0, 1)
    slow.may_end.set()
    async with working(connection, queue):
        assert (await result(connection, "r", intent)).ok
    answers = [e.payload for e in await said(connection, "r") if e.cause == intent]
    assert [p.attempt for p in answers if isinstance(p, EffectStarted)] == [1, 2, 3, 4, 5]
    assert [p.attempt for p in answers if isinstance(p, EffectYielded)] == [1, 2, 3, 4]


async def test_a_run_that_is_pinned_to_other_code_is_refused_with_one_line_until_it_is_pinned_anew(
    connection: Connection, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gome.kernel.worker.REFUSED", 0.01)
    queue = MemoryQueue(time.time)
    state = await run(connection, "r", runner="queue")
    assert state.started is not None
    today = tuple(pin(p) for p in plugins_of(state.started))
    other = tuple(replace(p, digest="sha256-0") if p.role == "runner" else p for p in today)
    live = await open_run(connection.log, "r", plugins_of(state.started), connection.artifacts, VirtualTime())  # type: ignore[arg-type]
    await live.load()

    async def say(plugins: Any, nonce: str) -> None:
        said = live.state.codec.saying(nonce, PluginsChanged(plugins=plugins))
        await live.commit(live.scribe.draft("control", "client", nonce, [said]))

    await say(other, "0" * 32)
    intent = executions(state)[0]
    await queue.publish("runner", "ExecutionRequested", "r", intent)
    async with working(connection, queue) as worker:
        while queue._items[0].deliveries < 2:
            await anyio.sleep(0.01)
        assert worker.performed == 0
        await say(today, "1" * 32)
        assert (await result(connection, "r", intent)).ok
    told = capsys.readouterr().out
    assert told.count("refused") == 1 and "plugin toy-runner" in told and "gome run --resume r" in told


async def test_a_run_whose_plugins_are_not_here_does_not_end_a_worker(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(started: Any) -> Any:
        raise PluginError("there is no plugin 'moon'")

    queue = MemoryQueue(time.time)
    intents = {name: executions(await run(connection, name, runner="queue"))[0] for name in ("r1", "r2")}
    with monkeypatch.context() as missing:
        missing.setattr("gome.kernel.worker.plugins_of", gone)
        async with working(connection, queue) as worker:
            await queue.publish("runner", "ExecutionRequested", "r1", intents["r1"])
            while ("r1", "runner") not in worker._refused:
                await anyio.sleep(0.01)
            missing.undo()
            await queue.publish("runner", "ExecutionRequested", "r2", intents["r2"])
            assert (await result(connection, "r2", intents["r2"])).ok


async def test_the_first_signal_stops_a_worker_in_order_and_the_second_at_once(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = anyio.Event()
    monkeypatch.setattr(os, "_exit", lambda code: ended.set() if code == 130 else None)
    slow, queue = Slow(monkeypatch), MemoryQueue(time.time)
    intent = executions(await run(connection, "r", runner="queue"))[0]
    await queue.publish("runner", "ExecutionRequested", "r", intent)
    async with working(connection, queue) as worker, anyio.create_task_group() as group:
        group.start_soon(_signals, worker, 20.0)
        await slow.begun.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        while not worker._stop.is_set():
            await anyio.sleep(0.01)
        assert worker._held and not ended.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        await ended.wait()
        slow.may_end.set()
        group.cancel_scope.cancel()


async def test_a_store_that_fails_for_a_moment_does_not_end_a_worker(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, failures = connection.spool.put, [GomeError("no space left")]

    def fails_once(*args: Any) -> None:
        if failures:
            raise failures.pop()
        put(*args)

    monkeypatch.setattr("gome.kernel.worker.REFUSED", 0.01)
    monkeypatch.setattr(connection.spool, "put", fails_once)
    queue = MemoryQueue(time.time)
    intent = executions(await run(connection, "r", runner="queue"))[0]
    await queue.publish("runner", "ExecutionRequested", "r", intent)
    async with working(connection, queue) as worker:
        assert (await result(connection, "r", intent)).ok
    assert not failures and worker.performed == 1


async def test_a_worker_keeps_what_takes_longer_than_a_lease(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, queue = Slow(monkeypatch), MemoryQueue(time.time, ack_wait=0.5)
    intent = executions(await run(connection, "r", runner="queue"))[0]
    await queue.publish("runner", "ExecutionRequested", "r", intent)
    async with working(connection, queue), working(connection, queue) as other:
        await slow.begun.wait()
        (item,) = queue._items
        until = item.free_at + 2 * queue.lease
        while item.free_at < until:
            await anyio.sleep(0.02)
        assert item.deliveries == 1 and not other._held
        slow.may_end.set()
        assert (await result(connection, "r", intent)).ok


@pytest.mark.parametrize(
    ("flags", "says"),
    [(("--roles", " , "), "there is no role ''"), (("--roles", "runner", "--grace", "nan"), "nan is no finite number")],
)
def test_a_worker_that_would_do_nothing_or_never_end_is_refused(
    capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], says: str
) -> None:
    from gome.kernel.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["worker", *flags])
    assert ended.value.code == 2 and says in capsys.readouterr().err
