"""Trying a plugin on a run that is recorded already: what a reasoner was shown, and the records for `testing.conform`.

For authors of plugins, in their tests and at the prompt; nothing is appended anywhere, and no model is asked. A run is
named by its id in the log of the present folder, or by a file of records (`.jsonl`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import msgspec

from gome.events import (
    CODEC,
    CompletionReceived,
    CompletionRequested,
    Draw,
    Intent,
    MemoryRecalled,
    Payload,
    ProposalRequested,
    RecallRequested,
    ReflectionRequested,
    Sealed,
    Text,
    Trajectory,
)
from gome.kernel.errors import UnknownRun, UsageError
from gome.kernel.loop import CompletionSettings
from gome.kernel.reasoning import ReasonContext, shown

Resolve = Callable[[str], str]


def recorded(run: str) -> list[Sealed]:
    """All records of a run. Raises `UnknownRun`, and `UsageError` for a file without one run. Not to be called where an
    event loop runs: it has one of its own."""
    return _read(run)[0]


def context_at(
    run: str,
    attempt: str,
    *,
    replies: Iterable[Any] = (),
    settings: Mapping[str, Any] | None = None,
    reflect: bool = False,
) -> ReasonContext:
    """What a reasoner was shown when a recorded run asked it for a proposal for `attempt` (with `reflect`: for its
    opinion of it). `replies` answer calls of `complete` in their order, texts as they are and other values as JSON;
    `recall` answers with the attempt's recollections; `settings` is the reasoner's own table. Raises like `recorded`,
    and `UsageError` where the run has asked no such thing or a reply is missing."""
    sealed, resolve = _read(run)
    trajectory, asked = Trajectory(), ReflectionRequested if reflect else ProposalRequested
    for record in sealed:
        for event in CODEC.commit(record, resolve).events:
            trajectory.apply(event)
            if isinstance(event.payload, asked) and event.payload.attempt == attempt:
                assert trajectory.started is not None, "an intent cannot come before RunStarted"
                call, draw = _answers(trajectory, attempt, deque(replies)), Draw(trajectory.started.seed, event.id)
                context = shown(attempt, trajectory, trajectory.started, draw, dict(settings or {}), call)
                return replace(context, completion=CompletionSettings(model="rehearsed"))
    known = ", ".join(trajectory.attempts)
    raise UsageError(f"run {run} has no {asked.__name__} for {attempt!r}; its attempts are {known}")


def _answers(trajectory: Trajectory, attempt: str, replies: deque[Any]) -> Callable[[Intent], Awaitable[Payload]]:
    async def call(child: Intent) -> Payload:
        if isinstance(child, RecallRequested):
            return MemoryRecalled(attempt, trajectory.attempts[attempt].recollections)
        if not isinstance(child, CompletionRequested):
            raise UsageError(f"a rehearsal answers complete and recall; it cannot answer {type(child).__name__}")
        if not replies:
            raise UsageError(f"call {child.name}: no reply is left; hand context_at one more in `replies`")
        reply = replies.popleft()
        text = reply if isinstance(reply, str) else msgspec.json.encode(reply).decode()
        return CompletionReceived(child.name, Text.of(text), child.model, CODEC.argument_digest(child), attempt)

    return call


def _read(run: str) -> tuple[list[Sealed], Resolve]:
    from gome.kernel.connect import connect
    from gome.kernel.history import records_of
    from gome.kernel.settings import load

    async def of_file() -> tuple[list[Sealed], Resolve]:
        return await records_of(Path(run))

    async def of_log() -> tuple[list[Sealed], Resolve]:
        async with connect(load()) as connection:
            if (await connection.log.head(run)).seq == 0:
                raise UnknownRun(f"there is no run {run!r} in {connection.log.name}; `gome runs` lists them")
            artifacts = connection.artifacts
            found = [sealed async for sealed in connection.log.read(run)]
            return found, lambda digest: artifacts.get(digest).decode()

    return anyio.run(of_file if Path(run).suffix == ".jsonl" else of_log)
