"""The kernel's own decider: what ends planning where the budget does."""

from __future__ import annotations

from gome.events import (
    Budget,
    BudgetExhausted,
    CancelRequested,
    ExecutionFinished,
    ExecutionRefused,
    ExecutionRequested,
    Limits,
    SelectionStarted,
    Text,
)
from gome.kernel.lifecycle import lifecycle
from tests.plugins.driver import Driver


def execution(attempt: str) -> ExecutionRequested:
    return ExecutionRequested(attempt, "full", Text.of("pass"), {}, limits=Limits(seconds=50.0))


def test_the_last_execution_of_the_budget_may_finish_before_planning_ends() -> None:
    run = Driver(lifecycle)
    run.start(budget=Budget(executions=2))
    first, second = execution("a1"), execution("a2")
    assert run.say(first) == [] == run.say(second)
    assert run.answer(first, ExecutionFinished("a1", "full", ok=True)) == []
    said = run.answer(second, ExecutionFinished("a2", "full", ok=True))
    assert [type(p) for p in said] == [BudgetExhausted, SelectionStarted]
    assert said[0] == BudgetExhausted(limit="executions", spent=2.0, allowed=2.0)


def test_a_refused_execution_ends_planning_and_calls_off_what_is_in_flight() -> None:
    run = Driver(lifecycle)
    run.start(budget=Budget(execution_seconds=100.0))
    run.say(execution("a1"))
    said = run.say(ExecutionRefused("a2", "full", "execution_seconds", 97.0, 100.0, "used up"))
    assert [type(p) for p in said] == [BudgetExhausted, SelectionStarted, CancelRequested]
    assert said[0] == BudgetExhausted(limit="execution_seconds", spent=97.0, allowed=100.0)
    assert run.say(ExecutionRefused("a3", "full", "execution_seconds", 97.0, 100.0, "used up")) == []
