"""A role that changes hands in the middle of a run: one plugin falls silent, another takes up what is open."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from gome.events import (
    AttemptRejected,
    Commit,
    CompletionFailed,
    CompletionReceived,
    CompletionRequested,
    Draw,
    Event,
    ExecutionRequested,
    Message,
    Payload,
    RoleHandedOver,
    RunForked,
    RunStarted,
    StepPlanned,
    Text,
)
from gome.kernel.discovery import codec_for
from gome.kernel.handover import PATIENCE, handover, outgoing, standby
from gome.kernel.log_memory import MemoryLog
from gome.kernel.plugin import Effect, Plugin
from gome.kernel.replay import Verifier
from gome.kernel.state import OpenIntent
from gome.kernel.testing import Killed, MemoryArtifacts, conform, drive, open_run, start, state_digest
from gome.kernel.timekeeping import VirtualTime
from tests.kernel import toy

pytestmark = pytest.mark.anyio


def _ask(state: None, event: Event, draw: Draw) -> list[Payload]:
    match event.payload:
        case StepPlanned(attempt=attempt):
            said = (Message("user", Text.of(f"write {attempt}")),)
            return [CompletionRequested(name="code", model="m", messages=said, attempt=attempt)]
        case CompletionReceived(attempt=attempt, text=text):
            return [ExecutionRequested(attempt=attempt, purpose="full", program=text, inputs={})]
    return []


async def _never(event: Event, ctx: object) -> Payload:
    raise AssertionError("the recorded world answers")


asking = Plugin(
    name="asking",
    role="runner",
    reads=(StepPlanned, CompletionReceived),
    decide=_ask,
    effects=(Effect(CompletionRequested), Effect(ExecutionRequested)),
    perform=_never,
    needs=("completion",),
)


@dataclass
class _Open:
    steps: list[str] = field(default_factory=list)


def _see(state: _Open, event: Event) -> _Open:
    match event.payload:
        case StepPlanned(attempt=attempt):
            state.steps.append(attempt)
        case AttemptRejected(attempt=attempt) if attempt in state.steps:
            state.steps.remove(attempt)
        case ExecutionRequested(attempt=attempt) if attempt in state.steps:
            state.steps.remove(attempt)
    return state


def _plain(state: _Open, event: Event, draw: Draw) -> list[Payload]:
    taken = list(state.steps) if isinstance(event.payload, RunForked) else []
    if isinstance(event.payload, StepPlanned):
        taken = [event.payload.attempt]
    return [ExecutionRequested(attempt=a, purpose="full", program=Text.of("pass"), inputs={}) for a in taken]


plain = Plugin(
    name="plain",
    role="runner",
    reads=(StepPlanned, AttemptRejected, ExecutionRequested, RunForked),
    answers=(StepPlanned, RunForked),
    initial=_Open,
    evolve=_see,
    decide=_plain,
    effects=(Effect(ExecutionRequested),),
    perform=_never,
)


def _refuse(state: None, event: Event, draw: Draw) -> list[Payload]:
    failed = event.payload
    assert isinstance(failed, CompletionFailed)
    return [AttemptRejected(attempt=failed.attempt, reason=failed.reason, failure="effect")]


refusing = Plugin(name="refusing", role="plugin", reads=(CompletionFailed,), decide=_refuse)


def world(answered: int):  # type: ignore[no-untyped-def]
    """An endpoint that answers so many calls and is gone then."""

    def answer(found: OpenIntent) -> tuple[Payload, float]:
        asked = found.event.payload
        if isinstance(asked, CompletionRequested):
            if int(asked.attempt[1:]) <= answered:
                received = CompletionReceived(
                    name="code", text=Text.of("print(1)"), model="m", request="", attempt=asked.attempt
                )
                return received, 1.0
            why = "nobody answers at that address"
            return CompletionFailed("code", "unreachable", why, attempt=asked.attempt, fatal=True), 1.0
        return toy.world(found)

    return answer


def run_plugins(*, fallback: bool) -> tuple[Plugin, ...]:
    rest = tuple(p for p in toy.PLUGINS if p.name != "toy-runner")
    ours = (outgoing(asking), standby(plain)) if fallback else (asking,)
    return (*rest, *ours, handover, refusing)


def first(*, fallback: bool, steps: int = 6) -> RunStarted:
    begun = toy.started(steps=steps)
    fallbacks = {"runner": "plain"} if fallback else {}
    return RunStarted(**{k: getattr(begun, k) for k in begun.__struct_fields__} | {"fallbacks": fallbacks})


class World:
    """A run in memory that can be killed and taken up again."""

    def __init__(self, *, fallback: bool, answered: int) -> None:
        self.plugins = run_plugins(fallback=fallback)
        self.fallback, self.answered = fallback, answered
        self.time, self.store = VirtualTime(), MemoryArtifacts()
        self.log = MemoryLog(clock=self.time.now)

    async def go(self, stop_after: int | None = None) -> str:
        live = await open_run(self.log, "r", self.plugins, self.store, self.time)
        await start(live, first(fallback=self.fallback))
        await drive(live, world(self.answered), self.time, stop_after=stop_after)
        self.state = live.state
        return state_digest(live.state)

    async def commits(self) -> list[Commit]:
        codec = codec_for(self.plugins)
        return [codec.commit(s, self.store.text) async for s in self.log.read("r")]

    async def said(self) -> list[Event]:
        return [e for c in await self.commits() for e in c.events]


async def test_the_stand_in_is_silent_until_the_endpoint_is_gone_and_finishes_the_run() -> None:
    w = World(fallback=True, answered=3)
    await w.go()
    events = await w.said()
    handed = next(e for e in events if isinstance(e.payload, RoleHandedOver))
    assert handed.payload == RoleHandedOver("runner", "", "plain", "nobody answers at that address")
    by = {e.by for e in events if isinstance(e.payload, ExecutionRequested) and e.seq < handed.seq}
    after = {e.by for e in events if isinstance(e.payload, ExecutionRequested) and e.seq > handed.seq}
    assert by == {"asking"} and after == {"plain"}
    assert w.state.finished is not None and w.state.finished.outcome == "done"
    assert len(w.state.trajectory.accepted_attempts()) >= 3


async def test_a_run_that_changed_hands_verifies() -> None:
    w = World(fallback=True, answered=3)
    await w.go()
    verdict = await Verifier("r", codec_for(w.plugins), w.plugins, w.store.text).run(w.log.read("r"))
    assert verdict.ok, [d.sentence("r") for d in verdict.divergences]


async def test_killed_at_any_commit_it_changes_hands_all_the_same() -> None:
    whole = World(fallback=True, answered=3)
    digest = await whole.go()
    for boundary in range(1, len(await whole.commits())):
        w = World(fallback=True, answered=3)
        with pytest.raises(Killed):
            await w.go(stop_after=boundary)
        assert await w.go() == digest


async def test_while_the_endpoint_answers_nothing_changes_hands() -> None:
    w = World(fallback=True, answered=99)
    await w.go()
    assert not any(isinstance(e.payload, RoleHandedOver) for e in await w.said())


async def test_without_a_stand_in_the_run_rests_after_some_patience_and_says_why() -> None:
    w = World(fallback=False, answered=1)
    await w.go()
    assert "nobody answers at that address" in w.state.suspended
    events = await w.said()
    failed = [e for e in events if isinstance(e.payload, CompletionFailed)]
    assert len(failed) >= PATIENCE


async def test_wrapped_plugins_are_pure() -> None:
    w = World(fallback=True, answered=3)
    await w.go()
    history = [s async for s in w.log.read("r")]
    for plugin in (outgoing(asking), standby(plain), handover):
        assert conform(plugin, history) >= 1


async def test_whoever_asked_performs_where_two_plugins_could() -> None:
    from gome.kernel.workshop import Workshop

    shop = Workshop((asking, plain), *([None] * 6))  # type: ignore[arg-type]
    for name in ("asking", "plain"):
        found = shop.performer("ExecutionRequested", name)
        assert found is not None and found[0].name == name
    other = shop.performer("ExecutionRequested", "effect:ProposalRequested")
    assert other is not None and other[0].name == "asking"
