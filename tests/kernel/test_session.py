"""A live session: decisions appended, effects performed once and recorded once, retries, cancellation, suspension."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from gome.events import (
    AttemptRejected,
    Budget,
    BudgetExhausted,
    Cost,
    Draft,
    Draw,
    EffectAttemptFailed,
    EffectCancelled,
    EffectDuplicated,
    EffectFailed,
    EffectRefused,
    EffectStarted,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    Intent,
    Limits,
    NoteAdded,
    Payload,
    Reservation,
    RunSuspended,
    StopRequested,
    result_id,
)
from gome.kernel.appender import Scribe
from gome.kernel.discovery import codec_for
from gome.kernel.errors import ChildEffectFailed
from gome.kernel.live import LiveRun
from gome.kernel.log_memory import MemoryLog
from gome.kernel.plugin import Context, Effect, Plugin, Result
from gome.kernel.pools import CorePool
from gome.kernel.replay import Verifier
from gome.kernel.session import DeciderRaised, Session
from gome.kernel.spool import Spool
from gome.kernel.state import RunState
from gome.kernel.testing import MemoryArtifacts, start
from gome.kernel.timekeeping import RealTime
from gome.kernel.workshop import Workshop
from tests.kernel import toy

pytestmark = pytest.mark.anyio
Perform = Callable[[Event, Context], Awaitable[Payload | Result]]


class Question(Intent, frozen=True):
    """A child effect of the tests."""

    text: str
    attempt: str = ""
    tokens: int = 0
    volatile: ClassVar[tuple[str, ...]] = ("attempt",)

    def reserves(self) -> Reservation:
        return Reservation(tokens=self.tokens)


class Answered(Payload, frozen=True):
    """Its result."""

    text: str


class Desk:
    """A memory log, a spool on disk and a clock, with sessions opened on them one after the other."""

    def __init__(self, tmp: Path) -> None:
        self.log = MemoryLog()
        self.artifacts = MemoryArtifacts()
        self.spool = Spool(tmp / "spool")
        self.home = tmp
        self.budget = Budget(steps=3)
        self.numbers = iter(range(10_000))

    async def session(self, plugins: tuple[Plugin, ...]) -> Session:
        codec = codec_for(plugins)
        live = LiveRun(
            self.log,
            RunState("r", codec, plugins, self.artifacts.text),
            Scribe("r", codec, self.artifacts, "t"),
            RealTime(),
        )
        shop = Workshop(
            plugins=plugins,
            artifacts=self.artifacts,
            home=self.home,
            spool=self.spool,
            cores=CorePool(2),
            vault=lambda run, intent: None,  # type: ignore[arg-type, return-value]
            process=f"t{next(self.numbers)}",
        )
        if "r" in await self.log.runs():
            await live.load()
        await start(live, msgspec.structs.replace(toy.started(steps=3), budget=self.budget))
        return Session(live, shop)

    def nonce(self) -> str:
        return f"n{next(self.numbers)}"

    async def drive(
        self, *plugins: Plugin, resume: bool = False, watch: Callable[[Session], None] = lambda _: None
    ) -> Session:
        session = await self.session(plugins)
        watch(session)
        with anyio.fail_after(20):
            await session.drive(self.nonce, resume=resume)
        return session

    async def events(self, kind: type[Payload]) -> list[Event]:
        codec = codec_for(PLUGINS)
        return [
            e
            async for s in self.log.read("r")
            for e in codec.commit(s, self.artifacts.text).events
            if type(e.payload) is kind
        ]


def runner(perform: Perform, **effect: object) -> Plugin:
    """The toy runner with another impure half."""
    declared = Effect(ExecutionRequested, **{"policy": "reconcile", **effect})  # type: ignore[arg-type]
    return dataclasses.replace(toy.runner, perform=perform, effects=(declared,))


def with_runner(perform: Perform, **effect: object) -> tuple[Plugin, ...]:
    return tuple(runner(perform, **effect) if p.name == "toy-runner" else p for p in toy.PLUGINS)


async def _answer(event: Event, ctx: Context) -> Payload:
    assert isinstance(event.payload, Question)
    if event.payload.text == "bad":
        raise ValueError("no answer to that")
    return Answered(text=event.payload.text.upper())


oracle = Plugin(
    name="oracle", role="plugin", effects=(Effect(Question, attempts=1),), perform=_answer, emits=(Question, Answered)
)
PLUGINS = (*toy.PLUGINS, oracle)


async def test_a_session_drives_a_run_to_its_end_and_the_log_verifies(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    session = await desk.drive(*toy.PLUGINS)
    assert session.live.state.finished is not None
    verdict = await Verifier("r", codec_for(toy.PLUGINS), toy.PLUGINS, desk.artifacts.text).run(desk.log.read("r"))
    assert verdict.ok and verdict.finished
    assert len(await desk.events(EffectStarted)) == 3
    assert desk.spool.runs() == []


async def test_a_failing_effect_is_tried_again_and_its_exhaustion_is_an_event(tmp_path: Path) -> None:
    calls: list[str] = []

    async def perform(event: Event, ctx: Context) -> Payload:
        assert isinstance(event.payload, ExecutionRequested)
        calls.append(event.payload.attempt)
        if event.payload.attempt == "a1" or (event.payload.attempt == "a2" and ctx.attempt == 1):
            raise RuntimeError("the disk is on fire")
        return toy._finished(event.payload.attempt)

    desk = Desk(tmp_path)
    await desk.drive(*with_runner(perform, attempts=2))
    assert sorted(calls) == ["a1", "a1", "a2", "a2", "a3"]
    (failed,) = await desk.events(EffectFailed)
    assert isinstance(failed.payload, EffectFailed)
    assert (failed.payload.attempt, failed.payload.attempts) == ("a1", 2)
    assert "the disk is on fire" in failed.payload.error
    assert len(await desk.events(EffectAttemptFailed)) == 2


async def test_an_effect_gets_the_cores_and_the_device_that_its_intent_occupies(tmp_path: Path) -> None:
    held: dict[str, tuple[int, str | None]] = {}

    async def perform(event: Event, ctx: Context) -> Payload:
        assert isinstance(event.payload, ExecutionRequested)
        held[event.payload.attempt] = len(ctx.slot), ctx.gpu
        return toy._finished(event.payload.attempt)

    gpu = Limits(gpus=1, gpu_share=0.5)
    decide = toy.runner.decide

    def asking(state: object, event: Event, draw: Draw) -> list[Payload]:
        said = decide(state, event, draw)
        return [
            msgspec.structs.replace(p, limits=gpu if p.attempt == "a2" else Limits())
            if isinstance(p, ExecutionRequested)
            else p
            for p in said
        ]

    for pool, devices, expected in (
        ("cores", lambda: ("GPU-1",), {"a1": (1, None), "a2": (1, "GPU-1"), "a3": (1, None)}),
        ("cores", lambda: (), {"a1": (1, None), "a2": (1, None), "a3": (1, None)}),
        ("cores", None, {"a1": (1, None), "a2": (1, None), "a3": (1, None)}),
        ("", lambda: ("GPU-1",), {"a1": (0, None), "a2": (0, None), "a3": (0, None)}),
    ):
        held.clear()
        wanted = dataclasses.replace(runner(perform, pool=pool), decide=asking, devices=devices)
        await Desk(tmp_path / secrets.token_hex(4)).drive(
            *(wanted if p.name == "toy-runner" else p for p in toy.PLUGINS)
        )
        assert held == expected


async def test_a_plugin_that_cannot_name_its_devices_fails_its_effects_and_not_the_run(tmp_path: Path) -> None:
    def broken() -> tuple[str, ...]:
        raise OSError("the driver is gone")

    async def perform(event: Event, ctx: Context) -> Payload:
        raise AssertionError("nothing is performed without what it needs")

    def asking(state: object, event: Event, draw: Draw) -> list[Payload]:
        said = toy.runner.decide(state, event, draw)
        return [
            msgspec.structs.replace(p, limits=Limits(gpus=1)) if isinstance(p, ExecutionRequested) else p for p in said
        ]

    wanted = dataclasses.replace(runner(perform, pool="cores"), decide=asking, devices=broken)
    desk = Desk(tmp_path)
    session = await desk.drive(*(wanted if p.name == "toy-runner" else p for p in toy.PLUGINS))
    assert session.live.state.finished is not None
    failed = [e.payload for e in await desk.events(EffectFailed)]
    assert len(failed) == 3
    assert all(
        "toy-runner could not say which devices there are: OSError: the driver is gone" in str(f) for f in failed
    )


async def test_a_spooled_result_is_appended_without_performing_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    calls: list[str] = []

    async def perform(event: Event, ctx: Context) -> Payload:
        assert isinstance(event.payload, ExecutionRequested)
        calls.append(event.payload.attempt)
        return toy._finished(event.payload.attempt)

    plugins = with_runner(perform)
    session = await desk.session(plugins)
    live, intent = session.live, ""
    while not intent:
        answer = live.state.answer()
        assert answer is not None
        await session._decide(answer)
        intent = next((i for i, o in live.state.open.items() if o.event.type == "ExecutionRequested"), "")
    found = live.state.open[intent]
    said = live.state.codec.saying(result_id(intent), toy._finished("a1"), cause=intent, corr=found.event.corr)
    draft: Draft = live.scribe.draft("effect", toy.runner, intent, [said], attempt=1)
    desk.spool.put("r", intent, msgspec.msgpack.encode(draft))
    await desk.drive(*plugins, resume=True)
    assert "a1" not in calls and len(calls) == 2
    assert len(await desk.events(ExecutionFinished)) == 3


async def test_what_may_run_at_most_once_is_not_run_again_after_a_crash(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    begun = anyio.Event()
    calls: list[str] = []

    async def hangs(event: Event, ctx: Context) -> Payload:
        assert isinstance(event.payload, ExecutionRequested)
        calls.append(event.payload.attempt)
        if len(calls) == 3:
            begun.set()
        await anyio.sleep_forever()
        raise AssertionError

    plugins = with_runner(hangs, policy="at_most_once")
    session = await desk.session(plugins)
    async with anyio.create_task_group() as group:
        group.start_soon(session.drive, desk.nonce)
        with anyio.fail_after(20):
            await begun.wait()
        group.cancel_scope.cancel()  # no RunSuspended: as good as a crash
    await desk.drive(*plugins, resume=True)
    assert sorted(calls) == ["a1", "a2", "a3"]
    failed = [e.payload for e in await desk.events(EffectFailed)]
    assert all(isinstance(p, EffectFailed) and "outcome is unknown" in p.error for p in failed) and len(failed) == 3


async def test_an_interrupted_run_is_suspended_and_goes_on_without_counting_the_attempt(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    begun = anyio.Event()

    async def hangs(event: Event, ctx: Context) -> Payload:
        begun.set()
        await anyio.sleep_forever()
        raise AssertionError

    for _ in range(3):
        begun = anyio.Event()
        session = await desk.session(with_runner(hangs, attempts=1))
        async with anyio.create_task_group() as group:
            group.start_soon(lambda s=session: s.drive(desk.nonce, resume=True))
            with anyio.fail_after(20):
                await begun.wait()
            session.suspend("interrupted")
        assert session.live.state.suspended == "interrupted"
    session = await desk.drive(*toy.PLUGINS, resume=True)
    assert session.live.state.finished is not None and session.live.state.finished.outcome == "done"
    assert len(await desk.events(RunSuspended)) == 3
    assert await desk.events(EffectFailed) == []


async def test_stop_calls_off_what_is_in_flight_and_the_run_ends(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    begun = anyio.Event()

    async def hangs(event: Event, ctx: Context) -> Payload:
        assert isinstance(event.payload, ExecutionRequested)
        if event.payload.attempt == "a1":
            return toy._finished("a1")
        begun.set()
        await anyio.sleep_forever()
        raise AssertionError

    session = await desk.session(with_runner(hangs))
    async with anyio.create_task_group() as group:
        group.start_soon(session.drive, desk.nonce)
        with anyio.fail_after(20):
            await begun.wait()
            await session.command(StopRequested(reason="enough"), "stop")
    assert session.live.state.finished is not None and session.live.state.finished.outcome == "stopped"
    cancelled = [e.payload for e in await desk.events(EffectCancelled)]
    assert {p.reason for p in cancelled if isinstance(p, EffectCancelled)} == {"enough"}


async def test_what_was_called_off_while_nobody_drove_is_recorded_so_and_the_run_ends(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    begun = anyio.Event()

    async def hangs(event: Event, ctx: Context) -> Payload:
        begun.set()
        await anyio.sleep_forever()
        raise AssertionError

    session = await desk.session(with_runner(hangs))
    async with anyio.create_task_group() as group:
        group.start_soon(session.drive, desk.nonce)
        with anyio.fail_after(20):
            await begun.wait()
        group.cancel_scope.cancel()  # as a kill would, with an execution in flight
    again = await desk.session(with_runner(hangs))
    await again.command(StopRequested(reason="enough"), "stop")
    with anyio.fail_after(20):
        await again.drive(desk.nonce, resume=True)
    assert again.live.state.finished is not None
    assert await desk.events(EffectCancelled)


async def test_a_child_effect_is_recorded_and_taken_from_the_log_when_its_parent_is_repeated(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    asked: list[tuple[str, str]] = []

    async def perform(event: Event, ctx: Context) -> Payload:
        assert isinstance(event.payload, ExecutionRequested)
        replies = [await ctx.call(Question(text=t)) for t in ("one", "one", event.payload.attempt)]
        asked.append((event.payload.attempt, " ".join(r.text for r in replies if isinstance(r, Answered))))
        if ctx.attempt == 1:
            raise RuntimeError("after the calls")
        return toy._finished(event.payload.attempt)

    await desk.drive(*with_runner(perform, attempts=2), oracle)
    assert sorted(asked) == sorted([(a, f"ONE ONE {a.upper()}") for a in ("a1", "a2", "a3")] * 2)
    assert len(await desk.events(Answered)) == 9


async def test_a_child_effect_that_fails_raises_in_its_parent(tmp_path: Path) -> None:
    desk = Desk(tmp_path)

    async def perform(event: Event, ctx: Context) -> Payload:
        assert isinstance(event.payload, ExecutionRequested)
        with pytest.raises(ChildEffectFailed, match="no answer to that"):
            await ctx.call(Question(text="bad"))
        return toy._finished(event.payload.attempt)

    session = await desk.drive(*with_runner(perform), oracle)
    assert session.live.state.finished is not None
    assert len(await desk.events(ExecutionFinished)) == 3


async def test_a_child_effect_that_the_budget_has_no_room_for_is_refused_and_the_search_ends(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.budget = Budget(steps=3, tokens=100)
    outcomes: list[str] = []

    async def perform(event: Event, ctx: Context) -> Payload:
        assert isinstance(event.payload, ExecutionRequested)
        try:
            await ctx.call(Question(text="how much", tokens=160))
        except ChildEffectFailed as error:
            outcomes.append(str(error))
        return toy._finished(event.payload.attempt)

    session = await desk.drive(*with_runner(perform), oracle)
    refusal = "Question refused: it may use 160 of the budget of tokens, and 100 are left beside what is in flight"
    assert outcomes and set(outcomes) == {refusal}
    assert await desk.events(Question) == []
    refused = (await desk.events(EffectRefused))[0].payload
    assert isinstance(refused, EffectRefused)
    assert (refused.kind, refused.limit, refused.wanted, refused.allowed) == ("Question", "tokens", 160, 100)
    assert [e.payload.limit for e in await desk.events(BudgetExhausted)] == ["tokens"]  # type: ignore[union-attr]
    assert session.live.state.finished is not None and session.live.state.ledger.open == {}


async def test_a_child_effect_waits_while_only_what_is_in_flight_leaves_too_little(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.budget = Budget(steps=1, tokens=100)
    most: list[float] = []
    answered: list[str] = []

    async def ask(ctx: Context, text: str) -> None:
        reply = await ctx.call(Question(text=text, tokens=60))
        assert isinstance(reply, Answered)
        answered.append(text)

    async def perform(event: Event, ctx: Context) -> Payload:
        assert isinstance(event.payload, ExecutionRequested)
        async with anyio.create_task_group() as group:
            for text in ("one", "two", "three"):
                group.start_soon(ask, ctx, text)
        return toy._finished(event.payload.attempt)

    def watch(session: Session) -> None:
        session.live.observers.append(lambda _: most.append(session.live.state.ledger.reserved("tokens")))

    await desk.drive(*with_runner(perform), oracle, watch=watch)
    assert sorted(answered) == ["one", "three", "two"] and max(most) == 60
    assert await desk.events(EffectRefused) == []


async def test_a_second_result_counts_only_by_its_cost(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    both = anyio.Event()
    started: list[str] = []

    async def perform(event: Event, ctx: Context) -> Result:
        assert isinstance(event.payload, ExecutionRequested)
        started.append(event.payload.attempt)
        if len(started) == 6:
            both.set()
        with anyio.move_on_after(5), anyio.CancelScope(shield=True):
            await both.wait()
        return Result(toy._finished(event.payload.attempt), Cost(seconds=1.0, model="m", tokens_in=5))

    plugins = with_runner(perform)
    one, two = await desk.session(plugins), await desk.session(plugins)
    async with anyio.create_task_group() as group:
        group.start_soon(one.drive, desk.nonce)
        group.start_soon(two.drive, desk.nonce)
    results = await desk.events(ExecutionFinished)
    assert len(results) == len({e.cause for e in results}) == 3
    duplicated = await desk.events(EffectDuplicated)
    await two.live.load()
    assert two.live.state.ledger.tokens == 5 * (3 + len(duplicated))


async def test_a_decider_that_raises_twice_suspends_the_run_with_its_traceback(tmp_path: Path) -> None:
    desk = Desk(tmp_path)

    def broken(state: object, event: Event, draw: object) -> list[Payload]:
        raise ZeroDivisionError("oh no")

    plugins = tuple(dataclasses.replace(p, decide=broken) if p.name == "toy-judge" else p for p in toy.PLUGINS)
    with pytest.raises(DeciderRaised, match="decider toy-judge raised ZeroDivisionError: oh no"):
        await desk.drive(*plugins)
    session = await desk.session(toy.PLUGINS)
    assert session.live.state.suspended
    assert session.live.state.failed_decider is not None
    assert "oh no" in session.live.state.failed_decider.traceback
    with anyio.fail_after(20):
        await session.drive(desk.nonce, resume=True)
    assert session.live.state.finished is not None and session.live.state.finished.outcome == "done"


async def test_a_decision_that_no_record_may_hold_suspends_the_run_and_harms_no_record(tmp_path: Path) -> None:
    desk = Desk(tmp_path)

    def wrong(state: object, event: Event, draw: object) -> list[Payload]:
        return [AttemptRejected("a1", reason=7)]  # type: ignore[arg-type]

    plugins = tuple(dataclasses.replace(p, decide=wrong) if p.name == "toy-judge" else p for p in toy.PLUGINS)
    with pytest.raises(DeciderRaised, match="toy-judge raised CodecError: a AttemptRejected does not fit its type"):
        await desk.drive(*plugins)
    session = await desk.session(toy.PLUGINS)
    with anyio.fail_after(20):
        await session.drive(desk.nonce, resume=True)
    assert session.live.state.finished is not None and session.live.state.finished.outcome == "done"


@pytest.mark.parametrize("answer", [None, {"attempt": "a1"}, NoteAdded(7)])  # type: ignore[arg-type]
async def test_a_result_that_no_record_may_hold_is_a_failed_effect_that_keeps_its_cost(
    tmp_path: Path, answer: Any
) -> None:
    asked: list[int] = []

    async def perform(event: Event, ctx: Context) -> Result:
        asked.append(ctx.attempt)
        return Result(answer, Cost(tokens_in=5))

    desk = Desk(tmp_path)
    await desk.drive(*with_runner(perform, attempts=3))
    failed = await desk.events(EffectFailed)
    assert len(failed) == len(asked) == 3 and set(asked) == {1}
    errors = [e.payload.error for e in failed if isinstance(e.payload, EffectFailed)]
    assert all("this run knows" in error or "does not fit its type" in error for error in errors)
    assert [e.cost for e in failed] == [Cost(tokens_in=5)] * 3


async def test_an_error_of_a_plugin_is_told_with_its_place_and_an_exit_is_one(tmp_path: Path) -> None:
    async def perform(event: Event, ctx: Context) -> Payload:
        assert isinstance(event.payload, ExecutionRequested)
        if event.payload.attempt == "a1":
            raise SystemExit("that is all")
        return {}["nothing"]  # type: ignore[return-value,index]

    desk = Desk(tmp_path)
    await desk.drive(*with_runner(perform, attempts=1))
    told = [e.payload.error for e in await desk.events(EffectFailed) if isinstance(e.payload, EffectFailed)]
    assert told[0].startswith("SystemExit: that is all (tests.kernel.test_session, line ")
    assert told[1].startswith("KeyError: 'nothing' (tests.kernel.test_session, line ")
