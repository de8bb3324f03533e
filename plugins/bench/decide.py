"""The bench's decisions: which cell begins when, and when all is done. Pure.

As many cells are open as may go on at once; whenever one has ended, however, the next begins. A cell that fails is a
result. Asked to stop, the bench calls off what is open and begins nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gome.events import (
    CancelRequested,
    Draw,
    EffectCancelled,
    EffectFailed,
    Event,
    Payload,
    RunFinished,
    StopRequested,
)
from gome.plugins.bench.cells import cells
from gome.plugins.bench.events import BenchFinished, BenchStarted, CellFinished, CellRequested, ParallelChanged

READS = (BenchStarted, ParallelChanged, CellRequested, CellFinished, EffectFailed, EffectCancelled, StopRequested)
ANSWERS = (BenchStarted, ParallelChanged, CellFinished, EffectFailed, EffectCancelled, StopRequested)


@dataclass
class State:
    """How far a bench is. `plan` holds digest and name of every cell, `begun` counts those that were asked for, `open`
    are the intents without a result, `ended` counts results by outcome."""

    plan: list[tuple[str, str]] = field(default_factory=list)
    parallel: int = 1
    begun: int = 0
    open: set[str] = field(default_factory=set)
    ended: dict[str, int] = field(default_factory=dict)
    stopping: str = ""


def evolve(state: State, event: Event) -> State:
    """Fold one event."""
    match event.payload:
        case BenchStarted() as started:
            state.plan = [(cell.digest, cell.name) for cell in cells(started.suite, started.treatments)]
            state.parallel = started.parallel
        case ParallelChanged(parallel=parallel):
            state.parallel = parallel
        case CellRequested(number=number):
            state.begun = number
            state.open.add(event.id)
        case CellFinished(outcome=outcome):
            _end(state, event.cause, outcome)
        case EffectFailed(intent=intent):
            _end(state, intent, "lost")
        case EffectCancelled(intent=intent):
            _end(state, intent, "called off")
        case StopRequested(reason=reason):
            state.stopping = reason or "asked to stop"
    return state


def _end(state: State, intent: str, outcome: str) -> None:
    if intent in state.open:
        state.open.remove(intent)
        state.ended[outcome] = state.ended.get(outcome, 0) + 1


def decide(state: State, event: Event, draw: Draw) -> Sequence[Payload]:
    """Answer one event: begin what may begin, or end the bench."""
    if state.stopping:
        if state.open:
            stop = isinstance(event.payload, StopRequested)
            return [CancelRequested(intent, state.stopping) for intent in sorted(state.open)] if stop else ()
        return _finish(state)
    room = max(0, state.parallel - len(state.open))
    following = state.plan[state.begun : state.begun + room]
    if not following and not state.open and state.begun == len(state.plan):
        return _finish(state)
    return [
        CellRequested(cell=digest, number=number, name=name)
        for number, (digest, name) in enumerate(following, state.begun + 1)
    ]


def _finish(state: State) -> Sequence[Payload]:
    count = {name: state.ended.get(name, 0) for name in ("done", "stopped", "failed", "lost")}
    left = len(state.plan) - sum(count.values())
    said = BenchFinished(**count, left=left)
    if state.stopping:
        return (said, RunFinished(outcome="stopped", reason=state.stopping))
    if not count["done"] and not count["stopped"]:
        return (said, RunFinished(outcome="failed", reason="no cell has come to a result"))
    return (said, RunFinished(outcome="done"))
