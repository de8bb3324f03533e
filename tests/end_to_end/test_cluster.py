"""Three servers, one of which is killed in the middle: a run with two workers, and what compose.yaml describes."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gome.events import Event, ExecutionFinished, ExecutionRequested, StepPlanned
from gome.kernel.connect import connect
from gome.kernel.discovery import codec_for
from gome.kernel.jetstream import Connection
from gome.kernel.service.tenants import digest, new_token
from gome.kernel.settings import Settings
from tests.end_to_end.conftest import Wait, prepare
from tests.kernel.nats_server import TOKEN, Cluster, NatsServer, free_port
from tests.kernel.service.processes import services
from tests.kernel.shared_server import SharedServer

pytestmark = pytest.mark.slow


class Here:
    """A folder with a small table, in which commands use a cluster; each has a home of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        prepare(folder)

    def start(self, home: str, *args: str) -> subprocess.Popen[str]:
        """Start `gome …` and leave it running."""
        own = {"GOME_HOME": str(self.folder / home), "GOME_NATS_URL": self.url, "GOME_NATS_TOKEN": TOKEN}
        return subprocess.Popen(
            [sys.executable, "-m", "gome.kernel.cli", *args],
            cwd=self.folder,
            env={**os.environ, **own, "GOME_ARTIFACTS": str(self.folder / "artifacts"), "GOME_LEASE": "5"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    async def events(self, run: str) -> list[Event]:
        """What the log says of a run."""
        settings = Settings(self.folder / "looking", nats_url=self.url, nats_token=TOKEN)
        async with connect(settings) as connection:
            codec = codec_for(())
            return [event async for sealed in connection.log.read(run) for event in codec.commit(sealed).events]


async def streams(url: str) -> dict[str, dict[str, Any]]:
    """What the cluster says of each stream of gome."""
    connection = Connection(url, token=TOKEN)
    try:
        names = (await connection.api("STREAM.NAMES"))["streams"]
        return {name: await connection.api(f"STREAM.INFO.{name}") for name in names}
    finally:
        await connection.close()


def until(condition: Callable[[], Any]) -> Any:
    """Look until something holds that happens outside this process."""
    deadline = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def executions(folder: Path) -> int:
    """Executions that have begun at the workers."""
    return len(list(folder.glob("worker*/work/*/*")))


def victim(cluster: Cluster, which: str) -> NatsServer:
    """The leader of the log's stream, or a server that is not."""
    found = asyncio.run(streams(cluster.url))["GOME"]["cluster"]["leader"]
    return next(s for s in cluster.servers if (s.folder.name == found) == (which == "leader"))


@pytest.mark.parametrize("which", ["leader", "follower"])
def test_a_run_with_two_workers_finishes_while_a_server_of_three_is_killed(
    tmp_path: Path, which: str, wait_for: Wait
) -> None:
    cluster = Cluster.of_three(tmp_path / "cluster")
    started: list[subprocess.Popen[str]] = []
    try:
        asyncio.run(cluster.start())
        here = Here(tmp_path, cluster.url)
        asked = ["houses.csv", "--target", "price", "--steps", "5", "--run", "clustered", "--json"]
        driver = here.start("driver", "run", *asked, "--set", "performers.runner=queue")
        started.append(driver)
        for i in range(2):
            started.append(here.start(f"worker{i}", "worker", "--roles", "runner", "--capacity", "1"))
            wait_for(started[-1], "worker for runner")
        until(lambda: executions(tmp_path) >= 3)
        victim(cluster, which).kill()
        out, err = driver.communicate(timeout=300)
        assert driver.returncode == 0, err[-3000:] + out[-2000:]

        found = asyncio.run(streams(cluster.url))
        assert {name: info["config"]["num_replicas"] for name, info in found.items()} == dict.fromkeys(
            ("GOME", "GOME_VAULT", "GOME_WORK", "KV_GOME_OWNERS"), 3
        )
        told = asyncio.run(here.events("clustered"))
        asked_for = [event.id for event in told if isinstance(event.payload, ExecutionRequested)]
        answered = Counter(event.cause for event in told if isinstance(event.payload, ExecutionFinished))
        assert set(answered) <= set(asked_for) and set(answered.values()) == {1}
        assert sum(isinstance(event.payload, StepPlanned) for event in told) == 5
        verify = here.start("verifier", "verify", "clustered")
        started.append(verify)
        out, err = verify.communicate(timeout=120)
        assert verify.returncode == 0, out + err
        for worker in started[1:3]:
            worker.terminate()
            assert worker.wait(60) == 0
    finally:
        for process in started:
            process.kill()
            process.wait()
        cluster.kill()


@pytest.mark.anyio
async def test_services_and_workers_with_credentials_go_on_while_a_server_and_a_service_are_killed(
    tmp_path: Path,
) -> None:
    """The flows of compose.yaml: its configuration with other addresses, a user each, two services and a worker."""
    cluster = credentials(tmp_path / "cluster")
    server = cluster.servers[0]
    assert isinstance(server, SharedServer)
    token = new_token()
    (tmp_path / "tenants.toml").write_text(f'[tenants.acme]\ntokens = ["{digest(token)}"]\n')
    flags = ("--tenants", "tenants.toml", "--http", "127.0.0.1:0", "--set", "performers.runner=queue")
    try:
        await cluster.start()
        with services(tmp_path, cluster.url, token="") as found:
            login = server.secrets("service")
            one = await asyncio.to_thread(lambda: found.start(*flags, **login))
            two = await asyncio.to_thread(lambda: found.start(*flags, **login))
            await asyncio.to_thread(lambda: found.work(**server.secrets("runner")))
            headers = {"Authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(headers=headers, timeout=60, trust_env=False) as client:
                first, second = (re.search(r"http://[\d.]+:\d+", each.log.read_text()) for each in (one, two))
                assert first is not None and second is not None
                held = {"task": "held", "nonce": "one that is held", "budget": {"steps": 3}}
                run = (await client.post(f"{first[0]}/v1/runs", json=held)).json()["run"]
                await asyncio.to_thread(until, lambda: len(found.executions()) >= 2)
                cluster.servers[2].kill()
                one.kill()
                # Submitted while a server and a service are gone.
                more = [{**held, "task": "instant", "nonce": f"number {i:03d}"} for i in range(5)]
                told = [await client.post(f"{second[0]}/v1/runs", json=body) for body in more]
                assert {answer.status_code for answer in told} == {201}, told[0].text
                found.gate.touch()
                runs = [run, *(answer.json()["run"] for answer in told)]
                async with asyncio.timeout(120):
                    while True:
                        answers = [await client.get(f"{second[0]}/v1/runs/{run}/result") for run in runs]
                        if all(answer.status_code == 200 for answer in answers):
                            break
                        await asyncio.sleep(0.2)
                assert {answer.json()["outcome"] for answer in answers} == {"done"}
            connection = server.connection("service")
            for name in ("GOME", "GOME_VAULT", "GOME_WORK", "GOME_SUBMISSIONS", "KV_GOME_OWNERS"):
                assert (await connection.api(f"STREAM.INFO.{name}"))["config"]["num_replicas"] == 3
            await connection.close()
            assert await asyncio.to_thread(two.terminate) == 0
    finally:
        cluster.kill()


def credentials(folder: Path) -> Cluster:
    """Three servers under the configuration that the head of compose.yaml has written, with addresses of this test."""
    ports = [free_port() for _ in range(3)]
    routes = ",".join(f"127.0.0.1:{port}" for port in ports)
    servers: list[NatsServer] = []
    for i, port in enumerate(ports):
        own = folder / f"n{i}"
        own.mkdir(parents=True)
        if i:
            (own / "nats.env").write_text((folder / "n0" / "nats.env").read_text())
        where = ("--name", f"n{i}", "--cluster", f"127.0.0.1:{port}", "--routes", routes)
        health = ("--monitor", f"127.0.0.1:{free_port()}")
        servers.append(SharedServer(own, *where, *health, "--tenant", "*", "--service", "--worker", "runner"))
    return Cluster(servers)
