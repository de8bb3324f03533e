"""The schedulers: whatever happens they stay within capacity, come to an end, and know no direction but better."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    Budget,
    DataProfiled,
    Payload,
    ProposalFailed,
    RunStarted,
    SearchEnded,
    StepPlanned,
    SubmissionScored,
)
from gome.plugins.search.gradient import plugin
from tests.plugins.driver import Driver, artifact, some_task

SCHEDULERS = ("round-robin", "softmax", "puct")
POTENTIALS = ("uniform", "length", "accepted", "gain")
Outcome = tuple[str, int, float]
"""What becomes of a step (accept, reject, fail, exhausted), which of the open ones it is, and its gain or loss."""


def searching(
    scheduler: str,
    *,
    traces: int = 3,
    capacity: int = 2,
    budget: Budget | None = None,
    greater: bool = False,
    seed: int = 0,
    **table: object,
) -> Driver:
    """A run up to its profile, so that the first steps are planned."""
    run = Driver(plugin, seed=seed)
    started = RunStarted(
        task=some_task("r2" if greater else "rmse", greater),
        seed=seed,
        budget=budget or Budget(steps=1000),
        traces=traces,
        capacity=capacity,
        settings={"gradient": {"scheduler": scheduler, "ensemble": 1.0, **table}},
    )
    run.say(started)
    run.say(DataProfiled(artifact("folds.csv"), artifact("sample.csv"), fold_count=5, partitions=8))
    return run


def accept(run: Driver, name: str, score: float, gain: float = 0.1) -> list[Payload]:
    run.say(SubmissionScored(name, "full", score))
    return run.say(AttemptAccepted(name, gain=gain))


def refuse(run: Driver, name: str, score: float, gain: float = -0.1) -> list[Payload]:
    run.say(SubmissionScored(name, "full", score))
    return run.say(AttemptRejected(name, gain=gain))


def steps(said: Sequence[Payload]) -> list[tuple[str, int, str, str]]:
    return [(p.attempt, p.trace, p.kind, p.parent) for p in said if isinstance(p, StepPlanned)]


outcomes = st.lists(
    st.tuples(
        st.sampled_from(["accept", "accept", "reject", "fail", "exhausted"]),
        st.integers(0, 7),
        st.floats(0.001, 10.0, allow_nan=False),
    ),
    min_size=60,
    max_size=60,
)


def course(run: Driver, told: list[Outcome], sign: float, within: int) -> list[StepPlanned]:
    """Let steps have their outcomes until the search ends; asserts that it never has more in flight than allowed.
    `sign` turns gains into scores."""
    done: set[str] = set()
    scores = {"": sign * 1.0}
    for outcome, pick, gain in told:
        open_ = [p for p in run.all(StepPlanned) if p.attempt not in done]
        assert len(open_) <= within
        if not open_:
            break
        step = open_[pick % len(open_)]
        done.add(step.attempt)
        scores[step.attempt] = scores[step.parent] + sign * gain
        match outcome:
            case "accept":
                accept(run, step.attempt, scores[step.attempt], gain)
            case "reject":
                refuse(run, step.attempt, scores[step.parent] - sign * gain, -gain)
            case "fail":
                run.say(AttemptRejected(step.attempt, failure="memory"))
            case "exhausted":
                run.say(ProposalFailed(step.attempt, "nothing", exhausted=True))
                run.say(AttemptRejected(step.attempt, failure="proposal"))
    planned = run.all(StepPlanned)
    # No step is open and the search has not said that it is over: that would be waiting for nobody.
    assert (len(done) == len(planned)) == bool(run.all(SearchEnded))
    assert len(run.all(SearchEnded)) <= 1
    return planned


@settings(max_examples=120, deadline=None)
@given(
    scheduler=st.sampled_from(SCHEDULERS),
    potential=st.sampled_from(POTENTIALS),
    traces=st.integers(1, 6),
    capacity=st.integers(1, 5),
    limit=st.integers(1, 50),
    ensemble=st.sampled_from([0.1, 0.5, 1.0]),
    told=outcomes,
)
def test_every_course_stays_within_capacity_and_comes_to_an_end(
    scheduler: str, potential: str, traces: int, capacity: int, limit: int, ensemble: float, told: list[Outcome]
) -> None:
    run = searching(
        scheduler, traces=traces, capacity=capacity, budget=Budget(steps=limit), potential=potential, ensemble=ensemble
    )
    within = capacity if scheduler == "puct" else min(capacity, traces)
    planned = course(run, told, -1.0, within)
    assert [p.attempt for p in planned] == [f"a{n + 1}" for n in range(len(planned))] and len(planned) <= limit
    accepted = {p.attempt for p in run.all(AttemptAccepted)}
    for p in planned:
        assert p.kind == "draft" if not p.parent else p.parent in accepted
        assert not p.parent or next(q for q in planned if q.attempt == p.parent).trace == p.trace
    per_trace = [[p.step for p in planned if p.trace == t] for t in range(traces)]
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in per_trace)


@settings(max_examples=80, deadline=None)
@given(
    scheduler=st.sampled_from(SCHEDULERS),
    potential=st.sampled_from(POTENTIALS),
    traces=st.integers(1, 5),
    capacity=st.integers(1, 4),
    ensemble=st.sampled_from([0.3, 1.0]),
    seed=st.integers(0, 1000),
    told=outcomes,
)
def test_negated_scores_under_the_opposite_direction_lead_to_the_same_choices(
    scheduler: str, potential: str, traces: int, capacity: int, ensemble: float, seed: int, told: list[Outcome]
) -> None:
    def choices(greater: bool) -> list[StepPlanned]:
        run = searching(
            scheduler,
            traces=traces,
            capacity=capacity,
            budget=Budget(steps=60),
            greater=greater,
            seed=seed,
            potential=potential,
            ensemble=ensemble,
        )
        return course(run, told, 1.0 if greater else -1.0, 60)

    assert choices(True) == choices(False)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_trace_gets_its_draft_before_any_other_gets_a_second_step(scheduler: str) -> None:
    run = searching(scheduler, traces=4, capacity=2)
    accept(run, "a1", 1.0)
    accept(run, "a2", 1.0)
    assert [(p.trace, p.kind) for p in run.all(StepPlanned)] == [(n, "draft") for n in range(4)]


def shares(potential: str, temperature: float = 1.0) -> list[float]:
    """How often each of three free traces is drawn: the first long, the second often accepted, the third far better."""
    seen: Counter[int] = Counter()
    for seed in range(400):
        run = searching("softmax", capacity=3, seed=seed, potential=potential, temperature=temperature)
        run.states[0].capacity = 1  # the three drafts are in flight; from here on one step at a time
        accept(run, "a1", 1.0)
        accept(run, "a2", 1.0)
        state = run.states[0]
        state.traces[0].steps, state.traces[1].accepted = 4, 3
        state.nodes["a1"].score, state.nodes["a1"].root, state.gains = 1.0, 1.0, [0.1]
        state.nodes["a2"].score, state.nodes["a2"].root = 0.9, 1.0
        run.say(SubmissionScored("a3", "full", 1.0))
        (step,) = (p for p in run.say(AttemptAccepted("a3", gain=0.0)) if isinstance(p, StepPlanned))
        seen[step.trace] += 1
    return [seen[i] / 400 for i in range(3)]


def expected(*potentials: float) -> list[float]:
    powers = [math.exp(p) for p in potentials]
    return [p / sum(powers) for p in powers]


@pytest.mark.parametrize(
    ("potential", "values"),
    [("uniform", (0, 0, 0)), ("length", (4, 1, 1)), ("accepted", (1, 3, 1)), ("gain", (0, 1, 0))],
)
def test_softmax_draws_by_the_potential_that_was_asked_for(potential: str, values: tuple[float, ...]) -> None:
    assert shares(potential) == pytest.approx(expected(*values), abs=0.07)


def test_a_low_temperature_makes_softmax_sure_and_a_high_one_even() -> None:
    assert shares("length", 0.1)[0] == 1.0
    assert shares("length", 100.0) == pytest.approx([1 / 3] * 3, abs=0.08)


def test_softmax_says_which_trace_was_drawn_with_which_probability() -> None:
    run = searching("softmax", traces=2, capacity=1)
    accept(run, "a1", 1.0)
    accept(run, "a2", 1.0)
    assert "was drawn with probability 0.500" in run.last(StepPlanned).reason


@pytest.mark.parametrize("greater", [True, False])
def test_puct_prefers_what_was_accepted_in_either_direction(greater: bool) -> None:
    run = searching("puct", traces=2, capacity=1, greater=greater, c_puct=0.2)
    sign = 1.0 if greater else -1.0
    accept(run, "a1", sign * 1.0)
    said = accept(run, "a2", sign * 1.0)
    for number in range(3, 11):  # what is built on a1 is always refused, what is built on trace 1 always better
        (step,) = steps(said)
        if step[1] == 0:
            said = refuse(run, step[0], sign * 0.5, -0.5)
        else:
            said = accept(run, step[0], sign * (1.0 + number), 0.5)
    per_trace = Counter(p.trace for p in run.all(StepPlanned))
    assert per_trace[1] > 2 * per_trace[0]


def test_puct_goes_back_to_an_earlier_solution_when_nothing_comes_of_the_latest() -> None:
    run = searching("puct", traces=1, capacity=1, c_puct=1.0)
    accept(run, "a1", 1.0)
    accept(run, "a2", 0.9)
    for number in range(3, 9):
        refuse(run, f"a{number}", 2.0, -1.0)
    parents = {p.parent for p in run.all(StepPlanned)}
    back = [p for p in run.all(StepPlanned) if p.parent == "a1" and p.step > 2]
    assert parents == {"", "a1", "a2"} and back
    assert "go back to a1" in back[0].reason and "Q 0." in back[0].reason and "U " in back[0].reason


def test_steps_in_flight_count_against_puct_choosing_the_same_again() -> None:
    run = searching("puct", traces=1, capacity=1)
    accept(run, "a1", 1.0)
    accept(run, "a2", 0.9)
    run.states[0].capacity = 3
    said = accept(run, "a3", 0.8)
    assert len(steps(said)) == 3 and len({parent for _, _, _, parent in steps(said)}) > 1
    # Without the loss that a step in flight stands for, each of the three would be built on the same one.
    assert {trace for _, trace, _, _ in steps(said)} == {0}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_trace_whose_drafts_keep_failing_does_not_starve_the_others(scheduler: str) -> None:
    run = searching(scheduler, traces=2, capacity=1)
    accept(run, "a1", 1.0)
    for _ in range(30):
        step = run.last(StepPlanned)
        if step.trace == 1:
            run.say(AttemptRejected(step.attempt, failure="memory"))
        else:
            refuse(run, step.attempt, 2.0)
    per_trace = Counter(p.trace for p in run.all(StepPlanned))
    assert min(per_trace[0], per_trace[1]) >= 8, per_trace


def test_puct_leaves_alone_what_the_reasoner_has_nothing_left_for_until_something_is_accepted() -> None:
    run = searching("puct", traces=1, capacity=1)
    accept(run, "a1", 1.0)
    run.say(ProposalFailed("a2", "nothing", exhausted=True))
    said = run.say(AttemptRejected("a2", failure="proposal"))
    assert [type(p) for p in said] == [SearchEnded]


def test_a_merge_keeps_both_parents_and_is_planned_once_however_many_steps_fit() -> None:
    run = searching("puct", traces=2, capacity=4, draft=0.0, ensemble=0.0)
    accept(run, "a1", 0.5)
    accept(run, "a2", 0.9)
    merges = [p for p in run.all(StepPlanned) if p.kind == "merge"]
    assert [(p.parent, p.parents) for p in merges if p.trace == 1] == [("a2", ("a1",))]
    assert len(run.all(StepPlanned)) - 2 == 4
