"""Plans the reruns and audits of final selection to the time, executions and execution seconds that are left."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gome.events import (
    AlarmRequested,
    CandidateRerun,
    Draw,
    ExecutionRequested,
    Limits,
    MaskRequested,
    Payload,
    Reservation,
)
from gome.plugins.selection.reruns.candidates import candidates_of
from gome.plugins.selection.reruns.events import SelectionPlanned
from gome.plugins.selection.reruns.ranking import makespan, shapes
from gome.plugins.selection.reruns.state import AUDIT, CLOSING, Entry, Selecting


def begin(state: Selecting, draw: Draw) -> Sequence[Payload]:
    """Plan the reruns and ask for them; nothing where none are wanted or possible."""
    able = [entry for entry in candidates_of(state) if entry.request]
    if state.hurry or not able or not state.settings.again:
        return []
    resplit = state.settings.policy == "resplit"
    repeats = min(1 if resplit else state.settings.repeats, state.partitions - 1)
    tried = shapes(min(state.settings.candidates, len(able)), repeats)
    # Audits of all candidates, unless that costs the comparison itself: programs rendered from a closed vocabulary
    # can do without, then a plan is shrunk rather than a stranger's program left unaudited; at last, anything.
    full = [shape for shape in tried if min(shape) > 1 or shape == tried[0]]
    for wanted, allowed in ((_all, full), (_untrusted, tried), (_none, tried)):
        for count, times in allowed:
            chosen = able[:count]
            audited = [e for e in chosen if not e.audit and wanted(e)] if state.settings.audit and state.folds else []
            seconds = [e.cost for e in chosen] * times + [e.cost for e in audited]
            if times < 1 or (resplit and count < 2) or not _fits(state, seconds):
                continue
            for entry in chosen if state.settings.audit and state.folds else ():
                if not entry.audit and entry not in audited and _fits(state, [*seconds, entry.cost]):
                    audited, seconds = [*audited, entry], [*seconds, entry.cost]
            return _start(state, chosen, audited, times, seconds, draw)
    return []


def _all(entry: Entry) -> bool:
    return True


def _untrusted(entry: Entry) -> bool:
    return entry.request is None or not entry.request.trusted


def _none(entry: Entry) -> bool:
    return False


def _fits(state: Selecting, seconds: Sequence[float]) -> bool:
    ledger, budget = state.ledger, state.ledger.budget
    if budget.seconds is not None:
        left = budget.seconds - ledger.active - state.margin
        if makespan(seconds, state.capacity) > left:
            return False
    return ledger.fits(Reservation(executions=len(seconds), execution_seconds=sum(seconds)))


def _start(
    state: Selecting, chosen: Sequence[Entry], audited: Sequence[Entry], times: int, costs: list[float], draw: Draw
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
            seconds=round(makespan(costs, state.capacity), 3),
        )
    ]
    if audited and state.masked is None and state.task and state.folds:
        answers.append(MaskRequested(task=state.task, folds=state.folds, partition=AUDIT[0], fold=AUDIT[1]))
    if (limit := state.ledger.budget.seconds) is not None:
        answers.append(AlarmRequested(name=CLOSING, at=round(limit - state.margin, 3)))
    # Rerun by rerun, so that candidates are level whenever time ends.
    for repeat, (seed, partition) in enumerate(zip(seeds, partitions, strict=True), start=1):
        for entry in chosen:
            answers.append(CandidateRerun(attempt=entry.attempt, repeat=repeat, seed=seed, partition=partition))
            answers.append(_rerun(entry, seed, partition, _limits(state, entry, sum(costs))))
    if audited and state.masked is not None:
        answers += audit_runs(state, audited, sum(costs))
    return answers


def _limits(state: Selecting, entry: Entry, total: float) -> Limits:
    """The limits of an entry's execution, cut to its share of the seconds that the budget has left for all of them,
    which cost `total`."""
    assert entry.request is not None
    limits, left = entry.request.limits, state.ledger.left("execution_seconds")
    if left is None or left * entry.cost / total >= limits.seconds:
        return limits
    return msgspec.structs.replace(limits, seconds=left * entry.cost / total)


def _rerun(entry: Entry, seed: int, partition: int, limits: Limits) -> Payload:
    request = entry.request
    assert request is not None
    return ExecutionRequested(
        attempt=entry.attempt,
        purpose="rerun",
        program=request.program,
        inputs={name: file for name, file in request.inputs.items() if not name.startswith("members/")},
        seed=seed,
        partition=partition,
        limits=limits,
        trusted=request.trusted,
        renderer=request.renderer,
    )


def audit_runs(state: Selecting, entries: Sequence[Entry], total: float = 0.0) -> list[Payload]:
    """Audits of candidates, once the masked tables are there. `total` are the seconds that they and what is begun with
    them cost."""
    total = total or sum(entry.cost for entry in entries)
    return [_audit(state, entry, _limits(state, entry, total)) for entry in entries]


def _audit(state: Selecting, entry: Entry, limits: Limits) -> Payload:
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
        limits=limits,
        trusted=request.trusted,
        renderer=request.renderer,
    )
