"""Made-up runs for tests of the memory: attempts that go their whole way, and what a step is told after them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    Cost,
    Draw,
    Event,
    ExecutionFinished,
    FeedbackGiven,
    Hypothesis,
    HypothesisProposed,
    MemoryRecalled,
    Payload,
    RecallRequested,
    RunStarted,
    StepPlanned,
    SubmissionScored,
    Trajectory,
)
from gome.events.memory import SuccessMemory
from gome.kernel.plugin import Context, FinishedRun
from gome.plugins.memory.kernel.recall import recall
from tests.plugins.driver import some_task

IDEAS = ("add ages from years", "add the ratio of areas", "fewer leaves for the booster", "blend three families")


def story(
    outcomes: list[tuple[int, bool, float]], *, score: float = 1.0, greater: bool = False, **kernel: Any
) -> list[Payload]:
    """A run in which each attempt (trace, accepted, gain) goes its whole way; `kernel` is the memory's table."""
    task = some_task("r2" if greater else "rmse", greater)
    said: list[Payload] = [RunStarted(task=task, seed=3, traces=3, settings={"kernel": kernel})]
    heads: dict[int, str] = {}
    for number, (trace, accepted, gain) in enumerate(outcomes, start=1):
        name = f"a{number}"
        score -= (-gain if greater else gain) if accepted else 0.0
        said += [
            StepPlanned(name, trace, step=number, parent=heads.get(trace, "")),
            HypothesisProposed(name, Hypothesis(IDEAS[number % 4], "features", move=f"move{number % 4}")),
            ExecutionFinished(name, "full", True, seconds=2.0),
            SubmissionScored(name, "full", score),
            FeedbackGiven(name, accept=accepted, lesson=f"lesson {number}"),
            AttemptAccepted(name, gain=gain) if accepted else AttemptRejected(name, gain=-gain),
        ]
        if accepted:
            heads[trace] = name
    return said


def folded(said: list[Payload]) -> tuple[SuccessMemory, Trajectory]:
    memory, trajectory = SuccessMemory(), Trajectory()
    for seq, payload in enumerate(said, start=1):
        event = Event(f"{seq:032x}", type(payload).__name__, seq, float(seq), payload, active=float(seq))
        memory.apply(event)
        trajectory.apply(event)
    return memory, trajectory


def told(
    said: list[Payload],
    trace: int = 0,
    query: str = "ages from years",
    *,
    parent: str = "",
    queries: tuple[str, ...] = (),
    limit: int = 4,
    seed: int = 0,
    elsewhere: Sequence[FinishedRun] | OSError | None = None,
) -> tuple[MemoryRecalled, Cost | None]:
    """What a step of a trace is told after a story, and what it cost."""
    _, trajectory = folded(said)
    asked = RecallRequested("x", trace, parent, position=len(said), query=query, limit=limit, queries=queries)
    event = Event("f" * 32, "RecallRequested", len(said) + 1, 0.0, asked)
    started = cast(RunStarted, said[0])

    async def others() -> Sequence[FinishedRun]:
        assert elsewhere is not None, "nobody should ask for other runs"
        if isinstance(elsewhere, OSError):
            raise elsewhere
        return elsewhere

    ctx = Context(
        run="r", intent=event, attempt=1, started=started, trajectory=trajectory.snapshot(),
        settings={"backend": "numpy", **started.settings.get("kernel", {})},
        artifacts=cast(Any, None), workdir=Path(), home=Path(),
        draw=Draw(seed, event.id), call=cast(Any, None), cancelled=lambda: False,
        log=cast(Any, Silent()), elsewhere=others,
    )  # fmt: skip
    result = asyncio.run(recall(event, ctx))
    assert isinstance(result.payload, MemoryRecalled)
    return result.payload, result.cost


def remember(said: list[Payload], trace: int = 0, query: str = "ages from years", **more: Any) -> MemoryRecalled:
    """What a step of a trace is told after a story."""
    return told(said, trace, query, **more)[0]


class Silent(logging.Logger):
    """A logger that takes structlog's keywords and keeps quiet."""

    def __init__(self) -> None:
        super().__init__("silent")

    def warning(self, *args: Any, **keywords: Any) -> None:
        """Nothing."""
