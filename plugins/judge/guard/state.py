"""What the guard knows of a run: its attempts, the extra executions it asked for, and what came of them.

A plain fold, O(1) per event. `decide.py` reads it; no rule is applied here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

from gome.events import (
    Artifact,
    AttemptAccepted,
    AttemptRejected,
    CodeRejected,
    CodeWritten,
    DataProfiled,
    EffectCancelled,
    EffectFailed,
    Event,
    ExecutionFinished,
    ExecutionRefused,
    ExecutionRequested,
    FeedbackGiven,
    FoldMasked,
    Ledger,
    MaskRequested,
    ProposalFailed,
    RoleHandedOver,
    RunForked,
    RunStarted,
    ScoreRequested,
    SelectionStarted,
    StepPlanned,
    SubmissionRejected,
    SubmissionScored,
    Task,
)

NO_FAULT = ("cancelled", "hopeless")
"""Ends of executions that another version of the program would not mend."""
CHILDREN = ("CompletionRequested", "AlarmRequested")
"""Kinds whose failure is another effect's business: they are asked for inside an effect, which fails or copes."""


class GuardSettings(Struct, frozen=True):
    """The guard's table in the settings.

    `enabled` false leaves acceptance to the reasoner's opinion. `repeats` = 0 never asks again. `spend_until` is the
    share of the budget, in [0, 1], after which nothing is executed twice. `audit_above` is the gain, in σ, that must
    pass an audit. `seeds` is how many seeds the first valid solution runs with to learn the seed noise (0 or 1: none
    beyond its own); until they have come, and without them, a seed is taken to move a score by `seed_prior` row-paired
    standard errors. `cheaper` is the share of the parent's cost below which a tie counts as won. None is negative.
    """

    enabled: bool = True
    repeats: Annotated[int, Meta(ge=0)] = 1
    spend_until: Annotated[float, Meta(ge=0, le=1)] = 0.7
    audit_above: Annotated[float, Meta(ge=0)] = 4.0
    seeds: Annotated[int, Meta(ge=0)] = 3
    seed_prior: Annotated[float, Meta(ge=0)] = 0.5
    cheaper: Annotated[float, Meta(ge=0)] = 0.7


class Side(NamedTuple):
    """One execution that is no attempt's own: (attempt, purpose, partition, seed, masked fold)."""

    attempt: str
    purpose: str
    partition: int
    seed: int
    fold: int | None = None


@dataclass
class Record:
    """An attempt as far as the guard cares. `repairs` says how often its program will be rewritten if it fails,
    `executed` that the full execution went well and its score is due. `waits` is its own repeat or audit that a verdict
    waits for, `mask` the (partition, fold) whose masked tables the audit waits for. `tied` says that it was refused as
    no different from its reference beyond noise."""

    planned: StepPlanned
    request: ExecutionRequested | None = None
    members: tuple[str, ...] = ()
    estimate: float = 0.0
    repairs: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    executed: bool = False
    scored: SubmissionScored | None = None
    feedback: FeedbackGiven | None = None
    reflected: bool = False
    failure: str = ""
    reason: str = ""
    accepted: bool | None = None
    tied: bool = False
    waits: tuple[Side, ...] = ()
    mask: tuple[int, int] | None = None

    @property
    def open(self) -> bool:
        """Whether a verdict is due."""
        return self.accepted is None

    @property
    def cost(self) -> float:
        """What an execution without cached members takes, in seconds, as far as is known."""
        return max(self.estimate, self.seconds)

    @property
    def cached(self) -> bool:
        """Whether the execution was spared members that had been fitted before, so that its seconds do not compare."""
        return self.request is not None and any(name.startswith("members/") for name in self.request.inputs)


@dataclass
class Guarding:
    """The fold."""

    settings: GuardSettings = field(default_factory=GuardSettings)
    task: Task | None = None
    seed: int = 0
    capacity: int = 1
    reserve: float = 0.2
    folds: Artifact | None = None
    fold_count: int = 0
    partitions: int = 1
    ledger: Ledger = field(default_factory=Ledger)
    records: dict[str, Record] = field(default_factory=dict)
    unjudged: dict[str, None] = field(default_factory=dict)
    best: dict[int, tuple[str, float]] = field(default_factory=dict)
    seeded: str = ""
    seed_sides: tuple[Side, ...] = ()
    sides: dict[str, Side] = field(default_factory=dict)
    asked: set[Side] = field(default_factory=set)
    results: dict[Side, SubmissionScored | str] = field(default_factory=dict)
    kept: dict[tuple[str, int, int], dict[str, Artifact]] = field(default_factory=dict)
    masks: dict[tuple[int, int], dict[str, Artifact]] = field(default_factory=dict)
    mask_intents: dict[str, tuple[int, int]] = field(default_factory=dict)
    mask_failures: dict[tuple[int, int], str] = field(default_factory=dict)
    triggers: dict[str, str] = field(default_factory=dict)
    selecting: bool = False
    handed: bool = False
    late: tuple[str, ...] = ()

    def gain(self, new: float, old: float) -> float:
        """How much better a score is, positive better."""
        greater = self.task is not None and self.task.metric.greater_is_better
        return new - old if greater else old - new


def evolve(state: Guarding, event: Event) -> Guarding:
    """Fold one event."""
    state.ledger.apply(event)
    payload = event.payload
    match payload:
        case RunStarted() as started:
            state.task, state.seed, state.capacity = started.task, started.seed, max(1, started.capacity)
            _configure(state, started.settings)
        case RunForked(settings=settings, roles=roles, replaced=replaced):
            if roles and roles.get("mutator") in replaced:
                for waiting in state.records.values():
                    waiting.repairs = 0  # whoever promised them is silent from here on
            _configure(state, settings)
        case DataProfiled() as data:
            state.folds, state.fold_count, state.partitions = data.folds, data.fold_count, data.partitions
        case StepPlanned() as planned:
            state.records[planned.attempt] = Record(planned)
            state.unjudged[planned.attempt] = None
        case CodeWritten() as code if record := state.records.get(code.attempt):
            record.estimate, record.members, record.repairs = code.estimate_seconds, code.members, code.repairs
        case ExecutionRequested() as request:
            _requested(state, event, request)
        case ScoreRequested() as asked if asked.purpose not in ("full", "debug"):
            state.sides[event.id] = Side(asked.attempt, asked.purpose, asked.partition, asked.seed, asked.masked_fold)
        case MaskRequested() as masked:
            state.mask_intents[event.id] = (masked.partition, masked.fold)
            if (attempt := state.triggers.get(event.cause)) and (record := state.records.get(attempt)):
                record.mask = (masked.partition, masked.fold)
        case FoldMasked() as masked_:
            state.masks[masked_.partition, masked_.fold] = masked_.inputs
        case ExecutionFinished() as done:
            _finished(state, event, done)
        case SubmissionScored() as scored:
            if scored.purpose == "full":
                if record := state.records.get(scored.attempt):
                    record.scored = scored
                    state.triggers[event.id] = scored.attempt
            else:
                side = Side(scored.attempt, scored.purpose, scored.partition, scored.seed, scored.masked_fold)
                state.results[side] = scored
        case SubmissionRejected() as refused:
            if refused.purpose == "full":
                _refused(state, refused)
            else:
                side = Side(refused.attempt, refused.purpose, refused.partition, refused.seed, refused.masked_fold)
                state.results[side] = refused.reason
        case FeedbackGiven() as feedback if record := state.records.get(feedback.attempt):
            record.feedback, record.reflected = feedback, True
            state.triggers[event.id] = feedback.attempt
        case CodeRejected(attempt=attempt, reason=reason):
            _fail(state, attempt, "code", reason)
        case ProposalFailed(attempt=attempt, reason=reason):
            _fail(state, attempt, "proposal", reason)
        case ExecutionRefused(attempt=attempt, reason=reason):
            _fail(state, attempt, "budget", reason)
        case EffectFailed() | EffectCancelled():
            _effect(state, event, payload)
        case AttemptAccepted(attempt=attempt):
            _judged(state, attempt, accepted=True)
        case AttemptRejected(attempt=attempt, rule=rule):
            _judged(state, attempt, accepted=False, tied=rule == "tie")
        case RoleHandedOver(role="mutator"):
            state.handed = True  # whoever promised repairs is silent from here on
        case SelectionStarted():
            state.selecting = True
    return state


def _configure(state: Guarding, settings: dict[str, Any]) -> None:
    known = msgspec.to_builtins(state.settings)
    state.settings = msgspec.convert({**known, **settings.get("guard", {})}, GuardSettings)
    state.reserve = float(settings.get("lifecycle", {}).get("reserve", state.reserve))


def _requested(state: Guarding, event: Event, request: ExecutionRequested) -> None:
    if request.purpose == "full":
        if record := state.records.get(request.attempt):
            record.request = request
        return
    if request.purpose == "debug":
        return
    side = Side(request.attempt, request.purpose, request.partition, request.seed, request.masked_fold)
    state.sides[event.id] = side
    state.asked.add(side)
    if state.selecting and request.purpose != "rerun":
        state.late = (*state.late, event.id)
    if request.purpose == "seed":
        state.seeded = request.attempt
        state.seed_sides = (*state.seed_sides, side)
    elif request.purpose == "audit" and (record := state.records.get(request.attempt)) and record.open:
        record.waits, record.mask = (side,), None
    elif request.purpose == "repeat" and state.triggers.get(event.cause) == request.attempt:
        state.records[request.attempt].waits = (side,)


def _keep_members(state: Guarding, done: ExecutionFinished) -> None:
    """Remember what each member predicted with a seed and partition: fitted once, it need not be fitted again."""
    if not done.ok or done.purpose == "debug" or done.masked_fold is not None:
        return
    for path, file in done.outputs.items():
        parts = path.split("/")
        if len(parts) == 3 and parts[0] == "members":
            state.kept.setdefault((parts[1], done.seed, done.partition), {})[parts[2]] = file


def _finished(state: Guarding, event: Event, done: ExecutionFinished) -> None:
    _keep_members(state, done)
    record = state.records.get(done.attempt)
    if done.purpose in ("debug", "full"):
        if record and done.ok and done.purpose == "full":
            record.executed, record.seconds, record.cpu_seconds = True, done.seconds, done.cpu_seconds
        elif not done.ok and not (record and done.failure not in NO_FAULT and _repairable(state, record)):
            said = (done.error or "no message").strip()
            _fail(state, done.attempt, done.failure or "killed", said.splitlines()[-1][:300] if said else "")
        return
    side = state.sides.pop(event.cause, None)
    if side and not done.ok:
        state.results[side] = f"the {done.purpose} execution failed ({done.failure or 'killed'})"


def _refused(state: Guarding, refused: SubmissionRejected) -> None:
    record = state.records.get(refused.attempt)
    if record and refused.layer == 1 and _repairable(state, record):
        record.executed = False  # its score is no longer due; the next version's will be
        return
    _fail(state, refused.attempt, "contract" if refused.layer == 1 else "alignment", refused.reason)


def _repairable(state: Guarding, record: Record) -> bool:
    """Whether the mutator answers a failure of the program with another version: then it is no failure of the attempt.
    A mutator that cannot says `CodeRejected`; once final selection has begun nothing is written any more."""
    return record.repairs > 0 and not state.selecting and not state.handed


def _effect(state: Guarding, event: Event, payload: EffectFailed | EffectCancelled) -> None:
    said = payload.error if isinstance(payload, EffectFailed) else payload.reason
    if side := state.sides.pop(payload.intent, None):
        state.results[side] = said or "called off"
    elif mask := state.mask_intents.get(payload.intent):
        state.mask_failures[mask] = said or "called off"
    elif payload.kind == "ReflectionRequested":
        # No opinion is no obstacle: the numbers decide.
        if record := state.records.get(payload.attempt):
            record.reflected = True
            state.triggers[event.id] = payload.attempt
    elif payload.kind not in CHILDREN:
        _fail(state, payload.attempt, "effect" if isinstance(payload, EffectFailed) else "cancelled", said)


def _fail(state: Guarding, attempt: str, failure: str, reason: str) -> None:
    record = state.records.get(attempt)
    if record and record.open and not record.failure:
        record.failure, record.reason = failure, reason


def _judged(state: Guarding, attempt: str, *, accepted: bool, tied: bool = False) -> None:
    record = state.records.get(attempt)
    if record is None or not record.open:
        return
    record.accepted, record.tied, record.waits, record.mask = accepted, tied, (), None
    state.unjudged.pop(attempt, None)
    if not accepted or record.scored is None:
        return
    trace, score = record.planned.trace, record.scored.score
    if trace not in state.best or state.gain(score, state.best[trace][1]) > 0:
        state.best[trace] = (attempt, score)
