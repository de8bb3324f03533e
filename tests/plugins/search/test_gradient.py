"""The gradient search as tables: what was said, and which steps it plans or whether it says that it is over."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    Budget,
    BudgetExhausted,
    DataProfiled,
    Payload,
    PluginPin,
    ProposalFailed,
    RunForked,
    RunStarted,
    SearchEnded,
    SelectionStarted,
    StepPlanned,
    StopRequested,
    SubmissionScored,
)
from gome.plugins.search.gradient import plugin
from tests.plugins.driver import Driver, artifact, some_task


def searching(
    *,
    traces: int = 3,
    capacity: int = 2,
    budget: Budget | None = None,
    table: dict[str, object] | None = None,
    pinned: bool = False,
) -> Driver:
    """A run up to its profile, so that the first steps are planned; `pinned` with today's behaviour flags."""
    run = Driver(plugin)
    run.say(
        RunStarted(
            task=some_task(),
            seed=1,
            budget=budget or Budget(seconds=100.0),
            traces=traces,
            capacity=capacity,
            settings={"gradient": table or {}},
            plugins=(PluginPin("gradient", "search", plugin.version, "", plugin.flags),) if pinned else (),
        )
    )
    run.say(DataProfiled(artifact("folds.csv"), artifact("sample.csv"), fold_count=5, partitions=8))
    return run


def accept(run: Driver, name: str, score: float = 1.0, active: float | None = None, se: float = 0.0) -> list[Payload]:
    """An attempt is scored and accepted; returns what the search says."""
    run.say(SubmissionScored(name, "full", score, se=se), active=active)
    return run.say(AttemptAccepted(name, gain=0.1))


def planned(said: Sequence[Payload]) -> list[tuple[str, int, str, str]]:
    """Attempt, trace, kind and parent of the steps that were planned."""
    return [(p.attempt, p.trace, p.kind, p.parent) for p in said if isinstance(p, StepPlanned)]


def test_the_profile_starts_as_many_drafts_as_there_is_capacity() -> None:
    run = searching()
    assert planned(run.all(StepPlanned)) == [("a1", 0, "draft", ""), ("a2", 1, "draft", "")]


def test_one_trace_never_has_two_steps_in_flight_whatever_the_capacity() -> None:
    assert planned(searching(traces=1, capacity=4).all(StepPlanned)) == [("a1", 0, "draft", "")]


def test_a_trace_that_waits_for_capacity_goes_before_those_that_have_had_a_step() -> None:
    run = searching()
    assert planned(accept(run, "a1")) == [("a3", 2, "draft", "")]
    assert planned(accept(run, "a2")) == [("a4", 0, "improve", "a1")]


def test_a_refused_draft_is_followed_by_another_draft_and_a_refused_change_by_another_on_the_same_parent() -> None:
    run = searching(traces=1, capacity=1)
    assert planned(run.say(AttemptRejected("a1", failure="memory"))) == [("a2", 0, "draft", "")]
    assert planned(accept(run, "a2")) == [("a3", 0, "improve", "a2")]
    assert planned(run.say(AttemptRejected("a3"))) == [("a4", 0, "improve", "a2")]


@pytest.mark.parametrize(("active", "stage"), [(1.0, "draft"), (20.0, "improve"), (60.0, "ensemble")])
def test_the_stage_follows_the_share_of_the_seconds(active: float, stage: str) -> None:
    run = searching(traces=1)
    accept(run, "a1", active=active)
    assert run.last(StepPlanned).stage == stage


def test_the_stage_follows_the_share_of_the_steps_where_there_is_no_limit_of_time() -> None:
    run = searching(traces=1, budget=Budget(steps=10))
    for number in range(1, 6):
        accept(run, f"a{number}")
    assert run.last(StepPlanned).stage == "ensemble"


def test_the_stages_are_settings() -> None:
    run = searching(traces=1, table={"draft": 0.5, "ensemble": 0.9})
    accept(run, "a1", active=40.0)
    assert run.last(StepPlanned).stage == "draft"


def test_in_the_ensemble_stage_each_trace_merges_once_with_the_others_best_first() -> None:
    run = searching()
    accept(run, "a1", 0.5)
    accept(run, "a2", 0.9)
    accept(run, "a3", 0.7)
    said = accept(run, "a4", 0.4, active=60.0)
    step = next(p for p in said if isinstance(p, StepPlanned))
    assert (step.trace, step.kind, step.parent, step.parents) == (2, "merge", "a3", ("a4", "a2"))


def test_a_trace_that_has_fallen_behind_merges_again_and_the_best_one_improves() -> None:
    run = searching(traces=2, capacity=1)
    accept(run, "a1", 0.5)
    accept(run, "a2", 0.6)
    accept(run, "a3", 0.4, active=60.0)
    assert planned([run.last(StepPlanned)]) == [("a4", 1, "merge", "a2")]
    accept(run, "a4", 0.45)
    assert planned([run.last(StepPlanned)]) == [("a5", 0, "merge", "a3")]
    accept(run, "a5", 0.3)
    assert planned([run.last(StepPlanned)]) == [("a6", 1, "merge", "a4")]
    accept(run, "a6", 0.35)
    assert planned([run.last(StepPlanned)]) == [("a7", 0, "improve", "a5")]


def behind(score: float, se: float = 0.1, pinned: bool = True, **table: object) -> list[tuple[str, int, str, str]]:
    """Where the second trace goes on, whose draft has this score (an error) while the first trace's has 0.5."""
    run = searching(traces=2, capacity=1, table=table, pinned=pinned)
    accept(run, "a1", 0.5, se=se)
    accept(run, "a2", score, se=se)
    return planned(run.say(AttemptRejected("a3")))


def test_a_trace_that_is_behind_by_more_than_noise_goes_on_from_the_best_solution() -> None:
    assert behind(0.71) == [("a4", 1, "improve", "a1")]
    assert behind(0.69) == [("a4", 1, "improve", "a2")], "within two standard errors its own solution may still win"
    assert behind(0.4) == [("a4", 1, "improve", "a2")]


def test_how_far_behind_a_trace_is_lost_is_a_setting() -> None:
    assert behind(0.69, restart=1.0) == [("a4", 1, "improve", "a1")]
    assert behind(5.0, restart=0.0) == [("a4", 1, "improve", "a2")]


def test_where_traces_see_nothing_of_each_other_none_takes_over_anothers_solution() -> None:
    assert behind(5.0, parents=0) == [("a4", 1, "improve", "a2")]


def test_runs_that_began_before_there_were_restarts_go_on_without() -> None:
    assert behind(5.0, pinned=False) == [("a4", 1, "improve", "a2")]


def test_a_lost_trace_is_no_longer_lost_once_a_step_from_there_was_accepted() -> None:
    run = searching(traces=2, capacity=1, pinned=True)
    accept(run, "a1", 0.5, se=0.1)
    accept(run, "a2", 0.9, se=0.1)
    run.say(AttemptRejected("a3"))
    accept(run, "a4", 0.45, se=0.1)
    assert planned([run.last(StepPlanned)]) == [("a5", 0, "improve", "a1")]
    run.say(AttemptRejected("a5"))
    assert planned([run.last(StepPlanned)]) == [("a6", 1, "improve", "a4")]


def test_nothing_is_planned_after_the_end_of_planning() -> None:
    for end in (StopRequested(), SelectionStarted(reason="time"), BudgetExhausted("money", 2.0, 1.0)):
        run = searching()
        run.say(end)
        assert accept(run, "a1") == [] and run.say(AttemptRejected("a2")) == []


def test_a_used_up_budget_of_steps_ends_the_search_once_the_last_step_is_judged() -> None:
    run = searching(budget=Budget(steps=3))
    assert planned(accept(run, "a1")) == [("a3", 2, "draft", "")]
    assert accept(run, "a2") == []
    said = run.say(AttemptRejected("a3"))
    assert [type(p) for p in said] == [SearchEnded] and "3 steps" in run.last(SearchEnded).reason
    assert run.say(AttemptRejected("a3")) == []


def test_the_search_ends_when_the_reasoner_is_exhausted_on_every_trace() -> None:
    run = searching(traces=2)
    run.say(ProposalFailed("a1", "nothing left", exhausted=True))
    assert run.say(AttemptRejected("a1", failure="proposal")) == []
    run.say(ProposalFailed("a2", "nothing left", exhausted=True))
    said = run.say(AttemptRejected("a2", failure="proposal"))
    assert [type(p) for p in said] == [SearchEnded]


def test_an_accepted_attempt_is_new_ground_for_exhausted_traces() -> None:
    run = searching(traces=2)
    run.say(ProposalFailed("a1", "nothing left", exhausted=True))
    run.say(AttemptRejected("a1", failure="proposal"))
    assert planned(accept(run, "a2")) == [("a3", 0, "draft", ""), ("a4", 1, "improve", "a2")]


def test_a_proposal_that_failed_without_being_exhausted_is_tried_again() -> None:
    run = searching(traces=1)
    run.say(ProposalFailed("a1", "the service did not answer"))
    assert planned(run.say(AttemptRejected("a1", failure="proposal"))) == [("a2", 0, "draft", "")]


def test_the_search_gives_up_when_too_many_steps_in_a_row_cannot_be_scored() -> None:
    run = searching(traces=1, table={"failures": 3})
    run.say(AttemptRejected("a1", failure="memory"))
    run.say(AttemptRejected("a2", failure="memory"))
    said = run.say(AttemptRejected("a3", failure="memory"))
    assert [type(p) for p in said] == [SearchEnded] and "3 steps in a row" in run.last(SearchEnded).reason


def test_a_fork_fills_the_capacity_that_the_prefix_leaves_free() -> None:
    run = Driver(plugin)
    run.say(RunStarted(task=some_task(), seed=1, traces=3, capacity=2))
    assert run.say(RunForked(parent="r", position=1, hash="h")) == [], "the data have not been profiled yet"
    run = searching()
    run.plugins = (plugin,)
    assert planned(run.say(RunForked(parent="r", position=4, hash="h"))) == [], "both slots are taken"


@settings(max_examples=60)
@given(
    traces=st.integers(1, 5),
    capacity=st.integers(1, 4),
    steps=st.integers(1, 25),
    outcomes=st.lists(st.sampled_from(["accept", "reject", "fail", "exhausted"]), min_size=40, max_size=40),
    picks=st.lists(st.integers(0, 7), min_size=40, max_size=40),
)
def test_every_course_keeps_one_step_per_trace_within_capacity_and_ends_exactly_once(
    traces: int, capacity: int, steps: int, outcomes: list[str], picks: list[int]
) -> None:
    run = searching(traces=traces, capacity=capacity, budget=Budget(steps=steps))
    done: set[str] = set()
    for outcome, pick in zip(outcomes, picks, strict=True):
        open_ = [p for p in run.all(StepPlanned) if p.attempt not in done]
        assert len({p.trace for p in open_}) == len(open_) <= min(capacity, traces)
        if not open_:
            break
        step = open_[pick % len(open_)]
        done.add(step.attempt)
        if outcome == "accept":
            accept(run, step.attempt, score=float(pick))
        elif outcome == "exhausted":
            run.say(ProposalFailed(step.attempt, "nothing", exhausted=True))
            run.say(AttemptRejected(step.attempt, failure="proposal"))
        else:
            run.say(AttemptRejected(step.attempt, failure="memory" if outcome == "fail" else ""))
    names = [p.attempt for p in run.all(StepPlanned)]
    assert names == [f"a{n + 1}" for n in range(len(names))] and len(names) <= steps
    judged = len(done) == len(names)
    assert len(run.all(SearchEnded)) == judged
