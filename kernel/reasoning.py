"""What the author of a reasoner writes against: two functions, plain or async, and nothing else.

    class Hunch:
        def propose(self, context): return Hypothesis(statement="…", component="model", change={…})
        def reflect(self, context): return Feedback(accept=True, lesson="…")

`as_plugin` wraps such an object into a `Plugin` of role reasoner. The functions run inside effects, so they may be
slow, random or wrong; what they return is recorded and never asked again on replay. `await context.complete(…)` asks a
language model and `await context.recall(…)` the success memory, both recorded; any other I/O is the author's own
affair. When to ask is decided here, purely.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from anyio import to_thread

from gome.events import (
    Attempt,
    AttemptAccepted,
    AttemptRejected,
    Challenge,
    Draw,
    EffectCancelled,
    EffectFailed,
    Event,
    FeedbackGiven,
    Hypothesis,
    HypothesisProposed,
    Intent,
    MemoryRecalled,
    Payload,
    ProposalFailed,
    ProposalRequested,
    RecallRequested,
    Recollection,
    ReflectionRequested,
    RunForked,
    RunStarted,
    SelectionStarted,
    StepPlanned,
    SubmissionScored,
    SuccessMemory,
    Task,
    Trajectory,
)
from gome.events.scope import EVERYTHING, Scope, cut, material, scope_of
from gome.kernel.completing import Completer
from gome.kernel.errors import PluginError
from gome.kernel.loop import CompletionSettings, LoopSettings, completion_settings, loop_settings
from gome.kernel.plugin import Context, Effect, Plugin, Role


@dataclass(frozen=True)
class Proposal:
    """A hypothesis with the diagnosis behind it and the ones passed over; `chosen` is select, modify or create."""

    hypothesis: Hypothesis
    challenges: tuple[Challenge, ...] = ()
    considered: tuple[Hypothesis, ...] = ()
    chosen: str = "select"


@dataclass(frozen=True)
class Feedback:
    """An opinion about a scored attempt; see `gome.events.FeedbackGiven`."""

    accept: bool
    observations: str = ""
    reason: str = ""
    lesson: str = ""
    aligned: bool = True


@dataclass(frozen=True)
class ReasonContext:
    """What a reasoner is shown, as of the moment it was asked.

    `attempt` is the step in question (its trace, stage and, for `reflect`, its program, score and diagnostics),
    `parent` the attempt it builds on, `profile` the profile of the data (see `DataProfiled`), `recollections` what
    the success memory found worth knowing, `budget_used` the share of the budget in [0, 1] (by time or steps).
    `settings` is the reasoner's own table, `loop` says what the profile has switched off for all reasoners.

    The search names the scope of a step; `trajectory`, `parent` and `recollections` hold what that scope shows (see
    `gome.events.scope`; for the gradient everything). `programs` are all attempts of the run as material: what was
    fitted may be blended and what exists need not be proposed again, whatever the scope.
    """

    task: Task
    profile: dict[str, Any]
    trajectory: Trajectory
    attempt: Attempt
    parent: Attempt | None
    recollections: Sequence[Recollection]
    budget_used: float
    draw: Draw
    settings: dict[str, Any]
    call: Callable[[Intent], Awaitable[Payload]]
    loop: LoopSettings = field(default_factory=LoopSettings)
    completion: CompletionSettings = field(default_factory=CompletionSettings)
    scope: Scope = EVERYTHING
    programs: Sequence[Attempt] = ()
    remembered: Callable[[], str] | None = None
    """Digest of the success memory of the whole run; nothing that a reasoner needs."""

    @property
    def complete(self) -> Completer:
        """Asks a language model: `await context.complete(name, system=..., user=..., reply=...)`; see
        `gome.kernel.completing.Completer`."""
        return Completer(self.call, self.completion, self.attempt.id)

    async def recall(self, candidates: Sequence[str], *, limit: int = 3) -> Sequence[Recollection]:
        """Ask the success memory what is worth knowing for some candidate hypotheses, at most `limit` attempts, most
        relevant first; empty where the loop works without memory, or the scope has none across branches."""
        if not self.loop.memory or not self.scope.recall:
            return ()
        digest = self.remembered() if self.remembered else SuccessMemory.of(self.trajectory).digest
        asked = RecallRequested(
            attempt=self.attempt.id,
            trace=self.attempt.trace,
            parent=self.attempt.parent,
            position=self.trajectory.seq,
            memory=digest,
            query=" ".join(candidates)[:600],
            queries=tuple(candidates),
            limit=limit,
        )
        answer = await self.call(asked)
        return answer.recollections if isinstance(answer, MemoryRecalled) else ()


Proposed = Hypothesis | Proposal | None


class Reasoner(Protocol):
    """`propose` returns None when it has nothing left to propose. Either may be a coroutine function."""

    def propose(self, context: ReasonContext) -> Proposed | Awaitable[Proposed]: ...

    def reflect(self, context: ReasonContext) -> Feedback | Awaitable[Feedback]: ...


@dataclass
class _Asking:
    """Which steps wait for a proposal, which are being proposed for, and which are scored and not reflected on."""

    steps: dict[str, StepPlanned] = field(default_factory=dict)
    waiting: deque[str] = field(default_factory=deque)
    open: set[str] = field(default_factory=set)
    scored: dict[str, None] = field(default_factory=dict)
    stopped: bool = False


def context_of(ctx: Context, attempt: str) -> ReasonContext:
    """What a reasoner is shown about an attempt, from what its effect is handed."""
    return shown(attempt, ctx.trajectory, ctx.started, ctx.draw, ctx.settings, ctx.call)


def shown(
    attempt: str,
    trajectory: Trajectory,
    started: RunStarted,
    draw: Draw,
    settings: dict[str, Any],
    call: Callable[[Intent], Awaitable[Payload]],
) -> ReasonContext:
    """What a reasoner is shown about an attempt of a trajectory. Raises `PluginError` for a scope that nobody knows."""
    found = trajectory.attempts[attempt]
    loop = loop_settings(started.settings)
    try:
        scope = scope_of(found.context)
    except ValueError as error:
        raise PluginError(f"the search has planned {attempt} badly: {error}") from None
    recollections = found.recollections if loop.memory and scope.recall else ()
    view = cut(trajectory, found, memory=loop.reach, recalled=recollections)
    return ReasonContext(
        task=started.task,
        profile=trajectory.profiled.profile if trajectory.profiled else {},
        trajectory=view,
        attempt=found,
        parent=view.attempts.get(found.parent),
        recollections=recollections,
        budget_used=trajectory.budget_share(),
        draw=draw,
        settings=settings,
        call=call,
        loop=loop,
        completion=completion_settings(started.settings),
        scope=scope,
        programs=material(trajectory, found),
        remembered=lambda: SuccessMemory.of(trajectory).digest,
    )


def proposed(attempt: str, answer: Proposed) -> HypothesisProposed | ProposalFailed:
    """What a reasoner's answer for a step says as an event. Raises `PluginError` for an answer of another type."""
    if answer is None:
        why = "the reasoner has nothing left to propose"
        return ProposalFailed(attempt=attempt, reason=why, exhausted=True)
    if isinstance(answer, Hypothesis):
        answer = Proposal(answer)
    if not isinstance(answer, Proposal):
        raise PluginError(f"propose returned {_kind(answer)}; return a Hypothesis, a Proposal or None")
    return HypothesisProposed(
        attempt=attempt,
        hypothesis=answer.hypothesis,
        challenges=answer.challenges,
        considered=answer.considered,
        chosen=answer.chosen,
    )


def reflected(attempt: str, feedback: Feedback) -> FeedbackGiven:
    """What a reasoner's opinion of an attempt says as an event. Raises `PluginError` for another type."""
    if not isinstance(feedback, Feedback):
        raise PluginError(f"reflect returned {_kind(feedback)}; return a Feedback")
    return FeedbackGiven(
        attempt=attempt,
        accept=feedback.accept,
        observations=feedback.observations,
        reason=feedback.reason,
        lesson=feedback.lesson,
        aligned=feedback.aligned,
    )


def _kind(answer: object) -> str:
    return "None" if answer is None else f"a {type(answer).__name__}"


async def _ask(function: Callable[[ReasonContext], Any], context: ReasonContext) -> Any:
    """Call plain functions in a thread (they may take their time), coroutine functions here."""
    if inspect.iscoroutinefunction(function):
        return await function(context)

    def asked() -> Any:
        try:
            return function(context)
        except StopIteration as error:  # of a `next` that found nothing; no future may hold one
            raised = RuntimeError("StopIteration, of a next that found nothing")
            raise raised.with_traceback(error.__traceback__) from None

    answer = await to_thread.run_sync(asked)
    return await answer if inspect.isawaitable(answer) else answer


def _evolve(state: _Asking, event: Event) -> _Asking:
    match event.payload:
        case StepPlanned() as planned:
            state.steps[planned.attempt] = planned
        case MemoryRecalled(attempt=attempt) if attempt not in state.open:  # else the reasoner itself has asked
            state.waiting.append(attempt)
        case ProposalRequested(attempt=attempt):
            state.open.add(attempt)
            if attempt in state.waiting:
                state.waiting.remove(attempt)
        case HypothesisProposed(attempt=attempt) | ProposalFailed(attempt=attempt):
            state.open.discard(attempt)
        case SubmissionScored(purpose="full", attempt=attempt) if attempt in state.steps:
            state.scored[attempt] = None
        case ReflectionRequested(attempt=attempt) | AttemptAccepted(attempt=attempt) | AttemptRejected(attempt=attempt):
            state.scored.pop(attempt, None)
            if isinstance(event.payload, AttemptRejected) and attempt in state.waiting:
                state.waiting.remove(attempt)
        case (
            EffectFailed(kind="ProposalRequested", attempt=attempt)
            | EffectCancelled(kind="ProposalRequested", attempt=attempt)
        ):
            state.open.discard(attempt)
        case SelectionStarted():
            state.stopped = True
            state.waiting.clear()
    return state


def as_plugin(
    reasoner: Reasoner,
    *,
    name: str,
    version: str = "1",
    summary: str = "",
    one_at_a_time: bool = False,
    settings: type | None = None,
    default: bool = False,
    needs: tuple[Role, ...] = (),
    modules: tuple[str, ...] = (),
) -> Plugin:
    """Wrap a reasoner; one that calls `context.complete` says `needs=("completion",)` here or in an attribute `needs`.
    With `one_at_a_time` each proposal sees the ones before it, so that parallel traces never get
    the same idea; a slow reasoner is better asked in parallel."""

    def decide(state: _Asking, event: Event, draw: Draw) -> list[Payload]:
        match event.payload:
            case SubmissionScored(purpose="full", attempt=attempt) if attempt in state.steps:
                return [ReflectionRequested(attempt=attempt)]
            case RunForked():
                return [*(ReflectionRequested(attempt=name) for name in state.scored), *proposals(state)]
        return proposals(state)

    def proposals(state: _Asking) -> list[Payload]:
        if state.stopped or not state.waiting or (one_at_a_time and state.open):
            return []
        names = list(state.waiting)[: 1 if one_at_a_time else None]
        asked = [state.steps[n] for n in names if n in state.steps]
        return [
            ProposalRequested(attempt=s.attempt, trace=s.trace, parent=s.parent, kind=s.kind, stage=s.stage)
            for s in asked
        ]

    async def perform(event: Event, ctx: Context) -> Payload:
        if isinstance(event.payload, ProposalRequested):
            attempt = event.payload.attempt
            return proposed(attempt, await _ask(reasoner.propose, context_of(ctx, attempt)))
        attempt = cast(ReflectionRequested, event.payload).attempt
        return reflected(attempt, cast(Feedback, await _ask(reasoner.reflect, context_of(ctx, attempt))))

    return Plugin(
        name=name,
        role="reasoner",
        version=version,
        summary=summary,
        reads=(
            StepPlanned,
            MemoryRecalled,
            ProposalRequested,
            HypothesisProposed,
            ProposalFailed,
            SubmissionScored,
            EffectFailed,
            EffectCancelled,
            SelectionStarted,
            ReflectionRequested,
            AttemptAccepted,
            AttemptRejected,
            RunForked,
        ),
        answers=(
            MemoryRecalled,
            HypothesisProposed,
            ProposalFailed,
            SubmissionScored,
            EffectFailed,
            EffectCancelled,
            RunForked,
        ),
        initial=_Asking,
        evolve=_evolve,
        decide=decide,
        effects=(Effect(ProposalRequested), Effect(ReflectionRequested)),
        perform=perform,
        settings=settings,
        default=default,
        needs=needs,
        modules=modules or (type(reasoner).__module__,),
    )
