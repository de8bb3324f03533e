"""Plugins and tasks that stand in for the real ones: runs that take no time, and runs that wait until they may go on.

They are installed as a distribution of their own, so that real service processes find them through entry points. The
task `held` has executions that end only when the file named by STANDIN_GATE exists; those of `instant` end at once; a
task `broken` cannot be prepared, and for `raising` a decider raises.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from gome.events import (
    Draw,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    Payload,
    RunStarted,
    StepPlanned,
    SubmissionGraded,
    SubmissionScored,
)
from gome.kernel.errors import UsageError
from gome.kernel.plugin import Context
from gome.kernel.tasks import Finding, PreparedTask, TaskOptions
from tests import distribution
from tests.kernel import recorded, toy

ROLES = recorded.ROLES


async def _perform(event: Event, ctx: Context) -> Any:
    assert isinstance(event.payload, ExecutionRequested)
    gate = Path(os.environ.get("STANDIN_GATE", "/nowhere"))
    ctx.home.mkdir(parents=True, exist_ok=True)
    with (ctx.home / "executions.txt").open("a") as file:
        file.write(f"{os.getpid()} {ctx.run} {event.payload.attempt}\n")
    while ctx.started.task.name == "held" and not gate.exists():
        if ctx.cancelled():
            break
        await asyncio.sleep(0.02)
    return ExecutionFinished(attempt=event.payload.attempt, purpose="full", ok=True, seconds=1.0, outputs={})


async def _score(event: Event, ctx: Context) -> Any:
    assert ctx.vault is not None
    answers = ctx.vault.answers(ctx.started.task.answers).decode()
    assert answers == f"the answers of {ctx.started.task.name}"
    await ctx.vault.record(SubmissionGraded("final", 0.5, 0.1, final=True))
    return SubmissionScored(attempt="final", purpose="rerun", score=1.0)


def _note(state: list[str], event: Event) -> list[str]:
    if isinstance(event.payload, RunStarted):
        state.append(event.payload.task.name)
    return state


def _think(state: list[str], event: Event, draw: Draw) -> Sequence[Payload]:
    if state == ["raising"]:
        raise ValueError("this reasoner cannot think")
    return recorded.reasoner.decide(None, event, draw)


reasoner = dataclasses.replace(
    recorded.reasoner,
    reads=(RunStarted, StepPlanned),
    answers=(StepPlanned,),
    initial=list,
    evolve=_note,
    decide=_think,
)
runner = dataclasses.replace(toy.runner, perform=_perform)
scorer = dataclasses.replace(toy.scorer, perform=_score)


class Source:
    """The tasks of the stand-in."""

    name = "standin"
    summary = "tasks of tests"

    def matches(self, spec: str) -> bool:
        return False

    def names(self) -> list[tuple[str, str]]:
        told = {
            "instant": "at once",
            "held": "waits for a file",
            "broken": "cannot be prepared",
            "raising": "a decider raises",
        }
        return list(told.items())

    def prepare(self, spec: str, options: TaskOptions, folder: Path) -> PreparedTask:
        if spec == "broken":
            raise UsageError("the task broken has no table")
        files = {name: folder / name for name in ("train.csv", "test.csv")}
        for path in files.values():
            path.write_bytes(b"file")
        answers = folder / "answers.csv"
        answers.write_text(f"the answers of {spec}")
        return PreparedTask(msgspec.structs.replace(toy.TASK, name=spec), files, answers, "a page")

    def check(self, prepared: PreparedTask) -> list[Finding]:
        return []


source = Source()


def install(folder: Path) -> None:
    """Make stand-ins an installed distribution in a folder; put it and the checkout on the path."""
    points = recorded.points(ROLES, **dict.fromkeys(("reasoner", "runner", "scorer"), __name__))
    distribution.install(folder, "standin", points | {"gome.tasks": {"standin": f"{__name__}:source"}})
