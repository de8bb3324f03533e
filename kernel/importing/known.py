"""What the log already holds of an imported run: so that importing again adds only what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field

from gome.events import (
    CODEC,
    AttemptAccepted,
    CodeWritten,
    Head,
    HypothesisProposed,
    ImportCompleted,
    LoopImported,
    PartKept,
    RunFinished,
    RunStarted,
    ScenarioImported,
    StepPlanned,
    SubmissionScored,
)
from gome.kernel.importing.forest import Forest
from gome.kernel.log import EventLog


@dataclass
class Known:
    """An imported run as far as it is recorded. `digests` are those of its loops by name."""

    head: Head
    started: RunStarted | None = None
    digests: dict[str, str] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    kept: set[tuple[str, int]] = field(default_factory=set)
    accepted: int = 0
    rules: dict[str, int] = field(default_factory=dict)
    forest: Forest = field(default_factory=Forest)
    scenario: bool = False
    finished: bool = False
    done: ImportCompleted | None = None


async def known(log: EventLog, run: str) -> Known:
    """Read what there is of a run."""
    found = Known(await log.head(run))
    if not found.head.seq:
        return found
    traces: dict[str, int] = {}
    codes: dict[str, str] = {}
    statements: dict[str, str] = {}
    verdicts: set[str] = set()
    async for sealed in log.read(run):
        found.head = sealed.head
        for event in CODEC.commit(sealed).events:
            match event.payload:
                case RunStarted():
                    found.started = event.payload
                case StepPlanned(attempt=name, trace=trace):
                    traces[name] = trace
                case CodeWritten(attempt=name, digest=digest):
                    codes[name] = digest
                case HypothesisProposed(attempt=name, hypothesis=hypothesis):
                    statements[name] = hypothesis.statement
                case SubmissionScored(attempt=name, score=score):
                    found.scores[name] = score
                case AttemptAccepted(attempt=name):
                    verdicts.add(name)
                    found.accepted += 1
                case LoopImported(attempt=name, digest=digest, rule=rule):
                    found.digests[name] = digest
                    found.rules[rule] = found.rules.get(rule, 0) + 1
                    found.forest.remember(
                        name, codes.get(name, ""), traces.get(name, 0), name in verdicts, statements.get(name, "")
                    )
                case ScenarioImported():
                    found.scenario = True
                case PartKept(name=name, offset=offset):
                    found.kept.add((name, offset))
                case ImportCompleted():
                    found.done = event.payload
                case RunFinished():
                    found.finished = True
    return found
