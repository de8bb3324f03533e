"""Processes that perform real executions and kill (or freeze) themselves at a given point: a driver and a worker.

The plugins are the toy ones, except for the runner: it asks for one execution per step, of a program that needs no
libraries, and the real sandbox performs it. A program shows that it runs (`box/alive`) and waits until it may end
(`box/go`); a thread of the process that performs it gives the word, so that a kill in the middle needs no luck.
Everything is patched in here, in processes of their own; nothing in gome knows of it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from msgspec.structs import replace

from gome.events import (
    Commit,
    Draft,
    Draw,
    Event,
    ExecutionRequested,
    Limits,
    Payload,
    RunStarted,
    StepPlanned,
    Text,
)
from gome.kernel.appender import Scribe
from gome.kernel.connect import Connection, connect
from gome.kernel.discovery import codec_for, pin
from gome.kernel.live import LiveRun
from gome.kernel.plugin import Effect, Plugin
from gome.kernel.pools import CorePool, DevicePool
from gome.kernel.queue import WorkItem
from gome.kernel.queue_jetstream import WorkQueue
from gome.kernel.relay import Relay
from gome.kernel.session import Session
from gome.kernel.settings import Settings
from gome.kernel.spool import Spool
from gome.kernel.start import plugins_of, workshop
from gome.kernel.state import RunState
from gome.kernel.testing import start
from gome.kernel.worker import Worker
from gome.plugins.runner.sandbox import plugin as sandbox
from gome.plugins.runner.sandbox.workdir import Workdir
from tests import distribution
from tests.kernel import recorded, toy

LEASE = 1.0
"""Seconds; no setting allows so short a lease, and a worker extends it three times as often."""
PROGRAM = """
import os, time
open("alive", "w").close()
while not os.path.exists("go"): time.sleep(0.005)
with open("submission.csv", "w") as f: f.write("id,y\\n3,0.5\\n")
with open("oof.csv", "w") as f: f.write("id,fold,y\\n1,0,0.5\\n2,1,0.5\\n")
print(os.urandom(8).hex())
"""
ROLES = {**recorded.ROLES, "runner": "mortal-runner", "judge": "toy-judge"}


def _ask(state: None, event: Event, draw: Draw) -> list[Payload]:
    assert isinstance(event.payload, StepPlanned)
    limits = Limits(seconds=60, memory_mb=512, disk_mb=64, processes=64)
    program = Text.of(f"# {event.payload.attempt}{PROGRAM}")
    return [
        ExecutionRequested(attempt=event.payload.attempt, purpose="full", program=program, inputs={}, limits=limits)
    ]


runner = Plugin(
    name="mortal-runner",
    role="runner",
    reads=(StepPlanned,),
    decide=_ask,
    effects=(Effect(ExecutionRequested, policy="reconcile", attempts=2, pool="cores"),),
    perform=sandbox.perform,
)


def install(folder: Path) -> None:
    """Make the plugins an installed distribution in a folder."""
    points = recorded.points(ROLES, runner=__name__, judge="tests.kernel.toy")
    distribution.install(folder, "mortal-world", points)


@dataclass(frozen=True)
class Machine:
    """Where a process works: `site` has the plugins, `home` is its own, the rest is shared."""

    site: Path
    home: Path
    artifacts: Path
    url: str
    token: str
    run: str
    steps: int

    def enter(self) -> None:
        """In the new process: find the plugins."""
        sys.path.insert(0, str(self.site))

    @property
    def settings(self) -> Settings:
        """One execution at once."""
        return Settings(self.home, nats_url=self.url, nats_token=self.token, artifacts=str(self.artifacts), capacity=1)

    @property
    def ran(self) -> int:
        """How many programs have run to their end or were about to, on this machine."""
        return len((self.home / "ran").read_text()) if (self.home / "ran").exists() else 0


@dataclass
class Fate:
    """What happens to a process when it comes to the point `at` and `begun` executions have begun on its machine.
    `hold` is a file without which no program that begins after the first one may end."""

    at: str = ""
    begun: int = 0
    what: int = signal.SIGKILL
    hold: Path | None = None
    machine: Machine | None = None

    def reach(self, point: str) -> None:
        """Say that the process is at a point."""
        assert self.machine is not None
        if self.at and point == self.at and len(list((self.machine.home / "work").glob("*/*"))) >= self.begun:
            self.at = ""
            os.kill(os.getpid(), self.what)

    def patch(self) -> None:
        """Watch over the points of performing."""
        self._wrap(Workdir, "finish", "before the manifest", "manifest")
        self._wrap(Spool, "put", "before the spool", "spooled")
        self._wrap(Spool, "drop", "appended")

        acknowledge = WorkItem.ack

        async def ack(item: WorkItem) -> None:
            self.reach("before the acknowledgement")
            await acknowledge(item)

        WorkItem.ack = ack  # type: ignore[method-assign]

    def _wrap(self, owner: type, name: str, before: str, after: str = "") -> None:
        inner: Callable[..., Any] = getattr(owner, name)

        def outer(*args: Any, **named: Any) -> Any:
            self.reach(before)
            found = inner(*args, **named)
            self.reach(after)
            return found

        setattr(owner, name, outer)

    def let_go(self, machine: Machine, gone: set[tuple[Path, int]]) -> None:
        """In a thread: let every program end that has begun (except those of a process that is `gone`)."""
        seen: set[tuple[Path, int]] = set()
        while True:
            for program in programs(machine) - gone - seen:
                self.reach("running")
                if self.hold and seen and not self.hold.exists():
                    continue
                seen.add(program)
                with contextlib.suppress(FileNotFoundError):  # it has been stopped
                    program[0].with_name("go").touch()
                    with open(machine.home / "ran", "a") as file:
                        file.write("x")
            time.sleep(0.005)


def programs(machine: Machine) -> set[tuple[Path, int]]:
    """Programs that have shown that they run, and when they began."""
    found = set()
    for alive in (machine.home / "work").glob("*/*/box/alive"):
        with contextlib.suppress(FileNotFoundError):  # its folder is being dropped
            found.add((alive, alive.stat().st_mtime_ns))
    return found


def _begin(machine: Machine, fate: Fate) -> None:
    machine.enter()
    machine.home.mkdir(parents=True, exist_ok=True)
    fate.machine = machine
    fate.patch()
    threading.Thread(target=fate.let_go, args=(machine, programs(machine)), daemon=True).start()


def drive(machine: Machine, place: str, fate: Fate) -> None:
    """Drive the run to its end, performing executions here (`local`) or leaving them to workers (`queue`)."""
    _begin(machine, fate)
    anyio.run(_drive, machine, place, fate)


def work(machine: Machine, fate: Fate) -> None:
    """Be a worker for the runner, until killed."""
    _begin(machine, fate)
    anyio.run(_work, machine)


def first_event(place: str, steps: int) -> RunStarted:
    """One step after the other. Programs start cold: they need no libraries, and each process would import them."""
    settings = {runner.name: {"start": "cold"}}
    started = toy.started(steps=steps)
    started = replace(started, roles=ROLES, traces=1, performers={"runner": place}, settings=settings)
    return replace(started, plugins=tuple(pin(p) for p in plugins_of(started)))


async def _drive(machine: Machine, place: str, fate: Fate) -> None:
    async with connect(machine.settings) as connection:
        connection.artifacts.put(b"file")
        started = first_event(place, machine.steps)
        plugins = plugins_of(started)
        state = RunState(machine.run, codec_for(plugins), plugins, connection.artifacts.text)
        shop = workshop(connection, plugins, CorePool(1), DevicePool(), unsafe=False)
        scribe = Scribe(machine.run, state.codec, connection.artifacts, shop.process)
        live = LiveRun(_Watched(connection.log, fate), state, scribe, connection.time)
        live.observers.append(lambda commit: fate.reach("asked") if _asks(commit) else None)
        fresh = (await connection.log.head(machine.run)).seq == 0
        if not fresh:
            await live.load()
        await start(live, started)
        session = Session(live, shop, lambda tell: _relay(connection, tell))
        await session.drive(lambda: secrets.token_hex(8), resume=not fresh)


def _relay(connection: Connection, tell: Callable[[str], None]) -> Relay:
    assert connection.nats is not None
    return Relay(WorkQueue(connection.nats, ack_wait=LEASE), tell)


def _asks(commit: Commit) -> bool:
    return any(event.type == "ExecutionRequested" for event in commit.events)


class _Watched:
    """The log, with the moment before an intent is appended."""

    def __init__(self, log: Any, fate: Fate) -> None:
        self._log = log
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, draft: Draft, head: Any) -> Any:
        if any(said.type == "ExecutionRequested" for said in draft.sayings):
            self._fate.reach("before asking")
        return await self._log.append(draft, head)


async def _work(machine: Machine) -> None:
    async with connect(machine.settings) as connection:
        assert connection.nats is not None
        queue = WorkQueue(connection.nats, ack_wait=LEASE, joins=True)
        await Worker(connection, queue, ["runner"], 1).run()
