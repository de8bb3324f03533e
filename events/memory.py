"""The fold that reasoners learn from: what each finished attempt tried, what it gained, what it taught.

`SuccessMemory.apply` is pure and O(1) per event; entries are shared by all traces of a run. Successes are kept apart
from failures, failures with their class, so that a reasoner can be told what not to repeat. How alike two entries are,
and which are worth recalling, is the memory plugin's affair; this fold only keeps what any of them needs.

An embedding belongs to an entry but is no part of it here: models and machines differ in the last digits, and this fold
is replayed. The effect that recalls computes it from `Memory.text` and keeps it under `Memory.key` and the embedder's
name. `SuccessMemory.of` makes the same entries from a trajectory, for performers, who are handed one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from msgspec import Struct

from gome.events.artifact import digest_of
from gome.events.event import Event
from gome.events.execution import ExecutionFinished
from gome.events.feedback import AttemptAccepted, AttemptRejected, FeedbackGiven
from gome.events.hypothesis import Hypothesis, HypothesisProposed
from gome.events.run import RunStarted
from gome.events.score import SubmissionScored
from gome.events.step import StepPlanned
from gome.events.trajectory import Attempt, Trajectory

SPREAD_OF = 64
"""How many of the latest accepted gains the spread is taken over."""


class Memory(Struct, frozen=True):
    """One finished attempt. `gain` is in metric units, positive better, and is the judge's paired one; `normalised` is
    the gain over the spread of the accepted gains known when it was judged (0 for failures). `lesson` is what the
    reasoner's feedback says to remember, `reason` why the judge decided so. `failure` is the class of the failure,
    empty for attempts that were scored. `cost` counts seconds of execution."""

    attempt: str
    trace: int
    step: int
    accepted: bool
    statement: str = ""
    component: str = ""
    move: str = ""
    problem: str = ""
    lesson: str = ""
    score: float | None = None
    gain: float = 0.0
    normalised: float = 0.0
    cost: float = 0.0
    failure: str = ""
    first: bool = False
    reason: str = ""

    @property
    def text(self) -> str:
        """What similarity is measured on: the hypothesis with its component, move and problem."""
        return " ".join(part for part in (self.component, self.move, self.problem, self.statement) if part)

    @property
    def key(self) -> str:
        """Digest of `text`: with an embedder's name, the key of the entry's embedding."""
        return digest_of(self.text.encode())


@dataclass(slots=True)
class _Open:
    """An attempt that is not finished yet."""

    trace: int = 0
    step: int = 0
    parent: str = ""
    hypothesis: Hypothesis | None = None
    lesson: str = ""
    score: float | None = None
    cost: float = 0.0


def spread(gains: list[float]) -> float:
    """Return the scale of accepted gains, a robust one: the median of their absolute values, without zeros; 0 when
    there are none. Signs and units do not matter, so one huge gain does not hide the others."""
    sizes = sorted(abs(g) for g in gains if g and math.isfinite(g))
    if not sizes:
        return 0.0
    middle = len(sizes) // 2
    return sizes[middle] if len(sizes) % 2 else (sizes[middle - 1] + sizes[middle]) / 2


def normalised_gain(gain: float, scale: float) -> float:
    """Return a gain in units of the spread, within [-8, 8]; without a spread only its sign counts."""
    if not math.isfinite(gain) or gain == 0:
        return 0.0
    if scale <= 0:
        return math.copysign(1.0, gain)
    return max(-8.0, min(8.0, gain / scale))


@dataclass(slots=True)
class SuccessMemory:
    """All finished attempts of a run in the order in which they were judged; `digest` is a chain over them."""

    successes: list[Memory] = field(default_factory=list)
    failures: list[Memory] = field(default_factory=list)
    greater_is_better: bool = False
    digest: str = ""
    _gains: list[float] = field(default_factory=list)
    _scale: float = 0.0
    _open: dict[str, _Open] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.successes) + len(self.failures)

    def __iter__(self) -> Iterator[Memory]:
        yield from self.successes
        yield from self.failures

    @property
    def spread(self) -> float:
        """Scale of the accepted gains of steps (first drafts left out: they are measured against something else)."""
        return self._scale

    def hypothesis(self, attempt: str) -> Hypothesis | None:
        """The hypothesis of an unfinished attempt, if it has one."""
        found = self._open.get(attempt)
        return found.hypothesis if found else None

    def apply(self, event: Event) -> None:
        """Fold one event, in log order."""
        payload = event.payload
        match payload:
            case RunStarted(task=task):
                self.greater_is_better = task.metric.greater_is_better
            case StepPlanned(attempt=attempt, trace=trace, step=step, parent=parent):
                self._open[attempt] = _Open(trace=trace, step=step, parent=parent)
            case HypothesisProposed(attempt=attempt, hypothesis=hypothesis) if attempt in self._open:
                self._open[attempt].hypothesis = hypothesis
            case ExecutionFinished(attempt=attempt, seconds=seconds) if attempt in self._open:
                self._open[attempt].cost += seconds
            case SubmissionScored(attempt=attempt, purpose="full", score=score) if attempt in self._open:
                self._open[attempt].score = score
            case FeedbackGiven(attempt=attempt, lesson=lesson) if attempt in self._open:
                self._open[attempt].lesson = lesson
            case AttemptAccepted(attempt=attempt, gain=gain, reason=reason) if attempt in self._open:
                self._keep(attempt, self._open.pop(attempt), accepted=True, gain=gain, reason=reason)
            case AttemptRejected(attempt=attempt, gain=gain, failure=failure, reason=reason) if attempt in self._open:
                self._keep(attempt, self._open.pop(attempt), accepted=False, gain=gain, failure=failure, reason=reason)

    def _keep(
        self, attempt: str, found: _Open, *, accepted: bool, gain: float, failure: str = "", reason: str = ""
    ) -> None:
        first = not found.parent
        if accepted and not first:
            self._gains.append(gain)
            del self._gains[:-SPREAD_OF]
            self._scale = spread(self._gains)
        hypothesis = found.hypothesis
        entry = Memory(
            attempt=attempt,
            trace=found.trace,
            step=found.step,
            accepted=accepted,
            statement=hypothesis.statement if hypothesis else "",
            component=hypothesis.component if hypothesis else "",
            move=hypothesis.move if hypothesis else "",
            problem=hypothesis.problem if hypothesis else "",
            lesson=found.lesson,
            score=found.score,
            gain=gain,
            normalised=0.0 if failure else normalised_gain(gain, self.spread),
            cost=found.cost,
            failure=failure,
            first=first,
            reason=reason,
        )
        (self.successes if accepted else self.failures).append(entry)
        text = f"{self.digest}\x1f{attempt}\x1f{accepted}\x1f{entry.text}\x1f{gain!r}\x1f{failure}\x1f{entry.lesson}"
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:32]

    @classmethod
    def of(cls, trajectory: Trajectory, *, limit: int = 400) -> SuccessMemory:
        """Return the memory of a trajectory's latest finished attempts, at most `limit` successes per trace and `limit`
        attempts back for failures, so that recalling stays bounded in long runs."""
        accepted = [trajectory.attempts[name] for ids in trajectory.accepted.values() for name in ids[-limit:]]
        latest = islice(trajectory.attempts, max(0, len(trajectory.attempts) - limit), None)
        refused = [a for a in (trajectory.attempts[name] for name in latest) if a.accepted is False]
        memory = cls(greater_is_better=trajectory.greater_is_better)
        for attempt in sorted((*accepted, *refused), key=lambda a: (a.ended_at, a.seq)):
            memory._take(attempt)
        return memory

    def _take(self, attempt: Attempt) -> None:
        found = _Open(
            trace=attempt.trace,
            step=attempt.step,
            parent=attempt.parent,
            hypothesis=attempt.hypothesis,
            lesson=attempt.feedback.lesson if attempt.feedback else "",
            score=attempt.score,
            cost=attempt.seconds,
        )
        failure = "" if attempt.accepted else attempt.failure
        accepted = bool(attempt.accepted)
        self._keep(attempt.id, found, accepted=accepted, gain=attempt.gain, failure=failure, reason=attempt.reason)
