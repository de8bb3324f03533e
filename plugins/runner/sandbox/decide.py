"""Which executions an attempt gets: code that nobody vouches for first on a sample, then in full, within the budget.

Pure. Seed studies, repeats, audits and reruns are asked for by judge and selection; this file answers `CodeWritten`
with the first execution and a successful debug execution with the full one. All attempts run with one seed and fold
partition 0, so that their out-of-fold predictions are comparable row by row and members' predictions can be reused.

Where executions or their seconds are limited, each is cut to what the open ones leave of the budget. One for which they
leave too little waits until a result releases something; one for which too little is left at all is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from gome.events import (
    Artifact,
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
    RunFinished,
    RunStarted,
    SelectionStarted,
    StopRequested,
)
from gome.plugins.runner.sandbox.settings import Settings, settings_of

READS = (
    RunStarted,
    DataProfiled,
    CodeWritten,
    ExecutionRequested,
    ExecutionRefused,
    ExecutionFinished,
    EffectFailed,
    EffectCancelled,
    SelectionStarted,
    StopRequested,
    RunFinished,
)
ANSWERS = (CodeWritten, ExecutionFinished, EffectFailed, EffectCancelled)

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
    """What requests are made of. `code` is each attempt's program, `members` the predictions that can be reused;
    `waiting` says of attempts since which position they want an execution, and whether a debug one, where the budget
    limits executions."""

    started: RunStarted | None = None
    settings: Settings = field(default_factory=Settings)
    profiled: DataProfiled | None = None
    code: dict[str, CodeWritten] = field(default_factory=dict)
    members: dict[Member, dict[str, Artifact]] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    waiting: dict[str, tuple[int, bool]] = field(default_factory=dict)
    stopped: bool = False

    @property
    def limited(self) -> bool:
        """Whether the budget limits executions or their seconds."""
        budget = self.ledger.budget
        return budget.executions is not None or budget.execution_seconds is not None


def evolve(state: State, event: Event) -> State:
    """Fold one event."""
    state.ledger.apply(event)
    match event.payload:
        case RunStarted() as started:
            state.started, state.settings = started, settings_of(started.settings.get("sandbox"))
        case DataProfiled() as profiled:
            state.profiled = profiled
        case CodeWritten() as code:
            state.code[code.attempt] = code
            _wants(state, code.attempt, event.seq, _debug_first(state, code))
        case ExecutionRequested(attempt=attempt, purpose="debug" | "full") | ExecutionRefused(attempt=attempt):
            state.waiting.pop(attempt, None)
        case ExecutionFinished() as done:
            if done.ok and done.purpose == "debug" and _is_current(state, done):
                _wants(state, done.attempt, event.seq, False)
            # A sample's or an audit's predictions are of other rows.
            if done.ok and done.purpose != "debug" and done.masked_fold is None:
                _remember(state, done)
        case SelectionStarted() | StopRequested() | RunFinished():
            state.stopped = True
    return state


def _remember(state: State, done: ExecutionFinished) -> None:
    for name, artifact in done.outputs.items():
        parts = name.split("/")
        if len(parts) == 3 and parts[0] == "members" and parts[2] in MEMBER_FILES:
            files = state.members.setdefault((parts[1], done.seed, done.partition), {})
            files.setdefault(parts[2], artifact)


def _wants(state: State, attempt: str, since: int, debug: bool) -> None:
    if state.limited:
        state.waiting.pop(attempt, None)
        state.waiting[attempt] = since, debug


def _is_current(state: State, done: ExecutionFinished) -> bool:
    """Whether a result is of the program that the attempt has now: one rewritten meanwhile (a repair) has its own debug
    execution, and the other's result is history."""
    written = state.code.get(done.attempt)
    return written is not None and written.program.digest == done.program


def decide(state: State, event: Event, draw: Draw) -> Sequence[Payload]:
    """Answer a program with its first execution, and a debug execution that went well with the full one."""
    if state.stopped or state.started is None or state.profiled is None:
        return ()
    seconds = state.started.budget.seconds
    left = None if seconds is None else seconds - event.active
    if left is not None and left <= 0:
        return ()
    if state.limited:
        return _within(state, event.seq, left)
    match event.payload:
        case CodeWritten() as code:
            return (_request(state, code, debug=_debug_first(state, code), left=left),)
        case ExecutionFinished(purpose="debug", ok=True) as done if _is_current(state, done):
            return (_request(state, state.code[done.attempt], debug=False, left=left),)
    return ()


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
    return ExecutionRequested(
        attempt=code.attempt,
        purpose="debug" if debug else "full",
        program=code.program,
        inputs=inputs,
        seed=seed,
        partition=PARTITION,
        limits=state.settings.limits(debug=debug, left=left),
        trusted=code.trusted,
        renderer=code.renderer,
    )
