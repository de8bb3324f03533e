"""A stranger's plugins that make runs of a fraction of a second through every real door: entry points, log, vault.

Two searches, a runner that takes a moment and leaves a trace of each time it performs, a judge whose scores depend on
seed and search only, a scorer that grades into the vault, and a source with a few tasks of four rows. `python -m
gome.kernel.cli` finds them when the folder that `install` has filled is on PYTHONPATH.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from gome.events import (
    AttemptAccepted,
    Draw,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    Hypothesis,
    HypothesisProposed,
    Metric,
    Payload,
    RunStarted,
    Scores,
    SelectionStarted,
    StepPlanned,
    SubmissionGraded,
    SubmissionScored,
    SubmissionSelected,
    Task,
    Text,
)
from gome.kernel.errors import UsageError
from gome.kernel.plugin import Context, Plugin
from gome.kernel.tasks import Finding, PreparedTask, TaskOptions
from tests import distribution
from tests.kernel import recorded, toy

NAMES = ("alpha", "beta", "gamma", "delta")
SICK = "sick"
"""A task that cannot be prepared."""

search = toy.search
other = replace(toy.search, name="toy-other")
memory, mutator = recorded.memory, recorded.mutator


def _think(state: None, event: Event, draw: Draw) -> list[Payload]:
    assert isinstance(event.payload, StepPlanned)
    impact = 1.0 + draw.below(10, "impact")
    hypothesis = Hypothesis("print louder", "model", scores=Scores(impact=impact))
    return [HypothesisProposed(attempt=event.payload.attempt, hypothesis=hypothesis)]


reasoner = Plugin(name="toy-reasoner", role="reasoner", reads=(StepPlanned,), decide=_think)


async def _execute(event: Event, ctx: Context) -> Payload:
    """Takes a moment, so that a kill finds something in flight, and leaves a trace."""
    assert isinstance(event.payload, ExecutionRequested)
    await anyio.sleep(float(os.environ.get("TOY_SECONDS", "0.01")))
    ctx.artifacts.put(b"file")
    with open(ctx.home / "executed", "a") as file:
        file.write(f"{ctx.run} {event.payload.attempt}\n")
    (ctx.home / "pids").mkdir(exist_ok=True)
    (ctx.home / "pids" / str(os.getpid())).touch()
    return ExecutionFinished(
        attempt=event.payload.attempt, purpose="full", ok=True, seconds=2.0, outputs={"oof.csv": toy.FILE}
    )


runner = replace(toy.runner, perform=_execute)


@dataclass
class _Told:
    about: str = ""
    scores: dict[str, float] = field(default_factory=dict)


def _hear(state: _Told, event: Event) -> _Told:
    match event.payload:
        case RunStarted(roles=roles, task=task):
            state.about = f"{roles['search']} on {task.name}"
        case SubmissionScored(attempt=attempt, score=score):
            state.scores[attempt] = score
    return state


def _judge(state: _Told, event: Event, draw: Draw) -> list[Payload]:
    if not isinstance(event.payload, ExecutionFinished):
        return []
    attempt = event.payload.attempt
    score = round(draw.uniform(state.about), 9)
    return [
        SubmissionScored(attempt=attempt, purpose="full", score=score, se=0.01),
        AttemptAccepted(attempt=attempt, gain=1 - score, noise=0.02, rule="toy", reason="it ran"),
    ]


judge = Plugin(
    name="toy-judge",
    role="judge",
    reads=(RunStarted, ExecutionFinished),
    initial=_Told,
    evolve=_hear,
    decide=_judge,
)


def _select(state: _Told, event: Event, draw: Draw) -> list[Payload]:
    best = min(state.scores, key=lambda a: (state.scores[a], a))
    file = toy.FILE
    return [
        SubmissionSelected(
            attempt=best, score=state.scores[best], se=0.1, submission=file, oof=file, program=Text.of("pass")
        )
    ]


selection = Plugin(
    name="toy-selection",
    role="selection",
    reads=(RunStarted, SubmissionScored, SelectionStarted),
    answers=(SelectionStarted,),
    initial=_Told,
    evolve=_hear,
    decide=_select,
)


async def _grade(event: Event, ctx: Context) -> Payload:
    """Hidden grades of everything: validation and a tenth, so that a test knows them."""
    assert ctx.vault is not None
    t = ctx.trajectory
    assert t.selected is not None
    for attempt in t.attempts.values():
        if attempt.score is not None:
            await ctx.vault.record(SubmissionGraded(attempt.id, round(attempt.score + 0.1, 9)))
    await ctx.vault.record(SubmissionGraded("baseline", 2.0))
    await ctx.vault.record(SubmissionGraded("final", round(t.selected.score + 0.1, 9), 0.02, final=True))
    return SubmissionScored(attempt="final", purpose="rerun", score=t.selected.score)


scorer = replace(toy.scorer, perform=_grade)


class Source:
    """Tasks of four rows by name."""

    name = "toys"
    summary = "tasks of four rows"

    def matches(self, spec: str) -> bool:
        """No specification but the names."""
        return False

    def names(self) -> list[tuple[str, str]]:
        """See `TaskSource`."""
        return [(name, "four rows") for name in (*NAMES, SICK)]

    def prepare(self, spec: str, options: TaskOptions, folder: Path) -> PreparedTask:
        """See `TaskSource`."""
        if spec == SICK:
            raise UsageError("the table of this task has gone; look for it elsewhere")
        files = {}
        for name, text in (("train.csv", f"id,y\n1,2\n2,3\n{options.split_seed or 0},4\n"), ("test.csv", "id\n3\n")):
            files[name] = folder / name
            files[name].write_text(text)
        task = Task(spec, "regression", Metric("rmse", False), "y", "id", (), toy.FILE, toy.FILE, 3, 1)
        return PreparedTask(task, files, None, "")

    def check(self, prepared: PreparedTask) -> list[Finding]:
        """See `TaskSource`."""
        return []


source = Source()
ROLES = recorded.ROLES


def install(folder: Path) -> None:
    """Make the plugins an installed distribution in a folder."""
    points = recorded.points(ROLES, **dict.fromkeys(ROLES, __name__)) | {"gome.tasks": {"toys": f"{__name__}:source"}}
    points["gome.searches"]["toy-other"] = f"{__name__}:other"
    distribution.install(folder, "toy-bench", points)


def suite(tasks: int = 2, seeds: int = 2, steps: int = 3, **more: str) -> str:
    """A suite over the toys as TOML; `more` are further lines, by key."""
    others = [f'{role} = "{name}"' for role, name in ROLES.items() if role != "search"]
    lines = [
        f"tasks = {list(NAMES[:tasks])!r}",
        'searches = ["toy-search", "toy-other"]',
        f"seeds = {seeds}",
        "traces = 1",  # with several, what overtakes what is luck
        *(f"{key} = {value}" for key, value in more.items()),
        "[budget]",
        'currency = "steps"',
        f"amount = {steps}",
        "[settings]",
        *others,
    ]
    return "\n".join(lines) + "\n"
