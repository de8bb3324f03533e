"""Carrying out what the store does not hold yet, by the very performers of a real run: the sandbox, the scorer.

Several programs run at once where the virtual clock starts several at once, each on a core of its own. What fails here
is the machine, not the run: it is raised, never recorded.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import anyio
import msgspec
import structlog

from gome.events import (
    Codec,
    Draw,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    Intent,
    RunStarted,
    ScoreRequested,
    SubmissionGraded,
    Trajectory,
)
from gome.kernel.artifacts import ArtifactStore
from gome.kernel.errors import GomeError, UsageError
from gome.kernel.plugin import Context, Plugin, Result
from gome.kernel.pools import CorePool, DevicePool, Held, occupy
from gome.plugins.bench.world.asking import answered, kept, key_of
from gome.plugins.bench.world.store import Answer, Store


class Missing(GomeError):
    """A world that may not execute anything has no answer to a question."""


@dataclass
class Graded:
    """The vault of one score: hands out the hidden answers and keeps the grade out of everybody's sight."""

    answers_store: ArtifactStore
    grade: SubmissionGraded | None = None

    def answers(self, digest: str) -> bytes:
        """The table of hidden answers."""
        return self.answers_store.get(digest)

    async def record(self, grade: SubmissionGraded) -> None:
        """Keep a grade."""
        self.grade = grade


@dataclass
class Hands:
    """Answers recorded kinds of intents: from the store, or, where `live`, by performing and keeping. `performed`
    counts what was not there."""

    store: Store
    home: Path
    cores: int = 1
    live: bool = True
    performed: int = 0
    _pool: CorePool = field(init=False)
    artifacts: ArtifactStore = field(init=False)
    hidden: ArtifactStore = field(init=False)

    def __post_init__(self) -> None:
        self._pool = CorePool(self.cores)
        self.artifacts = ArtifactStore(self.home / "artifacts")
        self.hidden = ArtifactStore(self.home / "vault", private=True)

    async def answer(
        self, plugin: Plugin, event: Event, run: str, started: RunStarted, view: Trajectory, codec: Codec
    ) -> tuple[Answer, Result]:
        """The stored answer to an intent and the result that it makes. Raises `Missing`, and `GomeError` for what no
        world should be made of."""
        intent = event.payload
        assert isinstance(intent, Intent)
        key = key_of(codec, intent, started.task)
        found = self.store.find(key)
        if found is None:
            if not self.live:
                raise Missing(
                    f"run {run} asks for a {event.type} that the world does not hold: other settings or other code "
                    "than it was recorded with; without --world and --recorded what is missing is executed"
                )
            found = await self._perform(plugin, event, run, started, view, codec, key)
        return found, answered(codec, found, intent)

    async def _perform(
        self, plugin: Plugin, event: Event, run: str, started: RunStarted, view: Trajectory, codec: Codec, key: str
    ) -> Answer:
        intent = _whole(event.payload, started)
        asked = msgspec.structs.replace(event, payload=intent)
        effect = next(e for e in plugin.effects if e.intent is type(intent))
        work = self.home / "work" / f"{run}-{os.getpid()}" / event.id[:16]  # another process may play the same run
        vault = Graded(self.hidden) if isinstance(intent, ScoreRequested) else None
        self.performed += 1
        async with _held(self._pool if effect.pool else None, intent) as held:
            context = Context(
                run=run,
                intent=asked,
                attempt=1,
                started=started,
                trajectory=view,
                settings=started.settings.get(plugin.name, {}),
                artifacts=self.artifacts,
                workdir=work,
                home=self.home,
                draw=Draw(0, key),  # of what is asked, not of who asks: the first one answers for all
                call=_no_child,
                cancelled=lambda: False,
                log=structlog.get_logger("gome.world").bind(run=run),
                slot=held.cores,
                vault=vault,
            )
            assert plugin.perform is not None
            try:
                answer = await plugin.perform(asked, context)
            finally:
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(work, ignore_errors=True))
        payload = answer.payload if isinstance(answer, Result) else answer
        if isinstance(payload, ExecutionFinished) and payload.failure in ("cancelled", "killed"):
            raise GomeError(f"run {run}: a program was stopped from outside ({payload.error}); play the run again")
        grade = (vault.grade.score, vault.grade.se) if vault and vault.grade else None
        return self.store.keep(kept(codec, key, payload, grade))


def _whole(intent: object, started: RunStarted) -> Intent:
    """The intent with the limits that do not depend on how far the run has come."""
    assert isinstance(intent, Intent)
    if not isinstance(intent, ExecutionRequested):
        return intent
    if intent.limits.bar is not None or intent.limits.gpus:
        raise UsageError("a recorded world knows neither sandbox.stop_early nor GPUs: an answer must hold for all runs")
    most = float(started.settings.get("sandbox", {}).get("seconds", intent.limits.seconds))
    return msgspec.structs.replace(intent, limits=msgspec.structs.replace(intent.limits, seconds=most))


def _held(pool: CorePool | None, intent: Intent) -> contextlib.AbstractAsyncContextManager[Held]:
    """Wait for the cores that an intent occupies and hold them; of no pool, nothing."""
    return contextlib.nullcontext(Held()) if pool is None else occupy(pool, DevicePool(), intent.occupies())


async def _no_child(intent: Intent) -> NoReturn:
    raise GomeError(f"a recorded effect asks for {type(intent).__name__}, which belongs to a run")
