"""The fold that everybody reads: attempts in order, traces, accepted and best, as of a position of the run.

`Trajectory.apply` is called for every event and must stay O(1); whoever wants a stable view takes `snapshot()`, which
copies the index but shares the attempts that cannot change any more. Data frames are made in `gome.kernel.frames`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, overload

from msgspec import Struct, field

from gome.events.code import CodeRejected, CodeRequested, CodeReviewed, CodeWritten
from gome.events.completion import CompletionFailed, CompletionReceived
from gome.events.effect import EffectCancelled, EffectFailed
from gome.events.event import Event
from gome.events.execution import ExecutionFinished, ExecutionRefused
from gome.events.feedback import AttemptAccepted, AttemptRejected, FeedbackGiven
from gome.events.hypothesis import Challenge, Hypothesis, HypothesisProposed, ProposalFailed
from gome.events.rerun import RerunCompared, RerunRequested
from gome.events.run import RunFinished, RunForked, RunResumed, RunStarted, RunSuspended, StopRequested
from gome.events.score import DataProfiled, SubmissionRejected, SubmissionScored
from gome.events.selection import SelectionFailed, SelectionStarted, SubmissionSelected
from gome.events.step import MemoryRecalled, Recollection, StepPlanned

BASELINE = "baseline"
"""Name of the attempt that is no step: the untuned reference program."""


class Attempt(Struct):
    """Hypothesis, code, executions, score, feedback and verdict of one step. `accepted` is None while undecided.
    `context` names the scope that its reasoner was shown. `code` is its latest program, `versions` are all of them,
    oldest first, `faults` what was wrong with each that was repaired; `reviews` and `executions` (debug and full ones)
    are those of every version. `failure` and `reason` are of the last thing that went wrong, and empty again once a
    version has been scored. `score` is the full execution's validation score; `repeats` are further scores on other
    partitions or seeds. `money` is in USD, None when a price was unknown."""

    id: str
    trace: int = 0
    step: int = 0
    kind: str = "draft"
    stage: str = "draft"
    parent: str = ""
    parents: tuple[str, ...] = ()
    context: str = ""
    planned_at: float = 0.0
    ended_at: float = 0.0
    recollections: tuple[Recollection, ...] = ()
    challenges: tuple[Challenge, ...] = ()
    hypothesis: Hypothesis | None = None
    considered: tuple[Hypothesis, ...] = ()
    code: CodeWritten | None = None
    versions: tuple[CodeWritten, ...] = ()
    faults: tuple[str, ...] = ()
    reviews: tuple[CodeReviewed, ...] = ()
    executions: tuple[ExecutionFinished, ...] = ()
    scored: SubmissionScored | None = None
    repeats: tuple[SubmissionScored, ...] = ()
    feedback: FeedbackGiven | None = None
    accepted: bool | None = None
    gain: float = 0.0
    noise: float = 0.0
    rule: str = ""
    reason: str = ""
    failure: str = ""
    seconds: float = 0.0
    money: float | None = 0.0
    tokens: int = 0
    seq: int = 0
    number: int = 0

    @property
    def score(self) -> float | None:
        """Validation score of the full execution, None when there is none."""
        return self.scored.score if self.scored else None

    @property
    def execution(self) -> ExecutionFinished | None:
        """The latest execution: of the latest program that was run, its full one if it came that far."""
        return self.executions[-1] if self.executions else None

    @property
    def diagnostics(self) -> dict[str, Any]:
        """The program's own diagnostics and, under `scorer`, the scorer's."""
        found = dict(self.execution.diagnostics) if self.execution else {}
        if self.scored:
            found["scorer"] = self.scored.diagnostics
        return found


class Prefix(Sequence[str]):
    """The first `count` names of a list that only ever grows; it is shared, not copied."""

    __slots__ = ("_base", "_count")

    def __init__(self, base: list[str], count: int) -> None:
        self._base, self._count = base, count

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._base[i] for i in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self._base[index if index >= 0 else self._count + index]

    def __len__(self) -> int:
        return self._count

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __repr__(self) -> str:
        return f"Prefix({list(self)!r})"


class AttemptsView(Mapping[str, Attempt]):
    """The first `count` attempts of a growing dict, with copies of those that were undecided when it was taken."""

    def __init__(self, base: Mapping[str, Attempt], count: int, copies: dict[str, Attempt]) -> None:
        self._base, self._count, self._copies = base, count, copies

    def __getitem__(self, name: str) -> Attempt:
        found = self._copies.get(name)
        if found is None:
            found = self._base[name]
            if found.number > self._count:
                raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return islice(iter(self._base), self._count)

    def __len__(self) -> int:
        return self._count


class Trajectory(Struct):
    """All attempts of a run in planning order and what became of them. `accepted` has the names of each trace's
    accepted ones in the order of acceptance (over `accepted_names`, which grows). `forks` says where a forked run comes
    from, the oldest ancestor's fork first. `rerun` is set where the run is none that searches but runs recorded code
    again, and `compared` is what came of that."""

    started: RunStarted | None = None
    started_at: float = 0.0
    profiled: DataProfiled | None = None
    attempts: Mapping[str, Attempt] = field(default_factory=dict)
    undecided: dict[str, Attempt] = field(default_factory=dict)
    baseline: Attempt | None = None
    accepted: dict[int, Prefix] = field(default_factory=dict)
    accepted_names: dict[int, list[str]] = field(default_factory=dict)
    best: str = ""
    ended: int = 0
    selecting: str = ""
    selected: SubmissionSelected | None = None
    selection_failed: str = ""
    stop_requested: str = ""
    suspended: str = ""
    forks: tuple[RunForked, ...] = ()
    finished: RunFinished | None = None
    rerun: RerunRequested | None = None
    compared: RerunCompared | None = None
    seq: int = 0
    ts: float = 0.0
    active: float = 0.0

    @property
    def greater_is_better(self) -> bool:
        """Direction of the task's metric."""
        return self.started is not None and self.started.task.metric.greater_is_better

    def gain(self, new: float, old: float) -> float:
        """Return how much better `new` is than `old` in metric units, positive better."""
        return new - old if self.greater_is_better else old - new

    def head(self, trace: int) -> Attempt | None:
        """The last accepted attempt of a trace."""
        ids = self.accepted.get(trace)
        return self.attempts[ids[-1]] if ids else None

    def best_attempt(self) -> Attempt | None:
        """The accepted attempt with the best validation score over all traces."""
        return self.attempts.get(self.best)

    def accepted_attempts(self) -> list[Attempt]:
        """All accepted attempts in planning order."""
        return [a for a in self.attempts.values() if a.accepted]

    def open_attempts(self) -> list[Attempt]:
        """Attempts that have been planned but not judged."""
        return list(self.undecided.values())

    @property
    def programs(self) -> dict[str, str]:
        """Digest of every program written so far, repaired ones included → the first attempt it was written for."""
        found: dict[str, str] = {}
        for a in self.attempts.values():
            for version in a.versions:
                found.setdefault(version.digest, a.id)
        return found

    def budget_share(self) -> float:
        """Share of the budget used so far in [0, 1], by whichever limit is nearest (seconds and steps)."""
        budget = self.started.budget if self.started else None
        shares = [0.0]
        if budget and budget.seconds:
            shares.append(self.active / budget.seconds)
        if budget and budget.steps:
            shares.append(len(self.attempts) / budget.steps)
        return min(1.0, max(shares))

    def snapshot(self) -> Trajectory:
        """A view that later events do not change: undecided attempts are copied, decided ones shared."""
        view = copy.copy(self)
        view.undecided = {k: copy.copy(a) for k, a in self.undecided.items()}
        view.attempts = AttemptsView(self.attempts, len(self.attempts), view.undecided)
        view.accepted = dict(self.accepted)
        view.baseline = copy.copy(self.baseline) if self.baseline else None
        return view

    def _attempt(self, name: str) -> Attempt | None:
        if name == BASELINE:
            if self.baseline is None:
                self.baseline = Attempt(id=BASELINE, trace=-1, kind="baseline")
            return self.baseline
        return self.attempts.get(name)

    def apply(self, event: Event) -> None:
        """Fold one event, in log order."""
        self.seq = event.seq
        self.ts = event.ts
        self.active = event.active
        fold = _FOLDS.get(type(event.payload))
        if fold:
            fold(self, event, event.payload)


def _started(t: Trajectory, e: Event, p: RunStarted) -> None:
    t.started, t.started_at = p, e.ts


def _forked(t: Trajectory, e: Event, p: RunForked) -> None:
    if t.started is not None:
        t.started = p.amended(t.started)
    t.forks, t.suspended = (*t.forks, p), ""


def _profiled(t: Trajectory, e: Event, p: DataProfiled) -> None:
    t.profiled = p


def _planned(t: Trajectory, e: Event, p: StepPlanned) -> None:
    assert isinstance(t.attempts, dict), "a snapshot cannot be folded further"
    attempt = Attempt(
        id=p.attempt,
        trace=p.trace,
        step=p.step,
        kind=p.kind,
        stage=p.stage,
        parent=p.parent,
        parents=p.parents,
        context=p.context,
        planned_at=e.active,
        seq=e.seq,
        number=len(t.attempts) + 1,
    )
    t.attempts[p.attempt] = t.undecided[p.attempt] = attempt


def _recalled(t: Trajectory, e: Event, p: MemoryRecalled) -> None:
    if a := t._attempt(p.attempt):
        a.recollections = p.recollections
        _pay(a, e)


def _proposed(t: Trajectory, e: Event, p: HypothesisProposed) -> None:
    if a := t._attempt(p.attempt):
        a.hypothesis, a.challenges, a.considered = p.hypothesis, p.challenges, p.considered


def _written(t: Trajectory, e: Event, p: CodeWritten) -> None:
    if a := t._attempt(p.attempt):
        a.code = p
        a.versions = (*a.versions, p)


def _repairing(t: Trajectory, e: Event, p: CodeRequested) -> None:
    if p.purpose == "repair" and (a := t._attempt(p.attempt)):
        a.faults = (*a.faults, p.problem)


def _reviewed(t: Trajectory, e: Event, p: CodeReviewed) -> None:
    if a := t._attempt(p.attempt):
        a.reviews = (*a.reviews, p)


def _completed(t: Trajectory, e: Event, p: CompletionReceived | CompletionFailed) -> None:
    if a := t._attempt(p.attempt):
        _pay(a, e)


def _pay(a: Attempt, e: Event) -> None:
    if e.cost:
        a.tokens += e.cost.tokens_in + e.cost.tokens_out
        a.money = None if a.money is None or e.cost.money is None else a.money + e.cost.money


def _executed(t: Trajectory, e: Event, p: ExecutionFinished) -> None:
    if a := t._attempt(p.attempt):
        if p.purpose in ("debug", "full"):
            a.executions = (*a.executions, p)
        a.seconds += p.seconds
        if p.purpose == "full" and not p.ok and p.failure != "hopeless":  # that is a verdict, no failure
            a.failure = p.failure


def _scored(t: Trajectory, e: Event, p: SubmissionScored) -> None:
    if a := t._attempt(p.attempt):
        if p.purpose == "full":
            a.scored, a.failure, a.reason = p, "", ""
            if a.id == BASELINE:
                a.accepted = False
        elif p.masked_fold is None:
            a.repeats = (*a.repeats, p)


def _rejected_submission(t: Trajectory, e: Event, p: SubmissionRejected) -> None:
    if (a := t._attempt(p.attempt)) and p.purpose == "full":
        a.failure = "contract"
        a.reason = p.reason


def _feedback(t: Trajectory, e: Event, p: FeedbackGiven) -> None:
    if a := t._attempt(p.attempt):
        a.feedback = p


def _accepted(t: Trajectory, e: Event, p: AttemptAccepted) -> None:
    a = t._attempt(p.attempt)
    if a is None or a.accepted is not None:
        return
    a.accepted, a.gain, a.noise, a.rule, a.reason, a.ended_at = True, p.gain, p.noise, p.rule, p.reason, e.active
    t.ended += 1
    t.undecided.pop(a.id, None)
    names = t.accepted_names.setdefault(a.trace, [])
    names.append(a.id)
    t.accepted[a.trace] = Prefix(names, len(names))
    best = t.best_attempt()
    if a.score is not None and (best is None or best.score is None or t.gain(a.score, best.score) > 0):
        t.best = a.id


def _refused(t: Trajectory, e: Event, p: AttemptRejected) -> None:
    a = t._attempt(p.attempt)
    if a is None or a.accepted is not None:
        return
    a.accepted, a.gain, a.noise, a.rule, a.reason, a.ended_at = False, p.gain, p.noise, p.rule, p.reason, e.active
    a.failure = p.failure or a.failure
    t.ended += 1
    t.undecided.pop(a.id, None)


def _selecting(t: Trajectory, e: Event, p: SelectionStarted) -> None:
    t.selecting = p.reason


def _selected(t: Trajectory, e: Event, p: SubmissionSelected) -> None:
    t.selected = p


def _selection_failed(t: Trajectory, e: Event, p: SelectionFailed) -> None:
    t.selection_failed = p.reason


def _stop(t: Trajectory, e: Event, p: StopRequested) -> None:
    t.stop_requested = p.reason or "stop requested"


def _suspended(t: Trajectory, e: Event, p: RunSuspended) -> None:
    t.suspended = p.reason


def _resumed(t: Trajectory, e: Event, p: RunResumed) -> None:
    t.suspended = ""


def _finished(t: Trajectory, e: Event, p: RunFinished) -> None:
    t.finished = p


def _rerun(t: Trajectory, e: Event, p: RerunRequested) -> None:
    t.rerun = p


def _compared(t: Trajectory, e: Event, p: RerunCompared) -> None:
    """Nobody judges a rerun: its attempt ends undecided, with what the comparison says."""
    t.compared = p
    if a := t._attempt(p.attempt):
        a.rule, a.reason, a.failure, a.ended_at = "rerun", p.reason, p.failure, e.active
        t.ended += 1
        t.undecided.pop(a.id, None)


def _failed(
    t: Trajectory, e: Event, p: EffectFailed | EffectCancelled | ProposalFailed | CodeRejected | ExecutionRefused
) -> None:
    if (a := t._attempt(p.attempt)) and a.accepted is None:
        if isinstance(p, EffectFailed):
            a.reason = p.error
        else:
            a.reason = p.reason


_FOLDS: dict[type, Callable[..., None]] = {
    RunStarted: _started,
    RunForked: _forked,
    DataProfiled: _profiled,
    StepPlanned: _planned,
    MemoryRecalled: _recalled,
    HypothesisProposed: _proposed,
    ProposalFailed: _failed,
    CodeWritten: _written,
    CodeRequested: _repairing,
    CodeReviewed: _reviewed,
    CompletionReceived: _completed,
    CompletionFailed: _completed,
    CodeRejected: _failed,
    ExecutionFinished: _executed,
    ExecutionRefused: _failed,
    SubmissionScored: _scored,
    SubmissionRejected: _rejected_submission,
    FeedbackGiven: _feedback,
    AttemptAccepted: _accepted,
    AttemptRejected: _refused,
    SelectionStarted: _selecting,
    SubmissionSelected: _selected,
    SelectionFailed: _selection_failed,
    StopRequested: _stop,
    RunSuspended: _suspended,
    RunResumed: _resumed,
    RunFinished: _finished,
    RerunRequested: _rerun,
    RerunCompared: _compared,
    EffectFailed: _failed,
    EffectCancelled: _failed,
}
