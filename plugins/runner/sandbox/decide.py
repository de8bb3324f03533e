"""Which executions an attempt gets: code that nobody vouches for first on a sample, then in full, within the budget.

Pure. Seed studies, repeats, audits and reruns are asked for by judge and selection; this file answers `CodeWritten`
with the first execution and a successful debug execution with the full one. All attempts run with one seed and fold
partition 0, so that their out-of-fold predictions are comparable row by row and members' predictions can be reused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gome.events import (
    Artifact,
    CodeWritten,
    DataProfiled,
    Draw,
    Event,
    ExecutionFinished,
    ExecutionRequested,
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
    ExecutionFinished,
    SelectionStarted,
    StopRequested,
    RunFinished,
)
ANSWERS = (CodeWritten, ExecutionFinished)

PARTITION = 0
"""Fold partition of all attempts; others belong to the judge and to final selection."""

MEMBER_FILES = ("oof.csv", "submission.csv")

Member = tuple[str, int, int]
"""Content key of a member, seed, partition: what its predictions depend on besides the task."""


@dataclass
class State:
    """What requests are made of. `code` is each attempt's program, `members` the predictions that can be reused."""

    started: RunStarted | None = None
    settings: Settings = field(default_factory=Settings)
    profiled: DataProfiled | None = None
    code: dict[str, CodeWritten] = field(default_factory=dict)
    members: dict[Member, dict[str, Artifact]] = field(default_factory=dict)
    seconds: float = 0.0
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
    """Answer a program with its first execution, and a debug execution that went well with the full one."""
    if state.stopped or state.started is None or state.profiled is None:
        return ()
    left = _left(state, event.active)
    if left is not None and left <= 0:
        return ()
    match event.payload:
        case CodeWritten() as code:
            debug = not code.trusted and _sample_is_smaller(state)
            return (_request(state, code, debug=debug, left=left),)
        case ExecutionFinished(purpose="debug", ok=True, attempt=attempt, program=program):
            written = state.code.get(attempt)
            # A program rewritten meanwhile (a repair) has its own debug execution; this one's result is history.
            if written is not None and written.program.digest == program:
                return (_request(state, written, debug=False, left=left),)
    return ()


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
        limits=state.settings.limits(debug=debug, left=left),
        trusted=code.trusted,
        renderer=code.renderer,
    )
