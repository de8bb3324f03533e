"""When a program is written and when it is rewritten. Pure; asking the model is `perform.py`'s.

A hypothesis asks for a program, based on its parent's. While an attempt has repairs left, a failed debug or full
execution, files that break the contract, and a review that found fault ask for its repair; the attempt stays open
meanwhile. A fault with no repair left ends the attempt here if a review found it, else at the judge. Nothing is begun
once the run is ending. A mutator that takes over (`RunForked`) takes up whatever waits for a program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    CodeRejected,
    CodeRequested,
    CodeReviewed,
    CodeWritten,
    Draw,
    EffectCancelled,
    EffectFailed,
    Event,
    ExecutionFinished,
    Hypothesis,
    HypothesisProposed,
    Payload,
    RunFinished,
    RunForked,
    RunStarted,
    SelectionStarted,
    StepPlanned,
    StopRequested,
    SubmissionRejected,
    Text,
)
from gome.kernel.loop import Share, completion_settings
from gome.plugins.mutator.llm.problems import execution_problem, review_problem, submission_problem

NAME = "llm"

READS: tuple[type[Payload], ...] = (
    RunStarted,
    RunForked,
    StepPlanned,
    HypothesisProposed,
    CodeRequested,
    CodeWritten,
    CodeRejected,
    CodeReviewed,
    ExecutionFinished,
    SubmissionRejected,
    EffectFailed,
    EffectCancelled,
    AttemptAccepted,
    AttemptRejected,
    SelectionStarted,
    StopRequested,
    RunFinished,
)
ANSWERS: tuple[type[Payload], ...] = (
    HypothesisProposed,
    ExecutionFinished,
    SubmissionRejected,
    CodeReviewed,
    RunForked,
)


@dataclass(slots=True)
class Work:
    """An open attempt: what it wants, its latest program, how many were written, and what is wrong with the latest
    (`problem`, "" when nothing is known to be). `asked` while a program is being written."""

    parent: str
    hypothesis: Hypothesis | None = None
    code: CodeWritten | None = None
    written: int = 0
    problem: str = ""
    reviewed: bool = False
    asked: bool = False


@dataclass(slots=True)
class State:
    """Open attempts, and the programs of all, for those that build on them."""

    share: Share = "schema"
    stopped: bool = False
    works: dict[str, Work] = field(default_factory=dict)
    programs: dict[str, Text] = field(default_factory=dict)


def evolve(state: State, event: Event) -> State:
    """Fold one event."""
    match event.payload:
        case RunStarted(settings=settings):
            state.share = completion_settings(settings).share
        case RunForked(settings=settings) if "completion" in settings:
            state.share = completion_settings(settings).share
        case StepPlanned(attempt=attempt, parent=parent):
            state.works[attempt] = Work(parent)
        case AttemptAccepted(attempt=attempt) | AttemptRejected(attempt=attempt) | CodeRejected(attempt=attempt):
            state.works.pop(attempt, None)
        case EffectFailed(kind="CodeRequested" | "ReviewRequested", attempt=attempt):
            state.works.pop(attempt, None)
        case EffectCancelled(kind="CodeRequested" | "ReviewRequested", attempt=attempt):
            state.works.pop(attempt, None)
        case SelectionStarted() | StopRequested() | RunFinished():
            state.stopped = True
        case CodeWritten() as code:
            state.programs[code.attempt] = code.program
            if work := state.works.get(code.attempt):
                work.code, work.written = code, work.written + 1
                work.problem, work.asked = "", False
        case HypothesisProposed(attempt=attempt, hypothesis=hypothesis) if attempt in state.works:
            state.works[attempt].hypothesis = hypothesis
        case CodeRequested(attempt=attempt) if attempt in state.works:
            state.works[attempt].asked = True
        case ExecutionFinished() | SubmissionRejected() | CodeReviewed():
            _fault(state, event.payload)
    return state


def _fault(state: State, said: ExecutionFinished | SubmissionRejected | CodeReviewed) -> None:
    """Note what is wrong with an attempt's latest program, if this says something is."""
    work = state.works.get(said.attempt)
    if work is None or work.code is None or work.asked:
        return
    match said:
        case ExecutionFinished(ok=False, purpose="debug" | "full", program=program, failure=failure):
            # Called off or hopeless is no fault of the program, and an earlier version's result is history.
            if failure not in ("cancelled", "hopeless") and program in ("", work.code.program.digest):
                work.problem, work.reviewed = execution_problem(said, state.share), False
        case SubmissionRejected(layer=1, purpose="full", masked_fold=None):
            work.problem, work.reviewed = submission_problem(said), False
        case CodeReviewed(ok=False, digest=digest) if digest == work.code.digest:
            work.problem, work.reviewed = review_problem(said), True


def decide(state: State, event: Event, draw: Draw) -> Sequence[Payload]:
    """Answer one event."""
    if state.stopped:
        return ()
    match event.payload:
        case RunForked():
            return tuple(said for name, work in state.works.items() for said in _due(state, name, work))
        case HypothesisProposed(attempt=attempt):
            work = state.works.get(attempt)
            return _due(state, attempt, work) if work and work.code is None else ()
        case ExecutionFinished(attempt=attempt) | SubmissionRejected(attempt=attempt) | CodeReviewed(attempt=attempt):
            work = state.works.get(attempt)
            return _due(state, attempt, work) if work and work.problem else ()
    return ()


def _due(state: State, name: str, work: Work) -> Sequence[Payload]:
    """What an attempt waits for: its first program, a repaired one, or the end that nobody else will make."""
    if work.asked or work.hypothesis is None:
        return ()
    sketch = Text.of(sketch_of(work.hypothesis))
    if work.code is None:
        parent = state.programs.get(work.parent, Text(text=""))
        return (CodeRequested(attempt=name, purpose="write", sketch=sketch, program=parent),)
    if not work.problem:
        return ()
    if work.code.repairs > 0:
        return (
            CodeRequested(
                attempt=name,
                purpose="repair",
                sketch=sketch,
                program=work.code.program,
                problem=work.problem,
                rewrite=work.written,
            ),
        )
    return (CodeRejected(attempt=name, reason=f"no repairs left: {work.problem}"),) if work.reviewed else ()


def sketch_of(hypothesis: Hypothesis) -> str:
    """A hypothesis in words, with the sketch that its reasoner has made; another mutator's change is shown as JSON."""
    said = hypothesis.change.get("sketch")
    rest = {name: value for name, value in hypothesis.change.items() if name != "sketch"}
    parts = [
        f"Hypothesis: {hypothesis.statement}",
        f"Because: {hypothesis.reason}" if hypothesis.reason else "",
        f"Part of the solution: {hypothesis.component}" if hypothesis.component else "",
        str(said) if said else "",
        f"Change: {msgspec.json.encode(rest, order='sorted').decode()}" if rest else "",
    ]
    return "\n\n".join(part for part in parts if part)
