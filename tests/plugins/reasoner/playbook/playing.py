"""Made-up runs for tests of the playbook: a task of houses, a profile, and a run that answers proposals with numbers.

Nothing is executed: scores and diagnostics are made from the proposal, deterministically, so that the reasoner sees
what it would see of real programs.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, cast

from gome.events import (
    Artifact,
    AttemptAccepted,
    AttemptRejected,
    Budget,
    CodeWritten,
    Column,
    Comparison,
    DataProfiled,
    Draw,
    Event,
    ExecutionFinished,
    HypothesisProposed,
    MemoryRecalled,
    Metric,
    Payload,
    Recollection,
    RunStarted,
    StepPlanned,
    SubmissionScored,
    Task,
    Text,
    Trajectory,
)
from gome.events.pipeline import Pipeline, apply_change, family, member_key, to_spec
from gome.kernel.reasoning import Proposal, ReasonContext
from gome.plugins.reasoner.playbook.facts import Facts, read_facts
from gome.plugins.reasoner.playbook.propose import propose

HOUSES = (
    *(
        Column(n, "numeric")
        for n in ("Lot_Area", "Gr_Liv_Area", "Garage_Area", "Total_Bsmt_SF", "Full_Bath", "Half_Bath")
    ),
    *(
        Column(n, "numeric")
        for n in ("Year_Built", "Year_Remod", "Year_Sold", "Longitude", "Latitude", "Mo_Sold", "Misc_Val")
    ),
    *(Column(n, "category") for n in ("Neighborhood", "Exter_Qual", "Zoning")),
)
PROFILE: dict[str, Any] = {
    "cardinality": {"Neighborhood": 28, "Exter_Qual": 5, "Zoning": 6},
    "ordinal": {"Exter_Qual": ["Po", "Fa", "TA", "Gd", "Ex"]},
    "years": ["Year_Built", "Year_Remod", "Year_Sold"],
    "coordinates": [["Latitude", "Longitude"]],
    "missing": {"share": 0.01, "columns": {"Misc_Val": 0.2}},
    "numeric": {
        "correlation": {"Gr_Liv_Area": 0.7, "Garage_Area": 0.6, "Total_Bsmt_SF": 0.6, "Lot_Area": 0.3},
        "codes": ["Mo_Sold"],
    },
    "target": {"kind": "regression", "min": 100.0, "skew": 1.9, "log_skew": 0.1, "positive": True},
    "adversarial": {"auc": 0.51, "columns": [["Mo_Sold", 0.3]]},
}


def file(name: str) -> Artifact:
    """A made-up file."""
    return Artifact(f"sha256-{name}", 10, name)


def task_of(
    kind: str = "regression",
    metric: str = "rmsle",
    greater: bool = False,
    rows: int = 2000,
    columns: Sequence[Column] = HOUSES,
    classes: tuple[str, ...] = (),
) -> Task:
    """A task that nobody opens."""
    return Task(
        "houses", cast(Any, kind), Metric(metric, greater), "price", "id", tuple(columns), file("train"), file("test"),
        rows, rows // 2, classes=classes,
    )  # fmt: skip


class Game:
    """A run in which attempts go their way at once. `answer` makes an attempt's score and diagnostics."""

    def __init__(
        self, task: Task | None = None, profile: dict[str, Any] | None = None, budget: Budget | None = None
    ) -> None:
        self.task = task or task_of()
        self.profile = PROFILE if profile is None else profile
        self.trajectory = Trajectory()
        self.seq = 0
        self.active = 0.0
        self.say(RunStarted(task=self.task, seed=1, budget=budget or Budget(seconds=10_000.0), traces=3, capacity=2))
        self.say(DataProfiled(file("folds"), file("sample"), fold_count=5, partitions=8, profile=self.profile))

    def say(self, payload: Payload) -> None:
        """Append an event to the run's trajectory."""
        self.seq += 1
        event = Event(
            f"{self.seq:032x}", type(payload).__name__, self.seq, float(self.seq), payload, active=self.active
        )
        self.trajectory.apply(event)

    def plan(self, name: str, trace: int = 0, kind: str = "", stage: str = "improve") -> ReasonContext:
        """Plan a step on the head of a trace and return what the reasoner is shown."""
        head = self.trajectory.head(trace)
        parent = head.id if head else ""
        kind = kind or ("improve" if parent else "draft")
        self.say(StepPlanned(name, trace, step=self.seq, kind=cast(Any, kind), stage=cast(Any, stage), parent=parent))
        return self.context(name)

    def context(self, name: str, recollections: tuple[Recollection, ...] = ()) -> ReasonContext:
        """What the reasoner is shown about an attempt."""
        if recollections:
            self.say(MemoryRecalled(name, recollections))
        attempt = self.trajectory.attempts[name]
        return ReasonContext(
            task=self.task,
            profile=self.profile,
            trajectory=self.trajectory.snapshot(),
            attempt=attempt,
            parent=self.trajectory.attempts.get(attempt.parent),
            recollections=attempt.recollections,
            budget_used=self.trajectory.budget_share(),
            draw=Draw(1, name),
            settings={},
            call=cast(Any, None),
        )

    def finish(
        self,
        name: str,
        change: dict[str, Any],
        score: float,
        *,
        accepted: bool = True,
        proposal: Proposal | None = None,
        diagnostics: Callable[[Pipeline], dict[str, Any]] | None = None,
        scorer: dict[str, Any] | None = None,
        gain: float = 0.001,
    ) -> Pipeline:
        """Let an attempt be written, run, scored and judged."""
        attempt = self.trajectory.attempts[name]
        parent = self.trajectory.attempts.get(attempt.parent)
        if proposal:
            self.say(HypothesisProposed(name, proposal.hypothesis, proposal.challenges))
        pipeline = apply_change(parent.code.spec if parent and parent.code else {}, change)
        spec = to_spec(pipeline)
        text = Text.of(f"{spec}")
        self.say(CodeWritten(name, text, text.digest, spec=spec, trusted=True))
        said = (diagnostics or described)(pipeline)
        self.say(ExecutionFinished(name, "full", True, seconds=2.0 * len(pipeline.members), diagnostics=said))
        against = (Comparison(parent.id, gain, 0.0005, (gain,) * 5),) if parent else ()
        folds = tuple(score + d for d in (-0.01, -0.005, 0.0, 0.005, 0.01))
        self.say(
            SubmissionScored(name, "full", score, fold_scores=folds, comparisons=against, diagnostics=scorer or {})
        )
        self.say(AttemptAccepted(name, gain=gain) if accepted else AttemptRejected(name, gain=-gain))
        return pipeline

    def fail(self, name: str, proposal: Proposal, failure: str) -> Pipeline:
        """Let an attempt be written and run, and its execution fail."""
        attempt = self.trajectory.attempts[name]
        parent = self.trajectory.attempts.get(attempt.parent)
        self.say(HypothesisProposed(name, proposal.hypothesis, proposal.challenges))
        change = proposal.hypothesis.change
        pipeline = apply_change(parent.code.spec if parent and parent.code else {}, change)
        spec = to_spec(pipeline)
        text = Text.of(f"{spec}")
        self.say(CodeWritten(name, text, text.digest, spec=spec, trusted=True))
        self.say(ExecutionFinished(name, "full", False, failure=cast(Any, failure), seconds=600.0))
        self.say(AttemptRejected(name, failure=failure, rule="failed"))
        return pipeline

    def facts(self, name: str) -> Facts:
        """The playbook's reading of a planned step."""
        return read_facts(self.context(name))


def described(pipeline: Pipeline, **more: Any) -> dict[str, Any]:
    """Diagnostics like those of a rendered program: one entry per member, weights of the blend."""
    entries = []
    for m in pipeline.members:
        key = member_key(m)
        score = 0.12 + (zlib.crc32(key.encode()) % 1000) / 50_000
        entry: dict[str, Any] = {
            "key": key, "family": family(m), "score": score, "seconds": [0.3] * 5, "train_score": 0.06,
            "fold_scores": [score] * 5, "importance": {"Gr_Liv_Area": 0.5, "Neighborhood": 0.3},
        }  # fmt: skip
        if family(m) == "booster":
            entry |= {"best_iterations": [300] * 5, "rounds": 1500}
        entries.append(entry | more)
    count = len(entries)
    return {"members": entries, "blend": {"weights": [1 / count] * count}, "seconds": 1.5 * count}


def play(game: Game, steps: int) -> list[tuple[str, Proposal]]:
    """Ask for many proposals in a row over three traces; a third of the attempts is accepted."""
    made = []
    for number in range(1, steps + 1):
        name, trace = f"a{number}", number % 3
        stage = "improve" if number < steps // 3 else "ensemble"
        proposal = propose(game.plan(name, trace, stage=stage))
        if proposal is None:
            game.say(AttemptRejected(name, reason="nothing left", failure="proposal"))
            continue
        made.append((name, proposal))
        accepted = number <= 3 or number % 3 == 0
        score = 0.13 - 0.0001 * number if accepted else 0.135
        game.finish(name, proposal.hypothesis.change, score, accepted=accepted, proposal=proposal)
    return made
