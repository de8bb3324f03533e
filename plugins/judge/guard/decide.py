"""Takes or refuses attempts: every planned attempt gets exactly one verdict, by the numbers of `rule.py`.

An attempt is compared with the solution it builds on, paired on the same rows and folds. Clearly better is taken,
clearly worse refused. Better by at most two σ: both run again on the next partition of the folds (the parent once only,
whoever asks), and the mean decides. A tie is taken only for lower cost or better alignment, and only while the trace's
best is not left by more than σ. A gain above four σ, or an opinion that the score misleads, must pass a masked-fold
audit first. The first valid solution of a run also runs with two other seeds, to learn what a seed is worth; nobody
waits for that. Once final selection has begun, nothing is asked any more: what is known decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from gome.events import (
    BASELINE,
    AttemptAccepted,
    AttemptRejected,
    CancelRequested,
    CodeRejected,
    Comparison,
    Draw,
    EffectCancelled,
    EffectFailed,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    FeedbackGiven,
    FoldMasked,
    MaskRequested,
    Payload,
    ProposalFailed,
    RunForked,
    SelectionStarted,
    SubmissionRejected,
    SubmissionScored,
)
from gome.plugins.judge.guard.rule import Evidence, better, mean_of, suspicious, tie, undecided, variance, weigh
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
            return _learn_seeds(state, record, draw)
        case FeedbackGiven(attempt=attempt) | EffectFailed(kind="ReflectionRequested", attempt=attempt):
            return _consider(state, attempt, draw)
        case EffectCancelled(kind="ReflectionRequested", attempt=attempt):
            return _consider(state, attempt, draw)
        case FoldMasked(partition=partition, fold=fold):
            return [
                _audit_run(state, record, partition, fold)
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
    return AttemptRejected(
        attempt=record.planned.attempt, reason=record.reason or reason, failure=record.failure or failure, rule="failed"
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
    reference = _reference(state, record)
    evidence = _evidence(state, record, reference)
    doubtful = record.feedback is not None and not record.feedback.aligned
    if reference is None:
        # Programs rendered from a closed vocabulary cannot read what they are not given; others may, from the start.
        wary = record.request is not None and not record.request.trusted and evidence is not None
        if wary and evidence and suspicious(evidence, state.settings.audit_above) and _audit_fits(state, record):
            return _audit(state, record, draw)
        return [_conclude(state, record)]
    assert evidence is not None
    if suspicious(evidence, state.settings.audit_above) or (doubtful and better(evidence)):
        if _audit_fits(state, record):
            return _audit(state, record, draw)
    elif undecided(evidence) and (asked := _repeat(state, record, reference)):
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
    reference = _reference(state, record)
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
    reference = _reference(state, record)
    evidence = _evidence(state, record, reference)
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
    repeated = _repeated(state, record, reference)
    if repeated is not None:
        evidence = mean_of([evidence, repeated])
        gain, noise = evidence.difference, evidence.sigma
        if better(evidence):
            return accept("repeat", f"better than {name} by {evidence.in_sigmas:.1f} σ on the mean of two partitions")
    elif better(evidence):
        return accept("gain", f"better than {name} by {evidence.in_sigmas:.1f} σ" + (", audited" if passed else ""))
    if not tie(evidence):
        return refuse("worse", f"worse than {name} by {-evidence.in_sigmas:.1f} σ")
    best_name, best_score = state.best.get(record.planned.trace, (name, _score(reference)))
    behind = state.gain(best_score, record.scored.score)
    if behind > noise:
        return refuse("tie", f"no difference to {name} beyond noise, and behind {best_name} by more than that")
    if why := _cheaper(state, record, reference):
        return accept("tie-cost", f"no difference to {name} beyond noise, but {why}")
    if _aligned(record) and reference.feedback is not None and not _aligned(reference):
        return accept("tie-alignment", f"no difference to {name} beyond noise, but its score is trusted")
    return refuse("tie", f"no difference to {name} beyond noise ({evidence.in_sigmas:+.1f} σ)")


def _score(record: Record) -> float:
    return record.scored.score if record.scored else 0.0


def _aligned(record: Record) -> bool:
    return record.feedback is not None and record.feedback.aligned


def _cheaper(state: Guarding, record: Record, reference: Record) -> str:
    """The reason why an attempt is cheaper, or "". Costs compare where the mutator estimated both, or where neither
    execution was spared members."""
    if record.estimate > 0 and reference.estimate > 0:
        new, old = record.estimate, reference.estimate
    elif record.cached or reference.cached:
        return ""
    elif record.cpu_seconds > 0 and reference.cpu_seconds > 0:
        new, old = record.cpu_seconds, reference.cpu_seconds
    else:
        new, old = record.seconds, reference.seconds
    return f"cheaper ({new:.3g} s instead of {old:.3g} s)" if 0 < new <= state.settings.cheaper * old else ""


# What is compared with what.


def _reference(state: Guarding, record: Record) -> Record | None:
    """The solution that an attempt has to beat: its parent, or, where that has no score, the nearest ancestor that has
    one. None for drafts and where nothing valid came before."""
    name = record.planned.parent
    while name and (found := state.records.get(name)):
        if found.scored:
            return found
        name = found.planned.parent
    return None


def _evidence(state: Guarding, record: Record, reference: Record | None) -> Evidence | None:
    """The full execution against the reference's; for a first solution against the baseline, None without one."""
    assert record.scored is not None
    if reference is None:
        found = _compared(record.scored, BASELINE)
        return weigh(found.difference, found.row_se, _seed_variance(state, found.row_se)) if found else None
    assert reference.scored is not None
    return _paired(state, record.scored, reference.scored)


def _paired(state: Guarding, new: SubmissionScored, old: SubmissionScored) -> Evidence:
    """Two scores of one partition. Whichever was scored later holds the pairing; without one the difference is as
    unsure as two strangers' scores are."""
    if found := _compared(new, old.attempt):
        return weigh(found.difference, found.row_se, _seed_variance(state, found.row_se))
    if found := _compared(old, new.attempt):
        return weigh(-found.difference, found.row_se, _seed_variance(state, found.row_se))
    row_se = (new.se**2 + old.se**2) ** 0.5
    return weigh(state.gain(new.score, old.score), row_se, _seed_variance(state, row_se))


def _compared(scored: SubmissionScored, attempt: str) -> Comparison | None:
    return next((c for c in scored.comparisons if c.attempt == attempt), None)


def _seed_variance(state: Guarding, row_se: float) -> float:
    """Measured once the seeds of the first valid solution have ended, assumed until then."""
    ended = bool(state.seed_sides) and all(side in state.results for side in state.seed_sides)
    scores = [r.score for s in state.seed_sides if isinstance(r := state.results.get(s), SubmissionScored)]
    first = state.records[state.seeded].scored if state.seeded in state.records else None
    if ended and scores and first:
        return variance([first.score, *scores])
    return (state.settings.seed_prior * row_se) ** 2


def _repeated(state: Guarding, record: Record, reference: Record) -> Evidence | None:
    """The comparison on the next partition, if both sides have come through it."""
    for side in record.waits:
        if side.purpose == "repeat":
            new = state.results.get(side)
            old = state.results.get(side._replace(attempt=reference.planned.attempt))
            if isinstance(new, SubmissionScored) and isinstance(old, SubmissionScored):
                return _paired(state, new, old)
    return None


# Extra executions.


def _fits(state: Guarding, seconds: float, count: int, share: float) -> bool:
    """Whether `count` executions of `seconds` in all may still be begun: less than `share` of each limit is used, and
    what they take leaves final selection its reserve."""
    ledger, budget = state.ledger, state.ledger.budget
    keep = 1.0 - state.reserve
    limits = (
        (budget.seconds, ledger.active, seconds / state.capacity),
        (budget.execution_seconds, ledger.execution_seconds, seconds),
        (budget.executions, float(ledger.executions), float(count)),
    )
    return all(limit is None or (used < share * limit and used + more <= keep * limit) for limit, used, more in limits)


def _learn_seeds(state: Guarding, record: Record, draw: Draw) -> Sequence[Payload]:
    """Run the first valid solution with other seeds."""
    others = state.settings.seeds - 1
    if state.seeded or not state.settings.enabled or others < 1 or record.request is None:
        return []
    if not _fits(state, others * record.cost, others, state.settings.spend_until):
        return []
    partition = record.request.partition
    return [_again(record.request, "seed", draw.seed32(f"seed/{n}"), partition) for n in range(1, others + 1)]


def _repeat(state: Guarding, record: Record, reference: Record) -> Sequence[Payload]:
    """Both on the next partition, the reference only if nobody has asked for it yet. Empty: not possible."""
    if state.settings.repeats < 1 or record.request is None or reference.request is None:
        return []
    partition = record.request.partition + 1
    if partition >= state.partitions:
        return []
    seed = (state.seed + partition) % 2**31
    twin = Side(reference.planned.attempt, "repeat", partition, seed)
    if isinstance(state.results.get(twin), str):
        return []
    wanted = [record] if twin in state.asked else [record, reference]
    if not _fits(state, sum(r.cost for r in wanted), len(wanted), state.settings.spend_until):
        return []
    return [_again(r.request, "repeat", seed, partition) for r in wanted if r.request]


def _again(request: ExecutionRequested, purpose: str, seed: int, partition: int) -> ExecutionRequested:
    """A full execution once more with another seed or partition; members fitted before do not fit it."""
    assert purpose in ("seed", "repeat")
    return ExecutionRequested(
        attempt=request.attempt,
        purpose="seed" if purpose == "seed" else "repeat",
        program=request.program,
        inputs={name: file for name, file in request.inputs.items() if not name.startswith("members/")},
        seed=seed,
        partition=partition,
        limits=request.limits,
        trusted=request.trusted,
        renderer=request.renderer,
    )


def _audit_fits(state: Guarding, record: Record) -> bool:
    return record.request is not None and state.folds is not None and _fits(state, record.cost, 1, 1.0)


def _audit(state: Guarding, record: Record, draw: Draw) -> Sequence[Payload]:
    """Begin an audit on a fold that the program could not foresee."""
    assert record.request is not None and state.folds is not None and state.task is not None
    partition, fold = record.request.partition, draw.below(max(1, state.fold_count), "audit")
    if (partition, fold) in state.masks:
        return [_audit_run(state, record, partition, fold)]
    return [MaskRequested(task=state.task, folds=state.folds, partition=partition, fold=fold)]


def _audit_run(state: Guarding, record: Record, partition: int, fold: int) -> Payload:
    request = record.request
    assert request is not None
    kept = {name: file for name, file in request.inputs.items() if not name.startswith("members/")}
    return ExecutionRequested(
        attempt=request.attempt,
        purpose="audit",
        program=request.program,
        inputs={**kept, **state.masks[partition, fold]},
        seed=request.seed,
        partition=partition,
        masked_fold=fold,
        limits=request.limits,
        trusted=request.trusted,
        renderer=request.renderer,
    )
