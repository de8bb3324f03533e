"""The success memory: its fold, what it asks, and what a step is told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gome.events import (
    AttemptRejected,
    Hypothesis,
    HypothesisProposed,
    MemoryRecalled,
    RecallRequested,
    RunStarted,
    StepPlanned,
    digest_of,
)
from gome.events.memory import SuccessMemory, normalised_gain, spread
from gome.plugins.memory.kernel import plugin
from tests.plugins.driver import Driver, some_task
from tests.plugins.memory.stories import folded, remember, story

outcomes = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.floats(0.0001, 10.0, allow_nan=False)), max_size=15)


@settings(max_examples=60)
@given(outcomes)
def test_every_finished_attempt_is_remembered_once_and_the_trajectory_gives_the_same_memory(
    all_: list[tuple[int, bool, float]],
) -> None:
    memory, trajectory = folded(story(all_))
    assert len(memory) == len(all_) == len({m.attempt for m in memory})
    assert [m.attempt for m in memory.successes] == [f"a{n}" for n, o in enumerate(all_, start=1) if o[1]]
    again = SuccessMemory.of(trajectory)
    assert (again.successes, again.failures, again.digest) == (memory.successes, memory.failures, memory.digest)


sizes = st.floats(-1e6, 1e6, allow_nan=False).map(lambda gain: round(gain, 9))


@given(st.lists(sizes, min_size=1, max_size=20), st.floats(1e-3, 1e3))
def test_normalised_gains_do_not_depend_on_the_unit_of_the_metric(gains: list[float], unit: float) -> None:
    scale, scaled = spread(gains), spread([g * unit for g in gains])
    for gain in gains:
        assert normalised_gain(gain * unit, scaled) == pytest.approx(normalised_gain(gain, scale), rel=1e-6)
        assert abs(normalised_gain(gain, scale)) <= 8


def test_an_entry_holds_hypothesis_lesson_score_gain_and_cost() -> None:
    memory, _ = folded(story([(1, True, 0.25)]))
    (entry,) = memory.successes
    assert (entry.trace, entry.gain, entry.cost, entry.lesson) == (1, 0.25, 2.0, "lesson 1")
    assert entry.score == 0.75 and entry.first and "ratio of areas" in entry.text
    assert entry.key == digest_of(entry.text.encode()), "what an embedding is kept under"


def test_failures_keep_their_class() -> None:
    said = story([])
    said += [StepPlanned("a1", 0, 1), AttemptRejected("a1", reason="too big", failure="memory")]
    memory, _ = folded(said)
    assert [(m.failure, m.reason) for m in memory.failures] == [("memory", "too big")] and not memory.successes


def test_a_step_is_told_what_failed_and_why_but_not_what_was_called_off() -> None:
    said = story([(0, True, 0.1)])
    for name, failure, reason in (("a2", "time", "over 600 s"), ("a3", "cancelled", "the time is over")):
        said += [
            StepPlanned(name, 0, 2, parent="a1"),
            HypothesisProposed(name, Hypothesis("fit a Gaussian process", "model", move="add")),
            AttemptRejected(name, reason=reason, failure=failure),
        ]
    (failed,) = [r for r in remember(said).recollections if not r.accepted]
    assert (failed.attempt, failed.failure, failed.lesson) == ("a2", "time", "over 600 s")


def test_a_loop_without_memory_gets_an_empty_answer_at_once_and_asks_nothing() -> None:
    run = Driver(plugin)
    run.say(RunStarted(task=some_task(), seed=3, settings={"loop": {"memory": False}}))
    assert run.say(StepPlanned("a1", 0, step=1)) == [MemoryRecalled("a1")]
    assert run.all(RecallRequested) == []


def test_a_reasoner_that_asks_all_the_same_is_told_nothing_without_memory() -> None:
    said = story([(0, True, 0.1)])
    started = said[0]
    assert isinstance(started, RunStarted) and remember(said).recollections
    started.settings["loop"] = {"memory": False}
    assert remember(said).recollections == ()


def test_a_planned_step_asks_once_with_the_traces_latest_idea_and_the_digest_of_what_is_known() -> None:
    run = Driver(plugin)
    for payload in story([(0, True, 0.1), (1, False, 0.1)]):
        run.say(payload)
    before = len(run.all(RecallRequested))
    said = run.say(StepPlanned("a3", 0, step=3, parent="a1"))
    (asked,) = said
    assert isinstance(asked, RecallRequested) and before == 2
    assert "ratio of areas" in asked.query and asked.memory and asked.position == len(run.log) - 1
    other = run.say(StepPlanned("a4", 2, step=1))[0]
    assert isinstance(other, RecallRequested) and other.memory == asked.memory, "nothing was learnt in between"
    assert other.query.startswith("regression rmse"), "a trace without ideas asks with the task"


def test_successes_of_all_traces_are_told_best_first_and_failures_after_them() -> None:
    told = remember(story([(0, True, 0.5), (1, True, 0.1), (2, True, 0.2), (0, False, 0.3)]), trace=2)
    names = [r.attempt for r in told.recollections]
    assert sorted(names) == ["a1", "a2", "a3", "a4"] and names[-1] == "a4"
    weights = [r.weight for r in told.recollections if r.accepted]
    assert weights == sorted(weights, reverse=True) and sum(weights) == pytest.approx(1.0)


def test_the_robust_rule_prefers_larger_gains_whatever_the_scale_of_the_metric() -> None:
    for unit in (1e-4, 1.0, 1e4):
        gains = [(0, True, 1.0 * unit), (0, True, 0.2 * unit), (0, True, 3.0 * unit), (0, True, 0.2 * unit)]
        weight = {r.attempt: r.weight for r in remember(story(gains), query="").recollections}
        assert weight["a3"] > 1.2 * weight["a4"], unit


def test_the_published_rule_shows_the_best_and_the_oldest_draws() -> None:
    gains = [(0, True, 0.1)] * 6
    seen = [[r.attempt for r in remember(story(gains, rule="published"), seed=s).recollections] for s in range(30)]
    assert all(names[0] == "a6" and len(names) <= 3 for names in seen)
    assert all(names[1:] == sorted(names[1:]) for names in seen)


def test_an_empty_memory_tells_nothing() -> None:
    assert remember(story([])).recollections == ()


def test_a_recall_is_the_same_for_the_same_draws() -> None:
    said = story([(n % 3, n % 4 != 0, 0.1 * n + 0.1) for n in range(12)])
    assert remember(said, seed=5) == remember(said, seed=5)


@pytest.mark.parametrize(
    ("context", "asked"), [("", True), ("mlevolve.improve", True), ("mlevolve.fusion", False), ("aide.draft", False)]
)
def test_memory_is_asked_for_a_step_only_where_its_scope_has_memory_across_branches(context: str, asked: bool) -> None:
    run = Driver(plugin)
    run.say(RunStarted(task=some_task(), seed=3))
    (said,) = run.say(StepPlanned("a1", 0, step=1, context=context))
    assert isinstance(said, RecallRequested if asked else MemoryRecalled)
