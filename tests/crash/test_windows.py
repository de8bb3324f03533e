"""Real executions, killed in every window between asking and answering: one recorded result for each intent, nothing
that was finished is done again, nothing that was not is done more than once again, and the log verifies.

The windows are those of an effect's life: asked, begun, performed, manifest written, spooled, appended, acknowledged.
Performed by the run's own process (`local`) and by a worker that has neither home nor disk in common with the driver
(`queue`).
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import anyio
import pytest

from gome.events import Event
from gome.kernel.connect import connect
from gome.kernel.discovery import codec_for
from gome.kernel.replay import Verifier
from gome.kernel.start import plugins_of
from gome.plugins.runner.sandbox.probe import probe
from tests.crash import mortal
from tests.crash.mortal import Fate, Machine
from tests.kernel.nats_server import NatsServer

PROCESSES = multiprocessing.get_context("forkserver")
# A process of its own for each driver and worker, without its two seconds of imports.
PROCESSES.set_forkserver_preload(["tests.crash.mortal"])

WINDOWS = {
    # Where an execution's process dies: attempts at it that the log knows in the end, programs that ran to their end.
    "before asking": (1, 1),
    "asked": (1, 1),
    "running": (2, 1),
    "before the manifest": (2, 2),
    "manifest": (2, 1),
    "before the spool": (2, 1),
    "spooled": (1, 1),
    "appended": (1, 1),
    "before the acknowledgement": (1, 1),
}
ASKING = ["before asking", "asked"]
PERFORMING = ["running", "before the manifest", "manifest", "before the spool", "spooled", "appended"]


@pytest.fixture(scope="module", autouse=True)
def _sandboxed() -> None:
    if probe().kind == "none":
        pytest.skip("no sandbox can be made here")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    asyncio.run(server.start())
    yield server
    server.kill()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    mortal.install(folder)
    return folder


@pytest.fixture
def machine(
    server: NatsServer, site: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Machine:
    """The driver's machine; workers are on copies of it with another home."""
    monkeypatch.syspath_prepend(str(site))
    run = f"r{abs(hash(request.node.nodeid)):x}"
    return Machine(site, tmp_path / "driver", tmp_path / "artifacts", server.url, server.token, run, steps=2)


Start = Callable[..., BaseProcess]


@pytest.fixture
def started() -> Iterator[Start]:
    """Start a driver or a worker; what is left of them goes with the test."""
    processes: list[BaseProcess] = []

    def start(what: Callable[..., None], *args: Any) -> BaseProcess:
        process = PROCESSES.Process(target=what, args=args)
        process.start()
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.join()


def killed(process: BaseProcess) -> None:
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def done(process: BaseProcess) -> None:
    process.join(60)
    assert process.exitcode == 0


async def events(machine: Machine) -> list[Event]:
    async with connect(machine.settings) as connection:
        codec = codec_for(())
        return [event async for sealed in connection.log.read(machine.run) for event in codec.commit(sealed).events]


def until(condition: Callable[[], bool]) -> None:
    """Look until something holds that happens outside this process."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def check(machine: Machine, place: str, begun: list[int]) -> None:
    """The log verifies and each intent has one result; `begun` are the attempts at each that it knows."""

    async def verify() -> None:
        async with connect(machine.settings) as connection:
            plugins = plugins_of(mortal.first_event(place, machine.steps))
            verifier = Verifier(
                machine.run, codec_for(plugins), plugins, connection.artifacts.text, connection.artifacts
            )
            verdict = await verifier.run(connection.log.read(machine.run))
            assert verdict.ok and verdict.finished, [d.sentence(machine.run) for d in verdict.divergences]

    anyio.run(verify)
    said = anyio.run(events, machine)
    asked = [e.id for e in said if e.type == "ExecutionRequested"]
    assert len(asked) == machine.steps
    assert Counter(e.cause for e in said if e.type == "ExecutionFinished") == Counter(asked)
    assert all(e.payload.ok for e in said if e.type == "ExecutionFinished")  # type: ignore[union-attr]
    starts = Counter(e.payload.intent for e in said if e.type == "EffectStarted")  # type: ignore[union-attr]
    assert [starts[intent] for intent in asked] == begun


def test_a_run_that_dies_in_every_window_of_its_own_executions_records_each_once(
    machine: Machine, started: Start
) -> None:
    machine = replace(machine, steps=8)
    for step, window in enumerate([*ASKING, *PERFORMING], 1):
        killed(started(mortal.drive, machine, "local", Fate(window, step - (window in ASKING))))
    done(started(mortal.drive, machine, "local", Fate()))
    check(machine, "local", [WINDOWS[w][0] for w in (*ASKING, *PERFORMING)])
    assert machine.ran == sum(WINDOWS[w][1] for w in (*ASKING, *PERFORMING))
    assert not list((machine.home / "spool").glob("*.result"))


def test_a_worker_that_dies_in_every_window_and_comes_back_records_each_execution_once(
    machine: Machine, started: Start
) -> None:
    windows = [*PERFORMING, "before the acknowledgement"]
    machine = replace(machine, steps=len(windows) + 1)
    theirs = replace(machine, home=machine.home.with_name("worker"))
    driver = started(mortal.drive, machine, "queue", Fate())
    for step, window in enumerate(windows, 1):
        killed(started(mortal.work, theirs, Fate(window, step)))
    started(mortal.work, theirs, Fate())
    done(driver)
    check(machine, "queue", [*(WINDOWS[w][0] for w in windows), 1])
    assert theirs.ran == sum(WINDOWS[w][1] for w in windows) + 1 and machine.ran == 0


def test_an_execution_of_a_machine_that_is_gone_for_good_is_repeated_once_on_another(
    machine: Machine, started: Start
) -> None:
    lost, other = (replace(machine, home=machine.home.with_name(name)) for name in ("lost", "other"))
    driver = started(mortal.drive, machine, "queue", Fate())
    killed(started(mortal.work, lost, Fate("manifest")))
    started(mortal.work, other, Fate())
    done(driver)
    check(machine, "queue", [2, 1])
    assert (lost.ran, other.ran) == (1, 2)


def test_a_driver_that_dies_around_asking_leaves_no_trace_with_the_workers(machine: Machine, started: Start) -> None:
    theirs = replace(machine, home=machine.home.with_name("worker"))
    started(mortal.work, theirs, Fate())
    for window in ASKING:
        killed(started(mortal.drive, machine, "queue", Fate(window)))
    done(started(mortal.drive, machine, "queue", Fate()))
    check(machine, "queue", [1, 1])
    assert theirs.ran == 2


def test_a_worker_finishes_what_it_has_begun_while_no_driver_is_alive(machine: Machine, started: Start) -> None:
    theirs = replace(machine, home=machine.home.with_name("worker"))
    release = machine.home.with_name("release")
    started(mortal.work, theirs, Fate(hold=release))
    driver = started(mortal.drive, machine, "queue", Fate())
    # The second one: the folder of an execution is made when the one before it is over.
    until(lambda: len([*(theirs.home / "work").glob("*/*")]) == 2 and bool(mortal.programs(theirs)))
    driver.kill()
    killed(driver)
    release.touch()
    until(lambda: sum(e.type == "ExecutionFinished" for e in anyio.run(events, machine)) == 2)
    done(started(mortal.drive, machine, "queue", Fate()))
    check(machine, "queue", [1, 1])
    assert theirs.ran == 2


def test_the_result_of_a_worker_that_was_believed_dead_counts_as_cost_only(machine: Machine, started: Start) -> None:
    zombie, other = (replace(machine, home=machine.home.with_name(name)) for name in ("zombie", "other"))
    release = machine.home.with_name("release")
    driver = started(mortal.drive, machine, "queue", Fate())
    frozen = started(mortal.work, zombie, Fate("before the spool", what=signal.SIGSTOP))
    until(lambda: _state(frozen) == "T")
    started(mortal.work, other, Fate(hold=release))
    until(lambda: any(e.type == "ExecutionFinished" for e in anyio.run(events, machine)))
    assert frozen.pid is not None
    os.kill(frozen.pid, signal.SIGCONT)
    until(lambda: any(e.type == "EffectDuplicated" for e in anyio.run(events, machine)))
    release.touch()
    done(driver)
    check(machine, "queue", [2, 1])
    said = anyio.run(events, machine)
    (twice,) = [e for e in said if e.type == "EffectDuplicated"]
    assert twice.cause == next(e.cause for e in said if e.type == "ExecutionFinished")
    assert twice.cost is not None and twice.cost.seconds > 0


def _state(process: BaseProcess) -> str:
    """The letter by which the kernel says what a process does."""
    stat = Path(f"/proc/{process.pid}/stat")
    return stat.read_text().rpartition(")")[2].split()[0] if process.pid and stat.exists() else ""
