"""When to take the next step, on which trace, from where: the pure half of Gome's search.

As many steps are in flight as the run has capacity; who is next is the scheduler's affair (`schedule`). A step builds
on an accepted attempt of its trace, the last one unless the scheduler goes back; a trace that is lost, because the best
one is ahead by more than noise could explain, goes on from the best solution instead of its own. Once the share of the
budget says `ensemble`, a trace that has fallen behind another (or has not merged yet) takes a `merge` step that also
sees the others' accepted attempts. Attempts are numbered in the order of planning, so whoever is asked for a proposal
sees what its siblings are about to try. What to change is the reasoner's affair.
"""

from __future__ import annotations

from collections.abc import Sequence

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    DataProfiled,
    Draw,
    Event,
    Payload,
    RunForked,
    SearchEnded,
    Stage,
    StepKind,
    StepPlanned,
)
from gome.plugins.search.gradient.schedule import Choice, choose
from gome.plugins.search.gradient.state import Search, Trace

ANSWERS: tuple[type[Payload], ...] = (DataProfiled, AttemptAccepted, AttemptRejected, RunForked)


def stage(state: Search, active: float) -> Stage:
    """Return the stage by the share of the budget used: of seconds or of steps, whichever is further on."""
    shares = [0.0]
    if state.budget.seconds:
        shares.append(active / state.budget.seconds)
    if state.budget.steps:
        shares.append(state.planned / state.budget.steps)
    used = max(shares)
    if used < state.settings.draft:
        return "draft"
    return "improve" if used < state.settings.ensemble else "ensemble"


def _others(state: Search, number: int) -> tuple[str, ...]:
    """Heads of the other traces, best first."""
    found = [
        (-state.sign * t.score, i, t.head) for i, t in enumerate(state.traces) if i != number and t.score is not None
    ]
    return tuple(head for _, _, head in sorted(found)[: state.settings.parents])


def _behind(state: Search, trace: Trace) -> bool:
    """Whether another trace's accepted score is better than this one's."""
    best = max((state.sign * t.score for t in state.traces if t.score is not None), default=None)
    return best is not None and trace.score is not None and state.sign * trace.score < best


def _found(state: Search, trace: Trace) -> Trace | None:
    """The best trace, if this one is lost and somebody else's solutions may reach it."""
    if trace.score is None:
        return None
    leads = [(state.sign * (t.score - trace.score), t) for t in state.traces if t.score is not None]
    lead, best = max(leads, key=lambda found: found[0])
    may = state.restarts and state.settings.restart and state.settings.parents
    return best if may and lead > state.settings.restart * trace.se and lead > 0 else None


def _plan(state: Search, choice: Choice, ordinal: int, beside: int, now: Stage) -> StepPlanned:
    """The next step of a trace; `ordinal` counts the steps planned in this decision, `beside` those of this trace."""
    number, parent = choice.trace, choice.parent
    trace = state.traces[number]
    name = f"a{state.planned + ordinal + 1}"
    step = trace.steps + beside + 1
    if not parent:
        why = "the first step of this trace" if not trace.steps else "nothing has been accepted on this trace yet"
        why = f"{why}; {choice.why}" if choice.why else why
        return StepPlanned(attempt=name, trace=number, step=step, kind="draft", stage=now, reason=why)
    if parent == trace.head and (best := _found(state, trace)):
        why = f"trace {number} is lost: {best.head} is more than {state.settings.restart:g} standard errors better"
        return StepPlanned(
            attempt=name,
            trace=number,
            step=step,
            kind="improve",
            stage=now,
            parent=best.head,
            reason=f"{why}; {choice.why}" if choice.why else why,
        )
    alone = parent == trace.head and not trace.open and not beside  # two merges at once would be the same one
    others = _others(state, number) if now == "ensemble" and alone else ()
    behind = _behind(state, trace)
    kind: StepKind = "improve"
    if others and (behind or not trace.merged):
        kind = "merge"
        why = (
            f"trace {number} has fallen behind: take up what the others have found"
            if behind
            else f"the ensemble stage has begun: join trace {number} with the others"
        )
    elif parent == trace.head:
        why = f"improve on {parent}, the accepted solution of trace {number}"
    else:
        why = f"go back to {parent}, an earlier solution of trace {number}"
    return StepPlanned(
        attempt=name,
        trace=number,
        step=step,
        kind=kind,
        stage=now,
        parent=parent,
        parents=others if kind == "merge" else (),
        reason=f"{why}; {choice.why}" if choice.why else why,
    )


def decide(state: Search, event: Event, draw: Draw) -> Sequence[Payload]:
    """Fill the free capacity with steps of the traces that are due, or say that the search is over."""
    if not state.ready or state.stopped or state.ended:
        return ()
    left = None if state.budget.steps is None else state.budget.steps - state.planned
    given_up = state.failed_in_a_row >= state.settings.failures
    free = state.capacity - state.open
    if left is not None:
        free = min(free, left)
    if free > 0 and not given_up and (chosen := choose(state, free, draw)):
        now, beside = stage(state, event.active), [c.trace for c in chosen]
        return [_plan(state, c, n, beside[:n].count(c.trace), now) for n, c in enumerate(chosen)]
    if state.open:
        return ()
    if left is not None and left <= 0:
        return [SearchEnded(reason=f"all {state.budget.steps} steps of the budget are done")]
    if given_up:
        return [SearchEnded(reason=f"{state.failed_in_a_row} steps in a row failed before they could be scored")]
    return [SearchEnded(reason="the reasoner has nothing left to propose on any trace")]
