"""A small set of plugins and a recorded world, for tests of the kernel: search, runner, judge and selection in a few
lines each, and effects whose answers are a pure function of what was asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from gome.events import (
    Artifact,
    AttemptAccepted,
    AttemptRejected,
    Budget,
    Draw,
    EffectCancelled,
    EffectFailed,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    Metric,
    Payload,
    RunStarted,
    ScoreRequested,
    SearchEnded,
    SelectionStarted,
    StepPlanned,
    SubmissionScored,
    SubmissionSelected,
    Task,
    Text,
    digest_of,
)
from gome.kernel.lifecycle import lifecycle
from gome.kernel.plugin import Effect, Plugin
from gome.kernel.state import OpenIntent

FILE = Artifact(digest=digest_of(b"file"), size=4, name="file.csv")
TASK = Task(
    name="toy",
    kind="regression",
    metric=Metric("rmse", False),
    target="y",
    id="id",
    columns=(),
    train=FILE,
    test=FILE,
    rows_train=4,
    rows_test=2,
)


def started(seed: int = 1, steps: int = 6, seconds: float | None = None, **settings: object) -> RunStarted:
    """The first event of a toy run."""
    budget = Budget(steps=steps, seconds=seconds)
    return RunStarted(task=TASK, seed=seed, budget=budget, traces=3, capacity=2, settings=dict(settings))


@dataclass
class _Search:
    limit: int = 0
    traces: int = 1
    planned: int = 0
    open: int = 0
    ended: bool = False
    stopping: bool = False


def _search_evolve(state: _Search, event: Event) -> _Search:
    match event.payload:
        case RunStarted() as p:
            state.limit, state.traces = p.budget.steps or 1, p.traces
        case StepPlanned():
            state.planned += 1
            state.open += 1
        case AttemptAccepted() | AttemptRejected():
            state.open -= 1
        case SearchEnded():
            state.ended = True
        case SelectionStarted():
            state.stopping = True
    return state


def _search_decide(state: _Search, event: Event, draw: Draw) -> list[Payload]:
    if state.stopping or state.ended:
        return []
    if isinstance(event.payload, RunStarted):
        count = min(state.traces, state.limit)
    else:
        count = min(1, state.limit - state.planned)
    if count == 0 and state.open == 0 and state.planned >= state.limit:
        return [SearchEnded(reason="all steps are done")]
    return [
        StepPlanned(attempt=f"a{state.planned + i + 1}", trace=draw.below(3, f"t{i}"), step=state.planned + i)
        for i in range(count)
    ]


search = Plugin(
    name="toy-search",
    role="search",
    reads=(RunStarted, StepPlanned, AttemptAccepted, AttemptRejected, SearchEnded, SelectionStarted),
    answers=(RunStarted, AttemptAccepted, AttemptRejected),
    initial=_Search,
    evolve=_search_evolve,
    decide=_search_decide,
)


def _run(state: None, event: Event, draw: Draw) -> list[Payload]:
    assert isinstance(event.payload, StepPlanned)
    attempt = event.payload.attempt
    program = Text.of(f"print({attempt!r})\n", pooled=True)
    return [ExecutionRequested(attempt=attempt, purpose="full", program=program, inputs={"train.csv": FILE})]


async def _perform(event: Event, ctx: object) -> Payload:
    assert isinstance(event.payload, ExecutionRequested)
    return _finished(event.payload.attempt)


def _finished(attempt: str) -> ExecutionFinished:
    return ExecutionFinished(attempt=attempt, purpose="full", ok=True, seconds=2.0, outputs={"oof.csv": FILE})


runner = Plugin(
    name="toy-runner",
    role="runner",
    reads=(StepPlanned,),
    decide=_run,
    effects=(Effect(ExecutionRequested, policy="reconcile"),),
    perform=_perform,
)


@dataclass
class _Judge:
    total: float = 0.0
    decided: set[str] = field(default_factory=set)


def _judge_evolve(state: _Judge, event: Event) -> _Judge:
    if isinstance(event.payload, ExecutionFinished):
        state.total += event.payload.seconds
    return state


def _judge(state: _Judge, event: Event, draw: Draw) -> list[Payload]:
    payload = event.payload
    match payload:
        case ExecutionFinished(attempt=attempt):
            gain = round(draw.uniform("gain"), 6)
            return [AttemptAccepted(attempt=attempt, gain=gain, noise=state.total, rule="toy", reason="it ran")]
        case EffectFailed(kind="ExecutionRequested", attempt=attempt, error=error):
            return [AttemptRejected(attempt=attempt, reason=error, failure="killed")]
        case EffectCancelled(kind="ExecutionRequested", attempt=attempt, reason=reason):
            return [AttemptRejected(attempt=attempt, reason=reason, failure="cancelled")]
    return []


judge = Plugin(
    name="toy-judge",
    role="judge",
    reads=(ExecutionFinished, EffectFailed, EffectCancelled),
    initial=_Judge,
    evolve=_judge_evolve,
    decide=_judge,
)


def _select_evolve(state: list[str], event: Event) -> list[str]:
    if isinstance(event.payload, AttemptAccepted):
        state.append(event.payload.attempt)
    return state


def _select(state: list[str], event: Event, draw: Draw) -> list[Payload]:
    if not isinstance(event.payload, SelectionStarted):
        return []
    best = state[-1] if state else "none"
    return [SubmissionSelected(attempt=best, score=1.0, se=0.1, submission=FILE, oof=FILE, program=Text.of("pass"))]


selection = Plugin(
    name="toy-selection",
    role="selection",
    reads=(AttemptAccepted, SelectionStarted),
    initial=list,
    evolve=_select_evolve,
    decide=_select,
)


def _score(state: None, event: Event, draw: Draw) -> list[Payload]:
    return [ScoreRequested(task=TASK, attempt="final", purpose="rerun", outputs={}, folds=FILE, final=True)]


async def _perform_score(event: Event, ctx: object) -> Payload:
    return SubmissionScored(attempt="final", purpose="rerun", score=1.0)


scorer = Plugin(
    name="toy-scorer",
    role="scorer",
    reads=(SubmissionSelected,),
    decide=_score,
    effects=(Effect(ScoreRequested),),
    perform=_perform_score,
)

PLUGINS = (lifecycle, search, runner, judge, selection, scorer)


def world(found: OpenIntent) -> tuple[Payload, float]:
    """Answers to the toy intents; how long they take depends on the attempt, so that they overtake one another."""
    payload = found.event.payload
    match payload:
        case ExecutionRequested(attempt=attempt):
            if attempt == "a3":
                error = "no such luck"
                return EffectFailed(found.event.id, "ExecutionRequested", 2, error, attempt), 7.0
            return _finished(attempt), 1.0 + (hash_of(attempt) % 7)
        case ScoreRequested():
            return SubmissionScored(attempt="final", purpose="rerun", score=1.0), 0.5
    raise AssertionError(f"the toy world does not know {payload!r}")


def hash_of(text: str) -> int:
    """A hash that is the same in every process."""
    return int(digest_of(text.encode())[7:15], 16)
