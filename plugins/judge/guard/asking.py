"""What the guard asks for beside verdicts: seeds of the first solution, repeats, audits; and whether they still fit.

Every function returns the intents to say, or none when they cannot be had. Called by `decide.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from gome.events import Draw, ExecutionRequested, Limits, MaskRequested, Payload
from gome.plugins.judge.guard.evidence import measured_variance
from gome.plugins.judge.guard.state import Guarding, Record, Side


def _fits(state: Guarding, seconds: float, count: int, share: float) -> bool:
    """Whether `count` executions of `seconds` in all may still be begun: less than `share` of each limit is used or
    reserved, and what they take leaves final selection its reserve."""
    ledger, budget = state.ledger, state.ledger.budget
    keep = 1.0 - state.reserve
    limits = (
        (budget.seconds, ledger.active, seconds / state.capacity),
        (budget.execution_seconds, ledger.spent("execution_seconds") + ledger.reserved("execution_seconds"), seconds),
        (budget.executions, ledger.spent("executions") + ledger.reserved("executions"), float(count)),
    )
    return all(limit is None or (used < share * limit and used + more <= keep * limit) for limit, used, more in limits)


def ask_seeds(state: Guarding, record: Record, draw: Draw) -> Sequence[Payload]:
    """Run the first valid solution with other seeds; one more solution when the first did not mind its seed."""
    others = state.settings.seeds - 1
    if not state.settings.enabled or others < 1 or record.request is None:
        return []
    if state.seeded and (measured_variance(state) != 0.0 or len(state.seed_sides) > others):
        return []
    if not _fits(state, others * record.cost, others, state.settings.spend_until):
        return []
    partition = record.request.partition
    share = 1 / others
    return [_again(state, record, "seed", draw.seed32(f"seed/{n}"), partition, share) for n in range(1, others + 1)]


def ask_repeat(state: Guarding, record: Record, reference: Record) -> Sequence[Payload]:
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
    total = sum(r.cost for r in wanted)
    shares = [r.cost / total if total else 1 / len(wanted) for r in wanted]
    return [_again(state, r, "repeat", seed, partition, s) for r, s in zip(wanted, shares, strict=True)]


def _limits(state: Guarding, request: ExecutionRequested, share: float = 1.0) -> Limits:
    """The limits of an execution once more, cut to its share of the seconds that the budget has left."""
    left = state.ledger.left("execution_seconds")
    if left is None or left * share >= request.limits.seconds:
        return request.limits
    return msgspec.structs.replace(request.limits, seconds=left * share)


def _again(
    state: Guarding, record: Record, purpose: Literal["seed", "repeat"], seed: int, partition: int, share: float
) -> ExecutionRequested:
    """A full execution once more with another seed or partition, with the members that were fitted with just these."""
    request = record.request
    assert request is not None
    inputs = {name: file for name, file in request.inputs.items() if not name.startswith("members/")}
    for key in record.members:
        files = state.kept.get((key, seed, partition), {})
        if {"oof.csv", "submission.csv"} <= files.keys():
            inputs |= {f"members/{key}/{name}": file for name, file in sorted(files.items())}
    return ExecutionRequested(
        attempt=request.attempt,
        purpose=purpose,
        program=request.program,
        inputs=inputs,
        seed=seed,
        partition=partition,
        limits=_limits(state, request, share),
        trusted=request.trusted,
        renderer=request.renderer,
    )


def audit_fits(state: Guarding, record: Record) -> bool:
    """Whether one more execution of the attempt leaves final selection its reserve."""
    return record.request is not None and state.folds is not None and _fits(state, record.cost, 1, 1.0)


def ask_audit(state: Guarding, record: Record, draw: Draw) -> Sequence[Payload]:
    """Begin an audit on a fold that the program could not foresee."""
    assert record.request is not None and state.folds is not None and state.task is not None
    partition, fold = record.request.partition, draw.below(max(1, state.fold_count), "audit")
    if (partition, fold) in state.masks:
        return [audit_run(state, record, partition, fold)]
    return [MaskRequested(task=state.task, folds=state.folds, partition=partition, fold=fold)]


def audit_run(state: Guarding, record: Record, partition: int, fold: int) -> Payload:
    """The audit's execution, once the masked tables are there."""
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
        limits=_limits(state, request),
        trusted=request.trusted,
        renderer=request.renderer,
    )
