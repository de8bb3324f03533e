"""Machines that share nothing but a network: a driver, two workers, a server with credentials, artifacts on S3."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from gome.events import EffectCancelled, EffectStarted, Event, ExecutionFinished, ExecutionRequested
from gome.kernel.artifacts import open_store
from gome.kernel.connect import connect
from gome.kernel.discovery import codec_for
from gome.kernel.settings import Settings
from gome.plugins.runner.sandbox import usage
from tests.end_to_end.conftest import Terminal, Wait, prepare
from tests.end_to_end.machines import Namespace, namespaces, why_not
from tests.kernel.nats_server import free_port
from tests.kernel.shared_server import SharedServer

ARTIFACTS = "s3://gome/artifacts"


@dataclass(frozen=True)
class Machine(Terminal):
    """A terminal behind a cable of its own, with a home of its own, as one user of the server."""

    user: str
    server: SharedServer
    s3: int
    at: Namespace | None = None

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def start(self, *args: str) -> subprocess.Popen[str]:
        host = self.at.gateway if self.at else "127.0.0.1"
        network = ["--nats", f"nats://{host}:{self.server.port}"] + (["--artifacts", ARTIFACTS] * (args[0] != "verify"))
        environment = {
            "GOME_SECRETS": str(self.server.folder / f"{self.user}.secrets"),
            "GOME_HOME": str(self.home),
            "GOME_ARTIFACTS": ARTIFACTS,
            "GOME_LEASE": "5",
            "AWS_ENDPOINT_URL": f"http://{host}:{self.s3}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret-of-a-test",
        }
        return subprocess.Popen(
            [*(self.at.entering if self.at else []), sys.executable, "-m", "gome.kernel.cli", *args, *network],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def underway(self) -> list[Path]:
        """Folders of executions that have begun here and are not over."""
        begun = [box.parent for box in (self.home / "work").glob("*/*/box")]
        return [folder for folder in begun if not (folder / "manifest.json").exists()]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SharedServer]:
    server = SharedServer(tmp_path / "server", host="0.0.0.0")
    asyncio.run(server.start())
    yield server
    server.kill()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of an S3 server."""
    pytest.importorskip("s3fs", reason="S3 needs gome[s3]")
    pytest.importorskip("moto", reason="the S3 server of tests is not installed (gome[test])")
    port = free_port()
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "0.0.0.0", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    until(lambda: _answers(url))
    # For this process, which looks into the store as well.
    for name, value in {"ENDPOINT_URL": url, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "secret-of-a-test"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    yield port
    process.kill()
    process.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def until(condition: Callable[[], Any]) -> None:
    """Look until something holds that happens outside this process."""
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


Awaited = Callable[[], set[str]]


async def events(server: SharedServer, home: Path, run: str) -> list[Event]:
    found = server.secrets("reader")
    settings = Settings(
        home, nats_url=server.url, nats_user=found["GOME_NATS_USER"], nats_password=found["GOME_NATS_PASSWORD"]
    )
    async with connect(settings) as connection:
        codec = codec_for(())
        return [event async for sealed in connection.log.read(run) for event in codec.commit(sealed).events]


def kill_in_the_middle(
    workers: list[subprocess.Popen[str]], machines: list[Machine], awaited: Awaited
) -> tuple[int, str]:
    """kill -9 a worker that has an execution under way for which its run waits; returns which, and the beginning of the
    intent's id."""
    while True:
        until(lambda: any(machine.underway() for machine in machines))
        victim = next((i for i, machine in enumerate(machines) if machine.underway()), 0)
        worker, machine = workers[victim], machines[victim]
        # It stands still while we look, so that the execution cannot end meanwhile.
        worker.send_signal(signal.SIGSTOP)
        programs = {pid: usage.started(pid) for pid in usage.descendants(worker.pid)}
        if (underway := machine.underway()) and programs and underway[0].name in awaited():
            break
        worker.send_signal(signal.SIGCONT)
        time.sleep(0.01)
    worker.kill()
    worker.communicate()
    until(lambda: all(usage.started(pid) != born for pid, born in programs.items()))
    return victim, underway[0].name


async def first_of_attempts(server: SharedServer, home: Path, run: str) -> set[str]:
    """Beginnings of the ids of the executions that attempts cannot do without: what is asked for beside them is called
    off when the steps are done."""
    asked = [e for e in await events(server, home, run) if isinstance(e.payload, ExecutionRequested)]
    return {e.id[:16] for e in asked if e.payload.purpose == "full" and e.payload.attempt != "baseline"}  # type: ignore[union-attr]


@pytest.mark.slow
def test_two_machines_perform_one_run_and_the_death_of_one_costs_one_attempt(
    server: SharedServer, s3: int, tmp_path: Path, wait_for: Wait
) -> None:
    if reason := why_not():
        pytest.skip(reason)
    with namespaces(2) as (here, there):
        places = {"driver": ("driver", None), "here": ("runner", here), "there": ("runner", there)}
        for name in places:
            (tmp_path / name).mkdir()
        driver, *runners = (Machine(tmp_path / name, user, server, s3, at) for name, (user, at) in places.items())
        prepare(driver.folder)
        workers = [machine.start("worker", "--roles", "runner", "--capacity", "1") for machine in runners]
        try:
            for worker in workers:
                wait_for(worker, f"artifacts {ARTIFACTS}, home {tmp_path}")
            queued = ("--set", "performers.runner=queue", "--traces", "2", "--steps", "2", "--run", "shared")
            run = driver.start("run", "houses.csv", "--target", "price", *queued)
            victim, lost = kill_in_the_middle(
                workers, runners, lambda: anyio.run(first_of_attempts, server, tmp_path / "reader", "shared")
            )
            _, told = run.communicate(timeout=100)
            assert run.returncode == 0 and "finished: done" in told, told
            survivor = workers[1 - victim]
            survivor.send_signal(signal.SIGTERM)
            _, told = survivor.communicate(timeout=30)
            assert survivor.returncode == 0, told
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()

    said = anyio.run(events, server, tmp_path / "reader", "shared")
    intents = [e.id for e in said if e.type == "ExecutionRequested"]
    results = [e for e in said if isinstance(e.payload, ExecutionFinished)]
    # When its steps are done a run calls off what it had asked for beside them.
    called_off = [e.cause for e in said if isinstance(e.payload, EffectCancelled) and e.cause in intents]
    assert Counter([*called_off, *(e.cause for e in results)]) == Counter(intents)
    begun: dict[str, list[str]] = {intent: [] for intent in intents}
    for event in said:
        if isinstance(event.payload, EffectStarted) and event.payload.intent in begun:
            begun[event.payload.intent].append(event.payload.worker)
    assert {intent[:16]: len(by) for intent, by in begun.items() if len(by) > 1} == {lost: 2}
    assert len({worker for by in begun.values() for worker in by}) == 2
    store = open_store(ARTIFACTS, cache=tmp_path / "fresh")
    assert all(store.get(output.digest) for e in results for output in e.payload.outputs.values())  # type: ignore[union-attr]
    verified = driver.gome("verify", "shared")
    assert verified.returncode == 0, verified.stderr
