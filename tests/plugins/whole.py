"""Whole runs of the default plugins in a recorded world: deciders, memory and playbook are the real ones; what programs
would do and score is made up from their pipelines, so that a run is a pure function of its settings and seed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import structlog

from gome.events import (
    Attempt,
    Budget,
    Comparison,
    DataProfiled,
    Draw,
    ExecutionFinished,
    ExecutionRequested,
    FeedbackGiven,
    FoldMasked,
    HypothesisProposed,
    MaskRequested,
    Payload,
    ProfileRequested,
    ProposalFailed,
    ProposalRequested,
    RecallRequested,
    ReflectionRequested,
    RunStarted,
    ScoreRequested,
    SubmissionScored,
)
from gome.events.pipeline import Pipeline, family, member_key, read_pipeline
from gome.kernel.discovery import choose, discover
from gome.kernel.log_memory import MemoryLog
from gome.kernel.loop import loop_settings
from gome.kernel.plugin import Context, Plugin
from gome.kernel.reasoning import context_of
from gome.kernel.replay import Verdict, Verifier
from gome.kernel.state import OpenIntent, RunState
from gome.kernel.testing import MemoryArtifacts, drive, open_run, start
from gome.kernel.timekeeping import VirtualTime
from gome.plugins.memory.kernel.recall import work
from gome.plugins.memory.kernel.settings import read_settings
from gome.plugins.reasoner.playbook.propose import propose
from gome.plugins.reasoner.playbook.reflect import reflect
from gome.plugins.selection.reruns.events import AverageRequested, SubmissionAveraged
from tests.plugins.reasoner.playbook.playing import PROFILE, described, file, task_of


@cache
def plugins() -> tuple[Plugin, ...]:
    """The default plugin of every role and the built-in rest."""
    return tuple(choose(discover(), {}, extra=["baseline"]))


def goodness(pipeline: Pipeline) -> float:
    """A made-up validation score (smaller is better): more families and features help, and there is some luck."""
    families = {family(m) for m in pipeline.members}
    features = max(len(m.features) for m in pipeline.members)
    luck = zlib.crc32(" ".join(sorted(member_key(m) for m in pipeline.members)).encode()) % 1000 / 1e5
    harm = 0.01 * sum(m.fault == "noise" for m in pipeline.members)
    return round(0.15 - 0.006 * min(len(families), 6) - 0.0005 * min(features, 30) + luck + harm, 6)


@dataclass
class World:
    """Answers every intent of a run started with `started`."""

    started: RunStarted
    known: dict[str, tuple[Payload, float]] = field(default_factory=dict)

    def __call__(self, found: OpenIntent) -> tuple[Payload, float]:
        if found.event.id not in self.known:
            self.known[found.event.id] = self._answer(found), 2.0
        return self.known[found.event.id]

    def _context(self, found: OpenIntent) -> Context:
        return Context(
            run="r", intent=found.event, attempt=1, started=self.started, trajectory=found.view,
            settings=self.started.settings.get("playbook", {}),
            artifacts=cast(Any, None), workdir=Path(), home=Path(), draw=Draw(self.started.seed, found.event.id),
            call=cast(Any, None), cancelled=lambda: False, log=structlog.get_logger(),
        )  # fmt: skip

    def _answer(self, found: OpenIntent) -> Payload:
        intent, ctx = found.event.payload, self._context(found)
        match intent:
            case ProfileRequested():
                return DataProfiled(file("folds"), file("sample"), fold_count=5, partitions=8, profile=PROFILE)
            case RecallRequested():
                settings = read_settings({**self.started.settings.get("kernel", {}), "backend": "numpy"})
                reach = loop_settings(self.started.settings).reach
                return work(intent, ctx.trajectory, settings, self.started.task, (), ctx.draw, reach)[0]
            case ProposalRequested(attempt=attempt):
                made = propose(context_of(ctx, attempt))
                if made is None:
                    return ProposalFailed(attempt, "nothing left", exhausted=True)
                return HypothesisProposed(attempt, made.hypothesis, made.challenges, made.considered, made.chosen)
            case ReflectionRequested(attempt=attempt):
                said = reflect(context_of(ctx, attempt))
                return FeedbackGiven(attempt, said.accept, said.observations, said.reason, said.lesson)
            case ExecutionRequested():
                pipeline = self._pipeline(found, intent.attempt)
                if pipeline and any(m.fault == "crash" for m in pipeline.members):
                    return ExecutionFinished(intent.attempt, intent.purpose, False, failure="data", error="declared")
                names = ("oof.csv", "submission.csv")
                return ExecutionFinished(
                    intent.attempt,
                    intent.purpose,
                    True,
                    seconds=2.0,
                    outputs={name: file(f"{found.event.id}/{name}") for name in names},
                    diagnostics=described(pipeline) if pipeline else {},
                    seed=intent.seed,
                    partition=intent.partition,
                    masked_fold=intent.masked_fold,
                )
            case ScoreRequested():
                return self._scored(found, intent)
            case MaskRequested():
                return FoldMasked(intent.partition, intent.fold, {"train.csv": file("masked")})
            case AverageRequested():
                return SubmissionAveraged(file("mean.sub"), file("mean.oof"))
        raise AssertionError(f"this world does not know {intent!r}")

    def _pipeline(self, found: OpenIntent, name: str) -> Pipeline | None:
        attempt = found.view.attempts.get(name)
        return read_pipeline(attempt.code.spec) if attempt and attempt.code else None

    def _score(self, found: OpenIntent, name: str) -> float:
        pipeline = self._pipeline(found, name)
        return goodness(pipeline) if pipeline else 0.16

    def _scored(self, found: OpenIntent, asked: ScoreRequested) -> SubmissionScored:
        score = self._score(found, asked.attempt)
        gains = {rival.attempt: self._score(found, rival.attempt) - score for rival in asked.against}
        return SubmissionScored(
            asked.attempt,
            asked.purpose,
            score,
            fold_scores=(score,) * 5,
            se=0.001,
            seed=asked.seed,
            partition=asked.partition,
            masked_fold=asked.masked_fold,
            comparisons=tuple(Comparison(name, gain, 0.0002, (gain,) * 5) for name, gain in gains.items()),
            outputs=asked.outputs,
        )


@dataclass(frozen=True)
class Played:
    """A finished run: its state, and whether its log verifies."""

    state: RunState
    verdict: Verdict

    @property
    def attempts(self) -> list[Attempt]:
        return list(self.state.trajectory.attempts.values())


async def played(*, steps: int = 16, traces: int = 3, seed: int = 7, **settings: dict[str, Any]) -> Played:
    """Play a run with these tables of settings to its end and verify its log."""
    started = RunStarted(
        task=task_of(), seed=seed, budget=Budget(steps=steps), traces=traces, capacity=2, settings=dict(settings)
    )
    log, artifacts, time = MemoryLog(), MemoryArtifacts(), VirtualTime()
    live = await open_run(log, "r", plugins(), artifacts, time)
    await start(live, started)
    await drive(live, World(started), time)
    verifier = Verifier("r", live.state.codec, list(plugins()), artifacts.text)
    async for sealed in log.read("r"):
        verifier.take(sealed)
    return Played(live.state, verifier.verdict())
