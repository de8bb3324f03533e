"""A real store, a small task and everything `perform` needs, so that a test is a program and what came of it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from gome.events import (
    Artifact,
    CodeWritten,
    Draw,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    Intent,
    Limits,
    Metric,
    Payload,
    PluginPin,
    RunStarted,
    StepPlanned,
    Task,
    Text,
    Trajectory,
)
from gome.kernel.artifacts import ArtifactStore
from gome.kernel.plugin import Context
from gome.plugins.runner.sandbox import plugin

OUTPUTS = """
with open("submission.csv", "w") as f: f.write("id,y\\n3,0.5\\n")
with open("oof.csv", "w") as f: f.write("id,fold,y\\n1,0,0.5\\n2,1,0.5\\n")
"""
"""What a program has to leave, as cheaply as can be."""


async def _no_children(intent: Intent) -> Payload:
    raise AssertionError("the runner asks for no effects of its own")


def event_of(payload: Payload, id: str = "e" * 32, active: float = 0.0) -> Event:
    return Event(id=id, type=type(payload).__name__, seq=1, ts=0.0, payload=payload, active=active)


@dataclass
class Bench:
    """Runs programs as the kernel would: `await bench.run("print(1)")`. Each is really run: the cache is off."""

    home: Path
    store: ArtifactStore
    task: Task
    settings: dict[str, Any] = field(default_factory=lambda: {"cache": False})
    limits: Limits = field(default_factory=lambda: Limits(seconds=20, memory_mb=512, disk_mb=64, processes=64))
    inputs: dict[str, Artifact] = field(default_factory=dict)
    cancelled: Callable[[], bool] = lambda: False
    trajectory: Trajectory = field(default_factory=Trajectory)
    unsafe: bool = False

    @property
    def started(self) -> RunStarted:
        pins = (PluginPin("pipeline", "mutator", "1", "sha256-0"),)
        return RunStarted(task=self.task, seed=1, plugins=pins, settings={"sandbox": self.settings})

    def vouch(self, program: str, renderer: str = "r") -> None:
        """Let the log say that this program was rendered by a mutator."""
        text = Text.of(textwrap.dedent(program))
        code = CodeWritten(attempt="a1", program=text, digest=text.digest, trusted=True, renderer=renderer)
        self.trajectory.apply(event_of(StepPlanned(attempt="a1", trace=0, step=0)))
        self.trajectory.apply(event_of(code))

    def context(self, intent: Event, **changes: Any) -> Context:
        made = Context(
            run="r1",
            intent=intent,
            attempt=1,
            started=self.started,
            trajectory=self.trajectory,
            settings=self.settings,
            artifacts=self.store,
            workdir=self.home / "work" / intent.id[:8],
            home=self.home,
            draw=Draw(1, intent.id),
            call=_no_children,
            cancelled=self.cancelled,
            log=structlog.get_logger(),
            unsafe=self.unsafe,
        )
        return replace(made, **changes)

    async def run(
        self, program: str, *, id: str = "a" * 32, slot: tuple[int, ...] = (), gpu: str | None = None, **fields: Any
    ) -> ExecutionFinished:
        wanted: dict[str, Any] = {
            "attempt": "a1",
            "purpose": "full",
            "program": Text.of(textwrap.dedent(program)),
            "inputs": self.inputs,
            "limits": self.limits,
            "seed": 7,
            "partition": 2,
        }
        event = event_of(ExecutionRequested(**{**wanted, **fields}), id)
        assert plugin.perform is not None
        result = await plugin.perform(event, self.context(event, slot=slot, gpu=gpu))
        payload = getattr(result, "payload", result)
        assert isinstance(payload, ExecutionFinished)
        return payload


@pytest.fixture
def outputs() -> str:
    return OUTPUTS


@pytest.fixture
def make_event() -> Callable[..., Event]:
    return event_of


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path)


def make_bench(tmp_path: Path) -> Bench:
    """A bench below a folder; also for scripts that run beside the tests."""
    store = ArtifactStore(tmp_path / "home" / "artifacts")

    def put(name: str, text: str) -> Artifact:
        data = text.encode()
        return Artifact(digest=store.put(data), size=len(data), name=name)

    train = put("train.csv", "id,x,y\n1,10,0.1\n2,20,0.9\n")
    test = put("test.csv", "id,x\n3,30\n")
    task = Task(
        name="toy",
        kind="regression",
        metric=Metric("rmse", False),
        target="y",
        id="id",
        columns=(),
        train=train,
        test=test,
        rows_train=2,
        rows_test=1,
    )
    inputs = {
        "train.csv": train,
        "test.csv": test,
        "folds.csv": put("folds.csv", "id,p0\n1,0\n2,1\n"),
        "sample_submission.csv": put("sample_submission.csv", "id,y\n3,0\n"),
    }
    return Bench(home=tmp_path / "home", store=store, task=task, inputs=inputs)
