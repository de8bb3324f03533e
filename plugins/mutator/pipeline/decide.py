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
    CodeRejected,
    CodeWritten,
    DataProfiled,
    Draw,
    Event,
    HypothesisProposed,
    Payload,
    RunStarted,
    StepPlanned,
    Text,
)
from gome.events.pipeline import apply_change, member_key, needs_torch, to_spec
from gome.events.task import Task
from gome.kernel.plugin import Plugin
from gome.plugins.mutator.pipeline.partial import RENDERER_OF_PARTIAL, suits, with_partial_scores
from gome.plugins.mutator.pipeline.render import RENDERER, estimate_seconds, render


class Settings(Struct, frozen=True):
    """The mutator's table in the settings. With `partial_scores` programs of a single model write each fold's score to
    `partial_scores.csv` as soon as it is known, so that a runner may stop hopeless ones (`sandbox.stop_early`)."""

    partial_scores: bool = False


@dataclass(slots=True)
class State:
    """The task, each attempt's parent and specification, and who wrote which program first."""

    task: Task | None = None
    environment: dict[str, str] = field(default_factory=dict)
    folds: int = 5
    settings: Settings = field(default_factory=Settings)
    parents: dict[str, str] = field(default_factory=dict)
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)


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
        case CodeWritten(attempt=attempt, spec=spec, digest=digest):
            state.written.setdefault(digest, attempt)
            if spec:
                state.specs[attempt] = spec
        case _:
            pass
    return state


def decide(state: State, event: Event, draw: Draw) -> Sequence[Payload]:
    """Answer a hypothesis with its program."""
    if not isinstance(event.payload, HypothesisProposed) or state.task is None:
        return ()
    attempt, change = event.payload.attempt, event.payload.hypothesis.change
    parent = state.parents.get(attempt, "")
    try:
        pipeline = apply_change(state.specs.get(parent, {}), change)
        if needs_torch(pipeline) and state.environment and not state.environment.get("torch"):
            raise ValueError("family 'network' needs torch, which is not installed where programs run")
        program = render(pipeline, state.task)
        partial = state.settings.partial_scores and suits(pipeline)
        if partial:
            program = with_partial_scores(program)
    except ValueError as err:
        return (CodeRejected(attempt=attempt, reason=str(err)),)
    text = Text.of(program)
    if earlier := state.written.get(text.digest):
        return (CodeRejected(attempt=attempt, reason=f"duplicate of {earlier}: the same program was written before"),)
    return (
        CodeWritten(
            attempt=attempt,
            program=text,
            digest=text.digest,
            spec=to_spec(pipeline),
            trusted=True,
            renderer=RENDERER_OF_PARTIAL if partial else RENDERER,
            members=tuple(member_key(m) for m in pipeline.members),
            estimate_seconds=estimate_seconds(pipeline, state.task, state.folds),
        ),
    )


plugin = Plugin(
    name="pipeline",
    role="mutator",
    summary="renders declarative pipelines into one program of pandas, scikit-learn and LightGBM",
    reads=(RunStarted, DataProfiled, StepPlanned, HypothesisProposed, CodeWritten),
    answers=(HypothesisProposed,),
    initial=State,
    evolve=evolve,
    decide=decide,
    settings=Settings,
    default=True,
    modules=("gome.plugins.mutator.pipeline",),
)
