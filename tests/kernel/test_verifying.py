"""Verifying whole logs: every run is a line, whatever is wrong with another one; processes share the work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from gome.events import StepPlanned, event_id
from gome.events.event import ROOT
from gome.kernel import verifying
from gome.kernel.artifacts import ArtifactStore
from gome.kernel.connect import Connection
from gome.kernel.log_file import FileLog
from gome.kernel.log_memory import MemoryLog
from gome.kernel.spool import Spool
from gome.kernel.start import plugins_of
from gome.kernel.testing import Killed, open_run
from gome.kernel.timekeeping import RealTime, VirtualTime
from gome.kernel.verifying import Outcome, portions, verify_all
from tests.kernel import recorded, toy

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opening(folder: Path) -> AsyncIterator[Connection]:
    """A connection over files; other processes open it as well."""
    spool = Spool(folder / "spool")
    store = ArtifactStore(folder / "artifacts")
    log, vault = FileLog(folder / "log"), MemoryLog()
    yield Connection(log, vault, store, store, spool, folder, RealTime(), "main")
    spool.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    recorded.install(folder)
    return folder


@pytest.fixture
def home(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(site))
    return tmp_path


async def begin(c: Connection, run: str, lane: str = "control", **changes: object) -> None:
    """Write the first event of a run, and a first decision that nobody would make."""
    live = await open_run(c.log, run, (), c.artifacts, VirtualTime())  # type: ignore[arg-type]
    c.artifacts.put(b"file")
    started = replace(recorded.first_event(), **changes)
    first = live.state.codec.saying(event_id(ROOT, "client", 0), started, corr=event_id(ROOT, "client", 0))
    await live.commit(live.scribe.draft(lane, "client", ROOT, [first]))  # type: ignore[arg-type]
    trigger = event_id(ROOT, "client", 0)
    said = live.state.codec.saying(
        event_id(trigger, "toy-search", 0),
        StepPlanned("a1", 7, 1),
        cause=trigger,
        corr=event_id(trigger, "toy-search", 0),
    )
    if lane == "import":
        await live.commit(live.scribe.draft("import", "client", "n", [said]))
    else:
        await live.commit(live.scribe.draft("decide", toy.search, trigger, [said], seen=1))


async def everything(folder: Path, *, every: bool = False) -> dict[str, Outcome]:
    async with opening(folder) as c:
        return {found.run: found async for found in verify_all(c, partial(opening, folder), every=every)}


async def test_each_run_of_a_log_has_its_outcome_whatever_is_wrong_with_another(home: Path) -> None:
    async with opening(home) as c:
        await recorded.record(c, "whole")
        await recorded.record(c, "torn")
        with suppress(Killed):
            await recorded.record(c, "open", stop_after=9)
        await begin(c, "changed")
        await begin(c, "orphan", roles={**recorded.ROLES, "reasoner": "nobody"})
        await begin(c, "foreign", "import")
    path = home / "log" / "torn.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"it ran"', b'"it rat"', 1))
    found = await everything(home)
    assert list(found) == sorted(found) and len(found) == 6
    assert found["whole"].ok and found["whole"].finished and found["whole"].decisions > 10
    assert found["open"].ok and not found["open"].finished
    assert found["foreign"].ok and found["foreign"].imported and found["foreign"].decisions == 0
    (difference,) = found["changed"].divergences
    assert difference.decider == "toy-search" and "step was recorded as 1" in difference.sentence
    assert not found["torn"].ok and found["torn"].exit_code == 4 and "run torn" in found["torn"].error
    assert not found["orphan"].ok and found["orphan"].exit_code == 2 and "nobody" in found["orphan"].error


async def test_processes_that_share_the_work_find_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opening(home) as c:
        for number in range(3):
            await recorded.record(c, f"toy-{number}")
        await begin(c, "changed")
    alone = await everything(home)
    monkeypatch.setattr(verifying, "FEW", 0)
    monkeypatch.setattr(verifying, "PORTION", 30)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    together = await everything(home)
    assert together == alone and list(together) == list(alone)


async def test_a_run_that_decides_otherwise_all_along_is_reported_whole_when_asked(home: Path) -> None:
    async with opening(home) as c:
        await begin(c, "changed")
        live = await open_run(c.log, "changed", (), c.artifacts, VirtualTime())  # type: ignore[arg-type]
        (trigger,) = [e async for s in c.log.read("changed") for e in live.state.codec.commit(s).events if e.seq == 2]
        said = live.state.codec.saying(event_id(trigger.id, "toy-memory", 0), StepPlanned("a2", 7, 1), cause=trigger.id)
        await live.commit(live.scribe.draft("decide", recorded.memory, trigger.id, [said], seen=2))
    assert len((await everything(home))["changed"].divergences) == 1
    assert len((await everything(home, every=True))["changed"].divergences) == 2


def test_portions_hold_about_so_many_records_and_a_long_run_is_one_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "PORTION", 10)
    assert list(portions({"a": 4, "b": 5, "c": 3, "d": 50, "e": 1})) == [["a", "b"], ["c"], ["d"], ["e"]]
    assert list(portions({})) == []


async def test_the_plugins_of_many_runs_are_looked_for_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opening(home) as c:
        for number in range(4):
            await recorded.record(c, f"toy-{number}", steps=1)
        assert plugins_of(recorded.first_event())
    calls = []
    discover = verifying.discover
    monkeypatch.setattr(verifying, "discover", lambda: calls.append(1) or discover())
    assert all(found.ok for found in (await everything(home)).values())
    assert len(calls) == 1
