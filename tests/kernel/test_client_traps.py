"""What the NATS client library does to its users when servers die, freeze or refuse: one test for each known trap.

Every test runs its own server and does to it what happens in the field. The promise checked throughout: what was
acknowledged is in the log exactly once, what was reported as failed is not in it, and the rest was called unknown.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path

import nats.aio.client
import pytest
from nats.errors import OutboundBufferLimitError

from gome.events import Head, Sealed
from gome.kernel.answers import ApiError, Headers, Message, Unanswered, headers_size, parse
from gome.kernel.errors import AppendUnknown, Conflict, Forbidden, LogDamaged, LogUnreachable, OversizeRecord
from gome.kernel.jetstream import Connection
from gome.kernel.log_batches import BATCH_BYTES
from gome.kernel.log_jetstream import JetStreamLog
from gome.kernel.queue_jetstream import WorkQueue
from tests.kernel.log_contract import assert_whole, draft, everything, fill
from tests.kernel.nats_server import NatsServer, nats_server

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as server:
        yield server


def connect(server: NatsServer, **more: float) -> Connection:
    return Connection(server.url, token=server.token, **more)  # type: ignore[arg-type]


async def answers(server: NatsServer, run: str = "r1") -> list[str]:
    """What the log holds, seen through a fresh connection."""
    log = JetStreamLog(connect(server))
    try:
        records = await everything(log, run)
        assert_whole(records)
        return [r.body.answers for r in records]
    finally:
        await log.close()


async def test_ghost_write_while_the_server_is_gone_nothing_is_kept_to_be_sent_later(server: NatsServer) -> None:
    log = JetStreamLog(connect(server, timeout=0.3, patience=0.5))
    head = (await fill(log, "r1", 1))[-1].head
    server.kill()
    for i in range(3):
        with pytest.raises(LogUnreachable):
            await log.append(draft("r1", f"ghost{i}"), head)
    await server.start()
    assert await log.head("r1") == head
    assert await answers(server) == ["t0"]
    await log.close()


async def test_ghost_write_the_library_itself_refuses_what_it_could_only_buffer(server: NatsServer) -> None:
    connection = connect(server)
    await connection.open()
    client = connection._link.client
    assert client is not None
    server.kill()
    while client.is_connected:
        await asyncio.sleep(0.01)
    with pytest.raises(OutboundBufferLimitError):
        await client.publish("x", b"for later")
    await connection.close()


async def test_ghost_write_into_a_frozen_server_is_reported_as_unknown_and_counts_once(server: NatsServer) -> None:
    log = JetStreamLog(connect(server, timeout=0.3, patience=0.5))
    head = (await fill(log, "r1", 1))[-1].head
    server.freeze()
    with pytest.raises(AppendUnknown, match="may or may not"):
        await log.append(draft("r1", "ghost"), head)
    server.thaw()
    landed = await log.append(draft("r1", "ghost"), head)
    assert (await log.head("r1")) == landed.head
    assert await answers(server) == ["t0", "ghost"]
    await log.close()


async def test_hung_future_a_lost_connection_ends_every_waiting_request_at_once(server: NatsServer) -> None:
    connection = connect(server, timeout=60)
    log = JetStreamLog(connection)
    await fill(log, "r1", 1)
    server.freeze()
    waiting = [asyncio.create_task(connection.request("$JS.API.INFO")) for _ in range(20)]
    while len(connection._waiting) < 20:
        await asyncio.sleep(0)
    server.kill()
    outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
    assert {type(o) for o in outcomes} == {Unanswered}
    assert not connection._waiting
    await log.close()


async def test_hung_future_a_silent_server_ends_a_request_after_its_time_limit(server: NatsServer) -> None:
    connection = connect(server, timeout=0.2)
    await connection.open()
    server.freeze()
    with pytest.raises(Unanswered):
        await asyncio.wait_for(connection.request("$JS.API.INFO"), 10)
    assert not connection._waiting
    server.thaw()
    await connection.api("INFO")
    await connection.close()


async def test_oversize_headers_count_and_the_connection_survives(server: NatsServer) -> None:
    connection = connect(server)
    await connection.open()
    headers = {"X": "y" * 1000}
    fits = connection.max_payload - headers_size(headers)
    with pytest.raises(OversizeRecord):
        await connection.request("nobody.listens", b"x" * (fits + 1), headers)
    with pytest.raises(ApiError, match="nobody answers"):
        parse(await connection.request("nobody.listens", b"x" * fits, headers))
    await connection.api("INFO")
    await connection.close()


async def break_for_good(connection: Connection) -> None:
    """Make the library close its client: it lets this message pass (it looks at the payload alone), and the server
    ends the connection for it."""
    client = connection._link.client
    assert client is not None
    await client.publish("x", b"x" * (connection.max_payload - 10), headers={"A": "b" * 100})
    while not client.is_closed:
        await asyncio.sleep(0.01)


async def test_a_client_that_closed_for_good_is_replaced_and_appending_goes_on(server: NatsServer) -> None:
    connection = connect(server)
    log = JetStreamLog(connection)
    done = await fill(log, "r1", 2)
    client = connection._link.client
    await break_for_good(connection)
    done += await fill(log, "r1", 3)
    assert await everything(log, "r1") == done
    assert connection._link.client is not client
    await log.close()


async def test_a_client_that_closed_for_good_is_replaced_for_those_who_only_listen(server: NatsServer) -> None:
    connection = connect(server)
    writer, reader = JetStreamLog(connect(server)), JetStreamLog(connection)
    done = await fill(writer, "r1", 2)
    async with aclosing(reader.follow("r1")) as follower:
        got = [await anext(follower) for _ in range(2)]
        coming = asyncio.ensure_future(anext(follower))
        await break_for_good(connection)
        done += await fill(writer, "r1", 1)
        got.append(await asyncio.wait_for(coming, 10))
    assert got == done
    await writer.close()
    await reader.close()


async def deafen(log: JetStreamLog) -> None:
    """Make the server forget what a log's followers listen to, as a lost message does."""
    wanted, client = log._live._subscription, log._connection._link.client
    assert wanted is not None and client is not None
    await client._send_unsubscribe(wanted.held._id)
    await log._connection._settle(client)


async def test_a_wake_up_lost_around_a_reconnect_is_made_good_when_the_server_is_back(server: NatsServer) -> None:
    writer, reader = JetStreamLog(connect(server)), JetStreamLog(connect(server))
    done = await fill(writer, "r1", 1)
    async with aclosing(reader.follow("r1")) as follower:
        got = [await anext(follower)]
        coming = asyncio.ensure_future(anext(follower))
        await deafen(reader)
        done += await fill(writer, "r1", 1)
        await server.restart()
        got.append(await asyncio.wait_for(coming, 10))
    assert got == done
    await writer.close()
    await reader.close()


async def test_a_wake_up_lost_for_any_other_reason_is_made_good_by_the_sweep(server: NatsServer) -> None:
    writer, reader = JetStreamLog(connect(server)), JetStreamLog(connect(server), sweep=0.3)
    done = await fill(writer, "r1", 1)
    async with aclosing(reader.follow("r1")) as follower:
        got = [await anext(follower)]
        coming = asyncio.ensure_future(anext(follower))
        await deafen(reader)
        done += await fill(writer, "r1", 1)
        got.append(await asyncio.wait_for(coming, 10))
    assert got == done
    await writer.close()
    await reader.close()


async def test_lost_tail_a_reader_with_tiny_buffers_still_reads_everything(server: NatsServer) -> None:
    writer = JetStreamLog(connect(server))
    done = await fill(writer, "r1", 60, events=2, size=30_000)
    reader = JetStreamLog(connect(server, pending_bytes=150_000, timeout=0.5))
    assert await everything(reader, "r1") == done
    await writer.close()
    await reader.close()


async def test_lost_tail_a_follower_whose_buffer_overflows_misses_nothing(server: NatsServer) -> None:
    writer, reader = JetStreamLog(connect(server)), JetStreamLog(connect(server))
    done = await fill(writer, "r1", 1)
    async with aclosing(reader.follow("r1")) as records:
        got = [await anext(records)]
        coming = asyncio.ensure_future(anext(records))
        assert reader._live._subscription is not None
        # From now on the library drops every message for followers and tells nobody but its error callback.
        reader._live._subscription.held._pending_bytes_limit = 1
        done += await fill(writer, "r1", 5)
        got.append(await asyncio.wait_for(coming, 10))
        while len(got) < 6:
            got.append(await asyncio.wait_for(anext(records), 10))
    assert got == done
    await writer.close()
    await reader.close()


class Weighing(Connection):
    """A connection that remembers the bytes of its largest answer."""

    largest = 0

    async def gather(self, subject: str, payload: bytes, timeout: float = 0.0) -> list[Message]:
        messages = await super().gather(subject, payload, timeout)
        self.largest = max(self.largest, sum(len(m.data) for m in messages))
        return messages


async def test_more_bytes_than_the_server_holds_back_for_a_client_are_read_in_bounded_pieces(
    server: NatsServer,
) -> None:
    connection = Weighing(server.url, token=server.token)
    log = JetStreamLog(connection)
    done = await fill(log, "r1", 110, events=1, size=640_000)
    assert sum(len(r.stored) for r in done) > 64 * 1024 * 1024
    count = 0
    async for record in log.read("r1"):
        assert record.hash == done[count].hash
        count += 1
        if count % 10 == 0:
            await asyncio.sleep(0.05)
    assert count == 110
    assert 0 < connection.largest < BATCH_BYTES + 700_000
    assert connection._link.client is not None and connection._link.client.stats["reconnects"] == 0
    assert "Slow Consumer" not in (server.folder / "nats.log").read_text()
    await log.close()


async def test_many_readers_on_one_connection_do_not_make_the_server_cut_it_off(server: NatsServer) -> None:
    connection = connect(server)
    log = JetStreamLog(connection)
    done = await fill(log, "r1", 12, events=1, size=400_000)
    for records in await asyncio.gather(*[everything(log, "r1") for _ in range(40)]):
        assert records == done
    assert connection._link.client is not None and connection._link.client.stats["reconnects"] == 0
    assert "Slow Consumer" not in (server.folder / "nats.log").read_text()
    await log.close()


async def test_reconnects_while_appending_every_acknowledged_record_is_there_exactly_once(server: NatsServer) -> None:
    log = JetStreamLog(connect(server, timeout=2))
    acknowledged: list[str] = []
    runs = 4
    stop = asyncio.Event()

    async def write(run: str) -> int:
        head, i = Head(run), 0
        while not stop.is_set():
            record = await log.append(draft(run, f"{run}-{i}"), head)
            acknowledged.append(f"{run}-{i}")
            head, i = record.head, i + 1
        return i

    writers = [asyncio.create_task(write(f"r{r}")) for r in range(runs)]
    for kills in range(4):
        while len(acknowledged) < 60 * (kills + 1):
            await asyncio.sleep(0.01)
            assert not any(w.done() for w in writers)
        await server.restart()
    count = len(acknowledged)
    while len(acknowledged) < count + 40:
        await asyncio.sleep(0.01)
    stop.set()
    written = await asyncio.wait_for(asyncio.gather(*writers), 30)
    for r in range(runs):
        assert await answers(server, f"r{r}") == [f"r{r}-{i}" for i in range(written[r])]
    await log.close()


async def test_reconnects_while_following_nothing_is_missed_or_repeated(server: NatsServer) -> None:
    writer, reader = JetStreamLog(connect(server)), JetStreamLog(connect(server))
    got: list[Sealed] = []
    arrived = asyncio.Event()

    async def follow() -> None:
        async with aclosing(reader.follow("r1")) as records:
            async for record in records:
                got.append(record)
                arrived.set()

    follower = asyncio.create_task(follow())
    done: list[Sealed] = []
    for _ in range(3):
        done += await fill(writer, "r1", 15)
        await server.restart()
        done += await fill(writer, "r1", 15)
    while len(got) < 90:
        arrived.clear()
        await asyncio.wait_for(arrived.wait(), 10)
    assert got == done
    follower.cancel()
    await asyncio.gather(follower, return_exceptions=True)
    await writer.close()
    await reader.close()


async def test_a_server_killed_in_the_middle_of_a_read_does_not_disturb_it(server: NatsServer) -> None:
    log = JetStreamLog(connect(server))
    done = await fill(log, "r1", 50, events=1, size=300_000)
    got = []
    async for record in log.read("r1"):
        got.append(record)
        if len(got) in (5, 30):
            await server.restart()
    assert got == done
    await log.close()


def permitted(**permissions: Mapping[str, list[str]]) -> list[dict[str, object]]:
    return [
        {"user": "all", "password": "pw"},
        {"user": "some", "password": "pw", "permissions": permissions},
    ]


async def test_a_forbidden_append_is_an_error_that_says_so_and_no_time_out(tmp_path: Path) -> None:
    users = permitted(publish={"deny": ["gome.ev.*.*.decide.*"]})
    async with nats_server(tmp_path, users=users) as server:
        log = JetStreamLog(Connection(server.url, user="some", password="pw"))
        with pytest.raises(Forbidden, match=r"not permit user some to publish to gome.ev.main.r1.decide.search"):
            await asyncio.wait_for(log.append(draft("r1", "a"), Head("r1")), 2)
        record = await log.append(draft("r1", "a", lane="effect", role="runner"), Head("r1"))
        assert (await log.head("r1")) == record.head
        await log.close()


async def test_forbidden_reading_and_following_are_errors_that_say_so(tmp_path: Path) -> None:
    users = permitted(
        publish={"deny": ["$JS.API.DIRECT.GET.GOME", "$JS.API.STREAM.MSG.GET.GOME_VAULT"]},
        subscribe={"deny": ["gome.ev.live.>"]},
    )
    async with nats_server(tmp_path, users=users) as server:
        owner = JetStreamLog(Connection(server.url, user="all", password="pw"))
        connection = Connection(server.url, user="some", password="pw")
        log = JetStreamLog(connection)
        vault = JetStreamLog(connection, stream="GOME_VAULT", prefix="gome.vault")
        await fill(owner, "r1", 1)
        with pytest.raises(LogUnreachable, match="not permit"):
            await asyncio.wait_for(everything(log, "r1"), 2)
        with pytest.raises(LogUnreachable, match="not permit user some to read"):
            await asyncio.wait_for(anext(log.follow("r1")), 2)
        with pytest.raises(LogUnreachable, match="not permit"):
            await asyncio.wait_for(vault.head("r1"), 2)
        for one in (log, vault, owner):
            await one.close()


async def test_a_ping_that_overtakes_a_subscription_does_not_hide_its_refusal(tmp_path: Path) -> None:
    def ignore(message: Message) -> None:
        pass

    async with nats_server(tmp_path, users=permitted(subscribe={"deny": ["secret.>"]})) as server:
        connection = Connection(server.url, user="some", password="pw")
        for i in range(50):
            with pytest.raises(LogUnreachable, match="not permit user some to read"):
                await connection.subscribe(f"secret.{i}", ignore, lambda: None)
        await connection.close()


async def test_a_caller_s_headers_are_not_touched(server: NatsServer) -> None:
    connection = connect(server)
    headers = {"Nats-Msg-Id": "1"}
    await connection.request("$JS.API.INFO", b"", headers)
    assert headers == {"Nats-Msg-Id": "1"}
    await connection.close()


DROPPED = b'{"error": {"code": 409, "err_code": 10158, "description": "duplicate message id is in process"}}'


STAGED = b'{"error": {"code": 400, "err_code": 10164, "description": "wrong last sequence"}}'
LEADERLESS = b'{"error": {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"}}'


class Faulty(Connection):
    """A connection that loses the answers it is told to lose, or answers once with a refusal; with `dropped`, to what
    has a message's id as a cluster does that has staged that message and dropped it, with `staged` to all records as
    a leader does that cannot reach the others, with `leaderless` to who asks for a head as servers without a leader."""

    lose = 0
    refuse: bytes = b""
    dropped = staged = leaderless = False

    async def request(
        self, subject: str, payload: bytes = b"", headers: Mapping[str, str] | None = None, timeout: float = 0.0
    ) -> Message:
        if headers and self.refuse:
            refusal, self.refuse = self.refuse, b""
            return Message("", refusal, None)
        if headers and (self.dropped or self.staged) and "Nats-Msg-Id" in headers:
            return Message("", DROPPED, None)
        if headers and self.staged:
            return Message("", STAGED, None)
        if self.leaderless and ".STREAM.MSG.GET." in subject:
            return Message("", LEADERLESS, None)
        reply = await super().request(subject, payload, headers, timeout)
        if headers and self.lose > 0:
            self.lose -= 1
            raise Unanswered("lost for a test")
        return reply


async def test_an_answer_that_was_lost_is_found_again_in_the_log(server: NatsServer) -> None:
    connection = Faulty(server.url, token=server.token)
    log = JetStreamLog(connection)
    done = await fill(log, "r1", 2)
    connection.lose = 1
    landed = await log.append(draft("r1", "lost"), done[-1].head)
    assert landed.head == await log.head("r1")
    assert await answers(server) == ["t0", "t3", "lost"]
    await log.close()


async def test_a_refusal_without_a_cause_is_tried_again(server: NatsServer) -> None:
    connection = Faulty(server.url, token=server.token)
    log = JetStreamLog(connection)
    head = (await fill(log, "r1", 1))[-1].head
    connection.refuse = STAGED
    await log.append(draft("r1", "second"), head)
    assert await answers(server) == ["t0", "second"]
    await log.close()


async def test_an_id_that_a_cluster_remembers_without_the_record_does_not_keep_the_record_out(
    server: NatsServer,
) -> None:
    """A leader that loses its place remembers up to two minutes what it staged and dropped; seen for 18 s."""
    connection = Faulty(server.url, token=server.token)
    log = JetStreamLog(connection)
    head = (await fill(log, "r1", 1))[-1].head
    connection.dropped = True
    second = await log.append(draft("r1", "second"), head)
    await log.append(draft("r1", "third"), second.head)
    with pytest.raises(Conflict):
        await log.append(draft("r1", "late"), head)
    assert await log.append(draft("r1", "second"), head) == second
    assert await answers(server) == ["t0", "second", "third"]
    await log.close()


@pytest.mark.parametrize("trouble", ["staged", "leaderless"])
async def test_an_append_to_a_cluster_that_takes_nothing_ends_within_its_patience_and_lands_once_later(
    server: NatsServer, trouble: str
) -> None:
    connection = Faulty(server.url, token=server.token, patience=0.3)
    log = JetStreamLog(connection)
    head = (await fill(log, "r1", 1))[-1].head
    setattr(connection, trouble, True)
    connection.lose = 1
    async with asyncio.timeout(10):
        with pytest.raises(AppendUnknown, match=r"duplicate|wrong last|temporarily unavailable"):
            await log.append(draft("r1", "second"), head)
    setattr(connection, trouble, False)
    second = await log.append(draft("r1", "second"), head)
    await log.append(draft("r1", "third"), second.head)
    assert await answers(server) == ["t0", "second", "third"]
    await log.close()


async def test_an_id_that_a_cluster_remembers_without_the_hint_does_not_keep_work_from_workers(
    server: NatsServer,
) -> None:
    connection = Faulty(server.url, token=server.token)
    connection.dropped = True
    queue = WorkQueue(connection)
    await queue.publish("runner", "ExecutionRequested", "r1", "i1")
    async with aclosing(queue.pull(["runner"], 1)) as items:
        item = await asyncio.wait_for(anext(items), 20)
    assert item.intent == "i1"
    await queue.close()


async def test_a_cancelled_append_may_be_repeated(server: NatsServer) -> None:
    log = JetStreamLog(connect(server))
    head = (await fill(log, "r1", 1))[-1].head
    for i in range(20):
        say = draft("r1", f"c{i}")
        append = asyncio.create_task(log.append(say, head))
        for _ in range(i % 5):
            await asyncio.sleep(0)
        append.cancel()
        await asyncio.gather(append, return_exceptions=True)
        head = (await log.append(say, head)).head
    assert await answers(server) == ["t0", *(f"c{i}" for i in range(20))]
    await log.close()


async def test_a_store_that_was_lost_with_its_server_is_called_damaged(server: NatsServer) -> None:
    log = JetStreamLog(connect(server))
    head = (await fill(log, "r1", 2))[-1].head
    server.kill()
    shutil.rmtree(server.folder / "store")
    await server.start()
    with pytest.raises(LogDamaged, match="had been reached before"):
        await log.append(draft("r1", "after"), head)
    await log.close()


async def test_a_ping_whose_sender_gave_up_does_not_deafen_the_connection(server: NatsServer) -> None:
    connection = connect(server)
    await connection.open()
    assert connection._link.client is not None
    ping = asyncio.ensure_future(connection._link.client.flush())
    await asyncio.sleep(0)
    ping.cancel()
    await asyncio.gather(ping, return_exceptions=True)
    await connection._link.client.flush()
    assert "streams" in await connection.api("INFO")
    await connection.close()


async def test_a_receiver_that_fails_does_not_deafen_the_connection(server: NatsServer) -> None:
    connection = connect(server)
    got: list[bytes] = []

    def receive(message: Message) -> None:
        got.append(message.data)
        raise ValueError("no use for that")

    wanted = await connection.subscribe("some.subject", receive, lambda: None)
    await connection.send("some.subject", b"1")
    assert "streams" in await connection.api("INFO")
    await connection.unsubscribe(wanted)
    await connection.send("some.subject", b"2")
    assert "streams" in await connection.api("INFO")
    assert got == [b"1"]
    await connection.close()


def test_headers_are_read_as_the_client_library_reads_them() -> None:
    assert nats.aio.client.parse_email is None
    lines = b"Nats-Sequence: 7\r\nNats-Subject:gome.ev.main.r\r\nStatus-Of: x\r\n\r\n"
    assert dict(Headers(b"NATS/1.0\r\n" + lines)) == nats.aio.client.Client._parse_header_lines(lines)
    inline = Headers(b"NATS/1.0 404 Message Not Found\r\n\r\n")
    assert dict(inline) == {"Status": "404"} and "Nats-Sequence" not in inline
    assert dict(Headers(b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\n\r\n")) == {
        "Status": "204",
        "Nats-Num-Pending": "0",
    }
