"""The default plugins carry any step that a tree search can plan: whole runs in a recorded world in which some
programs fail, searched by a plugin that grows its tree at random."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    Budget,
    DataProfiled,
    Draw,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    Payload,
    RunStarted,
    SearchEnded,
    SelectionStarted,
    StepKind,
    StepPlanned,
    SubmissionScored,
)
from gome.events.pipeline import member_key
from gome.kernel.discovery import choose, discover
from gome.kernel.log_memory import MemoryLog
from gome.kernel.plugin import Plugin
from gome.kernel.replay import Verifier
from gome.kernel.state import OpenIntent
from gome.kernel.testing import MemoryArtifacts, drive, open_run, start
from gome.kernel.timekeeping import VirtualTime
from tests.plugins.reasoner.playbook.playing import task_of
from tests.plugins.whole import Played, World

pytestmark = pytest.mark.anyio
STEPS = 30
FAILURES = ("time", "memory", "data", "numeric", "contract", "import")


SCOPES_OF = {
    "draft": "mlmaster.draft",
    "improve": "aide.improve",
    "debug": "mlevolve.debug",
    "crossover": "aira.crossover",
    "evolution": "mlevolve.evolution",
    "fusion": "mlevolve.fusion",
}
"""What a step of each kind is shown, of every search something."""


@dataclass
class Tree:
    """Attempts that are known to have ended, which of them have a score, and how many were planned."""

    scored: set[str] = field(default_factory=set)
    ended: list[str] = field(default_factory=list)
    planned: int = 0
    stopped: bool = False


def _evolve(state: Tree, event: Event) -> Tree:
    match event.payload:
        case StepPlanned():
            state.planned += 1
        case SubmissionScored(purpose="full", attempt=attempt):
            state.scored.add(attempt)
        case AttemptAccepted(attempt=attempt) | AttemptRejected(attempt=attempt):
            state.ended.append(attempt)
        case SelectionStarted():
            state.stopped = True
    return state


def _decide(state: Tree, event: Event, draw: Draw) -> Sequence[Payload]:
    if state.stopped or state.planned > len(state.ended):
        return ()
    if state.planned >= STEPS:
        return [SearchEnded(reason="grown")]
    good = [a for a in state.ended if a in state.scored]
    bad = [a for a in state.ended if a not in state.scored]
    kinds: list[StepKind] = ["draft"]
    kinds += ["debug", "debug"] if bad else []
    kinds += ["improve", "evolution"] if good else []
    kinds += ["crossover", "fusion", "fusion"] if len(good) > 1 else []
    kind = draw.choice(kinds, "kind")
    parent, others = "", ()
    if kind == "debug":
        parent = draw.choice(bad, "parent")
    elif kind != "draft":
        first, *rest = draw.shuffled(good, "parent")
        alone = kind == "fusion" and draw.below(2, "alone") == 0
        parent = "" if alone else first
        others = tuple(rest[:2]) if kind in ("crossover", "fusion") else ()
    name = f"a{state.planned + 1}"
    return [
        StepPlanned(
            name, trace=state.planned % 4, step=1, kind=kind, parent=parent, parents=others, context=SCOPES_OF[kind]
        )
    ]


TWIGS = Plugin(
    name="twigs",
    role="search",
    summary="grows a tree at random",
    reads=(DataProfiled, StepPlanned, SubmissionScored, AttemptAccepted, AttemptRejected, SelectionStarted),
    answers=(DataProfiled, AttemptAccepted, AttemptRejected),
    initial=Tree,
    evolve=_evolve,
    decide=_decide,
)


class Rough(World):
    """A world in which every fourth member breaks the program it is part of, in a way of its own."""

    def _answer(self, found: OpenIntent) -> Payload:
        said = super()._answer(found)
        asked = found.event.payload
        if isinstance(asked, ExecutionRequested) and isinstance(said, ExecutionFinished):
            pipeline = self._pipeline(found, asked.attempt)
            marks = [zlib.crc32(member_key(m).encode()) for m in pipeline.members] if pipeline else []
            if broken := [mark for mark in marks if mark % 4 == 0]:
                failure = FAILURES[broken[0] % len(FAILURES)]
                return ExecutionFinished(
                    asked.attempt, asked.purpose, False, failure=cast(Any, failure), error="it broke", seconds=30.0
                )
        return said


async def grown(seed: int, **settings: dict[str, Any]) -> Played:
    """Grow a tree to its end."""
    plugins = [*(p for p in choose(discover(), {}, extra=["baseline"]) if p.role != "search"), TWIGS]
    started = RunStarted(task=task_of(), seed=seed, budget=Budget(steps=STEPS), capacity=1, settings=dict(settings))
    log, artifacts, time = MemoryLog(), MemoryArtifacts(), VirtualTime()
    live = await open_run(log, "r", plugins, artifacts, time)
    await start(live, started)
    await drive(live, Rough(started), time)
    verifier = Verifier("r", live.state.codec, plugins, artifacts.text)
    async for sealed in log.read("r"):
        verifier.take(sealed)
    return Played(live.state, verifier.verdict())


@pytest.mark.parametrize(
    ("seed", "diagnosis", "strength"),
    [(1, True, 1.0), (2, True, 1.0), (3, True, 0.2), (1, False, 1.0), (2, False, 0.2)],
)
async def test_every_step_of_a_tree_is_answered_in_its_kind_with_a_new_program(
    seed: int, diagnosis: bool, strength: float
) -> None:
    run = await grown(seed, loop={"diagnosis": diagnosis}, playbook={"strength": strength})
    assert run.verdict.ok and run.state.finished and run.state.finished.outcome == "done"
    assert len(run.attempts) == STEPS and {a.kind for a in run.attempts} >= {"draft", "debug", "crossover", "fusion"}
    attempts = {a.id: a for a in run.attempts}
    programs = [a.code.digest for a in run.attempts if a.code]
    assert len(programs) == len(set(programs)) > 0.8 * STEPS
    for a in run.attempts:
        assert a.accepted is not None
        if a.hypothesis is None:
            assert a.failure == "proposal" and "nothing left" in a.reason
            continue
        assert a.failure not in ("code", "effect"), a.reason
        parent = attempts.get(a.parent)
        if a.kind == "debug":
            broken = parent is not None and parent.code is not None
            assert a.hypothesis.move.startswith("repair:" if broken else ""), "what is broken is repaired"
    assert any(a.hypothesis and a.hypothesis.move.startswith("cross:") for a in run.attempts)
    repaired = [a for a in run.attempts if a.kind == "debug" and a.scored]
    assert repaired, "repairs lead somewhere"
