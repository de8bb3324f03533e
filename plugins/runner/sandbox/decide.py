"""Which executions an attempt gets: code that nobody vouches for first on a sample, then in full, within the budget.

Pure. Seed studies, repeats, audits and reruns are asked for by judge and selection; this file answers `CodeWritten`
with the first execution and a successful debug execution with the full one. In between a program that wants a review
gets it, and one whose full execution cannot end in time is sent back while it can still be repaired. Every version of
a program goes through all of this anew. All attempts run with one seed and fold partition 0, so that their out-of-fold
predictions are comparable row by row and members' predictions can be reused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from gome.events import (
    Artifact,
    CodeReviewed,
    CodeWritten,
    DataProfiled,
    Draw,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    Payload,
    ReviewRequested,
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
    CodeReviewed,
    ExecutionFinished,
    SelectionStarted,
    StopRequested,
    RunFinished,
)
ANSWERS = (CodeWritten, CodeReviewed, ExecutionFinished)

PARTITION = 0
"""Fold partition of all attempts; others belong to the judge and to final selection."""

MEMBER_FILES = ("oof.csv", "submission.csv")

STARTUP = 2.0
"""Seconds of an execution that do not grow with its rows: the interpreter and the imports of libraries."""

Member = tuple[str, int, int]
"""Content key of a member, seed, partition: what its predictions depend on besides the task."""


@dataclass
class State:
    """What requests are made of. `code` is each attempt's latest program, `members` the predictions that can be reused,
    `late` the number of executions that were stopped by their time."""

    started: RunStarted | None = None
    settings: Settings = field(default_factory=Settings)
    profiled: DataProfiled | None = None
    code: dict[str, CodeWritten] = field(default_factory=dict)
    members: dict[Member, dict[str, Artifact]] = field(default_factory=dict)
    seconds: float = 0.0
    late: int = 0
    stopped: bool = False


def evolve(state: State, event: Event) -> State:
    """Fold one event."""
    match event.payload:
        case RunStarted() as started:
            state.started, state.settings = started, settings_of(started.settings.get("sandbox"))
        case DataProfiled() as profiled:
            state.profiled = profiled
        case CodeWritten() as code:
            state.code[code.attempt] = code
        case ExecutionFinished() as done:
            state.seconds += done.seconds
            state.late += done.failure == "time" and done.purpose in ("debug", "full")
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


def decide(state: State, event: Event, draw: Draw) -> Sequence[Payload]:
    """Answer a program with its first execution; one that went well in debug mode with a review or the full one."""
    if state.stopped or state.started is None or state.profiled is None:
        return ()
    left = _left(state, event.active)
    if left is not None and left <= 0:
        return ()
    match event.payload:
        case CodeWritten() as code:
            if not code.trusted and _sample_is_smaller(state):
                return (_request(state, code, debug=True, left=left),)
            return (_before_full(state, code, left),)
        case ExecutionFinished(purpose="debug", ok=True, attempt=attempt, program=program):
            # A program rewritten meanwhile (a repair) has its own debug execution; this one's result is history.
            if written := _current(state, attempt, program):
                if written.repairs and (problem := _too_slow(state, event.payload, left)):
                    return (CodeReviewed(attempt=attempt, digest=program, ok=False, problem=problem),)
                return (_before_full(state, written, left),)
        case CodeReviewed(ok=True, attempt=attempt, digest=digest):
            if written := _current(state, attempt, digest):
                return (_request(state, written, debug=False, left=left),)
    return ()


def _current(state: State, attempt: str, digest: str) -> CodeWritten | None:
    """The attempt's latest program, if it is this one."""
    written = state.code.get(attempt)
    return written if written is not None and written.program.digest == digest else None


def _before_full(state: State, code: CodeWritten, left: float | None) -> Payload:
    """The full execution, or the review that it waits for."""
    if code.review:
        return ReviewRequested(attempt=code.attempt, program=code.program)
    return _request(state, code, debug=False, left=left)


def _too_slow(state: State, done: ExecutionFinished, left: float | None) -> str:
    """Why the full execution would not end within its limit, judged by the debug execution; "" when it would.

    Time is taken to grow with the rows, and with the share of training that the program says (`debug_share` in its
    diagnostics, in (0, 1]) it did in debug mode.
    """
    assert state.started is not None
    if not done.sampled:
        return ""
    share = done.diagnostics.get("debug_share", 1.0)
    if not isinstance(share, int | float) or not 0 < share <= 1:
        share = 1.0
    growth = state.started.task.rows_train / done.sampled / share
    estimate = STARTUP + max(0.0, done.seconds - STARTUP) * growth
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


def _left(state: State, active: float) -> float | None:
    """Seconds that an execution may take by what is left of the budget; None when nothing limits it."""
    assert state.started is not None
    budget = state.started.budget
    bounds = []
    if budget.seconds is not None:
        bounds.append(budget.seconds - active)
    if budget.execution_seconds is not None:
        bounds.append(budget.execution_seconds - state.seconds)
    return min(bounds) if bounds else None


def _sample_is_smaller(state: State) -> bool:
    assert state.started is not None
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
        limits=state.settings.limits(debug=debug, left=left, late=state.late),
        trusted=code.trusted,
        renderer=code.renderer,
    )
