"""Recorded runs for tests of commands: toy plugins under real entry points, driven in a recorded world into the log of
a real embedded server, with hypotheses, programs, scores, verdicts and hidden grades to show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    CodeWritten,
    Comparison,
    Draw,
    EffectFailed,
    Event,
    ExecutionFinished,
    FeedbackGiven,
    Hypothesis,
    HypothesisProposed,
    Payload,
    PluginPin,
    RunStarted,
    StepPlanned,
    SubmissionGraded,
    SubmissionScored,
    Text,
)
from gome.kernel.connect import Connection, Vaults
from gome.kernel.discovery import pin
from gome.kernel.plugin import Plugin
from gome.kernel.start import plugins_of
from gome.kernel.testing import drive, open_run, start
from gome.kernel.timekeeping import VirtualTime
from tests import distribution
from tests.kernel import toy

ROLES = {
    "search": "toy-search",
    "memory": "toy-memory",
    "reasoner": "toy-reasoner",
    "mutator": "toy-mutator",
    "runner": "toy-runner",
    "scorer": "toy-scorer",
    "judge": "toy-judge",
    "selection": "toy-selection",
}
GROUPS = (
    {"memory": "gome.memories"}
    | {r: f"gome.{r}s" for r in ROLES if r not in ("memory", "search")}
    | {"search": "gome.searches"}
)


def _think(state: None, event: Event, draw: Draw) -> list[Payload]:
    assert isinstance(event.payload, StepPlanned)
    attempt = event.payload.attempt
    program = Text.of(f"import this\nprint({attempt!r})\n")
    hypothesis = Hypothesis(f"print {attempt} louder", "model", reason="it was hard to hear", move="shout")
    return [
        HypothesisProposed(attempt=attempt, hypothesis=hypothesis),
        CodeWritten(attempt=attempt, program=program, digest=program.digest),
    ]


@dataclass
class _Judge:
    accepted: list[str] = field(default_factory=list)


def _judge_evolve(state: _Judge, event: Event) -> _Judge:
    if isinstance(event.payload, AttemptAccepted):
        state.accepted.append(event.payload.attempt)
    return state


def _judge(state: _Judge, event: Event, draw: Draw) -> list[Payload]:
    match event.payload:
        case ExecutionFinished(attempt=attempt):
            score = 1.0 - len(state.accepted) / 10
            return [
                SubmissionScored(attempt=attempt, purpose="full", score=score, se=0.01, diagnostics={"gap": 0.25}),
                FeedbackGiven(attempt=attempt, accept=True, lesson="loud is good"),
                AttemptAccepted(attempt=attempt, gain=0.1, noise=0.02, rule="toy", reason="it ran"),
            ]
        case EffectFailed(kind="ExecutionRequested", attempt=attempt, error=error):
            return [AttemptRejected(attempt=attempt, reason=error, failure="killed")]
    return []


search = toy.search
runner = toy.runner
scorer = toy.scorer
selection = toy.selection
memory = Plugin(name="toy-memory", role="memory")
mutator = Plugin(name="toy-mutator", role="mutator")
reasoner = Plugin(name="toy-reasoner", role="reasoner", reads=(StepPlanned,), decide=_think)
judge = Plugin(
    name="toy-judge",
    role="judge",
    reads=(ExecutionFinished, EffectFailed, AttemptAccepted),
    initial=_Judge,
    evolve=_judge_evolve,
    decide=_judge,
)


def points(roles: Mapping[str, str], **modules: str) -> dict[str, dict[str, str]]:
    """Entry points of plugins that are named after their roles in their `modules`, by default in this one."""
    return {GROUPS[role]: {name: f"{modules.get(role, __name__)}:{role}"} for role, name in roles.items()}


def install(folder: Path, *, broken: bool = False) -> None:
    """Make the toy plugins an installed distribution in a folder; put it on the path. With `broken`, also a plugin
    whose import fails."""
    sick = {"gome.plugins": {"sick": "toy_sick:plugin"}} if broken else {}
    distribution.install(folder, "toy-world", points(ROLES) | sick, version="1.5")
    if broken:
        (folder / "toy_sick.py").write_text("raise RuntimeError('out of order')\n")


def first_event(steps: int = 6) -> RunStarted:
    """The first event of a recorded run, pinned to today's toy plugins."""
    from msgspec.structs import replace

    started = replace(toy.started(steps=steps), roles=ROLES)
    pins: tuple[PluginPin, ...] = tuple(pin(p) for p in plugins_of(started))
    return replace(started, plugins=pins)


async def record(connection: Connection, run: str, *, steps: int = 6, stop_after: int | None = None) -> None:
    """Record a run and the hidden grades of its attempts."""
    time = VirtualTime()
    started = first_event(steps)
    store = connection.artifacts
    store.put(b"file")
    live = await open_run(connection.log, run, plugins_of(started), store, time)  # type: ignore[arg-type]
    await start(live, started)
    await drive(live, toy.world, time, stop_after=stop_after)
    for attempt in live.state.trajectory.attempts.values():
        if attempt.scored:
            await (
                Vaults(connection).of(run, attempt.id).record(SubmissionGraded(attempt.id, attempt.scored.score + 0.05))
            )
    against = (Comparison("a1", 0.2, 0.05),)
    final = SubmissionGraded("final", 0.75, 0.02, final=True, comparisons=against, intervals={"a1": (0.1, 0.3)})
    await Vaults(connection).of(run, "final").record(final)


@contextmanager
def installed(folder: Path) -> Iterator[pytest.MonkeyPatch]:
    """The plugins of recorded runs are installed for the length of the block."""
    install(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield patch
