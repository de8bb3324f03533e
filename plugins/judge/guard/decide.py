"""Takes or refuses attempts: every planned attempt gets exactly one verdict, by the numbers of `rule.py`.

An attempt is compared with the solution it builds on, paired on the same rows and folds. Clearly better is taken,
clearly worse refused. Better by at most two σ: both run again on the next partition of the folds (the parent once only,
whoever asks), and the mean decides. A tie is taken only for lower cost or better alignment, and only while the trace's
best is not left by more than σ. A gain above four σ, a scorer's doubt or an opinion that the score misleads must pass a
masked-fold audit first. The first valid solution of a run also runs with two other seeds, to learn what a seed is
worth; nobody waits for that. Nothing is said of a program that fails while its mutator will still repair it. Once final
selection has begun, nothing is asked any more: what is known decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    CancelRequested,
    CodeRejected,
    Draw,
    EffectCancelled,
    EffectFailed,
    Event,
    ExecutionFinished,
    ExecutionRefused,
    FeedbackGiven,
    FoldMasked,
    Payload,
    ProposalFailed,
    RunForked,
    SelectionStarted,
    SubmissionRejected,
    SubmissionScored,
)
from gome.plugins.judge.guard.asking import ask_audit, ask_repeat, ask_seeds, audit_fits, audit_run
from gome.plugins.judge.guard.evidence import (
    cheaper_than,
    evidence_of,
    reference_of,
    repeat_of,
    score_of,
    trusted_score,
)
from gome.plugins.judge.guard.rule import better, mean_of, suspicious, tie, undecided
from gome.plugins.judge.guard.state import Guarding, Record, Side


def decide(state: Guarding, event: Event, draw: Draw) -> Sequence[Payload]:
    """Answer one event."""
    match event.payload:
        case SubmissionScored(purpose="full", attempt=attempt):
            record = state.records.get(attempt)
            if record is None or not record.open:
                return []
            if state.selecting:
                return [_conclude(state, record)]
            return ask_seeds(state, record, draw)
        case FeedbackGiven(attempt=attempt) | EffectFailed(kind="ReflectionRequested", attempt=attempt):
            return _consider(state, attempt, draw)
        case EffectCancelled(kind="ReflectionRequested", attempt=attempt):
            return _consider(state, attempt, draw)
        case FoldMasked(partition=partition, fold=fold):
            return [
                audit_run(state, record, partition, fold)
                for record in _open(state)
                if record.mask == (partition, fold) and not state.selecting
            ]
        case SelectionStarted():
            # What was asked for before this was known is called off here; the rest was called off with the event.
            off = [CancelRequested(intent=intent, reason="final selection has begun") for intent in state.late]
            return [*off, *_last_verdicts(state)]
        case RunForked():
            return [answer for record in _open(state) for answer in _take_up(state, record, draw)]
        case (
            CodeRejected(attempt=attempt)
            | ProposalFailed(attempt=attempt)
            | ExecutionRefused(attempt=attempt)
            | ExecutionFinished(ok=False, attempt=attempt)
            | SubmissionRejected(attempt=attempt)
            | EffectFailed(attempt=attempt)
            | EffectCancelled(attempt=attempt)
        ):
            failed = state.records.get(attempt)
            if failed and failed.open and failed.failure:
                return [_fail(failed)]
    return _settle(state)


def _open(state: Guarding) -> list[Record]:
    return [state.records[name] for name in state.unjudged]


def _last_verdicts(state: Guarding) -> list[Payload]:
    """At the start of final selection: what is scored is judged, what will be scored in a moment waits for that."""
    return [
        _conclude(state, record)
        if record.scored
        else _fail(record, "cancelled", "final selection began before it was scored")
        for record in _open(state)
        if record.scored or record.failure or not record.executed
    ]


def _fail(record: Record, failure: str = "", reason: str = "") -> AttemptRejected:
    name = record.planned.attempt
    if record.failure == "hopeless":  # it ran and was worse: refused like one that was scored
        return AttemptRejected(attempt=name, reason=record.reason, rule="hopeless")
    return AttemptRejected(
        attempt=name, reason=record.reason or reason, failure=record.failure or failure, rule="failed"
    )


def _take_up(state: Guarding, record: Record, draw: Draw) -> Sequence[Payload]:
    """What a guard that takes over in a fork owes an attempt that is open there."""
    if record.failure:
        return [_fail(record)]
    if record.scored and (record.reflected or state.selecting) and not record.waits and record.mask is None:
        return _consider(state, record.planned.attempt, draw)
    return []


def _consider(state: Guarding, attempt: str, draw: Draw) -> Sequence[Payload]:
    """The first look at a scored attempt: a verdict, or the executions that the verdict needs."""
    record = state.records.get(attempt)
    if record is None or not record.open or record.scored is None or record.waits or record.mask:
        return []
    if state.selecting or not state.settings.enabled:
        return [_conclude(state, record)]
    reference = reference_of(state, record)
    evidence = evidence_of(state, record, reference)
    doubtful = bool(record.scored.doubts) or (record.feedback is not None and not record.feedback.aligned)
    if reference is None:
        # Programs rendered from a closed vocabulary cannot read what they are not given; others may, from the start.
        wary = record.request is not None and not record.request.trusted and evidence is not None
        odd = evidence is not None and suspicious(evidence, state.settings.audit_above)
        if (record.scored.doubts or (wary and odd)) and audit_fits(state, record):
            return ask_audit(state, record, draw)
        return [_conclude(state, record)]
    assert evidence is not None
    if suspicious(evidence, state.settings.audit_above) or (doubtful and better(evidence)):
        if audit_fits(state, record):
            return ask_audit(state, record, draw)
    elif undecided(evidence) and (asked := ask_repeat(state, record, reference)):
        return asked
    return [_conclude(state, record)]


def _settle(state: Guarding) -> Sequence[Payload]:
    """Verdicts on the attempts whose extra executions have all ended."""
    answers: list[Payload] = []
    for record in _open(state):
        needed = _needs(state, record)
        if record.mask in state.mask_failures or (needed and all(side in state.results for side in needed)):
            answers.append(_conclude(state, record))
    return answers


def _needs(state: Guarding, record: Record) -> list[Side]:
    """What an attempt waits for: its own extra execution and, for a repeat, its reference's on the same partition."""
    needed = list(record.waits)
    reference = reference_of(state, record)
    for side in record.waits:
        if side.purpose == "repeat" and reference:
            twin = side._replace(attempt=reference.planned.attempt)
            if twin in state.asked:
                needed.append(twin)
    return needed


def _conclude(state: Guarding, record: Record) -> Payload:
    """The verdict on what is known."""
    attempt = record.planned.attempt
    assert record.scored is not None
    reference = reference_of(state, record)
    evidence = evidence_of(state, record, reference)
    gain, noise = (evidence.difference, evidence.sigma) if evidence else (0.0, 0.0)

    def accept(rule: str, reason: str) -> Payload:
        return AttemptAccepted(attempt=attempt, gain=gain, noise=noise, rule=rule, reason=reason)

    def refuse(rule: str, reason: str, failure: str = "") -> Payload:
        return AttemptRejected(attempt=attempt, gain=gain, noise=noise, rule=rule, reason=reason, failure=failure)

    if not state.settings.enabled:
        willing = record.feedback.accept if record.feedback else reference is None or gain > 0
        why = (record.feedback.reason if record.feedback else "") or "the guard is off: the reasoner's opinion decides"
        return accept("opinion", why) if willing else refuse("opinion", why)

    audit = next((s for s in record.waits if s.purpose == "audit"), None)
    outcome = state.results.get(audit) if audit else state.mask_failures.get(record.mask) if record.mask else None
    if isinstance(outcome, str):
        return refuse("audit", outcome, "alignment")
    passed = isinstance(outcome, SubmissionScored)
    if reference is None:
        return accept("first", "the first valid solution of its branch" + (", audited" if passed else ""))
    assert evidence is not None
    name = reference.planned.attempt
    if suspicious(evidence, state.settings.audit_above):
        if passed:
            return accept("audit", f"better than {name} by {evidence.in_sigmas:.1f} σ, and an audit agrees")
        if record.request is None or not record.request.trusted:
            return refuse("audit", f"{evidence.in_sigmas:.1f} σ better than {name} without an audit: there was no time")
        return accept("gain", f"better than {name} by {evidence.in_sigmas:.1f} σ; the audit is left to final selection")
    if (
        record.scored.doubts
        and better(evidence)
        and not passed
        and (record.request is None or not record.request.trusted)
    ):
        return refuse("audit", f"{record.scored.doubts[0].evidence}, and there was no time for an audit")
    repeated = repeat_of(state, record, reference)
    if repeated is not None:
        evidence = mean_of([evidence, repeated])
        gain, noise = evidence.difference, evidence.sigma
        if better(evidence):
            return accept("repeat", f"better than {name} by {evidence.in_sigmas:.1f} σ on the mean of two partitions")
    elif better(evidence):
        return accept("gain", f"better than {name} by {evidence.in_sigmas:.1f} σ" + (", audited" if passed else ""))
    if not tie(evidence):
        return refuse("worse", f"worse than {name} by {-evidence.in_sigmas:.1f} σ")
    best_name, best_score = state.best.get(record.planned.trace, (name, score_of(reference)))
    behind = state.gain(best_score, record.scored.score)
    if behind > noise:
        return refuse("tie", f"no difference to {name} beyond noise, and behind {best_name} by more than that")
    if why := cheaper_than(state, record, reference):
        return accept("tie-cost", f"no difference to {name} beyond noise, but {why}")
    if trusted_score(record) and reference.feedback is not None and not trusted_score(reference):
        return accept("tie-alignment", f"no difference to {name} beyond noise, but its score is trusted")
    return refuse("tie", f"no difference to {name} beyond noise ({evidence.in_sigmas:+.1f} σ)")
