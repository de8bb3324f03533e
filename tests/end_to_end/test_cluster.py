"""A run with two workers on a cluster of three servers, one of which is killed in the middle."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gome.events import Event, ExecutionFinished, ExecutionRequested, StepPlanned
from gome.kernel.connect import connect
from gome.kernel.discovery import codec_for
from gome.kernel.jetstream import Connection
from gome.kernel.settings import Settings
from tests.end_to_end.conftest import Wait, prepare
from tests.kernel.nats_server import TOKEN, Cluster, NatsServer

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
