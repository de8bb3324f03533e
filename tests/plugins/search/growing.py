"""Help for tests of tree searches: a run that a search has begun, and the ways in which a step can end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    Budget,
    CodeWritten,
    DataProfiled,
    Payload,
    PluginPin,
    ProposalFailed,
    RunStarted,
    StepPlanned,
    SubmissionScored,
    Text,
)
from gome.kernel.plugin import Plugin
from tests.plugins.driver import Driver, artifact, some_task

PROFILED = DataProfiled(artifact("folds.csv"), artifact("sample.csv"), fold_count=5, partitions=8)
Step = tuple[str, str, str]
"""Attempt, operator, parent."""


def growing(
    plugin: Plugin,
    *,
    capacity: int = 1,
    budget: Budget | None = None,
    greater: bool = True,
    seed: int = 0,
    pinned: bool = True,
    **table: Any,
) -> Driver:
    """A run up to its profile, so that the first steps are planned. Not `pinned`: as it was recorded before there were
    any behaviour flags."""
    run = Driver(plugin, seed=seed)
    started = RunStarted(
        task=some_task("r2" if greater else "rmse", greater),
        seed=seed,
        budget=budget or Budget(steps=500),
        capacity=capacity,
        plugins=(PluginPin(plugin.name, plugin.role, plugin.version, "", plugin.flags),) if pinned else (),
        settings={plugin.name: table},
    )
    run.say(started)
    run.say(PROFILED)
    return run


def written(run: Driver, name: str) -> None:
    """A program is written for an attempt."""
    text = Text.of(f"print({name!r})")
    run.say(CodeWritten(name, text, text.digest))


def good(run: Driver, name: str, score: float, *, accepted: bool = True, active: float | None = None) -> list[Payload]:
    """An attempt is scored and judged, which way does not matter to a tree; returns what the search says."""
    written(run, name)
    run.say(SubmissionScored(name, "full", score), active=active)
    return run.say(AttemptAccepted(name, gain=0.1) if accepted else AttemptRejected(name, gain=-0.1))


def failed(run: Driver, name: str, failure: str = "exception") -> list[Payload]:
    """An attempt's program fails."""
    written(run, name)
    return run.say(AttemptRejected(name, failure=failure))


def lost(run: Driver, name: str, failure: str = "proposal") -> list[Payload]:
    """An attempt ends before there is a program."""
    run.say(ProposalFailed(name, "the service did not answer"))
    return run.say(AttemptRejected(name, failure=failure))


def exhausted(run: Driver, name: str) -> list[Payload]:
    """The reasoner has nothing left to propose for an attempt."""
    run.say(ProposalFailed(name, "nothing left", exhausted=True))
    return run.say(AttemptRejected(name, failure="proposal"))


def steps(said: Sequence[Payload]) -> list[Step]:
    """The steps that were planned."""
    return [(p.attempt, p.kind, p.parent) for p in said if isinstance(p, StepPlanned)]


def only(said: Sequence[Payload]) -> Step:
    """The one step that was planned."""
    (step,) = steps(said)
    return step
