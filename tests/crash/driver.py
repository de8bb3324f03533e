"""A process that drives a toy run on the embedded server and, when told to, kills itself right after a commit.

`python driver.py HOME RUN [N] [WHERE]`: with N, SIGKILL after the N-th commit that this process folds; WHERE
`performed` kills instead after the N-th effect has been performed and spooled, before its result is appended.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
from pathlib import Path
from typing import Any

import anyio

from gome.events import Commit, Cost, Event, ExecutionRequested, Payload
from gome.kernel.appender import Scribe
from gome.kernel.connect import Connection, connect
from gome.kernel.discovery import codec_for
from gome.kernel.live import LiveRun
from gome.kernel.owner import owner_lock
from gome.kernel.plugin import Context, Result
from gome.kernel.pools import CorePool
from gome.kernel.session import Session
from gome.kernel.settings import Settings
from gome.kernel.spool import Spool
from gome.kernel.state import RunState
from gome.kernel.testing import start
from gome.kernel.workshop import Workshop
from tests.kernel import toy
from tests.kernel.test_session import with_runner


def die() -> None:
    """As sudden as it gets."""
    os.kill(os.getpid(), signal.SIGKILL)


class DeadlySpool(Spool):
    """Dies after the n-th result has been spooled."""

    def __init__(self, root: Path, after: int) -> None:
        super().__init__(root)
        self.left = after

    def put(self, run: str, intent: str, data: bytes) -> None:
        super().put(run, intent, data)
        self.left -= 1
        if self.left == 0:
            die()


async def perform(event: Event, ctx: Context) -> Payload | Result:
    """An effect that leaves a trace of each time it is performed."""
    assert isinstance(event.payload, ExecutionRequested)
    ctx.workdir.mkdir(parents=True, exist_ok=True)
    with open(ctx.workdir / "performed", "a") as file:
        file.write("x")
    return Result(toy._finished(event.payload.attempt), Cost(seconds=0.01))


PLUGINS = with_runner(perform, attempts=50)


async def drive(connection: Connection, run: str, after: int, where: str) -> None:
    """Drive the run to its end or our own."""
    connection.artifacts.put(b"file")
    codec = codec_for(PLUGINS)
    state = RunState(run, codec, PLUGINS, connection.artifacts.text)
    live = LiveRun(connection.log, state, Scribe(run, codec, connection.artifacts, "crash"), connection.time)
    if (await connection.log.head(run)).seq:
        await live.load()
    if where == "commit":
        left = [after]

        def count(commit: Commit) -> None:
            left[0] -= 1
            if left[0] == 0:
                die()

        live.observers.append(count)
    fresh = state.head.seq == 0
    await start(live, toy.started(steps=4))
    spool = DeadlySpool(connection.home / "spool", after) if where == "performed" else connection.spool
    no_vault: Any = lambda run, intent: None  # noqa: E731
    shop = Workshop(PLUGINS, connection.artifacts, connection.home, spool, CorePool(2), no_vault, "crash")
    await Session(live, shop).drive(lambda: secrets.token_hex(8), resume=not fresh)


async def main() -> None:
    """Parse the command line and go."""
    home, run = Path(sys.argv[1]), sys.argv[2]
    after = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    where = sys.argv[4] if len(sys.argv) > 4 else "commit"
    async with connect(Settings(home=home)) as connection:
        with owner_lock(home, run):
            await drive(connection, run, after, where)


if __name__ == "__main__":
    anyio.run(main)
