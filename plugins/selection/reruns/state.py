"""What final selection knows: which attempts were accepted and how they scored, its own plan, and what came of it.

A plain fold, O(1) per event, over the whole run; it only speaks once selection has started (`decide.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gome.events import (
    AlarmRang,
    Artifact,
    AttemptAccepted,
    AttemptRejected,
    BudgetExhausted,
    CodeWritten,
    DataProfiled,
    EffectCancelled,
    EffectFailed,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    FoldMasked,
    Ledger,
    MaskRequested,
    OpinionGiven,
    OpinionRequested,
    RunForked,
    RunStarted,
    ScoreRequested,
    SelectionFailed,
    SelectionStarted,
    StepPlanned,
    StopRequested,
    SubmissionRejected,
    SubmissionScored,
    SubmissionSelected,
    Task,
)
from gome.plugins.selection.reruns.events import (
    AverageRequested,
    EnsembleRequested,
    SelectionPlanned,
    SubmissionAveraged,
)

Run = tuple[str, int, int]
"""A rerun: attempt, seed, partition."""

CLOSING = "reruns"
"""Name of the alarm that rings while there is still time to average what has come."""

AUDIT = (0, 0)
"""Partition and fold of the audits."""


BASELINES = "baselines"
"""Behaviour flag: a baseline that validates better than all that was accepted is a candidate. Before, it was handed in
only where nothing had been accepted."""


class RerunsSettings(Struct, frozen=True):
    """The table `[reruns]` of the settings.

    `policy`: `reruns` (candidates run again and are averaged), `resplit` (each once on a fresh partition, the best
    there hands in its own submission), `best_validation`, `last_accepted`, `opinion` (the reasoner's favourite of the
    candidates hands in its own submission; where there is none, the best validation score), `ensemble` (the weighted
    mean of the candidates' own submissions, see `ensemble`). The first two count a baseline that validates better than
    all accepted attempts among the candidates. `candidates` and `repeats` are upper bounds, shrunk to the time left.
    `penalty` is λ, the standard errors by which a challenger has to beat the leader.
    """

    policy: Literal["reruns", "resplit", "best_validation", "last_accepted", "opinion", "ensemble"] = "reruns"
    candidates: Annotated[int, Meta(ge=0)] = 3
    repeats: Annotated[int, Meta(ge=0)] = 3
    penalty: Annotated[float, Meta(ge=0)] = 0.5
    audit: bool = True

    @property
    def again(self) -> bool:
        """Whether the policy runs candidates again."""
        return self.policy in ("reruns", "resplit")


@dataclass
class Entry:
    """An attempt as a candidate. `audit` is "" (not audited), "passed" or the reason why it failed."""

    attempt: str
    order: int
    code: CodeWritten | None = None
    request: ExecutionRequested | None = None
    scored: SubmissionScored | None = None
    accepted: bool | None = None
    accepted_at: int = 0
    executed: bool = False
    seconds: float = 0.0
    audit: str = ""

    @property
    def cost(self) -> float:
        """Seconds of an execution without cached members, as far as is known."""
        return max(self.seconds, self.code.estimate_seconds if self.code else 0.0, 0.05)

    @property
    def is_baseline(self) -> bool:
        """Whether this is no attempt of a step; it counts as older than any."""
        return self.order < 0

    @property
    def digest(self) -> str:
        """What tells programs apart."""
        if self.code:
            return self.code.digest
        return self.request.program.digest if self.request else self.attempt


@dataclass
class Selecting:
    """The fold."""

    settings: RerunsSettings = field(default_factory=RerunsSettings)
    task: Task | None = None
    capacity: int = 1
    folds: Artifact | None = None
    partitions: int = 1
    ledger: Ledger = field(default_factory=Ledger)
    entries: dict[str, Entry] = field(default_factory=dict)
    baseline: Entry | None = None
    baselines: bool = False
    unjudged: dict[str, None] = field(default_factory=dict)
    accepted: int = 0
    started: bool = False
    hurry: bool = False
    plan: SelectionPlanned | None = None
    runs: dict[Run, SubmissionScored | str | None] = field(default_factory=dict)
    auditing: set[str] = field(default_factory=set)
    masked: dict[str, Artifact] | None = None
    intents: dict[str, Run | str] = field(default_factory=dict)
    masks: set[str] = field(default_factory=set)
    asking: bool = False
    opinion: OpinionGiven | None = None
    averaging: AverageRequested | EnsembleRequested | None = None
    averaged: SubmissionAveraged | None = None
    closing: bool = False
    ended: bool = False

    @property
    def margin(self) -> float:
        """Seconds kept free at the end of the budget for averaging, the final score and their commits."""
        return min(5.0, 0.04 * (self.ledger.budget.seconds or 0.0))

    def gain(self, new: float, old: float) -> float:
        """How much better a score is, positive better."""
        greater = self.task is not None and self.task.metric.greater_is_better
        return new - old if greater else old - new

    def entry(self, attempt: str) -> Entry | None:
        """An attempt or the baseline."""
        return self.baseline if self.baseline and attempt == self.baseline.attempt else self.entries.get(attempt)

    def known(self, attempt: str) -> Entry:
        """An attempt or the baseline, of which it is known that it is there."""
        found = self.entry(attempt)
        assert found is not None
        return found


def evolve(state: Selecting, event: Event) -> Selecting:
    """Fold one event."""
    state.ledger.apply(event)
    payload = event.payload
    if isinstance(payload, SubmissionScored | SubmissionRejected):
        state.intents.pop(event.cause, None)
    match payload:
        case RunStarted() as started:
            state.task, state.capacity = started.task, max(1, started.capacity)
            state.baselines = BASELINES in started.flags_of("reruns")
            _configure(state, started.settings)
        case RunForked(settings=settings):
            _configure(state, settings)
        case DataProfiled() as data:
            state.folds, state.partitions = data.folds, data.partitions
        case StepPlanned(attempt=attempt):
            state.entries[attempt] = Entry(attempt, len(state.entries))
            state.unjudged[attempt] = None
        case CodeWritten() as code:
            if code.attempt not in state.entries and state.baseline is None:
                state.baseline = Entry(code.attempt, -1)
            if entry := state.entry(code.attempt):
                entry.code = code
        case ExecutionRequested() as request:
            _requested(state, event, request)
        case ScoreRequested() as asked if asked.purpose in ("rerun", "audit") and not asked.final:
            audit = asked.masked_fold is not None
            state.intents[event.id] = asked.attempt if audit else (asked.attempt, asked.seed, asked.partition)
        case ExecutionFinished() as done:
            _finished(state, event, done)
        case SubmissionScored() as scored:
            _scored(state, scored)
        case SubmissionRejected() as refused:
            if refused.purpose == "rerun":
                _settle(state, (refused.attempt, refused.seed, refused.partition), refused.reason)
            elif refused.purpose == "audit" and (audited := state.entry(refused.attempt)) and not state.averaging:
                audited.audit = refused.reason
                state.auditing.discard(refused.attempt)
        case MaskRequested() as asked_mask if (asked_mask.partition, asked_mask.fold) == AUDIT:
            state.masks.add(event.id)
        case FoldMasked() as made if (made.partition, made.fold) == AUDIT:
            state.masked = made.inputs
        case AttemptAccepted(attempt=attempt) | AttemptRejected(attempt=attempt):
            entry = state.entries.get(attempt)
            if entry and entry.accepted is None:
                state.accepted += 1
                entry.accepted, entry.accepted_at = isinstance(payload, AttemptAccepted), state.accepted
                state.unjudged.pop(attempt, None)
        case SelectionStarted():
            state.started = True
        case StopRequested() | BudgetExhausted(limit="seconds"):
            state.hurry = True
        case SelectionPlanned() as plan:
            state.plan = plan
            state.auditing = set(plan.audited)
            state.runs = {
                (attempt, seed, partition): None
                for seed, partition in zip(plan.seeds, plan.partitions, strict=True)
                for attempt in plan.candidates
            }
        case OpinionRequested():
            state.asking = True
        case OpinionGiven() as opinion:
            state.opinion = opinion
        case AlarmRang(name=name) if name == CLOSING:
            state.closing = True
        case AverageRequested() | EnsembleRequested() as asked_mean:
            state.averaging = asked_mean
        case SubmissionAveraged() as mean:
            state.averaged = mean
        case EffectFailed() | EffectCancelled():
            said = payload.error if isinstance(payload, EffectFailed) else payload.reason
            _effect(state, payload.intent, said or "called off")
        case SubmissionSelected() | SelectionFailed():
            state.ended = True
    return state


def _configure(state: Selecting, settings: dict[str, Any]) -> None:
    known = msgspec.to_builtins(state.settings)
    state.settings = msgspec.convert({**known, **settings.get("reruns", {})}, RerunsSettings)


def _requested(state: Selecting, event: Event, request: ExecutionRequested) -> None:
    entry = state.entry(request.attempt)
    if request.purpose == "full" and entry:
        entry.request = request
    elif request.purpose == "rerun":
        state.intents[event.id] = (request.attempt, request.seed, request.partition)
    elif request.purpose == "audit":
        state.intents[event.id] = request.attempt


def _finished(state: Selecting, event: Event, done: ExecutionFinished) -> None:
    state.intents.pop(event.cause, None)
    entry = state.entry(done.attempt)
    if entry is None:
        return
    if not done.ok:
        why = f"the {done.purpose} execution failed ({done.failure or 'killed'})"
        if done.purpose == "rerun":
            _settle(state, (done.attempt, done.seed, done.partition), why)
        elif done.purpose == "audit":
            # Out of time says nothing about the program; a crash without the hidden labels does.
            if done.failure not in ("time", "cancelled") and state.averaging is None:
                entry.audit = entry.audit or why
            state.auditing.discard(done.attempt)
        return
    if done.purpose == "full":
        entry.executed = True
    if done.purpose in ("seed", "repeat") or (done.purpose == "full" and not _cached(entry)):
        entry.seconds = max(entry.seconds, done.seconds)
    elif done.purpose == "full":
        # Spared its members, it says little about what they cost; the mutator's estimate knows better, if there is one.
        known = entry.code is not None and entry.code.estimate_seconds > 0
        entry.seconds = max(entry.seconds, done.seconds if known else 3.0 * done.seconds)


def _cached(entry: Entry) -> bool:
    return entry.request is not None and any(name.startswith("members/") for name in entry.request.inputs)


def _scored(state: Selecting, scored: SubmissionScored) -> None:
    entry = state.entry(scored.attempt)
    if entry is None:
        return
    if scored.purpose == "full":
        entry.scored = scored
    elif scored.purpose == "rerun":
        _settle(state, (scored.attempt, scored.seed, scored.partition), scored)
    elif scored.purpose == "audit":
        entry.audit = entry.audit or "passed"
        state.auditing.discard(scored.attempt)


def _settle(state: Selecting, run: Run, outcome: SubmissionScored | str) -> None:
    # While an average is being made, the choice behind it must not change.
    if state.runs.get(run, "") is None and state.averaging is None:
        state.runs[run] = outcome


def _effect(state: Selecting, intent: str, why: str) -> None:
    found = state.intents.pop(intent, None)
    if isinstance(found, tuple):
        _settle(state, found, why)
    elif found is not None:
        state.auditing.discard(found)
    elif intent in state.masks and state.masked is None:
        # No masked tables, no audits: the rest of the selection goes on.
        state.auditing.clear()
