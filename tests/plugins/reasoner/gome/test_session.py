"""A live session with this reasoner: calls are children of its effects; a kill in the middle pays for none twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    Budget,
    CompletionReceived,
    CompletionRequested,
    Cost,
    DataProfiled,
    Draw,
    Event,
    HypothesisProposed,
    MemoryRecalled,
    Payload,
    ProfileRequested,
    ProposalFailed,
    ProposalRequested,
    RecallRequested,
    RunStarted,
    ScoreRequested,
    StepPlanned,
    SubmissionScored,
    SubmissionSelected,
    Text,
)
from gome.kernel.appender import Scribe
from gome.kernel.discovery import codec_for
from gome.kernel.lifecycle import lifecycle
from gome.kernel.live import LiveRun
from gome.kernel.log_memory import MemoryLog
from gome.kernel.plugin import Context, Effect, Plugin, Result
from gome.kernel.pools import CorePool
from gome.kernel.replay import Verifier
from gome.kernel.session import Session
from gome.kernel.spool import Spool
from gome.kernel.state import RunState
from gome.kernel.testing import MemoryArtifacts, start
from gome.kernel.timekeeping import RealTime
from gome.kernel.workshop import Workshop
from gome.plugins.reasoner.gome import plugin
from gome.plugins.reasoner.gome.events import ScenarioAnalysed
from tests.kernel import toy
from tests.plugins.reasoner.gome.thinking import PROFILE, file, script

pytestmark = pytest.mark.anyio


def _score(state: None, event: Event, draw: Draw) -> list[Payload]:
    if isinstance(event.payload, RunStarted):
        return [ProfileRequested(event.payload.task, 1)]
    return [ScoreRequested(toy.TASK, "final", "rerun", {}, toy.FILE, final=True)]


async def _scored(event: Event, ctx: Context) -> Payload:
    if isinstance(event.payload, ProfileRequested):
        return DataProfiled(file("folds"), file("sample"), 5, 8, profile=PROFILE)
    return SubmissionScored("final", "rerun", 1.0)


def _remember(state: None, event: Event, draw: Draw) -> list[Payload]:
    assert isinstance(event.payload, StepPlanned)
    step = event.payload
    return [RecallRequested(step.attempt, step.trace, step.parent, event.seq)]


async def _recalled(event: Event, ctx: Context) -> Payload:
    assert isinstance(event.payload, RecallRequested)
    return MemoryRecalled(event.payload.attempt)


def _judge(state: None, event: Event, draw: Draw) -> list[Payload]:
    match event.payload:
        case HypothesisProposed(attempt=attempt):
            return [AttemptAccepted(attempt=attempt)]
        case ProposalFailed(attempt=attempt, reason=reason):
            return [AttemptRejected(attempt=attempt, reason=reason, failure="data")]
    return []


def others(complete: Callable[[CompletionRequested], object]) -> tuple[Plugin, ...]:
    """The rest of a run: what comes before a proposal and what ends a step; `complete` answers calls."""

    async def perform(event: Event, ctx: Context) -> Result:
        asked = event.payload
        assert isinstance(asked, CompletionRequested)
        answer = complete(asked)
        if isinstance(answer, anyio.Event):
            answer.set()
            await anyio.sleep_forever()
        said = CompletionReceived(asked.name, Text.of(str(answer)), asked.model, "d", asked.attempt)
        return Result(said, Cost(tokens_in=10, tokens_out=5, model=asked.model))

    memory = Plugin(
        name="m",
        role="memory",
        reads=(StepPlanned,),
        decide=_remember,
        effects=(Effect(RecallRequested),),
        perform=_recalled,
    )
    scorer = Plugin(
        name="s",
        role="scorer",
        reads=(RunStarted, SubmissionSelected),
        decide=_score,
        effects=(Effect(ProfileRequested), Effect(ScoreRequested)),
        perform=_scored,
    )
    return (
        lifecycle,
        toy.search,
        memory,
        plugin,
        scorer,
        Plugin(name="j", role="judge", reads=(HypothesisProposed, ProposalFailed), decide=_judge),
        toy.selection,
        Plugin(name="c", role="completion", effects=(Effect(CompletionRequested),), perform=perform),
    )


class Desk:
    """A log, a spool and artifacts that outlive the sessions opened on them."""

    def __init__(self, folder: Path, *, budget: Budget | None = None) -> None:
        self.log, self.artifacts, self.spool, self.home = MemoryLog(), MemoryArtifacts(), Spool(folder), folder
        tables = {"completion": {"model": "m"}}
        self.started = RunStarted(toy.TASK, seed=1, budget=budget or Budget(steps=2), capacity=2, settings=tables)
        self.count = 0

    def nonce(self) -> str:
        self.count += 1
        return f"n{self.count}"

    async def session(self, plugins: tuple[Plugin, ...]) -> Session:
        codec = codec_for(plugins)
        state = RunState("r", codec, plugins, self.artifacts.text)
        live = LiveRun(self.log, state, Scribe("r", codec, self.artifacts, "t"), RealTime())
        shop = Workshop(
            plugins, self.artifacts, self.home, self.spool, CorePool(2), lambda run, intent: None, self.nonce()  # type: ignore[arg-type, return-value]
        )  # fmt: skip
        if "r" in await self.log.runs():
            await live.load()
        await start(live, self.started)
        return Session(live, shop)

    async def events(self, plugins: tuple[Plugin, ...]) -> list[Event]:
        codec = codec_for(plugins)
        return [e async for s in self.log.read("r") for e in codec.commit(s, self.artifacts.text).events]


async def test_a_kill_in_the_middle_of_a_proposal_pays_for_no_call_twice(tmp_path: Path) -> None:
    replies = script().replies
    performed: Counter[tuple[str, str]] = Counter()
    hangs = anyio.Event()
    killed = False

    def complete(asked: CompletionRequested) -> object:
        performed[asked.attempt, asked.name] += 1
        if asked.name == "selection" and not killed:
            return hangs
        return json.dumps(replies[asked.name][0])

    desk, plugins = Desk(tmp_path), others(complete)
    session = await desk.session(plugins)
    async with anyio.create_task_group() as group:
        group.start_soon(session.drive, desk.nonce)
        with anyio.fail_after(20):
            await hangs.wait()
        group.cancel_scope.cancel()  # no RunSuspended: as good as a crash
    before, killed = dict(performed), True
    assert before["", "scenario"] == 1 and sum(before.values()) == 4
    resumed = await desk.session(plugins)
    with anyio.fail_after(20):
        await resumed.drive(desk.nonce, resume=True)
    assert resumed.live.state.finished is not None and resumed.live.state.finished.outcome == "done"
    again = {call: n for call, n in performed.items() if n > 1}
    assert list(again) == [("a1", "selection")], "only the call that was cut off is made again"
    events = await desk.events(plugins)
    proposals = {e.id for e in events if isinstance(e.payload, ProposalRequested)}
    children = [e for e in events if isinstance(e.payload, CompletionRequested) and e.payload.attempt]
    assert {e.cause for e in children} == proposals and len(children) == 8
    recalled = [e for e in events if isinstance(e.payload, RecallRequested) and e.payload.queries]
    assert {e.cause for e in recalled} == proposals, "the memory was asked about candidates, once for each proposal"
    verdict = await Verifier("r", codec_for(plugins), plugins, desk.artifacts.text).run(desk.log.read("r"))
    assert verdict.ok and verdict.finished


async def test_the_second_draft_sees_the_first_and_both_have_the_analysis(tmp_path: Path) -> None:
    replies = script().replies
    shown: dict[tuple[str, str], str] = {}

    def complete(asked: CompletionRequested) -> object:
        shown[asked.attempt, asked.name] = str(asked.messages[1].content)
        return json.dumps(replies[asked.name][0])

    desk, plugins = Desk(tmp_path), others(complete)
    session = await desk.session(plugins)
    with anyio.fail_after(20):
        await session.drive(desk.nonce)
    t = session.live.state.trajectory
    first = t.attempts["a1"].hypothesis
    assert first is not None
    for attempt in ("a1", "a2"):
        assert "- The year of sale leaks." in shown[attempt, "hypotheses"]
    if t.attempts["a1"].trace != t.attempts["a2"].trace:
        assert f"- {first.component}: {first.statement}" in shown["a2", "hypotheses"]
    texts = [e.payload.text for e in await desk.events(plugins) if isinstance(e.payload, ScenarioAnalysed)]
    assert len(texts) == 1


async def test_a_run_whose_budget_for_completions_is_used_up_ends_with_failed_steps_not_with_an_error(
    tmp_path: Path,
) -> None:
    replies = script().replies
    desk = Desk(tmp_path, budget=Budget(steps=2, completions=3))
    plugins = others(lambda asked: json.dumps(replies[asked.name][0]))
    session = await desk.session(plugins)
    with anyio.fail_after(20):
        await session.drive(desk.nonce)
    events = await desk.events(plugins)
    assert sum(isinstance(e.payload, CompletionRequested) for e in events) == 3
    assert session.live.state.finished is not None
