"""When a program is written, when it is rewritten, when an attempt is given up, and when nothing is said."""

from __future__ import annotations

from typing import Any

import pytest

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    CodeRejected,
    CodeRequested,
    CodeReviewed,
    CodeWritten,
    EffectCancelled,
    EffectFailed,
    ExecutionFinished,
    Hypothesis,
    HypothesisProposed,
    Payload,
    RoleHandedOver,
    RunStarted,
    SelectionStarted,
    StepPlanned,
    StopRequested,
    SubmissionRejected,
    Text,
)
from gome.kernel.handover import standby
from gome.plugins.mutator.llm import plugin
from tests.plugins.driver import Driver, some_task

PROGRAM = Text.of("print(1)\n")
IDEA = Hypothesis("fit the log", "target", {"sketch": "Use log1p."}, reason="it is skewed")


def code(attempt: str = "a1", text: Text = PROGRAM, *, repairs: int = 2, number: int = 0) -> CodeWritten:
    return CodeWritten(attempt, text, text.digest, repairs=repairs, number=number, review=True)


def failed(purpose: str = "debug", **fields: Any) -> ExecutionFinished:
    values = {"failure": "data", "error": "KeyError: 'x'", "program": PROGRAM.digest, **fields}
    return ExecutionFinished("a1", purpose, ok=False, **values)  # type: ignore[arg-type]


def refused(**fields: Any) -> SubmissionRejected:
    return SubmissionRejected(**{"attempt": "a1", "purpose": "full", "reason": "oof.csv lacks ids", **fields})


def reviewed(*, ok: bool = False, digest: str = PROGRAM.digest) -> CodeReviewed:
    return CodeReviewed("a1", digest, ok=ok, problem="leaks")


def driver(*payloads: Payload, roles: dict[str, str] | None = None, **settings: Any) -> Driver:
    run = Driver(plugin)
    run.say(RunStarted(task=some_task(), seed=0, roles=roles or {"mutator": "llm"}, settings=settings))
    for payload in payloads:
        run.say(payload)
    return run


def open_attempt(*payloads: Payload, **settings: Any) -> Driver:
    """An attempt whose program has been written."""
    return driver(StepPlanned("a1", 0, 1), HypothesisProposed("a1", IDEA), code(), *payloads, **settings)


def test_a_hypothesis_asks_for_a_program_based_on_its_parents() -> None:
    run = driver(StepPlanned("a1", 0, 1))
    (first,) = run.say(HypothesisProposed("a1", IDEA))
    assert isinstance(first, CodeRequested)
    assert (first.purpose, str(first.program), first.problem, first.rewrite) == ("write", "", "", 0)
    assert str(first.sketch) == (
        "Hypothesis: fit the log\n\nBecause: it is skewed\n\nPart of the solution: target\n\nUse log1p."
    )
    for payload in (code(), AttemptAccepted("a1"), StepPlanned("a2", 0, 2, parent="a1")):
        run.say(payload)
    (second,) = run.say(HypothesisProposed("a2", Hypothesis("more trees", "model", {"b": 1, "a": [2]})))
    assert isinstance(second, CodeRequested)
    assert second.program == PROGRAM and str(second.sketch).endswith('Change: {"a":[2],"b":1}')


def test_equal_wishes_are_equal_questions_whatever_the_attempt_is_called() -> None:
    from gome.events import CODEC

    one = CodeRequested("a1", "write", Text.of("an idea"))
    assert CODEC.argument_digest(one) == CODEC.argument_digest(CodeRequested("a7", "write", Text.of("an idea")))
    assert CODEC.argument_digest(one) != CODEC.argument_digest(CodeRequested("a1", "write", Text.of("another")))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (failed(), ["The debug execution, on a sample of the rows, failed: data (", "KeyError: 'x'"]),
        (failed("full", failure="time", error="stopped after 600 s"), ["The full execution, failed: time (out of"]),
        (failed(failure="", error=""), ["failed: killed."]),
        (refused(), ["its files were refused: oof.csv lacks ids"]),
        (reviewed(), ["looked at before its full execution: leaks"]),
    ],
)
def test_a_fault_of_a_program_that_can_still_be_repaired_asks_for_its_repair(fault: Payload, said: list[str]) -> None:
    (asked,) = open_attempt().say(fault)
    assert isinstance(asked, CodeRequested)
    assert (asked.purpose, asked.program, asked.rewrite) == ("repair", PROGRAM, 1)
    assert all(words in asked.problem for words in said), asked.problem


@pytest.mark.parametrize(
    "event",
    [
        failed(failure="cancelled"),
        failed(failure="hopeless"),
        failed(program=Text.of("an earlier version").digest),
        failed("seed"),
        failed("audit"),
        refused(layer=2),
        refused(purpose="rerun"),
        reviewed(ok=True),
        reviewed(digest="sha256-another"),
        ExecutionFinished("a1", "debug", ok=True, program=PROGRAM.digest),
        ExecutionFinished("elsewhere", "debug", ok=False),
        HypothesisProposed("elsewhere", IDEA),
    ],
)
def test_what_is_no_fault_of_the_latest_program_is_answered_by_silence(event: Payload) -> None:
    assert open_attempt().say(event) == []


@pytest.mark.parametrize(
    ("before", "fault"),
    [
        ((StopRequested(),), failed()),
        ((SelectionStarted(reason="time"),), failed()),
        ((SelectionStarted(reason="time"),), reviewed()),
        ((AttemptRejected("a1", reason="late"),), failed()),
        ((code(repairs=0),), failed()),
        ((code(repairs=0),), refused()),
        ((CodeRejected("a1", "gone"),), failed()),
        ((EffectFailed("i", "ReviewRequested", 3, "lost", "a1"),), reviewed()),
        ((EffectCancelled("i", "CodeRequested", "off", "a1"),), failed()),
    ],
)
def test_nothing_is_repaired_for_a_run_or_an_attempt_that_is_ending(
    before: tuple[Payload, ...], fault: Payload
) -> None:
    assert open_attempt(*before).say(fault) == []


def test_nothing_is_written_once_the_run_is_ending() -> None:
    assert driver(StepPlanned("a1", 0, 1), StopRequested()).say(HypothesisProposed("a1", IDEA)) == []


def test_a_review_that_finds_fault_ends_an_attempt_without_repairs_left() -> None:
    (said,) = open_attempt(code(repairs=0)).say(reviewed())
    assert isinstance(said, CodeRejected)
    assert said.reason.startswith("no repairs left: ") and said.reason.endswith("leaks")


def test_every_version_is_repaired_from_the_one_before() -> None:
    run = open_attempt(failed())
    second = Text.of("print(2)\n")
    run.say(code(text=second, repairs=1, number=1))
    (asked,) = run.say(failed(program=second.digest, error="NameError: y"))
    assert isinstance(asked, CodeRequested)
    assert (asked.program, asked.rewrite) == (second, 2) and "KeyError" not in asked.problem


def test_a_repair_is_asked_for_once() -> None:
    assert open_attempt(failed()).say(reviewed()) == []


@pytest.mark.parametrize(
    ("share", "shown", "hidden"),
    [("none", [], ["warned", "cells"]), ("schema", ["warned"], ["cells"]), ("sample", ["warned", "cells"], [])],
)
def test_what_a_program_printed_is_passed_on_only_as_far_as_data_are_shared(
    share: str, shown: list[str], hidden: list[str]
) -> None:
    run = open_attempt(completion={"share": share})
    (asked,) = run.say(failed(stderr=Text.of("library warned"), stdout=Text.of("cells: 1, 2")))
    assert isinstance(asked, CodeRequested) and "KeyError" in asked.problem
    assert all(words in asked.problem for words in shown)
    assert not any(words in asked.problem for words in hidden)


def test_a_problem_is_bounded_however_much_a_program_printed() -> None:
    run = open_attempt(completion={"share": "sample"})
    much = Text.of("line of output\n" * 9000 + "the end")
    (asked,) = run.say(failed(error="e\n" * 9000 + "ValueError: last", stderr=much, stdout=much))
    assert isinstance(asked, CodeRequested)
    assert len(asked.problem) < 7000 and "ValueError: last" in asked.problem and asked.problem.count("the end") == 2


def test_a_mutator_that_takes_over_takes_up_whatever_waits_for_a_program() -> None:
    run = Driver(standby(plugin))
    prefix = [
        RunStarted(task=some_task(), seed=0, roles={"mutator": "another"}),
        StepPlanned("a1", 0, 1),
        HypothesisProposed("a1", IDEA),
        code(),
        failed(),
        StepPlanned("a2", 1, 1),
        HypothesisProposed("a2", IDEA),
        StepPlanned("a3", 2, 1),
        HypothesisProposed("a3", IDEA),
        CodeRequested("a3", "write"),
        StepPlanned("a4", 0, 2),
        StepPlanned("a5", 0, 3),
        HypothesisProposed("a5", IDEA),
        code("a5", Text.of("fine")),
    ]
    for payload in prefix:
        assert run.say(payload) == []
    said = run.say(RoleHandedOver("mutator", "another", "llm", "asked to"))
    assert [(p.attempt, p.purpose) for p in said if isinstance(p, CodeRequested)] == [("a1", "repair"), ("a2", "write")]
    assert len(said) == 2


def test_the_plugin_names_its_effects() -> None:
    assert (plugin.name, plugin.role, plugin.default) == ("llm", "mutator", False)
    assert [e.intent.__name__ for e in plugin.effects] == ["CodeRequested", "ReviewRequested"]
    assert all(e.policy == "repeatable" for e in plugin.effects)


def test_a_step_that_repairs_a_failed_attempt_starts_from_the_program_that_failed() -> None:
    run = open_attempt(AttemptRejected("a1", failure="data"), StepPlanned("a2", 0, 2, kind="debug", parent="a1"))
    (asked,) = run.say(HypothesisProposed("a2", IDEA))
    assert isinstance(asked, CodeRequested) and asked.purpose == "write" and asked.program == PROGRAM
