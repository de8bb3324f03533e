"""Deciding again: verify, resume after a kill at every commit boundary, redundant deciders, divergences named."""

from __future__ import annotations

import msgspec
import pytest

from gome.events import (
    AttemptAccepted,
    Draw,
    Event,
    Payload,
    RunFinished,
    StepPlanned,
    StopRequested,
    command_id,
    result_id,
)
from gome.kernel.errors import Diverged, LogDamaged
from gome.kernel.log_memory import MemoryLog
from gome.kernel.plugin import Plugin
from gome.kernel.replay import Verdict, Verifier
from gome.kernel.testing import Killed, MemoryArtifacts, conform, drive, open_run, start, state_digest
from gome.kernel.timekeeping import VirtualTime
from tests.kernel import toy

pytestmark = pytest.mark.anyio


class Bench:
    """A memory log with its artifacts and clock, which survive the death of whoever drives."""

    def __init__(self) -> None:
        self.time = VirtualTime()
        self.artifacts = MemoryArtifacts()
        self.log = MemoryLog(clock=self.time.now)

    async def go(
        self, run: str = "r", plugins: tuple[Plugin, ...] = toy.PLUGINS, stop_after: int | None = None, steps: int = 6
    ) -> str:
        live = await open_run(self.log, run, plugins, self.artifacts, self.time)
        await start(live, toy.started(steps=steps))
        await drive(live, toy.world, self.time, stop_after=stop_after)
        assert live.state.finished is not None
        return state_digest(live.state)

    async def verify(self, plugins: tuple[Plugin, ...] = toy.PLUGINS, run: str = "r", first: bool = True) -> Verdict:
        codec = (await open_run(MemoryLog(), "x", plugins, self.artifacts, self.time)).state.codec
        return await Verifier(run, codec, plugins, self.artifacts.text, stop_at_first=first).run(self.log.read(run))

    async def count(self, run: str = "r") -> int:
        return len([s async for s in self.log.read(run)])


def changed(plugin: Plugin, **fields: object) -> tuple[Plugin, ...]:
    import dataclasses

    return tuple(dataclasses.replace(p, **fields) if p.name == plugin.name else p for p in toy.PLUGINS)  # type: ignore[arg-type]


async def test_a_run_in_the_recorded_world_ends_and_verifies() -> None:
    bench = Bench()
    await bench.go()
    verdict = await bench.verify()
    assert verdict.ok and verdict.finished and verdict.unanswered == 0
    assert verdict.decisions >= 6 * 2


async def test_the_same_seed_gives_the_same_run_under_another_name() -> None:
    bench = Bench()
    assert await bench.go("one") == await bench.go("two")
    one, two = [[w.id for s in [s async for s in bench.log.read(r)] for w in s.body.events] for r in ("one", "two")]
    assert one == two


async def test_a_run_killed_at_any_commit_and_taken_up_again_ends_the_same() -> None:
    whole = Bench()
    digest = await whole.go()
    total = await whole.count()
    for k in range(1, total):
        bench = Bench()
        with pytest.raises(Killed):
            await bench.go(stop_after=k)
        assert await bench.go() == digest, f"killed after commit {k}"
        assert (await bench.verify()).ok
        assert await bench.count() == total


async def test_a_run_killed_after_every_single_commit_ends_the_same() -> None:
    whole = Bench()
    digest = await whole.go()
    bench = Bench()
    for _ in range(await whole.count() + 1):
        try:
            assert await bench.go(stop_after=1) == digest
            break
        except Killed:
            continue
    assert await bench.go() == digest


async def test_every_intent_has_exactly_one_result() -> None:
    bench = Bench()
    with pytest.raises(Killed):
        await bench.go(stop_after=9)
    await bench.go()
    live = await open_run(bench.log, "r", (), bench.artifacts, bench.time)
    assert live.state.open == {}
    asked, answered = set(), []
    async for sealed in bench.log.read("r"):
        for w in sealed.body.events:
            if w.type in ("ExecutionRequested", "ScoreRequested"):
                asked.add(w.id)
            if w.type in ("ExecutionFinished", "SubmissionScored", "EffectFailed"):
                answered.append(w.cause)
    assert sorted(answered) == sorted(asked)


async def test_two_copies_of_every_decider_at_once_change_nothing() -> None:
    alone = Bench()
    digest = await alone.go()
    bench = Bench()
    first = await open_run(bench.log, "r", toy.PLUGINS, bench.artifacts, bench.time, "first")
    await start(first, toy.started())
    second = await open_run(bench.log, "r", toy.PLUGINS, bench.artifacts, bench.time, "second")
    for live in [first, second] * 400:
        await live.load()
        if live.state.finished:
            break
        with pytest.raises(Killed):
            await drive(live, toy.world, bench.time, stop_after=1)
    await first.load()
    assert state_digest(first.state) == digest
    assert (await bench.verify()).ok
    assert {s.body.writer.process async for s in bench.log.read("r")} == {"first", "second"}


async def test_a_changed_decision_is_named_with_position_decider_path_and_both_values() -> None:
    bench = Bench()
    await bench.go()

    def judge(state: object, event: Event, draw: Draw) -> list[Payload]:
        said = toy.judge.decide(state, event, draw)
        return [msgspec.structs.replace(p, reason="It ran") if isinstance(p, AttemptAccepted) else p for p in said]

    verdict = await bench.verify(changed(toy.judge, decide=judge))
    (found,) = verdict.divergences
    assert (found.decider, found.kind, found.path) == ("toy-judge", "changed", "0.payload.reason")
    assert (found.recorded, found.computed) == ("it ran", "It ran")
    assert f"run r, event {found.position}, decider toy-judge" in found.sentence("r")


async def test_a_missing_an_extra_and_a_raising_decision_are_named() -> None:
    bench = Bench()
    await bench.go()

    def silent(state: object, event: Event, draw: Draw) -> list[Payload]:
        return []

    def talkative(state: object, event: Event, draw: Draw) -> list[Payload]:
        return toy.selection.decide(state, event, draw) or toy.runner.decide(None, step, draw)  # type: ignore[return-value]

    def broken(state: object, event: Event, draw: Draw) -> list[Payload]:
        raise KeyError("gone")

    codec = (await open_run(bench.log, "r", toy.PLUGINS, bench.artifacts, bench.time)).state.codec
    events = [e for s in [s async for s in bench.log.read("r")] for e in codec.commit(s).events]
    step = next(e for e in events if e.type == "StepPlanned")
    assert (await bench.verify(changed(toy.judge, decide=silent))).divergences[0].kind == "extra"
    assert (await bench.verify(changed(toy.selection, decide=talkative))).divergences[0].kind == "missing"
    assert (await bench.verify(changed(toy.runner, decide=broken))).divergences[0].kind == "raised"


async def test_an_answer_that_is_missing_before_the_end_of_a_finished_run_is_named() -> None:
    bench = Bench()
    await bench.go()

    def last(state: object, event: Event, draw: Draw) -> list[Payload]:
        return [StopRequested()] if isinstance(event.payload, RunFinished) else []

    extra = Plugin(name="extra", role="plugin", reads=(StepPlanned,), decide=lambda s, e, d: [StopRequested()])
    (found,) = (await bench.verify((*toy.PLUGINS, extra))).divergences
    assert (found.decider, found.kind, found.computed) == ("extra", "missing", ["StopRequested"])
    # What somebody would say to the end itself is nobody's turn any more.
    after = Plugin(name="extra", role="plugin", reads=(RunFinished,), decide=last)
    assert (await bench.verify((*toy.PLUGINS, after))).ok


async def test_an_answer_that_no_record_can_hold_is_named() -> None:
    bench = Bench()
    await bench.go()

    def judge(state: object, event: Event, draw: Draw) -> list[Payload]:
        said = toy.judge.decide(state, event, draw)
        return [msgspec.structs.replace(p, gain="much") if isinstance(p, AttemptAccepted) else p for p in said]

    def babbling(state: object, event: Event, draw: Draw) -> list[Payload]:
        return ["words"] if toy.judge.decide(state, event, draw) else []  # type: ignore[list-item]

    for decide in (judge, babbling):
        (found,) = (await bench.verify(changed(toy.judge, decide=decide))).divergences
        assert (found.decider, found.kind) == ("toy-judge", "raised"), found


async def test_resuming_with_a_changed_decider_is_refused_and_nothing_is_written() -> None:
    bench = Bench()
    with pytest.raises(Killed):
        await bench.go(stop_after=12)
    before = await bench.count()

    def judge(state: object, event: Event, draw: Draw) -> list[Payload]:
        return []

    with pytest.raises(Diverged, match="toy-judge"):
        await open_run(bench.log, "r", changed(toy.judge, decide=judge), bench.artifacts, bench.time)
    assert await bench.count() == before


async def test_an_open_run_verifies_up_to_its_tail() -> None:
    bench = Bench()
    with pytest.raises(Killed):
        await bench.go(stop_after=5)
    verdict = await bench.verify()
    assert verdict.ok and not verdict.finished


async def test_a_foreign_command_between_decisions_is_folded_where_it_lies() -> None:
    bench = Bench()
    with pytest.raises(Killed):
        await bench.go(stop_after=8)
    other = await open_run(bench.log, "r", (), bench.artifacts, bench.time, "client")
    said = other.state.codec.saying(command_id("n"), StopRequested(reason="enough"))
    await other.commit(other.scribe.draft("control", "client", "n", [said]))
    await bench.go()
    live = await open_run(bench.log, "r", toy.PLUGINS, bench.artifacts, bench.time)
    assert live.state.finished is not None and live.state.finished.outcome == "stopped"
    assert (await bench.verify()).ok
    assert len(live.state.trajectory.attempts) < 6


async def test_a_result_that_another_role_wrote_is_named() -> None:
    bench = Bench()
    with pytest.raises(Killed):
        await bench.go(stop_after=8)
    other = await open_run(bench.log, "r", (), bench.artifacts, bench.time)
    intent, found = next(iter((i, o) for i, o in other.state.open.items() if o.event.type == "ExecutionRequested"))
    payload, _ = toy.world(found)
    said = other.state.codec.saying(result_id(intent), payload, cause=intent, corr=found.event.corr)
    # By its name it is the runner, but a server let it write to the lane of the role that it had credentials for.
    liar = msgspec.structs.replace(other.scribe.draft("effect", toy.runner, intent, [said]), role="mutator")
    await other.commit(liar)
    (divergence,) = (await bench.verify()).divergences
    assert "toy-runner as runner performs ExecutionRequested" in divergence.sentence("r")
    assert "toy-runner as mutator" in divergence.sentence("r")


async def test_a_record_out_of_place_is_damage() -> None:
    bench = Bench()
    await bench.go()
    records = [s async for s in bench.log.read("r")]
    live = await open_run(MemoryLog(), "r", toy.PLUGINS, bench.artifacts, bench.time)
    live.state.apply(records[0])
    with pytest.raises(LogDamaged, match="run r is damaged behind event"):
        live.state.apply(records[2])


@pytest.mark.parametrize("plugin", toy.PLUGINS, ids=lambda p: p.name)
async def test_the_conformance_kit_accepts_the_toy_plugins(plugin: Plugin) -> None:
    bench = Bench()
    await bench.go()
    assert conform(plugin, [s async for s in bench.log.read("r")]) > 0


async def test_the_conformance_kit_refuses_a_decider_that_opens_a_file() -> None:
    bench = Bench()
    await bench.go()

    def nosy(state: object, event: Event, draw: Draw) -> list[Payload]:
        with open("/dev/null"):
            return toy.judge.decide(state, event, draw)  # type: ignore[return-value]

    (plugin,) = [p for p in changed(toy.judge, decide=nosy) if p.name == "toy-judge"]
    with pytest.raises(AssertionError, match="touched the world"):
        conform(plugin, [s async for s in bench.log.read("r")])
