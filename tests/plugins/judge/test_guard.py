"""Verdicts as tables: what is recorded of an attempt, and what the guard says to it."""

from __future__ import annotations

import pytest

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    Budget,
    CancelRequested,
    CodeRejected,
    CodeWritten,
    Doubt,
    EffectCancelled,
    EffectFailed,
    ExecutionFinished,
    ExecutionRefused,
    ExecutionRequested,
    FeedbackGiven,
    FoldMasked,
    Limits,
    MaskRequested,
    Payload,
    ProposalFailed,
    RoleHandedOver,
    RunForked,
    SelectionStarted,
    StepPlanned,
    SubmissionRejected,
    Text,
)
from gome.plugins.judge.guard import plugin
from tests.plugins.driver import Driver, artifact, requests, some_task


def guarded(**settings: object) -> Driver:
    """A run with two accepted attempts' worth of history: `a1` (score 1.0), no seed study unless asked for."""
    run = Driver(plugin)
    run.start(guard={"seeds": 1, "seed_prior": 0.0, **settings})
    run.attempt("a1", 1.0)
    return run


def test_the_first_valid_attempt_of_a_branch_is_accepted() -> None:
    run = Driver(plugin)
    run.start()
    run.attempt("a1", 0.7, against={"baseline": (0.2, 0.1)})
    verdict = run.verdict("a1")
    assert isinstance(verdict, AttemptAccepted) and verdict.rule == "first"
    assert verdict.gain == 0.2


@pytest.mark.parametrize(
    ("difference", "accepted", "rule"),
    [(3.0, True, "gain"), (2.1, True, "gain"), (-0.5, False, "tie"), (0.0, False, "tie"), (-1.5, False, "worse")],
)
def test_a_clear_difference_decides_at_once(difference: float, accepted: bool, rule: str) -> None:
    run = guarded()
    said = run.attempt("a2", 1.0 - difference, parent="a1", against={"a1": (difference, 1.0)})
    verdict = run.verdict("a2")
    assert not requests(said)
    assert verdict and isinstance(verdict, AttemptAccepted) == accepted and verdict.rule == rule
    assert (verdict.gain, verdict.noise) == (difference, 1.0)


def test_the_opinion_does_not_make_an_improvement_of_a_loss() -> None:
    run = guarded()
    run.attempt("a2", 1.1, parent="a1", against={"a1": (-0.1, 0.2)}, feedback=FeedbackGiven("a2", accept=True))
    assert isinstance(run.verdict("a2"), AttemptRejected)


@pytest.mark.parametrize(("second", "accepted"), [(1.0, True), (0.1, True), (-0.2, False), (-2.0, False)])
def test_an_undecided_gain_is_repeated_on_the_next_partition_and_the_mean_decides(
    second: float, accepted: bool
) -> None:
    run = guarded()
    said = run.attempt("a2", 0.0, parent="a1", against={"a1": (1.5, 1.0)}, members=True)
    asked = requests(said, "repeat")
    assert [(r.attempt, r.partition) for r in asked] == [("a2", 1), ("a1", 1)]
    assert asked[0].seed == asked[1].seed
    assert not any(name.startswith("members/") for r in asked for name in r.inputs)
    assert run.verdict("a2") is None
    run.run(asked[1], 5.0)
    assert run.verdict("a2") is None
    run.run(asked[0], 5.0 - second, {"a1": (second, 1.0)})
    verdict = run.verdict("a2")
    assert isinstance(verdict, AttemptAccepted) == accepted
    assert verdict and verdict.gain == pytest.approx((1.5 + second) / 2)
    assert verdict.noise == pytest.approx(0.5**0.5)


def test_the_pairing_is_found_on_whichever_side_was_scored_later() -> None:
    run = guarded()
    own, parent = requests(run.attempt("a2", 0.0, parent="a1", against={"a1": (1.5, 1.0)}), "repeat")
    run.run(own, 4.0)
    run.run(parent, 5.0, {"a2": (-1.0, 1.0)})
    verdict = run.verdict("a2")
    assert isinstance(verdict, AttemptAccepted) and verdict.rule == "repeat" and verdict.gain == 1.25


def test_a_parent_is_repeated_once_whoever_asks() -> None:
    run = guarded()
    own, parent = requests(run.attempt("a2", 0.0, parent="a1", against={"a1": (1.5, 1.0)}), "repeat")
    run.run(parent, 5.0)
    run.run(own, 6.0, {"a1": (-4.0, 1.0)})
    assert isinstance(run.verdict("a2"), AttemptRejected)
    asked = requests(run.attempt("a3", 0.1, parent="a1", against={"a1": (1.4, 1.0)}), "repeat")
    assert [r.attempt for r in asked] == ["a3"]
    run.run(asked[0], 4.0, {"a1": (1.0, 1.0)})
    assert isinstance(run.verdict("a3"), AttemptAccepted)


def test_a_repeat_that_fails_leaves_the_decision_to_what_is_known() -> None:
    run = guarded()
    own, parent = requests(run.attempt("a2", 0.0, parent="a1", against={"a1": (1.5, 1.0)}), "repeat")
    run.run(parent, 5.0)
    run.answer(own, run.finished(own, ok=False))
    verdict = run.verdict("a2")
    assert isinstance(verdict, AttemptAccepted) and verdict.rule == "gain" and verdict.gain == 1.5


def test_nothing_is_repeated_when_the_budget_is_mostly_used() -> None:
    run = guarded()
    run.active = 750.0
    said = run.attempt("a2", 0.0, parent="a1", against={"a1": (0.8, 1.0)})
    assert not requests(said, "repeat")
    assert isinstance(run.verdict("a2"), AttemptRejected)


def test_nothing_is_repeated_that_would_eat_the_reserve() -> None:
    run = Driver(plugin)
    run.start(budget=Budget(seconds=100.0), guard={"seeds": 1})
    run.attempt("a1", 1.0, seconds=90.0)
    said = run.attempt("a2", 0.0, parent="a1", against={"a1": (1.5, 1.0)}, seconds=90.0)
    assert not requests(said, "repeat") and isinstance(run.verdict("a2"), AttemptAccepted)


def test_repeats_share_what_is_left_of_the_execution_seconds_beside_what_is_in_flight() -> None:
    run = Driver(plugin)
    run.start(budget=Budget(execution_seconds=500.0), guard={"seeds": 1, "seed_prior": 0.0})
    run.attempt("a1", 1.0)
    run.say(ExecutionRequested("a9", "full", Text.of("pass"), {}, limits=Limits(seconds=100.0)))
    said = run.attempt("a2", 0.0, parent="a1", against={"a1": (1.5, 1.0)}, seconds=20.0)
    asked = requests(said, "repeat")
    left = 500.0 - 100.0 - 30.0
    assert [(r.attempt, r.limits.seconds) for r in asked] == [
        ("a2", pytest.approx(left * 2 / 3)),
        ("a1", pytest.approx(left / 3)),
    ]


def test_a_tie_is_taken_for_lower_cost_only() -> None:
    run = guarded()
    run.attempt("a2", 1.05, parent="a1", against={"a1": (-0.05, 0.2)}, seconds=9.0)
    run.attempt("a3", 1.05, parent="a1", against={"a1": (-0.05, 0.2)}, seconds=2.0)
    run.attempt("a4", 1.05, parent="a1", against={"a1": (-0.05, 0.2)}, seconds=1.0, members=True)
    assert isinstance(run.verdict("a2"), AttemptRejected)
    cheap = run.verdict("a3")
    assert isinstance(cheap, AttemptAccepted) and cheap.rule == "tie-cost" and cheap.gain == -0.05
    assert isinstance(run.verdict("a4"), AttemptRejected), "cached members do not make a program cheaper"


def test_a_tie_is_taken_for_better_alignment() -> None:
    run = Driver(plugin)
    run.start(guard={"seeds": 1})
    run.attempt("a1", 1.0, feedback=FeedbackGiven("a1", accept=True, aligned=False))
    run.attempt("a2", 1.0, parent="a1", against={"a1": (0.0, 0.2)})
    verdict = run.verdict("a2")
    assert isinstance(verdict, AttemptAccepted) and verdict.rule == "tie-alignment"


def test_small_losses_do_not_add_up() -> None:
    run = guarded()
    names = ["a1"]
    score, seconds = 1.0, 10.0
    for number in range(2, 12):
        name = f"a{number}"
        score, seconds = score + 0.08, seconds / 2
        run.attempt(name, score, parent=names[-1], against={names[-1]: (-0.08, 0.1)}, seconds=seconds)
        if isinstance(run.verdict(name), AttemptAccepted):
            names.append(name)
        else:
            score -= 0.08
    assert score - 1.0 <= 0.1
    assert names == ["a1", "a2"]


def test_greater_is_better_where_the_metric_says_so() -> None:
    run = Driver(plugin)
    run.start(task=some_task("r2", greater=True), guard={"seeds": 1})
    run.attempt("a1", 0.5)
    run.attempt("a2", 0.9, parent="a1")
    run.attempt("a3", 0.1, parent="a2")
    assert isinstance(run.verdict("a2"), AttemptAccepted)
    assert isinstance(run.verdict("a3"), AttemptRejected)


def masked(run: Driver, said: list[Payload]) -> ExecutionRequested:
    """Answer the audit's mask and return the audit's execution."""
    mask = next(p for p in said if isinstance(p, MaskRequested))
    more = run.answer(mask, FoldMasked(mask.partition, mask.fold, {"train.csv": artifact("masked-train")}))
    (audit,) = requests(more, "audit")
    assert audit.masked_fold == mask.fold and audit.inputs["train.csv"] == artifact("masked-train")
    return audit


def test_too_good_a_gain_is_audited_and_taken_when_the_audit_agrees() -> None:
    run = guarded()
    audit = masked(run, run.attempt("a2", 0.5, parent="a1", against={"a1": (0.5, 0.1)}))
    assert run.verdict("a2") is None
    run.run(audit, 0.5)
    verdict = run.verdict("a2")
    assert isinstance(verdict, AttemptAccepted) and verdict.rule == "audit" and verdict.gain == 0.5


def test_a_gain_that_fails_its_audit_is_refused_with_the_reason() -> None:
    run = guarded()
    audit = masked(run, run.attempt("a2", 0.5, parent="a1", against={"a1": (0.5, 0.1)}))
    run.answer(audit, run.finished(audit))
    run.say(SubmissionRejected("a2", "audit", "it sees its labels", layer=2, masked_fold=audit.masked_fold))
    verdict = run.verdict("a2")
    assert (
        isinstance(verdict, AttemptRejected) and verdict.failure == "alignment" and "sees its labels" in verdict.reason
    )


def test_an_audit_whose_tables_cannot_be_made_refuses() -> None:
    run = guarded()
    said = run.attempt("a2", 0.5, parent="a1", against={"a1": (0.5, 0.1)})
    mask = next(p for p in said if isinstance(p, MaskRequested))
    intent = next(e for e in run.log if e.payload is mask).id
    run.say(EffectFailed(intent, "MaskRequested", 3, "disk full"), cause=intent)
    verdict = run.verdict("a2")
    assert isinstance(verdict, AttemptRejected) and "disk full" in verdict.reason


def test_masked_tables_are_made_once_per_fold() -> None:
    run = guarded()
    asked = 0
    for number in range(2, 14):
        said = run.attempt(f"a{number}", 0.5, parent="a1", against={"a1": (0.5, 0.1)})
        asked += sum(isinstance(p, MaskRequested) for p in said)
        audit = masked(run, said) if any(isinstance(p, MaskRequested) for p in said) else requests(said, "audit")[0]
        run.run(audit, 0.5)
        assert isinstance(run.verdict(f"a{number}"), AttemptAccepted)
    assert asked <= 5


def test_an_opinion_that_the_score_misleads_asks_for_an_audit() -> None:
    run = guarded()
    doubt = FeedbackGiven("a2", accept=False, aligned=False)
    audit = masked(run, run.attempt("a2", 0.7, parent="a1", against={"a1": (0.3, 0.1)}, feedback=doubt))
    run.run(audit, 0.7)
    verdict = run.verdict("a2")
    assert isinstance(verdict, AttemptAccepted) and "audited" in verdict.reason


def test_a_doubt_of_the_scorer_asks_for_an_audit_whoever_wrote_the_program() -> None:
    run = guarded()
    doubt = (Doubt("claim", "the program says 0.1; its predictions come to 0.7"),)
    audit = masked(run, run.attempt("a2", 0.7, parent="a1", against={"a1": (0.3, 0.1)}, doubts=doubt))
    run.run(audit, 0.7)
    verdict = run.verdict("a2")
    assert isinstance(verdict, AttemptAccepted) and "audited" in verdict.reason


def test_a_doubted_gain_is_refused_with_the_evidence_when_there_is_no_time_for_an_audit() -> None:
    run = guarded()
    run.active = 990.0
    doubt = (Doubt("claim", "the program says 0.1; its predictions come to 0.7"),)
    run.attempt("a2", 0.7, parent="a1", against={"a1": (0.3, 0.1)}, doubts=doubt, trusted=False)
    verdict = run.verdict("a2")
    assert isinstance(verdict, AttemptRejected) and verdict.rule == "audit"
    assert "its predictions come to 0.7, and there was no time for an audit" in verdict.reason


def test_a_stranger_s_first_program_is_audited_when_it_is_too_good() -> None:
    run = Driver(plugin)
    run.start(guard={"seeds": 1})
    audit = masked(run, run.attempt("a1", 0.1, against={"baseline": (0.9, 0.1)}, trusted=False))
    run.run(audit, 0.1)
    verdict = run.verdict("a1")
    assert isinstance(verdict, AttemptAccepted) and verdict.rule == "first"


def test_the_first_valid_solution_runs_with_other_seeds_and_nobody_waits() -> None:
    run = Driver(plugin)
    run.start()
    said = run.attempt("a1", 1.0, members=True)
    seeds = requests(said, "seed")
    assert len(seeds) == 2 and len({0, *(s.seed for s in seeds)}) == 3
    assert all(s.partition == 0 and "members/k/oof.csv" not in s.inputs for s in seeds)
    assert isinstance(run.verdict("a1"), AttemptAccepted)
    run.attempt("a2", 0.5, parent="a1", against={"a1": (0.3, 0.1)})
    assert run.verdict("a2") and run.last(AttemptAccepted).noise == pytest.approx(0.1 * 1.5**0.5)
    run.run(seeds[0], 1.1)
    run.run(seeds[1], 0.9)
    run.attempt("a3", 0.4, parent="a2", against={"a2": (0.5, 0.1)})
    assert run.verdict("a3") and run.last(AttemptAccepted).noise == pytest.approx((0.01 + 2 * 0.01) ** 0.5)
    assert not requests([e.payload for e in run.log if e.payload and e.seq > len(run.log) - 8], "seed")  # type: ignore[misc]


FAILURES: list[tuple[str, Payload]] = [
    ("proposal", ProposalFailed("a2", "nothing to say")),
    ("code", CodeRejected("a2", "no such column")),
    ("syntax", ExecutionFinished("a2", "debug", False, failure="syntax", error="Traceback\nSyntaxError: x")),
    ("budget", ExecutionRefused("a2", "full", "execution_seconds", 97.0, 100.0, "used up")),
    ("memory", ExecutionFinished("a2", "full", False, failure="memory")),
    ("contract", SubmissionRejected("a2", "full", "no oof.csv")),
    ("effect", EffectFailed("i", "ExecutionRequested", 3, "worker lost", attempt="a2")),
    ("cancelled", EffectCancelled("i", "ProposalRequested", "stopped", attempt="a2")),
]


@pytest.mark.parametrize(("failure", "event"), FAILURES, ids=[f for f, _ in FAILURES])
def test_every_way_of_failing_ends_in_one_refusal(failure: str, event: Payload) -> None:
    run = guarded()
    run.say(StepPlanned("a2", 0, 1, parent="a1"))
    run.say(event)
    verdict = run.verdict("a2")
    assert isinstance(verdict, AttemptRejected) and verdict.failure == failure and verdict.rule == "failed"
    run.say(EffectFailed("j", "ExecutionRequested", 3, "late", attempt="a2"))
    assert run.verdict("a2") is verdict


def test_a_failed_completion_is_the_asking_effect_s_business() -> None:
    run = guarded()
    run.say(StepPlanned("a2", 0, 1, parent="a1"))
    run.say(EffectFailed("i", "CompletionRequested", 3, "429", attempt="a2"))
    assert run.verdict("a2") is None


def test_without_an_opinion_the_numbers_decide() -> None:
    run = guarded()
    run.attempt("a2", 0.5, parent="a1", against={"a1": (0.3, 0.1)}, feedback=False)
    assert run.verdict("a2") is None
    run.say(EffectFailed("i", "ReflectionRequested", 3, "reasoner crashed", attempt="a2"))
    assert isinstance(run.verdict("a2"), AttemptAccepted)


@pytest.mark.parametrize("accept", [True, False])
def test_with_the_guard_off_the_opinion_decides(accept: bool) -> None:
    run = guarded(enabled=False)
    said = run.attempt(
        "a2", 2.0, parent="a1", against={"a1": (-1.0, 0.1)}, feedback=FeedbackGiven("a2", accept, reason="because")
    )
    verdict = run.verdict("a2")
    assert not requests(said)
    assert isinstance(verdict, AttemptAccepted) == accept and verdict and verdict.rule == "opinion"


def test_a_failed_parent_is_replaced_by_its_nearest_scored_ancestor() -> None:
    run = guarded()
    run.say(StepPlanned("a2", 0, 1, parent="a1"))
    run.say(CodeRejected("a2", "no"))
    run.attempt("a3", 0.5, parent="a2", against={"a1": (0.3, 0.1)})
    verdict = run.verdict("a3")
    assert isinstance(verdict, AttemptAccepted) and "a1" in verdict.reason


def test_small_gains_in_a_row_are_judged_by_their_sum() -> None:
    run = guarded()
    run.attempt("a2", 0.9, parent="a1", against={"a1": (-0.1, 1.0)})
    second = run.verdict("a2")
    assert isinstance(second, AttemptRejected) and second.rule == "tie"
    run.attempt("a3", 0.0, parent="a2", against={"a2": (0.5, 1.0), "a1": (2.5, 1.0)})
    third = run.verdict("a3")
    assert isinstance(third, AttemptAccepted) and third.gain == 2.5 and "better than a1" in third.reason
    run.attempt("a4", 3.0, parent="a1", against={"a1": (-2.0, 1.0)})
    run.attempt("a5", 1.2, parent="a4", against={"a4": (0.3, 0.1), "a1": (-0.2, 1.0)})
    fifth = run.verdict("a5")
    assert fifth and "a4" in fifth.reason, "what was clearly worse is a reference like any other"


def test_when_selection_starts_everything_open_is_decided_on_what_is_known() -> None:
    run = guarded()
    undecided = requests(run.attempt("a2", 0.0, parent="a1", against={"a1": (1.5, 1.0)}), "repeat")
    assert undecided
    run.attempt("a3", 0.9, parent="a1", trace=1, against={"a1": (0.1, 1.0)}, feedback=False)
    run.say(StepPlanned("a4", 2, 3))
    run.attempt("a5", 0.0, parent="a1", against={"a1": (0.9, 0.1)}, trusted=False)
    run.say(SelectionStarted("time"))
    assert isinstance(run.verdict("a2"), AttemptAccepted)
    assert isinstance(run.verdict("a3"), AttemptRejected)
    assert isinstance(run.verdict("a4"), AttemptRejected) and run.verdict("a4").failure == "cancelled"  # type: ignore[union-attr]
    a5 = run.verdict("a5")
    assert isinstance(a5, AttemptRejected) and "audit" in a5.reason
    before = len(run.log)
    run.say(EffectCancelled("i", "ExecutionRequested", "over", attempt="a2"))
    assert len(run.log) == before + 1


def test_what_is_being_scored_when_selection_starts_is_still_judged() -> None:
    run = guarded()
    run.say(StepPlanned("a2", 0, 1, parent="a1"))
    run.say(ExecutionFinished("a2", "full", True))
    run.say(SelectionStarted("time"))
    assert run.verdict("a2") is None
    run.attempt("a2", 0.5, parent="a1", against={"a1": (0.3, 0.1)}, feedback=False, planned=False)
    assert isinstance(run.verdict("a2"), AttemptAccepted)
    assert not run.all(CancelRequested)


def test_a_guard_that_takes_over_in_a_fork_settles_what_is_open() -> None:
    run = guarded()
    run.attempt("a2", 0.5, parent="a1", against={"a1": (0.3, 0.1)}, feedback=False)
    fresh = Driver(plugin)
    fresh.log = list(run.log)
    for event in run.log:
        if isinstance(event.payload, plugin.reads):
            fresh.states[0] = plugin.evolve(fresh.states[0], event)
    state = fresh.states[0]
    state.records["a2"].reflected = True
    fresh.say(RunForked("parent", 10, "hash", settings={"guard": {"enabled": True}}))
    assert isinstance(fresh.verdict("a2"), AttemptAccepted)


def written(run: Driver, *, number: int = 0, repairs: int = 2) -> Text:
    """A version of a2's program, with repairs left."""
    text = Text.of(f"print({number})")
    run.say(CodeWritten("a2", text, text.digest, number=number, repairs=repairs))
    return text


def repairable() -> Driver:
    run = guarded()
    run.say(StepPlanned("a2", 0, 1, parent="a1"))
    written(run)
    return run


FAULTS: list[Payload] = [
    ExecutionFinished("a2", "debug", False, failure="syntax"),
    ExecutionFinished("a2", "full", False, failure="time"),
    SubmissionRejected("a2", "full", "no oof.csv"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=["debug", "full", "files"])
def test_a_fault_that_will_be_repaired_is_no_failure_and_the_repaired_program_is_judged(fault: Payload) -> None:
    run = repairable()
    run.say(fault)
    assert run.verdict("a2") is None
    run.attempt("a2", 0.5, parent="a1", against={"a1": (0.3, 0.1)}, planned=False)
    assert isinstance(run.verdict("a2"), AttemptAccepted)


@pytest.mark.parametrize("fault", FAULTS, ids=["debug", "full", "files"])
def test_the_last_versions_fault_ends_the_attempt(fault: Payload) -> None:
    run = repairable()
    run.say(fault)
    written(run, number=1, repairs=0)
    run.say(fault)
    verdict = run.verdict("a2")
    assert isinstance(verdict, AttemptRejected) and verdict.failure in ("syntax", "time", "contract")


@pytest.mark.parametrize(
    ("event", "failure"),
    [
        (CodeRejected("a2", "the model is gone"), "code"),
        (EffectFailed("i", "CodeRequested", 3, "crashed", attempt="a2"), "effect"),
        (EffectFailed("i", "ExecutionRequested", 1, "no sandbox", attempt="a2"), "effect"),
        (ExecutionFinished("a2", "full", False, failure="cancelled"), "cancelled"),
        (SubmissionRejected("a2", "full", "it leaks", layer=2), "alignment"),
    ],
)
def test_what_no_repair_answers_ends_the_attempt_at_once(event: Payload, failure: str) -> None:
    run = repairable()
    run.say(event)
    verdict = run.verdict("a2")
    assert isinstance(verdict, AttemptRejected) and verdict.failure == failure


@pytest.mark.parametrize("fault", FAULTS, ids=["debug", "full", "files"])
def test_once_the_mutator_has_handed_over_nobody_waits_for_its_repairs(fault: Payload) -> None:
    run = repairable()
    run.say(RoleHandedOver("mutator", "llm", "pipeline", "the model is gone"))
    run.say(fault)
    assert isinstance(run.verdict("a2"), AttemptRejected)


@pytest.mark.parametrize("fault", FAULTS, ids=["debug", "full", "files"])
def test_an_attempt_under_repair_when_selection_starts_has_failed(fault: Payload) -> None:
    run = repairable()
    if isinstance(fault, SubmissionRejected):
        run.say(ExecutionFinished("a2", "full", True))
    run.say(fault)
    run.say(SelectionStarted("time"))
    assert isinstance(run.verdict("a2"), AttemptRejected)


def test_files_that_are_refused_after_selection_has_started_end_the_attempt_whatever_repairs_are_left() -> None:
    run = repairable()
    run.say(ExecutionFinished("a2", "full", True))
    run.say(SelectionStarted("time"))
    assert run.verdict("a2") is None, "its score is due"
    run.say(SubmissionRejected("a2", "full", "no oof.csv"))
    verdict = run.verdict("a2")
    assert isinstance(verdict, AttemptRejected) and verdict.failure == "contract"


@pytest.mark.parametrize("repairs", [0, 2])
def test_an_execution_stopped_as_hopeless_is_a_rejection_and_no_failure(repairs: int) -> None:
    run = guarded()
    run.say(StepPlanned("a2", trace=0, step=1, kind="improve", parent="a1"))
    run.say(CodeWritten("a2", Text.of("x"), "d", repairs=repairs))
    run.say(ExecutionFinished("a2", "full", ok=False, failure="hopeless", error="stopped early: all of the folds"))
    verdict = run.verdict("a2")
    assert verdict == AttemptRejected("a2", reason="stopped early: all of the folds", rule="hopeless")
