"""Credentials between processes: what each user of a shared server may do, tried on a real one."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gome.events import Head, SubmissionGraded, seal
from gome.kernel.answers import Message
from gome.kernel.connect import Vaults, connect, grades
from gome.kernel.errors import Forbidden, LogDamaged, LogUnreachable, UsageError
from gome.kernel.jetstream import ApiError, Connection
from gome.kernel.log_jetstream import JetStreamLog
from gome.kernel.permissions import abilities, matches, users
from gome.kernel.queue_jetstream import WorkQueue
from gome.kernel.settings import Settings
from tests.kernel.log_contract import draft, everything, fill, first
from tests.kernel.shared_server import SharedServer, shared_server, write_config

pytestmark = pytest.mark.anyio

SECOND = {"timeout": 1.0, "patience": 1.0}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServer]:
    """A server on which a driver has made the streams and recorded a run with a hidden grade."""
    server = SharedServer(tmp_path_factory.mktemp("shared"))
    asyncio.run(_prepare(server))
    yield server
    server.kill()


async def _prepare(server: SharedServer) -> None:
    await server.start()
    connection = server.connection("driver")
    log, vault, queue = JetStreamLog(connection), the_vault(connection), WorkQueue(connection)
    await fill(log, "seen", 3)
    await vault.append(draft("seen", "t0", lane="effect", role="scorer"), Head("seen"))
    await queue.publish("runner", "ExecutionRequested", "seen", "i1")
    await queue.publish("scorer", "ScoreRequested", "seen", "i2")
    for one in (log, vault, queue):
        await one.close()


def the_vault(connection: Connection) -> JetStreamLog:
    return JetStreamLog(connection, stream="GOME_VAULT", prefix="gome.vault")


@asynccontextmanager
async def as_user(server: SharedServer, name: str) -> AsyncIterator[Connection]:
    connection = server.connection(name, **SECOND)
    connection.retain()
    try:
        yield connection
    finally:
        await connection.release()


FILTERED = {"name": "spy", "filter_subject": "gome.vault.>", "ack_policy": "none"}
READS_VAULT: list[tuple[str, Any]] = [
    ("$JS.API.STREAM.MSG.GET.GOME_VAULT", {"seq": 1}),
    ("gome.api.STREAM.MSG.GET.GOME_VAULT", {"seq": 1}),
    ("gome.api.STREAM.INFO.GOME_VAULT", None),
    ("$JS.API.DIRECT.GET.GOME_VAULT", {"seq": 1}),
    ("$JS.API.DIRECT.GET.GOME_VAULT.gome.vault.main.seen.effect.scorer", None),
    ("$JS.API.CONSUMER.CREATE.GOME_VAULT", {"stream_name": "GOME_VAULT", "config": {"ack_policy": "none"}}),
    ("$JS.API.CONSUMER.CREATE.GOME_VAULT.spy", {"stream_name": "GOME_VAULT", "config": {"name": "spy"}}),
    ("$JS.API.CONSUMER.CREATE.GOME_VAULT.spy.gome.vault.>", {"stream_name": "GOME_VAULT", "config": FILTERED}),
    ("$JS.API.CONSUMER.DURABLE.CREATE.GOME_VAULT.spy", {"stream_name": "GOME_VAULT", "config": FILTERED}),
    ("$JS.API.CONSUMER.MSG.NEXT.GOME_VAULT.spy", None),
    ("$JS.API.STREAM.SNAPSHOT.GOME_VAULT", {"deliver_subject": "_INBOX.x"}),
    # A stream of one's own that has the vault as its source.
    ("$JS.API.STREAM.CREATE.COPY", {"name": "COPY", "sources": [{"name": "GOME_VAULT"}]}),
    ("gome.api.STREAM.CREATE.GOME_WORK", {"name": "GOME_WORK", "sources": [{"name": "GOME_VAULT"}]}),
]
RUINS: list[tuple[str, Any]] = [
    (f"{api}.STREAM.{verb}.{stream}", body)
    for api in ("$JS.API", "gome.api")
    for stream in ("GOME", "GOME_VAULT", "GOME_WORK", "KV_GOME_OWNERS")
    for verb, body in (("DELETE", None), ("PURGE", None), ("UPDATE", {"name": stream}), ("MSG.DELETE", {"seq": 1}))
]
WRITES_ELSEWHERE: list[tuple[str, Any]] = [
    (subject, "x")
    for subject in (
        "gome.ev.main.seen.decide.search",
        "gome.ev.main.seen.decide.runner",
        "gome.ev.main.seen.control.client",
        "gome.ev.main.seen.import.runner",
        "gome.ev.main.seen.effect.judge",
        "gome.ev.other.seen.effect.runner",
        "gome.ev.live.main.seen.effect.runner",
        "gome.work.runner.ExecutionRequested",
        "$KV.GOME_OWNERS.seen",
        "$JS.API.CONSUMER.MSG.NEXT.GOME_WORK.judge",
        "$JS.ACK.GOME_WORK.judge.1.1.1.1.0",
    )
]


async def refused(connection: Connection, subject: str, body: Any) -> None:
    """Publishing there is refused at once, by an error of one line that names subject and user."""
    with pytest.raises(Forbidden) as caught:
        await connection.request(subject, b"" if body is None else json.dumps(body).encode())
    text = str(caught.value)
    assert subject in text and f"user {connection.who} " in text and "\n" not in text
    assert caught.value.exit_code == 3 and connection.password not in text


@pytest.mark.parametrize("user", ["runner", "reader"])
async def test_only_the_scorer_and_the_driver_read_or_write_the_vault(server: SharedServer, user: str) -> None:
    async with as_user(server, user) as connection:
        for subject, body in [*READS_VAULT, ("gome.vault.main.seen.effect.scorer", "x")]:
            await refused(connection, subject, body)
        vault = the_vault(connection)
        with pytest.raises(Forbidden, match="GOME_VAULT"):
            await everything(vault, "seen")
        with pytest.raises(Forbidden, match=r"read gome\.vault"):
            await connection.subscribe("gome.vault.live.>", ignore, lambda: None)
        with pytest.raises(Forbidden, match=r"read >"):
            await connection.subscribe(">", ignore, lambda: None)


def ignore(message: object) -> None:
    """Nothing is received where subscribing is refused."""


@pytest.mark.parametrize("user", ["driver", "runner", "scorer", "reader"])
async def test_nobody_may_purge_delete_or_alter_a_stream(server: SharedServer, user: str) -> None:
    async with as_user(server, user) as connection:
        for subject, body in RUINS:
            await refused(connection, subject, body)


@pytest.mark.parametrize("user", ["driver", "reader"])
async def test_who_wants_more_copies_of_a_stream_and_may_not_alter_it_goes_on_without(
    server: SharedServer, user: str
) -> None:
    async with as_user(server, user) as connection:
        log = JetStreamLog(connection, replicas=3)
        assert (await log.head("seen")).seq
        assert connection.narrow["GOME"].startswith("1 of 3 servers hold GOME: ")
        assert f"does not permit user {user}" in connection.narrow["GOME"]


@pytest.mark.parametrize("user", ["runner", "reader"])
async def test_a_worker_writes_to_the_lane_of_its_own_role_only(server: SharedServer, user: str) -> None:
    async with as_user(server, user) as connection:
        for subject, body in WRITES_ELSEWHERE:
            await refused(connection, subject, body)
        await refused(connection, "gome.ev.main.seen.effect.scorer", "x")


async def test_a_worker_may_not_make_a_consumer_and_a_driver_only_one_that_names_its_filter(
    server: SharedServer,
) -> None:
    whole = {"stream_name": "GOME_WORK", "config": {"name": "runner", "durable_name": "runner"}}
    one = {"stream_name": "GOME_WORK", "config": {**whole["config"], "filter_subject": "gome.work.runner.*"}}  # type: ignore[dict-item]
    named = "CONSUMER.CREATE.GOME_WORK.runner.gome.work.runner.*"
    async with as_user(server, "runner") as connection:
        for api in ("$JS.API", "gome.api"):
            await refused(connection, f"{api}.{named}", one)
    async with as_user(server, "driver") as connection:
        for call in ("CREATE.GOME_WORK", "CREATE.GOME_WORK.runner", "DURABLE.CREATE.GOME_WORK.runner"):
            await refused(connection, f"$JS.API.CONSUMER.{call}", whole)
        await refused(connection, "$JS.API.CONSUMER.CREATE.GOME.spy.gome.ev.>", one)
        with pytest.raises(ApiError, match="filter"):
            await connection.api(named, whole)


async def test_an_answer_cannot_be_sent_into_somebody_elses_stream(server: SharedServer) -> None:
    async with as_user(server, "runner") as connection, as_user(server, "driver") as driver:
        before = [(await driver.api(f"STREAM.INFO.{s}"))["state"]["last_seq"] for s in ("GOME", "GOME_VAULT")]
        for target in ("gome.vault.main.seen.effect.scorer", "gome.ev.main.seen.decide.search"):
            for call in ("$JS.API.DIRECT.GET.GOME", "gome.api.STREAM.MSG.GET.GOME"):
                await connection.send(call, b'{"seq":1}', reply=target, confirm=True)
        await connection.request("$JS.API.DIRECT.GET.GOME", b'{"seq":1}')
        after = [(await driver.api(f"STREAM.INFO.{s}"))["state"]["last_seq"] for s in ("GOME", "GOME_VAULT")]
        assert after == before


async def test_each_user_receives_only_its_own_answers(server: SharedServer) -> None:
    async with as_user(server, "runner") as spy, as_user(server, "scorer") as connection:
        heard: list[str] = []

        def hear(message: Message) -> None:
            heard.append(message.subject)

        await spy.subscribe("_INBOX.>", hear, lambda: None)
        assert len(await everything(the_vault(connection), "seen")) == 1
        await spy.request("$JS.API.DIRECT.GET.GOME", b'{"seq":1}')
        await spy._settle(await spy.client())
        # Its own answer comes to both of its subscriptions, the scorer's to none.
        assert len(heard) == 1


async def test_a_record_that_claims_to_be_somebody_elses_is_damage(server: SharedServer) -> None:
    async with as_user(server, "driver") as driver, as_user(server, "runner") as runner:
        log = JetStreamLog(driver)
        done = await fill(log, "forged", 1)
        follower = asyncio.create_task(first(log, "forged", 2))
        claims = seal(draft("forged", "a", lane="effect", role="scorer"), done[0].head, 1e9)
        await runner.request("gome.ev.main.forged.effect.runner", claims.stored)
        with pytest.raises(LogDamaged, match=r"effect of scorer, but was written to .*effect\.runner"):
            await everything(log, "forged")
        with pytest.raises(LogDamaged, match="effect of scorer"):
            await asyncio.wait_for(follower, 10)
        await log.close()


async def test_a_worker_reads_follows_and_appends_and_takes_its_own_work(server: SharedServer) -> None:
    async with as_user(server, "runner") as connection:
        log, queue = JetStreamLog(connection), WorkQueue(connection)
        assert len(await everything(log, "seen")) == 3
        follower = asyncio.create_task(first(log, "seen", 4))
        record = await log.append(draft("seen", "mine", lane="effect", role="runner"), await log.head("seen"))
        assert (await asyncio.wait_for(follower, 10))[-1] == record
        item = await asyncio.wait_for(anext(queue.pull(["runner"], 1)), 10)
        assert (item.run, item.intent) == ("seen", "i1")
        await item.progress()
        await item.ack()
        with pytest.raises(Forbidden, match=r"MSG\.NEXT\.GOME_WORK\.scorer|CONSUMER\.INFO\.GOME_WORK\.scorer"):
            await asyncio.wait_for(anext(queue.pull(["scorer"], 1)), 10)
        await queue.close()


async def test_a_worker_that_comes_before_the_first_driver_waits_for_it(tmp_path: Path) -> None:
    async with shared_server(tmp_path) as server, as_user(server, "runner") as early, as_user(server, "driver") as late:
        worker, relay = WorkQueue(early), WorkQueue(late)
        waiting = asyncio.ensure_future(anext(worker.pull(["runner"], 1)))
        with pytest.raises(Forbidden, match=r"not there before a driver's first run.*user runner"):
            await JetStreamLog(early).head("r1")
        assert not waiting.done()
        await relay.publish("runner", "ExecutionRequested", "r1", "i1")
        assert (await asyncio.wait_for(waiting, 10)).intent == "i1"
        await worker.close()
        await relay.close()


async def test_the_scorer_records_grades_and_the_reader_reads_everything_else(
    server: SharedServer, tmp_path: Path
) -> None:
    def settings(user: str) -> Settings:
        found = server.secrets(user)
        login = {"nats_user": found["GOME_NATS_USER"], "nats_password": found["GOME_NATS_PASSWORD"]}
        return Settings(home=tmp_path / user, nats_url=server.url, **login)

    async with connect(settings("scorer")) as connection:
        await Vaults(connection).of("graded", "i1").record(SubmissionGraded("a1", 0.5))
        assert (await grades(connection, "graded"))["a1"].score == 0.5
    async with connect(settings("driver")) as connection:
        assert (await grades(connection, "graded"))["a1"].score == 0.5
    async with connect(settings("reader")) as connection:
        assert "seen" in await connection.log.runs()
        assert len(await everything(connection.log, "seen")) >= 3  # type: ignore[arg-type]
        with pytest.raises(Forbidden, match="GOME_VAULT"):
            await grades(connection, "graded")


async def test_a_wrong_password_is_said_at_once_with_the_user_and_never_shown(server: SharedServer) -> None:
    connection = Connection(server.url, user="runner", password="not-the-password")
    log = JetStreamLog(connection)
    with pytest.raises(LogUnreachable, match=r"runner.*GOME_NATS_PASSWORD") as caught:
        await asyncio.wait_for(log.head("r1"), 5)
    assert "not-the-password" not in str(caught.value) + repr(connection)
    await log.close()


async def test_with_a_certificate_credentials_travel_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=gome", "-days", "1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert]
    subprocess.run(made, check=True, capture_output=True)
    async with shared_server(tmp_path / "server", "--tls-cert", cert, "--tls-key", key) as server:
        found = server.secrets("driver")
        login = {"user": found["GOME_NATS_USER"], "password": found["GOME_NATS_PASSWORD"]}
        url = server.url.replace("nats://", "tls://")
        stranger = Connection(url, **login)
        with pytest.raises(LogUnreachable, match="certificate"):
            await stranger.open()
        monkeypatch.setenv("SSL_CERT_FILE", cert)
        log = JetStreamLog(Connection(url, **login))
        assert len(await fill(log, "r1", 1)) == 1
        await log.close()


def test_passwords_are_random_kept_and_in_private_files_only(tmp_path: Path) -> None:
    write_config(tmp_path)
    conf, env = (tmp_path / "nats.conf").read_text(), (tmp_path / "nats.env").read_text()
    passwords = dict(line.split("=", 1) for line in env.splitlines())
    assert len(set(passwords.values())) == 4 and all(len(p) > 40 for p in passwords.values())
    assert not any(p in conf for p in passwords.values())
    for name in ("nats.env", "driver.secrets", "reader.secrets", "runner.secrets", "scorer.secrets"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    write_config(tmp_path, "--worker", "runner", "--worker", "mutator,reasoner")
    again = dict(line.split("=", 1) for line in (tmp_path / "nats.env").read_text().splitlines())
    assert again.items() > passwords.items() and "GOME_PASSWORD_MUTATOR_REASONER" in again
    assert re.search(r"mutator-reasoner", (tmp_path / "nats.conf").read_text())


def test_roles_that_there_are_not_and_the_same_user_twice_are_refused() -> None:
    with pytest.raises(UsageError, match="no role 'runer'"):
        users([["runer"]])
    with pytest.raises(UsageError, match="two users 'runner'"):
        users([["runner"], ["runner"]])


def test_what_credentials_may_do_is_said_in_words() -> None:
    words = {
        u.name: abilities({"publish": {"allow": list(u.publishes)}}, "main") for u in users([["runner"], ["scorer"]])
    }
    assert words["runner"][0] == ["work as runner", "read runs"]
    assert words["reader"][0] == ["read runs"]
    assert words["scorer"][0] == ["work as scorer", "read runs", "read hidden grades", "record hidden grades"]
    assert "drive runs" in words["driver"][0] and "purge or delete streams" in words["driver"][1]
    can, cannot = abilities({}, "main")
    assert "work as any role" in can and cannot == []
    assert "drive runs" in abilities({"publish": {"deny": ["gome.ev.>"]}}, "main")[1]


@pytest.mark.parametrize(
    ("pattern", "subject", "covers"),
    [
        ("a.*.c", "a.b.c", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a", False),
        ("a.>", "a.b.c", True),
        ("a.b", "a", False),
    ],
)
def test_wildcards_cover_what_the_server_says_they_do(pattern: str, subject: str, covers: bool) -> None:
    assert matches(pattern, subject) is covers
