"""What a person sees a trace do while a program is written, tried, mended and run."""

from __future__ import annotations

from gome.events import (
    CodeRequested,
    Event,
    ExecutionRequested,
    Hypothesis,
    HypothesisProposed,
    Payload,
    ReviewRequested,
    StepPlanned,
    Text,
    Trajectory,
)
from gome.kernel.cli.progress import Activity


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
