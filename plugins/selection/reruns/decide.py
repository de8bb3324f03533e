"""Final selection: what is handed in, and why. Pure; it speaks from `SelectionStarted` on and always comes to an end.

Once the last attempts are judged, the best accepted programs, and a baseline that validates better than all of them,
run again (`SelectionPlanned` says how often, as the time left allows), each also without the labels of one fold. When
all that has ended, `ranking.py` picks one; the mean of its reruns is handed in, or their median run where a mean makes
no sense. Policies that run nothing again hand in what was scored, or (`ensemble`) the weighted mean of the best.
Whenever time runs out or somebody asks to stop, the best of what has come is handed in at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from gome.events import (
    METRICS,
    AttemptAccepted,
    AttemptRejected,
    BudgetExhausted,
    CancelRequested,
    Candidate,
    Draw,
    EffectCancelled,
    EffectFailed,
    Event,
    FoldMasked,
    OpinionGiven,
    OpinionRequested,
    Payload,
    RunForked,
    SelectionFailed,
    SelectionStarted,
    StopRequested,
    SubmissionScored,
    SubmissionSelected,
    Text,
)
from gome.plugins.selection.reruns import ensemble
from gome.plugins.selection.reruns.candidates import candidates_of, complete, pooled, ranked, reseeded, runs_of
from gome.plugins.selection.reruns.events import AverageRequested, EnsembleRequested, SubmissionAveraged
from gome.plugins.selection.reruns.plan import audit_runs, begin
from gome.plugins.selection.reruns.ranking import Ranked
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
            if state.asking or state.averaging or (state.unjudged and not state.hurry):
                return []
            if state.settings.policy == "opinion" and not state.hurry and (standing := candidates_of(state)):
                return [OpinionRequested(candidates=tuple(map(_row, standing[: state.settings.candidates])))]
            if state.settings.policy == "ensemble" and not ensemble.obstacle(state):
                return [ensemble.asked(state)]
            return begin(state, draw) or _hand_in(state, averaged=False)
        case OpinionGiven():
            return _hand_in(state, averaged=False)
        case EffectFailed(kind="OpinionRequested") | EffectCancelled(kind="OpinionRequested"):
            return _hand_in(state, averaged=False)
        case FoldMasked(partition=partition, fold=fold) if (partition, fold) == AUDIT and state.plan:
            waiting = [state.known(name) for name in state.plan.audited if name in state.auditing]
            return audit_runs(state, waiting)
        case SubmissionAveraged():
            return _hand_in(state, averaged=True)
        case (
            EffectFailed(kind="AverageRequested" | "EnsembleRequested")
            | EffectCancelled(kind="AverageRequested" | "EnsembleRequested")
        ):
            return _hand_in(state, averaged=False)
    return _finish(state)


def _finish(state: Selecting) -> Sequence[Payload]:
    """Once everything asked for has ended, or time is nearly up: average the winner's reruns, or hand in what cannot be
    averaged. What still runs then is called off."""
    if state.plan is None or state.averaging:
        return []
    waiting = state.auditing or any(r is None for r in state.runs.values())
    if waiting and not state.closing:
        return []
    off = [CancelRequested(intent=intent, reason="final selection closes") for intent in state.intents if waiting]
    return [*off, *_choose(state)]


def _choose(state: Selecting) -> Sequence[Payload]:
    rows = ranked(state)
    if not rows or state.settings.policy == "resplit" or state.task is None:
        return _hand_in(state, averaged=False)
    winner = state.known(rows[0].attempt)
    runs = runs_of(state, winner.attempt)
    facts = METRICS.get(state.task.metric.name)
    if len(runs) > 1 and (facts is None or facts.averaging) and reseeded(winner, runs):
        return [
            AverageRequested(
                submissions=tuple(r.outputs["submission.csv"] for r in runs),
                oofs=tuple(r.outputs["oof.csv"] for r in runs),
                id=state.task.id,
                columns=state.task.prediction_columns,
            )
        ]
    return _hand_in(state, averaged=False)


def _hand_in(state: Selecting, *, averaged: bool) -> Sequence[Payload]:
    """Say what is handed in, on what has come so far."""
    rows = ranked(state) if state.plan else []
    table = _table(state, rows)
    if rows and state.settings.policy == "reruns":
        winner = state.known(rows[0].attempt)
        runs = runs_of(state, winner.attempt)
        if averaged and state.averaged:
            return [_mean(state, winner, runs, table)]
        return [_median(state, winner, runs, table)]
    if rows:
        return [_own(state.known(rows[0].attempt), table, "best on a fresh partition of the folds")]
    if averaged and isinstance(state.averaging, EnsembleRequested):
        return [_joined(state, state.averaging)]
    standing = candidates_of(state)
    if standing and state.settings.policy == "last_accepted":
        return [_own(max(standing, key=lambda e: e.accepted_at), table, "last accepted")]
    if standing and state.opinion and (favourite := _favourite(state, standing)):
        return [_own(favourite, tuple(map(_row, standing)), f"the reasoner's choice: {state.opinion.reason}"[:500])]
    if standing:
        why = "best validation score"
        if state.settings.policy == "opinion":
            why += "; there was no opinion to be had"
        if state.settings.policy == "ensemble":
            why += f"; {ensemble.obstacle(state) or 'the best could not be joined'}"
        if state.settings.again:
            why += "; no candidate could be run again" if state.plan else "; there was no time to run candidates again"
        return [_own(standing[0], table, why)]
    if state.baseline and state.baseline.scored and complete(state.baseline.scored) and state.baseline.request:
        return [_own(state.baseline, table, "no step was accepted; this is the baseline")]
    return [SelectionFailed(reason=_nothing(state))]


def _joined(state: Selecting, wish: EnsembleRequested) -> SubmissionSelected:
    return ensemble.selected(state, wish, tuple(_row(state.known(name)) for name in wish.attempts))


def _row(entry: Entry) -> Candidate:
    """A candidate that was not run again."""
    assert entry.scored is not None
    return Candidate(attempt=entry.attempt, score=entry.scored.score, se=entry.scored.se, audited=entry.audit)


def _favourite(state: Selecting, standing: Sequence[Entry]) -> Entry | None:
    """The first attempt of the reasoner's order that may still be handed in."""
    assert state.opinion is not None
    named = {entry.attempt: entry for entry in standing}
    return next((named[name] for name in state.opinion.order if name in named), None)


def _nothing(state: Selecting) -> str:
    failed = [f"{e.attempt}: {e.audit}" for e in state.entries.values() if e.audit not in ("", "passed")]
    if failed:
        return f"no accepted attempt passed its audit ({failed[0]})"
    return f"none of {len(state.entries)} attempts was accepted with a valid submission"


def _table(state: Selecting, rows: Sequence[Ranked]) -> tuple[Candidate, ...]:
    found = []
    for row in rows:
        runs = runs_of(state, row.attempt)
        audit = state.known(row.attempt).audit
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
        entry = state.known(name)
        if name not in ranked and entry.scored:
            audit = entry.audit if entry.audit in ("", "passed") else f"failed: {entry.audit}"
            count = len(runs_of(state, name))
            found.append(Candidate(attempt=name, score=entry.scored.score, reruns=count, audited=audit))
    return tuple(found)


def _mean(
    state: Selecting, winner: Entry, runs: Sequence[SubmissionScored], table: tuple[Candidate, ...]
) -> SubmissionSelected:
    assert state.averaged is not None
    program = reseeded(winner, runs)
    return SubmissionSelected(
        attempt=winner.attempt,
        score=sum(r.score for r in runs) / len(runs),
        se=pooled([r.se for r in runs]),
        submission=state.averaged.submission,
        oof=state.averaged.oof,
        program=Text.of(program or ""),
        seeds=tuple(r.seed for r in runs),
        partitions=tuple(r.partition for r in runs),
        candidates=table,
        reason=f"{winner.attempt}, the mean of {len(runs)} reruns with other seeds and folds{_margin(table)}",
    )


def _median(
    state: Selecting, winner: Entry, runs: Sequence[SubmissionScored], table: tuple[Candidate, ...]
) -> SubmissionSelected:
    """The middle run by score (of two, the better one)."""
    ordered = sorted(runs, key=lambda r: -state.gain(r.score, 0.0))
    run = ordered[(len(ordered) - 1) // 2]
    assert winner.request is not None
    program = reseeded(winner, [run])
    which = f"the median of {len(runs)} reruns" if len(runs) > 1 else "one rerun"
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
        reason=f"{winner.attempt}, {which} with another seed and other folds{_margin(table)}",
    )


def _margin(table: tuple[Candidate, ...]) -> str:
    rivals = [row for row in table[1:] if row.reruns and not row.audited.startswith("failed")]
    return f"; it came out ahead of {', '.join(row.attempt for row in rivals)}" if rivals else ""


def _own(entry: Entry, table: tuple[Candidate, ...], reason: str) -> SubmissionSelected:
    """An attempt's own submission, as it was scored."""
    assert entry.scored is not None
    scored, request = entry.scored, entry.request
    program = request.program if request else entry.code.program if entry.code else Text.of("")
    own = reseeded(entry, [scored]) if request else None
    return SubmissionSelected(
        attempt=entry.attempt,
        score=scored.score,
        se=scored.se,
        submission=scored.outputs["submission.csv"],
        oof=scored.outputs["oof.csv"],
        program=Text.of(own) if own is not None else program,
        seeds=(scored.seed,),
        partitions=(scored.partition,),
        candidates=table,
        reason=reason,
    )
