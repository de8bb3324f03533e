"""The fold that everybody reads: what becomes of attempts, and views that later events do not change."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.events import (
    BASELINE,
    Artifact,
    AttemptAccepted,
    AttemptRejected,
    Budget,
    CodeRejected,
    CodeRequested,
    CodeReviewed,
    CodeWritten,
    EffectFailed,
    Event,
    ExecutionFinished,
    FeedbackGiven,
    Hypothesis,
    HypothesisProposed,
    Metric,
    NoteAdded,
    Payload,
    ProposalFailed,
    RunFinished,
    RunResumed,
    RunStarted,
    RunSuspended,
    StepPlanned,
    StopRequested,
    SubmissionRejected,
    SubmissionScored,
    SubmissionSelected,
    Task,
    Text,
    Trajectory,
)

FILE = Artifact("sha256-x", 1)


def started(greater: bool = False, **budget: float) -> RunStarted:
    metric = Metric("roc_auc" if greater else "rmse", greater)
    task = Task("t", "regression", metric, "y", "id", (), FILE, FILE, 10, 5)
    return RunStarted(task, seed=1, budget=Budget(**budget))  # type: ignore[arg-type]


def apply(t: Trajectory, *payloads: Payload, gap: float = 1.0) -> Trajectory:
    for payload in payloads:
        seq, active = t.seq + 1, t.active + gap
        t.apply(Event(f"e{seq}", type(payload).__name__, seq, 1000 + active, payload, active=active))
    return t


def fold(*payloads: Payload) -> Trajectory:
    return apply(Trajectory(), *payloads)


def attempt(name: str, score: float, *, trace: int = 0, parent: str = "", accept: bool = True) -> list[Payload]:
    verdict = AttemptAccepted if accept else AttemptRejected
    return [
        StepPlanned(name, trace, 1, parent=parent),
        SubmissionScored(name, "full", score),
        verdict(name, rule="t", reason="because"),
    ]


def test_an_attempt_gathers_what_was_said_about_it() -> None:
    program = Text.of("print()")
    hypothesis = Hypothesis("do it", "model")
    t = fold(
        started(),
        StepPlanned("a1", 2, 5, kind="improve", stage="ensemble", parent="a0", parents=("a0", "b0")),
        HypothesisProposed("a1", hypothesis),
        CodeWritten("a1", program, program.digest),
        ExecutionFinished("a1", "debug", True, seconds=1.0),
        ExecutionFinished("a1", "full", True, seconds=3.0, diagnostics={"gap": 1}),
        SubmissionScored("a1", "full", 0.5, se=0.1, diagnostics={"slice": 2}),
        FeedbackGiven("a1", True, lesson="l"),
        ExecutionFinished("a1", "seed", True, seconds=2.0),
        SubmissionScored("a1", "seed", 0.6),
        SubmissionScored("a1", "audit", 0.9, masked_fold=1),
        AttemptAccepted("a1", gain=0.1, noise=0.02, rule="r", reason="why"),
    )
    a = t.attempts["a1"]
    assert (a.trace, a.step, a.kind, a.stage, a.parents) == (2, 5, "improve", "ensemble", ("a0", "b0"))
    assert a.hypothesis == hypothesis and a.code is not None and a.score == 0.5
    assert [r.score for r in a.repeats] == [0.6]
    assert a.seconds == 6.0 and a.execution is not None and a.execution.purpose == "full"
    assert a.diagnostics == {"gap": 1, "scorer": {"slice": 2}}
    assert (a.accepted, a.gain, a.noise, a.rule, a.reason) == (True, 0.1, 0.02, "r", "why")
    assert t.programs == {program.digest: "a1"}
    assert a.planned_at == 2.0 and a.ended_at == 12.0


@pytest.mark.parametrize("greater", [False, True])
def test_best_is_the_best_accepted_score_in_the_metrics_direction(greater: bool) -> None:
    t = fold(started(greater), *attempt("a1", 0.5), *attempt("a2", 0.7, trace=1), *attempt("a3", 0.1, accept=False))
    assert t.best == ("a2" if greater else "a1")
    assert t.gain(0.7, 0.5) == pytest.approx(0.2 if greater else -0.2)
    assert [a.id for a in t.accepted_attempts()] == ["a1", "a2"]


def test_the_head_of_a_trace_is_its_last_accepted_attempt_even_if_it_is_not_the_best() -> None:
    t = fold(started(), *attempt("a1", 0.5), *attempt("a2", 0.6, parent="a1"), *attempt("a3", 0.4, accept=False))
    head = t.head(0)
    assert head is not None and head.id == "a2" and t.best == "a1"
    assert t.head(1) is None


@pytest.mark.parametrize(
    ("said", "failure", "reason"),
    [
        (
            [ProposalFailed("a1", "no idea"), AttemptRejected("a1", "no idea", failure="proposal")],
            "proposal",
            "no idea",
        ),
        ([CodeRejected("a1", "twice"), AttemptRejected("a1", "twice", failure="code")], "code", "twice"),
        ([ExecutionFinished("a1", "full", False, failure="memory")], "memory", ""),
        (
            [
                ExecutionFinished("a1", "full", False, failure="hopeless"),
                AttemptRejected("a1", "worse", rule="hopeless"),
            ],
            "",
            "worse",
        ),
        ([SubmissionRejected("a1", "full", "a column is missing")], "contract", "a column is missing"),
        ([EffectFailed("i", "ExecutionRequested", 2, "gone", "a1")], "", "gone"),
    ],
)
def test_a_failed_attempt_keeps_its_reason(said: list[Payload], failure: str, reason: str) -> None:
    a = fold(started(), StepPlanned("a1", 0, 1), *said).attempts["a1"]
    assert (a.failure, a.reason) == (failure, reason)


def test_a_repaired_attempt_keeps_every_version_and_no_failure() -> None:
    one, two = Text.of("print(1)"), Text.of("print(2)")
    before = [
        StepPlanned("a1", 0, 1),
        CodeRequested("a1", "write"),
        CodeWritten("a1", one, one.digest, repairs=1),
        ExecutionFinished("a1", "full", True, program=one.digest),
        SubmissionRejected("a1", "full", "a column is missing"),
    ]
    after = [
        CodeRequested("a1", "repair", program=one, problem="a column is missing", rewrite=1),
        CodeWritten("a1", two, two.digest, number=1),
        ExecutionFinished("a1", "debug", True, program=two.digest),
        CodeReviewed("a1", two.digest, ok=True),
    ]
    t = fold(started(), *before)
    assert (t.attempts["a1"].failure, t.attempts["a1"].reason) == ("contract", "a column is missing")
    a = apply(t, *after).attempts["a1"]
    assert a.code is not None and a.code.program == two and [v.program for v in a.versions] == [one, two]
    assert a.faults == ("a column is missing",) and [r.ok for r in a.reviews] == [True]
    assert a.execution is not None and (a.execution.purpose, a.execution.program) == ("debug", two.digest)
    apply(t, ExecutionFinished("a1", "full", True, program=two.digest), SubmissionScored("a1", "full", 1.0))
    assert (a.failure, a.reason, a.score, len(a.executions)) == ("", "", 1.0, 3)
    assert t.programs == {one.digest: "a1", two.digest: "a1"}


def test_a_second_verdict_changes_nothing() -> None:
    t = fold(started(), *attempt("a1", 0.5), AttemptRejected("a1", "after all"))
    assert t.attempts["a1"].accepted is True and t.ended == 1


def test_the_baseline_is_no_step() -> None:
    t = fold(started(), SubmissionScored(BASELINE, "full", 0.9), StepPlanned("a1", 0, 1))
    assert list(t.attempts) == ["a1"] and t.baseline is not None and t.baseline.score == 0.9
    assert t.best == "" and t.baseline.accepted is False


def test_words_about_attempts_that_were_never_planned_are_ignored() -> None:
    t = fold(started(), SubmissionScored("final", "rerun", 0.1), AttemptAccepted("ghost"), NoteAdded("hello"))
    assert not t.attempts and t.best == ""


def test_the_budget_share_is_that_of_the_nearest_limit() -> None:
    t = fold(started(seconds=10.0, steps=10))
    apply(t, StepPlanned("a1", 0, 1), StepPlanned("a2", 1, 1))
    assert t.budget_share() == pytest.approx(0.3)
    apply(t, *(StepPlanned(f"b{i}", 0, 1) for i in range(4)), gap=0.0)
    assert t.budget_share() == pytest.approx(0.6)
    apply(t, NoteAdded("late"), gap=100.0)
    assert t.budget_share() == 1.0
    assert fold(started()).budget_share() == 0.0


def test_the_end_of_a_run_is_read_off() -> None:
    selected = SubmissionSelected("a1", 0.5, 0.1, FILE, FILE, Text.of("pass"))
    t = fold(started(), StopRequested(), RunSuspended("Ctrl-C"), selected, RunFinished("stopped", "asked"))
    assert t.stop_requested and t.suspended == "Ctrl-C" and t.selected == selected
    assert t.finished is not None and t.finished.outcome == "stopped"


def test_a_run_that_goes_on_is_not_interrupted_any_more() -> None:
    t = fold(started(), RunSuspended("interrupted"), RunResumed(), StepPlanned("a1", 0, 1))
    assert t.suspended == ""
    assert apply(t, RunSuspended("again")).suspended == "again"


# Snapshots.

NAMES = [f"a{i}" for i in range(1, 5)]
HAPPENING = st.one_of(
    st.builds(lambda n, t: StepPlanned(n, t, 1), st.sampled_from(NAMES), st.integers(0, 2)),
    st.builds(lambda n, s: SubmissionScored(n, "full", s), st.sampled_from([*NAMES, BASELINE]), st.floats(0, 1)),
    st.builds(lambda n, s: SubmissionScored(n, "seed", s), st.sampled_from(NAMES), st.floats(0, 1)),
    st.builds(lambda n: ExecutionFinished(n, "full", True, seconds=1.0), st.sampled_from(NAMES)),
    st.builds(lambda n: FeedbackGiven(n, True), st.sampled_from(NAMES)),
    st.builds(lambda n: AttemptAccepted(n, rule="t"), st.sampled_from(NAMES)),
    st.builds(lambda n: AttemptRejected(n, rule="t"), st.sampled_from(NAMES)),
)


def planned_once(payloads: Sequence[Payload]) -> list[Payload]:
    """Steps have names of their own, and nothing but a verdict is said about a step after its verdict."""
    planned: set[str] = set()
    judged: set[str] = set()
    kept: list[Payload] = []
    for p in payloads:
        name = getattr(p, "attempt", "")
        if (isinstance(p, StepPlanned) and name in planned) or name in judged:
            continue
        if isinstance(p, StepPlanned):
            planned.add(name)
        if isinstance(p, (AttemptAccepted, AttemptRejected)) and name in planned:
            judged.add(name)
        kept.append(p)
    return kept


@given(st.lists(HAPPENING, max_size=25), st.integers(0, 25))
def test_a_snapshot_does_not_change_whatever_happens_later(payloads: list[Payload], cut: int) -> None:
    said = planned_once(payloads)
    t = fold(started(), *said[:cut])
    view = t.snapshot()
    before = copy.deepcopy(
        (dict(view.attempts), view.best, view.accepted, view.baseline, view.seq, view.undecided, view.ended)
    )
    apply(t, *said[cut:])
    assert (
        dict(view.attempts),
        view.best,
        view.accepted,
        view.baseline,
        view.seq,
        view.undecided,
        view.ended,
    ) == before
    assert dict(view.attempts) == dict(fold(started(), *said[:cut]).attempts)


@given(st.lists(HAPPENING, max_size=25))
def test_a_fold_is_a_function_of_its_events(payloads: list[Payload]) -> None:
    said = planned_once(payloads)
    assert fold(started(), *said) == fold(started(), *said)


def test_a_snapshot_is_a_mapping_of_the_attempts_of_its_moment() -> None:
    t = fold(started(), *attempt("a1", 0.5), StepPlanned("a2", 0, 2))
    view = t.snapshot()
    apply(t, StepPlanned("a3", 0, 3))
    assert list(view.attempts) == ["a1", "a2"] and len(view.attempts) == 2 and "a3" not in view.attempts
    assert list(view.attempts.values())[-1].id == "a2"
    with pytest.raises(KeyError):
        view.attempts["a3"]
    assert view.attempts.get("a3") is None and list(t.attempts) == ["a1", "a2", "a3"]


def test_a_snapshot_of_many_attempts_costs_no_more_than_one_of_few() -> None:
    # Counted, not timed: a snapshot copies the undecided attempts and nothing else.
    t = fold(started(), *(p for i in range(500) for p in attempt(f"a{i}", 0.5)), StepPlanned("b", 0, 1))
    view = t.snapshot()
    assert all(view.attempts[f"a{i}"] is t.attempts[f"a{i}"] for i in range(500))
    assert view.attempts["b"] is not t.attempts["b"] and len(view.undecided) == 1
