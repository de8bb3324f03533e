"""When to take the next step, on which trace, from where: the pure half of Gome's search.

Every trace keeps at most one step in flight; as many traces work at once as the run has capacity. The trace with the
fewest steps goes first, so that more traces than capacity take turns. A step builds on its trace's last accepted
attempt; once the share of the budget says `ensemble`, a trace that has fallen behind another (or has not merged yet)
takes a `merge` step that also sees the others' accepted attempts. What to change is the reasoner's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    Budget,
    BudgetExhausted,
    DataProfiled,
    Draw,
    Event,
    Payload,
    ProposalFailed,
    RunForked,
    RunStarted,
    SearchEnded,
    SelectionStarted,
    Stage,
    StepPlanned,
    StopRequested,
    SubmissionScored,
)


class Settings(Struct, frozen=True):
    """The search's table in the settings. `draft` and `ensemble` are shares of the budget in [0, 1] at which the stage
    becomes `improve` and `ensemble`; `parents` is how many other traces a merge sees; after `failures` steps in a row
    that failed before they could be scored the search gives up."""

    draft: float = 0.08
    ensemble: float = 0.35
    parents: int = 4
    failures: int = 40


@dataclass(slots=True)
class Trace:
    """A branch: its last accepted attempt and score, how many steps it has taken, which one is in flight."""

    head: str = ""
    score: float | None = None
    steps: int = 0
    open: str = ""
    merged: bool = False
    exhausted: bool = False


@dataclass(slots=True)
class Search:
    """What the decisions depend on; every event changes a bounded part of it."""

    budget: Budget = field(default_factory=Budget)
    capacity: int = 1
    settings: Settings = field(default_factory=Settings)
    greater_is_better: bool = False
    traces: list[Trace] = field(default_factory=list)
    trace_of: dict[str, int] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    planned: int = 0
    open: int = 0
    failed_in_a_row: int = 0
    ready: bool = False
    stopped: bool = False
    ended: bool = False


READS: tuple[type[Payload], ...] = (
    RunStarted,
    DataProfiled,
    StepPlanned,
    SubmissionScored,
    ProposalFailed,
    AttemptAccepted,
    AttemptRejected,
    SelectionStarted,
    StopRequested,
    BudgetExhausted,
    SearchEnded,
    RunForked,
)
ANSWERS: tuple[type[Payload], ...] = (DataProfiled, AttemptAccepted, AttemptRejected, RunForked)


def initial() -> Search:
    """Return the state before the first event."""
    return Search()


def _settings(table: object) -> Settings:
    known = table if isinstance(table, dict) else {}
    return Settings(**{k: known[k] for k in Settings.__struct_fields__ if k in known})


def evolve(state: Search, event: Event) -> Search:
    """Fold one event, in place."""
    match event.payload:
        case RunStarted() as started:
            state.budget, state.capacity = started.budget, max(1, started.capacity)
            state.settings = _settings(started.settings.get("gradient"))
            state.greater_is_better = started.task.metric.greater_is_better
            state.traces = [Trace() for _ in range(max(1, started.traces))]
        case DataProfiled():
            state.ready = True
        case StepPlanned(attempt=attempt, trace=number, kind=kind):
            while len(state.traces) <= number:  # a fork's prefix may have been planned with more traces
                state.traces.append(Trace())
            trace = state.traces[number]
            trace.open, trace.steps, trace.merged = attempt, trace.steps + 1, trace.merged or kind == "merge"
            state.trace_of[attempt] = number
            state.planned += 1
            state.open += 1
        case SubmissionScored(attempt=attempt, purpose="full", score=score) if attempt in state.trace_of:
            state.scores[attempt] = score
        case ProposalFailed(attempt=attempt, exhausted=True) if attempt in state.trace_of:
            state.traces[state.trace_of[attempt]].exhausted = True
        case AttemptAccepted(attempt=attempt) if attempt in state.trace_of:
            trace = _close(state, attempt)
            trace.head, trace.score = attempt, state.scores.pop(attempt, None)
            state.failed_in_a_row = 0
            for other in state.traces:  # new ground: there may be something to propose again
                other.exhausted = False
        case AttemptRejected(attempt=attempt, failure=failure) if attempt in state.trace_of:
            _close(state, attempt)
            state.scores.pop(attempt, None)
            state.failed_in_a_row = state.failed_in_a_row + 1 if failure else 0
        case SelectionStarted() | StopRequested() | BudgetExhausted():
            state.stopped = True
        case SearchEnded():
            state.ended = True
    return state


def _close(state: Search, attempt: str) -> Trace:
    trace = state.traces[state.trace_of.pop(attempt)]
    if trace.open == attempt:
        trace.open = ""
        state.open -= 1
    return trace


def stage(state: Search, active: float) -> Stage:
    """Return the stage by the share of the budget used: of seconds or of steps, whichever is further on."""
    shares = [0.0]
    if state.budget.seconds:
        shares.append(active / state.budget.seconds)
    if state.budget.steps:
        shares.append(state.planned / state.budget.steps)
    used = max(shares)
    if used < state.settings.draft:
        return "draft"
    return "improve" if used < state.settings.ensemble else "ensemble"


def _others(state: Search, number: int) -> tuple[str, ...]:
    """Heads of the other traces, best first."""
    sign = -1.0 if state.greater_is_better else 1.0
    found = [(sign * t.score, i, t.head) for i, t in enumerate(state.traces) if i != number and t.score is not None]
    return tuple(head for _, _, head in sorted(found)[: state.settings.parents])


def _behind(state: Search, trace: Trace) -> bool:
    """Whether another trace's accepted score is better than this one's."""
    sign = 1.0 if state.greater_is_better else -1.0
    best = max((sign * t.score for t in state.traces if t.score is not None), default=None)
    return best is not None and trace.score is not None and sign * trace.score < best


def _plan(state: Search, number: int, ordinal: int, now: Stage) -> StepPlanned:
    """The next step of a trace; `ordinal` counts the steps planned in this decision."""
    trace = state.traces[number]
    name = f"a{state.planned + ordinal + 1}"
    if not trace.head:
        why = "the first step of this trace" if not trace.steps else "nothing has been accepted on this trace yet"
        return StepPlanned(attempt=name, trace=number, step=trace.steps + 1, kind="draft", stage=now, reason=why)
    others = _others(state, number) if now == "ensemble" else ()
    behind = _behind(state, trace)
    if others and (behind or not trace.merged):
        why = (
            f"trace {number} has fallen behind: take up what the others have found"
            if behind
            else f"the ensemble stage has begun: join trace {number} with the others"
        )
        return StepPlanned(
            attempt=name,
            trace=number,
            step=trace.steps + 1,
            kind="merge",
            stage=now,
            parent=trace.head,
            parents=others,
            reason=why,
        )
    return StepPlanned(
        attempt=name,
        trace=number,
        step=trace.steps + 1,
        kind="improve",
        stage=now,
        parent=trace.head,
        reason=f"improve on {trace.head}, the accepted solution of trace {number}",
    )


def decide(state: Search, event: Event, draw: Draw) -> Sequence[Payload]:
    """Fill the free capacity with steps of the traces that are due, or say that the search is over."""
    if not state.ready or state.stopped or state.ended:
        return ()
    left = None if state.budget.steps is None else state.budget.steps - state.planned
    given_up = state.failed_in_a_row >= state.settings.failures
    free = state.capacity - state.open
    if left is not None:
        free = min(free, left)
    due = [(t.steps, i) for i, t in enumerate(state.traces) if not t.open and not t.exhausted]
    if free > 0 and due and not given_up:
        now = stage(state, event.active)
        return [_plan(state, number, n, now) for n, (_, number) in enumerate(sorted(due)[:free])]
    if state.open:
        return ()
    if left is not None and left <= 0:
        return [SearchEnded(reason=f"all {state.budget.steps} steps of the budget are done")]
    if given_up:
        return [SearchEnded(reason=f"{state.failed_in_a_row} steps in a row failed before they could be scored")]
    return [SearchEnded(reason="the reasoner has nothing left to propose on any trace")]
