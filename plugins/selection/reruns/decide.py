"""Final selection: what is handed in, and why. Pure; it speaks from `SelectionStarted` on and always comes to an end.

Once the last attempts are judged, the best accepted programs run again (`SelectionPlanned` says how often, as the time
left allows), each also without the labels of one fold. When all that has ended, `ranking.py` picks one; the mean of its
reruns is handed in, or their median run where a mean makes no sense. Whenever time runs out or somebody asks to stop,
the best of what has come is handed in at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from gome.events import (
    METRICS,
    AttemptAccepted,
    AttemptRejected,
    BudgetExhausted,
    Candidate,
    CandidateRerun,
    Draw,
    EffectCancelled,
    EffectFailed,
    Event,
    ExecutionRequested,
    FoldMasked,
    MaskRequested,
    Payload,
    RunForked,
    SelectionFailed,
    SelectionStarted,
    StopRequested,
    SubmissionScored,
    SubmissionSelected,
    Text,
    with_seeds,
)
from gome.plugins.selection.reruns.events import AverageRequested, SelectionPlanned, SubmissionAveraged
from gome.plugins.selection.reruns.ranking import Ranked, makespan, rank, shapes
from gome.plugins.selection.reruns.state import AUDIT, Entry, Selecting


def decide(state: Selecting, event: Event, draw: Draw) -> Sequence[Payload]:
    """Answer one event."""
    if state.ended or not state.started:
        return []
    match event.payload:
        case StopRequested() | BudgetExhausted(limit="seconds"):
            return _hand_in(state, averaged=False)
        case SelectionStarted() | AttemptAccepted() | AttemptRejected() | RunForked() if state.plan is None:
            # The judge decides on this very event about what is still open: its verdicts are worth waiting for.
            if state.unjudged and not state.hurry:
                return []
            return _begin(state, draw)
        case FoldMasked(partition=partition, fold=fold) if (partition, fold) == AUDIT and state.plan:
            waiting = [state.entries[name] for name in state.plan.audited if name in state.auditing]
            return [_audit(state, entry) for entry in waiting]
        case SubmissionAveraged():
            return _hand_in(state, averaged=True)
        case EffectFailed(kind="AverageRequested") | EffectCancelled(kind="AverageRequested"):
            return _hand_in(state, averaged=False)
    return _finish(state)


# Planning.


def _accepted(state: Selecting) -> list[Entry]:
    """Accepted attempts with a valid submission that failed no audit, best validation score first, programs once."""
    found: dict[str, Entry] = {}
    for entry in state.entries.values():
        if entry.accepted and entry.scored and _files(entry.scored) and entry.audit in ("", "passed"):
            found.setdefault(entry.digest, entry)
    return sorted(
        found.values(), key=lambda e: (-state.gain(e.scored.score if e.scored else 0.0, 0.0), e.order, e.cost)
    )


def _files(scored: SubmissionScored) -> bool:
    return "submission.csv" in scored.outputs and "oof.csv" in scored.outputs


def _begin(state: Selecting, draw: Draw) -> Sequence[Payload]:
    """Plan the reruns; where none are wanted or possible, hand in at once."""
    able = [entry for entry in _accepted(state) if entry.request]
    policy = state.settings.policy
    if state.hurry or not able or policy not in ("reruns", "resplit"):
        return _hand_in(state, averaged=False)
    resplit = policy == "resplit"
    repeats = min(1 if resplit else state.settings.repeats, state.partitions - 1)
    for audits in (True, False):
        for count, times in shapes(min(state.settings.candidates, len(able)), repeats):
            chosen = able[:count]
            audited = [e for e in chosen if not e.audit] if audits and state.settings.audit and state.folds else []
            seconds = [e.cost for e in chosen] * times + [e.cost for e in audited]
            if times >= 1 and count >= (2 if resplit else 1) and _fits(state, seconds):
                return _start(state, chosen, audited, times, makespan(seconds, state.capacity), draw)
    return _hand_in(state, averaged=False)


def _fits(state: Selecting, seconds: Sequence[float]) -> bool:
    ledger, budget = state.ledger, state.ledger.budget
    if budget.seconds is not None:
        # The final score and its commit need a moment too.
        margin = min(2.0, 0.02 * budget.seconds)
        if makespan(seconds, state.capacity) > budget.seconds - ledger.active - margin:
            return False
    if budget.executions is not None and ledger.executions + len(seconds) > budget.executions:
        return False
    return budget.execution_seconds is None or ledger.execution_seconds + sum(seconds) <= budget.execution_seconds


def _start(
    state: Selecting, chosen: Sequence[Entry], audited: Sequence[Entry], times: int, seconds: float, draw: Draw
) -> list[Payload]:
    partitions = tuple(range(1, times + 1))
    seeds = tuple(draw.seed32(f"rerun/{r}") for r in partitions)
    if state.settings.policy == "resplit":
        # A fresh split of the same solution: nothing else may differ.
        seeds = tuple(chosen[0].request.seed if chosen[0].request else 0 for _ in partitions)
    answers: list[Payload] = [
        SelectionPlanned(
            policy=state.settings.policy,
            candidates=tuple(e.attempt for e in chosen),
            seeds=seeds,
            partitions=partitions,
            audited=tuple(e.attempt for e in audited),
            seconds=round(seconds, 3),
        )
    ]
    if audited and state.masked is None and state.task and state.folds:
        answers.append(MaskRequested(task=state.task, folds=state.folds, partition=AUDIT[0], fold=AUDIT[1]))
    # Rerun by rerun, so that candidates are level whenever time ends.
    for repeat, (seed, partition) in enumerate(zip(seeds, partitions, strict=True), start=1):
        for entry in chosen:
            answers.append(CandidateRerun(attempt=entry.attempt, repeat=repeat, seed=seed, partition=partition))
            answers.append(_rerun(entry, seed, partition))
    if audited and state.masked is not None:
        answers += [_audit(state, entry) for entry in audited]
    return answers


def _rerun(entry: Entry, seed: int, partition: int) -> Payload:
    request = entry.request
    assert request is not None
    return ExecutionRequested(
        attempt=entry.attempt,
        purpose="rerun",
        program=request.program,
        inputs={name: file for name, file in request.inputs.items() if not name.startswith("members/")},
        seed=seed,
        partition=partition,
        limits=request.limits,
        trusted=request.trusted,
        renderer=request.renderer,
    )


def _audit(state: Selecting, entry: Entry) -> Payload:
    request = entry.request
    assert request is not None and state.masked is not None
    kept = {name: file for name, file in request.inputs.items() if not name.startswith("members/")}
    return ExecutionRequested(
        attempt=entry.attempt,
        purpose="audit",
        program=request.program,
        inputs={**kept, **state.masked},
        seed=request.seed,
        partition=AUDIT[0],
        masked_fold=AUDIT[1],
        limits=request.limits,
        trusted=request.trusted,
        renderer=request.renderer,
    )


# Choosing.


def _finish(state: Selecting) -> Sequence[Payload]:
    """Once everything asked for has ended: average the winner's reruns, or hand in what cannot be averaged."""
    if state.plan is None or state.averaging or state.auditing or any(r is None for r in state.runs.values()):
        return []
    rows = _ranked(state)
    if not rows or state.settings.policy == "resplit" or state.task is None:
        return _hand_in(state, averaged=False)
    winner = state.entries[rows[0].attempt]
    runs = _runs(state, winner.attempt)
    facts = METRICS.get(state.task.metric.name)
    if len(runs) > 1 and (facts is None or facts.averaging) and _reseeded(winner, runs):
        return [
            AverageRequested(
                submissions=tuple(r.outputs["submission.csv"] for r in runs),
                oofs=tuple(r.outputs["oof.csv"] for r in runs),
                id=state.task.id,
                columns=state.task.prediction_columns,
            )
        ]
    return _hand_in(state, averaged=False)


def _runs(state: Selecting, attempt: str) -> list[SubmissionScored]:
    """An attempt's reruns that came to a valid score, in run order."""
    return [
        outcome
        for (name, _, _), outcome in state.runs.items()
        if name == attempt and isinstance(outcome, SubmissionScored) and _files(outcome)
    ]


def _ranked(state: Selecting) -> list[Ranked]:
    """Candidates that were rerun and failed no audit, the winner first; empty when there are none."""
    assert state.plan is not None
    standing = [e for e in _accepted(state) if e.attempt in state.plan.candidates and _runs(state, e.attempt)]
    if not standing:
        return []
    leader = standing[0].attempt
    gains = {e.attempt: {r.partition: state.gain(r.score, 0.0) for r in _runs(state, e.attempt)} for e in standing}
    # Older before newer, cheaper before dearer, where the ranks are equal.
    gains = {e.attempt: gains[e.attempt] for e in sorted(standing, key=lambda e: (e.order, e.cost))}
    fallback = {e.attempt: _row_se(state, e.attempt, leader) for e in standing}
    if state.settings.policy == "resplit":
        return rank(leader, gains, fallback_se={}, penalty=0.0)
    return rank(leader, gains, fallback_se=fallback, penalty=state.settings.penalty)


def _row_se(state: Selecting, attempt: str, leader: str) -> float:
    """Row-paired standard error of a single rerun's difference, from whichever side was scored later."""
    for one, other in ((attempt, leader), (leader, attempt)):
        for run in _runs(state, one):
            for comparison in run.comparisons:
                if comparison.attempt == other:
                    return comparison.row_se
    return 0.0


def _reseeded(entry: Entry, runs: Sequence[SubmissionScored]) -> str | None:
    """The program with the runs' seeds and partitions in it; None when it was not written for that."""
    assert entry.request is not None
    try:
        return with_seeds(str(entry.request.program), [r.seed for r in runs], [r.partition for r in runs])
    except ValueError:
        return None


def _hand_in(state: Selecting, *, averaged: bool) -> Sequence[Payload]:
    """Say what is handed in, on what has come so far."""
    rows = _ranked(state) if state.plan else []
    table = _table(state, rows)
    if rows and state.settings.policy == "reruns":
        winner = state.entries[rows[0].attempt]
        runs = _runs(state, winner.attempt)
        if averaged and state.averaged:
            return [_mean(state, winner, runs, table)]
        return [_median(state, winner, runs, table)]
    if rows:
        return [_own(state.entries[rows[0].attempt], table, "best on a fresh partition of the folds")]
    standing = _accepted(state)
    if standing and state.settings.policy == "last_accepted":
        return [_own(max(standing, key=lambda e: e.accepted_at), table, "last accepted")]
    if standing:
        why = "best validation score"
        if state.settings.policy in ("reruns", "resplit"):
            why += "; no candidate could be run again" if state.plan else "; there was no time to run candidates again"
        return [_own(standing[0], table, why)]
    if state.baseline and state.baseline.scored and _files(state.baseline.scored) and state.baseline.request:
        return [_own(state.baseline, table, "no step was accepted; this is the baseline")]
    return [SelectionFailed(reason=_nothing(state))]


def _nothing(state: Selecting) -> str:
    failed = [f"{e.attempt}: {e.audit}" for e in state.entries.values() if e.audit not in ("", "passed")]
    if failed:
        return f"no accepted attempt passed its audit ({failed[0]})"
    return f"none of {len(state.entries)} attempts was accepted with a valid submission"


def _table(state: Selecting, rows: Sequence[Ranked]) -> tuple[Candidate, ...]:
    found = []
    for row in rows:
        runs = _runs(state, row.attempt)
        audit = state.entries[row.attempt].audit
        found.append(
            Candidate(
                attempt=row.attempt,
                score=sum(r.score for r in runs) / len(runs),
                difference=row.difference,
                se=row.se,
                rank_score=row.rank_score,
                reruns=len(runs),
                audited=audit,
            )
        )
    ranked = {row.attempt for row in rows}
    for name in state.plan.candidates if state.plan else ():
        entry = state.entries[name]
        if name not in ranked and entry.scored:
            audit = entry.audit if entry.audit in ("", "passed") else f"failed: {entry.audit}"
            count = len(_runs(state, name))
            found.append(Candidate(attempt=name, score=entry.scored.score, reruns=count, audited=audit))
    return tuple(found)


def _mean(
    state: Selecting, winner: Entry, runs: Sequence[SubmissionScored], table: tuple[Candidate, ...]
) -> SubmissionSelected:
    assert state.averaged is not None
    program = _reseeded(winner, runs)
    return SubmissionSelected(
        attempt=winner.attempt,
        score=sum(r.score for r in runs) / len(runs),
        se=(sum(r.se**2 for r in runs) / len(runs)) ** 0.5,
        submission=state.averaged.submission,
        oof=state.averaged.oof,
        program=Text.of(program or ""),
        seeds=tuple(r.seed for r in runs),
        partitions=tuple(r.partition for r in runs),
        candidates=table,
        reason=f"mean of {len(runs)} reruns with other seeds and folds" + _margin(table),
    )


def _median(
    state: Selecting, winner: Entry, runs: Sequence[SubmissionScored], table: tuple[Candidate, ...]
) -> SubmissionSelected:
    """The middle run by score (of two, the better one)."""
    ordered = sorted(runs, key=lambda r: -state.gain(r.score, 0.0))
    run = ordered[(len(ordered) - 1) // 2]
    assert winner.request is not None
    program = _reseeded(winner, [run])
    return SubmissionSelected(
        attempt=winner.attempt,
        score=run.score,
        se=run.se,
        submission=run.outputs["submission.csv"],
        oof=run.outputs["oof.csv"],
        program=Text.of(program) if program is not None else winner.request.program,
        seeds=(run.seed,),
        partitions=(run.partition,),
        candidates=table,
        reason=("median of its reruns" if len(runs) > 1 else "its one rerun") + _margin(table),
    )


def _margin(table: tuple[Candidate, ...]) -> str:
    rivals = [row for row in table[1:] if row.reruns and not row.audited.startswith("failed")]
    return f"; ahead of {len(rivals)} other candidate(s)" if rivals else ""


def _own(entry: Entry, table: tuple[Candidate, ...], reason: str) -> SubmissionSelected:
    """An attempt's own submission, as it was scored."""
    assert entry.scored is not None
    scored, request = entry.scored, entry.request
    program = request.program if request else entry.code.program if entry.code else Text.of("")
    reseeded = _reseeded(entry, [scored]) if request else None
    return SubmissionSelected(
        attempt=entry.attempt,
        score=scored.score,
        se=scored.se,
        submission=scored.outputs["submission.csv"],
        oof=scored.outputs["oof.csv"],
        program=Text.of(reseeded) if reseeded is not None else program,
        seeds=(scored.seed,),
        partitions=(scored.partition,),
        candidates=table,
        reason=reason,
    )
