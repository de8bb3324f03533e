"""What the search knows of a run: its traces, the accepted attempts that a step may build on, and what is in flight.

A plain fold; every event changes a bounded part of it. Who is next is decided in `schedule`, which step that is in
`decide`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    Budget,
    BudgetExhausted,
    DataProfiled,
    Event,
    Payload,
    ProposalFailed,
    RunForked,
    RunStarted,
    SearchEnded,
    SelectionStarted,
    StepPlanned,
    StopRequested,
    SubmissionScored,
)
from gome.events.memory import SPREAD_OF, normalised_gain, spread
from gome.plugins.search.gradient.settings import Settings, read_settings

RESTARTS = "restarts"
"""The behaviour flag of runs in which a lost trace goes on from the best one (see `Plugin.flags`)."""
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


def rounded(value: float) -> float:
    """Return a number to 12 significant digits: what exp and tanh give is compared in this form only."""
    return float(f"{value:.12g}")


@dataclass(slots=True)
class Trace:
    """A branch: its last accepted attempt with its score and standard error, how many steps it has taken, how many are
    in flight."""

    head: str = ""
    score: float | None = None
    se: float = 0.0
    steps: int = 0
    open: int = 0
    accepted: int = 0
    merged: bool = False
    exhausted: bool = False


@dataclass(slots=True)
class Node:
    """An accepted attempt. `root` is the score its path began with, `depth` counts the accepted attempts on its path.
    `tries` are judged steps from here and `reward` what it and those that were refused have earned, each in [0, 1];
    `pending` are steps from here in flight."""

    trace: int
    parent: str
    step: int
    score: float | None
    root: float | None
    depth: int
    reward: float
    tries: int = 0
    pending: int = 0


@dataclass(slots=True)
class Search:
    """What the decisions depend on. `planned_from` holds the steps in flight; `dry` the nodes from which the reasoner
    had nothing left to propose; `gains` the latest accepted gains over a parent. `restarts` says that a trace that is
    lost goes on from the best one: runs decided before there was that go on without."""

    budget: Budget = field(default_factory=Budget)
    capacity: int = 1
    settings: Settings = field(default_factory=Settings)
    greater_is_better: bool = False
    traces: list[Trace] = field(default_factory=list)
    planned_from: dict[str, StepPlanned] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    dry: set[str] = field(default_factory=set)
    gains: list[float] = field(default_factory=list)
    scores: dict[str, SubmissionScored] = field(default_factory=dict)
    restarts: bool = False
    planned: int = 0
    open: int = 0
    failed_in_a_row: int = 0
    ready: bool = False
    stopped: bool = False
    ended: bool = False

    @property
    def sign(self) -> float:
        """1 where a greater score is better, else −1."""
        return 1.0 if self.greater_is_better else -1.0

    def relative(self, gain: float) -> float:
        """A gain in units of the spread of accepted gains, within ±8."""
        return normalised_gain(gain, spread(self.gains))


def initial() -> Search:
    """Return the state before the first event."""
    return Search()


def evolve(state: Search, event: Event) -> Search:
    """Fold one event, in place."""
    match event.payload:
        case RunStarted() as started:
            state.budget, state.capacity = started.budget, max(1, started.capacity)
            state.settings = read_settings(started.settings.get("gradient"))
            state.greater_is_better = started.task.metric.greater_is_better
            state.restarts = RESTARTS in started.flags_of("gradient")
            state.traces = [Trace() for _ in range(max(1, started.traces))]
        case DataProfiled():
            state.ready = True
        case StepPlanned() as step:
            _planned(state, step)
        case SubmissionScored(attempt=attempt, purpose="full") as scored if attempt in state.planned_from:
            state.scores[attempt] = scored
        case ProposalFailed(attempt=attempt, exhausted=True) if attempt in state.planned_from:
            step = state.planned_from[attempt]
            state.traces[step.trace].exhausted = True
            state.dry.add(step.parent)
        case AttemptAccepted(attempt=attempt, gain=gain) if attempt in state.planned_from:
            _accepted(state, attempt, gain)
        case AttemptRejected(attempt=attempt, gain=gain, failure=failure) if attempt in state.planned_from:
            step = _close(state, attempt)
            known = state.scores.pop(attempt, None) is not None
            state.failed_in_a_row = state.failed_in_a_row + 1 if failure else 0
            if parent := state.nodes.get(step.parent):
                parent.reward += _reward(state, gain) if known and not failure else 0.0
        case SelectionStarted() | StopRequested() | BudgetExhausted():
            state.stopped = True
        case SearchEnded():
            state.ended = True
    return state


def _planned(state: Search, step: StepPlanned) -> None:
    while len(state.traces) <= step.trace:  # a fork's prefix may have been planned with more traces
        state.traces.append(Trace())
    trace = state.traces[step.trace]
    trace.open, trace.steps, trace.merged = trace.open + 1, trace.steps + 1, trace.merged or step.kind == "merge"
    state.planned_from[step.attempt] = step
    state.planned += 1
    state.open += 1
    if parent := state.nodes.get(step.parent):
        parent.pending += 1


def _close(state: Search, attempt: str) -> StepPlanned:
    step = state.planned_from.pop(attempt)
    state.traces[step.trace].open -= 1
    state.open -= 1
    if parent := state.nodes.get(step.parent):
        parent.pending -= 1
        parent.tries += 1
    return step


def _accepted(state: Search, attempt: str, gain: float) -> None:
    step = _close(state, attempt)
    scored = state.scores.pop(attempt, None)
    score = scored.score if scored else None
    trace, parent = state.traces[step.trace], state.nodes.get(step.parent)
    if parent:
        state.gains.append(gain)
        del state.gains[:-SPREAD_OF]
    trace.head, trace.score, trace.accepted = attempt, score, trace.accepted + 1
    trace.se = scored.se if scored else 0.0
    state.nodes[attempt] = Node(
        trace=step.trace,
        parent=step.parent,
        step=step.step,
        score=score,
        root=parent.root if parent else score,
        depth=parent.depth + 1 if parent else 1,
        # A first draft has nothing to be better than.
        reward=_reward(state, gain) if parent else 0.5,
    )
    state.failed_in_a_row = 0
    state.dry.clear()
    for other in state.traces:  # new ground: there may be something to propose again
        other.exhausted = False


def _reward(state: Search, gain: float) -> float:
    """What a scored attempt has earned, in [0, 1]. The judge's gain is positive where the attempt is better, whatever
    the metric's direction, so that there is no sign to get wrong."""
    return rounded((1.0 + math.tanh(state.relative(gain))) / 2.0)
