"""The JetStream log keeps the contract on a real server, and what is its own: streams, tenants, permissions."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gome.events import Head, unseal
from gome.kernel.answers import ApiError
from gome.kernel.errors import Forbidden, LogDamaged, LogUnreachable, UsageError
from gome.kernel.jetstream import Connection
from gome.kernel.log_jetstream import JetStreamLog
from gome.kernel.log_stream import stream_config
from tests.kernel.log_contract import LogContract, Tamper, draft, everything, fill, first
from tests.kernel.nats_server import NatsServer

counter = itertools.count()


@asynccontextmanager
async def opened(server: NatsServer, name: str, **more: object) -> AsyncIterator[JetStreamLog]:
    """A log in a stream of its own on the module's server."""
    connection = Connection(server.url, token=server.token)
    log = JetStreamLog(connection, stream=name, prefix=f"{name}.ev", **more)  # type: ignore[arg-type]
    try:
        yield log
    finally:
        await log.close()


async def rewrite(connection: Connection, log: JetStreamLog, number: int, how: str) -> None:
    """Make the stream anew with its `number`-th record altered or missing: the stream itself allows neither."""
    stream, prefix = log._stream, log._prefix
    state = (await connection.api(f"STREAM.INFO.{stream}"))["state"]
    messages = [
        (await connection.api(f"STREAM.MSG.GET.{stream}", {"seq": seq}))["message"]
        for seq in range(1, state["last_seq"] + 1)
    ]
    await connection.api(f"STREAM.DELETE.{stream}")
    await connection.api(f"STREAM.CREATE.{stream}", stream_config(stream, prefix, log._replicas))
    for i, message in enumerate(messages, 1):
        data = base64.b64decode(message["data"])
        if i == number:
            if how == "drop":
                continue
            data = data.replace(b"xxx", b"xyx", 1)
        await connection.request(message["subject"], data)


class TestJetStreamLog(LogContract):
    @pytest.fixture
    def stream(self) -> str:
        return f"contract{next(counter)}"

    @pytest.fixture
    async def log(self, server: NatsServer, stream: str) -> AsyncIterator[JetStreamLog]:
        async with opened(server, stream) as log:
            yield log

    @pytest.fixture
    async def another(self, server: NatsServer, stream: str) -> AsyncIterator[JetStreamLog]:
        async with opened(server, stream) as log:
            yield log

    @pytest.fixture
    def tamper(self, log: JetStreamLog) -> Tamper:
        async def tamper(run: str, number: int, how: str) -> None:
            await rewrite(log._connection, log, number, how)

        return tamper


@pytest.mark.anyio
async def test_the_stream_refuses_to_delete_purge_or_forget(server: NatsServer) -> None:
    async with opened(server, "keeps") as log:
        await fill(log, "r1", 2)
        config = (await log._connection.api("STREAM.INFO.keeps"))["config"]
        assert config["deny_delete"] and config["deny_purge"] and config["discard"] == "new"
        assert config["compression"] == "s2" and config["storage"] == "file" and config["num_replicas"] == 1
        for call, body in (("STREAM.MSG.DELETE.keeps", {"seq": 1}), ("STREAM.PURGE.keeps", None)):
            with pytest.raises(ApiError, match=r"not permitted|denied|not allowed"):
                await log._connection.api(call, body)
        assert len(await everything(log, "r1")) == 2


class Told(Connection):
    """A connection that keeps what it shall update, or may not."""

    def __init__(self, forbidden: bool = False) -> None:
        super().__init__("nats://127.0.0.1:1", replicas=1)
        self.updates: list[dict[str, Any]] = []
        self.forbidden = forbidden

    async def api(self, call: str, body: object = None) -> dict[str, Any]:
        if self.forbidden:
            raise Forbidden("not permitted")
        assert call.startswith("STREAM.UPDATE.") and isinstance(body, dict)
        self.updates.append(body)
        others = [{"name": f"n{i}"} for i in range(1, body["num_replicas"])]
        return {"config": body, "cluster": {"leader": "n0", "replicas": others}}


@pytest.mark.anyio
async def test_a_stream_on_several_servers_is_never_compressed_and_one_that_is_gets_unpacked() -> None:
    """nats-server 2.15.1 damages the last block of such a stream when a killed server comes back."""
    one, three = stream_config("GOME", "gome.ev", 1), stream_config("GOME", "gome.ev", 3)
    assert (one["compression"], three["compression"]) == ("s2", "none")
    told = Told()
    assert (await told.widen({"config": one}))["config"] == one and not told.updates
    assert (await told.widen({"config": one}, 3))["config"] == three
    # Made by somebody else, or before this was known: whoever comes next sees to it, however many servers it wants.
    assert (await told.widen({"config": {**three, "compression": "s2"}}, 1))["config"] == three
    assert told.updates == [three, three]
    refused = Told(forbidden=True)
    packed = {**three, "compression": "s2"}
    assert (await refused.widen({"config": packed}))["config"] == packed
    assert refused.narrow["GOME"].startswith("3 servers hold GOME compressed, which a killed one may damage: ")


@pytest.mark.anyio
async def test_a_second_log_with_its_own_stream_is_the_vault(server: NatsServer) -> None:
    connection = Connection(server.url, token=server.token)
    log = JetStreamLog(connection)
    vault = JetStreamLog(connection, stream="GOME_VAULT", prefix="gome.vault")
    await fill(log, "r1", 2)
    secret = await fill(vault, "r1", 1)
    assert len(await everything(log, "r1")) == 2
    assert await everything(vault, "r1") == secret
    await log.close()
    assert (await vault.head("r1")).seq == 3
    await vault.close()


@pytest.mark.anyio
async def test_tenants_with_equal_run_ids_do_not_see_each_other(server: NatsServer) -> None:
    async with opened(server, "tenants") as main, opened(server, "tenants", tenant="other") as other:
        say = draft("r1", "a")
        mine = await main.append(say, Head("r1"))
        theirs = await other.append(draft("r1", "a", tenant="other"), Head("r1"))
        assert theirs.revision != mine.revision
        assert await main.runs() == await other.runs() == ["r1"]
        assert await everything(other, "r1") == [theirs]
        with pytest.raises(UsageError, match="tenant"):
            await main.append(draft("r1", "b", tenant="other"), mine.head)


@pytest.mark.anyio
async def test_a_record_that_somebody_published_past_the_log_is_found(server: NatsServer) -> None:
    async with opened(server, "forged") as log:
        done = await fill(log, "r1", 2)
        chained = unseal(done[0].stored)
        await log._connection.request("forged.ev.main.r1.decide.search", chained.stored)
        with pytest.raises(LogDamaged) as caught:
            await everything(log, "r1")
        assert (caught.value.run, caught.value.position) == ("r1", 7)


@pytest.mark.anyio
async def test_a_follower_stops_with_an_error_at_a_damaged_record(server: NatsServer) -> None:
    async with opened(server, "followed") as log:
        await fill(log, "r1", 2)
        follower = asyncio.create_task(first(log, "r1", 3))
        await log._connection.request("followed.ev.main.r1.decide.search", b'{"not": "a record"}')
        with pytest.raises(LogDamaged):
            await asyncio.wait_for(follower, 10)


@pytest.mark.anyio
async def test_a_stream_with_other_settings_is_named_and_refused(server: NatsServer) -> None:
    connection = Connection(server.url, token=server.token)
    await connection.api("STREAM.CREATE.drifted", {**stream_config("drifted", "drifted.ev"), "deny_purge": False})
    log = JetStreamLog(connection, stream="drifted", prefix="drifted.ev")
    with pytest.raises(UsageError, match="deny_purge"):
        await log.head("r1")
    await log.close()


@pytest.mark.anyio
async def test_runs_are_listed_over_all_lanes_and_roles(server: NatsServer) -> None:
    async with opened(server, "lanes") as log:
        for i, (lane, role) in enumerate([("decide", "search"), ("effect", "runner"), ("control", "client")]):
            await log.append(draft(f"r{i % 2}", f"a{i}", lane=lane, role=role), await log.head(f"r{i % 2}"))
        assert await log.runs() == ["r0", "r1"]


@pytest.mark.anyio
async def test_a_follower_that_does_not_come_along_misses_nothing(server: NatsServer) -> None:
    async with opened(server, "slow") as log:
        await fill(log, "r1", 1)
        records = log.follow("r1")
        got = [await anext(records)]
        # More than is buffered for a follower, so that it must read from the log.
        done = await fill(log, "r1", 60, events=1, size=200_000)
        while len(got) < 61:
            got.append(await asyncio.wait_for(anext(records), 10))
        assert [r.hash for r in got[1:]] == [r.hash for r in done]
        await records.aclose()


@pytest.mark.anyio
async def test_a_refusing_address_is_one_clear_error_within_the_time_limit(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    log = JetStreamLog(Connection(server.url, connect_timeout=0.5))
    with pytest.raises(LogUnreachable) as caught:
        await asyncio.wait_for(log.head("r1"), 5)
    assert server.url in str(caught.value) and "gome doctor" in str(caught.value)
    assert "\n" not in str(caught.value)
    await log.close()


@pytest.mark.anyio
async def test_a_wrong_token_is_said_at_once_and_never_shown(server: NatsServer) -> None:
    connection = Connection(server.url, token="wrong-secret")
    log = JetStreamLog(connection)
    with pytest.raises(LogUnreachable, match="token") as caught:
        await asyncio.wait_for(log.head("r1"), 5)
    assert "wrong-secret" not in str(caught.value) + repr(connection)
    await log.close()


@pytest.mark.anyio
async def test_a_scan_for_few_among_many_reads_run_by_run_and_finds_the_same(server: NatsServer) -> None:
    async with opened(server, f"few{next(counter)}") as log:
        for n in range(6):
            await fill(log, "one", 2)
            await fill(log, "two", 1)
            await fill(log, f"other{n}", 90)
        heads = {"one": Head("one"), "two": Head("two")}
        found = [record async for record in log.scan(heads)]
        assert [r.body.run for r in found] == ["one"] * 12 + ["two"] * 6, "not as they lie in the stream"
        swept = [record async for record in log._sweep_through(heads, 1, 558)]
        assert [r.body.run for r in swept] == ["one", "one", "two"] * 6
        assert sorted(swept, key=lambda r: (r.body.run, r.body.seq)) == found
