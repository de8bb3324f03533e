"""What a person sees a trace do while a program is written, tried, mended and run."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from gome.events import (
    CodeRequested,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    Hypothesis,
    HypothesisProposed,
    Ledger,
    Payload,
    ReviewRequested,
    StepPlanned,
    Text,
    Trajectory,
)
from gome.kernel.cli.progress import Activity, Progress


def test_a_trace_shows_what_is_being_done_for_its_attempt() -> None:
    activity, t, shown = Activity(), Trajectory(), []
    program = Text.of("print()")
    said: list[Payload] = [
        StepPlanned("a1", 2, 1),
        HypothesisProposed("a1", Hypothesis("fit the log", "target")),
        CodeRequested("a1", "write"),
        ExecutionRequested("a1", "debug", program, {}),
        CodeRequested("a1", "repair"),
        ReviewRequested("a1", program),
        ExecutionRequested("a1", "full", program, {}),
    ]
    for n, payload in enumerate(said, start=1):
        event = Event(f"e{n}", type(payload).__name__, n, float(n), payload)
        t.apply(event)
        activity.see(event, t)
        shown.append(activity.traces[2])
    assert shown == [
        "a1: planning a draft",
        "a1: fit the log",
        "a1: writing the program",
        "a1: trying",
        "a1: mending the program",
        "a1: having the program reviewed",
        "a1: fit the log",
    ]


@pytest.mark.parametrize(("cached", "said"), [(0, ""), (2, "2 of 3 executions known from before")])
def test_the_panel_says_how_many_executions_nothing_was_run_for(cached: int, said: str) -> None:
    ledger = Ledger()
    for n in range(3):
        done = ExecutionFinished("a1", "full", True, cached=n < cached)
        ledger.apply(Event(f"e{n}", "ExecutionFinished", n, 0.0, done))
    state = SimpleNamespace(trajectory=Trajectory(), ledger=ledger)
    live: Any = SimpleNamespace(state=state, seconds_left=lambda: None)
    out = io.StringIO()
    Console(file=out, width=120).print(Progress(live).panel())
    assert "steps 0/0" in out.getvalue()
    assert ("known from before" in out.getvalue()) == bool(said) and said in out.getvalue()
