"""The work queue: one contract for JetStream and memory, and what JetStream's does when its server dies."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from gome.kernel.errors import LogUnreachable, UsageError
from gome.kernel.jetstream import Connection
from gome.kernel.queue import Queue, WorkItem
from gome.kernel.queue_jetstream import WorkQueue
from gome.kernel.queue_memory import MemoryQueue
from gome.kernel.timekeeping import VirtualTime
from tests.kernel.nats_server import NatsServer, nats_server

pytestmark = pytest.mark.anyio
counter = itertools.count()
LEASE = 1.0
Lapse = Callable[[float], Awaitable[None]]


@asynccontextmanager
async def opened(server: NatsServer, name: str, **more: float) -> AsyncIterator[WorkQueue]:
    connection = Connection(server.url, token=server.token, timeout=2)
    queue = WorkQueue(connection, stream=name, prefix=f"{name}.work", ack_wait=LEASE, **more)  # type: ignore[arg-type]
    try:
        yield queue
    finally:
        await queue.close()


@asynccontextmanager
async def pulling(queue: Queue, *roles: str, n: int = 4) -> AsyncIterator[Callable[[], Awaitable[WorkItem]]]:
    """A puller, whose next item is awaited for a while at most."""
    async with aclosing(queue.pull(roles, n)) as items:
        yield lambda: asyncio.wait_for(anext(items), 10)


async def nothing_comes(get: Callable[[], Awaitable[WorkItem]]) -> None:
    """Nothing is delivered for a moment. (The puller is of no further use.)"""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(get(), 0.2)


class QueueContract:
    """Inherit, and provide `queue` and `lapse`."""

    async def test_what_is_published_is_delivered_once(self, queue: Queue) -> None:
        await queue.publish("runner", "ExecutionRequested", "r1", "i1")
        async with pulling(queue, "runner") as get:
            item = await get()
            assert (item.role, item.kind, item.run, item.intent) == ("runner", "ExecutionRequested", "r1", "i1")
            assert item.deliveries == 1
            await item.ack()
            await nothing_comes(get)

    async def test_publishing_an_intent_again_changes_nothing(self, queue: Queue) -> None:
        for _ in range(3):
            await queue.publish("runner", "ExecutionRequested", "r1", "i1")
        await queue.publish("runner", "ExecutionRequested", "r2", "i1")
        async with pulling(queue, "runner") as get:
            items = [await get(), await get()]
            assert [i.run for i in items] == ["r1", "r2"]
            for item in items:
                await item.ack()
            await nothing_comes(get)

    async def test_roles_get_their_own_items_only(self, queue: Queue) -> None:
        for role in ("runner", "scorer", "reasoner"):
            await queue.publish(role, "K", "r1", role)
        async with pulling(queue, "scorer", "runner") as get:
            items = [await get(), await get()]
            assert {i.role for i in items} == {"scorer", "runner"}
            assert all(i.intent == i.role for i in items)
            for item in items:
                await item.ack()
            await nothing_comes(get)

    async def test_a_lease_that_runs_out_brings_the_item_to_somebody_else(self, queue: Queue, lapse: Lapse) -> None:
        await queue.publish("runner", "K", "r1", "i1")
        async with pulling(queue, "runner", n=1) as one, pulling(queue, "runner", n=1) as other:
            held = await one()
            waiting = asyncio.ensure_future(other())
            await lapse(LEASE)
            again = await waiting
            assert (again.intent, again.deliveries) == ("i1", 2)
            await again.ack()
            await held.ack()

    async def test_progress_extends_the_lease(self, queue: Queue, lapse: Lapse) -> None:
        await queue.publish("runner", "K", "r1", "i1")
        async with pulling(queue, "runner", n=1) as one, pulling(queue, "runner", n=1) as other:
            held = await one()
            waiting = asyncio.ensure_future(other())
            for _ in range(12):
                await lapse(LEASE / 10)
                await held.progress()
            assert not waiting.done()
            await lapse(LEASE)
            assert (await waiting).deliveries == 2

    async def test_a_refused_item_comes_back_after_its_delay(self, queue: Queue, lapse: Lapse) -> None:
        await queue.publish("runner", "K", "r1", "i1")
        async with pulling(queue, "runner") as get:
            await (await get()).nak()
            item = await get()
            assert item.deliveries == 2
            await item.nak(0.3)
            waiting = asyncio.ensure_future(get())
            await asyncio.sleep(0)
            assert not waiting.done()
            await lapse(0.3)
            assert (await waiting).deliveries == 3

    async def test_a_terminated_item_never_comes_back(self, queue: Queue, lapse: Lapse) -> None:
        await queue.publish("runner", "K", "r1", "i1")
        async with pulling(queue, "runner") as get:
            await (await get()).term()
            waiting = asyncio.ensure_future(nothing_comes(get))
            await lapse(LEASE)
            await waiting

    async def test_a_puller_has_no_more_on_lease_than_it_asked_for(self, queue: Queue) -> None:
        for i in range(5):
            await queue.publish("runner", "K", "r1", f"i{i}")
            await queue.publish("scorer", "K", "r1", f"s{i}")
        got: list[WorkItem] = []
        arrived: asyncio.Queue[WorkItem] = asyncio.Queue()

        async def work() -> None:
            async with aclosing(queue.pull(["runner", "scorer"], 2)) as items:
                async for item in items:
                    arrived.put_nowait(item)

        worker = asyncio.create_task(work())
        for _ in range(2):
            got.append(await asyncio.wait_for(arrived.get(), 10))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(arrived.get(), 0.2)
        while len(got) < 10:
            await got[len(got) - 2].ack()
            got.append(await asyncio.wait_for(arrived.get(), 10))
        assert len({i.intent for i in got}) == 10
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)

    async def test_workers_share_the_items_of_a_role(self, queue: Queue) -> None:
        for i in range(30):
            await queue.publish("runner", "K", "r1", f"i{i}")
        done: list[str] = []
        finished = asyncio.Event()

        async def work() -> None:
            async with aclosing(queue.pull(["runner"], 3)) as items:
                async for item in items:
                    done.append(item.intent)
                    await item.ack()
                    if len(done) == 30:
                        finished.set()

        workers = [asyncio.create_task(work()) for _ in range(3)]
        await asyncio.wait_for(finished.wait(), 10)
        assert sorted(done) == sorted(f"i{i}" for i in range(30))
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def test_a_puller_that_leaves_takes_nothing_with_it(self, queue: Queue) -> None:
        async with pulling(queue, "runner") as leaving:
            waiting = asyncio.ensure_future(leaving())
            await asyncio.sleep(0.05)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await queue.publish("runner", "K", "r1", "i1")
        async with pulling(queue, "runner") as get:
            assert (await get()).intent == "i1"

    async def test_pullers_end_when_the_queue_is_closed(self, queue: Queue) -> None:
        async def work() -> int:
            return len([item async for item in queue.pull(["runner"], 1)])

        worker = asyncio.create_task(work())
        await asyncio.sleep(0.05)
        await queue.close()
        assert await asyncio.wait_for(worker, 10) == 0

    async def test_a_puller_that_is_told_to_stop_ends_and_keeps_nothing_from_others(self, queue: Queue) -> None:
        stop = asyncio.Event()
        async with aclosing(queue.pull(["runner", "scorer"], 1, stop)) as items:
            waiting = asyncio.ensure_future(anext(items))
            await queue.publish("runner", "K", "r1", "i1")
            await (await asyncio.wait_for(waiting, 10)).ack()
            stop.set()
            await queue.publish("runner", "K", "r1", "i2")
            with pytest.raises(StopAsyncIteration):
                await asyncio.wait_for(anext(items), 10)
        async with pulling(queue, "runner") as get:
            assert (await get()).intent == "i2"

    @pytest.mark.parametrize("name", ["a.b", "", "*"])
    async def test_roles_and_kinds_must_be_names(self, queue: Queue, name: str) -> None:
        with pytest.raises(UsageError):
            await queue.publish(name, "K", "r1", "i1")
        with pytest.raises(UsageError):
            await queue.publish("runner", name, "r1", "i1")


class TestMemoryQueue(QueueContract):
    @pytest.fixture
    def time(self) -> VirtualTime:
        return VirtualTime()

    @pytest.fixture
    def queue(self, time: VirtualTime) -> MemoryQueue:
        return MemoryQueue(time.now, ack_wait=LEASE)

    @pytest.fixture
    def lapse(self, time: VirtualTime, queue: MemoryQueue) -> Lapse:
        async def lapse(seconds: float) -> None:
            time.current += seconds
            await queue.expire()

        return lapse

    async def test_a_role_has_no_more_on_lease_than_allowed(self, time: VirtualTime) -> None:
        queue = MemoryQueue(time.now, max_ack_pending=2)
        for i in range(3):
            await queue.publish("runner", "K", "r1", f"i{i}")
        async with pulling(queue, "runner") as get:
            await get()
            await get()
            await nothing_comes(get)


class TestWorkQueue(QueueContract):
    @pytest.fixture
    async def queue(self, server: NatsServer) -> AsyncIterator[WorkQueue]:
        async with opened(server, f"queue{next(counter)}") as queue:
            yield queue

    @pytest.fixture
    def lapse(self) -> Lapse:
        # A lease on the server ends by the server's clock; a bit more than the time is let pass.
        return lambda seconds: asyncio.sleep(seconds * 1.05)

    async def test_a_role_has_no_more_on_lease_than_allowed_among_all_workers(self, server: NatsServer) -> None:
        cap = {"max_ack_pending": 2}
        async with opened(server, "capped", **cap) as one, opened(server, "capped", **cap) as two:
            for i in range(3):
                await one.publish("runner", "K", "r1", f"i{i}")
            async with pulling(one, "runner") as get, pulling(two, "runner") as get_too:
                held = [await get(), await get()]
                await held[0].progress()
                await nothing_comes(get_too)


async def test_whoever_publishes_says_how_long_leases_are_and_whoever_joins_does_not(server: NatsServer) -> None:
    async def lease(connection: Connection) -> float:
        info = await connection.api("CONSUMER.INFO.leases.runner")
        return float(info["config"]["ack_wait"]) / 1e9

    async with opened(server, "leases") as driver:
        await driver.publish("runner", "K", "r1", "i1")
        connection = driver._connection
        assert await lease(connection) == LEASE
        connection.retain()
        joining = WorkQueue(connection, stream="leases", prefix="leases.work", ack_wait=77.0, joins=True)
        async with pulling(joining, "runner") as get:
            await (await get()).ack()
        assert await lease(connection) == LEASE
        connection.retain()
        another = WorkQueue(connection, stream="leases", prefix="leases.work", ack_wait=7.0)
        await another.publish("runner", "K", "r1", "i2")
        assert await lease(connection) == 7.0
        await joining.close()
        await another.close()


async def test_a_new_queue_says_that_items_may_be_missing(server: NatsServer) -> None:
    async with opened(server, "fresh") as queue:
        assert not queue.lost.is_set()
        await queue.publish("runner", "K", "r1", "i1")
        assert queue.lost.is_set()


async def test_after_a_restart_the_queue_says_that_it_lost_its_items_and_works_on(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server, opened(server, "W") as relay, opened(server, "W") as worker:
        await relay.publish("runner", "K", "r1", "i1")
        await relay.publish("runner", "K", "r1", "i2")
        relay.lost.clear()
        async with pulling(worker, "runner") as get:
            item = await get()
            await server.restart()
            await asyncio.wait_for(relay.lost.wait(), 10)
            for intent in ("i1", "i2"):
                await relay.publish("runner", "K", "r1", intent)
            await item.ack()
            assert {(await get()).intent, (await get()).intent} == {"i1", "i2"}


async def test_publishing_waits_for_a_server_that_comes_back(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server, opened(server, "W") as queue:
        await queue.publish("runner", "K", "r1", "i1")
        server.kill()
        publishing = asyncio.create_task(queue.publish("runner", "K", "r1", "i2"))
        await asyncio.sleep(0.05)
        await server.start()
        await asyncio.wait_for(publishing, 10)
        async with pulling(queue, "runner") as get:
            assert (await get()).intent == "i2"


async def test_acknowledging_without_a_server_raises_nothing(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server:
        connection = Connection(server.url, token=server.token, timeout=0.2, patience=0.2)
        queue = WorkQueue(connection)
        await queue.publish("runner", "K", "r1", "i1")
        async with pulling(queue, "runner") as get:
            item = await get()
            server.kill()
            await item.progress()
            await item.ack()
            with pytest.raises(LogUnreachable):
                await queue.publish("runner", "K", "r1", "i2")
        await queue.close()
