"""The kernel's own decider: alarms, limits, the start of final selection and the end of a run.

It is a plugin value like any other (pure, replayed, pinned) and reads every event. What is searched, judged and
selected is not its business: it says when planning ends (`SelectionStarted`), calls off what is in flight, and closes
the run once something has been handed in, or nothing can be.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta, Struct

from gome.events import (
    AlarmRang,
    AlarmRequested,
    BudgetExhausted,
    CancelRequested,
    Draw,
    EffectCancelled,
    EffectFailed,
    EffectRefused,
    Event,
    ExecutionRefused,
    Intent,
    Ledger,
    Payload,
    RunFinished,
    RunForked,
    RunStarted,
    SearchEnded,
    SelectionFailed,
    SelectionStarted,
    StopRequested,
    SubmissionRejected,
    SubmissionScored,
    SubmissionSelected,
    result_id,
)
from gome.kernel.plugin import Plugin

FINAL = "final"
"""Name under which the handed-in submission is scored a last time."""
RESERVE = 0.2
"""Share of the seconds that final selection may use at most."""
UNPROFILED = "unprofiled"
"""Behaviour flag: a run whose data could not be profiled has failed. Before, it waited until its time was over."""
GRACE = 60.0
"""Seconds after the budget's end until a selection that does not come to an end is given up."""


class LifecycleSettings(Struct, frozen=True):
    """`reserve` is the share of the seconds that is kept for final selection, in [0, 0.5]."""

    reserve: Annotated[float, Meta(ge=0.0, le=0.5)] = RESERVE


_ALARMS = ("selection", "end", "abandon")
"""Alarms of this decider; others have their own."""


@dataclass
class _Life:
    ledger: Ledger = field(default_factory=Ledger)
    open: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None
    reserve: float = RESERVE
    selecting: bool = False
    stopped: bool = False
    exhausted: set[str] = field(default_factory=set)
    selected: SubmissionSelected | None = None
    alarms: dict[str, float] = field(default_factory=dict)
    closing: str | None = None
    unprofiled: bool = False
    finished: bool = False


def _evolve(state: _Life, event: Event) -> _Life:
    state.ledger.apply(event)
    payload = event.payload
    if isinstance(payload, Intent):
        state.open[event.id] = event.type
    elif event.cause in state.open and event.id == result_id(event.cause):
        del state.open[event.cause]
    match payload:
        case RunStarted(budget=budget, settings=settings) as started:
            state.seconds = budget.seconds
            state.reserve = float(settings.get("lifecycle", {}).get("reserve", RESERVE))
            state.unprofiled = UNPROFILED in started.flags_of("lifecycle")
        case AlarmRequested(name=name, at=at) if name in _ALARMS:
            state.alarms[name] = at
        case RunForked() if state.seconds is None:
            state.alarms = dict.fromkeys(_ALARMS, -1.0)
        case StopRequested():
            state.stopped = True
        case SelectionStarted():
            state.selecting = True
        case BudgetExhausted(limit=limit):
            state.exhausted.add(limit)
        case SubmissionSelected():
            state.selected = payload
        case SubmissionScored(attempt="final") | SubmissionRejected(attempt="final"):
            state.closing = ""
        case (
            EffectFailed(kind="ScoreRequested", attempt="final")
            | EffectCancelled(kind="ScoreRequested", attempt="final")
        ):
            state.closing = "the final score could not be computed"
        case RunFinished():
            state.finished = True
    return state


def _call_off(state: _Life, reason: str, spare: tuple[str, ...]) -> list[Payload]:
    return [CancelRequested(intent=i, reason=reason) for i, kind in state.open.items() if kind not in spare]


def _select(state: _Life, reason: str) -> list[Payload]:
    """End planning. What is being scored may finish, it takes no time to speak of; the rest is called off."""
    if state.selecting:
        return []
    return [SelectionStarted(reason=reason), *_call_off(state, reason, ("AlarmRequested", "ScoreRequested"))]


def _close(state: _Life, event: Event, reason: str) -> list[Payload]:
    """End the run once nothing is in flight any more; what still is, is called off when the final score comes."""
    if not any(kind != "AlarmRequested" for kind in state.open.values()):
        return _finish(state, reason)
    if getattr(event.payload, "attempt", "") == FINAL:
        return _call_off(state, "the run ends", ("AlarmRequested",))
    return []


def _finish(state: _Life, reason: str) -> list[Payload]:
    outcome: Literal["done", "stopped"] = "stopped" if state.stopped else "done"
    return [RunFinished(outcome=outcome, reason=reason)]


def _alarms(state: _Life) -> list[Payload]:
    """The alarms that the budget of seconds wants and that nobody has asked for."""
    if state.seconds is None:
        return []
    wanted = {"selection": round(state.seconds * (1 - state.reserve), 3), "end": state.seconds}
    return [AlarmRequested(name=n, at=at) for n, at in wanted.items() if state.alarms.get(n) != at]


def _decide(state: _Life, event: Event, draw: Draw) -> list[Payload]:
    if state.finished:
        return []
    match event.payload:
        case RunStarted() | RunForked():
            return _alarms(state)
        case AlarmRang(name=name, at=at) if at != state.alarms.get(name, at):
            return []  # of a budget that a fork has replaced
        case StopRequested(reason=reason):
            return _select(state, reason or "asked to stop")
        case SearchEnded(reason=reason):
            return _select(state, reason)
        case AlarmRang(name="selection"):
            return _select(state, "the time for steps is over")
        case AlarmRang(name="end", at=at):
            spent = BudgetExhausted(limit="seconds", spent=event.active, allowed=at)
            begun: list[Payload] = [] if state.selecting else [SelectionStarted(reason="the time is over")]
            off = _call_off(state, "the time is over", ("AlarmRequested",))
            return [spent, *begun, *off, AlarmRequested(name="abandon", at=at + GRACE)]
        case AlarmRang(name="abandon"):
            if state.selected:
                return _finish(state, "the final score did not come")
            return [RunFinished(outcome="failed", reason="final selection did not come to an end")]
        case SelectionFailed(reason=reason):
            return [RunFinished(outcome="failed", reason=reason)]
        case EffectFailed(kind="ProfileRequested", error=error) if state.unprofiled:
            return [RunFinished(outcome="failed", reason=f"the data could not be profiled: {error}")]
    if state.closing is not None:
        return _close(state, event, state.closing)
    over = state.ledger.over()
    if isinstance(event.payload, ExecutionRefused | EffectRefused):
        # Not quite at its limit, but what is left is of no use to anybody.
        over = event.payload.limit, event.payload.spent, event.payload.allowed
    if over and over[0] != "seconds" and over[0] not in state.exhausted:
        name, spent_, allowed = over
        return [
            BudgetExhausted(limit=name, spent=spent_, allowed=allowed),
            *_select(state, f"the budget of {name.replace('_', ' ')} is used up"),
        ]
    return []


lifecycle = Plugin(
    name="lifecycle",
    role="plugin",
    summary="alarms, limits, start of selection, end of the run",
    reads=(Payload,),
    initial=_Life,
    settings=LifecycleSettings,
    evolve=_evolve,
    decide=_decide,
    modules=("gome.kernel.lifecycle",),
    flags=(UNPROFILED,),
)
"""Part of every run; its name is reserved."""
