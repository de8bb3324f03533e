"""The pipeline mutator's decisions: a proposed change becomes a program (`CodeWritten`) or a reason (`CodeRejected`).

Pure: it folds the task, the plan of each step and the specifications that were written so far. The vocabulary is
`gome.events.pipeline`, the text comes from `render.py`; running it is the runner's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct

from gome.events import (
    AttemptRejected,
    CodeRejected,
    CodeWritten,
    DataProfiled,
    Draw,
    Event,
    HypothesisProposed,
    Payload,
    RunForked,
    RunStarted,
    StepPlanned,
    Text,
)
from gome.events.pipeline import apply_change, member_key, needs_torch, to_spec
from gome.events.task import Task
from gome.kernel.plugin import Plugin
from gome.plugins.mutator.pipeline.faults import RENDERER_OF_FAULTS, faulty, with_faults
from gome.plugins.mutator.pipeline.partial import RENDERER_OF_PARTIAL, suits, with_partial_scores
from gome.plugins.mutator.pipeline.render import RENDERER, estimate_seconds, render


class Settings(Struct, frozen=True):
    """The mutator's table in the settings. With `partial_scores` programs of a single model write each fold's score to
    `partial_scores.csv` as soon as it is known, so that a runner may stop hopeless ones (`sandbox.stop_early`)."""

    partial_scores: bool = False


@dataclass(slots=True)
class State:
    """The task, each attempt's parent and specification, who wrote which program first, and the proposals that wait for
    a program."""

    task: Task | None = None
    environment: dict[str, str] = field(default_factory=dict)
    folds: int = 5
    settings: Settings = field(default_factory=Settings)
    parents: dict[str, str] = field(default_factory=dict)
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, HypothesisProposed] = field(default_factory=dict)


def evolve(state: State, event: Event) -> State:
    """Fold one event."""
    match event.payload:
        case RunStarted(task=task, environment=environment, settings=tables):
            state.task, state.environment = task, environment
            state.settings = msgspec.convert(tables.get("pipeline", {}), Settings)
        case DataProfiled(fold_count=count):
            state.folds = count
        case StepPlanned(attempt=attempt, parent=parent):
            state.parents[attempt] = parent
        case HypothesisProposed(attempt=attempt) as proposed:
            state.waiting[attempt] = proposed
        case CodeRejected(attempt=attempt) | AttemptRejected(attempt=attempt):
            state.waiting.pop(attempt, None)
        case CodeWritten(attempt=attempt, spec=spec, digest=digest):
            state.waiting.pop(attempt, None)
            state.written.setdefault(digest, attempt)
            if spec:
                state.specs[attempt] = spec
        case _:
            pass
    return state


def decide(state: State, event: Event, draw: Draw) -> Sequence[Payload]:
    """Answer a hypothesis with its program; in a fork, all that wait for one."""
    if state.task is None:
        return ()
    if isinstance(event.payload, RunForked):
        answers = [_written(state, state.task, proposed) for proposed in state.waiting.values()]
        return _once(answers)
    return (_written(state, state.task, event.payload),) if isinstance(event.payload, HypothesisProposed) else ()


def _once(answers: Sequence[CodeWritten | CodeRejected]) -> Sequence[Payload]:
    """The answers, a program that comes twice written for the first attempt only."""
    first: dict[str, str] = {}
    said: list[Payload] = []
    for answer in answers:
        if isinstance(answer, CodeWritten) and first.setdefault(answer.digest, answer.attempt) != answer.attempt:
            said.append(CodeRejected(attempt=answer.attempt, reason=_duplicate(first[answer.digest])))
        else:
            said.append(answer)
    return said


def _duplicate(earlier: str) -> str:
    return f"duplicate of {earlier}: the same program was written before"


def _written(state: State, task: Task, proposed: HypothesisProposed) -> CodeWritten | CodeRejected:
    attempt, change = proposed.attempt, proposed.hypothesis.change
    parent = state.parents.get(attempt, "")
    try:
        pipeline = apply_change(state.specs.get(parent, {}), change)
        if needs_torch(pipeline) and state.environment and not state.environment.get("torch"):
            raise ValueError("family 'network' needs torch, which is not installed where programs run")
        program = render(pipeline, task)
        renderer = RENDERER
        if faulty(pipeline):
            program, renderer = with_faults(program, pipeline), RENDERER_OF_FAULTS
        elif state.settings.partial_scores and suits(pipeline):
            program, renderer = with_partial_scores(program), RENDERER_OF_PARTIAL
    except ValueError as err:
        return CodeRejected(attempt=attempt, reason=str(err))
    text = Text.of(program)
    if earlier := state.written.get(text.digest):
        return CodeRejected(attempt=attempt, reason=_duplicate(earlier))
    return CodeWritten(
        attempt=attempt,
        program=text,
        digest=text.digest,
        spec=to_spec(pipeline),
        trusted=True,
        renderer=renderer,
        members=tuple(member_key(m) for m in pipeline.members),
        estimate_seconds=estimate_seconds(pipeline, task, state.folds),
    )


plugin = Plugin(
    name="pipeline",
    role="mutator",
    summary="renders declarative pipelines into one program of pandas, scikit-learn and LightGBM",
    reads=(
        RunStarted,
        DataProfiled,
        StepPlanned,
        HypothesisProposed,
        CodeWritten,
        CodeRejected,
        AttemptRejected,
        RunForked,
    ),
    answers=(HypothesisProposed, RunForked),
    initial=State,
    evolve=evolve,
    decide=decide,
    settings=Settings,
    default=True,
    modules=("gome.plugins.mutator.pipeline",),
)
