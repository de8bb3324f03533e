"""A process that drives many toy runs at once on the embedded server, until each waits for effects that never end.

`python -m tests.bench.recovery HOME RUNS`: prints a line of JSON (each run's head as the log acknowledged it) when all
wait, then sleeps until it is killed. Every effect that is performed to its end leaves a mark in its working folder.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import msgspec

from gome.events import Event, ExecutionRequested, Payload
from gome.kernel.appender import Scribe
from gome.kernel.connect import Connection, connect
from gome.kernel.discovery import codec_for
from gome.kernel.live import LiveRun
from gome.kernel.plugin import Context, Plugin
from gome.kernel.pools import CorePool
from gome.kernel.session import Session
from gome.kernel.settings import Settings
from gome.kernel.state import RunState
from gome.kernel.testing import start
from gome.kernel.workshop import Workshop
from tests.kernel import toy
from tests.kernel.test_session import with_runner

STEPS, DONE = 6, 3
"""Steps of a run, and how many of them have their execution when all are killed."""


def mark(ctx: Context) -> None:
    """Note that an effect has been performed to its end."""
    ctx.workdir.mkdir(parents=True, exist_ok=True)
    with open(ctx.workdir / "performed", "a") as file:
        file.write("x")


def performing(forever: bool) -> tuple[Plugin, ...]:
    """The toy plugins; with `forever`, executions of later attempts never end."""

    async def perform(event: Event, ctx: Context) -> Payload:
        assert isinstance(event.payload, ExecutionRequested)
        if forever and int(event.payload.attempt[1:]) > DONE:
            await anyio.sleep_forever()
        mark(ctx)
        return toy._finished(event.payload.attempt)

    return with_runner(perform)


def workshop(connection: Connection, plugins: tuple[Plugin, ...], runs: int) -> Workshop:
    """What all sessions of the process share, with capacity for everything at once."""
    no_vault: Callable[[str, str], object] = lambda run, intent: None  # noqa: E731
    pool = CorePool(STEPS * runs)
    return Workshop(plugins, connection.artifacts, connection.home, connection.spool, pool, no_vault, "bench")  # type: ignore[arg-type]


def live_run(connection: Connection, state: RunState) -> LiveRun:
    """A run over the process's connection."""
    scribe = Scribe(state.run, state.codec, connection.artifacts, "bench")
    return LiveRun(connection.log, state, scribe, connection.time)


async def at_once(work: list[Callable[[], Awaitable[object]]]) -> None:
    """Do all of it, some hundred at a time."""
    limit = anyio.Semaphore(200)

    async def one(what: Callable[[], Awaitable[object]]) -> None:
        async with limit:
            await what()

    async with anyio.create_task_group() as group:
        for what in work:
            group.start_soon(one, what)


async def main() -> None:
    """Drive, say where all runs are, wait for the end."""
    home, runs = Path(sys.argv[1]), int(sys.argv[2])
    plugins = performing(forever=True)
    codec = codec_for(plugins)
    started = msgspec.structs.replace(toy.started(steps=STEPS), traces=3)
    async with connect(Settings(home=home)) as connection, anyio.create_task_group() as group:
        connection.artifacts.put(b"file")
        shop = workshop(connection, plugins, runs)
        lives = [
            live_run(connection, RunState(f"r{n}", codec, plugins, connection.artifacts.text)) for n in range(runs)
        ]

        async def begin(live: LiveRun) -> None:
            await start(live, started)
            group.start_soon(Session(live, shop).drive, lambda: secrets.token_hex(8))
            await live.changed(lambda: _waits(live.state))

        await at_once([lambda live=live: begin(live) for live in lives])  # type: ignore[misc]
        heads = {live.run: [live.state.head.seq, live.state.head.hash, sorted(live.state.open)] for live in lives}
        print(json.dumps(heads), flush=True)
        await anyio.sleep_forever()


def _waits(state: RunState) -> bool:
    """Whether nothing can happen any more."""
    executing = [o for o in state.open.values() if o.event.type == "ExecutionRequested"]
    return len(executing) == STEPS - DONE and all(o.starts for o in executing) and state.answer() is None


if __name__ == "__main__":
    anyio.run(main)
