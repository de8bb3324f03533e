"""When this reasoner is asked for something: an analysis of the task, proposals, reflections. Pure.

The task is analysed as soon as its data are profiled, and again after `GIVE_UP` attempts in a row that failed before
they could be scored while nothing has been accepted yet. Proposals wait for the analysis. Proposals for traces that
have nothing accepted yet are made one after the other, so that each sees what the others try; all others at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    DataProfiled,
    Draw,
    EffectCancelled,
    EffectFailed,
    Event,
    HypothesisProposed,
    MemoryRecalled,
    Payload,
    ProposalFailed,
    ProposalRequested,
    ReflectionRequested,
    RunForked,
    SelectionStarted,
    StepPlanned,
    SubmissionScored,
    Text,
)
from gome.plugins.reasoner.gome.events import ScenarioAnalysed, ScenarioFailed, ScenarioRequested

NAME = "gome"
"""The plugin's name."""
NOTHING = Text(text="")
GIVE_UP = 3
"""Failed attempts in a row, with nothing accepted, after which the task is read again."""

READS: tuple[type[Payload], ...] = (
    DataProfiled,
    StepPlanned,
    MemoryRecalled,
    ScenarioRequested,
    ScenarioAnalysed,
    ScenarioFailed,
    ProposalRequested,
    HypothesisProposed,
    ProposalFailed,
    SubmissionScored,
    ReflectionRequested,
    EffectFailed,
    EffectCancelled,
    AttemptAccepted,
    AttemptRejected,
    SelectionStarted,
    RunForked,
)
ANSWERS: tuple[type[Payload], ...] = (
    DataProfiled,
    MemoryRecalled,
    ScenarioAnalysed,
    ScenarioFailed,
    HypothesisProposed,
    ProposalFailed,
    SubmissionScored,
    EffectFailed,
    EffectCancelled,
    AttemptRejected,
    RunForked,
)


@dataclass(slots=True)
class Asking:
    """Steps that are not judged yet, which of them wait for a proposal or are being proposed for, which are scored and
    not reflected on; and how far the analysis of the task is."""

    steps: dict[str, StepPlanned] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    proposing: set[str] = field(default_factory=set)
    scored: list[str] = field(default_factory=list)
    scenario: Text = NOTHING
    round: int = 0
    analysing: bool = False
    failed_in_a_row: int = 0
    unproposed: set[str] = field(default_factory=set)
    accepted: bool = False
    stopped: bool = False


def evolve(state: Asking, event: Event) -> Asking:
    """Fold one event, in place."""
    match event.payload:
        case StepPlanned() as planned:
            state.steps[planned.attempt] = planned
        case MemoryRecalled(attempt=attempt):
            # While a proposal is being made, the reasoner itself has asked.
            if attempt in state.steps and attempt not in state.proposing and not state.stopped:
                state.waiting.append(attempt)
        case ScenarioRequested(round=number):
            state.round, state.analysing, state.failed_in_a_row = number, True, 0
        case ScenarioAnalysed(text=text):
            state.scenario, state.analysing = text, False
        case ScenarioFailed():
            state.analysing = False
        case ProposalRequested(attempt=attempt):
            state.proposing.add(attempt)
            _drop(state.waiting, attempt)
        case HypothesisProposed(attempt=attempt):
            state.proposing.discard(attempt)
        case ProposalFailed(attempt=attempt):
            state.proposing.discard(attempt)
            state.unproposed.add(attempt)
        case SubmissionScored(purpose="full", attempt=attempt) if attempt in state.steps:
            state.scored.append(attempt)
        case ReflectionRequested(attempt=attempt):
            _drop(state.scored, attempt)
        case EffectFailed(kind=kind, attempt=attempt) | EffectCancelled(kind=kind, attempt=attempt):
            if kind == "ProposalRequested":
                state.proposing.discard(attempt)
                state.unproposed.add(attempt)
            elif kind == "ScenarioRequested":
                state.analysing = False
        case AttemptAccepted(attempt=attempt):
            _close(state, attempt)
            state.accepted = True
        case AttemptRejected(attempt=attempt, failure=failure) if attempt in state.steps:
            if failure and attempt not in state.unproposed:  # no proposal is no evidence against our reading
                state.failed_in_a_row += 1
            elif not failure:
                state.failed_in_a_row = 0
            _close(state, attempt)
        case SelectionStarted():
            state.stopped = True
            state.waiting.clear()
    return state


def _drop(names: list[str], attempt: str) -> None:
    if attempt in names:
        names.remove(attempt)


def _close(state: Asking, attempt: str) -> None:
    state.steps.pop(attempt, None)
    state.proposing.discard(attempt)
    state.unproposed.discard(attempt)
    _drop(state.waiting, attempt)
    _drop(state.scored, attempt)


def decide(state: Asking, event: Event, draw: Draw) -> Sequence[Payload]:
    """Answer one event."""
    match event.payload:
        case DataProfiled():
            return [] if state.round or state.stopped else [ScenarioRequested(round=1)]
        case SubmissionScored(attempt=attempt):
            return [_reflection(state, attempt)] if attempt in state.scored else []
        case AttemptRejected():
            lost = state.failed_in_a_row >= GIVE_UP and not state.accepted
            if lost and not state.analysing and not state.stopped:
                return [ScenarioRequested(round=state.round + 1)]
        case RunForked():
            # Whoever did this before us may have left steps open; what the prefix holds of ours is not asked again.
            first = [] if state.round or state.stopped else [ScenarioRequested(round=1)]
            owed = [_reflection(state, attempt) for attempt in state.scored]
            return [*first, *owed, *([] if first else _proposals(state))]
    return _proposals(state)


def _reflection(state: Asking, attempt: str) -> ReflectionRequested:
    return ReflectionRequested(attempt=attempt, scenario=state.scenario)


def _proposals(state: Asking) -> list[Payload]:
    """Requests for the steps that are due."""
    if state.stopped or state.analysing:
        return []
    drafting = any(state.steps[name].kind == "draft" for name in state.proposing if name in state.steps)
    due = []
    for name in state.waiting:
        step = state.steps[name]
        if step.kind == "draft":
            if drafting:
                continue
            drafting = True
        due.append(step)
    return [
        ProposalRequested(
            attempt=s.attempt, trace=s.trace, parent=s.parent, kind=s.kind, stage=s.stage, scenario=state.scenario
        )
        for s in due
    ]
