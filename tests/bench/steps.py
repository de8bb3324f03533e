"""Deciders and instant effects that say what a playbook step says, in the same sizes and order, for the benches.

The event list of a step: StepPlanned; RecallRequested, MemoryRecalled; ProposalRequested, HypothesisProposed;
CodeWritten; ExecutionRequested, EffectStarted, ExecutionFinished; ScoreRequested, SubmissionScored;
ReflectionRequested, FeedbackGiven; AttemptAccepted. Fourteen commits of one event each, in sizes like those of `ames`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gome.events import (
    Artifact,
    AttemptAccepted,
    CodeWritten,
    Draw,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    FeedbackGiven,
    Hypothesis,
    HypothesisProposed,
    MemoryRecalled,
    Payload,
    ProposalRequested,
    RecallRequested,
    Recollection,
    ReflectionRequested,
    RunStarted,
    ScoreRequested,
    StepPlanned,
    SubmissionScored,
    Text,
    digest_of,
)
from gome.kernel.lifecycle import lifecycle
from gome.kernel.plugin import Context, Effect, Plugin
from tests.kernel.toy import TASK

PROGRAM = "# a line of a rendered program, of the usual length and of no other interest\n" * 190
FILE = Artifact(digest=digest_of(b"file"), size=4, name="file.csv")
OUTPUTS = {f"{n}.csv": FILE for n in ("oof", "submission", "scores", "members/aaaaaaaaaaaaaaaa/oof")}
NUMBERS = {f"diagnostic {i}": [0.123456789 * i] * 5 for i in range(40)}
WORDS = "Add squared terms of the three strongest columns, since the residuals bend with the prediction. " * 3


def _answering(kind: type[Payload], say: Callable[[Any], Payload]) -> dict[str, Any]:
    def decide(state: None, event: Event, draw: Draw) -> list[Payload]:
        return [say(event.payload)]

    return {"reads": (kind,), "decide": decide}


def _search(steps: int) -> Plugin:
    def evolve(state: list[int], event: Event) -> list[int]:
        if isinstance(event.payload, StepPlanned):
            state[0] += 1
        return state

    def decide(state: list[int], event: Event, draw: Draw) -> list[Payload]:
        n = state[0]
        parent = f"a{n}" if n else ""
        return [StepPlanned(attempt=f"a{n + 1}", trace=0, step=n, parent=parent)] if n < steps else []

    return Plugin(
        name="bench-search",
        role="search",
        reads=(RunStarted, StepPlanned, AttemptAccepted),
        answers=(RunStarted, AttemptAccepted),
        initial=lambda: [0],
        evolve=evolve,
        decide=decide,
    )


def plugins(steps: int) -> tuple[Plugin, ...]:
    """The bench's deciders for so many steps."""

    async def recalled(event: Event, ctx: Context) -> Payload:
        found = tuple(Recollection(attempt=f"a{i}", weight=0.5, statement=WORDS[:100]) for i in range(8))
        return MemoryRecalled(attempt=event.payload.attempt, recollections=found)  # type: ignore[union-attr]

    async def reasoned(event: Event, ctx: Context) -> Payload:
        attempt = event.payload.attempt  # type: ignore[union-attr]
        if isinstance(event.payload, ReflectionRequested):
            return FeedbackGiven(attempt=attempt, accept=True, observations=WORDS, reason=WORDS)
        others = tuple(Hypothesis(statement=WORDS, component="features", reason=WORDS) for _ in range(4))
        return HypothesisProposed(attempt=attempt, hypothesis=others[0], considered=others)

    async def executed(event: Event, ctx: Context) -> Payload:
        attempt = event.payload.attempt  # type: ignore[union-attr]
        return ExecutionFinished(attempt=attempt, purpose="full", ok=True, outputs=OUTPUTS, diagnostics=NUMBERS)

    async def scored(event: Event, ctx: Context) -> Payload:
        attempt = event.payload.attempt  # type: ignore[union-attr]
        return SubmissionScored(attempt=attempt, purpose="full", score=0.12, outputs=OUTPUTS, diagnostics=NUMBERS)

    def request(p: Any) -> Payload:
        program = Text.of(PROGRAM + f"# {p.attempt}\n", pooled=True)
        return ExecutionRequested(attempt=p.attempt, purpose="full", program=program, inputs=OUTPUTS)

    def write(p: Any) -> Payload:
        return CodeWritten(attempt=p.attempt, program=Text.of(PROGRAM + f"# {p.attempt}\n"), digest="d")

    def score(p: Any) -> Payload:
        return ScoreRequested(task=TASK, attempt=p.attempt, purpose="full", outputs=OUTPUTS, folds=FILE)

    def recall(p: Any) -> Payload:
        return RecallRequested(attempt=p.attempt, trace=p.trace, parent=p.parent, position=0, query=WORDS)

    def propose(p: Any) -> Payload:
        return ProposalRequested(attempt=p.attempt, trace=0)

    def reflect(p: Any) -> Payload:
        return ReflectionRequested(attempt=p.attempt)

    def accept(p: Any) -> Payload:
        return AttemptAccepted(attempt=p.attempt, gain=0.001, reason=WORDS)

    recalls = Effect(RecallRequested)
    proposes = Effect(ProposalRequested)
    reflects = Effect(ReflectionRequested)
    executes = Effect(ExecutionRequested, policy="reconcile")
    scores = Effect(ScoreRequested)
    proposing = _answering(MemoryRecalled, propose)
    reflecting = _answering(SubmissionScored, reflect)
    return (
        lifecycle,
        _search(steps),
        Plugin(name="m", role="memory", effects=(recalls,), perform=recalled, **_answering(StepPlanned, recall)),
        Plugin(name="r1", role="reasoner", effects=(proposes,), perform=reasoned, **proposing),
        Plugin(name="r2", role="plugin", effects=(reflects,), perform=reasoned, **reflecting),
        Plugin(name="w", role="mutator", **_answering(HypothesisProposed, write)),
        Plugin(name="x", role="runner", effects=(executes,), perform=executed, **_answering(CodeWritten, request)),
        Plugin(name="s", role="scorer", effects=(scores,), perform=scored, **_answering(ExecutionFinished, score)),
        Plugin(name="j", role="judge", **_answering(FeedbackGiven, accept)),
    )
