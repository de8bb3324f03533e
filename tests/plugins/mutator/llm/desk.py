"""A whole run in one process with real parts: sandbox, scorer, guard, selection; only model and reasoner are scripted.

`Model` is a completion plugin that answers each call with the next reply of its script and keeps what it was asked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pandas as pd

from gome.events import (
    Artifact,
    Budget,
    Column,
    CompletionFailed,
    CompletionReceived,
    CompletionRequested,
    Cost,
    Event,
    Hypothesis,
    Metric,
    Payload,
    RunStarted,
    Task,
    Text,
    Trajectory,
)
from gome.kernel.appender import Scribe
from gome.kernel.artifacts import ArtifactStore
from gome.kernel.discovery import codec_for
from gome.kernel.lifecycle import lifecycle
from gome.kernel.live import LiveRun
from gome.kernel.log_memory import MemoryLog
from gome.kernel.plugin import Context, Effect, Plugin, Result
from gome.kernel.pools import CorePool
from gome.kernel.reasoning import Feedback, ReasonContext, as_plugin
from gome.kernel.replay import Verifier
from gome.kernel.session import Session
from gome.kernel.spool import Spool
from gome.kernel.state import RunState
from gome.kernel.testing import start
from gome.kernel.timekeeping import RealTime
from gome.kernel.workshop import Workshop
from gome.plugins.judge.guard import plugin as guard
from gome.plugins.memory.kernel import plugin as memory
from gome.plugins.mutator.llm import plugin as llm
from gome.plugins.runner.sandbox import plugin as sandbox
from gome.plugins.scorer.metrics import plugin as metrics
from gome.plugins.search.gradient import plugin as gradient
from gome.plugins.selection.reruns import plugin as reruns
from tests.plugins.mutator.conftest import tables

CLASSES = {"binary": ("no", "yes"), "multiclass": ("big", "low", "mid")}
METRIC = {
    "regression": Metric("rmsle", False),
    "binary": Metric("roc_auc", True),
    "multiclass": Metric("log_loss", False),
}
FINE = '{"observations": "all there", "contract": true, "aligned": true, "implemented": true, "ok": true}'


class Model:
    """Replies by the name of the call, in order; the last one is said again and again. A `CompletionFailed` says why
    there is none."""

    def __init__(self, **script: Sequence[str | CompletionFailed]) -> None:
        self.script = {name: list(replies) for name, replies in script.items()}
        self.asked: list[CompletionRequested] = []

    def next(self, asked: CompletionRequested) -> CompletionReceived | CompletionFailed:
        """The answer to a call."""
        self.asked.append(asked)
        replies = self.script[asked.name]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, CompletionFailed):
            return reply
        return CompletionReceived(name=asked.name, text=Text.of(reply), model=asked.model, request="")

    def names(self) -> list[str]:
        """The calls so far, by name."""
        return [asked.name for asked in self.asked]

    @property
    def plugin(self) -> Plugin:
        """The model as a run's completion plugin."""

        async def perform(event: Event, ctx: Context) -> Result:
            assert isinstance(event.payload, CompletionRequested)
            return Result(self.next(event.payload), Cost(tokens_in=10, tokens_out=5, money=0.01, model="m"))

        return Plugin(name="scripted", role="completion", effects=(Effect(CompletionRequested),), perform=perform)


class Ideas:
    """A reasoner with one idea per step and no doubts."""

    def propose(self, context: ReasonContext) -> Hypothesis:
        number = context.attempt.number
        return Hypothesis(
            f"idea {number}", "model", {"sketch": f"Fit linear model number {number}."}, reason="it is fast"
        )

    def reflect(self, context: ReasonContext) -> Feedback:
        return Feedback(accept=True, lesson="linear models are fast")


@dataclasses.dataclass
class Run:
    """A run that has come to its end."""

    trajectory: Trajectory
    log: MemoryLog
    plugins: Sequence[Plugin]
    store: ArtifactStore

    async def events(self) -> list[Event]:
        """Everything that was said."""
        codec = codec_for(self.plugins)
        return [e async for s in self.log.read("r") for e in codec.commit(s, self.store.text).events]

    async def said(self, kind: type[Payload]) -> list[Any]:
        """Every payload of a type."""
        return [e.payload for e in await self.events() if isinstance(e.payload, kind)]

    async def verifies(self) -> bool:
        """Whether every decision is computed again just as it was recorded."""
        verdict = await Verifier("r", codec_for(self.plugins), self.plugins, self.store.text).run(self.log.read("r"))
        return verdict.ok and verdict.finished


def make_task(store: ArtifactStore, kind: str, rows: int) -> Task:
    """A table of numbers and categories, three quarters of it for training."""
    frame = tables(kind, rows, 0)[["id", "size", "gaps", "zip", "state", "town", "y"]]
    cut = rows * 3 // 4

    def put(name: str, table: pd.DataFrame) -> Artifact:
        data = table.to_csv(index=False).encode()
        return Artifact(store.put(data), len(data), name, "text/csv")

    kinds = {"state": "category", "town": "category"}
    return Task(
        name="houses",
        kind=kind,  # type: ignore[arg-type]
        metric=METRIC[kind],
        target="y",
        id="id",
        columns=tuple(Column(n, kinds.get(n, "numeric")) for n in frame if n not in ("id", "y")),  # type: ignore[arg-type]
        train=put("train.csv", frame[:cut]),
        test=put("test.csv", frame[cut:].drop(columns="y")),
        rows_train=cut,
        rows_test=rows - cut,
        description="What is a house worth?",
        classes=CLASSES.get(kind, ()),
    )


async def run(
    folder: Path, model: Model, *, kind: str = "regression", rows: int = 400, steps: int = 1, **settings: dict[str, Any]
) -> Run:
    """Drive a run to its end: one trace, few executions, debug samples of a tenth of the rows."""
    store = ArtifactStore(folder / "artifacts")
    plugins = (
        lifecycle,
        gradient,
        memory,
        as_plugin(Ideas(), name="ideas"),
        llm,
        model.plugin,
        sandbox,
        metrics,
        guard,
        reruns,
    )
    tables: dict[str, dict[str, Any]] = {
        "completion": {"model": "m"},
        "sandbox": {"debug_rows": 90, "seconds": 60.0, "debug_seconds": 60.0},
        "guard": {"seeds": 1, "repeats": 0},
        "reruns": {"candidates": 1, "repeats": 1},
    }
    for name, table in settings.items():
        tables[name] = {**tables.get(name, {}), **table}
    started = RunStarted(
        task=make_task(store, kind, rows),
        seed=3,
        budget=Budget(steps=steps),
        traces=1,
        capacity=2,
        roles={"mutator": "llm", "runner": "sandbox"},
        settings=tables,
        environment={"python": "3.11.7", "numpy": np.__version__, "pandas": pd.__version__},
    )
    log, codec = MemoryLog(), codec_for(plugins)
    live = LiveRun(log, RunState("r", codec, plugins, store.text), Scribe("r", codec, store, "t"), RealTime())
    shop = Workshop(
        plugins=plugins,
        artifacts=store,
        home=folder,
        spool=Spool(folder / "spool"),
        cores=CorePool(2),
        vault=lambda run, intent: None,  # type: ignore[arg-type, return-value]
        process="t",
    )
    await start(live, started)
    numbers = iter(range(1000))
    with anyio.fail_after(200):
        await Session(live, shop).drive(lambda: f"n{next(numbers)}")
    return Run(live.state.trajectory, log, plugins, store)
