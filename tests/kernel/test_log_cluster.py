"""The JetStream log on three servers that hold every record: the same contract, and what a lost server may cost."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gome.events import Head, Sealed
from gome.kernel.answers import ApiError, parse
from gome.kernel.errors import AppendUnknown, Conflict
from gome.kernel.jetstream import Connection
from gome.kernel.lease import KvLease
from gome.kernel.log_jetstream import JetStreamLog
from gome.kernel.log_stream import stream_config
from gome.kernel.queue_jetstream import WorkQueue
from gome.kernel.service.submissions import Submissions
from tests.kernel.log_contract import LogContract, Tamper, assert_whole, draft, everything, fill
from tests.kernel.nats_server import TOKEN, Cluster, NatsServer, free_port, nats_server
from tests.kernel.shared_server import SharedServer
from tests.kernel.test_log_jetstream import rewrite

pytestmark = pytest.mark.slow

counter = itertools.count()


def a_connection(url: str, **more: Any) -> Connection:
    return Connection(url, token=TOKEN, replicas=3, **more)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster.of_three(tmp_path_factory.mktemp("cluster"))
    asyncio.run(started(cluster))
    yield cluster
    cluster.kill()


async def started(cluster: Cluster, connection: Connection | None = None) -> None:
    """Start a cluster and wait until it can place a stream on all of its servers."""
    await cluster.start()
    connection = connection or a_connection(cluster.url)
    config = {"name": "GOME", "subjects": ["gome.ev.*.*.*.*"], "num_replicas": 3}
    async with asyncio.timeout(30):
        while True:
            try:
                await connection.api("STREAM.CREATE.GOME_WORK", {**config, "name": "GOME_WORK", "subjects": ["ready"]})
                break
            except ApiError:
                await asyncio.sleep(0.1)
    await connection.close()


@asynccontextmanager
async def opened(url: str, stream: str) -> AsyncIterator[JetStreamLog]:
    log = JetStreamLog(a_connection(url), stream=stream, prefix=f"{stream}.ev", replicas=3)
    try:
        yield log
    finally:
        await log.close()


class TestClusterLog(LogContract):
    @pytest.fixture
    def stream(self) -> str:
        return f"contract{next(counter)}"

    @pytest.fixture
    async def log(self, cluster: Cluster, stream: str) -> AsyncIterator[JetStreamLog]:
        async with opened(cluster.servers[0].url, stream) as log:
            yield log

    @pytest.fixture
    async def another(self, cluster: Cluster, stream: str) -> AsyncIterator[JetStreamLog]:
        async with opened(cluster.servers[1].url, stream) as log:
            yield log

    @pytest.fixture
    def tamper(self, log: JetStreamLog) -> Tamper:
        async def tamper(run: str, number: int, how: str) -> None:
            await rewrite(log._connection, log, number, how)

        return tamper


async def raw_retry(connection: Connection, stream: str) -> dict[str, Any] | ApiError:
    """Publish one record twice on the same head under the same id: what the server says to the second."""
    await JetStreamLog(connection, stream=stream, prefix=f"{stream}.ev", replicas=connection.replicas).head("r1")
    headers = {
        "Nats-Expected-Last-Subject-Sequence": "0",
        "Nats-Expected-Last-Subject-Sequence-Subject": f"{stream}.ev.main.r1.>",
        "Nats-Msg-Id": "main.a",
    }
    subject = f"{stream}.ev.main.r1.decide.search"
    parse(await connection.request(subject, b"{}", headers))
    try:
        return parse(await connection.request(subject, b"{}", headers))
    except ApiError as error:
        return error


@pytest.mark.anyio
async def test_one_server_compares_before_it_deduplicates_and_a_cluster_after(cluster: Cluster, tmp_path: Path) -> None:
    """Why an append that is refused looks for its own record first: one server says "wrong last sequence" to a record
    that it holds. `test_a_landed_append_tried_again_returns_the_same_record` holds on both."""
    async with nats_server(tmp_path) as server:
        alone = Connection(server.url, token=TOKEN)
        refusal = await raw_retry(alone, "alone")
        assert isinstance(refusal, ApiError) and refusal.code == 10071
        await alone.close()
    together = a_connection(cluster.url)
    answer = await raw_retry(together, "together")
    assert isinstance(answer, dict) and answer["duplicate"] is True
    await together.close()


@pytest.mark.anyio
async def test_log_vault_queue_and_leases_lie_on_all_servers(cluster: Cluster) -> None:
    connection = a_connection(cluster.url)
    log = JetStreamLog(connection, stream="spread", prefix="spread.ev", replicas=3)
    await log.head("r1")
    queue = WorkQueue(connection, stream="SPREAD_WORK", prefix="spread.work")
    await queue.publish("runner", "ExecutionRequested", "r1", "i1")
    async with KvLease(connection, "r1"):
        for stream in ("spread", "SPREAD_WORK", "KV_GOME_OWNERS"):
            info = await connection.api(f"STREAM.INFO.{stream}")
            assert info["config"]["num_replicas"] == 3 and len(info["cluster"]["replicas"]) == 2
            assert info["config"]["compression"] == "none"
    await queue.close()
    await log.close()


async def leader(cluster: Cluster, connection: Connection, stream: str) -> NatsServer:
    """The server that leads a stream, once there is one."""
    while True:
        info = await connection.api(f"STREAM.INFO.{stream}")
        if name := (info.get("cluster") or {}).get("leader"):
            return next(s for s in cluster.servers if s.folder.name == name)
        await asyncio.sleep(0.05)


@pytest.mark.anyio
async def test_killing_the_leader_in_the_middle_of_appends_loses_nothing_that_was_acknowledged(
    tmp_path: Path,
) -> None:
    cluster = Cluster.of_three(tmp_path)
    try:
        await started(cluster)
        acknowledged: dict[str, list[Sealed]] = {}
        enough = asyncio.Event()

        async def write(run: str) -> None:
            # Twice this is less than the minute below: that a cluster has no leader is then told by a writer's error.
            log = JetStreamLog(a_connection(cluster.url, timeout=2.0, patience=25.0), stream="killed", prefix="k.ev")
            head, mine = Head(run), acknowledged.setdefault(run, [])
            while not enough.is_set():
                try:
                    record = await log.append(draft(run, f"t{head.seq}"), head)
                except AppendUnknown:
                    continue  # appending it again is safe
                mine.append(record)
                head = record.head
            await log.close()

        watch = a_connection(cluster.url, timeout=2.0, patience=30.0)
        await JetStreamLog(watch, stream="killed", prefix="k.ev", replicas=3).head("r0")
        async with asyncio.TaskGroup() as writers:
            for number in range(4):
                writers.create_task(write(f"r{number}"))
            for _ in range(3):
                before = sum(map(len, acknowledged.values()))
                async with asyncio.timeout(60):
                    while sum(map(len, acknowledged.values())) < before + 50:
                        await asyncio.sleep(0.01)
                    victim = await leader(cluster, watch, "killed")
                    victim.kill()
                    before = sum(map(len, acknowledged.values()))
                    while sum(map(len, acknowledged.values())) < before + 50:
                        await asyncio.sleep(0.01)
                await victim.start()
            enough.set()
        await watch.close()
        # Asked through every server: what was acknowledged is there, once, in order, and nothing else is.
        for server in cluster.servers:
            async with opened_k(server.url) as log:
                for run, records in acknowledged.items():
                    found = await everything(log, run)
                    assert_whole(found)
                    assert [r.hash for r in found] == [r.hash for r in records]
    finally:
        cluster.kill()


@asynccontextmanager
async def opened_k(url: str) -> AsyncIterator[JetStreamLog]:
    log = JetStreamLog(a_connection(url), stream="killed", prefix="k.ev", replicas=3)
    try:
        yield log
    finally:
        await log.close()


@pytest.mark.anyio
async def test_a_lease_outlasts_the_election_after_the_server_that_led_its_bucket_was_killed(tmp_path: Path) -> None:
    cluster = Cluster.of_three(tmp_path)
    try:
        await started(cluster)
        connection = a_connection(cluster.url)
        async with KvLease(connection, "r1") as lease:
            turn = lease._revision
            async with asyncio.timeout(60):
                while lease._revision == turn:
                    await asyncio.sleep(0.02)
                (await leader(cluster, connection, "KV_GOME_OWNERS")).kill()
                turn = lease._revision
                while lease._revision == turn and not lease.lost.is_set():
                    await asyncio.sleep(0.02)
            assert not lease.lost.is_set(), lease.why
        await connection.close()
    finally:
        cluster.kill()


@pytest.mark.anyio
async def test_one_server_of_three_may_be_away_and_two_may_not(tmp_path: Path) -> None:
    cluster = Cluster.of_three(tmp_path)
    try:
        await started(cluster)
        async with opened(cluster.url, "majority") as log:
            done = await fill(log, "r1", 3)
            cluster.servers[2].kill()
            done += await fill(log, "r1", 3)
            assert [r.hash for r in await everything(log, "r1")] == [r.hash for r in done]
        cluster.servers[1].kill()
        lonely = JetStreamLog(
            a_connection(cluster.servers[0].url, timeout=1.0, patience=2.0), stream="majority", prefix="majority.ev"
        )
        with pytest.raises(Exception) as caught:
            await lonely.append(draft("r1", "alone"), done[-1].head)
        assert not isinstance(caught.value, Conflict) and getattr(caught.value, "exit_code", 0) == 3
        await lonely.close()
    finally:
        cluster.kill()


async def copies(connection: Connection, stream: str) -> int:
    """How many servers shall hold a stream, which then is not compressed."""
    config = (await connection.api(f"STREAM.INFO.{stream}"))["config"]
    assert config["num_replicas"] == 1 or config["compression"] == "none"
    return int(config["num_replicas"])


@pytest.mark.anyio
async def test_streams_of_one_copy_are_raised_to_three_and_outlive_the_server_that_had_them(tmp_path: Path) -> None:
    cluster = Cluster.of_three(tmp_path)
    streams = ("narrow", "NARROW_WORK", "KV_GOME_OWNERS", "GOME_SUBMISSIONS")

    async def use(connection: Connection) -> list[Sealed]:
        log = JetStreamLog(connection, stream="narrow", prefix="narrow.ev", replicas=connection.replicas)
        queue = WorkQueue(connection, stream="NARROW_WORK", prefix="narrow.work")
        done = await fill(log, "r1", 3)
        await queue.publish("runner", "ExecutionRequested", "r1", f"i{len(done)}")
        await Submissions(connection, time.time).prepare()
        async with KvLease(connection, "r1"):
            pass
        return done

    try:
        await started(cluster)
        one, three = a_connection(cluster.url), a_connection(cluster.url, timeout=2.0, patience=30.0)
        one.replicas = 1
        done = await use(one)
        assert [await copies(one, name) for name in streams] == [1] * 4
        done += await use(three)
        assert [await copies(one, name) for name in streams] == [3] * 4 and not three.narrow
        # Whoever wants one copy takes none away.
        done += await use(one)
        assert [await copies(one, name) for name in streams] == [3] * 4
        await one.close()
        async with asyncio.timeout(60):
            while True:
                found = (await three.api("STREAM.INFO.narrow"))["cluster"]
                if [one["current"] for one in found["replicas"]] == [True, True]:
                    break
                await asyncio.sleep(0.05)
        (await leader(cluster, three, "narrow")).kill()
        log = JetStreamLog(three, stream="narrow", prefix="narrow.ev", replicas=3)
        assert [r.hash for r in await everything(log, "r1")] == [r.hash for r in done]
        await fill(log, "r1", 2)
        await log.close()
    finally:
        cluster.kill()


@pytest.mark.anyio
async def test_a_stream_on_three_servers_that_was_made_compressed_is_so_no_more(cluster: Cluster) -> None:
    connection = a_connection(cluster.url)
    await connection.create({**stream_config("packed", "packed.ev", 3), "compression": "s2"})
    done = await fill(JetStreamLog(connection, stream="packed", prefix="packed.ev", replicas=3), "r1", 2)
    config = (await connection.api("STREAM.INFO.packed"))["config"]
    assert config["compression"] == "none" and config["num_replicas"] == 3 and not connection.narrow
    assert await everything(JetStreamLog(connection, stream="packed", prefix="packed.ev"), "r1") == done
    await connection.close()


@pytest.mark.anyio
async def test_a_stream_that_cannot_have_its_copies_serves_as_it_is(cluster: Cluster) -> None:
    connection = a_connection(cluster.url)
    done = await fill(JetStreamLog(connection, stream="few", prefix="few.ev", replicas=1), "r1", 2)
    log = JetStreamLog(connection, stream="few", prefix="few.ev", replicas=5)
    assert await everything(log, "r1") == done
    await log.append(draft("r1", "more"), await log.head("r1"))
    assert connection.narrow["few"].startswith("1 of 5 servers hold few: ")
    await connection.close()


@pytest.mark.anyio
async def test_users_of_a_cluster_have_the_same_rights_on_every_server(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    routes = ",".join(f"127.0.0.1:{port}" for port in ports)
    servers: list[SharedServer] = []
    for i, port in enumerate(ports):
        folder = tmp_path / f"n{i}"
        folder.mkdir()
        if i:
            (folder / "nats.env").write_text((tmp_path / "n0" / "nats.env").read_text())
        own = ("--name", f"n{i}", "--cluster", f"127.0.0.1:{port}", "--routes", routes)
        servers.append(SharedServer(folder, *own))
    cluster = Cluster(servers)
    try:
        driver = servers[0].connection("driver")
        driver.replicas = 3
        await cluster.start()
        log, queue = JetStreamLog(driver, replicas=3), WorkQueue(driver)
        async with asyncio.timeout(30):
            while True:
                try:
                    await fill(log, "r1", 2)
                    break
                except Exception as error:
                    if getattr(error, "exit_code", 0) != 3:
                        raise
                    await asyncio.sleep(0.1)
        await queue.publish("runner", "ExecutionRequested", "r1", "i1")
        for server in servers:
            worker = server.connection("runner")
            theirs, work = JetStreamLog(worker), WorkQueue(worker)
            assert len(await everything(theirs, "r1")) >= 2
            await theirs.append(draft("r1", server.folder.name, lane="effect", role="runner"), await theirs.head("r1"))
            async with aclosing(work.pull(["runner"], 1)) as items:
                item = await asyncio.wait_for(anext(items), 20)
            assert item.intent == "i1"
            await item.nak()
            with pytest.raises(Exception, match="does not permit user runner"):
                await theirs.append(draft("r1", "x", lane="decide", role="search"), await theirs.head("r1"))
            await work.close()
            await theirs.close()
        await queue.close()
        await log.close()
    finally:
        cluster.kill()
