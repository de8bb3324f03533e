"""Made-up runs for tests of the reasoner with a language model: a trajectory, and a completion plugin's double.

`Script` answers `CompletionRequested` by the name of the call, as a completion plugin that has been recorded would, and
keeps what was asked. `Run` is a run whose attempts go their way as the test says; its effects are performed with the
plugin's own `perform`, so nothing of the reasoner is faked.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, cast

import msgspec
import structlog

from gome.events import (
    Artifact,
    AttemptAccepted,
    AttemptRejected,
    Budget,
    CodeWritten,
    Column,
    Comparison,
    CompletionFailed,
    CompletionReceived,
    CompletionRequested,
    DataProfiled,
    Draw,
    Event,
    ExecutionFinished,
    FeedbackGiven,
    Hypothesis,
    HypothesisProposed,
    Intent,
    MemoryRecalled,
    Metric,
    Payload,
    ProposalFailed,
    ProposalRequested,
    RecallRequested,
    Recollection,
    ReflectionRequested,
    RunStarted,
    StepPlanned,
    SubmissionScored,
    Task,
    Text,
    Trajectory,
)
from gome.kernel.plugin import Context
from gome.kernel.testing import MemoryArtifacts
from gome.plugins.reasoner.gome import plugin

CALLS = ("scenario", "scenario_challenges", "feedback_challenges", "hypotheses", "critique", "rewrite", "selection")
SCORES = {"alignment": 8, "impact": 6, "novelty": 7, "feasibility": 9, "risk_reward": 5}
TRAIN = b"id,Lot_Area,Neighborhood,price\n1,8450,CollgCr,208500\n2,9600,Veenker,181500\n3,11250,CollgCr,223500\n"
PROFILE = {
    "rows_train": 900,
    "cardinality": {"Neighborhood": 28},
    "target": {"kind": "regression", "skew": 1.88, "log_skew": 0.12},
    "missing": {"share": 0.01, "columns": {"Lot_Area": 0.2}},
}
PROGRAM = """import pandas as pd
from sklearn.linear_model import Ridge

train = pd.read_csv("input/train.csv")
folds = pd.read_csv("input/folds.csv")
# {note}
model = Ridge(alpha=1.0)
"""


def challenge(caption: str, weight: float = 0.5) -> dict[str, Any]:
    """A challenge as a model would name it."""
    return {
        "evidence": f"The figures say so about: {caption}.",
        "statement": f"{caption} costs score.",
        "weight": weight,
        "caption": caption,
    }


def challenges(*captions: str) -> dict[str, Any]:
    """A diagnosis."""
    return {"analysis": ["The target is skewed."], "challenges": [challenge(c) for c in captions]}


def hypothesis(caption: str, component: str = "model", **scores: float) -> dict[str, Any]:
    """A hypothesis for a challenge."""
    return {
        "challenge": caption,
        "reason": f"It meets {caption}.",
        "statement": f"Do something about {caption}.",
        "component": component,
        "scores": {**SCORES, **scores},
    }


def hypotheses(*found: dict[str, Any]) -> dict[str, Any]:
    """Hypotheses."""
    return {"hypotheses": list(found)}


SCENARIO = {
    "problem": "Predict the price of a house.",
    "data": "One row is one sale.",
    "metric": "Relative errors count.",
    "traps": ["The year of sale leaks."],
    "approaches": ["Boosted trees on the log of the price.", "Ridge as a member."],
}
SKETCH = {"starting_point": "Reading stays.", "changes": ["Another model."], "sketch": "### Model\nRidge on logs."}
VERDICT = {
    "observations": "The score fell from 0.2 to 0.15.",
    "format_valid": True,
    "alignment": "Folds are kept apart.",
    "aligned": True,
    "analysis": "The log target did it.",
    "better": True,
    "reason": "Better in all folds.",
    "lesson": "A log target helps when the target is skewed.",
}


class Script:
    """Answers calls by name. A reply is a value (sent as JSON), a text (sent as it is) or a `CompletionFailed`; the
    last one of a name is given again and again."""

    def __init__(self, **replies: Any) -> None:
        self.replies = {name: list(r) if isinstance(r, list) else [r] for name, r in replies.items()}
        self.asked: list[CompletionRequested] = []
        self.recalled: list[RecallRequested] = []
        self.recollections: tuple[Recollection, ...] = ()

    async def __call__(self, intent: Intent) -> Payload:
        if isinstance(intent, RecallRequested):
            self.recalled.append(intent)
            return MemoryRecalled(intent.attempt, self.recollections)
        assert isinstance(intent, CompletionRequested), intent
        self.asked.append(intent)
        assert intent.name in self.replies, f"nobody expects the call {intent.name}"
        queue = self.replies[intent.name]
        reply = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(reply, CompletionFailed):
            return reply
        text = reply if isinstance(reply, str) else json.dumps(reply)
        return CompletionReceived(intent.name, Text.of(text), intent.model, "digest")

    @property
    def names(self) -> list[str]:
        """The calls made, in order; a repaired one stands twice."""
        return [a.name for a in self.asked]

    def prompt(self, name: str) -> str:
        """The user's message of the first call of a name."""
        return str(next(a for a in self.asked if a.name == name).messages[1].content)

    def repair(self, name: str) -> str:
        """What was said to the model about its first reply to a call."""
        return str([a for a in self.asked if a.name == name][1].messages[-1].content)


def script(*captions: str, **more: Any) -> Script:
    """A model that names these challenges, a hypothesis for each on another component, selects the first, sketches."""
    found = captions or ("skewed target", "weak features")
    parts = ("target", "features", "model", "data", "training", "workflow", "ensemble")
    said: dict[str, Any] = {
        "scenario": SCENARIO,
        "scenario_challenges": challenges(*found),
        "feedback_challenges": challenges(*found),
        "hypotheses": hypotheses(*(hypothesis(c, p) for c, p in zip(found, parts, strict=False))),
        "selection": {"reason": "It pays most.", "action": "select", "challenge": found[0]},
        "sketch": SKETCH,
        "feedback": VERDICT,
    }
    return Script(**{**said, **more})


class Run:
    """A run in which attempts go their way at once."""

    def __init__(self, *, budget: Budget | None = None, task: Task | None = None, **settings: Any) -> None:
        self.artifacts = MemoryArtifacts()
        self.task = task or house_task(self.artifacts.put(TRAIN))
        self.trajectory = Trajectory()
        self.seq = 0
        self.active = 0.0
        tables = {"completion": {"model": "m"}, **settings}
        self.started = RunStarted(
            task=self.task,
            seed=1,
            budget=budget or Budget(seconds=1000.0),
            traces=3,
            settings=tables,
            environment={"pandas": "3", "torch": "2"},
        )
        self.say(self.started)
        self.say(DataProfiled(file("folds"), file("sample"), fold_count=5, partitions=8, profile=PROFILE))

    def say(self, payload: Payload) -> Event:
        """Append an event to the run's trajectory."""
        self.seq += 1
        event = Event(
            f"{self.seq:032x}", type(payload).__name__, self.seq, float(self.seq), payload, active=self.active
        )
        self.trajectory.apply(event)
        return event

    def plan(self, name: str, trace: int = 0, kind: str = "", parents: tuple[str, ...] = ()) -> None:
        """Plan a step on the head of a trace."""
        head = self.trajectory.head(trace)
        kind = kind or ("improve" if head else "draft")
        parent = head.id if head else ""
        self.say(StepPlanned(name, trace, step=self.seq, kind=cast(Any, kind), parent=parent, parents=parents))

    def finish(
        self,
        name: str,
        score: float | None = 0.2,
        *,
        accepted: bool = True,
        statement: str = "",
        component: str = "model",
        failure: str = "",
        reason: str = "",
        stdout: str = "",
        judged: bool = True,
        lesson: str = "",
        diagnostics: dict[str, Any] | None = None,
        seconds: float = 23.4,
    ) -> None:
        """Let an attempt be proposed, written, run, scored and judged."""
        parent = self.trajectory.attempts[name].parent
        h = Hypothesis(statement or f"the change of {component} number {self.seq}", component, problem="skewed target")
        self.say(HypothesisProposed(name, h))
        program = Text.of(PROGRAM.format(note=h.statement))
        self.say(CodeWritten(name, program, program.digest))
        ok = score is not None
        self.say(
            ExecutionFinished(
                name, "full", ok, seconds=seconds, failure=cast(Any, failure), stdout=Text.of(stdout),
                diagnostics=diagnostics or {},
            )
        )  # fmt: skip
        if score is not None:
            against = (Comparison(parent, 0.01, 0.002, (0.01, 0.02, -0.01)),) if parent else ()
            self.say(SubmissionScored(name, "full", score, (score, score + 0.01), 0.003, comparisons=against))
        if not judged:
            return
        if lesson:
            self.say(FeedbackGiven(name, accepted, "seen", "view of it", lesson))
        if accepted:
            self.say(AttemptAccepted(name, gain=0.01, noise=0.002, reason=reason))
        else:
            self.say(AttemptRejected(name, reason=reason, failure=failure))

    def context(self, intent: Intent, call: Script) -> tuple[Event, Context]:
        """An effect as the kernel would hand it over."""
        event = self.say(intent)
        return event, Context(
            run="r",
            intent=event,
            attempt=1,
            started=self.started,
            trajectory=self.trajectory.snapshot(),
            settings=self.started.settings.get("gome", {}),
            artifacts=self.artifacts,
            workdir=Path("nowhere"),
            home=Path("nowhere"),
            draw=Draw(1, event.id),
            call=call,
            cancelled=lambda: False,
            log=structlog.get_logger(),
        )

    async def perform(self, intent: Intent, call: Script) -> Payload:
        """Carry out an intent with the plugin's own `perform`."""
        assert plugin.perform is not None
        answer = await plugin.perform(*self.context(intent, call))
        assert isinstance(answer, Payload)
        return answer

    async def propose(self, name: str, call: Script, scenario: str = "") -> HypothesisProposed:
        """Ask for the proposal of a planned step; it must come about."""
        answer = await self.ask(name, call, scenario)
        assert isinstance(answer, HypothesisProposed), answer
        return answer

    async def ask(self, name: str, call: Script, scenario: str = "") -> HypothesisProposed | ProposalFailed:
        """Ask for the proposal of a planned step."""
        step = self.trajectory.attempts[name]
        asked = ProposalRequested(name, step.trace, step.parent, step.kind, scenario=Text.of(scenario))
        answer = await self.perform(asked, call)
        assert isinstance(answer, HypothesisProposed | ProposalFailed)
        return answer

    async def reflect(self, name: str, call: Script) -> FeedbackGiven:
        """Ask what an attempt has taught."""
        answer = await self.perform(ReflectionRequested(name), call)
        assert isinstance(answer, FeedbackGiven)
        return answer


def house_task(train: str, **changes: Any) -> Task:
    """A small task whose training table is in the store."""
    task = Task(
        "houses", "regression", Metric("rmsle", False), "price", "id",
        (Column("Lot_Area", "numeric", "square feet"), Column("Neighborhood", "category")),
        Artifact(train, len(TRAIN), "train.csv"), file("test"), 900, 450,
        description="Predict what a house sells for.",
    )  # fmt: skip
    return msgspec.structs.replace(task, **changes)


def file(name: str) -> Artifact:
    """A made-up file."""
    return Artifact(f"sha256-{name}", 10, name)


def two_traces(**settings: Any) -> Run:
    """A fixed run: trace 0 with two accepted attempts and two failures since, trace 1 with one, trace 2 with none."""
    run = Run(**settings)
    run.plan("a1", 0)
    run.finish("a1", 0.20, statement="Ridge on scaled numbers.", lesson="A linear start is sound.")
    run.plan("a2", 1)
    run.finish("a2", 0.18, statement="Boosted trees on raw columns.", component="model", seconds=41.0)
    run.plan("a3", 0)
    run.finish(
        "a3", 0.15, statement="Learn the logarithm of the price.", component="target",
        lesson="Logs help with a skewed price.", diagnostics={"gap": 0.012345678, "seconds": 23.1},
        stdout="   id  Lot_Area\n    1      8450\n",
    )  # fmt: skip
    run.plan("a4", 0)
    run.finish(
        "a4", 0.16, accepted=False, statement="Drop rare levels.", reason="worse than a3 by 2.1 σ", component="data"
    )
    run.plan("a5", 0)
    run.finish("a5", None, accepted=False, statement="Target encoding.", failure="data", reason="KeyError: 'Zoning'")
    return run


def by_name(asked: list[CompletionRequested]) -> dict[str, list[str]]:
    """User messages by call."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in asked:
        found[one.name].append(str(one.messages[1].content))
    return found
