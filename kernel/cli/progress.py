"""What a person sees while a run goes on: a live panel on a terminal, plain lines elsewhere, JSON lines for machines.

Progress goes to stderr, JSON lines to stdout. Everything shown is read off the run's trajectory as commits arrive.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    BudgetExhausted,
    CodeRequested,
    Commit,
    DataProfiled,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    HypothesisProposed,
    ReviewRequested,
    RunFinished,
    RunResumed,
    RunStarted,
    RunSuspended,
    SelectionStarted,
    StepPlanned,
    SubmissionScored,
    SubmissionSelected,
    Trajectory,
)
from gome.kernel.report import number

if TYPE_CHECKING:
    from rich.console import Group

    from gome.kernel.live import Observer
    from gome.kernel.state import RunState


class Watched(Protocol):
    """What is shown: a `LiveRun`, or a recorded one that is played again."""

    run: str
    observers: list[Observer]

    @property
    def state(self) -> RunState: ...
    def active_now(self) -> float: ...
    def seconds_left(self) -> float | None: ...


def sentence(event: Event, t: Trajectory) -> str:
    """One line about an event that is worth one, "" for the rest."""
    match event.payload:
        case RunStarted(task=task):
            return f"{task.name}: {task.kind}, {task.rows_train} training rows, {len(task.columns)} columns"
        case RunResumed(reason=reason):
            return f"going on from where the log ends{f': {reason}' if reason else ''}"
        case DataProfiled(fold_count=folds):
            return f"data profiled, {folds} folds drawn"
        case SubmissionScored(attempt="baseline", purpose="full", score=score):
            return f"default LightGBM: validation {number(score)}"
        case AttemptAccepted(attempt=attempt, gain=gain):
            a = t.attempts[attempt]
            what = a.hypothesis.statement if a.hypothesis else attempt
            why = f" — {a.hypothesis.reason}" if a.hypothesis and a.hypothesis.reason else ""
            gained = f" ({number(gain, '+')})" if a.parent else ""
            return f"accepted {attempt}, trace {a.trace}: {number(a.score)}{gained}  {what}{why}"
        case SelectionStarted(reason=reason):
            return f"final selection: {reason}"
        case BudgetExhausted(limit=limit):
            return f"the budget of {limit} is used up"
        case SubmissionSelected(attempt=attempt, candidates=candidates):
            return f"handed in: {attempt}, out of {len(candidates) or 1} candidates"
        case RunSuspended(reason=reason):
            return f"suspended: {reason}"
        case RunFinished(outcome=outcome, reason=reason):
            return f"finished: {outcome}" + (f", {reason}" if reason else "")
    return ""


class Activity:
    """What each trace is doing right now, folded from commits."""

    def __init__(self) -> None:
        self.traces: dict[int, str] = {}
        self.selecting = False
        self.asked = self.done = 0

    def see(self, event: Event, t: Trajectory) -> None:
        """Take in one event."""
        match event.payload:
            case StepPlanned(attempt=attempt, trace=trace, kind=kind):
                self.traces[trace] = f"{attempt}: planning a {kind}"
            case HypothesisProposed(attempt=attempt, hypothesis=h) if attempt in t.attempts:
                self.traces[t.attempts[attempt].trace] = f"{attempt}: {h.statement}"
            case SelectionStarted():
                self.selecting, self.traces = True, {}
            case ExecutionRequested() if self.selecting:
                self.asked += 1
                self._count()
            case ExecutionFinished() if self.selecting:
                self.done += 1
                self._count()
            case CodeRequested(attempt=attempt, purpose=purpose) if attempt in t.attempts:
                doing = "mending" if purpose == "repair" else "writing"
                self.traces[t.attempts[attempt].trace] = f"{attempt}: {doing} the program"
            case ReviewRequested(attempt=attempt) if attempt in t.attempts:
                self.traces[t.attempts[attempt].trace] = f"{attempt}: having the program reviewed"
            case ExecutionRequested(attempt=attempt, purpose="full") if attempt in t.attempts:
                a = t.attempts[attempt]
                self.traces[a.trace] = f"{attempt}: {a.hypothesis.statement if a.hypothesis else 'running'}"
            case ExecutionRequested(attempt=attempt, purpose=purpose) if attempt in t.attempts:
                said = {"seed": "measuring seed noise", "repeat": "asking again on other folds", "debug": "trying"}
                self.traces[t.attempts[attempt].trace] = f"{attempt}: {said.get(purpose, purpose)}"
            case AttemptAccepted(attempt=attempt) | AttemptRejected(attempt=attempt) if attempt in t.attempts:
                self.traces.pop(t.attempts[attempt].trace, None)

    def _count(self) -> None:
        self.traces = {-1: f"final selection: {self.done} of {self.asked} reruns and audits done"}


class Progress:
    """Shows one run; use `shown` around its drive. `json` prints an object per told event to stdout."""

    def __init__(self, live: Watched, *, json: bool = False) -> None:
        self.live = live
        self.json = json
        self.activity = Activity()
        self._print: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)

    def observe(self, commit: Commit) -> None:
        """Show what a commit says."""
        t = self.live.state.trajectory
        for event in commit.events:
            self.activity.see(event, t)
            text = sentence(event, t)
            if not text:
                continue
            if self.json:
                line = {"run": self.live.run, "seq": event.seq, "event": event.type, "active": round(event.active, 3)}
                print(msgspec.json.encode({**line, "text": text}).decode(), flush=True)
            else:
                self._print(f"{event.active:6.1f} s  {text}")

    def tell(self, text: str) -> None:
        """Show a sentence that is no event."""
        self._print(f"{self.live.active_now():6.1f} s  {text}")

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show progress for the length of the block."""
        self.live.observers.append(self.observe)
        try:
            if self.json or not sys.stderr.isatty():
                yield
                return
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, highlight=False)
            with Live(get_renderable=self.panel, console=console, refresh_per_second=4, transient=True):
                self._print = lambda text: console.print(text, markup=False, soft_wrap=True)
                yield
        finally:
            self.live.observers.remove(self.observe)

    def panel(self) -> Group:
        """The live part: best so far, budget left, a line per trace."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        t = self.live.state.trajectory
        best = t.best_attempt()
        left, ledger = self.live.seconds_left(), self.live.state.ledger
        head = Table.grid(padding=(0, 2))
        facts: list[Any] = [f"steps {t.ended}/{len(t.attempts)}"]
        if t.started is not None:
            facts.append(f"best {t.started.task.metric.name} {number(best.score) if best else '–'}")
        if ledger.cached:
            facts.append(f"{ledger.cached} of {ledger.executions} executions known from before")
        if left is not None and t.started is not None and t.started.budget.seconds:
            used = 1 - max(0.0, left) / t.started.budget.seconds
            facts += [ProgressBar(total=1.0, completed=used, width=30), f"{max(0.0, left):.0f} s left"]
        head.add_row(*facts)
        lines = [
            Text(f"  trace {k}  {v}" if k >= 0 else f"  {v}", no_wrap=True, overflow="ellipsis")
            for k, v in sorted(self.activity.traces.items())
        ]
        return Group(head, *lines)
