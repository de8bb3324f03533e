"""Which executions an attempt gets: code that nobody vouches for first on a sample, then in full, within the budget.

Pure. Seed studies, repeats, audits and reruns are asked for by judge and selection; this file answers `CodeWritten`
with the first execution and a successful debug execution with the full one. In between a program that wants a review
gets it, and one whose full execution cannot end in time is sent back while it can still be repaired. Every version of
a program goes through all of this anew. All attempts run with one seed and fold partition 0, so that their out-of-fold
predictions are comparable row by row and members' predictions can be reused.

Where executions or their seconds are limited, each is cut to what the open ones leave of the budget. One for which they
leave too little waits until a result releases something; one for which too little is left at all is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from gome.events import (
    Artifact,
    AttemptAccepted,
    AttemptRejected,
    Bar,
    CodeReviewed,
    CodeWritten,
    DataProfiled,
    Draw,
    EffectCancelled,
    EffectFailed,
    Event,
    ExecutionFinished,
    ExecutionRefused,
    ExecutionRequested,
    Ledger,
    Payload,
    ReviewRequested,
    RunFinished,
    RunForked,
    RunStarted,
    SelectionStarted,
    StopRequested,
    SubmissionScored,
)
from gome.plugins.runner.sandbox.forecast import full_seconds
from gome.plugins.runner.sandbox.gpu_use import can_use_gpu
from gome.plugins.runner.sandbox.settings import Settings, settings_of

READS = (
    RunStarted,
    DataProfiled,
    CodeWritten,
    CodeReviewed,
    ExecutionRequested,
    ExecutionRefused,
    ExecutionFinished,
    EffectFailed,
    EffectCancelled,
    SubmissionScored,
    AttemptAccepted,
    AttemptRejected,
    SelectionStarted,
    StopRequested,
    RunFinished,
    ReviewRequested,
    RunForked,
)
ANSWERS = (RunForked, CodeWritten, CodeReviewed, ExecutionFinished, EffectFailed, EffectCancelled)

PARTITION = 0
"""Fold partition of all attempts; others belong to the judge and to final selection."""

MEMBER_FILES = ("oof.csv", "submission.csv")

USEFUL = 5.0
"""Seconds below which no execution is begun that may take longer: about what a program needs to import its libraries
and read its tables."""

Member = tuple[str, int, int]
"""Content key of a member, seed, partition: what its predictions depend on besides the task."""


@dataclass
class State:
    """What requests are made of. `code` is each attempt's latest program, `members` the predictions that can be reused,
    `late` the number of executions that were stopped by their time; `scored` are those that are not judged yet, `best`
    is the best accepted one, on the partition of all attempts; `waiting` says of attempts since which position
    they want an execution, and whether a debug one, where the budget limits executions; there `owed` is what is said
    to an event besides executions. `unanswered` is the last event of each attempt that calls for something."""

    started: RunStarted | None = None
    settings: Settings = field(default_factory=Settings)
    profiled: DataProfiled | None = None
    code: dict[str, CodeWritten] = field(default_factory=dict)
    members: dict[Member, dict[str, Artifact]] = field(default_factory=dict)
    late: int = 0
    scored: dict[str, SubmissionScored] = field(default_factory=dict)
    best: SubmissionScored | None = None
    ledger: Ledger = field(default_factory=Ledger)
    waiting: dict[str, tuple[int, bool]] = field(default_factory=dict)
    owed: dict[str, Payload] = field(default_factory=dict)
    unanswered: dict[str, Event] = field(default_factory=dict)
    stopped: bool = False

    @property
    def limited(self) -> bool:
        """Whether the budget limits executions or their seconds."""
        budget = self.ledger.budget
        return budget.executions is not None or budget.execution_seconds is not None


def evolve(state: State, event: Event) -> State:
    """Fold one event."""
    _calls(state, event)
    if isinstance(event.payload, ReviewRequested | RunForked):
        return state
    state.ledger.apply(event)
    match event.payload:
        case RunStarted() as started:
            state.started, state.settings = started, settings_of(started.settings.get("sandbox"))
        case DataProfiled() as profiled:
            state.profiled = profiled
        case CodeWritten() as code:
            state.code[code.attempt] = code
            _wants(state, event)
        case ExecutionRequested(attempt=attempt, purpose="debug" | "full") | ExecutionRefused(attempt=attempt):
            state.waiting.pop(attempt, None)
        case ExecutionFinished() as done:
            state.late += done.failure == "time" and done.purpose in ("debug", "full")
            _wants(state, event)
            # A sample's or an audit's predictions are of other rows.
            if done.ok and done.purpose != "debug" and done.masked_fold is None:
                _remember(state, done)
        case CodeReviewed():
            _wants(state, event)
        case SubmissionScored(attempt=attempt, purpose="full") as scored if scored.partition == PARTITION:
            state.scored[attempt] = scored
        case AttemptRejected(attempt=attempt):
            state.scored.pop(attempt, None)
        case AttemptAccepted(attempt=attempt):
            found = state.scored.pop(attempt, None)
            if found is not None and (state.best is None or _better(state, found.score, state.best.score)):
                state.best = found
        case SelectionStarted() | StopRequested() | RunFinished():
            state.stopped = True
    return state


def _calls(state: State, event: Event) -> None:
    """Keep who waits for an execution or a review, for whoever takes this role over in a fork."""
    match event.payload:
        case CodeWritten(attempt=attempt) | CodeReviewed(ok=True, attempt=attempt):
            state.unanswered[attempt] = event
        case ExecutionFinished(purpose="debug", ok=True, attempt=attempt, program=program):
            if _current(state, attempt, program):
                state.unanswered[attempt] = event
        case (
            ExecutionRequested(attempt=attempt, purpose="debug" | "full")
            | ExecutionRefused(attempt=attempt)
            | ReviewRequested(attempt=attempt)
            | CodeReviewed(attempt=attempt)
            | AttemptAccepted(attempt=attempt)
            | AttemptRejected(attempt=attempt)
        ):
            state.unanswered.pop(attempt, None)


def _remember(state: State, done: ExecutionFinished) -> None:
    for name, artifact in done.outputs.items():
        parts = name.split("/")
        if len(parts) == 3 and parts[0] == "members" and parts[2] in MEMBER_FILES:
            files = state.members.setdefault((parts[1], done.seed, done.partition), {})
            files.setdefault(parts[2], artifact)


def _better(state: State, new: float, old: float) -> bool:
    greater = state.started is not None and state.started.task.metric.greater_is_better
    return new > old if greater else new < old


def _bar(state: State) -> Bar | None:
    """What a full execution has to reach: the folds of the best accepted attempt. A fold has the standard error of the
    whole, times the root of the number of folds."""
    best, settings = state.best, state.settings
    if not settings.stop_early or best is None or not best.fold_scores or state.started is None:
        return None
    margin = settings.early_margin * best.se * math.sqrt(len(best.fold_scores))
    greater = state.started.task.metric.greater_is_better
    return Bar(attempt=best.attempt, folds=best.fold_scores, margin=float(f"{margin:.12g}"), greater=greater)


def _wants(state: State, event: Event) -> None:
    """Remember what is due where executions are limited: an execution may have to wait for room in the budget, and what
    the budget has room for may be another thing by then."""
    found = _due(state, event) if state.limited else None
    if isinstance(found, Payload):
        state.owed[event.id] = found
    elif found is not None:
        code, debug = found
        state.waiting.pop(code.attempt, None)
        state.waiting[code.attempt] = event.seq, debug


def _due(state: State, event: Event) -> tuple[CodeWritten, bool] | Payload | None:
    """What an event calls for: an execution (of which program, whether a debug one), a review, or a way back."""
    match event.payload:
        case CodeWritten() as code:
            return (code, True) if _debug_first(state, code) else _before_full(code)
        case ExecutionFinished(purpose="debug", ok=True) as done:
            if written := _current(state, done.attempt, done.program):
                bounds = (_seconds_left(state, event), state.ledger.left("execution_seconds"))
                left = min((b for b in bounds if b is not None), default=None)
                if written.repairs and (problem := _too_slow(state, done, left)):
                    return CodeReviewed(attempt=done.attempt, digest=done.program, ok=False, problem=problem)
                return _before_full(written)
        case CodeReviewed(ok=True, attempt=attempt, digest=digest):
            if written := _current(state, attempt, digest):
                return written, False
    return None


def _current(state: State, attempt: str, digest: str) -> CodeWritten | None:
    """The attempt's latest program, if it is this one: one rewritten meanwhile (a repair) has its own debug execution,
    and the other's result is history."""
    written = state.code.get(attempt)
    return written if written is not None and written.program.digest == digest else None


def _before_full(code: CodeWritten) -> tuple[CodeWritten, bool] | Payload:
    """The full execution, or the review that it waits for."""
    return ReviewRequested(attempt=code.attempt, program=code.program) if code.review else (code, False)


def _seconds_left(state: State, event: Event) -> float | None:
    """Active seconds that the run has left at an event; None where time is not limited."""
    seconds = state.started.budget.seconds if state.started else None
    return None if seconds is None else seconds - event.active


def decide(state: State, event: Event, draw: Draw) -> Sequence[Payload]:
    """Answer a program with its first execution; one that went well in debug mode with a review or the full one. In
    a fork, whatever is unanswered is answered."""
    if state.stopped or state.started is None or state.profiled is None:
        return ()
    left = _seconds_left(state, event)
    if left is not None and left <= 0:
        return ()
    asking = list(state.unanswered.values()) if isinstance(event.payload, RunForked) else [event]
    if state.limited:
        said = [state.owed[e.id] for e in asking if e.id in state.owed]
        return (*said, *_within(state, event.seq, left))
    answers: list[Payload] = []
    for asked in asking:
        found = _due(state, msgspec.structs.replace(asked, active=event.active))
        if isinstance(found, tuple):
            code, debug = found
            answers.append(_request(state, code, debug=debug, left=left))
        elif found is not None:
            answers.append(found)
    return tuple(answers)


def _too_slow(state: State, done: ExecutionFinished, left: float | None) -> str:
    """Why the full execution would not end within its limit, judged by the debug execution; "" when it would."""
    assert state.started is not None
    rows = state.started.task.rows_train
    estimate = full_seconds(done.seconds, done.sampled, rows, done.diagnostics, warm=done.warm)
    limit = state.settings.limits(debug=False, left=left, late=state.late).seconds
    if estimate <= limit:
        return ""
    return (
        f"estimated full run {_coarse(estimate, up=True)} s, limit {_coarse(limit)} s: the debug execution took about "
        f"{_coarse(done.seconds, up=True)} s on {done.sampled} of {state.started.task.rows_train} training rows. Make "
        "the program faster: cheaper models, fewer of them, fewer iterations with early stopping."
    )


def _coarse(seconds: float, *, up: bool = False) -> str:
    """Seconds with one significant digit, cut or rounded up: what is measured differs a little from run to run, what a
    model is told should not."""
    step = 10.0 ** math.floor(math.log10(max(seconds, 1e-3)))
    return f"{(math.ceil if up else math.floor)(round(seconds / step, 9)) * step:g}"


def _within(state: State, upto: int, left: float | None) -> Sequence[Payload]:
    """The executions wanted up to a position, oldest first, as far as the budget has room; `left` are the seconds of
    the run. An attempt that must wait is looked at again with the next result of an execution."""
    ledger = state.ledger
    said: list[Payload] = []
    free = ledger.left("execution_seconds")
    count = ledger.left("executions")
    for attempt, (since, debug) in state.waiting.items():
        if since > upto:
            continue
        request = _request(state, state.code[attempt], debug=debug, left=left)
        wanted = request.limits.seconds
        if refused := _refused(ledger, request):
            said.append(refused)
            continue
        enough = min(wanted, max(USEFUL, 2 * state.code[attempt].estimate_seconds))
        if free is not None:
            enough = min(enough, ledger.budget.execution_seconds - ledger.execution_seconds)  # type: ignore[operator]
        if (count is not None and count < 1) or (free is not None and free < enough):
            continue
        if free is not None:
            limits = msgspec.structs.replace(request.limits, seconds=min(wanted, free))
            request = msgspec.structs.replace(request, limits=limits)
            free -= limits.seconds
        if count is not None:
            count -= 1
        said.append(request)
    return said


def _refused(ledger: Ledger, request: ExecutionRequested) -> ExecutionRefused | None:
    """Why an execution can never be had, though everything in flight used nothing at all."""
    for name, needed in (("executions", 1.0), ("execution_seconds", min(request.limits.seconds, USEFUL))):
        allowed, spent = getattr(ledger.budget, name), ledger.spent(name)
        if allowed is not None and allowed - spent < needed:
            return ExecutionRefused(
                attempt=request.attempt,
                purpose=request.purpose,
                limit=name,
                spent=round(spent, 3),
                allowed=float(allowed),
                reason=f"the budget of {name.replace('_', ' ')} is used up: {spent:g} of {allowed:g}",
            )
    return None


def _debug_first(state: State, code: CodeWritten) -> bool:
    """Whether a program is tried on a sample before it runs in full."""
    if code.trusted or state.started is None:
        return False
    task = state.started.task
    return state.settings.sample_size(task.rows_train, len(task.classes)) < task.rows_train


def _request(state: State, code: CodeWritten, *, debug: bool, left: float | None) -> ExecutionRequested:
    assert state.started is not None and state.profiled is not None
    gpu = bool(state.settings.gpus) and can_use_gpu(str(code.program))
    task, seed = state.started.task, state.started.seed % 2**31
    inputs = {
        "train.csv": task.train,
        "test.csv": task.test,
        "folds.csv": state.profiled.folds,
        "sample_submission.csv": state.profiled.sample,
    }
    for key in () if debug else code.members:
        files = state.members.get((key, seed, PARTITION), {})
        # One file without the other is of no use to a program: it would fit the member again and find half of it.
        if all(name in files for name in MEMBER_FILES):
            inputs.update((f"members/{key}/{name}", files[name]) for name in MEMBER_FILES)
    limits = state.settings.limits(debug=debug, left=left, late=state.late, gpu=gpu)
    if not debug and (bar := _bar(state)):
        limits = msgspec.structs.replace(limits, bar=bar)
    return ExecutionRequested(
        attempt=code.attempt,
        purpose="debug" if debug else "full",
        program=code.program,
        inputs=inputs,
        seed=seed,
        partition=PARTITION,
        limits=limits,
        trusted=code.trusted,
        renderer=code.renderer,
    )
