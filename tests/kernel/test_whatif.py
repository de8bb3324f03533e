"""What another search would have picked: on recorded runs, beside what their own searches and forks planned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gome.events import Draw, Event, Payload, RunForked, StepPlanned
from gome.kernel.discovery import codec_for, discover, plugin_of
from gome.kernel.errors import PluginError, UnknownRun, UsageError
from gome.kernel.log_file import FileLog
from gome.kernel.log_memory import MemoryLog
from gome.kernel.plugin import Plugin
from gome.kernel.testing import MemoryArtifacts, drive, open_run, start
from gome.kernel.timekeeping import VirtualTime
from gome.kernel.whatif import Point, points, summary
from tests.kernel import toy
from tests.recorded import corpus

pytestmark = pytest.mark.anyio


async def asked(name: str, search: str, at: int | None = None, **settings: object) -> list[Point]:
    """Points of a recorded run."""
    found = await corpus.load(name)
    log = FileLog(corpus.HERE / name / "run.jsonl")
    plugin = plugin_of(discover(), "search", search)
    codec = codec_for(found.plugins)
    return [p async for p in points(log, found.run, plugin, settings, found.texts.__getitem__, codec, at=at)]


@pytest.mark.parametrize("name", ["ames-0.1.0", "attrition-0.3.0"])
async def test_a_search_asked_about_its_own_run_says_what_it_said(name: str) -> None:
    found = await asked(name, "gradient")
    total, same = summary(found)
    assert total == same > 2
    assert [p.would for p in found] == [p.planned for p in found], "to the last field"


async def test_another_search_is_asked_at_the_same_points_and_says_why() -> None:
    own, other = await asked("attrition-0.3.0", "gradient"), await asked("attrition-0.3.0", "aide")
    assert [p.seen for p in own] == [p.seen for p in other] and [p.planned for p in own] == [p.planned for p in other]
    steps = [s for p in other for s in p.would]
    assert steps and all(s.reason and s.context == f"aide.{s.kind}" for s in steps)
    assert not all(p.same for p in other)


async def test_settings_of_the_search_count() -> None:
    few = await asked("attrition-0.3.0", "aide", num_drafts=1)
    many = await asked("attrition-0.3.0", "aide", num_drafts=50, scaled=False)
    assert all(s.kind == "draft" for p in many for s in p.would)
    assert any(s.kind == "improve" for p in few for s in p.would)


async def test_an_event_within_a_commit_is_rounded_down_and_what_a_fork_there_would_plan_is_said() -> None:
    own = await asked("attrition-0.3.0", "aide")
    (point,) = await asked("attrition-0.3.0", "aide", own[2].seen)
    assert point.seen <= own[2].seen and not point.planned
    assert [(s.kind, s.parent) for s in point.would] == [(s.kind, s.parent) for s in own[2].would]


async def test_a_position_that_the_run_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="has no event 99999"):
        await asked("attrition-0.3.0", "aide", 99999)


async def test_a_run_that_is_not_there_is_unknown() -> None:
    plugin = plugin_of(discover(), "search", "aide")
    with pytest.raises(UnknownRun):
        _ = [p async for p in points(MemoryLog(), "nobody", plugin, {}, str, codec_for([]))]


async def toy_run() -> tuple[MemoryLog, MemoryArtifacts]:
    time = VirtualTime()
    log, artifacts = MemoryLog(clock=time.now), MemoryArtifacts()
    live = await open_run(log, "r", toy.PLUGINS, artifacts, time)
    await start(live, toy.started())
    await drive(live, toy.world, time)
    return log, artifacts


async def points_of(log: MemoryLog, artifacts: MemoryArtifacts, search: Plugin, at: int | None = None) -> list[Point]:
    return [p async for p in points(log, "r", search, {}, artifacts.text, codec_for(toy.PLUGINS), at=at)]


async def test_draws_are_those_of_the_run() -> None:
    log, artifacts = await toy_run()
    found = await points_of(log, artifacts, toy.search)
    assert found and all(p.would == p.planned for p in found), "its traces are drawn"


async def test_a_search_that_takes_over_in_no_fork_says_so() -> None:
    log, artifacts = await toy_run()
    with pytest.raises(UsageError, match="does not read RunForked"):
        await points_of(log, artifacts, toy.search, at=3)


async def test_a_search_that_raises_is_named_with_the_event() -> None:
    def broken(state: object, event: Event, draw: Draw) -> list[Payload]:
        raise KeyError("oops")

    log, artifacts = await toy_run()
    with pytest.raises(PluginError, match=r"search toy-search raised KeyError: 'oops' at event \d+"):
        await points_of(log, artifacts, replace(toy.search, decide=broken))


async def test_a_search_that_does_not_answer_what_the_runs_own_did_is_asked_as_in_a_fork() -> None:
    heard: list[type] = []

    def hear(state: object, event: Event, draw: Draw) -> list[Payload]:
        heard.append(type(event.payload))
        return [StepPlanned("a1", 0, 1)]

    log, artifacts = await toy_run()
    other = replace(toy.search, reads=(RunForked,), answers=(RunForked,), decide=hear)
    found = await points_of(log, artifacts, other)
    assert found and set(heard) == {RunForked}
