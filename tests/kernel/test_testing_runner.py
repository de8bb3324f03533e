"""The conformance kit for runners says what is wrong with a runner, by name, and never hangs on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gome.events import Event, ExecutionFinished, ExecutionRequested
from gome.kernel.plugin import Check, Context, Effect, Plugin
from gome.kernel.testing import conform_runner


async def _lie(event: Event, ctx: Context) -> ExecutionFinished:
    """Runs nothing and calls it a success."""
    intent = event.payload
    assert isinstance(intent, ExecutionRequested)
    return ExecutionFinished(attempt=intent.attempt, purpose=intent.purpose, ok=True, program=intent.program.digest)


async def _raise(event: Event, ctx: Context) -> ExecutionFinished:
    raise OSError("no such machine")


def runner(perform: object) -> Plugin:
    effect = Effect(ExecutionRequested, policy="reconcile", pool="cores")
    return Plugin(name="broken", role="runner", effects=(effect,), perform=perform)  # type: ignore[arg-type]


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_a_runner_that_runs_nothing_keeps_no_promise(tmp_path: Path) -> None:
    checks = by_name(conform_runner(runner(_lie), tmp_path))
    assert len(checks) == 23 and not [name for name, check in checks.items() if check.ok]
    assert "it is called a success" in checks["memory is limited"].detail
    assert checks["an exception is data with its place"].advice.endswith("plugins/README.md")


def test_a_runner_that_raises_is_told_that_failures_are_results(tmp_path: Path) -> None:
    checks = conform_runner(runner(_raise), tmp_path, isolated=False)
    assert not any(check.ok for check in checks)
    assert (checks[0].detail, checks[0].advice) == (
        "OSError: no such machine",
        "a program's failure is a result, no exception",
    )


def test_what_is_no_runner_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="has the role search"):
        conform_runner(replace(runner(_lie), role="search"), tmp_path)
    careless = Effect(ExecutionRequested, policy="repeatable")
    with pytest.raises(AssertionError, match="reconciled"):
        conform_runner(replace(runner(_lie), effects=(careless,)), tmp_path)
