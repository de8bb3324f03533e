"""What a memory may see of other runs: successes of finished runs on other tasks, from the log and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import msgspec
import pytest

from gome.events import Column, Event, ExecutionRequested, Payload, Task
from gome.kernel.connect import Connection, connect
from gome.kernel.elsewhere import Elsewhere, same_task
from gome.kernel.errors import GomeError
from gome.kernel.plugin import Context, Effect, Role
from gome.kernel.pools import CorePool, DevicePool
from gome.kernel.session import Session
from gome.kernel.settings import load
from gome.kernel.start import workshop
from gome.kernel.testing import Killed, drive, open_run, start
from gome.kernel.timekeeping import RealTime, VirtualTime
from tests.kernel import toy

pytestmark = pytest.mark.anyio


def task(name: str, *columns: str, source: str = "") -> Task:
    return msgspec.structs.replace(
        toy.TASK, name=name, columns=tuple(Column(c, "numeric") for c in columns), source=source
    )


HOUSES, FLATS = task("houses", "rooms"), task("flats", "floor")


class Sealed:
    """A vault that nobody may open."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the vault was opened: {name}")


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    async with connect(load(folder=tmp_path, environ={}), memory=True) as c:
        yield replace(c, vault=Sealed(), answers=Sealed())  # type: ignore[arg-type]


async def play(c: Connection, run: str, on: Task, *, stop_after: int | None = None) -> None:
    time = VirtualTime()
    live = await open_run(c.log, run, toy.PLUGINS, c.artifacts, time)  # type: ignore[arg-type]
    await start(live, msgspec.structs.replace(toy.started(), task=on))
    await drive(live, toy.world, time, stop_after=stop_after)


async def test_finished_runs_on_other_tasks_are_told_with_their_successes_latest_first(connection: Connection) -> None:
    await play(connection, "h1", HOUSES)
    await play(connection, "h2", HOUSES)
    found = await Elsewhere(connection).of("f1", FLATS)
    assert [f.run for f in found] == ["h2", "h1"] and found[0].task == HOUSES
    assert {m.attempt for m in found[0].successes} == {"a1", "a2", "a4", "a5", "a6"}, "a3 fails in the toy world"
    assert all(m.accepted for f in found for m in f.successes)


async def test_runs_on_the_same_task_and_runs_that_go_on_are_left_out(connection: Connection) -> None:
    await play(connection, "h1", HOUSES)
    with pytest.raises(Killed):
        await play(connection, "f1", FLATS, stop_after=12)
    elsewhere = Elsewhere(connection)
    assert await elsewhere.of("h9", HOUSES) == []
    await play(connection, "f1", FLATS)
    assert [f.run for f in await elsewhere.of("h9", HOUSES)] == ["f1"]
    assert await elsewhere.of("f1", task("other", "x")) != [], "other tasks see both"
    assert [f.run for f in await elsewhere.of("f1", task("other", "x"))] == ["h1"], "a run does not see itself"


def test_another_split_a_renamed_copy_and_the_same_source_are_the_same_task() -> None:
    assert same_task(HOUSES, msgspec.structs.replace(HOUSES, split="seed 7"))
    assert same_task(HOUSES, task("a copy", "rooms"))
    assert same_task(task("a", "x", source="https://host/data"), task("b", "y", source="https://host/data"))
    assert not same_task(HOUSES, FLATS)


@pytest.mark.parametrize(("role", "handed"), [("memory", True), ("reasoner", False), ("runner", False)])
async def test_only_the_memory_is_handed_other_runs(
    connection: Connection, tmp_path: Path, role: Role, handed: bool
) -> None:
    await play(connection, "h1", HOUSES)
    seen: list[list[str] | None] = []

    async def perform(event: Event, ctx: Context) -> Payload:
        seen.append([found.run for found in await ctx.elsewhere()] if ctx.elsewhere else None)
        return await toy._perform(event, ctx)

    performer = replace(toy.runner, role=role, perform=perform, effects=(Effect(ExecutionRequested),))
    plugins = tuple(performer if p is toy.runner else p for p in toy.PLUGINS)
    live = await open_run(connection.log, "f1", plugins, connection.artifacts, RealTime())  # type: ignore[arg-type]
    await start(live, msgspec.structs.replace(toy.started(steps=1), task=FLATS))
    session = Session(live, workshop(connection, plugins, CorePool(1), DevicePool(), False))
    with anyio.fail_after(20):
        await session.drive(iter("abcdef").__next__)
    assert seen == [["h1"] if handed else None]


async def test_an_index_that_cannot_be_read_is_an_error_of_ours(connection: Connection) -> None:
    (connection.home / "index.sqlite").mkdir(parents=True)
    with pytest.raises(GomeError, match="other runs cannot be read"):
        await Elsewhere(connection).of("f1", FLATS)
