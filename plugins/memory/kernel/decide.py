"""When to recall: once per planned step, with the trace's latest idea as the question. Pure.

Where the loop works without memory, and for steps whose scope has none across branches, the answer is given at once and
is empty, so that reasoners need not know. Scopes with a retrieval memory are asked for that one (see `retrieval`), in
runs that began since there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    Draw,
    Event,
    ExecutionFinished,
    FeedbackGiven,
    HypothesisProposed,
    MemoryRecalled,
    Payload,
    RecallRequested,
    RunForked,
    RunStarted,
    StepPlanned,
    SubmissionScored,
)
from gome.events.memory import SuccessMemory
from gome.events.scope import SCOPES
from gome.kernel.loop import loop_settings
from gome.plugins.memory.kernel.retrieval import FLAG, WANTED, Wanted, error, named
from gome.plugins.memory.kernel.settings import Settings, read_settings

READS: tuple[type[Payload], ...] = (
    RunStarted,
    StepPlanned,
    HypothesisProposed,
    ExecutionFinished,
    SubmissionScored,
    FeedbackGiven,
    AttemptAccepted,
    AttemptRejected,
    RecallRequested,
    MemoryRecalled,
    RunForked,
)
ANSWERS: tuple[type[Payload], ...] = (StepPlanned, RunForked)
_QUERY = 600
"""Characters of the question."""


@dataclass(slots=True)
class Recalling:
    """The memory, the position it stands at, what each trace thought of last, the errors of attempts that failed, and
    the steps that nothing has been recalled for. `retrieves`: scopes with a retrieval memory are asked for it."""

    memory: SuccessMemory = field(default_factory=SuccessMemory)
    settings: Settings = field(default_factory=Settings)
    remembers: bool = True
    retrieves: bool = False
    position: int = 0
    task: str = ""
    trace_of: dict[str, int] = field(default_factory=dict)
    latest: dict[int, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, StepPlanned] = field(default_factory=dict)


def initial() -> Recalling:
    """Return the state before the first event."""
    return Recalling()


def evolve(state: Recalling, event: Event) -> Recalling:
    """Fold one event, in place."""
    if isinstance(event.payload, RecallRequested | MemoryRecalled):
        state.waiting.pop(event.payload.attempt, None)
        return state
    state.memory.apply(event)
    state.position = event.seq
    match event.payload:
        case RunStarted(task=task, settings=settings) as started:
            state.settings = read_settings(settings.get("kernel"))
            state.retrieves = FLAG in started.flags_of("kernel")
            state.remembers = loop_settings(settings).memory
            state.task = f"{task.kind} {task.metric.name} {task.name} {task.description}"[:_QUERY]
        case StepPlanned(attempt=attempt, trace=trace) as step:
            state.trace_of[attempt], state.waiting[attempt] = trace, step
        case HypothesisProposed(attempt=attempt, hypothesis=h) if attempt in state.trace_of:
            text = " ".join(part for part in (h.component, h.move, h.problem, h.statement) if part)
            state.latest[state.trace_of[attempt]] = text[:_QUERY]
        case AttemptAccepted(attempt=attempt) | AttemptRejected(attempt=attempt):
            state.trace_of.pop(attempt, None)
            state.waiting.pop(attempt, None)
            if isinstance(event.payload, AttemptRejected) and event.payload.failure:
                state.errors[attempt] = error(event.payload.failure, event.payload.reason)
    return state


def decide(state: Recalling, event: Event, draw: Draw) -> Sequence[Payload]:
    """Ask for what is worth knowing for the step that was planned; in a fork, for all that wait."""
    if isinstance(event.payload, RunForked):
        return [_recall(state, step) for step in state.waiting.values()]
    return [_recall(state, event.payload)] if isinstance(event.payload, StepPlanned) else ()


def _recall(state: Recalling, step: StepPlanned) -> Payload:
    scope = SCOPES.get(step.context)  # of one that nobody knows the reasoner's proposal tells
    if not state.remembers or scope is None or not scope.recall:
        return MemoryRecalled(attempt=step.attempt)
    query, memory, limit = state.latest.get(step.trace, state.task), state.memory.digest, state.settings.limit
    if wanted := WANTED.get(step.context) if state.retrieves else None:
        query, memory = _retrieved(state, step, wanted, query), named(memory)
        limit = min(limit, sum(wanted))
    return RecallRequested(
        attempt=step.attempt,
        trace=step.trace,
        parent=step.parent,
        position=state.position,
        memory=memory,
        query=query,
        limit=limit,
    )


def _retrieved(state: Recalling, step: StepPlanned, wanted: Wanted, idea: str) -> str:
    """What a retrieval memory is asked: a repair asks with the error."""
    return state.errors.get(step.parent) or idea if wanted.repairs else idea
