"""The kernel's own decider: what ends planning where the budget does."""

from __future__ import annotations

import pytest

from gome.events import (
    Budget,
    BudgetExhausted,
    CancelRequested,
    EffectFailed,
    ExecutionFinished,
    ExecutionRefused,
    ExecutionRequested,
    Limits,
    PluginPin,
    ProfileRequested,
    RunFinished,
    RunStarted,
    SelectionStarted,
    Text,
)
from gome.kernel.lifecycle import lifecycle
from tests.plugins.driver import Driver, some_task


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


@pytest.mark.parametrize("flags", [lifecycle.flags, ()], ids=["now", "recorded before"])
def test_a_run_whose_data_could_not_be_profiled_fails_and_one_that_was_recorded_before_waits(
    flags: tuple[str, ...],
) -> None:
    run = Driver(lifecycle)
    pin = PluginPin(name="lifecycle", role="plugin", version="1", digest="", flags=flags)
    run.say(RunStarted(task=some_task(), seed=0, budget=Budget(steps=3), plugins=(pin,)))
    asked = ProfileRequested(some_task(), seed=0)
    run.say(asked)
    said = run.answer(asked, EffectFailed("e", "ProfileRequested", 3, "no column 'price'"))
    failed = [RunFinished(outcome="failed", reason="the data could not be profiled: no column 'price'")]
    assert said == (failed if flags else [])
