"""A run in memory for tests of deciders: feeds events, lets plugins answer in log order, collects what they say.

Nothing is performed: a test answers the intents it cares about with `answer`. Ids are the real ones, so a decision's
events carry their trigger as cause and results carry their intent.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import Any, TypeVar

from gome.events import (
    ROOT,
    Artifact,
    AttemptAccepted,
    AttemptRejected,
    Budget,
    CodeWritten,
    Comparison,
    DataProfiled,
    Doubt,
    Draw,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    FeedbackGiven,
    Metric,
    Payload,
    PluginPin,
    RunStarted,
    ScoreRequested,
    StepPlanned,
    SubmissionScored,
    Task,
    Text,
    event_id,
    result_id,
)
from gome.kernel.plugin import Plugin

P = TypeVar("P", bound=Payload)


def artifact(name: str) -> Artifact:
    """A made-up file; equal names are equal files."""
    return Artifact(f"sha256-{name}", 10, name)


def some_task(metric: str = "rmse", greater: bool = False) -> Task:
    """A task that nobody opens."""
    return Task(
        "t", "regression", Metric(metric, greater), "y", "id", (), artifact("train.csv"), artifact("test.csv"), 100, 50
    )


PROGRAM = "SEEDS = [0]\nPARTITIONS = [0]\nprint('hello from {name}')\n"


@dataclasses.dataclass
class Said:
    """A payload in its event."""

    event: Event

    @property
    def payload(self) -> Payload:
        assert isinstance(self.event.payload, Payload)
        return self.event.payload


class Driver:
    """The run. `log` has every event; `say` appends one and lets the plugins answer until all are silent."""

    def __init__(self, *plugins: Plugin, seed: int = 0) -> None:
        self.plugins = plugins
        self.states = [plugin.initial() for plugin in plugins]
        self.seed = seed
        self.log: list[Event] = []
        self.active = 0.0
        self._count = 0

    def say(self, payload: Payload, *, cause: str = "", id: str = "", active: float | None = None) -> list[Payload]:
        """Append an event of somebody else and return all that the plugins said because of it."""
        self._count += 1
        if active is not None:
            self.active = active
        start = len(self.log) + 1
        queue = deque([self._append(payload, id or event_id(ROOT, "test", self._count), cause, "test")])
        while queue:
            trigger = queue.popleft()
            for position, plugin in enumerate(self.plugins):
                answers = plugin.answers if plugin.answers is not None else plugin.reads
                if trigger.by == plugin.name or not isinstance(trigger.payload, answers):
                    continue
                said = plugin.decide(self.states[position], trigger, Draw(self.seed, trigger.id))
                # Purity: the same question again has the same answer.
                assert said == plugin.decide(self.states[position], trigger, Draw(self.seed, trigger.id))
                for ordinal, answer in enumerate(said):
                    made = event_id(trigger.id, plugin.name, ordinal)
                    queue.append(self._append(answer, made, trigger.id, plugin.name))
        return [e.payload for e in self.log[start:] if isinstance(e.payload, Payload)]

    def answer(self, intent: Payload, payload: Payload, *, active: float | None = None) -> list[Payload]:
        """Append the result of an intent that was said before."""
        found = next(e for e in reversed(self.log) if e.payload is intent or e.payload == intent)
        return self.say(payload, cause=found.id, id=result_id(found.id), active=active)

    def all(self, kind: type[P]) -> list[P]:
        """Every payload of a type so far."""
        return [e.payload for e in self.log if isinstance(e.payload, kind)]

    def last(self, kind: type[P]) -> P:
        """The latest payload of a type."""
        return self.all(kind)[-1]

    def _append(self, payload: Payload, id: str, cause: str, by: str) -> Event:
        seq = len(self.log) + 1
        event = Event(
            id=id,
            type=type(payload).__name__,
            seq=seq,
            ts=float(seq),
            payload=payload,
            cause=cause,
            by=by,
            active=self.active,
        )
        self.log.append(event)
        for position, plugin in enumerate(self.plugins):
            if isinstance(payload, plugin.reads):
                self.states[position] = plugin.evolve(self.states[position], event)
        return event

    # The usual course of things.

    def start(
        self,
        *,
        budget: Budget | None = None,
        task: Task | None = None,
        plugins: tuple[PluginPin, ...] = (),
        **settings: Any,
    ) -> None:
        """A run that has been profiled."""
        self.say(
            RunStarted(
                task=task or some_task(),
                seed=self.seed,
                budget=budget or Budget(seconds=1000.0),
                settings={name: dict(table) for name, table in settings.items()},
                plugins=plugins,
            )
        )
        self.say(DataProfiled(artifact("folds.csv"), artifact("sample.csv"), fold_count=5, partitions=8))

    def attempt(
        self,
        name: str,
        score: float,
        *,
        parent: str = "",
        trace: int = 0,
        against: dict[str, tuple[float, float]] | None = None,
        seconds: float = 10.0,
        trusted: bool = True,
        program: str = "",
        feedback: FeedbackGiven | bool | None = True,
        members: bool = False,
        planned: bool = True,
        doubts: tuple[Doubt, ...] = (),
    ) -> list[Payload]:
        """An attempt up to its feedback; `against` are comparisons (difference, row standard error) by attempt."""
        if planned:
            self.say(StepPlanned(name, trace, step=len(self.all(StepPlanned)), parent=parent))
        text = Text.of(program or PROGRAM.format(name=name))
        self.say(CodeWritten(name, text, text.digest, trusted=trusted))
        inputs = {"train.csv": artifact("train.csv"), "folds.csv": artifact("folds.csv")}
        if members:
            inputs["members/k/oof.csv"] = artifact("member")
        request = ExecutionRequested(name, "full", text, inputs, seed=self.seed, trusted=trusted)
        self.say(request)
        self.answer(request, self.finished(request, seconds=seconds))
        scored = SubmissionScored(
            name,
            "full",
            score,
            se=0.1,
            seed=self.seed,
            comparisons=tuple(Comparison(n, d, s) for n, (d, s) in (against or {}).items()),
            outputs={"oof.csv": artifact(f"{name}.oof"), "submission.csv": artifact(f"{name}.sub")},
            doubts=doubts,
        )
        said = self.say(scored)
        if feedback is True:
            return said + self.say(FeedbackGiven(name, accept=True))
        return said + (self.say(feedback) if isinstance(feedback, FeedbackGiven) else [])

    def finished(self, request: ExecutionRequested, *, seconds: float = 10.0, ok: bool = True) -> ExecutionFinished:
        """An execution's result; its files are named after what was run."""
        stem = f"{request.attempt}.{request.purpose}.{request.partition}.{request.seed}"
        return ExecutionFinished(
            request.attempt,
            request.purpose,
            ok,
            seconds=seconds,
            failure="" if ok else "memory",
            outputs={"oof.csv": artifact(stem + ".oof"), "submission.csv": artifact(stem + ".sub")} if ok else {},
            seed=request.seed,
            partition=request.partition,
            masked_fold=request.masked_fold,
        )

    def scored(
        self, request: ExecutionRequested, score: float, against: dict[str, tuple[float, float]] | None = None
    ) -> SubmissionScored:
        """A score of one of the extra executions."""
        return SubmissionScored(
            request.attempt,
            request.purpose,
            score,
            se=0.1,
            seed=request.seed,
            partition=request.partition,
            masked_fold=request.masked_fold,
            comparisons=tuple(Comparison(n, d, s) for n, (d, s) in (against or {}).items()),
            outputs=self.finished(request).outputs,
        )

    def run(
        self, request: ExecutionRequested, score: float, against: dict[str, tuple[float, float]] | None = None
    ) -> list[Payload]:
        """Let an extra execution finish and be scored."""
        self.answer(request, self.finished(request))
        return self.say(self.scored(request, score, against))

    def verdict(self, name: str) -> AttemptAccepted | AttemptRejected | None:
        """What was decided about an attempt; asserts that it was decided once at most."""
        verdicts: list[AttemptAccepted | AttemptRejected] = [*self.all(AttemptAccepted), *self.all(AttemptRejected)]
        found = [p for p in verdicts if p.attempt == name]
        assert len(found) <= 1, f"{name} was judged {len(found)} times"
        return found[0] if found else None


def requests(said: list[Payload], purpose: str = "") -> list[ExecutionRequested]:
    """The executions asked for, of one purpose if named."""
    return [p for p in said if isinstance(p, ExecutionRequested) and purpose in ("", p.purpose)]


def scorings(said: list[Payload]) -> list[ScoreRequested]:
    """The scorings asked for."""
    return [p for p in said if isinstance(p, ScoreRequested)]
