"""When the reasoner asks: the task is analysed once, proposals wait for it, first drafts see one another."""

from __future__ import annotations

import pytest

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    EffectFailed,
    Hypothesis,
    HypothesisProposed,
    MemoryRecalled,
    Payload,
    ProposalFailed,
    ProposalRequested,
    ReflectionRequested,
    RunForked,
    SelectionStarted,
    StepPlanned,
    SubmissionScored,
    Text,
)
from gome.kernel.testing import conform
from gome.plugins.reasoner.gome import plugin
from gome.plugins.reasoner.gome.events import ScenarioAnalysed, ScenarioFailed, ScenarioRequested
from tests.plugins.driver import Driver
from tests.recorded.corpus import load, names

READING = Text.of("Read twice.", pooled=True)


def begun(*, analysed: bool = True) -> Driver:
    """A run whose data are profiled and, usually, whose task is analysed."""
    run = Driver(plugin)
    run.start()
    if analysed:
        run.answer(run.last(ScenarioRequested), ScenarioAnalysed(1, READING))
    return run


def planned(run: Driver, name: str, trace: int = 0, kind: str = "draft", parent: str = "") -> None:
    """A step up to its memory."""
    run.say(StepPlanned(name, trace, step=1, kind=kind, parent=parent))  # type: ignore[arg-type]
    run.say(MemoryRecalled(name))


def proposals(run: Driver) -> list[str]:
    return [p.attempt for p in run.all(ProposalRequested)]


def proposed(run: Driver, name: str) -> None:
    run.answer(
        next(p for p in run.all(ProposalRequested) if p.attempt == name),
        HypothesisProposed(name, Hypothesis("s", "model")),
    )


def fail(run: Driver, name: str) -> None:
    """A step that is proposed, fails while it runs, and is refused."""
    planned(run, name)
    proposed(run, name)
    run.say(AttemptRejected(name, "it crashed", failure="data"))


def test_proposals_wait_until_the_task_is_analysed_and_carry_what_was_found() -> None:
    run = begun(analysed=False)
    planned(run, "a1")
    assert [s.round for s in run.all(ScenarioRequested)] == [1] and proposals(run) == []
    run.answer(run.last(ScenarioRequested), ScenarioAnalysed(1, READING))
    assert proposals(run) == ["a1"]
    assert str(run.last(ProposalRequested).scenario) == "Read twice."
    assert run.last(ProposalRequested).scenario.ref, "a pooled text is stored once, however often it is handed on"


@pytest.mark.parametrize(
    "answer", [ScenarioFailed(1, "no model"), EffectFailed("i", "ScenarioRequested", 3, "crashed")]
)
def test_without_an_analysis_proposals_go_on_with_the_tasks_own_text(answer: ScenarioFailed | EffectFailed) -> None:
    run = begun(analysed=False)
    planned(run, "a1")
    run.answer(run.last(ScenarioRequested), answer)
    assert proposals(run) == ["a1"] and str(run.last(ProposalRequested).scenario) == ""


def test_first_drafts_are_asked_for_one_after_the_other_and_improvements_at_once() -> None:
    run = begun()
    planned(run, "a1", 0)
    planned(run, "a2", 1)
    planned(run, "a3", 2, kind="improve", parent="a0")
    planned(run, "a4", 3, kind="merge", parent="a0")
    assert proposals(run) == ["a1", "a3", "a4"]
    proposed(run, "a1")
    assert proposals(run) == ["a1", "a3", "a4", "a2"]


def test_a_failed_proposal_lets_the_next_draft_go_on() -> None:
    run = begun()
    planned(run, "a1", 0)
    planned(run, "a2", 1)
    run.answer(run.last(ProposalRequested), ProposalFailed("a1", "no reply"))
    assert proposals(run) == ["a1", "a2"]


def test_what_the_reasoner_recalls_itself_asks_for_no_second_proposal() -> None:
    run = begun()
    planned(run, "a1")
    run.say(MemoryRecalled("a1"))
    assert proposals(run) == ["a1"]


def test_after_three_failures_in_a_row_with_nothing_accepted_the_task_is_read_again() -> None:
    run = begun()
    for name in ("a1", "a2", "a3"):
        fail(run, name)
    assert [s.round for s in run.all(ScenarioRequested)] == [1, 2]
    planned(run, "a4")
    assert "a4" not in proposals(run), "it waits for the new reading"
    run.answer(run.last(ScenarioRequested), ScenarioAnalysed(2, Text.of("Read again.")))
    assert str(run.last(ProposalRequested).scenario) == "Read again."


def test_the_task_is_not_read_again_when_something_was_accepted_or_nothing_was_proposed() -> None:
    run = begun()
    planned(run, "a0")
    proposed(run, "a0")
    run.say(AttemptAccepted("a0"))
    for name in ("a1", "a2", "a3"):
        fail(run, name)
    assert len(run.all(ScenarioRequested)) == 1
    other = begun()
    for name in ("a1", "a2", "a3"):
        planned(other, name)
        other.answer(other.last(ProposalRequested), ProposalFailed(name, "the endpoint is gone"))
        other.say(AttemptRejected(name, "no proposal", failure="data"))
    assert len(other.all(ScenarioRequested)) == 1


def test_a_scored_attempt_is_reflected_on_once_with_the_scenario() -> None:
    run = begun()
    planned(run, "a1")
    run.say(SubmissionScored("a1", "full", 0.2))
    run.say(SubmissionScored("a1", "repeat", 0.2))
    assert [r.attempt for r in run.all(ReflectionRequested)] == ["a1"]
    assert str(run.last(ReflectionRequested).scenario) == "Read twice."


def test_nothing_is_proposed_once_final_selection_has_begun() -> None:
    run = begun(analysed=False)
    planned(run, "a1")
    run.say(SelectionStarted("time"))
    run.answer(run.last(ScenarioRequested), ScenarioAnalysed(1, READING))
    planned(run, "a2")
    assert proposals(run) == []


def test_whoever_takes_over_reads_the_task_and_takes_up_what_was_left_open() -> None:
    run, before = Driver(plugin), Driver()
    before.start()
    left = (StepPlanned("a1", 0, 1), MemoryRecalled("a1"), StepPlanned("a2", 1, 1), SubmissionScored("a2", "full", 1.0))
    for payload in (*(e.payload for e in before.log), *left):  # the prefix, which somebody else has answered
        assert isinstance(payload, Payload)
        run._append(payload, "0" * 32, "", "other")
    run.log.clear()
    run.say(RunForked("p", 9, "h"))
    assert len(run.all(ScenarioRequested)) == 1 and [r.attempt for r in run.all(ReflectionRequested)] == ["a2"]
    run.answer(run.last(ScenarioRequested), ScenarioAnalysed(1, READING))
    assert "a1" in proposals(run)


@pytest.mark.anyio
@pytest.mark.parametrize("name", names())
async def test_it_is_a_decider_on_recorded_runs(name: str) -> None:
    assert conform(plugin, (await load(name)).records) > 0
