"""Services as processes: what is submitted is driven once, whatever dies, and handed over in order."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from gome.events import CODEC, Budget, Event, RunFinished, RunResumed, RunStarted, RunSuspended, StepPlanned
from gome.kernel.connect import connect
from gome.kernel.errors import GomeError
from gome.kernel.jetstream import Connection
from gome.kernel.log_jetstream import JetStreamLog
from gome.kernel.service import service as service_module
from gome.kernel.service.client import ServiceClient
from gome.kernel.service.problems import Refused
from gome.kernel.service.service import Service
from gome.kernel.service.submission import Submission
from gome.kernel.service.submissions import Submissions
from gome.kernel.service.tenants import Tenant, alone
from gome.kernel.settings import Settings
from tests.kernel.nats_server import TOKEN, NatsServer, nats_server
from tests.kernel.service import standin
from tests.kernel.service.processes import Services, Serving, services

pytestmark = pytest.mark.anyio
FEW = {"steps": 3}


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[tuple[NatsServer, Services, Connection]]:
    """A server, services to start, and a client's connection."""
    async with nats_server(folder / "server") as server:
        connection = Connection(server.url, token=TOKEN)
        with services(folder, server.url) as found:
            try:
                yield server, found, connection
            finally:
                await connection.close()


async def starting(found: Services, *flags: str, **more: str) -> Serving:
    return await asyncio.to_thread(lambda: found.start(*flags, **more))


async def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Look until something holds that happens in another process."""
    with anyio.fail_after(seconds):
        while not (found := condition()):
            await anyio.sleep(0.02)
        return found


async def settled(client: ServiceClient, runs: list[str]) -> list[dict[str, Any]]:
    """The results of runs, each awaited over its tail."""
    found = []
    for run in runs:
        async for _ in client.tail(run):
            pass
        found.append(await client.result(run))
    return found


async def events(connection: Connection, run: str, tenant: str = "main") -> list[Event]:
    log = JetStreamLog(connection, tenant=tenant)
    connection.retain()
    try:
        return [event async for sealed in log.read(run) for event in CODEC.commit(sealed).events]
    finally:
        await log.close()


def count(found: list[Event], kind: type) -> int:
    return sum(isinstance(event.payload, kind) for event in found)


async def test_a_run_is_submitted_once_followed_and_its_result_fetched_over_nats_micro(tmp_path: Path) -> None:
    async with world(tmp_path) as (_, found, connection):
        serving = await starting(found)
        client = ServiceClient(connection)
        first = await client.submit("instant", nonce="the first one", budget=FEW, seed=5)
        assert first["new"] and first["state"] == "queued"
        again = await client.submit("instant", nonce="the first one", budget=FEW, seed=5)
        assert not again["new"] and again["run"] == first["run"]
        with pytest.raises(Refused, match="another request") as refused:
            await client.submit("instant", nonce="the first one", budget=FEW, seed=6)
        assert refused.value.status == 409

        run = first["run"]
        lines = [line async for line in client.tail(run)]
        assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
        assert (lines[0]["type"], lines[-1]["type"]) == ("RunStarted", "RunFinished")
        assert [line["seq"] async for line in client.tail(run, after=30)] == list(range(31, len(lines) + 1))
        status = await client.status(run)
        assert (status["state"], status["steps"], status["best"]) == ("done", 3, 1.0)
        result = await client.result(run)
        assert result["summary"]["run"] == run and result["spent"]["executions"] == 3
        assert (await client.file(run, "best_program.py")) == b"pass"
        assert (await client.file(run, "submission.csv")) == b"file"

        pinged = json.loads((await connection.request("$SRV.PING.gome")).data)
        assert pinged["type"] == "io.nats.micro.v1.ping_response"
        info = json.loads((await connection.request(f"$SRV.INFO.gome.{pinged['id']}")).data)
        verbs = {"submit", "status", "list", "result", "stop", "tail", "health"}
        assert {endpoint["name"] for endpoint in info["endpoints"]} == verbs
        stats = json.loads((await connection.request("$SRV.STATS.gome")).data)
        asked = {endpoint["name"]: endpoint for endpoint in stats["endpoints"]}
        assert asked["submit"]["num_requests"] == 3 and asked["submit"]["num_errors"] == 1
        health = json.loads((await connection.request("gome.service.health")).data)
        assert health["ok"] and not health["draining"] and health["ended"] == 1
        assert await asyncio.to_thread(serving.terminate) == 0


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"task": "instant", "nonce": "short"}, 422, "length >= 8"),
        ({"task": "instant", "nonce": "long enough", "nmae": 1}, 422, "unknown field"),
        ({"task": "no such task", "nonce": "long enough"}, 422, "there is no task"),
        ({"task": "instant", "nonce": "long enough", "roles": {"search": "no-such"}}, 422, "no-such"),
        ({"task": "instant", "nonce": "long enough", "budget": {"steps": -1}}, 422, "allows nothing"),
        (
            {"task": "instant", "nonce": "long enough", "budget": {"setps": 3}},
            422,
            "budget.setps: there is no such limit",
        ),
        ({"task": "instant", "nonce": "long enough", "roles": {"serach": "aide"}}, 422, "there is no role 'serach'"),
        ({"task": "instant", "nonce": "long enough", "settings": {"loop": {"memroy": 1}}}, 422, "loop.memroy"),
        ({"task": "instant", "nonce": "long enough", "profile": "nowhere"}, 422, "no such profile"),
        ({"task": "instant", "nonce": "x" * 10, "roles": {"search": "y" * 140_000}}, 413, "131,072"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_request_that_cannot_begin_is_refused_with_a_sentence(
    single: tuple[Services, str], body: dict[str, Any], status: int, says: str
) -> None:
    connection = Connection(single[1], token=TOKEN)
    with pytest.raises(Refused, match=says) as refused:
        await ServiceClient(connection).submit(**body)
    assert refused.value.status == status
    await connection.close()


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One service that many tests ask."""
    folder = tmp_path_factory.mktemp("single")
    server = NatsServer(folder / "server")
    asyncio.run(server.start())
    with services(folder, server.url) as found:
        found.start("--capacity", "2")
        yield found, server.url
    server.kill()


async def test_a_task_that_cannot_be_prepared_ends_as_failed_with_the_reason(single: tuple[Services, str]) -> None:
    connection = Connection(single[1], token=TOKEN)
    client = ServiceClient(connection)
    run = (await client.submit("broken", budget=FEW))["run"]
    assert [line async for line in client.tail(run)] == []
    result = await client.result(run)
    assert (result["outcome"], result["reason"], result["files"]) == ("failed", "the task broken has no table", [])
    with pytest.raises(Refused, match="never began"):
        await client.file(run, "best_program.py")
    await connection.close()


async def test_stopping_withdraws_what_waits_and_ends_what_is_open(single: tuple[Services, str]) -> None:
    _, url = single
    connection = Connection(url, token=TOKEN)
    client = ServiceClient(connection)
    held = [(await client.submit("held", budget=FEW))["run"] for _ in range(3)]
    with anyio.fail_after(30):
        while (await client.status(held[1]))["state"] != "open":
            await anyio.sleep(0.05)
    assert (await client.status(held[2]))["state"] == "queued"
    assert await client.stop(held[2]) == "withdrawn"
    assert await client.stop(held[0], "seen enough") == "asked"
    assert await client.stop(held[1]) == "asked"
    first, second, third = await settled(client, held)
    assert {first["outcome"], second["outcome"], third["outcome"]} == {"stopped"}
    assert third["spent"] == {} and await client.stop(held[2]) == "finished"
    assert "seen enough" in str([e.payload for e in await events(connection, held[0])])
    await connection.close()


async def test_a_service_that_is_killed_is_replaced_and_its_run_goes_on_from_the_log(tmp_path: Path) -> None:
    async with world(tmp_path) as (server, found, connection):
        # Nobody is there yet: what is submitted waits in the stream.
        submissions = Submissions(connection, lambda: 1.0)
        wanted = Submission(task="held", nonce="the held one", budget=Budget(steps=3))
        entry, _ = await submissions.submit(Tenant(name="main"), wanted)
        run = entry.submitted.run
        victim = await starting(found)
        await until(lambda: len(found.executions()) == 3)
        other = await starting(found)
        victim.kill()
        client = ServiceClient(connection)
        found.gate.touch()
        result = (await settled(client, [run]))[0]
        assert result["outcome"] == "done" and result["spent"]["executions"] == 3
        # The answers lay in the home of the service that was killed; the other one made them again.
        assert result["summary"]["hidden"] == 0.5
        told = await events(connection, run)
        assert [count(told, kind) for kind in (RunStarted, RunFinished, StepPlanned)] == [1, 1, 3]
        assert count(told, RunResumed) == 1
        assert {int(pid) for pid, _, _ in found.executions()} == {victim.process.pid, other.process.pid}
        assert "resumed" not in other.log.read_text()
        await verified(found, server.url, run)


async def verified(found: Services, url: str, run: str) -> None:
    """`gome verify` has nothing to say against a run."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "gome.kernel.cli", "verify", run]
    environment = found.environment(GOME_HOME=str(found.folder / "verifier"))
    done = await asyncio.to_thread(
        lambda: subprocess.run(command, cwd=found.folder, env=environment, capture_output=True, text=True, check=False)
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def test_a_service_that_is_told_to_stop_hands_its_run_over_and_ends_with_zero(tmp_path: Path) -> None:
    async with world(tmp_path) as (server, found, connection):
        leaving = await starting(found, "--capacity", "1", "--grace", "0.2")
        client = ServiceClient(connection)
        run = (await client.submit("held", budget=FEW))["run"]
        waiting = (await client.submit("instant", budget=FEW))["run"]
        await until(lambda: len(found.executions()) == 3)
        tail: list[dict[str, Any]] = []

        async def follow() -> None:
            async for line in client.tail(run):
                tail.append(line)

        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await until(lambda: tail)
            assert await asyncio.to_thread(leaving.terminate) == 0
            assert "1 handed over" in leaving.log.read_text()
            assert (await events(connection, run))[-1].type == "RunSuspended"
            found.gate.touch()
            await starting(found)
        assert [line["type"] for line in tail][-1] == "RunFinished"
        results = await settled(client, [run, waiting])
        assert [result["outcome"] for result in results] == ["done", "done"]
        told = await events(connection, run)
        assert [count(told, kind) for kind in (RunStarted, RunSuspended, RunResumed)] == [1, 1, 1]
        await verified(found, server.url, run)


@pytest.mark.slow
async def test_several_services_drive_each_run_once(tmp_path: Path) -> None:
    async with world(tmp_path) as (_, found, connection):
        both = await asyncio.gather(*(asyncio.to_thread(found.start, "--capacity", "2") for _ in range(1)))
        both.append(await starting(found, "--capacity", "2"))
        client = ServiceClient(connection)
        runs = [(await client.submit("instant", budget=FEW))["run"] for _ in range(12)]
        results = await settled(client, runs)
        assert {result["outcome"] for result in results} == {"done"}
        began = Counter((run, attempt) for _, run, attempt in found.executions())
        assert len(began) == 36 and set(began.values()) == {1}
        assert len({pid for pid, _, _ in found.executions()}) == 2


async def test_a_run_that_fails_again_and_again_counts_as_failed_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "AGAIN", 0.01)
    monkeypatch.setattr(service_module, "TRIES", 3)
    async with world(tmp_path) as (server, found, connection):
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        monkeypatch.setenv("GOME_LOAD_PLUGINS", ",".join([*standin.ROLES.values(), "standin"]))
        settings = Settings(tmp_path / "home", nats_url=server.url, nats_token=TOKEN, lease=5, roles=standin.ROLES)
        submissions = Submissions(connection, lambda: 1.0)
        tenant = Tenant(name="main")
        tasks = ("raising", "instant")
        runs = [
            (await submissions.submit(tenant, Submission(task, f"the task {task}", budget=Budget(steps=1))))[0]
            for task in tasks
        ]
        async with connect(settings) as c:
            service = Service(c, settings, alone("main"), 2)
            async with anyio.create_task_group() as group:
                group.start_soon(service.run)
                with anyio.fail_after(30):
                    while service.ended < 2:
                        await anyio.sleep(0.02)
                service.stop(1)
        ends = [await submissions.find("main", entry.submitted.run) for entry in runs]
        outcomes = [entry.ended.outcome for entry in ends if entry is not None and entry.ended is not None]
        assert outcomes == ["failed", "done"]
        assert ends[0] is not None and ends[0].ended is not None and "cannot think" in ends[0].ended.reason
        assert count(await events(connection, runs[0].submitted.run), RunSuspended) == 3
        assert not service._failures and found.started == []


async def test_nobody_serving_is_said_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as (_, _, connection):
        with pytest.raises(GomeError, match="no service answers"):
            await ServiceClient(connection).status("main-1")


@pytest.mark.slow
async def test_runs_go_on_when_the_server_of_the_log_was_away_for_a_while(tmp_path: Path) -> None:
    async with world(tmp_path) as (server, found, connection):
        serving = await starting(found)
        client = ServiceClient(connection)
        run = (await client.submit("held", budget=FEW))["run"]
        await until(lambda: len(found.executions()) == 3)
        server.kill()
        found.gate.touch()
        await anyio.sleep(1)
        await server.start()
        assert (await settled(client, [run]))[0]["outcome"] == "done"
        later = (await client.submit("instant", budget=FEW))["run"]
        assert (await settled(client, [later]))[0]["outcome"] == "done"
        pinged = json.loads((await connection.request("$SRV.PING.gome")).data)
        assert pinged["name"] == "gome"
        await verified(found, server.url, run)
        assert await asyncio.to_thread(serving.terminate) == 0
