"""Forks: a shared prefix, deciders that go on or are replaced, and what every reader makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    CancelRequested,
    Draw,
    EffectCancelled,
    Event,
    ExecutionRequested,
    Payload,
    RunForked,
    RunStarted,
    SearchEnded,
    SelectionStarted,
    StepPlanned,
    Text,
)
from gome.kernel.appender import Scribe
from gome.kernel.discovery import codec_for
from gome.kernel.errors import UnknownRun, UsageError
from gome.kernel.fork import Descent, WholeLog, descent, lineage, still_on_record
from gome.kernel.forking import begin, place
from gome.kernel.live import LiveRun
from gome.kernel.log_memory import MemoryLog
from gome.kernel.plugin import Plugin
from gome.kernel.prerecorded import Prerecorded
from gome.kernel.replay import Verdict, Verifier
from gome.kernel.state import OpenIntent, RunState
from gome.kernel.substitute import substitute
from gome.kernel.testing import MemoryArtifacts, World, drive, open_run, start, state_digest
from gome.kernel.timekeeping import VirtualTime
from tests.kernel import toy

pytestmark = pytest.mark.anyio


@dataclass
class _Greedy:
    planned: int = 0
    open: int = 0
    limit: int = 0
    over: bool = False


def _greedy_evolve(state: _Greedy, event: Event) -> _Greedy:
    match event.payload:
        case RunStarted(budget=budget):
            state.limit = budget.steps or 1
        case StepPlanned():
            state.planned += 1
            state.open += 1
        case AttemptAccepted() | AttemptRejected():
            state.open -= 1
        case SearchEnded() | SelectionStarted():
            state.over = True
    return state


def _greedy(state: _Greedy, event: Event, draw: Draw) -> list[Payload]:
    if state.over or state.open:
        return []
    if state.planned >= state.limit:
        return [SearchEnded(reason="enough")]
    return [StepPlanned(attempt=f"g{state.planned + 1}", trace=0, step=state.planned)]


greedy = Plugin(
    name="toy-greedy",
    role="search",
    reads=(RunStarted, StepPlanned, AttemptAccepted, AttemptRejected, SearchEnded, SelectionStarted, RunForked),
    answers=(RunStarted, AttemptAccepted, AttemptRejected, RunForked),
    initial=_Greedy,
    evolve=_greedy_evolve,
    decide=_greedy,
)
"""Another search: one step at a time."""
OTHERS = tuple(greedy if p is toy.search else p for p in toy.PLUGINS)


class Bench:
    """A log that reads forks whole, with its artifacts and clock."""

    def __init__(self) -> None:
        self.time = VirtualTime()
        self.artifacts = MemoryArtifacts()
        self.log = WholeLog(MemoryLog(clock=self.time.now))

    async def record(self, run: str = "parent", steps: int = 6) -> str:
        live = await open_run(self.log, run, toy.PLUGINS, self.artifacts, self.time)
        await start(live, toy.started(steps=steps))
        return await self.go(live)

    async def fork(
        self, parent: str, at: int | None, run: str, plugins: tuple[Plugin, ...] = toy.PLUGINS, **changes: Any
    ) -> LiveRun:
        where = await place(self.log, parent, at)
        forked = RunForked(parent, where.head.seq, where.head.hash, **changes)
        await begin(self.log, run, where, forked, codec_for(plugins), self.artifacts)
        return await self.opened(run, plugins)

    async def opened(self, run: str, plugins: tuple[Plugin, ...] = toy.PLUGINS) -> LiveRun:
        codec = codec_for(plugins)
        joined = (await descent(self.log, run)).joined
        state = RunState(run, codec, plugins, self.artifacts.text, joined=joined)
        live = LiveRun(self.log, state, Scribe(run, codec, self.artifacts, "test"), self.time)
        await live.load()
        return live

    async def go(self, live: LiveRun, world: World = toy.world) -> str:
        await drive(live, world, self.time)
        assert live.state.finished is not None
        return state_digest(live.state)

    async def verify(self, run: str, *sets: tuple[Plugin, ...]) -> Verdict:
        """`sets` are the plugins of the run, then those of the runs that its prefix is from where those are others."""
        origin = await descent(self.log, run)
        verifier = None
        for number in range(len(sets) - 1, -1, -1):
            count = len(origin.forks) - number
            older = Descent(origin.root, origin.forks[:count])
            name = origin.forks[count][1].parent if number else run
            codec, text = codec_for(sets[number]), self.artifacts.text
            verifier = Verifier(
                name, codec, sets[number], text, joined=older.joined, ancestor=verifier, stop_at_first=False
            )
        assert verifier is not None
        return await verifier.run(self.log.read(run))

    async def ends(self, run: str) -> list[int]:
        return [s.last async for s in self.log.read(run)]

    async def events(self, run: str) -> list[Event]:
        codec = codec_for(toy.PLUGINS)
        return [e async for s in self.log.read(run) for e in codec.commit(s, self.artifacts.text).events]


async def test_an_unchanged_fork_made_anywhere_comes_out_as_its_parent() -> None:
    bench = Bench()
    digest = await bench.record()
    parent = await bench.events("parent")
    for at in (await bench.ends("parent"))[:-1]:
        run = f"child{at}"
        # Made at the parent's own time: what is open at the fork takes as long again as it had still to go.
        bench.time.current = parent[at - 1].ts
        assert await bench.go(await bench.fork("parent", at, run)) == digest, f"forked at event {at}"
        events = await bench.events(run)
        assert [e.id for e in events if e.type != "RunForked"] == [e.id for e in parent]
        assert events[at].type == "RunForked" and events[at].seq == at + 1
        assert (await bench.verify(run, toy.PLUGINS)).ok
    assert await bench.ends("parent") == [s.last async for s in bench.log.own.read("parent")]


async def test_a_fork_stores_only_its_own_part_and_verifies_byte_for_byte() -> None:
    bench = Bench()
    await bench.record()
    at = (await bench.ends("parent"))[7]
    await bench.go(await bench.fork("parent", at, "child"))
    own = [s async for s in bench.log.own.read("child")]
    assert own[0].body.origin is not None and own[0].body.origin.seq == at and own[0].body.seq == at + 1
    assert await lineage(bench.log, "child") == [("parent", at), ("child", None)]
    codec, text = codec_for(toy.PLUGINS), bench.artifacts.text
    again = await substitute(bench.log.read("child"), "child", codec, toy.PLUGINS, text)
    assert again.state.head.hash == own[-1].hash


async def test_a_replaced_search_answers_nothing_before_the_fork_and_takes_up_there() -> None:
    bench = Bench()
    await bench.record()
    ends = await bench.ends("parent")
    planned = [e.seq for e in await bench.events("parent") if isinstance(e.payload, StepPlanned)]
    for at in [end for end in ends if end < planned[-1]]:
        run = f"child{at}"
        live = await bench.fork("parent", at, run, OTHERS, replaced=("toy-greedy",))
        await bench.go(live)
        events = await bench.events(run)
        assert not [e for e in events if e.seq <= at and e.by == "toy-greedy"]
        assert not [e for e in events if e.seq > at and e.by == "toy-search"]
        assert any(e.by == "toy-greedy" for e in events) and len(live.state.trajectory.attempts) == 6
        verdict = await bench.verify(run, OTHERS, toy.PLUGINS)
        assert verdict.ok and verdict.finished, verdict.divergences
        joined = (await descent(bench.log, run)).joined
        await substitute(bench.log.read(run), run, codec_for(OTHERS), OTHERS, bench.artifacts.text, joined=joined)


async def test_what_a_replaced_decider_had_decided_is_verified_with_the_parents_plugins() -> None:
    bench = Bench()
    await bench.record()
    at = (await bench.ends("parent"))[12]
    await bench.go(await bench.fork("parent", at, "child", OTHERS, replaced=("toy-greedy",)))

    def other(state: Any, event: Event, draw: Draw) -> list[Payload]:
        return list(toy.search.decide(state, event, draw))[:1]

    changed = tuple(replace(p, decide=other) if p is toy.search else p for p in toy.PLUGINS)
    verdict = await bench.verify("child", OTHERS, changed)
    assert not verdict.ok and verdict.divergences[0].decider == "toy-search"
    assert verdict.divergences[0].position <= at


async def test_a_fork_of_a_fork_that_replaces_another_decider_verifies() -> None:
    bench = Bench()
    await bench.record()
    at = (await bench.ends("parent"))[6]
    await bench.go(await bench.fork("parent", at, "child", OTHERS, replaced=("toy-greedy",)))
    later = [end for end in await bench.ends("child") if end > at][6]

    def harsh(state: Any, event: Event, draw: Draw) -> list[Payload]:
        said = toy.judge.decide(state, event, draw)
        return [AttemptRejected(p.attempt, "harsh") if isinstance(p, AttemptAccepted) else p for p in said]

    judge = replace(toy.judge, name="toy-harsh", decide=harsh)
    harder = tuple(judge if p is toy.judge else p for p in OTHERS)
    live = await bench.fork("child", later, "grandchild", harder, replaced=("toy-harsh",))
    assert live.state.head.seq == later + 1 and len(live.state.trajectory.forks) == 2
    await bench.go(live)
    assert [r for r, _ in await lineage(bench.log, "grandchild")] == ["parent", "child", "grandchild"]
    verdict = await bench.verify("grandchild", harder, OTHERS, toy.PLUGINS)
    assert verdict.ok and verdict.finished, verdict.divergences


async def test_a_fork_draws_from_another_seed_only_behind_its_beginning() -> None:
    bench = Bench()
    await bench.record()
    at = (await bench.ends("parent"))[10]
    await bench.go(await bench.fork("parent", at, "same"))
    await bench.go(await bench.fork("parent", at, "other", seed=99))
    same, other = [
        {e.payload.attempt: e.payload.gain for e in await bench.events(run) if isinstance(e.payload, AttemptAccepted)}
        for run in ("same", "other")
    ]
    accepted = [e for e in await bench.events("parent") if isinstance(e.payload, AttemptAccepted) and e.seq <= at]
    before = {e.payload.attempt for e in accepted if isinstance(e.payload, AttemptAccepted)}
    assert before and all(same[name] == other[name] for name in before)
    assert any(same[name] != other[name] for name in set(same) - before)
    assert (await bench.verify("other", toy.PLUGINS)).ok


async def test_a_position_is_rounded_down_to_the_end_of_a_commit_and_said() -> None:
    bench = Bench()
    await bench.record()
    ends = await bench.ends("parent")
    before = next(a for a, b in pairwise(ends) if b > a + 1)
    where = await place(bench.log, "parent", before + 1)
    assert where.head.seq == before
    assert f"event {before + 1} is within a commit: forked at event {before}" in where.told
    assert (await place(bench.log, "parent", before)).told == ""


async def test_a_finished_run_is_forked_before_its_end() -> None:
    bench = Bench()
    digest = await bench.record()
    ends = await bench.ends("parent")
    where = await place(bench.log, "parent", ends[-1])
    assert where.head.seq == ends[-2] and "behind the run's end" in where.told
    assert (await place(bench.log, "parent", None)).head.seq == ends[-2]
    assert await bench.go(await bench.fork("parent", None, "child")) == digest


async def test_positions_and_runs_that_are_not_there_are_refused() -> None:
    bench = Bench()
    await bench.record()
    end = (await bench.ends("parent"))[-1]
    with pytest.raises(UsageError, match=f"run parent has the events 1 to {end}, and --at {end + 1} is none"):
        await place(bench.log, "parent", end + 1)
    with pytest.raises(UnknownRun):
        await place(bench.log, "nobody", 3)


async def test_a_run_that_was_imported_cannot_be_forked() -> None:
    bench = Bench()
    live = await open_run(bench.log, "imported", (), bench.artifacts, bench.time)
    said = live.state.codec.saying("id", toy.started())
    await live.commit(live.scribe.draft("import", "importer", "file", [said]))
    with pytest.raises(UsageError, match="was imported: nobody decided it here"):
        await place(bench.log, "imported", 1)


async def untaken(theirs: str, ours: str, attempt: str) -> None:
    """Nobody has graded anything."""


async def test_an_unchanged_fork_on_recorded_results_takes_its_parents_course_and_performs_nothing() -> None:
    bench = Bench()
    digest = await bench.record()
    parent = await bench.events("parent")
    for at in (await bench.ends("parent"))[:-1]:
        run = f"child{at}"
        live = await bench.fork("parent", at, run, substitute=True)
        record = Prerecorded(live, live.state.trajectory.forks[0], untaken)
        assert await record.perform(bench.log) == "" and state_digest(live.state) == digest
        events = [e for e in await bench.events(run) if e.type != "RunForked"]
        assert [(e.id, e.raw, e.ts, e.active) for e in events] == [(e.id, e.raw, e.ts, e.active) for e in parent]
        assert (await bench.verify(run, toy.PLUGINS)).ok


async def test_on_recorded_results_another_search_goes_live_at_its_first_own_question() -> None:
    bench = Bench()
    await bench.record()
    planned = [e.seq for e in await bench.events("parent") if isinstance(e.payload, StepPlanned)]
    at = planned[2]
    live = await bench.fork("parent", at, "child", OTHERS, replaced=("toy-greedy",), substitute=True)
    record = Prerecorded(live, live.state.trajectory.forks[0], untaken)
    why = await record.perform(bench.log)
    assert why.startswith("the record of parent has no answer for ExecutionRequested of g4 at event")
    assert record.answered == 3, "what was open at the fork had been answered in the parent"
    assert {f.event.payload.attempt for f in live.state.open.values()} == {"g4"}  # type: ignore[union-attr]
    await bench.go(live)
    assert (await bench.verify("child", OTHERS, toy.PLUGINS)).ok


@dataclass
class _Extra:
    asked: str = ""
    accepted: int = 0


def _extra_evolve(state: _Extra, event: Event) -> _Extra:
    match event.payload:
        case ExecutionRequested(attempt="extra"):
            state.asked = event.id
        case AttemptAccepted():
            state.accepted += 1
    return state


def _extra(calls_off: bool) -> Plugin:
    """Asks for an execution with the second step, and calls it off when three attempts are accepted, or does not."""

    def decide(state: _Extra, event: Event, draw: Draw) -> list[Payload]:
        match event.payload:
            case StepPlanned(step=1):
                return [ExecutionRequested(attempt="extra", purpose="seed", program=Text.of("pass"), inputs={})]
            case AttemptAccepted() if state.accepted == 3 and calls_off:
                return [CancelRequested(intent=state.asked, reason="three are enough")]
        return []

    reads = (StepPlanned, ExecutionRequested, AttemptAccepted)
    answers = (StepPlanned, AttemptAccepted)
    return Plugin(
        name="toy-extra",
        role="plugin",
        reads=reads,
        answers=answers,
        initial=_Extra,
        evolve=_extra_evolve,
        decide=decide,
    )


def _patient_world(found: OpenIntent) -> tuple[Payload, float]:
    """The toy world, where the extra execution ends only by being called off."""
    asked = found.event.payload
    if isinstance(asked, ExecutionRequested) and asked.attempt == "extra":
        return EffectCancelled(found.event.id, "ExecutionRequested", found.cancel or "never", "extra"), 8.0
    return toy.world(found)


@pytest.mark.parametrize("calls_off", [True, False])
async def test_what_the_parent_calls_off_later_does_not_end_the_record_unless_the_fork_keeps_it(
    calls_off: bool,
) -> None:
    bench, plugins = Bench(), (*toy.PLUGINS, _extra(calls_off=True))
    live = await open_run(bench.log, "parent", plugins, bench.artifacts, bench.time)
    await start(live, toy.started(steps=12))
    digest = await bench.go(live, _patient_world)
    ours = plugins if calls_off else (*toy.PLUGINS, _extra(calls_off=False))
    live = await bench.fork("parent", 1, "child", ours, substitute=True)
    why = await Prerecorded(live, live.state.trajectory.forks[0], untaken).perform(bench.log)
    if calls_off:
        assert why == "" and state_digest(live.state) == digest
    else:
        assert why.startswith("the record of parent has no answer for ExecutionRequested of extra at event")
        assert sum(e.type == "AttemptAccepted" for e in await bench.events("child")) >= 3


class _Dead(Exception):
    """The process is gone."""


async def test_a_fork_on_recorded_results_that_is_killed_anywhere_goes_on_with_the_record() -> None:
    bench = Bench()
    digest = await bench.record()
    at = (await bench.ends("parent"))[4]
    whole = await bench.fork("parent", at, "whole", substitute=True)
    assert await Prerecorded(whole, whole.state.trajectory.forks[0], untaken).perform(bench.log) == ""
    count = len([s async for s in bench.log.own.read("whole")])
    for survived in range(1, count - 1):
        run = f"killed{survived}"
        live = await bench.fork("parent", at, run, substitute=True)
        left = survived

        def die(commit: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise _Dead

        live.observers.append(die)
        with pytest.raises(_Dead):
            await Prerecorded(live, live.state.trajectory.forks[0], untaken).perform(bench.log)
        assert await still_on_record(bench.log, run)
        again = await bench.opened(run)
        assert await Prerecorded(again, again.state.trajectory.forks[0], untaken).perform(bench.log) == ""
        assert state_digest(again.state) == digest
        same = [
            [(e.id, e.raw, e.ts, e.active) for e in (await bench.events(name))[at + 1 :]] for name in ("whole", run)
        ]
        assert same[0] == same[1] and (await bench.verify(run, toy.PLUGINS)).ok
