"""Plans the reruns and audits of final selection to the time, executions and execution seconds that are left."""

from __future__ import annotations

from collections.abc import Sequence

from gome.events import AlarmRequested, CandidateRerun, Draw, ExecutionRequested, MaskRequested, Payload
from gome.plugins.selection.reruns.candidates import candidates_of
from gome.plugins.selection.reruns.events import SelectionPlanned
from gome.plugins.selection.reruns.ranking import makespan, shapes
from gome.plugins.selection.reruns.state import AUDIT, CLOSING, Entry, Selecting


def begin(state: Selecting, draw: Draw) -> Sequence[Payload]:
    """Plan the reruns and ask for them; nothing where none are wanted or possible."""
    able = [entry for entry in candidates_of(state) if entry.request]
    policy = state.settings.policy
    if state.hurry or not able or policy not in ("reruns", "resplit"):
        return []
    resplit = policy == "resplit"
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
            return _start(state, chosen, audited, times, makespan(seconds, state.capacity), draw)
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
    if (limit := state.ledger.budget.seconds) is not None:
        answers.append(AlarmRequested(name=CLOSING, at=round(limit - state.margin, 3)))
    # Rerun by rerun, so that candidates are level whenever time ends.
    for repeat, (seed, partition) in enumerate(zip(seeds, partitions, strict=True), start=1):
        for entry in chosen:
            answers.append(CandidateRerun(attempt=entry.attempt, repeat=repeat, seed=seed, partition=partition))
            answers.append(_rerun(entry, seed, partition))
    if audited and state.masked is not None:
        answers += [audit_run(state, entry) for entry in audited]
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


def audit_run(state: Selecting, entry: Entry) -> Payload:
    """A candidate's audit, once the masked tables are there."""
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
